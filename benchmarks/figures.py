"""The figures of `docs/performance.md`: what each was, what it should be, and who measures it.

Scripts print a line of the page's table for each figure, and with `--docs` put it in there.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
NOT_YET = "not yet"


class Figure(NamedTuple):
    """A line of the table."""

    what: str
    before: str  # measured before text was read in parts
    wanted: str
    command: str


FIGURES = {
    "memory": Figure(
        "1,000,000 rows, default recipe, peak of all processes",
        "7.05 GB",
        "3.5 GB",
        "default.py --rows 1000000",
    ),
    "processor": Figure(
        "1,000,000 rows, processor time beside the commit before",
        "1.0",
        "at most 1.1",
        "default.py --rows 1000000 --before TREE --repeat 1",
    ),
    "wall": Figure(
        "100,000 rows, wall time beside the commit before",
        "1.0",
        "at most 1.05",
        "default.py --rows 100000 --before TREE --repeat 7",
    ),
    "cold": Figure(
        "498 sample rows, wall time, nothing in the cache",
        "2.5 s",
        "under 2 s",
        "default.py --sample",
    ),
    "warm": Figure(
        "498 sample rows, wall time, measured before",
        "2.5 s",
        "under 2 s",
        "default.py --sample",
    ),
    "measures": Figure(
        "bytes a row of the measures of the default recipe",
        "800 to 970",
        "under 60",
        "measures.py --rows 500000",
    ),
    "head": Figure(
        "`kill -9` of a run at 20 moments",
        "same bytes, parts done again",
        "same bytes; only what was under way is done twice",
        "survive_run.py --kills 20",
    ),
    "worker": Figure(
        "`kill -9` of a worker at 20 moments",
        "the run ends with a traceback",
        "the run goes on; one item is done twice",
        "survive_run.py --kills 0 --worker-kills 20",
    ),
}


def line(figure: Figure, measured: str) -> str:
    """The figure as a line of the table.

    >>> line(Figure("seconds", "2", "1", "default.py"), "1.5")
    '| seconds | 2 | 1 | 1.5 | `python benchmarks/default.py` |'
    """
    command = f"`python benchmarks/{figure.command}`"
    return f"| {' | '.join([figure.what, figure.before, figure.wanted, measured, command])} |"


def filled(page: str, figure: Figure, measured: str) -> str:
    """The page with this figure's line, instead of the one that it has."""
    lines = page.split("\n")
    at = [number for number, text in enumerate(lines) if text.startswith(f"| {figure.what} |")]
    assert len(at) == 1, f"the page has {len(at)} lines of: {figure.what}"
    lines[at[0]] = line(figure, measured)
    return "\n".join(lines)


def report(name: str, measured: str, docs: bool) -> None:
    """Print the line of a figure; put it into the page if that is asked for."""
    print(line(FIGURES[name], measured), flush=True)
    if docs:
        PAGE.write_text(filled(PAGE.read_text("utf-8"), FIGURES[name], measured), "utf-8")
