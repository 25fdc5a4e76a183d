"""From written rows to batches: masks hold under padding, packing, and any size of batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers

from templates import render, write
from templates.options import RenderOptions
from templates.tokenizer.tokenizer import Tokenizer, make_tokenizer
from tests.templates_toys import byte_level, records, talk, template
from trainer.data.batches import pad
from trainer.data.rows import Rows
from trainer.data.tokens import load_tokens
from trainer.packing import pack

EOS = "{% for m in messages %}{{ m.role + ': ' + m.content + eos_token }}{% endfor %}" + (
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
ROWS = [talk("hi", "ok"), talk("hi", "the answer is yes", "so", "no"), talk("a cat", "so 😀")]
ANSWERS = [[" ok"], [" the answer is yes", " no"], [" so 😀"]]


@pytest.fixture(scope="module")
def known() -> Tokenizer:
    """A tokenizer that pads with its end of text, as GPT-2's and Llama's are made to."""
    backend = tokenizers.Tokenizer.from_str(byte_level().backend.to_str())
    special = {"eos_token": "<|eos|>", "pad_token": "<|eos|>"}
    return make_tokenizer(backend, special, name="pads with eos")


@pytest.fixture(scope="module")
def folder(known: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("datasets")
    done = render(records(*ROWS), template(EOS), known, RenderOptions())
    return write(done, tmp_path_factory.mktemp("made") / "tokens")


@pytest.fixture(scope="module")
def rows(folder: Path) -> Rows:
    return load_tokens(str(folder)).rows


def expected(known: Tokenizer, row: int) -> list[int]:
    texts = [f"{answer}<|eos|>" for answer in ANSWERS[row]]
    return [t for text in texts for t in known.backend.encode(text, add_special_tokens=False).ids]


def test_padding_is_masked_and_the_stops_are_not_where_both_are_one_token(
    known: Tokenizer, rows: Rows
) -> None:
    batch = pad(rows, np.arange(3))
    width = batch.input_ids.shape[1]
    for row in range(3):
        mine = batch.row_of == row
        assert batch.targets[mine].tolist() == expected(known, row)
        assert (batch.at[mine] % width < rows.lengths[row] - 1).all()  # none predicts padding


@pytest.mark.parametrize("side", ["left", "right"])
def test_others_pad_our_labels_by_position_on_either_side(
    known: Tokenizer, rows: Rows, folder: Path, side: str
) -> None:
    transformers = pytest.importorskip("transformers")
    datasets = pytest.importorskip("datasets")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer.from_str(known.backend.to_str()),
        padding_side=side,
        **known.special,
    )
    collate = transformers.DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=-100)
    written = datasets.load_from_disk(str(folder))
    made: dict[str, Any] = collate([written[n] for n in range(3)])
    for row, labels in enumerate(made["labels"].tolist()):
        assert [label for label in labels if label != -100] == expected(known, row)
        stops = sum(label == known.eos_ids[0] for label in labels)
        assert stops == len(ANSWERS[row])
    sizes = made["attention_mask"].sum(1).tolist()
    assert sizes == rows.lengths.tolist()


def test_packed_documents_predict_nothing_of_each_other_and_keep_their_masks(
    known: Tokenizer, rows: Rows
) -> None:
    [batch] = pack(rows, np.arange(3), 1000)
    assert batch.documents is not None
    flat, firsts = batch.input_ids.ravel(), np.cumsum([0, *batch.documents])[:-1]
    assert (flat[batch.at + 1] == batch.targets).all()  # each target is the token that follows
    assert not set(batch.at + 1) & set(firsts.tolist())  # and none is another document's first
    for place, row in enumerate(batch.rows.tolist()):
        assert batch.targets[batch.row_of == place].tolist() == expected(known, row)


def test_rows_come_out_the_same_in_batches_of_any_size(
    known: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    module = importlib.import_module("templates.render")
    given = records(*ROWS, talk("hi", ""), talk("<|eos|>", "x <|eos|>"))
    whole = render(given, template(EOS), known)
    for size in (1, 2):
        monkeypatch.setattr(module, "BATCH", size)
        again = render(given, template(EOS), known)
        assert again.examples.equals(whole.examples) and again.refused.equals(whole.refused)
        assert again.counts == whole.counts
