"""Processes that share the weights take the steps of one that has them all."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer
from curate.base.errors import CurateError
from tests.trainer_toys import reversed_pairs, sha256, silent, write_model, write_tokens
from trainer import TrainConfig
from trainer.checkpoints import resume
from trainer.distributed import Group, joined

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")

SECOND = """
import json, os, sys
import trainer
from tests.trainer_toys import threads_left
for port, fields in json.loads(sys.argv[1]):
    os.environ["MASTER_PORT"] = port
    trainer.train(trainer.TrainConfig(**fields), print)
print(*threads_left(), end="")
"""


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def as_torchrun(monkeypatch: pytest.MonkeyPatch, processes: int, port: str) -> dict[str, str]:
    """Make this process the first of several; the environment that all of them have."""
    shared = {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": str(processes)}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in {**shared, "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    return shared


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """18 rows to train in steps of 17 and of one: shares of five passes and four, one and none."""
    home = tmp_path_factory.mktemp("sharding")
    return {
        "tokens": write_tokens(home / "tokens", reversed_pairs(19)),
        # An odd vocabulary, of which the processes have different shares, tied to the output.
        "model": write_model(home / "base", vocab_size=33, tie_word_embeddings=True),
        "num_train_epochs": 2,
        "batch_size": 17,
        "learning_rate": 3e-3,
        "prompts": 1,
        "residual_dropout": 0.0,
        "micro_tokens": 14,
        "device": "cpu",
        "preset": "alpaca",
        "proof": False,
    }


@pytest.mark.slow
def test_two_processes_with_half_of_the_weights_each_end_where_one_does(
    fields: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Full fine-tuning and adapters, and on from a state: with both processes in the same bits."""
    plain = {"full": fields, "lora": {**fields, "method": "lora", "preset": "lora"}}
    alone = {
        name: trainer.train(TrainConfig(**each, out=str(tmp_path / f"{name}-alone")), silent)
        for name, each in plain.items()
    }
    two = {
        name: {**each, "sharding": "full", "save_steps": 1, "out": str(tmp_path / name)}
        for name, each in plain.items()
    }
    two["on"] = {**two["full"], "out": str(tmp_path / "on"), "resume": True}
    two["full"]["proof"] = True
    ports = {name: free_port() for name in two}
    shared = as_torchrun(monkeypatch, 2, ports["full"])
    jobs = [(ports[name], each) for name, each in two.items()]
    second = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SECOND, json.dumps(jobs)],
        env=os.environ | shared | {"RANK": "1", "LOCAL_RANK": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        done = {}
        for name, each in two.items():
            monkeypatch.setenv("MASTER_PORT", ports[name])
            with monkeypatch.context() as patch:
                if name == "full":
                    patch.setattr(resume, "save", copying(resume.save, 3, tmp_path / "on"))
                done[name] = trainer.train(TrainConfig(**each), silent)
        said, complaint = second.communicate(timeout=60)
    finally:
        second.kill()
    assert (second.returncode, said) == (0, ""), complaint
    for name, one in alone.items():
        assert one.table[-1].step == 4
        assert losses(done[name].out) == pytest.approx(losses(one.out), abs=1e-6)
        assert weights(done[name].out) == pytest.approx(weights(one.out), abs=1e-6)
        assert done[name].samples == one.samples
        assert files(done[name].out).keys() == files(one.out).keys()
    assert files(done["on"].out) == files(done["full"].out)


def copying(save: Callable[..., None], step: int, place: Path) -> Callable[..., None]:
    """Leave a copy of the folder as it is once the state after `step` is written."""

    def saved(out: Path, *more: Any) -> None:
        save(out, *more)
        if (out / resume.STATE / f"step-{step}").exists() and not place.exists():
            shutil.copytree(out, place)

    return saved


def losses(out: Path) -> list[float]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def files(out: Path) -> dict[str, str]:
    """The weights that a run leaves, by name, and their hashes."""
    found = sorted(out.rglob("*.safetensors"))
    return {path.relative_to(out).as_posix(): sha256(path) for path in found}


def weights(out: Path) -> Any:
    from safetensors.numpy import load_file

    found = load_file(out / "model.safetensors")
    return np.concatenate([found[name].ravel() for name in sorted(found)])


def test_a_state_of_shared_weights_goes_on_without_sharing(
    fields: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Dropout and recomputed blocks as well; of one process all is the same to the bit."""
    fields = {**fields, "residual_dropout": 0.2, "gradient_checkpointing": True, "save_steps": 1}
    whole = trainer.train(TrainConfig(**fields, out=str(tmp_path / "whole")), silent)
    with monkeypatch.context() as patch:
        as_torchrun(patch, 1, free_port())
        patch.setattr(resume, "save", copying(resume.save, 3, tmp_path / "on"))
        out = str(tmp_path / "shared")
        shared = trainer.train(TrainConfig(**fields, sharding="full", out=out), silent)
    on = trainer.train(TrainConfig(**fields, out=str(tmp_path / "on"), resume=True), silent)
    assert files(shared.out) == files(whole.out)
    assert files(on.out) == files(whole.out)


def test_shared_weights_need_torchrun(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    said = "torchrun --nproc-per-node N -m curate train"
    with pytest.raises(CurateError, match=said), joined("cpu", "full"):
        pass


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            {"method": "prefix"},
            "sharding is 'full', and method is 'prefix'; the model must lie whole",
        ),
        (
            {"method": "lora", "load_in_4bit": True},
            "load_in_4bit is True; a 4-bit base cannot be shared",
        ),
    ],
)
def test_what_cannot_be_shared_is_refused(setting: dict[str, Any], said: str):
    with pytest.raises(CurateError, match=said):
        TrainConfig(tokens="tokens", model="base", out="out", sharding="full", **setting)


def test_processes_with_whole_weights_make_their_own_passes_and_no_other():
    passes = Group(0, 2).in_step(iter("ab"), lambda: pytest.fail("there is nothing to wait for"))
    assert list(passes) == [("a", 1.0), ("b", 1.0)]
