"""Numbers that stop a run: a loss, a gradient or a weight that is not finite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError, some_of
from trainer.checkpoints import checkpoint
from trainer.data.rows import Ints
from trainer.distributed import ALONE, Group
from trainer.models.sharding import own
from trainer.plan import Plan

if TYPE_CHECKING:
    import torch


def not_finite(
    plan: Plan,
    out: Path,
    chosen: Ints,
    epoch: int,
    step: int,
    loss: float,
    norm: float,
    penalty: float | None = None,
) -> CurateError:
    """The error of a step that was not taken; the `penalty` is a regulariser's."""
    weight = plan.config.regulariser_weight
    advice = f"learning_rate than {plan.config.learning_rate:g}"
    if penalty is not None:
        # A norm has the penalty's gradient, which pushes weights away once a step is too long.
        advice = f"regulariser_weight than {weight:g} (its penalty was {penalty:.4g}), or {advice}"
    shown = some_of([plan.mixture.rows.ids[row] for row in chosen.tolist()], 5)
    return CurateError(
        f"step {step + 1} of epoch {epoch}: loss {loss}, gradient norm {norm}, so the update was "
        f"not made; {checkpoint.last_good(out)}; its rows are {shown}; try a "
        f"lower {advice}"
    )


def check_base(net: Any, name: str) -> None:
    """Before the first step: refuse a base with a weight that is no number, or infinite.

    One row alone need not show it, as nothing may read that row of an embedding. Raises
    `CurateError` with the names of the tensors.
    """
    broken = {key: count for key, tensor in net.state_dict().items() if (count := _odd(tensor))}
    if broken:
        shown = some_of([f"{key} ({count:,} values)" for key, count in broken.items()])
        raise CurateError(
            f"{name}: there are NaN or infinite values in its weights, so nothing was started: "
            f"{shown}; download or convert the model again"
        )


def _odd(tensor: torch.Tensor) -> int:
    """How many values of a tensor are not finite; integers, as of packed weights, all are."""
    import torch

    if not tensor.is_floating_point() or not tensor.numel():
        return 0
    # The least and the largest tell, without a copy; formats of 8 bits have neither.
    values = tensor.float() if tensor.element_size() == 1 else tensor
    ends = torch.stack(torch.aminmax(values))
    return 0 if bool(torch.isfinite(ends).all()) else int((~torch.isfinite(values)).sum())


def check_weights(net: Any, epoch: int, out: Path, group: Group = ALONE) -> None:
    """Before a checkpoint: the last update of an epoch is seen by no later step."""
    import torch

    weights = dict(net.named_parameters())
    found = [float(not torch.isfinite(own(weight)).all()) for weight in weights.values()]
    # A weight may be broken in another process's share alone.
    broken = [name for name, count in zip(weights, group.total(found), strict=True) if count]
    if broken:
        raise CurateError(
            f"epoch {epoch}: {len(broken)} weights are not finite (first {broken[0]}), so no "
            f"checkpoint was written; {checkpoint.last_good(out)}; lower learning_rate"
        )
