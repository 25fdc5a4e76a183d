"""What became of each evaluation file: verdicts on records, evidence, and shares in the set."""

from __future__ import annotations

from typing import Any

import polars as pl

from curate.base.contract import Findings, verdicts
from filters.common.text import Field
from filters.decontaminate.probes import BESIDE
from filters.decontaminate.sets import EDITED, QUESTION, QUOTED, Evaluations

# More of an evaluation than this in the training set, and its results mean nothing (Tulu 3).
CONTAMINATED = 0.02
# Files that get a sentence of their own; the table has them all.
MOST_SAID = 20


def judge_rows(evaluations: Evaluations, matches: pl.DataFrame, height: int) -> pl.DataFrame:
    """Verdicts on `height` records: the best match of each is its reason, score and evidence."""
    best = matches.unique("at", keep="first", maintain_order=True)
    # A loop over dropped rows: each quotes a text of its own.
    evidence = [_evidence(evaluations, line) for line in best.iter_rows(named=True)]
    lines = pl.DataFrame({"at": pl.int_range(height, dtype=pl.Int64, eager=True)}).join(
        best.with_columns(evidence=pl.Series(evidence, dtype=pl.String)),
        on="at",
        how="left",
        maintain_order="left",
    )
    return verdicts(
        lines["how"].is_null(), lines["how"], lines["score"], evidence=lines["evidence"]
    )


def _evidence(evaluations: Evaluations, line: dict[str, Any]) -> str:
    """What the record shares with the evaluation row, and where that row is."""
    text = " ".join(line["text"].split())
    where = f"{line['source']}:{line['line']} {text!r}"
    changes = line["changes"]
    but = f" but for {changes} {'word' if changes == 1 else 'words'}" if changes else ""
    if line["kind"] == EDITED:
        return f"all of it{but or ', spelt otherwise'}: {where}"
    if line["kind"] == QUESTION:
        return f"the question{but}, with its {BESIDE[line['beside']]}: {where}"
    if line["kind"] != 0:
        return where
    quote = evaluations.index.quote(line["item"], line["first"], line["run"])
    shown = quote if len(quote) <= QUOTED else quote[: QUOTED - 1] + "…"
    return f"{shown!r} in {where}"


def report(
    evaluations: Evaluations, matches: pl.DataFrame, measures: pl.DataFrame, field: Field
) -> Findings:
    """Per evaluation file how many rows are in the set; and a table of every match."""
    sets = _shares(evaluations.rows, matches)
    sentences = _sentences(sets) + _without_text(evaluations, field)
    words, size = evaluations.index.words, evaluations.index.size
    short = int((words < size).sum())
    if short:
        sentences.append(
            f"{short:,} of {len(words):,} different evaluation texts have under {size} words: "
            f"{_short_rule(evaluations)}"
        )
    listed = matches.select(
        row=measures["row"].gather(matches["at"]),
        id=measures["id"].gather(matches["at"]),
        evaluation="name",
        source="source",
        line="line",
        how="how",
        score="score",
    )
    return Findings(
        tuple(sentences),
        {"field": field, "evaluations": sets.to_dicts(), "short_texts": short},
        {"evaluations": sets, "matches": listed},
    )


def _short_rule(evaluations: Evaluations) -> str:
    """What is asked of texts with fewer words than a run."""
    beside = " or stand with their answer, choices or passage" if evaluations.probes else ""
    return f"prompts must be equal{beside}, answers are not looked for"


def _without_text(evaluations: Evaluations, field: Field) -> list[str]:
    """How many rows of each file are not looked for, as they have nothing on this side."""
    has_text = pl.int_range(evaluations.rows.height, dtype=pl.UInt32, eager=True).is_in(
        evaluations.asked["row"].implode()
    )
    counts = (
        evaluations.rows.with_columns(has_text=has_text)
        .group_by("name", maintain_order=True)
        .agg(rows=pl.len(), lacking=(~pl.col("has_text")).sum())
        .filter(pl.col("lacking") > 0)
    )
    side = "prompt or response" if field == "both" else field
    said = [
        f"{name}: {lacking:,} of {rows:,} rows have no {side} text, so they are not looked for"
        for name, rows, lacking in counts.head(MOST_SAID).iter_rows()
    ]
    if more := counts.slice(MOST_SAID).sum().rows(named=True)[0]["lacking"]:
        said.append(f"{counts.height - MOST_SAID:,} more files: so it is of {more:,} rows")
    return said


def _shares(rows: pl.DataFrame, matches: pl.DataFrame) -> pl.DataFrame:
    """For each evaluation file: its `rows`, those `hit` by any record, their `share`, and more."""
    by_wording = pl.col("evaluation").filter(pl.col("how") != "evaluation_rephrased")
    hits = matches.group_by("name").agg(
        hit=pl.col("evaluation").n_unique(),
        by_wording=by_wording.n_unique(),
        records=pl.col("at").n_unique(),
    )
    return (
        rows.group_by("name", maintain_order=True)
        .agg(rows=pl.len())
        .join(hits, on="name", how="left", maintain_order="left")
        .fill_null(0)
        .with_columns(share=pl.col("hit") / pl.col("rows"))
        .with_columns(contaminated=pl.col("share") > CONTAMINATED)
    )


def _sentences(sets: pl.DataFrame) -> list[str]:
    """A sentence for each file; of very many, for those with the largest shares in the set."""
    said = sets if sets.height <= MOST_SAID else _worst(sets)
    sentences = [_sentence(line) for line in said.iter_rows(named=True)]
    if said.height == sets.height:
        return sentences
    others = sets.join(said, on="name", how="anti")
    rows, hits = int(others["rows"].sum()), int(others["hit"].sum())
    of_them = f"{hits:,} of {rows:,} rows found" if hits else f"clean, 0 of {rows:,} rows"
    over = int(others["contaminated"].sum())
    counted = f"; {over:,} of them are contaminated, over {CONTAMINATED:.0%}" if over else ""
    return [*sentences, f"{others.height:,} more files: {of_them}{counted}; `evaluations` has each"]


def _worst(sets: pl.DataFrame) -> pl.DataFrame:
    """The files of which any row is in the set, by their share, as many as may be said."""
    return sets.filter(pl.col("hit") > 0).sort("share", descending=True).head(MOST_SAID)


def _sentence(line: dict[str, Any]) -> str:
    hits = f"{line['hit']:,} of {line['rows']:,} rows ({line['share']:.1%})"
    where = f"{hits} found in {line['records']:,} records"
    if line["contaminated"]:
        return f"contaminated for {line['name']}: {where}, over {CONTAMINATED:.0%}"
    if not line["hit"]:
        return f"{line['name']}: clean, 0 of {line['rows']:,} rows"
    return f"{line['name']}: {where}"
