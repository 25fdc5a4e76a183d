"""How many near-duplicates `near` finds among rows of the same examples in other wordings.

Row i of every file of a family is one example, put in another way. For each family: how similar
such pairs truly are, all pairs of rows at or above each threshold (sets of word 3-grams as Python
strings, every pair compared), how many of them `near` resolves (at least one of the two goes) when
it compares all pairs and when it goes by signatures, and how many of its drops are wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
from scipy.sparse import csr_array

sys.path.insert(0, str(Path(__file__).parent))

from near import Row, records
from rows import DATA, need

import filters.dedup.near.search
from curate.pipeline.judging import judge
from filters.common.text import block, view
from filters.dedup.near.filter import Near

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
BLOCK = 500


def wordings(folder: Path) -> list[list[Row]]:
    """Prompt and response of the rows of each file; files of 0 bytes are left out."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        found.append([(row.get("prompt") or "", row.get("completion") or "") for row in rows])
    return [rows for rows in found if rows]


def incidence(texts: pl.Series) -> csr_array:
    """Which word 3-grams (columns) each text (rows) has; of words as `near` sees them."""
    data, bounds = block(texts, words_only=True)
    columns: dict[str, int] = {}
    indices, ends = [], [0]
    for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        words = data[low:high].tobytes().decode().split()
        shingles = {" ".join(words[i : i + 3]) for i in range(len(words) - 2)}
        indices += [columns.setdefault(shingle, len(columns)) for shingle in sorted(shingles)]
        ends.append(len(indices))
    return csr_array((np.ones(len(indices), np.int32), indices, ends), (len(texts), len(columns)))


def similar_pairs(sets: csr_array, least: float) -> Iterator[tuple[np.ndarray, ...]]:
    """Lower row, higher row and similarity of all pairs with at least `least`."""
    size = np.diff(sets.indptr)
    for start in range(0, sets.shape[0], BLOCK):
        common = (sets[start : start + BLOCK] @ sets.T).tocoo()
        low, high = common.row + start, common.col
        similarity = common.data / (size[low] + size[high] - common.data)
        chosen = (low < high) & (similarity >= least)
        yield low[chosen], high[chosen], similarity[chosen]


def planted(files: list[list[Row]], sets: csr_array) -> np.ndarray:
    """Similarity of each pair of wordings of one example."""
    size, starts = np.diff(sets.indptr), np.cumsum([0, *map(len, files)])
    found = []
    for one, other in combinations(range(len(files)), 2):
        rows = np.arange(min(len(files[one]), len(files[other])))
        left, right = starts[one] + rows, starts[other] + rows
        common = np.asarray(sets[left].multiply(sets[right]).sum(axis=1)).ravel()
        found.append(common / np.maximum(size[left] + size[right] - common, 1))
    return np.concatenate(found)


def verdicts(frame: pl.DataFrame, threshold: float, exact: bool) -> pl.DataFrame:
    """What `near` says, by all pairs or by signatures."""
    step = Near(threshold=threshold, shingle="word", protect=(), common_rows=0)
    usual = filters.dedup.near.search.EXACT_SHINGLES
    filters.dedup.near.search.EXACT_SHINGLES = usual if exact else -1
    try:
        return judge(step, frame).verdicts
    finally:
        filters.dedup.near.search.EXACT_SHINGLES = usual


def print_family(name: str, folder: Path, limit: int) -> None:
    files = [rows[:limit] for rows in wordings(folder)]
    frame = records([row for rows in files for row in rows])
    sets = incidence(view(frame, "both"))
    same = planted(files, sets)
    parts = list(similar_pairs(sets, THRESHOLDS[0]))
    low, high, similarity = (np.concatenate(part) for part in zip(*parts, strict=True))
    truth = dict(
        zip(zip(low.tolist(), high.tolist(), strict=True), similarity.tolist(), strict=True)
    )
    print(f"{name}: {len(files)} wordings, {frame.height:,} rows, {len(same):,} pairs of wordings")
    for threshold in THRESHOLDS:
        wanted = similarity >= threshold
        line = (
            f"  {threshold}: {(same >= threshold).mean():6.1%} of wordings; {wanted.sum():,} pairs"
        )
        for how, exact in (("all pairs", True), ("signatures", False)):
            found = verdicts(frame, threshold, exact)
            gone = ~found["keep"].to_numpy()
            resolved = (gone[low] | gone[high])[wanted]
            pairs = zip(found["duplicate_of"].to_list(), range(frame.height), strict=True)
            wrong = sum(truth.get(pair, 0) < threshold for pair in pairs if pair[0] is not None)
            recall = resolved.mean() if len(resolved) else 1.0
            line += f"; {how} {recall:.4f} found, {wrong} of {gone.sum():,} drops wrong"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "dedup" / "t0")
    parser.add_argument("--rows", type=int, default=1_000, help="rows of each file at most")
    asked = parser.parse_args()
    need(asked.data)
    for folder in sorted(path for path in asked.data.glob("*") if path.is_dir()):
        print_family(folder.name, folder, asked.rows)


if __name__ == "__main__":
    main()
