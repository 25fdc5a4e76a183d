"""What `near` judges by, and what it reports about the set: one search answers both."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from curate.base.contract import Findings
from filters.dedup.keep import EXEMPTED, VIEWS, cluster_findings, other_thresholds
from filters.dedup.near.groups import Levels
from filters.dedup.near.search import Duplicates, Sketch, Texts, find_duplicates
from filters.dedup.near.settings import NearSettings


def decide(
    step: NearSettings, measures: pl.DataFrame, known: pl.DataFrame | None = None
) -> Duplicates:
    """Duplicates at the threshold and, as further levels, at those a step away.

    `duplicate_of` counts from the first row of `known`, those of an index, then of `measures`; a
    `root` is a position in `measures`.
    """
    count = 0 if known is None else known.height
    columns = [name for name in ("shingles", "tokens", "key", "group") if name in measures.columns]
    rows = measures.select(columns)
    if known is not None:
        rows = pl.concat([known.select(columns), rows])
    duplicates = find_duplicates(
        Texts(rows, count),
        np.concatenate([np.arange(count), step.order(measures) + count]),
        Levels((step.level, *other_thresholds(step.level, strict=step.strict)), step.strict),
        Sketch(step.num_perm, step.seed, step.bands),
        chains=step.clusters == "connected",
    )
    return duplicates._replace(
        duplicate_of=duplicates.duplicate_of[:, count:],
        score=duplicates.score[:, count:],
        root=duplicates.root[count:] - count,
    )


def findings_of(
    step: NearSettings,
    measures: pl.DataFrame,
    verdicts: pl.DataFrame,
    duplicates: Duplicates,
    more: tuple[str, ...] = (),
    **numbers: Any,
) -> Findings:
    """The cluster table, and sentences on view, clusters and other thresholds."""
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
