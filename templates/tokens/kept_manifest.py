"""What the manifest of a TOKENS folder must hold, for all that reads it here."""

from __future__ import annotations

from collections.abc import Mapping

from curate.base.example_sources import CONTENT_HASHES, IDS_HASH
from curate.base.manifest_shape import (
    ID_BY_TOKEN,
    IDS,
    OBJECT,
    SWITCH,
    TEXT,
    TEXT_BY_NAME,
    TEXTS,
    WHOLE,
    WHOLE_BY_NAME,
    Shape,
    has,
    list_of,
)

_is_stop = has(text=TEXT, source=TEXT, tokens=IDS)
_STOP: Shape = ("a stop, with text, id, source and tokens", lambda value: _has_id(value))
_STOPS = list_of("a list of stops, with text, id, source and tokens", lambda value: _has_id(value))


def _has_id(value: object) -> bool:
    """Whether it is a stop, whose id is null where it is text."""
    if not isinstance(value, dict) or not _is_stop(value):
        return False
    number = value.get("id")
    return number is None or WHOLE[1](number)


_TEXTS_OF_A_CARD = (
    *("template", "template_hash", "generation_prompt", "system", "reasoning", "tools"),
    *("tool_calls", "content", "history", "date", "generation_tags", "bos"),
)
_COUNTS = ("rows", "refused", "tokens", "trained_tokens")
_CARD = {
    "card": OBJECT,
    **{f"card.{name}": TEXT for name in _TEXTS_OF_A_CARD},
    "card.default_system": SWITCH,
    "card.writes_bos": SWITCH,
    "card.stops": _STOPS,
    "card.raises_on": TEXTS,
    "card.problems": TEXTS,
}
_BASIC = {
    "counts": WHOLE_BY_NAME,
    **{f"counts.{name}": WHOLE for name in _COUNTS},
    "refused": WHOLE_BY_NAME,
    "stop.ids": IDS,
    "stop.strings": TEXTS,
    "template": OBJECT,
    "template.name": TEXT,
    "template.hash": TEXT,
    "template.source": TEXT,
    "tokenizer": OBJECT,
    "tokenizer.name": TEXT,
    "tokenizer.hash": TEXT,
    "options": OBJECT,
    "sources": list_of("a list of files, with source and sha256", has(source=TEXT, sha256=TEXT)),
    **_CARD,
}
NEEDED = frozenset(_BASIC)
# The others may be missing or null, as in a folder of an earlier version.
SHAPES: Mapping[str, Shape] = {
    **_BASIC,
    "template.tool_use": TEXT,
    "tokenizer.folder": TEXT,
    "tokenizer.special": TEXT_BY_NAME,
    "tokenizer.eos_ids": IDS,
    "tokenizer.vocabulary": WHOLE,
    "tokenizer.functional": ID_BY_TOKEN,
    "tokenizer.added": ID_BY_TOKEN,
    "tokenizer.closing": ID_BY_TOKEN,
    "card.tokenizer": TEXT,
    "card.ends_with": _STOP,
    "card.empty_thoughts": TEXT,
    "card.after_stop": TEXTS,
    "card.example": TEXT,
    "tool_card": OBJECT,
    IDS_HASH: TEXT,
    CONTENT_HASHES: TEXT_BY_NAME,
}
