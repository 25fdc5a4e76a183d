"""Tokenizers written in Python, which give ids and no offsets (transformers' slow ones).

Their texts are encoded piece by piece, the template's own control tokens between them, and every
boundary is proven by ids alone: the tokens of the text before it must be the first of the tokens.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from templates.encoding.pieces import Encoded, Kind, Piece, Pieces, spelt_bytes
from templates.encoding.tokenizer import Tokenizer

BROKEN = "\ufffd"  # what a decoder says for part of a character
MAX_WAITING = 16  # tokens of one character


class Foreign:
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
        known = [number for number in ids if number >= 0]  # -1 is a token without an id
        text: str = self.inner.decode(known, clean_up_tokenization_spaces=False)
        return text

    def token_to_id(self, text: str) -> int | None:
        number: int | None = self.inner.get_vocab().get(text)
        return number

    def id_to_token(self, number: int) -> str | None:
        token: str | None = self.inner.convert_ids_to_tokens(number) if number >= 0 else None
        return token

    def get_added_tokens_decoder(self) -> dict[int, Any]:
        return dict(self.inner.added_tokens_decoder)

    def get_vocab_size(self, with_added_tokens: bool = True) -> int:
        return len(self.inner) if with_added_tokens else int(self.inner.vocab_size)

    def to_str(self) -> str:
        """What its hash is made of: the class and the vocabulary."""
        vocabulary = sorted(self.inner.get_vocab().items())
        return json.dumps([type(self.inner).__name__, vocabulary], ensure_ascii=False)


class ForeignPieces(Pieces):
    """Pieces of a tokenizer that is one whole: all kinds of pieces are encoded alike."""

    def __init__(self, tokenizer: Tokenizer, backend: Foreign) -> None:
        self.tokenizer = tokenizer
        self._backend = backend
        self._texts = {}

    def text(self, number: int) -> bytes:
        token = self._backend.id_to_token(number) or ""
        if number in self._added:
            return token.encode()
        said = self._backend.decode([number])
        return said.encode() if said and BROKEN not in said else _bytes_of(token)

    def encode(self, text: str, pieces: Sequence[Piece]) -> Encoded:
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for piece in pieces:
            if piece.id is not None:
                ids.append(piece.id)
                offsets.append((piece.start, piece.stop))
                continue
            found = self._backend.encode(text[piece.start : piece.stop]).ids
            ids += found
            offsets += self._offsets(found, text, piece)
        return Encoded(ids, offsets)

    def _offsets(self, ids: Sequence[int], text: str, piece: Piece) -> list[tuple[int, int]]:
        """Where each token stands: for display, and for tokens across a boundary.

        Tokens that are parts of a character wait until one ends it; all then stand for it.
        """
        low, found, waiting = piece.start, list[tuple[int, int]](), list[int]()
        for number in ids:
            waiting.append(number)
            said = b"".join(map(self.text, waiting)).decode(errors="replace")
            high = low + len(said)
            if text[low:high] != said:  # a space before it that the tokenizer leaves out
                high += 1
            if high <= piece.stop and text[low:high].removeprefix(" ") == said.removeprefix(" "):
                found += [(low, high)] * len(waiting)
                low, waiting = high, []
            elif len(waiting) > MAX_WAITING:
                break
        return found + [(low, piece.stop)] * (len(ids) - len(found))

    def encode_batch(self, kind: Kind, texts: Sequence[str]) -> list[list[int]]:
        return [self._backend.encode(text).ids for text in texts]

    def surface(self, text: str, pieces: Sequence[Piece]) -> bytes:
        """The text; a space that opens a piece is left out, as such tokenizers may add one."""
        return b"".join(
            text[piece.start : piece.stop]
            .removeprefix("" if piece.id is not None else " ")
            .encode()
            for piece in pieces
        )

    def shown(self, ids: Sequence[int]) -> bytes:
        """What ids say, stretch by stretch between control tokens, in the same spelling."""
        controls = self.tokenizer.control_ids
        said = []
        for control, stretch in groupby(ids, lambda number: number in controls):
            if control:
                said += [self.text(number).decode() for number in stretch]
            else:
                said.append(self._backend.decode(list(stretch)).removeprefix(" "))
        return "".join(said).encode()


def _bytes_of(token: str) -> bytes:
    """The bytes that a token spells which is part of a character: `<0xE9>`, or one char a byte."""
    match = re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", token)
    if match:
        return bytes([int(match[1], 16)])
    return b"".join(
        char.encode("latin-1") if char < "\u0100" else spelt_bytes(char) for char in token
    )


def python_tokenizer(
    inner: Any,
    special: Mapping[str, str],
    eos_ids: Sequence[int] = (),
    chat_templates: Mapping[str, str] | None = None,
    name: str = "given",
    origin: Mapping[str, str] | None = None,
) -> Tokenizer:
    """A `Tokenizer` around one that is written in Python; the arguments as for a fast one."""
    backend = Foreign(inner)
    known = {backend.token_to_id(special.get("eos_token", "")), *eos_ids}
    eos = tuple(sorted(number for number in known if number is not None and number >= 0))
    bos = backend.token_to_id(special.get("bos_token", ""))
    written = json.dumps([backend.to_str(), dict(special), eos], sort_keys=True)
    return Tokenizer(
        name,
        backend,
        dict(special),
        eos,
        dict(chat_templates or {}),
        bos is not None and bos in inner("a")["input_ids"],
        hashlib.sha256(written.encode()).hexdigest(),
        dict(origin or {"given": name}),
    )
