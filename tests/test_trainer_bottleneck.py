"""Bottleneck adapters: they start at the base, learn in series with it, and are never merged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import curate
import trainer
from curate.base.errors import CurateError
from tests.checkpoint_toys import change_json, read_json, runs, write_answers, write_base
from tests.resume_toys import outcome, train_until
from tests.test_trainer_dropout import small
from tests.trainer_toys import silent, toy_model
from trainer import TrainConfig
from trainer.after import chat
from trainer.checkpoints import adapters, put_on
from trainer.models import adapt, bottleneck
from trainer.models.dropout import add_residual_dropout

pytest.importorskip("torch")
# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")

METHODS = ("houlsby", "pfeiffer")
ASKED = [[1, 5, 6, 3, 9], [1, 7, 8, 3, 4]]
FIELDS: dict[str, Any] = {
    "bottleneck_width": 4,
    "num_train_epochs": 3,
    "batch_size": 8,
    "learning_rate": 0.02,
    "held_out": 0.2,
}


def config(method: str, **fields: Any) -> TrainConfig:
    given = {"tokens": "t", "model": "m", "out": "o", "bottleneck_width": 4, **fields}
    return TrainConfig(method=method, **given)


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor(ASKED)).logits


def trained(model: Any) -> list[str]:
    return [name for name, weight in model.named_parameters() if weight.requires_grad]


@pytest.mark.parametrize("kind", ["Llama", "GPT2", "GPTNeoX", "Gemma2", "Olmo2"])
@pytest.mark.parametrize("method", METHODS)
def test_before_training_logits_are_those_of_the_base_to_the_last_bit(method: str, kind: str):
    import torch

    base = toy_model() if kind == "Llama" else small(kind)
    before = logits(base)
    adapted = adapt.attach(base, config(method))
    assert torch.equal(logits(adapted), before)
    assert len(trained(adapted)) == 2 * (2 if method == "houlsby" else 1) * 4
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if ".bottleneck.up." in name:
                weight.normal_(generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(logits(adapted), before, atol=1e-2)


@pytest.mark.parametrize(("method", "each"), [("houlsby", 2), ("pfeiffer", 1)])
def test_trained_numbers_are_2_d_m_and_m_and_d_an_adapter(method: str, each: int):
    adapted = adapt.attach(toy_model(), config(method))
    found = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    assert found == 2 * each * (2 * 16 * 4 + 4 + 16) == bottleneck.count(2, 16, 4, method)


def test_an_adapter_makes_h_plus_up_of_silu_of_down_of_what_joins_the_residual():
    import torch

    torch.manual_seed(5)
    adapted = adapt.attach(toy_model(), config("pfeiffer"))
    layer = adapted.model.layers[1].mlp
    with torch.no_grad():
        layer.bottleneck.up.weight.normal_()
        layer.bottleneck.up.bias.normal_()
        given = torch.randn(3, 16)
        plain = layer.down_proj(layer.act_fn(layer.gate_proj(given)) * layer.up_proj(given))
        down, up = layer.bottleneck.down, layer.bottleneck.up
        inner = plain @ down.weight.T + down.bias
        expected = plain + (inner * inner.sigmoid()) @ up.weight.T + up.bias
        assert torch.allclose(layer(given), expected, atol=1e-6)
    assert not hasattr(adapted.model.layers[1].self_attn, "bottleneck")


def test_dropout_of_residuals_drops_what_the_adapter_gives(monkeypatch: pytest.MonkeyPatch):
    """Whatever is put on first: what is dropped is what joins the residual."""
    import torch
    import torch.nn.functional as F

    model = toy_model()
    add_residual_dropout(model, 0.5)
    adapted = adapt.attach(model, config("pfeiffer")).train()
    seen: list[Any] = []
    monkeypatch.setattr(F, "dropout", lambda value, share: seen.append(value) or value)
    last = adapted.model.layers[1].mlp
    with torch.no_grad():
        last.bottleneck.up.bias.fill_(7.0)
        given = last(torch.zeros(1, 16))
    assert len(seen) == 1 and torch.equal(seen[0], given)
    assert float(given.mean()) == pytest.approx(7.0, abs=0.1)


def test_beside_a_base_of_bfloat16_adapters_compute_in_float32():
    import torch

    adapted = adapt.attach(toy_model().to(torch.bfloat16), config("houlsby", dtype="bfloat16"))
    found = {name: str(weight.dtype) for name, weight in adapted.named_parameters()}
    assert {found[name] for name in trained(adapted)} == {"torch.float32"}
    assert logits(adapted).dtype == torch.bfloat16


def test_an_architecture_whose_layers_are_not_found_is_refused():
    with pytest.raises(
        CurateError, match=r"method houlsby: not possible for opt models: .*; take method lora"
    ):
        adapt.attach(small("OPT"), config("houlsby"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_base(tmp_path_factory.mktemp("between") / "base")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_answers(tmp_path_factory.mktemp("between") / "tokens")


@pytest.fixture(scope="module")
def tuned(base: str, tokens: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return runs(tokens, base, tmp_path_factory, lambda method: FIELDS)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_learns_and_leaves_adapters_that_say_how_they_are_put_on(
    method: str, tuned: Any, base: str
):
    out = tuned(method)
    table = read_json(out / "train.json")["table"]
    assert table[-1]["held_out"]["loss"] < table[0]["held_out"]["loss"] - 0.1
    assert read_json(out / "method.json") == {
        "method": method,
        "width": 4,
        "activation": "silu",
        "base_model_name_or_path": base,
    }
    assert not list(out.glob("model*.safetensors")) and not (out / "config.json").exists()


@pytest.mark.parametrize("place", ["", "epochs/epoch-3"])
def test_what_is_left_answers_and_is_evaluated_on_its_base(place: str, tuned: Any, tmp_path: Path):
    folder = tuned("houlsby") / place
    talker = chat.load(str(folder))
    ids = [chat.prompt_ids(talker, [{"role": "user", "content": "w9 w21"}])]
    [answer] = chat.answers(talker, ids, chat.Sampling(max_tokens=6), silent)
    assert (answer.text, answer.stopped) == ("w7 w6", True)
    assert len(trained(talker.net)) == 16
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "w9 w21", "output": "w7 w6"}\n' * 2, "utf-8")
    found = curate.evaluate_labels(folder, rows, labels=["w7 w6", "w6 w7"])
    assert "1.0" in json.dumps(found.as_dict()["models"][0]["accuracy"])


def test_merging_is_refused_before_anything_is_loaded(tuned: Any, tmp_path: Path):
    with pytest.raises(CurateError) as refused:
        curate.merge(tuned("houlsby"), out=tmp_path / "whole")
    assert "is Houlsby adapters: layers between those of the base, which no weight" in str(
        refused.value
    )
    assert not (tmp_path / "whole").exists()


def test_a_killed_run_ends_in_the_same_bits(base: str, tokens: str, tmp_path: Path):
    fields = {**FIELDS, "tokens": tokens, "model": base, "method": "pfeiffer", "prompts": 1}
    stopped = {**fields, "out": str(tmp_path / "out")}
    train_until("trainer.loop.learning_rate", 5, stopped)
    trainer.train(TrainConfig(**stopped, resume=True), silent)
    trainer.train(TrainConfig(**fields, out=str(tmp_path / "whole")), silent)
    assert outcome(tmp_path / "out") == outcome(tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 5}, r"bottleneck.*is 4.*, and on this base it would be 5"),
        ({"method": "pfeiffer"}, "has weights for .*self_attn.bottleneck.*no such layers"),
        ({"method": "parallel"}, "is of no method that is known here"),
        ({"width": "4"}, r"method\.json: width is '4'; expected a whole number"),
        ({"activation": "relu"}, r"method\.json: activation is 'relu', and 'silu' is the one"),
        ({"base_model_name_or_path": ["x"]}, r"its base is \['x'\]; expected a name or a folder"),
    ],
)
def test_settings_that_are_not_of_the_weights_are_refused(
    change: dict[str, Any], message: str, tuned: Any, base: str, tmp_path: Path
):
    import shutil

    shutil.copytree(tuned("houlsby") / "epochs" / "epoch-3", tmp_path / "one")
    change_json(tmp_path / "one" / "method.json", lambda content: content.update(change))
    with pytest.raises(CurateError, match=message):
        put_on.put_on(toy_model(vocab_size=32), adapters.find(str(tmp_path / "one")))


def test_an_adapter_alone_names_its_base_and_is_not_written_as_a_whole_model(
    tuned: Any, base: str, tmp_path: Path
):
    import shutil

    shutil.copytree(tuned("houlsby") / "epochs" / "epoch-3", tmp_path / "alone")
    found = adapters.find(str(tmp_path / "alone"))
    assert (found.kind, found.base, found.run) == ("HOULSBY", base, None)
    assert str(found) == f"HOULSBY of width 4 in {tmp_path / 'alone'}"
