"""What a row gives its template: documents, arguments of its own, an answer that goes on."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import polars as pl
import pytest

from templates import PreviewOptions, RenderOptions, preview, render
from templates.tokens.rendered import Rendered
from tests.templates_toys import (
    CHATML,
    byte_level,
    ids,
    prepending,
    records,
    refusal,
    talk,
    template,
    trained,
)
from tests.test_templates_history import HYBRID

READING = "{% for d in documents or [] %}[{{ d.title }}: {{ d.text }}]{% endfor %}" + CHATML
STYLED = "{{ '(' ~ style ~ ')' if style else '' }}" + CHATML


def made(source: str, *rows: tuple[list[dict[str, Any]], Any], **options: Any) -> Rendered:
    """Rows of (conversation, other fields)."""
    tokenizer = options.pop("tokenizer", None) or byte_level()
    frame = records(*(turns for turns, _ in rows))
    meta = pl.Series("meta", [json.dumps(fields) for _, fields in rows])
    return render(frame.with_columns(meta), template(source), tokenizer, RenderOptions(**options))


def text_of(done: Rendered, number: int = 0) -> str:
    return done.tokenizer.segments.decode(ids(done, number)).decode()


PAPER = {"title": "Moles <|im_end|>", "text": "the mole is red"}


def test_documents_go_to_every_render_and_are_never_trained() -> None:
    done = made(READING, (talk("a", "one", "b", "two"), {"documents": [PAPER]}))
    assert text_of(done).startswith("[Moles <|im_end|>: the mole is red]<|im_start|>user")
    assert trained(done) == ["one<|im_end|>", "two<|im_end|>"]
    # What a document spells is text: the only control tokens are the template's four.
    assert ids(done).count(byte_level().controls["<|im_end|>"].id) == 4


def test_a_preview_tells_documents_from_the_template_and_an_answer_that_goes_on() -> None:
    frame = records(talk("a", "one")).with_columns(
        meta=pl.lit(json.dumps({"documents": [PAPER], "prefill": True}))
    )
    options = PreviewOptions(format="json", render=RenderOptions(continue_final_field="prefill"))
    parts = json.loads(preview(frame, template(READING), byte_level(), options))["rows"][0]["parts"]
    context = "".join(part["text"] for part in parts if part["kind"] == "context")
    assert context == "Moles <|im_end|>: the mole is reda"
    text = dataclasses.replace(options, format="text")
    assert "1 without a stop" in preview(frame, template(READING), byte_level(), text)


def test_documents_that_a_template_reads_and_leaves_out_refuse_the_row() -> None:
    picky = READING.replace("documents or []", "(documents or [])[1:]")
    done = made(picky, (talk("a", "one"), {"documents": [PAPER]}), (talk("b", "two"), {}))
    assert refusal(done) == (
        "input_dropped",
        "the template does not write the documents of the row",
    )
    assert trained(done) == ["two<|im_end|>"]


def test_a_document_in_an_answer_is_foreign_text() -> None:
    leaking = CHATML.replace(
        "m.content +",
        "(documents[0].text if documents and m.role == 'assistant' else '') ~ m.content +",
    )
    done = made(leaking, (talk("a", "one"), {"documents": [PAPER]}))
    assert refusal(done)[0] == "other_text_in_answer" and "text of documents" in refusal(done)[1]


def test_a_field_named_documents_means_nothing_to_a_template_that_reads_none() -> None:
    rows = [(talk("a", "one"), {"documents": given}) for given in ([PAPER], 3, "x", [])]
    done = made(CHATML, *rows)
    assert [trained(done, n) for n in range(4)] == [["one<|im_end|>"]] * 4


def test_tools_that_a_template_leaves_out_are_on_its_card_as_they_are_at_inference() -> None:
    given = [{"type": "function", "function": {"name": "dig"}}]
    done = render(records(talk("a", "one"), tools=given), template(CHATML), byte_level())
    assert trained(done) == ["one<|im_end|>"]
    assert "tools              dropped: the model does not see them" in str(done.card)


def test_a_row_sets_arguments_of_its_own_over_those_of_all_rows() -> None:
    turns = talk("a", "one")
    done = made(
        STYLED,
        (turns, {"chat_template_kwargs": {"style": "brief <|im_start|>", "empty": None}}),
        (turns, {"chat_template_kwargs": '{"style": "long"}'}),
        (turns, {"chat_template_kwargs": None, "chat": 1}),
        arguments={"style": "usual"},
    )
    starts = [text_of(done, n).partition(")")[0] for n in range(3)]
    assert starts == ["(brief <|im_start|>", "(long", "(usual"]
    start = byte_level().controls["<|im_start|>"].id
    assert [ids(done, n).count(start) for n in range(3)] == [2, 2, 2]


def test_an_argument_of_a_row_decides_whether_thoughts_are_opened() -> None:
    asked: tuple[dict[str, Any], ...] = ({}, {"chat_template_kwargs": {"enable_thinking": True}})
    done = made(HYBRID, *((talk("a", "one"), fields) for fields in asked))
    assert [trained(done, n) for n in (0, 1)] == [
        ["one<|im_end|>"],
        ["[think]\n\n[/think]\n\none<|im_end|>"],
    ]


@pytest.mark.parametrize(
    ("given", "check", "words"),
    [
        ({"tone": "formal"}, "input_dropped", "does not read 'tone'"),
        ({"messages": [1]}, "arguments", "messages is given by the conversation itself"),
        ([1], "arguments", "is no object: [1]"),
        ("{broken", "arguments", "no JSON"),
    ],
)
def test_arguments_that_would_be_lost_refuse_the_row(given: Any, check: str, words: str) -> None:
    done = made(CHATML, (talk("a", "one"), {"chat_template_kwargs": given}), (talk("b", "two"), {}))
    assert refusal(done)[0] == check and words in refusal(done)[1]
    assert trained(done) == ["two<|im_end|>"]


def test_a_switch_that_a_template_lacks_changes_nothing() -> None:
    fields = {"chat_template_kwargs": {"enable_thinking": False, "tools": [], "level": 3}}
    assert trained(made(CHATML, (talk("a", "one"), fields))) == ["one<|im_end|>"]


OPEN = {"prefill": True}


@pytest.mark.parametrize("tokenizer", [byte_level(), prepending()])
def test_an_open_answer_is_trained_to_its_end_and_without_a_stop(tokenizer: Any) -> None:
    turns = talk("a", "one", "b", "two, and")
    done = made(
        CHATML, (turns, OPEN), (turns, {}), continue_final_field="prefill", tokenizer=tokenizer
    )
    assert trained(done, 0) == ["one<|im_end|>", "two, and"]
    assert text_of(done).endswith("assistant\ntwo, and")
    assert trained(done, 1) == ["one<|im_end|>", "two, and<|im_end|>"]
    assert (done.counts["trained_turns"], done.counts["trained_stops"]) == (4, 3)


def test_an_open_answer_needs_no_stop_of_the_template_and_keeps_its_thoughts() -> None:
    bare = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}" + (
        "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
    )
    done = made(
        bare, (talk("a", "one"), OPEN), (talk("a", "one"), {}), continue_final_field="prefill"
    )
    assert trained(done) == [" one"] and refusal(done)[0] == "stop_not_at_end"
    thoughtful = [
        {**turn, "reasoning": "hm"} if n % 2 else turn for n, turn in enumerate(talk(*"abcd"))
    ]
    split = made(HYBRID, (thoughtful, OPEN), continue_final_field="prefill")
    assert [trained(split, n) for n in (0, 1)] == [
        ["[think]\nhm\n[/think]\n\nb<|im_end|>"],
        ["[think]\nhm\n[/think]\n\nd"],
    ]


def test_nothing_is_open_unless_its_field_is_named_and_true() -> None:
    rows = [(talk("a", "one"), fields) for fields in (OPEN, {"prefill": "yes"}, {"other": True})]
    assert made(CHATML, *rows).counts["trained_stops"] == 3
    assert made(CHATML, *rows, continue_final_field="prefill").counts["trained_stops"] == 2


def test_a_row_that_says_open_and_ends_in_a_question_is_refused() -> None:
    done = made(CHATML, (talk("a", "one", "b"), OPEN), continue_final_field="prefill")
    assert refusal(done) == ("open", "the row says prefill, but its last message is no answer")
    masked = talk("a", "one", "b", "two")
    masked[-1]["weight"] = 0
    assert trained(made(CHATML, (masked, OPEN), continue_final_field="prefill")) == [
        "one<|im_end|>"
    ]
