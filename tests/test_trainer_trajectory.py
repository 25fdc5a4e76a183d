"""A run of two epochs of 125 steps, gone on with after step 200: what it reads and says."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.trainer_toys import reversed_pairs, sha256, silent, write_model, write_tokens
from trainer import TrainConfig, loop, train
from trainer.checkpoints import resume
from trainer.data.mixing import Mixture
from trainer.objectives import sft

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")

STEPS, STOPPED = 250, 200
FIELDS: dict[str, Any] = {
    "preset": "alpaca",
    "num_train_epochs": 2,
    "batch_size": 2,
    "learning_rate": 1e-3,
    "held_out": 0.012,
    "prompts": 0,
    "residual_dropout": 0.1,
    "proof": False,
    "save_steps": 100,
}


class StoppedError(BaseException):
    """Like a kill: nothing handles it."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trajectory")


@pytest.fixture(scope="module")
def fields(home: Path) -> dict[str, Any]:
    return {
        **FIELDS,
        "tokens": write_tokens(home / "tokens", reversed_pairs(253)),
        "model": write_model(home / "base", num_hidden_layers=1),
    }


def read(given: dict[str, Any], out: Path, steps: int = STEPS, **more: Any) -> list[str]:
    """Train up to `steps` steps more; a digest of the batch of each step."""
    digests: list[str] = []
    real = sft.target_nats

    def noted(net: Any, batch: Any, **named: Any) -> Any:
        if not net.training:  # an evaluation
            return real(net, batch, **named)
        if len(digests) == steps:
            raise StoppedError
        content = batch.input_ids.tobytes() + batch.at.tobytes() + batch.targets.tobytes()
        digests.append(hashlib.sha256(content).hexdigest())
        return real(net, batch, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sft, "target_nats", noted)
        try:
            train(TrainConfig(**given, out=str(out), **more), silent)
        except StoppedError:
            assert len(digests) == steps
    return digests


@pytest.fixture(scope="module")
def whole(fields: dict[str, Any], home: Path) -> list[str]:
    """The batches of a run that was never stopped; its folder after steps 125 and 200 is kept."""
    real = resume.save

    def kept(out: Path, of: Any, net: Any, optimizer: Any, progress: Any, *more: Any) -> None:
        real(out, of, net, optimizer, progress, *more)
        shutil.copytree(out, home / f"at-{progress.step}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resume, "save", kept)
        return read(fields, home / "whole")


def stopped(home: Path, tmp_path: Path, step: int = STOPPED) -> Path:
    """A copy of what a kill after this step leaves."""
    return Path(shutil.copytree(home / f"at-{step}", tmp_path / "out"))


def lines(out: Path, evaluations: bool = False) -> list[dict[str, Any]]:
    """The metrics of each step, or of each evaluation, without what the clock says."""
    said = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{**line, "seconds": 0} for line in said if bool(line.get("eval")) == evaluations]


def test_after_step_200_of_epochs_of_125_the_same_rows_come_to_the_same_losses(
    fields: dict[str, Any], home: Path, whole: list[str], tmp_path: Path
) -> None:
    out = stopped(home, tmp_path)
    assert len(whole) == STEPS and len(set(whole)) > 240
    assert len(lines(out)) == STOPPED
    assert read(fields, out, resume=True) == whole[STOPPED:]
    assert lines(out) == lines(home / "whole")  # loss, rate and gradient norm of each step
    assert lines(out, evaluations=True) == lines(home / "whole", evaluations=True)
    assert [line["epoch"] for line in lines(out)] == [1] * 125 + [2] * 125
    assert sha256(out / "model.safetensors") == sha256(home / "whole" / "model.safetensors")


def test_counters_go_on_where_they_stood(
    fields: dict[str, Any], home: Path, whole: list[str], tmp_path: Path
) -> None:
    """Rows of 7 tokens, 3 of them trained, two a step; a state counts its own epoch."""
    state = json.loads((home / "at-200" / "state" / "step-200" / "state.json").read_text())
    assert state["progress"]["step"] == 200
    assert state["progress"]["counted"] == 75 * 6
    out = stopped(home, tmp_path)
    read(fields, out, steps=10, resume=True)
    assert [line["step"] for line in lines(out)] == list(range(1, 211))
    assert sum(line["tokens"] for line in lines(out)) == 210 * 14
    assert sum(line["trained_tokens"] for line in lines(out)) == 210 * 6
    done = json.loads((home / "whole" / "train.json").read_text())["table"]
    assert done[2]["train_loss"] == pytest.approx(
        sum(line["loss"] for line in lines(home / "whole")[125:]) / 125
    )


def test_an_evaluation_at_the_step_of_the_state_is_neither_repeated_nor_lost(
    fields: dict[str, Any],
    home: Path,
    whole: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = stopped(home, tmp_path, step=125)
    evaluated: list[int] = []
    real = loop.evaluated

    def noted(run: Any, epoch: int, loss: Any) -> Any:
        evaluated.append(epoch)
        return real(run, epoch, loss)

    monkeypatch.setattr(loop, "evaluated", noted)
    assert read(fields, out, steps=3, resume=True) == whole[125:128]
    assert evaluated == []
    held = lines(home / "whole", evaluations=True)
    assert [(line["epoch"], line["step"]) for line in held] == [(0, 0), (1, 125), (2, 250)]
    assert lines(out, evaluations=True) == held[:2]


def test_a_position_in_the_data_that_is_one_off_shows_in_the_batches(
    fields: dict[str, Any],
    home: Path,
    whole: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Mixture.epoch

    def late(self: Mixture, epoch: int) -> list[Any]:
        steps = real(self, epoch)
        return [*steps[1:], steps[0]]

    monkeypatch.setattr(Mixture, "epoch", late)
    out = stopped(home, tmp_path)
    assert read(fields, out, steps=3, resume=True) == whole[STOPPED + 1 : STOPPED + 4]
    own = lines(home / "whole")[STOPPED : STOPPED + 3]
    for found, expected in zip(lines(out)[STOPPED:], own, strict=True):
        assert abs(found["loss"] - expected["loss"]) > 1e-3


def test_random_numbers_that_are_not_restored_show_in_the_losses_alone(
    fields: dict[str, Any],
    home: Path,
    whole: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "torch_seed", lambda seed: None)
    out = stopped(home, tmp_path)
    assert read(fields, out, steps=3, resume=True) == whole[STOPPED : STOPPED + 3]
    own = lines(home / "whole")[STOPPED : STOPPED + 3]
    for found, expected in zip(lines(out)[STOPPED:], own, strict=True):
        assert found["loss"] != expected["loss"]


# A process of its own: threads that the parent has, such as those of tables, are not in a fork.
KILLED = """
import json, os, signal, sys
from trainer import TrainConfig, train
from trainer.checkpoints import resume
given, number = json.loads(sys.argv[1])
real, calls = resume.sha256, iter(range(100))
def killed(path):
    if next(calls) == 2 * number + 1:  # of each state two files are read
        os.kill(os.getpid(), signal.SIGKILL)
    return real(path)
resume.sha256 = killed
train(TrainConfig(**given), lambda line: None)
"""


def killed_during_save(given: dict[str, Any], number: int) -> int:
    """How a process ended that SIGKILL hit while it wrote the state of this number, from 0."""
    argument = json.dumps([given, number])
    done = subprocess.run([sys.executable, "-c", KILLED, argument], check=False, timeout=300)
    return -done.returncode


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a system that can kill")
def test_kill_9_during_a_save_leaves_the_state_and_the_checkpoint_before_it(
    fields: dict[str, Any], tmp_path: Path
) -> None:
    rows = write_tokens(tmp_path / "rows", reversed_pairs(12))
    given = {**fields, "tokens": rows, "held_out": 0.0, "batch_size": 4, "save_steps": 2}
    train(TrainConfig(**given, out=str(tmp_path / "never")), silent)
    out = tmp_path / "out"
    # Saved after steps 2 and 3, where the epoch ends; killed in the save after step 4.
    assert killed_during_save({**given, "out": str(out)}, 2) == signal.SIGKILL
    found = sorted(path.name for path in (out / "state").iterdir())
    assert found == [".step-4.unfinished", "step-2", "step-3"]
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(out / "epochs" / "epoch-1")
    train(TrainConfig(**given, out=str(out), resume=True), silent)
    assert sha256(out / "model.safetensors") == sha256(tmp_path / "never" / "model.safetensors")
    assert lines(out) == lines(tmp_path / "never")
