"""One search answers what `near` judges and what it finds out about the set."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from curate.base.contract import Findings
from filters.dedup.clusters import cluster_findings, cluster_table, other_thresholds
from filters.dedup.keep import SPARED, VIEWS, keep_order
from filters.dedup.near.groups import Levels
from filters.dedup.near.search import Sketch, Texts, Twins, find_twins

if TYPE_CHECKING:
    from filters.dedup.near.filter import Near


class _Last(NamedTuple):
    """The latest answer, and what it was given; forgotten with its measures."""

    measures: weakref.ref[pl.DataFrame]
    step: Near
    found: Twins


# `findings` is asked right after `judge` about the same measures; a search takes seconds and its
# answer 50 bytes a row. One is enough.
_last: list[_Last] = []


def find(step: Near, measures: pl.DataFrame, known: pl.DataFrame | None = None) -> Twins:
    """Twins at the threshold and, as further levels, at those a step away.

    A twin counts from the first row of `known`, those of an index, then of `measures`; a `root`
    is a position in `measures`.
    """
    for last in _last:
        if last.measures() is measures and last.step == step:
            return last.found
    order = keep_order(measures, step.keep, step.by, step.name)
    count = 0 if known is None else known.height
    own = measures.select(_columns(measures))
    rows = own if known is None else pl.concat([known.select(own.columns), own])
    order = np.concatenate([np.arange(count), order + count])
    whole = find_twins(
        Texts(rows, count),
        order,
        Levels((step.level, *other_thresholds(step.level, strict=step.strict)), step.strict),
        Sketch(step.num_perm, step.seed, step.bands),
        chains=step.clusters == "connected",
    )
    root = whole.root[count:] - count
    found = Twins(whole.twin[:, count:], whole.score[:, count:], root, whole.exact)
    _last[:] = [_Last(weakref.ref(measures, _forget), step, found)]
    return found


def findings_of(
    step: Near,
    measures: pl.DataFrame,
    judged: pl.DataFrame,
    found: Twins,
    more: tuple[str, ...] = (),
    **numbers: Any,
) -> Findings:
    """The cluster table, and sentences on view, clusters and other thresholds."""
    table = cluster_table(measures, found.root, judged)
    others = other_thresholds(step.level, strict=step.strict)
    counts = [int((twin >= 0).sum()) for twin in found.twin[1:]]
    dropped = int((~judged["keep"]).sum())
    said = [*more]
    if step.spare == "same_prompt":
        said.append(SPARED)
    if not found.exact:
        said.append(
            "too many to compare all pairs; only those that share a band of their signatures were"
        )
    if step.similarity == "rouge_l":
        wordless = int((measures["tokens"].list.len() == 0).sum())
        numbers["without_tokens"] = wordless
        said += [_wordless(step, wordless)] if wordless else []
    return cluster_findings(
        _view(step),
        table,
        dropped,
        dict(zip(others, counts, strict=True)),
        tuple(said),
        exact=found.exact,
        thresholds={"threshold": step.level},
        **numbers,
    )


def _columns(measures: pl.DataFrame) -> list[str]:
    wanted = ("shingles", "tokens", "key", "group")
    return [name for name in wanted if name in measures.columns]


def _forget(gone: weakref.ref[pl.DataFrame]) -> None:
    _last[:] = [last for last in _last if last.measures is not gone]


def _view(step: Near) -> str:
    how = f"above {step.level:g}" if step.strict else f"from {step.level:g}"
    if step.similarity == "rouge_l":
        stems = " of word stems" if step.stem else ""
        return f"compared {VIEWS[step.field]}: ROUGE-L{stems} {how}"
    unit = "characters" if step.rule.unit == "char" else "words"
    return (
        f"compared {VIEWS[step.field]}: Jaccard similarity of runs of {step.rule.size} {unit}, "
        f"{how}"
    )


def _wordless(step: Near, count: int) -> str:
    hint = "; tokenizer: unicode reads other scripts" if step.tokenizer == "ascii" else ""
    return f"{count:,} rows have no token, so nothing is similar to them{hint}"
