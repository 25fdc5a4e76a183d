"""What is measured between epochs, and which epoch is chosen for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trainer.batches import batches
from trainer.data import Ints, Rows
from trainer.loss import evaluating, target_nats
from trainer.result import Epoch, Evaluation

RULES = {
    "loss": "lowest held-out loss per token",
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


def choose(table: Sequence[Epoch], rule: str) -> tuple[Epoch, str]:
    """The epoch that becomes the model, and the reason in words.

    Only trained epochs are candidates; equal losses go to the earlier epoch. Without held-out
    rows there is nothing to compare, and the last epoch is taken.
    """
    trained = [line for line in table if line.epoch > 0]
    last = trained[-1]
    losses = [line.held_out.loss for line in trained if line.held_out is not None]
    if rule == "last" or not losses:
        missing = "; there are no held-out rows to compare epochs by" if not losses else ""
        return last, f"{RULES['last']}{missing}"
    best = trained[losses.index(min(losses))]
    why = f"{RULES['loss']}: {min(losses):.4f} at epoch {best.epoch} of {last.epoch}"
    before = next((line.held_out for line in table if line.epoch == 0), None)
    if before is not None:
        better = min(losses) < before.loss
        why += f" (before training {before.loss:.4f}" + ("" if better else ", which is lower") + ")"
    return best, why


def table_lines(table: Sequence[Epoch], chosen: int) -> list[str]:
    """The table of epochs as plain lines; losses in nats."""
    lines = [f"{'epoch':>5}  {'step':>6}  {'training':>8}  {'held out':>8}  {'mean of rows':>12}"]
    for line in table:
        train = "-" if line.train_loss is None else f"{line.train_loss:.4f}"
        held = "-" if line.held_out is None else f"{line.held_out.loss:.4f}"
        rows = "-" if line.held_out is None else f"{line.held_out.loss_per_example:.4f}"
        mark = "  chosen" if line.epoch == chosen else ""
        lines.append(f"{line.epoch:>5}  {line.step:>6}  {train:>8}  {held:>8}  {rows:>12}{mark}")
    return lines
