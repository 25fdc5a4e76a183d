"""What `near` says about the whole set: clusters, what was not compared, what was kept apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from curate.base.contract import Findings
from filters.common.text import block
from filters.dedup.keep import EXEMPTED, VIEWS, cluster_findings, other_thresholds
from filters.dedup.kept_apart import SHOWN, Apart, apart_findings, example_rows, with_excerpts
from filters.dedup.near.guard import Rejected
from filters.dedup.near.search import Duplicates
from filters.dedup.near.settings import NearSettings

_EXCERPT = 12  # words shown of a text that was not compared


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
    said, by_kind = apart_findings(apart, measures["row"])
    return cluster_findings(
        _view(step),
        measures,
        duplicates.root,
        verdicts,
        dict(zip(others, counts, strict=True)),
        (*sentences, *said),
        exact=duplicates.exact,
        thresholds={"threshold": step.level},
        **by_kind,
        **numbers,
    )


def quoted_rows(findings: Findings) -> set[int]:
    """The `row` of every example whose text completes the findings."""
    texts = findings.numbers.get("boilerplate", [])
    return example_rows(findings) | {int(text["row"]) for text in texts}


def quoted(findings: Findings, rows: pl.Series, texts: pl.Series, compared: pl.Series) -> Findings:
    """The findings with texts of examples: `texts` differ in them, `compared` has boilerplate."""
    findings = with_excerpts(findings, rows, texts, compared)
    whole = dict(zip(rows.to_list(), compared.to_list(), strict=True))
    shown = [
        dict(text) | {"text": _excerpt(whole[text["row"]], text["first_word"], text["words"])}
        for text in findings.numbers.get("boilerplate", [])
    ]
    if not shown:
        return findings
    sentences = [f'not compared: "{text["text"]}", in {text["rows"]:,} rows' for text in shown]
    return replace(
        findings,
        sentences=(*findings.sentences, *sentences),
        numbers={**findings.numbers, "boilerplate": shown},
    )


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
