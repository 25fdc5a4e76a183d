"""Conversations of a ChatGPT export (`conversations.json`)."""

from __future__ import annotations

from typing import Any

import orjson

from curate.sources.shared.branches import LATEST, latest_leaf, path_to
from curate.sources.shared.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    checked,
    described,
    labelled,
    list_of,
    object_of,
    role_of,
    text_of,
)
from curate.sources.shared.parts import Part, joined, unread

HIDDEN = "messages that are hidden or empty are left out"
Turn = tuple[Message, list[Part]]


def is_chatgpt(row: Row) -> bool:
    """`{title, mapping: {id: {message: {author, content}, parent, children}}, current_node}`."""
    mapping = row.get("mapping")
    return isinstance(mapping, dict) and any(
        isinstance(node, dict) and "message" in node and "parent" in node
        for node in mapping.values()
    )


def chatgpt(row: Row) -> list[Conversation]:
    """The messages from the first one to `current_node`; other branches are not followed."""
    notes: set[str] = set()
    turns: list[Turn] = []
    for position, node in enumerate(_path(row, notes), 1):
        message = node.get("message")
        if message is not None:
            where = f"message {position}"
            turns += _turn(object_of(message, where), position, notes)
    messages = checked(joined(turns, notes))
    used = ("mapping", "current_node")
    return [labelled(row, messages, used, notes=tuple(sorted(notes)))]


def _path(row: Row, notes: set[str]) -> list[dict[str, Any]]:
    nodes = {name: node for name, node in row["mapping"].items() if isinstance(node, dict)}
    parents = {name: node.get("parent") for name, node in nodes.items()}
    for name, parent in parents.items():
        if parent is not None and not isinstance(parent, str):
            wrong = f"the parent of message {name} is {described(parent)}"
            raise Reject("wrong_type", f"{wrong}; expected an id")
    last = row.get("current_node")
    if not isinstance(last, str) or last not in nodes:
        times = {name: _time(node) for name, node in nodes.items()}
        last = latest_leaf(parents, times)
        notes.add(LATEST)
    path = path_to(last or "", parents)
    above = parents[path[0]]
    if above is not None:
        lacks = "runs in a circle" if above in nodes else f"lacks its message {above}"
        raise Reject("orphan", f"the branch that ends in message {last} {lacks}")
    return [nodes[name] for name in path]


def _time(node: dict[str, Any]) -> Any:
    message = node.get("message")
    return message.get("create_time") if isinstance(message, dict) else None


def _turn(message: dict[str, Any], position: int, notes: set[str]) -> list[Turn]:
    where = f"message {position}"
    author = object_of(message.get("author"), f"{where} author")
    role = role_of(author.get("role"), position)
    content = object_of(message.get("content"), f"{where} content")
    metadata = message.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    if content.get("content_type") in _CONTEXT:
        return _context(content, where, notes)
    hidden = metadata.get("is_visually_hidden_from_conversation") is True
    parts = [] if hidden else _parts(content, where)
    if not any(part.value for part in parts):
        notes.add(HIDDEN)
        return []
    _check_files(metadata, where)
    ending = metadata.get("finish_details")
    if isinstance(ending, dict) and ending.get("type") in ("max_tokens", "interrupted"):
        notes.add(f"an answer breaks off ({ending['type']})")
    base: Message = {"role": role}
    if message.get("weight") == 0 and role == "assistant":
        base["weight"] = 0.0  # every other message has the weight 1, which is the default
    if role == "tool" and author.get("name"):
        base["name"] = text_of(author["name"], f"{where} name")
    recipient = message.get("recipient") or "all"
    if role == "assistant" and recipient != "all":
        parts = _called(text_of(recipient, f"{where} recipient"), parts, notes)
    return [(base, parts)]


def _check_files(metadata: dict[str, Any], where: str) -> None:
    """The export has the names of attached files, not what the model read in them."""
    for each in list_of(metadata.get("attachments") or [], f"{where} attachments"):
        name = each.get("name") if isinstance(each, dict) else each
        wrong = f"{where} has the file {name!r}, whose text is not in the export"
        raise Reject("wrong_type", wrong)


_CONTEXT = ("user_editable_context", "model_editable_context")


def _context(content: dict[str, Any], where: str, notes: set[str]) -> list[Turn]:
    """What the user asks for in every conversation."""
    names = ("user_profile", "user_instructions", "model_set_context")
    texts = [text_of(content.get(name), f"{where} {name}").strip() for name in names]
    if not any(texts):
        return []
    notes.add("custom instructions are the system prompt")
    return [({"role": "system"}, [Part("text", text) for text in texts])]


def _parts(content: dict[str, Any], where: str) -> list[Part]:
    match content.get("content_type"):
        case "text" | "multimodal_text":
            listed = list_of(content.get("parts") or [], f"{where} parts")
            texts = [_text(part, where, number) for number, part in enumerate(listed, 1)]
            return [Part("text", "\n".join(text for text in texts if text))]
        case "code" | "execution_output" | "system_error" | "tether_quote":
            return [Part("text", text_of(content.get("text"), f"{where} text"))]
        case "tether_browsing_display":
            return [Part("text", text_of(content.get("result"), f"{where} result"))]
        case "thoughts":
            return _thoughts(content, where)
        case "reasoning_recap":  # "Thought for 12 seconds"
            return []
        case kind:
            shown = repr(kind) if isinstance(kind, str) else described(kind)
            wrong = f"{where} has content of type {shown}"
            raise Reject("wrong_type", f"{wrong}; text, code, thoughts and results are read")


# The words of these stand in the transcription beside them.
_SOUNDS = ("audio_asset_pointer", "real_time_user_audio_video_asset_pointer")


def _text(part: Any, where: str, number: int) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("content_type") if isinstance(part, dict) else part
    if kind in _SOUNDS:
        return ""
    if kind != "audio_transcription":
        raise unread(where, number, kind, "only texts and transcriptions")
    return text_of(part.get("text"), where)


def _thoughts(content: dict[str, Any], where: str) -> list[Part]:
    thoughts = [
        object_of(thought, f"{where} thought")
        for thought in list_of(content.get("thoughts") or [], f"{where} thoughts")
    ]
    texts = [thought.get("content") or thought.get("summary") for thought in thoughts]
    return [Part("thought", text_of(text, f"{where} thought")) for text in texts]


def _called(recipient: str, parts: list[Part], notes: set[str]) -> list[Part]:
    """What is said to a tool is a call of it: JSON is its arguments, other text one argument."""
    thoughts = [part for part in parts if part.kind != "text"]
    text = "\n".join(part.value for part in parts if part.kind == "text")
    try:
        arguments = orjson.loads(text)
    except orjson.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        name = "code" if recipient.startswith("python") else "input"
        arguments = {name: text}
        notes.add(f"what is said to a tool and is no JSON is its argument {name}")
    return [*thoughts, Part("call", {"name": recipient, "arguments": arguments})]
