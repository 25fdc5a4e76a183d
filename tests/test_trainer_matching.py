"""`match_parameters` picks the rank, block or width that trains a share of a model, and says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from tests.test_trainer_routers import mixture
from tests.trainer_toys import reversed_pairs, write_model, write_tokens
from trainer import TrainConfig, train
from trainer.config.methods import PICKED
from trainer.models import adapt, matching, model
from trainer.models.vocabulary import Vocabulary

pytest.importorskip("torch")
# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")

NOTHING = Vocabulary(32, {}, {})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("matching") / "base")


def config(base: str, **fields: Any) -> TrainConfig:
    return TrainConfig(**{"tokens": "t", "out": "o", "model": base, **fields})


def trained(base: str, chosen: TrainConfig) -> float:
    """The share of the real model's parameters that is trained with these settings."""
    import torch

    net = adapt.attach(model.load(base, torch.device("cpu")), chosen)
    return model.measure(net).share


@pytest.mark.parametrize("method", PICKED)
def test_the_share_that_is_picked_is_the_largest_that_is_not_above_the_one_asked(
    method: str, base: str
):
    found, [line] = matching.settled(config(base, method=method, match_parameters="12%"), NOTHING)
    field = PICKED[found.method]
    size, reached = getattr(found, field), trained(base, found)
    assert 0.05 < reached <= 0.12
    assert line.startswith(f"match_parameters 12%: {field} {size} trains {100 * reached:.3g} %")
    following = int(line.rpartition(f"{field} ")[2].split()[0])
    assert following > size
    more = config(base, method=method, **{field: following})
    assert trained(base, more) > 0.12
    assert line.endswith(f"{field} {following} would train {100 * trained(base, more):.3g} %")


def test_rows_of_added_tokens_are_counted_with_what_is_trained(base: str):
    """Two rows of 16 in each of two tables are 64 of the 512 numbers that rank 1 has."""
    words = Vocabulary(34, {"<a>": 32, "<b>": 33}, {"<a>": 32, "<b>": 33})
    plain, [one] = matching.settled(config(base, method="lora", match_parameters="9%"), NOTHING)
    with pytest.raises(CurateError, match="and lora_r 1, the smallest, trains 9"):
        matching.settled(config(base, method="lora", match_parameters="9%"), words)
    _, [two] = matching.settled(config(base, method="lora", match_parameters="10%"), words)
    assert plain.lora_r == 1 and "(512 numbers)" in one and "(576 numbers)" in two


def test_experts_of_a_mixture_are_counted(tmp_path: Path):
    mixture().save_pretrained(tmp_path / "mixture")
    base = str(tmp_path / "mixture")
    found, _ = matching.settled(config(base, method="lora", match_parameters="40%"), NOTHING)
    assert (
        trained(base, found)
        <= 0.4
        < trained(base, config(base, method="lora", lora_r=found.lora_r + 1))
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"match_parameters": "1%"}, "method full has no rank, block or width to pick; take one"),
        ({"match_parameters": "1%", "method": "ia3"}, "method ia3 has no rank, block or width"),
        ({"match_parameters": "0.5", "method": "lora"}, "expected a share of all parameters"),
        ({"match_parameters": "0%", "method": "lora"}, "above 0% and below 100%, such as 0.5%"),
        ({"match_parameters": "\u0663%", "method": "lora"}, "expected a share of all parameters"),
        ({"match_parameters": "100%", "method": "lora"}, "'100%'; expected a share"),
        (
            {"match_parameters": "1%", "method": "lora", "lora_r": 4},
            "picks lora_r; give one",
        ),
        ({"match_parameters": 1, "method": "lora"}, "match_parameters is 1; expected text"),
    ],
)
def test_a_share_that_nothing_can_be_picked_for_is_refused(given: dict[str, Any], message: str):
    with pytest.raises(CurateError) as refused:
        TrainConfig.from_mapping({"tokens": "t", "model": "m", "out": "o", **given})
    assert message in str(refused.value)


def test_a_run_says_the_share_and_its_manifest_has_it(base: str, tmp_path: Path):
    said: list[str] = []
    fields: dict[str, Any] = {
        "tokens": write_tokens(tmp_path / "tokens", reversed_pairs(12)),
        "out": str(tmp_path / "out"),
        "method": "lora-xs",
        "match_parameters": "5%",
        "prompts": 0,
        "num_train_epochs": 1,
    }
    train(config(base, **fields), said.append)
    about = json.loads((tmp_path / "out/train.json").read_text())
    assert (about["config"]["match_parameters"], about["config"]["lora_r"]) == ("5%", 4)
    # r squared in each of seven layers of two blocks.
    assert about["parameters"] == {"total": 5936, "trained": 224, "share": 224 / 5936}
    assert "lora-xs on cpu: 5,936 parameters, 224 trained (3.77 %)" in " ".join(said)
    assert any(line.startswith("match_parameters 5%: lora_r 4 trains 3.77 %") for line in said)


def test_a_small_share_is_shown_with_two_digits():
    assert "(0.0033 %)" in str(model.Size(3_000_000, 100, 0))
    assert "(12.50 %)" in str(model.Size(8, 1, 0))
