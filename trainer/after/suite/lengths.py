"""How long answers are beside a reference's: in tokens, characters and words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from curate.base.distances import kolmogorov_smirnov, wasserstein
from trainer.after.suite.intervals import Estimate, mean_difference
from trainer.after.suite.text_units import has_words, words

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MIN_GROUP = 10  # answers that a task group needs on either side, to be shown


@dataclasses.dataclass(frozen=True)
class AnswerLength:
    """One answer's length; `words` is None in scripts without spaces, where they mean little."""

    tokens: int
    characters: int
    words: int | None
    group: str = ""


@dataclasses.dataclass(frozen=True)
class UnitResult:
    """Lengths in one unit beside a reference's.

    `generated` and `reference` are the quantiles of `QUANTILES`, then come the two means.
    `ks` is the largest gap between the two distribution functions (0..1), `w1` the area between
    them, in the unit: by how much lengths differ on average, whatever the direction.
    """

    generated: tuple[float, ...]
    reference: tuple[float, ...]
    generated_mean: float
    reference_mean: float
    ks: float
    w1: float


@dataclasses.dataclass(frozen=True)
class LengthResult:
    """Lengths of answers beside a reference's, which may be of other rows.

    `at_cap` answers were cut at the cap and would be longer, so what is said of long answers holds
    below it only. `words` is None where fewer than half of either side's answers are in a script
    with spaces. `groups` has the same in tokens for each task group with enough answers.
    """

    rows: int
    reference_rows: int
    at_cap: int
    tokens: UnitResult
    characters: UnitResult
    words: UnitResult | None
    groups: dict[str, UnitResult]


@dataclasses.dataclass(frozen=True)
class LengthDifference:
    """One model's mean length minus another's, on the same prompts."""

    rows: int
    tokens: Estimate
    characters: Estimate


def measure(text: str, tokens: int, group: str = "") -> AnswerLength:
    """The length of a text that has so many tokens.

    >>> measure("Good day.", 4)
    AnswerLength(tokens=4, characters=9, words=2, group='')
    """
    return AnswerLength(tokens, len(text), len(words(text)) if has_words(text) else None, group)


def compare(
    generated: Sequence[AnswerLength], reference: Sequence[AnswerLength], at_cap: int
) -> LengthResult:
    """The lengths of answers beside those of a reference; both have at least one."""
    groups = sorted({each.group for each in generated if each.group})
    shown = {}
    for group in groups:
        one, other = ([x for x in side if x.group == group] for side in (generated, reference))
        if min(len(one), len(other)) >= MIN_GROUP:
            shown[group] = _unit(one, other, lambda each: each.tokens)
    return LengthResult(
        len(generated),
        len(reference),
        at_cap,
        _unit(generated, reference, lambda each: each.tokens),
        _unit(generated, reference, lambda each: each.characters),
        _in_words(generated, reference),
        shown,
    )


def _in_words(
    generated: Sequence[AnswerLength], reference: Sequence[AnswerLength]
) -> UnitResult | None:
    one, other = ([x for x in side if x.words is not None] for side in (generated, reference))
    if 2 * len(one) < len(generated) or 2 * len(other) < len(reference):
        return None
    return _unit(one, other, lambda each: each.words or 0)


def _unit(
    generated: Sequence[AnswerLength],
    reference: Sequence[AnswerLength],
    unit: Callable[[AnswerLength], int],
) -> UnitResult:
    one, other = (
        np.array([unit(each) for each in side], np.int64) for side in (generated, reference)
    )
    return UnitResult(
        tuple(float(each) for each in np.quantile(one, QUANTILES)),
        tuple(float(each) for each in np.quantile(other, QUANTILES)),
        float(one.mean()),
        float(other.mean()),
        kolmogorov_smirnov(one, other),
        wasserstein(one, other),
    )


def differences(
    one: Sequence[AnswerLength], other: Sequence[AnswerLength], seed: int = 0
) -> LengthDifference:
    """The first model's mean length minus the second's; both answered the same prompts in order."""

    def apart(name: str) -> Estimate:
        left, right = ([float(getattr(each, name)) for each in side] for side in (one, other))
        return mean_difference(left, right, seed)

    return LengthDifference(len(one), apart("tokens"), apart("characters"))
