"""Checkpoints are read by transformers 4 as well: it finds in its own places what 5 has in others.

The values are what `from_pretrained` of transformers 4.57 reads: with them both versions give the
same logits for these types (0.0 to 3e-6 apart; before, up to 10), for mixtures, windows and scaled
or partial rotary positions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.checkpoint_toys import (
    END,
    change_json,
    read_json,
    train,
    write_answers,
    write_base,
    write_words,
)
from trainer.checkpoints import older

pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")

LLAMA3: dict[str, Any] = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_answers(tmp_path_factory.mktemp("older") / "tokens")


@pytest.mark.parametrize(
    ("rope", "theta", "scaling"),
    [
        ({"rope_type": "default", "rope_theta": 777.0}, 777.0, None),
        ({**LLAMA3, "rope_theta": 500000.0}, 500000.0, LLAMA3),
        ({**YARN, "rope_theta": 5000.0}, 5000.0, YARN),
        (
            {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4},
            1e4,
            {"rope_type": "linear", "factor": 2.0},
        ),
    ],
)
def test_rotary_positions_stand_where_both_versions_look(
    rope: dict[str, Any], theta: float, scaling: dict[str, Any] | None, tokens: str, tmp_path: Path
):
    from transformers import AutoConfig

    base = write_base(tmp_path / "base", rope_parameters=rope)
    out = train(tokens, base, tmp_path / "out")
    for folder in (out, out / "epochs" / "epoch-1"):
        content = read_json(folder / "config.json")
        assert (content["rope_theta"], content["rope_scaling"]) == (theta, scaling)
        assert content["torch_dtype"] == content["dtype"] == "float32"
        # And version 5 reads what it did before.
        now = AutoConfig.from_pretrained(folder).rope_parameters
        assert now == AutoConfig.from_pretrained(base).rope_parameters


def test_a_base_that_version_4_wrote_is_read_and_written_alike(tokens: str, tmp_path: Path):
    """Rope at the top level alone, and the number format under its former name."""
    import torch
    from transformers import AutoModelForCausalLM

    base = Path(write_base(tmp_path / "base"))

    def former(content: dict[str, Any]) -> None:
        for name in ("rope_parameters", "dtype"):
            content.pop(name)
        content.update(torch_dtype="float32", rope_theta=900.0, rope_scaling=LLAMA3)

    change_json(base / "config.json", former)
    out = train(tokens, str(base), tmp_path / "out", method="lora", learning_rate=1e-12)
    content = read_json(out / "config.json")
    assert content["rope_theta"] == content["rope_parameters"]["rope_theta"] == 900.0
    assert content["rope_scaling"] == LLAMA3
    ids = torch.arange(4, 28)[None]
    with torch.no_grad():
        logits = [AutoModelForCausalLM.from_pretrained(one)(ids).logits for one in (base, out)]
    assert torch.allclose(*logits, atol=1e-5)


def test_layers_of_two_kinds_have_two_bases_of_their_positions():
    full = {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}
    sliding = {"rope_type": "default", "rope_theta": 1e4}
    content: dict[str, Any] = {
        "model_type": "gemma3_text",
        "rope_parameters": {"full_attention": full, "sliding_attention": sliding},
    }
    older.model_config(content)
    assert content["rope_theta"] == 1e6 and content["rope_local_base_freq"] == 1e4
    assert content["rope_scaling"] == {"rope_type": "linear", "factor": 8.0}


def test_a_part_of_a_model_is_written_for_both_versions_too():
    rope = {"rope_type": "default", "rope_theta": 50.0, "partial_rotary_factor": 0.5}
    content: dict[str, Any] = {"dtype": "bfloat16", "text_config": {"rope_parameters": rope}}
    older.model_config(content)
    part = content["text_config"]
    assert (part["rope_theta"], part["partial_rotary_factor"]) == (50.0, 0.5)
    assert part["rope_scaling"] is None and content["torch_dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (
            {
                "model_type": "gpt_neox",
                "rope_parameters": {"rope_theta": 9.0, "partial_rotary_factor": 0.25},
            },
            {"rotary_emb_base": 9.0, "rotary_pct": 0.25, "rope_scaling": None},
        ),
        ({"model_type": "qwen3_moe", "num_local_experts": 4}, {"num_experts": 4}),
        (
            {
                "model_type": "phi3",
                "rope_parameters": {
                    "rope_type": "longrope",
                    "rope_theta": 9.0,
                    "short_factor": [1.0],
                    "long_factor": [2.0],
                    "original_max_position_embeddings": 64,
                },
            },
            {"rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [2.0]}},
        ),
        ({"model_type": "gpt2", "n_embd": 16}, {"n_embd": 16}),
    ],
)
def test_types_with_names_of_their_own(given: dict[str, Any], wanted: dict[str, Any]):
    older.model_config(given)
    assert {name: given[name] for name in wanted} == wanted
    assert given["model_type"] != "gpt2" or given.keys() == {"model_type", "n_embd"}


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_tokenizer_is_of_a_class_that_both_versions_know(
    method: str, tokens: str, tmp_path: Path
):
    from transformers import AutoTokenizer

    base = Path(write_base(tmp_path / "base"))
    known = read_json(base / "tokenizer_config.json")
    assert known["tokenizer_class"] == "TokenizersBackend"
    assert known["extra_special_tokens"] == [END, "<|user|>"]
    out = train(tokens, str(base), tmp_path / "out", method=method)
    for folder in [out, *([out / "adapter"] if method == "lora" else [])]:
        content = read_json(folder / "tokenizer_config.json")
        assert content["tokenizer_class"] == "PreTrainedTokenizerFast"
        assert content["additional_special_tokens"] == [END, "<|user|>"]
        assert "extra_special_tokens" not in content
        before, after = AutoTokenizer.from_pretrained(base), AutoTokenizer.from_pretrained(folder)
        text = "<s> w4 <|user|> w5 <|end|> w6"
        assert before(text).input_ids == after(text).input_ids == [1, 4, 31, 5, 30, 6]
        special = {before.eos_token, *after.all_special_tokens}
        assert special == {*before.all_special_tokens, END}


def test_a_class_of_its_own_stays(tokens: str, tmp_path: Path):
    base = Path(write_base(tmp_path / "base"))
    write_words(base)
    other = {"tokenizer_class": "LlamaTokenizerFast", "auto_map": {"AutoTokenizer": ["a.B", None]}}
    change_json(base / "tokenizer_config.json", lambda content: content.update(other))
    out = train(tokens, str(base), tmp_path / "out")
    content = read_json(out / "tokenizer_config.json")
    assert content["tokenizer_class"] == "LlamaTokenizerFast"


def test_code_that_a_base_names_is_not_named_by_the_checkpoint(tokens: str, tmp_path: Path):
    base = Path(write_base(tmp_path / "base"))
    named = {"auto_map": {"AutoModelForCausalLM": "some/where--modeling.Model"}}
    change_json(base / "config.json", lambda content: content.update(named))
    out = train(tokens, str(base), tmp_path / "out")
    assert "auto_map" not in read_json(out / "config.json")
