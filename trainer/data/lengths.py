"""The length answers are compared with: the user's, that the rows were matched to, or theirs."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from curate.base.errors import CurateError
from trainer.config.config import TrainConfig
from trainer.data.rows import IGNORED, Ints, Rows
from trainer.data.tokens import Tokens

_READ = 2000  # rows whose median stands for all


@dataclasses.dataclass(frozen=True)
class LengthTarget:
    """A length in tokens of the model's tokenizer, without a stop, and where it is from."""

    tokens: float
    source: str

    def __str__(self) -> str:
        return f"target length of an answer: {self.tokens:g} tokens, {self.source}"


def length_target(config: TrainConfig, tokens: Tokens, train: Ints) -> LengthTarget:
    """The length that greedy answers are compared with.

    `length_target` if it is set; else the median that a `length` step matched the rows
    to, which the rows' manifest has in tokens under `length`; else the median of the training
    rows' first answers. Raises `CurateError` if the manifest's figure is no length.
    """
    if config.length_target:
        return LengthTarget(float(config.length_target), "as length_target says")
    entry = tokens.manifest.get("length")
    if entry is not None:
        return _matched(tokens, entry)
    chosen = some(tokens.rows, train, _READ).tolist()
    lengths = [len(turn(tokens.rows, row, tokens.stop_ids)) for row in chosen]
    return LengthTarget(float(np.median(lengths)), "the median of the training answers")


def _matched(tokens: Tokens, entry: object) -> LengthTarget:
    try:
        assert isinstance(entry, dict)
        target, rate = float(entry["target_tokens"]), float(entry["tokens_per_unit"])
        step, unit, median = str(entry["step"]), str(entry["unit"]), int(entry["target"])
        assert 0 < target < float("inf")
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise CurateError(
            f"{tokens.folder / 'manifest.json'}: length: expected the step, unit, target, "
            f"tokens_per_unit and target_tokens that `curate render` writes, got {entry!r}; render "
            "the rows again, or set length_target"
        ) from error
    return LengthTarget(
        round(target, 1),
        f"step {step} matched the rows to a median of {median:,} {unit}, {rate:.3g} tokens each",
    )


def some(rows: Rows, chosen: Ints, count: int) -> Ints:
    """At most `count` of the rows, by a hash of their ids, in file order."""
    ranked = sorted(
        chosen.tolist(),
        key=lambda row: hashlib.blake2b(rows.ids[row].encode(), digest_size=8).digest(),
    )
    return np.array(sorted(ranked[:count]), dtype=np.int64)


def within(rows: Rows, chosen: Ints, targets: int) -> Ints:
    """The first of the rows that have at most so many targets together, and at least one row."""
    fits = np.cumsum(rows.target_counts[chosen]) <= targets
    return chosen[: max(1, int(fits.sum()))]


def turn(rows: Rows, row: int, stop_ids: tuple[int, ...]) -> list[int]:
    """The first trained run of a row, without its stop."""
    labels = rows.labels[rows.row(row)]
    trained = np.flatnonzero(labels != IGNORED)
    gaps = np.flatnonzero(np.diff(trained) > 1)
    turn: list[int] = labels[trained[: gaps[0] + 1] if len(gaps) else trained].tolist()
    return turn[:-1] if turn and turn[-1] in stop_ids else turn
