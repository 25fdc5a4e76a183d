"""What a model is, as one hash: of the files that decide what it answers."""

from __future__ import annotations

import hashlib
from pathlib import Path

from curate.base.folder import sha256
from trainer.checkpoints import adapters
from trainer.config.adapter_files import is_adapter
from trainer.models import weights

_DECIDING = (
    "*.safetensors",
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "method.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


def model_hash(source: str, base: str | None = None) -> str:
    """SHA-256 over the weights, configurations and tokenizer of a model; of an adapter its base's
    as well.

    The template is no part of it: what the model is asked is hashed with each answer.
    """
    folder = Path(source)
    folders = [folder]
    if is_adapter(folder) and not (folder / "config.json").is_file():
        adapter = adapters.read(folder)
        folders = adapter.folders(adapters.base_of(adapter, base))
    else:
        folders = [weights.local_folder(source)]
    digest = hashlib.sha256()
    for place in folders:
        files = {path for pattern in _DECIDING for path in place.glob(pattern) if path.is_file()}
        for path in sorted(files):
            digest.update(f"{path.name} {sha256(path)}\n".encode())
    return digest.hexdigest()
