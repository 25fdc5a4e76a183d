"""Delimiters of templates inside texts are found, and so are wrappers that only some rows have."""

from __future__ import annotations

from typing import Any

import pytest

from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.quality.filter import Quality
from filters.quality.formatting import Format

ASK = "What is the capital of France?"


def drops(rows: Any, **settings: Any) -> list[str | None]:
    return judge(Format(action="drop", **settings), rows).verdicts["reason"].to_list()


@pytest.mark.parametrize(
    ("prompt", "answer", "reason", "evidence"),
    [
        ("### Instruction:\nName a town.\n\n### Response:", "Paris.", "wrapped_prompt", "alpaca"),
        ("[INST] Name a town. [/INST]", "Paris.", "wrapped_prompt", "llama2"),
        ("Human: Name a town.\n\nAssistant:", "Paris.", "wrapped_prompt", "dialogue"),
        (ASK, "Paris.\n### Response:", "foreign_marker", "### Response: (alpaca)"),
        (ASK, "Paris.<|im_end|>", "foreign_marker", "<|im_end|> (chatml)"),
        (ASK, "<|eot_id|>", "foreign_marker", "<|eot_id|> (llama3)"),
        (ASK, "Paris.<end_of_turn>", "foreign_marker", "<end_of_turn> (gemma)"),
        (ASK, "Paris.<|user|>", "foreign_marker", "<|user|> (zephyr)"),
        (ASK, "Paris.</s>", "foreign_marker", "</s> (special)"),
        (ASK, "Assistant: Paris.", "role_marker", "Assistant:"),
    ],
)
def test_each_template_is_recognised(
    conversation: Any, prompt: str, answer: str, reason: str, evidence: str
) -> None:
    found = judge(Format(action="drop"), conversation((prompt, answer))).verdicts
    assert found["reason"].item() == reason
    assert found["evidence"].item() == evidence


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        (ASK, "Paris."),
        ("What is `<|im_start|>`?", "`<|im_start|>` opens a turn."),
        ("Write a dialogue", "Human: Hi\nAssistant: Hello"),
        (ASK, "# Towns\n\n- Paris"),
        (ASK, "The [INSTITUTE] is in Paris."),
    ],
)
def test_talk_about_delimiters_and_markdown_is_exempt(
    conversation: Any, prompt: str, answer: str
) -> None:
    assert drops(conversation((prompt, answer))) == [None]


def test_a_few_prompts_that_end_in_marks_are_odd(conversation: Any) -> None:
    rows = conversation(
        *((f"Name town {n}. ###", f"Town {n}.") for n in range(5)),
        *((f"Name river {n}.", f"River {n}.") for n in range(20)),
    )
    found = judge(Format(action="drop"), rows).verdicts
    assert found["reason"].to_list() == ["odd_wrapper"] * 5 + [None] * 20
    assert found["evidence"][0] == "a prompt ends with '###', as 20.00% of the rows do"


def test_where_most_rows_have_the_wrapper_the_others_are_odd(conversation: Any) -> None:
    rows = conversation(
        *((f"Name town {n}.", f"Answer: town {n}.") for n in range(20)),
        ("Name a river.", "The Rhine."),
    )
    assert drops(rows) == [None] * 20 + ["missing_wrapper"]
    assert drops(rows, off=("missing_wrapper",)) == [None] * 21


def test_a_wrapper_that_all_rows_have_is_the_style_of_the_set(conversation: Any) -> None:
    rows = conversation(*((f"Q: name town {n}.", f"A: town {n}.") for n in range(20)))
    assert drops(rows) == [None] * 20


def test_a_mark_of_one_or_two_rows_is_no_wrapper(conversation: Any) -> None:
    rows = conversation(
        *((f"Name town {n}.", f"Town {n}.") for n in range(20)),
        ("Name a river ###", "The Rhine."),
    )
    assert drops(rows) == [None] * 21
    assert drops(rows, min_rows=1)[20] == "odd_wrapper"


def test_without_an_order_to_drop_it_only_notes(conversation: Any) -> None:
    found = judge(Format(), conversation((ASK, "Paris.<|im_end|>"))).verdicts
    assert found["keep"].item()
    assert found["evidence"].item() == "foreign_marker: <|im_end|> (chatml)"


def test_the_findings_count_families_wrappers_and_mixed_style(conversation: Any) -> None:
    rows = conversation(
        ("[INST] Name a town. [/INST]", "Paris."),
        (ASK, "# Paris\n\n- large"),
        *((f"Name town {n}. ###", f"Town {n}.") for n in range(6)),
    )
    found = judge(Format(), rows).findings
    assert found.numbers["wrapped_prompts"] == 1
    assert found.numbers["families"] == {"llama2": 1}
    assert found.numbers["wrappers"] == [
        {"place": "prompt_end", "mark": "###", "share": 0.75, "usual": True}
    ]
    assert found.tables["wrappers"].to_dicts() == found.numbers["wrappers"]
    assert any("unwrap_prompt" in sentence for sentence in found.sentences)
    assert "mixed style: 12.5% of the rows have Markdown in the answer" in found.sentences


def test_of_many_wrappers_the_manifest_has_twenty_and_a_table_all(conversation: Any) -> None:
    rows = conversation(
        *((f"Name town {n}. {'#' * (2 + n % 25)}", f"Town {n}.") for n in range(75)),
    )
    found = judge(Format(min_rows=3), rows).findings
    assert len(found.numbers["wrappers"]) == 20
    assert found.tables["wrappers"].height == 25


def test_marks_that_differ_in_white_space_are_one(conversation: Any) -> None:
    rows = conversation(("Name a town. ###\t :", "Ulm."), ("Name a river. ### :", "The Rhine."))
    found = judge(Format(action="drop", min_rows=1, most=0.9), rows).findings
    assert found.numbers["wrappers"] == []
    other = conversation(("Name a town.", "Ulm."))
    both = judge(Format(min_rows=2), rows.vstack(other)).findings.numbers["wrappers"]
    assert [line["mark"] for line in both] == ["### :"]


@pytest.mark.parametrize(
    ("settings", "evidence"),
    [
        ({}, "foreign_marker: [/INST] (llama2)"),
        ({"off": ("foreign_marker",)}, "role_marker: USER:"),
    ],
)
def test_of_two_marks_in_one_text_the_first_reason_is_shown(
    conversation: Any, settings: Any, evidence: str
) -> None:
    rows = conversation((ASK, "So [/INST]\n\nUSER: hello there"))
    assert judge(Format(**settings), rows).verdicts["evidence"].item() == evidence


def test_what_format_calls_foreign_quality_calls_a_template_marker(conversation: Any) -> None:
    answers = ["a<|im_end|>", "a[/INST]", "### Response: a", "a</s>", "`</s>`", "plain"]
    rows = conversation(*((ASK, answer) for answer in answers))
    theirs = judge(Quality(), rows).verdicts["reason"].to_list()
    assert theirs[:4] == ["template_marker"] * 4
    assert drops(rows) == ["foreign_marker"] * 4 + [None] * 2
    assert "template_marker" not in theirs[4:]


def test_no_rows_have_no_format(conversation: Any) -> None:
    step = Format()
    measures = judge(step, conversation()).measures
    assert step.judge(measures).verdicts.height == 0
    assert step.judge(measures).findings.sentences == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"off": ("wrapper",)}, "expected one of wrapped_prompt, .*; did you mean 'odd_wrapper'"),
        ({"most": 0.3}, "most is 0.3"),
        ({"min_rows": 0}, "min_rows is 0"),
    ],
)
def test_a_setting_out_of_range_is_an_error(settings: Any, message: str) -> None:
    with pytest.raises(CurateError, match=message):
        Format(**settings)
