"""Boards that get a run's numbers, each by its own library: here by stand-ins for them."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from curate.base import extras
from curate.base.errors import CurateError
from trainer.evaluation.boards import check_board
from trainer.evaluation.metrics import opened

Seen = list[tuple[Any, ...]]


def wandb(seen: Seen) -> types.SimpleNamespace:
    run = types.SimpleNamespace(
        log=lambda numbers, step: seen.extend((*one, step) for one in numbers.items()),
        finish=lambda: seen.append(("closed",)),
    )

    def init(name: str, config: dict[str, Any]) -> types.SimpleNamespace:
        seen.append((name, config["seed"]))
        return run

    return types.SimpleNamespace(init=init)


def mlflow(seen: Seen) -> types.SimpleNamespace:
    return types.SimpleNamespace(
        start_run=lambda run_name: seen.append((run_name, 7)),
        log_params=lambda given: seen.append(("settings", given["seed"], len(given["long"]))),
        log_metric=lambda name, value, step: seen.append((name, value, step)),
        end_run=lambda: seen.append(("closed",)),
    )


@pytest.mark.parametrize(("name", "made"), [("wandb", wandb), ("mlflow", mlflow)])
def test_a_board_gets_every_number_under_its_step_and_is_closed(
    name: str, made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Seen = []
    monkeypatch.setitem(sys.modules, name, made(seen))
    settings = {"seed": 7, "long": "x" * 9_000}
    with (
        pytest.raises(ValueError, match="broken"),
        opened(tmp_path, False, name, settings) as metrics,
    ):
        metrics.note(step=1, loss=2.5, text="no number")
        metrics.note(step=1, eval=True, loss=2.0)
        raise ValueError("broken")
    assert seen[0] == (tmp_path.name, 7)
    assert [one for one in seen if "/" in one[0]] == [
        ("training/loss", 2.5, 1),
        ("evaluation/loss", 2.0, 1),
    ]
    assert seen[-1] == ("closed",)
    if name == "mlflow":
        assert ("settings", "7", 500) in seen
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 2


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_board_that_is_not_installed_is_an_error_that_names_the_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda module: None)
    with pytest.raises(CurateError, match=rf"curate-sft\[{name}\]"):
        check_board(name)
    check_board("none")
