"""Whether a length-controlled win rate claims no more than it may, where plain ones do.

Made-up answers, `--repetitions` of each kind: the selected rows' answers are longer, and the scorer
likes length, or sees nothing else. Where they are no better, at most 7.5 % may be claimed at equal
lengths; where they are better and shorter, that should be found. Some seconds; with `--docs` the
table goes into the page.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from curate.proofs.crossed import Floats, p_value
from curate.proofs.design import LEVEL
from curate.proofs.win_rates import controlled, plain

PAGE = Path(__file__).parent.parent / "docs" / "prove.md"
MARK, END = "<!-- benchmarks/win_rates.py --docs -->", "<!-- end of the win rates -->"
MOST = 0.075  # of the repetitions without a difference
LIKES = 1.5  # log odds that a much longer answer has more


class Kind(NamedTuple):
    """What scatters, in log odds: with the prompt, with the seed; and by how much one is better."""

    name: str
    prompts: float
    seeds: float
    better: float = 0.0
    longer: float = 20.0  # tokens, on average
    likes: float = LIKES


KINDS = (
    Kind("no better, longer; prompts scatter", 3.0, 0.1),
    Kind("no better, longer; seeds scatter", 0.1, 0.8),
    Kind("no better, longer; neither does", 0.1, 0.1),
    Kind("nothing but length decides, longer", 0.1, 0.1, longer=40.0, likes=300.0),
    Kind("better, shorter", 0.8, 0.1, 1.0, -20.0),
)
SIZES = ((3, 32), (5, 60), (5, 200))  # seeds, prompts


def made(kind: Kind, seeds: int, prompts: int, draw: np.random.Generator) -> tuple[Floats, Floats]:
    """Wins and differences of lengths, both of shape (seeds, prompts)."""
    by = draw.normal(kind.longer, 25, prompts) + draw.normal(0, 15, (seeds, prompts))
    odds = kind.better + kind.likes * np.tanh(by / by.std())
    odds += draw.normal(0, kind.prompts, prompts) + draw.normal(0, kind.seeds, (seeds, 1))
    return (draw.random(odds.shape) < 1 / (1 + np.exp(-odds))).astype(np.float64), by


def claimed(kind: Kind, seeds: int, prompts: int, repetitions: int) -> tuple[float, float]:
    """How often a difference is claimed: plainly, and at equal lengths."""
    draw = np.random.Generator(np.random.PCG64(1))
    found = np.zeros((repetitions, 2))
    for turn in range(repetitions):
        wins, by = made(kind, seeds, prompts, draw)
        found[turn] = [p_value(each) <= LEVEL for each in (plain(wins), controlled(wins, by))]
    one, other = found.mean(axis=0).tolist()
    return one, other


def main() -> None:
    """Measure, print, and write the page if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=600)
    parser.add_argument("--docs", action="store_true", help="write the table into docs/prove.md")
    asked = parser.parse_args()
    table = ["| answers | seeds | prompts | claimed plainly | claimed at equal lengths |"]
    table.append("|---|---|---|---|---|")
    too_many = False
    for kind in KINDS:
        for seeds, prompts in SIZES:
            one, other = claimed(kind, seeds, prompts, asked.repetitions)
            table.append(f"| {kind.name} | {seeds} | {prompts} | {one:.1%} | {other:.1%} |")
            too_many |= not kind.better and other > MOST
    table = [line.replace("%", " %") for line in table]
    print("\n".join(table))
    if asked.docs:
        before, _, rest = PAGE.read_text("utf-8").partition(MARK)
        text = "\n".join([f"{before}{MARK}", *table, f"{END}{rest.partition(END)[2]}"])
        PAGE.write_text(text, "utf-8")
    sys.exit(too_many)


if __name__ == "__main__":
    main()
