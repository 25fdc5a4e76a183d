"""The verb about judges: what their scores are worth beside labels, and the rubrics there are."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.base.errors import CurateError, nearest
from curate.base.terminal import show, show_json

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder

_TRUTH = {"true": 1.0, "false": 0.0}


def judge(arguments: argparse.Namespace) -> None:
    """`curate judge`: see its help."""
    {"check": _check, "rubrics": _rubrics}[arguments.action](arguments)


def _rubrics(arguments: argparse.Namespace) -> None:
    from filters.llm_judge.rubric import RUBRICS, load_rubric

    if arguments.labels is not None:
        raise CurateError("--labels is for curate judge check; leave it out")
    if arguments.what is not None:
        show(load_rubric(arguments.what).text)
        return
    for name in RUBRICS:
        rubric = load_rubric(name)
        least = "" if rubric.min_score is None else f", published threshold {rubric.min_score:g}"
        use = "curate pairs --from judge" if rubric.is_pairwise else "judge"
        show(f"{name}: {rubric.about}")
        show(f"  {rubric.low:g} to {rubric.high:g}{least}; {' or '.join(rubric.ways)}; for {use}")
        show(f"  {rubric.source}")


def _check(arguments: argparse.Namespace) -> None:
    from curate.pipeline.run_folder import RunFolder
    from filters.llm_judge.agreement import agreement

    if arguments.what is None or arguments.labels is None:
        raise CurateError("check needs a run and labels: curate judge check RUN --labels FIELD")
    run = RunFolder.open(Path(arguments.what))
    step = _step(run.manifest, arguments.step)
    rows = _scored(run, arguments.step)
    labels = _labels(rows, arguments.labels, arguments.good)
    known = rows.select("judged", "words", label=labels).drop_nulls()
    if known.is_empty():
        raise CurateError(f"no row has both a score of {arguments.step} and {arguments.labels}")
    scale = _scale(step)
    at = _threshold(arguments, step, scale)
    good = _good(arguments, known["label"], scale, at)
    found = agreement(
        rows["judged"].fill_null(float("nan")).to_numpy(),
        labels.fill_null(float("nan")).to_numpy(),
        at,
        good,
        scale=scale,
        words=rows["words"].to_numpy(),
    )
    if arguments.json:
        show_json(json.dumps(found.numbers(), indent=2))
        return
    for line in found.sentences():
        show(line)


def _step(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The line of the funnel of a step, with its findings."""
    steps = {str(step.get("name")): step for step in manifest["steps"] if isinstance(step, dict)}
    if name not in steps:
        hint = nearest(name, list(steps)) or f"; its steps are {', '.join(steps)}"
        raise CurateError(f"the run has no step {name!r}{hint}; name it in --step")
    return steps[name]


def _scored(run: RunFolder, step: str) -> pl.DataFrame:
    """All rows that are written, with what a step `judged` each to be, as it came, or null."""
    columns = ("row", "meta", "score", "category", "scores")
    rows = pl.concat([run.kept.select(columns), run.dropped.select(columns)]).sort("row")
    every = rows.select("row", "scores").explode("scores").unnest("scores")
    given = every.filter(pl.col("step") == step).select("row", judged="score")
    if given["judged"].null_count() == given.height:
        raise CurateError(f"step {step!r} gave no row a score; name one that does in --step")
    given = given.unique("row", keep="first")
    words = run.lengths.select("row", "words")
    for known in (given, words):
        rows = rows.join(known, on="row", how="left", maintain_order="left")
    return rows


def _labels(rows: pl.DataFrame, name: str, good: str | None) -> pl.Series:
    """The field as numbers (NaN: none); of words those that say good are 1, others 0."""
    from filters.common.given_scores import text_of_field

    if name in ("score", "category"):
        text = rows[name].cast(pl.String)
    else:
        text = text_of_field(rows, name)
    if text.null_count() == len(text):
        raise CurateError(f"none of {len(text):,} rows has a field {name!r}{_fields(rows, name)}")
    numbers = text.str.to_lowercase().replace(_TRUTH).cast(pl.Float64, strict=False)
    if numbers.null_count() == text.null_count():
        if good is not None and not _is_number(good):
            raise CurateError(f"{name} holds numbers; name the number of a good row in --good")
        return numbers
    word = text.filter(numbers.is_null() & text.is_not_null())[0]
    if good is None:
        raise CurateError(f"{name} is {word!r} in a row; name the word of a good row in --good")
    if good not in text:
        known = ", ".join(map(str, text.drop_nulls().unique().sort().head(8)))
        raise CurateError(f"no row has {good!r} in {name}; there is {known}")
    return (text == good).cast(pl.Float64)


def _fields(rows: pl.DataFrame, name: str) -> str:
    """The fields that rows do have, or the one that was meant."""
    names = {key for text in rows["meta"].drop_nulls().head(1000) for key in json.loads(text)}
    known = sorted(names)
    if not known:
        return "; the rows have no fields beside their conversation"
    return nearest(name, known) or f"; there is {', '.join(known[:12])}"


def _is_number(text: str) -> bool:
    return text.lower() == "true" or _number(text) is not None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _scale(step: Mapping[str, Any]) -> tuple[float, float] | None:
    """The lowest and highest score of the rubric, if the step is a judge."""
    match _of(step, "range"):
        case [int() | float() as low, int() | float() as high]:
            return float(low), float(high)
        case [int() | float() as low, None]:
            return float(low), math.inf
    return None


def _threshold(
    arguments: argparse.Namespace, step: Mapping[str, Any], scale: tuple[float, float] | None
) -> float:
    """The score from which the judge calls a row good: as asked, as in the run, as published."""
    from filters.llm_judge.rubric import RUBRICS, load_rubric

    if arguments.at is not None and scale and not scale[0] <= arguments.at <= scale[1]:
        raise CurateError(
            f"--at is {arguments.at:g}; the judge's scores go from {scale[0]:g} to {scale[1]:g}"
        )
    published = None
    if (rubric := _of(step, "rubric")) in RUBRICS:
        published = load_rubric(rubric).min_score
    for least in (arguments.at, _of(step, "min_score"), published):
        if isinstance(least, int | float):
            return float(least)
    raise CurateError("the run has no least score; name the one that counts as good in --at")


def _of(step: Mapping[str, Any], name: str) -> Any:
    """A number that the step found out; the manifest may be a stranger's."""
    numbers = step.get("numbers")
    return numbers.get(name) if isinstance(numbers, Mapping) else None


def _good(
    arguments: argparse.Namespace,
    labels: pl.Series,
    scale: tuple[float, float] | None,
    at: float,
) -> float:
    """The label from which a row is good."""
    if arguments.good is not None:
        number = _number(arguments.good)
        return 1.0 if number is None else number  # a word: labels are 1 where it stands, else 0
    known = labels.to_numpy()
    low, high = float(known.min()), float(known.max())
    if labels.n_unique() <= 2:
        return high
    if scale is not None and scale[0] <= low and high <= scale[1]:
        return at
    raise CurateError(
        f"labels go from {low:g} to {high:g}, which is not the judge's scale; name the label from"
        " which a row is good in --good"
    )


__all__ = ["judge"]
