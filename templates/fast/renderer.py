"""A renderer that knows the way which rows of one shape take through a template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from templates.fast.ahead import Ahead, Key
from templates.fast.cache import ShapeCache
from templates.fast.shapes import Shape, shape_of, standing_for, traced_texts
from templates.fast.skeleton import Slot
from templates.fast.symbolic import Path, path, path_of
from templates.messages import Chat, Message
from templates.provenance import Origins, TracedStr
from templates.refusals import TemplateFailed
from templates.sandbox.programs import outcome, plain, several, traced
from templates.spans import Span, TracedText
from templates.template import Renderer, with_origins

MOST_AHEAD = 4_000_000  # characters that are rendered at once


@dataclass(frozen=True)
class FastRenderer(Renderer):
    """Gives what `Renderer` gives; a row that takes a known path is put together without Jinja.

    Not so where it is not `followed`: a template whose escapes symbols could miss.
    """

    followed: bool = False
    ahead: Ahead = field(default_factory=Ahead)
    paths: ShapeCache[Path] = field(default_factory=ShapeCache, init=False)

    @classmethod
    def over(cls, renderer: Renderer) -> FastRenderer:
        """The fast renderer of a plain one."""
        followed = not renderer.data and "autoescape" not in renderer.template.source
        return cls(renderer.template, renderer.variables, renderer.data, followed)

    def text(self, messages: list[Message], tools: list[Any] | None, prompt: bool = False) -> str:
        """The rendered text, as `Renderer.text` gives it."""
        shape = shape_of(messages, tools)
        if shape is None:
            return self._rendered(messages, tools, prompt)
        key, sources = (shape, prompt), traced_texts(messages)
        path = self._known_path(key, sources)
        if path is not None:
            return path.skeleton.fill(sources)[0]
        text = self._rendered(messages, tools, prompt)
        if self.paths.wants(key, len(messages)):
            new = self.path(messages, prompt)
            fitting = new if new and new.skeleton.fill(sources)[0] == text else None
            self.paths.learn(key, fitting, len(fitting.skeleton.parts) if fitting else 0)
        return text

    def _rendered(self, messages: list[Message], tools: list[Any] | None, prompt: bool) -> str:
        known = self.ahead.text(self.variables, messages, tools, prompt)
        return super().text(messages, tools, prompt) if known is None else outcome(known)

    def traced(self, chat: Chat, prompt: bool) -> tuple[TracedStr, Origins]:
        """The rendered text with the origin of each character, as `Renderer.traced` gives it."""
        known = self.ahead.tracing(self.variables, chat, prompt)
        if known is None:
            return super().traced(chat, prompt)
        return with_origins(*outcome(known[0])), known[1]

    def foresee(self, chat: Chat) -> None:
        """Do at once what the proof of a conversation renders, where that saves exchanges."""
        if not self.template.programs.apart or chat.given:  # which is a renderer of its own
            return
        messages, tools, ahead = chat.messages, chat.tools, self.ahead
        ahead.forget()
        whole = self.of(messages[chat.trained[-1]])
        wanted: dict[Key, Renderer] = {(id(whole.variables), len(messages), False): whole}
        for turn in chat.trained:
            own = self.of(messages[turn])
            wanted[id(own.variables), turn, True] = own
            wanted[id(own.variables), turn + 1, False] = own
        asked = {
            key: own
            for key, own in wanted.items()
            if not self._is_known(own, messages[: key[1]], tools, key[2])
        }
        size = sum(len(message.get("content") or "") for message in messages)
        if len(asked) < 2 or len(asked) * size > MOST_AHEAD:
            return
        jobs: list[tuple[Any, ...]] = [
            (plain, own.given(messages[:size], tools, prompt))
            for (_, size, prompt), own in asked.items()
        ]
        given, origins = whole.traceable(chat, False)
        try:
            *texts, last = self.template.programs.do(several, [*jobs, (traced, given)])
        except TemplateFailed:  # each of them is asked for alone then, and is refused by itself
            return
        ahead.chat, ahead.texts = chat, dict(zip(asked, texts, strict=True))
        ahead.traced = (id(whole.variables), last, origins)

    def _is_known(
        self, own: Renderer, messages: list[Message], tools: list[Any] | None, prompt: bool
    ) -> bool:
        """Whether a path is known that these messages take."""
        shape = shape_of(messages, tools)
        if shape is None or not isinstance(own, FastRenderer):
            return False
        return own._known_path((shape, prompt), traced_texts(messages)) is not None

    def path(self, messages: list[Message], prompt: bool = False) -> Path | None:
        """The path of messages without tools through the template, if it can be traced."""
        if not self.followed:
            return None
        texts = [source.text for source in traced_texts(messages)]
        slots = [Slot(number) for number in range(len(texts))]
        given = self.given(standing_for(messages, slots), None, prompt)
        found = self.template.programs.do(path, given, texts)
        return None if found is None else path_of(found)

    def origins(
        self, chat: Chat, text: str, prompt: bool = False
    ) -> tuple[list[Span], list[TracedText]] | str:
        """Which characters are whose data, as `Renderer.origins` gives it."""
        shape = shape_of(chat.messages, chat.tools)
        if shape is not None:
            sources = traced_texts(chat.messages)
            path = self._known_path((shape, prompt), sources)
            if path is not None:
                filled, spans = path.skeleton.fill(sources)
                if filled == text:
                    return spans, sources
        return super().origins(chat, text, prompt)

    def _known_path(self, key: tuple[Shape, bool], sources: Sequence[TracedText]) -> Path | None:
        texts = [source.text for source in sources]
        return next((path for path in self.paths.known(key) if path.fits(texts)), None)
