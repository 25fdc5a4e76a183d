"""Fields of rows that are in no column of ours: their names, and what they give as a licence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import polars as pl

from curate.base.json_text import as_text, loads_exact
from curate.exports.names import without_folders

# What a row may say of where it comes from.
LICENCES = ("license", "licence", "license_name", "licence_name")
ORIGINS = (*LICENCES, "source", "dataset", "dataset_name", "origin", "url")
_URL = re.compile(r"https?://[^\s/?#]+", re.IGNORECASE)
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
    licence: str | None  # the one that every row names, in lower case


def meta_fields(meta: pl.Series) -> MetaFields:
    """What the rows' other fields are, the commonest first."""
    names, values, licences = Counter[str](), dict[str, Counter[str]](), Counter[str]()
    # The only way to the names of a JSON text of any shape is to read it; most rows have none.
    for text in meta.filter(meta.is_not_null() & (meta != "{}")).to_list():
        fields = loads_exact(text)
        names.update(fields.keys())
        given = dict(_origins(fields))
        for name, value in given.items():
            values.setdefault(name, Counter())[value] += 1
        licences.update({value.lower() for name, value in given.items() if _key(name) in LICENCES})
    origins = {name: _ordered(counter) for name, counter in values.items()}
    return MetaFields(len(meta), dict(_ordered(names)), origins, _licence(len(meta), licences))


def _origins(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Fields of any spelling that say where a row is from, and what they say; a URL by its site."""
    for name, value in fields.items():
        if _key(name) in ORIGINS and (given := _given(value)):
            site = None if _key(name) in LICENCES else _URL.match(given)
            yield name, site[0].lower() if site else without_folders(given)


def _key(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _given(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    if isinstance(value, str):
        return value.strip()
    return as_text(value) if value else ""


def _ordered(counter: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))


def _licence(rows: int, given: Counter[str]) -> str | None:
    """The licence that every row gives, where no row gives another."""
    return next((name for name in given if len(given) == 1 and given[name] == rows), None)
