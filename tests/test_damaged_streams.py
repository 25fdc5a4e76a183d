"""What is damaged in packed data and tables costs its own rows, is said, and nothing else."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard

from curate.base.errors import CurateError
from curate.cli import main
from curate.sources import Dump, ReadOptions, read
from curate.sources.files import packed
from curate.sources.files.packed import unpack
from curate.sources.options import size_of

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def rows(begin: int, end: int) -> bytes:
    row = b'{"instruction": "What is %d times %d?", "output": "%d"}\n'
    return b"".join(row % (n, n, n * n) for n in range(begin, end))


def given(folder: Path, data: bytes, name: str = "dump.jsonl") -> Dump:
    (folder / name).write_bytes(data)
    dump = read([str(folder / name)])
    assert dump.read == dump.height + dump.rejected == dump.files[0].rows + dump.files[0].rejected
    return dump


def answers(dump: Dump) -> set[int]:
    return {int(messages[-1]["content"]) for messages in dump.records["messages"]}


def squares(*ranges: tuple[int, int]) -> set[int]:
    return {n * n for begin, end in ranges for n in range(begin, end)}


def spoilt(data: bytes, at: int) -> bytes:
    return data[:at] + bytes(byte ^ 0xFF for byte in data[at : at + 4]) + data[at + 4 :]


@pytest.mark.parametrize("ending", PACK)
def test_streams_behind_a_damaged_one_are_read(tmp_path: Path, ending: str) -> None:
    parts = [PACK[ending](rows(at, at + 100)) for at in (0, 100, 200, 300)]
    parts[1] = spoilt(parts[1], len(parts[1]) // 2)
    dump = given(tmp_path, b"".join(parts))
    assert squares((0, 100), (200, 400)) <= answers(dump)
    assert set(dump.files[0].rejects) <= {"damaged", "invalid_json"}
    assert dump.files[0].rejects["damaged"] == 1
    assert dump.rejects["reason"][-1].startswith("damaged: the ")


def test_a_member_of_gzip_that_breaks_off_gives_its_whole_rows_and_one_reject(
    tmp_path: Path,
) -> None:
    packing = zlib.compressobj(wbits=31)
    begun = packing.compress(rows(0, 300)[:-10]) + packing.flush(zlib.Z_FULL_FLUSH)
    dump = given(tmp_path, begun + b"\xff" * 9 + PACK["gz"](rows(400, 500)))
    assert answers(dump) == squares((0, 299), (400, 500))
    assert dump.files[0].rejects == {"damaged": 1}
    reject = dump.rejects.row(0, named=True)
    assert (reject["line"], reject["raw"]) == (300, rows(299, 300)[:-10].decode())
    assert dump.records["line"].to_list() == [*range(1, 300), *range(301, 401)]


def test_a_checksum_that_does_not_fit_leaves_all_rows_and_is_one_reject(tmp_path: Path) -> None:
    first, second = PACK["gz"](rows(0, 50)), PACK["gz"](rows(50, 80))
    for data in (spoilt(first, len(first) - 8) + second, first + spoilt(second, len(second) - 6)):
        dump = given(tmp_path, data)
        assert answers(dump) == squares((0, 80))
        assert dump.files[0].rejects == {"damaged": 1}
        assert "its checksum does not fit" in dump.rejects["reason"][0]


def test_rows_that_stand_in_two_members_are_whole(tmp_path: Path) -> None:
    text = rows(0, 100)
    cuts = [0, 33, 1000, 1001, 2500, len(text)]
    data = b"".join(PACK["gz"](text[a:b]) for a, b in itertools.pairwise(cuts))
    dump = given(tmp_path, data)
    assert answers(dump) == squares((0, 100)) and not dump.rejected


@pytest.mark.parametrize("ending", PACK)
def test_what_was_unpacked_before_a_cut_is_the_same_however_much_it_is(ending: str) -> None:
    text = rows(0, 40_000)
    whole = PACK[ending](text)
    for share in (0.45, 0.6, 0.95):
        found = unpack(whole[: int(len(whole) * share)], "dump")
        assert text.startswith(found.data) and len(found.damages) == 1
    found = unpack(whole, "dump")
    assert (found.data, found.damages) == (text, ())


def test_a_member_of_a_zip_archive_with_a_wrong_checksum_gives_its_rows(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b.jsonl", rows(0, 30))
        archive.writestr("c.jsonl", rows(30, 60))
    stored = bytearray((tmp_path / "a.zip").read_bytes())
    stored[stored.find(b"PK\x01\x02") + 16] ^= 0xFF  # the checksum in the list of members
    (tmp_path / "a.zip").write_bytes(stored)
    dump = read([str(tmp_path / "a.zip")])
    assert answers(dump) == squares((0, 60)) and dump.rejected == 1
    assert dump.files[0].rejects == {"damaged": 1} and dump.files[1].rejects == {}


# --- bombs


@pytest.mark.parametrize("ending", PACK)
def test_a_bomb_takes_neither_memory_nor_the_run(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "MOST_BYTES", 1 << 26)
    monkeypatch.setattr(packed, "HELD", 1 << 24)
    stream = PACK[ending](b" " * (1 << 24))
    (tmp_path / "bomb.jsonl").write_bytes(stream * 12)
    (tmp_path / "good.jsonl").write_bytes(rows(0, 5))
    tracemalloc.start()
    try:
        dump = read([str(tmp_path)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (dump.height, dump.rejected) == (5, 1)
    assert "which unpack to more than 67,108,864, as data made" in dump.rejects["reason"][0]
    assert peak < 5 * (1 << 24)


def test_an_archive_is_bounded_in_all_and_so_is_what_is_packed_inside_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "MOST_BYTES", 1 << 22)
    inner = gzip.compress(b" " * (3 << 20))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.jsonl", rows(0, 3))
        archive.writestr("b.jsonl.gz", inner)
        archive.writestr("c.jsonl.gz", inner)
    dump = read([str(tmp_path / "a.zip")])
    assert dump.height == 3 and dump.rejected == 2
    white, bomb = dump.rejects["reason"].to_list()
    assert "only white space" in white and "which unpack to more than 4,194,304" in bomb


def test_the_limit_can_be_raised_and_lowered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "dump.jsonl.gz"
    path.write_bytes(gzip.compress(rows(0, 100)))
    words = ["run", str(path), "--quiet", "--out", str(tmp_path / "RUN")]
    assert main([*words, "--max-unpacked", "1KB"]) == 1
    said = capsys.readouterr().err
    assert "unpack to more than 1,000" in said and "--max-unpacked" in said
    assert main([*words, "--max-unpacked", "1MB"]) == 0
    assert read([str(path)], ReadOptions(max_unpacked=10**6)).height == 100
    for odd in ("much", "-1", "1e9", "1 PB"):
        with pytest.raises(CurateError, match="is no size"):
            size_of(odd)
    with pytest.raises(CurateError, match="max_unpacked is 0"):
        ReadOptions(max_unpacked=0)


# --- tables

TABLE = pl.DataFrame(
    {
        "instruction": [f"What is {n} times {n}?" for n in range(1000)],
        "output": [str(n * n) for n in range(1000)],
    }
)


def parquet(table: pl.DataFrame, **settings: Any) -> bytes:
    stream = io.BytesIO()
    table.write_parquet(stream, **settings)
    return stream.getvalue()


def test_a_damaged_row_group_of_parquet_costs_its_own_rows(tmp_path: Path) -> None:
    stored = parquet(TABLE, row_group_size=100, compression="zstd", statistics=False)
    dump = given(tmp_path, spoilt(stored, len(stored) // 3), "dump.parquet")
    assert (dump.height, dump.files[0].rejects) == (900, {"damaged": 1})
    (line,) = dump.rejects["line"]
    assert line % 100 == 1
    assert "damaged: 100 rows from here on are lost with part" in dump.rejects["reason"][0]
    kept = [number for number in range(1, 1001) if not line <= number < line + 100]
    assert dump.records["line"].to_list() == kept
    assert answers(dump) == {(number - 1) ** 2 for number in kept}


def arrow(table: pl.DataFrame, *, is_file: bool) -> bytes:
    pa = pytest.importorskip("pyarrow")
    stream = io.BytesIO()
    new = pa.ipc.new_file if is_file else pa.ipc.new_stream
    plain = table.to_arrow()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with new(stream, plain.schema, options=options) as writer:
        writer.write_table(plain, max_chunksize=100)
    return stream.getvalue()


@pytest.mark.parametrize("is_file", [True, False])
def test_a_damaged_batch_of_arrow_costs_its_own_rows(tmp_path: Path, is_file: bool) -> None:
    stored = arrow(TABLE, is_file=is_file)
    frame = stored.find(b"\x28\xb5\x2f\xfd", len(stored) // 2)  # of zstd, in the middle
    dump = given(tmp_path, spoilt(stored, frame), "dump.arrow")
    assert (dump.height, dump.files[0].rejects) == (900, {"damaged": 1})
    (line,) = dump.rejects["line"]
    assert line % 100 == 1
    kept = [number for number in range(1, 1001) if not line <= number < line + 100]
    assert dump.records["line"].to_list() == kept


def test_a_table_that_repeats_a_text_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "MOST_BYTES", 1 << 22)
    long = pl.DataFrame({"prompt": ["q"] * 5000, "completion": ["x" * 10_000] * 5000})
    stored = parquet(long)
    assert len(stored) < 20_000
    with pytest.raises(CurateError, match="which unpack to more than 4,194,304"):
        given(tmp_path, stored, "dump.parquet")
    with pytest.raises(CurateError, match="which unpack to more than 4,194,304"):
        given(tmp_path, parquet(pl.DataFrame({"prompt": [None] * 300_000})), "dump.parquet")


def test_a_table_of_nulls_that_need_no_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pa = pytest.importorskip("pyarrow")
    monkeypatch.setattr(packed, "MOST_BYTES", 1 << 22)
    stream = io.BytesIO()
    table = pa.table({"prompt": pa.nulls(1 << 28)})
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    assert len(stream.getvalue()) < 1000
    with pytest.raises(CurateError, match="which unpack to more than 4,194,304"):
        given(tmp_path, stream.getvalue(), "dump.arrow")


def test_half_a_character_at_the_end_is_said(tmp_path: Path) -> None:
    dump = given(tmp_path, rows(0, 2).decode().encode("utf-16") + b"x")
    assert (dump.height, dump.files[0].rejects) == (2, {"damaged": 1})
    assert "the text ends 1 bytes into a character" in dump.rejects["reason"][0]
