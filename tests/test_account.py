"""No word of a row is lost unseen: it is said, or its field is counted as left over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.report import reading
from curate.sources import Dump, ReadOptions, read_rows

QUESTION, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}


def left_over(*rows: dict[str, Any], options: ReadOptions | None = None) -> dict[str, Any]:
    """Rows and words by field of what is left over."""
    dump = read_rows(list(rows), options or ReadOptions())
    assert not dump.rejects.height, dump.rejects["reason"].to_list()
    return {name: (left.rows, left.words) for name, left in dump.files[0].leftovers.items()}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"hint": "Think of boats."}, {"hint": (1, 3)}),
        ({"hint": ""}, {}),
        ({"hint": "   "}, {}),
        ({"hint": "42"}, {}),
        ({"hint": None}, {}),
        ({"notes": ["first note", "second"]}, {"notes": (1, 3)}),
        ({"extra": {"why": "no reason at all", "n": 3}}, {"extra.why": (1, 4)}),
        ({"extra": '{"why": "no reason at all"}'}, {"extra.why": (1, 4)}),
        ({"Bemerkung": "Das ist gut."}, {"Bemerkung": (1, 3)}),
        # What is about a row is no part of what is said in it.
        ({"id": "flan zero", "url": "see https://a.b", "model_name": "a model of ours"}, {}),
        ({"link_to_it": "https://example.com/a?b=c"}, {}),
        ({"which": "3f2504e0-4f89-11d3-9a0c-0305e82c3301"}, {}),
        ({"blob": "9f86d081884c7d659a2feaa0c55ad015"}, {}),
        ({"when": "2024-05-01T10:00:00Z"}, {}),
        ({"annotator_1": "Ann", "generator_2": "gpt4 turbo"}, {}),
        # Labels are counted too, whatever stands in the messages.
        ({"topic": "boats"}, {"topic": (1, 1)}),
        ({"topic": "How a boat is built, and who builds the best of them"}, {"topic": (1, 12)}),
        ({"source": "airoboros 2.2"}, {"source": (1, 2)}),
        # What repeats the conversation is in it.
        ({"copy": "Hello"}, {}),
        ({"rendered": "<|user|>\nHi\n<|assistant|>\nHello"}, {}),
        ({"rendered": "Human: Hi\n\nAssistant: Hello there"}, {"rendered": (1, 2)}),
    ],
)
def test_what_is_beside_messages_is_said_or_about_the_row_or_left_over(
    row: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert left_over({"messages": [QUESTION, ANSWER], **row}) == expected


def test_fields_of_messages_and_of_nested_objects_are_looked_at_too() -> None:
    turn = {**ANSWER, "translation": "Guten Tag auch", "meta": {"tone": "a friendly one"}}
    assert left_over({"messages": [QUESTION, turn]}) == {
        "messages.translation": (1, 3),
        "messages.meta.tone": (1, 3),
    }


def test_a_field_that_only_some_rows_have_is_counted_in_these() -> None:
    plain = {"instruction": "Add 1 and 2.", "output": "3"}
    rows = [plain] * 40 + [{**plain, "hint": "Use your fingers"}] * 2 + [plain] * 40
    assert left_over(*rows) == {"hint": (2, 6)}


def test_many_plain_rows_are_accounted_for_as_one_row_is() -> None:
    row = {
        "prompt": "Who?",
        "completion": "Me.",
        "aside": "You and me.",
        "tag": "x",
        "x": {"a": "b c"},
    }
    assert left_over(row) == {"aside": (1, 3), "tag": (1, 1), "x.a": (1, 2)}
    assert left_over(*[row] * 100) == {"aside": (100, 300), "tag": (100, 100), "x.a": (100, 200)}


def test_labels_that_are_json_are_counted_by_their_names_in_many_rows_too() -> None:
    row = {"question": "Hi", "answer": "Hello", "source": '{"topic": "boats"}'}
    assert left_over(row) == {"source.topic": (1, 1)}
    assert left_over(*[row] * 40) == {"source.topic": (40, 40)}


def test_the_replies_of_a_tree_that_no_path_follows_are_left_over() -> None:
    def reply(text: str, rank: int) -> dict[str, Any]:
        return {"text": text, "role": "assistant", "rank": rank, "replies": []}

    tree = {
        "message_tree_id": "t",
        "prompt": {
            "text": "What is a pier?",
            "role": "prompter",
            "replies": [reply("A platform.", 0), reply("Some wood or other.", 1)],
        },
    }
    assert left_over(tree) == {"prompt.replies.text": (1, 4)}
    assert left_over(tree, options=ReadOptions(paths="all")) == {}


def test_keys_that_are_ids_do_not_make_a_name_each() -> None:
    notes = {f"k{number}": {"note": f"number {number} of many"} for number in range(500)}
    assert set(left_over({"messages": [QUESTION, ANSWER], "notes": notes})) == {"notes.note"}


def test_keys_of_a_chat_that_are_hashes_are_one_name() -> None:
    ids = [f"{number:08x}-1111-2222-3333-bbbbbbbbbbbb" for number in range(4)]
    chats = []
    for asks, answers in (ids[:2], ids[2:]):
        user = {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["Hi"]}}
        said = {"author": {"role": "assistant"}, "content": {"content_type": "text"}}
        said["content"]["parts"] = ["Hello"]
        said |= {"metadata": {"resolved_model_slug": "a fine model", "remark": "It was late."}}
        nodes = {
            "client-created-root": {"message": None, "parent": None, "children": [asks]},
            asks: {"message": user, "parent": "client-created-root", "children": [answers]},
            answers: {"message": said, "parent": asks, "children": []},
        }
        chats.append({"mapping": nodes, "current_node": answers})
    assert left_over(*chats) == {"mapping.*.message.metadata.remark": (2, 6)}


def test_a_mapped_field_is_no_longer_left_over() -> None:
    row = {"messages": [QUESTION, ANSWER], "hint": "Think of boats."}
    dump = read_rows([row], ReadOptions(columns={"context": "hint"}))
    assert dump.records["messages"][0][0]["content"] == "Think of boats.\n\nHi"
    assert not dump.files[0].leftovers


def test_the_sentence_says_how_many_rows_how_many_words_and_what_to_do() -> None:
    file = {"converted": 8, "leftovers": {"hint": {"rows": 7, "words": 287}}, "notes": {"n": 3}}
    assert reading.sentences([file]) == [
        "`hint` (88 % of rows, 41 words on average) is not part of any conversation; "
        "columns={'context': 'hint'} puts it before the question",
        "n (3 rows)",
    ]


def test_files_are_taken_together_and_a_long_list_ends() -> None:
    def file(name: str) -> dict[str, Any]:
        return {
            "converted": 4,
            "leftovers": {name: {"rows": 2, "words": 4}, "both": {"rows": 1, "words": 9}},
        }

    files = [file(f"f{number}") for number in range(9)]
    assert reading.leftovers(files)[0] == ("both", 9, 81, 36, 9, 9)
    lines = reading.sentences(files)
    assert lines[0].startswith("`both` (25 % of rows, 9 words on average)")
    assert lines[-1].startswith("and 4 more fields are not part of any conversation: `f5`, `f6`")


# The property: in rows of any shape, each marked word is said or left over under its name.
NAMES = st.sampled_from(
    (
        *("instruction", "input", "output", "prompt", "question", "query", "problem", "response"),
        *("answer", "completion", "target", "solution", "explanation", "rationale", "context"),
        *("passage", "table", "schema", "source", "document", "system", "system_prompt"),
        *("system_message", "history", "choices", "options", "text", "title", "hint", "reasoning"),
        *("thinking", "messages", "conversations", "conversation", "dialog", "tools", "functions"),
        *("chosen", "rejected", "response1", "response2", "generations", "transcript", "notes"),
        *("Question", "Answer", "System Prompt", "user", "assistant", "human", "gpt", "summary"),
    )
)
TURN_NAMES = st.sampled_from(
    (
        *("content", "value", "text", "body", "name", "reasoning", "thinking", "tool_calls"),
        *("note", "weight", "train", "loss_mask", "translation", "message", "extra"),
    )
)


class Words:
    """Words that stand nowhere else, each with the field it was put into."""

    def __init__(self) -> None:
        self.field_of: dict[str, str] = {}

    def text(self, field: str, kind: str) -> str:
        word = f"wug{len(self.field_of)}x"
        self.field_of[word] = field
        return {"word": word, "few": f"the {word} is", "lines": f"It is so:\n\n- the {word}."}[kind]


KINDS = st.sampled_from(("word", "few", "lines"))


@st.composite
def marked(draw: st.DrawFn) -> tuple[dict[str, Any], Words]:
    """A row, and the words in it."""
    words = Words()
    row = {
        name: draw(values(words, name, depth=0))
        for name in draw(st.lists(NAMES, min_size=2, max_size=6, unique=True))
    }
    return row, words


@st.composite
def values(draw: st.DrawFn, words: Words, field: str, depth: int) -> Any:
    shape = draw(st.sampled_from(("text", "text", "text", "turns", "pairs", "texts", "object")))
    if shape == "text" or depth > 1:
        text = words.text(field, draw(KINDS))
        return draw(st.sampled_from((text, text, json.dumps([text]), f" {text}\n")))
    count = range(draw(st.integers(1, 3)))
    if shape == "turns":
        return [draw(turn(words, field, number)) for number in count]
    if shape == "pairs":
        return [[words.text(field, draw(KINDS)) for _ in range(2)] for _ in count]
    if shape == "texts":
        return [words.text(field, draw(KINDS)) for _ in count]
    names = draw(st.lists(TURN_NAMES, min_size=1, max_size=3, unique=True))
    return {name: draw(values(words, field, depth + 1)) for name in names}


@st.composite
def turn(draw: st.DrawFn, words: Words, field: str, number: int) -> dict[str, Any]:
    speaker = draw(st.sampled_from(("role", "from", "speaker")))
    made: dict[str, Any] = {speaker: ("user", "assistant")[number % 2]}
    for name in draw(st.lists(TURN_NAMES, min_size=1, max_size=3, unique=True)):
        switch = name in ("weight", "train", "loss_mask")
        made[name] = number % 2 if switch else words.text(field, draw(KINDS))
    return made


def said(dump: Dump) -> Iterator[str]:
    for record in dump.records.iter_rows(named=True):
        columns = ("messages", "rejected", "tools", "category")
        yield json.dumps([record[name] for name in columns])


@settings(max_examples=1_500, deadline=None)
@given(marked())
def test_each_marked_word_is_said_or_counted_under_its_fields_name(
    given_row: tuple[dict[str, Any], Words],
) -> None:
    row, words = given_row
    dump = read_rows([row])
    if dump.rejects.height:
        raw = dump.rejects["raw"][0]
        assert all(word in raw for word in words.field_of)
        return
    everything, left = "\n".join(said(dump)), dump.files[0].leftovers
    names = {name.partition(".")[0].lower().replace(" ", "_") for name in left}
    for word, field in words.field_of.items():
        assert word in everything or field.lower().replace(" ", "_") in names, (word, field, left)


def test_the_rows_of_the_property_are_read_more_often_than_rejected() -> None:
    shapes = [
        {"question": "a wug", "answer": "b wug", "notes": ["c wug"]},
        {"messages": [QUESTION, {**ANSWER, "note": "a wug"}], "title": "x"},
        {"instruction": "a", "output": "b", "passage": {"content": "c"}, "history": [["d", "e"]]},
    ]
    assert read_rows(shapes).records.height == 3
