"""The prompt that a model's own template writes, as transformers gives it to the model."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from curate.base.errors import CurateError
from templates.options import clock
from templates.template import ChatTemplate

_REASONING = ("reasoning_content", "thinking", "reasoning")  # what transformers gives alike


def prompt_of(
    source: str,
    special: Mapping[str, Any],
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Any] | None = None,
) -> str:
    """What a stranger's template writes up to where the answer begins, on this day.

    It is rendered in the process for such templates, within their limits. `special` are the
    tokenizer's special tokens by name. Raises `CurateError` where the template fails.
    """
    template = ChatTemplate("of the model", source, "a model's folder")
    given = {
        "documents": None,
        **special,
        "strftime_now": clock(datetime.date.today().isoformat()),
        "messages": [_with_reasoning(message) for message in messages],
        "tools": tools,
        "add_generation_prompt": True,
    }
    try:
        return template.plain.run(given)
    except CurateError as error:
        raise CurateError(f"the template does not take these messages: {error}") from error


def _with_reasoning(message: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in message.items() if value is not None}
    thought = next((given[name] for name in _REASONING if name in given), None)
    if thought is None:
        return given
    return {"thinking": thought, **given, "reasoning_content": thought}
