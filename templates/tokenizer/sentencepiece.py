"""SentencePiece models (`tokenizer.model`) as fast tokenizers, without the sentencepiece library.

The file is a protocol buffer (google/sentencepiece: `src/sentencepiece_model.proto`). A BPE model
joins the two neighbours whose piece has the best score, so its merges follow from the scores; a
Unigram model is taken as it is. Both with and without byte fallback.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from curate.base.errors import CurateError

UNIGRAM, BPE = 1, 2
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5
SPACE = "▁"

Fields = dict[int, list[Any]]


@dataclass(frozen=True)
class Model:
    """What a model file says: pieces are text, score and type; `special` maps `bos_token`, ..."""

    pieces: list[tuple[str, float, int]]
    kind: int
    unk: int
    byte_fallback: bool
    charsmap: bytes
    dummy_prefix: bool
    squeezes: bool
    special: Mapping[str, str] = field(default_factory=dict)


def read_model(path: Path) -> Model:
    """Read a `tokenizer.model`. Raises `CurateError` if it is none of SentencePiece's."""
    try:
        return _model(_fields(path.read_bytes()))
    except (ValueError, IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise CurateError(
            f"{path}: not a SentencePiece model (other files of that name, such as tiktoken's, do "
            "not say how text is cut into words); give a folder with tokenizer.json"
        ) from error


def _model(whole: Fields) -> Model:
    pieces = [_piece(_fields(raw)) for raw in whole[1]]
    trainer, normalizer = (_fields(whole.get(number, [b""])[-1]) for number in (2, 3))
    ids: dict[str, int] = {
        "unk": _last(trainer, 40, 0),
        "bos": _last(trainer, 41, 1),
        "eos": _last(trainer, 42, 2),
        "pad": _last(trainer, 43, -1),
    }
    return Model(
        pieces,
        _last(trainer, 3, UNIGRAM),
        ids["unk"],
        bool(_last(trainer, 35, 0)),
        _last(normalizer, 2, b""),
        bool(_last(normalizer, 3, 1)),
        bool(_last(normalizer, 4, 1)),
        {f"{name}_token": pieces[n][0] for name, n in ids.items() if 0 <= n < len(pieces)},
    )


def _piece(fields: Fields) -> tuple[str, float, int]:
    score: float = _last(fields, 2, 0.0)
    return _last(fields, 1, b"").decode(), score, _last(fields, 3, NORMAL)


def _last(fields: Fields, number: int, default: Any) -> Any:
    return fields[number][-1] if number in fields else default


def _fields(raw: bytes) -> Fields:
    """The fields of a message by number: whole numbers, floats, and bytes for all else."""
    found: Fields = {}
    for number, value in _entries(raw):
        found.setdefault(number, []).append(value)
    return found


def _entries(raw: bytes) -> Iterator[tuple[int, Any]]:
    place = 0
    while place < len(raw):
        key, place = _varint(raw, place)
        wire = key & 7
        if wire == 0:
            value, place = _varint(raw, place)
            yield key >> 3, value - (1 << 64) if value >> 63 else value
        elif wire == 5:
            yield key >> 3, struct.unpack_from("<f", raw, place)[0]
            place += 4
        elif wire == 1:
            yield key >> 3, struct.unpack_from("<d", raw, place)[0]
            place += 8
        elif wire == 2:
            size, place = _varint(raw, place)
            if place + size > len(raw):
                raise ValueError("a field is longer than its message")
            yield key >> 3, raw[place : place + size]
            place += size
        else:
            raise ValueError(f"wire type {wire}")


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def backend_of(model: Model, path: Path, legacy: bool = False) -> tokenizers.Tokenizer:
    """The model as a tokenizer of the `tokenizers` library.

    With `legacy` a space is put before every stretch of text after a control token, not only at
    the start: what `"legacy": true` in `tokenizer_config.json` asks for. Raises `CurateError`
    for models of whole words or of characters.
    """
    if model.kind not in (UNIGRAM, BPE):
        raise CurateError(f"{path}: a model of words or characters; expected BPE or Unigram")
    inner: models.Model
    if model.kind == BPE:
        inner = models.BPE(
            {text: number for number, (text, _, _) in enumerate(model.pieces)},
            merges(model),
            unk_token=model.pieces[model.unk][0],
            fuse_unk=True,
            byte_fallback=model.byte_fallback,
        )
    else:
        scored = [(text, score) for text, score, _ in model.pieces]
        inner = models.Unigram(scored, model.unk, model.byte_fallback)
    backend = tokenizers.Tokenizer(inner)
    backend.normalizer = _normalizer(model)
    scheme = ("always" if legacy else "first") if model.dummy_prefix else "never"
    backend.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme=scheme, split=False)
    backend.decoder = _decoder(model)
    for text, _, kind in model.pieces:
        token = tokenizers.AddedToken(text, normalized=False, special=kind != USER_DEFINED)
        if kind in (UNKNOWN, CONTROL):
            backend.add_special_tokens([token])
        elif kind == USER_DEFINED:
            backend.add_tokens([token])
    return backend


def merges(model: Model) -> list[tuple[str, str]]:
    """All ways to join two pieces into a third, the best score first; of equal scores the first."""
    known = {text: number for number, (text, _, _) in enumerate(model.pieces)}
    made = sorted(
        (-score, number, text)
        for number, (text, score, kind) in enumerate(model.pieces)
        if kind in (NORMAL, UNUSED)
    )
    return [
        (text[:cut], text[cut:])
        for _, _, text in made
        for cut in sorted(range(1, len(text)), reverse=True)
        if text[:cut] in known and text[cut:] in known
    ]


def _normalizer(model: Model) -> tokenizers.normalizers.Normalizer | None:
    steps: list[normalizers.Normalizer] = []
    if model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    if model.squeezes:
        steps.append(normalizers.Strip(left=False, right=True))  # one on the left is the prefix
        steps.append(normalizers.Replace(tokenizers.Regex(" {2,}"), " "))
    return normalizers.Sequence(steps) if steps else None


def _decoder(model: Model) -> tokenizers.decoders.Decoder:
    bytes_of = [decoders.ByteFallback()] if model.byte_fallback else []
    prefix = [decoders.Strip(" ", 1, 0)] if model.dummy_prefix else []
    return decoders.Sequence([decoders.Replace(SPACE, " "), *bytes_of, decoders.Fuse(), *prefix])
