"""The tokens of many texts end to end, so that checks on all of them are array operations."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from templates.tokenizer.token_bytes import TokenBytes


class TokenBatch:
    """The ids of a batch: text `i` has `ids[bounds[i]:bounds[i + 1]]`."""

    def __init__(self, rows: Sequence[NDArray[np.int32]]) -> None:
        self.ids = np.concatenate([np.zeros(0, np.int64), *rows])
        self.bounds = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])

    def places_of(self, wanted: frozenset[int]) -> list[list[int]]:
        """Where each text has one of these ids, as places in that text."""
        top = max(wanted, default=0) + 1
        known = np.zeros(top + 1, np.bool_)
        known[list(wanted)] = True
        places = np.flatnonzero(known[np.minimum(self.ids, top)])
        cuts = np.searchsorted(places, self.bounds).tolist()
        owner = np.searchsorted(self.bounds, places, side="right") - 1
        local = (places - self.bounds[owner]).tolist()
        return [local[low:high] for low, high in pairwise(cuts)]


class Spelled:
    """What the tokens of a batch decode to."""

    def __init__(self, batch: TokenBatch, table: TokenBytes) -> None:
        self._texts, ends = table.spell(batch.ids)
        before = np.concatenate([[0], ends])
        self._ends = memoryview(before.data)  # read number by number, which is slow for an array
        self._bounds: list[int] = batch.bounds.tolist()
        self._starts: list[int] = before[batch.bounds].tolist()

    def shift(self, row: int, raw: bytes) -> int | None:
        """0 if a row's tokens decode to this text, 1 if to a space and this text, else None."""
        text = self._texts[self._starts[row] : self._starts[row + 1]]
        if text == raw:
            return 0
        return 1 if text[1:] == raw and text[:1] == b" " else None

    def bytes_before(self, row: int, token: int) -> int:
        """How much of a row's text stands before one of its tokens."""
        ends: int = self._ends[self._bounds[row] + token]
        return ends - self._starts[row]

    def tokens_before(self, row: int, size: int) -> int | None:
        """The tokens that spell the first `size` bytes of a row's text; None if one goes on."""
        low, high = self._bounds[row], self._bounds[row + 1]
        wanted = self._starts[row] + size
        token = bisect_left(self._ends, wanted, low, high + 1)
        return token - low if token <= high and self._ends[token] == wanted else None
