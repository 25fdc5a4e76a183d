"""The tables of docs/evidence.md, from the results of evidence.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "evidence.md"
_METRICS = {
    "bits_per_byte": "bits per byte",
    "stopped": "answers that stop",
    "leaked": "answers that show control tokens",
}

Result = dict[str, Any]


def show(results: Sequence[Result], targets: Sequence[str], write: bool) -> None:
    """Print every table; with `write` put each into the page, between its two comments."""
    sets = [each for each in results if "primary" in each]
    tables = {"sets": list(_sets(sets, targets))}
    tables["formats"] = [line for each in results if "formats" in each for line in _formats(each)]
    tables["amounts"] = [line for each in results if "curve" in each for line in _amounts(each)]
    for name, lines in tables.items():
        text = "\n".join(lines)
        print(text, end="\n\n")
        if write:
            _write(name, text)


def _write(name: str, text: str) -> None:
    mark, end = f"<!-- benchmarks/evidence.py --docs, {name} -->", f"<!-- end of {name} -->"
    before, _, rest = PAGE.read_text("utf-8").partition(mark)
    PAGE.write_text(f"{before}{mark}\n{text}\n\n{rest[rest.index(end) :]}", "utf-8")


def _sets(results: Sequence[Result], targets: Sequence[str]) -> Iterator[str]:
    """A line for each comparison of each experiment."""
    heads = "rows | model, tokens | targets | seeds | against | bits per byte, all targets"
    heads += " | Holm p | verdict | would have been seen"
    yield f"| {heads} | {' | '.join(targets)} |"
    yield "|---" * (9 + len(targets)) + "|"
    for found in results:
        for line in found["primary"]:
            if line["target"] is None:
                yield _compared(found, line, targets)


def _compared(found: Result, line: Result, targets: Sequence[str]) -> str:
    own = {
        each["target"]: _difference(each)
        for each in found["primary"]
        if each["baseline"] == line["baseline"] and each["target"] is not None
    }
    trained = f"{found['model']}, {found['tokens']:,}"
    return (
        f"| {found['about']} | {trained} | {found['half']} | {found['seeds']} "
        f"| {line['baseline']} | {_difference(line)} | {line['holm']:.3f} | {line['verdict']} "
        f"| {line['would_see']:.4f} | {' | '.join(own[each] for each in targets)} |"
    )


def _formats(found: Result) -> Iterator[str]:
    """A matrix for each metric, and the pairs whose difference has a verdict."""
    names = found["formats"]
    yield f"{_asked(found)}, {found['tokens']:,} trained tokens."
    for metric, values in found["matrices"].items():
        yield ""
        prompted = " | ".join(f"prompted with {name}" for name in names)
        yield f"| {_METRICS[metric]}, trained with | {prompted} |"
        yield "|---" * (1 + len(names)) + "|"
        for trained in names:
            cells = " | ".join(_estimate(values[trained][name]) for name in names)
            yield f"| {trained} | {cells} |"
    yield ""
    yield "| trained with | prompted with | minus trained with the latter | Holm p | verdict |"
    yield "|---|---|---|---|---|"
    for each in found["pairs"]:
        if each["metric"] == "bits_per_byte":
            names = f"| {each['trained_with']} | {each['prompted_with']} "
            yield f"{names}| {_difference(each)} | {each['holm']:.3f} | {each['verdict']} |"


def _amounts(found: Result) -> Iterator[str]:
    """Levels by amount, and what each step to the next gives."""
    curve = found["curve"]
    names = list(curve["lines"])
    yield f"{_asked(found)}; bits per byte."
    yield ""
    yield f"| trained tokens | {' | '.join(names)} |"
    yield "|---" * (1 + len(names)) + "|"
    for at, amount in enumerate(curve["amounts"]):
        levels = " | ".join(_estimate(curve["lines"][name][at]) for name in names)
        yield f"| {int(amount):,} | {levels} |"
    yield ""
    yield "| rows | from | to | difference | Holm p | verdict |"
    yield "|---|---|---|---|---|---|"
    for each in found["steps"]:
        ends = f"{each['smaller']:,} | {each['larger']:,}"
        yield (
            f"| {each['baseline']} | {ends} | {_difference(each)} | {each['holm']:.3f} "
            f"| {each['verdict']} |"
        )


def _asked(found: Result) -> str:
    return f"{found['about'].capitalize()}, {found['model']}, {found['seeds']} seeds"


def _difference(line: Result) -> str:
    """A difference with its interval."""
    found = line["difference"]
    return f"{found['value']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})"


def _estimate(found: Result) -> str:
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
