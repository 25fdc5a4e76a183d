"""How well a judge's scores agree with people's labels, and how many labels would say it better."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from filters.common.arrays import Bools, Floats, Ints

LEAST_ROWS = 10  # fewer say nothing
RESAMPLES = 1_000
MATRIX = 1_000_000  # numbers of the draws that are looked at together
WIDTHS = (0.05, 0.1)  # half widths of intervals that are worth labelling for
Z = NormalDist().inv_cdf(0.975)
Z_POWER = NormalDist().inv_cdf(0.8)  # a difference is to be seen four times in five
SAME = 1e-9  # two labels closer than this are one

NO_KAPPA = "Kappa has no value here: {side} of {at:g}."


class Estimate(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} (95 % {self.low:.2f} to {self.high:.2f})"


class Cells(NamedTuple):
    """Rows by what the judge and the label say."""

    both: int
    judge_alone: int  # good for the judge, not by its label
    label_alone: int
    neither: int

    @property
    def rows(self) -> int:
        return sum(self)


@dataclass(frozen=True)
class Agreement:
    """What `agreement` found. What has no value on these rows is None, and `notes` say why.

    `agreement`, `precision` and `recall` are shares with Wilson's interval, the others have
    bootstrap intervals. `by_chance` is the agreement of two that know nothing of each other and
    call as many rows good. `length` is the rank correlation of the answers' length with the
    labels. `suffice` says how many labelled rows would be enough, by what for.
    """

    rows: int
    left_out: int  # without a score or without a label
    threshold: float
    label_threshold: float
    cells: Cells
    agreement: Estimate | None = None
    by_chance: float | None = None
    precision: Estimate | None = None
    recall: Estimate | None = None
    kappa: Estimate | None = None
    weighted_kappa: Estimate | None = None
    rank_correlation: Estimate | None = None
    length: Estimate | None = None
    suffice: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()

    def numbers(self) -> dict[str, Any]:
        """For the manifest: an estimate is its value and the ends of its interval."""
        found: dict[str, Any] = {
            name: value
            for name, value in vars(self).items()
            if name not in ("cells", "suffice", "notes")
        }
        for name, value in found.items():
            if isinstance(value, Estimate):
                found[name] = [round(part, 4) for part in value]
            elif isinstance(value, float):
                found[name] = round(value, 4)
        return {
            **found,
            "cells": self.cells._asdict(),
            "suffice": dict(self.suffice),
            "notes": list(self.notes),
        }

    def sentences(self) -> list[str]:
        """For a reader, the most important first."""
        return list(_sentences(self))


def agreement(
    scores: Floats,
    labels: Floats,
    threshold: float,
    label_threshold: float,
    *,
    scale: tuple[float, float] | None = None,
    words: Ints | None = None,
    seed: int = 0,
) -> Agreement:
    """How a judge's `scores` (n,) agree with `labels` (n,), both finite or NaN for none.

    A row is good for the judge from `threshold` on, by its label from `label_threshold` on.
    `scale` is the judge's lowest and highest score: labels of more than two values that lie in it
    are grades, and weighted kappa compares them with the scores, rounded to the labels' steps.
    `words` (n,) are the answers' lengths, to compare the judge with. Resamples are drawn from
    `seed`. Raises `ValueError` for columns of unequal length.

    >>> found = agreement(np.arange(20.0), np.arange(20.0), 10, 10)
    >>> found.kappa.value, found.cells
    (1.0, Cells(both=10, judge_alone=0, label_alone=0, neither=10))
    """
    if len(scores) != len(labels) or (words is not None and len(words) != len(labels)):
        raise ValueError("scores, labels and words are columns of the same rows")
    there = np.isfinite(scores) & np.isfinite(labels)
    scores, labels = scores[there], labels[there]
    cells = _cells(scores >= threshold, labels >= label_threshold)
    rows, left_out = len(scores), int((~there).sum())
    start = Agreement(rows, left_out, threshold, label_threshold, cells)
    if rows < LEAST_ROWS:
        return start
    length = None if words is None else words[there].astype(np.float64)
    resample = _Resample(rows, seed)
    columns = _Columns(scores, labels, length, scale)
    binary = _binary(cells, threshold, label_threshold, resample)
    graded = _graded(columns, resample)
    notes = (*binary.pop("notes"), *graded.pop("notes"))
    suffice = (*binary.pop("suffice"), *graded.pop("suffice"))
    return Agreement(**{**vars(start), **binary, **graded, "notes": notes, "suffice": suffice})


class _Columns(NamedTuple):
    scores: Floats
    labels: Floats
    length: Floats | None
    scale: tuple[float, float] | None


# Takes how often each row counts, (draws, rows), and gives a value for each draw.
Measure = Callable[[Floats], Floats]


@dataclass(frozen=True)
class _Resample:
    """Draws of as many rows as there are, the same for all that is estimated."""

    rows: int
    seed: int

    def estimate(self, measure: Measure) -> tuple[Estimate, Floats]:
        """A measure with its interval, and its value in each draw that has one."""
        found = np.concatenate([measure(weights) for weights in self._draws()])
        there = found[np.isfinite(found)]
        low, high = np.quantile(there, [0.025, 0.975]).tolist()
        return Estimate(float(measure(np.ones((1, self.rows)))[0]), low, high), found

    def _draws(self) -> Iterator[Floats]:
        """Weights (draws, rows), a part of all draws at a time."""
        draw = np.random.default_rng(self.seed)
        at_once = max(1, min(50, MATRIX // self.rows))
        for start in range(0, RESAMPLES, at_once):
            weights = np.empty((min(at_once, RESAMPLES - start), self.rows))
            for line in weights:
                drawn = draw.integers(0, self.rows, self.rows)
                line[:] = np.bincount(drawn, minlength=self.rows)
            yield weights


def _cells(judge: Bools, label: Bools) -> Cells:
    judge_alone, label_alone = int((judge & ~label).sum()), int((~judge & label).sum())
    return Cells(int((judge & label).sum()), judge_alone, label_alone, int((~judge & ~label).sum()))


def _binary(
    cells: Cells, threshold: float, label_threshold: float, resample: _Resample
) -> dict[str, Any]:
    """What the two sides of the thresholds say."""
    right = cells.both + cells.neither
    found: dict[str, Any] = {
        "agreement": wilson(right, cells.rows),
        "by_chance": chance(cells),
        "precision": wilson(cells.both, cells.both + cells.judge_alone),
        "recall": wilson(cells.both, cells.both + cells.label_alone),
    }
    notes = []
    for side, good, at in (
        ("all labels are on one side", cells.both + cells.label_alone, label_threshold),
        ("all scores are on one side", cells.both + cells.judge_alone, threshold),
    ):
        if good in (0, cells.rows):
            notes.append(NO_KAPPA.format(side=side, at=at))
    suffice = [
        (f"agreement +-{width:g}", rows_for_share(right / cells.rows, width)) for width in WIDTHS
    ]
    if not notes:
        found["kappa"] = _kappa_interval(cells, resample.seed)
        deviation = kappa_deviation(cells)
        suffice += [(f"kappa +-{width:g}", _rows_for(deviation, width)) for width in WIDTHS]
        suffice += _to_see("kappa above chance", kappa(cells), deviation)
        if kappa(cells) <= 0:
            notes.append("It agrees no better than by chance: no number of labels would show it.")
    return {**found, "notes": notes, "suffice": suffice}


def _graded(columns: _Columns, resample: _Resample) -> dict[str, Any]:
    """What the scores say beyond the thresholds."""
    scores, labels, length, _ = columns
    notes: list[str] = []
    constant = [
        name for name, side in (("labels", labels), ("scores", scores)) if np.ptp(side) == 0
    ]
    if constant:
        what = " and all ".join(constant)
        return {"notes": [f"All {what} are equal: there is no order to compare."], "suffice": []}
    found: dict[str, Any] = {}
    suffice: list[tuple[str, int]] = []
    found["rank_correlation"], of_judge = resample.estimate(_ranked(scores, labels))
    rounded = _as_grades(columns, notes)
    if rounded is not None:
        found["weighted_kappa"], _ = resample.estimate(_graded_kappa(rounded, labels))
    if length is not None and np.ptp(length) > 0:
        found["length"], of_length = resample.estimate(_ranked(length, labels))
        gain = found["rank_correlation"].value - found["length"].value
        deviation = float(np.nanstd(of_judge - of_length)) * math.sqrt(len(labels))
        suffice += _to_see("rank correlation above length's", gain, deviation)
        if gain <= 0:
            notes.append(
                "Length goes with the labels as well as the judge does: no number of labels would"
                " show that it is better."
            )
    return {**found, "notes": notes, "suffice": suffice}


def _ranked(one: Floats, other: Floats) -> Measure:
    """Spearman's correlation in draws of the rows, NaN where a side is constant in one."""
    sides = [np.unique(side, return_inverse=True)[1] for side in (one, other)]

    def measure(weights: Floats) -> Floats:
        left, right = (_ranks(weights, codes) for codes in sides)
        total = weights.sum(axis=1, keepdims=True)
        left = left - (weights * left).sum(axis=1, keepdims=True) / total
        right = right - (weights * right).sum(axis=1, keepdims=True) / total
        spread = (weights * left**2).sum(axis=1) * (weights * right**2).sum(axis=1)
        with np.errstate(invalid="ignore"):
            found: Floats = (weights * left * right).sum(axis=1) / np.sqrt(spread)
        return found

    return measure


def _ranks(weights: Floats, codes: Ints) -> Floats:
    """Mean ranks of rows (draws, rows) by the order of their codes 0..k-1."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(codes.max() + 1))
    of_code = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks: Floats = (np.cumsum(of_code, axis=1) - of_code / 2 + 0.5)[:, codes]
    return ranks


def _graded_kappa(one: Floats, other: Floats) -> Measure:
    """`weighted_kappa` in draws of the rows."""

    def measure(weights: Floats) -> Floats:
        weights = weights / weights.sum(axis=1, keepdims=True)
        means = weights @ one, weights @ other
        spread = weights @ one**2 - means[0] ** 2 + weights @ other**2 - means[1] ** 2
        expected = spread + (means[0] - means[1]) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = np.where(
                expected > 0, 1 - weights @ (one - other) ** 2 / expected, np.nan
            )
        return found

    return measure


def _as_grades(columns: _Columns, notes: list[str]) -> Floats | None:
    """The scores rounded to the labels' steps, if labels are grades on the judge's scale."""
    scores, labels, _, scale = columns
    values = np.unique(labels)
    if scale is None or len(values) <= 2:
        return None
    low, high = scale
    if values[0] < low or values[-1] > high:
        notes.append(
            f"Labels go from {values[0]:g} to {values[-1]:g}, scores from {low:g} to {high:g}: not"
            " one scale, so there is no weighted kappa."
        )
        return None
    gaps = np.diff(values) / np.diff(values).min()
    if np.abs(gaps - np.round(gaps)).max() > SAME * 1e3:
        notes.append("The labels have no even steps, so there is no weighted kappa.")
        return None
    step, first = float(np.diff(values).min()), float(values[0])
    # Half a step goes up, as people round; numpy's halves go to the even neighbour.
    rounded: Floats = np.floor((np.clip(scores, low, high) - first) / step + 0.5) * step + first
    return rounded


def wilson(hits: int, rows: int) -> Estimate | None:
    """A share with Wilson's 95 % interval, None of no rows.

    >>> str(wilson(80, 100))
    '0.80 (95 % 0.71 to 0.87)'
    """
    if rows == 0:
        return None
    share, turn = hits / rows, Z * Z / rows
    centre = (share + turn / 2) / (1 + turn)
    half = Z * math.sqrt(share * (1 - share) / rows + turn / (4 * rows)) / (1 + turn)
    low = 0.0 if hits == 0 else centre - half  # of none and of all it is exact, but for rounding
    return Estimate(share, low, 1.0 if hits == rows else centre + half)


def chance(cells: Cells) -> float:
    """The agreement of two that call as many rows good and know nothing of each other."""
    judge, label = cells.both + cells.judge_alone, cells.both + cells.label_alone
    rest = (cells.rows - judge) * (cells.rows - label)
    return (judge * label + rest) / cells.rows**2


def kappa(cells: Cells) -> float:
    """Cohen's kappa (1960): agreement beyond chance, as a share of what is possible beyond it.

    NaN where chance alone agrees on all rows.

    >>> round(kappa(Cells(20, 5, 10, 15)), 2)
    0.4
    """
    expected = chance(cells)
    if expected >= 1.0:
        return math.nan
    return ((cells.both + cells.neither) / cells.rows - expected) / (1 - expected)


def kappa_deviation(cells: Cells) -> float:
    """Standard deviation of kappa times the root of the rows (Fleiss, Cohen and Everitt 1969)."""
    p = np.array([[cells.both, cells.judge_alone], [cells.label_alone, cells.neither]]) / cells.rows
    judge, label = p.sum(axis=1), p.sum(axis=0)
    expected, value = float(judge @ label), kappa(cells)
    on = sum(p[i, i] * (1 - (judge[i] + label[i]) * (1 - value)) ** 2 for i in range(2))
    off = (1 - value) ** 2 * sum(
        p[i, j] * (label[i] + judge[j]) ** 2 for i in range(2) for j in range(2) if i != j
    )
    variance = on + off - (value - expected * (1 - value)) ** 2
    return math.sqrt(max(0.0, float(variance))) / (1 - expected)


def weighted_kappa(one: Floats, other: Floats) -> float:
    """Kappa of grades (n,) with squared differences as weights (Cohen 1968).

    NaN where both are the same constant.

    >>> round(weighted_kappa(np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 4, 4])), 4)
    0.9167
    """
    observed = float(np.mean((one - other) ** 2))
    # The mean squared difference of all pairs of rows.
    expected = float(one.var() + other.var() + (one.mean() - other.mean()) ** 2)
    return 1 - observed / expected if expected > 0 else math.nan


def rows_for_share(share: float, width: float) -> int:
    """The fewest rows at which Wilson's interval of a share is no wider than +- `width`.

    >>> rows_for_share(0.8, 0.05), rows_for_share(1.0, 0.05)
    (245, 35)
    """

    def half(rows: int) -> float:
        turn = Z * Z / rows
        spread = share * (1 - share) / rows + turn / (4 * rows)
        return Z * math.sqrt(spread) / (1 + turn)

    low, high = 0, 1
    while half(high) > width:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if half(middle) <= width else (middle, high)
    return high


def _kappa_interval(cells: Cells, seed: int) -> Estimate:
    """Bootstrap: rows drawn again are counts of the four cells, which is all that kappa sees."""
    draw = np.random.default_rng(seed)
    shares = np.array(cells) / cells.rows
    drawn = draw.multinomial(cells.rows, shares, RESAMPLES).tolist()
    found = np.array([kappa(Cells(*each)) for each in drawn])
    low, high = np.quantile(found[np.isfinite(found)], [0.025, 0.975]).tolist()
    return Estimate(kappa(cells), low, high)


def _rows_for(deviation: float, width: float) -> int:
    """Rows at which an interval is +- `width`, for a deviation at one row."""
    return max(LEAST_ROWS, math.ceil((Z * deviation / width) ** 2))


def _to_see(what: str, effect: float, deviation: float) -> list[tuple[str, int]]:
    """Rows that show an effect of this size four times in five, none for no effect."""
    if effect <= 0:
        return []
    return [(what, max(LEAST_ROWS, math.ceil(((Z + Z_POWER) * deviation / effect) ** 2)))]


def _sentences(found: Agreement) -> Iterator[str]:
    if found.left_out:
        yield f"{found.left_out:,} rows have no score or no label and are left out."
    if found.agreement is None:
        yield (
            f"{found.rows} rows have a score and a label: too few to say anything; label"
            f" {LEAST_ROWS} or more."
        )
        return
    yield (
        f"On {found.rows:,} rows the judge (from {found.threshold:g}) and the labels (from"
        f" {found.label_threshold:g}) agree on {found.agreement}; by chance it would be"
        f" {found.by_chance:.2f}."
    )
    if found.kappa is not None:
        yield f"Cohen's kappa, which takes chance off, is {found.kappa}."
    yield from _sides(found)
    yield from _orders(found)
    yield from found.notes
    if found.suffice:
        yield _suffice(found.rows, dict(found.suffice))


def _sides(found: Agreement) -> Iterator[str]:
    if found.precision is None:
        yield "The judge calls no row good, so it has no precision."
    else:
        yield f"Of the rows that the judge calls good, {found.precision} have a good label."
    if found.recall is None:
        yield "No label is good, so there is no recall."
    else:
        yield f"Of the rows with a good label, the judge calls {found.recall} good."


def _orders(found: Agreement) -> Iterator[str]:
    if found.weighted_kappa is not None:
        yield f"As grades, quadratic weighted kappa is {found.weighted_kappa}."
    if found.rank_correlation is not None:
        beside = "" if found.length is None else f"; that of the answers' length is {found.length}"
        yield f"Scores and labels have a rank correlation of {found.rank_correlation}{beside}."


def _suffice(rows: int, needed: Mapping[str, int]) -> str:
    """How many labels are enough for what."""
    parts = [
        f"{count:,} for {what}" + (" (you have them)" if count <= rows else "")
        for what, count in needed.items()
    ]
    return "Rows with a label that would suffice: " + ", ".join(parts) + "."
