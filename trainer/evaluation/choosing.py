"""Which epoch becomes the model, and whether training goes on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainer.config.config import TrainConfig
from trainer.config.objectives import PREFERENCES
from trainer.result import Epoch

RULES = {
    "loss": "lowest held-out loss per token",
    "example-loss": "lowest held-out loss per row",
    "score": "best score of answers",
    "macro_f1": "best macro-F1 of labels",
    "lima": "best score of answers",
    "last": "last epoch",
}
# Measures of which more is better.
_RISING = ("score", "macro_f1")


def window(epochs: int) -> tuple[int, int]:
    """The middle third of a run: LIMA picked between epochs 5 and 10 of 15.

    >>> window(15)
    (5, 10)
    """
    first = math.ceil(epochs / 3)
    return first, max(first, 2 * epochs // 3)


def value(line: Epoch, metric: str) -> float | None:
    """What a rule compares, so that less is better; None if it was not measured."""
    found = line.measures().get(metric.replace("-", "_"))
    return -found if found is not None and metric in _RISING else found


def choose(table: Sequence[Epoch], config: TrainConfig) -> tuple[Epoch, str]:
    """The epoch that becomes the model, and the reason in words.

    Only trained epochs are candidates, and only those that keep the retention limit. Of equal
    scores the higher token F1 decides, of equal macro-F1 the lower loss, else the earlier epoch.
    Where LIMA's window holds none of
    them, all are compared. Where nothing was measured that the rule compares, the last is taken.
    """
    trained = [line for line in table if line.epoch > 0]
    last, rule = trained[-1], config.choose
    able, bound = _bounded(table, trained, config.retention_limit)
    among = f"of {last.epoch}"
    if rule == "lima":
        low, high = window(config.num_train_epochs)
        inside = [line for line in able if low <= line.epoch <= high]
        if inside:
            able, among = inside, f"of epochs {low} to {high}"
        else:
            bound += f"; no epoch that may be chosen lies in epochs {low} to {high}"
    metric = "score" if rule == "lima" else rule
    measured = [line for line in able if value(line, metric) is not None]
    if rule == "last" or not measured:
        missing = "" if rule == "last" else "; there are no held-out rows to compare epochs by"
        return able[-1], f"{RULES['last']}{missing}{bound}"
    best = min(measured, key=lambda line: _rank(line, metric))
    lowest, _ = _rank(best, metric)
    what = RULES[rule]
    if rule == "loss" and config.objective in PREFERENCES:
        what = "lowest held-out loss per pair"
    why = f"{what}: {abs(lowest):.4f} at epoch {best.epoch} {among}"
    before = value(table[0], metric) if table[0].epoch == 0 else None
    if before is not None:
        worse = ", which is better" if before <= lowest else ""
        why += f" (before training {abs(before):.4f}{worse})"
    return best, why + bound


def _rank(line: Epoch, metric: str) -> tuple[float, float]:
    """Sorts epochs, the best first; where no answer stops all scores are 0 and token F1 decides.

    Of few rows many epochs get the same ones right; the loss sees how nearly.
    """
    first = value(line, metric) or 0.0
    if metric == "macro_f1":
        return first, value(line, "loss") or 0.0
    token_f1 = line.probe.token_f1 if metric == "score" else None
    return first, -(token_f1 or 0.0)


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
        reason = f"; left out for losing more than {limit:g} on general text: {', '.join(out)}"
        return able, reason if out else ""
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
        f"training ends after epoch {table[-1].epoch} of {config.num_train_epochs}: "
        f"{config.stop_on} has not improved for {config.patience} "
        f"epoch{'s' if config.patience > 1 else ''}"
    )
