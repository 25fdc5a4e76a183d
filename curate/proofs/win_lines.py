"""Win rates on a terminal: a table for each who was asked, and what it has to be read with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from curate.base.terminal import printable_line
from curate.proofs.comparisons import NOT_SHOWN, Comparison
from curate.proofs.crossed import Estimate
from curate.proofs.sentences import aligned, p_text
from curate.proofs.win_rates import EVEN, WinRate, WinRates, rate_of

_NAME = 32  # characters of a baseline's name
_HEAD = ["selected against", "wins", "length-controlled", "the longer wins", "Holm p"]
_NOTE = (
    "a tie is half a win; Holm p and verdict are of the length-controlled rate, for one scorer's "
    "baselines"
)


def win_lines(found: WinRates) -> Iterator[str]:
    """A table of the rates over all targets, then what is to be known of them."""
    yield title(found)
    if found.overall:
        verdicts = ["verdict", *(verdict(each.controlled) for each in found.overall)]
        table = aligned([_HEAD, *map(_row, found.overall)])
        yield from (f"{line}  {word}" for line, word in zip(table, verdicts, strict=True))
        yield _NOTE
    yield from notices(found)


def title(found: WinRates) -> str:
    """Who was asked."""
    return f"win rates by {found.kind} {printable_line(found.name, 200)}"


def _row(rate: WinRate) -> list[str]:
    return [
        printable_line(rate.baseline, _NAME),
        percents(rate_of(rate.plain)),
        percents(rate_of(rate.controlled)),
        percents(rate.longer_wins),
        p_text(rate.controlled.holm),
    ]


def percents(found: Estimate) -> str:
    """A rate with its interval.

    >>> percents(Estimate(0.5, 0.012, 0.75))
    '50.0 % (1.2 to 75.0)'
    """
    return f"{100 * found.value:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"


def verdict(comparison: Comparison) -> str:
    """The verdict on a rate; where none is shown, from which rate on it would have been."""
    if comparison.verdict != NOT_SHOWN:
        return comparison.verdict
    if comparison.is_constant:
        return f"{comparison.verdict}; nothing varied"
    if comparison.would_see >= EVEN:
        return f"{comparison.verdict}; with such scatter no rate could have been"
    return f"{comparison.verdict}; {100 * comparison.would_see:.1f} points would have been seen"


def notices(found: WinRates) -> Iterator[str]:
    """Pairs without a verdict, verdicts that turn with the order, and lengths that say it all."""
    for rate in found.overall:
        name, counts = printable_line(rate.baseline, _NAME), rate.counts
        if counts.without:
            yield (
                f"{name}: {sum(counts.without.values()):,} of {counts.pairs:,} pairs of answers "
                f"have no verdict ({_reasons(counts.without)}); their prompts are left out"
            )
        if counts.flipped:
            yield (
                f"{name}: {counts.flipped:,} of {counts.judged:,} verdicts turn with the order in "
                "which the answers are shown, and are ties"
            )
        if rate.is_lopsided:
            side = "selected" if counts.longer > EVEN else name
            share = max(counts.longer, 1 - counts.longer)
            yield (
                f"{name}: the answer of {side} is the longer one in {share:.0%} of the pairs, so "
                "length and the rest can hardly be told apart"
            )
    for name, without in found.unrated.items():
        yield (
            f"{printable_line(name, _NAME)}: no target has two prompts with a verdict in every "
            f"seed ({_reasons(without)}), so there is no rate"
        )


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {printable_line(name, 80)}" for name, count in counts.items())
