"""Sets of equal trained tokens and equal steps, whatever their rows."""

from __future__ import annotations

import numpy as np
import pytest

from curate.base.errors import CurateError
from curate.proofs.matching import Amount, amount, match
from trainer.data.mixing import step_count, tokens_taken

ROWS = np.arange(0, 400, 2)  # numbers have gaps, as rows are refused
TOKENS = 10 + np.arange(200) % 21
ALL = int(TOKENS.sum())


def test_the_default_is_as_many_passes_as_are_asked_for() -> None:
    assert amount(30_000, None, 2, 1_000) == Amount(60_000, 60, 30_000, 30)


@pytest.mark.parametrize(
    ("selected", "tokens", "steps"), [(30_000, 200_000, 53), (5_000, 200_000, 49), (900, 700, 20)]
)
def test_what_is_trained_is_within_half_a_step_of_what_was_asked_for(
    selected: int, tokens: int, steps: int
) -> None:
    batch = None if tokens < 1_000 else 3_750
    found = amount(selected, tokens, 1, batch)
    size = found.pass_tokens / found.pass_steps
    assert abs(found.tokens - tokens) <= size / 2 + 1
    assert abs(found.steps - tokens / size) <= 0.5


@pytest.mark.parametrize("baseline", ["selected", "random", "longest", "full", "raw"])
def test_every_set_takes_the_same_steps_and_nearly_the_same_tokens(baseline: str) -> None:
    wanted = amount(700, 2_450, 1, 100)
    assert (wanted.pass_tokens, wanted.pass_steps, wanted.steps) == (700, 7, 24)
    for seed in range(4):
        found = match(baseline, seed, ROWS, TOKENS, wanted)
        counts = TOKENS[np.isin(ROWS, found.rows)]
        budget, pass_steps = wanted.of(baseline)
        assert abs(found.tokens - budget) <= 15, "half of the longest row"
        assert step_count(found.tokens, found.batch_tokens, len(counts)) == pass_steps
        taken = tokens_taken(counts, found.batch_tokens, found.steps, seed)
        assert found.steps == wanted.steps and taken == pytest.approx(wanted.tokens, rel=0.03)


def test_rows_of_full_are_read_once_and_those_of_random_as_often_as_the_selected_ones() -> None:
    wanted = amount(500, 1_500, 1, 50)
    full, random = (match(name, 0, ROWS, TOKENS, wanted) for name in ("full", "random"))
    assert full.pass_steps == full.steps == 30 and full.tokens == pytest.approx(1_500, abs=15)
    assert random.pass_steps == 10 and random.steps == 30
    assert random.tokens == pytest.approx(500, abs=15)


def test_random_rows_are_others_for_each_seed_and_the_longest_are_the_same() -> None:
    wanted = amount(700, None, 1, 100)
    drawn = [match("random", seed, ROWS, TOKENS, wanted).rows for seed in range(3)]
    assert len(set(drawn)) == 3 and drawn[0] == match("random", 0, ROWS, TOKENS, wanted).rows
    longest = [match("longest", seed, ROWS, TOKENS, wanted) for seed in range(2)]
    assert longest[0].rows == longest[1].rows
    own = np.isin(ROWS, longest[0].rows)
    assert TOKENS[own].min() >= TOKENS[~own].max()


def test_raw_and_cleaned_rows_are_drawn_alike_though_some_are_missing() -> None:
    wanted = amount(700, 1_400, 1, 100)
    full = match("full", 3, ROWS, TOKENS, wanted)
    some = np.delete(np.arange(200), [4, 90])
    raw = match("raw", 3, ROWS[some], TOKENS[some], wanted)
    assert len({*full.rows} & {*raw.rows}) >= len(full.rows) - 4
    assert {*full.rows} != {*match("random", 3, ROWS, TOKENS, wanted).rows}


def test_selected_rows_are_cut_by_seed_where_less_is_trained() -> None:
    wanted = amount(ALL, 600, 1, 100)
    sets = [match("selected", seed, ROWS, TOKENS, wanted) for seed in range(2)]
    assert sets[0].rows != sets[1].rows
    assert all(found.tokens == pytest.approx(600, abs=15) for found in sets)
    whole = match("selected", 0, ROWS, TOKENS, amount(ALL, None, 3, 100))
    assert whole.rows == tuple(ROWS.tolist())


def test_too_few_tokens_are_refused_with_what_there_is() -> None:
    wanted = amount(700, 2 * ALL, 1, 100)
    message = (
        f"baseline full has only {ALL:,} of .* trained tokens, and its rows are read once; lower "
        f"tokens to {ALL - 50:,}, or leave it out of baselines"
    )
    with pytest.raises(CurateError, match=message):
        match("full", 0, ROWS, TOKENS, wanted)
    assert match("random", 0, ROWS, TOKENS, wanted).steps == wanted.steps


def test_more_steps_than_rows_are_refused() -> None:
    wanted = amount(600, None, 1, 10)
    with pytest.raises(CurateError, match="baseline longest has 20 rows for 60 steps; raise batch"):
        match("longest", 0, ROWS, TOKENS, wanted)
