"""Rows read all together, split over files, or one by one give the same records and counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.sources import Dump, read, read_rows

Row = dict[str, Any]

WORDS = st.sampled_from(
    (
        "Hi",
        "Hello there",
        "",
        " ",
        "What is 2 + 2?",
        '{"topic": "boats"}',
        "[1] and more",
        "<noinput>",
        *("Human: a\n\nAssistant: b", '[{"role": "user", "content": "Hi"}]', "Straße 🙂", "a\tb\n"),
    )
)
SAID = WORDS.filter(str.strip)
ODD = st.one_of(
    st.none(), WORDS, st.sampled_from((0, 1, 0.5, True, False, [], {}, ["a", "b"], {"text": "x y"}))
)
BESIDE = st.dictionaries(
    st.sampled_from(
        (
            *("source", "score", "category", "topic", "label", "system", "tools", "history"),
            *("request", "chat", "weight", "id", "remark", "chosen", "rejected_response"),
        )
    ),
    ODD,
    max_size=2,
)


def turns(speaker: str, text: str, names: tuple[str, str]) -> st.SearchStrategy[list[Row]]:
    """A question and an answer, or two of each; sometimes with a weight, or as parts."""
    weight = st.sampled_from(
        ({}, {"weight": 1}, {"weight": 0.5}, {"loss_weight": 0}, {"train": "no"})
    )

    def turn(name: str) -> st.SearchStrategy[Row]:
        part = st.one_of(SAID, SAID.map(lambda said: [{"type": "text", "text": said}]))
        return st.builds(
            lambda said, more: {speaker: name, text: said, **more},
            part if text == "content" else SAID,
            weight,
        )

    pair = st.tuples(turn(names[0]), turn(names[1])).map(list)
    return st.one_of(pair, st.tuples(pair, pair).map(lambda two: two[0] + two[1]))


PLAIN = st.one_of(
    st.fixed_dictionaries({"instruction": SAID, "input": WORDS, "output": WORDS}),
    st.fixed_dictionaries({"prompt": SAID, "completion": WORDS}),
    st.fixed_dictionaries({"question": SAID, "answer": WORDS, "source": WORDS}),
    turns("role", "content", ("user", "assistant")).map(lambda said: {"messages": said}),
    turns("from", "value", ("human", "gpt")).map(lambda said: {"conversations": said}),
    st.fixed_dictionaries(
        {
            "instruction": SAID,
            "output_1": WORDS,
            "output_2": WORDS,
            "preference": st.sampled_from((1, 2.0, 1.5, 0, None)),
            "dataset": WORDS,
        }
    ),
    st.fixed_dictionaries({"prompt": SAID, "chosen": SAID, "rejected": SAID}),
)
# Runs of like rows are what is taken together, so most rows come many times.
RUNS = st.tuples(PLAIN, BESIDE, st.sampled_from((1, 2, 17, 40))).map(
    lambda run: [{**run[0], **run[1]} for _ in range(run[2])]
)


@st.composite
def rows_of_all_kinds(draw: st.DrawFn) -> list[Row]:
    """Runs of rows, some values of which are others than in the rest of their run."""
    rows = [row for run in draw(st.lists(RUNS, min_size=1, max_size=4)) for row in run]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(rows) - 1))
        rows[at] = {**rows[at], draw(st.sampled_from(list(rows[at]))): draw(ODD)}
    return rows


def outcome(dumps: Sequence[Dump]) -> dict[str, Any]:
    """All that was read, with what files count added up."""
    notes, words, rows, formats = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for file in (file for dump in dumps for file in dump.files):
        notes.update(file.notes)
        formats.update(file.formats)
        words.update({name: left.words for name, left in file.leftovers.items()})
        rows.update({name: left.rows for name, left in file.leftovers.items()})
    records = [
        row for dump in dumps for row in dump.records.drop("row", "source", "line").to_dicts()
    ]
    rejects = [row for dump in dumps for row in dump.rejects.select("reason", "raw").rows()]
    counted = {"notes": notes, "words": words, "rows": rows, "formats": formats}
    return {"records": records, "rejects": rejects, **counted}


def one_by_one(rows: Sequence[Row]) -> list[Dump]:
    """Each row as a file of its own; equal ones are read once."""
    known: dict[str, Dump] = {}
    for text in map(json.dumps, rows):
        if text not in known:
            known[text] = read_rows([json.loads(text)])
    return [known[json.dumps(row)] for row in rows]


@settings(max_examples=60, deadline=None)
@given(rows_of_all_kinds())
def test_rows_read_together_are_what_they_are_one_by_one(rows: list[Row]) -> None:
    assert outcome([read_rows(rows)]) == outcome(one_by_one(rows))


@settings(max_examples=40, deadline=None)
@given(rows_of_all_kinds(), st.lists(st.integers(0, 160), max_size=3), st.booleans())
def test_rows_split_over_files_are_what_they_are_in_one(
    rows: list[Row], cuts: list[int], is_array: bool
) -> None:
    ends = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    with TemporaryDirectory() as folder:
        names = []
        for number, (start, end) in enumerate(pairwise(ends)):
            names.append(f"{folder}/{number}.jsonl")
            text = "\n".join(map(json.dumps, rows[start:end]))
            if is_array:
                text = json.dumps(rows[start:end], indent=1)
            Path(names[-1]).write_text(text)
        split = outcome([read(names)])
    whole = outcome([read_rows(rows)])
    assert {**split, "rejects": [why for why, _ in split["rejects"]]} == {
        **whole,
        "rejects": [why for why, _ in whole["rejects"]],
    }


BY_ROW = {"role": "assistant", "content": "No."}


@pytest.mark.parametrize(
    ("plain", "field", "value", "format_of_it"),
    [
        ({"instruction": "a", "output": "b"}, "rejected_response", "No.", "rejected-beside"),
        ({"prompt": "a", "completion": "b"}, "rejected_messages", [BY_ROW], "rejected-beside"),
        (
            {"instruction": "a", "output": "b"},
            "request",
            {"messages": [{"role": "user", "content": "a"}]},
            "api-log",
        ),
    ],
)
def test_a_field_that_one_row_alone_fills_is_not_lost_among_rows_that_leave_it_empty(
    plain: Row, field: str, value: Any, format_of_it: str
) -> None:
    rows = [{**plain, field: None}] * 20 + [{**plain, field: value}] + [{**plain, field: None}] * 20
    assert read_rows(rows).files[0].formats[format_of_it] == 1


def test_turns_as_json_text_are_taken_apart_in_one_row_of_many() -> None:
    plain = {"instruction": "a", "output": "b", "chat": None}
    text = '[{"role": "user", "content": "a"}]'
    dump = read_rows([plain] * 20 + [{**plain, "chat": text}])
    assert dump.files[0].notes == {"`chat` holds the turns as JSON text": 1}


def test_weights_of_turns_are_kept_when_many_rows_are_taken_together() -> None:
    turns = [
        {"from": "human", "value": "a", "weight": 0},
        {"from": "gpt", "value": "b", "weight": 2},
    ]
    dump = read_rows([{"conversations": turns}] * 20)
    assert [[turn["weight"] for turn in row] for row in dump.records["messages"]] == [[0, 2]] * 20


def test_ties_among_judged_pairs_are_counted_and_lose_their_second_answer_to_the_meta() -> None:
    pair = {"instruction": "a", "output_1": "one", "output_2": "two"}
    dump = read_rows([{**pair, "preference": 1 + number % 2 / 2} for number in range(40)])
    assert dump.files[0].notes == {"a tie: the first answer is taken, and none is rejected": 20}
    assert dump.records["rejected"].null_count() == 20 and "two" in dump.records["meta"][1]
    assert dump.files[0].leftovers["output_2"].rows == 20


def test_a_row_that_another_format_reads_by_a_list_is_not_taken_with_its_neighbours() -> None:
    plain = {"prompt": "Who?", "completion": "Me.", "extra": None}
    answered = [{"user_id": 1, "value": "A better answer.", "status": "submitted"}]
    odd = {**plain, "extra": answered}
    alone, among = read_rows([odd]), read_rows([plain] * 40 + [odd] + [plain] * 40)
    assert among.records.height == 80 + alone.records.height
    assert among.rejects["reason"].to_list() == alone.rejects["reason"].to_list()
