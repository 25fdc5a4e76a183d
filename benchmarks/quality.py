"""How often each quality reason is right, by rows that were read whole, and what it costs.

`--read REASON` prints rows of a reason for reading, `--sample` 200 random rows, both in full. The
judgements stand in `quality_read.json`: per dump and reason the ids of records that were judged
right and wrong, and per kind those of the 200 that are bad though no rule that acts says so; no
text. `held_out` names rows of several dumps that were drawn and read before the last rules were
tried on them, and those that are bad. Without either option it prints the table of those
judgements by today's rules, what fired in the 200 rows, how many of the bad rows that were held
out the rules name, and the seconds of CPU over `--rows` rows.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

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
CALCULATIONS = r"<<[^>]*>>"  # GSM8K's test set repeats each sum in these


def records_of(name: str) -> pl.DataFrame:
    """The records of a dump; `NAME#rejected` are its other answers, `NAME#plain` has plain sums."""
    path, _, view = name.partition("#")
    records = read([str(DATA / path)]).records
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


def held_out() -> None:
    """Print how many of the bad rows among those held out the rules name, and how many others."""
    held = json.loads(JUDGED.read_text("utf-8"))["held_out"]
    totals = {"read": 0, "bad": 0} | {f"{act} {of}": 0 for act in ACTS for of in ("bad", "good")}
    for name, rows in held.items():
        found = fired(records_of(name)).filter(pl.col("id").is_in(rows["read"]))
        bad = {id_ for ids in rows["bad"].values() for id_ in ids}
        totals["read"] += len(rows["read"])
        totals["bad"] += len(bad)
        for act in ACTS:
            acting = [reason for reason in REASONS if Quality().acts(reason) == act]
            hits = found.filter(pl.col("reason").is_in(acting)).sort("id", "reason")
            ids = set(hits["id"])
            totals[f"{act} bad"] += len(ids & bad)
            totals[f"{act} good"] += len(ids - bad)
            for id_, reason, evidence in hits.select("id", "reason", "evidence").iter_rows():
                verdict = "bad" if id_ in bad else "good"
                print(f"  {name} {id_}: {act} {reason} on a {verdict} row: {evidence}")
    print(f"{totals['read']} rows held out, {totals['bad']} of them bad:")
    for act in ACTS:
        print(f"  {act}: {totals[f'{act} bad']} bad, {totals[f'{act} good']} good")


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
    held_out()
    cost(options.rows)


if __name__ == "__main__":
    main()
