"""A conversation whose history the template rewrites: each turn as it is generated.

Each turn is proven on the text that ends with it. Turns that are generated on one text (the
text up to the first one's stop is a prefix of the next one's) form a chain, which is one
example; stale history is context in it and never trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from templates.messages import ARGUMENTS, DOCUMENTS, Chat
from templates.options import DEFAULTS, RenderOptions
from templates.proof.contents import check, check_context, trace
from templates.proof.trained import (
    as_one,
    borrowed,
    ended,
    generated,
    last_word,
    marked,
    unfinished,
    words,
)
from templates.refusals import (
    HistoryRewritten,
    InputDropped,
    PromptNotPrefix,
    Refusal,
    StopNotAtEnd,
)
from templates.spans import Span, Stop, TracedText, TrainedSpan, VerifiedRender
from templates.template import Renderer


def prove(
    renderer: Renderer, chat: Chat, stops: Sequence[Stop], options: RenderOptions = DEFAULTS
) -> list[VerifiedRender]:
    """Render a conversation and prove what is trained, or raise the `Refusal` of a failed check.

    One verified text, unless the template rewrites earlier turns: then one for each chain of
    turns that share a text. Costs two renderings for each trained turn (one for a last message),
    and one that traces the data.
    """
    renderer = renderer.with_data(_read(renderer, chat))
    try:
        return [as_one(renderer, chat, stops, options)]
    except HistoryRewritten:
        if options.history == "error":
            raise
    except StopNotAtEnd:
        if not options.append_eos:
            raise
    except PromptNotPrefix:
        if options.history == "error" and options.completion != "raw":
            raise
    return _chains(renderer, chat, stops, options)


def _read(renderer: Renderer, chat: Chat) -> dict[str, Any]:
    """What the row gives the template and the template reads.

    A field named documents need not be meant for templates, and a switch that a template lacks
    changes nothing; but words meant for it must not be lost.
    """
    for name, value in chat.given.items():
        unread = name not in renderer.template.reads and name != DOCUMENTS
        if unread and isinstance(value, str | list | dict):
            raise InputDropped(f"{ARGUMENTS}: the template does not read {name!r}, which has words")
    return {name: item for name, item in chat.given.items() if name in renderer.template.reads}


def _chains(
    renderer: Renderer, chat: Chat, stops: Sequence[Stop], options: RenderOptions
) -> list[VerifiedRender]:
    """One verified text for each chain of trained turns, in the order of their first turns."""
    chains: list[VerifiedRender] = []
    for turn in chat.trained:
        verified = _alone(renderer, chat, turn, stops, options)
        for number, chain in enumerate(chains):
            if (joined := _extended(chain, verified)) is not None:
                chains[number] = joined
                break
        else:
            chains.append(verified)
    if options.history == "last":
        return [chain for chain in chains if chain.trained[-1].turn == chat.trained[-1]]
    return chains


def _extended(chain: VerifiedRender, verified: VerifiedRender) -> VerifiedRender | None:
    """The chain and one turn more, if that turn is generated on the chain's text."""
    last = chain.trained[-1]
    if not verified.text.startswith(chain.text[: last.end]):
        return None
    for target in chain.trained:  # the same words must still be those of the same message
        inside = [s for s in verified.spans if s.stop > target.start and s.start < target.end]
        if any(span.source.message != target.turn for span in inside):
            return None
    return VerifiedRender(verified.text, verified.spans, [*chain.trained, *verified.trained])


def _alone(
    renderer: Renderer, chat: Chat, turn: int, stops: Sequence[Stop], options: RenderOptions
) -> VerifiedRender:
    """One turn on the conversation up to it."""
    own = renderer.of(chat.messages[turn])
    is_open = chat.open and turn == len(chat.messages) - 1
    upto = Chat(chat.messages[: turn + 1], chat.tools, (turn,), open=is_open)
    text = own.text(upto.messages, upto.tools)
    spans, sources = trace(own, upto, text)
    if chat.messages[turn]["role"] != "assistant":
        return VerifiedRender(text, spans, [words(turn, spans)])
    prompt = own.text(chat.messages[:turn], chat.tools, prompt=True)
    if not text.startswith(prompt) and options.history != "error":
        text, spans = _continued(own, chat, turn, prompt, text, spans)
    try:
        if is_open:
            target = unfinished(turn, prompt, text, spans)
        else:
            target = generated(turn, prompt, text, text, spans, stops)
    except PromptNotPrefix as refusal:
        if options.completion != "raw":
            raise
        return _raw(own, chat, turn, prompt, sources, stops, refusal)
    except StopNotAtEnd as refusal:
        written = text
        text = _closed(own, chat, upto, written, spans, stops, options, refusal)
        spans = [span for span in spans if span.stop <= last_word(turn, spans)]
        target = generated(turn, prompt, text, text, spans, stops)
        check(target, text, spans, sources, stops)
        return VerifiedRender(text, spans, marked([target], own, upto, written, spans, options))
    check(target, text, spans, sources, stops)
    check_context(own, upto, spans)
    return ended(upto, text, spans, marked([target], own, upto, text, spans, options))


def _continued(
    renderer: Renderer, chat: Chat, turn: int, prompt: str, text: str, spans: list[Span]
) -> tuple[str, list[Span]]:
    """The prompt with the turn's own text after it, where that turn changes what came before.

    As Harmony, which drops the analysis before a call once an answer follows: the answer is
    generated after the prompt, analysis included. Only if both texts go on alike after the same
    word, up to the end of the prompt; else the text as it was, of which the prompt is no prefix.
    """
    before = Chat(chat.messages[:turn], chat.tools, ())
    asked, _ = trace(renderer, before, prompt, prompt=True)
    own = min((span.start for span in spans if span.source.message == turn), default=0)
    earlier = [span for span in spans if span.stop <= own]
    if not asked or not earlier or _word(asked[-1]) != _word(earlier[-1]):
        return text, spans
    opening = prompt[asked[-1].stop :]
    cut = earlier[-1].stop + len(opening)
    if cut > own or not text.startswith(opening, earlier[-1].stop):
        return text, spans
    shift = len(prompt) - cut
    moved = [
        span._replace(start=span.start + shift, stop=span.stop + shift)
        for span in spans
        if span.start >= cut
    ]
    return prompt + text[cut:], [*asked, *moved]


def _word(span: Span) -> tuple[int, str, str, int]:
    """Which word of the data a span ends with."""
    source = span.source
    return source.message, source.field, source.text, span.offset + span.stop - span.start


def _closed(
    renderer: Renderer,
    chat: Chat,
    upto: Chat,
    text: str,
    spans: Sequence[Span],
    stops: Sequence[Stop],
    options: RenderOptions,
    refusal: StopNotAtEnd,
) -> str:
    """The text of a turn with the stop that the next message writes, or else with eos."""
    turn = upto.trained[0]
    end = last_word(turn, spans)
    if len(chat.messages) > len(upto.messages):
        whole = renderer.text(chat.messages, chat.tools)
        theirs, _ = trace(renderer, chat, whole)
        written = last_word(turn, theirs)
        found = borrowed(whole, written, theirs, stops)
        if found is not None:
            return text[:end] + whole[written : written + found[0]] + found[1].text
    eos = next((stop for stop in stops if stop.source == "eos"), None)
    if not options.append_eos or eos is None:
        raise refusal
    return text[:end] + text[end:].rstrip() + eos.text


def _raw(
    renderer: Renderer,
    chat: Chat,
    turn: int,
    prompt: str,
    sources: Sequence[TracedText],
    stops: Sequence[Stop],
    refusal: Refusal,
) -> VerifiedRender:
    """The prompt, the answer's own words, and a stop: for templates that drop reasoning.

    Words with which the prompt ends and the answer starts, such as `<think>`, are written once.
    """
    message = chat.messages[turn]
    ends = [stop for source in ("template", "eos") for stop in stops if stop.source == source]
    if "tool_calls" in message or "reasoning_content" in message or not ends:
        raise refusal
    content = message["content"]
    sizes = range(1, min(len(prompt), 64) + 1)
    shared = max((size for size in sizes if content.startswith(prompt[-size:])), default=0)
    before = Chat(chat.messages[:turn], chat.tools, ())
    spans, _ = trace(renderer, before, prompt, prompt=True)
    source = next(one for one in sources if one.message == turn and one.field == "content")
    start, end = len(prompt), len(prompt) + len(content) - shared
    text = prompt + content[shared:] + ends[0].text
    target = TrainedSpan(turn, start, end, len(text), ends[0])
    return VerifiedRender(text, [*spans, Span(start, end, source, shared)], [target])
