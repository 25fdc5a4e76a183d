"""What a run keeps while it is under way: in memory, or in a folder if its rows are many.

A folder outlives a run that was killed; the next one goes on with what it finds there. All in it
is whole or absent, and has a keyed checksum (see `curate.pipeline.frames`).
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from curate.base.contract import Findings
from curate.base.errors import CurateError
from curate.base.parts import Part, write_part
from curate.base.places import unfinished
from curate.base.user_key import key_of
from curate.pipeline.cache import default_folder
from curate.pipeline.frames import FolderFrames, Frames, MemoryFrames
from curate.pipeline.ledger import VERDICT

READ = "read"  # what was read, of a run that another one may go on with
_OWNER = "owner"


@dataclass(frozen=True)
class Done:
    """What a step did, beside its verdicts: what a run that goes on needs of it.

    `needed` are the columns that later steps need, by `row`, `known` the names of all that it
    measured, `parts` the records as a fix left them. `content` is a digest of what a fix changed,
    where its settings do not say all; such a step is done again in a run that goes on.
    """

    findings: Findings = field(default_factory=Findings)
    needed: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={"row": pl.UInt32}))
    known: Sequence[str] = ()
    parts: Sequence[Part] | None = None
    content: str = ""


class Damaged(CurateError):
    """Something that a run keeps while it is under way is not as it was written."""


class Work:
    """Frames of a run under way, and the files of parts; `folder` is None where all is in memory.

    `advice` ends the sentence on what could not be written.
    """

    def __init__(self, folder: Path | None = None, advice: str = "") -> None:
        self.folder = folder
        self.frames: Frames = MemoryFrames()
        # Says whose the folder is, and measures of a user's own code: those of this run alone.
        self.token = secrets.token_hex(8)
        self._key = b""
        if folder is not None:
            self._key = key_of(default_folder())
            self.frames = FolderFrames(folder, self._key, advice)

    @cached_property
    def place(self) -> Path:
        """A folder that is there as long as this run, or who may judge it anew."""
        if self.folder is not None:
            return self.folder
        made = Path(tempfile.mkdtemp(prefix="curate-"))
        weakref.finalize(self, shutil.rmtree, made, ignore_errors=True)
        return made

    def claim(self) -> None:
        """Have the folder for this run, until another one claims it. Raises `CurateError`."""
        self.put_json(_OWNER, {"token": self.token})

    def settle(self) -> None:
        """The run is written: its work goes with the last one that may want to judge it anew."""
        if isinstance(self.frames, FolderFrames):
            self.frames.path(READ).unlink(missing_ok=True)  # no run goes on with it
            weakref.finalize(self, _remove, self.frames, self.token)

    def again(self) -> Work:
        """What this keeps of measures, for a run that judges anew.

        Raises `CurateError` where another run has taken the folder since.
        """
        if isinstance(self.frames, FolderFrames) and not _is_owner(self.frames, self.token):
            raise CurateError(
                f"{self.folder}: what this run had read is gone, as another run wrote to the same "
                "folder since; run it again"
            )
        return self

    def put_verdicts(self, step: str, part: Part, verdicts: pl.DataFrame) -> None:
        """Keep what a step decided on a part's rows."""
        self.frames.put(f"{step}/{part.number:05}", verdicts.select(VERDICT.names()))

    def verdicts(self, step: str, part: Part) -> pl.DataFrame:
        """What a step decided on a part's rows: `VERDICT`. Raises `Damaged` if it is gone."""
        return self._there(f"{step}/{part.number:05}")

    def rewritten(self, step: str, part: Part, records: pl.DataFrame) -> Part:
        """The part with these records instead."""
        if self.folder is None or part.path is None:
            return Part(part.number, part.start, part.height, records)
        path = self.folder / step / f"part-{part.number:05}.arrow"
        write_part(path, records)
        return Part(part.number, part.start, part.height, path=path)

    def finish(self, step: str, done: Done) -> None:
        """Note that a step is done. To be called last: then all of it is there."""
        if self.folder is None:
            return  # memory does not outlive the run
        tables = done.findings.tables
        for number, table in enumerate(tables.values()):
            self.frames.put(f"{step}/table-{number}", table)
        self.frames.put(f"{step}/needed", done.needed)
        content = {
            "sentences": list(done.findings.sentences),
            "numbers": done.findings.numbers,
            "tables": list(tables),
            "known": list(done.known),
            "parts": None if done.parts is None else self.listed(step, done.parts),
        }
        self.put_json(f"{step}/done", content)

    def done(self, step: str, parts: Sequence[Part]) -> Done | None:
        """What a step did, if it was done before; None if it was not, or something is damaged."""
        if self.folder is None or not (found := self.json(f"{step}/done")):
            return None
        try:
            for part in parts:
                self.verdicts(step, part)
            tables = {
                name: self._there(f"{step}/table-{number}")
                for number, name in enumerate(found["tables"])
            }
            findings = Findings(tuple(found["sentences"]), found["numbers"], tables)
            fixed = None if found["parts"] is None else self.parts(found["parts"])
            return Done(findings, self._there(f"{step}/needed"), found["known"], fixed)
        except Damaged:
            return None

    def put_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep what JSON holds."""
        self.frames.put(name, pl.DataFrame({"json": [json.dumps(content)]}))

    def json(self, name: str) -> dict[str, Any] | None:
        """What was kept under a name; None if there is nothing."""
        found = self.frames.get(name)
        return None if found is None else json.loads(found["json"][0])

    def listed(self, kind: str, parts: Iterable[Part]) -> list[dict[str, Any]]:
        """Parts as JSON holds them; those in memory are put into files, under `kind`."""
        return [
            {"start": part.start, "height": part.height, **self._place(kind, part)}
            for part in parts
        ]

    def _place(self, kind: str, part: Part) -> dict[str, str]:
        assert self.folder is not None
        if part.path is None:
            name = f"{kind}/memory-{part.number:05}"
            self.frames.put(name, part.load())
            return {"frame": name}
        path = str(part.path.relative_to(self.folder))
        return {"path": path, "digest": self._digest(part.path)}

    def parts(self, listed: Sequence[Mapping[str, Any]]) -> list[Part]:
        """Parts that were listed. Raises `Damaged` for a file that is not as it was written."""
        assert self.folder is not None
        parts = []
        for number, each in enumerate(listed):
            start, height = each["start"], each["height"]
            if "frame" in each:
                parts.append(Part(number, start, height, self._there(each["frame"])))
                continue
            path = self.folder / each["path"]
            if not path.is_file() or self._digest(path) != each["digest"]:
                raise self._changed()
            parts.append(Part(number, start, height, path=path))
        return parts

    def remove(self) -> None:
        """Delete the folder, unless another run has taken it."""
        if isinstance(self.frames, FolderFrames):
            _remove(self.frames, self.token)

    def _there(self, name: str) -> pl.DataFrame:
        found = self.frames.get(name)
        if found is None:
            raise self._changed()
        return found

    def _changed(self) -> Damaged:
        return Damaged(
            f"{self.folder}: what a run keeps there while it is under way is damaged; delete the "
            "folder and run it again"
        )

    def _digest(self, path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(
                file, lambda: hashlib.blake2b(key=self._key, digest_size=32)
            ).hexdigest()


def _is_owner(frames: FolderFrames, token: str) -> bool:
    found = frames.get(_OWNER)
    return found is not None and json.loads(found["json"][0])["token"] == token


def _remove(frames: FolderFrames, token: str) -> None:
    if not _is_owner(frames, token):
        return
    # At once, so that no half of it is ever gone on with.
    gone = unfinished(frames.folder)
    with suppress(OSError):  # then it is deleted as it is
        frames.folder.rename(gone)
    shutil.rmtree(gone if gone.exists() else frames.folder, ignore_errors=True)
