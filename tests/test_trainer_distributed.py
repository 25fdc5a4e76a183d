"""Two processes that share each step end where one does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trainer
from tests.preference_toys import write_pairs
from tests.test_trainer_routers import mixture
from tests.trainer_toys import reversed_pairs, silent, write_model, write_tokens
from trainer import TrainConfig
from trainer.distributed import Group

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 50), max_size=40), count=st.integers(1, 5))
def test_each_row_is_in_one_process_and_tokens_are_shared_evenly(lengths: list[int], count: int):
    shares = [Group(rank, count).share(np.array(lengths, dtype=np.int64)) for rank in range(count)]
    assert sorted(place for share in shares for place in share) == list(range(len(lengths)))
    sums = [sum(lengths[place] for place in share) for share in shares]
    assert max(sums) - min(sums) <= 2 * max(lengths, default=0)


def test_one_process_has_all_rows_and_adds_nothing():
    assert Group().share(np.array([3, 9, 4])).tolist() == [0, 1, 2]
    assert Group().add_up([], 1.5, 2.0) == (1.5, 2.0)
    assert Group().shared("value") == "value"


# It comes late to the output folder, which the first may not have begun by then.
SECOND = """
import json, sys, time
import trainer
from tests.trainer_toys import threads_left
from trainer import loop
plan = loop.make_plan
loop.make_plan = lambda *given: time.sleep(2) or plan(*given)
trainer.train(trainer.TrainConfig(**json.loads(sys.argv[1])), print)
print(*threads_left(), end="")
"""


SLOW = [
    pytest.param(kind, marks=pytest.mark.slow)
    for kind in (
        "mixture",
        "sharded mixture",
        "sharded dpo",
        "kto",
        "sharded kto",
        "sharded ewc",
        "sharded houlsby",
    )
]


@pytest.mark.parametrize("kind", ["dense", "dpo", "ewc", *SLOW])
def test_two_processes_take_the_steps_of_one_and_only_the_first_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    """As torchrun starts them: one of the two is this process."""
    base = write_model(tmp_path / "base")
    if "mixture" in kind:
        mixture().save_pretrained(base)
    fields: dict[str, Any] = {
        "tokens": write_tokens(tmp_path / "tokens", reversed_pairs(158)),
        "model": base,
        "num_train_epochs": 2,
        # 150 rows to train: 50 whole steps, whose share of three has several passes.
        "batch_size": 6,
        "learning_rate": 3e-3,
        "prompts": 0,
        "residual_dropout": 0.0,
        "micro_tokens": 14,
        "device": "cpu",
        "preset": "alpaca",
    }
    objective = kind.split()[-1]
    if objective in ("dpo", "kto"):
        pairs = write_pairs(tmp_path / "pairs", 158 if objective == "dpo" else 79)
        fields |= {"tokens": pairs, "objective": objective, "preset": "zephyr", "beta": 0.1}
    if objective == "houlsby":
        fields |= {"method": "houlsby", "bottleneck_width": 4, "prompts": 1}
    if objective == "ewc":
        text = write_tokens(tmp_path / "text", reversed_pairs(8, first=300))
        fields |= {"regulariser": "ewc", "fisher_text": text, "regulariser_weight": 1.0}
    one = trainer.train(TrainConfig(**fields, out=str(tmp_path / "one")), silent)
    fields |= {"out": str(tmp_path / "two"), "sharding": "full" if "sharded" in kind else "none"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": "2"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-W", "ignore", "-c", SECOND, json.dumps(fields)]
    environment = os.environ | shared | {"RANK": "1", "LOCAL_RANK": "1", "OMP_NUM_THREADS": "1"}
    second = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for name, value in {**shared, "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    two = trainer.train(TrainConfig(**fields), silent)
    said, complaint = second.communicate(timeout=60)
    assert (second.returncode, said) == (0, ""), complaint
    assert [line.train_loss for line in two.table[1:]] == pytest.approx(
        [line.train_loss for line in one.table[1:]], abs=1e-6
    )
    assert weights(two.out) == pytest.approx(weights(one.out), abs=1e-6)
    assert json.loads((two.out / "train.json").read_text())["processes"] == 2
    losses = [[line["loss"] for line in lines(run.out)] for run in (one, two)]
    assert len(losses[0]) == 50 + 3  # and the evaluations of before, the first and the second epoch
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    balance = [
        [line["router_loss"] for line in lines(run.out) if "router_loss" in line]
        for run in (one, two)
    ]
    penalty = [
        [line["penalty"] for line in lines(run.out) if "penalty" in line] for run in (one, two)
    ]
    assert len(penalty[0]) == (50 if objective == "ewc" else 0)
    assert penalty[0] == pytest.approx(penalty[1], rel=1e-4)
    assert len(balance[0]) == (50 if "mixture" in kind else 0)
    assert balance[0] == pytest.approx(balance[1], abs=1e-5)


def weights(out: Path) -> Any:
    from safetensors.numpy import load_file

    whole = out / "model.safetensors"
    found = load_file(whole if whole.is_file() else out / "trained.safetensors")
    return np.concatenate([found[name].ravel() for name in sorted(found)])


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
