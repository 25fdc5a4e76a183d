"""Which languages a set holds, and rows in languages that it should not hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import polars as pl

from curate.base.contract import Filter, Findings, Judgement
from curate.base.errors import CurateError, nearest
from curate.base.settings import setting
from filters.common.tasks import user_texts
from filters.language.detect import LANGUAGES, detect
from filters.language.mixing import strays
from filters.language.text import GLANCES, KEPT, words_of

# Tasks whose answer is in another language by request.
_ABOUT_LANGUAGE = (
    r"(?i)translat|transliterat|traduc|tradui|traduz|übersetz|перевед|перевод|翻译|翻譯|翻訳|번역"
    r"|(?-u:\b)(?:languages?|english|french|german|spanish|italian|portuguese|dutch|russian|chinese"
    r"|mandarin|japanese|korean|arabic|hindi|latin|greek|polish|turkish|swedish|deutsch|französisch"
    r"|englisch|anglais|français|español|inglés|inglese|italiano|português)(?-u:\b)"
    r"|英语|英文|中文|日语|法语|英語|日本語|中国語|영어|한국어|английск|русск"
)
_SIDES = ("prompt", "response")
NAMED = 5  # languages in the sentence; the numbers have them all


@dataclass(frozen=True)
class Language(Filter):
    """Keep rows in the allowed languages; without any, only report what there is.

    Code, links, formulas and numbers are no language. Texts with too few letters are never
    judged: `language` is null for them and the evidence says `abstained`.

    >>> Language(allow=("en", "de")).min_confidence
    0.6
    """

    name: ClassVar[str] = "language"
    reasons: ClassVar[Mapping[str, str]] = {
        "language_not_allowed": "The text is in a language that is not in `allow`.",
        "language_unsure": "No detector is sure of the language (only with `unsure: drop`).",
        "language_mismatch": "Question and answer are in different languages, unasked.",
        "language_mixed": "Another script strays into the answer, unasked.",
    }
    per_row: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("messages", "response")
    cached: ClassVar[bool] = True
    measured_by: ClassVar[tuple[str, ...]] = ("field", "mismatch", "mixing", "min_letters")
    version: ClassVar[int] = 4

    allow: tuple[str, ...] = setting((), "language codes to keep, such as en or zh; none: report")
    min_confidence: float = setting(
        0.6, "confidence from 0 to 1 below which a language is unsure", low=0, high=1
    )
    field: Literal["both", "prompt", "response"] = setting("both", "which text is judged")
    mismatch: Literal["off", "report", "drop"] = setting(
        "off", "what to do when question and answer are in different languages"
    )
    mixing: Literal["off", "report", "drop"] = setting(
        "off", "what to do when a script that nobody asked for is in the answer"
    )
    unsure: Literal["keep", "drop"] = setting(
        "keep", "what to do with rows whose language is unsure"
    )
    min_letters: int = setting(12, "letters below which no language is given", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        for code in self.allow:
            if code not in LANGUAGES:
                raise CurateError(
                    f"language: allow: {code!r} is not a known language code"
                    f"{nearest(code, sorted(LANGUAGES))}"
                )

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`language` (a code), `confidence` (f64) and `letters` (u16) of the field.

        The first words of each side are read; `language` is null where they are too few. With
        `mismatch` also the language of each side, and `sides_confidence`, the lesser of the two;
        with `mixing`, whether another script strays into the answer; with either of them, whether
        the request is `about_language`.
        """
        texts = records.select(prompt=_asked(), response=pl.col("response"))
        words = texts.select(words_of(texts[side], KEPT[side]).alias(side) for side in _SIDES)
        glances = words.select(pl.col(side).str.head(GLANCES[side]) for side in _SIDES)
        both = pl.concat_str(_SIDES, separator=" ").alias("both")
        words, glances = words.with_columns(both), glances.with_columns(both)
        measures = detect(words[self.field], glances[self.field], self.min_letters)
        if self.mismatch != "off":
            measures = measures.hstack(self._sides(words, glances))
        if self.mixing != "off":
            measures = measures.with_columns(mixing=strays(records, _asked()).is_not_null())
        if (self.mismatch, self.mixing) != ("off", "off"):
            about = _asked().str.contains(_ABOUT_LANGUAGE).alias("about_language")
            measures = measures.hstack(records.select(about))
        return measures

    def _sides(self, words: pl.DataFrame, glances: pl.DataFrame) -> pl.DataFrame:
        prompt, response = (detect(words[side], glances[side], self.min_letters) for side in _SIDES)
        sure = pl.DataFrame([prompt["confidence"], response["confidence"].alias("other")])
        both = pl.all_horizontal(pl.all().is_not_null())
        return sure.select(
            prompt_language=prompt["language"],
            response_language=response["language"],
            sides_confidence=pl.when(both).then(pl.min_horizontal(pl.all())),
        )

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """Drop other languages, then what is unsure or mismatched if so set; rows by language.

        The score is the confidence.
        """
        language, confidence = pl.col("language"), pl.col("confidence")
        sure = language.is_not_null() & (confidence >= self.min_confidence)
        unsure = language.is_not_null() & ~sure
        foreign = sure & ~language.is_in(self.allow) if self.allow else pl.lit(False)
        differ = self._mismatched() if self.mismatch != "off" else pl.lit(False)
        stray = pl.lit(False)
        if self.mixing != "off":
            stray = pl.col("mixing") & ~pl.col("about_language")
        found = pl.format("{} {}", language, confidence.round(2))
        sides = (
            pl.format("question {}, answer {}", "prompt_language", "response_language")
            if self.mismatch != "off"
            else pl.lit(None, dtype=pl.String)
        )
        failed = {
            "language_not_allowed": foreign,
            "language_unsure": unsure & (self.unsure == "drop"),
            "language_mismatch": differ & (self.mismatch == "drop"),
            "language_mixed": stray & (self.mixing == "drop"),
        }
        judged = measures.select(
            reason=pl.coalesce(pl.when(so).then(pl.lit(slug)) for slug, so in failed.items()),
            evidence=pl.coalesce(
                pl.when(foreign).then(found),
                pl.when(differ).then(sides),
                pl.when(language.is_null()).then(pl.format("abstained: {} letters", "letters")),
                pl.when(unsure).then(pl.format("unsure: {}", found)),
            ),
            from_text=stray & ~foreign & ~differ,
            score=confidence,
        )
        keep = judged["reason"].is_null()
        return Judgement.of(
            keep,
            judged["reason"],
            judged["score"],
            evidence=judged["evidence"],
            findings=_counted(measures, keep, self.min_confidence),
            from_text=judged["from_text"],
        )

    def evidence(
        self, records: pl.DataFrame, measures: pl.DataFrame, verdicts: pl.DataFrame
    ) -> pl.Series:
        """What of another script is in the answer."""
        return strays(records, _asked())

    def _mismatched(self) -> pl.Expr:
        """Both sides are sure, of different languages, and the question does not speak of any."""
        sure = pl.col("sides_confidence") >= self.min_confidence
        differ = pl.col("prompt_language") != pl.col("response_language")
        return pl.all_horizontal(sure, differ, ~pl.col("about_language")).fill_null(False)


def _asked() -> pl.Expr:
    """What the user says; system prompts and tool results often are in another language."""
    return user_texts().list.join("\n\n", ignore_nulls=True).fill_null("")


def _counted(measures: pl.DataFrame, keep: pl.Series, min_confidence: float) -> Findings:
    """Rows and kept rows by language; `unsure` and `abstained` stand beside the languages."""
    code, sure = pl.col("language"), pl.col("confidence") >= min_confidence
    name = pl.when(code.is_null()).then(pl.lit("abstained")).when("sure").then(code.cast(pl.String))
    lines = (
        measures.select(code, sure=sure.fill_null(False), kept=keep)
        .group_by("language", "sure")
        .agg(rows=pl.len(), kept=pl.col("kept").sum())
        # Names are made of each code, not of each row.
        .select("rows", "kept", language=name.otherwise(pl.lit("unsure")))
        .group_by("language")
        .agg(pl.col("rows", "kept").sum())
        .sort("rows", "language", descending=[True, False])
    )
    found = {name: {"rows": rows, "kept": kept} for name, rows, kept in lines.iter_rows()}
    beside = {name: found.pop(name, {"rows": 0, "kept": 0}) for name in ("unsure", "abstained")}
    thresholds = {"min_confidence": min_confidence}
    numbers: dict[str, Any] = {"languages": found, **beside, "thresholds": thresholds}
    return Findings((_sentence(found, beside, measures.height),), numbers)


def _sentence(
    found: dict[str, dict[str, int]], beside: dict[str, dict[str, int]], rows: int
) -> str:
    if not rows:
        return "no rows to tell the language of"
    parts = [f"{_percent(count['rows'], rows)} {name}" for name, count in found.items()]
    if len(parts) > NAMED:
        rest = sum(count["rows"] for count in list(found.values())[NAMED:])
        others = len(parts) - NAMED
        parts[NAMED:] = [
            f"{_percent(rest, rows)} in {others} other language{'s' if others > 1 else ''}"
        ]
    explained = {"unsure": "unsure", "abstained": "too little text to tell"}
    parts += [
        f"{_percent(count['rows'], rows)} {explained[name]}"
        for name, count in beside.items()
        if count["rows"]
    ]
    return ", ".join(parts)


def _percent(part: int, whole: int) -> str:
    return "<0.1 %" if part * 1000 < whole else f"{100 * part / whole:.1f} %"
