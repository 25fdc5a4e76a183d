"""Function calls in columns: a question, the tools, and the calls that answer it (xLAM)."""

from __future__ import annotations

from typing import Any

from curate.sources.shared.convert import (
    Conversation,
    Reject,
    Row,
    labelled,
    list_of,
    parsed,
    system_of,
    text_of,
    tool_calls,
    tool_schemas,
    user,
)

_CALLS = ("answers", "answer", "output", "response")
BARE = "tools list their parameters bare: they are put into a JSON schema, none of them required"


def is_xlam(row: Row) -> bool:
    """xLAM `{query, tools: [{name, parameters}], answers: [{name, arguments}]}`, as JSON text."""
    name = _question(row)
    answers = row.get("answers")
    if name is None or not row.get("tools"):
        return False
    return _may_be_calls(answers)


def _question(row: Row) -> str | None:
    return next((name for name in ("query", "question", "instruction") if name in row), None)


def _may_be_calls(answers: Any) -> bool:
    if isinstance(answers, str):
        return answers.lstrip()[:1] in ("[", "{")
    return isinstance(answers, list) and all(
        isinstance(call, dict) and ("arguments" in call or "function" in call) for call in answers
    )


def xlam(row: Row) -> list[Conversation]:
    """The answers are the calls of one message of the assistant's, all at once."""
    name = _question(row) or "query"
    question = user(text_of(row.get(name), name))
    calls = tool_calls(row.get("answers"), "answers")
    if calls is None:
        raise Reject("no_answer", "answers is empty: no tool is called, and nothing is said")
    answer = {"role": "assistant", "content": "", "tool_calls": calls}
    tools, notes = wrapped_schemas(row.get("tools"))
    used = (name, "answers", "tools", "system")
    return [labelled(row, [*system_of(row), question, answer], used, tools=tools, notes=notes)]


def wrapped_schemas(value: Any) -> tuple[str | None, tuple[str, ...]]:
    """Tool schemas as JSON text, and a note where bare parameters were put into a schema.

    xLAM writes `parameters: {x: {type, description, default}}`. Types stay as they are spelt.
    """
    given = parsed(value, "tools")
    if not given:
        return None, ()
    tools = [_wrapped(tool) for tool in list_of(given, "tools")]
    return tool_schemas(tools), (BARE,) if tools != given else ()


def _wrapped(tool: Any) -> Any:
    if not isinstance(tool, dict):
        raise Reject("wrong_type", "tools holds something else than objects")
    inner = tool.get("function")
    if isinstance(inner, dict):
        return {**tool, "function": _wrapped(inner)}
    parameters = tool.get("parameters")
    if not isinstance(parameters, dict) or not _is_bare(parameters):
        return tool
    return {**tool, "parameters": {"type": "object", "properties": parameters}}


def _is_bare(parameters: dict[str, Any]) -> bool:
    """Whether all that stands in it is parameters: a schema's `type` is a text, no object."""
    properties = parameters.get("properties")
    is_schema = isinstance(properties, dict) and not isinstance(properties.get("type"), str)
    return not is_schema and all(isinstance(each, dict) for each in parameters.values())
