"""A run that goes on from an adapter: its base, the rows it has for tokens, and what is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError, some_of
from curate.base.folder import sha256
from trainer.checkpoints import adapters
from trainer.checkpoints.adapters import Adapter
from trainer.config.adapter_files import read_json
from trainer.config.config import TrainConfig
from trainer.models import model, vocabulary
from trainer.models.vocabulary import Vocabulary


def adapter_of(config: TrainConfig) -> Adapter | None:
    """The adapter that the run goes on from, which goes with its model; None without one.

    Raises `CurateError` for one that cannot be read, and for a model that it is in already.
    """
    if config.from_adapter is None:
        return None
    adapter = adapters.find(config.from_adapter)
    if _holds(config.model, adapter):
        named = f"; name its base, {adapter.base}, as the model" if adapter.base else ""
        raise CurateError(f"{config.model}: holds what {adapter.folder} learnt already{named}")
    if config.sharding != "none" and adapter.settings.get("target_parameters"):
        raise CurateError(
            f"sharding: {adapter.folder} adapts experts that are no layers, and such adapters are "
            "not shared; leave sharding out"
        )
    return adapter


def _holds(name: str, adapter: Adapter) -> bool:
    """Whether a model is a CKPT of the adapter's run or base, or one it was merged into."""
    folder = Path(name)
    if adapter.run is not None and adapters.is_same(name, str(adapter.run)):
        return True
    tuned_from = adapters.base_of_run(folder)
    if tuned_from is not None and adapter.base is not None:
        return adapters.is_same(tuned_from, adapter.base)
    manifest = folder / "manifest.json"
    sources = read_json(manifest).get("sources") if manifest.is_file() else None
    return sha256(adapter.weights) in json.dumps(sources)


def with_rows(words: Vocabulary, adapter: Adapter, tokenizer: Any, name: str) -> Vocabulary:
    """The tokens whose rows learn, with those that the adapter holds rows for.

    Raises `CurateError` for tokens of the rows to train that it holds none for, and for rows of
    tokens that nobody can name.
    """
    held = adapter.rows
    if lacking := sorted({*words.rows} - {*held}):
        texts = {number: text for text, number in {**words.added, **words.named}.items()}
        shown = some_of([texts[number] for number in lacking])
        raise CurateError(
            f"{adapter.folder}: trains no embedding rows for {shown}, which "
            "these rows need; put it into its base with curate merge, and start another adapter"
        )
    if tokenizer is None:
        named = {str(number): number for number in held if number not in words.added.values()}
        return vocabulary.with_learnt(words, {}, named)
    known = {number: text for text, number in tokenizer.get_vocab().items()}
    own = model.read_tokenizer(str(adapter.folder))
    spelt = {} if own is None else {number: text for text, number in own.get_vocab().items()}
    new = [number for number in held if number not in known]
    if nameless := [number for number in new if number not in spelt | _texts(words)]:
        raise CurateError(
            f"{adapter.folder}: holds a row for token {nameless[0]}, which neither its own "
            f"tokenizer nor that of {name} has; put the tokenizer it was trained with beside it"
        )
    added = {(spelt | _texts(words))[number]: number for number in new}
    return vocabulary.with_learnt(words, added, {known[one]: one for one in held if one in known})


def _texts(words: Vocabulary) -> dict[int, str]:
    return {number: text for text, number in words.added.items()}


def lines(adapter: Adapter, name: str) -> list[str]:
    """What the log says of the adapter, its base, and the optimizer."""
    shown = [
        f"goes on from {adapter} (sha256 {adapter.identity[:12]}): its method and settings are "
        "taken over, the optimizer and the schedule start anew"
    ]
    if adapter.base is None:
        shown.append(f"the adapter names no base; it is put on {name}, whose layers must fit")
    elif not adapters.is_same(adapter.base, name):
        shown.append(
            f"the adapter names {adapter.base} as its base, and goes on with {name}, whose layers "
            "must fit"
        )
    return shown
