"""The same four operators here and in Data-Juicer 1.6, each from process start to files written.

Word count, character repetition and special characters of the answer, MinHash over question and
answer, each with Data-Juicer's defaults. It needs a virtual environment of its own, with all that
it would else install while it runs: `--install` makes it, and a first short run is not timed.
Then the decisions are laid side by side, row by row.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson
import polars as pl

sys.path.insert(0, str(Path(__file__).parent))

from near import Row, made_up, real, records
from peers import Taken, timed

from filters.quality.filter import Quality
from filters.quality.rules import REASONS

PACKAGES = ("py-data-juicer==1.6.*", "aiohttp", "ray", "scipy", "torch")
TARGET = 10
RULES = ("word_count", "character_repetition", "special_characters")

THEIRS = """
dataset_path: {dump}
export_path: {kept}
np: 2
use_cache: false
process:
  - words_num_filter: {{text_key: answer}}
  - character_repetition_filter: {{text_key: answer}}
  - special_characters_filter: {{text_key: answer}}
  - document_minhash_deduplicator: {{}}
"""
OURS = """
steps:
  - quality: {{rules: [data_juicer], off: [{others}]}}
  - near: {{threshold: 0.7, shingle: word, size: 5}}
"""
# Its operators one by one, without dropping anything: the numbers they decide by.
STATS = """
import json, sys
from data_juicer.ops.filter.character_repetition_filter import CharacterRepetitionFilter
from data_juicer.ops.filter.special_characters_filter import SpecialCharactersFilter
from data_juicer.ops.filter.words_num_filter import WordsNumFilter
from data_juicer.utils.constant import Fields
source, out = sys.argv[1:]
texts = [json.loads(line)["answer"] for line in open(source)]
rows = {"text": texts, Fields.stats: [{} for _ in texts]}
for operator in (WordsNumFilter(), CharacterRepetitionFilter(), SpecialCharactersFilter()):
    rows = operator.compute_stats_batched(rows)
with open(out, "w") as file:
    names = ("num_words", "char_rep_ratio", "special_char_ratio")
    json.dump([[found[name] for name in names] for found in rows[Fields.stats]], file)
"""


def ours(rows: list[Row], folder: Path) -> tuple[Taken, pl.DataFrame]:
    """`curate run` with the four operators: what it took, and the ledger."""
    dump, recipe, run = folder / "dump.jsonl", folder / "four.yaml", folder / "run"
    _write(dump, [{"instruction": prompt, "output": answer} for prompt, answer in rows])
    others = [slug for slug in REASONS if Quality().acts(slug) == "drop"]
    recipe.write_text(OURS.format(others=", ".join(others)))
    command = [sys.executable, "-m", "curate", "run", str(dump), "--recipe", str(recipe)]
    taken = timed([*command, "--no-cache", "--quiet", "--out", str(run)], folder)
    return taken, pl.read_parquet(run / "ledger.parquet")


def theirs(python: Path, rows: list[Row], folder: Path) -> tuple[Taken, set[int]]:
    """`dj-process` with the four operators: what it took, and the rows that it kept."""
    dump, recipe, kept = folder / "dump.jsonl", folder / "four.yaml", folder / "out" / "kept.jsonl"
    numbered = enumerate(rows)
    _write(dump, [{"text": f"{p}\n{a}", "answer": a, "row": n} for n, (p, a) in numbered])
    recipe.write_text(THEIRS.format(dump=dump, kept=kept))
    script = python.parent / "dj-process"
    taken = timed([str(python), str(script), "--config", str(recipe)], folder)
    return taken, {orjson.loads(line)["row"] for line in kept.open("rb")}


def compare_numbers(python: Path, rows: list[Row], folder: Path) -> None:
    """Print on how many rows the three numbers are the same to the last bit."""
    dump, out = folder / "answers.jsonl", folder / "stats.json"
    _write(dump, [{"answer": answer} for _, answer in rows])
    subprocess.run([python, "-c", STATS, str(dump), str(out)], check=True, capture_output=True)
    found = Quality(rules=("data_juicer",)).measure(records(rows))
    mine = found.select("answer_words", "repetition_ratio", "special_ratio").rows()
    same = sum(
        tuple(one) == other for one, other in zip(json.loads(out.read_bytes()), mine, strict=True)
    )
    print(f"word count, repetition and special characters: equal on {same:,} of {len(rows):,} rows")


def compare_decisions(ledger: pl.DataFrame, kept: set[int]) -> None:
    """Print how often both kept or dropped a row, and by which of our steps they differ."""
    drops = dict(ledger.filter(pl.col("verdict") == "drop").select("row", "step").iter_rows())
    counts = {"both keep": 0, "both drop": 0, "only they drop": 0}
    counts |= {f"only our {step} drops": 0 for step in ("quality", "near")}
    for row in ledger["row"].unique().to_list():
        if row in drops:
            counts["both drop" if row not in kept else f"only our {drops[row]} drops"] += 1
        else:
            counts["both keep" if row in kept else "only they drop"] += 1
    print("; ".join(f"{name} {count:,}" for name, count in counts.items()))


def _write(path: Path, lines: list[dict[str, object]]) -> None:
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))


def main() -> None:
    """Print both times, their ratio and the agreement of the decisions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    default = os.environ.get("CURATE_DATA_JUICER", ".venv/data_juicer")
    parser.add_argument("--peer", type=Path, default=Path(default), help="its environment")
    parser.add_argument("--install", action="store_true", help="make that environment first")
    parser.add_argument("--data", type=Path, help="rows of the dumps here/raw, not made-up ones")
    asked = parser.parse_args()
    if asked.install and not asked.peer.exists():
        import venv

        venv.create(asked.peer, with_pip=True)
        pip = [asked.peer / "bin" / "python", "-m", "pip", "install", "-q"]
        subprocess.run([*pip, *PACKAGES], check=True)
    rows = real(asked.data, asked.rows) if asked.data else made_up(asked.rows)
    size = sum(len(p.encode()) + len(a.encode()) for p, a in rows)
    print(f"{len(rows):,} rows, {size / 1e6:.0f} MB, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as made:
        own, ledger = ours(rows, Path(made))
    print(f"curate run   {own}")
    python = asked.peer.absolute() / "bin" / "python"
    if not python.exists():
        print(f"no Data-Juicer in {asked.peer}: `--install` puts it there")
        return
    with tempfile.TemporaryDirectory() as made:
        theirs(python, rows[:20], Path(made))
    with tempfile.TemporaryDirectory() as made:
        peer, kept = theirs(python, rows, Path(made))
        print(f"dj-process   {peer}")
        print(
            f"{peer.seconds / own.seconds:.1f} times our seconds (target {TARGET}), "
            f"{peer.processor / own.processor:.1f} times our processor"
        )
        compare_numbers(python, rows, Path(made))
    compare_decisions(ledger, kept)


if __name__ == "__main__":
    main()
