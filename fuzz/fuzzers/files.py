"""Files of every kind with changed bytes: a bad one costs itself alone, and no word is unseen."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import polars as pl
import yaml
import zstandard

from curate.base.errors import CurateError
from curate.sources import Dump, read
from fuzz import octets
from fuzz.contract import Case, Fault, Fuzzer
from fuzz.fuzzers.rows import MARK, marked
from fuzz.seeds import Rows, published, real

GOOD = '{"instruction": "Add.", "output": "3"}\n'
TEXT = ("jsonl", "json", "csv", "tsv", "yaml")  # where a word that is there can be looked for
FLAT = [{"prompt": f"Hi zq{n}z, a", "completion": f'Hello\nzq{n + 9}z, "b"'} for n in range(9)]


@cache
def samples() -> dict[str, list[bytes]]:
    """By ending: files of rows that are right."""
    rows: list[Rows] = [marked(each) for each in (*published().values(), *real())]
    frame, lines = pl.DataFrame(FLAT), [_lines(each) for each in rows]
    parquet, arrow, stream = io.BytesIO(), io.BytesIO(), io.BytesIO()
    frame.write_parquet(parquet)
    frame.write_ipc(arrow)
    frame.write_ipc_stream(stream)
    some = lines[::7]
    return {
        "jsonl": [*lines, *(line.decode().encode("utf-16") for line in some[:3])],
        "json": [*(json.dumps(each, indent=1).encode() for each in rows), *map(_document, rows)],
        "csv": [frame.write_csv().encode()],
        "tsv": [frame.write_csv(separator="\t").encode()],
        "yaml": [yaml.safe_dump(each).encode() for each in rows[::4]],
        "parquet": [parquet.getvalue()],
        "arrow": [arrow.getvalue(), stream.getvalue()],
        "jsonl.gz": [gzip.compress(line, mtime=0) for line in some],
        "jsonl.zst": [zstandard.compress(line) for line in some],
        "jsonl.bz2": [bz2.compress(line) for line in some],
        "jsonl.xz": [lzma.compress(line) for line in some],
        "zip": [_zip(line) for line in some],
    }


def _lines(rows: Rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _document(rows: Rows) -> bytes:
    return json.dumps({"version": 1, "data": {"train": rows, "test": rows[:1]}}).encode()


def _zip(data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.jsonl", "b/c.jsonl"):
            archive.writestr(zipfile.ZipInfo(name), data)
    return packed.getvalue()


def make(chance: random.Random) -> Case:
    """A changed file, and the ending of its name."""
    kinds = samples()
    kind = chance.choice(list(kinds))
    data = octets.mutated(chance, chance.choice(kinds[kind]), chance.choice(kinds[kind]))
    if kind == "jsonl" and chance.random() < 0.2:  # the bytes are right, and what they hold is not
        kind, data = "jsonl.gz", gzip.compress(data, mtime=0)
    name = f"a.{kind}" if chance.random() < 0.9 else f"a.{chance.choice(list(kinds))}"
    return {"name": name, "bytes": octets.written(data)}


def check(case: Case, folder: Path) -> str:
    """Read the file alone, and beside one that is right."""
    bad, good = folder / case["name"], folder / "good.jsonl"
    data = octets.read(case["bytes"])
    bad.write_bytes(data)
    good.write_text(GOOD)
    both = read([str(bad), str(good)])
    if _sources(both, good) != 1:
        raise Fault("a good file is lost beside a bad one")
    _check_words(both, case["name"], data)
    try:
        alone = read([str(bad)])
    except CurateError as error:
        if not str(error).startswith(folder.as_posix()) and "no rows in" not in str(error):
            raise Fault(f"the sentence does not begin with the file: {error}") from error
        return "a sentence"
    if (alone.height, alone.rejected) != (both.height - 1, both.rejected):
        raise Fault("a file is read otherwise beside another one")
    return "with records" if alone.height else "rejects alone"


def _sources(dump: Dump, path: Path) -> int:
    return sum(source == path.as_posix() for source in dump.records["source"])


def _check_words(dump: Dump, name: str, data: bytes) -> None:
    """Raise `Fault` for a word of a file of text that is nowhere, unless the file was refused."""
    refused = any(why.startswith("unreadable_file") for why in dump.rejects["reason"])
    if not name.endswith(TEXT) or refused:
        return
    found = "".join(map(str, dump.records.rows())) + "".join(map(str, dump.rejects.rows()))
    marked = data[:2] in (b"\xff\xfe", b"\xfe\xff")  # a byte that is lost shifts all that follow
    text = data.decode("utf-16" if marked else "utf-8", errors="replace")
    if name.endswith(("csv", "tsv")):
        text = _behind_names(text, "\t" if name.endswith("tsv") else ",")
    lost = set(MARK.findall(text)) - set(MARK.findall(found))
    counted = sum(left.words for report in dump.files for left in report.leftovers.values())
    if len(lost) > counted:
        raise Fault(f"words go unseen: {sorted(lost)}, of which {counted} are counted")


def _behind_names(text: str, delimiter: str) -> str:
    """What stands behind the names of columns, whose words are in no row."""
    lines = [f"{line}\n" for line in text.replace("\r", "\n").split("\n")]
    reader = csv.reader(lines, delimiter=delimiter)
    with suppress(csv.Error):  # a name of more than 131,072 letters
        next(reader, None)  # a name in quotation marks may have several lines
    return "".join(lines[reader.line_num :])


FUZZER = Fuzzer(make, check)
