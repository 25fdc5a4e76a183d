"""Where a run's numbers go: `metrics.jsonl` first, and a board as well if one was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from trainer.evaluation.boards import Board, opened_board


class Metrics:
    """Takes one object at a time; the line is on the disk before anybody else sees it."""

    def __init__(self, lines: TextIO, board: Board | None) -> None:
        self.lines, self.board = lines, board

    def note(self, **values: Any) -> None:
        """One line: `step`, and numbers by name."""
        self.lines.write(json.dumps(values) + "\n")
        if self.board is None:
            return
        side = "evaluation" if values.get("eval") else "training"
        for name, value in values.items():
            if name not in ("step", "eval") and isinstance(value, int | float):
                self.board.put(f"{side}/{name}", value, values["step"])


@contextmanager
def opened(
    out: Path, goes_on: bool, report_to: str, settings: Mapping[str, Any]
) -> Iterator[Metrics]:
    """The metrics of the run in `out`; with `goes_on` those of its earlier part stay."""
    with (
        (out / "metrics.jsonl").open(
            "a" if goes_on else "w", encoding="utf-8", buffering=1
        ) as lines,
        opened_board(out, report_to, settings) as board,
    ):
        yield Metrics(lines, board)
