"""The trained text of each turn, proven on the rendered conversation.

For a trained message k: `P = T(m[:k], add_generation_prompt=True)`, `S = T(m[:k+1])`,
`F = T(m)`. Its region starts where P ends in S, and ends right after the first stop that follows
the last character of its payload; a stop that S lacks is borrowed from F.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from templates.checks import (
    ForeignText,
    HistoryRewritten,
    NoStop,
    PayloadLost,
    PromptChanged,
    Unstable,
    excerpt,
    first_difference,
    two_lines,
)
from templates.messages import Chat
from templates.provenance import Leaf, Span
from templates.stops import Stop, first_stop
from templates.template import Renderer


@dataclass(frozen=True, slots=True)
class Region:
    """Characters `start` to `end` of a rendered text: what is generated for message `turn`.

    The stop begins at `stop_start`; everything before it is payload and what the template
    writes around it.
    """

    turn: int
    start: int
    stop_start: int
    end: int
    stop: Stop


@dataclass(frozen=True, slots=True)
class Proof:
    """A rendered conversation, which characters are data, and the regions to train on."""

    text: str
    spans: list[Span]
    regions: list[Region]


def prove(renderer: Renderer, chat: Chat, stops: Sequence[Stop]) -> Proof:
    """Render a conversation and prove its regions, or raise the `Refusal` of the check it fails.

    Costs two renderings for each trained turn (one for a last message), and following the data.
    """
    text = renderer.text(chat.messages, chat.tools)
    origins = renderer.origins(chat, text)
    if isinstance(origins, str):
        raise _two_texts(renderer, chat, text, origins)
    spans, leaves = origins
    regions = []
    for turn in chat.trained:
        prompt = renderer.text(chat.messages[:turn], chat.tools, prompt=True)
        last = turn == len(chat.messages) - 1
        upto = text if last else renderer.text(chat.messages[: turn + 1], chat.tools)
        region = _region(turn, prompt, upto, text, spans, stops)
        _check_contents(region, spans, [leaf for leaf in leaves if leaf.message == turn])
        _check_strings(region, text, stops)
        regions.append(region)
    return Proof(text, spans, regions)


def _region(
    turn: int, prompt: str, upto: str, text: str, spans: Sequence[Span], stops: Sequence[Stop]
) -> Region:
    if not upto.startswith(prompt):
        raise _changed(
            PromptChanged, turn, "its prompt is not what it is rendered after", prompt, upto
        )
    payload_end = max((span.stop for span in spans if span.leaf.message == turn), default=0)
    if not payload_end:
        raise PayloadLost(f"message {turn}: the template does not write the answer", turn)
    if upto[:payload_end] != text[:payload_end]:
        raise _rewritten(turn, upto, text)
    found = first_stop(upto[payload_end:], stops)
    if found is None:
        others = (span.start for span in spans if span.start >= payload_end)
        found = first_stop(text[payload_end : min(others, default=len(text))], stops)
    if found is None:
        raise _stopless(turn, text, payload_end, stops)
    stop_start, stop = payload_end + found[0], found[1]
    end = stop_start + len(stop.text)
    if end <= len(upto) and upto[:end] != text[:end]:
        raise _rewritten(turn, upto, text)
    return Region(turn, len(prompt), stop_start, end, stop)


def _check_contents(region: Region, spans: Sequence[Span], leaves: Sequence[Leaf]) -> None:
    """I3 and I4: the region holds all of its message's payload and nothing of another's."""
    inside = [span for span in spans if span.stop > region.start and span.start < region.end]
    for span in inside:
        if span.leaf.message != region.turn:
            source = "tools" if span.leaf.message < 0 else f"message {span.leaf.message}"
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


def _changed(
    kind: type[PromptChanged | HistoryRewritten], turn: int, what: str, expected: str, got: str
) -> PromptChanged | HistoryRewritten:
    offset = first_difference(expected, got)
    return kind(
        f"message {turn}: {what}; they differ from character {offset}",
        turn,
        offset,
        two_lines(expected, got, offset),
    )


def _rewritten(turn: int, upto: str, text: str) -> PromptChanged | HistoryRewritten:
    what = "later messages change the text that it was generated in"
    return _changed(HistoryRewritten, turn, what, upto, text)


def _stopless(turn: int, text: str, payload_end: int, stops: Sequence[Stop]) -> NoStop:
    known = ", ".join(repr(stop.text) for stop in stops) or "none is known"
    return NoStop(
        f"message {turn}: no stop follows the answer (stops: {known})",
        turn,
        payload_end,
        (f"  text     {excerpt(text, payload_end)}", "  expected a stop after the bar"),
    )
