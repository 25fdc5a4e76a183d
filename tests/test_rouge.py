"""ROUGE-L: the rule of Self-Instruct and Alpaca, decided as the package rouge-score decides."""

from __future__ import annotations

import random
import time

import numpy as np
import polars as pl
import pytest

import filters.dedup.near.rouge
import filters.dedup.near.search
from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.dedup.near.filter import Near
from filters.dedup.near.rouge import f_measure, token_lists
from tests.near_rows import dropped, records

# LCS, and tokens of the two texts, of pairs that lie on the threshold: 2 LCS / (m + n) is 0.6, 0.8
# and so on, but rouge-score's arithmetic lands on either side of it.
TIES = [
    (27, 39, 51, 0.6),
    (44, 54, 56, 0.8),
    (27, 28, 32, 0.9),
    (35, 49, 51, 0.7),
    (7, 10, 10, 0.7),
]


@pytest.fixture
def scorer():
    # Its import brings modules that warn about themselves.
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from rouge_score.rouge_scorer import RougeScorer

    def made(stem: bool = False):
        found = RougeScorer(["rougeL"], use_stemmer=stem)
        return lambda one, other: found.score(one, other)["rougeL"].fmeasure

    return made


def greedy(texts, score, threshold, strict):
    """The loop of Alpaca's `generate_instruction.py`."""
    kept, gone = [], {}
    for number, text in enumerate(texts):
        for other in kept:
            value = score(text, texts[other])
            if value > threshold if strict else value >= threshold:
                gone[number] = other
                break
        else:
            kept.append(number)
    return gone


def sentences(count: int, seed: int) -> list[str]:
    words = ["Running", "runs", "the", "cat's", "flies", "dying", "generously", "a", "42", "été"]
    draw = random.Random(seed)
    return [" ".join(draw.choices(words, k=draw.randint(0, 7))) for _ in range(count)]


@pytest.mark.parametrize("stem", [False, True])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("threshold", [0.4, 0.5, 0.6, 2 / 3, 0.8])
def test_decisions_are_those_of_rouge_score(scorer, threshold, strict, stem):
    texts = sentences(110, seed=int(threshold * 100))
    expected = greedy(texts, scorer(stem), threshold, strict)
    step = Near(similarity="rouge_l", threshold=threshold, strict=strict, stem=stem)
    assert len(expected) > 5
    assert dropped(step, [(text, "") for text in texts]) == expected


@pytest.mark.parametrize(("common", "left", "right", "threshold"), TIES)
def test_ties_fall_to_the_side_that_rouge_score_puts_them(scorer, common, left, right, threshold):
    shared = [f"c{n}" for n in range(common)]
    one = " ".join(shared + [f"l{n}" for n in range(left - common)])
    other = " ".join(shared + [f"r{n}" for n in range(right - common)])
    value = scorer()(one, other)
    counts = (np.array([n]) for n in (common, left, right))
    assert f_measure(*counts)[0] == value
    for strict in (False, True):
        step = Near(similarity="rouge_l", threshold=threshold, strict=strict)
        expected = value > threshold if strict else value >= threshold
        assert dropped(step, [(one, ""), (other, "")]) == ({1: 0} if expected else {})
        found = judge(
            Near(similarity="rouge_l", threshold=0.5), records([(one, ""), (other, "")])
        ).verdicts
        assert found["score"][1] == value


def test_strict_drops_only_above_the_threshold():
    pair = [("a b c d e f g h i j", ""), ("a b c d e f g x y z", "")]  # 7 of 10 and 10
    assert dropped(Near(similarity="rouge_l"), pair) == {1: 0}
    assert dropped(Near(similarity="rouge_l", strict=True), pair) == {}


def test_order_of_words_counts_and_repeated_words_count_each_time():
    rows = [("one two three four", ""), ("four three two one", ""), ("one one one one", "")]
    assert dropped(Near(similarity="rouge_l", threshold=0.5), rows) == {}


def test_only_rows_that_are_kept_block_others():
    rows = [("a b c d", ""), ("b c d e", ""), ("c d e f", "")]
    assert dropped(Near(similarity="rouge_l", threshold=0.75), rows) == {1: 0}


def test_other_scripts_have_no_tokens_unless_asked_for():
    rows = [("Привет, мир и все люди", ""), ("привет мир и все люди", ""), ("世界你好", "")]
    step = Near(similarity="rouge_l")
    _, verdicts, findings = judge(step, records(rows))
    assert verdicts["keep"].all()
    assert findings.numbers["without_tokens"] == 3
    assert any("3 rows have no token" in sentence for sentence in findings.sentences)
    assert dropped(Near(similarity="rouge_l", tokenizer="unicode"), rows) == {1: 0}


def test_capitals_whose_small_letter_is_ascii_are_that_letter(scorer):
    # The Kelvin sign and the dotted capital I.
    tokens = token_lists(pl.Series(["\u212a \u0130x", "k i x"]), "ascii", stem=False)
    assert tokens[0].to_list() == tokens[1].to_list()
    assert scorer()("\u212a \u0130x", "k i x") == 1


def test_twenty_thousand_identical_rows_and_two_thousand_alike_are_quick():
    started = time.process_time()
    same = records([("ha " * 50, "")])[[0] * 20_000].with_columns(
        row=pl.arange(20_000, dtype=pl.UInt32, eager=True)
    )
    assert judge(Near(similarity="rouge_l"), same).verdicts["keep"].sum() == 1
    text = " ".join(f"word{n}" for n in range(60))
    alike = records([(f"{text} number {n}", "") for n in range(2_000)])
    assert judge(Near(similarity="rouge_l"), alike).verdicts["keep"].sum() == 1
    assert time.process_time() - started < 20


def test_hostile_rows_are_measured_and_kept():
    rows = [
        ("x" * 5_000_000, ""),
        ("word " * 100_000, ""),
        ("\U0001f389" * 50_000, ""),
        ("", "\n" * 10_000),
        ("\u5317" * 20_000, ""),
        ("\x00\x1f\x7f", "\u202e\ufeff"),
        (" ".join(f"{n:040}" for n in range(120_000)), ""),  # 4.9 MB of different words
        ("", ""),
    ]
    started = time.process_time()
    for tokenizer in ("ascii", "unicode"):
        step = Near(similarity="rouge_l", tokenizer=tokenizer)
        assert judge(step, records(rows)).verdicts["keep"].all()
    assert time.process_time() - started < 60


@pytest.mark.parametrize("keep", ["first", "longest"])
def test_running_twice_drops_nothing_more(keep):
    rows = [(text, "") for text in sentences(300, seed=11)]
    step = Near(similarity="rouge_l", threshold=0.6, keep=keep)
    gone = dropped(step, rows)
    assert len(gone) > 20
    left = [row for number, row in enumerate(rows) if number not in gone]
    assert dropped(step, left) == {}


@pytest.mark.parametrize("clusters", ["greedy", "connected"])
def test_permuting_the_rows_permutes_the_verdicts(clusters):
    # Rows that differ in length or text: which of two equal ones is kept is all that order decides.
    rows = [(text, "") for text in dict.fromkeys(sentences(250, seed=12))]
    order = random.Random(13).sample(range(len(rows)), len(rows))
    step = Near(similarity="rouge_l", threshold=0.6, keep="longest", clusters=clusters)
    there, moved = dropped(step, rows), dropped(step, [rows[number] for number in order])
    assert len(there) > 20
    assert {rows[row]: rows[kept] for row, kept in there.items()} == {
        rows[order[row]]: rows[order[kept]] for row, kept in moved.items()
    }


def test_by_signatures_too_the_true_similarity_decides(monkeypatch):
    texts = [(f"these are the same ten words for all rows {n % 40} {n}", "") for n in range(80)]
    step = Near(similarity="rouge_l", threshold=0.8)
    expected = dropped(step, texts)
    assert expected
    monkeypatch.setattr(filters.dedup.near.search, "EXACT_SHINGLES", -1)
    assert dropped(step, texts) == expected


def test_more_words_than_code_points_give_the_same(monkeypatch):
    rows = [(text, "") for text in sentences(60, seed=3)]
    step = Near(similarity="rouge_l", threshold=0.5)
    expected = dropped(step, rows)
    monkeypatch.setattr(filters.dedup.near.rouge, "_CODE_POINTS", 2)
    assert dropped(step, rows) == expected != {}


def test_a_missing_stemmer_is_an_error(monkeypatch):
    monkeypatch.setattr("curate.base.extras.find_spec", lambda name: None)
    with pytest.raises(CurateError, match=r'near: stem: true needs nltk; .*"curate-sft\[stem\]"'):
        Near(similarity="rouge_l", stem=True)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"stem": True}, "near: stem is True, which similarity: jaccard does not read"),
        ({"strict": True}, "near: strict is True, which similarity: jaccard"),
        ({"tokenizer": "unicode"}, "near: tokenizer is 'unicode', which similarity: jaccard"),
        ({"similarity": "rouge_l", "shingle": "word"}, "near: shingle is 'word', which"),
        ({"similarity": "rouge_l", "size": 2}, "near: size is 2, which similarity: rouge_l"),
        ({"similarity": "rouge_l", "strict": True, "threshold": 1.0}, "no row is above"),
        ({"similarity": "rogue_l"}, "did you mean 'rouge_l'"),
        ({"num_perm": 10_000_000}, "num_perm is 10000000; expected .* at least 1 and at most 4096"),
    ],
)
def test_a_setting_that_nothing_would_read_is_refused(wrong, says):
    with pytest.raises(CurateError, match=says):
        Near(**wrong)
