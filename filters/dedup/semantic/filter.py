"""Records that say nearly the same as another one: cosine similarity of their vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from curate.base.contract import Filter, Findings, Judgement
from curate.base.errors import CurateError
from curate.base.settings import setting
from filters.common.text import view
from filters.common.vectors import (
    ENCODER_HELP,
    LEXICAL,
    check_encoder,
    embed,
    fingerprint,
    vector_column,
)
from filters.dedup.keep import (
    FIELDS,
    RECORD_SCORE,
    check_choice,
    check_keep,
    duplicate_verdicts,
    keep_order,
    lengths,
)
from filters.dedup.semantic.search import EXACT_ROWS, F64, I64, find_alike, missed_pairs

STEP = 0.05  # of the threshold, for the report


@dataclass(frozen=True)
class Semantic(Filter):
    """Drops records whose vector is close to that of one that stays, and names it.

    Up to 50,000 rows every pair is compared. Beyond, k-means puts the rows into buckets (SemDeDup,
    Abbas et al. 2023, arXiv 2303.09540) and pairs across buckets are missed; the report says how
    many by a sample. The built-in encoder finds other orders and endings of the same words, not
    other words of the same meaning: that takes a model.
    """

    name: ClassVar[str] = "semantic"
    reasons: ClassVar[Mapping[str, str]] = {
        "semantic_duplicate": "Its vector is nearly that of a record that stays.",
    }
    version: ClassVar[int] = 1
    cached: ClassVar[bool] = True
    measured_by: ClassVar[tuple[str, ...]] = ("field", "encoder", "encoder_print")

    threshold: float = setting(
        0.95, "cosine (above 0 to 1) from which a record goes; each encoder has a scale of its own"
    )
    field: Literal["prompt", "response", "both"] = setting(
        "both",
        "what is compared: the prompt, the response (under 40 characters only together with its "
        "prompt), or both; never the system prompt",
        choices=FIELDS,
    )
    encoder: str = setting(LEXICAL, ENCODER_HELP, path=True)
    keep: Literal["first", "longest", "best"] = setting(
        "first",
        "which row stays: the first of the input, the longest, or the best by a score",
        choices=("first", "longest", "best"),
    )
    by: str = setting(RECORD_SCORE, "for keep: best, the measure that is best when highest")
    seed: int = setting(0, "of the k-means buckets")

    def __post_init__(self) -> None:
        check_choice(self.name, "field", self.field, FIELDS)
        check_keep(self.name, self.keep, self.by)
        if not 0 < self.threshold <= 1:
            raise CurateError(
                f"semantic: threshold is {self.threshold}; expected a number above 0, at most 1"
            )
        if self.seed < 0:
            raise CurateError(f"semantic: seed is {self.seed}; expected 0 or more")
        check_encoder(self.name, self.encoder)

    @property
    def needs(self) -> tuple[str, ...]:
        """Measures of other steps that `judge` reads."""
        return (self.by,) if self.keep == "best" else ()

    @property
    def encoder_print(self) -> str:
        """What the cached vectors depend on beside the name of the encoder."""
        return fingerprint(self.name, self.encoder)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`vector` (of unit length; zeros for blank text) and `length` in characters."""
        vectors = embed(self.name, self.encoder, view(records, self.field))
        return pl.DataFrame([vector_column(vectors), lengths(records)])

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """See `Filter.judge`."""
        judged = self._verdicts(measures)
        return Judgement(judged, self._findings(measures, judged))

    def _verdicts(self, measures: pl.DataFrame) -> pl.DataFrame:
        """A row goes if its cosine to a row that stays reaches the threshold.

        Its twin is the first such row in order of keeping.
        """
        twin, score = self._find(measures, self.threshold)
        root = np.where(twin < 0, np.arange(len(twin)), twin)
        return duplicate_verdicts(measures, "semantic_duplicate", twin, score, root)

    def _find(self, measures: pl.DataFrame, threshold: float) -> tuple[I64, F64]:
        order = keep_order(measures, self.keep, self.by, self.name)
        vectors = measures["vector"].to_numpy()[order]
        names = measures["id"].gather(order)
        found, score = find_alike(vectors, names, threshold, self.seed)
        twin, similarity = np.full(len(order), -1, np.int64), np.full(len(order), np.nan)
        goes = found >= 0
        twin[order[goes]] = order[found[goes]]
        similarity[order] = score
        return twin, similarity

    def _findings(self, measures: pl.DataFrame, judged: pl.DataFrame) -> Findings:
        """Clusters, what 0.05 more or less would drop, and what the buckets missed."""
        dropped = int((~judged["keep"]).sum())
        near = {}
        for threshold in (self.threshold - STEP, self.threshold + STEP):
            if 0 < threshold <= 1:
                near[f"{threshold:.2f}"] = int((self._find(measures, threshold)[0] >= 0).sum())
        said = ", ".join(f"{count:,} at {threshold}" for threshold, count in near.items())
        sentences = [f"drops {dropped:,} at {self.threshold:.2f}; {said}"]
        numbers = {"dropped": dropped, "dropped_at": near, "encoder": self.encoder}
        if measures.height > EXACT_ROWS:
            kept = measures["vector"].to_numpy()[judged["keep"].to_numpy()]
            missed, sample = missed_pairs(kept, self.threshold, self.seed)
            sentences.append(
                f"beyond {EXACT_ROWS:,} rows pairs across buckets are not compared: of {sample:,} "
                f"rows that stay {missed:,} have another within the threshold"
            )
            numbers |= {"sampled": sample, "missed": missed}
        return Findings(tuple(sentences), numbers, {"clusters": _clusters(measures, judged)})


def _clusters(measures: pl.DataFrame, judged: pl.DataFrame) -> pl.DataFrame:
    """`row`, `id`, `cluster` (the row that stays), `kept`, `similarity` to it, of all clusters of
    more than one row."""
    table = measures.select(
        "row",
        "id",
        cluster=pl.coalesce(judged["duplicate_of"], "row"),
        kept=judged["keep"],
        similarity=judged["score"],
    )
    return table.filter(pl.len().over("cluster") > 1).sort("cluster", "row")
