"""What people see of a judge's answers: its score and reason, or what it said instead of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from filters.llm_judge.session import Judged

# Characters of an answer that stand with a row; the rest is counted.
SHOWN = 600


def evidence_of(
    judged: Sequence[Judged], measures: pl.DataFrame, verdicts: pl.DataFrame, step: Any
) -> pl.Series:
    """A text for each row; `step` is the `LLMJudge` whose limits it names."""
    rows = zip(
        judged,
        measures["score"],
        verdicts["reason"],
        verdicts["score"],
        strict=True,
    )
    return pl.Series([_text(*row, step) for row in rows], dtype=pl.String)


def _text(
    judged: Judged, raw: float | None, reason: str | None, score: float | None, step: Any
) -> str:
    reasons = _reasons(judged, step.published.aspects)
    if raw is None:
        return reasons
    limits = {
        "below_min_score": f", min_score is {step.min_score}",
        "not_in_top": f", {_number(score)} with length taken out ({step.calibrate})"
        if step.calibrate != "none"
        else "",
    }
    limit = limits.get(reason or "", "")
    head = f"score {_number(raw)}{limit}"
    return f"{head}: {reasons}" if reasons else head


def _reasons(judged: Judged, aspects: Sequence[str]) -> str:
    several = len(judged.readings) > 1
    parts = []
    for at, reading in enumerate(judged.readings):
        answer = judged.answers[at] if at < len(judged.answers) else None
        text = reading.reason
        if reading.problem == "low_mass" and answer is not None:
            likeliest = f"it would begin with {answer.text!r}" if answer.text else ""
            text = f"low_mass: {'; '.join(filter(None, (likeliest, reading.reason)))}"
        elif reading.problem and answer is not None:
            text = f"{reading.problem}: {answer.problem or answer.text or 'nothing'}"
        elif reading.problem and reading.reason:
            text = f"{reading.problem}: {reading.reason}"
        if reading.mass is not None:
            text = f"{text.removesuffix(': ')}; " if text else ""
            text += f"labels have {reading.mass:.2f} of the probability"
        if several:
            text = f"{aspects[at]} {_number(reading.score)}{': ' if text else ''}{text}"
        parts.append(text)
    return _shortened("; ".join(part for part in parts if part))


def _shortened(text: str) -> str:
    if len(text) <= SHOWN:
        return text
    return f"{text[:SHOWN]} ... ({len(text) - SHOWN:,} more characters)"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{round(value, 4):g}"
