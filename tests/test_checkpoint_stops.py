"""Every folder that can be loaded stops where training taught it to, in whatever loads it."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from tests.checkpoint_toys import (
    END,
    EOS,
    STOP,
    TEMPLATE,
    change_json,
    read_json,
    runs,
    train,
    write_answers,
    write_base,
    write_letters,
    write_text_answers,
)
from tests.trainer_toys import ASK, START, write_tokens
from trainer.models.generation import generation_of, stop_texts_of

ROOT = Path(__file__).resolve().parent.parent
# What peft asks transformers by an old name is not ours to change.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning"),
]
LEARNT: dict[str, Any] = {"num_train_epochs": 8, "batch_size": 8, "learning_rate": 0.03}
# A prompt alone learns slowly.
LEARNT_OF: dict[str, dict[str, Any]] = {
    "full": {**LEARNT, "num_train_epochs": 4},
    "lora": LEARNT,
    "lora-xs": LEARNT,
    "prompt": {**LEARNT, "num_train_epochs": 30, "learning_rate": 0.3},
    "prefix": {**LEARNT, "num_train_epochs": 30, "learning_rate": 0.3},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_base(tmp_path_factory.mktemp("stops") / "base")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_answers(tmp_path_factory.mktemp("stops") / "tokens")


@pytest.fixture(scope="module")
def tuned(base: str, tokens: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a run with a method, run once."""
    return runs(tokens, base, tmp_path_factory, LEARNT_OF.__getitem__)


def generated(model: Any, **options: Any) -> list[int]:
    """What a model says to a question, by its own settings alone."""
    import torch

    asked = torch.tensor([[START, 9, 21, ASK]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ids = model.generate(
            input_ids=asked,
            attention_mask=torch.ones_like(asked),
            max_new_tokens=12,
            do_sample=False,
            pad_token_id=0,
            **options,
        )
    return [int(number) for number in ids[0, asked.shape[1] :]]


@pytest.mark.parametrize("method", ["full", "lora", "lora-xs"])
def test_the_checkpoint_stops_in_plain_transformers(method: str, tuned: Any):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tuned(method))
    assert generated(model) == [7, 6, STOP]
    # And after a text of the base, which is still one of its ends.
    assert model.generation_config.eos_token_id == [EOS, STOP]


def test_each_epoch_of_full_fine_tuning_is_a_checkpoint_that_stops(tuned: Any):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folders = sorted((tuned("full") / "epochs").iterdir())
    assert len(folders) == 3
    for folder in folders:
        model = AutoModelForCausalLM.from_pretrained(folder)
        assert model.generation_config.eos_token_id == [EOS, STOP]
        assert AutoTokenizer.from_pretrained(folder).eos_token == END
    assert generated(model) == [7, 6, STOP]


@pytest.mark.parametrize("place", ["adapter", "epochs/epoch-8"])
def test_adapters_stop_with_the_generation_config_that_lies_beside_them(
    place: str, tuned: Any, base: str
):
    from peft import AutoPeftModelForCausalLM, PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    folder = tuned("lora") / place
    settings = GenerationConfig.from_pretrained(folder)
    for model in (
        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder),
        AutoPeftModelForCausalLM.from_pretrained(folder),
        AutoModelForCausalLM.from_pretrained(folder),
    ):
        assert generated(model, generation_config=settings) == [7, 6, STOP]
    assert AutoTokenizer.from_pretrained(folder).eos_token_id == STOP


def test_the_page_loads_them_so(tuned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = (ROOT / "docs" / "training.md").read_text("utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.M)
    (tmp_path / "CKPT").symlink_to(tuned("lora"))
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    exec(compile(block, "training.md", "exec"), space)
    assert generated(space["model"]) == generated(space["adapted"]) == [7, 6, STOP]
    messages = [{"role": "user", "content": "w9 w21"}]
    asked = space["words"].apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert asked.split() == ["<s>", "w9", "w21", "?"]


@pytest.mark.parametrize("method", ["prompt", "prefix"])
def test_learnt_prompts_stop_with_the_generation_config_beside_them(method: str, tuned: Any):
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer, GenerationConfig

    out = tuned(method)
    for folder in (out, out / "epochs" / "epoch-30"):
        settings = GenerationConfig.from_pretrained(folder)
        assert settings.eos_token_id == [EOS, STOP]
        assert AutoTokenizer.from_pretrained(folder).eos_token_id == STOP
        model = AutoPeftModelForCausalLM.from_pretrained(folder)
        said = generated(model, generation_config=settings)
        assert said[-1] == STOP and len(said) < 12


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_stop_of_plain_text_is_a_stop_string(method: str, tmp_path: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    letters = write_letters(tmp_path / "base")
    tokens = write_text_answers(tmp_path / "tokens", letters)
    out = train(tokens, str(tmp_path / "base"), tmp_path / "out", method=method, **LEARNT)
    model, words = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert words.decode(generated(model, tokenizer=words)) == "ok##"
    # No token ends the answers, so that of the base stays the end of texts.
    assert (words.eos_token_id, model.config.eos_token_id) == (EOS, EOS)
    folders = [out, *([out / "adapter"] if method == "lora" else [])]
    for folder in folders:
        assert read_json(folder / "generation_config.json")["stop_strings"] == ["##"]


def end_for_gguf(folder: Path) -> int:
    """The end of texts as the converter of llama.cpp finds it.

    The tokenizer's `eos_token`, by its id among the added tokens; `config.json` only where the
    tokenizer names none (gguf.SpecialVocab).
    """
    named = read_json(folder / "tokenizer_config.json").get("eos_token")
    text = named["content"] if isinstance(named, dict) else named
    for added in read_json(folder / "tokenizer.json")["added_tokens"]:
        if added["content"] == text:
            return int(added["id"])
    return int(read_json(folder / "config.json")["eos_token_id"])


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_gguf_made_of_the_checkpoint_ends_there_too(method: str, tuned: Any, base: str):
    assert end_for_gguf(Path(base)) == EOS
    assert end_for_gguf(tuned(method)) == STOP
    assert read_json(tuned(method) / "config.json")["eos_token_id"] == STOP


def test_rows_without_a_card_end_where_most_of_them_do(base: str, tmp_path: Path):
    tokens = write_answers(tmp_path / "tokens", card=None)
    out = train(tokens, base, tmp_path / "out")
    assert end_for_gguf(out) == STOP


def test_an_end_that_is_an_ordinary_word_does_not_become_a_token_of_its_own(
    base: str, tmp_path: Path
):
    """Were it the `eos_token`, every text that spells it would be read otherwise."""
    from transformers import AutoTokenizer

    rows = [(name, [*ids[:-1], 8], [*labels[:-1], 8]) for name, ids, labels in word_rows()]
    ending = {"text": "w8", "id": 8, "source": "template", "tokens": []}
    stop = {"ids": [EOS, 8], "strings": []}
    tokens = write_tokens(tmp_path / "tokens", rows, stop=stop, card={"ends_with": ending})
    out = train(tokens, base, tmp_path / "out")
    assert read_json(out / "generation_config.json")["eos_token_id"] == [EOS, 8]
    assert read_json(out / "config.json")["eos_token_id"] == 8
    assert AutoTokenizer.from_pretrained(out).eos_token == "</s>"


def word_rows() -> Any:
    from tests.checkpoint_toys import answers

    return answers(16)


def test_a_template_that_writes_the_end_of_text_writes_the_same_as_in_training(tmp_path: Path):
    """The tokenizer's `eos_token` is another after training, and templates may name it."""
    from transformers import AutoTokenizer

    source = "{{ bos_token }} {{ messages[0].content }} {{ eos_token }} ?"
    template = {"name": "toy", "source": source, "tool_use": f"tools {source}"}
    tokens = write_answers(tmp_path / "tokens", template=template)
    out = train(tokens, write_base(tmp_path / "base"), tmp_path / "out")
    words = AutoTokenizer.from_pretrained(out)
    messages = [{"role": "user", "content": "w5"}]
    assert words.eos_token == END
    assert words.apply_chat_template(messages, tokenize=False) == "<s> w5 </s> ?"
    told = words.apply_chat_template(messages, tokenize=False, chat_template="tool_use")
    assert told == "tools <s> w5 </s> ?"


def test_the_training_template_stands_in_every_folder_and_nowhere_another(tmp_path: Path):
    """A template in `tokenizer_config.json` is read by some before the file beside it."""
    base = Path(write_base(tmp_path / "base"))
    other = {"chat_template": "{{ messages }} another"}
    change_json(base / "tokenizer_config.json", lambda content: content.update(other))
    (base / "processor_config.json").write_text('{"processor_class": "P", "chat_template": "x"}')
    (base / "preprocessor_config.json").write_text('{"image_processor_type": "I", "size": 3}')
    out = train(write_answers(tmp_path / "tokens"), str(base), tmp_path / "out", method="lora")
    for folder in (out, out / "adapter", out / "epochs" / "epoch-1"):
        assert (folder / "chat_template.jinja").read_text() == TEMPLATE
        assert "chat_template" not in read_json(folder / "tokenizer_config.json")
        assert read_json(folder / "processor_config.json") == {"processor_class": "P"}
        assert read_json(folder / "preprocessor_config.json")["size"] == 3


def test_an_adapter_names_its_base_from_wherever_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from peft import AutoPeftModelForCausalLM

    tokens = write_answers(tmp_path / "tokens")
    base = Path(write_base(tmp_path / "here" / "base"))
    change_json(base / "config.json", lambda content: content.update(_name_or_path="some/where"))
    monkeypatch.chdir(tmp_path / "here")
    for method in ("lora", "prompt"):
        out = train(tokens, "base", tmp_path / method, method=method)
        folder = out / "adapter" if method == "lora" else out
        named = read_json(folder / "adapter_config.json")["base_model_name_or_path"]
        assert named == str(base.resolve())
        monkeypatch.chdir(tmp_path)
        AutoPeftModelForCausalLM.from_pretrained(folder)
        monkeypatch.chdir(tmp_path / "here")


def test_a_base_that_names_another_to_be_loaded_in_its_place_is_refused(tmp_path: Path):
    """transformers follows the path in an adapter_config.json, whatever lies beside it."""
    base = Path(write_base(tmp_path / "base"))
    (base / "adapter_config.json").write_text('{"base_model_name_or_path": "/other"}')
    tokens = write_answers(tmp_path / "tokens")
    with pytest.raises(CurateError, match=r"base: has an adapter_config\.json, so transformers"):
        train(tokens, str(base), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", ["lora", "tokens"])
def test_added_tokens_are_in_the_adapter_and_grow_its_base(method: str, tmp_path: Path):
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    added = {"<call>": 32}
    named = {"special": {}, "eos_ids": [EOS], "added": added, "functional": added}
    rows = [
        (name, [*ids[:5], 32, STOP], [*labels[:5], 32, STOP]) for name, ids, labels in word_rows()
    ]
    stop = {"ids": [EOS, STOP], "strings": []}
    tokens = write_tokens(tmp_path / "tokens", rows, stop=stop, tokenizer=named)
    out = train(tokens, write_base(tmp_path / "base"), tmp_path / "out", method=method)
    words = AutoTokenizer.from_pretrained(out / "adapter")
    assert words("w4 <call>").input_ids == [4, 32]
    model = AutoPeftModelForCausalLM.from_pretrained(out / "adapter")
    assert model.get_input_embeddings().weight.shape[0] == 33


@pytest.mark.parametrize("added", [False, True])
def test_a_base_with_more_rows_than_tokens_keeps_them_beside_an_adapter(
    added: bool, tmp_path: Path
):
    """Rows are padded to a multiple of 64, and peft looks at the length of the tokenizer."""
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    base = write_base(tmp_path / "base", vocab_size=64)
    named = {"<call>": 32} if added else {}
    words = {"special": {}, "eos_ids": [EOS], "added": named, "functional": named}
    tokens = write_answers(tmp_path / "tokens", tokenizer=words)
    out = train(tokens, base, tmp_path / "out", method="lora", **LEARNT)
    whole = AutoModelForCausalLM.from_pretrained(out)
    adapted = AutoPeftModelForCausalLM.from_pretrained(out / "adapter")
    assert adapted.get_input_embeddings().weight.shape[0] == 64
    asked = torch.tensor([[START, 9, 21, 32 if added else 8, ASK]])
    with torch.no_grad():
        wanted, got = (model(input_ids=asked).logits for model in (whole, adapted))
    assert got.shape[-1] == 64 and float((got - wanted).abs().max()) < 1e-4


BROKEN = {
    "no JSON": (b"{", "cannot be read as JSON"),
    "no UTF-8": (b"\xff\xfe{}", "cannot be read as JSON"),
    "a list": (b"[1]", "holds no JSON object"),
    "an id that is text": (b'{"eos_token_id": "</s>"}', "expected an id or a list of them"),
    "a truth": (b'{"eos_token_id": [true]}', "expected an id or a list of them"),
    "texts that are numbers": (b'{"stop_strings": [3]}', "expected a list of texts"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_generation_config_that_says_no_stops_is_one_sentence(tmp_path: Path, kind: str):
    content, words = BROKEN[kind]
    (tmp_path / "generation_config.json").write_bytes(content)
    with pytest.raises(CurateError, match=words) as caught:
        generation_of(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "generation_config.json"))


def test_one_text_that_ends_answers_is_one_and_not_its_letters(tmp_path: Path):
    (tmp_path / "generation_config.json").write_text('{"stop_strings": "User:"}')
    assert stop_texts_of(generation_of(tmp_path)) == ["User:"]
