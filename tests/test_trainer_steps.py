"""However a step is cut, and whatever computes it: the same losses, over many steps."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from tests.trainer_toys import ALL, DOCUMENTS, documents, toy_model
from trainer.config.config import TrainConfig
from trainer.data.rows import Rows, make_rows
from trainer.loss import LossMode, target_nats
from trainer.models.attention import prepare
from trainer.objectives import sft
from trainer.objectives.sft import evaluate, gradients
from trainer.packing import pack

BATCH = 8
WHOLE = 8 * 11  # positions of a step in one pass


def config(**fields: Any) -> TrainConfig:
    return TrainConfig(**{"tokens": "t", "model": "m", "out": "o", "max_grad_norm": 0.0, **fields})


def model_of(recompute: bool = False) -> Any:
    model = toy_model(num_hidden_layers=1).train()
    prepare(model)
    if recompute:
        model.activation_checkpointing_enable({"use_reentrant": False})
    return model


def rows_of(count: int) -> Rows:
    """Rows of 7 to 11 tokens with answers of 3 to 7."""
    ids, labels = [], []
    for number in range(count):
        asked = [1, 4 + number, 4 + 5 * number % 28, 3]
        answer = [*range(4 + number % 7, 6 + number % 7 + number % 5), 2]
        ids.append(asked + answer)
        labels.append([-100] * 4 + answer)
    return make_rows([str(number) for number in range(count)], ids, labels)


def losses(model: Any, steps: int, micro_tokens: int, packed: bool = False) -> list[float]:
    import torch

    rows = rows_of(3 * BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    found = []
    for step in range(steps):
        chosen = np.arange(BATCH) + BATCH * (step % 3)
        settings = config(micro_tokens=micro_tokens)
        found.append(gradients(model, rows, chosen, settings, LossMode(False, packed), 24)[0])
        optimizer.step()
    return found


@functools.cache
def fifty() -> list[float]:
    """Eight rows in one pass, for 50 steps."""
    return losses(model_of(), 50, WHOLE)


def test_fifty_steps_that_learn_are_what_is_compared() -> None:
    assert len(fifty()) == 50 and fifty()[-1] < 0.7 * fifty()[0]


@pytest.mark.parametrize(
    ("micro_tokens", "packed", "recompute"),
    [(1, False, False), (WHOLE, False, True), (30, True, False)],
    ids=["one-row-passes", "recomputed", "packed"],
)
def test_fifty_steps_lose_the_same_however_they_are_computed(
    micro_tokens: int, packed: bool, recompute: bool
) -> None:
    found = losses(model_of(recompute), 50, micro_tokens, packed)
    assert found == pytest.approx(fifty(), abs=1e-6, rel=0)


# Dynamo warns of what torch itself imports.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_passes_of_two_rows_and_a_compiled_model_lose_the_same() -> None:
    """Compiled up to the kernels (`aot_eager`): that needs no compiler and has the same graph."""
    import torch
    from torch._dynamo.utils import counters

    assert losses(model_of(), 6, 2 * 11) == pytest.approx(fifty()[:6], abs=1e-4, rel=0)
    model = toy_model(num_hidden_layers=1).train()
    counters.clear()
    torch._dynamo.reset()
    model.model.compile(backend="aot_eager", dynamic=False)  # all passes are of [8, 11]
    assert losses(model, 6, WHOLE) == pytest.approx(fifty()[:6], abs=1e-4, rel=0)
    assert counters["stats"]["unique_graphs"] >= 1 and not counters["graph_break"]
    torch._dynamo.reset()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kernel", ["whole logits", "trained logits", "pieces"])
def test_a_step_is_divided_once_whatever_computes_its_logits(
    kernel: str, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In passes of one row each: a loss divided by every pass as well would be another."""
    import torch
    import torch.nn.functional as F

    model, rows = toy_model(), documents()
    nats = [
        F.cross_entropy(
            model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1],
            torch.tensor(labels[1:]),
            ignore_index=-100,
            reduction="sum",
        )
        for ids, labels in DOCUMENTS
    ]
    expected = sum(nats) / 13
    expected.backward()
    norm = torch.nn.utils.get_total_norm([weight.grad for weight in model.parameters()])
    prepare(model)
    if kernel == "pieces":
        monkeypatch.setattr(sft, "target_nats", functools.partial(target_nats, chunk=64))
    settings, mode = config(micro_tokens=8), LossMode(kernel == "whole logits", packed)
    loss, found, _ = gradients(model, rows, ALL, settings, mode, 4)
    assert loss == pytest.approx(expected.item(), abs=1e-6)
    assert found == pytest.approx(float(norm), abs=1e-5)


def test_evaluation_is_the_same_in_batches_of_any_size_padded_or_packed() -> None:
    import torch

    rows, plain, packing = documents(), toy_model(), toy_model()
    prepare(packing)
    found = [
        evaluate(model, rows, ALL, size, LossMode(whole, False))
        for model in (plain, packing)
        for size in (1, 12, 1000)
        for whole in (False, True)
    ]
    with torch.no_grad():
        (batch,) = pack(rows, ALL, 1000)
        nats = target_nats(packing, batch, whole=False).double().numpy()
    by_row = np.bincount(batch.rows[batch.row_of], weights=nats)
    for each in found:
        assert each is not None and (each.rows, each.targets) == (4, 13)
        assert each.loss == pytest.approx(nats.sum() / 13, abs=1e-6)
        assert each.example_loss == pytest.approx((by_row / [3, 2, 7, 1]).mean(), abs=1e-6)
