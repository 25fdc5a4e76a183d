"""Rules for single conversations: is it whole, is it an answer, is it free of debris?

The rules are those of AlpacaDataCleaned and of common clean-up scripts for instruction data, each
checked by reading what it drops. Rules for web pages (Gopher, C4, FineWeb) are off unless named:
"at least 50 words" drops most short answers, "no braces" all code, "ends in punctuation" all lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from curate.base.contract import Filter, Judgement, verdicts
from curate.base.errors import CurateError, nearest
from curate.base.settings import setting
from filters.quality import answers, asked, counts, demands, prompts, signs
from filters.quality.pii import pii
from filters.quality.reasons import OFF, REASONS, REPORTED
from filters.quality.refusal import refusals
from filters.quality.repetition import loops, repeated_share
from filters.quality.results import wrong_result
from filters.quality.rules import PATTERNS, matches
from filters.quality.turns import Turns, turns_of
from filters.quality.validators import invalid_formats
from filters.quality.web_rules import SETS as PAGE_SETS
from filters.quality.web_rules import check_splitter, page_rules

SETS: Mapping[str, tuple[str, ...]] = {**PAGE_SETS, **counts.SETS}

_COUNTED: Mapping[str, Callable[[Turns], pl.DataFrame]] = {
    "no_user_turn": answers.no_user_turn,
    "no_answer": answers.no_answer,
    "empty_response": answers.empty_response,
    "placeholder_response": answers.placeholder_response,
    "repeats_prompt": answers.repeats_prompt,
    "loop": loops,
    "unclosed_fence": answers.unclosed_fence,
    "unpaired_think": answers.unpaired_think,
    "cut_off": answers.cut_off,
    "not_alternating": answers.not_alternating,
    "no_end_mark": signs.no_end_mark,
    "unbalanced_brackets": signs.unbalanced_brackets,
    "outer_whitespace": signs.outer_whitespace,
    "one_word": signs.one_word,
    "link_in_response": signs.link_in_response,
    "wrong_arithmetic": signs.wrong_arithmetic,
    "wrong_count": asked.wrong_count,
    "repeated_item": asked.repeated_item,
    "missing_code": asked.missing_code,
    "needs_web": asked.needs_web,
    "end_marker": asked.end_marker,
    "wrong_length": demands.wrong_length,
    "wrong_lines": demands.wrong_lines,
    "wrong_result": wrong_result,
    "unchanged_input": demands.unchanged_input,
    "empty_promise": demands.empty_promise,
    "missing_input": prompts.missing_input,
    "input_repeated": prompts.input_repeated,
    "empty_turn": prompts.empty_turn,
    "visual_word": prompts.visual_word,
    "program_prefix": prompts.program_prefix,
    "odd_first_character": prompts.odd_first_character,
}


@dataclass(frozen=True)
class Quality(Filter):
    """Drop conversations with a defect that can be pointed at.

    `measure` returns one column per rule: the span that fired, or null. Which rules drop and
    which only report is decided by `judge` alone.

    >>> Quality(off=("refusal",), drop=("cut_off",)).acts("cut_off")
    'drop'
    """

    name: ClassVar[str] = "quality"
    reasons: ClassVar[Mapping[str, str]] = REASONS
    measured_by: ClassVar[tuple[str, ...]] = ("rules",)
    version: ClassVar[int] = 6
    # Training weights decide which answers are looked at, and a row's id does not cover them.
    cached: ClassVar[bool] = False

    drop: tuple[str, ...] = setting((), "reasons that drop although they only report by default")
    report: tuple[str, ...] = setting((), "reasons that leave a note on the row and keep it")
    off: tuple[str, ...] = setting((), "reasons that are ignored")
    max_repetition: float = setting(
        0.8, "largest share of words inside repeated runs of ten, in answers of 50 words or more"
    )
    rules: tuple[str, ...] = setting(
        (),
        "sets of rules to apply to the answer: data_juicer; for web pages gopher, c4, fineweb"
        " (extra `web`)",
    )
    min_words: int = setting(10, "word_count: fewest words of an answer")
    max_words: int | None = setting(None, "word_count: most words of an answer; null: any number")
    max_character_repetition: float = setting(
        0.5, "character_repetition: largest share of the runs of ten characters that recur"
    )
    max_special_characters: float = setting(
        0.25, "special_characters: largest share of characters that are no letters"
    )
    min_prompt_words: int = setting(4, "prompt_length: fewest words of an instruction")
    max_prompt_words: int = setting(150, "prompt_length: most words of an instruction")

    def __post_init__(self) -> None:
        named: dict[str, str] = {}
        known = list(REASONS)
        for field in ("drop", "report", "off"):
            for slug in getattr(self, field):
                if slug not in REASONS:
                    raise CurateError(
                        f"quality: {field}: there is no reason {slug!r}{nearest(slug, known)}"
                    )
                if named.get(slug) == field:
                    raise CurateError(f"quality: {field} names {slug!r} twice")
                if slug in named:
                    raise CurateError(
                        f"quality: {slug!r} is in both {named[slug]} and {field}; name it in one"
                    )
                named[slug] = field
        if not 0 < self.max_repetition <= 1:
            raise CurateError(
                f"quality: max_repetition is {self.max_repetition}; a share from above 0 to 1"
            )
        if not 0 <= self.min_prompt_words <= self.max_prompt_words:
            raise CurateError(
                f"quality: min_prompt_words is {self.min_prompt_words} and max_prompt_words"
                f" {self.max_prompt_words}; expected 0 or more, the first not above the second"
            )
        counts.check_limits(*self._counted_limits())
        self._check_rules(named)

    def _check_rules(self, named: Mapping[str, str]) -> None:
        for name in self.rules:
            if name not in SETS:
                raise CurateError(
                    f"quality: rules: there is no set {name!r}{nearest(name, list(SETS))};"
                    f" known are {', '.join(SETS)}"
                )
        measured = self._named_reasons()
        for slug in (slug for slugs in SETS.values() for slug in slugs):
            if named.get(slug) in ("drop", "report") and slug not in measured:
                owner = next(name for name, slugs in SETS.items() if slug in slugs)
                raise CurateError(
                    f"quality: {named[slug]} names {slug!r}, which is only measured"
                    f" with rules: [{owner}]"
                )
        if self.per_row:
            check_splitter()

    def _named_reasons(self) -> tuple[str, ...]:
        return tuple(slug for name, slugs in SETS.items() if name in self.rules for slug in slugs)

    def _counted_limits(self) -> tuple[int, int | None, float, float]:
        shares = (self.max_character_repetition, self.max_special_characters)
        return (self.min_words, self.max_words, *shares)

    @property
    def per_row(self) -> bool:
        """Page rules loop over rows; all else works on columns."""
        return not PAGE_SETS.keys().isdisjoint(self.rules)

    def acts(self, slug: str) -> str:
        """What a rule that fires does: `drop`, `report` or `off`."""
        for field in ("drop", "report", "off"):
            if slug in getattr(self, field):
                return field
        if any(slug in slugs for slugs in SETS.values()):
            return "drop" if slug in self._named_reasons() else "off"
        return "report" if slug in REPORTED else "off" if slug in OFF else "drop"

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """One text column per reason (the span that fired, or null) and some of numbers.

        `repetition_share` is a share of words; `prompt_words` counts those of the instruction;
        the others are `quality_counts.COUNTS`, null unless `rules` names them.
        """
        turns = turns_of(records)
        found = matches(turns, list(PATTERNS))
        found |= {slug: rule(turns) for slug, rule in _COUNTED.items()}
        refused = refusals(turns)
        found["refusal"] = refused.filter(~pl.col("safety"))
        found["safety_refusal"] = refused.filter("safety")
        found["repetition"] = repeated = repeated_share(turns)
        found["prompt_length"] = words = prompts.prompt_words(turns)
        found |= pii(turns)
        found |= invalid_formats(turns)
        pages = page_rules(records["response"], [name for name in PAGE_SETS if name in self.rules])
        none = pl.Series([None], dtype=pl.String).new_from_index(0, records.height)
        columns = [
            (
                _spread(found[slug], "evidence", records.height)
                if slug in found
                else pages.get(slug, none)
            ).alias(slug)
            for slug in REASONS
        ]
        share = _spread(repeated, "share", records.height).alias("repetition_share")
        counted = _spread(words, "words", records.height).alias("prompt_words")
        if "data_juicer" in self.rules:
            numbers = counts.counts(records["response"])
        else:
            numbers = counts.no_counts(records.height)
        return pl.DataFrame([*columns, share, counted, *numbers])

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """See `Filter.judge`."""
        return Judgement(self._verdicts(measures))

    def _verdicts(self, measures: pl.DataFrame) -> pl.DataFrame:
        """Drop for the first reason in the order of `reasons`; note what is only reported."""
        repeats = pl.col("repetition_share") > self.max_repetition
        spans = {slug: pl.col(slug) for slug in REASONS}
        spans["repetition"] = pl.when(repeats).then(
            pl.format(
                "{} of the words repeat: {}",
                pl.col("repetition_share").round(2),
                pl.col("repetition"),
            )
        )
        fits = pl.col("prompt_words").is_between(self.min_prompt_words, self.max_prompt_words)
        spans["prompt_length"] = pl.when(~fits).then(pl.col("prompt_length"))
        spans |= counts.fired(*self._counted_limits())
        by_act: dict[str, list[str]] = {"drop": [], "report": [], "off": []}
        for slug in REASONS:
            by_act[self.acts(slug)].append(slug)
        reason = _first(
            pl.when(spans[slug].is_not_null()).then(pl.lit(slug)) for slug in by_act["drop"]
        )
        span = _first(spans[slug] for slug in by_act["drop"])
        notes = [pl.concat_str(pl.lit(f"{slug}: "), spans[slug]) for slug in by_act["report"]]
        note = pl.concat_str(notes, separator="; ", ignore_nulls=True) if notes else pl.lit(None)
        judged = measures.select(
            reason=reason,
            span=span,
            note=note,
            share=pl.when(reason == "repetition").then(pl.col("repetition_share")),
        )
        kept = judged["reason"].is_null()
        evidence = judged.select(
            pl.when(pl.col("reason").is_not_null())
            .then(pl.col("span"))
            .when(pl.col("note") != "")
            .then(pl.col("note"))
        ).to_series()
        return verdicts(kept, judged["reason"], judged["share"], evidence=evidence)


def _first(columns: Iterable[pl.Expr]) -> pl.Expr:
    """The first value that is not null; null without any column."""
    named = list(columns)
    return pl.coalesce(named) if named else pl.lit(None, dtype=pl.String)


def _spread(found: pl.DataFrame, column: str, height: int) -> pl.Series:
    """Values of some records as a column over all of them."""
    values = pl.Series([None], dtype=found.schema[column]).new_from_index(0, height)
    return values.scatter(found["index"], found[column])
