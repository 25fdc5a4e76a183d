"""Greedy answers to held-out prompts, before and after training."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.data.lengths import turn
from trainer.data.rows import IGNORED, Ints, Rows
from trainer.data.tokens import Decode
from trainer.models.modes import evaluating, plain
from trainer.models.sharding import agreed
from trainer.plan import Plan
from trainer.result import Answer, Sample

if TYPE_CHECKING:
    import torch


def prompt_of(rows: Rows, row: int) -> tuple[int, ...]:
    """The ids before the first trained token: what a user of the model would send."""
    first = int(np.flatnonzero(rows.labels[rows.row(row)] != IGNORED)[0])
    return tuple(rows.input_ids[rows.row(row)][:first].tolist())


def prompts(rows: Rows, held_out: Ints, count: int) -> list[int]:
    """The first `count` held-out rows whose answer is not the whole row, of each prompt one."""
    first: dict[tuple[int, ...], int] = {}
    for row in held_out.tolist():
        first.setdefault(prompt_of(rows, row), row)
    first.pop((), None)
    return [*first.values()][:count]


# Prompts whose answers before and after training are shown, and how long those may be, in tokens.
SHOWN, LONGEST = 3, 128
# Prompts answered at once; neighbours in length share a batch.
AT_ONCE = 16


def answers(plan: Plan, model: Any, asked: Sequence[int], longest: int) -> list[Answer]:
    """Greedy answers of at most `longest` tokens to the prompts of the rows `asked`.

    They are as long as the model has positions, and end before the first stop.
    """
    asked_prompts = [prompt_of(plan.tokens.rows, row) for row in asked]
    positions = plan.limits.positions
    room = [
        longest if positions is None else min(longest, positions - len(prompt))
        for prompt in asked_prompts
    ]
    order = sorted(range(len(asked)), key=lambda place: len(asked_prompts[place]))
    found: dict[int, Answer] = {}
    for places in together(order, room, AT_ONCE if takes_batches(model) else 1):
        limit = room[places[0]]
        tokens = plan.tokens
        writing = [
            Writing(tokens.stop_ids, tokens.stop_strings, plan.decode, limit) for _ in places
        ]
        write(model, [asked_prompts[place] for place in places], limit, writing)
        found |= {place: one.answer() for place, one in zip(places, writing, strict=True)}
    return [found[place] for place in range(len(asked))]


def together(order: Sequence[int], room: Sequence[int], at_once: int) -> Iterator[list[int]]:
    """Places in their order, at most so many at once, and all with the same room for an answer.

    Else a long prompt would run on beyond the model's positions while a short one is answered.

    >>> list(together([0, 1, 2, 3], [64, 64, 64, 9], 2))
    [[0, 1], [2], [3]]
    """
    for _, alike in itertools.groupby(order, key=room.__getitem__):
        places = list(alike)
        yield from (places[at : at + at_once] for at in range(0, len(places), at_once))


class Writing:
    """One answer under way: takes token after token until a stop or its limit."""

    def __init__(
        self,
        stop_ids: Collection[int],
        stop_strings: Sequence[str],
        decode: Decode | None,
        limit: int,
    ) -> None:
        self.stop_ids, self.stop_strings = stop_ids, stop_strings
        self.decode, self.limit = decode, limit
        self.ids: list[int] = []
        self.text: str | None = None
        self.stopped = False

    @property
    def ended(self) -> bool:
        """Whether it takes no more tokens."""
        return self.stopped or len(self.ids) >= self.limit

    def take(self, token: int) -> None:
        """Add a token, unless the answer has ended."""
        if self.ended:
            return
        if token in self.stop_ids:
            self.stopped = True
            return
        self.ids.append(token)
        if self.decode is not None and self.stop_strings:
            text = self.decode(self.ids)
            places = [at for stop in self.stop_strings if (at := text.find(stop)) >= 0]
            if places:
                self.stopped, self.text = True, text[: min(places)]

    def answer(self) -> Answer:
        """The stop itself is not part of the answer's text."""
        text = self.text
        if text is None and self.decode is not None:
            text = self.decode(self.ids)
        return Answer(text, tuple(self.ids), self.stopped)


def _takes(model: Any, option: str) -> bool:
    """Whether the model's forward pass has this option."""
    return option in inspect.signature(plain(model).forward).parameters


def takes_batches(model: Any) -> bool:
    """Whether a batch is small, as the last position's logits come alone, and padding is masked.

    A model that remembers in another way than by keys and values may take padding for text.
    """
    return _takes(model, "logits_to_keep") and _takes(model, "past_key_values")


def likeliest(logits: torch.Tensor) -> torch.Tensor:
    """The token with the largest logit of each row, [rows, 1]."""
    return logits.argmax(dim=-1, keepdim=True)


def write(
    model: Any,
    asked: Sequence[tuple[int, ...]],
    limit: int,
    writing: Sequence[Writing],
    pick: Callable[[torch.Tensor], torch.Tensor] = likeliest,
) -> None:
    """Give each of `writing` token after token after its prompt, until all have ended.

    `pick` chooses them by the logits of the last position, [rows, vocabulary].

    Prompts are padded on the left under a mask. A model with a learnt prompt, or without keys and
    values to carry on (Mamba), is asked anew for each token, one prompt at a time.
    """
    import torch

    device = next(model.parameters()).device
    width = max(len(prompt) for prompt in asked)
    padded = [[0] * (width - len(prompt)) + list(prompt) for prompt in asked]
    fed = torch.tensor(padded, device=device)
    is_real = torch.tensor(
        [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in asked], device=device
    )
    options: dict[str, Any] = {"logits_to_keep": 1} if _takes(model, "logits_to_keep") else {}
    keeps_cache, cache = _takes(model, "past_key_values"), None
    for _ in range(limit):
        if not bool(is_real.all()):
            places = (is_real.cumsum(1) - 1).clamp(min=0)
            options |= {"attention_mask": is_real, "position_ids": places[:, -fed.shape[1] :]}
        if keeps_cache:
            options |= {"past_key_values": cache, "use_cache": True}
        with evaluating(model):
            output = model(input_ids=fed, **options)
        cache = output.past_key_values if keeps_cache else None
        token = agreed(model, pick(output.logits[:, -1]))
        for one, number in zip(writing, token[:, 0].tolist(), strict=True):
            one.take(number)
        if all(one.ended for one in writing):
            return
        fed = token if keeps_cache else torch.cat([fed, token], dim=1)
        is_real = torch.cat([is_real, torch.ones_like(token)], dim=1)


def pair(
    plan: Plan, asked: list[int], before: list[Answer], after: list[Answer]
) -> tuple[Sample, ...]:
    """Samples from the answers of the two models to the prompts of the rows `asked`."""
    rows, decode = plan.tokens.rows, plan.decode
    return tuple(
        Sample(
            id=rows.ids[row],
            prompt=None if decode is None else decode(list(prompt_of(rows, row))),
            prompt_ids=prompt_of(rows, row),
            expected=None if decode is None else decode(turn(rows, row, plan.tokens.stop_ids)),
            before=first,
            after=second,
        )
        for row, first, second in zip(asked, before, after, strict=True)
    )
