"""`curate explain` and `curate report` on a run of a million rows: seconds and peak memory of each.

The rows are made up, of about 600 bytes, in ten files: one in 50 repeats an earlier one, one in 50
an earlier one with a word changed, one in 100 is too short, one in 500 cannot be read. The run is
made with the default recipe (minutes, and gigabytes of memory; `--run` keeps it, and takes one that
is there). Each command is a process of its own, from its start to its end; the least of three.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson

sys.path.insert(0, str(Path(__file__).parent))

FILES = 10
SECONDS, GIGABYTES = 2, 1


def conversations(rows: int) -> Iterator[bytes]:
    """Lines of a dump."""
    from rows import texts

    chance = random.Random(1)
    prompt, answer = "Say hello.", "Hello, and welcome."
    for number, made in enumerate(texts(0, rows)):
        kind = chance.random()
        if kind < 0.002:
            yield b'{"conversations": [{"from": "human", "value": "cut of'
            continue
        if kind < 0.022:  # again: nothing is changed
            pass
        elif kind < 0.042:
            answer = f"{answer} Number {number}."
        elif kind < 0.052:
            prompt, answer = made[0], f"No {number}"
        else:
            prompt, answer = made
        turns = [{"from": "human", "value": prompt}, {"from": "gpt", "value": answer}]
        yield orjson.dumps({"id": f"r{number}", "conversations": turns})


def write_dump(folder: Path, rows: int) -> list[Path]:
    """The files of a dump, `rows` lines in all."""
    paths = [folder / f"part{number}.jsonl" for number in range(FILES)]
    lines = conversations(rows)
    for number, path in enumerate(paths):
        with path.open("wb") as file:
            for _ in range(rows * number // FILES, rows * (number + 1) // FILES):
                file.write(next(lines) + b"\n")
    return paths


def make_run(out: Path, rows: int) -> None:
    """A run over a dump that is made for it."""
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        dump = map(str, write_dump(Path(folder), rows))
        command = [sys.executable, "-m", "curate", "run", *dump, "--out", str(out)]
        subprocess.run([*command, "--no-cache", "--quiet"], check=True)


if __name__ == "__main__":
    make_run(Path(sys.argv[1]), int(sys.argv[2]))
