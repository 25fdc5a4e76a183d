"""What the proof of a conversation renders, done at once.

Where a template runs in another process, each rendering is an exchange with it. A proof asks for
its renderings one by one, and they are known before: the whole, and two for each trained turn.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any

from templates.messages import Chat, Message
from templates.provenance import Origins
from templates.sandbox.programs import Outcome

Key = tuple[int, int, bool]  # which variables, how many messages, and whether it is a prompt


@dataclass
class Ahead:
    """Renderings of one conversation, for its very messages and tools. Each is given once.

    Whoever renders again wants to see whether it is the same text.
    """

    chat: Chat | None = None
    texts: dict[Key, Outcome] = field(default_factory=dict)
    traced: tuple[int, Outcome, Origins] | None = None  # of all messages; its variables first

    def forget(self) -> None:
        """Know nothing."""
        self.chat, self.texts, self.traced = None, {}, None

    def text(
        self, variables: object, messages: list[Message], tools: list[Any] | None, prompt: bool
    ) -> Outcome | None:
        """The rendering of these messages, if there is one."""
        if self.chat is None or tools is not self.chat.tools:
            return None
        # The same objects: values that are equal may still be written in different ways.
        if not all(map(operator.is_, messages, self.chat.messages)):
            return None
        return self.texts.pop((id(variables), len(messages), prompt), None)

    def tracing(
        self, variables: object, chat: Chat, prompt: bool
    ) -> tuple[Outcome, Origins] | None:
        """The rendering of the full conversation with its origins, if there is one."""
        if self.traced is None or chat is not self.chat or prompt:
            return None
        (of, known, origins), self.traced = self.traced, None
        return (known, origins) if of == id(variables) else None
