"""Losses at an output layer in pieces, so that targets x vocabulary never exists as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Of the logits of some targets, fp32 [some, vocabulary], and which targets they are of, numbers
# for each target: [some, numbers].
Measure = Callable[[Any, slice], Any]


def fine(logits: torch.Tensor) -> torch.Tensor:
    """Logits as float32, or as float64 if they are that."""
    import torch

    return logits if logits.dtype == torch.float64 else logits.float()


def pieces(count: int, rows: int) -> list[slice]:
    """Slices of at most `rows` that cover `count`; one even where there is nothing.

    >>> pieces(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + rows, count)) for start in range(0, max(1, count), rows)]


def by_pieces(head: Any, states: torch.Tensor, rows: int, measure: Measure) -> torch.Tensor:
    """What `measure` makes of `head(states)`, `rows` targets at a time: [targets, numbers].

    With more than one piece the logits of each are computed again in the backward pass: one more
    product with the output matrix in exchange for never holding targets x vocabulary.
    """
    import torch
    from torch.utils.checkpoint import checkpoint

    def measured(states: torch.Tensor, places: slice) -> Any:
        return measure(fine(head(states)), places)

    places = pieces(len(states), rows)
    if len(places) == 1:
        whole: torch.Tensor = measured(states, places[0])
        return whole
    parts = [
        checkpoint(measured, states[each], each, use_reentrant=False, preserve_rng_state=False)
        for each in places
    ]
    return torch.cat(parts)


def cross_entropy(
    head: Any, states: torch.Tensor, targets: torch.Tensor, rows: int
) -> torch.Tensor:
    """-ln p of each target, fp32 [targets], from the hidden states [targets, width] before `head`.

    A plain output matrix has its gradient worked out piece by piece in place, for half the time
    and memory of automatic differentiation; one with a bias, adapters or hooks has not.
    """
    import torch.nn.functional as F

    if len(targets) > rows and _is_plain(head):
        nats: torch.Tensor = _make_function().apply(states, head.weight, targets, rows)
        return nats

    def measure(logits: torch.Tensor, places: slice) -> torch.Tensor:
        return F.cross_entropy(logits, targets[places], reduction="none")

    return by_pieces(head, states, rows, measure)


def _is_plain(head: Any) -> bool:
    """Whether `head(states)` is nothing but a product with its one weight."""
    import torch

    if type(head) is not torch.nn.Linear or head._forward_hooks or head._forward_pre_hooks:
        return False
    parameters = dict(head.named_parameters())
    return [*parameters] == ["weight"] and type(parameters["weight"]) is torch.nn.Parameter


_FUNCTION: list[Any] = []  # the class below, made once: torch is not imported before it is needed


def _make_function() -> Any:
    """Cross entropy of a product with a matrix, as one operation with a gradient of its own."""
    import torch

    if _FUNCTION:
        return _FUNCTION[0]

    class ChunkedCrossEntropy(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, states: Any, weight: Any, targets: Any, rows: int) -> Any:
            sums = fine(states.new_empty(len(targets)))
            nats = torch.empty_like(sums)
            for each in pieces(len(targets), rows):
                logits = fine(states[each] @ weight.T)
                sums[each] = logits.logsumexp(dim=-1)
                own = logits.gather(1, targets[each, None]).squeeze(1)
                torch.sub(sums[each], own, out=nats[each])
            ctx.save_for_backward(states, weight, targets, sums)
            ctx.rows = rows
            return nats

        @staticmethod
        def backward(ctx: Any, given: Any) -> Any:
            states, weight, targets, sums = ctx.saved_tensors
            of_states, of_weight = (
                torch.zeros_like(tensor) if needed else None
                for tensor, needed in zip((states, weight), ctx.needs_input_grad[:2], strict=True)
            )
            for each in pieces(len(targets), ctx.rows):
                # p - y, times what reaches this target, in the memory of the logits.
                apart = fine(states[each] @ weight.T)
                apart.sub_(sums[each, None]).exp_()
                own = targets[each, None]
                apart.scatter_(1, own, apart.gather(1, own) - 1)
                made = apart.mul_(given[each, None]).to(weight.dtype)
                if of_states is not None:
                    of_states[each] = made @ weight
                if of_weight is not None:
                    of_weight.addmm_(made.T, states[each])
            return of_states, of_weight, None, None

    _FUNCTION.append(ChunkedCrossEntropy)
    return ChunkedCrossEntropy
