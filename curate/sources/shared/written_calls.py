"""Calls and tools that were written into texts: where their JSON ends, and what it says."""

from __future__ import annotations

import json
import re
from typing import Any

from curate.sources.shared.convert import Reject, tool_calls
from curate.sources.shared.literals import python_value

_DECODER = json.JSONDecoder(strict=False)
# Glaive quotes the JSON of arguments as Python would: "arguments": '{"a": 1}'.
_QUOTE = re.compile(r"\"arguments\"\s*:\s*'")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_CONTROL = {number: f"\\u{number:04x}" for number in range(32)}


def json_texts(text: str) -> tuple[list[str], str]:
    """The JSON objects and lists that a text begins with, each as its text, and what follows."""
    found, at = [], _after_space(text, 0)
    while text[at : at + 1] in ("{", "["):
        end = _end_of_json(text, at)
        if end is None:
            break
        found.append(text[at:end])
        at = _after_space(text, end)
    return found, text[at:]


_SPACE = re.compile(r"[\s,]*")


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _end_of_json(text: str, at: int = 0) -> int | None:
    try:
        return _DECODER.raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        return None


def tagged(text: str, tag: str, where: str) -> tuple[str, list[str]]:
    """What stands outside of `<tag>...</tag>`, and the texts inside; a reject for an open one."""
    opens, closes = f"<{tag}>", f"</{tag}>"
    before, *pieces = text.split(opens)
    outside, inside = [before], []
    for piece in pieces:
        said, end, rest = piece.partition(closes)
        if not end or closes in rest:
            raise Reject("wrong_type", f"{where} has a {opens} that does not end")
        inside.append(said.strip())
        outside.append(rest)
    return "".join(outside).strip(), inside


def call_text(written: str, where: str) -> str:
    """One call, as a model or a template writes it, as `{"name": ..., "arguments": {...}}`.

    Raises `Reject` for what is no JSON.
    """
    text = _without_quotes(written.strip())
    if _end_of_json(text) != len(text):
        shown = written.strip()[:80]
        raise Reject("wrong_type", f"{where} has a call that is not valid JSON: {shown!r}")
    # Line breaks inside strings are common there, and no JSON.
    return _STRING.sub(lambda string: string[0].translate(_CONTROL), text)


def _without_quotes(text: str) -> str:
    """The call with its arguments as an object, where they stand as JSON in single quotes."""
    begin = _QUOTE.search(text)
    body = text[:-1].rstrip()
    if begin is None or not text.endswith("}") or not body.endswith("'"):
        return text
    inside = body[begin.end() : -1]
    arguments = inside.replace("\\'", "'").strip() or "{}"
    if _end_of_json(arguments) != len(arguments):
        arguments = _unescaped(inside) or arguments
    return f"{text[: begin.end() - 1]}{arguments}}}"


def _unescaped(inside: str) -> str | None:
    """What Python reads between single quotes, or None where it reads nothing."""
    value = python_value(f"'{inside}'")
    return value.strip() if isinstance(value, str) else None


def calls_of(written: list[str], where: str) -> str:
    """Several calls as the JSON text of a message's `tool_calls`; a reject for a broken one."""
    texts = [call_text(one, where) for one in written]
    calls: Any = tool_calls(f"[{', '.join(texts)}]", where)
    if calls is None:
        raise Reject("wrong_type", f"{where} has an empty call")
    return str(calls)
