"""What a proof says on a terminal: a sentence for each baseline, then a line of facts for each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from curate.base.terminal import printable_line
from curate.proofs.comparisons import NO_DIFFERENCE, NOT_SHOWN, Comparison
from curate.proofs.metrics import METRICS
from curate.proofs.summaries import Summary

_NAME = 32  # characters of a baseline's name


def facts(summaries: Sequence[Summary], left_out: Sequence[int]) -> list[str]:
    """What each set's trainings were, and what brackets are; seeds `left_out` some sets lack."""
    return ["", *aligned([_HEAD, *map(_facts, summaries)]), "", *_notes(left_out)]


def sentences(
    primary: Sequence[Comparison], summaries: Sequence[Summary], seeds: Sequence[int]
) -> list[str]:
    """A sentence for each baseline over all targets."""
    tokens = {each.baseline: each.tokens for each in summaries}
    overall = [each for each in primary if each.target is None]
    made = []
    for comparison in overall:
        of_targets = [
            each
            for each in primary
            if each.baseline == comparison.baseline and each.target is not None
        ]
        name = at_tokens(comparison.baseline, tokens[comparison.baseline])
        made.append(sentence(comparison, of_targets, name, len(seeds)))
    return made


def sentence(
    comparison: Comparison, of_targets: Sequence[Comparison], name: str, seeds: int
) -> str:
    """One baseline's verdict over all targets, with its interval."""
    places = decimals(comparison)
    lower = sum(each.difference.value < 0 for each in of_targets)
    parts = [
        f"selected - {name}: {METRICS[comparison.metric].title} {bracketed(comparison, places)}",
        f"{seeds} seeds",
        f"lower on {lower} of {len(of_targets)} target{'s' if len(of_targets) != 1 else ''}",
        f"Holm p {p_text(comparison.holm)}",
    ]
    return f"{', '.join(parts)}: {verdict_text(comparison, places)}"


def verdict_text(comparison: Comparison, places: int) -> str:
    """The verdict with what it has to be read with."""
    margin = "" if comparison.margin is None else number(comparison.margin, places)
    narrow = comparison.narrow
    if comparison.verdict == NO_DIFFERENCE:
        within = f"{number(narrow.low, places)} to {number(narrow.high, places)} at 90 %"
        return f"{comparison.verdict} beyond {margin} ({within})"
    if comparison.verdict == NOT_SHOWN and comparison.is_constant:
        return f"{comparison.verdict}; {_constant(comparison)}"
    if comparison.verdict == NOT_SHOWN:
        return f"{comparison.verdict}; {number(comparison.would_see, places)} would have been seen"
    small = f", but by less than {margin}" if comparison.within_margin else ""
    if comparison.in_each_training:
        return f"{comparison.verdict}{small}"
    ends = f"{number(comparison.single.low, places)} to {number(comparison.single.high, places)}"
    return f"{comparison.verdict} on average{small}; a single training lies within {ends}"


def _constant(comparison: Comparison) -> str:
    """What a verdict rests on where nothing scatters, as with answers that are all alike."""
    if not comparison.difference.value:
        return "nothing varied: the same in every seed, and no difference in any"
    return "nothing scatters, so it rests on the signs of the seeds alone"


def at_tokens(baseline: str, tokens: float) -> str:
    """A baseline with its trained tokens: `random@30k`."""
    return f"{printable_line(baseline, _NAME)}@{short_count(tokens)}"


def short_count(count: float) -> str:
    """A count of tokens in three figures.

    >>> short_count(950), short_count(30_000), short_count(1_234_567)
    ('950', '30k', '1.23M')
    """
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return f"{count:.0f}"


def decimals(comparison: Comparison) -> int:
    """As many as cut the interval into three steps or more, three at least."""
    width = comparison.difference.high - comparison.difference.low
    return 3 if width <= 0 else min(6, max(3, math.ceil(-math.log10(width / 3))))


def bracketed(comparison: Comparison, places: int) -> str:
    """The difference and its interval: `-.012 (-.019 to -.006)`."""
    found = comparison.difference
    return (
        f"{number(found.value, places)} "
        f"({number(found.low, places)} to {number(found.high, places)})"
    )


def number(value: float, places: int) -> str:
    """Without a nought before the point, and never as a negative nought.

    >>> number(-0.0123, 3), number(1.5, 2), number(-0.0001, 3)
    ('-.012', '1.50', '.000')
    """
    text = f"{value:.{places}f}"
    if not float(text):
        text = text.lstrip("-")
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def p_text(p: float) -> str:
    """A p value in two figures, the smallest as a bound.

    >>> p_text(0.0123), p_text(0.00001), p_text(1.0)
    ('.012', 'below .0001', '1')
    """
    if p < 0.0001:
        return "below .0001"
    return number(float(f"{p:.2g}"), max(2, 1 - math.floor(math.log10(p)))) if p < 0.995 else "1"


_HEAD = ["", "rows", "trained tokens", "steps", "median length", "written", "stops", "IF strict"]


def _facts(summary: Summary) -> list[str]:
    return [
        printable_line(summary.baseline, _NAME),
        f"{summary.rows:,.0f}",
        f"{summary.tokens:,.0f}",
        f"{summary.steps:,.0f}",
        f"{summary.length:,.0f}",
        "-" if summary.written is None else f"{summary.written:,.0f}",
        _share(summary.stopped),
        _share(summary.strict),
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _notes(left_out: Sequence[int]) -> Iterator[str]:
    yield "in brackets: 95 % intervals over seeds and prompts, each comparison alone"
    yield "median length: tokens of trained answers; written: of the models' own"
    if left_out:
        seeds = ", ".join(map(str, left_out))
        yield f"not every baseline has the seeds {seeds}; they are left out"


def aligned(table: list[list[str]]) -> list[str]:
    """Cells in columns, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
