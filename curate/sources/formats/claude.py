"""Conversations of a Claude export: one object each, or an array of them."""

from __future__ import annotations

from typing import Any

from curate.sources.formats.blocks import block_part
from curate.sources.shared.branches import LATEST, latest_leaf, path_to
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
from curate.sources.shared.parts import Part, messages_from, result, weighted

ATTACHED = "the texts of attached files stand before the question, under their names"
# The parent of the first message.
_NOBODY = "00000000-0000-4000-8000-000000000000"


def is_claude(row: Row) -> bool:
    """`{uuid, name, chat_messages: [{sender: human | assistant, text, content, attachments}]}`."""
    messages = row.get("chat_messages")
    return isinstance(messages, list) and any(
        isinstance(message, dict) and "sender" in message for message in messages
    )


def claude(row: Row) -> list[Conversation]:
    """Blocks where there are some, else the text; the texts of attached files come before it."""
    notes: set[str] = set()
    messages: list[Message] = []
    for position, turn in enumerate(_branch(row, notes), 1):
        messages += _turn(turn, position, notes)
    used = ("chat_messages", "current_leaf_message_uuid")
    return [labelled(row, checked(messages), used, notes=tuple(sorted(notes)))]


def _branch(row: Row, notes: set[str]) -> list[dict[str, Any]]:
    """The messages in order; those of other branches are left out."""
    turns = [object_of(turn, f"message {at}") for at, turn in enumerate(row["chat_messages"], 1)]
    named = {turn["uuid"]: turn for turn in turns if isinstance(turn.get("uuid"), str)}
    parents = {name: _parent(turn, name) for name, turn in named.items()}
    if len(named) < len(turns) or not any(parents.values()):
        return turns
    last = row.get("current_leaf_message_uuid")
    if not isinstance(last, str) or last not in named:
        last = latest_leaf(parents, {name: turn.get("created_at") for name, turn in named.items()})
        if len(set(parents.values())) < len(parents):
            notes.add(LATEST)
    path = path_to(last or "", parents)
    if parents[path[0]] is not None:
        lacks = "lacks its beginning, or its messages run in a circle"
        raise Reject("orphan", f"the branch that ends in message {last} {lacks}")
    return [named[name] for name in path]


def _parent(turn: dict[str, Any], name: str) -> str | None:
    parent = text_of(turn.get("parent_message_uuid"), f"the parent of message {name}")
    return None if parent in ("", _NOBODY) else parent


def _turn(turn: dict[str, Any], position: int, notes: set[str]) -> list[Message]:
    where = f"message {position}"
    base = weighted(role_of(turn.get("sender"), position), turn, position)
    blocks = list_of(turn.get("content") or [], f"{where} content")
    parts = [_part(block, where, number, notes) for number, block in enumerate(blocks, 1)]
    if not any(part.value for part in parts):
        parts = [Part("text", text_of(turn.get("text"), f"{where} text"))]
    before = [Part("text", text) for text in _attached(turn, where)]
    notes |= {ATTACHED} if before else set()
    return messages_from(base, [*before, *parts], where, notes)


def _part(block: Any, where: str, number: int, notes: set[str]) -> Part:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == "token_budget":  # a number for the model, no words
        return Part("text", "")
    if kind != "tool_result":
        return block_part(block, where, number, notes)
    found = block.get("content")
    pieces = [_found(piece) for piece in found] if isinstance(found, list) else found
    read = block_part({**block, "content": pieces}, where, number, notes)
    return result(read.value["content"], read.value.get("tool_call_id"), block.get("name"), where)


def _found(piece: Any) -> Any:
    """A page that a search found, as a text with its title and address."""
    if not isinstance(piece, dict) or piece.get("type") != "knowledge":
        return piece
    texts = [piece.get(name) for name in ("title", "url", "text")]
    return {"type": "text", "text": "\n".join(text for text in texts if isinstance(text, str))}


def _attached(turn: dict[str, Any], where: str) -> list[str]:
    """The texts of attached files; a file without its text is a reject that names it."""
    texts, names = [], set[str]()
    for each in list_of(turn.get("attachments") or [], f"{where} attachments"):
        attached = object_of(each, f"{where} attachment")
        name = text_of(attached.get("file_name"), f"{where} file_name")
        names.add(name)
        text = text_of(attached.get("extracted_content"), f"{where} extracted_content")
        if not text:
            raise _without_text(where, name)
        texts.append(f"{name}\n\n{text}" if name else text)
    for each in list_of(turn.get("files") or [], f"{where} files"):
        name = text_of(object_of(each, f"{where} file").get("file_name"), f"{where} file_name")
        if name not in names and turn.get("sender") == "human":
            raise _without_text(where, name)
    return texts


def _without_text(where: str, name: str) -> Reject:
    return Reject("wrong_type", f"{where} has the file {name!r}, whose text is not in the export")
