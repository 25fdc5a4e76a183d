"""Rules for single conversations: is it whole, is it an answer, is it free of debris?

The rules are those of AlpacaDataCleaned and of common clean-up scripts for instruction data, each
checked by reading what it drops. Rules for web pages (Gopher, C4, FineWeb) are left out on purpose:
"at least 50 words" drops most short answers, "no braces" all code, "ends in punctuation" all lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from curate.schema import CurateError, nearest, setting, verdicts
from filters import quality_answers as answers
from filters.quality_refusal import refusals
from filters.quality_repetition import loops, repeated_share
from filters.quality_rules import PATTERNS, matches
from filters.quality_turns import Turns, turns_of

# What each reason means, in the order in which they are judged: the first that fires is the reason.
REASONS: Mapping[str, str] = {
    "no_user_turn": "No user message with text: nothing was asked.",
    "no_answer": "The conversation does not end with the assistant.",
    "empty_response": "An assistant message has neither text nor tool calls.",
    "placeholder_response": "The answer is a stand-in such as N/A, <nooutput> or NaN.",
    "repeats_prompt": "The answer is the question again.",
    "merged_instructions": "The answer runs on into further numbered instructions.",
    "template_marker": "Parts of a chat template (### Response:, [INST], <|im_end|>) in a message.",
    "role_marker": "Turns of another conversation (Human:, Assistant:) inside one message.",
    "unfilled_placeholder": "A {{placeholder}} that was never filled in.",
    "placeholder_input": "The question ends in a literal <noinput>.",
    "control_characters": "Characters that no text holds, such as NUL, ESC or a vertical tab.",
    "mojibake": "Text decoded with the wrong encoding, or characters lost to U+FFFD.",
    "loop": "The answer ends in a short unit repeated over and over.",
    "repetition": "Most of a long answer repeats earlier parts of itself word for word.",
    "unclosed_fence": "The answer stops inside a fenced code block.",
    "unpaired_think": "A <think> block is opened or closed but not both.",
    "refusal": "The answer declines for lack of ability or information.",
    "safety_refusal": "The answer declines a harmful request.",
    "link_as_input": "The material to work on is only a link, so the answer is invented.",
    "image_reference": "The question shows an image that the text does not hold.",
    "image_request": "The question asks for an image, sound or film.",
    "cut_off": "An answer of 20 words or more stops in the middle of a sentence.",
    "not_alternating": "Two user messages or two assistant messages in a row.",
    "identity_claim": "The answer says that it is some named model or from some maker.",
    "prompt_leak": "The answer speaks about its instruction instead of following it.",
}

# Rules that leave a note on the row and keep it, unless named in `drop` or `off`.
REPORTED = (
    "role_marker",  # too rare in real dumps to know how often it is right
    "safety_refusal",  # a set without any has no safety signal
    "cut_off",  # a missing end mark is a hint, not a proof
    "not_alternating",  # some templates take it
    "identity_claim",  # right for a model's own identity rows
    "prompt_leak",
)
OFF = ("image_request",)  # "Design a logo" has good answers in words

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
}


@dataclass(frozen=True)
class Quality:
    """Drop conversations with a defect that can be pointed at.

    `measure` returns one column per rule: the span that fired, or null. Which rules drop and
    which only report is decided by `judge` alone.

    >>> Quality(off=("refusal",), drop=("cut_off",)).acts("cut_off")
    'drop'
    """

    name: ClassVar[str] = "quality"
    reasons: ClassVar[Mapping[str, str]] = REASONS
    measured_by: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    # Training weights decide which answers are looked at, and a row's id does not cover them.
    cached: ClassVar[bool] = False

    drop: tuple[str, ...] = setting((), "reasons that drop although they only report by default")
    report: tuple[str, ...] = setting((), "reasons that leave a note on the row and keep it")
    off: tuple[str, ...] = setting((), "reasons that are ignored")
    max_repetition: float = setting(
        0.8, "largest share of words inside repeated runs of ten, in answers of 50 words or more"
    )

    def __post_init__(self) -> None:
        named: dict[str, str] = {}
        known = list(REASONS)
        for field in ("drop", "report", "off"):
            for slug in getattr(self, field):
                if slug not in REASONS:
                    raise CurateError(
                        f"quality: {field}: there is no reason {slug!r}{nearest(slug, known)}"
                    )
                if slug in named:
                    raise CurateError(
                        f"quality: {slug!r} is in both {named[slug]} and {field}; name it in one"
                    )
                named[slug] = field
        if not 0 < self.max_repetition <= 1:
            raise CurateError(
                f"quality: max_repetition is {self.max_repetition}; a share from above 0 to 1"
            )

    def acts(self, slug: str) -> str:
        """What a rule that fires does: `drop`, `report` or `off`."""
        for field in ("drop", "report", "off"):
            if slug in getattr(self, field):
                return field
        return "report" if slug in REPORTED else "off" if slug in OFF else "drop"

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """One text column per reason (the span that fired, or null) and `repetition_share`."""
        turns = turns_of(records)
        found = matches(turns, list(PATTERNS))
        found |= {slug: rule(turns) for slug, rule in _COUNTED.items()}
        refused = refusals(turns)
        found["refusal"] = refused.filter(~pl.col("safety"))
        found["safety_refusal"] = refused.filter("safety")
        found["repetition"] = repeated = repeated_share(turns)
        columns = [_spread(found[slug], "evidence", records.height).alias(slug) for slug in REASONS]
        share = _spread(repeated, "share", records.height).alias("repetition_share")
        return pl.DataFrame([*columns, share])

    def judge(self, measures: pl.DataFrame) -> pl.DataFrame:
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
