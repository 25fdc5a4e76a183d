"""Fields of rows that are in no column of ours: their names, and what they give as a licence."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import orjson
import polars as pl

# What a row may say of where it comes from.
ORIGINS = ("license", "licence", "source", "dataset", "dataset_name", "origin", "url")
LICENCES = ("license", "licence")
SHOWN = 10  # values of one field
# Licences by the names that the hub knows.
KNOWN = frozenset((
    "afl-3.0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "c-uda", "cc",
    "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0",
    "cc-by-nc-nd-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0",
    "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-2.0", "gpl-3.0", "lgpl-3.0", "mit", "mpl-2.0",
    "odbl", "odc-by", "openrail", "pddl", "unlicense", "wtfpl",
))  # fmt: skip


class MetaFields(NamedTuple):
    """Rows that have each field, and the values of those that say where a row comes from."""

    rows: int
    counts: dict[str, int]
    origins: dict[str, list[tuple[str, int]]]
    licence: str | None  # the one that every row names, if the hub knows it


def meta_fields(meta: pl.Series) -> MetaFields:
    """What the rows' other fields are, the commonest first."""
    names, values = Counter[str](), dict[str, Counter[str]]()
    # The only way to the names of a JSON text of any shape is to read it; most rows have none.
    for text in meta.filter(meta.is_not_null() & (meta != "{}")).to_list():
        fields = orjson.loads(text)
        names.update(fields.keys())
        for name in ORIGINS:
            if isinstance(fields.get(name), str) and fields[name].strip():
                values.setdefault(name, Counter())[fields[name].strip()] += 1
    origins = {name: _ordered(counter) for name, counter in values.items()}
    return MetaFields(len(meta), dict(_ordered(names)), origins, _licence(len(meta), origins))


def _ordered(counter: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))


def _licence(rows: int, origins: dict[str, list[tuple[str, int]]]) -> str | None:
    given = [pair for name in LICENCES for pair in origins.get(name, ())]
    if len(given) != 1 or given[0][1] != rows:
        return None
    named = given[0][0].lower()
    return named if named in KNOWN else None
