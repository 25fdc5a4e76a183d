"""A two-layer model and hand-made token rows, small enough to train within a test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate.base.example_sources import CONTENT_HASHES, EXAMPLE_SOURCES, content_hashes
from trainer.data.rows import Rows, make_rows

START, STOP, ASK = 1, 2, 3
VOCABULARY, POSITIONS = 32, 48

Row = tuple[str, list[int], list[int]]


def reversed_pairs(count: int, first: int = 0) -> list[Row]:
    """Rows whose answer is the prompt's two ids in the other order, then the stop."""
    rows: list[Row] = []
    for number in range(first, first + count):
        one, two = 4 + number % 28, 4 + (number // 28 * 5 + number) % 28
        prompt, answer = [START, one, two, ASK], [two, one, STOP]
        rows.append((f"{number:016x}", prompt + answer, [-100] * len(prompt) + answer))
    return rows


def write_tokens(folder: Path, rows: Sequence[Row], **manifest: Any) -> str:
    """A TOKENS folder of rows by hand; `manifest` is what its manifest has besides, or instead."""
    columns = with_masks(
        {"input_ids": [row[1] for row in rows], "labels": [row[2] for row in rows]}
    )
    return write_columns(folder, [row[0] for row in rows], columns, **manifest)


def with_masks(columns: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """The columns with a mask of ones for each column of ids."""
    masks = {
        name.replace("input_ids", "attention_mask"): [[1] * len(ids) for ids in lists]
        for name, lists in columns.items()
        if name.endswith("input_ids")
    }
    return {**columns, **masks}


def write_columns(
    folder: Path, ids: Sequence[str | None], columns: Mapping[str, Sequence[Any]], **manifest: Any
) -> str:
    """A TOKENS folder whose dataset has these very columns; `ids` name its rows."""
    import datasets

    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(dict(columns)).save_to_disk(str(folder))
    write_toy_sources(folder, ids)
    content = {
        "stop": {"ids": [STOP], "strings": []},
        "template": {"name": "toy", "origin": "test", "hash": "1" * 64, "source": "{{ messages }}"},
        "tokenizer": {"name": "toy", "hash": "0" * 64},
        "counts": {"rows": len(ids)},
        CONTENT_HASHES: toy_hashes(columns),
        **manifest,
    }
    (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    return str(folder)


def toy_hashes(columns: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """The hashes of the columns of lists of whole numbers; others are refused for what they are."""
    lists = {}
    for name, rows in columns.items():
        values = [value for row in rows if isinstance(row, list) for value in row]
        if name != "weights" and all(isinstance(value, int) for value in values):
            lengths = [len(row) if isinstance(row, list) else 0 for row in rows]
            lists[name] = np.array(lengths), np.array(values, np.int64)
    return content_hashes(lists)


def write_toy_sources(folder: Path, ids: Sequence[str | None]) -> None:
    """`sources.parquet`: each row is a record of its own, from one file."""
    about = {
        "id": list(ids),
        "row": list(range(len(ids))),
        "turns": [[1]] * len(ids),
        "source": ["toy.jsonl"] * len(ids),
    }
    pl.DataFrame(about, schema=EXAMPLE_SOURCES).write_parquet(folder / "sources.parquet")


def toy_model(seed: int = 0, **changes: Any) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        settings = {
            "vocab_size": VOCABULARY,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": POSITIONS,
            "bos_token_id": START,
            "eos_token_id": STOP,
            "initializer_range": 0.2,
        }
        return LlamaForCausalLM(LlamaConfig(**{**settings, **changes})).eval()


def write_model(folder: Path, **changes: Any) -> str:
    from transformers.utils import logging

    logging.disable_progress_bar()
    toy_model(**changes).save_pretrained(folder)
    return str(folder)


def write_tokenizer(folder: Path) -> None:
    """A tokenizer whose token `n` is the word `wn`, beside the model in `folder`."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<unk>": 0, "<s>": START, "</s>": STOP, "?": ASK}
    words |= {f"w{number}": number for number in range(4, VOCABULARY)}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def silent(line: str) -> None:
    """A log that nobody reads."""


# Documents with one to two turns, of lengths that share no batch size.
DOCUMENTS = [
    ([1, 5, 6, 3, 9, 8, 2], [-100, -100, -100, -100, 9, 8, 2]),
    ([1, 7, 3, 10, 2], [-100, -100, -100, 10, 2]),
    ([1, 4, 3, 11, 12, 13, 2, 3, 14, 15, 2], [-100] * 3 + [11, 12, 13, 2, -100, 14, 15, 2]),
    ([1, 4, 2], [-100, -100, 2]),
]
ALL = np.arange(len(DOCUMENTS))


def documents() -> Rows:
    names = [str(number) for number in range(len(DOCUMENTS))]
    return make_rows(names, [row[0] for row in DOCUMENTS], [row[1] for row in DOCUMENTS])


def threads_left() -> list[str]:
    """Threads of a group of processes that still run, where the system names them.

    Were one to let go of a tensor while Python ends, the process would abort.
    """
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]
