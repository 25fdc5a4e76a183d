"""The funnel for a terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from curate.base.terminal import printable, printable_line
from curate.report.run_files import damage_explained

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder

REASONS = 8  # of one step; the page has them all
WORD = 60  # characters of a reason: a user's own function may return any text


def text(run: RunFolder, width: int = 100) -> str:
    """The funnel as a table, `width` characters wide, and `read = kept + dropped + rejects`.

    Raises `CurateError` when the run's manifest is damaged.
    """
    with damage_explained(run):
        return "\n".join(
            [*_funnel(run, width), *_sentences(run), "", read_sum(run.manifest["counts"])]
        )


def _funnel(run: RunFolder, width: int) -> list[str]:
    """One line a step and one a reason."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    funnel = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    funnel.add_column("step", overflow="fold")
    for name in ("rows in", "dropped", "kept"):
        funnel.add_column(name, justify="right", no_wrap=True)
    funnel.add_column("reasons", overflow="fold", ratio=1)
    funnel.add_column("seconds", justify="right", no_wrap=True)
    seconds = run.manifest["seconds"]
    for step in run.manifest["steps"]:
        counts = (f"{step[name]:,}" for name in ("rows", "dropped", "kept"))
        took = f"{seconds.get(step['name'], 0.0):.2f}"
        # Text, not str: a reason is data, and rich would read [brackets] as markup.
        label, why = Text(printable_line(step["name"])), Text("\n".join(_reasons(step)))
        funnel.add_row(label, *counts, why, took)
    page = io.StringIO()
    console = Console(file=page, width=width, color_system=None, highlight=False)
    console.print(funnel)
    return [line.rstrip() for line in page.getvalue().splitlines()]


def _sentences(run: RunFolder) -> list[str]:
    sentences = [
        f"{printable_line(step['name'])}: {printable(sentence)}"
        for step in run.manifest["steps"]
        for sentence in step.get("sentences", ())
    ]
    return ["", *sentences] if sentences else []


def _reasons(step: Mapping[str, Any]) -> list[str]:
    edited = " edited" if step["edited"] else ""
    lines = [
        f"{count:,} {printable_line(reason, WORD)}{edited}"
        for reason, count in step["reasons"].items()
    ]
    if len(lines) <= REASONS:
        return lines
    return [*lines[:REASONS], f"… {len(lines) - REASONS:,} more reasons"]


def read_sum(counts: Mapping[str, int]) -> str:
    """`read = kept + dropped + rejects`, with the run's numbers."""
    parts = " + ".join(f"{counts[name]:,} {name}" for name in ("kept", "dropped", "rejects"))
    edited = f"; {counts['edited']:,} edited" if counts["edited"] else ""
    return f"{counts['read']:,} read = {parts}{edited}"
