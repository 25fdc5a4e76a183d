"""Bases with one oddity each, rows whose answer is quickly learnt, and a run of a few steps."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trainer
from tests.trainer_toys import ASK, START, Row, silent, write_model, write_tokens
from trainer import TrainConfig

WORDS = 32
EOS, STOP = 2, 30  # what the base ends texts with, and what the rows end answers with
END = "<|end|>"
TEMPLATE = (
    "{% for message in messages %}<s> {{ message.content }} ? {% endfor %}"
    "{% if not add_generation_prompt %} <|end|>{% endif %}"
)
ENDING: dict[str, Any] = {"text": END, "id": STOP, "source": "template", "tokens": []}


def write_words(folder: Path, **changes: Any) -> None:
    """A tokenizer whose token `n` is the word `wn`, with `<|end|>` that is not its `eos_token`."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<unk>": 0, "<s>": START, "</s>": EOS, "?": ASK, END: STOP, "<|user|>": 31}
    words |= {f"w{number}": number for number in range(4, 30)}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    more = {"extra_special_tokens": [END, "<|user|>"]}
    PreTrainedTokenizerFast(
        tokenizer_object=backend, **{**named, **more, **changes}
    ).save_pretrained(folder)


def answers(count: int, ending: tuple[int, ...] = (STOP,)) -> list[Row]:
    """Rows whose answer is always the same two words and how it ends."""
    rows: list[Row] = []
    for number in range(count):
        prompt = [START, 4 + number % 26, 4 + (7 * number + 3) % 26, ASK]
        answer = [7, 6, *ending]
        rows.append((f"{number:016x}", prompt + answer, [-100] * len(prompt) + answer))
    return rows


def write_answers(folder: Path, count: int = 32, **manifest: Any) -> str:
    """A TOKENS folder of such rows, which end with a token that the base does not stop at."""
    about = {
        "stop": {"ids": [EOS, STOP], "strings": []},
        "template": {"name": "toy", "origin": "test", "hash": "1" * 64, "source": TEMPLATE},
        "tokenizer": {"name": "toy", "special": {"eos_token": "</s>"}, "eos_ids": [EOS]},
        "card": {"ends_with": ENDING},
    }
    return write_tokens(folder, answers(count), **{**about, **manifest})


def write_letters(folder: Path) -> dict[str, int]:
    """A tokenizer of letters, as byte-level ones are, beside a model; the ids of its letters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {"<unk>": 0, "<s>": START, "</s>": EOS, "?": ASK}
    words |= {letter: 4 + number for number, letter in enumerate(letters) if letter != "?"}
    write_model(folder, vocab_size=4 + len(letters))
    backend = Tokenizer(models.BPE(words, [], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return words


def write_text_answers(folder: Path, letters: dict[str, int]) -> str:
    """Rows of letters whose answers end in `##`, which is no single token."""
    about = {
        "stop": {"ids": [EOS], "strings": ["##"]},
        "tokenizer": {"name": "toy", "special": {"eos_token": "</s>"}, "eos_ids": [EOS]},
        "card": {"ends_with": {"text": "##", "id": None, "source": "template", "tokens": []}},
    }
    rows: list[Row] = []
    for number in range(32):
        prompt = [START, letters["abcdefghij"[number % 10]], letters["klmnop"[number % 6]], ASK]
        answer = [letters[letter] for letter in "ok##"]
        rows.append((f"{number:016x}", prompt + answer, [-100] * len(prompt) + answer))
    return write_tokens(folder, rows, **about)


def write_base(folder: Path, **changes: Any) -> str:
    """A llama of two layers with that tokenizer; it stops at `</s>` alone."""
    model = write_model(folder, **{"vocab_size": WORDS, **changes})
    write_words(folder)
    return model


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = read_json(path)
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def tensors(folder: Path) -> dict[str, Any]:
    """Everything that the weights of a folder hold, by name."""
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return found


def change_tensors(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the weights of a base that has one file of them."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    found = load_file(path)
    change(found)
    save_file(found, path, metadata={"format": "pt"})


def train(tokens: str, model: str, out: Path, log: Any = silent, **fields: Any) -> Path:
    """A run of two steps, unless `fields` say more; the folder it leaves."""
    settings: dict[str, Any] = {
        "num_train_epochs": 1,
        "batch_size": 16,
        "learning_rate": 0.01,
        "held_out": 0.0,
        "prompts": 0,
        "choose": "last",
        "residual_dropout": 0.0,
    }
    given = {**settings, "tokens": tokens, "model": model, "out": str(out), **fields}
    return trainer.train(TrainConfig(**given), log).out


def runs(
    tokens: str,
    base: str,
    home: pytest.TempPathFactory,
    fields_of: Callable[[str], dict[str, Any]],
) -> Callable[[str], Path]:
    """The folder of a run with a method, which is trained once for all who ask."""

    @functools.cache
    def run(method: str) -> Path:
        out = home.mktemp("tuned") / method
        return train(tokens, base, out, method=method, **fields_of(method))

    return run


def outside_adapter(base: str, folder: Path, rotation: bool = False, **settings: Any) -> Path:
    """An adapter that peft alone makes and saves, with random changes in it."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    net = AutoModelForCausalLM.from_pretrained(base)
    named = {"task_type": "CAUSAL_LM", "target_modules": ["q_proj", "down_proj"], **settings}
    config = peft.OFTConfig(**named) if rotation else peft.LoraConfig(**{"r": 4, **named})
    adapted = peft.get_peft_model(net, config)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if weight.requires_grad and "lora_" in name:
                weight.add_(0.1 * torch.randn_like(weight))
    adapted.save_pretrained(folder)
    return folder
