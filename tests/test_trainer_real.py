"""A real pretrained model of 260,000 parameters on real role-play rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import trainer
from tests.trainer_toys import Row, silent, write_tokens
from trainer import TrainConfig

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")

START, STOP = 1, 2
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}"
    "User: {{ message.content }}\nAssistant:{% else %} {{ message.content }}{{ eos_token }}"
    "{% endif %}{% endfor %}"
)


def short_rows(raw: Path, model: Path, count: int, longest: int) -> list[Row]:
    """The first rows of at most `longest` tokens, the answer and its stop trained."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    rows: list[Row] = []
    for number, raw_row in enumerate(json.loads(raw.read_text("utf-8"))):
        prompt = [START, *encode(f"User: {raw_row['instruction']}\nAssistant:")]
        answer = [*encode(f" {raw_row['response']}"), STOP]
        if len(prompt) + len(answer) <= longest:
            rows.append((f"{number:016x}", prompt + answer, [-100] * len(prompt) + answer))
        if len(rows) == count:
            break
    return rows


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_real_model_learns_from_real_rows_and_generates(
    method: str, test_data: Path, tmp_path: Path
):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    base = test_data / "models" / "stories260k-hf"
    rows = short_rows(test_data / "raw" / "gpteacher_roleplay.json", base, count=12, longest=280)
    assert len(rows) == 12
    tokens = write_tokens(tmp_path / "tokens", rows, template={"source": TEMPLATE})
    run = trainer.train(
        TrainConfig(
            tokens=tokens,
            model=str(base),
            out=str(tmp_path / "tuned"),
            method=method,
            num_train_epochs=2,
            batch_size=4,
            learning_rate=2e-3,
            held_out=0.1,
            prompts=1,
            choose="loss",
        ),
        silent,
    )
    assert run.before is not None and run.after is not None
    assert run.after.loss < run.before.loss - 0.1
    (sample,) = run.samples
    assert sample.prompt is not None and sample.prompt.endswith("\nAssistant:")

    # What a user does next: the saved tokenizer's own template gives the prompt that was trained.
    tokenizer = AutoTokenizer.from_pretrained(run.out)
    question = sample.prompt.removeprefix("<s> User: ").removesuffix("\nAssistant:")
    asked = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    encoded = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids
    assert tuple(encoded[0].tolist()) == sample.prompt_ids
    model = AutoModelForCausalLM.from_pretrained(run.out)
    generated = model.generate(
        encoded, attention_mask=torch.ones_like(encoded), max_new_tokens=128, pad_token_id=0
    )
    answer = tuple(generated[0, encoded.shape[1] :].tolist())
    assert tuple(token for token in answer if token != STOP) == sample.after.ids
