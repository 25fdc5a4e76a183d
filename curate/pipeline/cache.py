"""Measures kept between runs, by content: a threshold can move, a killed run go on, for free.

One folder per measure (filter, version and the settings it depends on), one file per part that
was computed at once. A part is whole or absent; a damaged one is measured again.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import polars as pl

from curate.base.contract import Filter
from curate.base.errors import CurateError

# Old parts go, least recently used first, when the cache outgrows this many bytes.
LIMIT = 4 << 30


def default_folder() -> Path:
    """`$CURATE_CACHE`, or `curate` in the user's cache folder."""
    given = os.environ.get("CURATE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(given) if given else Path(base) / "curate"


class MeasureCache:
    """Looks up and stores measures by record id under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, step: Filter) -> StepCache | None:
        """The part of the cache for one filter's measure; None if it is not worth keeping."""
        if not step.cached:
            return None
        return StepCache(self.folder / f"{step.name}-{_key(step)}")

    def trim(self, limit: int = LIMIT) -> None:
        """Delete the parts that were used longest ago until the rest is within `limit` bytes."""
        parts = [(path.stat(), path) for path in self.folder.glob("*/*.arrow")]
        total = sum(stat.st_size for stat, _ in parts)
        for stat, path in sorted(parts, key=lambda part: (part[0].st_mtime, part[1])):
            if total <= limit:
                return
            path.unlink(missing_ok=True)
            total -= stat.st_size


class StepCache:
    """One filter's measures, by record id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, ids: pl.Series) -> pl.DataFrame:
        """`id` and the measures of all of these ids that are known."""
        wanted = ids.unique().implode()
        parts = [frame.filter(pl.col("id").is_in(wanted)) for frame in self._parts()]
        known = pl.concat([ids.clear().to_frame(), *parts], how="diagonal")
        return known.unique("id", keep="first", maintain_order=True)

    def _parts(self) -> list[pl.DataFrame]:
        frames = []
        for path in sorted(self.folder.glob("*.arrow")):
            try:
                with path.open("rb") as file:
                    frames.append(pl.read_ipc(file))
            except (pl.exceptions.PolarsError, OSError):
                # Not ours to repair: without this part its rows are simply measured again.
                path.unlink(missing_ok=True)
                continue
            os.utime(path)
        return frames

    def save(self, part: pl.DataFrame) -> None:
        """Keep these measures (with their `id`); the file appears only when it is whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.blake2b("".join(part["id"]).encode(), digest_size=12).hexdigest()
        unfinished = self.folder / f"{name}.{os.getpid()}.unfinished"
        try:
            part.write_ipc(unfinished, compression="lz4")
            unfinished.replace(self.folder / f"{name}.arrow")
        except (pl.exceptions.PolarsError, OSError) as error:
            unfinished.unlink(missing_ok=True)
            raise CurateError(
                f"{self.folder}: measures could not be kept ({error}); check the free space and "
                "the greatest size of a file (ulimit -f), or go without: --no-cache"
            ) from error


def _key(step: Filter) -> str:
    settings: dict[str, Any] = {name: getattr(step, name) for name in sorted(step.measured_by)}
    text = repr((step.name, step.version, settings))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
