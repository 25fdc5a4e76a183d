"""Rules for single conversations: is it whole, is it an answer, is it free of debris?

The rules are those of AlpacaDataCleaned and of common clean-up scripts for instruction data, each
checked by reading what it drops. Rules for web pages (Gopher, C4, FineWeb) are off unless named:
"at least 50 words" drops most short answers, "no braces" all code, "ends in punctuation" all lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from curate.base.contract import Filter, Judgement
from curate.base.errors import CurateError, nearest
from curate.base.settings import setting
from filters.quality import counts
from filters.quality.patterns import Pattern, matches
from filters.quality.rules import REASONS, RULES, Action, Rule, RuleSet
from filters.quality.turns import turns_of
from filters.quality.web_rules import check_splitter, page_rules


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

    drop: tuple[str, ...] = setting((), "reasons that drop although they only report by default")
    report: tuple[str, ...] = setting((), "reasons that leave a note on the row and keep it")
    off: tuple[str, ...] = setting((), "reasons that are ignored")
    max_repetition: float = setting(
        0.8,
        "largest share of words inside repeated runs of ten, in answers of 50 words or more",
        above=0,
        high=1,
    )
    rules: tuple[RuleSet, ...] = setting(
        (),
        "sets of rules to apply to the answer: data_juicer; for web pages gopher, c4, fineweb"
        " (extra `web`)",
    )
    min_words: int = setting(10, "word_count: fewest words of an answer", low=0)
    max_words: int | None = setting(
        None, "word_count: most words of an answer; null: any number", low=0
    )
    max_character_repetition: float = setting(
        0.5,
        "character_repetition: largest share of the runs of ten characters that recur",
        low=0,
        high=1,
    )
    max_special_characters: float = setting(
        0.25, "special_characters: largest share of characters that are no letters", low=0, high=1
    )
    min_prompt_words: int = setting(4, "prompt_length: fewest words of an instruction", low=0)
    max_prompt_words: int = setting(150, "prompt_length: most words of an instruction", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_order("min_words", "max_words")
        self._check_order("min_prompt_words", "max_prompt_words")
        self._check_reasons()
        if self.per_row:
            check_splitter()

    def _check_order(self, low: str, high: str) -> None:
        least, most = getattr(self, low), getattr(self, high)
        if most is not None and most < least:
            raise CurateError(f"quality: {high} is {most}; expected no less than {low} ({least})")

    def _check_reasons(self) -> None:
        fields: dict[str, str] = {}
        for field in ("drop", "report", "off"):
            for slug in getattr(self, field):
                if slug not in RULES:
                    raise CurateError(
                        f"quality: {field}: there is no reason {slug!r}{nearest(slug, list(RULES))}"
                    )
                if slug in fields:
                    twice = "twice" if fields[slug] == field else f"and so does {fields[slug]}"
                    raise CurateError(f"quality: {field} names {slug!r} {twice}; name it once")
                fields[slug] = field
                rule_set = RULES[slug].rule_set
                if field != "off" and rule_set not in (None, *self.rules):
                    raise CurateError(
                        f"quality: {field} names {slug!r}, which is only measured"
                        f" with rules: [{rule_set}]"
                    )

    @property
    def per_row(self) -> bool:
        """Page rules loop over rows; all else works on columns."""
        return any(rule.page is not None for rule in self._of_sets().values())

    def _of_sets(self) -> dict[str, Rule]:
        """The rules of the sets that are named in `rules`."""
        return {slug: rule for slug, rule in RULES.items() if rule.rule_set in self.rules}

    def acts(self, slug: str) -> Action:
        """What a rule that fires does: `drop`, `report` or `off`."""
        given: tuple[Action, ...] = ("drop", "report", "off")
        for action in given:
            if slug in getattr(self, action):
                return action
        rule = RULES[slug]
        return rule.action if rule.rule_set in (None, *self.rules) else "off"

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """One text column per reason (the span that fired, or null) and some of numbers.

        `repetition_share` is a share of words; `prompt_words` counts those of the instruction;
        the others are `filters.quality.counts.COUNTS`, null unless `rules` names them.
        """
        turns, height = turns_of(records), records.height
        found = matches(
            turns,
            {slug: rule.find for slug, rule in RULES.items() if isinstance(rule.find, Pattern)},
        )
        found |= {slug: rule.find(turns) for slug, rule in RULES.items() if callable(rule.find)}
        pages = page_rules(
            records["response"],
            {slug: rule.page for slug, rule in self._of_sets().items() if rule.page is not None},
        )
        none = pl.Series([None], dtype=pl.String).new_from_index(0, height)
        spans = {slug: turns.column(span, "evidence") for slug, span in found.items()} | pages
        numbers = [
            turns.column(found["repetition"], "share").alias("repetition_share"),
            turns.column(found["prompt_length"], "words").alias("prompt_words"),
            *(
                counts.counts(records["response"])
                if "data_juicer" in self.rules
                else pl.DataFrame(schema=counts.COUNTS).clear(height)
            ),
        ]
        return pl.DataFrame([*(spans.get(slug, none).alias(slug) for slug in RULES), *numbers])

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """Drop for the first reason in the order of `RULES`; note what is only reported."""
        spans = self._spans()
        drops, reports = (
            [slug for slug in RULES if self.acts(slug) == action] for action in ("drop", "report")
        )
        reason = _first(pl.when(spans[slug].is_not_null()).then(pl.lit(slug)) for slug in drops)
        notes = [pl.concat_str(pl.lit(f"{slug}: "), spans[slug]) for slug in reports]
        note = pl.concat_str([*notes, pl.lit(None)], separator="; ", ignore_nulls=True)
        judged = measures.select(
            reason=reason,
            score=pl.when(reason == "repetition").then("repetition_share"),
            evidence=pl.when(reason.is_not_null())
            .then(_first(spans[slug] for slug in drops))
            .when(note != "")
            .then(note),
        )
        reasons = judged["reason"]
        return Judgement.of(
            reasons.is_null(), reasons, judged["score"], evidence=judged["evidence"]
        )

    def _spans(self) -> dict[str, pl.Expr]:
        """What each rule found where it fires, else null; counts are held against the limits."""
        spans = {slug: pl.col(slug) for slug in RULES}
        share = pl.col("repetition_share")
        spans["repetition"] = pl.when(share > self.max_repetition).then(
            pl.format("{} of the words repeat: {}", share.round(2), pl.col("repetition"))
        )
        fits = pl.col("prompt_words").is_between(self.min_prompt_words, self.max_prompt_words)
        spans["prompt_length"] = pl.when(~fits).then(pl.col("prompt_length"))
        return spans | counts.fired(
            self.min_words,
            self.max_words,
            self.max_character_repetition,
            self.max_special_characters,
        )


def _first(columns: Iterable[pl.Expr]) -> pl.Expr:
    """The first value that is not null; null without any column."""
    return pl.coalesce([*columns, pl.lit(None, dtype=pl.String)])
