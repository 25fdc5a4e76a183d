"""A tokenizer taken apart, so that content is never a control token; and what a token decodes to.

A text that the template wrote falls into segments at its own control tokens. Where content spells
a control token, or a boundary must be cut, the segments are encoded one by one with a tokenizer
that knows no control tokens.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import tokenizers


class Control(NamedTuple):
    """An added token that steers a model; text of the same spelling is not the token."""

    text: str
    id: int
    lstrip: bool
    rstrip: bool
    single_word: bool


class ControlTokenSpan(NamedTuple):
    """A control token that the template wrote: characters `start` to `stop` of the text."""

    start: int
    stop: int
    id: int


# A segment starts the text, follows a control token, or goes on after a cut. Tokenizers that put
# a space before a text do so for the first or the first two kinds, never for the third.
Kind = Literal["first", "after", "cut"]


class Segment(NamedTuple):
    """Characters `start` to `stop`: a control token (`id` given), or text of some kind."""

    start: int
    stop: int
    kind: Kind
    id: int | None = None


class Encoded(NamedTuple):
    """Token ids and the characters of the text that each stands for."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class Segments:
    """A tokenizer taken apart: its model behind three front ends, and the text of its tokens."""

    def __init__(self, backend: Any, controls: Mapping[str, Control]) -> None:
        self._backend = backend
        self._controls = controls
        self._control_ids = frozenset(control.id for control in controls.values())
        self._texts: dict[int, bytes] = {}
        self._read_parts()

    def _read_parts(self) -> None:
        """How tokens are spelt, and which front ends there can be."""
        backend = self._backend
        parts = (backend.normalizer, backend.pre_tokenizer)
        written = json.dumps([component_state(part) for part in parts], ensure_ascii=False)
        self._metaspace = "▁" in written
        self._byte_level = '"ByteLevel"' in written
        fallback = getattr(backend.model, "byte_fallback", None)  # Unigram does not tell
        known = backend.token_to_id("<0x00>") is not None
        self._byte_fallback = known if fallback is None else bool(fallback)
        self._fronts: dict[str, tokenizers.Tokenizer] = {}
        self._renamed: dict[int, int] = {}

    def token_texts(self, ids: Sequence[int]) -> list[bytes]:
        """What each token decodes to, as UTF-8; a token may hold part of a character.

        Where the tokenizer puts a space before a text, it is in them too.
        """
        texts = list(map(self._texts.get, ids))
        if None in texts:
            for number in ids:
                if number not in self._texts:
                    self._texts[number] = self.text(number)
            return self.token_texts(ids)
        return texts  # type: ignore[return-value]

    def decode(self, ids: Sequence[int]) -> bytes:
        """What the ids decode to, as UTF-8."""
        return b"".join(self.token_texts(ids))

    def text(self, number: int) -> bytes:
        """What one token decodes to."""
        token: str = self._backend.id_to_token(number) or ""
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
        return frozenset(self._backend.get_added_tokens_decoder())

    def split(self, text: str, own: Sequence[ControlTokenSpan]) -> list[Segment]:
        """The segments of a text, white space that a control token swallows left out."""
        segments: list[Segment] = []
        length = len(text)
        kind: Kind = "first"
        start = 0
        for token in own:
            control = self._controls[text[token.start : token.stop]]
            low, high = token.start, token.stop
            if control.lstrip:
                low = start + len(text[start:low].rstrip())
            if control.rstrip:
                high = length - len(text[high:].lstrip())
            if start < low:
                segments.append(Segment(start, low, kind))
            segments.append(Segment(token.start, token.stop, "after", token.id))
            start, kind = high, "after"
        if start < length:
            segments.append(Segment(start, length, kind))
        return segments

    def encode(self, text: str, segments: Sequence[Segment]) -> Encoded:
        """The ids of all segments: those of the whole text, unless data spells control tokens."""
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for segment in segments:
            if segment.id is not None:
                ids.append(segment.id)
                offsets.append((segment.start, segment.stop))
                continue
            encoded = self._encoded(text, segment)
            ids += encoded.ids
            offsets += encoded.offsets
        return Encoded(ids, offsets)

    def _encoded(self, text: str, segment: Segment) -> Encoded:
        first = segment.start
        encoded = self.front(segment.kind).encode(text[first : segment.stop])
        ids = [self._renamed.get(number, number) for number in encoded.ids]
        return Encoded(ids, [(low + first, high + first) for low, high in encoded.offsets])

    def encode_batch(self, kind: Kind, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many segments of one kind, on all cores."""
        batch = self.front(kind).encode_batch_fast(list(texts), add_special_tokens=False)
        return [[self._renamed.get(n, n) for n in encoding.ids] for encoding in batch]

    def surface(self, text: str, segments: Sequence[Segment]) -> bytes:
        """The text as the model behind the front ends gets it: normalised, spaces prefixed."""
        return b"".join(
            text[segment.start : segment.stop].encode()
            if segment.id is not None
            else self._surface(segment.kind, text[segment.start : segment.stop])
            for segment in segments
        )

    def _surface(self, kind: Kind, text: str) -> bytes:
        front = self.front(kind)
        if front.normalizer is not None:
            text = front.normalizer.normalize_str(text)
        if front.pre_tokenizer is not None:
            text = "".join(part for part, _ in front.pre_tokenizer.pre_tokenize_str(text))
        return text.encode()

    def shown(self, ids: Sequence[int]) -> bytes:
        """What ids decode to, in the same spelling as `surface`."""
        model = self._backend.model
        prefix = getattr(model, "continuing_subword_prefix", None) or ""
        suffix = getattr(model, "end_of_word_suffix", None) or ""
        return b"".join(self._shown(number, prefix, suffix) for number in ids)

    def _shown(self, number: int, prefix: str, suffix: str) -> bytes:
        token: str = self._backend.id_to_token(number) or ""
        if number in self._added and number in self._control_ids:
            return token.encode()
        if number in self._added:  # white space, spelt as the front end spells it
            return self._surface("cut", token)
        return self._unbyte(token.removeprefix(prefix).removesuffix(suffix))

    def front(self, kind: Kind) -> tokenizers.Tokenizer:
        """The tokenizer without control tokens, for one kind of segment."""
        if kind not in self._fronts:
            self._fronts[kind] = self._front(kind)
        return self._fronts[kind]

    def _front(self, kind: Kind) -> tokenizers.Tokenizer:
        backend = self._backend
        front = tokenizers.Tokenizer(backend.model)  # the same model, not a copy
        for name in ("normalizer", "pre_tokenizer"):
            state = _unprefixed(component_state(getattr(backend, name)), kind)
            if state is not None:
                setattr(front, name, _component(name, state))
        vocabulary = [
            (number, token)
            for number, token in sorted(backend.get_added_tokens_decoder().items())
            if number not in self._control_ids
        ]
        front.add_tokens([token for _, token in vocabulary])
        for number, token in vocabulary:
            renamed = front.token_to_id(token.content)
            if renamed is not None:
                self._renamed[renamed] = number
        return front


def component_state(component: Any) -> Any:
    """The JSON of a normaliser or pre-tokenizer; None without one."""
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
    """The component without the space it would put before a segment of this kind."""
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
