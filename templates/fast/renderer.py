"""A renderer that knows the way which rows of one shape take through a template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from templates.fast.cache import ShapeCache
from templates.fast.shapes import Shape, shape_of, standing_for, traced_texts
from templates.fast.skeleton import Slot
from templates.fast.symbolic import Path, path, path_of
from templates.messages import Chat, Message
from templates.spans import Span, TracedText
from templates.template import Renderer


@dataclass(frozen=True)
class FastRenderer(Renderer):
    """Gives what `Renderer` gives; a row that takes a known path is put together without Jinja.

    Not so where it is not `followed`: a template whose escapes symbols could miss.
    """

    followed: bool = False
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
            return super().text(messages, tools, prompt)
        key, sources = (shape, prompt), traced_texts(messages)
        path = self._known_path(key, sources)
        if path is not None:
            return path.skeleton.fill(sources)[0]
        text = super().text(messages, tools, prompt)
        if self.paths.wants(key, len(messages)):
            new = self.path(messages, prompt)
            fitting = new if new and new.skeleton.fill(sources)[0] == text else None
            self.paths.learn(key, fitting, len(fitting.skeleton.parts) if fitting else 0)
        return text

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
