from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import trainer
from curate.base.errors import CurateError
from tests.trainer_toys import (
    ASK,
    START,
    STOP,
    VOCABULARY,
    Row,
    reversed_pairs,
    silent,
    toy_model,
    write_model,
    write_tokenizer,
    write_tokens,
)
from trainer import TrainConfig
from trainer.models import adapt, vocabulary
from trainer.models.vocabulary import Vocabulary

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")

CALL, DONE = VOCABULARY, VOCABULARY + 1
ADDED = {"<call>": CALL, "<done>": DONE}
NAMED = {"special": {"eos_token": "</s>"}, "eos_ids": [STOP], "added": ADDED, "functional": ADDED}


def calls(count: int) -> list[Row]:
    """Rows whose answer is two added tokens."""
    rows: list[Row] = []
    for number in range(count):
        word, other = 4 + number % 28, 4 + (3 * number + 7) % 28
        prompt, answer = [START, word, other, ASK], [CALL, DONE, STOP]
        rows.append((f"{number:016x}", prompt + answer, [-100] * len(prompt) + answer))
    return rows


def base(folder: Path, **changes: Any) -> str:
    model = write_model(folder, **changes)
    write_tokenizer(folder)
    return model


@pytest.mark.parametrize(("method", "tied"), [("full", True), ("lora", False)])
def test_added_tokens_are_learnt_saved_and_generated(method: str, tied: bool, tmp_path: Path):
    """What a user does after: plain transformers loads both, and the model says the tokens."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = base(tmp_path / "base", tie_word_embeddings=tied)
    done = trainer.train(
        TrainConfig(
            tokens=write_tokens(tmp_path / "tokens", calls(32), tokenizer=NAMED),
            model=model,
            out=str(tmp_path / "tuned"),
            method=method,
            num_train_epochs=4 if method == "full" else 8,
            batch_size=8,
            learning_rate=0.03,
            prompts=1,
            choose="last",
        ),
        silent,
    )
    tuned = AutoModelForCausalLM.from_pretrained(done.out)
    words = AutoTokenizer.from_pretrained(done.out)
    assert words.convert_tokens_to_ids(["<call>", "<done>"]) == [CALL, DONE]
    for layer in (tuned.get_input_embeddings(), tuned.get_output_embeddings()):
        assert layer.weight.shape == (VOCABULARY + 2, 16)
    assert (tuned.get_input_embeddings().weight is tuned.get_output_embeddings().weight) == tied
    asked = torch.tensor([[START, 5, 22, ASK]])
    said = tuned.generate(
        asked, attention_mask=torch.ones_like(asked), max_new_tokens=4, pad_token_id=0
    )
    assert words.decode(said[0, 4:]) == "<call> <done> </s>"
    # Text that spells the token is the token.
    assert words("w9 <call> w8").input_ids == [9, CALL, 8]


@pytest.mark.parametrize("method", ["lora", "dora", "tokens"])
@pytest.mark.parametrize("tied", [False, True])
def test_with_adapters_only_the_rows_of_added_tokens_move(tied: bool, method: str):
    import torch

    model = toy_model(tie_word_embeddings=tied)
    vocabulary.grow(model, Vocabulary(VOCABULARY + 2, ADDED, ADDED))
    before = model.get_input_embeddings().weight.detach().clone()
    config = TrainConfig(tokens="t", model="m", out="o", method=method)
    adapted = adapt.attach(model, config, [CALL, DONE])
    trained = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    rows = [name for name in trained if "lora_" not in name]
    assert method != "tokens" or rows == trained
    assert len(rows) == (1 if tied else 2) and all(
        "trainable_tokens_delta" in name for name in rows
    )
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if name in rows:
                weight += 1.0
    merged = adapt.merged(adapted, config)
    for layer in (merged.get_input_embeddings(), merged.get_output_embeddings()):
        moved = layer.weight.detach()
        assert moved.shape[0] == VOCABULARY + 2
    assert (merged.get_input_embeddings().weight is merged.get_output_embeddings().weight) == tied
    after = merged.get_input_embeddings().weight.detach()
    assert torch.equal(after[:VOCABULARY], before[:VOCABULARY])
    assert torch.allclose(after[VOCABULARY:], before[VOCABULARY:] + 1.0)


def test_new_rows_begin_as_the_mean_of_the_rows_before_them():
    import torch

    model = toy_model()
    means = [
        layer.weight.detach().mean(dim=0)
        for layer in (model.get_input_embeddings(), model.get_output_embeddings())
    ]
    vocabulary.grow(model, Vocabulary(VOCABULARY + 2, ADDED, ADDED))
    assert model.config.vocab_size == VOCABULARY + 2
    for layer, mean in zip(
        (model.get_input_embeddings(), model.get_output_embeddings()), means, strict=True
    ):
        assert torch.allclose(layer.weight[CALL], mean, atol=1e-6)
        assert torch.equal(layer.weight[CALL], layer.weight[DONE])


def test_a_padded_embedding_matrix_is_not_grown():
    words = vocabulary.needed({"tokenizer": {"added": {"<call>": 30}}}, VOCABULARY, Path("t"))
    assert words.size == VOCABULARY
    model = toy_model()
    vocabulary.grow(model, words)
    assert model.get_input_embeddings().weight.shape[0] == VOCABULARY


def test_ids_that_leave_a_gap_are_refused():
    with pytest.raises(
        CurateError, match="have ids 40 to 40, but the model's vocabulary ends at 31"
    ):
        vocabulary.needed({"tokenizer": {"added": {"<call>": 40}}}, VOCABULARY, Path("t"))


def test_a_tokenizer_that_gives_another_id_is_refused(tmp_path: Path):
    from transformers import AutoTokenizer

    write_tokenizer(tmp_path)
    words = Vocabulary(VOCABULARY + 1, {"<call>": VOCABULARY}, {"<call>": VOCABULARY, "w9": 8})
    with pytest.raises(CurateError, match="gives the added token 'w9' the id 9, the rows have 8"):
        vocabulary.extend(AutoTokenizer.from_pretrained(tmp_path), words, "base")


def test_a_method_that_cannot_train_the_rows_says_which_can():
    config = TrainConfig(tokens="t", model="m", out="o", method="ia3")
    with pytest.raises(CurateError, match="methods that can are full, tokens, lora, rslora, dora"):
        adapt.attach(toy_model(), config, [CALL])


def test_the_gate_compares_the_sizes_of_the_vocabularies(tmp_path: Path):
    """Rows rendered with a larger vocabulary than the tokenizer beside the model has."""
    model = base(tmp_path / "base")
    named = {"special": {}, "eos_ids": [], "vocabulary": VOCABULARY + 7}
    tokens = write_tokens(tmp_path / "tokens", reversed_pairs(8), tokenizer=named)
    config = TrainConfig(tokens=tokens, model=model, out=str(tmp_path / "out"))
    with pytest.raises(CurateError, match="39 tokens in the rows' vocabulary, 32 in the model's"):
        trainer.train(config, silent)
