"""What tokens decode to, as one table: asked for many tokens at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
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
