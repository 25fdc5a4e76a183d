from __future__ import annotations

from typing import Any

import pytest

from curate.base.errors import CurateError
from tests.trainer_toys import toy_model
from trainer.models.dropout import add_residual_dropout


def logits(model: Any) -> Any:
    import torch

    return model(input_ids=torch.tensor([[1, 5, 6, 3]]), use_cache=False).logits


def shares_seen(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The shares of values dropped in one training pass, in the order of the sub-layers."""
    import torch.nn.functional as F

    seen: list[float] = []
    real = F.dropout

    def noting(values: Any, p: float = 0.5, *others: Any, **named: Any) -> Any:
        seen.append(p)
        return real(values, p, *others, **named)

    monkeypatch.setattr(F, "dropout", noting)
    model.train()
    logits(model)
    return [share for share in seen if share > 0]


def test_the_share_grows_from_nothing_to_its_peak(monkeypatch: pytest.MonkeyPatch):
    model = toy_model(num_hidden_layers=4)
    add_residual_dropout(model, 0.3)
    seen = shares_seen(model, monkeypatch)
    assert seen == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.3, 0.3])


def test_a_single_block_is_the_last_one(monkeypatch: pytest.MonkeyPatch):
    model = toy_model(num_hidden_layers=1)
    add_residual_dropout(model, 0.3)
    assert shares_seen(model, monkeypatch) == pytest.approx([0.3, 0.3])


def test_dropout_is_off_in_evaluation():
    import torch

    model = toy_model()
    before = logits(model)
    add_residual_dropout(model, 0.5)
    assert torch.equal(logits(model), before)
    model.train()
    assert not torch.equal(logits(model), before)


def test_the_mode_of_the_model_is_left_as_it_was():
    model = toy_model()
    add_residual_dropout(model, 0.5)
    assert not model.training


def small(kind: str) -> Any:
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")
    size = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    more: dict[str, dict[str, Any]] = {
        "GPT2": {"n_positions": 32},
        "GPTNeoX": {"intermediate_size": 32},
        "Gemma2": {"intermediate_size": 32, "num_key_value_heads": 1, "head_dim": 8},
        "Olmo2": {"intermediate_size": 32, "num_key_value_heads": 1},
        "OPT": {"ffn_dim": 32, "word_embed_proj_dim": 16, "max_position_embeddings": 32},
    }
    name = "GPT2LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM"
    return getattr(transformers, name)(config(**size, **more[kind])).eval()


@pytest.mark.parametrize("kind", ["GPT2", "GPTNeoX", "Gemma2", "Olmo2"])
def test_sublayers_of_other_architectures_are_found_and_proven(kind: str):
    import torch

    model = small(kind)
    before = logits(model)
    add_residual_dropout(model, 0.9)
    assert torch.equal(logits(model), before)
    model.train()
    assert not torch.equal(logits(model), before)


def test_an_architecture_without_two_sublayers_is_refused():
    with pytest.raises(CurateError, match="residual_dropout: not possible for opt models"):
        add_residual_dropout(small("OPT"), 0.3)


def test_a_block_that_adds_something_else_to_the_residual_is_refused():
    model = toy_model()
    block = model.model.layers[1]
    plain = block.forward

    def forward(hidden_states: Any, *others: Any, **named: Any) -> Any:
        return plain(hidden_states, *others, **named) + 1.0

    block.forward = forward
    with pytest.raises(CurateError, match="set residual_dropout to 0"):
        add_residual_dropout(model, 0.3)
