"""Frames by name, in memory or in files that nobody else can have written.

A file is whole or absent, and its first bytes are a keyed checksum of its name and content. What
is damaged, was moved to another name, or comes from somebody else is as good as absent.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from curate.base.errors import CurateError
from curate.base.places import UNFINISHED

_DIGEST = 32
ENDING = ".frame"


class Frames(Protocol):
    """Keeps frames under names such as `near-1f/00003`."""

    def get(self, name: str) -> pl.DataFrame | None:
        """The frame of this name; None where there is none."""
        ...

    def put(self, name: str, frame: pl.DataFrame) -> None:
        """Keep a frame under a name, instead of one that has it already."""
        ...


class MemoryFrames:
    """Frames in memory."""

    def __init__(self) -> None:
        self._frames: dict[str, pl.DataFrame] = {}

    def get(self, name: str) -> pl.DataFrame | None:
        """See `Frames`."""
        return self._frames.get(name)

    def put(self, name: str, frame: pl.DataFrame) -> None:
        """See `Frames`."""
        self._frames[name] = frame


@dataclass(frozen=True)
class FolderFrames:
    """Frames in files under `folder`; `advice` ends the sentence on a file that cannot be written.

    Several processes may use one folder: they write equal content, and each file at once.
    """

    folder: Path
    key: bytes = field(repr=False)
    advice: str

    def path(self, name: str) -> Path:
        """Where the frame of this name is, or would be."""
        return self.folder / f"{name}{ENDING}"

    def get(self, name: str) -> pl.DataFrame | None:
        """See `Frames`. Raises `CurateError` for a file that is there and cannot be opened."""
        path = self.path(name)
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise CurateError(
                f"{path}: cannot be read ({error.strerror}); {self.advice}"
            ) from error
        content = memoryview(data)[_DIGEST:]
        if not secrets.compare_digest(self._digest(name, content), data[:_DIGEST]):
            with suppress(OSError):  # gone already, or in a folder that others own
                path.unlink()
            return None
        return pl.read_ipc(io.BytesIO(content))

    def put(self, name: str, frame: pl.DataFrame) -> None:
        """See `Frames`. Raises `CurateError` where it cannot be written."""
        buffer = io.BytesIO()
        frame.write_ipc(buffer, compression="lz4")
        content = buffer.getbuffer()
        path = self.path(name)
        with self.writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Threads of one process, and machines that share a folder, may write it at once.
            partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}{UNFINISHED}")
            try:
                with partial.open("wb") as file:
                    file.write(self._digest(name, content))
                    file.write(content)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Delete a frame that is no longer wanted."""
        self.path(name).unlink(missing_ok=True)

    def names(self, under: str) -> list[str]:
        """The names below `under`, those that were used last first."""
        found = []
        for path in (self.folder / under).glob(f"*{ENDING}"):
            with suppress(FileNotFoundError):
                found.append((path.stat().st_mtime_ns, f"{under}/{path.name[: -len(ENDING)]}"))
        return [name for _, name in sorted(found, reverse=True)]

    def touch(self, name: str) -> None:
        """Note that a frame was used."""
        with suppress(OSError):  # a cache that others own is used all the same
            os.utime(self.path(name))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn a failed write into one sentence."""
        try:
            yield
        except OSError as error:
            what = f"{error.strerror or error}"
            raise CurateError(
                f"{self.folder}: could not be written ({what}); {self.advice}"
            ) from error

    def _digest(self, name: str, content: memoryview) -> bytes:
        digest = hashlib.blake2b(key=self.key, digest_size=_DIGEST)
        digest.update(name.encode() + b"\n")
        digest.update(content)
        return digest.digest()
