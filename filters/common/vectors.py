"""Texts as vectors: a model's, the user's own, or a built-in one that knows letters only."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate.base.errors import CurateError, one_line
from curate.base.extras import require
from curate.base.models import explained
from curate.base.user_code import user_module
from filters.common.arrays import F32, Ints
from filters.common.lexical import lexical

Encode = Callable[[Sequence[str]], Any]

LEXICAL = "lexical"
# Texts given to an encoder at once; it may cut them into smaller batches itself.
BATCH = 4096

ENCODER_HELP = (
    "what turns text into vectors: lexical (built in, alike means alike in wording), the folder "
    "or hub name of a sentence-transformers model, or code with encode(texts), as file.py:name "
    "or package.module:name"
)


def check_encoder(step: str, encoder: str) -> None:
    """`CurateError` unless the encoder can be used here; loads no model and runs no code."""
    if encoder == LEXICAL:
        return
    if _is_code(encoder):
        _source_of(step, encoder)
        return
    if encoder.startswith((".", "/", "~")) and not Path(encoder).is_dir():
        raise CurateError(f"{step}: encoder {encoder}: there is no such model folder")
    require(
        f"{step}: encoder {encoder!r} is a model, which",
        "embed",
        "sentence_transformers",
        instead="use encoder lexical, which needs nothing",
    )


def fingerprint(step: str, encoder: str) -> str:
    """Changes when the encoder's files do, so that vectors of another one are not taken."""
    if encoder == LEXICAL:
        return LEXICAL
    if _is_code(encoder):
        return hashlib.blake2b(_source_of(step, encoder).read_bytes(), digest_size=8).hexdigest()
    files = sorted(path for path in Path(encoder).rglob("*") if path.is_file())
    known = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.blake2b(repr(known).encode(), digest_size=8).hexdigest()


def embed(step: str, encoder: str, texts: pl.Series) -> F32:
    """Unit vectors [texts, dimensions]; blank text has the zero vector, similar to nothing.

    Each different text is encoded once. Raises `CurateError` if the encoder cannot be loaded or
    answers with anything but one finite vector a text.
    """
    if not len(texts):
        return np.zeros((0, 1), np.float32)  # and nothing is loaded
    different = texts.unique(maintain_order=True)
    if encoder == LEXICAL:
        vectors = lexical(different)
    else:
        encode = _code(step, encoder) if _is_code(encoder) else _model(step, encoder)
        vectors = _encoded(step, encoder, encode, different)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = (vectors / np.where(norm > 0, norm, 1)).astype(np.float32)
    unit[(different.str.strip_chars() == "").to_numpy()] = 0
    return unit[position_of(texts, different)]


def position_of(texts: pl.Series, different: pl.Series) -> Ints:
    """For each text its position among the different ones."""
    known = different.to_frame("text").with_row_index("position")
    joined = texts.to_frame("text").join(known, on="text", how="left", maintain_order="left")
    return joined["position"].to_numpy().astype(np.int64)


def vector_column(vectors: F32, name: str = "vector") -> pl.Series:
    """As a column of arrays."""
    return pl.Series(name, vectors, pl.Array(pl.Float32, vectors.shape[1]))


def _encoded(step: str, encoder: str, encode: Encode, texts: pl.Series) -> F32:
    parts = []
    for start in range(0, max(len(texts), 1), BATCH):
        part = texts[start : start + BATCH].to_list()
        try:
            given = np.asarray(encode(part or [""]))
            is_real = np.isrealobj(given)
            vectors = given.astype(np.float32) if is_real else np.zeros((0, 0), np.float32)
        except Exception as error:
            raise CurateError(f"{step}: encoder {encoder} failed with {one_line(error)}") from error
        fits = vectors.ndim == 2 and len(vectors) == max(len(part), 1) and vectors.shape[1] > 0
        if not (fits and np.isfinite(vectors).all()):
            raise CurateError(
                f"{step}: encoder {encoder} gave {given.dtype} {given.shape} for {len(part)} "
                "texts; expected one row of finite numbers a text"
            )
        parts.append(vectors[: len(part)])
    return np.concatenate(parts)


def _is_code(encoder: str) -> bool:
    return ":" in encoder and not Path(encoder).exists()


def _source_of(step: str, encoder: str) -> Path:
    where = encoder.rpartition(":")[0]
    if where.endswith(".py"):
        path = Path(where)
    else:
        try:
            spec = importlib.util.find_spec(where)
        except ModuleNotFoundError as error:
            raise CurateError(f"{step}: encoder {encoder}: {error}") from error
        if spec is None or spec.origin is None:
            raise CurateError(f"{step}: encoder {encoder}: there is no module {where!r}")
        path = Path(spec.origin)
    if not path.is_file():
        raise CurateError(f"{step}: encoder {encoder}: there is no file {where}")
    return path


def _code(step: str, encoder: str) -> Encode:
    """The function, or the `encode` of the object (or of what the class makes)."""
    where, _, name = encoder.rpartition(":")
    try:
        named = getattr(user_module(where, "encoder", register=False), name)
        named = named() if inspect.isclass(named) else named
    except Exception as error:
        raise CurateError(
            f"{step}: encoder {encoder} cannot be loaded: {one_line(error)}"
        ) from error
    encode: Any = getattr(named, "encode", named)
    if not callable(encode):
        raise CurateError(f"{step}: encoder {encoder} has no encode(texts), nor is it a function")
    checked: Encode = encode
    return checked


def _model(step: str, encoder: str) -> Encode:
    """A sentence-transformers model: safetensors only, and none of its own code is run."""
    sentence_transformers: Any = importlib.import_module("sentence_transformers")
    with explained(f"{step}: encoder {encoder}", "model"):
        model = sentence_transformers.SentenceTransformer(
            encoder,
            trust_remote_code=False,
            local_files_only=Path(encoder).is_dir(),
            model_kwargs={"use_safetensors": True},
        )
    return lambda texts: model.encode(list(texts), show_progress_bar=False)
