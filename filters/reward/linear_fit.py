"""Fit the linear reward model on preference pairs, and say honestly how good it is.

Bradley-Terry: log odds(chosen beats rejected) = score(chosen) - score(rejected), with ridge
penalties. Penalties are chosen by cross-validation; accuracy comes from an outer one, whose
held-out pairs had no part in that choice. Folds never split a prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from curate.base.errors import CurateError
from filters.common.ranking import noise_of
from filters.common.stats import Floats, Ints
from filters.reward.accuracy import Comparison, Pairs, compare
from filters.reward.features import BUCKETS, DENSE, LENGTH, Features, features
from filters.reward.linear import LinearReward, Scale

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FOLDS = 5
LEAST_PAIRS, LEAST_PROMPTS = 20, FOLDS
MOST_COMPARED = 5_000  # pairs that penalties are chosen on; more would hardly change the choice
# Penalties per pair on length and on the number of new words of content: next to none.
LIGHT = 0.01
FREE = "new"


class Penalty(NamedTuple):
    """Ridge penalties per pair: on dense features, and on word runs (None: they are left out)."""

    dense: float
    grams: float | None = None


# From the simplest model to the richest.
PENALTIES = (
    *(Penalty(dense) for dense in (100.0, 10.0, 1.0, 0.3, 0.1, 0.03)),
    Penalty(0.3, 0.02),
)


class Tried(NamedTuple):
    """A penalty and the mean log loss of held-out pairs under it, with its standard error."""

    penalty: Penalty
    loss: float
    error: float


@dataclass(frozen=True)
class Fitted:
    """The model on all pairs, the penalty chosen for it, and what held-out pairs say.

    `tried` is what the choice was made on; `without_length` are the held-out pairs scored
    without the length term.
    """

    model: LinearReward
    penalty: Penalty
    tried: tuple[Tried, ...]
    held_out: Comparison
    without_length: Comparison


def fit(pairs: Pairs, seed: int = 0) -> Fitted:
    """Fit on preference pairs; the same pairs and seed give the same model.

    Of all penalties the strongest is taken whose held-out loss is within one standard error of
    the least (Breiman's rule): pairs of one origin flatter a rich model, and the scores will be
    used on text of another. Raises `CurateError` for too few pairs or prompts.
    """
    groups = pairs.groups
    prompts = len(np.unique(groups))
    if len(groups) < LEAST_PAIRS or prompts < LEAST_PROMPTS:
        raise CurateError(
            f"reward fit: {len(groups)} usable pairs on {prompts} prompts; expected"
            f" {LEAST_PAIRS} or more on {LEAST_PROMPTS} or more"
        )
    data = _Data.of(pairs)
    fold = _folds(pairs.prompts, groups, seed)
    compared = np.flatnonzero(_sampled(fold))
    trials = _Trials.of(data.take(compared), fold[compared])
    outer = np.array([trials.choose(left_out) for left_out in range(FOLDS)])
    full, bare = np.empty(len(groups)), np.empty(len(groups))
    for left_out, choice in enumerate(outer.tolist()):
        model = data.take(np.flatnonzero(fold != left_out)).fit(PENALTIES[choice])
        held = np.flatnonzero(fold == left_out)
        full[held] = data.take(held).margins(model, length_term=True)
        bare[held] = data.take(held).margins(model, length_term=False)
    penalty = PENALTIES[trials.choose(None)]
    return Fitted(
        data.fit(penalty),
        penalty,
        trials.summaries(),
        compare(full, pairs, seed),
        compare(bare, pairs, seed),
    )


def fit_with(pairs: Pairs, penalty: Penalty) -> LinearReward:
    """The model of one penalty, without any choice or check."""
    return _Data.of(pairs).fit(penalty)


def margins(model: LinearReward, pairs: Pairs, *, length_term: bool = True) -> Floats:
    """score(chosen) - score(rejected) of each pair (n,)."""
    return _Data.of(pairs).margins(model, length_term=length_term)


def _folds(prompts: pl.Series, groups: Ints, seed: int) -> Ints:
    """A fold per pair: prompts are dealt out in an order that their text and the seed decide."""
    first = np.unique(groups, return_index=True)[1]
    noise = noise_of(prompts.gather(first), seed)
    fold_of = np.empty(len(first), dtype=np.int64)
    fold_of[np.argsort(noise, kind="stable")] = np.arange(len(first)) % FOLDS
    return fold_of[groups]


def _sampled(fold: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """The first pairs of each fold, so many that all together are at most `MOST_COMPARED`."""
    place = pl.Series(fold).to_frame("fold").select(pl.int_range(pl.len()).over("fold"))
    return place.to_series().to_numpy() < MOST_COMPARED // FOLDS


class _Data(NamedTuple):
    """Features of both answers of each pair."""

    chosen: Features
    rejected: Features

    @classmethod
    def of(cls, pairs: Pairs) -> _Data:
        return cls(features(pairs.prompts, pairs.chosen), features(pairs.prompts, pairs.rejected))

    def take(self, rows: Ints) -> _Data:
        return _Data(*(Features(*(part[rows] for part in side)) for side in self))

    def scale(self) -> Scale:
        return Scale.of(
            np.concatenate([self.chosen.length, self.rejected.length]),
            np.concatenate([self.chosen.dense, self.rejected.dense]),
        )

    def differences(self, scale: Scale) -> _Differences:
        sides = [np.hstack(scale.apply(side.length, side.dense)) for side in self]
        return _Differences(sides[0] - sides[1], self.chosen.grams - self.rejected.grams)

    def fit(self, penalty: Penalty) -> LinearReward:
        scale = self.scale()
        dense, grams = self.differences(scale).fit(penalty, None)
        return LinearReward(scale, dense[: len(LENGTH)], dense[len(LENGTH) :], grams)

    def margins(self, model: LinearReward, *, length_term: bool) -> Floats:
        chosen, rejected = (model.score_features(side, length_term=length_term) for side in self)
        return chosen - rejected


Weights = tuple[Floats, Floats]  # of length and dense columns, of grams


class _Differences(NamedTuple):
    """Features of chosen less rejected answers: length and dense columns, and grams (sparse)."""

    dense: Floats
    grams: csr_matrix

    def fit(self, penalty: Penalty, start: Weights | None) -> Weights:
        """The weights that minimise the penalised mean log loss, looked for from `start`."""
        from scipy.optimize import minimize

        rows, columns = self.dense.shape
        reads_grams = penalty.grams is not None
        ridge = np.full(columns + BUCKETS * reads_grams, penalty.grams or 0.0)
        ridge[:columns] = penalty.dense
        ridge[: len(LENGTH)] = ridge[len(LENGTH) + DENSE.index(FREE)] = LIGHT

        def spread(weights: Floats) -> Floats:
            # Not by BLAS: its threads cost more than they save here, and would change last bits.
            margin: Floats = np.einsum("ij,j->i", self.dense, weights[:columns])
            return margin + self.grams @ weights[columns:] if reads_grams else margin

        def gathered(pulls: Floats, weights: Floats) -> Floats:
            slope = [np.einsum("i,ij->j", pulls, self.dense)]
            if reads_grams:
                slope.append(self.grams.T @ pulls)
            total: Floats = np.concatenate(slope) / rows + ridge * weights
            return total

        def loss(weights: Floats) -> tuple[float, Floats]:
            margin = spread(weights)
            value = np.logaddexp(0, -margin).mean() + 0.5 * (ridge * weights**2).sum()
            return float(value), gathered(np.tanh(margin / 2) / 2 - 0.5, weights)

        def curvature(weights: Floats, direction: Floats) -> Floats:
            sure = np.tanh(spread(weights) / 2)
            return gathered(spread(direction) * (1 - sure**2) / 4, direction)

        first = np.zeros(len(ridge)) if start is None else np.concatenate(start)[: len(ridge)]
        # Scipy's L-BFGS uses threaded BLAS for vectors of 43 numbers: ten times the time here.
        found = minimize(loss, first, jac=True, hessp=curvature, method="Newton-CG").x
        return found[:columns], found[columns:] if reads_grams else np.zeros(BUCKETS)

    def losses(self, weights: Weights) -> Floats:
        margin = np.einsum("ij,j->i", self.dense, weights[0])
        if weights[1].any():
            margin += self.grams @ weights[1]
        losses: Floats = np.logaddexp(0, -margin)
        return losses


class _Trials(NamedTuple):
    """Held-out log loss per pair of each penalty, also with one more fold left out.

    `losses[p, k]` are losses of models that saw neither the pair's own fold nor fold k; for a
    pair of fold k itself, of the model that saw all other folds.
    """

    losses: Floats  # [penalties, folds, n]
    fold: Ints

    @classmethod
    def of(cls, data: _Data, fold: Ints) -> _Trials:
        losses = np.empty((len(PENALTIES), FOLDS, len(fold)))
        for one, other in combinations_with_replacement(range(FOLDS), 2):
            seen = data.take(np.flatnonzero((fold != one) & (fold != other)))
            held = np.flatnonzero((fold == one) | (fold == other))
            scale = seen.scale()
            ours, theirs = seen.differences(scale), data.take(held).differences(scale)
            left_out = np.where(fold[held] == one, other, one)
            weights = None
            for place, penalty in enumerate(PENALTIES):
                weights = ours.fit(penalty, weights)
                losses[place, left_out, held] = theirs.losses(weights)
        return cls(losses, fold)

    def choose(self, left_out: int | None) -> int:
        """The simplest penalty within one standard error of the best, without one fold's pairs."""
        if left_out is None:
            own = self._held_out()
        else:
            own = self.losses[:, left_out, self.fold != left_out]
        mean = own.mean(axis=1)
        best = int(mean.argmin())
        error = own[best].std() / np.sqrt(own.shape[1])
        return int(np.flatnonzero(mean <= mean[best] + error)[0])

    def summaries(self) -> tuple[Tried, ...]:
        """What each penalty lost on held-out pairs."""
        return tuple(
            Tried(
                penalty, round(float(own.mean()), 5), round(float(own.std() / len(own) ** 0.5), 5)
            )
            for penalty, own in zip(PENALTIES, self._held_out(), strict=True)
        )

    def _held_out(self) -> Floats:
        return self.losses[:, self.fold, np.arange(len(self.fold))]
