"""Reading cuts rows into parts by the rows alone, and holds no more than one of them."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.base.errors import CurateError
from curate.base.parts import Part, PartSize, PartsTo, PartWriter, together
from curate.base.schema import RECORDS
from curate.data import read_data
from curate.sources import Dump, read, read_rows
from curate.sources.reader import Reader
from tests.test_write_limits import NEXT, files_of_at_most

ROWS = [{"prompt": f"Count to {at}.", "completion": "one, " * at + "done"} for at in range(40)]
SMALL = PartSize(rows=7)


def records(texts: list[str]) -> pl.DataFrame:
    """A record of one message for each text."""
    rows = [
        {"row": 9, "id": "", "messages": [{"role": "assistant", "content": text}]} for text in texts
    ]
    return pl.DataFrame(rows, schema=RECORDS)


def cut(pieces: list[list[str]], rows: int, size: int, folder: Path | None = None) -> list[Part]:
    writer = PartWriter(folder, rows, size)
    for piece in pieces:
        writer.add(records(piece))
    return writer.finish()


TEXTS = st.lists(st.text("aß", max_size=6), max_size=60)


@given(TEXTS, st.lists(st.integers(0, 60)), st.integers(1, 9), st.integers(1, 30))
def test_any_pieces_give_the_same_parts(
    texts: list[str], cuts: list[int], rows: int, size: int
) -> None:
    places = [0, *sorted(min(at, len(texts)) for at in cuts), len(texts)]
    pieces = [texts[start:end] for start, end in pairwise(places)]
    apart, at_once = cut(pieces, rows, size), cut([[text] for text in texts], rows, size)
    assert apart == at_once
    assert together(apart, RECORDS).equals(together(at_once, RECORDS))
    assert together(apart, RECORDS)["row"].to_list() == list(range(len(texts)))


@given(TEXTS, st.integers(1, 9), st.integers(1, 30))
def test_a_part_ends_where_the_next_row_would_be_too_much(
    texts: list[str], rows: int, size: int
) -> None:
    parts = cut([texts], rows, size)
    sizes = [len(text.encode()) for text in texts]
    assert [part.number for part in parts] == list(range(len(parts)))
    assert sum(part.height for part in parts) == len(texts)
    for part in parts:
        end = part.start + part.height
        held = sum(sizes[part.start : end])
        assert part.height <= rows and (held <= size or part.height == 1)
        assert end == len(texts) or part.height == rows or held + sizes[end] > size


def test_what_fits_one_part_is_not_written(tmp_path: Path) -> None:
    (part,) = cut([["a"] * 5, ["b"] * 2], rows=7, size=100, folder=tmp_path / "parts")
    assert part.path is None and part.height == 7 and not (tmp_path / "parts").exists()


def test_several_parts_are_files_of_which_each_is_there_as_soon_as_it_is_full(
    tmp_path: Path,
) -> None:
    writer = PartWriter(tmp_path / "parts", rows=5_000)
    for _ in range(3):
        writer.add(records(["a"] * 5_000))
    written = sorted(path.name for path in (tmp_path / "parts").iterdir())
    assert written == ["part-00000.arrow", "part-00001.arrow"]
    parts = writer.finish()
    assert [part.path.name for part in parts if part.path] == [
        f"part-0000{number}.arrow" for number in range(3)
    ]
    assert parts[2].load()["row"].to_list() == list(range(10_000, 15_000))


def test_a_part_that_is_gone_is_named(tmp_path: Path) -> None:
    first, _ = cut([["a", "b"]], rows=1, size=100, folder=tmp_path)
    (tmp_path / "part-00000.arrow").unlink()
    with pytest.raises(CurateError, match=r"part-00000\.arrow: cannot be read \("):
        first.load()


FILES: dict[str, Callable[[list[Any]], str]] = {
    "lines.jsonl": lambda rows: "\n".join(map(json.dumps, rows)),
    "document.json": lambda rows: json.dumps(rows, indent=1),
    "one_line.json": json.dumps,
    # Lines tell the rows apart until nearly all of them were read.
    "late.json": lambda rows: (
        "["
        + ",\n".join(map(json.dumps, rows[:-2]))
        + ","
        + ",".join(map(json.dumps, rows[-2:]))
        + "]"
    ),
    "late_reject.json": lambda rows: (
        "["
        + ",\n".join(map(json.dumps, rows[:20]))
        + ",\n"
        + '{"prompt": oops},\n{"no": 1},'
        + ",".join(map(json.dumps, rows[20:]))
        + "]"
    ),
}
LINES = {"late.json": list(range(1, 41)), "late_reject.json": [*range(1, 21), *range(23, 43)]}


@pytest.mark.parametrize("name", FILES)
def test_parts_hold_what_reading_at_once_gives(name: str, tmp_path: Path) -> None:
    before, path = tmp_path / "before.jsonl", tmp_path / name
    before.write_text(FILES["lines.jsonl"](ROWS[:3]) + '\n{"no": 1}')
    path.write_text(FILES[name](ROWS))
    names = [str(before), str(path)]
    dump, parted = read(names), read(names, to=PartsTo(tmp_path / "parts", SMALL))
    assert [part.height for part in parted.parts] == [7] * 6 + [1]
    assert parted.records.equals(dump.records) and parted.rejects.equals(dump.rejects)
    assert parted.files == dump.files and parted.read == dump.read
    lines = dump.records["line"].to_list()[3:]
    assert lines == LINES.get(name, lines)


def test_rows_that_wait_to_be_joined_are_numbered_too(tmp_path: Path) -> None:
    thread = [
        {"message_id": str(at), "parent_id": str(at - 1) if at else None, "text": f"Turn {at}",
         "role": ("prompter", "assistant")[at % 2], "message_tree_id": "0"}
        for at in range(4)
    ]  # fmt: skip
    path = tmp_path / "late.json"
    path.write_text(FILES["late.json"](thread))
    (tmp_path / "lines.jsonl").write_text(FILES["lines.jsonl"](thread))
    joined, lines = read([str(path)]), read([str(tmp_path / "lines.jsonl")])
    assert joined.height == 1 and joined.files[0].converted == lines.files[0].converted
    assert joined.records["line"].to_list() == lines.records["line"].to_list()


def test_rows_in_memory_come_in_parts(tmp_path: Path) -> None:
    for rows in (ROWS, pl.DataFrame(ROWS)):
        dump = read_rows(rows, to=PartsTo(tmp_path, SMALL))
        assert dump.height == 40 and [part.height for part in dump.parts] == [7] * 5 + [5]
        assert dump.records.equals(read_rows(rows).records)


def test_rejects_come_in_parts_and_are_counted_without_being_loaded(tmp_path: Path) -> None:
    rows = [*ROWS[:2], *({"number": at} for at in range(20))]
    dump = read_data(rows, to=PartsTo(tmp_path, SMALL))
    assert [frame.height for frame in dump.reject_parts()] == [7, 7, 6]
    for path in tmp_path.glob("rejects-*.arrow"):
        path.unlink()
    assert (dump.height, dump.rejected, dump.read) == (2, 20, 22)


@pytest.mark.parametrize("others", [[], ["other.jsonl"]])
def test_parts_that_cannot_be_written_name_their_file(
    others: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("dump.jsonl", *others):
        Path(name).write_text(FILES["lines.jsonl"](ROWS))
    place = Path("parts", "part-00000.arrow")
    with files_of_at_most(100), pytest.raises(CurateError) as caught:
        read(["dump.jsonl", *others], to=PartsTo(Path("parts"), SMALL))
    assert str(caught.value).startswith(f"{place}: could not be written (")
    assert NEXT in str(caught.value) and not any(Path("parts").iterdir())
    Path("file").touch()
    with pytest.raises(CurateError, match=r"^file/part-00000\.arrow: could not be written \("):
        read(["dump.jsonl", *others], to=PartsTo(Path("file"), SMALL))


def read_while(change: Callable[[], object], names: list[str], monkeypatch: Any) -> Dump:
    """What is read where `change` is made before the rows of the first file are all taken."""
    finish = Reader.finish

    def changing(reader: Reader) -> Any:
        change()
        return finish(reader)

    monkeypatch.setattr(Reader, "finish", changing)
    return read(names)


@pytest.mark.parametrize("names", [["dump.jsonl"], ["other.jsonl", "dump.jsonl"]])
def test_a_file_that_somebody_writes_to_is_named(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in names:
        Path(name).write_text(FILES["lines.jsonl"](ROWS))

    def write() -> None:
        with Path("dump.jsonl").open("a") as file:
            file.write('\n{"prompt": "Mo')

    with pytest.raises(CurateError) as caught:
        read_while(write, names, monkeypatch)
    assert str(caught.value) == (
        "dump.jsonl: changed while it was read; run it again when nobody writes to it"
    )


def test_an_archive_that_somebody_replaces_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("dump.zip", "w") as archive:
        archive.writestr("one.jsonl", FILES["lines.jsonl"](ROWS))
        archive.writestr("two.jsonl", FILES["lines.jsonl"](ROWS[1:]))
    with pytest.raises(CurateError, match=r"^dump\.zip: changed while it was read; "):
        read_while(lambda: os.utime("dump.zip", ns=(0, 1)), ["dump.zip"], monkeypatch)


def test_a_file_that_is_removed_after_it_was_read_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "dump.jsonl"
    path.write_text(FILES["lines.jsonl"](ROWS))
    assert read_while(path.unlink, [str(path)], monkeypatch).height == 40
