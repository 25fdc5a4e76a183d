"""Whole texts encoded, many at once: by words where that is proven, else by the library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from templates.encoding.draft import Draft, Tail
from templates.encoding.tokenizer import Tokenizer
from templates.encoding.words import Words

if TYPE_CHECKING:
    from tokenizers import Encoding

MAX_TAILS = 4_000


class Encoded(NamedTuple):
    """The ids of a batch of texts; offsets of those that the library encoded; ids of prompts."""

    ids: list[NDArray[np.int32]]
    encodings: dict[int, Encoding]
    prompts: dict[Tail, list[int]]


class Whole:
    """A tokenizer for whole texts; remembers the tokens of words and headers seen before."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._words = Words.of(tokenizer)
        self._tails: dict[Tail, list[int]] = {}

    def encode(self, drafts: Sequence[Draft]) -> Encoded:
        """The whole texts encoded, unreadable ones and those to be cut as nothing."""
        if not self.tokenizer.has_offsets:  # all are encoded piece by piece
            return Encoded([np.zeros(0, np.int32)] * len(drafts), {}, {})
        rows = self._by_words(drafts)
        left = [number for number, row in enumerate(rows) if row is None]
        texts = []
        for number in left:
            draft = drafts[number]
            draft.read = draft.raw is not None and not draft.known_cuts
            texts.append(draft.proof.text if draft.read else "")
        batch = self.tokenizer.backend.encode_batch(texts, add_special_tokens=False)
        by_row = dict(zip(left, batch, strict=True))
        ids = [
            np.array(by_row[n].ids, np.int32) if row is None else row for n, row in enumerate(rows)
        ]
        return Encoded(ids, by_row, self._prompts([draft for draft in drafts if draft.read]))

    def _by_words(self, drafts: Sequence[Draft]) -> list[NDArray[np.int32] | None]:
        """The ids of the texts that can be encoded by words, cut where they must be."""
        if self._words is None:
            return [None] * len(drafts)
        texts = ["" if draft.raw is None else draft.proof.text for draft in drafts]
        cuts = [draft.crossed if draft.known_cuts else [] for draft in drafts]
        coded = [
            self._words.coded(text, draft.own, places) if text else ""
            for text, draft, places in zip(texts, drafts, cuts, strict=True)
        ]
        marks = [len(draft.own) + len(places) for draft, places in zip(drafts, cuts, strict=True)]
        rows = self._words.encode(texts, coded, marks)
        for draft, row in zip(drafts, rows, strict=True):
            draft.read = draft.by_words = row is not None
        return rows

    def _prompts(self, drafts: Sequence[Draft]) -> dict[Tail, list[int]]:
        """The ids of what proves each region's start; those of headers are remembered."""
        for draft in drafts:
            draft.find_tails()
        wanted = dict.fromkeys(tail for draft in drafts for tail in draft.tails)
        known = {tail: ids for tail in wanted if (ids := self._tails.get(tail)) is not None}
        new = [tail for tail in wanted if tail not in known]
        words = self._words
        whole = [tail for tail in new if words and not tail.control and tail.text]
        if words and whole:
            texts = [tail.text for tail in whole]
            rows = words.encode(texts)
            known |= {
                t: row.tolist() for t, row in zip(whole, rows, strict=True) if row is not None
            }
            new = [tail for tail in new if tail not in known]
        known |= self._learn(new)
        if len(self._tails) > MAX_TAILS:
            self._tails.clear()
        self._tails |= {tail: known[tail] for tail in new if tail.control}
        return known

    def _learn(self, tails: Sequence[Tail]) -> dict[Tail, list[int]]:
        joining = [tail for tail in tails if tail.control is not None]
        texts = [f"{tail.control}{tail.text}" for tail in joining]
        batch = self.tokenizer.backend.encode_batch_fast(texts, add_special_tokens=False)
        found = {
            tail: encoding.ids[1:] if tail.control else encoding.ids
            for tail, encoding in zip(joining, batch, strict=True)
        }
        cut = [tail for tail in tails if tail.control is None]
        ids = self.tokenizer.pieces.encode_batch("cut", [tail.text for tail in cut])
        return found | dict(zip(cut, ids, strict=True))
