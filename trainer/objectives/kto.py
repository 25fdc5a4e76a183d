"""Kahneman-Tversky optimization: answers judged one by one, against how far the model has moved.

Ethayarajh et al. (2024, arXiv 2402.01306). The point of reference z is max(0, KL), estimated over
the whole step by the log ratios of prompts before answers to other prompts, without gradients. TRL
takes the answer of the next row of a batch; here the other answer is fixed for the run and never
to the same prompt, so that two numbers a row are all that is asked of the reference.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.config.config import TrainConfig
from trainer.data.batches import Batch, pad
from trainer.data.rows import Ints, Rows
from trainer.loss import LossMode
from trainer.models import attention
from trainer.models.device import put
from trainer.models.modes import evaluating
from trainer.objectives import sft
from trainer.objectives.closing import close
from trainer.objectives.preferences import TIE, log_probs, pairs_of
from trainer.packing import step_batches
from trainer.result import Evaluation

if TYPE_CHECKING:
    import torch


def losses(
    ratios: torch.Tensor, desirable: torch.Tensor, moved: float, config: TrainConfig
) -> torch.Tensor:
    """What each answer costs: ratios fp64 [rows] in nats, whether it is desirable, and z."""
    import torch

    assert config.beta is not None
    gain = config.beta * (ratios - moved)
    good = config.desirable_weight * (1 - torch.sigmoid(gain))
    bad = config.undesirable_weight * (1 - torch.sigmoid(-gain))
    return torch.where(desirable, good, bad)


def gradients(
    net: Any, rows: Rows, chosen: Ints, config: TrainConfig, mode: LossMode, own: int
) -> tuple[float, float, dict[str, float]]:
    """Fill the gradients of one optimizer step over judged answers; loss per answer, and norm."""
    import torch

    pairs = pairs_of(mode)
    net.zero_grad(set_to_none=True)
    mine = chosen[mode.group.share(pairs.lengths[chosen])]
    spare = chosen[[np.argmin(pairs.lengths[chosen])]]
    moved = _moved(net, mine, spare, len(chosen), config, mode)
    sums: Any = 0.0
    for batch, counts in mode.group.in_step(
        list(step_batches(pairs.both, mine, config, mode.packed)), lambda: pad(pairs.both, spare)
    ):
        with attention.isolated(batch.documents):
            numbers = _numbers(net, batch, moved, config, mode)
            torch.autograd.backward(numbers[:, 0].sum() * counts / len(chosen))
        sums = sums + numbers.detach().sum(dim=0) * counts  # read once a step
    trained = [weight for weight in net.parameters() if weight.requires_grad]
    given = sums.tolist() if isinstance(sums, torch.Tensor) else [0.0] * 5
    added = mode.group.add_up(trained, *given)
    named = {**_named(np.array(added), chosen, mode), "kl_estimate": moved}
    norm, penalty = close(trained, config, mode)
    return added[0] / len(chosen), norm, named | penalty


def _moved(
    net: Any, mine: Ints, spare: Ints, count: int, config: TrainConfig, mode: LossMode
) -> float:
    """z: the mean log ratio of prompts before other answers over the whole step, at least 0."""
    pairs = pairs_of(mode)
    passes = list(step_batches(pairs.both, mine + len(pairs), config, mode.packed))
    total = 0.0
    with evaluating(net):
        for batch, counts in mode.group.in_step(
            passes, lambda: pad(pairs.both, spare + len(pairs))
        ):
            total += counts * float(_ratios(net, batch, mode).sum())
    (total,) = mode.group.total([total])
    return max(0.0, total / count)


def _ratios(net: Any, batch: Batch, mode: LossMode) -> torch.Tensor:
    assert mode.reference is not None, "KTO has a reference"
    found = log_probs(net, batch, mode.whole)
    return found - put(mode.reference[batch.rows], found.device)


def _numbers(
    net: Any, batch: Batch, moved: float, config: TrainConfig, mode: LossMode
) -> torch.Tensor:
    """Loss, right, tied, and rewards of desirable and of undesirable answers: fp64 [rows, 5]."""
    import torch

    assert config.beta is not None
    ratios = _ratios(net, batch, mode)
    desirable = put(_desirable(mode)[batch.rows], ratios.device)
    gain = ratios - moved
    is_tie = gain.abs() <= TIE
    right = (desirable == (gain > 0)) & ~is_tie
    reward = config.beta * ratios
    return torch.stack(
        [
            losses(ratios, desirable, moved, config),
            right.double(),
            is_tie.double(),
            torch.where(desirable, reward, 0.0),
            torch.where(desirable, 0.0, reward),
        ],
        dim=1,
    )


def _named(sums: NDArray[np.float64], chosen: Ints, mode: LossMode) -> dict[str, float]:
    """Sums over answers as means by their names, of both kinds where a step holds both."""
    desirable, counts = _desirable(mode)[chosen], pairs_of(mode).chosen.target_counts[chosen]
    named = {"accuracy": sums[1] / len(chosen), "ties": sums[2] / len(chosen)}
    for name, total, kind in (("chosen", sums[3], desirable), ("rejected", sums[4], ~desirable)):
        if kind.any():
            named |= {
                f"{name}_reward": total / kind.sum(),
                f"{name}_length": counts[kind].mean(),
            }
    if desirable.any() and not desirable.all():
        named["margin"] = named["chosen_reward"] - named["rejected_reward"]
    return {name: float(value) for name, value in named.items()}


def evaluate(
    net: Any, rows: Rows, chosen: Ints, micro_tokens: int, mode: LossMode
) -> Evaluation | None:
    """The loss of the answers `chosen`, and how many are on their side of the point of reference.

    That point is estimated from these answers. Rows of others have their plain loss.
    """
    if not len(chosen):
        return None
    pairs = pairs_of(mode)
    if rows is not pairs.chosen:
        return sft.evaluate(net, rows, chosen, micro_tokens, mode)
    # Padded, as all evaluations: a model that was just loaded is not made ready for packing.
    return _evaluated(net, chosen, dataclasses.replace(mode, packed=False))


def _evaluated(net: Any, chosen: Ints, mode: LossMode) -> Evaluation:
    """`evaluate`, in passes of the kind that the mode says."""
    pairs = pairs_of(mode)
    assert mode.settings is not None
    alone = dataclasses.replace(mode, group=dataclasses.replace(mode.group, rank=0, count=1))
    moved = _moved(net, chosen, chosen[:1], len(chosen), mode.settings, alone)
    found = np.zeros((len(chosen), 5))
    with evaluating(net):
        for batch in step_batches(pairs.both, chosen, mode.settings, mode.packed):
            numbers = _numbers(net, batch, moved, mode.settings, mode).cpu().numpy()
            found[np.searchsorted(chosen, batch.rows)] = numbers
    mean = float(found[:, 0].mean())
    return Evaluation(
        mean,
        mean,
        len(chosen),
        int(pairs.chosen.target_counts[chosen].sum()),
        interval=sft.half_width(found[:, 0]),
        **_named(found.sum(axis=0), chosen, mode),
    )


def at_start(net: Any, chosen: Ints, config: TrainConfig, mode: LossMode) -> tuple[float, float]:
    """Loss per answer of the step `chosen`, without dropout, and what it is by the reference.

    The second is half of what the answers count.
    """
    alone = dataclasses.replace(mode, settings=config)
    held = _evaluated(net, np.unique(chosen), alone)
    desirable = _desirable(mode)[np.unique(chosen)]
    counts = np.where(desirable, config.desirable_weight, config.undesirable_weight)
    return held.loss, float(counts.mean()) / 2


def counted(rows: Rows, chosen: Ints) -> float:
    """What a step's loss is divided by: its answers."""
    return float(len(chosen))


def tokens_read(rows: Rows, chosen: Ints, mode: LossMode) -> int:
    """How many tokens a step reads: those of the answers, and of prompts before other answers."""
    return int(pairs_of(mode).lengths[chosen].sum())


def _desirable(mode: LossMode) -> NDArray[np.bool_]:
    desirable = pairs_of(mode).desirable
    assert desirable is not None, "KTO knows what is desirable"
    return desirable
