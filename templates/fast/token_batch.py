"""The tokens of many texts end to end, so that checks on all of them are array operations."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from templates.tokenizer.segments import Segments

Ints = NDArray[np.int64]


class Ragged:
    """Rows of different lengths in one buffer, found by number; filled as they are first met."""

    def __init__(self, kind: type[np.generic]) -> None:
        self._start = np.zeros(0, np.int64)
        self._length = np.full(0, -1, np.int64)
        self._buffer = np.zeros(0, kind)

    def missing(self, numbers: Ints) -> Ints:
        """The numbers that have no row yet, each once."""
        self._grow(numbers)
        return np.unique(numbers[self._length[numbers] < 0])

    def _grow(self, numbers: Ints) -> None:
        grown = int(numbers.max()) + 1 - len(self._length) if len(numbers) else 0
        if grown > 0:
            self._start = np.append(self._start, np.zeros(grown, np.int64))
            self._length = np.append(self._length, np.full(grown, -1, np.int64))

    def put(self, numbers: Ints, rows: Sequence[Sequence[int]]) -> None:
        """Enter the rows of numbers that have none."""
        self._grow(numbers)
        lengths = np.array([len(row) for row in rows], np.int64)
        self._length[numbers] = lengths
        self._start[numbers] = len(self._buffer) + np.cumsum(lengths) - lengths
        added = np.fromiter(chain.from_iterable(rows), self._buffer.dtype)
        self._buffer = np.append(self._buffer, added)

    def gather(self, numbers: Ints) -> tuple[NDArray[Any], Ints]:
        """The rows of the numbers end to end, and where each ends."""
        lengths = self._length[numbers]
        ends = np.cumsum(lengths)
        total = int(ends[-1]) if len(ends) else 0
        places = np.arange(total) + np.repeat(self._start[numbers] - (ends - lengths), lengths)
        return self._buffer[places], ends


class TokenBytes:
    """What each token decodes to, as bytes."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._table = Ragged(np.uint8)

    def spell(self, ids: Ints) -> tuple[bytes, Ints]:
        """The texts of all tokens joined, and where each token's text ends in it."""
        new = self._table.missing(ids)
        if len(new):
            self._table.put(new, [self._segments.text(number) for number in new.tolist()])
        texts, ends = self._table.gather(ids)
        return texts.tobytes(), ends


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
