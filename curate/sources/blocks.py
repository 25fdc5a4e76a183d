"""Messages made of blocks and channels: Anthropic content blocks and Harmony records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from curate.sources.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    checked,
    list_of,
    object_of,
    parse_json,
    role_of,
    text_of,
    tool_schemas,
    written,
)

_BLOCKS = ("thinking", "redacted_thinking", "tool_use", "tool_result")


def is_anthropic(row: Row) -> bool:
    """`{messages: [{role, content: [{type: text | thinking | tool_use | tool_result}]}]}`."""
    return any(block.get("type") in _BLOCKS for block in _all_blocks(row.get("messages")))


def _all_blocks(messages: Any) -> Iterator[dict[str, Any]]:
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict):
                yield block


def anthropic(row: Row) -> list[Conversation]:
    """A user message that holds tool results becomes tool messages, then what the user says."""
    messages: list[Message] = []
    system = row.get("system")
    if system:
        content = system if isinstance(system, str) else _text_parts(system, "system")
        messages.append({"role": "system", "content": content})
    for position, message in enumerate(row["messages"], 1):
        messages += _expanded(object_of(message, f"message {position}"), position)
    tools = row.get("tools")
    if isinstance(tools, list):
        tools = [_schema(tool) for tool in tools]
    used = ("messages", "system", "tools")
    return [Conversation(checked(messages), used, tools=tool_schemas(tools))]


def _schema(tool: Any) -> Any:
    """Anthropic calls a tool's parameters `input_schema`."""
    if isinstance(tool, dict) and "input_schema" in tool:
        rest = {key: value for key, value in tool.items() if key != "input_schema"}
        return {**rest, "parameters": tool["input_schema"]}
    return tool


def _expanded(message: dict[str, Any], position: int) -> list[Message]:
    role, content = role_of(message.get("role"), position), message.get("content")
    if not isinstance(content, list):
        return [{"role": role, "content": text_of(content, f"message {position} content")}]
    by_type: dict[str, list[dict[str, Any]]] = {}
    for block in content:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind not in ("text", *_BLOCKS):
            raise Reject("wrong_type", f"message {position} has a block of type {kind!r}")
        by_type.setdefault(str(kind), []).append(block)
    results = [_result(block, position) for block in by_type.get("tool_result", ())]
    spoken: Message = {
        "role": role,
        "content": _text_parts(by_type.get("text", []), f"message {position}"),
    }
    thoughts = [str(block.get("thinking", "")) for block in by_type.get("thinking", ())]
    if any(thoughts):
        spoken["reasoning"] = "\n\n".join(thoughts)
    calls = [_call(block) for block in by_type.get("tool_use", ())]
    if calls:
        spoken["tool_calls"] = written(calls, f"message {position} tool_use")
    silent = results and not spoken["content"] and len(spoken) == 2
    return results if silent else [*results, spoken]


def _text_parts(blocks: Any, where: str) -> str:
    """The texts of a list of `{text}` objects; what is no object has none."""
    texts = (block.get("text") for block in list_of(blocks, where) if isinstance(block, dict))
    return "\n\n".join(text_of(text, where) for text in texts)


def _call(block: dict[str, Any]) -> dict[str, Any]:
    given_id = {"id": block["id"]} if block.get("id") else {}
    return {**given_id, "name": block.get("name"), "arguments": block.get("input") or {}}


def _result(block: dict[str, Any], position: int) -> Message:
    content = _text(block, position, "result")
    message: Message = {"role": "tool", "content": content}
    call = text_of(block.get("tool_use_id"), f"message {position} tool_use_id")
    return message | ({"tool_call_id": call} if call else {})


def is_harmony(row: Row) -> bool:
    """`{messages: [{role, channel: analysis | commentary | final, recipient?, content}]}`."""
    messages = row.get("messages")
    return isinstance(messages, list) and any(
        isinstance(message, dict) and message.get("channel") for message in messages
    )


def harmony(row: Row) -> list[Conversation]:
    """Analysis becomes the reasoning of the message it leads to; a recipient makes a tool call."""
    messages: list[Message] = []
    thoughts: list[str] = []
    for position, message in enumerate(row["messages"], 1):
        record = object_of(message, f"message {position}")
        role, content = role_of(record.get("role"), position), _text(record, position, "content")
        if role == "assistant" and record.get("channel") == "analysis":
            thoughts.append(content)
            continue
        messages.append({"role": role, "content": content})
        if role == "assistant":
            messages[-1] |= {"reasoning": "\n\n".join(thoughts)} if thoughts else {}
            messages[-1] |= _harmony_call(record, content, position)
            thoughts = []
        elif role == "tool" and record.get("name"):
            messages[-1]["name"] = str(record["name"])
    if thoughts:
        raise Reject("no_answer", "the conversation ends in an analysis without a final answer")
    tools = tool_schemas(row.get("tools"))
    return [Conversation(checked(messages), ("messages", "tools"), tools=tools)]


def _text(record: dict[str, Any], position: int, name: str) -> str:
    """The content of a message or block, a text or a list of parts, which errors call `name`."""
    content = record.get("content")
    if isinstance(content, list):
        return _text_parts(content, f"message {position}")
    return text_of(content, f"message {position} {name}")


def _harmony_call(record: dict[str, Any], content: str, position: int) -> Message:
    recipient = record.get("recipient")
    if not recipient or recipient == "all":
        return {}
    arguments = parse_json(content, f"message {position} arguments") if content.strip() else {}
    call = {"name": str(recipient).removeprefix("functions."), "arguments": arguments}
    return {"content": "", "tool_calls": written([call], f"message {position} arguments")}
