"""The trained text of each turn, proven on the rendered conversation.

For a trained message k: `P = T(m[:k], add_generation_prompt=True)`, `S = T(m[:k+1])`,
`F = T(m)`. Its region starts where P ends in S, and ends right after the first stop that follows
the last character of its payload; a stop that S lacks is borrowed from F.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from templates.checks import (
    ForeignText,
    HistoryRewritten,
    NoStop,
    PayloadLost,
    PromptChanged,
    TagDisagrees,
    Unstable,
    excerpt,
    first_difference,
    two_lines,
)
from templates.messages import DOCUMENTS, Chat
from templates.options import RenderOptions
from templates.provenance import Leaf, Span
from templates.stops import Stop, first_stop
from templates.tags import Tag, check_tags, disagreement, enclosing
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


def follow(
    renderer: Renderer, chat: Chat, text: str, prompt: bool = False
) -> tuple[list[Span], list[Leaf]]:
    """Where the data stands in a rendered text, and all data."""
    origins = renderer.origins(chat, text, prompt)
    if isinstance(origins, str):
        raise _two_texts(renderer, chat, text, origins)
    return origins


def check(
    region: Region,
    text: str,
    spans: Sequence[Span],
    leaves: Sequence[Leaf],
    stops: Sequence[Stop],
) -> None:
    """I3, I4 and I5: all of the message, nothing of another, and no stop before its stop."""
    _check_contents(region, spans, [leaf for leaf in leaves if leaf.message == region.turn])
    _check_strings(region, text, stops)


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
                _check_contents(region, spans, [])
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
    _check_contents(region, spans, [span.leaf for span in own])
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


def _check_contents(region: Region, spans: Sequence[Span], leaves: Sequence[Leaf]) -> None:
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
