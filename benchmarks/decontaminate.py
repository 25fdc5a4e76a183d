"""What n-grams and vectors find of test rows: word for word, rephrased, and judged by people.

`DATA` is the folder of test data (default: CURATE_TEST_DATA). `--model` names a
sentence-transformers folder to set beside the built-in encoder; `--choices` a file of
multiple-choice questions to plant too; `--rows` times a made-up set of that size.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parent))

from decontaminate_planted import CHANGES, OTHERS, Asked, long_items, short_items, write
from near import records as records_of
from rows import DATA, need, texts

from curate import sources
from curate.base.schema import with_text
from curate.pipeline.judging import judge
from curate.sources.evaluations import questions
from filters.common.vectors import embed
from filters.decontaminate.filter import Decontaminate

COSINES = (0.6, 0.7, 0.8, 0.9)
ALONE = "the short question alone"
Rows = list[tuple[str, str]]


def read(paths: Any) -> pl.DataFrame:
    return with_text(sources.read(list(paths)).records)


def asked(records: pl.DataFrame, against: str, **settings: Any) -> tuple[int, int]:
    """Records dropped, and evaluation rows found."""
    step: Any = Decontaminate(against=(against,), **settings).bind(read)
    _, verdicts, findings = judge(step, records)
    return int((~verdicts["keep"]).sum()), int(findings.numbers["evaluations"][0]["hit"])


def gsm8k(data: Path, encoders: dict[str, str]) -> None:
    test = str(data / "eval/gsm8k_test.jsonl")
    train = read([str(data / "raw/gsm8k_train_alpaca.json")])
    rephrased = read([str(data / "eval/gsm8k_test_rephrased.jsonl")])
    print("rule                     train rows dropped   rephrased test rows found (of 1,319)")
    for rule in ("tulu3", "ngram13"):
        dropped, found = asked(train, test, rule=rule)[0], asked(rephrased, test, rule=rule)[1]
        print(f"{rule:24} {dropped:18,} {found:22,}")
    theirs_text = read([test])["prompt"]
    for name, encoder in encoders.items():
        theirs = embed("benchmark", encoder, theirs_text)
        best = {}
        for side, records in (("train", train), ("rephrased", rephrased)):
            best[side] = embed("benchmark", encoder, records["prompt"]) @ theirs.T
        own = np.diag(best["rephrased"])
        for cosine in COSINES:
            dropped = int((best["train"].max(axis=1) >= cosine).sum())
            print(f"{f'{name} {cosine}':24} {dropped:18,} {int((own >= cosine).sum()):22,}")


def judged_pairs(data: Path, encoders: dict[str, str]) -> None:
    """Pairs of a HumanEval solution and a CodeAlpaca one that a judge called the same or not."""
    lines = (data / "eval/code_alpaca_contamination.jsonl").read_text("utf-8").splitlines()
    pairs = [
        (row["test"], train, same)
        for row in map(json.loads, lines)
        for train, same in zip(row["train"], row["results"], strict=True)
    ]
    same = np.array([pair[2] for pair in pairs], bool)
    print(f"\n{len(pairs)} judged pairs of code, {same.sum()} the same: found, of them the same")
    for rule, (size, share) in {"tulu3": (8, 0.5), "ngram13": (13, 0.0)}.items():
        from filters.decontaminate.index import Index

        index = Index(
            pl.Series([pair[0] for pair in pairs]),
            size,
            share,
            False,
            False,
            pl.Series([], dtype=pl.String),
        )
        found, *_ = index.find(pl.Series([pair[1] for pair in pairs]))
        hit = np.zeros(len(pairs), bool)
        hit[found.text[found.text == found.item]] = True
        print(f"{rule:24} {hit.sum():4} {(hit & same).sum():4}")
    for name, encoder in encoders.items():
        left, right = (
            embed("benchmark", encoder, pl.Series([pair[side] for pair in pairs]))
            for side in (0, 1)
        )
        cosines = (left * right).sum(axis=1)
        for cosine in COSINES:
            hit = cosines >= cosine
            print(f"{f'{name} {cosine}':24} {hit.sum():4} {(hit & same).sum():4}")


def asked_in(paths: Any, columns: Any = None) -> pl.DataFrame:
    return with_text(questions.read(list(paths), columns or {}, "columns").records)


def planted(data: Path, choices: str | None) -> None:
    """A table of what is found of planted rows: by the rule alone, with `edited`, and of how many.

    A set with choices has two columns: rows with the choices, and rows with the answer instead.
    """
    sets = long_items(data) | {"short questions": short_items(data)}
    if choices:
        given = asked_in([choices]).select("prompt", "response", "choices").iter_rows()
        sets[Path(choices).name] = [Asked(*row[:2], tuple(row[2])) for row in given]
    columns: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, items in sets.items():
            path = Path(folder) / f"{name}.jsonl"
            write(items, path)
            count = f"{name} ({len(items):,})"
            columns[count] = _found(str(path), items, lambda item: (item.shown, "Yes."))
            if items[0].choices:
                columns[f"{count}, answered"] = _found(
                    str(path), items, lambda item: (item.prompt, item.answer)
                )
    print("\nplanted: found by the rule, with edited, of")
    print("\n".join(_markdown(columns, [*CHANGES, *OTHERS, ALONE])))


def _found(
    path: str, items: Sequence[Asked], row_of: Callable[[Asked], tuple[str, str]]
) -> dict[str, str]:
    """A cell for each change."""
    cells = {}
    for title, change in CHANGES.items():
        chance = random.Random(0)
        rows = [row_of(item) for item in items]
        made = [(change(chance, prompt), answer) for prompt, answer in rows]
        as_it_is = change is CHANGES["as it is"]
        cells[title] = _cell(path, made if as_it_is else _changed(rows, made))
    for title, change in OTHERS.items():
        other = [item._replace(prompt=change(random.Random(0), item.prompt)) for item in items]
        rows = [row_of(item) for item in items]
        cells[title] = _cell(path, _changed(rows, [row_of(item) for item in other]))
    if items[0].choices:
        cells[ALONE] = _cell(path, [(item.prompt, "That depends.") for item in items])
    return cells


def _changed(rows: Rows, made: Rows) -> Rows:
    """The rows that a change touches."""
    return [new for new, old in zip(made, rows, strict=True) if new != old]


def _cell(path: str, rows: Rows) -> str:
    told = [(f"Please answer: {prompt}", answer) for prompt, answer in rows]
    found = []
    for edited in (False, True):
        step: Any = Decontaminate(against=(path,), edited=edited).bind(asked_in)
        found.append(int((~judge(step, records_of(told)).verdicts["keep"]).sum()))
    return f"{found[0]}, {found[1]} of {len(rows)}"


def unplanted(data: Path) -> None:
    """What `edited` adds where nothing was planted; each hit is printed, to be read.

    All dumps against the test sets, and the prompts of up to 25 words of the Alpaca dumps against
    the other dumps and the reverse.
    """
    dumps = read(sorted(str(path) for path in (data / "raw").iterdir()))
    paths = [
        str(path) for path in sorted((data / "eval").iterdir()) if "code_alpaca" not in str(path)
    ]
    print(f"\nall dumps, {dumps.height:,} rows, against {len(paths)} test sets")
    _added(dumps, *paths)
    is_alpaca = pl.col("source").str.contains("raw/alpaca")
    with tempfile.TemporaryDirectory() as folder:
        for title, where in (("other dumps", is_alpaca), ("Alpaca", ~is_alpaca)):
            pairs = dumps.filter(where).unique("prompt", maintain_order=True)
            asked = pairs.select("prompt", "response").iter_rows()
            path = Path(folder) / "asked.jsonl"
            write([Asked(*pair) for pair in asked if 1 < len(pair[0].split()) <= 25], path)
            rows = dumps.filter(~where).with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32))
            print(f"{title}, {rows.height:,} rows, against prompts of the others")
            _added(rows, str(path))


def _added(rows: pl.DataFrame, *against: str) -> None:
    step: Any = Decontaminate(against=against).bind(asked_in)
    found = judge(step, rows).verdicts.filter(~pl.col("keep"))
    added = found["reason"].is_in(["evaluation_edited", "evaluation_question"])
    print(f"  {len(found) - added.sum():,} by the rule or equal, {added.sum():,} more")
    for line in found.filter(added)["evidence"]:
        print(f"    {line[:200]}")


def _markdown(columns: dict[str, dict[str, str]], titles: list[str]) -> list[str]:
    lines = [["", *columns], ["---", *["---"] * len(columns)]]
    lines += [[title, *(cells.get(title, "") for cells in columns.values())] for title in titles]
    return [f"| {' | '.join(line)} |" for line in lines]


def timed(data: Path, count: int) -> None:
    folder = str(data / "eval/gsm8k_test.jsonl")
    rows = [
        {"role": "user", "content": prompt + " " + answer} for prompt, answer in texts(0, count)
    ]
    records = pl.DataFrame(
        {
            "row": pl.Series(range(count), dtype=pl.UInt32),
            "id": [f"{row:016x}" for row in range(count)],
            "source": "made up",
            "score": None,
            "category": None,
            "messages": [[{**row, "tool_calls": None}] for row in rows],
        },
        schema_overrides={"messages": read([folder]).schema["messages"]},
    ).with_columns(prompt=pl.lit(""), response=pl.lit(""))
    size = sum(len(row["content"]) for row in rows) / 1e6
    for rule in ("tulu3", "ngram13"):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        asked(records, folder, rule=rule)
        spent = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
        print(f"{count:,} rows, {size:.0f} MB, {rule}: {spent:.1f} s of user CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=DATA)
    parser.add_argument("--model", help="folder of a sentence-transformers model")
    parser.add_argument("--choices", help="a file of multiple-choice questions, to plant too")
    parser.add_argument("--rows", type=int, default=0)
    given = parser.parse_args()
    need(given.data)
    encoders = {"lexical": "lexical"} | ({"model": given.model} if given.model else {})
    gsm8k(given.data, encoders)
    judged_pairs(given.data, encoders)
    planted(given.data, given.choices)
    unplanted(given.data)
    if given.rows:
        timed(given.data, given.rows)


if __name__ == "__main__":
    main()
