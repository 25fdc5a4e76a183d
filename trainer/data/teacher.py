"""LOGITS: a teacher's distributions at every target of token rows, in a folder.

Of each target the `top` likeliest words and their log probabilities are kept, and that of all
other words together, at one temperature. `part-NNNNN.npy` hold them in the order of the rows, each
a table with a line a target; they are mapped, so a run takes no more memory than its steps need.
`vocabulary.json` are the words by id, `manifest.json` says whose distributions of which rows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.base.errors import CurateError
from curate.base.example_sources import CONTENT_HASHES
from curate.base.folder import MANIFEST, check_untouched, is_changed, read_manifest
from trainer.data.rows import IGNORED, Floats, Ints, Rows, shift
from trainer.data.tokens import Tokens

MAKER = "curate teacher"
WORDS = "vocabulary.json"
_AGAIN = "run curate teacher again"
_LINES = 1 << 16  # lines of a part that are checked at a time
# Of the columns of TOKENS, those that decide what a teacher is asked.
_ASKED = ("input_ids", "labels")
# How probabilities are stored: 11 bits of precision down to e^-65504. bfloat16 has 8: benchmarks/
# distil.py prints what either changes.
STORED = np.float16


def line_type(top: int, vocabulary: int) -> np.dtype[Any]:
    """What is stored of a target: the words by falling probability, ln p of each, and of the rest.

    >>> line_type(50, 49_152).itemsize
    202
    """
    ids = np.uint16 if vocabulary <= 1 << 16 else np.uint32
    return np.dtype([("ids", ids, (top,)), ("log_probs", STORED, (top,)), ("rest", STORED)])


def asked_hashes(tokens: Tokens) -> dict[str, str]:
    """What of TOKENS decides what a teacher is asked, as hashes by column."""
    hashes = tokens.manifest[CONTENT_HASHES]
    return {name: str(hashes[name]) for name in _ASKED}


def answer_places(rows: Rows) -> Ints:
    """For each position of the rows the number of its target among all, -1 where there is none.

    Targets are those of the labels, whatever else a run trains (prompts, say).
    """
    is_target = shift(rows.labels, rows.offsets, IGNORED) != IGNORED
    return np.where(is_target, np.cumsum(is_target) - 1, -1)


def part_name(number: int) -> str:
    """The file of a part."""
    return f"part-{number:05}.npy"


def words_hash(words: Sequence[str | None] | None) -> str | None:
    """The hash of a vocabulary, by which a tokenizer is known again."""
    return None if words is None else hashlib.sha256(json.dumps(words).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class StoredLogits:
    """A folder that `curate teacher` wrote.

    `words` are the tokens by id, None where the teacher had no tokenizer, and `vocabulary` how many
    ids its distributions are over. `starts` are the numbers of the parts' first targets, and last
    that of all targets.
    """

    folder: Path
    manifest: Mapping[str, Any]
    words: tuple[str | None, ...] | None
    starts: Ints

    @property
    def vocabulary(self) -> int:
        """How many ids the distributions are over."""
        return int(self.manifest["vocabulary"])

    @property
    def temperature(self) -> float:
        """What logits were divided by."""
        return float(self.manifest["temperature"])

    @property
    def top(self) -> int:
        """How many words are kept of each target."""
        return int(self.manifest["top"])

    @property
    def teacher(self) -> str:
        """The name that the teacher was called by."""
        return str(self.manifest["teacher"]["name"])

    @cached_property
    def identity(self) -> str:
        """The hash of the manifest, which has those of all files."""
        return hashlib.sha256((self.folder / MANIFEST).read_bytes()).hexdigest()

    @cached_property
    def _parts(self) -> list[NDArray[Any]]:
        names = map(part_name, range(len(self.starts) - 1))
        return [np.load(self.folder / name, mmap_mode="r") for name in names]

    def read(self, targets: Ints) -> tuple[Ints, Floats]:
        """Words [targets, top] and log probabilities [targets, top + 1] of targets by number.

        Probabilities are made to add up to 1 again, as rounding took some of it. Without other
        words (`top` is all of them) there is no last column.
        """
        lines = np.empty(len(targets), line_type(self.top, self.vocabulary))
        part_of = np.searchsorted(self.starts, targets, side="right") - 1
        for part in np.unique(part_of).tolist():
            own = part_of == part
            lines[own] = self._parts[part][targets[own] - self.starts[part]]
        log_probs: Floats = lines["log_probs"].astype(np.float32)
        if self.top < self.vocabulary:
            log_probs = np.column_stack([log_probs, lines["rest"].astype(np.float32)])
        total = np.log(np.exp(log_probs.astype(np.float64)).sum(axis=1, keepdims=True))
        return lines["ids"].astype(np.int64), (log_probs - total).astype(np.float32)


def is_logits(name: str) -> bool:
    """Whether a folder says that `curate teacher` wrote it."""
    return read_manifest(Path(name)).get("maker") == MAKER


def open_logits(name: str, tokens: Tokens) -> StoredLogits:
    """The folder `name`, which holds a teacher's distributions of these very rows.

    Raises `CurateError` for distributions of other rows, and for files that are missing, damaged,
    or of another shape than the manifest says.
    """
    folder = Path(name)
    manifest = read_manifest(folder)
    try:
        asked = dict(manifest["tokens"]["content_sha256"])
        targets = [int(part["targets"]) for part in manifest["parts"]]
        top, vocabulary = int(manifest["top"]), int(manifest["vocabulary"])
        float(manifest["temperature"]), str(manifest["teacher"]["name"])
    except (KeyError, TypeError, ValueError) as error:
        raise CurateError(
            f"{folder / MANIFEST}: lacks what curate teacher writes ({error}); {_AGAIN}"
        ) from error
    if is_changed(manifest):
        raise CurateError(
            f"{folder / MANIFEST}: is not the manifest that curate teacher wrote: something in it "
            f"was changed by hand; {_AGAIN}"
        )
    if asked != asked_hashes(tokens):
        raise CurateError(
            f"{folder}: holds distributions of other rows than those of {tokens.folder} (ids or "
            f"labels differ); run curate teacher on {tokens.folder}"
        )
    if sum(targets) != int(tokens.rows.target_counts.sum()):
        raise CurateError(
            f"{folder}: holds {sum(targets):,} targets, and the rows have "
            f"{int(tokens.rows.target_counts.sum()):,}; {_AGAIN}"
        )
    shape = line_type(top, vocabulary)
    for number, count in enumerate(targets):
        _check_part(folder / part_name(number), count, shape, vocabulary)
    return StoredLogits(folder, manifest, _read_words(folder), np.cumsum([0, *targets]))


def _check_part(path: Path, targets: int, shape: np.dtype[Any], vocabulary: int) -> None:
    """Raise `CurateError` for a part that is gone, was changed, or holds no distributions."""
    check_untouched(path, MAKER)
    try:
        held = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise CurateError(f"{path}: cannot be read ({error}); {_AGAIN}") from error
    if held.shape != (targets,) or held.dtype != shape:
        raise CurateError(
            f"{path}: holds {held.dtype} of shape {held.shape}, expected {shape} of shape "
            f"({targets},); {_AGAIN}"
        )
    for start in range(0, targets, _LINES):  # a piece at a time, as the file may be large
        lines = held[start : start + _LINES]
        numbers = np.column_stack([lines["log_probs"], lines["rest"]])
        # Rounded, the probability of a word may be a little more than 1.
        if int(lines["ids"].max()) >= vocabulary or not (numbers <= 0.01).all():
            raise CurateError(
                f"{path}: holds what is no distribution over {vocabulary:,} words; {_AGAIN}"
            )


def _read_words(folder: Path) -> tuple[str | None, ...] | None:
    path = folder / WORDS
    check_untouched(path, MAKER)
    try:
        words = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CurateError(f"{path}: is no JSON ({error}); {_AGAIN}") from error
    if words is None:
        return None
    if not isinstance(words, list) or not all(isinstance(each, str | None) for each in words):
        raise CurateError(f"{path}: is no list of words; {_AGAIN}")
    return tuple(words)
