"""A file is what its bytes say: packed, an archive, or something that holds no rows."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

import polars as pl
import pytest
import zstandard

from curate.base.errors import CurateError
from curate.sources import read
from curate.sources.files import inputs, packed
from curate.sources.files.inputs import Input
from curate.sources.files.items import Note
from curate.sources.files.raw import items
from curate.sources.formats import is_row

ROW = {"instruction": "Add.", "output": "3"}
GOOD = (json.dumps(ROW) + "\n").encode()
TABLE = b"question,answer\nq,a\n"
OTHER = GOOD.replace(b"Add.", b"Take.")

PACK = {
    "gz": gzip.compress,
    "zst": zstandard.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def given(folder: Path, data: bytes, name: str = "dump.jsonl") -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


def notes(source: Input) -> list[str]:
    found = items(source, source.stored(), is_row)
    return [item.text for item in found if isinstance(item, Note)]


@pytest.mark.parametrize("ending", PACK)
def test_packed_files_are_read_whatever_they_are_called(tmp_path: Path, ending: str) -> None:
    packed_rows = PACK[ending](GOOD + OTHER)
    for name in (f"a.jsonl.{ending}", "a.jsonl", "a"):
        assert read([given(tmp_path, packed_rows, name)]).records["line"].to_list() == [1, 2]
    table = io.BytesIO()
    pl.DataFrame([ROW, ROW]).write_parquet(table)
    name = given(tmp_path, PACK[ending](table.getvalue()), f"a.parquet.{ending}")
    assert read([name]).records.height == 2
    name = given(tmp_path, PACK[ending](b"question,answer\nq,a\n"), f"a.csv.{ending}")
    assert read([name]).records.height == 1


@pytest.mark.parametrize("ending", PACK)
def test_streams_one_after_another_are_one_file(tmp_path: Path, ending: str) -> None:
    both = PACK[ending](GOOD) + PACK[ending](OTHER)
    many = b"".join(PACK[ending](GOOD) for _ in range(3000))
    assert read([given(tmp_path, both)]).records.height == 2
    assert read([given(tmp_path, many)]).records.height == 3000
    if ending == "gz":
        assert read([given(tmp_path, both + b"\0" * 512)]).rejects.height == 0


@pytest.mark.parametrize("ending", PACK)
def test_a_packed_file_that_breaks_off_or_goes_on_as_something_else_says_so(
    tmp_path: Path, ending: str
) -> None:
    rows = b"".join(GOOD.replace(b"3", b"%d" % (number**5)) for number in range(50_000))
    whole = PACK[ending](rows)
    for data in (whole[: len(whole) // 2], whole + b"<html>an error</html>"):
        dump = read([given(tmp_path, data)])
        assert dump.records.height > 10_000
        assert dump.rejects["reason"][-1].startswith("damaged: the ")
    with pytest.raises(CurateError, match=r"dump\.jsonl: the \w+ data is damaged"):
        read([given(tmp_path, whole[:12])])


@pytest.mark.parametrize("ending", PACK)
def test_what_unpacks_to_far_more_than_a_dump_would_is_refused(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "MOST_BYTES", 1 << 20)
    bomb = PACK[ending](b" " * (1 << 25))
    with pytest.raises(CurateError, match=r"which unpack to more than [\d,]+, as data made"):
        read([given(tmp_path, bomb)])
    fine = PACK[ending](GOOD * 20_000)
    assert len(GOOD * 20_000) < 1 << 20
    assert read([given(tmp_path, fine)]).records.height == 20_000


def tar_of(rows: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.jsonl"), io.BytesIO(rows))
    return stream.getvalue()


HEADER = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()

NO_ROWS: dict[str, tuple[bytes, str]] = {
    "a pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "a Git LFS pointer, not the file itself; run: git lfs pull",
    ),
    "a page": (b"\n<!DOCTYPE html>\n<html><body>404</body></html>", "a web page"),
    "a page in capitals": (b"<HTML><HEAD><TITLE>Sign in", "a web page"),
    "a page as XML": (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x">', "a web page"),
    "a marked page": (b"\xef\xbb\xbf<!doctype html>", "a web page"),
    "XML": (b'<?xml version="1.0" encoding="utf-8"?>\n<posts>\n', "XML"),
    "XML without a declaration": (b'<Error>\n<Code>AccessDenied</Code>\n', "XML"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
    "SQLite": (b"SQLite format 3\0\x10\0", "an SQLite database"),
    "pickle": (pickle.dumps([ROW]), "a pickle .* never loaded"),
    "old pickle": (pickle.dumps([ROW], 2), "a pickle .* never loaded"),
    "NumPy": (b"\x93NUMPY\x01\0v\0{'descr': '<i8'}", "a NumPy array"),
    "safetensors": (struct.pack("<Q", len(HEADER)) + HEADER + b"\0" * 4, "weights .*safetensors"),
    "GGUF": (b"GGUF\x03\0\0\0", "weights .*GGUF"),
    "Avro": (b"Obj\x01\x04\x16avro.schema", "an Apache Avro file"),
    "Feather": (b"FEA1\0\0\0\0", "a Feather file of version 1"),
    "ORC": (b"ORC\x11\0\0\x0a", "an Apache ORC file"),
    "HDF5": (b"\x89HDF\r\n\x1a\n\0", "an HDF5 file"),
    "an old document": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "an old Word or Excel document"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0", "a 7z archive"),
    "RAR": (b"Rar!\x1a\x07\x01\0", "a RAR archive"),
    "lz4": (b"\x04\x22\x4d\x18\x64", "packed with lz4"),
    "tar": (tar_of(GOOD), "a tar archive; unpack it first"),
    "a packed tar": (gzip.compress(tar_of(GOOD)), "a tar archive"),
    "packed twice": (gzip.compress(bz2.compress(GOOD)), "packed twice"),
    "a page in gzip": (gzip.compress(b"<html>404</html>"), "a web page"),
    "noise": (bytes(range(256)) * 20, "binary data of no kind that is known"),
    "prose": (b"Dear reader,\nthis is no dump.\n", r"no line begins .*the first is 'Dear reader,'"),
    "a mark alone": (b"\xef\xbb\xbf", "only white space"),
    "a wide mark alone": (b"\xff\xfe", "only white space"),
    "blank lines": (b"\n \t\r\n", "only white space"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NO_ROWS)
def test_a_file_that_holds_no_rows_is_said_to_be_what_it_is(tmp_path: Path, kind: str) -> None:
    data, message = NO_ROWS[kind]
    for name in ("dump.jsonl", "dump"):
        with pytest.raises(CurateError, match=rf"{name}: .*{message}"):
            read([given(tmp_path, data, name)])
    dump = read([given(tmp_path, data), given(tmp_path, GOOD, "good.jsonl")])
    assert dump.records.height == 1
    assert dump.rejects["reason"][0].startswith("unreadable_file: ")


@pytest.mark.parametrize("begin", ["ORC", "Objects", "PDF", "BZh9", "PAR1", "<b>", "Rar", "7z"])
def test_text_that_begins_as_some_such_file_may_is_read(tmp_path: Path, begin: str) -> None:
    text = f"{begin},question,answer\nx,Q?,A.\n"
    assert read([given(tmp_path, text.encode(), "dump.csv")]).records.height == 1


@pytest.mark.parametrize(
    "encoding",
    ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"],
)
def test_wide_characters_are_text_with_and_without_a_mark(tmp_path: Path, encoding: str) -> None:
    text = '{"instruction": "Zürich 🙂?", "output": "é"}\n' * 2
    dump = read([given(tmp_path, text.encode(encoding))])
    assert [messages[0]["content"] for messages in dump.records["messages"].to_list()] == [
        "Zürich 🙂?"
    ] * 2
    table = "question,answer\nZürich?,é\n"
    assert read([given(tmp_path, table.encode(encoding), "a.csv")]).records.height == 1


def zipped(folder: Path, name: str, **members: bytes) -> str:
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return str(folder / name)


def test_each_readable_file_in_a_zip_archive_is_an_input_of_its_own(tmp_path: Path) -> None:
    name = zipped(tmp_path, "a.zip", **{
        "b.jsonl": GOOD, "deep/c.csv": TABLE, "d.jsonl.gz": gzip.compress(OTHER),
        "__MACOSX/b.jsonl": b"x", ".hidden.jsonl": b"x", "README.md": b"x", "e.zip": b"PK\x03\x04",
    })  # fmt: skip
    for given_name in (name, str(tmp_path)):
        dump = read([given_name])
        sources = [file.source.removeprefix(f"{tmp_path.as_posix()}/") for file in dump.files]
        assert sources[:3] == ["a.zip/b.jsonl", "a.zip/deep/c.csv", "a.zip/d.jsonl.gz"]
        assert dump.records.height == 3
        ((reason,),) = dump.rejects.select("reason").rows()
        assert "a.zip/e.zip: this is a zip archive inside of something else" in reason
    assert notes(inputs.expand([name])[0]) == ["not read in the archive: 1 file (README.md)"]


DOCUMENTS = {
    "an Excel workbook": "xl/workbook.xml",
    "a Word document": "word/document.xml",
    "a PyTorch file, which is never loaded": "model/data.pkl",
    "a NumPy array|a NumPy archive": "x.npy",
    r"no file in this zip archive can be read; it holds 1 file \(cat.png\)": "cat.png",
}


@pytest.mark.parametrize("message", DOCUMENTS)
def test_documents_that_are_zip_archives_are_named(tmp_path: Path, message: str) -> None:
    name = zipped(tmp_path, "dump.xlsx", **{DOCUMENTS[message]: b"x"})
    with pytest.raises(CurateError, match=f"dump.xlsx: (this is )?({message})"):
        read([name])
    assert read([name, given(tmp_path, GOOD)]).records.height == 1


def test_files_in_an_archive_that_lead_out_of_it_or_are_locked_are_not_read(tmp_path: Path) -> None:
    name = zipped(tmp_path, "a.zip", **{"../b.jsonl": GOOD, "/c.jsonl": GOOD, "d.jsonl": GOOD})
    with zipfile.ZipFile(name, "a") as archive:
        link = zipfile.ZipInfo("e.jsonl")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    dump = read([name])
    assert dump.records.height == 1
    assert dump.rejects["reason"].str.contains("leads out of its archive").all()
    assert dump.rejects.height == 3


def test_a_locked_file_in_an_archive_is_named(tmp_path: Path) -> None:
    name = zipped(tmp_path, "a.zip", **{"b.jsonl": GOOD, "c.jsonl": OTHER})
    stored = bytearray(Path(name).read_bytes())
    stored[6] |= 1  # the flag of the first file, beside it and in the list at the end
    stored[stored.find(b"PK\x01\x02") + 8] |= 1
    dump = read([given(tmp_path, bytes(stored), "locked.zip")])
    assert dump.records.height == 1
    assert "locked.zip/b.jsonl: encrypted" in dump.rejects["reason"][0]


def test_an_archive_made_to_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "MOST_BYTES", 1 << 20)
    name = zipped(tmp_path, "a.zip", **{"b.jsonl": b" " * (1 << 25)})
    with pytest.raises(CurateError, match="made to fill the memory"):
        read([name])


def test_a_damaged_archive_is_a_clear_error(tmp_path: Path) -> None:
    name = zipped(tmp_path, "a.zip", **{"b.jsonl": GOOD * 50})
    stored = Path(name).read_bytes()
    with pytest.raises(CurateError, match=r"a\.zip: the zip archive is damaged"):
        read([given(tmp_path, stored[:-30], "a.zip")])
    spoilt = stored[:60] + b"\xff\xff\xff" + stored[63:]
    dump = read([given(tmp_path, spoilt, "a.zip")])
    assert (dump.height, dump.rejected) == (0, 1)
    assert dump.rejects["reason"][0].startswith("damaged: the zip data is damaged (Error -3")


def test_two_files_of_one_name_in_an_archive_are_both_read(tmp_path: Path) -> None:
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(tmp_path / "a.zip", "w") as archive,
    ):
        archive.writestr("b.jsonl", GOOD)
        archive.writestr("b.jsonl", OTHER)
    dump = read([str(tmp_path / "a.zip")])
    assert [messages[0]["content"] for messages in dump.records["messages"].to_list()] == [
        "Add.",
        "Take.",
    ]


def test_files_of_a_folder_that_are_not_read_are_named(tmp_path: Path) -> None:
    given(tmp_path, GOOD, "b.jsonl")
    given(tmp_path, GOOD, "c.jsonl.txt")
    given(tmp_path, b"x", ".hidden")
    (tmp_path / "deep").mkdir()
    given(tmp_path / "deep", b"x", "d.bin")
    (first,) = inputs.expand([str(tmp_path)])
    assert notes(first) == [
        f"not read in {tmp_path.as_posix()}, for their endings: 2 files (c.jsonl.txt, deep/d.bin)"
    ]


def test_a_file_that_may_not_be_read_does_not_cost_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, good = given(tmp_path, GOOD, "locked.jsonl"), given(tmp_path, GOOD, "good.jsonl")
    real = Path.read_bytes

    def refusing(path: Path) -> bytes:
        if path.name == "locked.jsonl":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", refusing)
    dump = read([locked, good])
    assert dump.records.height == 1
    assert dump.rejects["reason"].to_list() == [
        f"unreadable_file: {locked}: cannot be read (Permission denied)"
    ]


def test_an_archive_on_standard_input_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.jsonl", GOOD)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stream.getvalue())))
    with pytest.raises(CurateError, match="-: this is a zip archive inside of something else"):
        read(["-"])
