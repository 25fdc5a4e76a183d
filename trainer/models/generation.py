"""`generation_config.json`: where a model stops, as its folder says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError
from trainer.config.adapter_files import read_json

Content = dict[str, Any]
GENERATION = "generation_config.json"


def generation_of(folder: Path) -> Content:
    """What `generation_config.json` of a folder says; nothing where there is none.

    Raises `CurateError` for one that is no object, or whose stops are no ids and texts.
    """
    path = folder / GENERATION
    content = read_object(path)
    ids, texts = stops_of(content), stop_texts_of(content)
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in ids):
        raise CurateError(f"{path}: eos_token_id is {ids!r:.60}; expected an id or a list of them")
    if not all(isinstance(one, str) for one in texts):
        raise CurateError(f"{path}: stop_strings is {texts!r:.60}; expected a list of texts")
    return content


def stops_of(content: Mapping[str, Any]) -> list[int]:
    """The ids at which generation ends, by a configuration.

    >>> stops_of({"eos_token_id": 2}), stops_of({"eos_token_id": [2, 7]}), stops_of({})
    ([2], [2, 7], [])
    """
    return _listed(content.get("eos_token_id"))


def stop_texts_of(content: Mapping[str, Any]) -> list[str]:
    """The texts at which generation ends, by a configuration.

    >>> stop_texts_of({"stop_strings": "##"}), stop_texts_of({"stop_strings": ["#", "User:"]})
    (['##'], ['#', 'User:'])
    """
    return _listed(content.get("stop_strings"))


def _listed(given: Any) -> list[Any]:
    return [] if given is None else list(given) if isinstance(given, list) else [given]


def read_object(path: Path) -> Content:
    """A file of JSON that holds an object; nothing where there is no file. Raises `CurateError`."""
    return read_json(path) if path.is_file() else {}
