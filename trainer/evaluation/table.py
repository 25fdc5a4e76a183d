"""The table of epochs as text."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.result import Epoch

# Heading, measure, and how each measure of an epoch is written.
_COLUMNS = (
    ("training", "train_loss", ".4f"),
    ("held out", "loss", ".4f"),
    ("example_loss", "example_loss", ".4f"),
    ("accuracy", "accuracy", ".1%"),
    ("margin", "margin", ".4f"),
    ("chosen reward", "chosen_reward", ".4f"),
    ("rejected reward", "rejected_reward", ".4f"),
    ("generalisation_gap", "generalisation_gap", ".4f"),
    ("memorised", "memorised", ".0%"),
    ("length", "length", ".1f"),
    ("stops", "stops", ".0%"),
    ("token_f1", "token_f1", ".3f"),
    ("score", "score", ".3f"),
    ("macro_f1", "macro_f1", ".3f"),
    ("label_accuracy", "label_accuracy", ".1%"),
    ("retention", "retention", ".4f"),
    ("KL to base", "kl", ".4f"),
    ("KL to teacher", "teacher_kl", ".4f"),
)


def table_lines(table: Sequence[Epoch], chosen: int) -> list[str]:
    """The table of epochs as plain lines, losses in nats; columns without a value are left out."""
    measures = [{"train_loss": line.train_loss, **line.measures()} for line in table]
    shown = [
        column for column in _COLUMNS if any(each.get(column[1]) is not None for each in measures)
    ]
    head = "  ".join(f"{name:>8}" for name, _, _ in shown)
    lines = [f"{'epoch':>5}  {'step':>6}  {head}"]
    for line, found in zip(table, measures, strict=True):
        cells = [
            f"{'-' if (value := found.get(key)) is None else format(value, style):>{width}}"
            for name, key, style in shown
            for width in [max(8, len(name))]
        ]
        mark = "  chosen" if line.epoch == chosen else ""
        lines.append(f"{line.epoch:>5}  {line.step:>6}  {'  '.join(cells)}{mark}")
    target = table[-1].probe.length_target
    if table[-1].probe.length is not None and target is not None:
        lines.append(f"target length of an answer: {target:g} tokens")
    return lines


# Below so many rows one unusual row decides, and an interval is wider than what training changes.
FEW = 20


def certainty_lines(line: Epoch) -> list[str]:
    """How much the held-out losses of an epoch mean, from how many rows they are of."""
    held = line.held_out
    if held is None:
        return []
    rows = "1 row" if held.rows == 1 else f"{held.rows:,} rows"
    known = "how far its losses are to be trusted cannot be known"
    if held.interval is not None:
        known = f"example_loss of epoch {line.epoch} is known to within {held.interval:.4f} (95 %)"
    elif held.rows > 1:
        known = "its losses are means over them"
    few = "; of so few the order of epochs may be chance" if held.rows < FEW else ""
    return [f"held out: {rows}, so {known}{few}"]


def length_lines(table: Sequence[Epoch]) -> list[str]:
    """Of preferences: lengths of the held-out pairs, and of the answers that the model writes.

    Preferences reward length easily, so that a model whose answers grew beyond both sides of its
    pairs says so.
    """
    held, answers = table[-1].held_out, [line.probe.length for line in table]
    if held is None or held.chosen_length is None or held.rejected_length is None:
        return []
    chosen, rejected = held.chosen_length, held.rejected_length
    longer = (
        ""
        if held.longer_wins is None
        else (f"; always taking the longer is right in {held.longer_wins:.1%}")
    )
    lines = [
        f"held-out pairs: chosen answers of {chosen:.1f} trained tokens on average, rejected ones "
        f"of {rejected:.1f}{longer}"
    ]
    first, last = answers[0], answers[-1]
    if last is not None and first is not None and last > max(chosen, rejected, first):
        lines.append(
            f"answers grew from {first:.1f} to {last:.1f} tokens on average, beyond both sides of "
            "the pairs: this run teaches length; try length_desensitised=0.5, "
            "length_regularised=0.01 or length_normalised=true, fewer epochs, or a larger beta"
        )
    return lines
