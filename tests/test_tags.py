from __future__ import annotations

from typing import Any

import pytest

from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.selection.filter import Select
from filters.selection.tags import built_in_tags, given_tags


def test_the_built_in_tagger_knows_requests_topics_and_shapes(conversation: Any) -> None:
    records = conversation(
        ("Write a Python function that reads a CSV with pandas.", "ok"),
        ("Please summarize this article in 3 sentences:\n\nThe market fell.", "ok"),
        ("Who painted the Mona Lisa?", "Leonardo"),
        ("hm", "ok"),
    )
    found = built_in_tags(records).to_list()
    assert found[0] == ["ask:write", "form:table", "topic:programming", "topic:python"]
    assert found[1] == [
        "ask:summarise",
        "form:essay",
        "length:count",
        "shape:input",
        "topic:economy",
    ]
    assert found[2] == ["ask:who_when_where"]
    assert found[3] == []


def test_one_word_among_many_is_no_topic(conversation: Any) -> None:
    filler = " ".join(f"w{number}" for number in range(40))
    records = conversation((f"{filler} python", "ok"), (f"{filler} python pandas", "ok"))
    assert built_in_tags(records).to_list() == [[], ["topic:python"]]


def test_tags_of_a_field_are_texts_objects_or_one_text_with_commas(conversation: Any) -> None:
    records = conversation(
        ("a", "x"),
        ("b", "x"),
        ("c", "x"),
        ("d", "x"),
        ("e", "x"),
        meta=[
            '{"tags": ["Math", "algebra", "math"]}',
            '{"tags": [{"tag": "code", "explanation": "..."}, 7]}',
            '{"tags": "poetry, Rhyme,"}',
            '{"tags": 3}',
            None,
        ],
    )
    assert given_tags(records, "tags").to_list() == [
        ["algebra", "math"],
        ["code"],
        ["poetry", "rhyme"],
        [],
        [],
    ]


def test_a_field_without_tags_is_an_error_that_says_what_to_do(conversation: Any) -> None:
    with pytest.raises(CurateError, match="none of 1 rows has a tag; name another field in tags"):
        judge(Select(method="tags", tags="absent"), conversation(("Write a poem", "x")))


def test_rows_with_most_tags_come_first_if_they_bring_a_new_one(conversation: Any) -> None:
    records = conversation(
        *[(f"q{row}", "x") for row in range(5)],
        meta=[
            '{"t": ["a", "b"]}',
            '{"t": ["a", "b", "c"]}',
            '{"t": ["c", "a"]}',
            '{"t": ["d"]}',
            "{}",
        ],
    )
    found = judge(Select(method="tags", tags="t", budget=2), records).verdicts
    assert found["keep"].to_list() == [False, True, False, True, False]
    assert found["reason"].to_list()[4] == "no_tags"
    assert found["evidence"][1] == "round 1: 3 tags, brings a, b, c"
    assert found["evidence"][0] == "2 tags"
