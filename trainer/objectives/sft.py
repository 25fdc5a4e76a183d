"""Supervised fine-tuning: the trained tokens of an answer become more likely."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.config.config import TrainConfig
from trainer.data.batches import Batch, batches, pad
from trainer.data.rows import Ints, Rows
from trainer.loss import LossMode, target_nats, weighted_sum
from trainer.models import attention
from trainer.models.device import put
from trainer.models.modes import evaluating
from trainer.models.routers import balance, choices
from trainer.objectives.closing import close
from trainer.packing import step_batches
from trainer.result import Evaluation

if TYPE_CHECKING:
    import torch

# The losses of a pass, fp32 [targets, numbers]; a list is filled with the logits of routers.
OfPass = Callable[[Batch, "list[torch.Tensor] | None"], "torch.Tensor"]


def gradients(
    net: Any, rows: Rows, chosen: Ints, config: TrainConfig, mode: LossMode, own: int
) -> tuple[float, float, dict[str, float]]:
    """Fill the gradients of one optimizer step; its loss in nats per target, and their norm.

    Nats are summed over every forward pass and divided once, by what the targets of the whole
    step count: however the rows are cut into passes, each trained token weighs the same. Third
    come `general_loss`, of rows from number `own` on, which are general text, and `router_loss` and
    `penalty`, which are no part of the first, where there are such.
    """

    def of_pass(batch: Batch, routed: list[torch.Tensor] | None) -> torch.Tensor:
        return target_nats(net, batch, whole=mode.whole, routed=routed).unsqueeze(1)

    return take_step(net, rows, chosen, config, mode, own, of_pass)[:3]


def take_step(
    net: Any,
    rows: Rows,
    chosen: Ints,
    config: TrainConfig,
    mode: LossMode,
    own: int,
    of_pass: OfPass,
    besides: int = 0,
) -> tuple[float, float, dict[str, float], tuple[float, ...]]:
    """A step as `gradients` takes it, of the losses that `of_pass` gives for a pass.

    Those are fp32 [targets, 1 + `besides`]; the first is trained. Last come the sums of the others
    over the step, each target as it counts.
    """
    import torch

    divisor = counted(rows, chosen)
    net.zero_grad(set_to_none=True)
    total: Any = 0.0
    general: Any = 0.0
    balanced: Any = 0.0
    sums = torch.zeros(besides, dtype=torch.float64, device=next(net.parameters()).device)
    mine = chosen[mode.group.share(rows.lengths[chosen])]
    passes = list(step_batches(rows, mine, config, mode.packed))
    shortest = chosen[[np.argmin(rows.lengths[chosen])]]
    known = _step_choices(net, passes, lambda: pad(rows, shortest), mode)
    for batch, counts in mode.group.in_step(passes, lambda: pad(rows, shortest)):
        routed: list[Any] | None = None if mode.routers is None else []
        with attention.isolated(batch.documents):
            losses = of_pass(batch, routed)
            nats = losses[:, 0]
            loss = weighted_sum(nats, batch) * counts / divisor
            added = None
            if mode.routers is not None and routed is not None:
                real = _real(batch, nats.device)
                step = choices(routed, real, mode.routers.per_token) if known is None else known
                added = balance(routed, real, step) * counts
                balanced = balanced + added.detach().double()
                added = mode.routers.coefficient * added
            torch.autograd.backward(loss if added is None else loss + added)
        # Read once a step: a GPU is not waited for between passes.
        total = total + loss.detach().double()
        sums = sums + _sums(losses, batch) * counts
        if counts and int(batch.rows.max()) >= own:
            general = general + _general_nats(nats, batch, own)
    trained = [weight for weight in net.parameters() if weight.requires_grad]
    total, general, balanced, *others_sums = mode.group.add_up(
        trained, float(total), float(general), float(balanced), *sums.tolist()
    )
    norm, penalty = close(trained, config, mode)
    read = int(rows.target_counts[chosen[chosen >= own]].sum())
    others = {"general_loss": general / read} if read else {}
    others |= {"router_loss": balanced} if mode.routers else {}
    return total, norm, others | penalty, tuple(others_sums)


def _sums(losses: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The sums of all numbers of a pass but the first, fp64, each target as it counts."""
    others = losses.detach()[:, 1:].double()
    if batch.weights is not None:
        others = others * put(batch.weights, others.device)[:, None]
    return others.sum(dim=0)


def _step_choices(
    net: Any, passes: Sequence[Batch], spare: Callable[[], Batch], mode: LossMode
) -> Any:
    """The choices of all tokens of the step; None where one pass shows all of them.

    How often an expert is chosen in the whole step must be known before the gradients of its first
    pass. So all passes are made once more, without gradients and with the same dropout.
    """
    if mode.routers is None or (mode.group.count == 1 and len(passes) == 1):
        return None
    import torch

    device = next(net.parameters()).device
    found = torch.zeros(mode.routers.experts + 1, dtype=torch.float64, device=device)
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        for batch, counts in mode.group.in_step(passes, spare):
            routed: list[torch.Tensor] = []
            with attention.isolated(batch.documents):
                target_nats(net, batch, whole=mode.whole, routed=routed)
            found += choices(routed, _real(batch, device), mode.routers.per_token) * counts
    return torch.tensor(mode.group.total(found.tolist()), dtype=torch.float64, device=device)


def _real(batch: Batch, device: torch.device) -> torch.Tensor | None:
    return None if batch.real is None else put(batch.real, device)


def _general_nats(nats: Any, batch: Batch, own: int) -> Any:
    """The sum of the nats of the targets that are in general text, fp64 and on their device."""
    places = np.flatnonzero(batch.rows[batch.row_of] >= own)
    return nats.detach()[put(places, nats.device)].sum().double()


def evaluate(
    net: Any, rows: Rows, chosen: Ints, micro_tokens: int, mode: LossMode
) -> Evaluation | None:
    """Loss of the rows `chosen` (sorted), or None if there are none.

    Nats and targets are summed over all rows before anything is divided, so the result does not
    depend on how the rows were batched.
    """
    if not len(chosen):
        return None

    def of_pass(batch: Batch) -> torch.Tensor:
        return target_nats(net, batch, whole=mode.whole).unsqueeze(1)

    (nats,) = sums_by_row(net, rows, chosen, micro_tokens, of_pass)
    return of_sums(rows, chosen, nats)


def sums_by_row(
    net: Any,
    rows: Rows,
    chosen: Ints,
    micro_tokens: int,
    of_pass: Callable[[Batch], torch.Tensor],
) -> NDArray[np.float64]:
    """The sums over the targets of each row `chosen` of what `of_pass` gives: [numbers, rows].

    `of_pass` gives [targets, numbers]; without dropout and gradients.
    """
    parts, places = [], []
    with evaluating(net):
        for batch in batches(rows, chosen, micro_tokens):
            parts.append(of_pass(batch).double().cpu().numpy())
            places.append(np.searchsorted(chosen, batch.rows[batch.row_of]))
    count = len(chosen)
    sums = [
        [np.bincount(place, weights=each, minlength=count) for each in part.T]
        for part, place in zip(parts, places, strict=True)
    ]
    total: NDArray[np.float64] = np.zeros((len(sums[0]), count))
    for each in sums:  # in the order of the passes, so that sums round alike
        total = total + each
    return total


def of_sums(rows: Rows, chosen: Ints, sums: NDArray[np.float64]) -> Evaluation:
    """The evaluation of rows `chosen` whose nats add up to `sums` [rows]."""
    counts = rows.target_counts[chosen]
    means = sums / counts
    return Evaluation(
        loss=float(sums.sum() / counts.sum()),
        example_loss=float(means.mean()),
        rows=len(chosen),
        targets=int(counts.sum()),
        interval=half_width(means),
    )


def half_width(values: NDArray[np.float64]) -> float | None:
    """Half the width of the 95 % interval of the mean of values (Student 1908); None for one."""
    from scipy.special import stdtrit

    if len(values) < 2:
        return None
    return float(stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values)))


def counted(rows: Rows, chosen: Ints) -> float:
    """What a step's loss is divided by: its targets, as they count."""
    return float(rows.target_weights[chosen].sum())


def tokens_read(rows: Rows, chosen: Ints, mode: LossMode) -> int:
    """How many tokens a step reads."""
    return int(rows.lengths[chosen].sum())
