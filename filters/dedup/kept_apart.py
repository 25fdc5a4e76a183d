"""Rows that are kept although a kept one is like them: how many, in what they differ, examples.

`exact`, `near` and `semantic` say it alike: a sentence, `kept_apart` (rows by kind), and
`kept_apart_examples`, whose texts complete the sentences when they are quoted.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any, Literal, NamedTuple

import polars as pl

from curate.base.contract import Findings
from filters.dedup.differences.pairs import ANSWER, QUESTION

# Examples that are shown.
SHOWN = 3
_BESIDE = 3  # words shown on either side of a difference
_WORDS = 12  # words of a difference shown
_LINE = 60  # characters shown of a line

How = Literal["like", "equal to"]
_SAID = {QUESTION: "another question", ANSWER: "another answer"}


class Apart(NamedTuple):
    """A row, by position, that is kept although `other` is kept and like it, and in what."""

    row: int
    other: int
    kind: str


def apart_findings(
    apart: Sequence[Apart], rows: pl.Series, how: How = "like"
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """A sentence and numbers on rows that are kept apart; nothing if there are none.

    `rows` has the `row` of each position. A row of an index has none (its position is below 0),
    and is no example.
    """
    if not apart:
        return (), {}
    counts = dict(Counter(one.kind for one in apart).most_common())
    shown = [
        {"row": rows[row], "like": rows[other], "differs_in": kind}
        for row, other, kind in _examples_of(apart)
    ]
    return (_sentence(counts, how),), {"kept_apart": counts, "kept_apart_examples": shown}


def _examples_of(apart: Sequence[Apart]) -> list[Apart]:
    """The first row of each kind, of the commonest kinds."""
    ours = [one for one in apart if one.other >= 0]
    kinds = Counter(one.kind for one in ours).most_common(SHOWN)
    return [next(one for one in ours if one.kind == kind) for kind, _ in kinds]


def _sentence(counts: Mapping[str, int], how: How) -> str:
    rows = sum(counts.values())
    what = ", ".join(f"{_SAID.get(kind, kind)} {count:,}" for kind, count in counts.items())
    many = "row is" if rows == 1 else "rows are"
    return f"{rows:,} {many} {how} a kept one and kept, for what differs: {what}"


def example_rows(findings: Findings) -> set[int]:
    """The `row` of every example whose text completes the findings."""
    return {int(one[name]) for one in _examples(findings) for name in ("row", "like")}


def is_quoted(findings: Findings, rows: pl.Series) -> pl.Series | None:
    """Which of these rows are examples; None: none is."""
    shown = example_rows(findings)
    return rows.is_in(sorted(shown)) if shown else None


def with_excerpts(
    findings: Findings, rows: pl.Series, texts: pl.Series, compared: pl.Series | None = None
) -> Findings:
    """The findings with a sentence for each example: where the texts of its two rows differ.

    Where the `texts` (a line a row) have the same words, the first line in which all that is
    `compared` (else the texts) differs.
    """
    of_row = dict(zip(rows.to_list(), texts.to_list(), strict=True))
    whole = of_row
    if compared is not None:
        whole = dict(zip(rows.to_list(), compared.to_list(), strict=True))
    sentences = []
    for one in _examples(findings):
        row, like = one["row"], one["like"]
        ours, theirs = _words(of_row[row], of_row[like]) or _lines(whole[row], whole[like])
        kind = _SAID.get(one["differs_in"], one["differs_in"])
        sentences.append(f"kept apart by {kind}: row {row} ({ours}), row {like} ({theirs})")
    return replace(findings, sentences=(*findings.sentences, *sentences))


def _examples(findings: Findings) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = findings.numbers.get("kept_apart_examples", [])
    return found


def _words(one: str, other: str) -> tuple[str, str] | None:
    """The first place where two texts differ, with a few words around it; None: not in words."""
    ours, theirs = one.split(), other.split()
    blocks = difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()
    place = next((block for block in blocks if block[0] != "equal"), None)
    if place is None:
        return None
    _, low, high, start, end = place
    return _around(ours, low, high), _around(theirs, start, end)


def _around(words: list[str], low: int, high: int) -> str:
    first, last = max(low - _BESIDE, 0), min(max(high, low), low + _WORDS) + _BESIDE
    before, after = "… " if first else "", " …" if last < len(words) else ""
    return f'"{before}{" ".join(words[first:last])}{after}"'


def _lines(one: str, other: str) -> tuple[str, str]:
    """The first lines in which two texts differ, from a little before the place where they do."""
    pairs = zip_longest(one.splitlines(), other.splitlines(), fillvalue="")
    ours, theirs = next(((a, b) for a, b in pairs if a != b), ("", ""))
    same = zip(ours, theirs, strict=False)
    at = next((place for place, (a, b) in enumerate(same) if a != b), 0)
    low = at - _LINE // 2 if at > _LINE // 2 else 0
    return _line(ours[low:]), _line(theirs[low:])


def _line(line: str) -> str:
    """In quotes, so that its white space is seen."""
    shown = line if len(line) <= _LINE else line[: _LINE - 1] + "…"
    return '"' + shown.replace("\t", "\\t") + '"'
