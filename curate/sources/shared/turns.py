"""One turn of a conversation, whatever its fields are called, as a message."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from curate.sources.shared.controls import weight_of
from curate.sources.shared.convert import (
    CALLING,
    ROLE_NAMES,
    Message,
    Reject,
    Row,
    described,
    first_name,
    list_of,
    object_of,
    parsed,
    role_of,
    text_of,
    tool_calls,
    written,
)
from curate.sources.shared.thoughts import is_thought

# How formats call who speaks and what is said. Of several, the first that says something.
SPEAKERS = ("role", "from", "sender", "author", "speaker")
TEXTS = ("content", "value", "text", "body", "message", "utterance")
_REASONING = ("reasoning_content", "reasoning", "thinking", "thought", "thoughts")
_CALLS = ("tool_calls", "function_call", "function_calls", "tool_call")
_CALL_IDS = ("tool_call_id", "tool_use_id", "call_id")
_TEXT_PARTS = ("text", "input_text", "output_text")


def is_turn(value: Any) -> bool:
    """Whether something is an object that says who speaks."""
    return isinstance(value, dict) and (
        not _NAMES.isdisjoint(value) or ("message" in value and _speaks(value["message"]))
    )


# Where a yes or no says who speaks, and the role that a yes means.
FLAGS = {
    **dict.fromkeys(("is_human", "is_user", "isHuman", "isUser", "from_user"), "user"),
    **dict.fromkeys(("is_bot", "isBot", "is_assistant", "is_ai", "from_bot"), "assistant"),
}
_NAMES = frozenset((*SPEAKERS, *FLAGS))


def _speaks(value: Any) -> bool:
    return isinstance(value, dict) and not _NAMES.isdisjoint(value)


def turns_in(turns: Any) -> list[Message]:
    """A list of turns, or its JSON text, as messages."""
    listed = list_of(parsed(turns, "the list of messages"), "the list of messages")
    return [message_of(turn, position) for position, turn in enumerate(listed, 1)]


def message_of(turn: Any, position: int) -> Message:
    """A turn under any known pair of names, or its JSON text, as message number `position`.

    Raises `Reject` for a role that no format has, and for words under no known name.
    """
    if (plain := _plain(turn, position)) is not None:
        return plain
    where = f"message {position}"
    given = object_of(parsed(turn, where) if _is_object_text(turn) else turn, where)
    inner = given.get("message")
    if isinstance(inner, dict):
        given = {**given, **inner, "message": None}
    speaker = _speaker(given, where)
    message: Message = {"role": role_of(speaker, position)}
    if str(speaker).strip().lower() in CALLING and not any(given.get(name) for name in _CALLS):
        calls = tool_calls(_text_field(given)[1], where)
        return message | {"content": "", "tool_calls": calls} | weight_of(given, position)
    message["content"] = ""
    if not _FURTHER.isdisjoint(given):
        message |= _further(given, where)
    message["content"] = _content(given, message, where)
    return message | weight_of(given, position)


def _plain(turn: Any, position: int) -> Message | None:
    """The message of a turn with words under one known name; None for any other turn."""
    names = _names_of(tuple(turn)) if type(turn) is dict else None
    if names is None or (names.further and any(map(turn.get, names.further))):
        return None
    speaker, said = turn[names.speaker], turn[names.text]
    role = _PLAIN_ROLES.get(speaker) if type(speaker) is str else None
    if role is None:
        return None
    if type(said) is list and role != "tool":
        said = content_of(said, f"message {position}")
    if type(said) is not str:
        return None
    return {"role": role, "content": said, **weight_of(turn, position)}


_PLAIN_ROLES = {name: role for name, role in ROLE_NAMES.items() if name not in CALLING}


class _PlainNames(NamedTuple):
    """The only name of a speaker, the only one of words, and those that may say more."""

    speaker: str
    text: str
    further: tuple[str, ...]


@lru_cache(maxsize=1_000)
def _names_of(names: tuple[Any, ...]) -> _PlainNames | None:
    speakers, texts = _NAMES.intersection(names), frozenset(TEXTS).intersection(names)
    if len(speakers) != 1 or len(texts) != 1:
        return None
    (speaker,), (text,) = speakers, texts
    further = tuple(name for name in names if name in _FURTHER and name not in (speaker, text))
    return _PlainNames(speaker, text, further)


def _further(turn: Row, where: str) -> Message:
    """What a turn has beside a speaker and words."""
    more: Message = {}
    if reasoning := next((turn[name] for name in _REASONING if turn.get(name)), None):
        said = text_of(reasoning, f"{where} reasoning")
        more |= {"reasoning": said} if is_thought(said) else {}
    called = next((turn[name] for name in _CALLS if turn.get(name)), None)
    if calls := tool_calls(called, f"{where} tool_calls"):
        more["tool_calls"] = calls
    if turn.get("name"):
        more["name"] = text_of(turn["name"], f"{where} name")
    if name := next((name for name in _CALL_IDS if turn.get(name)), None):
        more["tool_call_id"] = text_of(turn[name], f"{where} {name}")
    return more


_FURTHER = frozenset((*_REASONING, *_CALLS, *_CALL_IDS, "name"))


def _speaker(turn: Row, where: str) -> Any:
    """Who speaks; of a nested author the role, or else the name."""
    name = first_name(turn, SPEAKERS)
    if name is None and (flag := first_name(turn, FLAGS)) and isinstance(turn[flag], bool):
        return FLAGS[flag] if turn[flag] else _OTHER[FLAGS[flag]]
    if name is None:
        keys = ", ".join(map(str, turn))
        raise Reject("unknown_role", f"{where} does not say who speaks; its fields are {keys}")
    speaker = turn[name]
    return speaker.get("role") or speaker.get("name") if isinstance(speaker, dict) else speaker


_OTHER = {"user": "assistant", "assistant": "user"}


def _text_field(turn: Row) -> tuple[str | None, Any]:
    """What is said, and under which name: the first that is not empty, or else the first."""
    names = [name for name in TEXTS if turn.get(name) is not None]
    name = next((name for name in names if turn[name] not in ("", [])), names[0] if names else None)
    return name, turn.get(name) if name else None


def _content(turn: Row, message: Message, where: str) -> str:
    name, said = _text_field(turn)
    if name is None and not ({"reasoning", "tool_calls"} & set(message) or _is_silent(turn)):
        keys = ", ".join(map(str, turn))
        raise Reject("no_text", f"{where} has no text under a known name; its fields are {keys}")
    if message["role"] == "tool" and isinstance(said, dict | list) and not _are_parts(said):
        return written(said, where)  # what a function gave back
    if isinstance(said, dict) and isinstance(said.get("text"), str):
        return str(said["text"])
    return content_of(said, where)


def _is_silent(turn: Row) -> bool:
    """Whether a turn has a text field that is null, and no other one that seems to be its words."""
    known = {*SPEAKERS, *TEXTS, *_FURTHER}
    others = any(
        isinstance(value, str) and " " in value.strip()
        for key, value in turn.items()
        if key not in known
    )
    return not others and any(name in turn for name in (*TEXTS, *_CALLS))


def _are_parts(said: Any) -> bool:
    return isinstance(said, list) and all(
        isinstance(part, str) or (isinstance(part, dict) and "text" in part) for part in said
    )


def _is_object_text(turn: Any) -> bool:
    return isinstance(turn, str) and turn.lstrip().startswith("{")


def content_of(content: Any, where: str) -> str:
    """A message's text: a string, null, or a list of text parts (joined as they stand)."""
    if not isinstance(content, list):
        return text_of(content, f"{where} content")
    texts = []
    for number, part in enumerate(content, 1):
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = part.get("type") or "text" if isinstance(part, dict) else described(part)
        text = _text_in(part) if isinstance(part, dict) else None
        if kind not in _TEXT_PARTS or not isinstance(text, str):
            detail = f"{where} has a part {number} of type {kind!r}; only text parts are supported"
            raise Reject("wrong_type", detail)
        texts.append(text)
    return "".join(texts)


def _text_in(part: Row) -> Any:
    return part.get("text") or part.get("value") or part.get("content") or part.get("text")
