"""What a suite is measured on: held-out conversations, TOKENS folders and plain texts."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections import Counter
from os import PathLike, fspath
from pathlib import Path

import numpy as np
import polars as pl

from curate.base.errors import CurateError
from curate.base.folder import sha256
from curate.base.log import Log
from curate.base.schema import RECORDS
from curate.renders import read_source
from curate.sources import DETECTED, ReadOptions
from filters.common.tasks import REST, tasks
from trainer.data.tokens import Tokens, load_tokens


@dataclasses.dataclass(frozen=True)
class SuiteFile:
    """One file as it was read, before any model saw it; one of the last three is there.

    `read` rows were read, of which `rejects` could not be, by reason; `chosen` are measured.
    `groups` has the task group of each record.
    """

    name: str
    sha256: str
    read: int
    rejects: dict[str, int]
    chosen: int
    groups: tuple[str, ...] = ()
    records: pl.DataFrame | None = None
    tokens: Tokens | None = None
    text: str | None = None

    @property
    def kind(self) -> str:
        """What the file holds, in a word."""
        if self.text is not None:
            return "text"
        return "conversations" if self.tokens is None else "tokens"


def read_file(
    source: str | PathLike[str],
    max_rows: int | None,
    seed: int,
    tell: Log,
    how: ReadOptions = DETECTED,
) -> SuiteFile:
    """A file of conversations in any shape, a RUN, a TOKENS folder, or a text (`.txt`).

    `how` is for conversations. At most `max_rows` rows are taken, drawn by the seed. Raises
    `CurateError` where there is nothing to measure.
    """
    name, place = fspath(source), Path(source)
    if not place.exists():
        raise CurateError(f"{name}: there is no such file or folder to measure on")
    if (place / "dataset_info.json").is_file():  # also one of another version, which says so
        return _tokens(name, max_rows, seed)
    if place.suffix.lower() == ".txt":
        return _text(name)
    return _conversations(name, max_rows, seed, tell, how)


def _tokens(name: str, max_rows: int | None, seed: int) -> SuiteFile:
    tokens = load_tokens(name)
    if tokens.rejected is not None:
        raise CurateError(
            f"{name}: holds pairs of answers; render the rows without --pairs to measure on them"
        )
    rows = len(tokens.rows)
    if not rows:
        raise CurateError(f"{name}: holds no rows, so there is nothing to measure on")
    chosen = rows if max_rows is None else min(max_rows, rows)
    return SuiteFile(name, tokens.manifest_hash, rows, {}, chosen, tokens=tokens)


def _text(name: str) -> SuiteFile:
    raw = Path(name).read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CurateError(f"{name}: is not UTF-8 (byte {error.start})") from error
    if not text.strip():
        raise CurateError(f"{name}: is empty, so there is nothing to measure on")
    return SuiteFile(name, sha256(Path(name)), 1, {}, 1, text=text)


def _conversations(
    name: str, max_rows: int | None, seed: int, tell: Log, how: ReadOptions
) -> SuiteFile:
    dump = read_source(name, tell, how)
    digests = [file.sha256 for file in dump.files]
    joined = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    reasons = Counter(str(reason).split(":")[0] for _, _, reason, _ in dump.iter_rejects())
    rows = picked(dump.height, max_rows, seed)
    records = dump.records if rows is None else dump.records[rows]
    return SuiteFile(
        name,
        digests[0] if len(digests) == 1 else joined,
        dump.read,
        dict(sorted(reasons.items())),
        records.height,
        groups_of(records),
        records,
    )


def picked(rows: int, max_rows: int | None, seed: int) -> list[int] | None:
    """Which rows are measured, in their order; None for all.

    >>> picked(5, 3, 0)
    [1, 2, 4]
    """
    if max_rows is None or rows <= max_rows:
        return None
    return sorted(random.Random(f"{seed} rows").sample(range(rows), max_rows))


def groups_of(records: pl.DataFrame) -> tuple[str, ...]:
    """The task group of each record: the first word of its request, "" where it has none."""
    names = tasks(records)["task"].cast(pl.String).fill_null("")
    return tuple("" if name == REST else name for name in names.to_list())


def records_of(prompts: list[str]) -> pl.DataFrame:
    """Prompts as records with an answer in its place, so that they are rendered like all others."""
    from curate import sources

    rows = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "-"}]}
        for text in prompts
    ]
    records = sources.read_rows(rows).records
    assert records.height == len(prompts) and set(records.columns) == set(RECORDS)
    return records


def reference_texts(source: str | PathLike[str], tell: Log) -> tuple[list[str], tuple[str, ...]]:
    """The last answer of each row of a reference, and its task group."""
    records = read_source(source, tell).records
    last = pl.element().filter(pl.element().struct.field("role") == "assistant").last()
    texts = records.select(pl.col("messages").list.eval(last.struct.field("content")).list.first())
    return [text or "" for text in texts.to_series().to_list()], groups_of(records)


def row_numbers(file: SuiteFile, max_rows: int | None, seed: int) -> np.ndarray:
    """The rows of a TOKENS folder that are measured."""
    assert file.tokens is not None
    count = len(file.tokens.rows)
    rows = picked(count, max_rows, seed)
    return np.arange(count) if rows is None else np.array(rows, np.int64)
