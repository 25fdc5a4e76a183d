"""Questions without answers: no examples to train on, but an evaluation set may be nothing else."""

from __future__ import annotations

from typing import Any

import orjson
import polars as pl

from curate.sources.build import Builder
from curate.sources.convert import QUESTIONS, Conversation, Row

_LISTS = ("turns", "messages", "conversations")
_ANSWERING = ("assistant", "gpt", "model", "bot")


def questions(rejects: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Records of the users' words in rows rejected for want of an answer, and the other rejects."""
    builder, left = Builder(), []
    for number, reject in enumerate(rejects.iter_rows(named=True)):
        texts = _asked(reject["raw"]) if reject["reason"].startswith("no_answer") else []
        if not texts:
            left.append(number)
            continue
        messages = [{"role": "user", "content": text} for text in texts]
        builder.add(reject["source"], reject["line"], "{}", Conversation(messages, ()))
    return builder.frame(), rejects[left]


def _asked(raw: str) -> list[str]:
    try:
        row = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return []
    return [text for text in _texts(row) if text.strip()] if isinstance(row, dict) else []


def _texts(row: Row) -> list[str]:
    for name in _LISTS:
        if isinstance(row.get(name), list):
            return [text for turn in row[name] if isinstance(text := _text_of(turn), str)]
    parts = (row.get("instruction"), row.get("input"))
    if given := [part for part in parts if isinstance(part, str) and part.strip()]:
        return ["\n\n".join(given)]
    return [row[name] for name in QUESTIONS if isinstance(row.get(name), str)][:1]


def _text_of(turn: Any) -> Any:
    if not isinstance(turn, dict):
        return turn
    speaker = turn.get("role", turn.get("from"))
    return None if speaker in _ANSWERING else turn.get("content", turn.get("value"))
