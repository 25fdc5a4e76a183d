"""A reward model: one number for a conversation, higher for the answer that was preferred.

Bradley and Terry (1952): P(chosen beats rejected) = sigmoid(r_chosen - r_rejected); the loss is
-ln of that, as in InstructGPT (arXiv 2203.02155, section 3.5). The number is read at the last token
of the row, as `AutoModelForSequenceClassification` does, so the saved model scores the same there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.base.errors import CurateError
from trainer.config.config import TrainConfig
from trainer.data.rows import Ints, Rows
from trainer.data.tokens import Tokens
from trainer.loss import LossMode
from trainer.models.modes import evaluating
from trainer.objectives.closing import close
from trainer.result import Evaluation

if TYPE_CHECKING:
    import torch


def rejected_rows(tokens: Tokens, config: TrainConfig) -> Rows | None:
    """The rejected side of the rows for a reward model; None for any other objective.

    Raises `CurateError` if the rows are no pairs.
    """
    if config.objective != "reward":
        return None
    if tokens.rejected is None:
        raise CurateError(
            f"{tokens.folder}: has no column rejected_input_ids, and a reward model learns from "
            "pairs; render rows that have a rejected answer, as pairs"
        )
    return tokens.rejected


def padding_id(rows: Rows, rejected: Rows, preferred: list[int | None], vocabulary: int) -> int:
    """An id that no row ends with, so that padding is never taken for a row's last token.

    >>> from trainer.data.rows import make_rows
    >>> one = make_rows(["a"], [[5, 2]], [[-100, 2]])
    >>> padding_id(one, one, [2, None], 32)
    0
    """
    ends = last_tokens(rows, rejected)
    wanted = [token for token in preferred if token is not None]
    return int(next(token for token in [*wanted, *range(vocabulary)] if token not in ends))


def last_tokens(rows: Rows, rejected: Rows) -> set[int]:
    """The ids that rows of either side end with."""
    return {
        int(side.input_ids[end - 1])
        for side in (rows, rejected)
        for end in side.offsets[1:][side.lengths > 0].tolist()
    }


def gradients(
    net: Any, rows: Rows, chosen: Ints, config: TrainConfig, mode: LossMode, own: int
) -> tuple[float, float, dict[str, float]]:
    """Fill the gradients of one optimizer step over pairs; loss per pair in nats, and norm."""
    import torch
    import torch.nn.functional as F

    net.zero_grad(set_to_none=True)
    total: Any = 0.0
    mine = chosen[mode.group.share(rows.lengths[chosen])]
    passes = _batches(rows, _other_side(mode), mine, config.micro_tokens)
    for pairs, counts in mode.group.in_step(passes, lambda: chosen[:1]):
        better, worse = _scores(net, rows, _other_side(mode), pairs)
        loss = -F.logsigmoid(better - worse).sum() * counts / len(chosen)
        torch.autograd.backward(loss)
        total = total + loss.detach().double()  # read once a step
    trained = [weight for weight in net.parameters() if weight.requires_grad]
    total, _ = mode.group.add_up(trained, float(total), 0.0)
    return total, *close(trained, config, mode)


def evaluate(
    net: Any, rows: Rows, chosen: Ints, micro_tokens: int, mode: LossMode
) -> Evaluation | None:
    """Loss per pair and the share of pairs in which the chosen answer scores higher."""
    import torch.nn.functional as F

    if not len(chosen):
        return None
    nats, right, rejected = 0.0, 0, _other_side(mode)
    with evaluating(net):
        for pairs in _batches(rows, rejected, chosen, micro_tokens):
            better, worse = _scores(net, rows, rejected, pairs)
            nats += float(-F.logsigmoid(better - worse).double().sum())
            right += int((better > worse).sum())
    count = len(chosen)
    return Evaluation(nats / count, nats / count, count, count, accuracy=right / count)


def counted(rows: Rows, chosen: Ints) -> float:
    """What a step's loss is divided by: its pairs."""
    return float(len(chosen))


def tokens_read(rows: Rows, chosen: Ints, mode: LossMode) -> int:
    """How many tokens a step reads: those of both sides."""
    sides = (rows, _other_side(mode))
    return sum(int(side.lengths[chosen].sum()) for side in sides)


def _other_side(mode: LossMode) -> Rows:
    assert mode.rejected is not None, "a reward model learns from pairs"
    return mode.rejected


def longer_wins(rows: Rows, rejected: Rows, chosen: Ints) -> float:
    """The accuracy of the rule that the longer answer is better: what a model must beat."""
    return float((rows.lengths[chosen] > rejected.lengths[chosen]).mean()) if len(chosen) else 0.0


def _batches(rows: Rows, rejected: Rows, chosen: Ints, micro_tokens: int) -> Iterator[Ints]:
    """The pairs in groups whose two sides, padded, have at most `micro_tokens` positions."""
    longest = np.maximum(rows.lengths[chosen], rejected.lengths[chosen])
    order = chosen[np.argsort(-longest, kind="stable")]
    widths = np.sort(longest)[::-1]
    start = 0
    while start < len(order):
        count = max(1, micro_tokens // (2 * int(widths[start])))
        yield order[start : start + count]
        start += count


def _scores(net: Any, rows: Rows, rejected: Rows, pairs: Ints) -> tuple[torch.Tensor, torch.Tensor]:
    """Rewards fp32 [pairs] of the chosen and of the rejected answers."""
    import torch

    sides = [side.input_ids[side.row(row)] for side in (rows, rejected) for row in pairs.tolist()]
    width = max(len(ids) for ids in sides)
    padded = np.full((len(sides), width), net.config.get_text_config().pad_token_id)
    for place, ids in enumerate(sides):
        padded[place, : len(ids)] = ids
    device = next(net.parameters()).device
    # No mask: padding is on the right, where causal attention does not look, and the score is
    # read at the last token that is not padding.
    scores = net(input_ids=torch.from_numpy(padded).to(device), use_cache=False).logits
    better, worse = scores[:, 0].float().split(len(pairs))
    return better, worse
