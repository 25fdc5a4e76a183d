"""What is measured after each epoch besides held-out loss: answers, memory, and what was lost."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.data.batches import Batch, batches
from trainer.data.lengths import some, turn, within
from trainer.data.rows import Ints, Rows
from trainer.evaluation.classes import accuracy_and_macro_f1
from trainer.evaluation.label_choice import likeliest
from trainer.evaluation.label_nats import label_nats
from trainer.evaluation.samples import LONGEST, answers, prompts
from trainer.loss import CHUNK_VALUES, read_logits
from trainer.plan import Plan
from trainer.result import Answer, Evaluation, Probe

if TYPE_CHECKING:
    import torch

# An answer counts as reproduced when its first so many tokens are; shorter answers count whole,
# and those below the least are not asked, as they are easily right by chance.
MEMORISED, LEAST = 32, 8
# Base distributions are kept for at most so many values (fp32: 128 MB).
_KEPT_VALUES = 1 << 25
# Answers may be so many times as long as their target.
_ROOM = 1.5

Losses = Callable[[Any, Rows, Ints], Evaluation | None]


@dataclasses.dataclass(frozen=True)
class Probes:
    """What stays the same from epoch to epoch: the questions, and the base's answers to some.

    `base` holds the base model's log probabilities at targets
    of held-out rows, by forward pass.
    """

    plan: Plan
    losses: Losses
    whole: bool
    fit: Ints
    asked: tuple[int, ...]
    recited: Ints
    compared: Ints
    base: tuple[torch.Tensor, ...]
    general: tuple[Rows, Ints] | None

    def measure(self, model: Any, held: Evaluation | None) -> Probe:
        """All measures of the model as it is now, with greedy answers and no dropout."""
        plan = self.plan
        fit = self.losses(model, plan.tokens.rows, self.fit)
        # Cut below their target, answers could neither reach it nor stop.
        longest = max(LONGEST, math.ceil(_ROOM * plan.length.tokens))
        found = answers(plan, model, self.asked, longest)
        kept = None if self.general is None else self.losses(model, *self.general)
        accuracy, macro_f1 = self._classified(model)
        return Probe(
            fit=None if fit is None else fit.loss,
            generalisation_gap=None if fit is None or held is None else held.loss - fit.loss,
            memorised=self._memorised(model),
            kl=self._divergence(model),
            retention=None if kept is None else kept.loss,
            macro_f1=macro_f1,
            label_accuracy=accuracy,
            length_target=plan.length.tokens,
            **_judged(plan, self.asked, found),
        )

    def _memorised(self, model: Any) -> float | None:
        """Share of training answers whose greedy continuation is the answer's own beginning.

        The greedy continuation equals the answer so far exactly if each token is the most likely
        one after the true ones before it, so one forward pass tells.
        """
        if not len(self.recited):
            return None
        right = 0
        for batch in _passes(self.plan, self.recited, MEMORISED):
            best = np.empty_like(batch.targets)

            def note(places: slice, logits: torch.Tensor, best: Ints = best) -> None:
                best[places] = logits.argmax(dim=-1).cpu().numpy()

            read_logits(model, batch, note, whole=self.whole)
            missed = np.unique(batch.row_of[best != batch.targets])
            right += len(np.unique(batch.row_of)) - len(missed)
        return right / len(self.recited)

    def _classified(self, model: Any) -> tuple[float | None, float | None]:
        """Accuracy and macro-F1 of held-out rows, each taken for its likeliest label."""
        rows = self.plan.labelled
        if rows is None:
            return None, None
        found = label_nats(
            model, rows.prompts, rows.labels, positions=self.plan.config.micro_tokens
        )
        return accuracy_and_macro_f1(rows.truth, likeliest(found.sums()), len(rows.classes))

    def _divergence(self, model: Any) -> float | None:
        """KL(tuned || base), mean over targets of held-out rows, in nats."""
        if not self.base:
            return None
        sums: list[float] = []
        passes = _passes(self.plan, self.compared, _kept(self.plan))
        for batch, base in zip(passes, self.base, strict=True):

            def compare(places: slice, logits: torch.Tensor, base: torch.Tensor = base) -> None:
                tuned = logits.log_softmax(dim=-1)
                apart = (tuned.exp() * (tuned - base[places])).sum(dim=-1)
                sums.append(float(apart.double().sum()))

            read_logits(model, batch, compare, whole=self.whole)
        return sum(sums) / sum(len(base) for base in self.base)


def prepare(plan: Plan, model: Any, losses: Losses, whole: bool) -> Probes:
    """Choose what is asked, and ask the base model once. `model` is as it was before training.

    `losses` gives the loss of a model on given rows; `whole` is as in `target_nats`.
    """
    config, rows = plan.config, plan.tokens.rows
    train, held_out = plan.wanted(plan.train), plan.wanted(plan.held_out)
    asked = tuple(prompts(rows, held_out, config.prompts))
    long = train[rows.target_counts[train] >= LEAST]
    compared = within(rows, held_out, _kept(plan))[: config.prompts]
    # More than one row fits as a whole; of a single one the first targets are kept.
    passes = _passes(plan, compared, _kept(plan))
    return Probes(
        plan=plan,
        losses=losses,
        whole=whole,
        fit=some(rows, plan.train, len(plan.held_out)),
        asked=asked,
        recited=some(rows, long, config.prompts),
        compared=compared,
        base=tuple(_log_probabilities(model, batch, whole) for batch in passes),
        general=plan.general,
    )


def _kept(plan: Plan) -> int:
    """How many targets the base's distributions are kept for."""
    return max(1, _KEPT_VALUES // plan.limits.vocabulary)


def _passes(plan: Plan, chosen: Ints, most: int) -> Iterator[Batch]:
    """The forward passes over the rows, with at most so many targets of each row, its first."""
    positions = max(1, min(plan.config.micro_tokens, CHUNK_VALUES // plan.limits.vocabulary))
    for batch in batches(plan.tokens.rows, chosen, positions):
        first = np.searchsorted(batch.row_of, batch.row_of)
        early = np.arange(len(batch.row_of)) - first < most
        yield dataclasses.replace(
            batch,
            at=batch.at[early],
            targets=batch.targets[early],
            row_of=batch.row_of[early],
            weights=None,
        )


def _log_probabilities(model: Any, batch: Batch, whole: bool) -> torch.Tensor:
    """ln p of every word at each target, fp32 [targets, vocabulary]."""
    import torch

    parts: list[torch.Tensor] = []

    def keep(places: slice, logits: torch.Tensor) -> None:
        parts.append(logits.log_softmax(dim=-1))

    read_logits(model, batch, keep, whole=whole)
    return torch.cat(parts)


def _judged(plan: Plan, asked: Sequence[int], given: Sequence[Answer]) -> dict[str, float]:
    """Stop rate, mean length and token F1 of answers, and the score made of the three.

    The score is the product of the share that stopped, of how near their median length is to the
    target (the smaller over the larger), and of their mean F1 to the rows' own answers.
    """
    if not asked:
        return {}
    lengths, length = [len(answer.ids) for answer in given], plan.length.tokens
    middle = max(float(np.median(lengths)), 1e-9)
    near = min(middle, length) / max(middle, length) if length else 0.0
    expected = [turn(plan.tokens.rows, row, plan.tokens.stop_ids) for row in asked]
    pairs = zip(given, expected, strict=True)
    token_f1 = float(np.mean([alike(answer.ids, own) for answer, own in pairs]))
    stops = sum(answer.stopped for answer in given) / len(given)
    return {
        "stops": stops,
        "length": float(np.mean(lengths)),
        "token_f1": token_f1,
        "score": stops * near * token_f1,
    }


def alike(one: Sequence[int], other: Sequence[int]) -> float:
    """F1 of two texts as bags of tokens (as in SQuAD, Rajpurkar et al. 2016), 0 to 1.

    >>> alike([5, 6, 6, 7], [6, 5])
    0.6666666666666666
    """
    common = sum((Counter(one) & Counter(other)).values())
    return 2 * common / (len(one) + len(other)) if one or other else 1.0
