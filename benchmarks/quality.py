"""How often each quality reason is right, by rows that were read whole, and what it costs.

`--read REASON` prints rows of a reason for reading, `--sample` 200 random rows, both in full. The
judgements stand in `quality_read.json`: per dump and reason the ids of records that were judged
right and wrong, and per kind those of the 200 that are bad though no rule that acts says so; no
text. `held_out` names rows of several dumps that were drawn and read before the last rules were
tried on them, and those that are bad. `public` has the same of files that are not among the test
data: hits that were drawn and judged before a rule was mended after them, and chat rows that were
read without regard to the rules. `--public FOLDER` says where those files are; which it lacks is
printed. Without `--read` and `--sample` it prints the tables of all judgements by today's rules,
what fired in the 200 rows, how many of the bad rows that were held out the rules name, and the
seconds of CPU over `--rows` rows.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

sys.path.insert(0, str(Path(__file__).parent))

from rows import DATA, need

from curate.base.schema import with_text
from curate.sources import read
from filters.quality.filter import Quality
from filters.quality.rules import REASONS, RULES

HERE = Path(__file__).parent
JUDGED = HERE / "quality_read.json"
FILE = "raw/alpaca_random_9k.json"
SAMPLE, AT_MOST, SEED = 200, 25, 0
ACTS = ("drop", "report")
# Files whose hits were read after the last kinds were mended.
READ_LAST = ("T0", "GPT-3", "GPT-3 on T0")
CALCULATIONS = r"<<[^>]*>>"  # GSM8K's test set repeats each sum in these


def records_of(name: str, folder: Path = DATA) -> pl.DataFrame:
    """The records of a dump; `NAME#rejected` are its other answers, `NAME#plain` has plain sums."""
    path, _, view = name.partition("#")
    records = read([str(folder / path)]).records
    if not view:
        return with_text(records)
    lines = []
    for messages, rejected in records.select("messages", "rejected").iter_rows():
        talk = [{"role": one["role"], "content": one["content"]} for one in messages]
        if view == "rejected" and not rejected:
            continue
        if view == "rejected":
            talk[-1] = {"role": "assistant", "content": rejected[-1]["content"]}
        lines.append(json.dumps({"messages": talk}))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "rows.jsonl"
        text = "\n".join(lines)
        if view == "plain":
            text = pl.Series([text]).str.replace_all(CALCULATIONS, "")[0]
        copy.write_text(text, "utf-8")
        return with_text(read([str(copy)]).records)


def fired(records: pl.DataFrame) -> pl.DataFrame:
    """`id`, `index`, `reason`, `evidence` of everything that fires, with the default limits."""
    measures = Quality().measure(records)
    rows = records.select("id").with_row_index("index")
    free = [reason for reason in REASONS if RULES[reason].rule_set is None]
    found = [rows.clear().with_columns(reason=pl.lit(""), evidence=pl.lit(""))]
    for reason in free:
        alone = Quality(drop=(reason,), off=tuple(other for other in free if other != reason))
        verdicts = alone.judge(measures).verdicts
        at = (~verdicts["keep"]).arg_true()
        if len(at):
            texts = alone.evidence(records[at], measures[at], verdicts[at])
            found.append(rows[at].with_columns(reason=pl.lit(reason), evidence=texts))
    return pl.concat(found)


def sample(height: int) -> list[int]:
    """The places of the rows that were read without regard to what fires."""
    return sorted(random.Random(SEED).sample(range(height), SAMPLE))


def show(records: pl.DataFrame, index: int, note: str) -> None:
    """One record in full."""
    row = records.row(index, named=True)
    print(f"\n{row['id']}  {note}\nASK: {row['prompt']}\nSAY: {row['response']}")


def to_read(records: pl.DataFrame, reason: str) -> list[tuple[int, str]]:
    """At most 25 rows of a reason, drawn with a seed, and their evidence."""
    hits = list(
        fired(records).filter(pl.col("reason") == reason).select("index", "evidence").iter_rows()
    )
    random.Random(SEED).shuffle(hits)
    return sorted(hits[:AT_MOST])


def precision() -> None:
    """Print the table of the page: what fires in the dumps read, and how it was judged."""
    judged = json.loads(JUDGED.read_text("utf-8"))
    lines: dict[str, list[int]] = {}
    for name, reasons in judged["judged"].items():
        records = records_of(name)
        found = fired(records)
        if name == judged["sample"]["file"]:
            _sample(records, found, reasons, judged["sample"]["missed"])
        for reason, verdicts in reasons.items():
            hits = found.filter(pl.col("reason") == reason)["id"]
            ids = set(hits)
            right, wrong = (verdicts["right"], verdicts["wrong"])
            counts = [
                len(hits),
                sum(id_ in ids for id_ in right),
                sum(id_ in ids for id_ in wrong),
                sum(id_ not in ids for id_ in right),
                sum(id_ not in ids for id_ in wrong),
            ]
            line = lines.setdefault(reason, [0] * 6)
            lines[reason] = [a + b for a, b in zip(line, [1, *counts], strict=True)]
    print(
        "\n| reason | dumps | fires | right | by default | no longer fires |\n" + "|---" * 6 + "|"
    )
    for reason in REASONS:
        if reason in lines:
            dumps, fires, right, wrong, lost, exempt = lines[reason]
            read = f"{right} of {right + wrong}"
            gone = f"{exempt} wrong, {lost} right" if exempt or lost else ""
            acts = Quality().acts(reason)
            print(f"| {reason} | {dumps} | {fires} | {read} | {acts} | {gone} |")


def held_out(folder: Path | None) -> None:
    """Print how many of the bad rows among those held out the rules name, and how many others."""
    judged = json.loads(JUDGED.read_text("utf-8"))
    print("\n| rows | read | bad | bad: dropped | bad: named | good: dropped | good: named |")
    print("|---" * 7 + "|")
    counted = [_named(fired(records_of(name)), rows) for name, rows in judged["held_out"].items()]
    _recall("rows of eight dumps", [sum(column) for column in zip(*counted, strict=True)])
    for name, public in judged["public"].items():
        if "held_out" in public and (place := _there(name, public, folder)):
            found = fired(records_of(name, place))
            _recall(f"chat rows of {name}", _named(found, public["held_out"]))


def _named(found: pl.DataFrame, rows: dict[str, Any]) -> list[int]:
    """Rows read, bad ones; of the bad and of the others those dropped, and dropped or reported."""
    read, bad = set(rows["read"]), {id_ for ids in rows["bad"].values() for id_ in ids}
    counts = [len(read), len(bad)]
    for of in (bad, read - bad):
        for actions in (("drop",), ACTS):
            hits = found.filter(
                pl.col("reason").is_in(_acting(*actions)), pl.col("id").is_in(list(of))
            )
            counts.append(hits["id"].n_unique())
    return counts


def _acting(*actions: str) -> list[str]:
    """The reasons that do one of these by default."""
    return [reason for reason in REASONS if Quality().acts(reason) in actions]


def _recall(rows: str, counts: list[int]) -> None:
    print(f"| {rows} | {' | '.join(map(str, counts))} |")


def fresh(folder: Path | None) -> None:
    """Print by reason how hits in files that had shaped no rule were judged, and what is left.

    `wrong, still` is of the files that are here. The last lines are of the rules that drop now,
    which was decided by these hits, and of the hits in the files of `READ_LAST` alone.
    """
    judged = json.loads(JUDGED.read_text("utf-8"))["public"]
    lines: dict[str, dict[str, list[int]]] = {}
    for name, public in judged.items():
        there = _there(name, public, folder)
        records = records_of(name, there) if there else None
        found = None if records is None else _named_alike(fired(records), records, public)
        if records is not None and found is not None:
            dropped = found.filter(pl.col("reason").is_in(_acting("drop")))["index"].n_unique()
            print(f"\n{name}: {records.height:,} rows, {dropped:,} of them dropped by default")
        for reason, verdicts in public["hits"].items():
            lines.setdefault(reason, {})[public["short"]] = _judged(reason, verdicts, found)
    files = [public["short"] for public in judged.values() if public["hits"]]
    print(
        f"\nFresh hits, right of those read:\n\n| reason | by default | {' | '.join(files)}", end=""
    )
    print(" | all | wrong, still |\n" + "|---" * (len(files) + 4) + "|")
    for reason in REASONS:
        if reason in lines:
            _of_reason(reason, lines[reason], files)
    for title, actions, among in (
        ("all", ACTS, files),
        ("all that drop now", ("drop",), files),
        ("of these, read after the last mending", ("drop",), READ_LAST),
    ):
        of = [
            counts
            for reason in lines.keys() & _acting(*actions)
            for file, counts in lines[reason].items()
            if file in among
        ]
        read, right = (sum(column) for column in list(zip(*of, strict=True))[:2])
        low, high = wilson(right, read)
        print(f"{title}: {right} of {read}, {right / read:.1%} (95 %: {low:.1%} to {high:.1%})")


def _of_reason(reason: str, of: dict[str, list[int]], files: list[str]) -> None:
    cells = [f"{of[file][1]} of {of[file][0]}" if file in of else "" for file in files]
    read, right, _, wrong = (sum(column) for column in zip(*of.values(), strict=True))
    cells += [f"{right} of {read}", str(wrong)]
    print(f"| {reason} | {Quality().acts(reason)} | {' | '.join(cells)} |")


def wilson(right: int, read: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval for a share, of 95 % by default."""
    share, extra = right / read, z * z / read
    middle = (share + extra / 2) / (1 + extra)
    half = z * math.sqrt(share * (1 - share) / read + extra / (4 * read)) / (1 + extra)
    return middle - half, middle + half


def _named_alike(
    found: pl.DataFrame, records: pl.DataFrame, public: dict[str, Any]
) -> pl.DataFrame:
    """Hits by the name that their judgements use: an id, or the line of a file."""
    names = [name for sides in public["hits"].values() for side in sides.values() for name in side]
    if not any(name.startswith("line ") for name in names):
        return found
    lines = pl.format("line {}", records["line"].gather(found["index"]))
    return found.with_columns(id=pl.select(lines).to_series())


def _judged(reason: str, verdicts: dict[str, list[str]], found: pl.DataFrame | None) -> list[int]:
    """Hits read and right ones; of the right and the wrong those that fire today, 0 if unknown."""
    right, wrong = verdicts["right"], verdicts["wrong"]
    ids = set() if found is None else set(found.filter(pl.col("reason") == reason)["id"])
    still = [sum(id_ in ids for id_ in side) for side in (right, wrong)]
    return [len(right) + len(wrong), len(right), *still]


def _there(name: str, public: dict[str, Any], folder: Path | None) -> Path | None:
    """The folder that a public file is in; says so if it is not here."""
    for place in (folder, DATA):
        if place is not None and (place / name).exists():
            return place
    print(f"\n{name} is not here ({public['from']}); --public FOLDER judges its rows anew")
    return None


def _sample(
    records: pl.DataFrame,
    found: pl.DataFrame,
    judged: dict[str, dict[str, list[str]]],
    missed: dict[str, list[str]],
) -> None:
    ids = records["id"].gather(sample(records.height)).to_list()
    inside = found.filter(pl.col("id").is_in(ids))
    print(f"{len(ids)} rows of {FILE}:")
    for reason, count in inside.group_by("reason").len().sort("reason").iter_rows():
        right = sum(id_ in ids for id_ in judged[reason]["right"])
        print(f"  {reason} fires on {count}, {right} of them rightly")
    for kind, rows in missed.items():
        print(f"  missed, {kind}: {sum(id_ in ids for id_ in rows)}")


def cost(rows: int) -> None:
    """Print seconds of CPU to measure and judge rows of ordinary length."""
    from rows import write_sharegpt

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_sharegpt(path, rows, SEED)
        records = with_text(read([str(path)]).records)
    started = time.process_time()
    step = Quality()
    step.judge(step.measure(records))
    print(f"\n{rows:,} rows: {time.process_time() - started:.1f} s of CPU")


def main() -> None:
    """Print rows to read, or what the reading gave and what the rules cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read", choices=list(REASONS), help="print rows of this reason")
    parser.add_argument("--sample", action="store_true", help="print random rows")
    parser.add_argument("--file", default=FILE, help="a dump, as quality_read.json names it")
    parser.add_argument("--public", type=Path, help="a folder with the public files")
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    need(DATA)
    if options.read or options.sample:
        records = records_of(options.file)
        if options.read:
            for index, evidence in to_read(records, options.read):
                show(records, index, evidence)
        else:
            for index in sample(records.height):
                show(records, index, "")
        return
    precision()
    fresh(options.public)
    held_out(options.public)
    cost(options.rows)


if __name__ == "__main__":
    main()
