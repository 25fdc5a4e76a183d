"""Mixtures of experts: the loss of their routers is the model's own, however a step is cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.base.errors import CurateError
from tests.resume_toys import outcome, train_until
from tests.trainer_toys import (
    ALL,
    DOCUMENTS,
    POSITIONS,
    START,
    STOP,
    documents,
    reversed_pairs,
    silent,
    toy_model,
    write_model,
    write_tokens,
)
from trainer import TrainConfig, train
from trainer.data.batches import pad
from trainer.loss import LossMode
from trainer.models import attention, routers
from trainer.models.dropout import add_residual_dropout
from trainer.objectives import sft

torch: Any = pytest.importorskip("torch")
KINDS = ("Mixtral", "Qwen3Moe", "Olmoe", "GraniteMoe")
EXPERTS, PER_TOKEN = 4, 2


def config(**fields: Any) -> TrainConfig:
    return TrainConfig(**{"tokens": "t", "model": "m", "out": "o", "max_grad_norm": 0.0, **fields})


def mixture(kind: str = "Mixtral", **changes: Any) -> Any:
    import transformers

    torch.set_num_threads(1)
    size = {
        "vocab_size": 32,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": POSITIONS,
        "initializer_range": 0.2,
        "bos_token_id": START,
        "eos_token_id": STOP,
        "pad_token_id": 0,
        "num_experts_per_tok": PER_TOKEN,
        "router_aux_loss_coef": 0.1,
    }
    experts = "num_local_experts" if kind in ("Mixtral", "GraniteMoe") else "num_experts"
    if kind == "Qwen3Moe":
        size["moe_intermediate_size"] = 32
    with torch.random.fork_rng():
        torch.manual_seed(0)
        settings = getattr(transformers, f"{kind}Config")(**{**size, experts: EXPERTS, **changes})
        return getattr(transformers, f"{kind}ForCausalLM")(settings).eval()


def padded_with_mask() -> tuple[Any, Any, Any]:
    """Ids, mask and labels of the documents, as transformers' collators make them."""
    width = max(len(ids) for ids, _ in DOCUMENTS)
    made = [
        (
            ids + [0] * (width - len(ids)),
            [1] * len(ids) + [0] * (width - len(ids)),
            labels + [-100] * (width - len(ids)),
        )
        for ids, labels in DOCUMENTS
    ]
    ids, mask, labels = (torch.tensor(each) for each in zip(*made, strict=True))
    return ids, mask, labels


def mode(packed: bool, coefficient: float = 0.1) -> LossMode:
    return LossMode(False, packed, routers=routers.Routers(coefficient, EXPERTS, PER_TOKEN))


def gradient_of(model: Any) -> Any:
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


def own_step(model: Any) -> tuple[float, float, Any]:
    """Loss, routers' loss and gradients, all by transformers."""
    ids, mask, labels = padded_with_mask()
    output = model(input_ids=ids, attention_mask=mask, labels=labels, output_router_logits=True)
    model.zero_grad()
    output.loss.backward()
    aux = float(output.aux_loss.detach())
    return (
        float(output.loss.detach()) - model.router_aux_loss_coef * aux,
        aux,
        gradient_of(model).clone(),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_of_a_padded_step_is_the_models_own_and_so_are_its_gradients(kind: str) -> None:
    model = mixture(kind)
    loss, aux, expected = own_step(model)
    whole = LossMode(True, False, routers=routers.Routers(0.1, EXPERTS, PER_TOKEN))
    found, _, others = sft.gradients(model, documents(), ALL, config(), whole, 4)
    assert found == pytest.approx(loss, abs=1e-5)
    assert others == {"router_loss": pytest.approx(aux, rel=1e-5)}
    assert torch.allclose(gradient_of(model), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("micro_tokens", [1, 11, 17, 1000])
def test_it_is_that_of_the_whole_step_however_the_step_is_cut_into_passes(
    packed: bool, micro_tokens: int
) -> None:
    model = mixture()
    _, aux, expected = own_step(model)
    attention.prepare(model)
    settings = config(micro_tokens=micro_tokens)
    _, _, others = sft.gradients(model, documents(), ALL, settings, mode(packed), 4)
    assert others["router_loss"] == pytest.approx(aux, rel=1e-5)
    assert torch.allclose(gradient_of(model), expected, atol=1e-5, rtol=1e-4)


def test_it_is_no_mean_over_passes() -> None:
    """The mean is another number: experts that are even over a step are not in each row."""
    model, rows = mixture(), documents()
    alone = [
        sft.gradients(model, rows, np.array([row]), config(), mode(False), 4)[2]["router_loss"]
        for row in ALL
    ]
    _, aux, _ = own_step(model)
    assert float(np.average(alone, weights=rows.lengths)) > aux + 1e-3


def test_padding_counts_for_nothing() -> None:
    model, rows = mixture(), documents()
    batch = pad(rows, ALL)
    assert batch.real is not None and int(batch.real.sum()) == int(rows.lengths.sum())
    lengths = int(rows.lengths.sum()) * 2  # two layers
    routed: list[Any] = []
    sft.target_nats(model, batch, whole=True, routed=routed)
    counted = routers.choices(routed, torch.from_numpy(batch.real), PER_TOKEN)
    assert counted[-1] == lengths and counted[:-1].sum() == PER_TOKEN * lengths
    assert routers.choices(routed, None, PER_TOKEN)[-1] > lengths


def test_a_coefficient_scales_its_gradients_and_nothing_else() -> None:
    model, rows = mixture(), documents()
    found = []
    for coefficient in (0.0, 0.1, 0.2):
        loss, _, _ = sft.gradients(model, rows, ALL, config(), mode(False, coefficient), 4)
        found.append((loss, gradient_of(model).clone()))
    assert found[0][0] == found[1][0] == found[2][0]
    one, two = (found[place][1] - found[0][1] for place in (1, 2))
    assert one.abs().max() > 1e-4
    assert torch.allclose(two, 2 * one, atol=1e-6)
    plain = sft.gradients(model, rows, ALL, config(), LossMode(False, False), 4)
    assert plain[2] == {} and torch.equal(gradient_of(model), found[0][1])


def test_choices_are_counted_with_the_dropout_of_the_passes_that_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = mixture().train()
    add_residual_dropout(model, 0.5)
    real, seen = routers.balance, list[Any]()

    def kept(logits: Any, tokens: Any, counted: Any) -> Any:
        seen.append((routers.choices(logits, tokens, PER_TOKEN), counted))
        return real(logits, tokens, counted)

    monkeypatch.setattr(sft, "balance", kept)
    torch.manual_seed(3)
    sft.gradients(model, documents(), ALL, config(micro_tokens=11), mode(False), 4)
    assert len(seen) > 2
    assert torch.equal(sum(own for own, _ in seen), seen[0][1])


@pytest.mark.parametrize(("dtype", "allowed"), [("float32", 1e-6), ("bfloat16", 1e-2)])
def test_the_model_is_asked_for_its_own_number(dtype: str, allowed: float) -> None:
    model, lines = mixture().to(getattr(torch, dtype)), list[str]()
    ids = torch.tensor([DOCUMENTS[2][0]])
    found = routers.of_model(model, ids, config(dtype=dtype), lines.append)
    assert found == routers.Routers(0.1, EXPERTS, PER_TOKEN)
    assert lines == [
        "routers: the loss that keeps experts in use alike is added 0.1 times (as the base's "
        "config.json says; router_aux_coef=0 leaves it out)"
    ]


def test_zero_leaves_it_out_and_a_number_takes_the_place_of_the_bases() -> None:
    ids, lines = torch.tensor([DOCUMENTS[2][0]]), list[str]()
    assert routers.of_model(mixture(), ids, config(router_aux_coef=0.0), lines.append) is None
    assert lines == []
    found = routers.of_model(mixture(), ids, config(router_aux_coef=0.03), lines.append)
    assert found is not None and found.coefficient == 0.03
    never = mixture(router_aux_loss_coef=0.0)
    assert routers.of_model(never, ids, config(), lines.append) is None


def test_a_model_without_routers_takes_none_and_says_so_if_it_was_asked() -> None:
    ids, lines = torch.tensor([DOCUMENTS[2][0]]), list[str]()
    assert routers.of_model(toy_model(), ids, config(), lines.append) is None and lines == []
    with pytest.raises(CurateError, match=r"0\.1 cannot be added, as llama models have no"):
        routers.of_model(toy_model(), ids, config(router_aux_coef=0.1), silent)


def test_a_model_that_counts_otherwise_goes_without_and_says_so() -> None:
    model, ids, lines = mixture(), torch.tensor([DOCUMENTS[2][0]]), list[str]()
    plain = model.forward

    def forward(input_ids: Any, output_router_logits: bool = False, **named: Any) -> Any:
        output = plain(input_ids=input_ids, output_router_logits=output_router_logits, **named)
        output.aux_loss = output.aux_loss * 1.01
        return output

    model.forward = forward
    assert routers.of_model(model, ids, config(), lines.append) is None
    assert lines[0].startswith("routers: nothing keeps experts in use alike, as mixtral mode")
    with pytest.raises(CurateError, match="count it in another way"):
        routers.of_model(model, ids, config(router_aux_coef=0.1), silent)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"method": "prompt"}, "a learnt prompt changes no router"),
        ({"objective": "reward"}, "the loss of routers is for answers"),
        ({"router_aux_coef": -1.0}, "router_aux_coef"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(CurateError, match=message):
        config(**{"router_aux_coef": 0.1, **fields})


# Whole runs


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("sources")
    mixture().save_pretrained(home / "base")
    tokens = write_tokens(home / "tokens", reversed_pairs(24))
    return {"tokens": tokens, "model": str(home / "base")}


FIELDS: dict[str, Any] = {
    "num_train_epochs": 2,
    "batch_size": 8,
    "micro_tokens": 21,
    "learning_rate": 3e-3,
    "held_out": 0.1,
    "prompts": 0,
    "choose": "loss",
    "save_steps": 1,
    "residual_dropout": 0.1,
}


def test_a_run_notes_it_in_each_step_and_resumes_to_the_same_bits(
    sources: dict[str, str], tmp_path: Path
) -> None:
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    lines: list[str] = []
    train(TrainConfig(**sources, **FIELDS, out=str(whole)), lines.append)
    assert any(line.startswith("routers: the loss that keeps experts") for line in lines)
    noted = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    found = [line["router_loss"] for line in noted if not line.get("eval")]
    assert len(found) == 6 and all(2.0 <= value < 4.0 for value in found)
    about = json.loads((whole / "train.json").read_text())["routers"]
    assert about == {"coefficient": 0.1, "experts": EXPERTS, "per_token": PER_TOKEN}
    train_until("trainer.loop.learning_rate", 4, {**sources, **FIELDS, "out": str(parted)})
    train(TrainConfig(**sources, **FIELDS, out=str(parted), resume=True), silent)
    assert outcome(parted) == outcome(whole)


def test_without_it_experts_are_used_less_alike(sources: dict[str, str], tmp_path: Path) -> None:
    """A large coefficient must drive the loss towards its least, the choices of a token."""
    ends = []
    for coefficient in (1e-9, 3.0):
        out = tmp_path / str(coefficient)
        fields = {**FIELDS, "num_train_epochs": 6, "router_aux_coef": coefficient, "out": str(out)}
        train(TrainConfig(**sources, **fields), silent)
        noted = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        ends.append([line["router_loss"] for line in noted if not line.get("eval")][-1])
    without, driven = (end - PER_TOKEN for end in ends)
    assert 0 <= driven < without / 2


def test_adapters_get_it_too(sources: dict[str, str], tmp_path: Path) -> None:
    fields = {**FIELDS, "preset": "lora", "out": str(tmp_path / "out")}
    lines: list[str] = []
    train(TrainConfig(**sources, **fields), lines.append)
    assert any(line.startswith("routers: the loss that keeps experts") for line in lines)


def test_a_dense_model_notes_none(sources: dict[str, str], tmp_path: Path) -> None:
    dense = {**sources, "model": write_model(tmp_path / "base")}
    train(TrainConfig(**dense, **FIELDS, out=str(tmp_path / "out")), silent)
    assert "router_loss" not in (tmp_path / "out" / "metrics.jsonl").read_text()
