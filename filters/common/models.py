"""Local models that read rows: loaded onto the device that is here, given rows of equal length."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from curate.base.errors import CurateError
from curate.base.extras import require
from curate.base.models import Kind, load_model, load_tokenizer
from curate.base.progress import quiet_transformers
from curate.base.sandbox.chat_text import ChatText
from filters.common.units import file_state

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

GPU_BATCH_TOKENS = 8192

Rows = list[list[int]]  # token ids


def check_folder(step: str, path: str, instead: str = "") -> None:
    """`CurateError` unless `path` looks like a model and the packages to load it are installed."""
    if not (Path(path) / "config.json").is_file():
        raise CurateError(f"{step}: {path} is no model folder; expected one with a config.json")
    require(f"{step}: a model", "train", "torch", "transformers", instead=instead)


def model_state(folder: str | None) -> tuple[tuple[str, int, int], ...]:
    """Name, size and time of a model's files, none without one: another model, other scores."""
    if folder is None:
        return ()
    files = sorted(path for path in Path(folder).iterdir() if path.is_file())
    return tuple((file.name, *file_state(file)) for file in files)


def has_chat_template(step: str, folder: str) -> bool:
    """Whether a model's folder holds a chat template, without loading anything.

    Raises `CurateError` for a tokenizer_config.json that is no JSON object.
    """
    names = ("chat_template.jinja", "chat_template.json", "additional_chat_templates")
    if any((Path(folder) / name).exists() for name in names):
        return True
    config = Path(folder) / "tokenizer_config.json"
    if not config.is_file():
        return False
    try:
        content = json.loads(config.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CurateError(f"{step}: {config} is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise CurateError(f"{step}: {config} holds no JSON object")
    return bool(content.get("chat_template"))


def load(step: str, path: str, kind: Kind) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model of a folder, ready to read on the GPU (bfloat16) or CPU (float32), and tokenizer.

    Raises `CurateError` that names the step.
    """
    import torch

    on_gpu = torch.cuda.is_available()
    dtype = torch.bfloat16 if on_gpu else torch.float32
    try:
        with quiet_transformers():
            tokenizer = load_tokenizer(path, local=True)
            model = load_model(path, kind, dtype, local=True)
    except CurateError as error:
        raise CurateError(f"{step}: {error}") from error
    return model.to("cuda" if on_gpu else "cpu").eval(), tokenizer


def chat_text(step: str, path: str, tokenizer: PreTrainedTokenizerBase) -> ChatText:
    """What the chat template of a model's folder writes, in a process of its own.

    Raises `CurateError`, which names the step, for one that cannot be compiled.
    """
    text = ChatText(tokenizer)
    try:
        text.compile()
    except CurateError as error:
        raise CurateError(f"{step}: {path}: {error}") from error
    return text


def context(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """How many tokens the model can read."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return min(int(positions or 2**31), int(tokenizer.model_max_length))


def batches(model: PreTrainedModel, rows: Rows) -> Iterator[list[int]]:
    """Positions of rows of equal length, longest first, so that too large a batch fails early.

    On a CPU one row at a time, so that its numbers depend on it alone.
    """
    batch_tokens = GPU_BATCH_TOKENS if model.device.type == "cuda" else 1
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    for length in np.unique(lengths[lengths > 0])[::-1].tolist():
        same = np.flatnonzero(lengths == length).tolist()
        size = max(1, batch_tokens // length)
        for start in range(0, len(same), size):
            yield same[start : start + size]
