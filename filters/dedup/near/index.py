"""An index of what was curated: a folder that new dumps are compared with, and that grows.

`manifest.json` names the batches in the order they were added and the settings that a comparison
depends on; `BATCH.parquet` has `id`, `source`, `line` and what `near` measured of each record. A
batch is called by a hash of the ids that `near` judged in the run that added it, so a run over
the very same records finds its own batch, and takes the index for what it was before that: the
run can be repeated, with the same result, and adds nothing twice.

Files are replaced whole and the manifest last, so a killed run leaves the index as it was. Two
runs must not add to one index at once.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from curate.base.errors import CurateError
from curate.base.folder import write_atomic
from filters.dedup.keep import RENAMED

MANIFEST = "manifest.json"
MAKER = "curate near"
VERSION = 1
ORIGIN = ("id", "source", "line")

# 0.1 MB of a manifest is a thousand batches.
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Index:
    """The folder at `path`, and the `settings` it must have; it need not exist yet."""

    path: Path
    settings: Settings

    def before(self, batch: str) -> list[str]:
        """The batches that a run which adds `batch` compares with: all that were there before."""
        known = self.batches()
        return known[: known.index(batch)] if batch in known else known

    def read(self, batches: list[str]) -> pl.DataFrame | None:
        """Their rows, in this order; None if there are none."""
        frames = [self._read(name) for name in batches]
        return pl.concat(frames) if frames else None

    def add(self, batch: str, rows: pl.DataFrame) -> None:
        """Write a batch, in place of one of that name, and then enter it in the manifest."""
        known = self.batches()
        self.path.mkdir(parents=True, exist_ok=True)
        unfinished = self.path / f".{batch}.parquet.{os.getpid()}.unfinished"
        rows.write_parquet(unfinished, statistics=False)
        unfinished.replace(self.path / f"{batch}.parquet")
        if batch in known:
            return
        manifest = {
            "maker": MAKER,
            "version": VERSION,
            "settings": dict(self.settings),
            "batches": [*known, batch],
        }
        write_atomic(self.path / MANIFEST, json.dumps(manifest, indent=2) + "\n")

    def batches(self) -> list[str]:
        """What was added, in order; none where there is no folder or an empty one.

        Raises `CurateError` for anything but an index of these settings.
        """
        where = self.path / MANIFEST
        if not where.exists():
            self._check_free()
            return []
        try:
            manifest = json.loads(where.read_text("utf-8"))
            maker, version = manifest["maker"], manifest["version"]
            settings, batches = manifest["settings"], manifest["batches"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise CurateError(
                f"{where}: not the manifest of an index of near ({type(error).__name__}: {error}); "
                "name another folder, or delete this one"
            ) from error
        if (maker, version) != (MAKER, VERSION):
            raise CurateError(
                f"{where}: made by {maker!r}, version {version}; expected {MAKER!r}, version "
                f"{VERSION}; build the index anew from the curated files"
            )
        self._check_settings(where, settings)
        return [str(name) for name in batches]

    def _check_free(self) -> None:
        if self.path.is_file():
            raise CurateError(f"{self.path}: is a file; near: index expects a folder")
        if self.path.is_dir() and any(self.path.glob("*")):
            raise CurateError(
                f"{self.path}: has no {MANIFEST} but is not empty; near: index expects an index "
                "or a new folder"
            )

    def _check_settings(self, where: Path, stored: Settings) -> None:
        theirs = {RENAMED.get(name, name): value for name, value in stored.items()}
        for name, value in self.settings.items():
            if theirs.get(name) != value:
                raise CurateError(
                    f"{where}: the index was built with {name}: {json.dumps(theirs.get(name))}, "
                    f"but this step has {name}: {json.dumps(value)}; use the same or another index"
                )

    def _read(self, batch: str) -> pl.DataFrame:
        path = self.path / f"{batch}.parquet"
        try:
            return pl.read_parquet(path, glob=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise CurateError(
                f"{path}: the manifest names it, but it cannot be read ({error}); bring it back, "
                f"or take its name out of {MANIFEST}"
            ) from error


def batch_name(ids: pl.Series) -> str:
    """16 hex digits for the records with these ids, in whatever order.

    >>> batch_name(pl.Series(["b", "a"])) == batch_name(pl.Series(["a", "b"]))
    True
    """
    joined = "\n".join(ids.sort().to_list())
    return hashlib.blake2b(joined.encode(), digest_size=8).hexdigest()
