"""Tokenizers written in Python, which give ids and no offsets (transformers' slow ones).

Their texts are encoded segment by segment, the template's own control tokens between them, and
every boundary is proven by ids alone: the tokens of the text before it must be the first ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from templates.tokenizer.segments import Encoded, Kind, Segment, Segments, spelt_bytes

BROKEN = "\ufffd"  # what a decoder says for part of a character
MAX_WAITING = 16  # tokens of one character


class SlowTokenizer:
    """A Python tokenizer in the place of one of the `tokenizers` library.

    `inner` is a tokenizer as transformers writes them: `tokenize`, `convert_tokens_to_ids`,
    `convert_ids_to_tokens`, `decode`, `added_tokens_decoder`, `get_vocab`.
    """

    normalizer = pre_tokenizer = model = None

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def encode(self, text: str, add_special_tokens: bool = False) -> Encoded:
        """The ids of a text in which nothing is a control token."""
        tokens = self.inner.tokenize(text, split_special_tokens=True) if text else []
        ids = self.inner.convert_tokens_to_ids(tokens)
        return Encoded([-1 if number is None else number for number in ids], [])

    def decode(self, ids: Sequence[int]) -> str:
        """What the ids decode to, as text."""
        known = [number for number in ids if number >= 0]  # -1 is a token without an id
        text: str = self.inner.decode(known, clean_up_tokenization_spaces=False)
        return text

    def token_to_id(self, text: str) -> int | None:
        """The id of a token; None for what is none."""
        number: int | None = self.inner.get_vocab().get(text)
        return number

    def id_to_token(self, number: int) -> str | None:
        """The token of an id; None for what is none."""
        token: str | None = self.inner.convert_ids_to_tokens(number) if number >= 0 else None
        return token

    def get_added_tokens_decoder(self) -> dict[int, Any]:
        """The added tokens by id."""
        return dict(self.inner.added_tokens_decoder)

    def get_vocab_size(self, with_added_tokens: bool = True) -> int:
        """How many tokens there are."""
        return len(self.inner) if with_added_tokens else int(self.inner.vocab_size)

    def to_str(self) -> str:
        """What its hash is made of: the class and the vocabulary."""
        vocabulary = sorted(self.inner.get_vocab().items())
        return json.dumps([type(self.inner).__name__, vocabulary], ensure_ascii=False)


class SlowSegments(Segments):
    """Segments of a tokenizer that is one whole: all kinds of segments are encoded alike."""

    def _read_parts(self) -> None:
        """There are none: such a tokenizer is one whole."""

    def text(self, number: int) -> bytes:
        """What one token decodes to."""
        token = self._backend.id_to_token(number) or ""
        if number in self._added:
            return token.encode()
        decoded = self._backend.decode([number])
        return decoded.encode() if decoded and BROKEN not in decoded else _bytes_of(token)

    def _encoded(self, text: str, segment: Segment) -> Encoded:
        ids = self._backend.encode(text[segment.start : segment.stop]).ids
        return Encoded(ids, self._offsets(ids, text, segment))

    def _offsets(self, ids: Sequence[int], text: str, segment: Segment) -> list[tuple[int, int]]:
        """Where each token stands: for display, and for tokens across a boundary.

        Tokens that are parts of a character wait until one ends it; all then stand for it.
        """
        low, found, waiting = segment.start, list[tuple[int, int]](), list[int]()
        for number in ids:
            waiting.append(number)
            shown = b"".join(map(self.text, waiting)).decode(errors="replace")
            high = low + len(shown)
            if text[low:high] != shown:  # a space before it that the tokenizer leaves out
                high += 1
            if high <= segment.stop and text[low:high].removeprefix(" ") == shown.removeprefix(" "):
                found += [(low, high)] * len(waiting)
                low, waiting = high, []
            elif len(waiting) > MAX_WAITING:
                break
        return found + [(low, segment.stop)] * (len(ids) - len(found))

    def encode_batch(self, kind: Kind, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many segments, one by one."""
        return [self._backend.encode(text).ids for text in texts]

    def surface(self, text: str, segments: Sequence[Segment]) -> bytes:
        """The text; a space that opens a segment is left out, as such tokenizers may add one."""
        return b"".join(
            text[segment.start : segment.stop]
            .removeprefix("" if segment.id is not None else " ")
            .encode()
            for segment in segments
        )

    def shown(self, ids: Sequence[int]) -> bytes:
        """What ids decode to, stretch by stretch between control tokens, in the same spelling."""
        parts = []
        for control, stretch in groupby(ids, lambda number: number in self._control_ids):
            if control:
                parts += [self.text(number).decode() for number in stretch]
            else:
                parts.append(self._backend.decode(list(stretch)).removeprefix(" "))
        return "".join(parts).encode()


def _bytes_of(token: str) -> bytes:
    """The bytes that a token spells which is part of a character: `<0xE9>`, or one char a byte."""
    match = re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", token)
    if match:
        return bytes([int(match[1], 16)])
    return b"".join(
        char.encode("latin-1") if char < "\u0100" else spelt_bytes(char) for char in token
    )
