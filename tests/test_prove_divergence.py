"""Trainings that made things worse, and metrics where nothing varies, are said in so many words."""

from __future__ import annotations

from curate.proofs.cells import Cell
from curate.proofs.design import Design
from curate.proofs.page import html
from curate.proofs.sentences import verdict_text
from curate.proofs.verdicts import judge
from tests.proof_cells import cell, cells, target
from tests.reports import Page


def moved(name: str, *bits: float) -> list[Cell]:
    """A training for each number, of that many bits per byte on one target, nearly."""
    return [
        cell(name, seed, {"old": target([each - 0.01, each, each + 0.01])})
        for seed, each in enumerate(bits)
    ]


BASE = moved("base", 2.0)[0]


def test_a_training_that_made_held_out_answers_much_worse_is_said() -> None:
    own = [*moved("selected", 1.8, 1.9), *moved("random", 1.9, 3.0), *moved("full", 2.3, 2.5)]
    proof = judge(own, Design(draws=0), base=BASE)
    assert proof.warnings == [
        "random: 1 of 2 trainings made the held-out answers more than 10% worse than before "
        "training (seed 1 by 50%): they diverged, or learnt something else altogether; try a "
        "lower learning_rate",
        "full: 2 of 2 trainings made the held-out answers more than 10% worse than before "
        "training (seed 0 by 15%, seed 1 by 25%): they diverged, or learnt something else "
        "altogether; try a lower learning_rate",
    ]
    assert set(proof.warnings) < set(proof.as_dict()["sentences"])
    assert proof.warnings[0] in Page(html(proof, {})).text


def test_a_little_worse_is_nothing_to_say() -> None:
    own = [*moved("selected", 2.1, 2.19), *moved("random", 1.9, 2.0)]
    assert not judge(own, Design(draws=0), base=BASE).warnings
    assert not judge([*moved("selected", 9, 9), *moved("random", 1, 1)], Design(draws=0)).warnings


def test_a_metric_where_nothing_varies_says_so_and_not_what_it_would_have_seen() -> None:
    own = cells({"selected": 0.0, "random": 0.01}, seeds=2, answers=False)
    same = {"stopped": [True] * 30, "loops": [False] * 30, "lengths": [9] * 30}
    for each in own:
        for name, one in each.targets.items():
            each.targets[name] = type(one)(
                **{**vars(one), **{key: tuple(column) for key, column in same.items()}}
            )
    proof = judge(own, Design(draws=0))
    stopped = [each for each in proof.secondary if each.metric == "stopped"]
    assert {verdict_text(each, 3) for each in stopped} == {
        "not shown; nothing varied: the same in every seed, and no difference in any"
    }
    assert "nothing varied" in Page(html(proof, {})).text
    assert ".000 would have been seen" not in " ".join(proof.lines())
