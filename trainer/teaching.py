"""`curate teacher`: a model's distributions at every target of token rows, as a folder LOGITS.

Rows are read part by part, so memory does not grow with them. A finished part is a file beside the
output folder until all are there; a run that was stopped goes on after the last of them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.base.errors import CurateError
from curate.base.extras import require
from curate.base.folder import (
    atomic_folder,
    sha256,
    write_atomic,
    write_manifest,
    writing,
)
from curate.base.places import unfinished
from curate.base.replacing import Kind, check_replaced
from curate.base.terminal import show
from curate.base.version import __version__
from trainer import packing
from trainer.config.groups import LEAST_TEMPERATURE
from trainer.data.batches import batches, pad
from trainer.data.rows import Ints
from trainer.data.teacher import (
    MAKER,
    STORED,
    WORDS,
    answer_places,
    asked_hashes,
    line_type,
    part_name,
    words_hash,
)
from trainer.data.tokens import Tokens, load_tokens
from trainer.evaluation.pace import spoken
from trainer.loss import CHUNK_VALUES, head_is_plain, read_logits
from trainer.models import model, teachers, weights
from trainer.models.attention import prepare
from trainer.models.device import deterministic, device_name, pick_device
from trainer.objectives.divergence import in_buckets, tempered

if TYPE_CHECKING:
    import torch

Log = Callable[[str], None]

# A part holds whole rows, as many as have at most so many bytes of distributions.
PART_BYTES = 64 << 20
_MICRO_TOKENS = 4096  # positions in a forward pass; a longer row has one of its own
_JOB = "job.json"  # in the work folder: what its parts belong to


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What is asked of whom: distributions over `vocabulary` ids at a temperature."""

    tokens: Tokens
    folder: str
    words: teachers.Words | None
    vocabulary: int
    top: int
    temperature: float
    dtype: str
    device: torch.device

    @property
    def line(self) -> np.dtype[Any]:
        """What is stored of a target."""
        return line_type(self.top, self.vocabulary)


@dataclasses.dataclass(frozen=True)
class Logits:
    """What was written to `out`: how many targets, and bytes of distributions."""

    out: Path
    targets: int
    bytes: int


def teach(
    tokens: str,
    name: str,
    out: str,
    *,
    top: int = 50,
    temperature: float = 1.0,
    dtype: str = "float32",
    device: str = "auto",
    force: bool = False,
    log: Log = show,
) -> Logits:
    """Write what the model `name` would say at every target of the rows `tokens`, to `out`.

    Of each target the `top` likeliest words are kept and the probability of all others together.
    The same call gives the same bytes, stopped in between or not, on a CPU with the same versions.
    Raises `CurateError` for rows that the model cannot read or was not rendered for.
    """
    require("a teacher", "train", "torch", "transformers", "datasets")
    rows = load_tokens(tokens)
    lesson = _lesson(rows, name, top, temperature, dtype, device)
    about = _about(lesson, name)
    kind = Kind(MAKER, "distributions", lambda manifest: {"": _settings(manifest)})
    inputs = [tokens, *([name] if Path(name).is_dir() else [])]
    with atomic_folder(out, MAKER, force, inputs) as folder, deterministic():
        if replaced := check_replaced(out, kind, about, force):
            log(replaced)
        parts = _parts(lesson)
        targets = int(rows.rows.target_counts.sum())
        size = targets * lesson.line.itemsize
        log(
            f"{targets:,} targets of {len(rows.rows):,} rows, {top} of {lesson.vocabulary:,} words "
            f"each: {size / 1e6:,.1f} MB in {len(parts)} "
            f"file{'s' if len(parts) > 1 else ''}, {lesson.line.itemsize:,} bytes a target"
        )
        work = _work_folder(Path(out), _job(about, parts), log)
        _write_parts(lesson, name, parts, work, log)
        with writing(out):
            for number in range(len(parts)):
                _link(work / part_name(number), folder / part_name(number))
            text = json.dumps(lesson.words, ensure_ascii=False)
            (folder / WORDS).write_text(text + "\n", encoding="utf-8")
            listed = [
                {"file": part_name(number), "rows": [int(part[0]), int(part[-1]) + 1]}
                | {"targets": int(rows.rows.target_counts[part].sum())}
                for number, part in enumerate(parts)
            ]
            write_manifest(folder, MAKER, {**about, "parts": listed})
    shutil.rmtree(work)
    return Logits(Path(out), targets, size)


def _lesson(
    tokens: Tokens, name: str, top: int, temperature: float, dtype: str, device: str
) -> Lesson:
    """The teacher and what it is asked, checked before anything is loaded or written."""
    if not int(tokens.rows.target_counts.sum()):
        raise CurateError(f"{tokens.folder}: nothing in its rows is trained, so there is no target")
    folder = teachers.fetched(name)
    limits = model.read_limits(folder)
    teachers.check_rows(tokens, limits.vocabulary, limits.positions, name)
    tokenizer = model.read_tokenizer(folder)
    words = teachers.token_texts(tokenizer)
    teachers.check_rendered(tokens, words, name)
    vocabulary = min(limits.vocabulary, limits.vocabulary if words is None else len(words))
    if not 1 <= top <= vocabulary:
        raise CurateError(
            f"top is {top}; expected a number from 1 to {vocabulary:,}, the words of {name}"
        )
    if not LEAST_TEMPERATURE <= temperature <= 100:
        raise CurateError(
            f"temperature is {temperature:g}; expected a number from {LEAST_TEMPERATURE} to 100"
        )
    place = pick_device(device)
    return Lesson(tokens, folder, words, vocabulary, top, float(temperature), dtype, place)


def _about(lesson: Lesson, name: str) -> dict[str, Any]:
    """What the manifest says: of whom, of which rows, and how."""
    asked = asked_hashes(lesson.tokens)
    return {
        "version": __version__,
        "sources": [{"source": str(lesson.tokens.folder), "sha256": asked["input_ids"]}],
        "tokens": {
            "content_sha256": asked,
            "rows": len(lesson.tokens.rows),
            "targets": int(lesson.tokens.rows.target_counts.sum()),
        },
        "teacher": {"name": name, "sha256": weights.weights_hash(lesson.folder)},
        "tokenizer": {
            "tokens": None if lesson.words is None else len(lesson.words),
            "sha256": words_hash(lesson.words),
        },
        "vocabulary": lesson.vocabulary,
        "top": lesson.top,
        "temperature": lesson.temperature,
        "dtype": {"computed": lesson.dtype, "stored": np.dtype(STORED).name},
        "device": device_name(lesson.device),
    }


def _settings(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    names = ("teacher", "top", "temperature", "dtype", "vocabulary")
    return {name: str(manifest.get(name)) for name in names}


def _parts(lesson: Lesson) -> list[Ints]:
    """The rows of each part, as many as fit; where a part ends follows from the rows alone."""
    counts = lesson.tokens.rows.target_counts
    most = max(1, PART_BYTES // lesson.line.itemsize)
    parts: list[Ints] = []
    start = 0
    ends = np.cumsum(counts)
    while start < len(counts):
        before = int(ends[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        parts.append(np.arange(start, end))
        start = end
    return parts


def _job(about: Mapping[str, Any], parts: list[Ints]) -> str:
    """What parts of a work folder must belong to, as text."""
    own = {name: value for name, value in about.items() if name != "sources"}
    return json.dumps({**own, "parts": [len(part) for part in parts]}, sort_keys=True)


def _work_folder(out: Path, job: str, log: Log) -> Path:
    """Where finished parts lie until all are there; those of another job are removed."""
    work = out.with_name(f".{out.name}.work")
    if work.is_symlink() or (work.exists() and not work.is_dir()):
        raise CurateError(f"{work}: is no folder; move it away")
    with writing(work):
        if work.exists():
            known = (work / _JOB).read_text("utf-8") if (work / _JOB).is_file() else ""
            if known != job:
                log(f"{work}: holds parts of another run, which are removed")
                shutil.rmtree(work)
        work.mkdir(exist_ok=True)
        write_atomic(work / _JOB, job)
    return work


def _write_parts(lesson: Lesson, name: str, parts: list[Ints], work: Path, log: Log) -> None:
    """Make the parts that are not there yet."""
    left = [number for number in range(len(parts)) if not _is_whole(work / part_name(number))]
    if len(left) < len(parts):
        log(f"{len(parts) - len(left)} of {len(parts)} parts are there from a run that was stopped")
    if not left:
        return
    log(f"loading teacher {name}")
    asked = LoadedTeacher(lesson, log)
    started = time.perf_counter()
    for done, number in enumerate(left, 1):
        lines = asked.part(parts[number])
        path = work / part_name(number)
        with writing(path):
            hidden = unfinished(path)
            with hidden.open("wb") as file:
                np.save(file, lines)
                file.flush()
                os.fsync(file.fileno())
            write_atomic(path.with_suffix(".sha256"), sha256(hidden))
            hidden.replace(path)
        each = (time.perf_counter() - started) / done
        log(f"part {number + 1} of {len(parts)}, {spoken(each * (len(left) - done))} left")


def _is_whole(path: Path) -> bool:
    """Whether a part was finished, and is as it was then."""
    noted = path.with_suffix(".sha256")
    return path.is_file() and noted.is_file() and sha256(path) == noted.read_text("utf-8")


def _link(source: Path, target: Path) -> None:
    """The same file under a second name, so that the first stays if the run is stopped here."""
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


class LoadedTeacher:
    """The teacher, loaded, and how it is asked."""

    def __init__(self, lesson: Lesson, log: Log) -> None:
        self.lesson, self.rows = lesson, lesson.tokens.rows
        self.net = teachers.load(lesson.folder, lesson.device, lesson.dtype)
        model.use_threads(self.net, lesson.device)
        usable = np.flatnonzero(self.rows.target_counts > 0)
        prepare(self.net)
        self.packed = packing.isolates(self.net, self.rows, usable)
        self.whole = not head_is_plain(self.net, pad(self.rows, usable[:1]))
        self.places = answer_places(self.rows)
        held = sum(weight.numel() * weight.element_size() for weight in self.net.parameters())
        how = "packed" if self.packed else "padded"
        log(f"teacher on {lesson.device}, {held / 1e6:,.1f} MB of weights, rows {how}")

    def part(self, chosen: Ints) -> Any:
        """The lines of the targets of these rows, in their order."""
        counts = self.rows.target_counts[chosen]
        lines = np.zeros(int(counts.sum()), self.lesson.line)
        chosen = chosen[counts > 0]
        if not len(chosen):
            return lines
        first = (
            int(self.places[self.rows.row(int(chosen[0]))].max()) + 1 - int(counts[counts > 0][0])
        )
        make = packing.pack if self.packed else batches
        for batch in make(self.rows, chosen, _MICRO_TOKENS):
            assert batch.source is not None, "a pass knows where its targets are from"
            numbers = self.places[batch.source] - first

            def note(piece: slice, logits: torch.Tensor, numbers: Ints = numbers) -> None:
                lines[numbers[piece]] = self._lines(logits)

            # A few values are made of each logit.
            read_logits(self.net, batch, note, whole=self.whole, chunk=CHUNK_VALUES // 4)
        return lines

    def _lines(self, logits: torch.Tensor) -> Any:
        lesson = self.lesson
        scaled = tempered(logits, lesson.vocabulary, lesson.temperature)
        ids = scaled.topk(lesson.top, dim=-1).indices
        found = in_buckets(scaled, ids).cpu().numpy()
        if not np.isfinite(found).all():
            raise teachers.no_numbers(lesson.folder)
        lines = np.empty(len(found), lesson.line)
        lines["ids"] = ids.cpu().numpy()
        lowest = float(np.finfo(STORED).min)
        rounded = np.maximum(found, lowest).astype(STORED)
        lines["log_probs"] = rounded[:, : lesson.top]
        lines["rest"] = rounded[:, lesson.top] if lesson.top < lesson.vocabulary else lowest
        return lines
