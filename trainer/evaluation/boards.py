"""Boards that show a run's numbers while it goes on: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from curate.base.extras import require


class Board(Protocol):
    """Takes numbers by name and step, and is closed at the end of the run, whatever that is."""

    def put(self, name: str, value: float, step: int) -> None:
        """One number of the run."""

    def close(self) -> None:
        """All numbers are there."""


class _TensorBoard:
    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(out / "tensorboard"))

    def put(self, name: str, value: float, step: int) -> None:
        self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


class _Wandb:
    """A run of Weights & Biases; its own variables say where, to whom, and whether online."""

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        import wandb

        self.run = wandb.init(name=out.name, config=dict(settings))

    def put(self, name: str, value: float, step: int) -> None:
        self.run.log({name: value}, step=step)

    def close(self) -> None:
        self.run.finish()


class _MLflow:
    """A run of MLflow, where its own variables say."""

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        import mlflow

        self.mlflow = mlflow
        mlflow.start_run(run_name=out.name)
        # Longer values than it takes are none of those that tell runs apart.
        mlflow.log_params({name: str(value)[:500] for name, value in settings.items()})

    def put(self, name: str, value: float, step: int) -> None:
        self.mlflow.log_metric(name, value, step=step)

    def close(self) -> None:
        self.mlflow.end_run()


BOARDS: Mapping[str, Callable[[Path, Mapping[str, Any]], Board]] = {
    "tensorboard": _TensorBoard,
    "wandb": _Wandb,
    "mlflow": _MLflow,
}


def check_board(report_to: str) -> None:
    """Raise `CurateError` if the numbers shall go to a board that is not installed."""
    if report_to in BOARDS:
        instead = "leave report_to out: metrics.jsonl and curves.svg are written anyway"
        require(f"report_to: {report_to}", report_to, report_to, instead=instead)


@contextmanager
def opened_board(out: Path, report_to: str, settings: Mapping[str, Any]) -> Iterator[Board | None]:
    """The board of the run in `out`, closed afterwards; None if none was asked for."""
    if report_to not in BOARDS:
        yield None
        return
    board = BOARDS[report_to](out, settings)
    try:
        yield board
    finally:
        board.close()
