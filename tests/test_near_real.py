"""Real dumps: families of reworded rows, and a dump without duplicates."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

import filters.dedup.near.search
from curate.pipeline.judging import judge
from filters.common.text import view
from filters.dedup.near.filter import Near
from tests.near_rows import alpaca_rows, family_rows, records


def all_pairs(texts: list[str]) -> dict[tuple[int, int], float]:
    """Similarity of all pairs that have any, from sets of word 3-grams as strings."""
    columns: dict[str, int] = {}
    indices, bounds = [], [0]
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        shingles = {" ".join(words[i : i + 3]) for i in range(len(words) - 2)}
        indices += [columns.setdefault(shingle, len(columns)) for shingle in sorted(shingles)]
        bounds.append(len(indices))
    found = csr_array((np.ones(len(indices), int), indices, bounds), (len(texts), len(columns)))
    common = (found @ found.T).tocoo()
    size = np.diff(bounds)
    similarity = common.data / (size[common.row] + size[common.col] - common.data)
    pairs = zip(common.row.tolist(), common.col.tolist(), similarity.tolist(), strict=True)
    return {(low, high): score for low, high, score in pairs if low < high}


@pytest.mark.parametrize("family", ["cnn_dailymail", "samsum", "imdb", "ag_news", "trec"])
@pytest.mark.parametrize("exact", [True, False], ids=["all pairs", "signatures"])
def test_families_are_cut_exactly_as_all_pairs_say(
    test_data: Path, family: str, exact: bool, monkeypatch: pytest.MonkeyPatch
):
    if not exact:
        monkeypatch.setattr(filters.dedup.near.search, "EXACT_SHINGLES", -1)
    rows = family_rows(test_data / "dedup" / "t0" / family, files=11, rows=60)
    # Plain ASCII, so that `\\w+` of the oracle below means what it says.
    rows = [
        tuple(
            unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode() for text in row
        )
        for row in rows
    ]
    frame = records(rows)
    similarity = all_pairs(view(frame, "both").to_list())
    alone = {"shingle": "word", "protect": (), "common_rows": 0}  # similarity alone decides
    measures = judge(Near(**alone), frame).measures
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9):
        found = Near(**alone, threshold=threshold).judge(measures).verdicts
        duplicate_of = dict(enumerate(found["duplicate_of"].to_list()))
        kept = {row for row, other in duplicate_of.items() if other is None}
        for row, other in duplicate_of.items():
            if other is not None:  # precision
                assert other in kept
                assert similarity[other, row] >= threshold
                assert found["score"][row] == similarity[other, row]
        near = [pair for pair in similarity if similarity[pair] >= threshold]
        missed = [pair for pair in near if kept.issuperset(pair)]
        assert len(missed) <= (0 if exact else 0.005 * len(near))  # recall


def test_alpaca_loses_only_what_is_truly_the_same(test_data: Path):
    rows = alpaca_rows(test_data / "raw" / "alpaca_random_9k.json")
    measures = judge(Near(), records(rows)).measures
    alone = Near(threshold=0.7, protect=(), common_rows=0).judge(measures)
    gone = np.flatnonzero(~alone.verdicts["keep"].to_numpy()).tolist()
    # One poem, asked for twice in other words: Shakespeare's sonnet 18.
    assert [rows[row][1][-25:] for row in gone] == ["and this gives life to thee."[-25:]]
    found = Near().judge(measures)
    assert found.verdicts["keep"].all()
    assert found.findings.numbers["kept_apart"] == {"question": 1}
