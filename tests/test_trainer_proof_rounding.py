"""The start-up proof tells rounding, which float64 does not have, from faults, which it has too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from curate.base.errors import CurateError
from tests.test_trainer_proof import config, ready, rows_of
from trainer.checks import proof
from trainer.checks.proof import ALLOWED, prove
from trainer.loss import LossMode
from trainer.models import attention, float64
from trainer.packing import pack

PACKED, PADDED = LossMode(False, True), LossMode(False, False)


def rounds_heavily(model: Any, share: float = 1e-3) -> Any:
    """In float32 the first block is off by a share that depends on the shape of a pass.

    So a kernel rounds that adds up in another order for other shapes; on any processor alike.
    """
    import torch

    def off(module: Any, given: Any, output: Any) -> Any:
        if output.dtype == torch.float64:
            return output
        noise = torch.Generator().manual_seed(output.shape[0] * 1000 + output.shape[1])
        return output * (1 + share * torch.randn(output.shape, generator=noise).to(output.dtype))

    model.model.layers[0].mlp.register_forward_hook(off)
    return model


def leaks(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """Packed documents see a share of what plain causal attention over all of them gives."""
    real = attention._attention

    def leaky(*given: Any, **named: Any) -> Any:
        output, weights = real(*given, **named)
        with attention.isolated(None):
            return output + share * (real(*given, **named)[0] - output), weights

    monkeypatch.setattr(attention, "_attention", leaky)


def refused(net: Any, mode: LossMode, log: Callable[[str], None]) -> str:
    with pytest.raises(CurateError) as error:
        prove(net, rows_of(6), np.arange(9), config(), mode, log)
    return str(error.value)


def test_a_model_that_rounds_heavily_is_trained_and_the_figures_are_said():
    lines: list[str] = []
    found = prove(rounds_heavily(ready()), rows_of(6), np.arange(9), config(), PADDED, lines.append)
    loss, gradient = found.differences["accumulated"]
    assert loss > ALLOWED["float32"][0] and gradient > ALLOWED["float32"][1]
    assert found.exact is not None and max(found.exact["accumulated"]) < 1e-12
    assert f"gradient {gradient:.1e} (allowed 1e-05, 1e-04); in float64 accumulated" in str(found)
    assert "so it is rounding" in str(found)
    [line] = lines
    assert line.startswith("proof: accumulated: loss") and "computing the 9 rows again" in line


def test_an_output_layer_whose_rows_share_a_large_part_is_trained():
    # The gradient of its input is a sum over all words in which that part cancels, as it must:
    # what SmolLM2 has, whose rows are 3.2 long with a mean 2.2 long.
    import torch

    model = ready(tie_word_embeddings=False)
    with torch.no_grad():
        model.lm_head.weight += 300 * torch.randn(model.lm_head.weight.shape[1])
    found = prove(model, rows_of(6), np.arange(9), config(), PACKED)
    assert found.holds


@pytest.mark.parametrize("share", [1.0, 1e-2, 1e-3])
def test_a_leak_is_a_leak_in_float64_too_however_small(
    share: float, monkeypatch: pytest.MonkeyPatch
):
    leaks(monkeypatch, share)
    lines: list[str] = []
    said = refused(ready(), PACKED, lines.append)
    assert "in float64 packed: loss" in said and "so it is not rounding alone" in said
    assert "skip the proof with --no-proof" in said
    assert len(lines) == 1


def test_a_leak_in_a_model_that_rounds_heavily_is_refused(monkeypatch: pytest.MonkeyPatch):
    leaks(monkeypatch, 1e-3)
    said = refused(rounds_heavily(ready()), PACKED, lambda line: None)
    assert "in float64 accumulated: loss" in said and "so it is not rounding alone" in said


def test_a_count_that_is_one_too_many_is_refused_in_a_model_that_rounds_heavily(
    monkeypatch: pytest.MonkeyPatch,
):
    # Each pass counts one more than it has, of 27 and of 3.
    def miscounted(nats: Any, batch: Any) -> Any:
        return nats.sum() * len(nats) / (len(nats) + 1)

    monkeypatch.setattr(proof, "weighted_sum", miscounted)
    said = refused(rounds_heavily(ready()), PADDED, lambda line: None)
    assert "so it is not rounding alone" in said


def test_a_target_that_crosses_a_border_is_refused(monkeypatch: pytest.MonkeyPatch):
    import dataclasses

    def shifted(*given: Any) -> Any:
        for batch in pack(*given):
            targets = batch.targets.copy()
            targets[0] = (targets[0] + 1) % 32
            yield dataclasses.replace(batch, targets=targets)

    monkeypatch.setattr(proof, "pack", shifted)
    said = refused(rounds_heavily(ready()), PACKED, lambda line: None)
    assert "so it is not rounding alone" in said


def test_after_float64_every_bit_is_as_before():
    import torch

    model = rounds_heavily(ready())
    model.model.layers[0].to(torch.bfloat16)
    model.model.layers[0].register_buffer("extra", torch.tensor([1.5], dtype=torch.float16))
    tied = model.lm_head.weight is model.model.embed_tokens.weight
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pointers = {name: id(weight) for name, weight in model.named_parameters()}
    with float64.in_float64(model):
        assert {weight.dtype for weight in model.parameters()} == {torch.float64}
    after = model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert {n: t.dtype for n, t in after.items()} == {n: t.dtype for n, t in before.items()}
    assert {name: id(weight) for name, weight in model.named_parameters()} == pointers
    assert (model.lm_head.weight is model.model.embed_tokens.weight) is tied


def test_training_goes_on_in_its_own_format_after_float64():
    import torch

    model = rounds_heavily(ready())
    prove(model, rows_of(6), np.arange(9), config(), PADDED)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert all(weight.grad is None for weight in model.parameters()) and model.training


def test_a_model_that_does_not_run_in_float64_is_refused_with_the_reason():
    import torch

    model = rounds_heavily(ready())
    fixed = torch.eye(16)
    model.model.norm.register_forward_hook(lambda module, given, output: output @ fixed)
    said = refused(model, PADDED, lambda line: None)
    assert "and it does not run in float64 (expected" in said
    assert "so that rounding cannot be told from a fault" in said
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_float64_is_not_begun_where_memory_is_short(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(float64, "free", lambda net: 1000)
    said = refused(rounds_heavily(ready()), PADDED, lambda line: None)
    assert "float64 takes 0.0 GB more, with 0.0 GB free" in said


def test_weights_count_the_same_in_float64():
    import dataclasses

    rows = rows_of(6)
    weighted = dataclasses.replace(
        rows, weights=np.linspace(0.1, 2, len(rows.input_ids)).astype(np.float32)
    )
    found = prove(rounds_heavily(ready()), weighted, np.arange(9), config(), PADDED)
    assert found.exact is not None and found.holds
