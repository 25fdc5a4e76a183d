"""A teacher's distributions at the targets of a pass: asked then and there, or read from a file."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.base.errors import CurateError
from trainer import packing
from trainer.config.config import TrainConfig
from trainer.data.batches import Batch, pad
from trainer.data.rows import Ints, Rows
from trainer.data.teacher import StoredLogits, answer_places
from trainer.loss import Taught, head_is_plain, hidden_at_targets
from trainer.models import teachers
from trainer.models.attention import prepare
from trainer.models.device import put
from trainer.objectives.divergence import in_buckets, kl, tempered
from trainer.plan import Log, Plan

if TYPE_CHECKING:
    import torch


CHECKED = 16  # targets of the first row at which a teacher must give numbers


@dataclasses.dataclass(frozen=True)
class Guide:
    """How a teacher counts, and for which targets it has a distribution.

    `own` are the rows it knows, and `places` [positions] the number of each target of theirs, -1
    for positions that are none: prompts and general text keep their plain loss.
    """

    weight: float
    temperature: float
    reverse: bool
    vocabulary: int
    own: tuple[Rows, ...]
    places: Ints

    def knows(self, rows: Rows) -> bool:
        """See `Teacher`."""
        return any(rows is each for each in self.own)

    def numbers(self, batch: Batch) -> Ints:
        """The number of each target of a pass, -1 for those without."""
        assert batch.source is not None, "a pass knows where its targets are from"
        inside = batch.source < len(self.places)
        found: Ints = np.where(inside, self.places[np.where(inside, batch.source, 0)], -1)
        return found


@dataclasses.dataclass(frozen=True)
class OnlineTeacher(Guide):
    """A model that reads the passes of the one that learns."""

    net: Any = None
    whole: bool = False  # as in `target_nats`

    def taught(self, batch: Batch) -> Taught:
        """See `Teacher`."""
        numbers = self.numbers(batch)
        head, states = hidden_at_targets(self.net, batch, whole=self.whole)
        return _Asked(put(numbers >= 0, states.device), self, head, states)


@dataclasses.dataclass(frozen=True)
class _Asked:
    known: torch.Tensor
    guide: Guide
    head: Any  # None where the states are logits already
    states: torch.Tensor

    def apart(self, logits: torch.Tensor, places: slice) -> torch.Tensor:
        """See `Taught`."""
        import torch

        with torch.no_grad():
            given = self.states[places]
            given = given if self.head is None else self.head(given)
            size, temperature = self.guide.vocabulary, self.guide.temperature
            teacher = tempered(given, size, temperature).log_softmax(dim=-1)
        student = tempered(logits, size, temperature).log_softmax(dim=-1)
        return kl(teacher, student, self.guide.reverse)


@dataclasses.dataclass(frozen=True)
class StoredTeacher(Guide):
    """Distributions that `curate teacher` wrote."""

    stored: StoredLogits | None = None

    def taught(self, batch: Batch) -> Taught:
        """See `Teacher`."""
        numbers = self.numbers(batch)
        assert self.stored is not None
        ids, log_probs = self.stored.read(np.maximum(numbers, 0))
        return _Read(numbers >= 0, self, ids, log_probs)


class _Read:
    """Lines of the file; a piece of them goes to the device of the logits it is compared with."""

    def __init__(self, known: Any, guide: Guide, ids: Ints, log_probs: Any) -> None:
        import torch

        self.known = torch.from_numpy(known)
        self.guide, self.ids, self.log_probs = guide, ids, log_probs

    def apart(self, logits: torch.Tensor, places: slice) -> torch.Tensor:
        """See `Taught`."""
        ids, teacher = (put(each[places], logits.device) for each in (self.ids, self.log_probs))
        scaled = tempered(logits, self.guide.vocabulary, self.guide.temperature)
        return kl(teacher, in_buckets(scaled, ids), self.guide.reverse)


def load(
    plan: Plan, device: torch.device, packed: bool, log: Log
) -> tuple[OnlineTeacher | StoredTeacher | None, bool]:
    """The run's teacher, if it has one, and whether rows are still packed: it must keep them apart.

    Raises `CurateError` where packing was asked for and the teacher does not.
    """
    config, source = plan.config, plan.teacher
    if source is None:
        return None, packed
    rows = plan.tokens.rows
    given = (
        config.distil_weight,
        config.distil_temperature,
        config.distil_divergence == "reverse",
        source.vocabulary,
        (rows, plan.mixture.rows),
        answer_places(rows),
    )
    if source.stored is not None:
        return StoredTeacher(*given, stored=source.stored), packed
    net = teachers.load(source.folder, device, config.dtype)
    held = sum(weight.numel() * weight.element_size() for weight in net.parameters())
    log(f"teacher: {held / 1e6:,.1f} MB of weights beside the model, in every process")
    if packed:
        packed = _stays_packed(net, plan, config, log)
    whole = not head_is_plain(net, pad(rows, plan.train[:1]))
    _check_finite(net, pad(rows, plan.train[:1]), whole, source.name)
    return OnlineTeacher(*given, net=net, whole=whole), packed


def _check_finite(net: Any, batch: Batch, whole: bool, name: str) -> None:
    """Raise `CurateError` for a teacher whose weights are broken: the student's loss would be."""
    import torch

    head, states = hidden_at_targets(net, batch, whole=whole)
    with torch.no_grad():
        given = states[:CHECKED] if head is None else head(states[:CHECKED])
    if not bool(given.isfinite().all()):
        raise teachers.no_numbers(name)


def _stays_packed(net: Any, plan: Plan, config: TrainConfig, log: Log) -> bool:
    prepare(net)
    if packing.isolates(net, plan.mixture.rows, plan.train):
        return True
    if config.packing == "on":
        raise CurateError(
            "packing: the teacher does not keep packed documents apart, so it would speak of other "
            "rows too; set packing to off"
        )
    log("packing: off, as the teacher does not keep packed documents apart")
    return False
