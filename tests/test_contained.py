"""Whatever goes wrong in the reader of a format costs one row, and is said as a fault of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from curate.sources import Dump, ReadOptions, read_rows
from curate.sources.bulk import BULK
from curate.sources.formats import FORMATS, GATHERED, Format
from curate.sources.shared.convert import Conversation, Joined, assistant, user

ROW = {"instruction": "Add.", "output": "3"}
POISON = {"poison": {"bottle": [1, {"label": "skull"}]}}
# Enough around it to be read together, in pieces, and one by one.
MANY = [ROW] * 40


def read_beside(row: Any) -> Dump:
    return read_rows([*MANY, row, *MANY])


def notes(dump: Dump) -> dict[str, int]:
    return dump.files[0].notes


def with_format(
    monkeypatch: pytest.MonkeyPatch, name: str, fails: Callable[[Any], object], *, at_once: bool
) -> None:
    """Let one format fail at rows with poison: when it is asked, or when it converts."""
    formats = ReadOptions.formats

    def matches(row: Any) -> bool:
        if at_once and "poison" in row:
            fails(row)
        return "poison" in row or FORMATS[name].matches(row)

    def convert(row: Any) -> list[Conversation]:
        if "poison" in row:
            fails(row)
        return FORMATS[name].convert(row)

    def with_one(options: ReadOptions) -> dict[str, Format]:
        return formats(options) | {name: Format(matches, convert)}

    monkeypatch.setattr(ReadOptions, "formats", with_one)


def adds_text(row: Any) -> object:
    return row["poison"]["bottle"][1].get("label") + 1


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_an_error_in_a_converter_is_a_reject_that_names_format_field_and_error(
    monkeypatch: pytest.MonkeyPatch, name: str, at_once: bool
) -> None:
    with_format(monkeypatch, name, adds_text, at_once=at_once)
    dump = read_beside(POISON)
    assert (dump.height, dump.rejected, dump.read) == (80, 1, 81)
    assert dump.rejects["reason"].to_list() == [
        f"wrong_type: poison.bottle[1].label is not as format {name} expects it (TypeError: can "
        'only concatenate str (not "int") to str)'
    ]
    assert dump.rejects["line"].to_list() == [41]
    said = f"rows that the reader of format {name} did not foresee at `poison` (TypeError)"
    assert [count for note, count in notes(dump).items() if note.startswith(said)] == [1]


ERRORS = (KeyError("a"), IndexError(0), RecursionError("deep"), OverflowError(1), ValueError(2))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_of_any_kind_are_contained_and_one_sentence_counts_all_rows(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(row: Any) -> object:
        raise error

    with_format(monkeypatch, "langsmith", fails, at_once=False)
    dump = read_rows([{"poison": number} for number in range(50)] + MANY)
    assert (dump.height, dump.rejected) == (40, 50)
    (said,) = [count for note, count in notes(dump).items() if "did not foresee" in note]
    assert said == 50
    assert set(dump.files[0].rejects) == {"wrong_type"}


def test_memory_that_is_not_there_is_no_fault_of_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(row: Any) -> object:
        raise MemoryError

    with_format(monkeypatch, "langsmith", fails, at_once=False)
    with pytest.raises(MemoryError):
        read_beside(POISON)


ALIKE: dict[str, Any] = {
    "messages": {"messages": [user("Hi"), assistant("Hello")]},
    "sharegpt": {
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "a"}]
    },
    "alpaca": ROW,
    "prompt-completion": {"prompt": "Hi", "completion": "Hello"},
    "judged-pair": {"instruction": "q", "response1": "a", "response2": "b", "annotator1": 1},
}


@pytest.mark.parametrize("name", BULK)
def test_an_error_in_reading_rows_together_is_said_and_they_are_read_one_by_one(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fails(rows: Any) -> Any:
        raise KeyError(name)

    rows = [ALIKE[name]] * 40
    usual = read_rows(rows)
    monkeypatch.setitem(BULK, name, fails)
    dump = read_rows(rows)
    assert dump.records.equals(usual.records) and dump.height == 40
    said = f"rows of format {name} could not be read together (KeyError)"
    assert any(note.startswith(said) for note in notes(dump))
    assert not any(note.startswith(said) for note in notes(usual))


@pytest.mark.parametrize("name", GATHERED)
def test_an_error_in_joining_rows_costs_those_that_cannot_be_taken_alone(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def gather(rows: list[tuple[int, Any]]) -> Iterator[Joined]:
        for line, row in rows:
            yield Joined(line, {**ROW, "output": row["part"].upper()})

    monkeypatch.setitem(GATHERED, name, (lambda row: "part" in row, gather))
    dump = read_rows([{"part": "a"}, {"part": 7}, {"part": "b"}, {"part": None}])
    assert [messages[-1]["content"] for messages in dump.records["messages"]] == ["A", "B"]
    assert (dump.height, dump.rejected) == (2, 2)
    assert dump.rejects["line"].to_list() == [2, 4]
    for reason in dump.rejects["reason"]:
        assert reason.startswith(f"wrong_type: part is not as format {name} expects it (Attribute")


def test_rows_that_can_be_joined_alone_but_not_together_are_all_rejects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gather(rows: list[tuple[int, Any]]) -> Iterator[Joined]:
        assert len(rows) < 2, "too many"
        yield Joined(rows[0][0], ROW)

    monkeypatch.setitem(GATHERED, "slack", (lambda row: "part" in row, gather))
    dump = read_rows([{"part": "a"}, {"part": "b"}, ROW])
    assert (dump.height, dump.rejected) == (1, 2)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": 5},
        {"role": None, "content": "a"},
        {"role": "assistant", "content": "a", "reasoning": ["b"]},
        {"role": "assistant", "content": "a", "tool_call_id": 7},
    ],
)
def test_a_conversation_that_no_column_could_hold_costs_one_row_and_not_its_neighbours(
    monkeypatch: pytest.MonkeyPatch, message: Any
) -> None:
    formats = ReadOptions.formats
    odd = Format(lambda row: "poison" in row, lambda row: [Conversation([message], ())])
    monkeypatch.setattr(ReadOptions, "formats", lambda options: {"odd": odd, **formats(options)})
    dump = read_beside(POISON)
    assert (dump.height, dump.files[0].rejects) == (80, {"wrong_type": 1})
