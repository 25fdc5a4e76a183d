"""What `near` says about the whole set: clusters, what was not compared, what was kept apart."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from curate.base.contract import Findings
from filters.common.text import block
from filters.dedup.keep import EXEMPTED, VIEWS, cluster_findings, other_thresholds
from filters.dedup.near.differences import ANSWER, QUESTION
from filters.dedup.near.guard import Rejected
from filters.dedup.near.search import Duplicates
from filters.dedup.near.settings import NearSettings

# Examples of rows that were kept apart, and texts that were not compared, that are shown.
SHOWN = 3
_BESIDE = 3  # words shown on either side of a difference
_LINE = 60  # characters shown of a line
_EXCERPT = 12  # words shown of a text that was not compared


class Apart(NamedTuple):
    """Rows, by position, that are kept although a kept one is similar: that one, and in what."""

    row: int
    other: int
    kind: str


def kept_apart(
    rejected: list[Rejected], keep: pl.Series, level: float, strict: bool
) -> list[Apart]:
    """The rows that are kept for a difference, each with the first kept row that it is like.

    Rows of an index, below 0, are kept.
    """
    found: dict[int, tuple[int, str]] = {}
    is_kept = keep.to_numpy()
    for pairs in rejected:
        enough = pairs.score > level if strict else pairs.score >= level
        kept = ((pairs.lower < 0) | is_kept[pairs.lower]) & is_kept[pairs.higher]
        for at in np.flatnonzero(enough & kept).tolist():
            pair = int(pairs.lower[at]), pairs.kind[at]
            row = int(pairs.higher[at])
            found[row] = min(found.get(row, pair), pair)
    return [Apart(row, *found[row]) for row in sorted(found)]


def near_findings(
    step: NearSettings,
    measures: pl.DataFrame,
    verdicts: pl.DataFrame,
    duplicates: Duplicates,
    apart: list[Apart],
    more: tuple[str, ...] = (),
    **numbers: Any,
) -> Findings:
    """Sentences on view, clusters, other thresholds and differences, and the table `clusters`."""
    others = other_thresholds(step.level, strict=step.strict)
    counts = (duplicates.duplicate_of[1:] >= 0).sum(axis=1).tolist()
    sentences = [*more]
    if step.exempt == "same_prompt":
        sentences.append(EXEMPTED)
    if not duplicates.exact:
        sentences.append(
            "too many to compare all pairs; only those that share a band of their signatures were"
        )
    if step.similarity == "rouge_l":
        wordless = int((measures["tokens"].list.len() == 0).sum())
        numbers["without_tokens"] = wordless
        sentences += [_wordless(step, wordless)] if wordless else []
    if duplicates.boilerplate.height:
        sentences.append(_left_out(duplicates.boilerplate))
        numbers["boilerplate"] = _texts(measures, duplicates.boilerplate)
    if apart:
        sentences.append(_apart(apart))
        numbers["kept_apart"] = dict(Counter(row.kind for row in apart).most_common())
        numbers["kept_apart_examples"] = [
            {"row": measures["row"][row], "like": measures["row"][other], "differs_in": kind}
            for row, other, kind in examples(apart)
        ]
    return cluster_findings(
        _view(step),
        measures,
        duplicates.root,
        verdicts,
        dict(zip(others, counts, strict=True)),
        tuple(sentences),
        exact=duplicates.exact,
        thresholds={"threshold": step.level},
        **numbers,
    )


def examples(apart: list[Apart]) -> list[Apart]:
    """The first row of each kind, of the commonest kinds; of known rows (below 0) none."""
    ours = [row for row in apart if row.other >= 0]
    kinds = Counter(row.kind for row in ours).most_common(SHOWN)
    return [next(row for row in ours if row.kind == kind) for kind, _ in kinds]


def quoted_rows(findings: Findings) -> set[int]:
    """The `row` of every example whose text completes the findings."""
    rows = {int(one[name]) for one in _examples(findings) for name in ("row", "like")}
    return rows | {int(text["row"]) for text in findings.numbers.get("boilerplate", [])}


def quoted(findings: Findings, rows: pl.Series, texts: pl.Series, compared: pl.Series) -> Findings:
    """The findings with texts of examples: `texts` differ in them, `compared` has boilerplate."""
    of_row = dict(zip(rows.to_list(), texts.to_list(), strict=True))
    whole = dict(zip(rows.to_list(), compared.to_list(), strict=True))
    numbers = dict(findings.numbers)
    sentences = list(findings.sentences)
    for one in _examples(findings):
        row, like = one["row"], one["like"]
        ours, theirs = _difference(of_row[row], of_row[like]) or _lines(whole[row], whole[like])
        sentences.append(
            f"kept apart by {one['differs_in']}: row {one['row']} ({ours}), row {one['like']} "
            f"({theirs})"
        )
    shown = [
        dict(text) | {"text": _excerpt(whole[text["row"]], text["first_word"], text["words"])}
        for text in findings.numbers.get("boilerplate", [])
    ]
    sentences += [f'not compared: "{text["text"]}", in {text["rows"]:,} rows' for text in shown]
    if shown:
        numbers["boilerplate"] = shown
    return Findings(tuple(sentences), numbers, findings.tables)


def _examples(findings: Findings) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = findings.numbers.get("kept_apart_examples", [])
    return found


def _difference(one: str, other: str) -> tuple[str, str] | None:
    """The first place where two texts differ, with a few words around it; None: not in words."""
    ours, theirs = one.split(), other.split()
    blocks = difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()
    place = next((block for block in blocks if block[0] != "equal"), None)
    if place is None:
        return None
    _, low, high, start, end = place
    return _around(ours, low, high), _around(theirs, start, end)


def _lines(one: str, other: str) -> tuple[str, str]:
    """The first lines in which two texts differ."""
    pairs = zip_longest(one.splitlines(), other.splitlines(), fillvalue="")
    ours, theirs = next(((a, b) for a, b in pairs if a != b), ("", ""))
    return f'"{ours[:_LINE]}"', f'"{theirs[:_LINE]}"'


def _around(words: list[str], low: int, high: int) -> str:
    first, last = max(low - _BESIDE, 0), min(max(high, low), low + _EXCERPT) + _BESIDE
    before, after = "… " if first else "", " …" if last < len(words) else ""
    return f'"{before}{" ".join(words[first:last])}{after}"'


def _excerpt(text: str, first: int, words: int) -> str:
    known = block(pl.Series([text]), words_only=True).rows()[0].decode().split()
    shown = known[first : first + min(words, _EXCERPT)]
    return " ".join(shown) + (" …" if words > _EXCERPT else "")


def _texts(measures: pl.DataFrame, boilerplate: pl.DataFrame) -> list[dict[str, int]]:
    shown = boilerplate.filter(pl.col("row") >= 0).head(SHOWN)
    row = measures["row"].gather(shown["row"])
    named = shown.select(row=row, first_word="first", words="words", rows="rows")
    return [{name: int(value) for name, value in line.items()} for line in named.to_dicts()]


def _left_out(texts: pl.DataFrame) -> str:
    words, rows = texts.row(0, named=True)["words"], texts.row(0, named=True)["rows"]
    first = f"a text of {words:,} words stands in {rows:,} rows; it is not compared"
    others = texts.height - 1
    if not others:
        return first
    return f"{first}, nor {'is' if others == 1 else 'are'} {others:,} more texts in several rows"


def _apart(apart: list[Apart]) -> str:
    kinds = Counter(row.kind for row in apart).most_common()
    what = ", ".join(f"{_SAID.get(kind, kind)} {count:,}" for kind, count in kinds)
    rows = "row is" if len(apart) == 1 else "rows are"
    return f"{len(apart):,} {rows} like a kept one and kept, for what differs: {what}"


_SAID = {QUESTION: "another question", ANSWER: "another answer"}


def _view(step: NearSettings) -> str:
    how = f"above {step.level:g}" if step.strict else f"from {step.level:g}"
    if step.similarity == "rouge_l":
        stems = " of word stems" if step.stem else ""
        return f"compared {VIEWS[step.field]}: ROUGE-L{stems} {how}"
    unit = "characters" if step.rule.unit == "char" else "words"
    return (
        f"compared {VIEWS[step.field]}: Jaccard similarity of runs of {step.rule.size} {unit}, "
        f"{how}"
    )


def _wordless(step: NearSettings, count: int) -> str:
    hint = "; tokenizer: unicode reads other scripts" if step.tokenizer == "ascii" else ""
    return f"{count:,} rows have no token, so nothing is similar to them{hint}"
