"""The manifest of a folder of token rows, whose values have the shapes the trainer relies on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError
from curate.base.example_sources import CONTENT_HASHES, IDS_HASH
from curate.base.folder import is_changed
from curate.base.manifest_shape import (
    ID_BY_TOKEN,
    IDS,
    OBJECT,
    TEXT,
    TEXT_BY_NAME,
    TEXTS,
    WHOLE,
    Shape,
    check_shapes,
)

CARDS = ("card", "tool_card")  # what is known of the template, and of that of rows with tools
_COUNTS = ("examples", "refused", "truncated", "split", "empty", "trained_turns", "trained_stops")
# All that the trainer reads. But for the stops, anything may be missing or null.
_SHAPES: Mapping[str, Shape] = {
    "stop.ids": IDS,
    "stop.strings": TEXTS,
    "template": OBJECT,
    "template.source": TEXT,
    "template.tool_use": TEXT,
    "tokenizer": OBJECT,
    "tokenizer.special": TEXT_BY_NAME,
    "tokenizer.eos_ids": IDS,
    "tokenizer.vocabulary": WHOLE,
    "tokenizer.added": ID_BY_TOKEN,
    "tokenizer.functional": ID_BY_TOKEN,
    "tokenizer.closing": ID_BY_TOKEN,
    IDS_HASH: TEXT,
    CONTENT_HASHES: TEXT_BY_NAME,
    **{f"{card}.ends_with.text": TEXT for card in CARDS},
    "counts": OBJECT,
    **{f"counts.{name}": WHOLE for name in _COUNTS},
    "options": OBJECT,
    "options.roles": TEXTS,
}
_NEEDED = ("stop.ids", "stop.strings")


def read_manifest(path: Path, text: bytes) -> dict[str, Any]:
    """The manifest that `text` holds; `path` is named in errors.

    Raises `CurateError` for text that is no JSON object, for one without stops, for the first
    value that is not what `curate render` writes there, and for a content that its hash, where it
    has one, does not fit.
    """
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CurateError(
            f"{path}: expected JSON with stop.ids and stop.strings, got {type(error).__name__}: "
            f"{error}; render the rows again"
        ) from error
    check_shapes(manifest, _SHAPES, _NEEDED, path, "render the rows again")
    if is_changed(manifest):  # another template or stop than that of the rows would be believed
        raise CurateError(
            f"{path}: is not the manifest that was written with these rows: something in it was "
            "changed by hand; render the rows again"
        )
    known: dict[str, Any] = manifest
    return known
