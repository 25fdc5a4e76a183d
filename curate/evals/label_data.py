"""Labelled rows as a user has them: a TOKENS folder or a file, and a list of classes or a field."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from curate.base.errors import CurateError
from trainer.after.chat import Talker
from trainer.checks import gate
from trainer.data.tokens import Tokens, load_tokens
from trainer.evaluation import labelled
from trainer.evaluation.labelled import LabelledRows
from trainer.models import model as models


@dataclasses.dataclass(frozen=True)
class LabelData:
    """What is classified: its name, its rows, and the classes as they were given or found."""

    name: str
    tokens: Tokens
    classes: tuple[str, ...] | None
    notices: tuple[str, ...] = ()


def read_classes(path: str | PathLike[str]) -> tuple[str, ...]:
    """The classes of a file: one a line, or a list of texts as JSON. Raises `CurateError`."""
    name = fspath(path)
    try:
        text = Path(name).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CurateError(f"{name}: is not UTF-8 (byte {error.start})") from error
    if text.lstrip().startswith("["):
        return labelled.check_classes(_listed(name, text), name)
    lines = text.splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    return labelled.check_classes(lines, name)


def _listed(name: str, text: str) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise CurateError(f"{name}: begins like a JSON list and is none ({error})") from error
    strange = [each for each in found if not isinstance(each, str)]
    if strange:
        raise CurateError(f"{name}: class {strange[0]!r} is no text; put it in quotes")
    return list(found)


def read(source: str | PathLike[str], labels: str | Sequence[str]) -> LabelData:
    """A TOKENS folder, whose answers are labels of a list in the file `labels`."""
    name = fspath(source)
    classes = read_classes(labels) if isinstance(labels, str) else tuple(labels)
    return LabelData(name, load_tokens(name), classes)


def encoded(data: LabelData, talker: Talker, notices: list[str], model: str) -> LabelledRows:
    """The rows as a model reads them. Raises `CurateError` for rows of another tokenizer."""
    tokens = data.tokens
    known = models.token_ids(talker.tokenizer)
    assert known is not None
    if strange := gate.strange_tokens(tokens, known, len(talker.tokenizer)):
        raise CurateError(
            f"{model}: has another tokenizer than the rows of {data.name} ({'; '.join(strange)}); "
            "evaluate the rows before they are rendered"
        )
    chosen = np.arange(len(tokens.rows))
    return labelled.from_tokens(tokens, chosen, talker.decode, talker.tokenizer, data.classes)
