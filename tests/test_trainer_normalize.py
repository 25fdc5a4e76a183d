"""What counts the same in a step: each trained token, or each example whole."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer
from curate.base.errors import CurateError
from tests.trainer_toys import (
    ALL,
    DOCUMENTS,
    documents,
    reversed_pairs,
    silent,
    toy_model,
    write_model,
    write_tokens,
)
from trainer import TrainConfig
from trainer.checks.proof import prove
from trainer.data.mixing import Mixture, mix
from trainer.data.rows import Rows, even_rows, make_rows, train_prompts
from trainer.data.tokens import Limits, Tokens, load_tokens
from trainer.distributed import Group
from trainer.loss import LossMode
from trainer.models.attention import prepare
from trainer.objectives.sft import counted, evaluate, gradients
from trainer.packing import step_batches

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")


def config(**fields: Any) -> TrainConfig:
    given = {"tokens": "t", "model": "m", "out": "o", "max_grad_norm": 0.0, "normalize": "examples"}
    return TrainConfig(**{**given, **fields})


def mixed(rows: Rows, **fields: Any) -> Mixture:
    tokens = Tokens(Path("t"), rows, {}, "", (2,), ())
    return mix(config(**fields), tokens, np.arange(len(rows)), None, Limits(32, 48))


def packing_model() -> Any:
    model = toy_model()
    prepare(model)
    return model


def gradient_of(model: Any) -> Any:
    import torch

    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


def expected(model: Any) -> tuple[float, Any]:
    """The mean of the documents' own means by the textbook, and its gradient."""
    import torch
    import torch.nn.functional as F

    means = [
        F.cross_entropy(
            model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1],
            torch.tensor(labels[1:]),
            ignore_index=-100,
        )
        for ids, labels in DOCUMENTS
    ]
    loss = sum(means) / len(means)
    loss.backward()
    gradient = gradient_of(model).clone()
    model.zero_grad()
    return loss.item(), gradient


def targets_of(rows: Rows) -> list[list[float]]:
    """The weight of each target, row by row."""
    assert rows.weights is not None
    return [
        rows.weights[rows.row(row)][rows.targets[rows.row(row)] != -100].tolist()
        for row in range(len(rows))
    ]


def test_a_token_of_a_short_answer_counts_more_so_that_its_row_counts_as_much() -> None:
    rows = even_rows(documents())
    assert rows.target_counts.tolist() == [3, 2, 7, 1]
    weights = [[1 / 3] * 3, [1 / 2] * 2, [1 / 7] * 7, [1.0]]
    assert targets_of(rows) == [pytest.approx(each) for each in weights]
    assert rows.target_weights.tolist() == pytest.approx([1.0] * 4)


def test_a_token_of_a_hundred_counts_twenty_times_one_of_two_thousand() -> None:
    answers = [[5] * 101, [5] * 2001]
    short, long = targets_of(even_rows(make_rows(["a", "b"], answers, answers)))
    assert (len(short), len(long)) == (100, 2000)
    assert short[0] / long[0] == pytest.approx(20)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("micro_tokens", [1, 11, 1000])
def test_the_loss_is_the_mean_of_the_rows_means_however_a_step_is_cut(
    micro_tokens: int, packed: bool
) -> None:
    import torch

    loss, gradient = expected(toy_model())
    model, rows = packing_model(), mixed(documents()).rows
    settings, mode = config(micro_tokens=micro_tokens), LossMode(False, packed)
    found, _, _ = gradients(model, rows, ALL, settings, mode, len(rows))
    assert found == pytest.approx(loss, abs=1e-6)
    assert torch.allclose(gradient_of(model), gradient, atol=1e-6, rtol=0)
    assert counted(rows, ALL) == pytest.approx(4.0)


def test_tokens_count_the_same_unless_asked_otherwise() -> None:
    rows = documents()
    assert config(normalize="tokens") == dataclasses.replace(config(), normalize="tokens")
    assert TrainConfig(tokens="t", model="m", out="o").normalize == "tokens"
    assert mixed(rows, normalize="tokens").rows is rows
    by_tokens, by_examples = (
        gradients(toy_model(), made, ALL, config(), LossMode(False, False), 4)[0]
        for made in (rows, even_rows(rows))
    )
    assert abs(by_tokens - by_examples) > 1e-3


@pytest.mark.parametrize("packed", [False, True])
def test_a_row_that_is_cut_in_documents_counts_once(packed: bool) -> None:
    rows = mixed(documents()).rows
    sums = np.zeros(4)
    settings = config(micro_tokens=6, long_rows="split")
    passes = list(step_batches(rows, ALL, settings, packed))
    for batch in passes:
        assert batch.weights is not None
        np.add.at(sums, batch.rows[batch.row_of], batch.weights)
    assert sum((batch.rows == 2).sum() for batch in passes) == 2  # row 2 has 11 tokens
    assert sums.tolist() == pytest.approx([1.0] * 4)


def test_a_prompts_token_keeps_its_share_of_its_row() -> None:
    rows = make_rows(["a", "b"], [[1, 4, 2], [1, 4, 5, 6, 2]], [[-100, -100, 2], [-100] * 4 + [2]])
    made = even_rows(train_prompts(rows, 0.5))
    thirds, fifths = [1 / 3, 2 / 3], [0.2, 0.2, 0.2, 0.4]
    assert targets_of(made) == [pytest.approx(thirds), pytest.approx(fifths)]
    assert targets_of(mixed(rows, prompt_weight=0.5).rows) == targets_of(made)


def test_weights_of_tokens_count_within_their_row_alone() -> None:
    ids, labels = [[1, 4, 5, 2]] * 2, [[-100, 4, 5, 2]] * 2
    rows = make_rows(["a", "b"], ids, labels, [[0, 2, 1, 1], [0, 20, 10, 10]])
    assert targets_of(even_rows(rows)) == [pytest.approx([0.5, 0.25, 0.25])] * 2


def test_a_row_without_targets_stays_without_weight() -> None:
    rows = make_rows(["a", "b"], [[1, 4, 2]] * 2, [[-100] * 3, [-100, -100, 2]])
    made = even_rows(rows)
    assert made.target_weights.tolist() == [0.0, 1.0]
    assert made.weights is not None and np.isfinite(made.weights).all()


def test_of_general_text_each_document_counts_as_one_example(tmp_path: Path) -> None:
    general = [(str(n), [4 + n] * length, [-100] * length) for n, length in enumerate([5, 40, 9])]
    folder = write_tokens(tmp_path / "general", general)
    names, ids, labels = zip(*reversed_pairs(24), strict=True)
    made = mixed(make_rows(names, ids, labels), batch_size=8, replay=folder, replay_share=0.2)
    assert made.rows.target_weights.tolist() == pytest.approx([1.0] * 27)
    for step in made.epoch(1):
        assert [int((step < 24).sum()), int((step >= 24).sum())] == [8, 2]


class Half(Group):
    """One of two processes whose sums are left to the test."""

    def add_up(self, weights: Any, *numbers: float, **more: Any) -> Any:
        return numbers


def test_the_shares_of_two_processes_add_up_to_the_step_of_one() -> None:
    import torch

    rows = mixed(documents()).rows
    model = toy_model()
    whole, _, _ = gradients(model, rows, ALL, config(), LossMode(False, False), 4)
    gradient = gradient_of(model).clone()
    halves, sums = [], torch.zeros_like(gradient)
    for rank in (0, 1):
        mode = LossMode(False, False, Half(rank, 2))
        halves.append(gradients(model, rows, ALL, config(), mode, 4)[0])
        sums += gradient_of(model)
    assert sum(halves) == pytest.approx(whole, abs=1e-6) and min(halves) > 0
    assert torch.allclose(sums, gradient, atol=1e-6, rtol=0)


def test_the_proof_holds_for_examples_as_for_tokens() -> None:
    proof = prove(packing_model(), even_rows(documents()), ALL, config(), LossMode(False, True))
    assert set(proof.differences) == {"accumulated", "packed"}
    assert proof.loss == pytest.approx(expected(toy_model())[0], abs=1e-6)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Rows of which every second answer is three tokens longer."""
    folder = tmp_path_factory.mktemp("normalize")
    rows = [
        (name, [*ids[:-1], *more, 2], [*labels[:-1], *more, 2])
        for number, (name, ids, labels) in enumerate(reversed_pairs(16))
        for more in [[20, 21, 22] * (number % 2)]
    ]
    return {
        "tokens": write_tokens(folder / "tokens", rows),
        "model": write_model(folder / "base"),
    }


@pytest.mark.parametrize("normalize", ["tokens", "examples"])
def test_a_run_says_the_loss_that_it_trains(
    sources: dict[str, str], tmp_path: Path, normalize: str
) -> None:
    """At a rate of next to nothing an epoch's loss is the base's, counted in the same mode."""
    fields = {
        "num_train_epochs": 1,
        "batch_size": 6,
        "learning_rate": 1e-12,
        "held_out": 0.0,
        "prompts": 0,
    }
    fields |= {"residual_dropout": 0.0, "choose": "last", "normalize": normalize}
    run = trainer.train(TrainConfig(**sources, out=str(tmp_path / "out"), **fields), silent)
    rows = load_tokens(sources["tokens"]).rows
    base = evaluate(toy_model(), rows, np.arange(16), 64, LossMode(False, False))
    assert base is not None and abs(base.loss - base.example_loss) > 1e-3
    wanted = base.loss if normalize == "tokens" else base.example_loss
    assert run.table[1].train_loss == pytest.approx(wanted, abs=1e-5)
    lines = [json.loads(line) for line in (run.out / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if not line.get("eval")]
    assert sum(line["trained_tokens"] for line in steps) == 8 * 3 + 8 * 6
    counts = json.loads((run.out / "train.json").read_text())["mixing"]["rows"]["counted"]
    assert counts == pytest.approx([72.0 if normalize == "tokens" else 16.0])


def test_a_reward_model_has_pairs_and_no_tokens_to_count() -> None:
    with pytest.raises(
        CurateError, match="normalize is 'examples', which has no meaning for a reward model"
    ):
        config(objective="reward", prompts=0)
