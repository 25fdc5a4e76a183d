"""TOKENS fit the readers of other trainers: their rules, as their code has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from templates import RenderOptions, render, write
from tests.templates_toys import CHATML, byte_level, records, talk, template

datasets = pytest.importorskip("datasets")
ROWS = (talk("hi", "ok 😀", "so", "fine"), talk("a", "b"))
# What their collators make tensors of; any other column is one that they cannot pad.
PADDED = {"input_ids", "labels", "attention_mask"}


def axolotl(dataset: Any) -> str:
    """Axolotl 0.19, utils/data/wrappers.py: `_is_dataset_already_tokenized`, and its collator.

    Otherwise it looks for a prompt strategy of the dataset's `type`, which there is not.
    """
    if not (isinstance(dataset, datasets.Dataset) and set(dataset.features) >= PADDED):
        return "not read as tokens"
    return padded(dataset)


def llama_factory(dataset: Any) -> str:
    """LLaMA-Factory 0.9.5, data/loader.py: `load_from_disk(tokenized_path)`, as it is.

    Its trainer keeps every column (`remove_unused_columns=False`), and the collator pads them all.
    """
    return padded(dataset)


def trl(dataset: Any) -> str:
    """TRL 1.16, trainer/sft_trainer.py: `_prepare_dataset` and `DataCollatorForLanguageModeling`.

    With `input_ids` nothing is rendered or tokenized; `labels` are taken as they are unless a mask
    of its own is there. Labels stand under their own token: the model shifts them.
    """
    names = set(dataset.column_names)
    if not {"input_ids", "labels"} <= names or names & {"completion_mask", "assistant_masks"}:
        return "labels would be made anew"
    for row in dataset:
        own = zip(row["input_ids"], row["labels"], strict=True)
        if any(label not in (-100, token) for token, label in own):
            return "labels are not under their tokens"
    return "takes it"


def padded(dataset: Any) -> str:
    """transformers' `DataCollatorForSeq2Seq`: pads lists of numbers, `labels` with -100."""
    kinds = dataset.features.items()
    if strange := [name for name, kind in kinds if name not in PADDED or not is_of_ints(kind)]:
        return f"cannot pad {', '.join(strange)}"
    uneven = any(len({len(values) for values in row.values()}) > 1 for row in dataset)
    return "rows of uneven columns" if uneven else "takes it"


def is_of_ints(kind: Any) -> bool:
    return str(getattr(getattr(kind, "feature", None), "dtype", "")).startswith("int")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Any:
    done = render(records(*ROWS), template(CHATML), byte_level(), RenderOptions())
    return load(write(done, tmp_path_factory.mktemp("made") / "tokens"))


def load(folder: Path) -> Any:
    return datasets.load_from_disk(str(folder))


@pytest.mark.parametrize("reader", [axolotl, llama_factory, trl])
def test_a_reader_takes_tokens_as_they_are(dataset: Any, reader: Any) -> None:
    assert reader(dataset) == "takes it"


@pytest.mark.parametrize(
    ("reader", "change", "answer"),
    [
        (axolotl, lambda rows: rows.remove_columns("attention_mask"), "not read as tokens"),
        (axolotl, lambda rows: rows.add_column("id", ["a", "b"]), "cannot pad id"),
        (llama_factory, lambda rows: rows.add_column("row", [0, 1]), "cannot pad row"),
        (trl, lambda rows: rows.remove_columns("labels"), "labels would be made anew"),
        (
            trl,
            lambda rows: rows.map(lambda row: {"labels": [*row["labels"][1:], -100]}),
            "labels are not under their tokens",
        ),
        (
            llama_factory,
            lambda rows: rows.map(lambda row: {"labels": row["labels"][1:]}),
            "rows of uneven columns",
        ),
    ],
)
def test_what_a_reader_cannot_take_breaks_its_rule(
    dataset: Any, reader: Any, change: Any, answer: str
) -> None:
    assert reader(change(dataset)) == answer


def test_the_collator_of_two_of_them_makes_tensors_of_every_column(dataset: Any) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch")
    known = byte_level()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=known.backend, pad_token="<|eos|>"
    )
    batch = transformers.DataCollatorForSeq2Seq(tokenizer)([dataset[0], dataset[1]])
    assert set(batch) == PADDED
    assert batch["attention_mask"].sum(1).tolist() == [len(row["input_ids"]) for row in dataset]
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()
