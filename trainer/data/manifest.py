"""The manifest of a folder of token rows, whose values have the shapes the trainer relies on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError
from curate.base.example_sources import CONTENT_HASHES, IDS_HASH

Shape = tuple[str, Callable[[Any], bool]]


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _by_token(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_id(number) for number in value.values())


_OBJECT: Shape = ("an object", lambda value: isinstance(value, dict))
_TEXT: Shape = ("a text", lambda value: isinstance(value, str))
_TEXTS: Shape = (
    "a list of texts",
    lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
)
_IDS: Shape = ("a list of ids", lambda value: isinstance(value, list) and all(map(_is_id, value)))
_NUMBER: Shape = ("a whole number", _is_id)
_ID_BY_TOKEN: Shape = ("an object with an id for each token", _by_token)
_TEXT_BY_NAME: Shape = (
    "an object with a text for each name",
    lambda value: isinstance(value, dict) and all(isinstance(one, str) for one in value.values()),
)

CARDS = ("card", "tool_card")  # what is known of the template, and of that of rows with tools
_COUNTS = ("examples", "refused", "truncated", "split", "empty", "trained_turns", "trained_stops")
# All that the trainer reads. But for the stops, anything may be missing or null.
_SHAPES: Mapping[str, Shape] = {
    "stop.ids": _IDS,
    "stop.strings": _TEXTS,
    "template": _OBJECT,
    "template.source": _TEXT,
    "template.tool_use": _TEXT,
    "tokenizer": _OBJECT,
    "tokenizer.special": _TEXT_BY_NAME,
    "tokenizer.eos_ids": _IDS,
    "tokenizer.vocabulary": _NUMBER,
    "tokenizer.added": _ID_BY_TOKEN,
    "tokenizer.functional": _ID_BY_TOKEN,
    "tokenizer.closing": _ID_BY_TOKEN,
    IDS_HASH: _TEXT,
    CONTENT_HASHES: _TEXT_BY_NAME,
    **{f"{card}.ends_with.text": _TEXT for card in CARDS},
    "counts": _OBJECT,
    **{f"counts.{name}": _NUMBER for name in _COUNTS},
    "options": _OBJECT,
    "options.roles": _TEXTS,
}
_NEEDED = ("stop.ids", "stop.strings")


def read_manifest(path: Path, text: bytes) -> dict[str, Any]:
    """The manifest that `text` holds; `path` is named in errors.

    Raises `CurateError` for text that is no JSON object, for one without stops, and for the first
    value that is not what `curate render` writes there.
    """
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CurateError(
            f"{path}: expected JSON with stop.ids and stop.strings, got {type(error).__name__}: "
            f"{error}; render the rows again"
        ) from error
    for name, (words, holds) in _SHAPES.items():
        value = _found(manifest, name)
        if value is None and name in _NEEDED:
            raise CurateError(
                f"{path}: expected JSON with stop.ids and stop.strings, and there is no {name}; "
                "render the rows again"
            )
        if value is not None and not holds(value):
            raise CurateError(
                f"{path}: {name}: expected {words}, got {value!r:.80}; render the rows again"
            )
    known: dict[str, Any] = manifest
    return known


def _found(manifest: Any, name: str) -> Any:
    """The value at a dotted name; None where it, or an object on the way to it, is missing."""
    value = manifest
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
