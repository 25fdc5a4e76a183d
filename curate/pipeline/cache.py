"""Measures kept between runs, by content: a threshold can move for free.

One folder per measure (filter, version and the settings it depends on), one file per piece of the
input, named after the ids of its rows. Where the input changed, rows are found in other pieces.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import polars as pl

from curate.base.contract import Filter
from curate.base.errors import CurateError
from curate.base.places import UNFINISHED
from curate.base.user_key import key_of
from curate.pipeline.frames import ENDING, FolderFrames
from curate.pipeline.identity import measure_name

# Old pieces go, least recently used first, when the cache outgrows this many bytes.
LIMIT = 4 << 30
# Rows of one measure that are looked for in other pieces, those used last first: some 100 MB.
SEARCHED = 2_000_000
# A file that was used so lately may be of a run under way, seconds.
UNDER_WAY = 24 * 3600
_ADVICE = (
    "check the free space and the greatest size of a file (ulimit -f), or go without: --no-cache"
)


def default_folder() -> Path:
    """`$CURATE_CACHE`, or `curate` in the user's cache folder.

    Raises `CurateError` where the user has no home, as in some containers.
    """
    if given := os.environ.get("CURATE_CACHE"):
        return Path(given)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "curate"
    try:
        return Path.home() / ".cache" / "curate"
    except RuntimeError as error:
        raise CurateError(
            "this user has no home folder to keep measures in; set CURATE_CACHE to a folder"
        ) from error


class MeasureCache:
    """Looks up and stores measures under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def frames(self) -> FolderFrames:
        """The pieces, by `MEASURE/PIECE`."""
        return FolderFrames(self.folder, key_of(self.folder), _ADVICE)

    def of(self, step: Filter) -> StepCache | None:
        """The part of the cache for one filter's measure; None if it is not worth keeping."""
        return StepCache(self.frames, measure_name(step)) if step.cached else None

    def trim(self, limit: int = LIMIT, idle: float = UNDER_WAY) -> None:
        """Delete the pieces that were used longest ago until the rest is within `limit` bytes.

        Those used within `idle` seconds stay, for a run under way may still want them.
        """
        before = time.time() - idle
        for left in self.folder.glob(f"*/.*{UNFINISHED}"):
            with suppress(OSError):
                if left.stat().st_mtime < before:
                    left.unlink()
        pieces = []
        # Earlier versions wrote `.arrow`: nobody reads these any more.
        for path in (p for end in (ENDING, ".arrow") for p in self.folder.glob(f"*/*{end}")):
            with suppress(FileNotFoundError):
                pieces.append((path.stat(), path))
        total = sum(stat.st_size for stat, _ in pieces)
        for stat, path in sorted(pieces, key=lambda piece: (piece[0].st_mtime, piece[1])):
            if total <= limit or stat.st_mtime >= before:
                return
            with suppress(OSError):  # somebody else's, in a cache that several use
                path.unlink()
            total -= stat.st_size


class StepCache:
    """One filter's measures, by record id."""

    def __init__(self, frames: FolderFrames, name: str) -> None:
        self.frames, self.name = frames, name

    def get(self, piece: str) -> pl.DataFrame | None:
        """What was kept for a piece: `id` and measures; None if there is nothing of the kind."""
        found = self.frames.get(f"{self.name}/{piece}")
        if found is not None:
            self.frames.touch(f"{self.name}/{piece}")
        return found

    def put(self, piece: str, measures: pl.DataFrame) -> None:
        """Keep `id` and measures of a piece."""
        self.frames.put(f"{self.name}/{piece}", measures)

    def find(self, ids: pl.Series) -> list[pl.DataFrame]:
        """Measures of rows with these ids, wherever in the pieces of earlier runs they are."""
        places = self._places.join(ids.to_frame("id"), on="id", how="semi")
        found = []
        for (piece,), wanted in places.group_by("piece", maintain_order=True):
            frame = self.get(str(piece))
            if frame is not None:
                found.append(frame.join(wanted.select("id"), on="id", how="semi"))
        return found

    @cached_property
    def _places(self) -> pl.DataFrame:
        """`id` and `piece` of the rows that earlier runs measured; read once."""
        places = [pl.DataFrame(schema={"id": pl.String, "piece": pl.Categorical})]
        rows = 0
        for name in self.frames.names(self.name):
            piece = name.rpartition("/")[2]
            frame = self.frames.get(name)
            if frame is None or "id" not in frame.columns or rows >= SEARCHED:
                continue
            rows += frame.height
            ids = pl.DataFrame({"id": frame["id"]}, schema={"id": pl.String})
            places.append(ids.with_columns(piece=pl.lit(piece).cast(pl.Categorical)))
        return pl.concat(places).unique("id", keep="first", maintain_order=True)


def piece_name(ids: pl.Series) -> str:
    """A name for rows with these ids, in this order."""
    return hashlib.blake2b("".join(ids).encode(), digest_size=12).hexdigest()
