"""How long answers should be: as the user says, as the rows were matched, or as the rows are."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from curate.base.errors import CurateError
from trainer.rows.data import IGNORED, Ints, Rows, Tokens
from trainer.settings.config import TrainConfig

_READ = 2000  # rows whose median stands for all


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A length in tokens of the model's tokenizer, without a stop, and where it is from."""

    tokens: float
    source: str

    def __str__(self) -> str:
        return f"answers should have {self.tokens:g} tokens: {self.source}"


def wanted(config: TrainConfig, tokens: Tokens, train: Ints) -> Wanted:
    """The length that greedy answers are compared with.

    `length_target` if it is set; else the median of the law that a `length` step matched the rows
    to, which the rows' manifest has in tokens under `length`; else the median of the training
    rows' first answers. Raises `CurateError` if the manifest's figure is no length.
    """
    if config.length_target:
        return Wanted(float(config.length_target), "length_target says so")
    told = tokens.manifest.get("length")
    if told is not None:
        return _matched(tokens, told)
    chosen = some(tokens.rows, train, _READ).tolist()
    lengths = [len(turn(tokens.rows, row, tokens.stop_ids)) for row in chosen]
    return Wanted(float(np.median(lengths)), "the median of the training answers")


def _matched(tokens: Tokens, told: object) -> Wanted:
    try:
        assert isinstance(told, dict)
        wanted, rate = float(told["target_tokens"]), float(told["tokens_per_unit"])
        step, unit, median = str(told["step"]), str(told["unit"]), int(told["target"])
        assert 0 < wanted < float("inf")
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise CurateError(
            f"{tokens.folder / 'manifest.json'}: length: expected the step, unit, target, "
            f"tokens_per_unit and target_tokens that `curate render` writes, got {told!r}; render "
            "the rows again, or set length_target"
        ) from error
    return Wanted(
        round(wanted, 1),
        f"step {step} matched the rows to a median of {median:,} {unit}, {rate:.3g} tokens each",
    )


def some(rows: Rows, chosen: Ints, count: int) -> Ints:
    """At most `count` of the rows, by a hash of their ids, in file order."""
    ranked = sorted(
        chosen.tolist(),
        key=lambda row: hashlib.blake2b(rows.ids[row].encode(), digest_size=8).digest(),
    )
    return np.array(sorted(ranked[:count]), dtype=np.int64)


def turn(rows: Rows, row: int, stop_ids: tuple[int, ...]) -> list[int]:
    """The first trained run of a row, without its stop."""
    labels = rows.labels[rows.row(row)]
    trained = np.flatnonzero(labels != IGNORED)
    gaps = np.flatnonzero(np.diff(trained) > 1)
    turn: list[int] = labels[trained[: gaps[0] + 1] if len(gaps) else trained].tolist()
    return turn[:-1] if turn and turn[-1] in stop_ids else turn
