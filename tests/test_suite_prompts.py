"""Prompts with instructions: own, drawn by a seed, and such that one answer can follow them all."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.suite_toys import solved
from trainer.after.suite.instructions import word_lists
from trainer.after.suite.instructions.checks import CHECKS
from trainer.after.suite.instructions.conflicts import CONFLICTS, compatible, conflicting
from trainer.after.suite.instructions.kinds import DRAWN
from trainer.after.suite.instructions.prompts import PROMPTS, make_prompts
from trainer.after.suite.instructions.scoring import judge


def test_there_are_25_kinds_each_with_a_check_and_a_way_to_draw_it() -> None:
    assert len(CHECKS) == 25
    assert list(CHECKS) == list(DRAWN)


def test_the_same_seed_gives_the_same_prompts_and_another_gives_others() -> None:
    one, again, other = make_prompts(50), make_prompts(50), make_prompts(50, seed=1)
    assert one == again
    assert not {each.text for each in one} & {each.text for each in other}


def test_a_prompt_is_the_same_whatever_the_number_of_prompts() -> None:
    assert make_prompts(40)[:7] == make_prompts(7)


def test_prompts_differ_and_every_kind_is_asked_for_often_enough() -> None:
    made = make_prompts()
    assert len(made) == PROMPTS == 300
    assert len({each.text for each in made}) == 300
    kinds = Counter(each.kind for prompt in made for each in prompt.instructions)
    assert len(kinds) == 25 and min(kinds.values()) >= 12
    assert Counter(len(prompt.instructions) for prompt in made) == {1: 156, 2: 96, 3: 48}
    # Every kind stands alone in some prompts, so that what it costs beside others can be told.
    alone = {prompt.instructions[0].kind for prompt in made if len(prompt.instructions) == 1}
    assert alone == set(CHECKS)


def test_kinds_that_conflict_are_never_together() -> None:
    for prompt in make_prompts(600, seed=5):
        assert compatible([each.kind for each in prompt.instructions])


def test_the_table_of_conflicts_names_kinds_and_each_pair_once() -> None:
    pairs = [(kind, other) for kind, others in CONFLICTS.items() for other in others]
    assert {kind for pair in pairs for kind in pair} <= set(CHECKS)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
    assert all(kind in conflicting(other) and other in conflicting(kind) for kind, other in pairs)
    assert not compatible(["no_comma", "no_comma"])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_prompt_can_be_followed_to_the_letter(seed: int) -> None:
    """An answer is put together from the values alone; the check of each instruction takes it."""
    failed = []
    for prompt in make_prompts(seed=seed):
        answer = solved(prompt)
        verdict = judge(prompt, answer)
        if not all(verdict.strict):
            failed.append((prompt.text, answer, verdict.strict))
    assert failed == []


def test_an_answer_to_one_prompt_seldom_follows_another() -> None:
    """Else the checks would let everything through."""
    made = make_prompts(100)
    answers = [solved(each) for each in made]
    followed = sum(
        all(judge(prompt, answer).strict)
        for prompt, answer in zip(made, [*answers[1:], answers[0]], strict=True)
    )
    assert followed < 30


def test_words_that_are_asked_for_do_not_break_a_limit_on_rare_letters() -> None:
    assert not [word for word in word_lists.KEYWORDS if set(word) & set(word_lists.RARE_LETTERS)]
    assert not set(word_lists.KEYWORDS) & set(word_lists.FORBIDDEN)
    assert len(set(word_lists.SUBJECTS)) == len(word_lists.SUBJECTS) == 50
