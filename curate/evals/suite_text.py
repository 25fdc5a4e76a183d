"""What a suite found, as lines for a terminal: file by file, one model under the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from curate.base.terminal import printable_line
from curate.evals.suite_results import SuiteEvaluation
from trainer.after.suite.intervals import Estimate
from trainer.after.suite.lengths import QUANTILES, UnitResult
from trainer.after.suite.stops import StopResult

Table = list[list[str]]
_NAME = 32
_SHARES = ("stopped", "empty", "loops", "leaked")


def lines(found: SuiteEvaluation) -> list[str]:
    """Every file apart, then the instructions, then what the brackets are."""
    made: list[str] = []
    for at in range(len(found.files)):
        made += ["", _head(found, at)]
        for table in (_loss(found, at), _answers(found, at), *_lengths(found, at)):
            made += [f"  {line}" for line in aligned(table)]
    if any(each.instructions for each in found.models):
        made += ["", f"instructions ({_asked(found):,} prompts)"]
        made += [f"  {line}" for line in aligned(_instructions(found))]
        made += [f"  {line}" for line in aligned(_kinds(found))]
    made += [
        "",
        "in brackets: 95 % intervals over rows drawn again; another training run is not in",
    ]
    return made[1:]


def aligned(table: Table) -> list[str]:
    """Cells in columns, the first to the left; no line for a table with nothing but its head.

    >>> aligned([["", "rows"], ["one", "1,000"]])
    ['      rows', 'one  1,000']
    """
    if len(table) < 2:
        return []
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if not at else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _head(found: SuiteEvaluation, at: int) -> str:
    """What was measured of a file, and what was not, of the model that reads least."""
    about, results = found.files[at], [each.files[at] for each in found.models]
    left = {
        reason: max(each.left_out.get(reason, 0) for each in results)
        for reason in sorted({reason for each in results for reason in each.left_out})
    }
    more = {
        "ask for no answer, or leave no room for one": max(each.no_prompt for each in results),
        "are read by one of two models alone": max(
            (each.files[at].unpaired for each in found.comparisons), default=0
        ),
    }
    left |= {what: count for what, count in more.items() if count}
    shown = "".join(f", {count:,} {reason}" for reason, count in left.items())
    count = results[0].measured
    one, many = ("piece of text", "pieces of text") if about["kind"] == "text" else ("row", "rows")
    what = one if count == 1 else many
    return f"{_short(about['name'], 80)}: {count:,} {what} measured{shown}"


def _models(found: SuiteEvaluation) -> list[str]:
    return labels([each.model for each in found.models])


def labels(models: Sequence[str]) -> list[str]:
    """The models by the ends of their paths, as many parts of them as tell them apart.

    >>> labels(["runs/a/adapter", "runs/b/adapter", "base"])
    ['a/adapter', 'b/adapter', 'base']
    """
    parts = [model.rstrip("/").split("/") for model in models]
    made = []
    for own in parts:
        sizes = range(1, len(own) + 1)
        alone = (n for n in sizes if sum(each[-n:] == own[-n:] for each in parts) == 1)
        made.append(_short("/".join(own[-next(alone, len(own)) :])))
    return made


def _ahead(found: SuiteEvaluation) -> list[str]:
    first, *others = _models(found)
    return [f"{first} - {other}" for other in others]


def _loss(found: SuiteEvaluation, at: int) -> Table:
    table = [
        [
            f"loss of {'text' if _is_text(found, at) else 'answers'}",
            "bits per byte",
            "of a row",
            "nats per token",
            "nats per stop",
        ]
    ]
    for name, each in zip(_models(found), found.models, strict=True):
        if loss := each.files[at].loss:
            cells = [loss.bits_per_byte, loss.row_bits_per_byte, loss.nats_per_token]
            table.append([name, *map(_number, [*cells, loss.nats_per_stop])])
    for name, comparison in zip(_ahead(found), found.comparisons, strict=True):
        if apart := comparison.files[at].loss:
            cells = [apart.bits_per_byte, apart.row_bits_per_byte]
            table.append([name, *map(_signed, cells), _signed(apart.nats_per_token), ""])
    return table


def _is_text(found: SuiteEvaluation, at: int) -> bool:
    return bool(found.files[at]["kind"] == "text")


def _answers(found: SuiteEvaluation, at: int) -> Table:
    results = [each.files[at].stops for each in found.models]
    cap = next((each.cap for each in results if each), 0)
    head = ["stopped", "empty", "loops", "control text", "distinct-3"]
    table = [[f"answers of at most {cap:,} tokens", *head]]
    for name, result in zip(_models(found), results, strict=True):
        if result:
            table.append([name, *_shares(result), _number(result.distinct_3)])
    for name, comparison in zip(_ahead(found), found.comparisons, strict=True):
        if apart := comparison.files[at].stops:
            cells = [_signed_share(getattr(apart, each)) for each in _SHARES]
            table.append([name, *cells, _signed(apart.distinct_3)])
    return table


def _shares(result: StopResult) -> list[str]:
    return [_share(getattr(result, each)) for each in _SHARES]


def _lengths(found: SuiteEvaluation, at: int) -> Iterator[Table]:
    """A table for each unit in which all models have lengths."""
    results = [each.files[at].lengths for each in found.models]
    quantiles = [f"{share:.0%}" for share in QUANTILES]
    for unit in ("tokens", "characters", "words"):
        table = [[f"{unit} of an answer", *quantiles, "mean", "KS", "W1"]]
        for name, result in zip(_models(found), results, strict=True):
            one: UnitResult | None = getattr(result, unit, None)
            if one is None:
                continue
            # Another tokenizer counts the reference's tokens otherwise.
            if len(table) == 1 or unit == "tokens":
                of = (
                    f"reference of {name}" if unit == "tokens" and len(results) > 1 else "reference"
                )
                table.append([of, *_quantiles(one.reference, one.reference_mean), "", ""])
            own = _quantiles(one.generated, one.generated_mean)
            table.append([name, *own, f"{one.ks:.2f}", f"{one.w1:,.1f}"])
        yield table


def _quantiles(values: Sequence[float], mean: float) -> list[str]:
    return [*(f"{value:,.0f}" for value in values), f"{mean:,.1f}"]


def _asked(found: SuiteEvaluation) -> int:
    return max(each.instructions.prompt_strict.rows for each in found.models if each.instructions)


def _instructions(found: SuiteEvaluation) -> Table:
    ways = ("prompt_strict", "prompt_loose", "instruction_strict", "instruction_loose")
    table = [["followed", "prompts", "loosely", "instructions", "loosely"]]
    for name, each in zip(_models(found), found.models, strict=True):
        if each.instructions:
            table.append([name, *(_share(getattr(each.instructions, way)) for way in ways)])
    for name, comparison in zip(_ahead(found), found.comparisons, strict=True):
        if apart := comparison.instructions:
            table.append([name, *(_signed_share(getattr(apart, way)) for way in ways)])
    return table


def _kinds(found: SuiteEvaluation) -> Table:
    """Each kind of instruction, strictly and loosely, one model beside the other."""
    with_them = [each for each in found.models if each.instructions]
    table = [["kind", "asked", *(f"{name} strict/loose" for name in _models(found))]]
    every = [each.instructions.kinds for each in with_them if each.instructions]
    for kind, first in every[0].items():
        shown = [
            f"{one.strict:.0%} / {one.loose:.0%}" if (one := kinds.get(kind)) else ""
            for kinds in every
        ]
        table.append([kind, f"{first.asked:,}", *shown])
    return table


def _number(one: Estimate | None) -> str:
    return _bracketed(one, "{:.3f}")


def _signed(one: Estimate | None) -> str:
    return _bracketed(one, "{:+.3f}")


def _share(one: Estimate | None) -> str:
    return _bracketed(one, "{:.0%}")


def _signed_share(one: Estimate | None) -> str:
    return _bracketed(one, "{:+.0%}")


def _bracketed(one: Estimate | None, form: str) -> str:
    if one is None:
        return "-"
    value = form.format(one.value)
    if one.low is None or one.high is None:
        return value
    return f"{value} ({form.format(one.low)} to {form.format(one.high)})"


def _short(text: str, limit: int = _NAME) -> str:
    """A stranger's text on one line, the end of a long one."""
    line = printable_line(text)
    return line if len(line) <= limit else f"...{line[3 - limit :]}"
