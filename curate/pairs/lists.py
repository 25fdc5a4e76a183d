"""Rows that hold several answers to one prompt, as one record an answer."""

from __future__ import annotations

from typing import Any

import polars as pl

from curate.base.json_text import dumps, loads_exact
from curate.base.schema import RECORDS, content_id

# The readers take the best answer of such a row and leave the whole list in `meta`.
LIST, ANSWER = "completions", "response"
SCORES = ("overall_score", "fine-grained_score", "score")


def unfold_lists(records: pl.DataFrame) -> tuple[pl.DataFrame, int, int]:
    """The records with each list of answers (UltraFeedback's `completions`) unfolded.

    Also how many rows held a list, and how many answers came of them. An answer is a record with
    the row's prompt, its own fields as `meta`, and its overall score as `score`; `row` is counted
    anew. What is no text is an empty answer.
    """
    holds = records["meta"].str.contains(f'"{LIST}":[', literal=True)
    if not holds.any():
        return records, 0, 0
    unfolded: list[dict[str, Any]] = []
    listed: list[int] = []
    for record in records.filter(holds).iter_rows(named=True):  # what JSON holds is objects
        answers = loads_exact(record["meta"]).get(LIST)
        if isinstance(answers, list):
            listed.append(record["row"])
            unfolded += [_of(record, answer) for answer in answers if isinstance(answer, dict)]
    rest = records.filter(~pl.col("row").is_in(listed))
    frame = pl.concat([rest, pl.DataFrame(unfolded, schema=RECORDS)]).sort(
        "row", maintain_order=True
    )
    numbered = frame.with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32))
    return numbered.select(RECORDS.names()), len(listed), len(unfolded)


def _of(record: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    text = answer.get(ANSWER)
    before = record["messages"][:-1]
    answered = {"role": "assistant", "content": text if isinstance(text, str) else ""}
    messages = [*before, {**dict.fromkeys(record["messages"][-1]), **answered}]
    fields = {name: value for name, value in answer.items() if name != ANSWER}
    scores = (_number(answer.get(name)) for name in SCORES)
    return {
        **{name: record[name] for name in RECORDS},
        "id": content_id(messages, record["tools"]),
        "messages": messages,
        "rejected": None,
        "score": next((score for score in scores if score is not None), None),
        "meta": dumps(fields),
    }


def _number(value: Any) -> float | None:
    """A score as a number, from a number or its text."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
