from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

pytest.importorskip("torch", reason="the reward model needs torch")
pytest.importorskip("transformers", reason="the reward model needs transformers")

from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.reward.filter import Reward

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system turn') }}"
    "{% endif %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
)


def save_tokenizer(folder: Path, template: str | None) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|user|>", "<|assistant|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(["what is two and two", "two and two is four"], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>")
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def save_model(
    folder: Path, *, template: str | None = TEMPLATE, outputs: int = 1, head: bool = True
) -> str:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification
    from transformers.utils import logging

    config = LlamaConfig(
        vocab_size=save_tokenizer(folder, template),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        num_labels=outputs,
        pad_token_id=None,
        initializer_range=0.5,
    )
    torch.manual_seed(0)
    kind = LlamaForSequenceClassification if head else LlamaForCausalLM
    logging.disable_progress_bar()
    kind(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("reward"))


def by_hand(folder: str, prompt: str, response: str) -> float:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = f"<|user|>{prompt}<|end|><|assistant|>{response}<|end|>"
    loaded = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        return float(loaded(**tokenizer(text, return_tensors="pt")).logits[0, 0])


def test_a_score_is_what_the_model_says_of_its_own_chat_template(
    conversation: Any, model: str
) -> None:
    pairs = [("what is two and two", "four"), ("hi", "two and two is four"), ("hi", "two")]
    found = Reward(model=model).measure(conversation(*pairs))
    expected = [by_hand(model, *pair) for pair in pairs]
    assert found["score"].to_list() == expected
    assert len(set(expected)) == 3
    assert found["problem"].null_count() == 3


def test_scores_do_not_depend_on_the_other_rows(conversation: Any, model: str) -> None:
    answers = ["two", "one", "four", "two and two", "it is four", "six", "a b c"]
    records = conversation(*(("hi", answer) for answer in answers))
    step = Reward(model=model)
    together = step.measure(records)
    alone = pl.concat([step.measure(records[row : row + 1]) for row in range(len(answers))])
    assert alone.equals(together)
    assert step.measure(records[::-1]).equals(together[::-1])


def test_the_best_rows_by_a_model_are_kept(conversation: Any, model: str) -> None:
    records = conversation(*(("hi", answer) for answer in ("two", "one", "four", "six")))
    found = judge(Reward(model=model, top_k=1, calibrate="none"), records).verdicts
    scores = Reward(model=model).measure(records)["score"]
    assert found["keep"].arg_true().to_list() == [scores.arg_max()]


def test_what_the_model_cannot_read_is_a_drop_that_says_why(conversation: Any, model: str) -> None:
    system = [
        {"role": "system", "content": "be short"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "two"},
    ]
    records = conversation(("hi", "two"), ("hi", "q" * 200), ("hi", "x"), ("hi", "x"))
    messages = records["messages"].to_list()
    messages[2], messages[3] = system, [system[1]]
    columns = {"messages": messages}
    records = conversation(*(("hi", "x"),) * 4, **columns)
    found = judge(Reward(model=model), records).verdicts
    assert found["reason"].to_list() == [None, *["not_scorable"] * 3]
    assert found["evidence"][1].endswith("tokens, and the model reads 64")
    assert found["evidence"][2] == "the chat template raises an error: no system turn"
    assert found["evidence"][3] == "no assistant message"


def test_if_the_model_can_read_no_row_that_is_an_error(conversation: Any, model: str) -> None:
    with pytest.raises(CurateError, match=r"none of 1 rows has a score .* the model reads 64\)"):
        judge(Reward(model=model), conversation(("hi", "q" * 200)))


def test_tool_calls_and_tools_reach_the_template(conversation: Any, tmp_path: Path) -> None:
    template = (
        "{{ tools[0].function.name }}{% for m in messages %}<|{{ m.role }}|>"
        "{% for call in m.tool_calls or [] %}{{ call.function.arguments.n }}{% endfor %}"
        "{{ m.content }}<|end|>{% endfor %}"
    )
    folder = save_model(tmp_path, template=template)
    call = json.dumps([{"name": "add", "arguments": {"n": "four"}}])
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": call},
    ]
    tools = json.dumps([{"type": "function", "function": {"name": "add", "parameters": {}}}])
    records = conversation(("hi", "x"), messages=[turns], tools=[tools])
    found = Reward(model=folder).measure(records)
    assert found["problem"].to_list() == [None]
    same = Reward(model=folder).measure(conversation(("hi", "four"), tools=[tools]))
    assert found["score"].to_list() == same["score"].to_list()


def test_a_model_without_a_chat_template_is_refused_when_the_recipe_is_read(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="has no chat template, so how its conversations look"):
        Reward(model=save_model(tmp_path, template=None))


def test_a_model_without_a_trained_head_is_refused(tmp_path: Path, conversation: Any) -> None:
    step = Reward(model=save_model(tmp_path, head=False))
    with pytest.raises(CurateError, match=r"reward: .* weights lack 1 .* \(first score\.weight\)"):
        step.measure(conversation(("hi", "x")))


def test_a_model_with_several_outputs_is_refused(tmp_path: Path, conversation: Any) -> None:
    step = Reward(model=save_model(tmp_path, outputs=3))
    with pytest.raises(CurateError, match="has 3 outputs; expected a reward model with 1"):
        step.measure(conversation(("hi", "x")))


def test_a_folder_that_does_not_load_is_refused(tmp_path: Path, conversation: Any) -> None:
    folder = save_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CurateError, match=r"reward: .* its model cannot be loaded: OSError"):
        Reward(model=folder).measure(conversation(("hi", "x")))


def test_without_torch_the_error_says_what_to_install(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.base.extras.find_spec", lambda name: None)
    with pytest.raises(CurateError, match=r'pip install "curate-sft\[train\]"'):
        Reward(model=model)


def test_a_models_scores_are_kept_until_the_model_changes(tmp_path: Path) -> None:
    step = Reward(model=save_model(tmp_path))
    assert step.cached
    before = step.fingerprint
    assert "fingerprint" in step.measured_by
    assert step.fingerprint == before
    config = tmp_path / "config.json"
    config.write_text(config.read_text() + "\n")
    assert step.fingerprint != before


def test_nothing_is_printed_while_a_model_loads_and_scores(
    conversation: Any, model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Reward(model=model).measure(conversation(("hi", "two"), ("hi", "q" * 200)))
    assert capfd.readouterr() == ("", "")
