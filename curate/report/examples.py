"""A few rows for every reason: what was dropped or edited, why, and the row it duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from curate.base.terminal import printable
from curate.pipeline.run_folder import LEDGER, collected
from curate.report.counts import REASONS
from curate.report.excerpts import LIMIT, Piece, excerpt, side_by_side
from curate.report.run_files import Seen, records, reject_reasons, score_name, source_names

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder

EVIDENCE = 200  # characters


class Side(NamedTuple):
    """One record in an example."""

    seen: Seen
    prompt: list[Piece]
    response: list[Piece]


class Example(NamedTuple):
    """One verdict with its record, and the record that this one duplicates, if any."""

    record: Side
    score: float | None
    score_name: str
    evidence: list[Piece]
    duplicate_of: Side | None
    duplicate_of_row: int | None


class RejectedLine(NamedTuple):
    """A line that could not be read."""

    where: str
    reason: str
    raw: list[Piece]


class RejectReason(NamedTuple):
    """One slug of the rejects, how often, and some of the lines."""

    slug: str
    rows: int
    lines: list[RejectedLine]


def of_reasons(run: RunFolder) -> dict[tuple[str, str], list[Example]]:
    """Up to three examples per (step, reason): lowest, middle and highest score, or row."""
    shown = [
        {"step": step["name"], "reason": reason}
        for step in run.manifest["steps"]
        for reason in list(step["reasons"])[:REASONS]
    ]
    chosen = _chosen(run, pl.DataFrame(shown, schema={"step": pl.String, "reason": pl.String}))
    seen = records(run, pl.concat([chosen["row"], chosen["duplicate_of"].drop_nulls()]))
    examples: dict[tuple[str, str], list[Example]] = {}
    for verdict in chosen.with_columns(pl.col("evidence").str.head(LIMIT)).iter_rows(named=True):
        of_reason = examples.setdefault((verdict["step"], verdict["reason"]), [])
        of_reason.append(_example(verdict, seen, score_name(run.manifest, verdict["step"])))
    return examples


def _chosen(run: RunFolder, reasons: pl.DataFrame) -> pl.DataFrame:
    """The lines of the ledger that are shown, by reason, then by score and row."""
    numbered = reasons.with_row_index("nth")
    verdicts = run.scan(LEDGER).filter(pl.col("verdict") != "keep")
    # There may be as many of them as rows: of most, numbers alone are read.
    lines = verdicts.join(numbered.lazy(), on=["step", "reason"]).select("nth", "score", "row")
    by_score = collected(lines, run.path / LEDGER).sort("nth", "score", "row")
    chosen = _first_middle_last(by_score, ["nth"]).select("nth", "row")
    shown = run.lines_about(LEDGER, chosen["row"]).filter(pl.col("verdict") != "keep")
    shown = shown.join(numbered, on=["step", "reason"])
    return chosen.join(shown, on=["nth", "row"], how="left", maintain_order="left")


def _first_middle_last(frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Three lines of every group, in order."""
    at, size = pl.int_range(pl.len()).over(keys), pl.len().over(keys)
    return frame.filter((at == 0) | (at == size // 2) | (at == size - 1))


def _example(verdict: dict[str, Any], seen: dict[int, Seen], score: str) -> Example:
    mine, other = seen[verdict["row"]], seen.get(verdict["duplicate_of"])
    evidence = verdict["evidence"] or ""
    if other is None:
        # Marked where the text holds the evidence word for word.
        span = evidence if len(evidence) > 1 else None
        record = Side(mine, excerpt(mine.prompt, span), excerpt(mine.response, span))
        duplicate_of = None
    else:
        prompts = side_by_side(mine.prompt, other.prompt)
        responses = side_by_side(mine.response, other.response)
        record = Side(mine, prompts[0], responses[0])
        duplicate_of = Side(other, prompts[1], responses[1])
    shown = excerpt(evidence, limit=EVIDENCE)
    return Example(record, verdict["score"], score, shown, duplicate_of, verdict["duplicate_of"])


def of_rejects(run: RunFolder) -> list[RejectReason]:
    """Every reject reason, commonest first, with up to three of its lines."""
    reasons = reject_reasons(run)
    counted = reasons.group_by("reason").len().sort("len", "reason", descending=[True, False])
    chosen = _first_middle_last(reasons, ["reason"])
    lines = run.pick("rejects.jsonl", chosen["at"])
    names = source_names(run)
    return [
        RejectReason(slug, count, [_rejected(lines[at], names) for at in at_lines])
        for slug, count in counted.iter_rows()
        for at_lines in [chosen.filter(pl.col("reason") == slug)["at"]]
    ]


def _rejected(line: dict[str, Any], names: dict[str, str]) -> RejectedLine:
    where = f"{names[line['source']]}:{line['line']}"
    return RejectedLine(where, printable(line["reason"][:LIMIT]), excerpt(line["raw"]))
