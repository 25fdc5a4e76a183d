"""What is measured on: rows of files, or rows of the run that no set has."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

import templates
from curate.base.errors import CurateError
from curate.base.log import Log
from curate.base.schema import with_text
from curate.evals.suite_files import read_file
from curate.pipeline.kept_rows import write_conversations
from curate.proofs.pool import Renderer

POOL = "pool"  # the target of rows that were held out of the run


@dataclasses.dataclass(frozen=True)
class Target:
    """Rows to measure on, under the name that tables have; `source` is what the user calls it.

    `sha256` is of the file that was read, `left_out` counts rows that are not measured, by reason.
    """

    name: str
    source: str
    sha256: str
    records: pl.DataFrame
    left_out: Mapping[str, int]

    def write(self, path: Path) -> None:
        """The rows as a file that every reader takes."""
        write_conversations(path, self.records)

    def as_dict(self) -> dict[str, Any]:
        """What the manifest says."""
        return {
            "name": self.name,
            "source": self.source,
            "sha256": self.sha256,
            "rows": self.records.height,
            "left_out": dict(self.left_out),
        }


def read_targets(
    sources: Sequence[str], max_rows: int, render: Renderer, tell: Log
) -> list[Target]:
    """The targets that were named. Raises `CurateError` for what holds no conversations."""
    return [
        _read(source, name, max_rows, render, tell)
        for source, name in zip(sources, _names(sources), strict=True)
    ]


def _read(source: str, name: str, max_rows: int, render: Renderer, tell: Log) -> Target:
    file = read_file(source, max_rows, 0, tell)
    if file.records is None:
        raise CurateError(
            f"target {source}: holds {file.kind}; a target is conversations, whose prompts are "
            "asked and whose answers are scored"
        )
    if file.chosen < file.read - sum(file.rejects.values()):
        tell(f"target {name}: {file.chosen:,} of {file.read:,} rows are measured, drawn by a seed")
    return fitting(Target(name, source, file.sha256, file.records, file.rejects), render)


def fitting(target: Target, render: Renderer) -> Target:
    """The rows that the template takes and the model has room for.

    Raises `CurateError` where there are fewer than two.
    """
    rendered = render(target.records)
    usable = rendered.examples["row"].unique()
    refused = rendered.refused.group_by("check").len().sort("check")
    records = target.records.filter(pl.col("row").is_in(usable.implode()))
    if records.height < 2:
        raise CurateError(f"target {target.source}: {_why(rendered, records.height)}")
    left_out = {**target.left_out, **dict(refused.iter_rows())}
    return dataclasses.replace(target, records=records, left_out=left_out)


def _why(rendered: templates.Rendered, count: int) -> str:
    first = rendered.refused["message"].to_list()[:1]
    why = f" ({first[0].splitlines()[0]})" if first else ""
    return (
        f"template {rendered.template.name} takes {count} of its rows{why}; two are needed, for "
        "anything to be drawn again"
    )


def _names(sources: Sequence[str]) -> Iterator[str]:
    """A short name for each, which no other has."""
    taken: set[str] = {POOL}
    for source in sources:
        stem = re.sub(r"\W+", "_", Path(source).name.split(".")[0])[:40].strip("_") or "target"
        name = next(each for each in _numbered(stem) if each not in taken)
        taken.add(name)
        yield name


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    for number in range(2, 10_000):
        yield f"{stem}_{number}"


def texts_of(records: pl.DataFrame, keys: Sequence[str]) -> list[dict[str, str]]:
    """Prompt and held-out answer of each prompt; a key begins with the number of its row."""
    last = pl.element().filter(pl.element().struct.field("role") == "assistant").last()
    answers = with_text(records).select(
        "row", "prompt", answer=pl.col("messages").list.eval(last.struct.field("content"))
    )
    by_row = {
        row: {"prompt": prompt, "answer": (answer or [""])[0] or ""}
        for row, prompt, answer in answers.iter_rows()
    }
    return [by_row[int(key.split()[0])] for key in keys]
