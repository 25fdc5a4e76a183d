"""Conversations as Amazon Bedrock's Converse API and its tuning jobs have them."""

from __future__ import annotations

from typing import Any

from curate.sources.shared.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    checked,
    labelled,
    list_of,
    object_of,
    role_of,
    text_of,
)
from curate.sources.shared.parts import (
    Part,
    as_json,
    blocks_of,
    function_schemas,
    messages_from,
    result,
    unread,
    weighted,
)

_BLOCKS = frozenset({"toolUse", "toolResult", "reasoningContent"})
# A place up to which a prompt is cached, and no words.
_CACHE = "cachePoint"


def is_bedrock(row: Row) -> bool:
    """`{schemaVersion?, messages: [{role, content: [{text} | {toolUse} | ...}]}], toolConfig?}`."""
    messages = row.get("messages")
    if not isinstance(messages, list):
        return False
    if "toolConfig" in row or str(row.get("schemaVersion")).startswith("bedrock"):
        return True
    return any(
        block.get("type") is None and any(block.get(name) is not None for name in _BLOCKS)
        for block in blocks_of(messages)
        if not _BLOCKS.isdisjoint(block)
    )


def bedrock(row: Row) -> list[Conversation]:
    """A block is named by its only key; a result of a tool becomes a message of its own."""
    notes: set[str] = set()
    system = row.get("system")
    blocks = [{"text": system}] if isinstance(system, str) else system or []
    texts = [_system_text(block, number) for number, block in enumerate(_list(blocks), 1)]
    content = "\n\n".join(text for text in texts if text)
    messages: list[Message] = [{"role": "system", "content": content}] if content else []
    for position, turn in enumerate(row["messages"], 1):
        messages += _turn(turn, position, notes)
    used = ("schemaVersion", "system", "messages", "toolConfig")
    tools, said = _tools(row.get("toolConfig")), tuple(sorted(notes))
    return [labelled(row, checked(messages), used, tools=tools, notes=said)]


def _list(blocks: Any) -> list[Any]:
    return list_of(blocks, "system")


def _system_text(block: Any, number: int) -> str:
    part = _part(block, "system", number, set())
    if part.kind != "text":
        raise unread("system", number, part.kind, "only texts")
    return str(part.value)


def _turn(turn: Any, position: int, notes: set[str]) -> list[Message]:
    where = f"message {position}"
    turn = object_of(turn, where)
    base = weighted(role_of(turn.get("role"), position), turn, position)
    content = turn.get("content")
    blocks = content if isinstance(content, list) else [{"text": text_of(content, where)}]
    parts = [_part(block, where, number, notes) for number, block in enumerate(blocks, 1)]
    return messages_from(base, parts, where, notes)


def _part(block: Any, where: str, number: int, notes: set[str]) -> Part:
    block = object_of(block, f"{where} part {number}")
    kinds = [name for name in block if block[name] is not None and name not in (_CACHE, "type")]
    match kinds:
        case []:
            return Part("text", "")
        case ["text"]:
            return Part("text", text_of(block["text"], f"{where} part {number}"))
        case ["toolUse"]:
            use = object_of(block["toolUse"], f"{where} toolUse")
            given = {"id": use.get("toolUseId"), "name": use.get("name")}
            return Part("call", {**given, "arguments": use.get("input")})
        case ["toolResult"]:
            return _result(block["toolResult"], where, notes)
        case ["reasoningContent"]:
            return Part("thought", _thought(block["reasoningContent"], where, notes))
    known = "only text, toolUse, toolResult and reasoningContent"
    raise unread(where, number, ", ".join(map(str, kinds)), known)


def _thought(value: Any, where: str, notes: set[str]) -> str:
    content = object_of(value, f"{where} reasoningContent")
    if content.get("redactedContent") is not None:
        notes.add("redacted thinking, which nobody can read, is left out")
        return ""
    text = content.get("reasoningText")
    inner = text.get("text") if isinstance(text, dict) else text
    return text_of(inner, f"{where} reasoningText")


def _result(value: Any, where: str, notes: set[str]) -> Part:
    answer = object_of(value, f"{where} toolResult")
    content = answer.get("content")
    blocks = content if isinstance(content, list) else [{"text": content}]
    texts = []
    for number, block in enumerate(blocks, 1):
        block = object_of(block, f"{where} toolResult part {number}")
        kinds = [name for name in block if block[name] is not None]
        if kinds not in ([], ["text"], ["json"]):
            shown = ", ".join(map(str, kinds))
            raise unread(f"{where} toolResult", number, shown, "only text and json")
        texts += [as_json(block[name], f"{where} toolResult") for name in kinds]
    if answer.get("status") == "error":
        notes.add("a tool's result that is marked as an error is kept without the mark")
    return result("\n\n".join(texts), answer.get("toolUseId"), None, where)


def _tools(value: Any) -> str | None:
    config = object_of(value or {}, "toolConfig")
    functions = []
    for tool in list_of(config.get("tools") or [], "toolConfig.tools"):
        tool = object_of(tool, "a tool")
        kinds = [name for name in tool if tool[name] is not None and name != _CACHE]
        if kinds and kinds != ["toolSpec"]:
            raise Reject("wrong_type", f"the tool {', '.join(map(str, kinds))} has no toolSpec")
        spec = object_of(tool.get("toolSpec") or {}, "toolSpec")
        schema = spec.get("inputSchema")
        inner = schema.get("json", schema) if isinstance(schema, dict) else schema
        if spec:
            functions.append({**spec, "inputSchema": inner})
    return function_schemas(functions, ("inputSchema",))
