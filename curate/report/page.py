"""The page: what the ledger and the files say, put in the order in which it is read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from curate.base.pages import POLICY, page_templates
from curate.base.terminal import printable
from curate.report import (
    charts,
    clusters,
    counts,
    examples,
    histograms,
    length_findings,
    length_shift,
    reading,
    score_length_bias,
)
from curate.report.run_files import damage_explained

if TYPE_CHECKING:
    import jinja2

    from curate.pipeline.run_folder import RunFolder

_TEMPLATE = "report.html.jinja"
UNEXAMPLED = 40  # further reasons of a step that are listed with their counts alone
INPUTS = 200
LEFTOVERS = 60  # fields that are left over in reading


class Reason(NamedTuple):
    """One reason of a step: what it means, how often, what evidence recurs, some rows."""

    slug: str
    meaning: str
    cell: counts.Cell  # share of the rows that the step saw
    width: float  # of its bar: share of the step's commonest reason
    evidence: list[tuple[str, int]]
    examples: list[examples.Example]


class Step(NamedTuple):
    """One step of the funnel: `about` is what the manifest says of it.

    Widths are shares of all rows read.
    """

    about: Mapping[str, Any]
    kept: counts.Cell
    lost: counts.Cell
    seconds: float
    reasons: list[Reason]
    further: list[tuple[str, int]]
    unlisted: int


def context(run: RunFolder) -> dict[str, Any]:
    """Everything the template names."""
    manifest = run.manifest
    categories, more_categories = counts.by_category(run.lengths)
    scored = histograms.scores(run)
    left = reading.leftovers(manifest["sources"])
    return {
        "counts": manifest["counts"],
        "manifest": manifest,
        "steps": steps(run),
        "seconds": sum(manifest["seconds"].values()),
        "length": _length(run.lengths),
        "length_shifts": length_shift.of_run(run),
        "length_findings": length_findings.of_run(run),
        "duplicates": clusters.of_run(run),
        "scores": [(step, charts.scores(step)) for step in scored],
        "score_length_biases": score_length_bias.score_length_bias(run),
        "categories": categories,
        "more_categories": more_categories,
        "languages": counts.by_language(run),
        "sources": counts.by_source(run),
        "rejects": examples.of_rejects(run),
        "leftovers": left[:LEFTOVERS],
        "more_leftovers": max(0, len(left) - LEFTOVERS),
        "notes": reading.notes(manifest["sources"]),
        "inputs": manifest["sources"][:INPUTS],
        "more_inputs": max(0, len(manifest["sources"]) - INPUTS),
    }


def _length(lengths: pl.DataFrame) -> dict[str, Any] | None:
    """Chart and summaries of the response lengths; None when no row was read."""
    if not lengths.height:
        return None
    words = lengths["words"].cast(pl.Int64).to_numpy()
    kept = lengths["kept"].to_numpy()
    groups = {"read": words, "kept": words[kept], "dropped": words[~kept]}
    summaries = [histograms.summary(name, lengths) for name, lengths in groups.items()]
    chart = charts.lengths(histograms.length_histogram(words, kept), summaries)
    return {"chart": chart, "summaries": summaries, "strips": charts.strips(summaries)}


def steps(run: RunFolder) -> list[Step]:
    """The funnel with the examples of every reason."""
    shown = examples.of_reasons(run)
    evidence = counts.common_evidence(run)
    seconds = run.manifest["seconds"]
    read = run.manifest["counts"]["read"]
    return [
        _step(step, read, seconds.get(step["name"], 0.0), shown, evidence)
        for step in run.manifest["steps"]
    ]


def _step(
    step: Mapping[str, Any],
    read: int,
    seconds: float,
    shown: Mapping[tuple[str, str], list[examples.Example]],
    evidence: Mapping[tuple[str, str], list[tuple[str, int]]],
) -> Step:
    listed = list(step["reasons"].items())
    largest = max(step["reasons"].values(), default=0)
    meanings = step.get("meanings", {})
    reasons = [
        Reason(
            slug,
            meanings.get(slug, ""),
            counts.cell(count, step["rows"]),
            counts.share(count, largest),
            evidence.get((step["name"], slug), []),
            shown[step["name"], slug],
        )
        for slug, count in listed[: counts.REASONS]
    ]
    further = listed[counts.REASONS :]
    return Step(
        about={"sentences": (), **step},
        kept=counts.cell(step["kept"], read),
        lost=counts.cell(step["dropped"], read),
        seconds=seconds,
        reasons=reasons,
        further=further[:UNEXAMPLED],
        unlisted=max(0, len(further) - UNEXAMPLED),
    )


def html(run: RunFolder) -> str:
    """A self-contained page: no script, nothing fetched, all data escaped.

    The same run gives the same bytes. Raises `CurateError` when the run's files are damaged.
    """
    with damage_explained(run):
        drawn = _environment().get_template(_TEMPLATE).render(context(run), policy=POLICY)
        return printable(drawn)


def prepare() -> None:
    """Load and compile what pages are drawn with: a quarter of a second, for a thread beside."""
    import_module("pygal")
    _environment().get_template(_TEMPLATE)


@cache
def _environment() -> jinja2.Environment:
    filters = {
        "count": lambda count: f"{count:,}",
        "percent": percent,
        "number": lambda value: f"{value:,.4g}",
        "words": lambda value: f"{value:,.0f}",
        "seconds": lambda value: f"{value:,.2f}\N{NO-BREAK SPACE}s",
        "width": lambda value: f"{100 * value:.2f}%",
    }
    return page_templates("report", filters=filters)


def percent(share: float) -> str:
    """A share as a percentage with one decimal, never rounded to none or to all.

    >>> print(percent(0.1234), percent(0.0001), percent(0.9999), percent(1.0))
    12.3\N{NO-BREAK SPACE}% <0.1\N{NO-BREAK SPACE}% >99.9\N{NO-BREAK SPACE}% 100\N{NO-BREAK SPACE}%
    """
    shown = f"{100 * share:.1f}" if share not in (0, 1) else f"{100 * share:.0f}"
    if 0 < share < 0.001:
        shown = "<0.1"
    if 0.999 < share < 1:
        shown = ">99.9"
    return f"{shown}\N{NO-BREAK SPACE}%"
