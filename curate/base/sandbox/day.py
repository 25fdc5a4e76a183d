"""The day that templates see, so that what they write is the same on any day."""

from __future__ import annotations

DAY = "2024-07-26"  # ISO
