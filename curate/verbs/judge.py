"""The verb about judges: what their scores are worth beside labels, and the rubrics there are."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from curate.base.errors import CurateError, nearest
from curate.base.terminal import printable
from curate.verbs.common import warn

_TRUTH = {"true": 1.0, "false": 0.0}


def judge(arguments: argparse.Namespace) -> None:
    """`curate judge`: see its help."""
    {"check": _check, "rubrics": _rubrics}[arguments.action](arguments)


def _rubrics(arguments: argparse.Namespace) -> None:
    from filters.llm_judge.rubric import RUBRICS, load_rubric

    if arguments.labels is not None:
        raise CurateError("--labels is for curate judge check; leave it out")
    if arguments.what is not None:
        print(printable(load_rubric(arguments.what).text))
        return
    for name in RUBRICS:
        rubric = load_rubric(name)
        least = "" if rubric.min_score is None else f", published threshold {rubric.min_score:g}"
        use = "curate pairs --from judge" if rubric.is_pairwise else "judge"
        print(f"{name}: {rubric.about}")
        print(f"  {rubric.low:g} to {rubric.high:g}{least}; {' or '.join(rubric.ways)}; for {use}")
        print(f"  {rubric.source}")


def _check(arguments: argparse.Namespace) -> None:
    from filters.llm_judge.agreement import agreement

    from curate.pipeline.run_folder import RunFolder

    if arguments.what is None or arguments.labels is None:
        raise CurateError("check needs a run and labels: curate judge check RUN --labels FIELD")
    run = RunFolder.open(Path(arguments.what))
    step = _step(run.manifest, arguments.step)
    rows = _scored(run.ledger, pl.concat([run.kept, run.dropped], how="diagonal"), arguments.step)
    labels = _labels(rows, arguments.labels, arguments.good)
    at = arguments.at if arguments.at is not None else _least(step)
    good = None if arguments.good is None else _number(arguments.good)
    both = rows.select("score", label=labels).drop_nulls()
    if left_out := rows.height - both.height:
        warn(f"{left_out:,} of {rows.height:,} rows have no score or no label, and are left out")
    found = agreement(both["score"].to_numpy(), both["label"].to_numpy(), at, good)
    if arguments.json:
        print(json.dumps(found.numbers(), indent=2))
        return
    for line in found.sentences():
        print(line)


def _step(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The line of the funnel of a step that scores rows."""
    steps = {str(step.get("name")): step for step in manifest["steps"] if isinstance(step, dict)}
    if name not in steps:
        hint = nearest(name, list(steps)) or f"; its steps are {', '.join(steps)}"
        raise CurateError(f"the run has no step {name!r}{hint}; name it in --step")
    return steps[name]


def _scored(ledger: pl.DataFrame, rows: pl.DataFrame, step: str) -> pl.DataFrame:
    """The rows that a step judged, and its `score` of each, as it came."""
    judged = ledger.filter(pl.col("step") == step).select("row", judged="score")
    if judged["judged"].null_count() == judged.height:
        raise CurateError(f"step {step!r} gave no row a score; name one that does in --step")
    return judged.join(rows, on="row", how="left", maintain_order="left").with_columns(
        score=pl.col("judged")
    )


def _labels(rows: pl.DataFrame, name: str, good: str | None) -> pl.Series:
    """The field as numbers; of words those that say good are 1, others 0."""
    from filters.common.given_scores import text_of_field

    text = rows["category"] if name == "category" else text_of_field(rows, name)
    if text.null_count() == len(text):
        raise CurateError(f"none of {len(text):,} rows has a field {name!r}")
    plain = text.str.to_lowercase().replace(_TRUTH)
    numbers = plain.cast(pl.Float64, strict=False)
    if numbers.null_count() == text.null_count():
        return numbers
    if good is None:
        word = text.filter(numbers.is_null() & text.is_not_null())[0]
        raise CurateError(f"{name} is {word!r} in a row; name the word for a good row in --good")
    return (text == good).cast(pl.Float64)


def _least(step: Mapping[str, Any]) -> float | None:
    """The threshold that the run used, if it had one."""
    numbers = step.get("numbers")
    least = numbers.get("min_score") if isinstance(numbers, Mapping) else None
    return least if isinstance(least, int | float) else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None  # a word: labels are 1 and 0


__all__ = ["judge"]
