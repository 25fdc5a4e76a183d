"""How two runs differ: rows of both that belong together, what changed, and both as text."""

from __future__ import annotations

from curate.report.diff.result import Diff, diff

__all__ = ["Diff", "diff"]
