"""What curated rows are worth, on real rows: one proof for each experiment, and the page of all.

    python benchmarks/evidence.py [NAME ...] [--seeds 5] [--work DIR] [--docs]

Each experiment is a `curate run` over Alpaca rows and a `curate prove` of what it kept, against
other rows of the same number of trained tokens. Three targets are held-out answers of other sets:
LIMA, GSM8K and Code Alpaca; the first half of each (`development`) may choose what a recipe does,
the second half (`final`) never does. What came of an experiment is a small file in
`benchmarks/evidence/`, so that the page goes on another day: `--docs` writes `docs/evidence.md`
anew from all of them. `--work` keeps the proofs themselves, so that one that was stopped goes on.

`stories` is stories260k of the test data, a model of 260,000 weights that has read children's
stories alone; `smollm2` is SmolLM2-135M-Instruct (small_model.py), whose weights were rounded to 4
bits, so that differences count, not levels.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import tempfile
from pathlib import Path
from typing import Any

from evidence_page import show
from rows import DATA, need
from small_model import small_model

RESULTS = Path(__file__).parent / "evidence"
STORIES = DATA / "models" / "stories260k-hf"
RAW = DATA / "raw"
LONGEST = 800  # characters of a row, so that it fits the small model's 512 positions
TARGET_ROWS = 80  # of each half of a target
TARGETS = {
    "lima": "lima_1k.json",
    "gsm8k": "gsm8k_train_alpaca.json",
    "code": "code_alpaca_2k.json",
}
FULL = {"method": "full", "learning_rate": 2e-3, "batch_tokens": 2_000}
LORA = {"method": "lora", "learning_rate": 2e-4, "batch_tokens": 500}
BUDGET = 200  # rows that `lima` chooses: 1,000 are more than 8,000 short ones can give

Steps = list[Any] | str


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A recipe's name or steps, what its rows are compared with, and how much is trained."""

    about: str
    steps: Steps
    baselines: tuple[str, ...] = ("random",)
    model: str = "stories"
    tokens: int = 100_000
    half: str = "development"
    seeds: int = 5
    max_rows: int = TARGET_ROWS
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    formats: tuple[str, ...] = ()  # train with each of these templates, prompt with each
    amounts: tuple[int, ...] = ()  # trained tokens, instead of `tokens`


_LIMA = {"select.budget": BUDGET}
_CHOICE = {"method": "facility", "field": "prompt", "budget": BUDGET}
EXPERIMENTS = {
    "lima": Experiment(
        "the recipe `lima`", "lima", ("random", "longest", "full", "raw"), seeds=10, settings=_LIMA
    ),
    "lima-final": Experiment(
        "the recipe `lima`, on targets that chose nothing",
        "lima",
        half="final",
        seeds=10,
        settings=_LIMA,
    ),
    "select": Experiment(
        "the last step of `lima` alone: 200 rows by facility location",
        [{"select": {**_CHOICE, "stratify": "log_length"}}],
        seeds=10,
    ),
    "select-plain": Experiment(
        "the same without strata of length", [{"select": _CHOICE}], seeds=10
    ),
    "lima-smollm2-30k": Experiment(
        "the recipe `lima`",
        "lima",
        ("random", "longest"),
        model="smollm2",
        tokens=30_000,
        max_rows=40,
        seeds=3,
        settings=_LIMA,
    ),
    "default": Experiment("the default recipe", "default"),
    "quality": Experiment("`quality` alone", ["quality"]),
    "longest": Experiment("the recipe `longest`", "longest", settings={"select.budget": BUDGET}),
    "formats": Experiment(
        "rows of `lima`", "lima", settings=_LIMA, formats=("chatml", "alpaca", "simple")
    ),
    "amounts": Experiment(
        "rows of `lima`",
        "lima",
        ("random", "full"),
        settings=_LIMA,
        amounts=(25_000, 50_000, 100_000, 200_000),
    ),
    "lima-smollm2": Experiment(
        "the recipe `lima`",
        "lima",
        model="smollm2",
        tokens=6_000,
        max_rows=40,
        seeds=3,
        settings=_LIMA,
    ),
}


def short_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file that fit, each question once."""
    rows = [_as_alpaca(row) for row in json.loads(path.read_text("utf-8"))]
    fits = [
        row
        for row in rows
        if row["output"].strip() and sum(len(str(row.get(key) or "")) for key in row) <= LONGEST
    ]
    return list({(row["instruction"], row.get("input", "")): row for row in fits}.values())


def _as_alpaca(row: dict[str, Any]) -> dict[str, Any]:
    """A row of our copy of LIMA, one question and its answer, without the text around it."""
    if "conversations" not in row:
        return row
    asked, answer = (turn["value"] for turn in row["conversations"][:2])
    question = asked.split("### Instruction:")[-1].split("### Response:")[0].strip()
    return {"instruction": question, "input": "", "output": answer.strip()}


def write_targets(folder: Path, half: str) -> list[Path]:
    """The first or the second half of some rows of each target, in an order that never changes."""
    written = []
    for name, file in TARGETS.items():
        rows = short_rows(RAW / file)
        random.Random(0).shuffle(rows)
        first = 0 if half == "development" else TARGET_ROWS
        path = folder / f"{name}.jsonl"
        some = rows[first : first + TARGET_ROWS]
        path.write_text("".join(json.dumps(row) + "\n" for row in some), "utf-8")
        written.append(path)
    return written


def prove(name: str, one: Experiment, work: Path, jobs: int, seeds: int | None) -> dict[str, Any]:
    """Run one experiment; its result as plain values."""
    import curate

    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    dump = folder / "alpaca.jsonl"
    rows = short_rows(RAW / "alpaca_random_9k.json")
    dump.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    named = {"recipe": one.steps} if isinstance(one.steps, str) else {"steps": one.steps}
    if not (folder / "RUN").is_dir():
        curate.run(dump, **named, settings=one.settings or None, out=folder / "RUN")
    options: dict[str, Any] = {
        "model": STORIES if one.model == "stories" else small_model(work),
        "targets": write_targets(folder, one.half),
        "seeds": seeds or one.seeds,
        "max_rows": one.max_rows,
        "training": FULL if one.model == "stories" else LORA,
        "jobs": jobs,
        "out": folder / "PROOF",
        "log": lambda line: print(line, flush=True),
    }
    template = "chatml" if one.model == "stories" else None
    if one.formats:
        curate.prove_formats(folder / "RUN", one.formats, tokens=one.tokens, **options)
    elif one.amounts:
        options |= {"template": template, "baselines": one.baselines}
        curate.prove_amounts(folder / "RUN", one.amounts, **options)
    else:
        options |= {"template": template, "baselines": one.baselines, "tokens": one.tokens}
        curate.prove(folder / "RUN", **options)
    written = json.loads((folder / "PROOF" / "proof.json").read_text("utf-8"))
    return {**_about(name, one, seeds or one.seeds), **_found(one, written)}


def _about(name: str, one: Experiment, seeds: int) -> dict[str, Any]:
    """What was asked."""
    asked = {"name": name, "about": one.about, "model": one.model, "half": one.half}
    tokens = {"amounts": one.amounts} if one.amounts else {"tokens": one.tokens}
    return {**asked, **tokens, "rows": one.max_rows, "seeds": seeds}


def _found(one: Experiment, proof: dict[str, Any]) -> dict[str, Any]:
    """What the page needs of a proof."""
    if one.formats:
        return {key: proof[key] for key in ("formats", "matrices", "pairs")}
    if one.amounts:
        return {key: proof[key] for key in ("curve", "steps")}
    kept = ("metric", "baseline", "target", "selected", "other", "difference", "holm")
    more = ("would_see", "margin", "verdict")
    of_set = ("baseline", "rows", "tokens", "steps", "epochs", "length")
    return {
        "before": proof["before_training"],
        "primary": [{key: line[key] for key in (*kept, *more)} for line in proof["primary"]],
        "baselines": [{key: line[key] for key in of_set} for line in proof["baselines"]],
        "sentences": proof["sentences"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(EXPERIMENTS)}")
    parser.add_argument("--seeds", type=int, help="for each set, instead of the experiment's own")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--work", type=Path, help="where proofs are kept")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in EXPERIMENTS]:
        parser.error(f"{unknown[0]}: expected some of {', '.join(EXPERIMENTS)}")
    need(RAW / "alpaca_random_9k.json", STORIES, *(RAW / file for file in TARGETS.values()))
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        RESULTS.mkdir(exist_ok=True)
        for name in given.names:
            found = prove(name, EXPERIMENTS[name], work, given.jobs, given.seeds)
            content = json.dumps(found, indent=1) + "\n"
            (RESULTS / f"{name}.json").write_text(content, "utf-8")
    paths = (RESULTS / f"{name}.json" for name in EXPERIMENTS)
    results = [json.loads(path.read_text("utf-8")) for path in paths if path.exists()]
    show(results, list(TARGETS), write=given.docs)


if __name__ == "__main__":
    main()
