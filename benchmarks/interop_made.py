"""What `interop.py` has read: a mixed set, its runs, tokens and exports, and what is in each."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import interop_rows
from conversation import canonical, everything

ROOT = Path(__file__).resolve().parent.parent
# Files of further runs. Rows with one answer each are prompt and completion for TRL.
PARTS = {
    "plain": ("b-short", "c-scored", "e-thinking", "f-weights", "g-compared", "h-uneven"),
    "calls": ("d-calls",),
    "single": ("c-scored", "e-thinking", "g-compared"),
}
TRAINERS = ("trl", "axolotl", "llamafactory")
EXPORTS = {"run": (*TRAINERS, "hub"), "odd": TRAINERS, "single": ("trl",), "tokens": TRAINERS}
RECIPE = "seed: 0\nsteps:\n  - exact\n  - length\n"


@dataclass(frozen=True)
class Made:
    """A run of everything, one of its odd rows, their tokens, what they are for, and exports."""

    home: Path
    run: Path
    odd: Path
    tokens: Path
    model: Path
    exports: Mapping[str, Path]  # by what `exported` calls them
    size: str


def make(home: Path, megabytes: float) -> Made:
    """Dumps, runs, a model with Qwen's template, tokens, and what every reader has to find."""
    dumps = interop_rows.write(home / "dumps", megabytes)
    recipe = home / "recipe.yaml"
    recipe.write_text(RECIPE, "utf-8")
    runs = {"run": dumps, "odd": dumps[1:]}
    runs |= {name: [p for p in dumps if p.stem in stems] for name, stems in PARTS.items()}
    for name, files in runs.items():
        given = (*map(str, files), "--recipe", str(recipe), "--no-cache")
        curate("run", *given, "--out", str(home / name))
    model, tokens = home / "model", home / "tokens"
    write_model(model)
    chosen = ("--template", "tokenizer", "--tokenizer", str(model), "--max-length", "2048")
    curate("render", str(home / "odd"), *chosen, "--out", str(tokens))
    write_truths([home / name for name in runs], tokens)
    size = sum(path.stat().st_size for path in dumps) / 1e6
    rows = [counts(home / name)["kept"] for name in ("run", "odd")]
    described = f"{size:.0f} MB, {rows[0]:,} rows, the last {rows[1]:,} of them odd"
    return Made(home, home / "run", home / "odd", tokens, model, exported(home), described)


def curate(*arguments: str) -> None:
    """The command line, from this checkout."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "curate", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: failed\n{done.stdout}{done.stderr}")


def counts(folder: Path) -> dict[str, int]:
    manifest: dict[str, dict[str, int]] = json.loads((folder / "manifest.json").read_text("utf-8"))
    return manifest["counts"]


def truth_of(folder: Path) -> Path:
    """Where the lines are that a reader of an output has to find: beside it, never in it."""
    return folder.with_name(f"{folder.name}.truth")


def write_truths(runs: Iterable[Path], tokens: Path) -> None:
    """What there is to find: of runs as our own readers read them, and of tokens."""
    import polars as pl

    from templates.tokens import dataset

    for folder in runs:
        rows = pl.read_parquet(folder / "kept.parquet").to_dicts()
        _write_lines(truth_of(folder), map(canonical, rows))
        _write_lines(truth_of(folder / "kept.parquet"), map(everything, rows))
    examples = dataset.read(tokens).examples.select("input_ids", "labels").iter_rows()
    _write_lines(truth_of(tokens), (json.dumps(list(row)) for row in examples))


def exported(home: Path) -> dict[str, Path]:
    """The exports, and beside each what is to be found: without the rows that it left out."""
    made = {}
    for source, targets in EXPORTS.items():
        for target in targets:
            out = home / f"{target}-{source}"
            curate("export", str(home / source), "--to", target, "--out", str(out))
            _write_lines(truth_of(out), _written(home / source, left_out(out)))
            made[out.name] = out
    return made


def _written(source: Path, left: Mapping[int, str]) -> Iterator[str]:
    import polars as pl

    lines = truth_of(source).read_text("utf-8").split("\n")[:-1]
    if not left:
        return iter(lines)
    rows = pl.read_parquet(source / "kept.parquet", columns=["row"])["row"]
    return (line for row, line in zip(rows, lines, strict=True) if row not in left)


def left_out(export: Path) -> dict[int, str]:
    """Why rows were left out, by row."""
    path = export / "left_out.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return {row["row"]: row["reason"] for row in map(json.loads, lines)}


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


def write_model(folder: Path) -> None:
    """The tiny model of the sample data, with the template and the end of turn of Qwen3-2507.

    TRL knows a template by its text, so the comment that we put above it goes.
    """
    shutil.copytree(ROOT / "sample_data" / "tiny-base", folder)
    template = (ROOT / "templates" / "chat" / "qwen.jinja").read_text("utf-8")
    bare = re.sub(r"^\{#-.*?-#\}\n", "", template, flags=re.DOTALL)
    (folder / "chat_template.jinja").write_text(bare, "utf-8")
    changes: dict[str, dict[str, Any]] = {
        "tokenizer_config.json": {"eos_token": "<|im_end|>", "model_max_length": 4096},
        "config.json": {"eos_token_id": 2, "max_position_embeddings": 4096},
        "generation_config.json": {"eos_token_id": 2},
    }
    for name, changed in changes.items():
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changed}), "utf-8")
