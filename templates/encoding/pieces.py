"""Encoding by pieces, and what a token says: the slow, exact path beside `encode_batch`.

A text that the template wrote falls into pieces at its own control tokens. Where content spells
a control token, or a boundary must be cut, the pieces are encoded one by one with a tokenizer
that knows no control tokens, so that content can never become one.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import tokenizers

if TYPE_CHECKING:
    from templates.encoding.tokenizer import Own, Tokenizer
    from templates.encoding.words import Words

# A piece starts the text, follows a control token, or goes on after a cut. Tokenizers that put
# a space before a text do so for the first or the first two kinds, never for the third.
Kind = Literal["first", "after", "cut"]


class Piece(NamedTuple):
    """Characters `start` to `stop`: a control token (`id` given), or text of some kind."""

    start: int
    stop: int
    kind: Kind
    id: int | None = None


class Encoded(NamedTuple):
    """Token ids and the characters of the text that each stands for."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class Pieces:
    """A tokenizer taken apart: its model behind three front ends, and the text of its tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._texts: dict[int, bytes] = {}
        state = [_state(tokenizer.backend.normalizer), _state(tokenizer.backend.pre_tokenizer)]
        written = json.dumps(state, ensure_ascii=False)
        self._metaspace = "▁" in written
        self._byte_level = '"ByteLevel"' in written
        fallback = getattr(tokenizer.backend.model, "byte_fallback", None)  # Unigram does not tell
        known = tokenizer.backend.token_to_id("<0x00>") is not None
        self._byte_fallback = known if fallback is None else bool(fallback)
        self._fronts: dict[str, tokenizers.Tokenizer] = {}
        self._renamed: dict[int, int] = {}

    def said(self, ids: Sequence[int]) -> list[bytes]:
        """What each token says, as UTF-8; a token may hold part of a character.

        Where the tokenizer puts a space before a text, it is said too.
        """
        texts = list(map(self._texts.get, ids))
        if None in texts:
            for number in ids:
                if number not in self._texts:
                    self._texts[number] = self.text(number)
            return self.said(ids)
        return texts  # type: ignore[return-value]

    def decode(self, ids: Sequence[int]) -> bytes:
        return b"".join(self.said(ids))

    def text(self, number: int) -> bytes:
        token: str = self.tokenizer.backend.id_to_token(number) or ""
        if number in self._added:
            return token.encode()
        if self._byte_level:
            return spelt_bytes(token)
        return self._unbyte(token.replace("▁", " ") if self._metaspace else token)

    def _unbyte(self, token: str) -> bytes:
        """`<0xF0>` as the byte it stands for; other tokens as UTF-8."""
        match = re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", token) if self._byte_fallback else None
        return bytes([int(match[1], 16)]) if match else token.encode()

    @functools.cached_property
    def _added(self) -> frozenset[int]:
        return frozenset(self.tokenizer.backend.get_added_tokens_decoder())

    def split(self, text: str, own: Sequence[Own]) -> list[Piece]:
        """The pieces of a text, white space that a control token swallows left out."""
        pieces: list[Piece] = []
        length = len(text)
        kind: Kind = "first"
        start = 0
        for token in own:
            control = self.tokenizer.controls[text[token.start : token.stop]]
            low, high = token.start, token.stop
            if control.lstrip:
                low = start + len(text[start:low].rstrip())
            if control.rstrip:
                high = length - len(text[high:].lstrip())
            if start < low:
                pieces.append(Piece(start, low, kind))
            pieces.append(Piece(token.start, token.stop, "after", token.id))
            start, kind = high, "after"
        if start < length:
            pieces.append(Piece(start, length, kind))
        return pieces

    def encode(self, text: str, pieces: Sequence[Piece]) -> Encoded:
        """Encode piece by piece; ids as from the whole text wherever no content spells control."""
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for piece in pieces:
            if piece.id is not None:
                ids.append(piece.id)
                offsets.append((piece.start, piece.stop))
                continue
            encoded = self.front(piece.kind).encode(text[piece.start : piece.stop])
            ids += [self._renamed.get(number, number) for number in encoded.ids]
            offsets += [(low + piece.start, high + piece.start) for low, high in encoded.offsets]
        return Encoded(ids, offsets)

    def encode_batch(self, kind: Kind, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many pieces of one kind: by words, or by the library on all cores."""
        rows = self._words.encode(texts, plain=True) if self._words else [None] * len(texts)
        left = [text for text, row in zip(texts, rows, strict=True) if row is None]
        batch = iter(self.front(kind).encode_batch_fast(left, add_special_tokens=False))
        return [
            [self._renamed.get(number, number) for number in next(batch).ids]
            if row is None
            else row.tolist()
            for row in rows
        ]

    @functools.cached_property
    def _words(self) -> Words | None:
        from templates.encoding.words import Words

        return Words.of(self.tokenizer)

    def surface(self, text: str, pieces: Sequence[Piece]) -> bytes:
        """The text as the model behind the front ends gets it: normalised, spaces prefixed."""
        return b"".join(
            text[piece.start : piece.stop].encode()
            if piece.id is not None
            else self._surface(piece.kind, text[piece.start : piece.stop])
            for piece in pieces
        )

    def _surface(self, kind: Kind, text: str) -> bytes:
        front = self.front(kind)
        if front.normalizer is not None:
            text = front.normalizer.normalize_str(text)
        if front.pre_tokenizer is not None:
            text = "".join(part for part, _ in front.pre_tokenizer.pre_tokenize_str(text))
        return text.encode()

    def shown(self, ids: Sequence[int]) -> bytes:
        """What ids say in the same spelling as `surface`."""
        model = self.tokenizer.backend.model
        prefix = getattr(model, "continuing_subword_prefix", None) or ""
        suffix = getattr(model, "end_of_word_suffix", None) or ""
        return b"".join(self._shown(number, prefix, suffix) for number in ids)

    def _shown(self, number: int, prefix: str, suffix: str) -> bytes:
        token: str = self.tokenizer.backend.id_to_token(number) or ""
        if number in self._added and number in self.tokenizer.control_ids:
            return token.encode()
        if number in self._added:  # white space, spelt as the front end spells it
            return self._surface("cut", token)
        return self._unbyte(token.removeprefix(prefix).removesuffix(suffix))

    def front(self, kind: Kind) -> tokenizers.Tokenizer:
        """The tokenizer without control tokens, for one kind of piece."""
        if kind not in self._fronts:
            self._fronts[kind] = self._front(kind)
        return self._fronts[kind]

    def _front(self, kind: Kind) -> tokenizers.Tokenizer:
        backend = self.tokenizer.backend
        front = tokenizers.Tokenizer(backend.model)  # the same model, not a copy
        for name in ("normalizer", "pre_tokenizer"):
            state = _unprefixed(_state(getattr(backend, name)), kind)
            if state is not None:
                setattr(front, name, _component(name, state))
        vocabulary = [
            (number, token)
            for number, token in sorted(backend.get_added_tokens_decoder().items())
            if number not in self.tokenizer.control_ids
        ]
        front.add_tokens([token for _, token in vocabulary])
        for number, token in vocabulary:
            renamed = front.token_to_id(token.content)
            if renamed is not None:
                self._renamed[renamed] = number
        return front


def _state(component: Any) -> Any:
    return None if component is None else json.loads(component.__getstate__())


def _component(name: str, state: Any) -> Any:
    """A normaliser or pre-tokenizer from its JSON: the library reads it as part of a whole."""
    whole = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "model": {"type": "BPE", "vocab": {}, "merges": []},
        name: state,
    }
    return getattr(tokenizers.Tokenizer.from_str(json.dumps(whole)), name)


def _unprefixed(state: Any, kind: Kind) -> Any:
    """The component without the space it would put before a piece of this kind."""
    if state is None or kind == "first":
        return state
    if state["type"] == "Sequence":
        key = "normalizers" if "normalizers" in state else "pretokenizers"
        parts = [_unprefixed(part, kind) for part in state[key]]
        return {**state, key: [part for part in parts if part is not None]}
    if state["type"] == "Metaspace" and (kind == "cut" or state["prepend_scheme"] == "first"):
        return {**state, "prepend_scheme": "never"}
    if kind == "cut" and state["type"] == "Prepend":
        return None
    if kind == "cut" and state["type"] == "ByteLevel":
        return {**state, "add_prefix_space": False}
    return state


def spelt_bytes(token: str) -> bytes:
    """The bytes that a token of a byte-level vocabulary spells; its other characters as UTF-8."""
    moved = token.translate(_byte_table())
    try:
        return moved.encode("latin-1")
    except UnicodeEncodeError:
        pairs = zip(token, moved, strict=True)
        return b"".join(
            (byte.encode("latin-1") if byte < "\u0100" else char.encode()) for char, byte in pairs
        )


@functools.cache
def _byte_table() -> dict[int, int]:
    """The characters that spell other bytes than their own in byte-level vocabularies (GPT-2).

    Those above ASCII that spell no byte are moved out of the way.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {256 + place: byte for place, byte in enumerate(others)}
    return table | {byte: 0xFFFF for byte in others if byte > 127}
