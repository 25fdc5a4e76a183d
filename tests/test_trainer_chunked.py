"""Losses at the output layer in pieces: the numbers and gradients of whole logits, less memory."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trainer_toys import ALL, documents, toy_model
from trainer.data.batches import pad
from trainer.loss import target_nats
from trainer.models.chunked import by_pieces, cross_entropy, pieces

torch = pytest.importorskip("torch")

WORDS, WIDTH, TARGETS = 700, 24, 37


def layer(bias: bool = False, dtype: Any = None) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Linear(WIDTH, WORDS, bias=bias, dtype=dtype)


def inputs(dtype: Any = None) -> tuple[Any, Any]:
    made = torch.Generator().manual_seed(1)
    states = torch.randn(TARGETS, WIDTH, generator=made)
    targets = torch.randint(WORDS, (TARGETS,), generator=made)
    return (states if dtype is None else states.to(dtype)).requires_grad_(), targets


def found(nats: Any, states: Any, head: Any, scale: Any) -> list[Any]:
    """The numbers, and the gradients of states and weights, each target counting `scale`."""
    states.grad = None
    head.zero_grad()
    (nats.float() * scale).sum().backward()
    return [nats.detach(), states.grad, *(weight.grad for weight in head.parameters())]


def reference(head: Any, states: Any, targets: Any) -> Any:
    import torch.nn.functional as F

    return F.cross_entropy(head(states).float(), targets, reduction="none")


SCALE = torch.linspace(0.0, 2.0, TARGETS)  # one target counts nothing


@pytest.mark.parametrize("rows", [1, 5, 36, 37, 100])
@pytest.mark.parametrize("bias", [False, True])
def test_pieces_of_any_size_give_numbers_and_gradients_of_whole_logits(rows: int, bias: bool):
    head, (states, targets) = layer(bias), inputs()
    expected = found(reference(head, states, targets), states, head, SCALE)
    got = found(cross_entropy(head, states, targets, rows), states, head, SCALE)
    for one, other in zip(got, expected, strict=True):
        assert torch.allclose(one, other, atol=2e-6)


def test_torchs_own_operation_gives_the_same_in_float32():
    import torch.nn.functional as F

    if not hasattr(F, "linear_cross_entropy"):
        pytest.skip("torch before 2.13 has none")
    head, (states, targets) = layer(), inputs()
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=5)
    theirs = F.linear_cross_entropy(states, head.weight, targets, reduction="none", options=options)
    expected = found(theirs, states, head, SCALE)
    for one, other in zip(
        found(cross_entropy(head, states, targets, 5), states, head, SCALE), expected, strict=True
    ):
        assert torch.allclose(one, other, atol=2e-6)


def test_in_bfloat16_numbers_stay_float32_where_torchs_own_are_rounded():
    import torch.nn.functional as F

    head, (states, targets) = layer(dtype=torch.bfloat16), inputs(torch.bfloat16)
    exact = reference(head, states, targets)
    ours = cross_entropy(head, states, targets, 5)
    assert ours.dtype == torch.float32
    assert torch.allclose(ours, exact, atol=1e-5)
    if hasattr(F, "linear_cross_entropy"):
        options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=5)
        theirs = F.linear_cross_entropy(
            states, head.weight, targets, reduction="none", options=options
        )
        assert theirs.dtype == torch.bfloat16
        assert float((theirs.detach().float() - exact.detach()).abs().max()) > 1e-3
    expected = found(exact, states, head, SCALE)
    for one, other in zip(found(ours, states, head, SCALE), expected, strict=True):
        assert torch.allclose(one.float(), other.float(), atol=3e-2, rtol=3e-2)


def test_the_same_call_gives_the_same_bits():
    head, (states, targets) = layer(), inputs()
    results = [
        found(cross_entropy(head, states, targets, 5), states, head, SCALE) for _ in range(2)
    ]
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_frozen_weights_get_no_gradient():
    head, (states, targets) = layer(), inputs()
    head.weight.requires_grad_(False)
    cross_entropy(head, states, targets, 5).sum().backward()
    assert head.weight.grad is None and states.grad is not None


@pytest.mark.parametrize("change", ["hook", "wrapped", "adapter"])
def test_an_output_layer_that_is_more_than_its_weight_is_called(change: str):
    """With adapters on it, or a hook, the weight alone would be another model."""
    head, (states, targets) = layer(), inputs()
    if change == "hook":
        head.register_forward_hook(lambda module, given, output: 3 * output)
    if change == "wrapped":

        class Scaled(torch.nn.Linear):
            def forward(self, states: Any) -> Any:
                return 3 * super().forward(states)

        head.__class__ = Scaled
    if change == "adapter":
        from peft.tuners.lora import Linear, LoraConfig

        config = LoraConfig(r=2, target_modules=["lm_head"], init_lora_weights=False)
        head = Linear(head, "default", config=config, r=2, init_lora_weights=False)
    expected = reference(head, states, targets)
    assert not torch.allclose(expected, reference(layer(), states, targets), atol=1e-2)
    assert torch.allclose(cross_entropy(head, states, targets, 5), expected, atol=1e-5)


def test_a_measure_gets_each_piece_with_its_place_and_may_give_several_numbers():
    head, (states, _) = layer(), inputs()
    seen: list[tuple[int, int]] = []

    def measure(logits: Any, places: slice) -> Any:
        seen.append((places.start, places.stop))
        return torch.stack([logits.amax(dim=-1), logits.logsumexp(dim=-1)], dim=1)

    got = by_pieces(head, states, 10, measure)
    assert seen == [(0, 10), (10, 20), (20, 30), (30, 37)]
    assert torch.allclose(got[:, 1], head(states).logsumexp(dim=-1), atol=1e-6)
    got.sum().backward()
    assert len(seen) == 8  # each once more, for its gradients


def test_of_no_target_there_is_one_empty_piece():
    assert pieces(0, 5) == [slice(0, 0)]
    head, (states, targets) = layer(), inputs()
    cross_entropy(head, states[:0], targets[:0], 5).sum().backward()
    assert states.grad is not None and float(states.grad.abs().max()) == 0.0


@pytest.mark.parametrize("tied", [False, True])
def test_a_models_gradients_are_those_of_whole_logits_tied_or_not(tied: bool):
    model, batch = toy_model(tie_word_embeddings=tied), pad(documents(), ALL)
    gradients = []
    for whole in (True, False):
        model.zero_grad()
        target_nats(model, batch, whole=whole, chunk=96).sum().backward()
        gradients.append([weight.grad.clone() for weight in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


# Memory


@pytest.mark.parametrize("piece", [4, 16])
def test_no_more_than_a_piece_of_logits_ever_exists(piece: int):
    from torch.utils._python_dispatch import TorchDispatchMode

    head, (states, targets) = layer(), inputs()

    class Largest(TorchDispatchMode):
        rows = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            result = func(*args, **(kwargs or {}))
            for each in result if isinstance(result, tuple | list) else (result,):
                if isinstance(each, torch.Tensor) and tuple(each.shape[1:]) == (WORDS,):
                    # The weight itself, seen from its other side, has a row for each number.
                    rows = 0 if len(each) == WIDTH else len(each)
                    Largest.rows = max(Largest.rows, rows)
            return result

    with Largest():
        cross_entropy(head, states, targets, piece).sum().backward()
    assert Largest.rows == piece


def test_the_router_loss_of_choices_that_fall_alike_is_the_number_chosen():
    """Balanced experts: N x sum(share x probability) = k; all on the same: N."""
    from trainer.models.routers import balance, choices

    for experts, per_token in ((4, 1), (4, 2), (8, 2)):
        even = torch.zeros(experts, experts)
        for token in range(experts):
            for next_ in range(per_token):
                even[token, (token + next_) % experts] = 1e-6
        counted = choices([even], None, per_token)
        assert float(balance([even], None, counted)) == pytest.approx(per_token, abs=1e-4)
    alone = torch.full((4, 4), -1e4)
    alone[:, 0] = 1e4
    counted = choices([alone], None, 1)
    assert float(balance([alone], None, counted)) == pytest.approx(4.0, abs=1e-4)
