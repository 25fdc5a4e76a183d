"""Arrow files that say they hold what they do not: nobody makes room for it."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.base.errors import CurateError
from curate.sources import Dump, read

ROWS = [{"prompt": f"What is {n} times {n}?", "completion": str(n * n)} for n in range(30)]
TERABYTE = 1 << 40
GOOD = '{"instruction": "Add.", "output": "3"}\n'


def arrow(*, is_file: bool, packed: str | None = None, coded: bool = False) -> bytes:
    """Three batches of ten rows, `coded` with a dictionary."""
    pa = pytest.importorskip("pyarrow")
    table = pa.Table.from_pylist(ROWS)
    if coded:
        table = table.set_column(1, "completion", table["completion"].dictionary_encode())
    stream = io.BytesIO()
    new = pa.ipc.new_file if is_file else pa.ipc.new_stream
    with new(stream, table.schema, options=pa.ipc.IpcWriteOptions(compression=packed)) as writer:
        writer.write_table(table, max_chunksize=10)
    return stream.getvalue()


def given(folder: Path, stored: bytes) -> Dump:
    """The dump of the file beside a good one, in an address space without a terabyte."""
    (folder / "dump.arrow").write_bytes(stored)
    (folder / "good.jsonl").write_text(GOOD)
    dump = read([str(folder / "dump.arrow"), str(folder / "good.jsonl")])
    assert dump.files[1].rows == 1
    return dump


def messages(stored: bytes) -> list[int]:
    """Where the messages of a file or a stream begin."""
    at, places = 8 if stored.startswith(b"ARROW1") else 0, []
    while stored[at : at + 8] not in (b"\xff\xff\xff\xff\0\0\0\0", b""):
        places.append(at)
        at = head_end(stored, at) + body_length(stored, at)
    return places


def head_end(stored: bytes, at: int) -> int:
    return at + 8 + int(struct.unpack_from("<i", stored, at + 4)[0])


def field(stored: bytes, table: int, number: int) -> int:
    """Where a field of a table of FlatBuffers stands; the table's own place if it is absent."""
    names = table - struct.unpack_from("<i", stored, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", stored, names)[0]:
        return table
    return int(table + struct.unpack_from("<H", stored, names + 4 + 2 * number)[0])


def root(stored: bytes, at: int) -> int:
    return at + 8 + int(struct.unpack_from("<I", stored, at + 8)[0])


def inner(stored: bytes, table: int, number: int) -> int:
    at = field(stored, table, number)
    return at + int(struct.unpack_from("<I", stored, at)[0])


def body_length(stored: bytes, at: int) -> int:
    place = field(stored, root(stored, at), 3)
    return 0 if place == root(stored, at) else int(struct.unpack_from("<q", stored, place)[0])


def batch(stored: bytes, at: int) -> int:
    """The table of a batch, also of one in a dictionary."""
    head = inner(stored, root(stored, at), 2)
    is_dictionary = stored[field(stored, root(stored, at), 1)] == 2
    return inner(stored, head, 1) if is_dictionary else head


def with_number(stored: bytes, at: int, number: int, form: str = "<q") -> bytes:
    return stored[:at] + struct.pack(form, number) + stored[at + struct.calcsize(form) :]


def buffer(stored: bytes, at: int, number: int) -> int:
    """Where the place and, 8 bytes on, the length of a buffer of a message are said."""
    return inner(stored, batch(stored, at), 2) + 4 + 16 * number


def node(stored: bytes, at: int) -> int:
    return inner(stored, batch(stored, at), 1) + 4


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize("packed", [None, "zstd", "lz4"])
@pytest.mark.parametrize("number", [TERABYTE, 1 << 62, (1 << 63) - 1, -1, -TERABYTE])
def test_a_buffer_that_claims_too_much_costs_its_own_batch(
    tmp_path: Path, is_file: bool, packed: str | None, number: int
) -> None:
    stored = arrow(is_file=is_file, packed=packed)
    second = messages(stored)[2]
    for more in (0, 8):
        place = buffer(stored, second, 2) + more  # of the texts of the first column
        dump = given(tmp_path, with_number(stored, place, number))
        assert (dump.files[0].rows, dump.files[0].rejects) == (20, {"damaged": 1})
        assert dump.records["line"].to_list() == [*range(1, 11), *range(21, 31), 1]
        (why,) = dump.rejects["reason"]
        assert why.startswith("damaged: 10 rows from here on are lost with part 2 (a buffer is lo")


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize("number", [-1, -(1 << 40)])
def test_a_batch_with_less_than_no_rows_costs_itself(
    tmp_path: Path, is_file: bool, number: int
) -> None:
    stored = arrow(is_file=is_file)
    second = messages(stored)[2]
    for place in (field(stored, batch(stored, second), 0), node(stored, second)):
        dump = given(tmp_path, with_number(stored, place, number))
        assert (dump.files[0].rows, dump.files[0].rejects) == (20, {"damaged": 1})


@pytest.mark.parametrize("is_file", [True, False])
def test_more_nulls_than_values_cost_the_batch(tmp_path: Path, is_file: bool) -> None:
    stored = arrow(is_file=is_file)
    place = node(stored, messages(stored)[2]) + 8
    for number in (11, TERABYTE, -1):
        assert given(tmp_path, with_number(stored, place, number)).files[0].rows == 20


@pytest.mark.parametrize("is_file", [True, False])
def test_what_a_packed_buffer_unpacks_to_is_bounded(tmp_path: Path, is_file: bool) -> None:
    stored = arrow(is_file=is_file, packed="zstd")
    second = messages(stored)[2]
    place = struct.unpack_from("<q", stored, buffer(stored, second, 2))[0]
    at = head_end(stored, second) + place
    dump = given(tmp_path, with_number(stored, at, TERABYTE))
    assert dump.files[0].rejects == {"unreadable_file": 1}
    assert "which unpack to more than 1,073,741,824" in dump.rejects["reason"][0]
    for number in (-2, -TERABYTE):
        dump = given(tmp_path, with_number(stored, at, number))
        assert (dump.files[0].rows, dump.files[0].rejects) == (20, {"damaged": 1})
        assert "does not say how long it is" in dump.rejects["reason"][0]


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize("more", [0, 8])
def test_a_dictionary_that_claims_too_much_costs_the_file(
    tmp_path: Path, is_file: bool, more: int
) -> None:
    stored = arrow(is_file=is_file, coded=True)
    dictionary = messages(stored)[1]
    place = buffer(stored, dictionary, 2) + more
    dump = given(tmp_path, with_number(stored, place, TERABYTE))
    assert dump.files[0].rejects == {"unreadable_file": 1}
    assert "(a buffer is longer than its message" in dump.rejects["reason"][0]


@pytest.mark.parametrize("number", [TERABYTE, (1 << 63) - 1, -1])
def test_a_footer_that_claims_too_much_costs_the_batch(tmp_path: Path, number: int) -> None:
    stored = arrow(is_file=True)
    block = stored.rindex(struct.pack("<q", messages(stored)[2]))
    changes: list[tuple[int, int, str]] = [(0, number, "<q"), (16, number, "<q")]
    for more, value, form in (*changes, (8, min(number, 2**31 - 1), "<i")):
        dump = given(tmp_path, with_number(stored, block + more, value, form))
        assert (dump.files[0].rows, dump.files[0].rejects) == (20, {"damaged": 1})
        assert "lost with part 2 (" in dump.rejects["reason"][0]


@pytest.mark.parametrize("length", [(1 << 31) - 1, -5, 0])
def test_a_message_of_a_stream_that_is_longer_than_the_file_ends_it(
    tmp_path: Path, length: int
) -> None:
    stored = arrow(is_file=False)
    dump = given(tmp_path, with_number(stored, messages(stored)[2] + 4, length, "<i"))
    if length:
        assert (dump.files[0].rows, dump.files[0].rejects) == (10, {"damaged": 1})
        assert "what follows is lost" in dump.rejects["reason"][0]
    else:  # which is how a stream ends
        assert dump.files[0].rows == 10


def test_a_stream_that_is_cut_off_gives_the_batches_before(tmp_path: Path) -> None:
    stored = arrow(is_file=False)
    cut = head_end(stored, messages(stored)[2]) + 20
    dump = given(tmp_path, stored[:cut])
    assert (dump.files[0].rows, dump.files[0].rejects) == (10, {"damaged": 1})
    assert (
        "damaged: rows from here on are lost with part 2 (the body of a message is longer"
        in (dump.rejects["reason"][0])
    )


@pytest.mark.parametrize("is_file", [True, False])
def test_columns_that_stand_in_each_other_many_times_are_not_followed(
    tmp_path: Path, is_file: bool
) -> None:
    deep: Any = pl.String()
    for _ in range(40):
        deep = pl.Struct({"a": deep, "b": pl.String()})
    stored = io.BytesIO()
    table = pl.DataFrame(schema={"prompt": deep})
    table.write_ipc(stored) if is_file else table.write_ipc_stream(stored)
    changed = bytearray(stored.getvalue())
    for at in range(0, len(changed) - 12, 4):
        # Vectors of two columns: both places become that of the first, which is the deeper one.
        count, first, second = struct.unpack_from("<III", changed, at)
        if count == 2 and 0 < second < first + 4 and first % 4 == 0 and first < 20_000:
            struct.pack_into("<I", changed, at + 8, first - 4)
    with pytest.raises(CurateError, match="a column stands inside of several others"):
        (tmp_path / "dump.arrow").write_bytes(changed)
        read([str(tmp_path / "dump.arrow")])


@pytest.mark.parametrize("packed", ["uncompressed", "lz4", "zstd"])
def test_a_batch_of_a_file_by_polars_costs_itself(tmp_path: Path, packed: Any) -> None:
    # Polars writes the schema at the beginning without its length.
    stream = io.BytesIO()
    pl.DataFrame(ROWS).write_ipc(stream, compression=packed, record_batch_size=10)
    stored = stream.getvalue()
    assert given(tmp_path, stored).files[0].rows == 30
    second = stored.index(b"\xff\xff\xff\xff", stored.index(b"\xff\xff\xff\xff") + 4)
    while body_length(stored, second) <= 0:
        second = stored.index(b"\xff\xff\xff\xff", second + 4)
    dump = given(tmp_path, with_number(stored, buffer(stored, second, 0) + 8, TERABYTE))
    assert (dump.files[0].rows, dump.files[0].rejects) == (20, {"damaged": 1})
