"""The trained text of each turn, proven on the rendered conversation.

For a trained message k: `P = T(m[:k], add_generation_prompt=True)`, `S = T(m[:k+1])`,
`F = T(m)`. Its region starts where P ends in S, and ends right after the first stop that follows
the last character of its payload; a stop that S lacks is borrowed from F.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from templates.messages import Chat
from templates.options import RenderOptions
from templates.proof.checks import (
    HistoryRewritten,
    NoStop,
    PayloadLost,
    PromptChanged,
    TagDisagrees,
    excerpt,
    first_difference,
    two_lines,
)
from templates.proof.contents import check, check_contents, check_context, follow
from templates.proof.stops import Stop, first_stop
from templates.proof.tags import Tag, check_tags, disagreement, enclosing
from templates.sandbox.provenance import Span
from templates.template import Renderer


@dataclass(frozen=True, slots=True)
class Region:
    """Characters `start` to `end` of a rendered text: what is generated for message `turn`.

    The stop begins at `stop_start`; everything before it is payload and what the template
    writes around it. `stop` is None where none is trained: turns of other roles, and tags that
    leave it out.
    """

    turn: int
    start: int
    stop_start: int
    end: int
    stop: Stop | None


@dataclass(frozen=True, slots=True)
class Proof:
    """A rendered conversation, which characters are data, and the regions to train on."""

    text: str
    spans: list[Span]
    regions: list[Region]


def as_one(renderer: Renderer, chat: Chat, stops: Sequence[Stop], options: RenderOptions) -> Proof:
    """All turns on the text of the whole conversation."""
    messages, tools = chat.messages, chat.tools
    whole = renderer.of(messages[chat.trained[-1]])
    text = whole.text(messages, tools)
    spans, leaves = follow(whole, chat, text)
    regions = []
    for turn in chat.trained:
        own = renderer.of(messages[turn])
        if messages[turn]["role"] != "assistant":
            regions.append(words(turn, spans))
            continue
        prompt = own.text(messages[:turn], tools, prompt=True)
        last = turn == len(messages) - 1
        upto = text if last else own.text(messages[: turn + 1], tools)
        if last and chat.open:
            region = unfinished(turn, prompt, text, spans)
        else:
            region = find(turn, prompt, upto, text, spans, stops)
        check(region, text, spans, leaves, stops)
        regions.append(region)
    check_context(whole, chat, spans)
    return made(chat, text, spans, marked(regions, whole, chat, text, spans, options))


def made(chat: Chat, text: str, spans: list[Span], regions: list[Region]) -> Proof:
    """The proof of a text; that of an open conversation ends where the model is to go on."""
    end = regions[-1].end if chat.open else len(text)
    return Proof(text[:end], [span for span in spans if span.stop <= end], regions)


def marked(
    regions: list[Region],
    renderer: Renderer,
    chat: Chat,
    text: str,
    spans: Sequence[Span],
    options: RenderOptions,
) -> list[Region]:
    """The regions after what tags and options say about them."""
    if renderer.template.tagging is not None and options.mask != "operational":
        tags = renderer.tags(chat.messages, chat.tools, text)
        if options.mask == "auto" or tags is None:
            check_tags(regions, tags, text)
        else:
            regions = [_as_tagged(region, tags, text) for region in regions]
            for region in regions:
                check_contents(region, spans, [])
    if options.mask_reasoning:
        regions = [_after_reasoning(region, spans) for region in regions]
    return regions


def _as_tagged(region: Region, tags: Sequence[Tag], text: str) -> Region:
    """What the tags hold of a turn, up to its stop."""
    tag = enclosing(region, tags)
    if tag is None:
        raise TagDisagrees(
            f"message {region.turn}: {disagreement(region, tags, text)}", region.turn
        )
    end = min(tag[1], region.end)
    stop = region.stop if end == region.end else None
    return Region(region.turn, tag[0], min(region.stop_start, end), end, stop)


def _after_reasoning(region: Region, spans: Sequence[Span]) -> Region:
    """The region from where the reasoning ends, which is given instead of trained."""
    own = [s.stop for s in spans if s.leaf.message == region.turn]
    thought = [
        span.stop
        for span in spans
        if span.leaf.message == region.turn and span.leaf.field == "reasoning_content"
    ]
    if not thought or max(own) == max(thought):
        return region
    return replace(region, start=max(region.start, *thought))


def words(turn: int, spans: Sequence[Span]) -> Region:
    """The words of a message that nobody generates: its payload, without header or stop."""
    own = [span for span in spans if span.leaf.message == turn and span.leaf.payload]
    if not own:
        raise PayloadLost(f"message {turn}: the template does not write it", turn)
    region = Region(turn, own[0].start, own[-1].stop, own[-1].stop, None)
    check_contents(region, spans, [span.leaf for span in own])
    return region


def find(
    turn: int, prompt: str, upto: str, text: str, spans: Sequence[Span], stops: Sequence[Stop]
) -> Region:
    """I1, I2 and I5: where a turn's generated text starts and ends in the whole text."""
    if not upto.startswith(prompt):
        raise _changed(
            PromptChanged, turn, "its prompt is not what it is rendered after", prompt, upto
        )
    payload_end = last_word(turn, spans)
    if upto[:payload_end] != text[:payload_end]:
        raise _rewritten(turn, upto, text)
    found = first_stop(upto[payload_end:], stops) or borrowed(text, payload_end, spans, stops)
    if found is None:
        raise _stopless(turn, text, payload_end, stops)
    stop_start, stop = payload_end + found[0], found[1]
    end = stop_start + len(stop.text)
    if end <= len(upto) and upto[:end] != text[:end]:
        raise _rewritten(turn, upto, text)
    return Region(turn, len(prompt), stop_start, end, stop)


def unfinished(turn: int, prompt: str, text: str, spans: Sequence[Span]) -> Region:
    """I1 for a last answer that goes on: all of its words are generated, and no stop."""
    if not text.startswith(prompt):
        what = "its prompt is not what it is rendered after"
        raise _changed(PromptChanged, turn, what, prompt, text)
    end = last_word(turn, spans)
    return Region(turn, len(prompt), end, end, None)


def last_word(turn: int, spans: Sequence[Span]) -> int:
    """Where the data of a message ends."""
    end = max((span.stop for span in spans if span.leaf.message == turn), default=0)
    if not end:
        raise PayloadLost(f"message {turn}: the template does not write the answer", turn)
    return end


def borrowed(
    text: str, payload_end: int, spans: Sequence[Span], stops: Sequence[Stop]
) -> tuple[int, Stop] | None:
    """The stop that the whole text has between an answer and the next message's words."""
    others = (span.start for span in spans if span.start >= payload_end)
    return first_stop(text[payload_end : min(others, default=len(text))], stops)


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
