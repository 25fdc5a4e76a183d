"""Whole texts encoded, many at once: by pretokens where that is proven, else by the library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from templates.fast.pending import BoundaryContext, PendingEncoding
from templates.fast.pretokens import PretokenCache
from templates.tokenizer.segments import Kind
from templates.tokenizer.tokenizer import Tokenizer

MAX_CONTEXTS = 4_000


class BatchIds(NamedTuple):
    """The ids of a batch of texts; offsets of those that the library encoded; ids of contexts."""

    ids: list[NDArray[np.int32]]
    encodings: dict[int, Encoding]
    prompts: dict[BoundaryContext, list[int]]


class BatchEncoder:
    """A tokenizer for whole texts; remembers the ids of pretokens and contexts seen before.

    Not to be shared between threads.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._pretokens = PretokenCache.of(tokenizer)
        self._contexts: dict[BoundaryContext, list[int]] = {}

    def encode(self, batch: Sequence[PendingEncoding]) -> BatchIds:
        """The whole texts encoded, unreadable ones and those to be cut as nothing."""
        if not self.tokenizer.has_offsets:  # all are encoded segment by segment
            return BatchIds([np.zeros(0, np.int32)] * len(batch), {}, {})
        rows = self._by_pretokens(batch)
        left = [number for number, row in enumerate(rows) if row is None]
        texts = []
        for number in left:
            pending = batch[number]
            pending.read = pending.raw is not None and not pending.known_cuts
            texts.append(pending.verified.text if pending.read else "")
        encodings = self.tokenizer.backend.encode_batch(texts, add_special_tokens=False)
        by_row = dict(zip(left, encodings, strict=True))
        ids = [
            np.array(by_row[n].ids, np.int32) if row is None else row for n, row in enumerate(rows)
        ]
        return BatchIds(ids, by_row, self._prompts([pending for pending in batch if pending.read]))

    def encode_segments(self, kind: Kind, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many segments of one kind: by pretokens, or by the library on all cores."""
        known = self._pretokens
        rows = known.encode(texts, plain=True) if known else [None] * len(texts)
        left = [text for text, row in zip(texts, rows, strict=True) if row is None]
        others = iter(self.tokenizer.segments.encode_batch(kind, left))
        return [next(others) if row is None else row.tolist() for row in rows]

    def _by_pretokens(self, batch: Sequence[PendingEncoding]) -> list[NDArray[np.int32] | None]:
        """The ids of the texts that can be encoded by pretokens, cut where they must be."""
        if self._pretokens is None:
            return [None] * len(batch)
        texts = ["" if pending.raw is None else pending.verified.text for pending in batch]
        cuts = [pending.crossed if pending.known_cuts else [] for pending in batch]
        coded = [
            self._pretokens.coded(text, pending.own, places) if text else ""
            for text, pending, places in zip(texts, batch, cuts, strict=True)
        ]
        marks = [
            len(pending.own) + len(places) for pending, places in zip(batch, cuts, strict=True)
        ]
        rows = self._pretokens.encode(texts, coded, marks)
        for pending, row in zip(batch, rows, strict=True):
            pending.read = pending.by_pretokens = row is not None
        return rows

    def _prompts(self, batch: Sequence[PendingEncoding]) -> dict[BoundaryContext, list[int]]:
        """The ids of what proves where trained texts start; template text is remembered."""
        for pending in batch:
            pending.find_contexts()
        wanted = dict.fromkeys(context for pending in batch for context in pending.contexts)
        known = {one: ids for one in wanted if (ids := self._contexts.get(one)) is not None}
        new = [one for one in wanted if one not in known]
        whole = [one for one in new if not one.control and one.text]
        if self._pretokens and whole:
            rows = self._pretokens.encode([one.text for one in whole])
            pairs = zip(whole, rows, strict=True)
            known |= {one: row.tolist() for one, row in pairs if row is not None}
            new = [one for one in new if one not in known]
        known |= self._learn(new)
        if len(self._contexts) > MAX_CONTEXTS:
            self._contexts.clear()
        self._contexts |= {one: known[one] for one in new if one.control}
        return known

    def _learn(self, contexts: Sequence[BoundaryContext]) -> dict[BoundaryContext, list[int]]:
        joining = [one for one in contexts if one.control is not None]
        texts = [f"{one.control}{one.text}" for one in joining]
        batch = self.tokenizer.backend.encode_batch_fast(texts, add_special_tokens=False)
        learnt = {
            one: encoding.ids[1:] if one.control else encoding.ids
            for one, encoding in zip(joining, batch, strict=True)
        }
        cut = [one for one in contexts if one.control is None]
        ids = self.encode_segments("cut", [one.text for one in cut])
        return learnt | dict(zip(cut, ids, strict=True))
