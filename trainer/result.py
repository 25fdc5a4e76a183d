"""What a training run hands back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Held-out loss in nats: over all `targets` tokens, and as the mean of the rows' means.

    `interval` is half the width of the 95 % interval of that mean over rows, by Student's t; None
    for a single row. `teacher_kl` is the divergence from a teacher, nats a token at the run's
    temperature. Of preferences the loss is per pair; `ties` is the share of pairs that neither
    answer wins, rewards are of the objective's own kind and `margin` is their mean difference,
    lengths are trained tokens with the stop, and `longer_wins` is the accuracy of always taking the
    longer answer.
    """

    loss: float
    example_loss: float
    rows: int
    targets: int
    accuracy: float | None = None  # of pairs: those whose chosen answer scores higher
    interval: float | None = None
    teacher_kl: float | None = None  # of distillation
    ties: float | None = None  # of preferences, as all that follow
    margin: float | None = None
    chosen_reward: float | None = None
    rejected_reward: float | None = None
    chosen_length: float | None = None
    rejected_length: float | None = None
    longer_wins: float | None = None

    def __str__(self) -> str:
        if self.margin is None:
            return f"{self.loss:.4f} a token, {self.example_loss:.4f} a row"
        unit = "an answer" if self.longer_wins is None else "a pair"
        tied = f", {self.ties:.1%} tied" if self.ties else ""
        longer = "" if self.longer_wins is None else f" (the longer wins {self.longer_wins:.1%})"
        return (
            f"{self.loss:.4f} {unit}, accuracy {self.accuracy:.1%}{tied}{longer}, margin "
            f"{self.margin:.4f}, rewards {self.chosen_reward:.4f} and {self.rejected_reward:.4f}"
        )


@dataclasses.dataclass(frozen=True)
class Probe:
    """What else was measured after an epoch; None where nothing was there to measure.

    `fit` is the loss of as many training rows as are held out, without dropout, and
    `generalisation_gap` the held-out loss minus it. `memorised` is the share of training answers
    that the model gives by itself. `stops`, `length` (mean, tokens), `token_f1` and `score` are of
    greedy answers to held-out prompts; `length_target` is what their length is compared with.
    `macro_f1` and `label_accuracy` are of held-out rows that are classified by their labels.
    `retention` is the loss of general text, `kl` KL(tuned || base) at held-out targets. Losses and
    `kl` are nats a token.
    """

    fit: float | None = None
    generalisation_gap: float | None = None
    memorised: float | None = None
    length_target: float | None = None
    length: float | None = None
    stops: float | None = None
    token_f1: float | None = None
    score: float | None = None
    macro_f1: float | None = None
    label_accuracy: float | None = None
    retention: float | None = None
    kl: float | None = None


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One line of the table: epoch 0 is the model before training."""

    epoch: int
    step: int
    train_loss: float | None
    held_out: Evaluation | None
    probe: Probe = Probe()

    def measures(self) -> dict[str, float]:
        """What was measured of the held-out rows and besides, by name."""
        held = dataclasses.asdict(self.held_out) if self.held_out else {}
        renamed = {"targets": "trained_tokens", "interval": "example_loss_interval"}
        found = {renamed.get(name, name): value for name, value in held.items()}
        found |= dataclasses.asdict(self.probe)
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def read(cls, written: dict[str, Any]) -> Epoch:
        """A line from what `dataclasses.asdict` made of it."""
        held, probe = written["held_out"], Probe(**written["probe"])
        return cls(**{**written, "held_out": Evaluation(**held) if held else None, "probe": probe})


@dataclasses.dataclass(frozen=True)
class Answer:
    """A greedy answer; `stopped` tells whether it ended with a stop or ran into the limit."""

    text: str | None
    ids: tuple[int, ...]
    stopped: bool


@dataclasses.dataclass(frozen=True)
class Sample:
    """A held-out prompt, the row's own answer, and the model's before and after training.

    Texts are None where the model has no tokenizer beside it; the ids are always there.
    """

    id: str
    prompt: str | None
    prompt_ids: tuple[int, ...]
    expected: str | None
    before: Answer
    after: Answer


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """The chosen epoch and why, the table of all epochs, and where the model lies.

    `before` and `after` are held-out losses of the base and of the saved model, None without
    held-out rows.
    """

    out: Path
    epoch: int
    why: str
    table: tuple[Epoch, ...]
    before: Evaluation | None
    after: Evaluation | None
    samples: tuple[Sample, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the samples, which have a file of their own."""
        return {
            "chosen_epoch": self.epoch,
            "why": self.why,
            "table": [dataclasses.asdict(line) for line in self.table],
            "before": None if self.before is None else dataclasses.asdict(self.before),
            "after": None if self.after is None else dataclasses.asdict(self.after),
        }
