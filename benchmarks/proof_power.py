"""Whether a proof finds what it says it would find, and claims no more than it may.

Made-up trainings whose truth is known (`proof_made.py`), `--repetitions` of each kind. Where the
selected rows are better by just so much that the stated power is 80 %, they should be found in 74
to 86 % of 400; where there is no difference, at most 7.5 % may be claimed. About six minutes of one
core; with `--docs` the table goes into the page.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from proof_made import ROWS, Bigrams, Floats, Scatter, of_scatter

from curate.proofs.cells import Cell
from curate.proofs.comparisons import BETTER, WORSE, Comparison
from curate.proofs.design import LEVEL, POWER, Design
from curate.proofs.detectable import power, smallest
from curate.proofs.verdicts import judge

PAGE = Path(__file__).parent.parent / "docs" / "prove.md"
MARK, END = "<!-- benchmarks/proof_power.py --docs -->", "<!-- end of the simulation -->"
SEEDS = (3, 5, 10)
PROMPTS = 200  # of the letters' only target
LEAST, MOST, CLAIMED = 0.74, 0.86, 0.075
_DRAWS = 500  # of the bootstrap, which is here to be seen failing

KINDS = {
    "seeds and prompts alike": Scatter(),
    "seeds alone": Scatter(prompts=0.002, both=0.002),
    "prompts alone": Scatter(selected=0.0002, other=0.0002, both=0.005),
    "heavy-tailed prompts": Scatter(prompt_tails=3, sizes=1.0),
    "a baseline that scatters four times as much": Scatter(selected=0.001, other=0.004),
    "heavy-tailed seeds": Scatter(selected=0.003, other=0.003, seed_tails=4),
    "four baselines, one differs": Scatter(others=("random", "longest", "full", "raw")),
}
LETTERS = "pairs of letters, really counted"


class Result(NamedTuple):
    """Of one kind and number of seeds: shares of the repetitions, and what was stated."""

    kind: str
    seeds: int
    effect: float
    stated: float  # the power that the proof's own formula gives for this effect
    found: float
    claimed: float  # where there is no difference
    bootstrap: float  # the same, if the bootstrap's interval decided
    said: float  # median of what "would have been seen", over the effect

    @property
    def holds(self) -> bool:
        """Whether both bounds are kept; the first is for a stated power of 80 %."""
        moved = self.stated - POWER
        return LEAST + moved <= self.found <= MOST + moved and self.claimed <= CLAIMED


Make = Callable[[float, np.random.Generator], list[Cell]]


def overall(cells: list[Cell], draws: int = 0) -> list[Comparison]:
    """The comparisons that a verdict is about."""
    return judge(cells, Design(draws=draws)).overall


def measured(
    kind: str, seeds: int, effect: float, stated: float, make: Make, repetitions: int
) -> Result:
    """Both sides of the question, with new trainings and prompts in each repetition."""
    draw = np.random.Generator(np.random.PCG64(seeds))
    with_it = [overall(make(effect, draw)) for _ in range(repetitions)]
    without = [overall(make(0.0, draw), _DRAWS) for _ in range(repetitions)]
    claims = [any(each.verdict in (BETTER, WORSE) for each in one) for one in without]
    outside = [any(_outside(each) for each in one) for one in without]
    said = float(np.median([one[0].would_see for one in with_it])) / effect
    found = float(np.mean([one[0].verdict == BETTER for one in with_it]))
    return Result(
        kind, seeds, effect, stated, found, float(np.mean(claims)), float(np.mean(outside)), said
    )


def _outside(comparison: Comparison) -> bool:
    """Whether the bootstrap's interval, by itself, would be a claim."""
    redrawn = comparison.redrawn
    return redrawn is not None and not redrawn.low <= 0 <= redrawn.high


def of_kinds(repetitions: int, seeds: Sequence[int] = SEEDS) -> Iterator[Result]:
    """Every kind of scatter."""
    for kind, scatter in KINDS.items():
        for count in seeds:
            level = LEVEL / len(scatter.others)
            effect = smallest(scatter.variances(count), level, POWER)

            def make(
                shift: float,
                draw: np.random.Generator,
                scatter: Scatter = scatter,
                count: int = count,
            ) -> list[Cell]:
                return scatter.cells(shift, count, draw)

            if scatter.prompt_tails:
                effect = own_statement(make, repetitions)
            yield measured(kind, count, effect, POWER, make, repetitions)


def own_statement(make: Make, repetitions: int) -> float:
    """What half of such runs say they would have seen.

    Where tails are heavy a variance says little: most runs meet less of it, and a few far more.
    """
    draw = np.random.Generator(np.random.PCG64(1_000))
    return float(np.median([overall(make(0.0, draw))[0].would_see for _ in range(repetitions)]))


class Chosen(NamedTuple):
    """Selected rows of letters, their true difference, and the power that is stated for it."""

    rows: Floats
    corrupted: int
    truth: float
    stated: float


def of_letters(repetitions: int, seeds: Sequence[int] = SEEDS) -> Iterator[Result]:
    """Models that are really fitted; the truth is measured by many more trainings."""
    letters, draw = Bigrams(), np.random.Generator(np.random.PCG64(1))
    none = no_better(letters, draw)
    for count in seeds:
        chosen = better(letters, count, draw)

        def make(
            shift: float,
            draw: np.random.Generator,
            chosen: Chosen = chosen,
            count: int = count,
        ) -> list[Cell]:
            return letters.cells(chosen.rows if shift else none, count, PROMPTS, draw)

        kind = f"{LETTERS}: {chosen.corrupted} of {ROWS} rows corrupted, not 30"
        yield measured(kind, count, -chosen.truth, chosen.stated, make, repetitions)


def better(letters: Bigrams, seeds: int, draw: np.random.Generator) -> Chosen:
    """The set whose stated power is nearest to 80 %, by its corrupted rows."""

    def tried(corrupted: int) -> Chosen:
        rows = letters.selected(corrupted, draw)
        truth, scatter = letters.truth(rows, draw)
        stated = power(truth, of_scatter(scatter, seeds, PROMPTS), LEVEL)
        return Chosen(rows, corrupted, truth, stated)

    low, high = 0, 30
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if tried(middle).stated > POWER else (low, middle)
    # Sets of as many corrupted rows differ in what the others are.
    every = [tried(corrupted) for corrupted in (low, high) for _ in range(6)]
    return min(every, key=lambda each: abs(each.stated - POWER))


def no_better(letters: Bigrams, draw: np.random.Generator) -> Floats:
    """Of sets that are as corrupted as the pool, the one that differs least from random rows."""
    sets = [letters.selected(30, draw) for _ in range(10)]
    return min(sets, key=lambda rows: abs(letters.truth(rows, draw)[0]))


def of_chance(repetitions: int, seeds: Sequence[int] = SEEDS) -> Iterator[str]:
    """What is claimed of selected rows that are a random draw themselves, another each time."""
    letters = Bigrams()
    for count in seeds:
        draw = np.random.Generator(np.random.PCG64(100 + count))
        found = [
            overall(letters.cells(letters.drawn(draw), count, PROMPTS, draw))[0]
            for _ in range(repetitions)
        ]
        claims = [each for each in found if each.verdict in (BETTER, WORSE)]
        sure = sum(each.in_each_training for each in claims)
        yield (f"| {count} | {len(claims) / repetitions:.1%} | {sure / repetitions:.1%} |").replace(
            "%", " %"
        )


HEAD = [
    "| trainings | seeds | true difference | stated power | found | claimed where there is none "
    "| the same by bootstrap | said it would see |",
    "|---|---|---|---|---|---|---|---|",
]
CHANCE_HEAD = ["| seeds | better or worse | that, in each training too |", "|---|---|---|"]


def line(result: Result) -> str:
    """A line of the table."""
    shares = (result.stated, result.found, result.claimed, result.bootstrap)
    shown = [f"{100 * each:.1f} %" for each in shares]
    return (
        f"| {result.kind} | {result.seeds} | {result.effect:.4f} | {' | '.join(shown)} "
        f"| {result.said:.2f} of it |"
    )


def main() -> None:
    """Measure, print, and write the page if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/prove.md")
    asked = parser.parse_args()
    table, failed = list(HEAD), []
    print("\n".join(HEAD), flush=True)
    for results in (of_kinds, of_letters):
        for result in results(asked.repetitions):
            table.append(line(result))
            print(table[-1], "" if result.holds else "FAILED", flush=True)
            failed += [] if result.holds else [result]
    chance = [*CHANCE_HEAD, *of_chance(asked.repetitions)]
    print("\n".join(["", *chance]))
    if asked.docs:
        page = PAGE.read_text("utf-8")
        before, _, rest = page.partition(MARK)
        after = rest.partition(END)[2]
        shown = "\n".join([*table, "", CHANCE.strip(), "", *chance])
        PAGE.write_text(f"{before}{MARK}\n{shown}\n{END}{after}", "utf-8")
    sys.exit(bool(failed))


CHANCE = """
And selected rows that are themselves a random draw of the pool, another one in each repetition:
some draws are better than the average draw, and that is what is claimed.
"""

if __name__ == "__main__":
    main()
