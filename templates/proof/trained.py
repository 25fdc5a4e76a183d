"""The trained text of each turn, proven on the rendered conversation.

Three texts prove message k: the prompt, which is what is rendered before it with
`add_generation_prompt`; the text up to it; and the text of the whole conversation. Its trained text
starts where the prompt ends, and ends right after the first stop that follows the last character of
its answer text; a stop that the text up to it lacks is taken from the whole text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from templates.messages import Chat
from templates.options import RenderOptions
from templates.proof.contents import check, check_contents, check_context, trace
from templates.proof.tags import check_tags, disagreement, enclosing
from templates.refusals import (
    CONTEXT,
    AnswerAltered,
    HistoryRewritten,
    PromptNotPrefix,
    StopNotAtEnd,
    TagDisagrees,
    excerpt,
)
from templates.sandbox.tagging import Tag
from templates.spans import Span, Stop, TrainedSpan, VerifiedRender, first_stop
from templates.template import Renderer

_FROM = "they differ from character {offset}"


def as_one(
    renderer: Renderer, chat: Chat, stops: Sequence[Stop], options: RenderOptions
) -> VerifiedRender:
    """All turns on the text of the whole conversation. Raises the `Refusal` of a failed check."""
    messages, tools = chat.messages, chat.tools
    whole = renderer.of(messages[chat.trained[-1]])
    text = whole.text(messages, tools)
    spans, sources = trace(whole, chat, text)
    trained = []
    for turn in chat.trained:
        own = renderer.of(messages[turn])
        if messages[turn]["role"] != "assistant":
            trained.append(words(turn, text, spans))
            continue
        prompt = own.text(messages[:turn], tools, prompt=True)
        last = turn == len(messages) - 1
        upto = text if last else own.text(messages[: turn + 1], tools)
        if last and chat.open:
            target = unfinished(turn, prompt, text, spans)
        else:
            target = generated(turn, prompt, upto, text, spans, stops)
        check(target, text, spans, sources, stops)
        trained.append(target)
    check_context(whole, chat, spans)
    return ended(chat, text, spans, marked(trained, whole, chat, text, spans, options))


def ended(chat: Chat, text: str, spans: list[Span], trained: list[TrainedSpan]) -> VerifiedRender:
    """The verified text; that of an open conversation ends where the model is to go on."""
    end = trained[-1].end if chat.open else len(text)
    return VerifiedRender(text[:end], [span for span in spans if span.stop <= end], trained)


def marked(
    trained: list[TrainedSpan],
    renderer: Renderer,
    chat: Chat,
    text: str,
    spans: Sequence[Span],
    options: RenderOptions,
) -> list[TrainedSpan]:
    """The trained spans after what tags and options say about them. Raises `TagDisagrees`."""
    if renderer.template.tagging is not None and options.mask != "operational":
        tags = renderer.tags(chat.messages, chat.tools, text)
        if options.mask == "auto" or tags is None:
            check_tags(trained, tags, text)
        else:
            trained = [_as_tagged(target, tags, text) for target in trained]
            for target in trained:
                check_contents(target, text, spans, [])
    if options.mask_reasoning:
        trained = [_after_reasoning(target, spans) for target in trained]
    return trained


def _as_tagged(target: TrainedSpan, tags: Sequence[Tag], text: str) -> TrainedSpan:
    """What the tags hold of a turn, up to its stop."""
    tag = enclosing(target, tags)
    if tag is None:
        raise TagDisagrees(
            f"message {target.turn}: {disagreement(target, tags, text)}", target.turn
        )
    end = min(tag[1], target.end)
    stop = target.stop if end == target.end else None
    return TrainedSpan(target.turn, tag[0], min(target.stop_start, end), end, stop)


def _after_reasoning(target: TrainedSpan, spans: Sequence[Span]) -> TrainedSpan:
    """The trained span from where the reasoning ends, which is given instead of trained."""
    own = [span for span in spans if span.source.message == target.turn]
    thought = [span.stop for span in own if span.source.field == "reasoning_content"]
    if not thought or max(span.stop for span in own) == max(thought):
        return target
    return replace(target, start=max(target.start, *thought))


def words(turn: int, text: str, spans: Sequence[Span]) -> TrainedSpan:
    """The words of a message that nobody generates: its texts, without template text or stop."""
    own = [span for span in spans if span.source.message == turn and span.source.is_answer]
    if not own:
        raise AnswerAltered(f"message {turn}: the template does not write it", turn)
    target = TrainedSpan(turn, own[0].start, own[-1].stop, own[-1].stop, None)
    check_contents(target, text, spans, [span.source for span in own])
    return target


def generated(
    turn: int, prompt: str, upto: str, text: str, spans: Sequence[Span], stops: Sequence[Stop]
) -> TrainedSpan:
    """Where a turn's generated text starts and ends in the whole text.

    Raises `PromptNotPrefix`, `HistoryRewritten` or `StopNotAtEnd`.
    """
    _check_prompt(turn, prompt, upto)
    answer_end = last_word(turn, spans)
    if upto[:answer_end] != text[:answer_end]:
        raise _rewritten(turn, upto, text)
    own = upto[answer_end:]
    stop_found = first_stop(own, stops) or borrowed(own, text, answer_end, spans, stops)
    if stop_found is None:
        raise _stopless(turn, upto, answer_end, stops)
    stop_start, stop = answer_end + stop_found[0], stop_found[1]
    end = stop_start + len(stop.text)
    if end <= len(upto) and upto[:end] != text[:end]:
        raise _rewritten(turn, upto, text)
    return TrainedSpan(turn, len(prompt), stop_start, end, stop)


def unfinished(turn: int, prompt: str, text: str, spans: Sequence[Span]) -> TrainedSpan:
    """The trained span of a last answer that goes on: all of its words, and no stop.

    Raises `PromptNotPrefix`.
    """
    _check_prompt(turn, prompt, text)
    end = last_word(turn, spans)
    return TrainedSpan(turn, len(prompt), end, end, None)


def last_word(turn: int, spans: Sequence[Span]) -> int:
    """The character after the last of a message's data. Raises `AnswerAltered` if there is none."""
    end = max((span.stop for span in spans if span.source.message == turn), default=0)
    if not end:
        raise AnswerAltered(f"message {turn}: the template does not write the answer", turn)
    return end


def borrowed(
    own: str, text: str, answer_end: int, spans: Sequence[Span], stops: Sequence[Stop]
) -> tuple[int, Stop] | None:
    """The stop that the whole text has between an answer and the next message's words.

    Only if it goes on with what the turn's `own` text has after the answer, which is what is
    generated: a text that goes another way ends another turn.
    """
    others = (span.start for span in spans if span.start >= answer_end)
    tail = text[answer_end : min(others, default=len(text))]
    found = first_stop(tail, stops)
    goes_on = found is not None and tail[: found[0] + len(found[1].text)].startswith(own)
    return found if goes_on else None


def _check_prompt(turn: int, prompt: str, text: str) -> None:
    if not text.startswith(prompt):
        what = "its prompt is not what it is rendered after"
        raise PromptNotPrefix.at_difference(f"message {turn}: {what}; {_FROM}", prompt, text, turn)


def _rewritten(turn: int, upto: str, text: str) -> HistoryRewritten:
    what = "later messages change the text that it was generated in"
    return HistoryRewritten.at_difference(f"message {turn}: {what}; {_FROM}", upto, text, turn)


def _stopless(turn: int, text: str, answer_end: int, stops: Sequence[Stop]) -> StopNotAtEnd:
    known = ", ".join(repr(stop.text) for stop in stops) or "none is known"
    after = text[answer_end:].strip()[:CONTEXT]
    return StopNotAtEnd(
        f"message {turn}: no stop follows the answer (stops: {known}), but "
        f"{f'{after!r}' if after else 'nothing'}",
        turn,
        answer_end,
        (f"  text     {excerpt(text, answer_end)}", "  expected a stop after the bar"),
    )
