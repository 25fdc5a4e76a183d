"""What the change of a linear layer does to what the layer reads, from one matrix a layer.

With h = what the base's layer reads and C = E[h ht], E|D h|^2 = tr(D C Dt) for any change D of its
weight. So one pass of the base is enough for every checkpoint and every share of a change; on a
path W0 + a D the measures are a^2 times those at a = 1. Formulas: arXiv 2605.28819.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

EPSILON = 1e-12


class Second:
    """The second moment of what a layer reads: sums over `count` vectors, fp64 [in, in]."""

    def __init__(self, size: int, device: torch.device) -> None:
        import torch

        self.sum = torch.zeros(size, size, dtype=torch.float64, device=device)
        self.count = 0

    def add(self, vectors: torch.Tensor) -> None:
        """Add vectors [some, in]."""
        given = vectors.double()
        self.sum.addmm_(given.T, given)
        self.count += len(given)

    def mean(self) -> torch.Tensor:
        """C = E[h ht]."""
        return self.sum / max(self.count, 1)


@dataclasses.dataclass(frozen=True)
class Shift:
    """How far a change of a weight moves what the layer gives, on average over what it reads.

    `relative` is E|D h|^2 / E|W0 h|^2, the squared share of the output that changes; `aligned` is
    E|D h|^2 / (|D|^2 E|h|^2), how much of the change points to where the text lies: 1 / in where it
    points nowhere in particular.
    """

    relative: float
    aligned: float


def shift(change: torch.Tensor, weight: torch.Tensor, second: torch.Tensor) -> Shift:
    """The shift by a `change` [out, in] of a `weight`, over vectors of this second moment."""
    moved = _through(change, second)
    relative = moved / (_through(weight, second) + EPSILON)
    read = float(second.trace())
    aligned = moved / ((float(change.double().square().sum()) + EPSILON) * (read + EPSILON))
    return Shift(relative, aligned)


def _through(weight: torch.Tensor, second: torch.Tensor) -> float:
    """tr(W C Wt)."""
    full = weight.double().to(second.device)
    return float(((full @ second) * full).sum())


def upright(layer: Any) -> torch.Tensor:
    """A linear layer's weight as [out, in]; the Conv1D of GPT-2 keeps it the other way round."""
    from transformers.pytorch_utils import Conv1D

    weight: torch.Tensor = layer.weight.detach()
    return weight.T if isinstance(layer, Conv1D) else weight


def linear_layers(blocks: Sequence[Any]) -> list[tuple[int, str, Any]]:
    """Number of the block, name within it, and module, of every linear layer of the blocks."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return [
        (number, name, module)
        for number, block in enumerate(blocks)
        for name, module in block.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and ".bottleneck." not in f".{name}."
    ]


@contextmanager
def reading(layers: Sequence[Any], seconds: Sequence[Second]) -> Iterator[None]:
    """Inside, what each layer reads is added to its second moment."""
    handles = [
        layer.register_forward_pre_hook(_adder(second))
        for layer, second in zip(layers, seconds, strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _adder(second: Second) -> Any:
    def add(module: Any, inputs: Any) -> None:
        second.add(inputs[0].detach().flatten(0, -2))

    return add
