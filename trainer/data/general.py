"""General text: what a model knew before, read whole, every token but the first a target."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from curate.base.errors import CurateError
from trainer.data.lengths import within
from trainer.data.rows import IGNORED, Ints, Rows, make_rows, train_prompts
from trainer.data.tokens import Limits, load_tokens

# Of text whose loss is watched so many tokens are read, in rows of at most so many.
_WATCHED_TOKENS = 32_768
WATCHED_LENGTH = 1024


def watched(path: Path, tokenizer: Any | None, limits: Limits) -> tuple[Rows, Ints]:
    """General text whose loss is watched, and the rows of it that are read.

    Raises `CurateError` as `read_general` does.
    """
    rows = read_general(path, tokenizer, limits, WATCHED_LENGTH)
    return rows, within(rows, np.arange(len(rows)), _WATCHED_TOKENS)


def read_general(path: Path, tokenizer: Any | None, limits: Limits, longest: int) -> Rows:
    """Rows of plain text for a language model's own loss, of at most `longest` tokens.

    `path` is a folder of token rows, whose masks are ignored, a `.jsonl` file with a `text` in
    each line that is not empty, or a text file with an empty line between documents. A document
    longer than `longest`, or than the model has positions, becomes several rows. Raises
    `CurateError` for text that cannot be read, and for ids that the model does not have.
    """
    longest = min(longest, limits.positions or longest)
    if path.is_dir():
        given = load_tokens(str(path)).rows
        documents = [given.input_ids[given.row(row)].tolist() for row in range(len(given))]
    else:
        documents = [_encode(tokenizer, path, text) for text in _texts(path)]
    pieces = [
        (f"{path.name}:{number}", ids[at : at + longest])
        for number, ids in enumerate(documents, start=1)
        for at in range(0, len(ids), longest)
    ]
    pieces = [(name, ids) for name, ids in pieces if len(ids) > 1]
    if not pieces:
        raise CurateError(f"{path}: holds no text of two tokens or more")
    names, ids = zip(*pieces, strict=True)
    rows = make_rows(names, ids, [[IGNORED] * len(each) for each in ids])
    largest = int(np.max(rows.input_ids))
    if largest >= limits.vocabulary:
        raise CurateError(
            f"{path}: its largest id is {largest}, but the model has {limits.vocabulary}"
        )
    return train_prompts(rows, 1.0)


def _texts(path: Path) -> Iterator[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise CurateError(f"{path}: cannot be read as text: {error}") from error
    if path.suffix != ".jsonl":
        yield from (part for part in text.split("\n\n") if part.strip())
        return
    # Not at what else may end a line, such as U+2028, which may stand in a JSON string as it is.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _document(f"{path}:{number}", line)


def _document(where: str, line: str) -> str:
    """The text of a JSON line."""
    try:
        text = json.loads(line)["text"]
    except (ValueError, KeyError, TypeError, RecursionError):
        text = None
    if not isinstance(text, str):
        raise CurateError(f"{where}: expected a JSON object with a text, got {line[:60]!r}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CurateError(
            f"{where}: its text has half a character ({text[error.start]!r}), which is no text; "
            "leave the line out or write it anew"
        ) from error
    return text


def _encode(tokenizer: Any | None, path: Path, text: str) -> list[int]:
    """The ids of a document as in pretraining: with the tokenizer's own start, and its end."""
    if tokenizer is None:
        raise CurateError(
            f"{path}: text needs a tokenizer beside the model, which has none; give token rows"
        )
    ids: list[int] = list(tokenizer(text)["input_ids"])
    end = tokenizer.eos_token_id
    return ids if end is None or ids[-1:] == [end] else [*ids, end]
