"""Rows in the shape of each format, changed: none is lost, and no word of one without a count.

Words of the rows are marked with numbers of their own, so that each can be looked for in what was
read. The same rows, many times over, take another way through the readers and must be read alike.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.sources import Dump, ReadOptions, read_rows
from curate.sources.about import is_about
from curate.sources.formats import GATHERED
from curate.sources.formats.channels import EMPTY, SERVICE
from fuzz.contract import Case, Fault, Fuzzer
from fuzz.seeds import TOGETHER, Rows, names, published, real
from fuzz.values import mutated_often

WORD = re.compile(r"\b(Hi|Hello|Hey|No)\b")
MARK = re.compile(r"zq\d+z")
COPIES = 20  # more than rows that are read together
OPTIONS: tuple[dict[str, Any], ...] = (
    *([{}] * 8),
    {"answerer": "U2"},
    {"paths": "all"},
    {"paths": "2"},
    {"undesirable": True},
    {"format": "any"},
)


def make(chance: random.Random) -> Case:
    """Some rows, and how they are to be read."""
    seeds = published()
    name = chance.choice(list(seeds))
    if real() and chance.random() < 0.15:
        rows: Rows = [mutated_often(chance, row, names()) for row in chance.choice(real())]
    else:
        like = seeds[name] if name in TOGETHER else seeds[name][:1] * 9 + seeds[name][1:] * 2
        rows = [mutated_often(chance, row, names()) for row in like]
    if chance.random() < 0.2:  # of several formats at once
        other = chance.choice(seeds[chance.choice(list(seeds))])
        rows.append({**other, **rows[0]} if isinstance(rows[0], dict) else other)
    options = dict(chance.choice(OPTIONS))
    if "format" in options:
        options["format"] = name if name not in GATHERED else "messages"
    return {"rows": marked(rows), "options": options, "many": chance.random() < 0.3}


def marked(rows: Rows) -> Rows:
    """The rows with a number of its own for each word that is somebody's."""
    count = iter(range(10**9))

    def one(value: Any) -> Any:
        if isinstance(value, str):
            return WORD.sub(lambda found: f"{found[0]} zq{next(count)}z", value)
        if isinstance(value, dict):
            return {key: one(each) for key, each in value.items()}
        return [one(each) for each in value] if isinstance(value, list) else value

    return [one(row) for row in rows]


def check(case: Case, folder: Path) -> str:
    """Read the rows alone and many times over."""
    rows, options = case["rows"], ReadOptions(**case["options"])
    dump = read_rows(rows, options)
    gathered = is_gathered(dump, rows)
    check_conserved(dump, len(rows), gathered)
    check_words(dump, rows)
    if case["many"] and not gathered:
        check_many(dump, rows, options)
    return "with records" if dump.height else "rejects alone"


def is_gathered(dump: Dump, rows: Rows) -> bool:
    """Whether rows were joined, so that a line may be in the conversation of another."""
    joined = any(
        isinstance(row, dict) and any(matches(row) for matches, _ in GATHERED.values())
        for row in rows
    )
    return joined or "orphan" in dump.files[0].rejects or "several-people" in dump.files[0].formats


def check_conserved(dump: Dump, count: int, gathered: bool) -> None:
    """Raise `Fault` unless each row is a record or a reject."""
    records, rejects = set(dump.records["line"]), set(dump.rejects["line"])
    if dump.read != dump.height + dump.rejected:
        raise Fault("read is not records and rejects")
    if not gathered and records | rejects != set(range(1, count + 1)):
        raise Fault(f"a row is in no place: lines {sorted(records | rejects)} of {count}")
    if not gathered and records & rejects:
        raise Fault(f"a row is both record and reject: lines {sorted(records & rejects)}")


def check_words(dump: Dump, rows: Rows) -> None:
    """Raise `Fault` for words that are neither said, nor in the raw text of a reject, nor counted.

    What is left over is counted by field, and stays beside the record where it fits.
    """
    said = json.dumps(dump.records.drop("meta").to_dicts(), ensure_ascii=False, default=str)
    raw = "".join(text or "" for text in dump.rejects["raw"])
    given = {mark for text in _texts(rows) for mark in MARK.findall(text)}
    report = dump.files[0]
    if "kept" in report.formats:
        return  # what an earlier run left over was said then
    if any(note in raw or note in report.notes for note in (SERVICE, EMPTY)):
        return  # messages that are not looked into, and a sentence says so
    unsaid = given - set(MARK.findall(said + raw))
    counted = sum(left.words for left in report.leftovers.values())
    if len(unsaid) > counted:
        formats = ", ".join(sorted(report.formats)) or "no format"
        raise Fault(
            f"words go unseen ({formats}): {sorted(unsaid)}, of which {counted} are counted"
        )


def _texts(rows: Rows) -> Iterator[str]:
    """The texts of rows, but for ids, scores, names of languages and the like."""
    waiting: list[Any] = [rows]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += (each for key, each in value.items() if not is_about(str(key)))
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            yield value


def check_many(dump: Dump, rows: Rows, options: ReadOptions) -> None:
    """Raise `Fault` where a row is read in other company as something else."""
    at = len(rows) // 2
    company = [rows[at]] * COPIES
    many = read_rows(company, options)
    check_conserved(many, COPIES, False)
    alone = of_line(dump, at + 1)
    for others in (of_line(many, 1), of_line(many, COPIES)):
        if others != alone:
            raise Fault(f"a row is read otherwise in company: {alone} and {others}")


def of_line(dump: Dump, line: int) -> list[dict[str, Any]]:
    """The records of a line, but for where they stand."""
    own = [row for row in dump.records.iter_rows(named=True) if row["line"] == line]
    return [row | {"row": 0, "line": 0} for row in own]


def size(case: Case) -> int:
    """How many rows were changed."""
    return len(case["rows"])


FUZZER = Fuzzer(make, check, size)
