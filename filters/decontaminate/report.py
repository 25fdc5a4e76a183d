"""What became of each evaluation file: verdicts on records, evidence, and shares found."""

from __future__ import annotations

import polars as pl

from curate.base.contract import Findings, verdicts
from filters.common.text import Field
from filters.decontaminate.sets import KINDS, QUOTED, Evaluations

# More of an evaluation than this in the training set, and its results mean nothing (Tulu 3).
CONTAMINATED = 0.02


def judge_rows(
    evaluations: Evaluations, matches: pl.DataFrame, measures: pl.DataFrame
) -> pl.DataFrame:
    """Verdicts: the best match of each record is its reason, score and evidence."""
    best = matches.unique("at", keep="first", maintain_order=True)
    where = evaluations.rows[best["evaluation"].cast(pl.Int64)] if best.height else None
    evidence = (
        []
        if where is None
        else [
            _evidence(evaluations, found, row)
            for found, row in zip(
                best.iter_rows(named=True), where.iter_rows(named=True), strict=True
            )
        ]
    )  # a loop over dropped rows: each quotes a text of its own
    found = pl.DataFrame({"at": pl.int_range(measures.height, dtype=pl.Int64, eager=True)}).join(
        best.with_columns(evidence=pl.Series(evidence, dtype=pl.String)),
        on="at",
        how="left",
        maintain_order="left",
    )
    slugs = dict(enumerate(KINDS))
    reason = found["kind"].replace_strict(slugs, return_dtype=pl.String)
    return verdicts(found["kind"].is_null(), reason, found["score"], evidence=found["evidence"])


def _evidence(evaluations: Evaluations, found: dict[str, object], row: dict[str, object]) -> str:
    where = f"{row['source']}:{row['line']}"
    text = " ".join(str(row["text"]).split())
    if found["kind"] != 0:
        return f"{where} {text!r}"
    item, first, run = (int(str(found[name])) for name in ("item", "first", "run"))
    quote = evaluations.index.quote(item, first, run)
    shown = quote if len(quote) <= QUOTED else quote[: QUOTED - 1] + "…"
    return f"{shown!r} in {where} {text!r}"


def report(
    evaluations: Evaluations, matches: pl.DataFrame, measures: pl.DataFrame, field: Field
) -> Findings:
    """Per evaluation file how many rows are in the set; and a table of every match."""
    names = evaluations.rows.with_row_index("evaluation")
    kinds = pl.DataFrame({"kind": pl.Series(range(3), dtype=pl.Int8), "how": list(KINDS)})
    table = matches.join(names, on="evaluation", maintain_order="left").join(
        kinds, on="kind", maintain_order="left"
    )
    first = pl.col("kind") < 2
    hits = table.group_by("name").agg(
        hit=pl.col("evaluation").n_unique(),
        by_wording=pl.col("evaluation").filter(first).n_unique(),
        records=pl.col("at").n_unique(),
    )
    sets = (
        names.group_by("name", maintain_order=True)
        .agg(rows=pl.len())
        .join(hits, on="name", how="left", maintain_order="left")
        .fill_null(0)
        .with_columns(share=pl.col("hit") / pl.col("rows"))
        .with_columns(contaminated=pl.col("share") > CONTAMINATED)
    )
    words = evaluations.index.words
    short = int((words < evaluations.index.size).sum())
    sentences = [_sentence(row) for row in sets.iter_rows(named=True)]
    if short:
        sentences.append(
            f"{short:,} of {len(words):,} different evaluation texts have under "
            f"{evaluations.index.size} words: prompts must be equal, answers are not looked for"
        )
    listed = table.select(
        row=measures["row"].gather(table["at"]),
        id=measures["id"].gather(table["at"]),
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


def _sentence(row: dict[str, object]) -> str:
    hit, share = int(str(row["hit"])), float(str(row["share"]))
    found = f"{hit:,} of {row['rows']:,} rows ({share:.1%}) found in {row['records']:,} records"
    if row["contaminated"]:
        return f"contaminated for {row['name']}: {found}, over {CONTAMINATED:.0%}"
    return f"{row['name']}: {found}" if hit else f"{row['name']}: clean, 0 of {row['rows']:,} rows"
