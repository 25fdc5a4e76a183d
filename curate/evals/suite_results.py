"""What a suite found: of each model and file, and how far the first model is from each other."""

from __future__ import annotations

import dataclasses
from typing import Any

from trainer.after.suite.instructions.scoring import InstructionDifference, InstructionResult
from trainer.after.suite.lengths import LengthDifference, LengthResult
from trainer.after.suite.loss_results import LossDifference, LossResult
from trainer.after.suite.stops import StopDifference, StopResult

PARTS = ("loss", "stops", "lengths", "instructions")


@dataclasses.dataclass(frozen=True)
class SuiteOptions:
    """How a suite is measured.

    `only` are some of `PARTS`. Of each file at most `max_rows` rows are taken (None for all), and
    so many of `prompts` instructions. `max_tokens` is the cap of an answer, `temperature` 0 the
    likeliest token each time. `base` is what an adapter goes on where it is not the one that it
    names, of the first model. `max_answers` of a file's rows, the first, are answered (None: all).
    """

    only: tuple[str, ...] = PARTS
    template: str | None = None
    max_rows: int | None = 500
    prompts: int = 300
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0
    device: str = "auto"
    base: str | None = None
    max_answers: int | None = None

    @property
    def answers(self) -> bool:
        """Whether the rows of files are answered."""
        return "stops" in self.only or "lengths" in self.only


@dataclasses.dataclass(frozen=True)
class FileResult:
    """What one model does on one file.

    `measured` rows were read by the model; `left_out` counts the others by reason, `no_prompt`
    those of them that ask for no answer, or leave no room for one. A part is None where it was not
    asked for, or the file has nothing for it.
    """

    name: str
    measured: int
    left_out: dict[str, int]
    no_prompt: int = 0
    unscored_bytes: int = 0  # of a text, where nothing stands before a piece
    loss: LossResult | None = None
    stops: StopResult | None = None
    lengths: LengthResult | None = None


@dataclasses.dataclass(frozen=True)
class ModelResult:
    """What one model does: on each file, and on instructions. `format` is how it is asked."""

    model: str
    hash: str
    format: dict[str, Any]
    stops: dict[str, Any]
    files: tuple[FileResult, ...]
    instructions: InstructionResult | None


@dataclasses.dataclass(frozen=True)
class FileDifference:
    """The first model's numbers on a file minus another's, over the rows that both read."""

    name: str
    unpaired: int
    loss: LossDifference | None = None
    stops: StopDifference | None = None
    lengths: LengthDifference | None = None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The first model minus `against`, file by file and on instructions."""

    against: str
    files: tuple[FileDifference, ...]
    instructions: InstructionDifference | None


@dataclasses.dataclass(frozen=True)
class SuiteEvaluation:
    """All that was measured; `models[0]` is the one that was asked for.

    `files` say what each file held, `notices` what was assumed or left out. Every number is of one
    file: nothing is averaged over files.
    """

    options: SuiteOptions
    reference: str | None
    files: tuple[dict[str, Any], ...]
    models: tuple[ModelResult, ...]
    comparisons: tuple[Comparison, ...]
    notices: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = dataclasses.asdict(self)
        del found["options"]["device"]  # where it was computed is no setting of the numbers
        return found
