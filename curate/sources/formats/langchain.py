"""Messages of LangChain, and the runs and datasets of LangSmith that hold them."""

from __future__ import annotations

from typing import Any

from curate.sources.formats.blocks import block_part
from curate.sources.formats.logs import answer_of
from curate.sources.shared.convert import (
    ANSWERS,
    QUESTIONS,
    Conversation,
    Message,
    Reject,
    Row,
    checked,
    first_name,
    labelled,
    list_of,
    object_of,
    role_of,
    text_of,
    tool_schemas,
    user,
)
from curate.sources.shared.parts import Part, messages_from, result, weighted
from curate.sources.shared.turns import message_of

_TYPES = ("human", "ai", "system", "tool", "function", "chat", "developer")
_LISTS = ("messages", "conversation", "conversations")


def is_langchain(row: Row) -> bool:
    """`{messages: [{type: human | ai | tool, content | data}]}`, or serialised constructors."""
    for name in _LISTS:
        if name in row:
            turns = _flat(row[name])
            return isinstance(turns, list) and bool(turns) and _is_message(turns[0])
    return False


def _flat(turns: Any) -> Any:
    """A run's messages are a list of one list."""
    return turns[0] if isinstance(turns, list) and len(turns) == 1 and _nested(turns) else turns


def _nested(turns: list[Any]) -> bool:
    return isinstance(turns[0], list)


def _is_message(turn: Any) -> bool:
    if not isinstance(turn, dict) or _has_role(turn):
        return False
    if turn.get("type") == "constructor" and isinstance(turn.get("kwargs"), dict):
        return _type(turn) in _TYPES
    return _type(turn) in _TYPES and ("content" in turn or isinstance(turn.get("data"), dict))


def _has_role(turn: Row) -> bool:
    """Whether a message is one of OpenAI's; in a table all have the field."""
    return turn.get("role") is not None and turn.get("type") != "chat"


def _type(turn: Row) -> str:
    """`human` for `human`, `HumanMessage`, `HumanMessageChunk` and `[..., "HumanMessage"]`."""
    kind = turn.get("type")
    if kind == "constructor":
        path = turn.get("id")
        kind = path[-1] if isinstance(path, list) and path else None
    if not isinstance(kind, str):
        return ""
    return kind.removesuffix("Chunk").removesuffix("Message").lower()


def langchain(row: Row) -> list[Conversation]:
    """Calls as `tool_calls` with `args`, or as the provider gave them in `additional_kwargs`."""
    notes: set[str] = set()
    name = first_name(row, _LISTS) or _LISTS[0]
    messages = _messages(row[name], notes)
    used, tools = (name, "tools"), tool_schemas(row.get("tools"))
    return [labelled(row, checked(messages), used, tools=tools, notes=tuple(sorted(notes)))]


def _messages(turns: Any, notes: set[str]) -> list[Message]:
    """Messages in LangChain's form or in OpenAI's."""
    messages: list[Message] = []
    for position, turn in enumerate(list_of(_flat(turns), "the list of messages"), 1):
        if isinstance(turn, dict) and _has_role(turn):
            messages.append(message_of(turn, position))
        else:
            messages += _turn(object_of(turn, f"message {position}"), position, notes)
    return messages


def _turn(turn: dict[str, Any], position: int, notes: set[str]) -> list[Message]:
    where, kind = f"message {position}", _type(turn)
    inner = turn.get("kwargs") if turn.get("type") == "constructor" else turn.get("data")
    body = inner if isinstance(inner, dict) else turn
    role = role_of(body.get("role") if kind == "chat" else kind, position)
    extra = body.get("additional_kwargs")
    extra = extra if isinstance(extra, dict) else {}
    base = weighted(role, {**turn, **body}, position)
    calls = _calls(body, extra, where)
    parts = [Part("thought", text_of(extra.get("reasoning_content"), f"{where} reasoning"))]
    parts += _content(body.get("content"), where, notes, repeated=bool(calls))
    if role != "tool":
        name = text_of(body.get("name"), f"{where} name")
        base |= {"name": name} if name else {}
        return messages_from(base, [*parts, *calls], where, notes)
    if body.get("status") == "error":
        notes.add("a tool's result that is marked as an error is kept without the mark")
    content = "\n\n".join(part.value for part in parts if part.kind == "text" and part.value)
    answer = result(content, body.get("tool_call_id"), body.get("name"), where)
    return messages_from(base, [answer], where, notes)


def _content(content: Any, where: str, notes: set[str], *, repeated: bool) -> list[Part]:
    """Text or the provider's blocks; their calls stand in `tool_calls` too."""
    if not isinstance(content, list):
        return [Part("text", text_of(content, f"{where} content"))]
    parts = [block_part(block, where, number, notes) for number, block in enumerate(content, 1)]
    return [part for part in parts if not (repeated and part.kind == "call")]


def _calls(body: Row, extra: Row, where: str) -> list[Part]:
    if body.get("invalid_tool_calls"):
        raise Reject("wrong_type", f"{where} has a call that could not be parsed")
    given = body.get("tool_calls") or extra.get("tool_calls") or extra.get("function_call") or []
    calls = []
    for call in given if isinstance(given, list) else [given]:
        call = object_of(call, f"{where} tool call")
        if "args" in call and "function" not in call:
            call = {**call, "arguments": call["args"]}
        calls.append(Part("call", call))
    return calls


def is_langsmith(row: Row) -> bool:
    """A run or an example of LangSmith: `{inputs: {...}, outputs: {...}}`."""
    return isinstance(row.get("inputs"), dict) and isinstance(row.get("outputs"), dict)


def langsmith(row: Row) -> list[Conversation]:
    """Messages or the only text of the inputs, and of the outputs."""
    notes: set[str] = set()
    inputs, outputs = row["inputs"], row["outputs"]
    before = _asked(inputs, notes)
    after = _answered(outputs, notes)
    # A graph gives back all of its state, the question too.
    repeats = len(after) > len(before) and after[: len(before)] == before
    messages = checked(after if repeats else [*before, *after])
    tools = tool_schemas(inputs.get("tools"))
    used = ("inputs", "outputs")
    return [labelled(row, messages, used, tools=tools, notes=tuple(sorted(notes)))]


def _asked(inputs: Row, notes: set[str]) -> list[Message]:
    for name in ("messages", "input"):
        if isinstance(inputs.get(name), list):
            return _messages(inputs[name], notes)
    return [user(_only_text(inputs, (*QUESTIONS, "input", "text", "instruction"), "inputs"))]


def _answered(outputs: Row, notes: set[str]) -> list[Message]:
    if isinstance(outputs.get("messages"), list):
        return _messages(outputs["messages"], notes)
    generations = outputs.get("generations")
    if isinstance(generations, list) and generations:
        given = generations[0]
        first = object_of(given[0] if isinstance(given, list) and given else given, "a generation")
        turn = first.get("message")
        return _messages([turn or {"role": "assistant", "content": first.get("text")}], notes)
    for turn in (outputs, outputs.get("output"), outputs.get("message")):
        if _is_message(turn):
            return _messages([turn], notes)
    if any(name in outputs for name in ("choices", "role", "message")):
        return _messages([answer_of(outputs, notes)], notes)
    text = _only_text(outputs, (*ANSWERS, "expected", "reference", "text"), "outputs")
    return [{"role": "assistant", "content": text}]


def _only_text(fields: Row, known: tuple[str, ...], where: str) -> str:
    """The text under a known name, or the only text that there is."""
    texts = [name for name, value in fields.items() if isinstance(value, str)]
    name = next((name for name in known if name in texts), None)
    name = texts[0] if name is None and len(texts) == 1 else name
    if name is None:
        shown = ", ".join(map(str, list(fields)[:8])) or "no fields"
        raise Reject("unknown_shape", f"{where} has {shown}; which is the text is not known")
    return str(fields[name])
