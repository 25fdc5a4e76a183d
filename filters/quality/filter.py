"""Rules for single conversations: is it whole, is it an answer, is it free of debris?

The rules are those of AlpacaDataCleaned and of common clean-up scripts for instruction data, each
checked by reading what it drops. Rules for web pages (Gopher, C4, FineWeb) are off unless named:
"at least 50 words" drops most short answers, "no braces" all code, "ends in punctuation" all lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from curate.base.contract import Filter, Judgement
from curate.base.errors import CurateError, nearest
from curate.base.settings import setting
from filters.common.text import in_threads
from filters.quality import bits, counts, endings
from filters.quality.rules import (
    REASONS,
    RULES,
    Action,
    Rule,
    RuleSet,
    answers_of,
    hits_of,
    page_faults,
    spans_of,
)
from filters.quality.turns import turns_of
from filters.quality.web_rules import check_splitter

_ROWS = 10_000  # measured at once by a thread: some 25 MB
# Words of an instruction are counted up to here, in two bytes; any limit is below.
_MOST_WORDS = (1 << 16) - 1


@dataclass(frozen=True)
class Quality(Filter):
    """Drop conversations with a defect that can be pointed at.

    `measure` returns which rules fire; which of them drop and which only report is decided by
    `judge` alone.

    >>> Quality(off=("refusal",), drop=("cut_off",)).acts("cut_off")
    'drop'
    """

    name: ClassVar[str] = "quality"
    reasons: ClassVar[Mapping[str, str]] = REASONS
    measured_by: ClassVar[tuple[str, ...]] = ("rules",)
    version: ClassVar[int] = 10
    reads: ClassVar[tuple[str, ...]] = ("messages", "tools")

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
    min_prompt_words: int = setting(
        4, "prompt_length: fewest words of an instruction", low=0, high=_MOST_WORDS - 1
    )
    max_prompt_words: int = setting(
        150,
        "prompt_length: most words of an instruction, at most 65,534",
        low=0,
        high=_MOST_WORDS - 1,
    )

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
        """The rules that fire as sets of bits (`bits.packed`), and what limits are held against.

        `repetition_share` is a share of words; `prompt_words` counts those of the instruction, up
        to 65,535; `ending` is the code of `endings.endings`; `counts.COUNTS` are there if `rules`
        names data_juicer. 19 bytes a row without them.
        """
        # What is worked out on the way takes several times the memory of the texts.
        starts = range(0, max(1, records.height), _ROWS)
        slices = [records[start : start + _ROWS] for start in starts]
        if self.per_row:  # in Python, and a splitter of sentences is no thing to share
            return pl.concat(map(self._measure, slices))
        return pl.concat(in_threads(slices, self._measure))

    def _measure(self, records: pl.DataFrame) -> pl.DataFrame:
        turns = turns_of(records)
        found = {slug: hits.lines for slug, hits in hits_of(turns).items()}
        words = turns.column(found.pop("prompt_length"), "words")
        numbers = [
            turns.column(found.pop("repetition"), "share").alias("repetition_share"),
            words.clip(upper_bound=_MOST_WORDS).cast(pl.UInt16).alias("prompt_words"),
            turns.column(found.pop("stops_short"), endings.COLUMN).fill_null(0),
        ]
        if "data_juicer" in self.rules:
            numbers.extend(counts.counts(answers_of(records)))
        rows = {slug: lines["index"] for slug, lines in found.items()}
        for slug, faults in page_faults(records, self._of_sets()).items():
            rows[slug] = faults.is_not_null().arg_true()
        return pl.DataFrame([*bits.packed(rows, records.height), *numbers])

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """Drop for the first reason in the order of `RULES`; note what is only reported."""
        judged = self._fired(measures).select(
            reason=bits.first_that_fires(self._acting("drop")),
            noted=bits.any_fires(self._acting("report")),
        )
        reason = judged["reason"]
        return Judgement.of(
            reason.is_null(),
            reason,
            self._score(measures, reason),
            from_text=reason.is_not_null() | judged["noted"],
        )

    def _score(self, measures: pl.DataFrame, reason: pl.Series) -> pl.Series:
        """The share that a reason was for; of kept rows that stop short, which needs all rows."""
        noted = reason.is_null() if self.acts("stops_short") == "report" else pl.lit(False)
        short = endings.stopped() & ((reason == "stops_short").fill_null(False) | noted)
        repeats = pl.when(reason == "repetition").then("repetition_share")
        return measures.select(
            score=pl.coalesce(repeats, pl.when(short).then(endings.share_ended()))
        )["score"]

    def evidence(
        self, records: pl.DataFrame, measures: pl.DataFrame, verdicts: pl.DataFrame
    ) -> pl.Series:
        """The span that a drop was for, or of a kept row all notes: `reason: span; ...`."""
        turns, fired = turns_of(records), self.fired(measures)
        lines = [pl.DataFrame(schema={"at": pl.UInt32, "text": pl.String})]
        for slug in RULES:
            acts = verdicts["reason"].eq_missing(slug)
            if self.acts(slug) == "report":
                acts = verdicts["keep"] & fired[slug]
            if slug == "stops_short" and self.acts(slug) == "report":
                # Only `judge` sees the whole set.
                acts = verdicts["keep"] & verdicts["score"].is_not_null()
            at = acts.arg_true()
            if len(at):
                spans = spans_of(slug, records, turns, at)
                lines.append(_lines(slug, at, measures[at].with_columns(span=spans), verdicts[at]))
        notes = pl.concat(lines).group_by("at", maintain_order=True)
        return notes.agg(pl.col("text").str.join("; ")).sort("at")["text"]

    def fired(self, measures: pl.DataFrame) -> pl.DataFrame:
        """A Boolean column per reason: whether it fires at these limits, whatever it then does.

        `measures` are those of the whole set, with which `stops_short` compares each row.
        """
        return self._fired(measures).select(bits.fires(slug).alias(slug) for slug in RULES)

    def _acting(self, action: Action) -> list[str]:
        return [slug for slug in RULES if self.acts(slug) == action]

    def _fired(self, measures: pl.DataFrame) -> pl.DataFrame:
        """`bits.COLUMNS`, with the rules whose numbers are beyond the limits set."""
        fits = pl.col("prompt_words").is_between(self.min_prompt_words, self.max_prompt_words)
        limits = {
            "repetition": pl.col("repetition_share") > self.max_repetition,
            "prompt_length": ~fits,
            "stops_short": endings.stopped(),
        }
        if "data_juicer" in self.rules:
            limits |= counts.fired(
                self.min_words,
                self.max_words,
                self.max_character_repetition,
                self.max_special_characters,
            )
        return bits.with_limits(measures, limits)


def _lines(
    slug: str, at: pl.Series, measures: pl.DataFrame, verdicts: pl.DataFrame
) -> pl.DataFrame:
    """`at` and `text`: what one rule says of each of these rows, by its `span` and its numbers."""
    share = pl.col("repetition_share").round(2)
    ended = (100 * verdicts["score"]).round(1)
    shown = {
        "repetition": pl.format("{} of the words repeat: {}", share, "span"),
        "stops_short": pl.format("{} (of such answers {}% end in a mark)", "span", pl.lit(ended)),
    } | counts.shown()
    text = shown.get(slug, pl.col("span"))
    noted = pl.when(verdicts["keep"]).then(pl.format(f"{slug}: {{}}", text)).otherwise(text)
    return measures.select(at=at, text=noted)
