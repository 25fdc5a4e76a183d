"""What is measured between epochs, and which epoch is chosen for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trainer.loss import evaluating, target_nats
from trainer.rows.batches import batches
from trainer.rows.data import Ints, Rows
from trainer.settings.config import TrainConfig
from trainer.watch.result import Epoch, Evaluation

RULES = {
    "loss": "lowest held-out loss per token",
    "example-loss": "lowest held-out loss per row",
    "score": "best score of answers",
    "lima": "best score of answers",
    "last": "last epoch",
}


def evaluate(
    model: Any, rows: Rows, chosen: Ints, micro_tokens: int, *, whole: bool
) -> Evaluation | None:
    """Held-out loss of the rows `chosen` (sorted), or None if there are none.

    Nats and targets are summed over all rows before anything is divided, so the result does not
    depend on how the rows were batched.
    """
    if not len(chosen):
        return None
    sums = np.zeros(len(chosen))
    with evaluating(model):
        for batch in batches(rows, chosen, micro_tokens):
            nats = target_nats(model, batch, whole=whole).double().cpu().numpy()
            places = np.searchsorted(chosen, batch.rows[batch.row_of])
            sums += np.bincount(places, weights=nats, minlength=len(chosen))
    counts = rows.target_counts[chosen]
    return Evaluation(
        loss=float(sums.sum() / counts.sum()),
        loss_per_example=float((sums / counts).mean()),
        rows=len(chosen),
        targets=int(counts.sum()),
    )


def window(epochs: int) -> tuple[int, int]:
    """The middle third of a run: LIMA picked between epochs 5 and 10 of 15.

    >>> window(15)
    (5, 10)
    """
    first = math.ceil(epochs / 3)
    return first, max(first, 2 * epochs // 3)


def value(line: Epoch, metric: str) -> float | None:
    """What a rule compares, so that less is better; None if it was not measured."""
    if metric == "loss":
        return line.held_out.loss if line.held_out else None
    if metric == "example-loss":
        return line.held_out.loss_per_example if line.held_out else None
    if metric == "retention":
        return line.probe.retention
    return None if line.probe.score is None else -line.probe.score


def choose(table: Sequence[Epoch], config: TrainConfig) -> tuple[Epoch, str]:
    """The epoch that becomes the model, and the reason in words.

    Only trained epochs are candidates, and only those that keep the retention limit. Of equal
    scores the higher likeness decides, else the earlier epoch. Where nothing was measured that
    the rule compares, the last epoch is taken.
    """
    trained = [line for line in table if line.epoch > 0]
    last, rule = trained[-1], config.choose
    able, bound = _bounded(table, trained, config.retention_limit)
    if rule == "lima":
        low, high = window(config.epochs)
        able = [line for line in able if low <= line.epoch <= high] or able[-1:]
    metric = "score" if rule == "lima" else rule
    values = [found for line in able if (found := value(line, metric)) is not None]
    if rule == "last" or not values:
        missing = "" if rule == "last" else "; there are no held-out rows to compare epochs by"
        return able[-1], f"{RULES['last']}{missing}{bound}"
    measured = [line for line in able if value(line, metric) is not None]
    best = min(measured, key=lambda line: _rank(line, metric))
    among = f" of epochs {low} to {high}" if rule == "lima" else f" of {last.epoch}"
    why = f"{RULES[rule]}: {abs(min(values)):.4f} at epoch {best.epoch}{among}"
    before = value(table[0], metric) if table[0].epoch == 0 else None
    if before is not None:
        worse = ", which is better" if before <= min(values) else ""
        why += f" (before training {abs(before):.4f}{worse})"
    return best, why + bound


def _rank(line: Epoch, metric: str) -> tuple[float, float]:
    """Sorts epochs, the best first; where no answer stops all scores are 0 and likeness decides."""
    likeness = line.probe.likeness if metric == "score" else None
    return value(line, metric) or 0.0, -(likeness or 0.0)


def _bounded(
    table: Sequence[Epoch], trained: list[Epoch], limit: float | None
) -> tuple[list[Epoch], str]:
    """The epochs whose loss on general text rose by at most `limit`, and a word about it."""
    base = table[0].probe.retention
    if limit is None or base is None:
        return trained, ""
    losses = {line.epoch: line.probe.retention or math.inf for line in trained}
    able = [line for line in trained if losses[line.epoch] <= base + limit]
    if able:
        out = [str(line.epoch) for line in trained if line not in able]
        said = f"; left out for losing more than {limit:g} on general text: {', '.join(out)}"
        return able, said if out else ""
    kept = min(trained, key=lambda line: losses[line.epoch])
    return [kept], (
        f"; every epoch lost more than {limit:g} on general text, and this one the least "
        f"({losses[kept.epoch] - base:.4f})"
    )


def ended(table: Sequence[Epoch], config: TrainConfig) -> str | None:
    """Why training ends before its last epoch, in words; None if it goes on.

    It ends; which epoch is chosen is another question.
    """
    if config.stop_on == "never":
        return None
    values = [
        found for line in table if line.epoch and (found := value(line, config.stop_on)) is not None
    ]
    if len(values) <= config.patience or min(values[-config.patience :]) < min(
        values[: -config.patience]
    ):
        return None
    return (
        f"training ends after epoch {table[-1].epoch} of {config.epochs}: {config.stop_on} has "
        f"not improved for {config.patience} epoch{'s' if config.patience > 1 else ''}"
    )


# Heading, width and how each measure of an epoch is written.
_COLUMNS: tuple[tuple[str, str, Callable[[Epoch], float | None]], ...] = (
    ("training", ".4f", lambda line: line.train_loss),
    ("held out", ".4f", lambda line: line.held_out.loss if line.held_out else None),
    ("mean of rows", ".4f", lambda line: line.held_out.loss_per_example if line.held_out else None),
    ("accuracy", ".1%", lambda line: line.held_out.accuracy if line.held_out else None),
    ("gap", ".4f", lambda line: line.probe.gap),
    ("verbatim", ".0%", lambda line: line.probe.verbatim),
    ("length", ".1f", lambda line: line.probe.length),
    ("stops", ".0%", lambda line: line.probe.stops),
    ("likeness", ".3f", lambda line: line.probe.likeness),
    ("score", ".3f", lambda line: line.probe.score),
    ("retention", ".4f", lambda line: line.probe.retention),
    ("KL to base", ".4f", lambda line: line.probe.kl),
)


def table_lines(table: Sequence[Epoch], chosen: int) -> list[str]:
    """The table of epochs as plain lines, losses in nats; columns without a value are left out."""
    shown = [
        (name, style, read)
        for name, style, read in _COLUMNS
        if any(read(line) is not None for line in table)
    ]
    head = "  ".join(f"{name:>8}" for name, _, _ in shown)
    lines = [f"{'epoch':>5}  {'step':>6}  {head}"]
    for line in table:
        cells = [
            f"{format(found, style) if (found := read(line)) is not None else '-':>{width}}"
            for name, style, read in shown
            for width in [max(8, len(name))]
        ]
        mark = "  chosen" if line.epoch == chosen else ""
        lines.append(f"{line.epoch:>5}  {line.step:>6}  {'  '.join(cells)}{mark}")
    target = table[-1].probe.length_target
    if table[-1].probe.length is not None and target is not None:
        lines.append(f"answers should have {target:g} tokens")
    return lines
