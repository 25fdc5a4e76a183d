"""What answers are like: stops, loops, leaked control texts, lengths beside a reference's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from trainer.after.suite import lengths, stops
from trainer.after.suite.asking import read_kept
from trainer.after.suite.lengths import compare, measure
from trainer.after.suite.repetition import distinct, loops
from trainer.after.suite.stops import AnswerState, leaks
from trainer.after.suite.text_units import has_words, sentences, words


@pytest.mark.parametrize(
    "text",
    [
        "I like it. It is good. It is good. It is good. It is good. It is",
        "the the the the the the the the the the the the",
        "你好世界" * 12,
        "Total\n" + "=" * 80,
        "| a | b |\n" + "|---|---|\n" * 20,
        "ha" * 40,
        "1. We go on.\n" * 6,
    ],
)
def test_an_answer_that_ends_in_a_loop_is_one(text: str) -> None:
    assert loops(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No, no, no! That is too much.",
        "It is good. It is good. It is good. But then it ended well, and all was told anew there.",
        "one two three four five six one two three four five six",
        "Row, row, row your boat, gently down the stream.",
        "- apples\n- pears\n- plums\n- cherries\n- grapes\n- figs\n- dates\n- limes",
        "---\n" * 3 + "An end that is no line of signs but words, and enough of them to be told.",
    ],
)
def test_an_answer_that_goes_on_is_no_loop(text: str) -> None:
    assert not loops(text)


def test_distinct_sequences_of_words() -> None:
    assert distinct("a b a b", 1) == 0.5
    assert distinct("a b a b", 2) == 2 / 3
    assert distinct("A a", 1) == 0.5
    assert distinct("a", 2) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Yes.<|im_end|>\n<|im_start|>user", ["<|im_end|>", "<|im_start|>"]),
        ("Yes.</s>", ["</s>"]),
        ("A\n\n### Instruction:\nMore", ["### Instruction:"]),
        ("A\n\nHuman: More", ["Human:"]),
        ("[INST] More [/INST]", ["[INST]", "[/INST]"]),
        ("<end_of_turn>", ["<end_of_turn>"]),
        ("<｜User｜>", ["<｜User｜>"]),
        ("Write x < y | z > w, and see ### Instructions", []),
        ("A human: it says. <think>hm</think>", []),
        ("a <s>b", []),
    ],
)
def test_control_texts_in_an_answer_are_found(text: str, found: list[str]) -> None:
    assert leaks(text, ["</s>", "<|im_end|>"]) == found


def state(stopped: bool, loop: bool = False, *leaked: str) -> AnswerState:
    return AnswerState(stopped, False, loop, leaked, (1.0, 1.0, None))


def test_shares_are_of_all_answers_and_leaks_are_counted() -> None:
    found = stops.summarize(
        [state(True), state(True), state(False, True), state(False, False, "</s>", "</s>")], 64
    )
    shares = (found.stopped.value, found.loops.value, found.leaked.value, found.empty.value)
    assert shares == (0.5, 0.25, 0.25, 0.0)
    assert (found.leaks, found.cap, found.distinct_3) == ({"</s>": 2}, 64, None)
    assert found.distinct_2 is not None and found.distinct_2.value == 1.0


def test_differences_of_shares_are_of_pairs() -> None:
    one, other = [state(True)] * 10, [state(False)] * 10
    apart = stops.differences(one, other)
    assert (apart.stopped.value, apart.stopped.low, apart.loops.value) == (1.0, 1.0, 0.0)
    assert apart.loops.low is not None and apart.loops.low < 0
    assert apart.distinct_3 is None


def test_lengths_beside_a_reference_have_quantiles_ks_and_w1() -> None:
    """Twenty answers of 10 tokens beside twenty of 10 to 29: W1 is 9.5."""
    generated = [measure("a " * 10, 10) for _ in range(20)]
    reference = [measure("a " * size, size) for size in range(10, 30)]
    found = compare(generated, reference, at_cap=3)
    assert (found.rows, found.reference_rows, found.at_cap) == (20, 20, 3)
    assert found.tokens.generated == (10.0,) * 5
    assert found.tokens.reference == tuple(np.quantile(range(10, 30), lengths.QUANTILES))
    assert (found.tokens.ks, found.tokens.w1) == pytest.approx((0.95, 9.5))
    assert found.words is not None and found.words.w1 == pytest.approx(9.5)
    assert found.characters.w1 == pytest.approx(19.0)


def test_words_are_not_compared_where_they_mean_little() -> None:
    chinese, english = measure("他走了。", 4), measure("He went.", 3)
    assert chinese.words is None and english.words == 2
    assert compare([chinese] * 4, [english] * 4, 0).words is None
    assert compare([english] * 4, [english] * 4, 0).words is not None


def test_task_groups_with_enough_answers_are_shown_apart() -> None:
    reference = [measure("", 5, "write")] * 12 + [measure("", 9, "list")] * 12
    generated = [measure("", 7, "write")] * 12 + [measure("", 9, "list")] * 3
    found = compare(generated, reference, 0)
    assert list(found.groups) == ["write"] and found.groups["write"].w1 == 2.0


def test_an_empty_answer_has_a_length_of_nothing() -> None:
    assert measure("", 0) == lengths.AnswerLength(0, 0, 0)
    apart = lengths.differences([measure("ab", 2)] * 3, [measure("", 0)] * 3)
    assert (apart.tokens.value, apart.characters.value) == (2.0, 2.0)


def test_words_and_sentences_of_odd_texts() -> None:
    assert words("l’eau, e-mail 3.5 你好") == ["l’eau", "e-mail", "3", "5", "你", "好"]
    assert not has_words("สวัสดีชาวโลก") and has_words("")
    assert sentences("Stop... Then go! (Really?) Yes") == [
        "Stop...",
        "Then go!",
        "(Really?)",
        "Yes",
    ]
    assert sentences("v1.2.3 of J. Doe's e.g. small tool") == ["v1.2.3 of J. Doe's e.g. small tool"]
    assert sentences("***\n\n—") == []


def test_lines_of_answers_that_are_none_are_passed_over(tmp_path: Path) -> None:
    whole = {"key": "a", "answer": "yes", "tokens": 1, "stopped": True}
    lines = [
        b"[" * 100_000,
        b"\xff\xfe{",
        b"null",
        b"[]",
        json.dumps({**whole, "tokens": "1"}).encode(),
    ]
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b"\n".join([*lines, json.dumps(whole).encode(), b'{"key": "b", "ans']))
    assert read_kept([path, tmp_path / "none"]) == {"a": whole}
