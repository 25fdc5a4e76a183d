"""Personal data as quality reasons: what `mask_pii` would mask, reported by kind and place.

The value itself is never evidence: a ledger must not spread what it warns of.
"""

from __future__ import annotations

import polars as pl

from filters.fixes.pii import KINDS, LIKELY, personal_data
from filters.quality.turns import EVIDENCE, Turns, evidence

SLUGS = {kind: f"pii_{kind}" for kind in KINDS}


def pii(turns: Turns) -> dict[str, pl.DataFrame]:
    """For each kind the records that hold it; the evidence is side and characters from-to.

    A loop over the texts that a pattern leaves, because addresses and check digits are computed.
    """
    texts = turns.messages.filter(pl.col("text").str.contains(LIKELY))
    rows: dict[str, list[tuple[int, str]]] = {slug: [] for slug in SLUGS.values()}
    for index, role, text in texts.select("index", "role", "text").iter_rows():
        for kind, start, end in personal_data(text):
            where = f"{kind} at characters {start}-{end} of a message of role {role}"
            rows[SLUGS[kind]].append((index, where))
    return {
        slug: evidence(pl.DataFrame(found, EVIDENCE, orient="row"), pl.col("evidence"))
        for slug, found in rows.items()
    }
