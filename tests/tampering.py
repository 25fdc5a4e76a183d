"""Changes of a folder that somebody, or a disk, could make: each file in many ways."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Change = Callable[[Path], None]  # of a folder

# What takes the place of a value in a manifest.
OTHERS: tuple[Any, ...] = (None, True, -1, 1.5e300, "x", [], [None], {}, {"x": {}})


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flipped(path: Path, share: float) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[int((len(data) - 1) * share)] ^= 0x40
    path.write_bytes(bytes(data))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _looped(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'{"a": 1}\n\xff\x00')


CHANGES: dict[str, Callable[[Path], None]] = {
    "deleted": Path.unlink,
    "emptied": _emptied,
    "cut": _cut,
    "flipped at 0.1": lambda path: _flipped(path, 0.1),
    "flipped at 0.5": lambda path: _flipped(path, 0.5),
    "flipped at the end": lambda path: _flipped(path, 1),
    "a folder": _folder,
    "a link to itself": _looped,
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 9),
    "longer": _longer,
    "a number": lambda path: path.write_bytes(b"1"),
    "null": lambda path: path.write_bytes(b"null\n"),
    "a list": lambda path: path.write_bytes(b"[1, [2]]\n"),
    "an object": lambda path: path.write_bytes(b'{"a": 1}\n'),
    "deep": lambda path: path.write_bytes(b"[" * 100_000),
    "UTF-16": lambda path: path.write_bytes("{}".encode("utf-16")),
    "nulls": lambda path: path.write_bytes(bytes(1000)),
}


def file_changes(folder: Path) -> Iterator[tuple[str, Change]]:
    """Every file in every way, and in the place of every other of another kind."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    for name in names:
        for how, change in CHANGES.items():
            yield f"{name} {how}", lambda to, name=name, change=change: change(to / name)  # type: ignore[misc]
        for other in names:
            if Path(other).suffix != Path(name).suffix or "parquet" in name:
                yield (
                    f"{name} is {other}",
                    lambda to, name=name, other=other: _copied(to, name, other),
                )  # type: ignore[misc]


def _copied(folder: Path, name: str, other: str) -> None:
    if name != other:
        shutil.copyfile(folder / other, folder / name)


def _places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    parts: Any = ()
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = list(enumerate(value))[:2]  # those that follow are alike
    for name, part in parts:
        yield (*above, name)
        yield from _places(part, (*above, name))


def json_changes(
    folder: Path, name: str, others: tuple[Any, ...] = OTHERS
) -> Iterator[tuple[str, Change]]:
    """Every value of a JSON file taken out, and replaced by values of other types."""
    content = json.loads((folder / name).read_text("utf-8"))
    for place in _places(content):  # each once
        for number in range(-1, len(others)):
            changed = copy.deepcopy(content)
            holder = changed
            for part in place[:-1]:
                holder = holder[part]
            if number < 0:
                del holder[place[-1]]
            elif type(holder[place[-1]]) is type(others[number]) and others[number] not in (
                [None],
                {"x": {}},
            ):
                continue
            else:
                holder[place[-1]] = others[number]
            what = "gone" if number < 0 else json.dumps(others[number])
            text = json.dumps(changed)
            yield (
                f"{name} {'.'.join(map(str, place))} {what}",
                lambda to, text=text: (to / name).write_text(text),
            )  # type: ignore[misc]


def with_hashes(folder: Path) -> None:
    """Make the manifest say what the files are now, as somebody would who hides a change."""
    from curate.base.folder import sha256

    path = folder / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    for name in manifest["sha256"]:
        if (folder / name).is_file():
            manifest["sha256"][name] = sha256(folder / name)
    path.write_text(json.dumps(manifest))
