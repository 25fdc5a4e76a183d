"""A conversation whose history the template rewrites: each turn as it is generated.

Each turn is proven on the text that ends with it. Turns that are generated on one text (the
text up to the first one's stop is a prefix of the next one's) form a chain, which is one
example; stale history is context in it and never trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
        own = renderer.of(chat.messages[turn])
        verified = _Turn(own, chat, turn, stops, options).prove()
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


@dataclass(frozen=True)
class _Turn:
    """One trained turn, on the conversation up to it."""

    renderer: Renderer  # of this turn
    chat: Chat
    number: int
    stops: Sequence[Stop]
    options: RenderOptions

    def prove(self) -> VerifiedRender:
        """The verified text of the conversation up to the turn, which alone is trained."""
        renderer, turn, stops, options = self.renderer, self.number, self.stops, self.options
        messages, tools = self.chat.messages, self.chat.tools
        is_open = self.chat.open and turn == len(messages) - 1
        upto = Chat(messages[: turn + 1], tools, (turn,), open=is_open)
        text = renderer.text(upto.messages, tools)
        spans, sources = trace(renderer, upto, text)
        if messages[turn]["role"] != "assistant":
            return VerifiedRender(text, spans, [words(turn, text, spans)])
        prompt = renderer.text(messages[:turn], tools, prompt=True)
        if not text.startswith(prompt) and options.history != "error":
            text, spans = self._continued(prompt, text, spans)
        try:
            if is_open:
                target = unfinished(turn, prompt, text, spans)
            else:
                target = generated(turn, prompt, text, text, spans, stops)
        except PromptNotPrefix as refusal:
            if options.completion != "raw":
                raise
            return self._raw(prompt, sources, refusal)
        except StopNotAtEnd as refusal:
            written = text
            text = self._closed(written, spans, refusal)
            spans = [span for span in spans if span.stop <= last_word(turn, spans)]
            target = generated(turn, prompt, text, text, spans, stops)
            check(target, text, spans, sources, stops)
            trained = marked([target], renderer, upto, written, spans, options)
            return VerifiedRender(text, spans, trained)
        check(target, text, spans, sources, stops)
        check_context(renderer, upto, spans)
        return ended(upto, text, spans, marked([target], renderer, upto, text, spans, options))

    def _before(self, prompt: str) -> list[Span]:
        """Where the data stands in the prompt."""
        before = Chat(self.chat.messages[: self.number], self.chat.tools, ())
        return trace(self.renderer, before, prompt, prompt=True)[0]

    def _continued(self, prompt: str, text: str, spans: list[Span]) -> tuple[str, list[Span]]:
        """The prompt with the turn's own text after it, if the turn changes what came before.

        As Harmony, which drops the analysis before a call once an answer follows: the answer is
        generated after the prompt, analysis included. Only if both texts go on alike after the
        same word, up to the end of the prompt; else the text as it was.
        """
        asked = self._before(prompt)
        own = min((span.start for span in spans if span.source.message == self.number), default=0)
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

    def _closed(self, text: str, spans: Sequence[Span], refusal: StopNotAtEnd) -> str:
        """The text of the turn with the stop that the next message writes, or else with eos."""
        chat, end = self.chat, last_word(self.number, spans)
        if len(chat.messages) > self.number + 1:
            whole = self.renderer.text(chat.messages, chat.tools)
            theirs, _ = trace(self.renderer, chat, whole)
            written = last_word(self.number, theirs)
            stop_found = borrowed(text[end:], whole, written, theirs, self.stops)
            if stop_found is not None:
                place, stop = stop_found
                return text[:end] + whole[written : written + place] + stop.text
        eos = next((stop for stop in self.stops if stop.source == "eos"), None)
        if not self.options.append_eos or eos is None:
            raise refusal
        return text[:end] + text[end:].rstrip() + eos.text

    def _raw(self, prompt: str, sources: Sequence[TracedText], refusal: Refusal) -> VerifiedRender:
        """The prompt, the answer's own words, and a stop: for templates that drop reasoning.

        Words with which the prompt ends and the answer starts, such as `<think>`, are written
        once.
        """
        turn, message = self.number, self.chat.messages[self.number]
        origins = ("template", "eos")
        ends = [stop for origin in origins for stop in self.stops if stop.source == origin]
        if "tool_calls" in message or "reasoning_content" in message or not ends:
            raise refusal
        content = message["content"]
        sizes = range(1, min(len(prompt), 64) + 1)
        shared = max((size for size in sizes if content.startswith(prompt[-size:])), default=0)
        source = next(one for one in sources if one.message == turn and one.field == "content")
        start, end = len(prompt), len(prompt) + len(content) - shared
        text = prompt + content[shared:] + ends[0].text
        target = TrainedSpan(turn, start, end, len(text), ends[0])
        spans = [*self._before(prompt), Span(start, end, source, shared)]
        return VerifiedRender(text, spans, [target])


def _word(span: Span) -> tuple[int, str, str, int]:
    """Which word of the data a span ends with."""
    source = span.source
    return source.message, source.field, source.text, span.offset + span.stop - span.start
