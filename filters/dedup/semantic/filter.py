"""Records that say nearly the same as another one: cosine similarity of their vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from curate.base.contract import Judgement
from curate.base.settings import setting
from filters.common.arrays import F32, Bools, Floats, Ints
from filters.common.text import Field, view
from filters.common.vectors import (
    ENCODER_HELP,
    LEXICAL,
    check_encoder,
    embed,
    fingerprint,
    vector_column,
)
from filters.dedup.keep import (
    BY_HELP,
    KEEP_HELP,
    RECORD_SCORE,
    VIEWS,
    DuplicateFilter,
    Keep,
    cluster_findings,
    duplicate_verdicts,
    other_thresholds,
)
from filters.dedup.semantic.asks import PROTECTED, Asks, Protected, ask_columns, asks_of
from filters.dedup.semantic.search import EXACT_ROWS, find_alike, missed_pairs

# Cosines from which rows are duplicates, by encoder: as `benchmarks/planted.py` counts for the
# built-in one. An encoder of which nothing is known gets one that few models exceed by chance.
DEFAULTS = {LEXICAL: 0.92}
UNMEASURED = 0.95


@dataclass(frozen=True)
class Semantic(DuplicateFilter):
    """Drops records whose vector is close to that of one that is kept, and names it.

    Rows whose prompts differ in a number, a name or a negation are different, however close. Up to
    50,000 rows every pair is compared. Beyond, k-means puts the rows into buckets (SemDeDup, Abbas
    et al. 2023, arXiv 2303.09540) and pairs across buckets are missed; the report says how many by
    a sample. The built-in encoder finds other orders and endings of the same words, not other
    words of the same meaning: that takes a model.
    """

    name: ClassVar[str] = "semantic"
    reasons: ClassVar[Mapping[str, str]] = {
        "semantic_duplicate": "Its vector is nearly that of a record that is kept.",
    }
    reads: ClassVar[tuple[str, ...]] = ("messages",)
    cached: ClassVar[bool] = True
    version: ClassVar[int] = 2
    measured_by: ClassVar[tuple[str, ...]] = ("field", "encoder", "encoder_print", "with_length")

    threshold: float | None = setting(
        None,
        "cosine (above 0 to 1) from which a record is dropped; each encoder has a scale of its "
        "own; none given: 0.92 for lexical, which is measured, and 0.95 for any other",
        above=0,
        high=1,
    )
    protect: tuple[Protected, ...] = setting(
        PROTECTED,
        "what prompts may not differ in, however close they are: numbers, negations, names",
    )
    field: Field = setting(
        "both",
        "what is compared: the prompt, the response (under 40 characters only together with its "
        "prompt), or both; never the system prompt",
    )
    encoder: str = setting(LEXICAL, ENCODER_HELP, path=True)
    keep: Keep = setting("first", KEEP_HELP)
    by: str = setting(RECORD_SCORE, BY_HELP)
    seed: int = setting(0, "of the k-means buckets", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_encoder(self.name, self.encoder)

    @property
    def cosine(self) -> float:
        """The threshold, given or usual for the encoder."""
        usual = DEFAULTS.get(self.encoder, UNMEASURED)
        return usual if self.threshold is None else self.threshold

    @property
    def encoder_print(self) -> str:
        """What the cached vectors depend on beside the name of the encoder."""
        return fingerprint(self.name, self.encoder)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`vector`, of unit length; zeros for blank text. `numbers`, `negations` and `names`:
        codes of them in the prompt (with `field: response` in what is compared).

        With `keep: longest` also `length` in characters.
        """
        vectors = embed(self.name, self.encoder, view(records, self.field))
        asked = view(records, "response" if self.field == "response" else "prompt")
        columns = [vector_column(vectors), *ask_columns(asked), *self.lengths(records)]
        return pl.DataFrame(columns)

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """A row is dropped if its cosine to a kept row reaches the threshold.

        `duplicate_of` is the first such row in order of keeping. Findings: clusters, what 0.05
        more or less would drop, and what the buckets missed.
        """
        vectors, order = measures["vector"].to_numpy(), self.order(measures)
        names = measures["id"].gather(order)
        asks = asks_of(measures, self.protect)

        def decide(threshold: float) -> tuple[Ints, Floats]:
            instead, cosine = find_alike(
                vectors[order], names, threshold, self.seed, asks.take(order)
            )
            duplicate_of, score = np.full(len(order), -1, np.int64), np.full(len(order), np.nan)
            dropped = instead >= 0
            duplicate_of[order[dropped]] = order[instead[dropped]]
            score[order] = cosine
            return duplicate_of, score

        duplicate_of, score = decide(self.cosine)
        root = np.where(duplicate_of < 0, np.arange(len(order)), duplicate_of)
        verdicts = duplicate_verdicts(measures, "semantic_duplicate", duplicate_of, score, root)
        others = {
            other: int((decide(other)[0] >= 0).sum()) for other in other_thresholds(self.cosine)
        }
        sentences, numbers = self._missed(vectors, asks, duplicate_of < 0)
        view = f"compared {VIEWS[self.field]}: cosine from {self.cosine:g}"
        numbers |= {"encoder": self.encoder}
        findings = cluster_findings(view, measures, root, verdicts, others, sentences, **numbers)
        return Judgement(verdicts, findings)

    def _missed(
        self, vectors: F32, asks: Asks, keep: Bools
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """What comparing within buckets alone may have left, by a sample of the kept vectors."""
        if len(vectors) <= EXACT_ROWS:
            return (), {}
        missed, sample = missed_pairs(
            vectors[keep], self.cosine, self.seed, asks.take(np.flatnonzero(keep))
        )
        sentence = (
            f"beyond {EXACT_ROWS:,} rows pairs across buckets are not compared: of {sample:,} kept "
            f"rows {missed:,} have another within the threshold"
        )
        return (sentence,), {"sampled": sample, "missed": missed}
