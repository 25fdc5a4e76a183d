"""What files made to fill the memory cost a run: seconds, memory, and the rows beside them.

    python benchmarks/bombs.py --docs

Each file is packed to a few megabytes and holds `--gigabytes`, or says so. `curate run` reads it
together with a file of 20 rows, which have to be read. `--docs` puts the table into
docs/security.md.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import io
import json
import lzma
import multiprocessing
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl
import zstandard

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from fuzz.record import record

GIGABYTE = 1 << 30
LINE = b'{"instruction": "Say it again.", "output": "' + b"again " * 1_000 + b'"}\n'
BLOCK = LINE * ((1 << 20) // len(LINE))
TEXT = "again " * 180_000
GOOD = [
    {"instruction": f"What is {n} and {n + 3}?", "output": f"It is {2 * n + 3}, as I count."}
    for n in range(20)
]
HEAD = (
    "| file | its size | seconds | peak | rejects | rows beside it |",
    "|---|---|---|---|---|---|",
)

Pack = Callable[[bytes], bytes]
Make = Callable[[Path, int], None]


def streams(path: Path, size: int, pack: Pack) -> None:
    """Packed streams one after another, as `cat` joins files."""
    packed = pack(BLOCK)
    with path.open("wb") as file:
        file.writelines(packed for _ in range(size // len(BLOCK)))


def one_zstd(path: Path, size: int) -> None:
    """A single stream of zstd."""
    with path.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as writer:
        for _ in range(size // len(BLOCK)):
            writer.write(BLOCK)


def deflated(size: int, head: bytes = b"") -> Iterator[bytes]:
    """A single stream of deflate, made by packing one block and repeating it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    yield packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = packer.compress(BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    for _ in range(size // len(BLOCK)):
        yield packed
    yield packer.flush()


def one_gzip(path: Path, size: int, head: bytes = b"") -> None:
    """A single stream of gzip, without a checksum that fits: nobody should get so far."""
    with path.open("wb") as file:
        file.write(b"\x1f\x8b\x08\0\0\0\0\0\0\xff")
        file.writelines(deflated(size, head))
        file.write(bytes(8))


def tar(path: Path, size: int) -> None:
    """A packed tar archive of one file."""
    member = tarfile.TarInfo("rows.jsonl")
    member.size = size // len(BLOCK) * len(BLOCK)
    one_gzip(path, size, member.tobuf())


def zipped(path: Path, size: int) -> None:
    """A zip archive of one file."""
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("rows.jsonl", "w", force_zip64=True) as member:
            for piece in deflated(size):
                member.write(piece)
        (about,) = archive.infolist()
        about.compress_type, about.file_size = zipfile.ZIP_DEFLATED, size


def lying_zip(path: Path, size: int) -> None:
    """A zip archive whose file says that it is short."""
    zipped(path, size)
    with zipfile.ZipFile(path, "a") as archive:
        archive.infolist()[0].file_size = 1000
        archive.writestr("more.jsonl", LINE)


def many_zipped(path: Path, size: int) -> None:
    """A zip archive of many files, none of which is large by itself."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(100):
            with archive.open(f"{number}.jsonl", "w") as member:
                for piece in deflated(size // 100):
                    member.write(piece)
            about = archive.infolist()[-1]
            about.compress_type, about.file_size = zipfile.ZIP_DEFLATED, size // 100


def repeating(size: int) -> pl.DataFrame:
    """Rows that all have the same long text, which stands in memory once."""
    rows = size // len(TEXT)
    text = pl.Series("completion", [TEXT]).new_from_index(0, rows)
    return pl.DataFrame({"prompt": pl.Series(["Say it."]).new_from_index(0, rows), text.name: text})


def parquet(path: Path, size: int) -> None:
    """One text in a dictionary of parquet."""
    repeating(size).write_parquet(path, row_group_size=100)


def arrow(path: Path, size: int) -> None:
    """Views of one text in a stream of Arrow."""
    repeating(size).write_ipc_stream(path, compression="zstd")


def lying_arrow(path: Path, size: int) -> None:
    """A packed buffer of Arrow that says it unpacks to more than it does."""
    stream = io.BytesIO()
    repeating(4 * len(TEXT)).write_ipc_stream(
        stream, compression="zstd", compat_level=pl.CompatLevel.oldest()
    )
    stored = bytearray(stream.getvalue())
    begin = stored.rfind(b"\x28\xb5\x2f\xfd") - 8
    stored[begin : begin + 8] = size.to_bytes(8, "little")
    path.write_bytes(stored)


BOMBS: dict[str, Make] = {
    "streams.jsonl.gz": partial(streams, pack=gzip.compress),
    "one.jsonl.gz": one_gzip,
    "streams.jsonl.xz": partial(streams, pack=lzma.compress),
    "streams.jsonl.bz2": partial(streams, pack=bz2.compress),
    "streams.jsonl.zst": partial(streams, pack=zstandard.compress),
    "one.jsonl.zst": one_zstd,
    "one.zip": zipped,
    "lying.zip": lying_zip,
    "many.zip": many_zipped,
    "one.tar.gz": tar,
    "dictionary.parquet": parquet,
    "views.arrow": arrow,
    "lying.arrow": lying_arrow,
}


def made(name: str, path: Path, size: int) -> None:
    """Make a bomb in a process of its own: what memory this one has had counts for its children."""
    maker = multiprocessing.get_context("spawn").Process(target=BOMBS[name], args=(path, size))
    maker.start()
    maker.join()
    assert maker.exitcode == 0, name


class Cost(NamedTuple):
    """What a run took, and what it says of the files."""

    seconds: float
    peak: int  # bytes, of the largest process
    rejects: int
    rows: int  # of the good file

    def line(self, name: str, size: int) -> str:
        """Its line of the table."""
        peak = f"{self.peak / 1e6:,.0f} MB"
        return (
            f"| `{name}` | {size / 1e6:,.2f} MB | {self.seconds:.1f} | {peak} | {self.rejects} "
            f"| {self.rows} of {len(GOOD)} |"
        )


def cost(folder: Path, bombs: list[Path]) -> Cost:
    """Run on the bombs beside the good file."""
    good, out = folder / "good.jsonl", folder / "RUN"
    good.write_text("".join(json.dumps(row) + "\n" for row in GOOD), "utf-8")
    words = [sys.executable, "-m", "curate", "run", str(good), *map(str, bombs), "--out", str(out)]
    started = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (folder / "errors").open("w+", encoding="utf-8") as errors:
        child = subprocess.Popen([*words, "--quiet", "--force"], env=environment, stderr=errors)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if child.returncode:
        raise SystemExit(f"curate run ended: {(folder / 'errors').read_text('utf-8')}")
    sources = json.loads((out / "manifest.json").read_text("utf-8"))["sources"]
    rejects = sum(source["rejected"] for source in sources)
    rows = sum(source["rows"] for source in sources if source["source"] == good.as_posix())
    return Cost(seconds, used.ru_maxrss * 1024, rejects, rows)


def main() -> None:
    """Make each bomb, and run on it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=10, help="unpacked (default: 10)")
    parser.add_argument("--docs", action="store_true", help="write into docs/security.md")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    options = parser.parse_args()
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nothing = cost(folder, [])
        lines.append(nothing.line("none", 0))
        print(*HEAD, lines[-1], sep="\n", flush=True)
        for bomb in options.names or BOMBS:
            path = folder / bomb
            made(bomb, path, int(options.gigabytes * GIGABYTE))
            lines.append(cost(folder, [path]).line(bomb, path.stat().st_size))
            print(lines[-1], flush=True)
            path.unlink()
    if options.docs:
        about = f"`python benchmarks/bombs.py --gigabytes {options.gigabytes:g}`"
        record("bombs", [f"{about}, on two cores that others used too:", "", *HEAD, *lines])


if __name__ == "__main__":
    main()
