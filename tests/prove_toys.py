"""A run, targets and settings for proofs that take seconds: `sample_data/tiny-base` on few rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import curate
from curate.proofs.options import ProveOptions

ROOT = Path(__file__).resolve().parent.parent
MODEL = str(ROOT / "sample_data" / "tiny-base")
THINGS = (
    "river",
    "stone",
    "lamp",
    "wheel",
    "garden",
    "window",
    "bridge",
    "basket",
    "ladder",
    "bell",
)
TOWNS = (
    "Aber",
    "Brun",
    "Cald",
    "Dorn",
    "Elst",
    "Farn",
    "Grau",
    "Holm",
    "Ivel",
    "Jorn",
    "Kell",
    "Lund",
)
WORDS = [
    "It",
    "stands",
    "near",
    "the",
    "old",
    "mill",
    "and",
    "people",
    "like",
    "to",
    "walk",
    "there",
]
# Rows of the run with a mail address, which the step `mask_pii` edits.
EDITED = (5, 17, 23)
# Answers with fewer words than this are dropped.
LEAST = 6


def row(number: int) -> dict[str, str]:
    """A question that no other row has, and an answer of 3 to 12 words."""
    thing, town = THINGS[number % 10], TOWNS[number // 10]
    answer = " ".join(WORDS[: 3 + number % 10])
    answer += " ask bob@marl.org for it" if number in EDITED else ""
    return {"instruction": f"Where in {town} is the {thing} now?", "output": f"{answer}."}


def write_lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(f"{json.dumps(each)}\n" for each in rows), encoding="utf-8")
    return str(path)


def write_run(home: Path, rows: list[dict[str, str]] | None = None) -> Path:
    """120 rows, of which those with long answers are kept; three of them were edited."""
    dump = write_lines(home / "dump.jsonl", rows or [row(number) for number in range(120)])
    steps: list[Any] = ["exact", "mask_pii", {"length": {"unit": "words", "min": LEAST}}]
    curate.run(dump, steps=steps, out=home / "run", cache=False)
    return home / "run"


def write_target(path: Path, count: int = 6) -> str:
    """Questions that the run has not read."""
    asked = (
        {"instruction": f"Who built the {thing} of old Marl?", "output": f"A {thing} maker did."}
        for thing in THINGS
    )
    return write_lines(path, list(asked)[:count])


TRAINING: dict[str, Any] = {"method": "full", "learning_rate": 1e-3, "batch_tokens": 60}


def options(**given: Any) -> ProveOptions:
    """What a small proof is asked for."""
    usual: dict[str, Any] = {
        "model": MODEL,
        "template": "chatml",
        "baselines": ("random",),
        "seeds": 2,
        "tokens": 240,
        "training": TRAINING,
    }
    return ProveOptions(**{**usual, **given})


def write_home(home: Path) -> Path:
    """A folder with a run and a target that it has not read."""
    write_run(home)
    write_target(home / "old.jsonl")
    return home


def asked(home: Path, without: Sequence[str] = (), **given: Any) -> dict[str, Any]:
    """What a small proof in such a folder is asked for in Python, but for what is left out."""
    usual: dict[str, Any] = {
        "model": MODEL,
        "template": "chatml",
        "targets": [home / "old.jsonl"],
        "baselines": ["random"],
        "seeds": 2,
        "tokens": 240,
        "training": TRAINING,
    }
    return {**{name: usual[name] for name in usual if name not in without}, **given}


def command(home: Path, out: Path, *more: str, without: Sequence[str] = ()) -> list[str]:
    """The same as a command, with more words."""
    usual = {
        "--model": MODEL,
        "--template": "chatml",
        "--targets": str(home / "old.jsonl"),
        "--baselines": "random",
        "--seeds": "2",
        "--tokens": "240",
        "--method": "full",
        "--lr": "0.001",
        "--batch-tokens": "60",
        "--out": str(out),
    }
    given = [word for name, value in usual.items() if name not in without for word in (name, value)]
    return ["prove", str(home / "run"), *given, *more]


def outcome(out: Path) -> dict[str, bytes]:
    """All of a proof that must be the same each time: no times are in it."""
    files = [path for path in out.iterdir() if path.suffix in (".json", ".jsonl")]
    return {
        path.name: path.read_bytes()
        for path in files
        if not path.name.startswith(("cell.", "manifest"))
    }
