"""What a run says of itself: at once that it began, its pace, and how much its table means."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer
from curate.base.errors import CurateError
from tests.trainer_toys import reversed_pairs, write_model, write_tokens
from trainer import TrainConfig
from trainer.evaluation.pace import Pace
from trainer.evaluation.table import certainty_lines
from trainer.objectives.sft import half_width
from trainer.result import Epoch, Evaluation

torch: Any = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("sources")
    return {
        "tokens": write_tokens(home / "tokens", reversed_pairs(40)),
        "model": write_model(home / "model"),
    }


def lines_of(sources: dict[str, str], out: Path, **fields: Any) -> list[str]:
    lines: list[str] = []
    given = {"num_train_epochs": 2, "batch_size": 6, "prompts": 0, "choose": "loss", **fields}
    trainer.train(TrainConfig(**sources, out=str(out), **given), lines.append)
    return lines


# At once

FIRST = """
import sys
import trainer

def log(line):
    loaded = [name for name in ("torch", "transformers", "datasets") if name in sys.modules]
    print(line, loaded)
    raise SystemExit

trainer.{door}(trainer.TrainConfig(tokens="rows", model="base", out={out!r}), log)
"""


@pytest.mark.parametrize("door", ["train", "dry_run"])
def test_the_first_line_comes_before_any_library_is_loaded(tmp_path: Path, door: str) -> None:
    code = FIRST.format(door=door, out=str(tmp_path / "out"))
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    line = "loading the libraries, the rows of rows and the model base []\n"
    assert (found.returncode, found.stdout) == (0, line), found.stderr


def test_of_several_processes_the_first_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    lines: list[str] = []
    with pytest.raises(CurateError, match="no such tokens folder"):
        config = TrainConfig(tokens=str(tmp_path / "no"), model="a/b", out=str(tmp_path / "out"))
        trainer.train(config, lines.append)
    assert lines == []


# Time that is left


def pace(**fields: Any) -> Pace:
    return Pace(100, 1.0, 1e9, "device", torch.device("cpu"), 4, **fields)


def test_time_left_is_not_known_before_some_steps_and_an_evaluation() -> None:
    found = pace()
    found.evaluated(3.0)
    for step in range(1, 4):
        found.step(10, 50.0 if step == 1 else 2.0)
        assert found.left(step, 1) is None and "left" not in found.line(step, 1)
    found.step(10, 2.0)
    assert found.left(4, 1) is not None and "left" in found.line(4, 1)


def test_time_left_is_that_of_the_steps_and_of_the_evaluations_that_follow() -> None:
    """The first step of a process sets things up, and tells nothing."""
    found = pace()
    found.evaluated(3.0)
    for seconds in (50.0, 2.0, 1.0, 3.0, 2.0):
        found.step(10, seconds)
    assert found.left(5, 1) == pytest.approx(95 * 2.0 + 4 * 3.0)
    found.evaluated(5.0)
    assert found.left(25, 2) == pytest.approx(75 * 2.0 + 3 * 4.0)


def test_a_run_that_was_resumed_knows_it_after_its_first_evaluation() -> None:
    found = pace()
    for _ in range(9):
        found.step(10, 1.0)
    assert found.left(60, 3) is None
    found.evaluated(2.0)
    assert found.left(60, 4) == pytest.approx(40 * 1.0 + 1 * 2.0)


def test_speed_is_that_of_the_steps_alone() -> None:
    found = pace()
    found.evaluated(1000.0)
    for _ in range(4):
        found.step(10, 2.0)
    assert found.line(4, 1).startswith("5 tokens/s")


def test_a_run_of_two_steps_never_says_what_is_left(
    sources: dict[str, str], tmp_path: Path
) -> None:
    lines = lines_of(sources, tmp_path / "out", batch_size=60)
    steps = [line for line in lines if " step " in line and "tokens/s" in line]
    assert len(steps) == 2 and not any("left" in line for line in steps)
    longer = lines_of(sources, tmp_path / "longer")
    steps = [line for line in longer if " step " in line and "tokens/s" in line]
    assert len(steps) == 2 and all(" left" in line for line in steps)


# How much the table means


def test_the_interval_is_students() -> None:
    """n = 4, s = 1.2910, t(3, 0.975) = 3.1824: 3.1824 * 1.2910 / 2."""
    assert half_width(np.array([1.0, 2.0, 3.0, 4.0])) == pytest.approx(2.0543, abs=1e-4)
    assert half_width(np.array([2.0, 3.0])) == pytest.approx(6.3531, abs=1e-4)
    assert half_width(np.array([2.0, 2.0, 2.0])) == 0.0
    assert half_width(np.array([2.0])) is None


def epoch(rows: int, interval: float | None) -> Epoch:
    return Epoch(3, 30, None, Evaluation(2.0, 2.1, rows, 12, interval=interval))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            epoch(1, None),
            "held out: 1 row, so how far its losses are to be trusted cannot be known; of so few "
            "the order of epochs may be chance",
        ),
        (
            epoch(2, 6.3531),
            "held out: 2 rows, so example_loss of epoch 3 is known to within 6.3531 (95 %); of so "
            "few the order of epochs may be chance",
        ),
        (
            epoch(20, 0.25),
            "held out: 20 rows, so example_loss of epoch 3 is known to within 0.2500 (95 %)",
        ),
    ],
)
def test_the_table_is_followed_by_how_much_it_means(line: Epoch, expected: str) -> None:
    assert certainty_lines(line) == [expected]


def test_without_held_out_rows_nothing_is_said_of_them() -> None:
    assert certainty_lines(Epoch(1, 10, 2.0, None)) == []


def test_a_run_with_two_held_out_rows_says_so_before_and_after(
    sources: dict[str, str], tmp_path: Path
) -> None:
    lines = lines_of(sources, tmp_path / "out", held_out=0.05)
    before = [line for line in lines if line.startswith("held out: 2 of at least 20 rows")]
    assert len(before) == 1 and lines.index(before[0]) < lines.index(
        f"loading model {sources['model']}"
    )
    assert lines[-2].startswith("held out: 2 rows, so example_loss of epoch 2 is known to within ")
    assert "chance" in lines[-2]


def test_the_interval_of_a_run_is_that_of_its_rows(sources: dict[str, str], tmp_path: Path) -> None:
    """Each row's own loss, by transformers."""
    import json

    from transformers import AutoModelForCausalLM

    out = tmp_path / "out"
    lines_of(sources, out, held_out=0.1)
    about = json.loads((out / "train.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(out)
    rows = {name: (ids, labels) for name, ids, labels in reversed_pairs(40)}
    losses = []
    for name in about["rows"]["held_out"]:
        ids, labels = (torch.tensor([values]) for values in rows[name])
        losses.append(float(model(input_ids=ids, labels=labels).loss.detach()))
    interval = half_width(np.array(losses))
    assert len(losses) == 4 and about["after"]["interval"] == pytest.approx(interval, abs=1e-5)
