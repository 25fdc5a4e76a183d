"""The conversations that a template is probed with, and a renderer that offers them tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from curate.base.messages import openai_call
from templates.messages import Message
from templates.template import Renderer

USER, ANSWER = "Quokka asks", "Wombat replies"  # found again in the rendered probes
USER_2, ANSWER_2 = "Numbat wonders", "Bilby explains"
SYSTEM = "Echidna rules"
REASONING = "Platypus ponders"
TOOL, ARGUMENT, ARGUMENT_2, RESULT = "dig_burrow", "Kookaburra", "Currawong", "Cassowary found"
_IDS = ("call00001", "call00002")  # nine characters, as Mistral wants them


@dataclass(frozen=True)
class Probing(Renderer):
    """A renderer that gives the template `offered` where a conversation has no tools.

    For templates that cannot do without: tool templates, which transformers uses for rows with
    tools alone.
    """

    offered: tuple[Any, ...] = ()

    @classmethod
    def of_tools(cls, renderer: Renderer) -> Probing:
        """The same renderer, which offers a tool."""
        return cls(renderer.template, renderer.variables, renderer.data, tuple(tools()))

    def given(
        self, messages: Sequence[Message], tools: list[Any] | None, prompt: bool
    ) -> dict[str, Any]:
        """All variables that the template is given."""
        return super().given(messages, tools or [*self.offered] or None, prompt)


def user(text: str) -> Message:
    """A user's message."""
    return {"role": "user", "content": text}


def answer(text: str) -> Message:
    """An assistant's message."""
    return {"role": "assistant", "content": text}


def thoughtful(text: str) -> Message:
    """An assistant's message with reasoning, under both of its names."""
    return {**answer(text), "reasoning_content": REASONING, "thinking": REASONING}


def system(text: str) -> Message:
    """A system message."""
    return {"role": "system", "content": text}


def call(*arguments: str) -> Message:
    """An assistant's message that calls the tool, once for each argument."""
    calls = [
        openai_call(TOOL, {"where": argument}, {"id": name})
        for argument, name in zip(arguments, _IDS, strict=False)
    ]
    return {"role": "assistant", "tool_calls": calls}


def result() -> Message:
    """What the tool gives back to the first call."""
    return {"role": "tool", "name": TOOL, "tool_call_id": _IDS[0], "content": RESULT}


def tools() -> list[Any]:
    """The schema of the tool."""
    parameters = {"type": "object", "properties": {"where": {"type": "string"}}}
    function = {"name": TOOL, "description": "Dig.", "parameters": parameters}
    return [{"type": "function", "function": function}]
