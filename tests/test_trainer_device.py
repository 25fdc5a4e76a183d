"""Where a run computes, and whether it insists on the same bits each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer
from tests.trainer_toys import reversed_pairs, write_model, write_tokens
from trainer import TrainConfig
from trainer.models.device import deterministic, put

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")


def modes() -> tuple[int, bool]:
    import torch
    from torch.utils import deterministic as filling

    return torch.get_deterministic_debug_mode(), filling.fill_uninitialized_memory


@pytest.mark.parametrize(("strict", "mode"), [(True, 2), (False, 0)])
@pytest.mark.parametrize("callers", ["default", "warn"])
def test_strict_mode_is_as_asked_inside_and_the_callers_own_after(
    strict: bool, mode: int, callers: str
):
    import torch

    torch.set_deterministic_debug_mode(callers)
    before = modes()
    try:
        with deterministic(strict):
            assert modes() == (mode, False)
        assert modes() == before
        with pytest.raises(KeyError), deterministic(strict):
            raise KeyError
        assert modes() == before
    finally:
        torch.set_deterministic_debug_mode("default")


@pytest.mark.parametrize(("wanted", "mode"), [(True, 2), (False, 0)])
def test_a_run_is_strict_as_its_setting_says_and_the_manifest_says_which(
    tmp_path: Path, wanted: bool, mode: int
):
    sources: dict[str, Any] = {
        "tokens": write_tokens(tmp_path / "tokens", reversed_pairs(8)),
        "model": write_model(tmp_path / "base"),
    }
    seen: set[int] = set()

    def note(line: str) -> None:
        if not line.startswith("loading the libraries"):  # which comes before them
            seen.add(modes()[0])

    fields = {"preset": "alpaca", "num_train_epochs": 1, "prompts": 0, "device": "cpu"}
    fields |= {"deterministic": wanted}
    config = TrainConfig(**sources, out=str(tmp_path / "out"), **fields)
    result = trainer.train(config, note)
    said = json.loads((result.out / "train.json").read_text())
    assert seen == {mode}
    assert (said["config"]["deterministic"], said["device"]) == (wanted, "cpu")
    seen.clear()
    again = TrainConfig(**sources, out=str(tmp_path / "again"), **fields)
    trainer.dry_run(again, note)
    assert mode in seen


def test_an_array_comes_to_the_device_as_it_is():
    import torch

    values = np.array([[3, 1], [2, 5]], dtype=np.int32)
    there = put(values, torch.device("cpu"))
    assert (there.dtype, there.tolist()) == (torch.int32, values.tolist())
