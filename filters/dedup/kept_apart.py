"""Rows that are kept for a small difference: how many, in what they differ, and examples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.base.contract import Findings
from filters.common.arrays import Ints
from filters.common.text import Field
from filters.dedup.compared import KINDS_SEEN, PROTECTED

EXAMPLES = 2
# Characters of a line that are shown.
LINE = 60


class Apart(NamedTuple):
    """What there is to say about such rows; `quoted` marks the rows of the examples."""

    sentences: tuple[str, ...] = ()
    numbers: Mapping[str, Any] = {}
    quoted: pl.Series | None = None


def kept_apart(measures: pl.DataFrame, kept: Ints, equal_to: Ints) -> Apart:
    """Rows that are kept although `equal_to`, the row that its key alone would keep, is another.

    `kept` and `equal_to` are positions (n,), and the row's own where it is no duplicate.
    """
    own = np.arange(len(kept))
    places = np.flatnonzero((kept == own) & (equal_to != own))
    if not len(places):
        return Apart()
    kinds = _kinds(measures, places, equal_to[places])
    row = measures["row"]
    pairs = [
        (int(row[int(place)]), int(row[int(equal_to[place])]))
        for place in [places[kinds == kind][0] for kind in PROTECTED if (kinds == kind).any()]
    ][:EXAMPLES]
    counts = {kind: int((kinds == kind).sum()) for kind in PROTECTED}
    counts = {kind: count for kind, count in counts.items() if count}
    return Apart(
        (_sentence(len(places), counts, pairs),),
        {"kept_for_protect": len(places), "protected": counts, "protected_rows": pairs},
        row.is_in([number for pair in pairs for number in pair]),
    )


def _kinds(measures: pl.DataFrame, places: Ints, others: Ints) -> npt.NDArray[np.str_]:
    """The kind in which each of these rows differs from the other: case, signs, or else code."""
    kinds = np.full(len(places), "code", dtype="<U5")
    for kind in reversed(KINDS_SEEN):
        if kind in measures.columns:
            has_any = measures[kind].to_numpy()
            kinds[has_any[places] | has_any[others]] = kind
    return kinds


def _sentence(rows: int, counts: Mapping[Any, int], pairs: list[tuple[int, int]]) -> str:
    many = "row is equal to another" if rows == 1 else "rows are equal to another"
    kinds = ", ".join(f"{kind}: {count:,}" for kind, count in counts.items())
    shown = ", ".join(f"row {one} and row {other}" for one, other in pairs)
    return (
        f"{rows:,} {many} but for what protect looks at ({kinds}), and "
        f"{'is' if rows == 1 else 'are'} kept; for example {shown}"
    )


def with_excerpts(
    findings: Findings, records: pl.DataFrame, row: pl.Series, field: Field
) -> Findings:
    """The findings with the first line in which the rows of each example differ."""
    text = dict(zip(row, _texts(records, field), strict=True))
    pairs = findings.numbers["protected_rows"]
    sentences = [
        f"row {one} has {mine} where row {other} has {its}"
        for one, other in pairs
        for mine, its in _first_difference(text[one], text[other])
    ]
    return replace(findings, sentences=(*findings.sentences, *sentences))


def _texts(records: pl.DataFrame, field: Field) -> list[str]:
    """All that a row holds of the side that is compared, a line for each line."""
    part = pl.element().struct.field
    is_answer = part("role") == "assistant"
    which = {"prompt": ~is_answer, "response": is_answer, "both": part("role").is_not_null()}[field]
    message = pl.element().filter(which).struct.field
    names = ("reasoning", "content", "name", "tool_calls")
    texts = pl.concat_str([message(name) for name in names], separator="\n", ignore_nulls=True)
    joined = pl.concat_str(
        pl.col("messages").list.eval(texts).list.join("\n"),
        "tools",
        separator="\n",
        ignore_nulls=True,
    )
    return records.select(joined.fill_null("")).to_series().to_list()


def _first_difference(one: str, other: str) -> Iterator[tuple[str, str]]:
    """The first lines that differ, in quotes, so that their white space is seen."""
    for mine, its in zip_longest(one.splitlines(), other.splitlines(), fillvalue=""):
        if mine != its:
            # From a little before the place where they part.
            at = next((n for n, (a, b) in enumerate(zip(mine, its, strict=False)) if a != b), 0)
            low = max(0, at - LINE // 2) if at > LINE // 2 else 0
            yield _quoted(mine[low:]), _quoted(its[low:])
            return


def _quoted(line: str) -> str:
    shown = line if len(line) <= LINE else line[: LINE - 1] + "…"
    return json.dumps(shown, ensure_ascii=False)
