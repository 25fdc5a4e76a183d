"""Datasets by their hub name: `org/name`, or `org/name:split`."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError, one_line

_NAME = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(:(?P<split>\w+))?")


def is_hub_name(name: str, file_endings: tuple[str, ...]) -> bool:
    """Whether a name can only be a dataset's: no file has it, and none was meant by it.

    A misspelt path must not become a request to a server: what ends like a data file, or begins
    with a folder that is here, is a path.
    """
    match = _NAME.fullmatch(name)
    if match is None or match["id"].lower().endswith(file_endings):
        return False
    return not Path(name).exists() and not Path(name.partition("/")[0]).exists()


def splits(name: str) -> dict[str, Any]:
    """The tables of a dataset by `org/name:split`, downloaded if they are not here yet.

    Raises `CurateError` when the dataset, the split or the `datasets` package is not there.
    """
    match = _NAME.fullmatch(name)
    assert match is not None, name
    try:
        import datasets
    except ImportError as error:
        raise CurateError(
            f"{name}: no such file or folder; to read it as a dataset of the hub install"
            ' pip install "curate-sft[train]"'
        ) from error
    try:
        loaded = datasets.load_dataset(match["id"], split=match["split"])
    except Exception as error:  # a server, a network and a stranger's files: anything can happen
        raise CurateError(
            f"{name}: no such file or folder, and no dataset of the hub can be read by this name"
            f" ({one_line(error)})"
        ) from error
    if match["split"]:
        return {name: loaded}
    return {f"{name}:{split}": table for split, table in sorted(loaded.items())}


def arrow_bytes(table: Any) -> bytes:
    """A `datasets.Dataset` as an Arrow stream."""
    import pyarrow

    arrow = table.with_format("arrow")[:]
    stream = io.BytesIO()
    with pyarrow.ipc.new_stream(stream, arrow.schema) as writer:
        writer.write_table(arrow)
    return stream.getvalue()
