"""Answers judged one by one: the loss, the point of reference, and where the rows come from."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer
from curate.base.errors import CurateError
from tests.preference_toys import made, settings, step, write_pairs
from tests.resume_toys import StoppedError, outcome, stop_at
from tests.trainer_toys import (
    STOP,
    reversed_pairs,
    silent,
    toy_model,
    write_model,
    write_tokens,
)
from trainer import TrainConfig
from trainer.data.judged import Judged, read_judged, with_partners
from trainer.data.pairs import Pairs
from trainer.data.rows import make_rows
from trainer.data.tokens import load_tokens
from trainer.loss import LossMode
from trainer.objectives import kto
from trainer.objectives.preferences import references


def judged(count: int, positions: int | None = None, seed: int = 0) -> Pairs:
    """Every second answer is desirable."""
    ids, input_ids, labels = [], [], []
    for number, (prompt, one, two) in enumerate(made(count)):
        answer = one if number % 2 else two
        ids.append(str(number))
        input_ids.append([*prompt, *answer])
        labels.append([-100] * len(prompt) + answer)
    rows = make_rows(ids, input_ids, labels)

    @dataclasses.dataclass
    class Rows:
        rows: Any

    desirable = np.arange(count) % 2 == 1
    given: Any = Judged(Rows(rows), desirable)  # type: ignore[arg-type]
    return with_partners(given, (np.arange(count),), seed, positions)


def test_an_answer_costs_by_its_distance_from_the_point_of_reference():
    import torch

    config = settings("kto", beta=0.1)
    ratios = torch.tensor([3.0, 3.0], dtype=torch.float64)
    found = kto.losses(ratios, torch.tensor([True, False]), 2.0, config)
    assert found.tolist() == pytest.approx([0.475021, 0.524979], abs=1e-6)
    none = kto.losses(0 * ratios, torch.tensor([True, False]), 0.0, config)
    assert none.tolist() == [0.5, 0.5]
    weighted = settings("kto", beta=0.1, desirable_weight=2.0, undesirable_weight=0.5)
    found = kto.losses(ratios, torch.tensor([True, False]), 2.0, weighted)
    assert found.tolist() == pytest.approx([2 * 0.475021, 0.5 * 0.524979], abs=1e-6)


@pytest.mark.parametrize("count", [2, 3, 7, 19])
def test_no_prompt_is_ever_read_before_its_own_answer(count: int):
    """In an odd number too; and each answer stands behind another prompt just once."""
    pairs = judged(count)
    texts = {tuple(row) for side in (pairs.chosen,) for row in texts_of(side)}
    mixed = texts_of(pairs.rejected)
    assert len(mixed) == count
    for own, other in zip(texts_of(pairs.chosen), mixed, strict=True):
        assert own[:4] == other[:4] and tuple(other) not in texts
    answers = [tuple(row[4:]) for row in mixed]
    assert sorted(answers) == sorted(tuple(row[4:]) for row in texts_of(pairs.chosen))


def texts_of(rows: Any) -> list[list[int]]:
    return [rows.input_ids[rows.row(row)].tolist() for row in range(len(rows))]


def test_an_answer_behind_a_longer_prompt_is_cut_to_the_models_positions():
    pairs = judged(12, positions=6)
    assert pairs.rejected.lengths.max() == 6
    assert pairs.chosen.lengths.max() > 6


def test_rows_of_one_prompt_have_no_other_to_be_compared_with():
    rows = make_rows(["a", "b"], [[1, 5, 2], [1, 6, 2]], [[-100, 5, 2], [-100, 6, 2]])
    given: Any = Judged(dataclasses.make_dataclass("T", ["rows"])(rows), np.array([True, False]))
    with pytest.raises(CurateError, match="all 2 rows have one prompt"):
        with_partners(given, (np.arange(2),), 0, None)


def mode_of(pairs: Pairs, config: TrainConfig, packed: bool) -> LossMode:
    mode = LossMode(False, packed, pairs=pairs, settings=config)
    found = references(toy_model(), np.arange(len(pairs)), config.micro_tokens, mode)
    return dataclasses.replace(mode, reference=found)


def test_a_step_is_the_same_however_it_is_cut_and_its_z_is_of_the_whole_step():
    found = []
    for micro_tokens, packed in ((4096, False), (1, False), (40, False), (4096, True), (30, True)):
        config = settings("kto", micro_tokens=micro_tokens)
        found.append(step(toy_model(1), config, mode_of(judged(9), config, packed)))
    loss, gradients, noted = found[0]
    assert np.abs(gradients).max() > 1e-4
    for other_loss, other_gradients, other_noted in found[1:]:
        assert other_loss == pytest.approx(loss, abs=1e-6)
        assert other_gradients == pytest.approx(gradients, abs=1e-5)
        assert other_noted == pytest.approx(noted, abs=1e-4)


def test_the_point_of_reference_is_the_mean_of_all_mismatched_rows_and_never_negative():
    config, pairs = settings("kto"), judged(9)
    mode = mode_of(pairs, config, False)
    net = toy_model(1)
    now = references(net, np.arange(9), 4096, mode)[9:]
    assert mode.reference is not None
    mean = (now - mode.reference[9:]).mean()
    assert step(net, config, mode)[2]["kl_estimate"] == pytest.approx(max(0.0, mean), abs=1e-5)
    # A reference the other way round turns its sign.
    back = 2 * references(net, np.arange(9), 4096, mode) - mode.reference
    turned = dataclasses.replace(mode, reference=back)
    assert step(net, config, turned)[2]["kl_estimate"] == pytest.approx(max(0.0, -mean), abs=1e-5)
    assert abs(mean) > 0.1


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("kto")
    good = reversed_pairs(30)
    bad = [
        (name, [*ids[:4], 9, 9, STOP], [-100] * 4 + [9, 9, STOP])
        for name, ids, _ in reversed_pairs(24, first=30)
    ]
    return {
        "tokens": write_tokens(folder / "good", good),
        "undesirable": write_tokens(folder / "bad", bad),
        "model": write_model(folder / "base"),
        "pairs": write_pairs(folder / "pairs", 30),
    }


def train(sources: dict[str, str], out: Path, log: Any = silent, **fields: Any) -> Any:
    given = {
        "objective": "kto",
        "num_train_epochs": 2,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "held_out": 0.2,
        "prompts": 2,
    }
    named = {name: value for name, value in sources.items() if name != "pairs"}
    return trainer.train(TrainConfig(**{**named, **given, "out": str(out), **fields}), log)


def test_it_learns_from_desirable_and_undesirable_rows_that_are_no_pairs(
    sources: dict[str, str], tmp_path: Path
):
    said: list[str] = []
    done = train(sources, tmp_path / "kto", said.append)
    text = "\n".join(said)
    assert "loss before step 1: 0.5000000, 0.5000000" in text
    assert "desirable answers of 3.0 trained tokens" in text
    assert "1 to 4/3 is advised" not in text
    assert done.before.loss == pytest.approx(0.5, abs=1e-5)
    assert done.after.loss < 0.49 and done.after.accuracy > 0.6 and done.after.margin > 0
    noted = [json.loads(line) for line in (done.out / "metrics.jsonl").read_text().splitlines()]
    assert all("kl_estimate" in line for line in noted if not line.get("eval"))
    samples = json.loads((done.out / "samples.json").read_text())
    asked = {sample["id"] for sample in samples}
    assert asked <= {name for name, _, _ in reversed_pairs(30)}


def test_pairs_are_two_judged_answers_each(sources: dict[str, str], tmp_path: Path):
    said: list[str] = []
    with_pairs = {**sources, "tokens": sources["pairs"], "undesirable": None}
    done = train(with_pairs, tmp_path / "kto", said.append)  # type: ignore[arg-type]
    assert any("24 desirable answers" in line and "24 undesirable" in line for line in said)
    assert done.after.loss < 0.49
    tokens = load_tokens(sources["pairs"])
    with pytest.raises(CurateError, match="are pairs, whose rejected answers are the undesirable"):
        read_judged(tokens, sources["undesirable"])


def test_a_run_that_was_stopped_ends_in_the_same_bits(sources: dict[str, str], tmp_path: Path):
    train(sources, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "trainer.loop.learning_rate", 7)
        with pytest.raises(StoppedError):
            train(sources, tmp_path / "stopped", save_steps=3)
    train(sources, tmp_path / "stopped", resume=True)
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")


def test_what_holds_no_undesirable_answers_or_others_is_refused(
    sources: dict[str, str], tmp_path: Path
):
    alone = {**sources, "undesirable": None}
    with pytest.raises(CurateError, match="has no undesirable answers for kto; render pairs"):
        train(alone, tmp_path / "out")  # type: ignore[arg-type]
    other = write_tokens(
        tmp_path / "other", reversed_pairs(4), tokenizer={"name": "toy", "hash": "9" * 64}
    )
    with pytest.raises(CurateError, match="was rendered with another tokenizer than"):
        train({**sources, "undesirable": other}, tmp_path / "out")
    with pytest.raises(CurateError, match="are pairs; name single answers"):
        train({**sources, "undesirable": sources["pairs"]}, tmp_path / "out")


def test_answers_that_are_judged_both_ways_are_counted_and_refused_where_nothing_else_is_left(
    sources: dict[str, str], tmp_path: Path
):
    same = {**sources, "undesirable": sources["tokens"]}
    with pytest.raises(CurateError, match=r"60 of 60 rows did not pass[^$]*same-answer"):
        train(same, tmp_path / "out")
    some = write_tokens(tmp_path / "some", [*reversed_pairs(4), *reversed_pairs(20, first=30)])
    said: list[str] = []
    train({**sources, "undesirable": some}, tmp_path / "out", said.append, max_steps=1)
    assert "8 answers are judged both ways, and pull nowhere" in said


def test_kinds_that_do_not_balance_are_said(sources: dict[str, str], tmp_path: Path):
    said: list[str] = []
    train(sources, tmp_path / "out", said.append, undesirable_weight=0.2, max_steps=1)
    assert any("1 to 4/3 is advised (arXiv 2402.01306)" in line for line in said)
