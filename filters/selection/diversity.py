"""Choose rows that differ: k-center and DEITA's greedy, on unit vectors.

By products of blocks of vectors, never holding all pairs. Rows are given in the order in which
ties go. (Facility location has a file of its own.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from filters.common.arrays import F32, Bools, Floats, Ints
from filters.common.budget import Allowance

# float32 products of equal vectors differ in the seventh place, by how a library splits the work.
DIGITS = 6
_BLOCK = 512
# k-center: rows compared anew at once, and rows taken until all others are compared with them.
_FEW, _MANY, _SWEEP = 16, 512, 64


class Picks(NamedTuple):
    """Rows in the order in which they were taken, and their value at that moment."""

    rows: Ints
    values: Floats


class Greedy(NamedTuple):
    """`repr`: rows taken, and what became of the others.

    `similar_to` (n,) is the row taken before because of which one is passed over, else -1;
    `cosine` (n,) that to the nearest row taken before, NaN where there was none to compare with.
    """

    rows: Ints
    similar_to: Ints
    cosine: Floats


def k_center(vectors: F32, room: Allowance) -> Picks:
    """Take the row farthest from all taken so far (Gonzalez 1985; Sener & Savarese 2018).

    `vectors` (n, d) of unit length; the value is 1 - cosine to the nearest row taken before. The
    first is, of the rows that may be taken, the one nearest to the mean of all, with the value 2.
    Euclidean distance of unit vectors rises with 1 - cosine, so in it the covering radius is at
    most twice the least possible one for as many rows.
    """
    far = _Distances(vectors)
    values: list[float] = []
    while True:
        free = room.open()
        if not free.any():
            if not room.lift_shares():
                return Picks(np.array(far.taken, np.int64), np.array(values))
            continue
        row = far.farthest(free) if values else _central(vectors, free)
        values.append(float(far.bound[row]))
        room.take(row)
        far.take(row)


def _central(vectors: F32, free: Bools) -> int:
    """Of the rows that are `free` (n,; at least one) the one nearest to the mean of all."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    cosine = (vectors @ mean.astype(np.float32)).round(DIGITS)
    return int(np.where(free, cosine, -np.inf).argmax())


class _Distances:
    """1 - cosine to the nearest row taken: for each row as of when it was last compared.

    Distances only fall as rows are taken, so an older one is an upper bound, and only rows whose
    bound is the highest are compared anew. The result is that of comparing all rows each time.
    """

    def __init__(self, vectors: F32) -> None:
        self.vectors = vectors
        self.bound = np.full(len(vectors), 2.0)
        self.known = np.zeros(len(vectors), np.int64)  # how many taken rows the bound knows of
        self.taken: list[int] = []

    def take(self, row: int) -> None:
        self.taken.append(row)
        if len(self.taken) % _SWEEP == 0:
            for low in range(0, len(self.vectors), 8192):
                self._compare(np.arange(low, min(low + 8192, len(self.vectors))))

    def farthest(self, free: Bools) -> int:
        """The first of the rows that are farthest from all taken ones."""
        batch = _FEW
        while True:
            bound = np.where(free, self.bound, -np.inf)
            row = int(bound.argmax())
            if self.known[row] == len(self.taken):
                return row
            bound[self.known == len(self.taken)] = -np.inf
            count = min(batch, int(np.isfinite(bound).sum()))
            self._compare(np.sort(np.argpartition(-bound, count - 1)[:count]))
            batch = min(2 * batch, _MANY)

    def _compare(self, rows: Ints) -> None:
        fresh = self.vectors[self.taken[int(self.known[rows].min()) :]]
        if len(fresh):
            cosine = (self.vectors[rows] @ fresh.T).max(axis=1).astype(np.float64)
            self.bound[rows] = np.minimum(self.bound[rows], 1.0 - cosine.round(DIGITS))
        self.known[rows] = len(self.taken)


def deita_greedy(vectors: F32, threshold: float, room: Allowance) -> Greedy:
    """Walk down the rows; take one unless its cosine to a row already taken is above `threshold`.

    `vectors` (n, d) of unit length, best row first. The first that fits is always taken. A row is
    compared with rows that were taken, never with the whole pool, so of a near pair the better
    one is kept (Liu et al. 2024, arXiv 2312.15685; hkust-nlp/deita).
    """
    choice = _GreedyChoice(vectors, threshold, room)
    while True:
        for low in range(0, len(vectors), _BLOCK):
            part = slice(low, low + _BLOCK)
            rows = low + np.flatnonzero(room.open()[part] & (choice.similar_to[part] < 0))
            if len(rows):
                choice.decide(rows)
        if not room.lift_shares():
            return Greedy(np.array(choice.taken, np.int64), choice.similar_to, choice.cosine)


class _GreedyChoice:
    def __init__(self, vectors: F32, threshold: float, room: Allowance) -> None:
        self.vectors, self.threshold, self.room = vectors, threshold, room
        self.taken: list[int] = []
        self.similar_to = np.full(len(vectors), -1, np.int64)
        self.cosine = np.full(len(vectors), np.nan)

    def decide(self, rows: Ints) -> None:
        """A block of rows: against those taken before it at once, then one by one."""
        block = self.vectors[rows]
        at, cosine = nearest_of(block, self.vectors, np.array(self.taken, np.int64))
        alike = (block @ block.T).astype(np.float64).round(DIGITS)
        # Which rows of the block are taken depends on those before, hence a loop.
        for place, row in enumerate(rows.tolist()):
            if at[place] >= 0:
                self.cosine[row] = cosine[place]
            if cosine[place] > self.threshold:
                self.similar_to[row] = at[place]
            elif self.room.fits(row):
                self.room.take(row)
                self.taken.append(row)
                closer = alike[place] > cosine
                closer[: place + 1] = False
                cosine[closer], at[closer] = alike[place, closer], row


def nearest_of(vectors: F32, pool: F32, rows: Ints) -> tuple[Ints, Floats]:
    """For each vector (n, d) which of `pool[rows]` is nearest, the first of equals; the cosine.

    -1 and a cosine of -inf when there are no rows.
    """
    at = np.full(len(vectors), -1, np.int64)
    cosine = np.full(len(vectors), -np.inf)
    if not len(rows):
        return at, cosine
    chosen = pool[rows]
    for low in range(0, len(vectors), _BLOCK):
        block = (vectors[low : low + _BLOCK] @ chosen.T).astype(np.float64).round(DIGITS)
        place = block.argmax(axis=1)
        at[low : low + _BLOCK] = rows[place]
        cosine[low : low + _BLOCK] = np.minimum(block[np.arange(len(block)), place], 1.0)
    return at, cosine
