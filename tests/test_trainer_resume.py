"""A run that is stopped anywhere and resumed ends in the bits of one that was not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.schema import CurateError
from tests.trainer_toys import reversed_pairs, sha256, silent, write_model, write_tokens
from trainer import TrainConfig, train

pytest.importorskip("torch")

FIELDS: dict[str, Any] = {
    "epochs": 3,
    "batch": 8,
    "lr": 3e-3,
    "held_out": 0.1,
    "samples": 1,
    "sample_tokens": 4,
    "keep": 1,
    "residual_dropout": 0.1,
    "save_every": 2,
}
STEPS_PER_EPOCH = 5  # 40 rows less 4 held out, 8 a step


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("sources")
    return {
        "tokens": write_tokens(home / "tokens", reversed_pairs(40)),
        "model": write_model(home / "model"),
    }


def settings(method: str) -> dict[str, Any]:
    if method == "full":
        return {**FIELDS, "preset": "alpaca"}
    return {**FIELDS, "preset": "lora", "method": "lora", "lora_dropout": 0.1}


@pytest.fixture(scope="module")
def whole(
    sources: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The folder of a run that was never stopped."""
    done: dict[str, Path] = {}

    def of(method: str) -> Path:
        if method not in done:
            out = tmp_path_factory.mktemp("whole") / method
            train(TrainConfig(**sources, out=str(out), **settings(method)), silent)
            done[method] = out
        return done[method]

    return of


class StoppedError(BaseException):
    """Like a kill: nothing handles it."""


def stop_at(monkeypatch: pytest.MonkeyPatch, place: str, call: int) -> None:
    """Let the call number `call` (from 0) of a function of the trainer not return."""
    import importlib

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


@pytest.mark.parametrize(
    ("method", "place", "call"),
    [
        ("full", "trainer.loop.learning_rate", 0),
        ("full", "trainer.loop.learning_rate", 3),
        ("full", "trainer.loop.learning_rate", STEPS_PER_EPOCH),
        ("full", "trainer.loop.learning_rate", 3 * STEPS_PER_EPOCH - 1),
        ("full", "trainer.checkpoint.save", 1),
        ("full", "trainer.resume.save", 4),
        ("full", "trainer.checkpoint.prune", 1),
        ("full", "trainer.checkpoint.publish", 0),
        ("full", "trainer.finish.write_results", 0),
        ("lora", "trainer.loop.learning_rate", 7),
        ("lora", "trainer.checkpoint.save", 1),
        ("lora", "trainer.checkpoint.publish", 0),
    ],
)
def test_a_run_stopped_anywhere_and_resumed_ends_in_the_same_bits(
    sources: dict[str, str],
    whole: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    place: str,
    call: int,
) -> None:
    fields = {**sources, "out": str(tmp_path / "out"), **settings(method)}
    with monkeypatch.context() as patch:
        stop_at(patch, place, call)
        with pytest.raises(StoppedError):
            train(TrainConfig(**fields), silent)
    train(TrainConfig(**fields, resume=True), silent)
    assert outcome(tmp_path / "out") == outcome(whole(method))


def test_a_run_stopped_twice_ends_in_the_same_bits(
    sources: dict[str, str],
    whole: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = {**sources, "out": str(tmp_path / "out"), **settings("full")}
    for call, resume in ((6, False), (3, True)):
        with monkeypatch.context() as patch:
            stop_at(patch, "trainer.loop.learning_rate", call)
            with pytest.raises(StoppedError):
                train(TrainConfig(**fields, resume=resume), silent)
    train(TrainConfig(**fields, resume=True), silent)
    assert outcome(tmp_path / "out") == outcome(whole("full"))


@pytest.fixture
def stopped(
    sources: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """The settings of a run that was stopped after step 7."""
    fields = {**sources, "out": str(tmp_path / "out"), **settings("full")}
    with monkeypatch.context() as patch:
        stop_at(patch, "trainer.loop.learning_rate", 7)
        with pytest.raises(StoppedError):
            train(TrainConfig(**fields), silent)
    return fields


def test_a_stopped_run_is_neither_taken_for_done_nor_lost(stopped: dict[str, Any]) -> None:
    with pytest.raises(CurateError, match="did not end; resume goes on with it"):
        train(TrainConfig(**stopped), silent)
    assert (Path(stopped["out"]) / "state").is_dir()


def test_another_run_cannot_be_resumed_and_the_difference_is_named(
    stopped: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(CurateError, match=r"lr was 0.003, now 0.001.*--force"):
        train(TrainConfig(**{**stopped, "lr": 1e-3}, resume=True), silent)
    other = write_tokens(tmp_path / "other", reversed_pairs(40, first=3))
    with pytest.raises(CurateError, match="the rows of the TOKENS folder are others"):
        train(TrainConfig(**{**stopped, "tokens": other}, resume=True), silent)
    base = write_model(tmp_path / "base", seed=1)
    with pytest.raises(CurateError, match="the weights of the base model are others"):
        train(TrainConfig(**{**stopped, "model": base}, resume=True), silent)


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors", "state.json"])
def test_a_state_cut_short_is_an_error_and_the_checkpoints_stay(
    stopped: dict[str, Any], name: str
) -> None:
    out = Path(stopped["out"])
    file = next(out.glob(f"state/*/{name}"))
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(CurateError, match="the saved state is damaged"):
        train(TrainConfig(**stopped, resume=True), silent)
    assert (out / "epochs" / "epoch-1" / "model.safetensors").is_file()


def test_a_finished_run_has_nothing_to_resume(whole: Callable[[str], Path], sources: Any) -> None:
    fields = {**sources, "out": str(whole("full")), **settings("full")}
    with pytest.raises(CurateError, match="is done; there is nothing to resume"):
        train(TrainConfig(**fields, resume=True), silent)


def test_resume_in_a_new_folder_is_a_run_from_the_start(
    sources: dict[str, str], whole: Callable[[str], Path], tmp_path: Path
) -> None:
    fields = {**sources, "out": str(tmp_path / "out"), **settings("full")}
    train(TrainConfig(**fields, resume=True), silent)
    assert outcome(tmp_path / "out") == outcome(whole("full"))


def test_resume_and_force_are_opposites(sources: dict[str, str]) -> None:
    with pytest.raises(CurateError, match="give one of them"):
        TrainConfig(**sources, out="x", resume=True, force=True)
