"""The tokens of many texts end to end, so that checks on all of them are array operations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from templates.pieces import Pieces

Ints = NDArray[np.int64]


class TokenBytes:
    """What each token says, as slices of one buffer; filled as tokens are first seen."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._start = np.zeros(0, np.int64)
        self._length = np.full(0, -1, np.int64)
        self._buffer = np.zeros(0, np.uint8)

    def spell(self, ids: Ints) -> tuple[bytes, Ints]:
        """The texts of all tokens joined, and where each token's text ends in it."""
        self._learn(ids)
        lengths = self._length[ids]
        ends = np.cumsum(lengths)
        total = int(ends[-1]) if len(ends) else 0
        places = np.arange(total) + np.repeat(self._start[ids] - (ends - lengths), lengths)
        return self._buffer[places].tobytes(), ends

    def _learn(self, ids: Ints) -> None:
        grown = int(ids.max()) + 1 - len(self._length) if len(ids) else 0
        if grown > 0:
            self._start = np.append(self._start, np.zeros(grown, np.int64))
            self._length = np.append(self._length, np.full(grown, -1, np.int64))
        new = np.unique(ids[self._length[ids] < 0])
        if not len(new):
            return
        texts = [self._pieces.text(number) for number in new.tolist()]
        lengths = np.array([len(text) for text in texts], np.int64)
        self._length[new] = lengths
        self._start[new] = len(self._buffer) + np.cumsum(lengths) - lengths
        added = np.frombuffer(b"".join(texts), np.uint8)
        self._buffer = np.append(self._buffer, added)


class Flat:
    """The ids of a batch: text `i` has `ids[bounds[i]:bounds[i + 1]]`."""

    def __init__(self, rows: Sequence[list[int]]) -> None:
        self.ids = np.fromiter(chain.from_iterable(rows), np.int64)
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
    """What the tokens of a batch say."""

    def __init__(self, flat: Flat, table: TokenBytes) -> None:
        said, ends = table.spell(flat.ids)
        self._said = said
        self._ends = np.concatenate([[0], ends])
        self._bounds: list[int] = flat.bounds.tolist()
        self._starts: list[int] = self._ends[flat.bounds].tolist()

    def shift(self, row: int, raw: bytes) -> int | None:
        """0 if a row's tokens say this text, 1 if they say it after a space, else None."""
        said = self._said[self._starts[row] : self._starts[row + 1]]
        if said == raw:
            return 0
        return 1 if said[1:] == raw and said[:1] == b" " else None

    def bytes_before(self, row: int, token: int) -> int:
        """How much of a row's text stands before one of its tokens."""
        return int(self._ends[self._bounds[row] + token]) - self._starts[row]
