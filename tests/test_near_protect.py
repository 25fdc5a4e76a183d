"""A small difference that is the whole difference keeps two rows; others do not."""

from __future__ import annotations

import polars as pl
import pytest

from curate.pipeline.judging import judge
from filters.dedup.near.filter import Near
from tests.near_rows import dropped, records

ANSWER = (
    "It depends on where you look, but most people who have lived there for a long time would say "
    "that the answer has hardly changed since their grandparents first came over the hills."
)
# What differs stands in the place of the braces.
ASK = (
    "You are asked to read the following carefully and then to answer in your own words and at "
    "length {} because the others in the group would like to hear what you think about it."
)


def pair(one: str, other: str) -> list[tuple[str, str]]:
    return [(ASK.format(one), ANSWER), (ASK.format(other), ANSWER)]


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("numbers", "with 3 examples", "with 4 examples"),
        ("numbers", "with three examples", "with four examples"),
        ("numbers", "about 1,000 words", "about 10,000 words"),
        ("numbers", "from 1990-1995", "from 1990-1998"),
        ("numbers", "counting from 5 to 3", "counting from 3 to 5"),
        ("numbers", "weighing 3.5 pounds", "weighing 35 pounds"),
        ("numbers", "in ten meters", "in ten feet"),
        ("numbers", "on the second day", "on the third day"),
        ("negations", "if you do agree", "if you do not agree"),
        ("negations", "if it is safe", "if it isn't safe"),
        ("negations", "which can fly", "which cannot fly"),
        ("negations", "with the increase", "with the decrease"),
        ("negations", "when it is possible", "when it is impossible"),
        ("signs", "where a >= b holds", "where a <= b holds"),
        ("signs", "for x + y here", "for x - y here"),
        ("numbers", "for x² here", "for x here"),
        ("signs", "written in C++ today", "written in C today"),
        ("signs", "written in C# today", "written in C today"),
        ("names", "in Austria today", "in Australia today"),
        ("names", "in Iran today", "in Iraq today"),
        ("names", "with Anna Keller", "with Boris Keller"),
        ("case", "what polish is", "what Polish is"),
    ],
)
def test_a_difference_that_counts_keeps_both_and_is_named(kind, one, other):
    found = judge(Near(), records(pair(one, other)))
    assert found.verdicts["keep"].to_list() == [True, True]
    assert found.findings.numbers["kept_apart"] == {kind: 1}
    assert any(s.startswith(f"kept apart by {kind}: row 1 (") for s in found.findings.sentences)
    assert dropped(Near(protect=()), pair(one, other)) == {1: 0}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("with 3 examples", "with three examples"),
        ("about 1,000 words", "about 1000 words"),
        ("from 1990–1995", "from 1990-1995"),
        ("if you don't agree", "if you do not agree"),
        ("which can't fly", "which cannot fly"),
        ("for x² here", "for x^2 here"),
        ("where a ≥ b holds", "where a >= b holds"),
        ("for a+b here", "for a + b here"),
        ("with Alexander Keller", "with Alexnader Keller"),
        ("about the lighthouse", "about the lihgthouse"),
        ("about the quick answer", "about the fast answer"),
        ("about colours", "about colors"),
        ("about “this” - here", 'about "this" — here'),
        ("about this & that", "about this &amp; that"),
        ("about this one", "about this one, please"),
        ("about   this", "about this!"),
    ],
)
def test_a_difference_that_says_nothing_keeps_neither(one, other):
    assert dropped(Near(), pair(one, other)) == {1: 0}


@pytest.mark.parametrize(
    "change",
    [
        str.lower,
        str.upper,
        lambda text: "Please " + text,
        lambda text: text + " Thanks!",
        lambda text: text.replace(" ", "  "),
        lambda text: text + " Use plain words for it.",
        lambda text: text.replace(",", ""),
        lambda text: text.replace("'", "’"),
    ],
)
def test_a_copy_in_another_dress_goes(change):
    first = "The mayor of Lisbon said that it's late, and that they won't wait for us any longer."
    asked = f"Tell me in your own words what this means. {first} Then say what comes next."
    assert dropped(Near(), [(asked, ANSWER), (change(asked), ANSWER)]) == {1: 0}


def test_two_sentences_that_change_places_are_no_difference():
    one = "The harbour opens at dawn in summer. The market is held behind the old town hall."
    other = "The market is held behind the old town hall. The harbour opens at dawn in summer."
    assert dropped(Near(), pair(one, other)) == {1: 0}


def test_code_that_differs_in_its_lines_is_other_code():
    one = "\n```python\nfor n in rows:\n    total += n\n    print(total)\n```\n"
    other = one.replace("    print", "print")
    assert dropped(Near(), pair(one, other)) == {}
    assert dropped(Near(protect=("numbers", "names")), pair(one, other)) == {1: 0}
    assert dropped(Near(), pair(one, one.replace("    ", "\t"))) == {1: 0}


def test_regular_expressions_that_differ_in_a_mark_are_others():
    assert dropped(Near(), pair(r"what `^\d+$` finds", r"what `^\d*$` finds")) == {}


def test_capitals_that_were_asked_for_are_a_difference():
    asked = ASK.format("in capital letters")
    assert dropped(Near(), [(asked, ANSWER), (asked, ANSWER.upper())]) == {}
    plain = ASK.format("in plain words")
    assert dropped(Near(), [(plain, ANSWER), (plain, ANSWER.upper())]) == {1: 0}


@pytest.mark.parametrize(
    ("protect", "kept"), [(("numbers",), False), (("names",), True), (None, True), ((), False)]
)
def test_only_the_kinds_that_are_asked_for_protect(protect, kept):
    rows = pair("in Austria today", "in Norway today")
    assert dropped(Near(protect=protect), rows) == ({} if kept else {1: 0})


@pytest.mark.parametrize("wanted", [{"keep": "longest"}, {"clusters": "connected"}])
def test_protection_holds_whatever_is_kept(wanted):
    rows = [*pair("with 3 examples", "with 4 examples"), *pair("with three examples", "nothing")]
    gone = dropped(Near(**wanted), rows[:3])
    assert len(gone) == 1
    assert set(gone) < {0, 2}


def test_answers_of_one_prompt_are_exempt_and_others_still_protected():
    rows = [
        *pair("with 3 examples", "with 4 examples"),
        *pair("with 3 examples", "with three ones"),
    ]
    assert dropped(Near(exempt="same_prompt"), rows[:3]) == {}


def test_an_index_protects_as_one_run_does(tmp_path):
    one, other = pair("with 3 examples", "with 4 examples")
    again = pair("with three examples", "")[0]
    step = Near(index=str(tmp_path / "index"))
    bound = step.bind(lambda paths: None)
    assert judge(bound, records([one])).verdicts["keep"].all()
    bound.remember(records([one]).with_columns(source=pl.lit("dump.jsonl"), line=1))
    found = judge(step.bind(lambda paths: None), records([other, again])).verdicts
    assert found["keep"].to_list() == [True, False]
    assert found["reason"][1] == "already_curated"
    assert dropped(Near(), [one, other, again]) == {2: 0}


@pytest.mark.parametrize(
    "text",
    [
        "Напишите короткое письмо своему другу о том как вы провели лето у моря с семьёй",
        "Schreibe einen kurzen Brief an deine Freundin über den letzten Sommer an der See mit Oma",
        "写一封短信给你的朋友，告诉他你去年夏天和家人一起在海边度过的时光",
        "اكتب رسالة قصيرة إلى صديقك عن الصيف الماضي الذي قضيته مع عائلتك عند البحر",
        "夏休みに家族と海で過ごした時間について友達に短い手紙を書いてください",
    ],
)
def test_other_scripts_are_compared_and_protected_by_their_numbers(text):
    assert dropped(Near(), [(text, ANSWER), (text + "!", ANSWER)]) == {1: 0}
    rows = [(f"{text} 3", ANSWER), (f"{text} 4", ANSWER)]
    assert dropped(Near(), rows) == {}


@pytest.mark.parametrize(
    "odd", ["", "!!!", "3", "🎉", "\u202eabc\u202c", "ha " * 10_000, "x" * 10**6]
)
def test_odd_rows_are_judged_and_only_copies_go(odd):
    rows = [(odd, "Yes."), ("Other words stand here.", odd), (odd, "Yes.")]
    assert dropped(Near(), rows) == {2: 0}
