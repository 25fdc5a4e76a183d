"""OASST conversation trees, nested or flat: which paths through a tree become conversations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from curate.sources.shared.convert import (
    Conversation,
    Joined,
    Message,
    Reject,
    Row,
    checked,
    list_of,
    object_of,
    role_of,
    text_of,
)

# A message that this share of its labellers called spam is not followed.
SPAM = 0.5


def is_tree(row: Row) -> bool:
    """`{message_tree_id, prompt: {text, role, replies: [...]}}`."""
    prompt = row.get("prompt")
    return isinstance(prompt, dict) and "text" in prompt and "role" in prompt


def tree(row: Row, paths: str = "best") -> list[Conversation]:
    """Conversations along `paths` of a tree: the best-ranked one, all, or the best k.

    Deleted, failed and spam messages are not followed. `meta` keeps the tree's identity, the
    `ranks` of the path's messages among their siblings (0 is best), and as `rank` the answer's.
    """
    limit = {"best": 1, "all": None}.get(paths, int(paths) if paths.isdecimal() else None)
    conversations: dict[str, Conversation] = {}  # paths cut back to the same last answer are one
    language = row["prompt"].get("lang")
    for path in _leaves(row["prompt"]):
        messages: list[Message] = []
        for position, node in enumerate(path, 1):
            content = text_of(node.get("text"), f"message {position}")
            messages.append({"role": role_of(node.get("role"), position), "content": content})
        while messages and messages[-1]["role"] != "assistant":
            messages.pop()
        if messages:
            meta = _ranks(path[: len(messages)])
            category = str(language) if language else None
            one = Conversation(checked(messages), ("prompt",), category=category, meta=meta)
            conversations.setdefault(repr(messages), one)
        if limit is not None and len(conversations) >= limit:
            break
    if not conversations:
        raise Reject("no_answer", "no path through the tree ends with the assistant")
    return list(conversations.values())


def _ranks(path: Sequence[dict[str, Any]]) -> Row:
    ranks = [node.get("rank") for node in path]
    if ranks.count(None) == len(ranks):
        return {}
    return {"rank": ranks[-1], "ranks": ranks}


def _leaves(root: Any) -> Iterator[list[dict[str, Any]]]:
    """Paths from the root, best-ranked first; unranked replies come last, in their order."""
    waiting: list[tuple[Any, list[dict[str, Any]]]] = [(root, [])]
    while waiting:
        node, before = waiting.pop()
        if not _is_sound(object_of(node, "a reply")):
            continue
        path = [*before, node]
        given = list_of(node.get("replies") or [], "replies")
        replies = [each for each in given if not isinstance(each, dict) or _is_sound(each)]
        if not replies:
            yield path
        ordered = sorted(replies, key=_rank)
        waiting += [(reply, path) for reply in reversed(ordered)]


def _rank(reply: Any) -> float:
    rank = reply.get("rank") if isinstance(reply, dict) else None
    return float(rank) if isinstance(rank, int | float) else float("inf")


def _is_sound(node: dict[str, Any]) -> bool:
    if node.get("deleted") is True or node.get("review_result") is False:
        return False
    return _label(node.get("labels"), "spam") < SPAM


def _label(labels: Any, name: str) -> float:
    """A label's value, from `{name: {value}}` or from parquet's `{name: [...], value: [...]}`."""
    if not isinstance(labels, dict):
        return 0.0
    if isinstance(labels.get("name"), list):
        pairs = zip(labels["name"], labels.get("value") or (), strict=False)
        return float(dict(pairs).get(name) or 0.0)
    entry = labels.get(name)
    value = entry.get("value") if isinstance(entry, dict) else None
    return float(value) if isinstance(value, int | float) else 0.0


def is_tree_message(row: Row) -> bool:
    """One message of a flat export: `{message_id, parent_id, text, role}`.

    A table's root has no `parent_id`, as a null is absent there, but a `message_tree_id`.
    """
    ids = (row.get("message_id"), row.get("parent_id") or "")
    return (
        ("parent_id" in row or "message_tree_id" in row)
        and {"text", "role"} <= set(row)
        and all(isinstance(one, str | int) for one in ids)
    )


def gather(rows: list[tuple[int, Row]]) -> Iterator[Joined]:
    """Flat messages (with their lines) as trees at their root's line.

    A message that hangs on no root (its parent is missing, or its parents run in a circle), or
    whose id another one bears already, is a reject.
    """
    nodes: dict[Any, Any] = {}
    for _, row in rows:
        nodes.setdefault(row["message_id"], {**row, "replies": []})
    for _, row in rows:
        parent = row.get("parent_id")
        if parent is not None and parent in nodes:  # a message without an id is no root's parent
            nodes[parent]["replies"].append(nodes[row["message_id"]])
    reached = _reached([node for node in nodes.values() if node.get("parent_id") is None])
    seen: set[Any] = set()
    for line, row in rows:
        name = row["message_id"]
        if name in seen or name not in reached:
            yield Joined(line, row, f"orphan: message {name!r} hangs on no root of this file")
        elif row.get("parent_id") is None:
            yield Joined(line, {"message_tree_id": name, "prompt": nodes[name]})
        seen.add(name)


def _reached(roots: list[Any]) -> set[Any]:
    reached: set[Any] = set()
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if node["message_id"] not in reached:
            reached.add(node["message_id"])
            waiting += node["replies"]
    return reached
