"""Attention inside documents: all in one call as on a GPU, one by one, or behind a mask.

The call itself is the one of `torch.nn.attention.varlen`; under it lies, in place of the GPU's
kernel, one written by hand with the same signature.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from curate.base.errors import CurateError
from tests.trainer_toys import ALL, documents, silent, toy_model
from trainer import TrainConfig
from trainer.loss import LossMode
from trainer.models import attention
from trainer.models.attention import isolated, prepare
from trainer.objectives.sft import gradients
from trainer.packing import decide, positions

LENGTHS = (3, 1, 9, 4)


def allowed(starts: Any, causal: bool, left: int, right: int) -> Any:
    """[tokens, tokens]: the keys that a query sees, as flash attention documents its arguments."""
    import torch

    ends = starts.long()
    document = torch.repeat_interleave(torch.arange(len(ends) - 1), ends.diff())
    place = torch.arange(len(document))
    before = place[:, None] - place
    seen = document[:, None] == document
    if causal or right == 0:
        seen &= before >= 0
    return seen & (before <= left) if left >= 0 else seen


def weights_of(q: Any, k: Any, seen: Any, scale: float | None) -> tuple[Any, float]:
    """Softmax weights [heads, tokens, tokens] and the scale, heads of keys shared by groups."""
    import torch

    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = torch.einsum("ihd,jhd->hij", q, k) * scale
    return scores.masked_fill(~seen, -math.inf).softmax(-1), scale


def spread(states: Any, heads: int) -> Any:
    return states.repeat_interleave(heads // states.shape[1], 1)


class Kernel:
    """`_flash_attention_forward` and `_backward` by hand for [tokens, heads, width]."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def forward(
        self, q: Any, k: Any, v: Any, starts: Any, ends: Any, most_q: int, most_k: int,
        dropout: float, causal: bool, return_debug_mask: bool, *, scale: Any = None,
        window_size_left: int = -1, window_size_right: int = -1, **more: Any,
    ) -> Any:  # fmt: skip
        import torch

        assert starts.dtype == torch.int32 and starts[-1] == len(q) == len(k)
        assert most_q == most_k == starts.diff().max() and dropout == 0.0
        assert not any(value is not None for value in more.values())
        left = window_size_left
        self.calls.append({"starts": starts, "causal": causal, "left": left})
        weights, _ = weights_of(
            q, spread(k, q.shape[1]), allowed(starts, causal, left, window_size_right), scale
        )
        output = torch.einsum("hij,jhd->ihd", weights, spread(v, q.shape[1]))
        unused = torch.zeros(0)
        return output, torch.zeros(q.shape[1], len(q)), unused.to(torch.uint64), unused, unused

    def backward(
        self, grad: Any, q: Any, k: Any, v: Any, output: Any, sums: Any, starts: Any, ends: Any,
        most_q: int, most_k: int, dropout: float, causal: bool, state: Any, unused: Any, *,
        scale: Any = None, window_size_left: int = -1, window_size_right: int = -1,
    ) -> Any:  # fmt: skip
        import torch

        heads, seen = q.shape[1], allowed(starts, causal, window_size_left, window_size_right)
        keys, values = spread(k, heads), spread(v, heads)
        weights, scale = weights_of(q, keys, seen, scale)
        inner = torch.einsum("ihd,jhd->hij", grad, values)
        inner = weights * (inner - (weights * inner).sum(-1, keepdim=True)) * scale
        back = (
            torch.einsum("hij,ihd->jhd", inner, q),
            torch.einsum("hij,ihd->jhd", weights, grad),
        )
        grouped = (each.view(len(k), k.shape[1], -1, k.shape[2]).sum(2) for each in back)
        return torch.einsum("hij,jhd->ihd", inner, keys), *grouped


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """A CPU that takes all documents in one call, as if torch had flash attention for it."""
    import torch

    made = Kernel()
    library = torch.library.Library("aten", "IMPL")
    library.impl("_flash_attention_forward", made.forward, "CPU")
    library.impl("_flash_attention_backward", made.backward, "CPU")
    monkeypatch.setattr(attention, "_flash_takes", lambda *given: True)
    yield made
    library._destroy()


def states(heads: int, shared: int) -> list[Any]:
    import torch

    torch.manual_seed(0)
    count = sum(LENGTHS)
    sizes = ((heads, count), (shared, count), (shared, count))
    return [
        torch.randn(1, each, tokens, 8, dtype=torch.float64, requires_grad=True)
        for each, tokens in sizes
    ]


def with_gradients(compute: Callable[..., Any], given: list[Any]) -> list[Any]:
    """The output and the gradients of a sum over it in which each value counts differently."""
    import torch

    output = compute(*given)
    torch.manual_seed(1)
    return [output, *torch.autograd.grad((output * torch.randn(output.shape)).sum(), given)]


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("window", [None, 1, 3, 4, 9, 100])
@pytest.mark.parametrize(("heads", "shared"), [(2, 2), (4, 2), (4, 1)])
def test_one_call_one_by_one_and_a_mask_give_the_same_output_and_gradients(
    kernel: Kernel, heads: int, shared: int, window: int | None, scale: float | None
):
    import torch
    import torch.nn.functional as F

    layer = SimpleNamespace(num_key_value_groups=heads // shared, is_causal=True)
    wanted = {"sliding_window": window, "scaling": scale, "dropout": 0.0}
    starts = torch.tensor([0, *np.cumsum(LENGTHS)])
    mask = allowed(starts, True, -1 if window is None else window - 1, 0)

    def at_once(q: Any, k: Any, v: Any) -> Any:
        with isolated(LENGTHS):
            return attention._attention(layer, q, k, v, None, **wanted)[0]

    def in_turn(q: Any, k: Any, v: Any) -> Any:
        return attention._one_by_one(layer, q, k, v, attention.PackedLayout(LENGTHS), wanted)

    def masked(q: Any, k: Any, v: Any) -> Any:
        output = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, scale=scale, enable_gqa=True
        )
        return output.transpose(1, 2)

    given = states(heads, shared)
    expected = with_gradients(masked, given)
    for mode in (at_once, in_turn):
        for found, wished in zip(with_gradients(mode, given), expected, strict=True):
            assert torch.allclose(found, wished, atol=1e-12, rtol=0)
    assert len(kernel.calls) == 1
    assert kernel.calls[0]["causal"] is (window is None or window >= 9)


def test_the_call_takes_half_precision_and_gives_back_what_it_was_given():
    """Torch's own description of the operation runs without a GPU and without any numbers."""
    import torch

    q, k, v = (each.detach().to("meta", torch.bfloat16).requires_grad_() for each in states(4, 2))
    layout = attention.PackedLayout(LENGTHS)
    output = attention._in_one_call(q, k, v, layout, {"sliding_window": 3, "scaling": 0.3})
    assert (output.shape, output.dtype) == ((1, sum(LENGTHS), 4, 8), torch.bfloat16)
    output.float().sum().backward()
    assert [each.grad.shape for each in (q, k, v)] == [each.shape for each in (q, k, v)]
    flash = torch.ops.aten._flash_attention_forward
    borders = layout.borders(q.device)
    raw = [each.detach()[0].transpose(0, 1) for each in (q, k, v)]
    of_kernel = flash(*raw, borders, borders, 9, 9, 0.0, False, False, window_size_left=2)
    assert (of_kernel[0].shape, of_kernel[0].dtype) == (output.shape[1:], output.dtype)


def test_borders_are_made_once_for_all_layers_and_passes_of_one_row(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
):
    import torch

    copies: list[Any] = []
    real = attention.put
    monkeypatch.setattr(
        attention, "put", lambda values, device: copies.append(values) or real(values, device)
    )
    model = toy_model()
    prepare(model)
    ids = torch.ones((1, sum(LENGTHS)), dtype=torch.int64)
    with isolated(LENGTHS), isolated(LENGTHS):
        model(input_ids=ids, position_ids=torch.from_numpy(positions(LENGTHS)), use_cache=False)
    assert [copy.tolist() for copy in copies] == [[0, 3, 4, 13, 17]]
    assert len(kernel.calls) == model.config.num_hidden_layers


def test_rows_inside_one_another_end_where_they_began():
    with isolated((2, 3)):
        outer = attention._Now.layout
        with isolated(None):
            assert attention._Now.layout is None
        with isolated((4, 1)):
            assert attention._Now.layout is not outer
        assert attention._Now.layout is outer
    assert attention._Now.layout is None


# Whole models


def windowed_model() -> Any:
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    heads = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    size = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 32, "initializer_range": 0.2}
    return MistralForCausalLM(MistralConfig(**heads, **size, sliding_window=3)).eval()


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("make", [toy_model, windowed_model])
def test_a_step_in_one_call_has_the_loss_and_gradients_of_the_padded_one(
    kernel: Kernel, make: Callable[[], Any], recompute: bool
):
    import torch

    rows, model = documents(), make()
    prepare(model)
    settings = TrainConfig(tokens="t", model="m", out="o", max_grad_norm=0.0)
    found = []
    for packed in (False, True):
        if packed and recompute:
            model.activation_checkpointing_enable({"use_reentrant": False})
            model.train()
        loss, _, _ = gradients(model, rows, ALL, settings, LossMode(False, packed), 4)
        found.append((loss, torch.cat([each.grad.flatten() for each in model.parameters()])))
    assert found[1][0] == pytest.approx(found[0][0], abs=1e-6)
    assert torch.allclose(found[1][1], found[0][1], atol=2e-6, rtol=0)
    assert len(kernel.calls) == (4 if recompute else 2)  # layers, twice


def test_one_call_is_said_in_the_log(kernel: Kernel):
    said: list[str] = []
    config = TrainConfig(tokens="t", model="m", out="o", packing="on")
    assert decide(toy_model(), documents(), ALL, config, said.append)
    assert "attention inside each, all in one call; another document" in said[0]


def test_a_kernel_that_looks_across_documents_is_refused_before_the_first_step(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
):
    import torch

    def all_in_one(layout: Any, device: Any) -> Any:
        layout.longest = layout.tokens
        return torch.tensor([0, layout.tokens], dtype=torch.int32)

    monkeypatch.setattr(attention.PackedLayout, "borders", all_in_one)
    config = TrainConfig(tokens="t", model="m", out="o", packing="on")
    with pytest.raises(CurateError, match="would learn across rows"):
        decide(toy_model(), documents(), ALL, config, silent)


# Who is taken one by one


@pytest.mark.parametrize(
    "wanted",
    [
        {"softcap": 30.0},
        {"s_aux": np.zeros(2)},
        {"position_bias": np.zeros(2)},
        {"dropout": 0.1},
        {"is_causal": False},
    ],
)
def test_what_flash_attention_lacks_is_not_asked_of_it(wanted: dict[str, Any]):
    layer = SimpleNamespace(is_causal=True)
    assert attention._is_plain(layer, {"scaling": 0.1, "sliding_window": 4, "dropout": 0.0})
    assert not attention._is_plain(layer, wanted)
    assert not attention._is_plain(SimpleNamespace(is_causal=False), {})


def test_a_cpu_takes_documents_one_by_one():
    assert not attention._flash_takes(*states(4, 2), attention.PackedLayout(LENGTHS))


@pytest.mark.parametrize(
    ("width", "tokens", "torch_says", "taken"),
    [(64, 17, True, True), (64, 17, False, False), (20, 17, True, False), (64, 18, True, False)],
)
def test_on_a_gpu_torch_is_asked_and_odd_widths_and_stray_tokens_are_left_out(
    monkeypatch: pytest.MonkeyPatch, width: int, tokens: int, torch_says: bool, taken: bool
):
    from torch.backends import cuda

    asked: list[Any] = []
    monkeypatch.setattr(cuda, "SDPAParams", lambda *given: given)
    monkeypatch.setattr(
        cuda, "can_use_flash_attention", lambda given: asked.append(given) or torch_says
    )
    query = SimpleNamespace(is_cuda=True, shape=(1, 4, tokens, width))
    key = SimpleNamespace(is_cuda=True, shape=(1, 2, tokens, width))
    layout = attention.PackedLayout(LENGTHS)
    assert attention._flash_takes(query, key, key, layout) == taken  # type: ignore[arg-type]
    assert all(given == (query, key, key, None, 0.0, True, True) for given in asked)
