"""Preference pairs: the rejected answer rendered as the chosen one is, after the same prompt."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from templates.messages import Chat, chat
from templates.options import RenderOptions
from templates.refusals import NoPair, Refusal
from templates.spans import VerifiedRender
from templates.tokens.columns import Row

Prove = Callable[[Chat], list[VerifiedRender]]
REJECTED = "the rejected answer: "


def prove_pair(
    record: Mapping[str, Any], options: RenderOptions, prove: Prove
) -> list[VerifiedRender]:
    """The verified texts of the chosen answer and of the rejected one, after one prompt.

    Only what follows that prompt is trained, on both sides. Raises a `Refusal` for a record
    without a rejected answer, an answer that cannot be proven, and prompts that differ.
    """
    messages, rejected = record["messages"] or [], record.get("rejected") or []
    if not rejected:
        raise NoPair("the row has no rejected answer")
    start = len(messages) - len(rejected)
    parting = messages[start]["role"] if start >= 0 else "nobody"
    if parting != "assistant" or rejected[0]["role"] != "assistant":
        raise NoPair(
            f"where the answers part is not known: the rejected one has {len(rejected)} messages "
            f"from {rejected[0]['role']} on, the chosen one there has {parting}"
        )
    chosen = _one({**record, "rejected": None}, start, options, prove)
    try:
        loser = {**record, "messages": [*messages[:start], *rejected]}
        other = _one(loser, start, options, prove)
    except Refusal as refusal:
        raise _named(refusal) from refusal
    _check_prompts(chosen, other)
    return [chosen, other]


def _one(
    record: Mapping[str, Any], start: int, options: RenderOptions, prove: Prove
) -> VerifiedRender:
    """The one verified text of what one side has after the prompt."""
    conversation = chat(record, options)
    turns = tuple(turn for turn in conversation.trained if turn >= start)
    if not turns:
        raise NoPair(f"message {start}: the answer has weight 0", start)
    renders = prove(dataclasses.replace(conversation, trained=turns))
    if len(renders) > 1:
        raise NoPair(f"message {start}: the template makes {len(renders)} examples of the answer")
    return renders[0]


def _check_prompts(chosen: VerifiedRender, other: VerifiedRender) -> None:
    if chosen.text == other.text:
        raise NoPair("both answers are the same")
    ours, theirs = (verified.text[: verified.trained[0].start] for verified in (chosen, other))
    if ours == theirs:
        return
    raise NoPair.at_difference(
        "the template writes another prompt for each answer, from character {offset}; "
        "an argument such as --arg enable_thinking=true may give both the same",
        ours,
        theirs,
        chosen.trained[0].turn,
    )


def pair_of(sides: Sequence[Row | Refusal]) -> Row | Refusal:
    """The row of a pair, its rejected answer with it, or why there is none."""
    if len(sides) == 1:  # refused before there were any tokens
        return sides[0]
    chosen, other = sides
    if isinstance(chosen, Refusal):
        return chosen
    if isinstance(other, Refusal):
        return _named(other)
    ours, theirs = (row.example.ids[: prompt_tokens(row)] for row in (chosen, other))
    if ours != theirs:
        return NoPair(
            f"the prompts of both answers are {len(ours):,} and {len(theirs):,} tokens that differ"
        )
    return chosen._replace(rejected=other)


def prompt_tokens(row: Row) -> int:
    """How many tokens stand before the first trained one."""
    return row.example.spans[0][0]


def _named(refusal: Refusal) -> Refusal:
    """The same refusal, of the rejected answer."""
    return type(refusal)(f"{REJECTED}{refusal}", refusal.turn, refusal.offset)
