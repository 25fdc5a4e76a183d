"""Rows to measure with: made up from a seed, as many as wanted, or the test data."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson

SKIPPED = "skipped: needs the test data (CURATE_TEST_DATA); see tests/DATA.md"
DATA = Path(
    os.environ.get("CURATE_TEST_DATA", Path(__file__).parent.parent.parent / "shared" / "data")
)

_WORDS = [
    "".join(random.Random(n).choices("etaoinshrdlucmfwypvbgk", k=1 + n % 9)) for n in range(5_000)
]
# Four words of five: without them a language detector takes the text for none, and asks twice.
_PROSE = (
    "the of and to in is that it was for on are with as at be this have from or had by but some"
    " what there we can out other were all your when up use word how said each she which their time"
    " will way about many then them would write like so these her long make thing see him two has"
    " look more day could go come did my sound no most number who over know water than call first"
    " people may down side been now find new work part take get place made live where after back"
    " little only round man year came show every good give our under name very through just form"
    " great think say help low line before turn cause same mean differ move right boy old too does"
)
_COMMON = _PROSE.split()


def texts(seed: int, rows: int) -> Iterator[tuple[str, str]]:
    """Prompts of about 25 words and answers of log-normal length, median 60 words."""
    chance = random.Random(seed)
    for _ in range(rows):
        yield _text(chance, chance.randint(8, 45)), _text(chance, _length(chance))


def _length(chance: random.Random) -> int:
    return min(600, max(2, int(chance.lognormvariate(4.1, 0.8))))


def _text(chance: random.Random, words: int) -> str:
    # Squaring a uniform number makes some words common and most rare, as in any language.
    picked = [
        kinds[int(chance.random() ** 2 * len(kinds))]
        for kinds in chance.choices((_COMMON, _WORDS), (4, 1), k=words)
    ]
    return " ".join(picked).capitalize() + "."


def write_sharegpt(path: Path, rows: int, seed: int = 0) -> None:
    """`rows` ShareGPT conversations, one a line (about 550 bytes each)."""
    with path.open("wb") as file:
        for number, (prompt, answer) in enumerate(texts(seed, rows)):
            turns = [{"from": "human", "value": prompt}, {"from": "gpt", "value": answer}]
            file.write(orjson.dumps({"id": f"r{number}", "conversations": turns}) + b"\n")


def need(*paths: Path) -> None:
    """End the script with one sentence, as a success, unless all these files or folders exist."""
    if not all(path.exists() for path in paths):
        print(SKIPPED)
        sys.exit(0)


def write_mixed(path: Path, rows: int, seed: int = 0) -> None:
    """`rows` short lines with all that a run has to deal with, and a twentieth unreadable."""
    chance = random.Random(seed)
    last: dict[str, object] = {"instruction": "Say it.", "output": "It."}
    with path.open("wb") as file:
        for number in range(rows):
            prompt, answer = _text(chance, chance.randint(4, 16)), _text(chance, _short(chance))
            kind = number % 20
            row = _mixed(kind, {"instruction": prompt, "output": answer}, last)
            file.write(b"no row\n" if kind == 7 else orjson.dumps(row) + b"\n")
            last = row


def _short(chance: random.Random) -> int:
    return chance.randint(3, 24)


def _mixed(kind: int, row: dict[str, object], last: dict[str, object]) -> dict[str, object]:
    """The row, or another of its kind: a duplicate, a near one, an empty answer, an end token."""
    changes: dict[int, dict[str, object]] = {
        1: last,
        2: last | {"output": f"{last['output']} Indeed so."},
        3: {"output": ""},
        4: {"output": f"{row['output']}</s>"},
        5: {"score": kind / 7},
        6: {"output": f"Я не знаю, что сказать об этом, но попробую. {row['output']}"},
    }
    return row | changes.get(kind, {})
