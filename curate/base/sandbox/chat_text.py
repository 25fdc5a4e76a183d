"""What a model's own chat template writes: a stranger's program, so run apart and within limits."""

from __future__ import annotations

import datetime
import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import jinja2

from curate.base.errors import CurateError
from curate.base.sandbox.contained import Contained, Ended, Failed, NotPlain
from curate.base.sandbox.day import DAY
from curate.base.sandbox.environment import (
    Program,
    RenderError,
    Sandbox,
    SourceError,
    compiled,
)
from curate.base.sandbox.generation import Generation
from curate.base.sandbox.limits import MAX_MESSAGE
from curate.base.sandbox.spent import Spent

_REASONING = ("reasoning_content", "thinking", "reasoning")  # what transformers gives alike


class ChatText:
    """Writes conversations as `apply_chat_template` of a tokenizer of transformers does.

    Its day is frozen. `compile` says now what `write` would say of each conversation.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._contained: dict[str, Contained] = {}

    def compile(self) -> None:
        """Raises `CurateError` for a template that cannot be compiled."""
        try:
            source = self._tokenizer.get_chat_template(None, None)
        except ValueError:  # there are several: what is said of a conversation says which it lacks
            return
        try:
            self._asked(source, _compiled)
        except SourceError as error:
            at = f"line {error.line}: " if error.line else ""
            raise CurateError(f"its chat template cannot be read: {at}{error.reason}") from error
        except (Ended, Failed) as error:
            raise CurateError(f"its chat template cannot be compiled: {error}") from error

    def write(
        self, messages: Sequence[Mapping[str, Any]], tools: Any = None, *, prompt: bool = False
    ) -> str:
        """The text of a conversation; `prompt` asks for what opens the answer to come.

        Raises `CurateError` where the template fails, or takes more than it may.
        """
        try:
            source = self._tokenizer.get_chat_template(None, tools)
        except ValueError as error:
            raise CurateError(str(error)) from error
        given = {
            "documents": None,
            **{name: str(token) for name, token in self._tokenizer.special_tokens_map.items()},
            "strftime_now": datetime.datetime.fromisoformat(DAY).strftime,
            "messages": [_with_reasoning(message) for message in messages],
            "tools": tools,
            "add_generation_prompt": prompt,
        }
        try:
            return str(self._asked(source, _written, given))
        except (Ended, Failed, NotPlain) as error:
            raise CurateError(str(error).removeprefix("the template fails: ")) from error

    def _asked(self, source: str, job: Callable[..., Any], *given: Any) -> Any:
        if source not in self._contained:
            self._contained[source] = Contained(_Text, source, "of the model")
        contained = self._contained[source]
        if contained.given_up:
            raise Failed(contained.given_up)
        return contained.ask(Spent(), job, pickle.dumps(given, pickle.HIGHEST_PROTOCOL))


class _ChatSandbox(Sandbox):
    tags = (Generation,)


class _Text:
    """The program of a template, in the process for those of strangers."""

    def __init__(self, source: str, name: str) -> None:
        self.source, self.name = source, name

    @cached_property
    def program(self) -> Program:
        return compiled(Program, self.source, f"template {self.name}", _ChatSandbox())

    def within(self, spent: Spent, job: Callable[..., Any], *given: Any) -> Any:
        program = self.program
        program.spent = spent.steps
        try:
            return job(program, *given)
        except RenderError as failure:
            raise RenderError(_in_short(failure.__cause__ or failure)) from failure.__cause__
        finally:
            spent.steps = program.environment.steps


def _in_short(error: BaseException) -> str:
    """What went wrong, without the line of a template that is not the reader's to mend."""
    kind = "" if type(error) is jinja2.TemplateError else f"{type(error).__name__}: "
    return f"{kind}{' '.join(str(error).split())}"[:MAX_MESSAGE]


def _compiled(program: Program) -> None:
    """Nothing: the program is there."""


def _written(program: Program, variables: Mapping[str, Any]) -> str:
    return program.run(variables)


def _with_reasoning(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message without what is null, its thoughts under all names that templates read."""
    given = {name: value for name, value in message.items() if value is not None}
    thought = next((given[name] for name in _REASONING if name in given), None)
    if thought is None:
        return given
    return {"thinking": thought, **given, "reasoning_content": thought}
