"""What a base holds is in the checkpoint: parts that are not trained, and its number format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from tests.checkpoint_toys import (
    EOS,
    STOP,
    answers,
    change_json,
    change_tensors,
    read_json,
    tensors,
    train,
    write_answers,
    write_base,
    write_words,
)
from tests.trainer_toys import START, write_tokens

pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")

SMALL: dict[str, Any] = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 48,
    "bos_token_id": START,
    "eos_token_id": EOS,
    "pad_token_id": 0,
}
LINEAR: dict[str, Any] = {
    "linear_num_value_heads": 2,
    "linear_num_key_heads": 1,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_answers(tmp_path_factory.mktemp("base") / "tokens")


def write_vision(folder: Path) -> str:
    """A model of text and pictures, whose text part alone is a causal language model."""
    import torch
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    tower = {
        "depth": 1,
        "hidden_size": 16,
        "num_heads": 2,
        "intermediate_size": 16,
        "out_hidden_size": 16,
        "patch_size": 14,
    }
    ids = {"image_token_id": 26, "video_token_id": 27}
    ends = {"vision_start_token_id": 28, "vision_end_token_id": 29}
    config = Qwen3_5Config(
        text_config={**SMALL, **LINEAR},
        vision_config=tower,
        tie_word_embeddings=False,
        **ids,
        **ends,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Qwen3_5ForConditionalGeneration(config).save_pretrained(folder)
    write_words(folder)
    (folder / "preprocessor_config.json").write_text('{"patch_size": 14}')
    return str(folder)


def write_experts(folder: Path) -> str:
    """A mixture of experts whose class leaves out heads that predict several tokens."""
    import torch
    from transformers import Qwen3NextConfig, Qwen3NextForCausalLM

    experts = {
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "moe_intermediate_size": 8,
        "shared_expert_intermediate_size": 8,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = Qwen3NextConfig(**SMALL, **LINEAR, **experts)
        Qwen3NextForCausalLM(config).save_pretrained(folder)
    write_words(folder)
    return str(folder)


def write_gpt2(folder: Path) -> str:
    """GPT-2 as it lies on the hub: names without their prefix, and a mask among the weights."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=2, n_positions=48)
        GPT2LMHeadModel(config).save_pretrained(folder)
    write_words(folder)

    def rename(found: dict[str, Any]) -> None:
        for name in list(found):
            found[name.removeprefix("transformer.")] = found.pop(name)
        found["h.0.attn.bias"] = torch.tril(torch.ones(1, 1, 48, 48))

    change_tensors(folder, rename)
    return str(folder)


def more(*names: str, rows: int = 16) -> Any:
    """A change of a base's weights: tensors that no class loads."""
    import torch

    generator = torch.Generator().manual_seed(1)

    def change(found: dict[str, Any]) -> None:
        for name in names:
            found[name] = torch.randn(rows, 16, generator=generator).to(torch.bfloat16)

    return change


def same(one: Any, other: Any) -> bool:
    return bool(one.dtype == other.dtype and one.shape == other.shape and (one == other).all())


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("kind", ["tower", "heads", "value", "mask"])
def test_what_the_class_does_not_load_is_carried_unchanged(
    kind: str, method: str, tokens: str, tmp_path: Path
):
    from transformers import AutoModelForCausalLM

    base = tmp_path / "base"
    makers = {
        "tower": write_vision,
        "heads": write_experts,
        "value": write_base,
        "mask": write_gpt2,
    }
    makers[kind](base)
    extra = {"heads": ("mtp.fc.weight", "mtp.layers.0.mlp.up.weight"), "value": ("v_head.weight",)}
    change_tensors(base, more(*extra.get(kind, ())))
    starts = {"tower": "model.visual.", "heads": "mtp.", "value": "v_head", "mask": "h.0.attn.bias"}
    log: list[str] = []
    out = train(tokens, str(base), tmp_path / "out", log.append, method=method)
    before = tensors(base)
    apart = [name for name in before if name.startswith(starts[kind])]
    assert len(apart) == {"tower": 21, "heads": 2, "value": 1, "mask": 1}[kind]
    assert any(
        f"{len(apart)} tensors are no part of the model that is trained" in line for line in log
    )
    folders = [out, *((out / "epochs").iterdir() if method == "full" else ())]
    for folder in folders:
        after = tensors(folder)
        assert all(same(after[name], before[name]) for name in apart)
        assert kind == "mask" or after.keys() == before.keys()
        known = {name.removeprefix("transformer."): tensor for name, tensor in after.items()}
        assert not all(same(known[name], before[name]) for name in before)
        AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_tuned_text_part_is_still_a_model_of_text_and_pictures(
    method: str, tokens: str, tmp_path: Path
):
    """The whole model loads from the checkpoint, with the text part that was trained."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    base = write_vision(tmp_path / "base")
    out = train(tokens, base, tmp_path / "out", method=method)
    ids = torch.tensor([[START, 5, 9, 3]])
    with torch.no_grad():
        whole, found = AutoModelForImageTextToText.from_pretrained(out, output_loading_info=True)
        text = AutoModelForCausalLM.from_pretrained(out)
        former = AutoModelForCausalLM.from_pretrained(base)
        logits = [model(input_ids=ids).logits for model in (whole, text, former)]
    assert not found["missing_keys"] and not found["unexpected_keys"]
    assert torch.allclose(logits[0], logits[1], atol=1e-5)
    assert not torch.allclose(logits[1], logits[2], atol=1e-3)
    assert read_json(out / "preprocessor_config.json") == {"patch_size": 14}


def test_a_base_in_several_files_is_read_whole(tokens: str, tmp_path: Path):
    from transformers import AutoModelForCausalLM

    base = Path(write_base(tmp_path / "base"))
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(base, max_shard_size="4KB")
    (base / "model.safetensors").unlink()
    index = read_json(base / "model.safetensors.index.json")
    last = sorted(base.glob("*.safetensors"))[-1]
    from safetensors.torch import load_file, save_file

    found = load_file(last)
    more("v_head.weight")(found)
    save_file(found, last, metadata={"format": "pt"})
    index["weight_map"]["v_head.weight"] = last.name
    (base / "model.safetensors.index.json").write_text(json.dumps(index))
    out = train(tokens, str(base), tmp_path / "out")
    assert tensors(out).keys() == tensors(base).keys()
    assert same(tensors(out)["v_head.weight"], found["v_head.weight"])
    AutoModelForCausalLM.from_pretrained(out)


def test_tokens_are_not_added_where_a_carried_tensor_would_not_grow(tmp_path: Path):
    base = Path(write_base(tmp_path / "base"))
    change_tensors(base, more("mtp.embed_tokens.weight", rows=32))
    added = {"<call>": 32}
    named = {"special": {}, "eos_ids": [EOS], "added": added, "functional": added}
    tokens = write_tokens(tmp_path / "tokens", answers(16), stop=STOPS, tokenizer=named)
    said = r"mtp\.embed_tokens\.weight has a row for each token and would not grow"
    with pytest.raises(CurateError, match=said):
        train(tokens, str(base), tmp_path / "out")


STOPS: dict[str, Any] = {"ids": [EOS, STOP], "strings": []}


@pytest.mark.parametrize(
    ("method", "known"),
    [
        ("fp8", {"quant_method": "fp8", "weight_block_size": [8, 8]}),
        ("bitsandbytes", {"load_in_4bit": True, "quant_method": "bitsandbytes"}),
        ("gptq", {"quant_method": "gptq", "bits": 4, "group_size": 128}),
        ("awq", {"quant_method": "awq", "bits": 4}),
        ("mxfp4", {"quant_method": "mxfp4"}),
        ("compressed-tensors", {"quant_method": "compressed-tensors", "format": "pack-quantized"}),
    ],
)
@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_a_quantised_base_is_refused_with_what_to_do(
    tuning: str, method: str, known: dict[str, Any], tokens: str, tmp_path: Path
):
    base = Path(write_base(tmp_path / "base"))
    change_json(base / "config.json", lambda content: content.update(quantization_config=known))
    with pytest.raises(CurateError, match=f"are quantised already \\({method}\\)") as error:
        train(tokens, str(base), tmp_path / "out", method=tuning)
    for advice in ("take the unquantised model", "load_in_4bit=true", "dequantise it"):
        assert advice in str(error.value)
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_quantised_numbers_that_the_configuration_does_not_mention_are_refused(
    tokens: str, tmp_path: Path
):
    import torch

    base = Path(write_base(tmp_path / "base"))
    name = "model.layers.0.mlp.up_proj.weight"
    change_tensors(base, lambda found: found.update({name: found[name].to(torch.float8_e4m3fn)}))
    with pytest.raises(CurateError, match=r"up_proj\.weight is quantised to 8 bits or fewer"):
        train(tokens, str(base), tmp_path / "out")


def cast(base: Path, number: str, but: str = "-") -> None:
    """Put a base into another number format, but for the tensors whose names hold `but`."""
    import torch

    def change(found: dict[str, Any]) -> None:
        for name in found:
            if but not in name:
                found[name] = found[name].to(getattr(torch, number))

    change_tensors(base, change)
    change_json(base / "config.json", lambda content: content.update(dtype=number))


def formats(folder: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for tensor in tensors(folder).values():
        counts[str(tensor.dtype)] = counts.get(str(tensor.dtype), 0) + 1
    return counts


@pytest.mark.parametrize("method", ["full", "lora", "norms"])
@pytest.mark.parametrize("number", ["bfloat16", "float16", "float32"])
def test_the_checkpoint_has_the_number_format_of_its_base(
    number: str, method: str, tokens: str, tmp_path: Path
):
    from transformers import AutoModelForCausalLM

    base = Path(write_base(tmp_path / "base"))
    cast(base, number)
    log: list[str] = []
    out = train(tokens, str(base), tmp_path / "out", log.append, method=method)
    for folder in [out, *((out / "epochs").iterdir() if method == "full" else ())]:
        assert formats(folder) == {f"torch.{number}": 21}
        content = read_json(folder / "config.json")
        assert (content["dtype"], content["torch_dtype"]) == (number, number)
        assert str(AutoModelForCausalLM.from_pretrained(folder).dtype) == f"torch.{number}"
    said = f"checkpoints are saved in {number}, the base's format; save_dtype sets another"
    assert (said in log) == (number != "float32")


@pytest.mark.parametrize(
    ("asked", "saved"),
    [
        ({"dtype": "float32"}, "float32"),
        ({"dtype": "bfloat16"}, "bfloat16"),
        ({"save_dtype": "float32"}, "float32"),
        ({"dtype": "bfloat16", "save_dtype": "float16"}, "float16"),
        ({"dtype": "bfloat16", "save_dtype": "base"}, "float16"),
    ],
)
def test_a_format_that_is_asked_for_is_the_one_saved(
    asked: dict[str, Any], saved: str, tokens: str, tmp_path: Path
):
    base = Path(write_base(tmp_path / "base"))
    cast(base, "float16")
    out = train(tokens, str(base), tmp_path / "out", **asked)
    assert formats(out) == {f"torch.{saved}": 21}
    assert read_json(out / "config.json")["dtype"] == saved


@pytest.mark.parametrize("method", ["full", "lora"])
def test_weights_that_the_base_keeps_in_another_format_stay_in_it(
    method: str, tokens: str, tmp_path: Path
):
    """Norms in float32 among bfloat16; and a config.json that names neither format."""
    base = Path(write_base(tmp_path / "base"))
    cast(base, "bfloat16", but="norm")
    change_json(base / "config.json", lambda content: content.update(dtype="float32"))
    out = train(tokens, str(base), tmp_path / "out", method=method)
    assert formats(out) == formats(base) == {"torch.bfloat16": 16, "torch.float32": 5}
    assert read_json(out / "config.json")["dtype"] == "bfloat16"


def test_tied_embeddings_stay_one_tensor_in_another_format(tokens: str, tmp_path: Path):
    base = Path(write_base(tmp_path / "base", tie_word_embeddings=True))
    cast(base, "bfloat16")
    out = train(tokens, str(base), tmp_path / "out")
    assert formats(out) == {"torch.bfloat16": 20}
    assert "lm_head.weight" not in tensors(out)


def test_of_a_whole_model_only_the_text_part_is_written_anew(tokens: str, tmp_path: Path):
    """Each part keeps its format: here pictures in float32, and text in bfloat16."""
    base = Path(write_vision(tmp_path / "base"))
    cast(base, "bfloat16", but="visual")

    def name(content: dict[str, Any]) -> None:
        content["text_config"]["dtype"] = "bfloat16"
        content["vision_config"]["dtype"] = "float32"

    change_json(base / "config.json", name)
    out = train(tokens, str(base), tmp_path / "out", method="lora")
    before, after = read_json(base / "config.json"), read_json(out / "config.json")
    assert formats(out) == formats(base)
    assert after["vision_config"].pop("torch_dtype") == "float32"
    assert after["vision_config"] == before["vision_config"]
    assert after["dtype"] == after["text_config"]["dtype"] == "bfloat16"
    assert after["architectures"] == before["architectures"]


def test_training_moves_what_a_short_format_would_lose_between_steps(tokens: str, tmp_path: Path):
    """Rounded once, at the end: the float32 run of the same base, rounded, is the same model."""
    import torch

    base = Path(write_base(tmp_path / "base"))
    cast(base, "bfloat16")
    settings = {"num_train_epochs": 3, "learning_rate": 1e-5}
    exact = tensors(train(tokens, str(base), tmp_path / "a", dtype="float32", **settings))
    short = tensors(train(tokens, str(base), tmp_path / "b", **settings))
    assert all(torch.equal(short[name], exact[name].to(torch.bfloat16)) for name in exact)


def test_a_value_beyond_float16_is_an_error_with_its_name(tokens: str, tmp_path: Path):
    import torch

    base = Path(write_base(tmp_path / "base"))
    cast(base, "bfloat16")
    name = "model.layers.1.mlp.down_proj.weight"
    change_tensors(base, lambda found: found[name][0].fill_(1e6))
    assert float(tensors(base)[name].max()) > torch.finfo(torch.float16).max
    with pytest.raises(CurateError, match=r"down_proj\.weight holds values beyond float16"):
        train(tokens, str(base), tmp_path / "out", save_dtype="float16")


@pytest.mark.parametrize("kind", ["qwen2_vl", "mistral3"])
def test_a_type_without_a_causal_language_model_is_refused_in_a_sentence(
    kind: str, tokens: str, tmp_path: Path
):
    base = Path(write_base(tmp_path / "base"))
    (base / "config.json").write_text(json.dumps({"model_type": kind}))
    said = f"no model of type {kind} behind AutoModelForCausalLM, so it cannot be trained"
    with pytest.raises(CurateError, match=said):
        train(tokens, str(base), tmp_path / "out")


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_base_of_the_hub_is_named_and_read_by_its_name(
    method: str, tokens: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """From what was downloaded before, as no test asks a server."""
    import huggingface_hub

    from curate.base import hub

    cache = tmp_path / "cache"
    place = cache / "models--some-lab--small"
    base = place / "snapshots" / "0123"
    write_vision(base)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0123")
    real = huggingface_hub.snapshot_download

    def local(name: str, **options: Any) -> str:
        return str(real(name, cache_dir=cache, local_files_only=True))

    def silent_hub(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", local)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", silent_hub)
    hub.place.cache_clear()
    out = train(tokens, "some-lab/small", tmp_path / "out", method=method)
    hub.place.cache_clear()
    assert tensors(out).keys() == tensors(base).keys()
    assert read_json(out / "preprocessor_config.json") == {"patch_size": 14}
    if method == "lora":
        named = read_json(out / "adapter" / "adapter_config.json")["base_model_name_or_path"]
        assert named == "some-lab/small"
        assert read_json(out / "adapter" / "generation_config.json")["eos_token_id"] == [EOS, STOP]


def test_what_lies_beside_the_weights_is_fetched_from_the_hub_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    from curate.base import hub
    from trainer.models import model

    asked: list[tuple[str, ...]] = []

    def download(name: str, files: tuple[str, ...], what: str) -> Path:
        asked.append(files)
        return tmp_path

    monkeypatch.setattr(hub, "place", lambda name: name)
    monkeypatch.setattr(hub, "download", download)
    model.fetch(str(tmp_path))  # a folder has everything
    model.fetch("some-lab/small")
    assert len(asked) == 1 and {"processor_config.json", "generation_config.json"} <= {*asked[0]}
