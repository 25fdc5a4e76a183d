"""Runs that are stopped as by a kill, and all that must be equal once they are resumed."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.trainer_toys import reversed_pairs, sha256, silent, write_model, write_tokens
from trainer import TrainConfig, train


def write_sources(home: Path) -> dict[str, str]:
    """Rows and a model for a run, as settings."""
    return {
        "tokens": write_tokens(home / "tokens", reversed_pairs(40)),
        "model": write_model(home / "model"),
    }


class StoppedError(BaseException):
    """Like a kill: nothing handles it."""


def stop_at(monkeypatch: pytest.MonkeyPatch, place: str, call: int) -> None:
    """Let the call number `call` (from 0) of a function of the trainer not return."""
    module, _, name = place.rpartition(".")
    inside = importlib.import_module(module)
    real, calls = getattr(inside, name), iter(range(10**9))

    def sometimes(*given: Any, **named: Any) -> Any:
        if next(calls) == call:
            raise StoppedError
        return real(*given, **named)

    monkeypatch.setattr(inside, name, sometimes)


def outcome(out: Path) -> dict[str, Any]:
    """Everything that must be equal, timings aside."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    described = json.loads((out / "train.json").read_text())
    return {
        "metrics": [{**line, "seconds": 0} for line in lines],
        "epochs": sorted(path.name for path in (out / "epochs").iterdir()),
        "weights": {
            path.relative_to(out).as_posix(): sha256(path)
            for path in sorted(out.rglob("*.safetensors"))
        },
        "samples": (out / "samples.json").read_text(),
        "table": described["table"],
        "chosen": described["chosen_epoch"],
        "entries": sorted(path.name for path in out.iterdir()),
    }


def train_until(place: str, call: int, fields: Mapping[str, Any]) -> None:
    """A run that `stop_at` stops."""
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, place, call)
        with pytest.raises(StoppedError):
            train(TrainConfig(**fields), silent)
