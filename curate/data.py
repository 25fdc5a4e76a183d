"""What a user gives as data: paths, rows in memory or a run; read, and looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from curate import sources
from curate.base.errors import CurateError
from curate.base.log import Log, no_log
from curate.base.parts import PartsTo
from curate.base.schema import with_text
from curate.pipeline import recipe as recipes
from curate.pipeline import runner
from curate.pipeline.run_folder import RunFolder, is_run
from curate.pipeline.steps import Step
from curate.report import inspection, reading
from curate.sources.guess import check_mapped, unreadable

Source = str | PathLike[str]
# Paths, rows in memory, or a run: see `curate.run`.
Data = Any


def paths_of(data: Data) -> list[Source] | None:
    """The paths that the data are named by; None where they are rows."""
    if isinstance(data, RunFolder):
        return [data.path]
    if isinstance(data, str | PathLike):
        return [data]
    if isinstance(data, list | tuple) and data and all(isinstance(x, str | PathLike) for x in data):
        return list(data)
    return None


def read_data(
    data: Data,
    how: sources.ReadOptions = sources.DETECTED,
    tell: Log = no_log,
    note: Log | None = None,
    can_map: bool = True,
    to: PartsTo = sources.IN_MEMORY,
    known: sources.Dump | None = None,
) -> sources.Dump:
    """Records and rejects of files, or of rows in memory; `tell` hears of what looks odd.

    `note` hears of words that are in no conversation, and of what was assumed (`tell` if it is not
    given). `can_map` says whether who reads this could map columns. A run among the files must be
    as it was written. For `to` see `sources.read`; `known` is what was read before.
    Raises `CurateError`, also where not one row could be read.
    """
    check_mapped(how.columns)
    try:
        dump = known or _read(data, how, to, tell)
    except OSError as error:
        raise CurateError(f"{error.filename}: cannot be read ({error.strerror})") from error
    if dump.rejected:
        unread = unreadable(dump.reject_parts(), dump.read, how, can_map)
        if not dump.height:
            raise CurateError(unread)
        tell(unread)
    for line in reading.sentences(map(asdict, dump.files), how.columns, can_map):
        (note or tell)(line)
    for line in _read_twice(dump):
        tell(line)
    return dump


def _read(data: Data, how: sources.ReadOptions, to: PartsTo, tell: Log) -> sources.Dump:
    paths = paths_of(data)
    if paths is None:
        return sources.read_rows(data, how, to=to)
    if "" in paths:
        raise CurateError("the data is an empty name; name a file or a folder")
    files = [
        RunFolder(Path(path)).row_files("kept") if is_run(Path(path)) else [fspath(path)]
        for path in paths
    ]
    return sources.read([file for each in files for file in each], how, to, tell)


def _read_twice(dump: sources.Dump) -> Iterator[str]:
    """A sentence for each content that was read more than once."""
    same: dict[str, list[str]] = {}
    for file in dump.files:
        if not file.sha256:
            continue  # its bytes could not be had
        same.setdefault(file.sha256, []).append(file.source)
    for names in same.values():
        shown = list(dict.fromkeys(names))
        if len(shown) > 1:
            more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
            yield f"{', '.join(shown[:3])}{more} hold the same bytes, read {len(names)} times"
        elif len(names) > 1:
            times = "twice" if len(names) == 2 else f"{len(names)} times"
            yield f"{shown[0]} is named {times}; its rows are read {times}"


def inspect(data: Data, how: sources.ReadOptions, tokenizer: str | None) -> dict[str, Any]:
    """See `curate.inspect`."""
    notices: list[str] = []
    dump = read_data(data, how, notices.append, no_log)
    sample = inspection.sample(dump.records)
    unit = {"unit": "tokens", "tokenizer": tokenizer} if tokenizer else {}
    wanted = {"language": {}, **({"length": unit} if unit else {})}
    texts = with_text(sample)
    measures = {
        name: recipes.filter_called(name, settings).measure(texts)
        for name, settings in wanted.items()
    }
    # Words of all records are counted in no time; tokens are not.
    step = Step("length", recipes.filter_called("length", {"action": "report", **unit}))
    done = runner.run(sample if unit else dump.records, [step])
    found = (done.steps[0].numbers, done.tables["length.groups"])
    return inspection.inspection(dump, measures, found) | {"notices": notices}
