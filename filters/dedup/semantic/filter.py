"""Records that say nearly the same as another one: cosine similarity of their vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from curate.base.contract import Findings, Judgement
from curate.base.settings import setting
from filters.common.arrays import F32, Bools, Ints
from filters.common.text import Field, plain, view
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
from filters.dedup.kept_apart import Apart, apart_findings, is_quoted, with_excerpts
from filters.dedup.protect import KINDS, Kind
from filters.dedup.semantic.asks import Asks, ask_columns
from filters.dedup.semantic.search import EXACT_ROWS, Alike, find_alike, missed_pairs

# Cosines from which rows are duplicates, by encoder: as `benchmarks/planted.py` counts for the
# built-in one. An encoder of which nothing is known gets one that few models exceed by chance.
DEFAULTS = {LEXICAL: 0.92}
UNMEASURED = 0.95


@dataclass(frozen=True)
class Semantic(DuplicateFilter):
    """Drops records whose vector is close to that of one that is kept, and names it.

    Rows that differ in what `protect` names, a number or a name of the prompt, say, are different,
    however close. Up to
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
    version: ClassVar[int] = 3
    measured_by: ClassVar[tuple[str, ...]] = ("field", "encoder", "encoder_print", "with_length")

    threshold: float | None = setting(
        None,
        "cosine (above 0 to 1) from which a record is dropped; each encoder has a scale of its "
        "own; none given: 0.92 for lexical, which is measured, and 0.95 for any other",
        above=0,
        high=1,
    )
    protect: tuple[Kind, ...] = setting(
        KINDS,
        "rows that differ in one of these are different, however close: in prompts numbers, "
        "negations (and opposites), signs, names; code and case (where it is asked for) in all "
        "that is compared",
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
        """`vector`, of unit length (zeros for blank text), and the codes of `ask_columns`: of the
        prompt, with `field: response` of what is compared.

        With `keep: longest` also `length` in characters.
        """
        compared, prompts = plain(view(records, self.field)), plain(view(records, "prompt"))
        asked = compared if self.field == "response" else prompts
        return pl.DataFrame(
            [
                vector_column(embed(self.name, self.encoder, compared)),
                *ask_columns(asked, prompts, compared),
                *self.lengths(records),
            ]
        )

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """A row is dropped if its cosine to a kept row reaches the threshold.

        `duplicate_of` is the first such row in order of keeping. Findings: clusters, what 0.05
        more or less would drop, what the buckets missed, and rows that `protect` keeps.
        """
        vectors, order = measures["vector"].to_numpy(), self.order(measures)
        names = measures["id"].gather(order)
        asks = Asks.of(measures, self.protect)

        def decide(threshold: float) -> Alike:
            found = find_alike(vectors[order], names, threshold, self.seed, asks.take(order))
            return found.by_position(order)

        duplicate_of, score, like = decide(self.cosine)
        root = np.where(duplicate_of < 0, np.arange(len(order)), duplicate_of)
        verdicts = duplicate_verdicts(measures, "semantic_duplicate", duplicate_of, score, root)
        others = {
            other: int((decide(other).duplicate_of >= 0).sum())
            for other in other_thresholds(self.cosine)
        }
        sentences, numbers = self._missed(vectors, asks, duplicate_of < 0)
        view = f"compared {VIEWS[self.field]}: cosine from {self.cosine:g}"
        said, counts = apart_findings(_apart(asks, like), measures["row"])
        numbers |= {"encoder": self.encoder} | counts
        findings = cluster_findings(
            view, measures, root, verdicts, others, (*sentences, *said), **numbers
        )
        return Judgement(verdicts, findings, quoted=is_quoted(findings, measures["row"]))

    def quote(self, findings: Findings, records: pl.DataFrame, measures: pl.DataFrame) -> Findings:
        """The findings with the words in which rows that were kept apart differ."""
        compared = plain(view(records, self.field))
        asked = compared if self.field == "response" else plain(view(records, "prompt"))
        return with_excerpts(findings, measures["row"], asked, compared)

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


def _apart(asks: Asks, like: Ints) -> list[Apart]:
    """Rows that are kept although `like` (-1: no row) is kept and as close."""
    rows = np.flatnonzero(like >= 0)
    kinds = asks.first_kinds(rows, like[rows])
    pairs = zip(rows.tolist(), like[rows].tolist(), kinds, strict=True)
    return [Apart(row, other, kind) for row, other, kind in pairs if kind is not None]
