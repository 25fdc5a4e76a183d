"""The classes that labels are of: a list in a file, a map of what rows hold, or what rows have."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path

from curate.base.errors import CurateError
from trainer.data import classes

AUTO = "auto"


@dataclasses.dataclass(frozen=True)
class Classes:
    """What `labels` names: a list of classes, or where each row's label stands.

    `names` are the classes in their order, None where they are those that rows have. `field` is
    the field that holds a row's label, None for its last answer. `texts` gives the class for what
    a row holds, where that is something else.
    """

    names: tuple[str, ...] | None
    field: str | None = None
    texts: Mapping[str, str] | None = None
    source: str = "labels"


def read_labels(
    labels: str | PathLike[str] | Sequence[str] | Mapping[str, str], field: str | None = None
) -> Classes:
    """What is meant by `labels`: a file, a list, a map, the name of a field, or `auto`.

    A file has a class a line, or JSON: a list of classes, or an object that gives the class for
    what a row holds. A text that is no file is a field. With a list, `field` says where the label
    is, if it is not the last answer. Raises `CurateError`.
    """
    if isinstance(labels, Mapping):
        return _listed(classes.of_map(labels, "labels"), field, "labels")
    if not isinstance(labels, str | PathLike):
        return Classes(classes.check(labels, "labels"), field)
    name = fspath(labels)
    if Path(name).is_file():
        return _listed(classes.read_file(name), field, name)
    if not name.strip():
        raise CurateError("labels is empty; name a file of classes, a field, or auto")
    if Path(name).is_dir() or "/" in name or Path(name).suffix in (".txt", ".json"):
        raise CurateError(f"{name}: there is no such file of classes")
    if field is not None:
        raise CurateError(
            f"labels is {name!r}, which is no file, and the field is {field!r}; name one field"
        )
    return Classes(None, None if name == AUTO else name, source=name)


def _listed(found: classes.ClassFile, field: str | None, source: str) -> Classes:
    return Classes(found.names, field, found.texts, source)
