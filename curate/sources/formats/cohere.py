"""Chats for Cohere's models: messages of its fine-tuning, and requests with a chat history."""

from __future__ import annotations

from typing import Any

from curate.sources.shared.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    assistant,
    checked,
    first_name,
    labelled,
    list_of,
    object_of,
    parsed,
    role_of,
    system_of,
    text_of,
    tool_schemas,
    user,
)
from curate.sources.shared.parts import (
    Part,
    as_json,
    function_schemas,
    messages_from,
    result,
    weighted,
)
from curate.sources.shared.turns import content_of, message_of

_ANSWERS = ("response", "text", "generation", "completion", "output")
# Cohere names the types of parameters as Python does.
_TYPES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list": "array",
    "dict": "object",
}


def is_cohere(row: Row) -> bool:
    """`{messages: [{role: System | User | Chatbot, message}]}`, or with a `tool_plan`."""
    messages = row.get("messages")
    for turn in messages if isinstance(messages, list) else ():
        if isinstance(turn, dict) and "role" in turn:
            if turn.get("tool_plan"):
                return True
            if isinstance(turn.get("message"), str) and turn.get("content") is None:
                return True
    return False


def cohere(row: Row) -> list[Conversation]:
    """The words stand in `message` or `content`; a plan for tools is the reasoning."""
    notes: set[str] = set()
    messages: list[Message] = []
    for position, turn in enumerate(row["messages"], 1):
        turn = object_of(turn, f"message {position}")
        if "message" in turn or "tool_results" in turn:
            messages += _turn(turn, position, notes)
        else:
            messages.append(_new_turn(turn, position))
    tools = _tools(row.get("tools"))
    used = ("messages", "system", "tools")
    read = system_of(row) + messages
    return [labelled(row, checked(read), used, tools=tools, notes=tuple(sorted(notes)))]


def _new_turn(turn: dict[str, Any], position: int) -> Message:
    """A message of the second version: OpenAI's, with a plan, and results as documents."""
    content = turn.get("content")
    if isinstance(content, list):
        content = "\n\n".join(_document(part, f"message {position}") for part in content)
    plan = {"reasoning": turn["tool_plan"]} if turn.get("tool_plan") else {}
    return message_of({**turn, **plan, "content": content}, position)


def _document(part: Any, where: str) -> str:
    if not isinstance(part, dict) or part.get("type") != "document":
        return content_of([part], where)
    document = object_of(part.get("document"), f"{where} document")
    return as_json(document.get("data"), f"{where} document")


def is_cohere_history(row: Row) -> bool:
    """`{chat_history: [{role: USER | CHATBOT, message}], message, preamble?, response | text}`."""
    history = row.get("chat_history")
    if not isinstance(history, list):
        return False
    if not history:
        return isinstance(row.get("message"), str)
    return isinstance(history[0], dict) and "role" in history[0] and "message" in history[0]


def cohere_history(row: Row) -> list[Conversation]:
    """The preamble is the system's; the history, then the message and its answer."""
    notes: set[str] = set()
    preamble = text_of(row.get("preamble"), "preamble")
    messages: list[Message] = [{"role": "system", "content": preamble}] if preamble else []
    for position, turn in enumerate(row["chat_history"], 1):
        messages += _turn(object_of(turn, f"message {position}"), position, notes)
    asked = text_of(row.get("message"), "message")
    messages += [user(asked)] if asked else []
    messages += _results(row.get("tool_results"), "the row")
    name = first_name(row, _ANSWERS)
    if name is not None:
        messages += _answer(row[name], name, row.get("tool_calls"), notes)
    elif asked:
        raise Reject("no_answer", f"none of the fields {', '.join(_ANSWERS)} is there")
    used = (
        "preamble",
        "chat_history",
        "message",
        "tools",
        "tool_results",
        "tool_calls",
        name or "",
    )
    tools, said = _tools(row.get("tools")), tuple(sorted(notes))
    return [labelled(row, checked(messages), used, tools=tools, notes=said)]


def _answer(value: Any, name: str, calls: Any, notes: set[str]) -> list[Message]:
    if isinstance(value, dict):
        value, calls = value.get("text"), value.get("tool_calls") or calls
    if not calls:
        if value is None:
            raise Reject("no_answer", f"{name} has no text")
        return [assistant(text_of(value, name))]
    parts = [Part("text", text_of(value, name)), *_calls(calls, name)]
    return messages_from({"role": "assistant"}, parts, name, notes)


def _turn(turn: dict[str, Any], position: int, notes: set[str]) -> list[Message]:
    where = f"message {position}"
    base = weighted(role_of(turn.get("role"), position), turn, position)
    parts = [Part("text", text_of(turn.get("message"), f"{where} message"))]
    parts += _calls(turn.get("tool_calls") or [], where)
    given = [Part("result", answer) for answer in _results(turn.get("tool_results"), where)]
    return messages_from(base, [*given, *parts], where, notes)


def _calls(value: Any, where: str) -> list[Part]:
    return [Part("call", object_of(call, where)) for call in list_of(value, f"{where} tool_calls")]


def _results(value: Any, where: str) -> list[Message]:
    results = []
    for each in list_of(value or [], f"{where} tool_results"):
        given = object_of(each, f"{where} tool result")
        call = object_of(given.get("call") or {}, f"{where} call")
        content = as_json(given.get("outputs", given.get("output")), f"{where} outputs")
        results.append(result(content, call.get("id"), call.get("name"), where).value)
    return results


def _tools(value: Any) -> str | None:
    functions = []
    given = list_of(parsed(value, "tools") or [], "tools")
    for tool in given:
        if isinstance(tool, dict) and isinstance(tool.get("parameter_definitions"), dict):
            rest = {name: tool[name] for name in tool if name != "parameter_definitions"}
            tool = {**rest, "parameters": _schema(tool["parameter_definitions"])}
        functions.append(tool)
    return function_schemas(functions, ()) if functions else tool_schemas(value)


def _schema(definitions: dict[str, Any]) -> dict[str, Any]:
    """Parameters in Cohere's first form as a JSON schema."""
    properties: dict[str, Any] = {}
    required = []
    for name, definition in definitions.items():
        known = object_of(definition or {}, f"the parameter {name}")
        rest = {key: known[key] for key in known if key != "required"}
        kind = text_of(rest.get("type"), f"the type of the parameter {name}")
        properties[name] = {**rest, "type": _TYPES.get(kind.lower(), kind)} if kind else rest
        required += [name] if known.get("required") else []
    return {"type": "object", "properties": properties, "required": required}
