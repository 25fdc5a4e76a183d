"""What a run did, to be read by people: one HTML page, or a summary for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder


def html(run: RunFolder) -> str:
    """A self-contained page: no script, nothing fetched, all data escaped.

    The same run gives the same bytes. Raises `CurateError` when the run's files are damaged.
    """
    from curate.report.page import render

    return render(run)


def text(run: RunFolder, width: int = 100) -> str:
    """The funnel as a table, `width` characters wide, and the sum that proves it complete."""
    from curate.report.funnel import table

    return table(run, width)
