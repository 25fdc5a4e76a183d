"""Names on the command line as inputs: files, folders, globs, saved or hub datasets, `-`."""

from __future__ import annotations

import glob
import gzip
import hashlib
import json
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from curate.base.errors import CurateError
from curate.base.folder import files_of
from curate.sources import hub

SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".csv", ".tsv", ".yaml", ".yml")
PACKED = (".gz", ".zst")


@dataclass(frozen=True)
class Input:
    """One source of rows: its name in the records, and its bytes as they are stored."""

    name: str
    stored: Callable[[], bytes]

    def suffix(self) -> str:
        """The file's ending without that of a compression: `.csv` for `a.csv.gz`."""
        return Path(_unpacked_name(self.name)).suffix.lower()


def _unpacked_name(name: str) -> str:
    for packed in PACKED:
        name = name.removesuffix(packed)
    return name


def expand(names: list[str]) -> list[Input]:
    """The inputs behind names, in the order given; folders and globs sorted by name.

    Raises `CurateError` for a name behind which there is nothing.
    """
    inputs: list[Input] = []
    for name in names:
        path = Path(name)
        if name == "-":
            inputs.append(Input("-", sys.stdin.buffer.read))
        elif path.is_dir():
            inputs += [_file(inside) for inside in _inside(path)]
        elif path.is_file() or path.is_fifo():
            inputs.append(_file(path))
        elif any(sign in name for sign in "*?["):
            matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (absolute patterns)
            if not matches:
                raise CurateError(f"{name}: no file matches")
            inputs += expand(matches)
        elif hub.is_hub_name(name, (*SUFFIXES, *PACKED)):
            tables = hub.splits(name)
            inputs += [Input(split, partial(hub.arrow_bytes, tables[split])) for split in tables]
        else:
            raise CurateError(f"{name}: no such file or folder")
    return inputs


def _file(path: Path) -> Input:
    return Input(path.as_posix(), path.read_bytes)


def _inside(folder: Path) -> list[Path]:
    if "kept.jsonl" in files_of(folder, "curate run"):
        return [folder / "kept.jsonl"]
    if (folder / "state.json").is_file():
        return _saved_dataset(folder)
    splits = [path for path in sorted(folder.iterdir()) if (path / "state.json").is_file()]
    if splits:
        return [file for split in splits for file in _saved_dataset(split)]
    paths = sorted(path for path in folder.rglob("*") if _is_readable(path, folder))
    if not paths:
        raise CurateError(f"{folder}: no {', '.join(SUFFIXES)} file in this folder")
    return paths


def _saved_dataset(folder: Path) -> list[Path]:
    """The Arrow files of a folder from `datasets.save_to_disk`, in the order it states."""
    try:
        state = json.loads((folder / "state.json").read_text("utf-8"))
        return [folder / entry["filename"] for entry in state["_data_files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CurateError(f"{folder / 'state.json'}: not the state of a saved dataset") from error


def _is_readable(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    is_known = _unpacked_name(path.name).lower().endswith(SUFFIXES)
    return path.is_file() and not hidden and is_known


def sha256(data: bytes) -> str:
    """The input's fingerprint in the manifest."""
    return hashlib.sha256(data).hexdigest()


def unpack(data: bytes, name: str) -> tuple[bytes, str | None]:
    """The bytes without compression, and what went wrong if the packed data ends early."""
    if data.startswith(b"\x1f\x8b"):
        return _gunzip(data, name)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return _unzstd(data, name)
    return data, None


def _gunzip(data: bytes, name: str) -> tuple[bytes, str | None]:
    try:
        return gzip.decompress(data), None
    except (OSError, EOFError, zlib.error) as error:
        # What could still be unpacked is kept; the place where it broke becomes a reject.
        stream = zlib.decompressobj(wbits=31)
        try:
            unpacked = stream.decompress(data)
        except zlib.error:
            unpacked = b""
        if not unpacked:
            raise CurateError(f"{name}: the gzip data is damaged ({error})") from error
        return unpacked, f"the gzip data is damaged ({error})"


def _unzstd(data: bytes, name: str) -> tuple[bytes, str | None]:
    import zstandard

    unpacked: list[bytes] = []
    try:
        while data:
            frame = zstandard.ZstdDecompressor().decompressobj()
            unpacked.append(frame.decompress(data))
            if not frame.eof:
                return b"".join(unpacked), "the zstd data is damaged (it ends inside a frame)"
            data = frame.unused_data
    except zstandard.ZstdError as error:
        if not any(unpacked):
            raise CurateError(f"{name}: the zstd data is damaged ({error})") from error
        return b"".join(unpacked), f"the zstd data is damaged ({error})"
    return b"".join(unpacked), None
