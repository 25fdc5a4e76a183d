"""`near` against its peers on the same rows, each from process start to files written.

text-dedup 0.4's MinHash on its own command line, and rensa fed with word 3-grams that Python cuts,
with 32 bands as here (neither compares the texts themselves, as `near` does). The peers live in a
virtual environment of their own, because they pin other versions of our dependencies: `--install`
makes it. Without it our own time is all there is to print.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import NamedTuple

import orjson

sys.path.insert(0, str(Path(__file__).parent))

from near import Row, made_up, real

PACKAGES = ("text-dedup==0.4.*", "rensa==0.5.*")

# What rensa's documentation does, with runs of three words instead of single ones.
RENSA = """
import json, re, sys
from rensa import RMinHash, RMinHashLSH
source, out = sys.argv[1:]
lsh = RMinHashLSH(0.8, 128, 32)
with open(source) as rows, open(out, "w") as kept:
    for number, line in enumerate(rows):
        words = re.findall(r"\\w+", json.loads(line)["text"].lower())
        sketch = RMinHash(128, 42)
        sketch.update([" ".join(words[i : i + 3]) for i in range(len(words) - 2)])
        if not lsh.query(sketch):
            lsh.insert(number, sketch)
            kept.write(line)
"""


class Taken(NamedTuple):
    """What a process and those it started took."""

    seconds: float
    processor: float
    gigabytes: float  # of the largest process

    def __str__(self) -> str:
        return (
            f"{self.seconds:6.1f} s, {self.processor:6.1f} s of processor, "
            f"{self.gigabytes:.1f} GB at most"
        )


def timed(command: list[str], folder: Path) -> Taken:
    """Run a command, nothing cached; its words are shown only if it fails."""
    log = folder / "log"
    caches = {"CURATE_CACHE": str(folder / "cache"), "HF_HOME": str(folder / "hub")}
    started = time.perf_counter()
    with log.open("wb") as words:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | caches, stdout=words, stderr=words
        )
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"{' '.join(command)}: failed\n{log.read_text(errors='replace')[-2000:]}")
    return Taken(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6)


def ours(rows: list[Row], folder: Path) -> Taken:
    """`curate run` with a recipe of `near` alone."""
    dump, recipe = folder / "dump.jsonl", folder / "near.yaml"
    dump.write_bytes(
        b"".join(orjson.dumps({"instruction": p, "output": a}) + b"\n" for p, a in rows)
    )
    recipe.write_text("steps:\n  - near\n")
    command = [sys.executable, "-m", "curate", "run", str(dump), "--recipe", str(recipe)]
    taken = timed([*command, "--no-cache", "--quiet", "--out", str(folder / "run")], folder)
    print(f"  curate run               {taken}, {_lines(folder / 'run' / 'kept.jsonl'):,} kept")
    return taken


def as_text(rows: list[Row], folder: Path) -> Path:
    """One text a row, which is all that the peers take."""
    path = folder / "text.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"text": f"{p}\n{a}"}) + b"\n" for p, a in rows))
    return path


def text_dedup(python: Path, text: Path, folder: Path, *settings: str) -> Taken:
    """Its MinHash command, with two processes as on two cores."""
    command = [str(python), "-m", "text_dedup.minhash", "--path", "json", "--data_files", str(text)]
    command += ["--split", "train", "--column", "text", "--cache_dir", str(folder / "datasets")]
    return timed([*command, "--output", str(folder / "kept"), *settings], folder)


def compare(python: Path, rows: list[Row], own: Taken) -> None:
    """Each peer in turn, and how many times our time it took."""
    alike = ("--num_perm", "128", "--ngram", "3", "--threshold", "0.8")
    for name, settings in (("as it comes", ()), ("128, 3 words, 0.8", alike)):
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            _told(
                f"text-dedup {name}",
                text_dedup(python, as_text(rows, folder), folder, *settings),
                own,
            )
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        command = [str(python), "-c", RENSA, str(as_text(rows, folder)), str(folder / "kept")]
        _told("rensa", timed(command, folder), own)


def _told(name: str, taken: Taken, own: Taken) -> None:
    print(
        f"  {name:24s} {taken}; {taken.seconds / own.seconds:.1f} times our time, "
        f"{taken.processor / own.processor:.1f} times our processor"
    )


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def install(folder: Path) -> None:
    """A virtual environment with the peers, by pip."""
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", *PACKAGES], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(os.environ.get("CURATE_PEERS", ".venv/peers")),
        help="their virtual environment (default: $CURATE_PEERS or .venv/peers)",
    )
    parser.add_argument("--install", action="store_true", help="make that environment first")
    parser.add_argument("--data", type=Path, help="rows of the dumps here/raw, not made-up ones")
    asked = parser.parse_args()
    if asked.install and not asked.peers.exists():
        install(asked.peers)
    rows = real(asked.data, asked.rows) if asked.data else made_up(asked.rows)
    size = sum(len(p.encode()) + len(a.encode()) for p, a in rows)
    print(f"{len(rows):,} rows, {size / 1e6:.0f} MB, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as made:
        own = ours(rows, Path(made))
    python = asked.peers.absolute() / "bin" / "python"
    if python.exists():
        compare(python, rows, own)
    else:
        print(
            f"  no peers in {asked.peers}: `python benchmarks/peers.py --install` puts them there"
        )


if __name__ == "__main__":
    main()
