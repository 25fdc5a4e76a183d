"""What one file turned out to be, and all that was in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from curate.sources.account import Leftover


@dataclass
class FileReport:
    """What one file turned out to be: rows per format, the fields seen, rejects per slug.

    `rows` are conversations, `converted` the file's own rows that they are from;
    `leftovers` are the fields whose words are in no conversation; `notes` are sentences about what
    was assumed, and of how many rows.
    """

    source: str
    sha256: str = ""
    rows: int = 0
    converted: int = 0
    formats: dict[str, int] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    rejects: dict[str, int] = field(default_factory=dict)
    leftovers: dict[str, Leftover] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    @property
    def rejected(self) -> int:
        """How many places of this file could not be read."""
        return sum(self.rejects.values())

    def evidence(self) -> str:
        """Which formats were found and by which fields, in one line."""
        parts = [
            f"{name} ({count:,} rows; fields {self.fields[name]})"
            for name, count in sorted(self.formats.items(), key=lambda pair: (-pair[1], pair[0]))
        ]
        return ", ".join(parts) or "no known format"


class FileRows(NamedTuple):
    """All that was in one file; `records` count their rows from 0, `rejects` as `REJECTED`."""

    records: pl.DataFrame
    rejects: pl.DataFrame
    report: FileReport
