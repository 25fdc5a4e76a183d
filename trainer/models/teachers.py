"""Which model teaches, and that it speaks of the same words as the one that learns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.base import hub
from curate.base.errors import CurateError, some_of
from trainer.data.teacher import StoredLogits, is_logits, open_logits
from trainer.data.tokens import Tokens
from trainer.models import model
from trainer.models.weights import local_folder, weights_hash

if TYPE_CHECKING:
    import torch

Words = tuple[str | None, ...]


@dataclasses.dataclass(frozen=True)
class TeacherSource:
    """A teacher that was checked against rows and student.

    `name` is what it was called, `folder` where a model's files lie, `stored` distributions that
    were written before, `identity` a hash of all that decides what it says, `vocabulary` how many
    ids its distributions and the student's are compared over, and `lines` what a user must know.
    """

    name: str
    folder: str
    stored: StoredLogits | None
    identity: str
    vocabulary: int
    lines: tuple[str, ...]


def find(name: str, tokens: Tokens, words: Words | None, size: int) -> TeacherSource:
    """The teacher behind a name: a LOGITS folder, or a model's folder or name on the hub.

    `words` and `size` are the student's tokens and the rows of its embeddings. Raises `CurateError`
    for what is neither, for other rows or another vocabulary, and for rows the teacher cannot read.
    """
    if is_logits(name):
        stored = open_logits(name, tokens)
        shared = common(stored.words, stored.vocabulary, words, size, f"{name} ({stored.teacher})")
        said = (
            f"teacher: {name}, distributions of {stored.teacher}: the likeliest {stored.top} of "
            f"{stored.vocabulary:,} words and all others together, at temperature "
            f"{stored.temperature:g}",
        )
        if shared < stored.vocabulary:
            raise CurateError(
                f"teacher: {name} holds distributions over {stored.vocabulary:,} ids, and the "
                f"model has {size:,}; name the teacher itself in place of its LOGITS"
            )
        return TeacherSource(
            name, name, stored, stored.identity, shared, (*said, *about_padding(shared, size))
        )
    folder = fetched(name)
    limits = model.read_limits(folder)
    check_rows(tokens, limits.vocabulary, limits.positions, name)
    theirs = token_texts(model.read_tokenizer(folder))
    shared = common(theirs, limits.vocabulary, words, size, name)
    lines = [f"teacher: {name}, asked at every step"]
    if theirs is None and words is None:
        lines.append("teacher: neither model has a tokenizer, so ids are taken to mean the same")
    lines += [*about_padding(shared, size), *about_padding(shared, limits.vocabulary, name)]
    return TeacherSource(name, folder, None, weights_hash(folder), shared, tuple(lines))


def check_temperature(source: TeacherSource, wanted: float) -> None:
    """Raise `CurateError` for LOGITS of another temperature than the run's.

    From the likeliest words at one temperature nobody can tell what all others together have at
    another, so each file holds one.
    """
    if source.stored is not None and source.stored.temperature != wanted:
        raise CurateError(
            f"teacher: {source.name} holds distributions at temperature "
            f"{source.stored.temperature:g}, and distil_temperature is {wanted:g}; set it to the "
            f"former, or run curate teacher with --temperature {wanted:g}"
        )


def fetched(name: str) -> str:
    """The folder of a model; one of the hub is brought here first."""
    model.check_source(name)
    if Path(name).is_dir():
        return name
    if Path(hub.place(name)).is_dir():
        return hub.place(name)
    hub.download(name, ("*.safetensors", "*.json", *model.TOKENIZER_FILES), name)
    return str(local_folder(name))


def token_texts(tokenizer: Any | None) -> Words | None:
    """The tokens of a tokenizer by id, None where an id has none; None without a tokenizer."""
    if tokenizer is None:
        return None
    by_text = tokenizer.get_vocab()
    words: list[str | None] = [None] * (1 + max(by_text.values(), default=-1))
    for text, number in by_text.items():
        words[number] = text
    return tuple(words)


def common(theirs: Words | None, rows: int, own: Words | None, size: int, name: str) -> int:
    """How many ids mean the same to teacher and student: all that have a token.

    `rows` and `size` are the rows of their embeddings. Those beyond the tokens are padding, and
    left out on both sides. Raises `CurateError` where any token differs, and where only one has
    a tokenizer to compare.
    """
    if theirs is None or own is None:
        if theirs is not own:
            whose = "the teacher" if theirs is None else "the model that learns"
            raise CurateError(
                f"teacher: {name}: {whose} has no tokenizer beside it, so nobody knows whether "
                "ids mean the same; put its tokenizer files into the folder"
            )
        if rows != size:
            raise CurateError(
                f"teacher: {name} has {rows:,} ids and the model that learns {size:,}; a teacher "
                "needs the same vocabulary"
            )
        return size
    if theirs != own:
        raise CurateError(
            f"teacher: {name} has another vocabulary than the model that learns: "
            f"{_differences(theirs, own)}; take a teacher with the same tokenizer, or let it "
            "answer in text (curate run takes its answers as rows)"
        )
    return min(len(own), rows, size)


def _differences(theirs: Sequence[str | None], own: Sequence[str | None]) -> str:
    """The first ids that have other tokens, and how many there are."""
    longest = max(len(theirs), len(own))
    pairs = [
        (number, *(side[number] if number < len(side) else None for side in (theirs, own)))
        for number in range(longest)
    ]
    differing = [
        f"id {number} is {one!r} there and {other!r} here"
        if one and other
        else f"id {number} is {one or other!r} {'there' if one else 'here'} alone"
        for number, one, other in pairs
        if one != other
    ]
    return f"{len(differing):,} of {longest:,} ids differ ({some_of(differing, 2)})"


def about_padding(shared: int, rows: int, name: str = "the model") -> list[str]:
    """A line where rows of an embedding stand for no token."""
    if rows <= shared:
        return []
    return [
        f"teacher: {rows - shared:,} of the {rows:,} ids of {name} are no tokens; they are left "
        "out where distributions are compared"
    ]


def check_rows(tokens: Tokens, vocabulary: int, positions: int | None, name: str) -> None:
    """Raise `CurateError` unless a teacher can read all rows: their ids and their lengths."""
    rows = tokens.rows
    outside = (rows.input_ids < 0) | (rows.input_ids >= vocabulary)
    if outside.any():
        place = int(outside.argmax())
        row = int(rows.offsets.searchsorted(place, side="right")) - 1
        raise CurateError(
            f"{tokens.folder}: row {row} ({rows.ids[row]}) has id {rows.input_ids[place]}, and "
            f"{name} has {vocabulary:,} ids; a teacher needs the vocabulary the rows were rendered "
            "with"
        )
    long = (rows.lengths > (positions or rows.lengths.max(initial=0))).nonzero()[0]
    if len(long):
        shown = some_of([rows.ids[row] for row in long.tolist()])
        raise CurateError(
            f"{tokens.folder}: {len(long):,} rows are longer than the {positions:,} positions of "
            f"{name} ({shown}); render them with --max-length {positions}, or take another teacher"
        )


def check_rendered(tokens: Tokens, words: Words | None, name: str) -> None:
    """Raise `CurateError` where rows were rendered with other tokens than a teacher's.

    Their manifest names the special tokens and how many there are; training compares all of them
    with those of the model that learns.
    """
    about = tokens.manifest.get("tokenizer") or {}
    if words is None:
        return
    known = {text: number for number, text in enumerate(words)}
    special = about.get("special") or {}
    strange = [
        f"{text!r} ({role}) is no token of it"
        for role, text in sorted(special.items())
        if text not in known
    ]
    strange += [
        f"{text!r} is {number} in the rows and {known.get(text, 'nothing')} in it"
        for text, number in sorted((about.get("added") or {}).items())
        if known.get(text) != number
    ]
    count = about.get("vocabulary")
    if isinstance(count, int) and count > len(words):
        strange.append(f"the rows' vocabulary has {count:,} tokens, and it has {len(words):,}")
    if strange:
        raise CurateError(
            f"{tokens.folder}: was rendered with another vocabulary than that of {name}: "
            f"{some_of(strange)}; take a teacher with the tokenizer of the rows"
        )


def no_numbers(name: str) -> CurateError:
    """The error for a teacher whose logits are not finite."""
    return CurateError(
        f"{name}: gives logits that are no numbers, or infinite, so there is nothing to learn from "
        "it; download or convert the model again"
    )


def load(folder: str, device: torch.device, dtype: str) -> Any:
    """The teacher on its device: without dropout, its weights frozen."""
    net = model.load(folder, device, dtype)
    net.eval()
    for weight in net.parameters():
        weight.requires_grad_(False)
    return net
