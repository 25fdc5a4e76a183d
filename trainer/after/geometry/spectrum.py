"""A change of a weight in the directions of the weight itself (arXiv 2605.28819).

With W0 = U S Vt and W = W0 + D, for each singular value s_i of W0: what is lost of it,
|u_i W v_i - s_i|, and how far its direction is changed, |D v_i|.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_WINDOW = 5  # of the moving average that spikes stand out from


@dataclasses.dataclass(frozen=True)
class Profile:
    """`lost` and `moved`: the two of each singular value, largest value first, as shares of it.

    Of values that are 0 but for rounding there is no share; they are left out of both.
    `effective_rank`: |D|^2 / |D|_2^2, 1 for a change in one direction, None for none. `spikiness`:
    the mean distance of `moved`, before it is a share, from its moving average over five.
    """

    lost: tuple[float, ...]
    moved: tuple[float, ...]
    effective_rank: float | None
    spikiness: float


def profile(change: torch.Tensor, weight: torch.Tensor) -> Profile:
    """The profile of a `change` [out, in] over the singular values of a `weight`."""
    import torch

    change, weight = change.double(), weight.double()
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    through = change @ right.T
    lost = (left * through).sum(dim=0).abs()
    moved = through.norm(dim=0)
    largest = float(torch.linalg.matrix_norm(change, ord=2))
    rank = float(change.square().sum()) / largest**2 if largest > 0 else None
    there = values > values[0] * max(weight.shape) * torch.finfo(torch.float32).eps
    sizes = values[there]
    return Profile(
        lost=tuple((lost[there] / sizes).tolist()),
        moved=tuple((moved[there] / sizes).tolist()),
        effective_rank=rank,
        spikiness=float((moved - _smoothed(moved)).abs().mean()),
    )


def _smoothed(curve: torch.Tensor) -> torch.Tensor:
    """The moving average over `_WINDOW` values, over fewer at both ends."""
    import torch

    kernel = torch.ones(1, 1, _WINDOW, dtype=curve.dtype, device=curve.device)
    ones = torch.ones_like(curve)

    def summed(values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv1d(values[None, None], kernel, padding=_WINDOW // 2)[0, 0]

    return summed(curve) / summed(ones)
