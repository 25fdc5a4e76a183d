"""Attention that stays inside the documents of a packed row, and how it is computed.

On a GPU flash attention takes all documents in one call (`torch.nn.attention.varlen`); elsewhere,
and for what it lacks, SDPA takes one after the other. Both are checked before step 1 on the device
that trains, by `packing.isolates` and `checks.proof`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.models.device import put
from trainer.models.modes import plain

if TYPE_CHECKING:
    import torch

# The name under which transformers finds the attention below.
_NAME = "documents"
# What a layer may ask for that flash attention does not do here.
_BEYOND = ("softcap", "s_aux", "position_bias", "cache")


class PackedLayout:
    """The lengths of the documents of a packed row, and what a kernel needs of them."""

    def __init__(self, lengths: tuple[int, ...]) -> None:
        self.lengths = list(lengths)
        self.tokens, self.longest = sum(lengths), max(lengths)
        self._borders: torch.Tensor | None = None

    def borders(self, device: torch.device) -> torch.Tensor:
        """int32 [documents + 1]: where each begins, and the end; made once, not in each layer."""
        if self._borders is None:
            ends = np.cumsum([0, *self.lengths], dtype=np.int32)
            self._borders = put(ends, device)
        return self._borders


class _Now:
    """The packed row under way, None outside of one, and how the last layer was computed."""

    layout: PackedLayout | None = None
    in_one_call = False


@contextmanager
def isolated(documents: tuple[int, ...] | None) -> Iterator[None]:
    """Within, attention stays inside documents of these lengths; None is attention as usual.

    It must also hold during the backward pass, which may compute a forward pass again. Not a
    context variable, because a GPU's backward pass runs in a thread of its own.
    """
    before = _Now.layout
    if documents is None:
        _Now.layout = None
    elif before is None or before.lengths != list(documents):
        _Now.layout = PackedLayout(documents)
    try:
        yield
    finally:
        _Now.layout = before


def how() -> str:
    """How the last packed row was attended to, in words for the log."""
    return "attention inside each" + (", all in one call" if in_one_call() else "")


def in_one_call() -> bool:
    """Whether flash attention took all documents of the last packed row."""
    return _Now.in_one_call


def prepare(model: Any) -> None:
    """Let a model with SDPA attention compute each document of a packed row by itself.

    That is padding-free, and no token is compared with another document's. Models with another
    attention get the block-diagonal mask that transformers builds from restarting positions.
    """
    from transformers import AttentionInterface, AttentionMaskInterface

    network = plain(model)
    _Now.in_one_call = False
    if network.config._attn_implementation == "sdpa":
        AttentionInterface.register(_NAME, _attention)
        AttentionMaskInterface.register(_NAME, _mask)
        network.set_attn_implementation(_NAME)


def _mask(*given: Any, **named: Any) -> Any:
    """None in a packed pass, in which `_attention` does without; else what SDPA needs."""
    from transformers.masking_utils import sdpa_mask

    return None if _Now.layout is not None else sdpa_mask(*given, **named)


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **named: Any,
) -> tuple[torch.Tensor, None]:
    """Attention over [1, heads, tokens, width]; the output is [1, tokens, heads, width].

    As in transformers, a query sees the keys less than `sliding_window` before it, if given.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    layout = _Now.layout
    if layout is None:
        output: torch.Tensor = sdpa_attention_forward(
            module, query, key, value, attention_mask, **named
        )[0]
        return output, None
    _Now.in_one_call = _is_plain(module, named) and _flash_takes(query, key, value, layout)
    if _Now.in_one_call:
        return _in_one_call(query, key, value, layout, named), None
    return _one_by_one(module, query, key, value, layout, named), None


def _is_plain(module: Any, named: Mapping[str, Any]) -> bool:
    """Whether a layer wants causal softmax attention and no more."""
    causal = named.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    beyond = any(named.get(name) is not None for name in _BEYOND)
    return bool(causal) and not beyond and not named.get("dropout")


def _flash_takes(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: PackedLayout
) -> bool:
    """Whether flash attention computes these: half precision, on a GPU that torch has it for.

    Torch itself is asked about device, format and width. Its SDPA pads widths that are no
    multiple of 8, which the call for many documents does not. Tokens outside of all documents
    would get gradients that are not numbers (pytorch#176793).
    """
    from torch.backends.cuda import SDPAParams, can_use_flash_attention

    if (
        not query.is_cuda
        or query.shape[-1] % 8
        or not query.shape[2] == key.shape[2] == layout.tokens
    ):
        return False
    shared = query.shape[1] != key.shape[1]
    return bool(can_use_flash_attention(SDPAParams(query, key, value, None, 0.0, True, shared)))


def _in_one_call(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: PackedLayout,
    named: Mapping[str, Any],
) -> torch.Tensor:
    """Flash attention over all documents at once."""
    from torch.nn.attention.varlen import varlen_attn

    borders, window = layout.borders(query.device), named.get("sliding_window")
    # Flash attention counts the keys before a query, transformers the query too.
    left = -1 if window is None or window >= layout.longest else window - 1
    q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))
    output: Any = varlen_attn(
        q,
        k,
        v,
        borders,
        borders,
        layout.longest,
        layout.longest,
        scale=named.get("scaling"),
        window_size=(left, 0),
        enable_gqa=q.shape[1] != k.shape[1],
    )
    together: torch.Tensor = output[None]
    return together


def _one_by_one(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: PackedLayout,
    named: Mapping[str, Any],
) -> torch.Tensor:
    """SDPA over one document after the other."""
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    window = named.get("sliding_window")
    each = [torch.split(states, layout.lengths, 2) for states in (query, key, value)]
    outputs = [
        sdpa_attention_forward(module, q, k, v, _band(q, window), **named)[0]
        for q, k, v in zip(*each, strict=True)
    ]
    return torch.cat(outputs, 1)


def _band(query: torch.Tensor, window: int | None) -> torch.Tensor | None:
    """The mask of a document longer than the window; others are causal and need none."""
    import torch

    length = query.shape[2]
    if window is None or length <= window:
        return None
    ones = torch.ones((length, length), dtype=torch.bool, device=query.device)
    return (ones.tril() & ones.triu(1 - window))[None, None]
