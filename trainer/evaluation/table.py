"""The table of epochs as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trainer.result import Epoch

# Heading, width and how each measure of an epoch is written.
_COLUMNS: tuple[tuple[str, str, Callable[[Epoch], float | None]], ...] = (
    ("training", ".4f", lambda line: line.train_loss),
    ("held out", ".4f", lambda line: line.held_out.loss if line.held_out else None),
    ("example_loss", ".4f", lambda line: line.held_out.example_loss if line.held_out else None),
    ("accuracy", ".1%", lambda line: line.held_out.accuracy if line.held_out else None),
    ("generalisation_gap", ".4f", lambda line: line.probe.generalisation_gap),
    ("memorised", ".0%", lambda line: line.probe.memorised),
    ("length", ".1f", lambda line: line.probe.length),
    ("stops", ".0%", lambda line: line.probe.stops),
    ("token_f1", ".3f", lambda line: line.probe.token_f1),
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
        lines.append(f"target length of an answer: {target:g} tokens")
    return lines
