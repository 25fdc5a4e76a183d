"""Whose words stand where in a rendered text: all that must be there, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from templates.messages import DOCUMENTS, Chat
from templates.proof.checks import (
    ForeignText,
    NoStop,
    PayloadLost,
    Unstable,
    first_difference,
    two_lines,
)
from templates.proof.stops import Stop
from templates.sandbox.provenance import Leaf, Span
from templates.template import Renderer

if TYPE_CHECKING:
    from templates.proof.regions import Region


def follow(
    renderer: Renderer, chat: Chat, text: str, prompt: bool = False
) -> tuple[list[Span], list[Leaf]]:
    """Where the data stands in a rendered text, and all data."""
    origins = renderer.origins(chat, text, prompt)
    if isinstance(origins, str):
        raise _two_texts(renderer, chat, text, origins)
    return origins


def check_context(renderer: Renderer, chat: Chat, spans: Sequence[Span]) -> None:
    """Refuse a row if the template never writes what a system, user or tool message says.

    Nor may it leave out the documents that came with the row. Tools it may, as at inference.

    Messages that were written when they were new, and that the history leaves out later, are the
    template's way to remember.
    """
    written = {span.leaf.message for span in spans}
    if DOCUMENTS in renderer.data and all(span.leaf.field != DOCUMENTS for span in spans):
        raise PayloadLost("the template does not write the documents of the row")
    for number, message in enumerate(chat.messages):
        if number in written or message["role"] == "assistant":
            continue
        if not (message.get("content") or "").strip():
            continue
        new = Chat(chat.messages[: number + 1], chat.tools, ())
        text = renderer.text(new.messages, new.tools, prompt=True)
        said, _ = follow(renderer, new, text, prompt=True)
        if all(span.leaf.message != number for span in said):
            raise PayloadLost(
                f"message {number}: the template does not write the {message['role']}'s words",
                number,
            )


def check(
    region: Region,
    text: str,
    spans: Sequence[Span],
    leaves: Sequence[Leaf],
    stops: Sequence[Stop],
) -> None:
    """I3, I4 and I5: all of the message, nothing of another, and no stop before its stop."""
    check_contents(region, spans, [leaf for leaf in leaves if leaf.message == region.turn])
    _check_strings(region, text, stops)


def check_contents(region: Region, spans: Sequence[Span], leaves: Sequence[Leaf]) -> None:
    """I3 and I4: the region holds all of its message's payload and nothing of another's."""
    inside = [span for span in spans if span.stop > region.start and span.start < region.end]
    for span in inside:
        if span.leaf.message != region.turn:
            number = span.leaf.message
            source = f"message {number}" if number >= 0 else span.leaf.field
            raise ForeignText(
                f"message {region.turn}: text of {source} stands in the trained text: "
                f"{span.leaf.text[:40]!r}",
                region.turn,
                max(span.start, region.start),
            )
    for leaf in leaves:
        if leaf.payload:
            _check_covered(region, leaf, inside)


def _check_covered(region: Region, leaf: Leaf, inside: Sequence[Span]) -> None:
    covered = 0
    for span in inside:
        if span.leaf is not leaf:
            continue
        first = span.offset + max(region.start - span.start, 0)
        if leaf.text[covered:first].strip():
            break
        covered = max(covered, span.offset + min(span.stop, region.end) - span.start)
    lost = leaf.text[covered:].lstrip()
    if lost:
        raise PayloadLost(
            f"message {region.turn}: its {leaf.field} is not all in the trained text; "
            f"lost from {lost[:40]!r}",
            region.turn,
            region.end,
        )


def _check_strings(region: Region, text: str, stops: Sequence[Stop]) -> None:
    """A stop that is plain text must not stand earlier: generation would end there."""
    for stop in stops:
        place = text.find(stop.text, region.start, region.end) if stop.id is None else -1
        if 0 <= place < region.stop_start:
            raise NoStop(
                f"message {region.turn}: the answer contains the stop {stop.text!r}, which is "
                "plain text in this vocabulary: generation would end there",
                region.turn,
                place,
            )


def _two_texts(renderer: Renderer, chat: Chat, text: str, traced: str) -> Unstable | PayloadLost:
    """A second rendering gave another text: the template is unstable, or beyond tracing."""
    again = renderer.text(chat.messages, chat.tools)
    offset = first_difference(text, again)
    if again != text:
        return Unstable(
            f"rendering twice gives two texts, from character {offset}",
            offset=offset,
            lines=two_lines(text, again, offset),
        )
    offset = first_difference(text, traced)
    return PayloadLost(
        f"the origin of the text cannot be followed through this template, from character {offset}",
        offset=offset,
        lines=two_lines(text, traced, offset),
    )
