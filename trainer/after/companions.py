"""What lies beside merged weights: the tokenizer, its templates, and every stop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curate.base.folder import write_atomic
from trainer.after.adapters import Adapter
from trainer.checkpoints import older
from trainer.models import model, weights

_GENERATION = "generation_config.json"


def places(adapter: Adapter, base: str) -> list[Path]:
    """Folders that may hold a tokenizer or stops, in the order in which they are asked.

    What was trained comes first: the adapter's folder, the CKPT that it is of, then the base.
    """
    run = [] if adapter.run is None else [adapter.run]
    return [adapter.folder, *run, weights.local_folder(base)]


def tokenizer_folder(folders: Sequence[Path]) -> Path | None:
    """The first of the folders that holds a tokenizer."""
    wanted = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
    return next((each for each in folders if any((each / one).is_file() for one in wanted)), None)


def complete(folder: Path, adapter: Adapter, base: str) -> None:
    """Give merged weights in `folder` the tokenizer, stops and files for pictures they go with."""
    known = places(adapter, base)
    source = tokenizer_folder(known)
    if source is not None:
        model.copy_tokenizer(str(source), None, folder)
    for file in model.PROCESSOR_FILES:
        holder = next((each for each in known if (each / file).is_file()), None)
        if holder is not None:
            shutil.copyfile(holder / file, folder / file)
    tokenizer = None if source is None else model.read_tokenizer(str(source))
    ending = None if tokenizer is None else tokenizer.eos_token_id
    if adapter.objective != "reward":  # which generates nothing
        _write_stops(folder, known, ending)
    # An ending that was trained is in the adapter's own tokenizer; a base keeps what it has.
    trained = ending if source in known[:-1] else None
    _write_config(folder, trained)


def _write_stops(folder: Path, known: Sequence[Path], ending: int | None) -> None:
    """All stops of the adapter's folder, or else of the base, and the tokenizer's own."""
    holder = next((each for each in known[:-1] if (each / _GENERATION).is_file()), folder)
    content = _read(holder / _GENERATION)
    content.pop("_from_model_config", None)
    stops = stops_of(content)
    if not stops:
        stops = stops_of(_read(folder / "config.json"))
    if ending is not None and ending not in stops:
        stops.append(ending)
    if stops:
        content["eos_token_id"] = stops
    _write(folder / _GENERATION, content)


def stops_of(content: dict[str, Any]) -> list[int]:
    """The ids at which generation ends, by a configuration.

    >>> stops_of({"eos_token_id": 2}), stops_of({"eos_token_id": [2, 7]}), stops_of({})
    ([2], [2, 7], [])
    """
    given = content.get("eos_token_id")
    return [] if given is None else list(given) if isinstance(given, list) else [given]


def _write_config(folder: Path, ending: int | None) -> None:
    """`config.json` that names the trained ending, readable by older versions."""
    content = _read(folder / "config.json")
    parts = [content, *(part for part in [content.get("text_config")] if isinstance(part, dict))]
    for part in parts:
        if ending is not None and (part is content or "eos_token_id" in part):
            part["eos_token_id"] = ending
    older.model_config(content)
    _write(folder / "config.json", content)


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    write_atomic(path, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
