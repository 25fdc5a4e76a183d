"""Does the format have lasting effects? Every pair of templates: trained with one, prompted with
another, beside the model that was trained with that other one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from curate.base.terminal import printable_line
from curate.proofs.cells import Cell
from curate.proofs.checked_cells import check_same_prompts
from curate.proofs.comparisons import (
    BETTER,
    NO_DIFFERENCE,
    NOT_SHOWN,
    WORSE,
    Comparison,
    Key,
    family,
)
from curate.proofs.crossed import (
    Differences,
    Estimate,
    interval,
    mean_differences,
    ratio_differences,
)
from curate.proofs.design import LEVEL, PRIMARY, Design
from curate.proofs.metrics import METRICS, Ratios, ratios
from curate.proofs.pieces import Matrix, matrix
from curate.proofs.sentences import aligned, bracketed, decimals, number, p_text, verdict_text
from curate.proofs.training import cell_name

MEASURED = (PRIMARY, "stopped", "leaked")
_NAME = 32  # characters of a template's name


@dataclasses.dataclass(frozen=True)
class FormatPair:
    """Trained with one template minus trained with the one that is prompted with."""

    trained: str
    prompted: str
    comparison: Comparison

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `proof.json`."""
        found = self.comparison.as_dict()
        for name in ("baseline", "target", "redrawn"):
            del found[name]
        value, own = found.pop("selected"), found.pop("other")
        names = {"trained_with": self.trained, "prompted_with": self.prompted}
        return {**names, "value": value, "trained_with_the_same": own, **found}

    def line(self, seeds: int) -> str:
        """The pair in a sentence."""
        one = self.comparison
        places = decimals(one)
        trained, prompted = (printable_line(each, _NAME) for each in (self.trained, self.prompted))
        return (
            f"prompted with {prompted}, trained with {trained} - with {prompted}: "
            f"{METRICS[one.metric].title} {bracketed(one, places)}, {seeds} seeds, "
            f"Holm p {p_text(one.holm)}: {verdict_text(one, places)}"
        )


@dataclasses.dataclass(frozen=True)
class FormatProof:
    """What came of formats: `values` of each metric, by template of training and of prompting.

    `pairs` are all pairs of different templates on all metrics.
    """

    design: Design
    names: tuple[str, ...]
    seeds: int
    values: Mapping[str, Sequence[Sequence[Estimate]]]
    pairs: Sequence[FormatPair]

    def of_metric(self, metric: str) -> list[FormatPair]:
        """The pairs on one metric."""
        return [each for each in self.pairs if each.comparison.metric == metric]

    @property
    def headline(self) -> str:
        """All pairs in a few words, of bits per byte."""
        words = [each.comparison.verdict for each in self.of_metric(PRIMARY)]
        counts = ", ".join(
            f"{word} in {words.count(word)}"
            for word in (WORSE, BETTER, NO_DIFFERENCE, NOT_SHOWN)
            if word in words
        )
        return f"Trained with another template than the prompt's, of {len(words)} pairs: {counts}"

    def matrices(self) -> list[Matrix]:
        """The values as matrices, one for each metric."""
        return [
            matrix(_title(metric), self.names, self.names, values, unit=_unit(metric))
            for metric, values in self.values.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `proof.json`."""
        return {
            "formats": list(self.names),
            "seeds": self.seeds,
            "sentences": self.lines(),
            "matrices": {
                metric: {
                    trained: {
                        prompted: each.as_dict()
                        for prompted, each in zip(self.names, row, strict=True)
                    }
                    for trained, row in zip(self.names, values, strict=True)
                }
                for metric, values in self.values.items()
            },
            "pairs": [each.as_dict() for each in self.pairs],
        }

    def lines(self) -> list[str]:
        """What a terminal shows: the headline, a table for each metric, a sentence for a pair."""
        made = [self.headline, ""]
        for metric in self.values:
            made += [*self._table(metric), ""]
        made += [each.line(self.seeds) for each in self.of_metric(PRIMARY)]
        for metric in self.values:
            if metric != PRIMARY:
                made += ["", *self._other_lines(metric)]
        return [*made, "", "in brackets: 95 % intervals over seeds and prompts, each alone"]

    def _other_lines(self, metric: str) -> Iterator[str]:
        """The pairs that differ at all, shown or not, and how many do not."""
        pairs = self.of_metric(metric)
        apart = [each for each in pairs if each.comparison.difference.value]
        yield from (each.line(self.seeds) for each in apart)
        if same := len(pairs) - len(apart):
            yield f"{_title(metric)}: the same share in {same} of {len(pairs)} pairs"

    def _table(self, metric: str) -> Iterator[str]:
        names = [printable_line(each, _NAME) for each in self.names]
        yield f"{_title(metric)}, trained with (down), prompted with (across)"
        rows = [
            [name, *(_cell(each) for each in row)]
            for name, row in zip(names, self.values[metric], strict=True)
        ]
        yield from aligned([["", *names], *rows])


def _title(metric: str) -> str:
    return METRICS[metric].title


def _unit(metric: str) -> str:
    return "share of answers" if METRICS[metric].is_share else "bits per byte"


def _cell(each: Estimate) -> str:
    return f"{number(each.value, 3)} ({number(each.low, 3)} to {number(each.high, 3)})"


def judge_formats(cells: Sequence[Cell], names: Sequence[str], design: Design) -> FormatProof:
    """The matrices and pairs that these cells give; all seeds of all pairs are among them.

    Raises CurateError for other prompts in one cell than in another of the same template.
    """
    by_name = _by_name(cells)
    found: dict[str, dict[tuple[str, str], Differences]] = {}
    levels: dict[tuple[str, str], dict[str, Estimate]] = {}
    for prompted in names:
        sides = {trained: by_name[cell_name(trained, prompted)] for trained in names}
        for cell in (cell for side in sides.values() for cell in side):
            check_same_prompts(cell, sides[prompted][0])
        for metric, columns in ratios(sides):
            if metric not in MEASURED:
                continue
            for trained in names:
                key = trained, prompted
                levels.setdefault(key, {})[metric] = level_of(columns, trained)
                if trained != prompted:
                    apart = differences_of(columns, trained, prompted)
                    found.setdefault(metric, {})[key] = apart
    return FormatProof(
        design,
        tuple(names),
        len(by_name[cell_name(names[0], names[0])]),
        {
            metric: [[levels[one, other][metric] for other in names] for one in names]
            for metric in found
        },
        [pair for metric in found for pair in _pairs(metric, found[metric], levels, design)],
    )


def _by_name(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    found: dict[str, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.seed):
        found.setdefault(cell.baseline, []).append(cell)
    return found


def _pairs(
    metric: str,
    found: Mapping[tuple[str, str], Differences],
    levels: Mapping[tuple[str, str], Mapping[str, Estimate]],
    design: Design,
) -> Iterator[FormatPair]:
    """All pairs on a metric, which are one family; in the order of the table's rows."""
    keys = sorted(found, key=list(levels).index)
    values: dict[Key, tuple[float, float]] = {
        (one, other): (levels[one, other][metric].value, levels[other, other][metric].value)
        for one, other in keys
    }
    for comparison in family(metric, {key: found[key] for key in keys}, values, design):
        assert comparison.target is not None
        yield FormatPair(comparison.baseline, comparison.target, comparison)


def level_of(columns: Mapping[str, Ratios], name: str) -> Estimate:
    """A metric of one side over seeds, prompts and targets, with its 95 % interval."""
    return interval(
        mean_differences(
            [
                ratio_differences(each.above[name], np.zeros_like(each.above[name]), each.below)
                for each in columns.values()
            ]
        ),
        LEVEL,
    )


def differences_of(columns: Mapping[str, Ratios], one: str, other: str) -> Differences:
    """A metric of one side minus that of another, the plain mean over targets."""
    return mean_differences(
        [
            ratio_differences(each.above[one], each.above[other], each.below)
            for each in columns.values()
        ]
    )
