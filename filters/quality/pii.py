"""Personal data as quality reasons: what `mask_pii` would mask, reported by kind and place.

The value itself is never evidence: a ledger must not spread what it warns of.
"""

from __future__ import annotations

import polars as pl

from filters.fixes.pii import KINDS, LIKELY, personal_data
from filters.quality.turns import EVIDENCE, Finder, Hits, Turns


def pii(kind: str) -> Finder:
    """The rule that finds one kind of `KINDS`; the evidence is side and characters from-to."""
    return lambda turns: turns.once(_by_kind)[kind]


def _by_kind(turns: Turns) -> dict[str, Hits]:
    """A loop over the texts that a pattern leaves: addresses and check digits are computed."""
    texts = turns.messages.filter(pl.col("text").str.contains(LIKELY))
    rows: dict[str, list[tuple[int, str]]] = {kind: [] for kind in KINDS}
    for index, role, text in texts.select("index", "role", "text").iter_rows():
        for kind, start, end in personal_data(text):
            where = f"{kind} at characters {start}-{end} of a message of role {role}"
            rows[kind].append((index, where))
    return {
        kind: Hits(pl.DataFrame(found, EVIDENCE, orient="row"), pl.col("evidence"))
        for kind, found in rows.items()
    }
