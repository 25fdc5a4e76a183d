"""Reward models: tokenizer and model agree on padding; padded batches score as single rows do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from tests.checkpoint_toys import (
    EOS,
    STOP,
    change_json,
    read_json,
    train,
    write_base,
    write_words,
)
from tests.trainer_toys import ASK, START, with_masks, write_columns, write_model
from trainer.models import vocabulary
from trainer.models.vocabulary import PAD, Vocabulary

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning"),
]
TEXTS = ["<s> w5 ? w7 <|end|>", "<s> w5 w8 w9 w4 ? w9 w9 w9 <|end|>", "<s> w11 ? w9 <|end|>"]


def write_pairs(folder: Path, ends: tuple[int, ...] = (STOP,)) -> str:
    """Pairs in which the word 7 is better than 9; row by row they end with one of `ends`."""
    sides: list[list[list[int]]] = [[], []]
    for number in range(32):
        prompt, end = [START, 4 + number % 20, ASK], ends[number % len(ends)]
        sides[0].append([*prompt, 7, end])
        sides[1].append([*prompt, 9, 9, end])
    labels = [[[-100] * 3 + ids[3:] for ids in side] for side in sides]
    columns = {
        "input_ids": sides[0],
        "labels": labels[0],
        "rejected_input_ids": sides[1],
        "rejected_labels": labels[1],
    }
    ids = [f"{number:016x}" for number in range(32)]
    stop = {"ids": sorted(set(ends)), "strings": []}
    return write_columns(folder, ids, with_masks(columns), stop=stop, card=None)


def write_gpt2(folder: Path) -> str:
    """Learnt positions, and one token for the start, the end and what is unknown."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = GPT2Config(
            vocab_size=32, n_embd=16, n_layer=2, n_head=2, n_positions=48, eos_token_id=EOS
        )
        GPT2LMHeadModel(config).save_pretrained(folder)
    same = {"bos_token": "</s>", "unk_token": "</s>", "extra_special_tokens": []}
    write_words(folder, **same)
    return str(folder)


def write_opt(folder: Path) -> str:
    """Learnt positions that begin with the second."""
    import torch
    from transformers import OPTConfig, OPTForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {
            "hidden_size": 16,
            "ffn_dim": 16,
            "num_hidden_layers": 2,
            "word_embed_proj_dim": 16,
        }
        ids = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2}
        config = OPTConfig(
            vocab_size=32, num_attention_heads=2, max_position_embeddings=48, **sizes, **ids
        )
        OPTForCausalLM(config).save_pretrained(folder)
    write_words(folder)
    return str(folder)


def write_llama(folder: Path) -> str:
    return write_base(folder)


def write_padded_by_its_stop(folder: Path) -> str:
    """Tokenizer and config pad with the token that ends answers."""
    write_model(folder, vocab_size=32, pad_token_id=STOP)
    write_words(folder, pad_token="<|end|>")
    return str(folder)


def write_padded_left(folder: Path) -> str:
    write_model(folder, vocab_size=32)
    write_words(folder, pad_token="<unk>", padding_side="left")
    return str(folder)


def scores(model: Any, words: Any, texts: list[str]) -> list[float]:
    import torch

    batch = words(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        return [float(score) for score in model(**batch).logits[:, 0]]


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize(
    ("make", "pad"),
    [
        (write_llama, "<unk>"),
        (write_gpt2, PAD),
        (write_opt, "<s>"),
        (write_padded_by_its_stop, "<unk>"),
        (write_padded_left, "<unk>"),
    ],
)
def test_a_padded_batch_has_the_scores_of_single_rows(
    make: Callable[[Path], str], pad: str, method: str, tmp_path: Path
):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    # GPT-2 ends rows with either of its two control tokens, and so with all it could pad with.
    ends = (EOS, STOP) if make is write_gpt2 else (STOP,)
    base = make(tmp_path / "base")
    pairs = write_pairs(tmp_path / "tokens", ends)
    out = train(pairs, base, tmp_path / "out", objective="reward", method=method)
    model = AutoModelForSequenceClassification.from_pretrained(out).eval()
    words = AutoTokenizer.from_pretrained(out)
    assert words.pad_token == pad and words.padding_side == "right"
    assert words.pad_token_id == model.config.pad_token_id not in ends
    alone = [scores(model, words, [text])[0] for text in TEXTS]
    assert scores(model, words, TEXTS) == pytest.approx(alone, abs=1e-5)
    assert scores(model, words, TEXTS[::-1]) == pytest.approx(alone[::-1], abs=1e-5)
    assert len({round(score, 4) for score in alone}) == 3


def test_an_adapter_of_a_reward_model_scores_as_the_checkpoint(tmp_path: Path):
    from peft import AutoPeftModelForSequenceClassification
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    base = write_gpt2(tmp_path / "base")
    pairs = write_pairs(tmp_path / "tokens", (EOS, STOP))
    out = train(pairs, base, tmp_path / "out", objective="reward", method="lora")
    words = AutoTokenizer.from_pretrained(out / "adapter")
    tuned = AutoPeftModelForSequenceClassification.from_pretrained(out / "adapter", num_labels=1)
    tuned.config.pad_token_id = words.pad_token_id
    whole = AutoModelForSequenceClassification.from_pretrained(out).eval()
    assert scores(tuned.eval(), words, TEXTS) == pytest.approx(
        scores(whole, words, TEXTS), abs=1e-4
    )


def test_words_are_read_as_before_where_a_token_is_added_to_pad(tmp_path: Path):
    from transformers import AutoTokenizer

    base = write_gpt2(tmp_path / "base")
    pairs = write_pairs(tmp_path / "tokens", (EOS, STOP))
    log: list[str] = []
    out = train(pairs, base, tmp_path / "out", log.append, objective="reward")
    before, after = AutoTokenizer.from_pretrained(base), AutoTokenizer.from_pretrained(out)
    for text in TEXTS:
        assert before(text).input_ids == after(text).input_ids
    assert len(after) == len(before) + 1
    assert any("<|pad|> (32)" in line for line in log)


def test_an_ordinary_word_is_never_padding(tmp_path: Path):
    """GPT-2's config may name id 0, which is a word: it would become a token of its own."""
    from transformers import AutoTokenizer

    base = Path(write_base(tmp_path / "base"))
    change_json(base / "config.json", lambda content: content.update(pad_token_id=12))
    pairs = write_pairs(tmp_path / "tokens")
    out = train(pairs, str(base), tmp_path / "out", objective="reward")
    assert read_json(out / "config.json")["pad_token_id"] == 0
    assert AutoTokenizer.from_pretrained(out).pad_token == "<unk>"


def test_the_head_that_the_score_replaces_is_named(tmp_path: Path):
    log: list[str] = []
    pairs = write_pairs(tmp_path / "tokens")
    base = write_base(tmp_path / "base")
    train(pairs, base, tmp_path / "out", log.append, objective="reward")
    assert f"{base}: the score stands in place of lm_head.weight" in log


def test_no_room_for_a_token_to_pad_with_is_an_error():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({"a": 0, "b": 1, PAD: 2}, unk_token="a"))
    words = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="a")
    with pytest.raises(CurateError, match="rows end with every token that could be padding"):
        vocabulary.with_padding(Vocabulary(3, {}, {}), words, [0, None], {0})
    assert vocabulary.with_padding(Vocabulary(3, {}, {}), words, [1, 0], {2}).padding == 0
