"""Records that nearly repeat another one: Jaccard similarity of shingle sets, or ROUGE-L."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from curate.base.contract import Filter, Findings, Judgement, Read
from curate.base.errors import CurateError
from curate.base.settings import values_of
from filters.common.arrays import U64, Bools, Floats, Ints
from filters.common.shingles import Runs, joined, run_keys, sets_of_column, shingle_runs
from filters.common.text import (
    SHORT_RESPONSE,
    answers,
    bare,
    block_ranges,
    in_threads,
    keys,
    plain,
    view,
)
from filters.dedup.differences.words import code_shapes, word_lists
from filters.dedup.keep import duplicate_verdicts, other_thresholds, prompt_groups
from filters.dedup.near.findings import kept_apart, near_findings, quoted, quoted_rows
from filters.dedup.near.groups import Levels
from filters.dedup.near.index import ORIGIN, Index, batch_name
from filters.dedup.near.minhash import signatures
from filters.dedup.near.rouge import token_keys, token_lists
from filters.dedup.near.search import NUMBERS, Duplicates, Looks, Sketch, Texts, find_duplicates
from filters.dedup.near.settings import NearSettings
from filters.dedup.protect import case_codes

_U64 = pl.Series([None], dtype=pl.UInt64)
# The settings that say what is compared: an index must have been made with the same.
_COMPARED = (
    *("similarity", "field", "short", "shingle", "size", "tokenizer", "stem", "exempt"),
    "protected",
)
# The columns of measures that are compared.
COMPARED = ("shingles", "tokens", "key", "group", "words", "answer", "numbers")
# Characters of an answer below which its words are looked at too.
LONG_ANSWER = 200


@dataclass(frozen=True)
class Near(NearSettings):
    """Drops records that are truly similar to one that is kept, and names it.

    The default looks at whole conversations by runs of three words. Word 5-grams, usual for web
    pages, are blind to instructions of a line; characters find "Austria" and "Australia" alike.
    With `similarity: rouge_l` it is the rule of Self-Instruct and Alpaca: F1 of the longest common
    subsequence of tokens, as the package rouge-score computes it.

    With an `index`, records that are similar to one that an earlier run curated are dropped too,
    and those that the whole run keeps are added to it. A run over the very same records finds the
    index as it was before they were added, so it can be repeated.
    """

    reasons: ClassVar[Mapping[str, str]] = {
        "near_duplicate": "Its text is nearly that of a record that is kept.",
        "already_curated": "Its text is nearly that of a record in the index of earlier runs.",
    }
    reads: ClassVar[tuple[str, ...]] = ("messages", "tools")
    version: ClassVar[int] = 4
    cached: ClassVar[bool] = True
    measured_by: ClassVar[tuple[str, ...]] = (*_COMPARED, "with_length")

    def bind(self, read: Read) -> Filter:
        """With an index, the filter that knows it; raises `CurateError` if it does not fit."""
        return self if self.index is None else IndexedNear(**values_of(self, Near))

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`shingles` (32-bit hashes in the order of the text) and `key` (64 bits, equal for equal).

        Text too short for shingles has none, and the `key` of its normal form; where there is no
        text at all the key is null. For ROUGE-L `tokens` (64-bit hashes) take the place of
        shingles, and the key is null without tokens.

        What is protected needs `words` (see `word_lists`) of the prompt, or of what is compared,
        and `answer`, those of a short answer. `numbers` holds how many shingles begin in the
        prompt, a code of the code, and one of the text in its case where case was asked for. With
        `keep: longest` there is a `length` in characters too, with `exempt` a `group`.

        Signatures follow from the shingles, faster than they could be stored and read again (128
        of 4 bytes are more than most shingle sets): see `signature_column`.
        """
        return pl.DataFrame([*self.compared(records), *self.lengths(records)])

    def compared(self, records: pl.DataFrame) -> list[pl.Series]:
        """Of what is measured the columns that are compared; an index has the same."""
        spoken = self._spoken(records)
        texts = self._plain(spoken)
        # Each is made in steps, some of which take one core alone.
        works = (partial(self._content, texts), partial(self._guards, records, spoken, texts))
        content, guards = in_threads(works, lambda work: work())
        columns = _with_numbers([*content, *guards])
        if self.exempt == "same_prompt":
            columns.append(prompt_groups(records))
        return columns

    def _texts(self, records: pl.DataFrame) -> list[pl.Series]:
        """The texts that make up what is compared of each row."""
        return self._plain(self._spoken(records))

    def _spoken(self, records: pl.DataFrame) -> list[pl.Series]:
        """The same as they are written."""
        if self.field == "both":
            return [view(records, "prompt"), answers(records)]
        if self.field == "response" and self.short == "alone":
            return [answers(records)]
        return [view(records, self.field)]

    def _plain(self, spoken: list[pl.Series]) -> list[pl.Series]:
        return spoken if self.similarity == "rouge_l" else [plain(text) for text in spoken]

    def _content(self, texts: list[pl.Series]) -> list[pl.Series]:
        if self.similarity == "rouge_l":
            tokens = token_lists(_together(texts), self.tokenizer, stem=self.stem)
            key = pl.Series("key", token_keys(tokens), dtype=pl.UInt64)
            return [tokens, key.zip_with(tokens.list.len() > 0, _U64)]
        sizes = pl.sum_horizontal(pl.Series(text).str.len_bytes() for text in texts)
        total = pl.select(sizes).to_series()
        parts = [[text[low:high] for text in texts] for low, high in block_ranges(total)]

        def of_part(part: list[pl.Series]) -> tuple[Runs, U64]:
            runs = shingle_runs(part, self.rule)
            return runs, run_keys(runs)

        found = in_threads(parts, of_part)
        every = joined([runs for runs, _ in found])
        own = np.concatenate([np.zeros(0, np.uint64), *(keys for _, keys in found)])
        key = pl.Series("key", own, dtype=pl.UInt64)
        return [
            every.column("shingles"),
            _with_short(key, texts, every.sizes == 0),
            pl.Series("cut", every.cuts.astype(np.uint64)),
        ]

    def _guards(
        self, records: pl.DataFrame, spoken: list[pl.Series], texts: list[pl.Series]
    ) -> list[pl.Series]:
        """What says in which of the protected kinds two rows differ."""
        kinds, columns, both = self.protected, [], self.field == "both"
        if kinds:
            columns.append(word_lists(texts[0], "words"))
        if (kinds and both) or (self.field == "response" and self.short == "both"):
            columns.append(self._short_answers(spoken[1] if both else answers(records)))
        if "code" in kinds or "case" in kinds:
            together = _together(texts)
        if "code" in kinds:
            columns.append(code_shapes(together).alias("code"))
        if "case" in kinds:
            prompts = view(records, "prompt") if self.field == "response" else spoken[0]
            columns.append(case_codes(prompts, together).alias("case"))
        return columns

    def _short_answers(self, said: pl.Series) -> pl.Series:
        """The words (for ROUGE-L the tokens) of answers too short for shingles to tell."""
        short = said.str.len_chars() < (SHORT_RESPONSE if self.field == "response" else LONG_ANSWER)
        said = said.zip_with(short, pl.Series([""]))
        if self.similarity == "rouge_l":
            return token_lists(said, self.tokenizer, stem=self.stem).alias("answer")
        return word_lists(plain(said), "answer")

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """A row is dropped only if its true similarity to a kept row reaches the threshold.

        `duplicate_of` is the first such row in order of keeping. Findings: how many clusters there
        are, the table `clusters`, and how many rows thresholds 0.05 away would drop; those are
        decided, not estimated, in the same search.
        """
        duplicates = decide(self, measures)
        verdicts = duplicate_verdicts(
            measures,
            "near_duplicate",
            duplicates.duplicate_of[0],
            duplicates.score[0],
            duplicates.root,
        )
        return judgement(self, measures, verdicts, duplicates)

    def quote(self, findings: Findings, records: pl.DataFrame, measures: pl.DataFrame) -> Findings:
        """The findings with the words in which rows that were kept apart differ, and excerpts of
        text that was not compared."""
        texts = self._texts(records)
        return quoted(findings, measures["row"], texts[0], _together(texts))


@dataclass(frozen=True, repr=False)
class IndexedNear(Near):
    """`near` with its index: `judge` compares with it too, `remember` adds what the run kept."""

    # The batch that `judge` saw last, for `remember`; empty before.
    judged: list[str] = field(default_factory=list, init=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.folder.batches()

    def __repr__(self) -> str:
        return repr(Near(**values_of(self, Near)))

    @property
    def folder(self) -> Index:
        """The index, with the settings that it must have been made with."""
        settings = {name: getattr(self, name) for name in _COMPARED}
        settings["protected"] = [*self.protected]  # as JSON gives it back
        return Index(Path(self.index or ""), settings | {"measure": self.version})

    @property
    def remembers_in(self) -> str:
        """The index's folder, whatever way the recipe names it."""
        return str(self.folder.path.resolve())

    def bind(self, read: Read) -> Filter:
        """The same: it is bound already."""
        return self

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """As `Near.judge`, for the records of the index and these.

        Of a row that is dropped for one of the index `duplicate_of` is null; the evidence names
        that record's id and where it came from.
        """
        batch = batch_name(measures["id"])
        self.judged[:] = [batch]
        known = self.folder.read(self.folder.before(batch))
        count = 0 if known is None else known.height
        duplicates = decide(self, measures, known)
        duplicate_of, score = duplicates.duplicate_of[0], duplicates.score[0]
        own = np.where(duplicate_of >= count, duplicate_of - count, -1)
        verdicts = duplicate_verdicts(measures, "near_duplicate", own, score, duplicates.root)
        if known is not None and count:
            verdicts = _with_curated(verdicts, known, duplicate_of, score)
        curated = int((verdicts["reason"] == "already_curated").sum())
        # The same words the first time and again: a run that is repeated gives the same bytes.
        sentence = (
            f"{curated:,} rows are nearly one of {count:,} that the index had before a first run "
            "over these very rows"
        )
        numbers = {"curated_before": count, "already_curated": curated}
        return judgement(self, measures, verdicts, duplicates, (sentence,), **numbers)

    def remember(self, records: pl.DataFrame) -> None:
        """Add these records to the index, as the batch of the records judged.

        A run that kept nothing adds an empty batch: its place says what the index was before it.
        """
        if not self.judged:
            raise CurateError("near: nothing was judged, so there is no batch to add to the index")
        (batch,) = self.judged
        rows = records.select(ORIGIN).with_columns(self.compared(records))
        self.folder.add(batch, rows)


def decide(step: Near, measures: pl.DataFrame, known: pl.DataFrame | None = None) -> Duplicates:
    """Duplicates at the threshold and, as further levels, at those a step away.

    `duplicate_of` counts from the first row of `known`, those of an index, then of `measures`; a
    `root` is a position in `measures`.
    """
    count = 0 if known is None else known.height
    columns = [name for name in COMPARED if name in measures.columns]
    rows = measures.select(columns)
    if known is not None:
        rows = pl.concat([known.select(columns), rows])
    looks = Looks(step.rule, step.protected, step.boilerplate_rows, both=step.field == "both")
    duplicates = find_duplicates(
        Texts(rows, looks, count),
        np.concatenate([np.arange(count), step.order(measures) + count]),
        Levels((step.level, *other_thresholds(step.level, strict=step.strict)), step.strict),
        Sketch(step.num_perm, step.seed, step.bands),
        chains=step.clusters == "connected",
    )
    return duplicates._replace(
        duplicate_of=duplicates.duplicate_of[:, count:],
        score=duplicates.score[:, count:],
        root=duplicates.root[count:] - count,
        rejected=[
            pairs._replace(lower=pairs.lower - count, higher=pairs.higher - count)
            for pairs in duplicates.rejected
        ],
        boilerplate=duplicates.boilerplate.with_columns(pl.col("row") - count),
    )


def judgement(
    step: Near,
    measures: pl.DataFrame,
    verdicts: pl.DataFrame,
    duplicates: Duplicates,
    more: tuple[str, ...] = (),
    **numbers: Any,
) -> Judgement:
    """The verdicts, with what there is to say of the set, and the rows that examples quote."""
    apart = kept_apart(duplicates.rejected, verdicts["keep"], step.level, step.strict)
    findings = near_findings(step, measures, verdicts, duplicates, apart, more, **numbers)
    shown = quoted_rows(findings)
    is_shown = measures["row"].is_in(sorted(shown)) if shown else None
    return Judgement(verdicts, findings, quoted=is_shown)


def _with_curated(
    verdicts: pl.DataFrame, known: pl.DataFrame, duplicate_of: Ints, score: Floats
) -> pl.DataFrame:
    """The verdicts, with those on rows that are dropped for one of the first rows, `known`."""
    curated = pl.Series((duplicate_of >= 0) & (duplicate_of < known.height))
    origin = known.select(pl.format("{} at {}:{}", "id", "source", "line")).to_series()
    origin = origin.gather(np.where(curated, duplicate_of, 0))
    return verdicts.with_columns(
        keep=pl.col("keep") & ~curated,
        reason=pl.when(curated).then(pl.lit("already_curated")).otherwise("reason"),
        score=pl.when(curated).then(pl.Series(score)).otherwise("score"),
        evidence=pl.when(curated).then(origin).otherwise("evidence"),
    )


def signature_column(step: Near, measures: pl.DataFrame) -> pl.Series:
    """The MinHash signature of each row, an array of `num_perm` 32-bit numbers.

    Equal to `datasketch.MinHash(num_perm, seed, hashfunc=shingle_hash).hashvalues` for the row's
    shingles; that of an empty set for text too short for them. `measures` may be a batch of an
    index. Raises `CurateError` for ROUGE-L, which has no shingles.
    """
    if "shingles" not in measures.columns:
        raise CurateError(f"near: similarity: {step.similarity} has no shingles, so no signatures")
    values = signatures(sets_of_column(measures["shingles"]), step.num_perm, step.seed)
    return pl.Series("signature", values, pl.Array(pl.UInt32, step.num_perm))


def _with_numbers(columns: list[pl.Series]) -> list[pl.Series]:
    """`cut`, `code` and `case` as one array, which nobody but `judge` is given; 0 for none."""
    by_name = {column.name: column for column in columns}
    named = [by_name.pop(name, None) for name in NUMBERS]
    if all(column is None for column in named):
        return columns
    values = np.zeros((len(columns[0]), len(NUMBERS)), np.uint64)
    for place, column in enumerate(named):
        if column is not None:
            values[:, place] = column.fill_null(0).to_numpy()
    return [*by_name.values(), pl.Series("numbers", values, pl.Array(pl.UInt64, len(NUMBERS)))]


def _together(texts: list[pl.Series]) -> pl.Series:
    """One text a row."""
    if len(texts) == 1:
        return texts[0]
    frame = pl.DataFrame([text.alias(str(number)) for number, text in enumerate(texts)])
    return frame.select(pl.concat_str(pl.all(), separator="\n\n")).to_series()


def _with_short(key: pl.Series, texts: list[pl.Series], is_short: Bools) -> pl.Series:
    short = pl.Series(np.flatnonzero(is_short), dtype=pl.UInt32)
    words = _together([text.gather(short) for text in texts])
    own = pl.Series(keys(bare(words), normalise=True), dtype=pl.UInt64)
    is_blank = words.str.strip_chars() == ""
    return key.scatter(short, own.zip_with(~is_blank, _U64))
