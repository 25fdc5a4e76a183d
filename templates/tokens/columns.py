"""Rendered rows and refused rows as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from templates.encoding.encode import IGNORED, Example
from templates.refusals import Refusal, Unreadable
from templates.spans import VerifiedRender

Record = dict[str, Any]
Ints = NDArray[Any]

TRAINED = pl.Schema(
    {
        "id": pl.String(),
        "row": pl.UInt32(),
        "input_ids": pl.List(pl.Int32),
        "labels": pl.List(pl.Int32),
        "turns": pl.List(pl.UInt32),
    }
)
EXAMPLES = pl.Schema({**TRAINED, "source": pl.String()})
PAIRED = ("input_ids", "labels")  # columns that a pair has twice
SIDES = ("", "rejected_")  # what stands before their names, of the chosen and the rejected answer
MASK = "attention_mask"  # of the dataset alone: all ones, as no row is padded
REFUSED = pl.Schema(
    {
        "row": pl.UInt32(),
        "id": pl.String(),
        "turn": pl.UInt32(),
        "check": pl.String(),
        "message": pl.String(),
    }
)


COUNTED = (
    "truncated",
    "tokens",
    "trained_tokens",
    "trained_turns",
    "trained_stops",
    "boundaries",
    "escaped",
    "moved_thoughts",
)


class Row(NamedTuple):
    """An accepted row: the verified text, and its tokens; of a pair, the rejected answer's too."""

    verified: VerifiedRender
    example: Example
    rejected: Row | None = None


class Examples:
    """Accepted rows, laid end to end: an object for each token would cost more than encoding."""

    def __init__(self) -> None:
        self._keys: list[tuple[str, int]] = []
        self._turns: list[list[int]] = []
        self._lengths: list[int] = []
        self._input_ids: list[Ints] = []
        self._labels: list[Ints] = []
        self.counts = dict.fromkeys(COUNTED, 0)
        self._rejected: Examples | None = None

    def add(self, records: Sequence[Mapping[str, Any]], rows: Sequence[Row]) -> None:
        """Append the rows, each made of the record at its place."""
        self._keys += [(record["id"], record["row"]) for record in records]
        self._turns += [[target.turn for target in row.verified.trained] for row in rows]
        lengths = [len(row.example.ids) for row in rows]
        self._lengths += lengths
        ids = np.concatenate([np.zeros(0, np.int32), *(_ids(row.example) for row in rows)])
        labels = np.full(len(ids), IGNORED, np.int32)
        first = 0
        for row, length in zip(rows, lengths, strict=True):
            for start, end in row.example.spans:
                labels[first + start : first + end] = ids[first + start : first + end]
            first += length
        self._input_ids.append(ids)
        self._labels.append(labels)
        self._count(rows, len(ids), int(np.count_nonzero(labels != IGNORED)))
        losers = [row.rejected for row in rows if row.rejected]
        if losers:  # all rows have one, or none
            self._rejected = self._rejected or Examples()
            self._rejected.add(records, losers)

    def _count(self, rows: Sequence[Row], tokens: int, trained: int) -> None:
        self.counts["truncated"] += sum(row.example.truncated for row in rows)
        self.counts["tokens"] += tokens
        self.counts["trained_tokens"] += trained
        self.counts["trained_turns"] += sum(len(row.verified.trained) for row in rows)
        self.counts["trained_stops"] += sum(
            target.stop is not None for row in rows for target in row.verified.trained
        )
        self.counts["boundaries"] += sum(row.example.cut for row in rows)
        self.counts["escaped"] += sum(row.example.escaped for row in rows)
        self.counts["moved_thoughts"] += sum(row.verified.moved for row in rows)

    def frame(self) -> pl.DataFrame:
        """The rows with the columns of `TRAINED`, and of `PAIRED` if they are pairs."""
        if not self._keys:
            return pl.DataFrame(schema=TRAINED)
        flat = {
            "input_ids": np.concatenate(self._input_ids),
            "labels": np.concatenate(self._labels),
        }
        keys = pl.DataFrame(self._keys, schema={"id": pl.String(), "row": pl.UInt32}, orient="row")
        tokens = _lists(np.array(self._lengths), flat)
        counts = np.array([len(turns) for turns in self._turns])
        turns = _lists(counts, {"turns": np.array([*chain(*self._turns)], np.uint32)})
        frame = pl.DataFrame([*keys, *tokens, *turns], schema=TRAINED)
        if self._rejected is None:
            return frame
        losers = self._rejected.frame().select(PAIRED)
        return frame.hstack(losers.rename({name: f"{SIDES[1]}{name}" for name in PAIRED}))


def _ids(example: Example) -> Ints:
    return np.array(example.ids, np.int32) if example.array is None else example.array


def _lists(lengths: Ints, columns: Mapping[str, Ints]) -> pl.DataFrame:
    """Flat columns cut into lists of the given lengths, none of which is 0."""
    owner = pl.Series("owner", np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths))
    flat = pl.DataFrame([owner.set_sorted(), *(pl.Series(k, v) for k, v in columns.items())])
    return flat.group_by("owner", maintain_order=True).agg(*columns).drop("owner")


def by_check(refused: pl.DataFrame) -> dict[str, int]:
    """How many rows each check refused."""
    return dict(refused.group_by("check").len().sort("check").iter_rows())


def refused_row(record: Record, refusal: Refusal) -> tuple[Any, ...]:
    """A refused row with the columns of `REFUSED`."""
    return record["row"], record["id"], refusal.turn, refusal.check, str(refusal)


def unreadable_rows(messages: Sequence[str]) -> pl.DataFrame:
    """Rows that never became records, with the columns of `REFUSED`: no `row`, no `turn`."""
    rows = [(None, "", None, Unreadable.check, message) for message in messages]
    return pl.DataFrame(rows, schema=REFUSED, orient="row")
