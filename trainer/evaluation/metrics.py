"""Where a run's numbers go: `metrics.jsonl` first, TensorBoard as well if that was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TextIO

from curate.base.extras import require

BOARD = "tensorboard"


def check_board(report_to: str) -> None:
    """Raise `CurateError` if the curves shall go to TensorBoard and it is not installed."""
    if report_to == BOARD:
        instead = "leave report_to out: metrics.jsonl and curves.svg are written anyway"
        require(f"report_to: {BOARD}", BOARD, BOARD, instead=instead)


class Metrics:
    """Takes one object at a time; the line is on the disk before anybody else sees it."""

    def __init__(self, lines: TextIO, board: Any | None) -> None:
        self.lines, self.board = lines, board

    def note(self, **values: Any) -> None:
        """One line: `step`, and numbers by name."""
        self.lines.write(json.dumps(values) + "\n")
        if self.board is None:
            return
        side = "evaluation" if values.get("eval") else "training"
        for name, value in values.items():
            if name not in ("step", "eval") and isinstance(value, int | float):
                self.board.add_scalar(f"{side}/{name}", value, values["step"])


@contextmanager
def opened(out: Path, goes_on: bool, report_to: str) -> Iterator[Metrics]:
    """The metrics of the run in `out`; with `goes_on` those of its earlier part stay."""
    with (out / "metrics.jsonl").open(
        "a" if goes_on else "w", encoding="utf-8", buffering=1
    ) as lines:
        if report_to != BOARD:
            yield Metrics(lines, None)
            return
        from torch.utils.tensorboard import SummaryWriter

        with closing(SummaryWriter(str(out / BOARD))) as writer:
            yield Metrics(lines, writer)
