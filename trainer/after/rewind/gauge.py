"""A model's two losses, and how far it thinks otherwise than the base, in forward passes alone."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.base.errors import CurateError
from trainer.after.rewind.results import Numbers
from trainer.after.rewind.texts import Chosen, Texts
from trainer.data.batches import Batch, batches, pad
from trainer.loss import CHUNK_VALUES, head_is_plain, hidden_at_targets, read_logits, target_nats
from trainer.models.modes import evaluating

if TYPE_CHECKING:
    import torch

POSITIONS = 4096  # that go through the model together
# Of models whose logits are more than their output layer, the base's are kept for so many values
# at most (fp32: 512 MB); of others its states are, and its output layer, which is far less.
_KEPT_VALUES = 1 << 27


class Gauge:
    """What is measured of every point, made while the model is the base.

    `compared` is how many tokens of the retention text the base's distributions are known of.
    """

    def __init__(self, net: Any, texts: Texts) -> None:
        self.texts = texts
        rows, chosen = texts.target.rows, texts.target.chosen
        self.whole = not head_is_plain(net, pad(rows, chosen[:1]))
        self.head: Any = None
        self.kept: list[torch.Tensor] = []
        left = _KEPT_VALUES if self.whole else None
        for batch in self._passes():
            self.head, states = hidden_at_targets(net, batch, whole=self.whole)
            if left is not None:
                states = states[: max(0, left // states.shape[1])].float().log_softmax(dim=-1)
                left -= states.numel()
            self.kept.append(states)
        self.head = copy.deepcopy(self.head)  # the model's own will be another
        self.compared = sum(len(each) for each in self.kept)

    def numbers(self, net: Any) -> Numbers:
        """Both losses, KL to the base and agreement with it. Raises `CurateError` for no number."""
        target = self.target(net)
        retention, divergence, agreed = self._retention(net)
        found = Numbers(target, retention, divergence, agreed)
        if not np.isfinite([target, retention, divergence]).all():
            raise CurateError(
                "the model gives losses that are no numbers, or infinite, on its path; its weights "
                "are broken"
            )
        return found

    def target(self, net: Any) -> float:
        """Nats a trained token of the target's rows."""
        return target_loss(net, self.texts.target, self.whole)

    def _passes(self) -> Any:
        kept = self.texts.retention
        return batches(kept.rows, kept.chosen, POSITIONS)

    def _retention(self, net: Any) -> tuple[float, float, float]:
        sums = np.zeros(3)
        for batch, base in zip(self._passes(), self.kept, strict=True):
            sums += self._pass(net, batch, base)
        targets, compared = self.texts.retention.targets, max(1, self.compared)
        nats, apart, agreed = sums.tolist()
        return nats / targets, apart / compared, agreed / compared

    def _pass(self, net: Any, batch: Batch, base: torch.Tensor) -> Any:
        """Sums over the targets of a pass: nats, KL, and how often the likeliest is the same."""
        import torch

        sums = np.zeros(3)
        targets = torch.from_numpy(batch.targets)

        def add(places: slice, logits: torch.Tensor) -> None:
            own = logits.log_softmax(dim=-1)
            chosen = targets[places].to(own.device).unsqueeze(1)
            sums[0] -= float(own.gather(1, chosen).double().sum())
            before = base[places]
            if not self.whole:
                before = self.head(before).float().log_softmax(dim=-1)
            own = own[: len(before)]
            sums[1] += float((own.exp() * (own - before)).sum(dim=-1).double().sum())
            sums[2] += float((own.argmax(dim=-1) == before.argmax(dim=-1)).sum())

        # Two distributions of each target are there at a time.
        read_logits(net, batch, add, whole=self.whole, chunk=CHUNK_VALUES // 4)
        return sums


def target_loss(net: Any, target: Chosen, whole: bool) -> float:
    """Mean nats of the targets of the rows that are read."""
    total = 0.0
    with evaluating(net):
        for batch in batches(target.rows, target.chosen, POSITIONS):
            total += float(target_nats(net, batch, whole=whole).double().sum())
    return total / target.targets
