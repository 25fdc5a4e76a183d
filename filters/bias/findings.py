"""What a bias step says about the set: counted in codes, and put into words from a few rows.

Openers, tasks, labels and words are measured as codes, for a set can have as many as rows. So
`count` counts codes and marks a row for each that will be shown; `worded` takes the texts from
these rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl

from curate.base.contract import Findings
from filters.bias.labels import (
    fixed_label_tasks,
    label_counts,
    label_priors,
    label_texts,
    telling_words,
)
from filters.bias.phrases import HABITS, TRAITS, openers
from filters.common.codes import text_codes

SHOWN = 10  # openers and stock phrases
# Openers as common as the last one shown, of which the first by name are shown: so many are read.
TIED = 1_000
TASKS = 20  # in the manifest; all stand in the table `label_tasks`


class Counted(NamedTuple):
    """What was counted in codes, and the rows (Boolean, a line a row) that hold the texts."""

    findings: Findings
    quoted: pl.Series


def has(trait: str) -> pl.Expr:
    """Whether a row has an opener, a habit or a stock phrase."""
    return pl.col(trait) if trait in HABITS else pl.col(trait).is_not_null()


def count(measures: pl.DataFrame, min_task_rows: int, given_up: tuple[str, ...]) -> Counted:
    """Rates of habits, commonest openers, label priors and the words that give labels away."""
    rows = measures.height
    index = measures.with_row_index("at")
    tasks = fixed_label_tasks(index, min_task_rows)
    labels = label_counts(tasks)
    words = telling_words(tasks, labels)
    opening = _commonest(index)
    numbers = {
        "rows": rows,
        "rates": {trait: _share(measures, trait) for trait in TRAITS},
        "agreement_by_stance": {
            "asserts": _share(measures.filter("asserts"), "agreement"),
            "asks": _share(measures.filter(~pl.col("asserts")), "agreement"),
        },
        "style_per_answer": {
            name: int(measures[name].sum()) / rows for name in ("exclamations", "emoji", "has_list")
        },
        "stock_phrases": _phrases(measures["stock_phrase"]),
        "asserted": bool(measures["asserts"].any()),
        "given_up": list(given_up),
    }
    tables = {"openers": opening.drop("at"), "labels": labels, "label_words": words}
    parts = [opening["at"], *(_holders(tasks, name) for name in ("task", "label"))]
    parts.append(
        _holders(_long(tasks).filter(pl.col("word").is_in(words["word"].implode())), "word")
    )
    quoted = index["at"].is_in(pl.concat(parts).implode())
    return Counted(Findings((), numbers, tables), quoted)


def _commonest(index: pl.DataFrame) -> pl.DataFrame:
    """`opener`, `rows` and the first position `at` of those that may be shown."""
    counts = index.drop_nulls("opener").group_by("opener").agg(rows=pl.len(), at=pl.col("at").min())
    counts = counts.sort(["rows", "at"], descending=[True, False])
    least = counts["rows"].head(SHOWN).min()
    return counts.filter(pl.col("rows") >= least).head(TIED) if counts.height else counts


def _holders(frame: pl.DataFrame, code: str) -> pl.Series:
    """A position `at` for each code."""
    return frame.group_by(code).agg(pl.col("at").min())["at"]


def _long(tasks: pl.DataFrame) -> pl.DataFrame:
    return tasks.select("at", word="words").explode("word", empty_as_null=True).drop_nulls("word")


def _share(measures: pl.DataFrame, trait: str) -> float:
    """Share of the rows that have the trait; 0 of no rows."""
    return int(measures.select(has(trait).sum()).item()) / max(1, measures.height)


def _phrases(values: pl.Series) -> list[dict[str, Any]]:
    counts = (
        values.drop_nulls().value_counts().sort(["count", values.name], descending=[True, False])
    )
    return [
        {"phrase": str(text), "rows": int(rows)} for text, rows in counts.head(SHOWN).iter_rows()
    ]


def worded(
    findings: Findings,
    records: pl.DataFrame,
    sources: pl.Series,
    opener_words: int,
    max_drop: float,
) -> Findings:
    """The findings of `count` in words: the texts are those of `records`, from `sources`."""
    texts = _texts(records, sources, opener_words)
    codes = text_codes(texts)

    def named(table: str, *columns: str) -> pl.DataFrame:
        name = pl.col(columns).replace_strict(codes, texts, return_dtype=pl.String)
        return findings.tables[table].with_columns(name.cast(pl.String))

    opening = named("openers", "opener").sort(["rows", "opener"], descending=[True, False])
    tasks = label_priors(named("labels", "task", "label"))
    words = named("label_words", "task", "word", "label").sort(
        ["z", "task", "word", "label"], descending=[True, False, False, False]
    )
    counted = dict(findings.numbers)
    asserted, given_up = counted.pop("asserted"), counted.pop("given_up")
    numbers = counted | {
        "openers": opening.head(SHOWN).select("opener", "rows").to_dicts(),
        "labels": tasks.head(TASKS).to_dicts(),
        "label_tasks": tasks.height,
        "given_up": given_up,
    }
    sentences = [
        *_habit_sentences(numbers, asserted),
        *_label_sentences(tasks, words),
        *(
            f"{slug} is not applied: its cap would drop more than {max_drop:.0%} of the rows"
            for slug in given_up
        ),
    ]
    tables = {"label_tasks": tasks, "label_words": words}
    filled = {name: table for name, table in tables.items() if table.height}
    return Findings(tuple(sentences), numbers, filled)


def _texts(records: pl.DataFrame, sources: pl.Series, opener_words: int) -> pl.Series:
    """All texts of these rows that can have a code, each once."""
    labels = label_texts(records)
    words = labels["words"].explode(empty_as_null=True)
    parts = [openers(records, opener_words), labels["task"], labels["label"], words, sources]
    return pl.concat([part.cast(pl.String).alias("text") for part in parts]).drop_nulls().unique()


def _habit_sentences(numbers: Mapping[str, Any], asserted: bool) -> list[str]:
    sentences = [
        f"{numbers['rates'][trait]:.2%} of the answers {what}" for trait, what in TRAITS.items()
    ]
    for first in numbers["openers"][:1]:
        share = first["rows"] / numbers["rows"]
        sentences.append(f"the commonest opener, {first['opener']!r}, has {share:.2%} of the rows")
    if asserted:
        stance = numbers["agreement_by_stance"]
        sentences.append(
            f"of the answers to prompts that assert something {stance['asserts']:.2%} open by"
            f" agreeing, of the others {stance['asks']:.2%}"
        )
    return sentences


def _label_sentences(tasks: pl.DataFrame, words: pl.DataFrame) -> list[str]:
    sentences = [
        f"the task {row['task'][:60]!r} has {row['rows']:,} rows and {row['labels']} labels;"
        f" {row['top']!r} is {row['share']:.0%} of them"
        f" (entropy {row['entropy']:.2f} of {row['most']:.2f} bits)"
        for row in tasks.head(5).iter_rows(named=True)
    ]
    return sentences + [
        f"in {row['task'][:40]!r} the word {row['word']!r} alone predicts {row['label']!r} in"
        f" {row['share']:.0%} of its rows (z = {row['z']:.1f})"
        for row in words.head(3).iter_rows(named=True)
    ]
