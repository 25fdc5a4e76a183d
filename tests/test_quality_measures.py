"""The measures of `quality` are numbers; what a person needs to see is made of the marked rows."""

from __future__ import annotations

import hashlib
from typing import Any

import polars as pl
import pytest

from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.quality.filter import Quality
from filters.quality.rules import RULES

ASK = "What is the capital of France?"
AGAIN = "It is a fine day and we can go to the old town now. "
EVERYTHING = tuple(slug for slug, rule in RULES.items() if rule.rule_set is None)

# What is asked, what is answered, and all notes if every rule reports.
NOTED = [
    (ASK, "Paris.", "one_word: Paris."),
    (ASK, "It is Paris.", None),
    (
        "Who are you?",
        "I am ChatGPT. As requested in the prompt, I say so.",
        "identity_claim: I am ChatGPT; prompt_leak: As requested in the prompt;"
        " prompt_length: 3 words",
    ),
    (
        ASK + "\n\n<noinput>",
        " It is Paris.<|im_end|>",
        "template_marker: <|im_end|>; placeholder_input: <noinput>; outer_whitespace: at the start",
    ),
    (ASK, "It is\x1b\x00 Paris.", r"control_characters: \x1b\x00"),
    (
        "Write a story.",
        AGAIN * 8,
        "repetition: 0.88 of the words repeat: It is a fine day and we can go to;"
        " repeated_sentences: 7 of 8 sentences again: it is a fine day and we can go to the old"
        " town now.; outer_whitespace: at the end; prompt_length: 3 words",
    ),
    (
        "Draw a cat",
        "I'm sorry, but I cannot draw. Write to jane.doe@corp.org.",
        "refusal: I'm sorry, but I cannot draw; image_request: Draw;"
        " pii_email: email at characters 39-56 of a message of role assistant;"
        " prompt_length: 3 words; visual_word: Draw",
    ),
    (
        "List three colours as a JSON array.",
        "['red']",
        "invalid_json: Expecting value: line 1 column 2 (char 1); one_word: ['red']",
    ),
    (
        "What is 2 + 2?",
        "2 + 2 = 5, (I think.",
        "wrong_arithmetic: 2 + 2 = 5; wrong_result: 2 + 2 is 4; unbalanced_brackets: 1 (, 0 )",
    ),
]
# Of the same rows, what drops them by default and what is noted.
DROPPED = {
    3: ("template_marker", "<|im_end|>"),
    4: ("control_characters", r"\x1b\x00"),
    5: ("repetition", "0.88 of the words repeat: It is a fine day and we can go to"),
    6: ("refusal", "I'm sorry, but I cannot draw"),
}
KEPT = {
    2: "identity_claim: I am ChatGPT; prompt_leak: As requested in the prompt",
    7: "invalid_json: Expecting value: line 1 column 2 (char 1)",
    8: "wrong_arithmetic: 2 + 2 = 5; wrong_result: 2 + 2 is 4",
}


@pytest.fixture
def rows(conversation: Any) -> pl.DataFrame:
    records: pl.DataFrame = conversation(*((asked, answer) for asked, answer, _ in NOTED))
    return records


@pytest.fixture
def many(rows: pl.DataFrame) -> pl.DataFrame:
    """More rows than are measured at once."""
    return pl.concat([rows] * 1_200)


def test_evidence_of_a_kept_row_is_what_each_rule_found(rows: pl.DataFrame) -> None:
    verdicts = judge(Quality(report=EVERYTHING), rows).verdicts
    assert verdicts["evidence"].to_list() == [notes for _, _, notes in NOTED]
    assert verdicts["keep"].all()


def test_evidence_of_a_drop_is_what_its_reason_found(rows: pl.DataFrame) -> None:
    verdicts = judge(Quality(), rows).verdicts
    found = enumerate(verdicts.select("reason", "evidence").rows())
    acted = {at: line for at, line in found if line != (None, None)}
    assert acted == DROPPED | {at: (None, notes) for at, notes in KEPT.items()}


def test_the_text_of_marked_rows_alone_is_read_again(
    rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    made = Quality.evidence

    def evidence(step: Quality, records: pl.DataFrame, *judged: pl.DataFrame) -> pl.Series:
        read.extend(messages[-1]["content"] for messages in records["messages"])
        return made(step, records, *judged)

    monkeypatch.setattr(Quality, "evidence", evidence)
    judge(Quality(), rows)
    assert read == [NOTED[at][1] for at in sorted({*DROPPED, *KEPT})]


def test_measures_hold_no_text_and_weigh_19_bytes_a_row(many: pl.DataFrame) -> None:
    measures = Quality().measure(many)
    assert all(dtype.is_numeric() for dtype in measures.dtypes)
    assert measures.estimated_size() < 20 * many.height


def test_rules_of_no_set_lie_in_one_column_of_bits(rows: pl.DataFrame) -> None:
    assert {list(RULES).index(slug) // 64 for slug in EVERYTHING} == {0}
    assert Quality().measure(rows).columns == [
        "fired_0",
        "repetition_share",
        "prompt_words",
        "ending",
    ]
    assert Quality().measure(rows[:0]).schema == Quality().measure(rows).schema


def test_a_rule_beyond_the_first_column_of_bits_fires_without_one(rows: pl.DataFrame) -> None:
    assert list(RULES).index("special_characters") >= 64
    step = Quality(rules=("data_juicer",), off=("word_count",), max_special_characters=0.3)
    fired = step.fired(step.measure(rows))["special_characters"]
    assert fired.to_list() == [at in (3, 7, 8) for at in range(len(NOTED))]
    reasons = judge(step, rows).verdicts["reason"]
    assert reasons[7] == "special_characters"
    assert not Quality().fired(Quality().measure(rows))["special_characters"].any()


@pytest.mark.parametrize("words", [65_533, 65_534, 65_535, 65_536, 70_000])
def test_instructions_of_any_length_are_judged_as_they_are(words: int, conversation: Any) -> None:
    rows = conversation(("word " * words, "Yes, that is what it says."))
    most = Quality(drop=("prompt_length",), max_prompt_words=65_534)
    found = judge(most, rows).verdicts.select("keep", "evidence").row(0)
    assert found == ((True, None) if words <= 65_534 else (False, f"{words} words"))
    least = Quality(drop=("prompt_length",), min_prompt_words=65_534, max_prompt_words=65_534)
    assert judge(least, rows).verdicts["keep"].item() == (words == 65_534)


def test_a_limit_that_is_above_what_is_counted_is_refused() -> None:
    for name in ("min_prompt_words", "max_prompt_words"):
        with pytest.raises(CurateError, match=f"{name} is 65535; .* at most 65534"):
            Quality(**{name: 65_535})


def test_counts_weigh_something_only_where_they_are_asked_for(many: pl.DataFrame) -> None:
    counted = Quality(rules=("data_juicer",)).measure(many)
    assert counted.drop("answer_words", "repetition_ratio", "special_ratio").columns == (
        Quality().measure(many[:1]).columns
    )
    assert counted.estimated_size() < 40 * many.height


def test_what_is_measured_of_a_row_depends_on_no_other(
    rows: pl.DataFrame, many: pl.DataFrame
) -> None:
    alone = pl.concat(Quality().measure(row) for row in rows.iter_slices(1))
    assert Quality().measure(rows).equals(alone)
    assert Quality().measure(rows.reverse()).equals(alone.reverse())
    assert Quality().measure(many).equals(pl.concat([alone] * 1_200))


def test_only_messages_and_tools_are_read(rows: pl.DataFrame) -> None:
    for step in (Quality(), Quality(rules=("data_juicer",))):
        assert step.measure(rows.select(step.reads)).equals(step.measure(rows))


def test_a_rule_that_moves_in_the_sets_of_bits_is_another_version_of_the_measures() -> None:
    names = hashlib.sha256(" ".join(RULES).encode()).hexdigest()
    assert (Quality.version, names[:16]) == (10, "ad9fe62da543cc42")
