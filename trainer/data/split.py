"""Which rows are held out: never one whose near-copy is trained.

A held-out row that resembles a trained one measures memory, not learning. So rows are grouped
first, by what their tokens say, and a group is never divided.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainer.data.rows import IGNORED, Ints, Rows, count_by_row

# Jaccard similarity of token runs from which two prompts, or two whole rows, are one cluster: the
# threshold that near-duplicates usually have.
SIMILAR = 0.8
RUN = 3
# Fewer different runs than this are compared exactly: one word more or less decides too much.
FEWEST = 8
# A beginning that more rows than this share of all have (and more than ten), or more than half of
# a small set, is a template's or a system prompt, and is not compared.
TEMPLATE = 0.05
# Rows that share one rare run: up to so many are compared all with all; more with the first of
# them, those unlike it with the first of the rest, and so on for so many rounds.
HOT, HOT_ROUNDS = 256, 64

Words = NDArray[np.uint64]
Key = tuple[str, object]
_WORD = np.uint64(0x9E3779B97F4A7C15)


def split(rows: Rows, usable: Ints, share: float, seed: int) -> tuple[Ints, Ints]:
    """Row numbers to train and to hold out, each in file order.

    Rows with the same id, the same tokens, the same prompt (all before the first trained label,
    unless most rows have it), or a prompt or whole row of Jaccard similarity 0.8 or more, form a
    group, and a group is never divided. Groups enter the held-out side in the order of a hash of
    seed and id, so the choice does not depend on the order of the file; one that would
    make the side too large is passed over. With a share above 0 and at least two groups the
    held-out side has at least one row, and the training side always has.
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
        smallest = min(ranked, key=len)
        held.extend(smallest)
    train = np.setdiff1d(usable, np.array(held, dtype=np.int64))
    return train, np.array(sorted(held), dtype=np.int64)


def _rank(seed: int, row_id: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{row_id}".encode(), digest_size=16).digest()


def _groups(rows: Rows, usable: Ints) -> list[list[int]]:
    """Rows connected by any of the rules, as lists of row numbers."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(usable):
        return []
    links = [_equal(rows, usable), *(_alike(rows, usable, part) for part in compared_parts(rows))]
    left, right = (np.concatenate(ends) for ends in zip(*links, strict=True))
    size = len(rows)
    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = {}
    for row, name in zip(usable.tolist(), component[usable].tolist(), strict=True):
        groups.setdefault(name, []).append(row)
    return list(groups.values())


def compared_parts(rows: Rows) -> list[Ints]:
    """How many leading tokens of each row are compared: those of the prompt, and all."""
    return [prompt_lengths(rows), rows.lengths]


def prompt_lengths(rows: Rows) -> Ints:
    """Tokens before the first trained label of each row; all, where nothing is trained.

    >>> from trainer.data.rows import make_rows
    >>> prompt_lengths(make_rows(["a"], [[5, 6, 7]], [[-100, 6, 7]])).tolist()
    [1]
    """
    is_trained = rows.labels != IGNORED
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_trained)])
    row_of = np.repeat(np.arange(len(rows)), rows.lengths)
    not_yet = before[1:] == before[rows.offsets[:-1]][row_of]
    return count_by_row(not_yet, rows.offsets)


def _equal(rows: Rows, usable: Ints) -> tuple[Ints, Ints]:
    """Links from each row to the first with its id, its tokens, or its prompt."""
    first: dict[Key, int] = {}
    pairs = [
        (first.setdefault(key, row), row)
        for row, keys in zip(usable.tolist(), equal_keys(rows, usable), strict=True)
        for key in keys
    ]
    left, right = np.array(pairs, dtype=np.int64).T
    return left, right


def equal_keys(rows: Rows, usable: Ints) -> Iterator[list[Key]]:
    """Of each usable row what no trained and no held-out row may both have."""
    prompts = prompt_lengths(rows)
    texts = [rows.input_ids[rows.row(row)][: prompts[row]].tobytes() for row in usable.tolist()]
    # A prompt that most rows have is the template's, as the bare start token is.
    times = Counter(texts)
    # Python loop: the tokens of a row are hashed as one value.
    for row, prompt in zip(usable.tolist(), texts, strict=True):
        tokens = rows.input_ids[rows.row(row)].tobytes()
        keys: list[Key] = [("id", rows.ids[row]), ("tokens", tokens)]
        if prompt and 2 * times[prompt] <= len(usable):
            keys.append(("prompt", prompt))
        yield keys


def _alike(rows: Rows, usable: Ints, lengths: Ints) -> tuple[Ints, Ints]:
    """Links between rows whose sets of token runs are similar, first tokens up to `lengths`.

    Exact but for hot spots: of sets with Jaccard similarity t a pair shares one of the
    |x| - ceil(t |x|) + 1 rarest elements (Bayardo et al. 2007), and what shares one is compared.
    """
    keys, owner = big_sets(rows, usable, lengths)
    sizes = np.bincount(owner, minlength=len(rows))
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    group, member = rare_runs(keys, owner, sizes)
    order = np.lexsort((member, group))
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    # A loop over rare runs that several rows share; each is one comparison of arrays.
    for members in np.split(member[order], starts[1:]):
        found += _compared(members, keys, bounds)
    left, right = (np.concatenate(ends) for ends in zip(*found, strict=True))
    return left, right


def big_sets(rows: Rows, usable: Ints, lengths: Ints) -> tuple[Words, Ints]:
    """The runs, and the row of each, of rows that have enough to be compared."""
    keys, owner = _runs(rows, usable, lengths)
    is_big = np.bincount(owner, minlength=len(rows))[owner] >= FEWEST
    return keys[is_big], owner[is_big]


def rare_runs(keys: Words, owner: Ints, sizes: Ints) -> tuple[Ints, Ints]:
    """The rarest runs of each row that other rows have too: number of the run, and row.

    Two rows of Jaccard similarity `SIMILAR` or more have one of these in common.
    """
    _, group, often = np.unique(keys, return_inverse=True, return_counts=True)
    order = np.lexsort((keys, often[group], owner))
    place = np.arange(len(keys)) - (np.cumsum(sizes) - sizes)[owner]
    is_rare = place < (sizes - np.ceil(SIMILAR * sizes - 1e-9) + 1)[owner]
    chosen = order[is_rare & (often[group][order] > 1)]
    return group[chosen], owner[chosen]


def _runs(rows: Rows, usable: Ints, lengths: Ints) -> tuple[Words, Ints]:
    """The different token runs of each row as hashes, ascending in each row, and their row."""
    count = np.zeros(len(rows), np.int64)
    start = _template_lengths(rows, usable)
    count[usable] = np.maximum(lengths[usable] - start[usable] - RUN + 1, 0)
    owner = np.repeat(np.arange(len(rows)), count)
    at = np.arange(len(owner)) - (np.cumsum(count) - count - start - rows.offsets[:-1])[owner]
    keys = np.zeros(len(at), np.uint64)
    for step in range(RUN):
        keys = (keys ^ rows.input_ids[at + step].astype(np.uint64)) * _WORD
        keys ^= keys >> np.uint64(32)
    order = np.lexsort((keys, owner))
    keys, owner = keys[order], owner[order]
    is_first = np.ones(len(keys), bool)
    is_first[1:] = (keys[1:] != keys[:-1]) | (owner[1:] != owner[:-1])
    return keys[is_first], owner[is_first]


def _template_lengths(rows: Rows, usable: Ints) -> Ints:
    """How many leading tokens each row has in common with so many that they are the template's."""
    row_of = np.repeat(np.arange(len(rows)), rows.lengths)
    place = np.arange(len(row_of)) - rows.offsets[:-1][row_of]
    mixed = rows.input_ids.astype(np.uint64) * _WORD + (place + 1).astype(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _WORD
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed ^ (mixed >> np.uint64(32)))])
    lead = running[1:] - running[rows.offsets[:-1]][row_of]
    is_used = np.isin(row_of, usable)
    _, group, often = np.unique(lead[is_used], return_inverse=True, return_counts=True)
    limit = min(max(10, TEMPLATE * len(usable)), max(2, len(usable) / 2))
    common = np.zeros(len(row_of), np.bool_)
    common[is_used] = often[group] > limit
    return count_by_row(common, rows.offsets)


def _compared(members: Ints, keys: Words, bounds: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Links among rows that share a run: each to all others, or in rounds if they are many."""
    is_hot = len(members) > HOT
    for _ in range(HOT_ROUNDS if is_hot else len(members)):
        if len(members) < 2:
            return
        leader, rest = members[0], members[1:]
        is_alike = _similar(leader, rest, keys, bounds)
        yield np.full(int(is_alike.sum()), leader), rest[is_alike]
        members = rest[~is_alike] if is_hot else rest


def _similar(leader: int, others: Ints, keys: Words, bounds: Ints) -> NDArray[np.bool_]:
    own = keys[bounds[leader] : bounds[leader + 1]]
    sizes = bounds[others + 1] - bounds[others]
    may = np.minimum(sizes, len(own)) >= SIMILAR * np.maximum(sizes, len(own))
    starts = np.cumsum(sizes) - sizes
    at = np.arange(sizes.sum()) - np.repeat(starts - bounds[others], sizes)
    shared = np.add.reduceat(np.isin(keys[at], own).astype(np.int64), starts)
    found: NDArray[np.bool_] = may & (shared >= SIMILAR * (sizes + len(own) - shared) - 1e-9)
    return found
