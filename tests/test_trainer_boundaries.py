"""Where a document ends: labels move once, and nothing is trained across the border."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.base.errors import CurateError
from tests.trainer_toys import ALL, documents
from trainer.checks.gate import check
from trainer.config.config import TrainConfig
from trainer.data.batches import Batch, batches, pad
from trainer.data.rows import IGNORED, Rows, make_rows, shift
from trainer.data.tokens import Limits, load_tokens
from trainer.packing import best_fit, pack, step_batches

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=12)


def config(**fields: Any) -> TrainConfig:
    return TrainConfig(**{"tokens": "t", "model": "m", "out": "o", **fields})


def numbered(lengths: list[int]) -> Rows:
    """Documents whose tokens are all different, each trained on all it has."""
    ends = np.cumsum(lengths)
    ids = [list(range(end - length, end)) for end, length in zip(ends, lengths, strict=True)]
    return make_rows([str(number) for number in range(len(ids))], ids, ids)


def ways(rows: Rows, limit: int) -> list[Batch]:
    """The rows padded, packed, and cut in documents as well."""
    chosen = np.arange(len(rows))
    return [
        batch
        for split_at in (None, limit)
        for make in (batches, pack)
        for batch in make(rows, chosen, limit, split_at)
    ]


@settings(max_examples=40)
@given(lengths=LENGTHS, limit=st.integers(2, 30))
def test_what_a_position_must_predict_is_the_next_token_of_its_document_and_no_other(
    lengths: list[int], limit: int
) -> None:
    """Tokens are their own numbers, so a second shift, or a border crossed, would be seen."""
    rows = numbered(lengths)
    firsts = set((np.cumsum(lengths) - lengths).tolist())
    for batch in ways(rows, limit):
        read = batch.input_ids.ravel()[batch.at]
        assert batch.targets.tolist() == (read + 1).tolist()
        assert not firsts & set(batch.targets.tolist())


@settings(max_examples=40)
@given(lengths=LENGTHS, data=st.data())
def test_masking_the_first_token_of_each_document_changes_nothing_however_often(
    lengths: list[int], data: st.DataObject
) -> None:
    rows = numbered(lengths)
    trained = data.draw(st.lists(st.booleans(), min_size=sum(lengths), max_size=sum(lengths)))
    labels = np.where(trained, rows.labels, IGNORED)
    once = shift(labels, rows.offsets, IGNORED)
    for _ in range(2):
        labels[rows.offsets[:-1]] = IGNORED
        assert shift(labels, rows.offsets, IGNORED).tolist() == once.tolist()
    assert int((once != IGNORED).sum()) == int((labels != IGNORED).sum())


def test_rows_that_are_laid_again_are_laid_as_before() -> None:
    """Batches point into the rows and change nothing in them, so that no step shifts again."""
    rows = documents()
    before = {name: value.tobytes() for name, value in arrays(rows).items()}
    first, second = (list(pack(rows, ALL, 100)) for _ in range(2))
    assert [batch.targets.tolist() for batch in first] == [
        batch.targets.tolist() for batch in second
    ]
    assert {name: value.tobytes() for name, value in arrays(rows).items()} == before


def arrays(rows: Rows) -> dict[str, Any]:
    named = ((field.name, getattr(rows, field.name)) for field in dataclasses.fields(rows))
    return {name: value for name, value in named if isinstance(value, np.ndarray)}


def test_labels_are_shifted_once_on_their_way_from_the_folder_to_a_batch(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.trainer_toys import reversed_pairs, write_tokens

    calls = []

    def counted(values: Any, offsets: Any, last: Any) -> Any:
        calls.append(len(values))
        return shift(values, offsets, last)

    monkeypatch.setattr("trainer.data.rows.shift", counted)
    tokens = load_tokens(write_tokens(tmp_path / "tokens", reversed_pairs(3)))
    made = [pad(tokens.rows, np.arange(3)), *pack(tokens.rows, np.arange(3), 100)]
    assert calls == [21]
    for batch in made:
        assert (batch.input_ids.ravel()[batch.at + 1] == batch.targets).all()
    moved = dataclasses.replace(tokens.rows, labels=tokens.rows.targets)
    with pytest.raises(CurateError, match="labels-differ"):
        check(dataclasses.replace(tokens, rows=moved), Limits(32, 48), ())


def test_ids_and_masks_of_a_packed_row_agree_with_the_rows_it_was_made_of() -> None:
    rows = documents()
    (batch,) = pack(rows, ALL, 100)
    assert batch.documents == tuple(rows.lengths[batch.rows].tolist()) == (11, 7, 5, 3)
    flat = np.full(batch.input_ids.size, IGNORED)
    flat[batch.at] = batch.targets
    laid = [rows.row(row) for row in batch.rows.tolist()]
    assert batch.input_ids[0].tolist() == [x for row in laid for x in rows.input_ids[row].tolist()]
    assert flat.tolist() == [x for row in laid for x in rows.targets[row].tolist()]


# Rows of odd lengths


@given(
    lengths=st.lists(st.integers(0, 30), max_size=30),
    budget=st.sampled_from([1, 3, 7, 24, 31, 100]),
)
@settings(max_examples=40)
def test_empty_documents_are_placed_like_others_and_none_is_lost(
    lengths: list[int], budget: int
) -> None:
    groups = best_fit(np.array(lengths, dtype=np.int64), budget)
    assert sorted(place for group in groups for place in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or sum(lengths[place] for place in group) <= budget


def test_an_empty_row_is_refused_by_name_and_never_reaches_a_step() -> None:
    from tests.test_trainer_gate import GOOD, LIMITS, refusal, tokens

    assert "no-targets: nothing in the row is trained: row 1 (id-1)" in refusal(GOOD, ([], []))
    passed = check(tokens(GOOD, ([], []), GOOD), LIMITS, ("no-targets",))
    assert passed.usable.tolist() == [0, 2]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("fate", ["alone", "split"])
def test_rows_above_the_limit_make_no_pass_of_padding_and_the_step_ends(
    packed: bool, fate: str
) -> None:
    lengths = [40, 3, 17, 8, 9, 2, 33]
    rows = numbered(lengths)
    fields = config(micro_tokens=8, long_rows=fate)
    passes = list(step_batches(rows, np.arange(7), fields, packed))
    assert all(len(batch.targets) for batch in passes)
    assert sum(len(batch.targets) for batch in passes) == sum(lengths) - 7
    if packed:  # nothing but documents
        assert all(sum(batch.documents or ()) == batch.input_ids.size for batch in passes)
    longest = 40 if fate == "alone" else 8
    assert max(batch.input_ids.shape[1] for batch in passes) == longest
