"""Whose words stand where in a rendered text: all that must be there, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from templates.messages import ANSWER_FIELDS, DOCUMENTS, Chat
from templates.refusals import (
    AnswerAltered,
    InputDropped,
    OtherTextInAnswer,
    RenderUnstable,
    StopNotAtEnd,
)
from templates.spans import Span, Stop, TracedText, TrainedSpan
from templates.template import Renderer


def trace(
    renderer: Renderer, chat: Chat, text: str, prompt: bool = False
) -> tuple[list[Span], list[TracedText]]:
    """Where the data stands in a rendered text, and all data.

    Raises `RenderUnstable`, or `AnswerAltered` if the template does more than can be traced.
    """
    origins = renderer.origins(chat, text, prompt)
    if not isinstance(origins, str):
        return origins
    again = renderer.text(chat.messages, chat.tools)
    if again != text:
        why = "rendering twice gives two texts, from character {offset}"
        raise RenderUnstable.at_difference(why, text, again)
    why = "the origin of the text cannot be traced through this template, from character {offset}"
    raise AnswerAltered.at_difference(why, text, origins)


def check_context(renderer: Renderer, chat: Chat, spans: Sequence[Span]) -> None:
    """Refuse a row if the template never writes the words of a system, user or tool message.

    Nor may it leave out the documents that came with the row. Tools it may, as at inference.

    Messages that were written when they were new, and that the history leaves out later, are the
    template's way to remember.
    """
    written = {span.source.message for span in spans}
    if DOCUMENTS in renderer.data and all(span.source.field != DOCUMENTS for span in spans):
        raise InputDropped("the template does not write the documents of the row")
    for number, message in enumerate(chat.messages):
        if number in written or message["role"] == "assistant":
            continue
        if not (message.get("content") or "").strip():
            continue
        new = Chat(chat.messages[: number + 1], chat.tools, ())
        text = renderer.text(new.messages, new.tools, prompt=True)
        when_new, _ = trace(renderer, new, text, prompt=True)
        if all(span.source.message != number for span in when_new):
            raise InputDropped(
                f"message {number}: the template does not write the {message['role']}'s words",
                number,
            )


def check(
    target: TrainedSpan,
    text: str,
    spans: Sequence[Span],
    sources: Sequence[TracedText],
    stops: Sequence[Stop],
) -> None:
    """The trained text holds all of its message, nothing of another, and no stop but its own.

    Raises `AnswerAltered`, `OtherTextInAnswer` or `StopNotAtEnd`.
    """
    own = [source for source in sources if source.message == target.turn]
    check_contents(target, text, spans, own)
    _check_strings(target, text, stops)


def check_contents(
    target: TrainedSpan, text: str, spans: Sequence[Span], sources: Sequence[TracedText]
) -> None:
    """The trained text holds all answer text of its message as it is, and nothing of another's.

    Raises `AnswerAltered` or `OtherTextInAnswer`.
    """
    inside = [span for span in spans if span.stop > target.start and span.start < target.end]
    for span in inside:
        if span.source.message != target.turn:
            number = span.source.message
            whose = f"message {number}" if number >= 0 else span.source.field
            raise OtherTextInAnswer(
                f"message {target.turn}: text of {whose} stands in the trained text: "
                f"{span.source.text[:40]!r}",
                target.turn,
                max(span.start, target.start),
            )
    for source in sources:
        if source.is_answer:
            _check_covered(target, source, inside)
    for span in inside:
        if span.source.is_answer:
            _check_letters(target, text, span)


def _check_letters(target: TrainedSpan, text: str, span: Span) -> None:
    """Letters in another case are other words; what JSON writes for a character is not."""
    low, high = max(span.start, target.start), min(span.stop, target.end)
    first = span.offset + low - span.start
    got, given = text[low:high], span.source.text[first : first + high - low]
    if got == given:
        return
    for place, (ours, theirs) in enumerate(zip(got, given, strict=True)):
        if ours != theirs and _is_recased(ours, theirs):
            raise AnswerAltered(
                f"message {target.turn}: the template changes its letters, from "
                f"{given[place : place + 40]!r} to {got[place : place + 40]!r}, in the "
                f"{span.source.field}",
                target.turn,
                low + place,
            )


def _is_recased(one: str, other: str) -> bool:
    return one.casefold() == other.casefold() or one in (other.upper(), other.lower())


def _check_covered(target: TrainedSpan, source: TracedText, inside: Sequence[Span]) -> None:
    covered = 0
    for span in inside:
        if span.source is not source:
            continue
        first = span.offset + max(target.start - span.start, 0)
        if source.text[covered:first].strip():
            break
        # JSON writes one character as several, each of which is a span.
        again = source.text[first : min(covered, first + span.stop - span.start)]
        if source.field in ANSWER_FIELDS and len(again) > 1 and again.strip():
            raise AnswerAltered(
                f"message {target.turn}: the template writes words of its {source.field} twice: "
                f"{again[:40]!r}",
                target.turn,
                span.start,
            )
        covered = max(covered, span.offset + min(span.stop, target.end) - span.start)
    lost = source.text[covered:].lstrip()
    if lost:
        raise AnswerAltered(
            f"message {target.turn}: its {source.field} is not all in the trained text; "
            f"lost from {lost[:40]!r}",
            target.turn,
            target.end,
        )


def _check_strings(target: TrainedSpan, text: str, stops: Sequence[Stop]) -> None:
    """A stop that is plain text must not stand earlier: generation would end there."""
    for stop in stops:
        place = text.find(stop.text, target.start, target.end) if stop.id is None else -1
        if 0 <= place < target.stop_start:
            raise StopNotAtEnd(
                f"message {target.turn}: the answer contains the stop {stop.text!r}, which is "
                "plain text in this vocabulary: generation would end there",
                target.turn,
                place,
            )
