"""What all losses of pairs share: both sides in one pass, a step divided once, one reference.

A pass holds both answers of its pairs. So it does not matter how a step is cut into passes, whether
they are padded or packed, and by how many processes they are made: each pair counts the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.base.errors import CurateError
from trainer.config.config import TrainConfig
from trainer.config.objectives import PREFERENCES
from trainer.data.batches import Batch
from trainer.data.pairs import Pairs, longer_wins
from trainer.data.rows import Ints, Rows
from trainer.data.tokens import Tokens
from trainer.loss import LossMode, target_nats
from trainer.models import attention
from trainer.models.device import put
from trainer.models.modes import evaluating
from trainer.objectives import sft
from trainer.objectives.closing import close
from trainer.objectives.sides import Sides
from trainer.packing import pair_batches
from trainer.result import Evaluation

if TYPE_CHECKING:
    import torch

Losses = Callable[[Sides, TrainConfig], "torch.Tensor"]
Rewards = Callable[[Sides, TrainConfig], "tuple[torch.Tensor, torch.Tensor]"]

# Margins of log ratios this near to 0, in nats, are ties: batches of another shape round by that.
TIE = 1e-4
# What is noted of each pair; the first is the loss.
_NUMBERS = ("loss", "right", "tied", "margin", "chosen_reward", "rejected_reward")


@dataclasses.dataclass(frozen=True)
class Preference:
    """An objective of pairs, by its loss and by what it calls a reward."""

    losses: Losses
    rewards: Rewards
    needs_reference: bool = True

    def gradients(
        self, net: Any, rows: Rows, chosen: Ints, config: TrainConfig, mode: LossMode, own: int
    ) -> tuple[float, float, dict[str, float]]:
        """Fill the gradients of one optimizer step over pairs; loss per pair in nats, and norm.

        Third come accuracy, margin, the rewards of both sides and their lengths in trained tokens.
        """
        import torch

        pairs = pairs_of(mode)
        net.zero_grad(set_to_none=True)
        mine = chosen[mode.group.share(pairs.lengths[chosen])]
        passes = list(pair_batches(pairs, mine, config.micro_tokens, mode.packed))
        shortest = chosen[[np.argmin(pairs.lengths[chosen])]]

        def spare() -> Batch:
            return next(pair_batches(pairs, shortest, 1, mode.packed))

        sums: Any = 0.0
        for batch, counts in mode.group.in_step(passes, spare):
            with attention.isolated(batch.documents):
                numbers = self.numbers(net, batch, config, mode)
                torch.autograd.backward(numbers[:, 0].sum() * counts / len(chosen))
            sums = sums + numbers.detach().sum(dim=0) * counts  # read once a step
        trained = [weight for weight in net.parameters() if weight.requires_grad]
        given = sums.tolist() if isinstance(sums, torch.Tensor) else [0.0] * len(_NUMBERS)
        means = [one / len(chosen) for one in mode.group.add_up(trained, *given)]
        norm, penalty = close(trained, config, mode)
        return means[0], norm, _named(means, pairs, chosen) | penalty

    def evaluate(
        self, net: Any, rows: Rows, chosen: Ints, micro_tokens: int, mode: LossMode
    ) -> Evaluation | None:
        """The loss of the pairs `chosen`, and how often the chosen answer has the larger reward.

        Rows that are no pairs of this run, such as general text, have their plain loss.
        """
        if not len(chosen):
            return None
        pairs = pairs_of(mode)
        if rows is not pairs.chosen:
            return sft.evaluate(net, rows, chosen, micro_tokens, mode)
        assert mode.settings is not None
        found = np.zeros((len(chosen), len(_NUMBERS)))
        with evaluating(net):
            # Padded, as all evaluations: a model just loaded is not made ready for packing.
            for batch in pair_batches(pairs, chosen, micro_tokens, packed=False):
                numbers = self.numbers(net, batch, mode.settings, mode).cpu().numpy()
                found[np.searchsorted(chosen, batch.rows[: len(numbers)])] = numbers
        means = found.mean(axis=0).tolist()
        named = _named(means, pairs, chosen)
        return Evaluation(
            means[0],
            means[0],
            len(chosen),
            int(pairs.chosen.target_counts[chosen].sum()),
            interval=sft.half_width(found[:, 0]),
            longer_wins=longer_wins(pairs.chosen, pairs.rejected, chosen),
            **named,
        )

    def numbers(self, net: Any, batch: Batch, config: TrainConfig, mode: LossMode) -> torch.Tensor:
        """Loss, right, tied, margin and both rewards of each pair of a pass: fp64 [pairs, 6]."""
        import torch

        sides = sides_of(log_probs(net, batch, mode.whole), batch, mode)
        losses = self._losses(sides, config)
        chosen, rejected = self.rewards(sides, config)
        margin = chosen - rejected
        nats = sides.chosen_ratio - sides.rejected_ratio
        is_tie = (nats.abs() <= TIE) | (margin == 0)
        right = (margin > 0) & ~is_tie
        return torch.stack(
            [losses, right.double(), is_tie.double(), margin, chosen, rejected], dim=1
        )

    def at_start(
        self, net: Any, chosen: Ints, config: TrainConfig, mode: LossMode
    ) -> tuple[float, float]:
        """Loss per pair of the pairs `chosen`, without dropout, and what it is by the reference.

        The second is ln 2 for DPO; neither moves a weight.
        """
        found = expected = 0.0
        with evaluating(net):
            for batch in pair_batches(pairs_of(mode), chosen, config.micro_tokens, mode.packed):
                sides = sides_of(log_probs(net, batch, mode.whole), batch, mode)
                found += float(self._losses(sides, config).sum())
                expected += float(self._losses(sides.at_reference(), config).sum())
        return found / len(chosen), expected / len(chosen)

    def _losses(self, sides: Sides, config: TrainConfig) -> torch.Tensor:
        losses = self.losses(sides, config)
        return losses - config.sft_weight * sides.chosen_mean if config.sft_weight else losses

    def counted(self, rows: Rows, chosen: Ints) -> float:
        """What a step's loss is divided by: its pairs."""
        return float(len(chosen))

    def tokens_read(self, rows: Rows, chosen: Ints, mode: LossMode) -> int:
        """How many tokens a step reads: those of both sides."""
        return int(pairs_of(mode).lengths[chosen].sum())


def _named(means: list[float], pairs: Pairs, chosen: Ints) -> dict[str, float]:
    """Means over pairs by their names, and the mean lengths of both sides."""
    _, right, tied, margin, better, worse = means
    return {
        "accuracy": right,
        "ties": tied,
        "margin": margin,
        "chosen_reward": better,
        "rejected_reward": worse,
        "chosen_length": float(pairs.chosen.target_counts[chosen].mean()),
        "rejected_length": float(pairs.rejected.target_counts[chosen].mean()),
    }


def log_probs(net: Any, batch: Batch, whole: bool) -> torch.Tensor:
    """ln p of all trained tokens of each row of a pass, each as it counts: fp64 [rows].

    Summed in fp64: the sum of some hundred tokens in fp32 would round by more than is asserted.
    """
    import torch

    nats = target_nats(net, batch, whole=whole).double()
    if batch.weights is not None:
        nats = nats * put(batch.weights, nats.device)
    sums = torch.zeros(len(batch.rows), dtype=torch.float64, device=nats.device)
    return -sums.index_add(0, put(batch.row_of, nats.device), nats)


def sides_of(found: torch.Tensor, batch: Batch, mode: LossMode) -> Sides:
    """Both sides of a pass whose rows have the log probabilities `found`."""
    import torch

    half, pairs = len(found) // 2, pairs_of(mode)
    device = found.device
    lengths = put(pairs.both.target_counts[batch.rows].astype(np.float64), device)
    reference = torch.zeros_like(found)
    if mode.reference is not None:
        reference = put(mode.reference[batch.rows], device)
    return Sides(
        found[:half],
        found[half:],
        reference[:half],
        reference[half:],
        lengths[:half],
        lengths[half:],
    )


def references(net: Any, chosen: Ints, micro_tokens: int, mode: LossMode) -> NDArray[np.float64]:
    """ln p of both answers of the pairs `chosen` by the model as it is: [2 x pairs].

    By the code of the steps, without dropout; of pairs that are not asked for no number. Several
    processes share the work.
    """
    pairs = pairs_of(mode)
    found = np.zeros(2 * len(pairs))
    mine = chosen[mode.group.share(pairs.lengths[chosen])]
    passes = list(pair_batches(pairs, mine, micro_tokens, mode.packed))

    def spare() -> Batch:
        return next(pair_batches(pairs, chosen[:1], micro_tokens, mode.packed))

    with evaluating(net):
        for batch, counts in mode.group.in_step(passes, spare):
            numbers = log_probs(net, batch, mode.whole).cpu().numpy()
            if counts:
                found[batch.rows] = numbers
    summed = np.array(mode.group.total(found.tolist()))
    asked = np.zeros(2 * len(pairs), np.bool_)
    asked[pairs.sides(chosen)] = True
    reference: NDArray[np.float64] = np.where(asked, summed, np.nan)
    return reference


def pairs_of(mode: LossMode) -> Pairs:
    """The pairs of the run."""
    assert mode.pairs is not None, "preferences are learnt from pairs"
    return mode.pairs


def pairs_for(tokens: Tokens, config: TrainConfig) -> Pairs | None:
    """The pairs that preferences are learnt from; None for any other objective, and for KTO.

    Raises `CurateError` if the rows are no pairs, or say of tokens what they count.
    """
    if config.objective not in PREFERENCES or config.objective == "kto":
        return None
    if tokens.rejected is None:
        raise CurateError(
            f"{tokens.folder}: has no column rejected_input_ids, and {config.objective} learns "
            "from pairs; render rows that have a rejected answer, with --pairs"
        )
    if tokens.rows.weights is not None:
        raise CurateError(
            f"{tokens.folder}: has a column weights, and preferences count every trained token of "
            "an answer; remove it"
        )
    return Pairs(tokens.rows, tokens.rejected, config.length_desensitised)
