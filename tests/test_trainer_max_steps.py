"""A run of a given number of steps: its schedule, its epochs, resuming it and choosing from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer
from curate.base.errors import CurateError
from curate.cli import main
from tests.resume_toys import outcome, train_until, write_sources
from tests.trainer_toys import silent
from trainer import TrainConfig, TrainResult
from trainer.data.mixing import Mixture, Source
from trainer.data.rows import make_rows

pytest.importorskip("torch")
FIELDS: dict[str, Any] = {
    "preset": "alpaca",
    "batch_size": 8,
    "learning_rate": 3e-3,
    "held_out": 0.1,
    "prompts": 0,
    "save_total_limit": 9,
}
PER_EPOCH = 5  # 40 rows less 4 held out, 8 a step


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_sources(tmp_path_factory.mktemp("sources"))


def run(sources: dict[str, str], out: Path, **fields: Any) -> tuple[TrainResult, list[str]]:
    lines: list[str] = []
    config = TrainConfig(**{**sources, **FIELDS, "out": str(out), **fields})
    return trainer.train(config, lines.append), lines


def steps_of(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if not line.get("eval")]


@pytest.mark.parametrize(
    ("steps", "ends", "announced"),
    [
        (12, [0, 5, 10, 12], "12 steps (max_steps): 3 epochs of 5, the last of 2, 8 examples"),
        (3, [0, 3], "3 steps (max_steps): 1 epochs of 5, the last of 3, 8 examples"),
        (10, [0, 5, 10], "10 steps (max_steps): 2 epochs of 5, 8 examples"),
        # More than the three epochs that the preset says.
        (22, [0, 5, 10, 15, 20, 22], "22 steps (max_steps): 5 epochs of 5, the last of 2, 8 exam"),
    ],
)
def test_a_run_ends_after_that_many_steps_and_says_so(
    sources: dict[str, str], tmp_path: Path, steps: int, ends: list[int], announced: str
) -> None:
    done, lines = run(sources, tmp_path / "out", max_steps=steps)
    assert [line.step for line in done.table] == ends
    assert [line["step"] for line in steps_of(done.out)] == list(range(1, steps + 1))
    assert any(line.startswith(announced) for line in lines)
    about = json.loads((done.out / "train.json").read_text())
    assert about["steps"] == steps and about["config"]["num_train_epochs"] == len(ends) - 1
    assert sum(about["mixing"]["rows"]["read"]) == sum(
        min(8, 36 - 8 * (step % PER_EPOCH)) for step in range(steps)
    )


def test_the_schedule_is_that_of_the_steps(sources: dict[str, str], tmp_path: Path) -> None:
    fields = {"lr_scheduler_type": "linear", "warmup_ratio": 0.25, "min_lr_ratio": 0.0}
    done, lines = run(sources, tmp_path / "out", max_steps=8, **fields)
    rates = [line["learning_rate"] / 3e-3 for line in steps_of(done.out)]
    # Two steps of warm-up, and six that fall in equal parts.
    assert rates == pytest.approx([1 / 3, 2 / 3, *(1 - step / 6 for step in range(6))])
    assert any("linear rate from 0.003 after 2 warm-up steps" in line for line in lines)


def test_its_steps_are_those_of_a_longer_run(sources: dict[str, str], tmp_path: Path) -> None:
    fields = {"lr_scheduler_type": "constant", "warmup_ratio": 0.0}
    short, _ = run(sources, tmp_path / "short", max_steps=7, **fields)
    whole, _ = run(sources, tmp_path / "whole", num_train_epochs=2, **fields)
    names = ("step", "epoch", "loss", "grad_norm", "tokens", "learning_rate")
    first, second = (
        [{name: line[name] for name in names} for line in steps_of(done.out)[:7]]
        for done in (short, whole)
    )
    assert first == second


def test_as_many_steps_as_the_epochs_have_change_nothing(
    sources: dict[str, str], tmp_path: Path
) -> None:
    one, _ = run(sources, tmp_path / "one", max_steps=10)
    two, _ = run(sources, tmp_path / "two", num_train_epochs=2)
    assert outcome(one.out) == outcome(two.out)


def test_the_last_part_of_an_epoch_can_be_chosen(sources: dict[str, str], tmp_path: Path) -> None:
    done, _ = run(sources, tmp_path / "out", max_steps=12)
    losses = {line.epoch: line.held_out.loss for line in done.table[1:] if line.held_out}
    assert done.epoch == min(losses, key=losses.__getitem__) == 3
    last, _ = run(sources, tmp_path / "last", max_steps=7, choose="last")
    assert last.epoch == 2 and (last.out / "epochs" / "epoch-2").is_dir()


@pytest.mark.parametrize("call", [2, 6, 11])
def test_it_resumes_to_the_same_bits(sources: dict[str, str], tmp_path: Path, call: int) -> None:
    whole, _ = run(sources, tmp_path / "whole", max_steps=12, save_steps=2)
    fields = {**sources, **FIELDS, "out": str(tmp_path / "out"), "max_steps": 12, "save_steps": 2}
    train_until("trainer.loop.learning_rate", call, fields)
    with pytest.raises(CurateError, match="max_steps was 12, now 13"):
        trainer.train(TrainConfig(**{**fields, "max_steps": 13}, resume=True), silent)
    trainer.train(TrainConfig(**fields, resume=True), silent)
    assert outcome(tmp_path / "out") == outcome(whole.out)


def test_limas_window_is_that_of_the_epochs_it_has(sources: dict[str, str], tmp_path: Path) -> None:
    """Nine epochs, of which the last is cut: the window is epochs 3 to 6."""
    fields = {"preset": "lima", "prompts": 2, "residual_dropout": 0.0}
    done, _ = run(sources, tmp_path / "out", max_steps=42, **fields)
    assert len(done.table) == 10
    assert 3 <= done.epoch <= 6 and "of epochs 3 to 6" in done.why


def test_general_text_keeps_its_share_in_a_run_that_is_cut() -> None:
    rows = make_rows(
        [str(number) for number in range(30)],
        [[1, 5, 6, 2]] * 30,
        [[-100, 5, 6, 2]] * 30,
    )
    own = Source("rows", np.arange(20), 1.0)
    whole = Mixture(rows, (own,), 20, 4, 0, 0.25)
    short = Mixture(rows, (own,), 20, 4, 0, 0.25, 7)
    assert whole.steps_per_epoch == short.steps_per_epoch == 5
    assert [len(short.epoch(epoch)) for epoch in (1, 2, 3)] == [5, 2, 0]
    for epoch in (1, 2):
        for one, other in zip(short.epoch(epoch), whole.epoch(epoch), strict=False):
            assert one.tolist() == other.tolist()


def test_a_dry_run_counts_the_steps_that_are_taken(sources: dict[str, str], tmp_path: Path) -> None:
    lines: list[str] = []
    fields = {**sources, **FIELDS, "out": str(tmp_path / "out"), "max_steps": 7}
    trainer.dry_run(TrainConfig(**fields), lines.append)
    # 36 rows of 7 tokens in the first five steps, and 16 in the two after them.
    assert any(f"{(36 + 16) * 7} tokens in 7 steps" in line for line in lines)


def test_two_settings_that_say_when_it_ends_are_refused() -> None:
    given = {"tokens": "t", "model": "m", "out": "o", "max_steps": 9}
    with pytest.raises(CurateError, match="both say when the run ends; give one of them"):
        TrainConfig.from_mapping({**given, "num_train_epochs": 2})
    assert TrainConfig.from_mapping({**given, "max_steps": 0, "num_train_epochs": 2}).max_steps == 0
    with pytest.raises(CurateError, match="max_steps"):
        TrainConfig.from_mapping({**given, "max_steps": -1})


@pytest.mark.parametrize("words", [["--max-steps", "3"], ["--set", "max_steps=3"]])
def test_the_command_line_takes_it(
    sources: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    out = str(tmp_path / "out")
    settings = ["--preset", "alpaca", "--set", "prompts=0", "--batch", "8"]
    given = ["train", sources["tokens"], "--model", sources["model"], "--out", out]
    assert main([*given, *settings, *words]) == 0
    assert "3 steps (max_steps): 1 epochs of 5, the last of 3" in capsys.readouterr().out
