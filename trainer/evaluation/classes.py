"""Right and wrong answers over a fixed list of classes: counts, F1, and how sure they are.

The list is given, never taken from what a model answers. An answer that is no class is invalid: it
is wrong, has a column of its own, and is no class. A class that no row has is listed and left out
of the mean of F1, here and in every resample: which classes count follows from the rows alone, so
it is the same for all models. All else is as `f1_score(labels=...)` of scikit-learn has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.rows import Ints

Matrix = NDArray[np.float64]

INVALID = -1  # an answer that is none of the classes
RESAMPLES = 10_000
# Numbers of resamples that are in memory together.
_VALUES = 1 << 22


@dataclass(frozen=True)
class Interval:
    """A number and its 95 % interval, by resampling rows; of one row there is none."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    @property
    def is_different(self) -> bool:
        """Whether 0 lies outside."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class ClassScore:
    """One class: `support` rows have it, `predicted` answers are it.

    `precision` is None where no answer is it, `recall` and `f1` where no row has it.
    """

    name: str
    support: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Report:
    """How right answers are. `confusion` has a line for each class that rows have, and a column
    for each that answers are, invalid last.

    `macro_f1` is the mean of the F1 of the classes that rows have.
    """

    rows: int
    invalid: int
    accuracy: Interval
    macro_f1: Interval
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes that no row has, which are in no mean."""
        return tuple(one.name for one in self.classes if not one.support)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "absent": list(self.absent)}


@dataclass(frozen=True)
class Difference:
    """How much one model is ahead of another on the same rows, resampled together."""

    accuracy: Interval
    macro_f1: Interval


def confusion(truth: Ints, predicted: Ints, count: int) -> Ints:
    """How many rows of each class [classes] got each answer [classes, then invalid].

    >>> confusion(np.array([0, 0, 1]), np.array([0, -1, 0]), 2).tolist()
    [[1, 0, 1], [1, 0, 0]]
    """
    column = np.where(predicted == INVALID, count, predicted)
    flat = np.bincount(truth * (count + 1) + column, minlength=count * (count + 1))
    counted: Ints = flat.reshape(count, count + 1).astype(np.int64)
    return counted


def report(
    classes: Sequence[str],
    truth: Ints,
    predicted: Ints,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Report:
    """How right the answers `predicted` [rows] to rows of the classes `truth` [rows] are.

    Both are numbers of classes, an answer may be `INVALID`. There is at least one row.
    """
    [accuracy], [macro_f1], _ = _resampled(len(classes), truth, [predicted], seed, resamples)
    counts = confusion(truth, predicted, len(classes))
    return Report(
        rows=len(truth),
        invalid=int(counts[:, -1].sum()),
        accuracy=accuracy,
        macro_f1=macro_f1,
        classes=tuple(_class_scores(classes, counts)),
        confusion=tuple(map(tuple, counts.tolist())),
    )


def _class_scores(classes: Sequence[str], counts: Ints) -> Iterator[ClassScore]:
    support, predicted = counts.sum(axis=1).tolist(), counts[:, :-1].sum(axis=0).tolist()
    for place, name in enumerate(classes):
        right, own, given = int(counts[place, place]), support[place], predicted[place]
        yield ClassScore(
            name,
            own,
            given,
            precision=right / given if given else None,
            recall=right / own if own else None,
            f1=2 * right / (own + given) if own else None,
        )


def differences(
    count: int,
    truth: Ints,
    predicted: Sequence[Ints],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[Difference]:
    """How much the first model's answers are ahead of each other's, of `count` classes.

    A resample draws the same rows for all models: what makes a row hard for both is no difference.
    """
    _, _, apart = _resampled(count, truth, predicted, seed, resamples)
    return apart


def accuracy_and_macro_f1(truth: Ints, predicted: Ints, count: int) -> tuple[float, float]:
    """Both without intervals.

    >>> truth, predicted = np.array([0, 0, 1, 1]), np.array([0, INVALID, 1, 1])
    >>> accuracy_and_macro_f1(truth, predicted, 2)
    (0.75, 0.8333333333333333)
    """
    cells = _Cells(truth, [predicted], count)
    accuracy, macro_f1 = cells.measures(cells.often[None, :].astype(np.float64))
    return float(accuracy[0, 0]), float(macro_f1[0, 0])


class _Cells:
    """Rows by their class and what each model answers: all that the measures see of them."""

    def __init__(self, truth: Ints, predicted: Sequence[Ints], count: int) -> None:
        kinds = np.stack([truth, *predicted], axis=1)
        cells, self.often = np.unique(kinds, axis=0, return_counts=True)
        each = np.arange(count)
        self.is_class: Matrix = (cells[:, :1] == each).astype(np.float64)
        self.answers = [(cells[:, 1 + n, None] == each).astype(np.float64) for n in _up_to(kinds)]

    def measures(self, counts: Matrix) -> tuple[Matrix, Matrix]:
        """Accuracy and macro-F1 [models, resamples] of cells that are there `counts` times."""
        support = counts @ self.is_class
        present = support > 0
        found = [self._measured(counts, support, present, answers) for answers in self.answers]
        accuracy, macro_f1 = zip(*found, strict=True)
        return np.stack(accuracy), np.stack(macro_f1)

    def _measured(
        self, counts: Matrix, support: Matrix, present: NDArray[np.bool_], answers: Matrix
    ) -> tuple[Matrix, Matrix]:
        right = counts @ (self.is_class * answers)
        f1 = np.where(present, 2 * right / np.maximum(support + counts @ answers, 1), 0.0)
        return right.sum(axis=1) / counts.sum(axis=1), f1.sum(axis=1) / present.sum(axis=1)


def _up_to(kinds: Ints) -> range:
    return range(kinds.shape[1] - 1)


def _resampled(
    count: int, truth: Ints, predicted: Sequence[Ints], seed: int, resamples: int
) -> tuple[list[Interval], list[Interval], list[Difference]]:
    """Accuracy and macro-F1 of each model, and of the first minus each other.

    Rows drawn again are counts of the cells, so a resample costs what its cells are, not its rows.
    """
    cells = _Cells(truth, predicted, count)
    values = cells.measures(cells.often[None, :].astype(np.float64))
    draw, shares = np.random.default_rng(seed), cells.often / len(truth)
    step = max(1, _VALUES // max(len(shares), count))
    drawn: list[tuple[Matrix, Matrix]] = []
    for start in range(0, resamples if len(truth) > 1 else 0, step):
        size = min(step, resamples - start)
        drawn.append(cells.measures(draw.multinomial(len(truth), shares, size).astype(np.float64)))
    models = range(len(predicted))
    found = [
        [_interval(value[n], _joined(drawn, which, n)) for n in models]
        for which, value in enumerate(values)
    ]
    apart = [
        Difference(
            *(
                _interval(value[0] - value[n], _joined(drawn, which, 0) - _joined(drawn, which, n))
                for which, value in enumerate(values)
            )
        )
        for n in models[1:]
    ]
    return found[0], found[1], apart


def _joined(drawn: Sequence[tuple[Matrix, Matrix]], which: int, model: int) -> Matrix:
    parts = [each[which][model] for each in drawn]
    return np.concatenate(parts) if parts else np.zeros(0)


def _interval(value: Matrix, drawn: Matrix) -> Interval:
    if not len(drawn):
        return Interval(float(value[0]), None, None)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(value[0]), float(low), float(high))
