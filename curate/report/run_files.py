"""What the report reads of a run's files: a few records, and steps' tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import polars as pl

from curate.base.errors import CurateError, one_line
from curate.base.folder import is_plain_file
from curate.pipeline.ledger import CALIBRATED
from curate.pipeline.run_folder import RunFolder, collected
from curate.report.excerpts import shared


class Seen(NamedTuple):
    """What the page shows of a record."""

    row: int
    id: str
    where: str
    prompt: str
    response: str
    messages: int
    calls: int
    fate: str


@contextmanager
def damage_explained(run: RunFolder) -> Iterator[None]:
    """Turn what a manifest or a line with other fields makes of the report into one sentence."""
    try:
        yield
    except CurateError:
        raise
    except Exception as error:  # a file that somebody changed can hold anything
        raise CurateError(
            f"{run.path}: a file is not as curate run wrote it ({one_line(error)}); run it again"
        ) from error


def score_name(manifest: Mapping[str, Any], step: str) -> str:
    """What the ledger's scores of a step are called: `score`, or `STEP.calibrated`."""
    methods = {
        each["name"]: (each.get("numbers") or {}).get("method") for each in manifest["steps"]
    }
    is_calibrated = methods.get(step) not in (None, "none")
    return f"{step}{CALIBRATED}" if is_calibrated else "score"


def tables(run: RunFolder, name: str, columns: set[str]) -> Iterator[tuple[str, pl.DataFrame]]:
    """Each step's table `STEP.NAME.parquet` that has rows and these columns, in their order.

    Raises `CurateError` for one that cannot be read.
    """
    ending = f".{name}.parquet"
    for file in run.manifest.get("files", []):
        # Of a stranger's manifest only what lies in this folder is read.
        if not is_plain_file(run.path, file) or not file.endswith(ending):
            continue
        table = collected(pl.scan_parquet(run.path / file, glob=False), run.path / file)
        if set(table.columns) >= columns and table.height:
            yield file.removesuffix(ending), table


def reject_reasons(run: RunFolder) -> pl.DataFrame:
    """`at` (line number from 0) and `reason` (without its detail) of each reject."""
    path = run.path / "rejects.jsonl"
    line = pl.col("line").str.json_decode(pl.Struct({"reason": pl.String}))
    slug = pl.col("reason").str.split(": ").list.first()
    lines = pl.scan_lines(path, glob=False).select(line).unnest("line")
    return collected(lines.select(slug).with_row_index("at"), path)


def source_names(run: RunFolder) -> dict[str, str]:
    """The inputs by their paths, without the folders that all of them share."""
    return short_names([file["source"] for file in run.manifest["sources"]])


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Each path without the folders that all of them share.

    >>> short_names(["dump/a.json", "dump/more/b.json"])
    {'dump/a.json': 'a.json', 'dump/more/b.json': 'more/b.json'}
    """
    folders = [path.split("/")[:-1] for path in paths]
    depth = shared(min(folders), max(folders)) if folders else 0
    return {path: "/".join(path.split("/")[depth:]) for path in paths}


def records(run: RunFolder, rows: Iterable[int]) -> dict[int, Seen]:
    """The records with these row numbers as the page shows them; see `RunFolder.records`."""
    names = source_names(run)
    return {row: _seen(row, line, names) for row, line in run.records(rows).items()}


def _seen(row: int, line: dict[str, Any], names: Mapping[str, str]) -> Seen:
    messages = line["messages"]
    return Seen(
        row=row,
        id=line["id"],
        where=f"{names[line['source']]}:{line['line']}",
        prompt=_joined(message for message in messages if message["role"] != "assistant"),
        response=_joined(message for message in messages if message["role"] == "assistant"),
        messages=len(messages),
        calls=sum(len(message.get("tool_calls", ())) for message in messages),
        fate=f"dropped by {line['step']}" if "step" in line else "kept",
    )


def _joined(messages: Iterable[dict[str, Any]]) -> str:
    contents = (message.get("content") for message in messages)
    return "\n\n".join(content for content in contents if content)
