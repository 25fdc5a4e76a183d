"""A checkpoint as a GGUF file: read back it computes the same, and stops at the trained stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.base.errors import CurateError
from curate.cli import main
from tests.checkpoint_toys import (
    END,
    EOS,
    change_json,
    change_tensors,
    read_json,
    train,
    write_base,
)
from tests.trainer_toys import ASK, START, Row, write_tokens

torch: Any = pytest.importorskip("torch")
gguf: Any = pytest.importorskip("gguf")
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
WORDS = 264
SIZES: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": START,
    "eos_token_id": EOS,
    "pad_token_id": None,
}
# Transformers reads no width of a head for Qwen 3, and takes it to be 128.
OF: dict[str, dict[str, Any]] = {
    "llama": {"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}},
    "wide heads": {"head_dim": 16},
    "tied": {"tie_word_embeddings": True},
    "qwen2": {"use_sliding_window": False},
    "qwen2 tied": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 128},
    "qwen3 tied": {"head_dim": 128, "tie_word_embeddings": True},
}


def write_model(folder: Path, name: str = "llama", **changes: Any) -> Path:
    """A small model of Llama, Qwen 2 or Qwen 3 whose every weight is random, and its tokenizer."""
    import transformers

    family = next((each for each in ("qwen2", "qwen3") if name.startswith(each)), "llama")
    title = family.capitalize()
    settings = {**SIZES, **OF.get(name, {}), **changes}
    config = getattr(transformers, f"{title}Config")(**settings)
    torch.manual_seed(0)
    model = getattr(transformers, f"{title}ForCausalLM")(config)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            weight.normal_(0.0, 0.2).add_(1.0 if "norm" in key else 0.0)
    model.save_pretrained(folder)
    write_letters(folder)
    return folder


def write_letters(folder: Path, cut: Any = None, **changes: Any) -> None:
    """A byte-level tokenizer with an end of answers that is not its `eos_token`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = [letter for letter in sorted(pre_tokenizers.ByteLevel.alphabet()) if letter != "?"]
    words = {"<unk>": 0, "<s>": START, "</s>": EOS, "?": ASK}
    words |= {letter: 4 + number for number, letter in enumerate(letters)}
    words["ok"] = 259
    backend = Tokenizer(models.BPE(words, [("o", "k")]))
    backend.pre_tokenizer = cut or pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    more = {"extra_special_tokens": [END], "chat_template": "{{ bos_token }}{{ messages }}"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **{**named, **more, **changes})
    tokenizer.add_tokens(["<tool>"])
    tokenizer.save_pretrained(folder)


def logits(model: Any) -> Any:
    ids = torch.tensor([[START, 70, 71, 72, 259, 80, ASK, 90]])
    with torch.no_grad():
        return model(input_ids=ids).logits.float()


def reread(file: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )


def fields(file: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(file).fields.items()}


def export(folder: Path, **options: Any) -> Path:
    out = folder.parent / f"{folder.name}.gguf"
    curate.export_gguf(folder, out=out, **options)
    return out


@pytest.mark.parametrize("name", OF)
@pytest.mark.parametrize("number", ["f32", "f16", "bf16"])
def test_what_is_read_back_gives_the_logits_of_the_checkpoint(
    name: str, number: str, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    folder = write_model(tmp_path / "model", name)
    file = export(folder, number_format=number)
    model = AutoModelForCausalLM.from_pretrained(folder)
    kinds = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.copy_(weight.to(kinds[number]).float())
    wanted, got = logits(model), logits(reread(file))
    assert float((got - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())
    kind = {"f32": 0, "f16": 1, "bf16": 32}[number]
    assert fields(file)["general.file_type"] == kind
    kinds_written = {tensor.tensor_type.name for tensor in gguf.GGUFReader(file).tensors}
    assert kinds_written == {"F32", number.upper()}


def test_the_format_is_that_of_the_checkpoint_unless_another_is_named(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = write_model(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    assert fields(export(folder))["general.file_type"] == 32
    assert fields(export(folder, number_format="f32", force=True))["general.file_type"] == 0


def test_a_head_is_written_only_where_it_is_no_embedding(tmp_path: Path) -> None:
    named = {}
    for name in ("llama", "tied"):
        file = export(write_model(tmp_path / name, name))
        named[name] = {tensor.name for tensor in gguf.GGUFReader(file).tensors}
    assert named["llama"] - named["tied"] == {"output.weight"}


def test_sizes_are_those_of_the_model(tmp_path: Path) -> None:
    found = fields(export(write_model(tmp_path / "model", "wide heads")))
    assert found["general.architecture"] == "llama" and found["general.type"] == "model"
    wanted = {
        "block_count": 2,
        "context_length": 64,
        "embedding_length": 32,
        "feed_forward_length": 40,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.key_length": 16,
        "attention.value_length": 16,
        "rope.dimension_count": 16,
        "vocab_size": WORDS,
    }
    assert {name: found[f"llama.{name}"] for name in wanted} == wanted
    assert found["llama.rope.freq_base"] == 10000.0


def test_the_frequencies_of_llama_3_are_divided_as_transformers_does(tmp_path: Path) -> None:
    scaled = {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
    folder = write_model(tmp_path / "model", rope_parameters=scaled, head_dim=16)
    file = export(folder)
    tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(file).tensors}
    factors = torch.tensor(tensors["rope_freqs.weight"])
    from transformers import AutoModelForCausalLM

    wanted = AutoModelForCausalLM.from_pretrained(folder).model.rotary_emb.inv_freq
    plain = 1.0 / 10000.0 ** (torch.arange(0, 16, 2) / 16)
    assert torch.allclose(plain / factors, wanted, rtol=1e-6)
    assert float(factors.max()) == pytest.approx(8.0) and float(factors.min()) == pytest.approx(1.0)
    assert not any("scaling" in name for name in fields(file))


def test_linear_and_yarn_scaling_are_settings(tmp_path: Path) -> None:
    linear = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
    found = fields(export(write_model(tmp_path / "linear", rope_parameters=linear)))
    assert found["llama.rope.scaling.type"] == "linear"
    assert found["llama.rope.scaling.factor"] == 4.0
    yarn = {**linear, "rope_type": "yarn", "original_max_position_embeddings": 16}
    found = fields(export(write_model(tmp_path / "yarn", "qwen2", rope_parameters=yarn)))
    assert found["qwen2.rope.scaling.type"] == "yarn"
    assert found["qwen2.rope.scaling.original_context_length"] == 16


def test_the_tokenizer_is_in_it(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    found = fields(export(folder))
    texts, kinds = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]
    assert len(texts) == len(kinds) == WORDS
    last = [END, "<tool>", "[PAD262]", "[PAD263]"]
    assert texts[:4] == ["<unk>", "<s>", "</s>", "?"]
    assert texts[259:] == ["ok", *last]
    kind = gguf.TokenType
    assert kinds[259:] == [kind.NORMAL, kind.CONTROL, kind.USER_DEFINED, kind.UNUSED, kind.UNUSED]
    assert kinds[:3] == [kind.CONTROL] * 3 and kinds[3] == kind.NORMAL
    assert found["tokenizer.ggml.merges"] == ["o k"]
    assert (found["tokenizer.ggml.model"], found["tokenizer.ggml.pre"]) == ("gpt2", "gpt-2")
    assert found["tokenizer.ggml.bos_token_id"] == START
    assert found["tokenizer.ggml.eos_token_id"] == EOS
    assert found["tokenizer.chat_template"] == "{{ bos_token }}{{ messages }}"
    assert found["tokenizer.ggml.add_bos_token"] is False


def test_a_tokenizer_that_begins_texts_with_a_token_says_so(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, processors

    folder = write_model(tmp_path / "model")
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", START)])
    backend.save(str(folder / "tokenizer.json"))
    assert fields(export(folder))["tokenizer.ggml.add_bos_token"] is True


QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ([{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel"}], "smollm"),
        (
            [
                {"type": "Split", "pattern": {"Regex": QWEN}},
                {"type": "ByteLevel", "use_regex": False},
            ],
            "qwen2",
        ),
        (
            [
                {"type": "Split", "pattern": {"Regex": QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|", 1)}},
                {"type": "ByteLevel", "use_regex": False},
            ],
            "llama-bpe",
        ),
        ([{"type": "Split", "pattern": {"Regex": QWEN}}, {"type": "ByteLevel"}], None),
        ([{"type": "Digits", "individual_digits": False}, {"type": "ByteLevel"}], None),
        ([{"type": "ByteLevel", "add_prefix_space": True}], None),
        (
            [{"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True}],
            None,
        ),
    ],
)
def test_how_text_is_cut_has_a_name_or_is_refused(
    steps: list[dict[str, Any]], name: str | None, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "model")
    whole = {"add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    split = {"behavior": "Isolated", "invert": False}
    given = [
        {**({"ByteLevel": whole, "Split": split}.get(one["type"], {})), **one} for one in steps
    ]
    cut = {"type": "Sequence", "pretokenizers": given}
    change_json(folder / "tokenizer.json", lambda content: content.update(pre_tokenizer=cut))
    if name is None:
        with pytest.raises(CurateError, match=r"cuts text in a way that is not known.*convert_hf"):
            export(folder)
    else:
        assert fields(export(folder))["tokenizer.ggml.pre"] == name


def test_the_tokenizer_of_llama_3_is_known(test_data: Path) -> None:
    from trainer.after.gguf import words

    words.check(test_data / "tokenizers" / "llama3", 200_000)


def answers() -> list[Row]:
    rows: list[Row] = []
    for number in range(32):
        prompt = [START, 70 + number % 20, 90 + number % 15, ASK]
        answer = [259, 80, 260]
        rows.append((f"{number:016x}", prompt + answer, [-100] * len(prompt) + answer))
    return rows


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = tmp_path_factory.mktemp("tuned")
    ending = {"text": END, "id": 260, "source": "template", "tokens": []}
    tokens = write_tokens(
        home / "tokens",
        answers(),
        stop={"ids": [EOS, 260], "strings": []},
        tokenizer={"name": "toy", "special": {"eos_token": "</s>"}, "eos_ids": [EOS]},
        template={"name": "toy", "origin": "test", "hash": "1" * 64, "source": "{{ messages }} ?"},
        card={"ends_with": ending},
    )
    base = write_model(home / "base", initializer_range=0.02)
    made: dict[str, Path] = {}

    def run(method: str) -> Path:
        if method not in made:
            few = {"num_train_epochs": 8, "batch_size": 8, "learning_rate": 0.02}
            made[method] = train(tokens, str(base), home / method, method=method, **few)
        return made[method]

    return run


@pytest.mark.parametrize("method", ["full", "lora"])
def test_it_stops_where_training_taught_it_to(method: str, tuned: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    file = tmp_path / "tuned.gguf"
    curate.export_gguf(tuned(method), out=file)
    found = fields(file)
    assert found["tokenizer.ggml.eos_token_id"] == 260
    assert found["tokenizer.ggml.eot_token_id"] == EOS
    assert found["tokenizer.chat_template"] == "{{ messages }} ?"
    words = AutoTokenizer.from_pretrained(tmp_path, gguf_file=file.name)
    asked = torch.tensor([[START, 75, 95, ASK]])
    said = reread(file).generate(
        input_ids=asked,
        attention_mask=torch.ones_like(asked),
        max_new_tokens=9,
        do_sample=False,
        eos_token_id=words.eos_token_id,
        pad_token_id=0,
    )
    assert said[0, 4:].tolist() == [259, 80, 260]


def refused(source: Path, out: Path, **options: Any) -> str:
    with pytest.raises(CurateError) as error:
        curate.export_gguf(source, out=out, **options)
    assert not [path for path in out.parent.iterdir() if "unfinished" in path.name]
    return str(error.value)


def test_an_adapter_alone_is_sent_to_merge(tuned: Any, tmp_path: Path) -> None:
    for folder in (
        tuned("lora") / "adapter",
        tuned("lora") / "epochs" / "epoch-8",
        tuned("prompt"),
    ):
        assert "curate merge" in refused(folder, tmp_path / "a.gguf")


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("llama", {"attention_bias": True}, "sets attention_bias"),
        ("llama", {"mlp_bias": True}, "sets mlp_bias"),
        ("llama", {"hidden_act": "gelu"}, "activation is gelu"),
        (
            "qwen2",
            {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0},
            "sets use_sliding_window",
        ),
        ("qwen3", {"attention_bias": True}, "sets attention_bias"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
            "scaled by dynamic",
        ),
        (
            "qwen2",
            {
                "rope_parameters": {
                    "rope_type": "yarn",
                    "rope_theta": 1e4,
                    "factor": 2.0,
                    "beta_fast": 16,
                    "original_max_position_embeddings": 16,
                }
            },
            "sets beta_fast",
        ),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(
    name: str, changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    message = refused(write_model(tmp_path / "model", name, **changes), tmp_path / "a.gguf")
    assert said in message and message.endswith("try llama.cpp's convert_hf_to_gguf.py")


def test_other_architectures_and_tokenizers_are_refused(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    small = {"n_embd": 8, "n_layer": 1, "n_head": 2, "vocab_size": WORDS, "n_positions": 16}
    GPT2LMHeadModel(GPT2Config(**small)).save_pretrained(tmp_path / "gpt2")
    message = refused(tmp_path / "gpt2", tmp_path / "a.gguf")
    assert "its class is GPT2LMHeadModel" in message and "convert_hf_to_gguf.py" in message
    words = Path(write_base(tmp_path / "words"))
    assert "no byte-level BPE but WordLevel" in refused(words, tmp_path / "a.gguf")
    plain = write_model(tmp_path / "plain")
    (plain / "tokenizer.json").unlink()
    assert "has no tokenizer.json" in refused(plain, tmp_path / "a.gguf")
    small_one = write_model(tmp_path / "small", vocab_size=200)
    assert "has a token 200, and the model has 200 rows" in refused(small_one, tmp_path / "a.gguf")


def test_weights_that_are_none_of_the_model_or_no_numbers_are_refused(tmp_path: Path) -> None:
    more = write_model(tmp_path / "more")
    change_tensors(more, lambda one: one.update({"mtp.0.weight": torch.zeros(2, 2)}))
    assert "mtp.0.weight" in refused(more, tmp_path / "a.gguf")
    less = write_model(tmp_path / "less")
    change_tensors(less, lambda one: one.pop("model.norm.weight"))
    assert "lacks the weights model.norm.weight" in refused(less, tmp_path / "a.gguf")
    large = write_model(tmp_path / "large")
    change_tensors(large, lambda one: one["lm_head.weight"].fill_(1e5))
    assert "f16 cannot hold" in refused(large, tmp_path / "a.gguf", number_format="f16")
    change_tensors(large, lambda one: one["lm_head.weight"].fill_(float("nan")))
    assert "not finite" in refused(large, tmp_path / "a.gguf")


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    file = export(folder)
    first = file.read_bytes()
    assert "is there already; choose another, or" in refused(folder, file)
    curate.export_gguf(folder, out=file, force=True)
    assert file.read_bytes() == first
    (tmp_path / "mine").write_text("mine")
    assert "is no GGUF" in refused(folder, tmp_path / "mine", force=True)
    assert "is a folder" in refused(folder, tmp_path)
    with pytest.raises(CurateError, match="there is no folder"):
        curate.export_gguf(folder, out=tmp_path / "no" / "a.gguf")


def test_stops_without_a_place_are_spoken_of(tmp_path: Path) -> None:
    folder, lines = write_model(tmp_path / "model"), []
    stops = {"eos_token_id": [EOS, 260, 261], "stop_strings": ["##"]}
    (folder / "generation_config.json").write_text(json.dumps(stops))
    curate.export_gguf(folder, out=tmp_path / "a.gguf", log=lines.append)
    assert any("the stops 261 of generation_config.json are not in it" in line for line in lines)
    assert any("give '##' to whatever runs it" in line for line in lines)


def test_the_command_line_takes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = write_model(tmp_path / "model"), tmp_path / "a.gguf"
    asked = ["export", str(folder), "--to", "gguf", "--out", str(out)]
    assert main([*asked, "--number-format", "f16"]) == 0
    assert f"written to {out}: llama, " in capsys.readouterr().out
    assert main([*asked, "--force", "--model", "x"]) == 1
    assert "takes no --model" in capsys.readouterr().err
    assert main(["export", str(folder), "--to", "trl", "--number-format", "f16", "--out", "x"]) == 1
    assert "--number-format is for --to gguf" in capsys.readouterr().err
    monkeypatch.setattr("curate.base.extras.find_spec", lambda name: None)
    assert main([*asked, "--force"]) == 1
    assert 'pip install "curate-sft[gguf]"' in capsys.readouterr().err
    assert read_json(folder / "config.json")["model_type"] == "llama"
