"""Why a row was kept or dropped: which rows are meant, their text, every verdict on them."""

from __future__ import annotations

from curate.report.explain.page import explain

__all__ = ["explain"]
