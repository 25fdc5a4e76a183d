"""How two runs differ, for people and for machines."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING

import polars as pl

from curate.report.diff import text as diff_text
from curate.report.diff.changes import Changes, changes

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder


class Diff(Changes):
    """`Changes` that can be printed."""

    def text(self, rows: int = 10, width: int | None = 100) -> str:
        """Counts, settings and the first `rows` of the rows, for a terminal of `width` columns."""
        return diff_text.text(self, rows, width)

    def to_json(self) -> str:
        """All of it as a JSON object in one line, of characters that any terminal takes."""
        finite = pl.col("score_1", "score_2")
        rows = self.rows.with_columns(pl.when(finite.is_finite()).then(finite))
        return json.dumps(
            {
                "runs": [str(self.first.path), str(self.second.path)],
                "in_both": self.in_both,
                "counts": dict(self.counts),
                "settings": list(self.settings),
                "other_duplicates": self.duplicates,
                "rows": rows.to_dicts(),
            }
        )

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__


def diff(first: RunFolder, second: RunFolder) -> Diff:
    """How the second run differs from the first. Raises `CurateError` for damaged ones."""
    differing = changes(first, second)
    return Diff(**{field.name: getattr(differing, field.name) for field in fields(Changes)})
