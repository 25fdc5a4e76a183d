"""Messages made of blocks and channels: Anthropic content blocks and Harmony records."""

from __future__ import annotations

from typing import Any

from curate.sources.shared.controls import weight_of
from curate.sources.shared.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    checked,
    described,
    first_name,
    labelled,
    list_of,
    object_of,
    parse_json,
    parsed,
    role_of,
    text_of,
    tool_schemas,
    written,
)
from curate.sources.shared.parts import (
    Part,
    blocks_of,
    function_schemas,
    result,
    server_tool,
    unread,
    weighted,
    with_parts,
)
from curate.sources.shared.turns import message_of

_LISTS = ("messages", "conversations", "conversation")
_BLOCKS = ("thinking", "redacted_thinking", "tool_use", "tool_result")
_READ = "text, thinking, tool_use and tool_result"
# Tools that run at the provider: their schemas are not in the row, nor would they run elsewhere.
_SERVER_TOOLS = ("web_search", "web_fetch", "code_execution", "mcp_toolset", "tool_search")


def is_anthropic(row: Row) -> bool:
    """`{messages: [{role, content: [{type: thinking | tool_use | ...}]}], system?, tools?}`."""
    name = first_name(row, _LISTS)
    if name is None or not isinstance(row[name], list):
        return False
    for block in blocks_of(row[name]):
        if block.get("type") in _BLOCKS:
            return True
    if not (_has_input_schema(row.get("tools")) or isinstance(row.get("system"), list)):
        return False
    return any(isinstance(turn, dict) and "role" in turn for turn in row[name])


def _has_input_schema(tools: Any) -> bool:
    if isinstance(tools, str) and '"input_schema"' in tools:
        try:
            tools = parsed(tools, "tools")
        except Reject:
            return False
    return isinstance(tools, list) and any(
        isinstance(tool, dict) and tool.get("input_schema") is not None for tool in tools
    )


def anthropic(row: Row) -> list[Conversation]:
    """A user message that holds tool results becomes tool messages, then what the user says."""
    name, notes = first_name(row, _LISTS) or _LISTS[0], set[str]()
    messages = _system(row.get("system"))
    for position, message in enumerate(row[name], 1):
        messages += _expanded(object_of(message, f"message {position}"), position, notes)
    used = (name, "system", "tools")
    tools = _tools(row.get("tools"))
    return [labelled(row, checked(messages), used, tools=tools, notes=tuple(sorted(notes)))]


def _system(value: Any) -> list[Message]:
    if not value:
        return []
    content = value if isinstance(value, str) else _text_parts(value, "system")
    return [{"role": "system", "content": content}] if content else []


def _tools(value: Any) -> str | None:
    """Anthropic calls a tool's parameters `input_schema`, and has tools that run on its side."""
    tools = []
    for tool in list_of(parsed(value, "tools") or [], "tools"):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind.startswith(_SERVER_TOOLS):
            raise server_tool(kind)
        if isinstance(tool, dict) and tool.get("input_schema") is not None:
            tool = {key: tool[key] for key in tool if key not in ("cache_control", "type")}
        tools.append(tool)
    return function_schemas(tools, ("input_schema",))


def _expanded(message: dict[str, Any], position: int, notes: set[str]) -> list[Message]:
    where, content = f"message {position}", message.get("content")
    if not isinstance(content, list):
        return [message_of(message, position)]
    base = message_of({**message, "content": None}, position) | weight_of(message, position)
    parts = [block_part(block, where, number, notes) for number, block in enumerate(content, 1)]
    # Citations cut one sentence into several blocks.
    cited = any(isinstance(block, dict) and block.get("citations") for block in content)
    glue = "" if cited else "\n\n"
    return with_parts(base, parts, where, notes, glue)


def block_part(block: Any, where: str, number: int, notes: set[str]) -> Part:
    """One content block of Anthropic as a part; a reject names a block of another type."""
    if isinstance(block, str):
        return Part("text", block)
    kind = block.get("type") if isinstance(block, dict) else block
    match kind:
        case "text":
            return Part("text", text_of(block.get("text"), f"{where} text"))
        case "thinking":
            return Part("thought", _thought(block.get("thinking"), f"{where} thinking"))
        case "redacted_thinking":
            notes.add("redacted thinking, which nobody can read, is left out")
            return Part("thought", "")
        case "tool_use":
            return Part("call", _call(block))
        case "tool_result":
            if block.get("is_error"):
                notes.add("a tool's result that is marked as an error is kept without the mark")
            return _result(block, where)
    raise unread(where, number, kind, _READ)


def _thought(value: Any, where: str) -> str:
    """A thought as text; Mistral writes it as a list of text blocks."""
    return _text_parts(value, where) if isinstance(value, list) else text_of(value, where)


def _text_parts(blocks: Any, where: str) -> str:
    """The texts of a list of blocks of text, a blank line between them."""
    return "\n\n".join(
        _text_block(block, where, number) for number, block in enumerate(list_of(blocks, where), 1)
    )


def _text_block(block: Any, where: str, number: int) -> str:
    if isinstance(block, str):
        return block
    kind = block.get("type", "text") if isinstance(block, dict) else described(block)
    if kind not in ("text", "input_text", "output_text"):
        raise unread(where, number, kind, "only blocks of text")
    return text_of(block.get("text"), where)


def _call(block: dict[str, Any]) -> dict[str, Any]:
    return {"id": block.get("id"), "name": block.get("name"), "arguments": block.get("input")}


def _result(block: dict[str, Any], where: str) -> Part:
    content = block.get("content")
    text = (
        _text_parts(content, f"{where} result")
        if isinstance(content, list)
        else text_of(content, f"{where} result")
    )
    call = text_of(block.get("tool_use_id"), f"{where} tool_use_id")
    return result(text, call, None, where)


def is_harmony(row: Row) -> bool:
    """`{messages: [{role, channel: analysis | commentary | final, recipient?, content}]}`."""
    messages = row.get("messages")
    return isinstance(messages, list) and any(
        isinstance(message, dict) and message.get("channel") for message in messages
    )


def harmony(row: Row) -> list[Conversation]:
    """Analysis becomes the reasoning of the message it leads to; a recipient makes a tool call."""
    messages: list[Message] = []
    thoughts: list[Message] = []
    for position, message in enumerate(row["messages"], 1):
        record = object_of(message, f"message {position}")
        spoken = _harmony_message(record, position)
        if spoken["role"] == "assistant" and record.get("channel") == "analysis":
            thoughts.append(spoken)
            continue
        if thoughts:
            spoken |= _reasoning(thoughts, spoken, position)
            thoughts = []
        messages.append(spoken)
    if thoughts:
        raise Reject("no_answer", "the conversation ends in an analysis without a final answer")
    tools = tool_schemas(row.get("tools"))
    return [labelled(row, checked(messages), ("messages", "tools"), tools=tools)]


def _harmony_message(record: dict[str, Any], position: int) -> Message:
    role, content = role_of(record.get("role"), position), _text(record, position, "content")
    message = {**weighted(role, record, position), "content": content}
    if role == "assistant":
        message |= _harmony_call(record, content, position)
    elif role == "tool" and record.get("name"):
        name = text_of(record["name"], f"message {position} name")
        message["name"] = name.removeprefix("functions.")
    return message


def _reasoning(thoughts: list[Message], spoken: Message, position: int) -> Message:
    """What the analyses before a message are to it: its reasoning, with the same weight."""
    if spoken["role"] != "assistant":
        raise Reject("wrong_type", f"the analysis before message {position} leads to no answer")
    if any(thought.get("weight") != spoken.get("weight") for thought in thoughts):
        wrong = f"message {position} and the analysis before it have different weights"
        raise Reject("wrong_type", wrong)
    return {"reasoning": "\n\n".join(thought["content"] for thought in thoughts)}


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
