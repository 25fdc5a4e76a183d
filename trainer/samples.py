"""Greedy answers to held-out prompts, before and after training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trainer.data import IGNORED, Ints, Rows
from trainer.gate import Decode
from trainer.loss import evaluating
from trainer.plan import Plan
from trainer.result import Answer, Sample


def prompt_of(rows: Rows, row: int) -> tuple[int, ...]:
    """The ids before the first trained token: what a user of the model would send."""
    first = int(np.flatnonzero(rows.labels[rows.row(row)] != IGNORED)[0])
    return tuple(rows.input_ids[rows.row(row)][:first].tolist())


def prompts(rows: Rows, held_out: Ints, count: int) -> list[int]:
    """The first `count` held-out rows whose answer is not the whole row."""
    return [row for row in held_out.tolist() if prompt_of(rows, row)][:count]


def answer(
    model: Any,
    prompt: tuple[int, ...],
    stop_ids: tuple[int, ...],
    stop_strings: tuple[str, ...],
    limit: int,
    decode: Decode | None,
) -> Answer:
    """The most likely next token, again and again, until a stop or `limit` tokens.

    The stop itself is not part of the answer's text.
    """
    ids: list[int] = []
    for token in _greedy(model, prompt, limit):
        if token in stop_ids:
            return Answer(None if decode is None else decode(ids), tuple(ids), True)
        ids.append(token)
        if decode is not None and stop_strings:
            text = decode(ids)
            places = [place for stop in stop_strings if (place := text.find(stop)) >= 0]
            if places:
                return Answer(text[: min(places)], tuple(ids), True)
    return Answer(None if decode is None else decode(ids), tuple(ids), False)


def answers(plan: Plan, model: Any, asked: list[int]) -> list[Answer]:
    """Greedy answers to the prompts of the rows `asked`, as long as the model has positions."""
    tokens, longest = plan.tokens, plan.config.sample_tokens
    positions = plan.limits.positions
    said = []
    for row in asked:
        prompt = prompt_of(tokens.rows, row)
        limit = longest if positions is None else min(longest, positions - len(prompt))
        stops = (tokens.stop_ids, tokens.stop_strings)
        said.append(answer(model, prompt, *stops, limit, plan.decode))
    return said


def _greedy(model: Any, prompt: tuple[int, ...], limit: int) -> Iterator[int]:
    """At most `limit` tokens, each the most likely one after all before it."""
    import torch

    device = next(model.parameters()).device
    fed = torch.tensor([prompt], device=device)
    cache = None
    for _ in range(limit):
        with evaluating(model):
            output = model(input_ids=fed, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        token = int(output.logits[0, -1].argmax())
        yield token
        fed = torch.tensor([[token]], device=device)


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
            expected=None if decode is None else decode(_turn(rows, row, plan.tokens.stop_ids)),
            before=first,
            after=second,
        )
        for row, first, second in zip(asked, before, after, strict=True)
    )


def _turn(rows: Rows, row: int, stop_ids: tuple[int, ...]) -> list[int]:
    """The first trained run of a row, without its stop."""
    labels = rows.labels[rows.row(row)]
    trained = np.flatnonzero(labels != IGNORED)
    gaps = np.flatnonzero(np.diff(trained) > 1)
    turn: list[int] = labels[trained[: gaps[0] + 1] if len(gaps) else trained].tolist()
    return turn[:-1] if turn and turn[-1] in stop_ids else turn
