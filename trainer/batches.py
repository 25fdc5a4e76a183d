"""Which rows are held out, which form a step, and how they are padded.

All of it is a pure function of the rows, the seed, the epoch and the step.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainer.data import IGNORED, Ints, Rows


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows padded on the right to one length: `input_ids` [rows, positions].

    No mask is needed: under causal attention a padding position comes after every real one and
    is seen by none. `at` [targets] are the trained positions in the flattened batch, `targets`
    [targets] what they must predict, `row_of` [targets] the row of the batch they belong to.
    """

    rows: Ints
    input_ids: Ints
    at: Ints
    targets: Ints
    row_of: Ints


def split(rows: Rows, usable: Ints, share: float, seed: int) -> tuple[Ints, Ints]:
    """Row numbers to train and to hold out, each in file order.

    Rows with the same id, or the same tokens, form a group, and a group is never divided.
    Groups enter the held-out side in the order of a hash of seed and id, so the choice does not
    depend on the order of the file. With a share above 0 and at least two groups the held-out
    side has at least one row, and the training side always has.
    """
    groups = _groups(rows, usable)
    wanted = max(1, round(share * len(usable))) if share > 0 else 0
    # One hash for each group: a Python loop, because hashlib works on one value at a time.
    ranked = sorted(groups, key=lambda group: _rank(seed, min(rows.ids[row] for row in group)))
    held: list[int] = []
    taken = 0
    for group in ranked:
        fits = len(held) + len(group) <= wanted
        if fits and taken < len(ranked) - 1:
            held.extend(group)
            taken += 1
    if wanted and not held and len(ranked) > 1:
        smallest = min(len(group) for group in ranked)
        held.extend(next(group for group in ranked if len(group) == smallest))
    train = np.setdiff1d(usable, np.array(held, dtype=np.int64))
    return train, np.array(sorted(held), dtype=np.int64)


def _groups(rows: Rows, usable: Ints) -> list[list[int]]:
    """Rows connected by an equal id or by equal tokens, as lists of row numbers."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names: dict[tuple[str, object], int] = {}
    edges = []
    # Python loop: the tokens of a row are hashed as one value.
    for row in usable.tolist():
        keys = (("id", rows.ids[row]), ("tokens", rows.input_ids[rows.row(row)].tobytes()))
        edges.append([names.setdefault(key, len(names)) for key in keys])
    if not edges:
        return []
    ends = np.array(edges, dtype=np.int64)
    size = len(names)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = {}
    for row, name in zip(usable.tolist(), ends[:, 0].tolist(), strict=True):
        groups.setdefault(int(component[name]), []).append(row)
    return list(groups.values())


def _rank(seed: int, row_id: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{row_id}".encode(), digest_size=16).digest()


def epoch_order(count: int, seed: int, epoch: int) -> Ints:
    """A permutation of `count` rows that depends on nothing but seed and epoch.

    Rows are sorted by a hash of (seed, epoch, row), not drawn from a generator, so the order is
    the same under every NumPy version.
    """
    key = mix(np.array([seed], dtype=np.uint64)) ^ mix(np.array([~epoch & _WORD], dtype=np.uint64))
    order: Ints = np.argsort(mix(mix(np.arange(count, dtype=np.uint64)) ^ key), kind="stable")
    return order


def step_rows(train: Ints, order: Ints, batch: int, step: int) -> Ints:
    """The rows of step `step` (from 0) of the epoch with this order; the last may be short."""
    rows: Ints = train[order[step * batch : (step + 1) * batch]]
    return rows


_WORD = 0xFFFFFFFFFFFFFFFF


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64 of each value (Steele, Lea, Flood 2014); arithmetic wraps around."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def step_seed(seed: int, step: int) -> int:
    """The random seed of one optimizer step, so that dropout too is a function of the step."""
    return int(mix(mix(np.array([seed], dtype=np.uint64)) + np.uint64(step))[0])


def batches(rows: Rows, chosen: Ints, micro_tokens: int) -> Iterator[Batch]:
    """The chosen rows in padded batches of at most `micro_tokens` positions, longest first.

    Neighbours in length share a batch, so little is padding; a row longer than the limit is a
    batch of its own. Longest first, so that a lack of memory shows at once.
    """
    lengths = rows.lengths[chosen]
    by_length = chosen[np.argsort(-lengths, kind="stable")]
    start = 0
    while start < len(by_length):
        longest = int(rows.lengths[by_length[start]])
        count = max(1, micro_tokens // max(1, longest))
        yield pad(rows, by_length[start : start + count])
        start += count


def pad(rows: Rows, chosen: Ints) -> Batch:
    """One batch of these rows; padding follows from position alone, never from a token's id."""
    starts, lengths = rows.offsets[chosen], rows.lengths[chosen]
    column = np.arange(int(lengths.max()))
    real = column < lengths[:, None]
    source = np.where(real, starts[:, None] + column, starts[:, None])
    targets = np.where(real, rows.targets[source], IGNORED)
    row_of, position = np.nonzero(targets != IGNORED)
    return Batch(
        rows=chosen,
        input_ids=np.where(real, rows.input_ids[source], 0),
        at=row_of * targets.shape[1] + position,
        targets=targets[row_of, position],
        row_of=row_of,
    )
