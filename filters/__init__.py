"""The filters and fixes, by the names that recipes use."""

from __future__ import annotations

from curate.schema import Filter, Fix

FILTERS: dict[str, type[Filter]] = {}

FIXES: dict[str, type[Fix]] = {}
