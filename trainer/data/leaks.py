"""Whether a held-out row has a near-copy among the trained ones: the split, checked once more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.data.rows import Ints, Rows
from trainer.data.split import SIMILAR, Words, big_sets, compared_parts, equal_keys, rare_runs

# Held-out rows compared at once.
_BLOCK = 256


def leaks(rows: Rows, train: Ints, held_out: Ints) -> Ints:
    """Held-out rows that have the id, tokens or prompt of a trained row, or nearly so.

    By the rules of `trainer.data.split`, but every pair that could be alike is compared, however
    many rows share a run, so this finds what a split missed or one made elsewhere divided. Row
    numbers, ascending.
    """
    usable = np.union1d(train, held_out).astype(np.int64)
    if not len(train) or not len(held_out):
        return np.zeros(0, np.int64)
    is_held = np.zeros(len(rows), np.bool_)
    is_held[held_out] = True
    is_leak = _equal(rows, usable, is_held)
    for lengths in compared_parts(rows):
        is_leak |= _alike(rows, *big_sets(rows, usable, lengths), is_held)
    return np.flatnonzero(is_leak)


def _equal(rows: Rows, usable: Ints, is_held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    keys = dict(zip(usable.tolist(), equal_keys(rows, usable), strict=True))
    trained = {key for row in usable[~is_held[usable]].tolist() for key in keys[row]}
    found = np.zeros(len(rows), np.bool_)
    for row in usable[is_held[usable]].tolist():
        found[row] = any(key in trained for key in keys[row])
    return found


def _alike(rows: Rows, keys: Words, owner: Ints, is_held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.sparse import csr_array

    found = np.zeros(len(rows), np.bool_)
    if not len(keys):
        return found
    sizes = np.bincount(owner, minlength=len(rows))
    column = np.unique(keys, return_inverse=True)[1]
    shape = (len(rows), int(column.max()) + 1)
    whole = csr_array((np.ones(len(keys), np.int32), (owner, column)), shape)
    run, row = rare_runs(keys, owner, sizes)
    rare = csr_array((np.ones(len(run), np.int32), (row, run)), shape)
    trained = np.flatnonzero(~is_held & (sizes > 0))
    held = np.flatnonzero(is_held & (sizes > 0))
    others = rare[trained].T.tocsr()
    for start in range(0, len(held), _BLOCK):
        mine = held[start : start + _BLOCK]
        maybe = (rare[mine] @ others).tocoo()
        left, right = mine[maybe.row], trained[maybe.col]
        may = np.minimum(sizes[left], sizes[right]) >= SIMILAR * np.maximum(
            sizes[left], sizes[right]
        )
        left, right = left[may], right[may]
        common = np.asarray(whole[left].multiply(whole[right]).sum(axis=1)).ravel()
        alike = common >= SIMILAR * (sizes[left] + sizes[right] - common) - 1e-9
        found[left[alike]] = True
    return found
