"""What preferences teach on real pairs: SFT, then DPO and its kin, for several seeds.

    python benchmarks/preferences_real.py [--seeds 3] [--work DIR] [--docs]

Alpaca rows, of which none repeats a prompt of the pairs (`decontaminate`), train a model; pairs
that GPT-4 judged (AlpacaEval: two models' answers beside davinci-003's) train it on. Three
objectives are compared, then how much SFT comes before DPO, then DPO on the pairs of PandaLM, which
people judged. A seed decides the order of rows and which prompts are held out; a prompt is never on
both sides. All figures are those of `curate train` at its last epoch.

What came of it is a small file in `benchmarks/evidence/`; `--docs` writes its tables into
`docs/evidence.md`. `--work` keeps what each training gave, so that a run which was stopped goes on.
The model is stories260k of the test data, which follows no instruction; `--model smollm2` is
SmolLM2-135M-Instruct (small_model.py) with low-rank adapters, which takes hours on a processor.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rows import DATA, need
from small_model import small_model

ROOT = Path(__file__).parent.parent
PAGE, RESULTS = ROOT / "docs" / "evidence.md", Path(__file__).parent / "evidence"
MARK, END = "<!-- benchmarks/preferences_real.py --docs -->", "<!-- end of preferences_real -->"
STORIES = DATA / "models" / "stories260k-hf"
ALPACA = DATA / "raw" / "alpaca_random_9k.json"
PAIRS = {
    "alpaca_eval": ("alpaca_eval_alpaca_7b.json", "alpaca_eval_phi_2.json"),
    "pandalm": ("pandalm_testset.json",),
}
SFT_ROWS, SFT_CHARACTERS = 4_000, 800  # the rows fit 512 positions of a small vocabulary
HELD_OUT = 0.25
ARMS: dict[str, dict[str, Any]] = {
    "dpo": {"objective": "dpo", "beta": 0.1},
    "dpo, length-normalised": {"objective": "dpo", "beta": 5.0, "length_normalised": True},
    "simpo": {"objective": "simpo", "beta": 2.0, "simpo_gamma": 1.0},
}
SHARES = (0.0, 0.5, 0.25, 1.0)  # of the steps of SFT


@dataclasses.dataclass(frozen=True)
class Start:
    """A model to begin with, and how it is trained."""

    template: str | None
    max_length: int  # tokens of a row: longer pairs are left out, whole
    steps: int  # of SFT
    sft: dict[str, Any]
    pairs: dict[str, Any]


STARTS = {
    "stories": Start(
        "simple",
        320,
        240,
        {"batch_tokens": 2_000, "learning_rate": 5e-3},
        {"batch_size": 16, "learning_rate": 5e-5, "num_train_epochs": 1, "prompts": 32},
    ),
    "smollm2": Start(
        None,
        512,
        100,
        {"batch_tokens": 1_000, "learning_rate": 2e-4, "method": "lora"},
        {
            "batch_size": 16,
            "learning_rate": 5e-5,
            "num_train_epochs": 1,
            "prompts": 16,
            "method": "lora",
        },
    ),
}


def cells() -> Iterator[tuple[str, str, float, dict[str, Any]]]:
    """Name, pairs, share of SFT and settings of every line of the tables."""
    for name, settings in ARMS.items():
        yield name, "alpaca_eval", 1.0, settings
    yield "dpo on PandaLM", "pandalm", 1.0, ARMS["dpo"]
    for share in SHARES[:-1]:
        yield f"dpo after {share:.0%} of SFT", "alpaca_eval", share, ARMS["dpo"]


def make_rows(work: Path, model: Path, start: Start) -> None:
    """TOKENS of both sets of pairs, and of Alpaca rows that share no prompt with them."""
    import curate

    how = {"tokenizer": str(model), "template": start.template, "force": True}
    for name, files in PAIRS.items():
        if (work / f"{name}.tokens").is_dir():
            continue
        dumps = [str(DATA / "preference" / file) for file in files]
        command = [sys.executable, "-m", "curate", "pairs", *dumps, "--from", "rejected"]
        out = ["--out", str(work / name), "--force", "--quiet"]
        subprocess.run([*command, *out], check=True)
        limits = {"max_length": start.max_length, "overlong": "refuse"}
        source, tokens = work / name / "pairs.jsonl", work / f"{name}.tokens"
        curate.render(source, pairs=True, out=tokens, **limits, **how)
    if (work / "sft.tokens").is_dir():
        return
    rows = [row for row in json.loads(ALPACA.read_text("utf-8")) if _fits(row)]
    lines = [json.dumps(rows[place]) for place in np.random.default_rng(0).permutation(len(rows))]
    dump = work / "sft.jsonl"
    dump.write_text("\n".join(lines[:SFT_ROWS]) + "\n", "utf-8")
    against = [str(work / name / "pairs.jsonl") for name in PAIRS]
    run = curate.run(dump, steps=[{"decontaminate": {"against": against}}], cache=False)
    curate.render(run, out=work / "sft.tokens", **how)


def _fits(row: dict[str, Any]) -> bool:
    size = sum(len(str(value)) for value in row.values())
    return bool(row["output"].strip()) and size <= SFT_CHARACTERS


def tune(work: Path, model: Path, start: Start, share: float, seed: int) -> Path:
    """The model after a share of the steps of SFT; itself after none."""
    import curate

    if not share:
        return model
    out = work / f"sft-{share:g}-{seed}"
    if not (out / "config.json").is_file():
        curate.train(
            work / "sft.tokens",
            model=model,
            out=out,
            preset="alpaca",
            max_steps=round(share * start.steps),
            seed=seed,
            held_out=0,
            prompts=0,
            choose="last",
            save_total_limit=1,
            proof=False,
            force=True,
            allow=["too-long"],
            **start.sft,
        )
    return out


def sides(tokens: Path, seed: int) -> dict[str, int]:
    """Pairs and prompts of both sides of the split; it ends here if they share a prompt."""
    from trainer.data.split import prompt_lengths, split
    from trainer.data.tokens import load_tokens

    rows = load_tokens(str(tokens)).rows
    prompts = prompt_lengths(rows)
    train, held = split(rows, np.arange(len(rows)), HELD_OUT, seed)
    texts = [
        {rows.input_ids[rows.row(row)][: prompts[row]].tobytes() for row in part.tolist()}
        for part in (train, held)
    ]
    assert not texts[0] & texts[1], "a prompt is on both sides"
    found = (("train", train, texts[0]), ("held out", held, texts[1]))
    return {
        f"{kind}, {side}": count
        for side, part, prompts_of in found
        for kind, count in (("pairs", len(part)), ("prompts", len(prompts_of)))
    }


def measure(
    work: Path, model: Path, start: Start, cell: tuple[str, str, float, dict[str, Any]], seed: int
) -> dict[str, Any]:
    """One training on pairs: what was measured before it and after its last epoch."""
    import curate

    _, pairs, share, settings = cell
    tokens = work / f"{pairs}.tokens"
    tuned = tune(work, model, start, share, seed)
    result = curate.train(
        tokens,
        model=tuned,
        out=work / "preferred",
        seed=seed,
        held_out=HELD_OUT,
        choose="last",
        save_total_limit=1,
        proof=False,
        force=True,
        **{**start.pairs, **settings},
    )
    before, after = result.table[0], result.table[-1]
    assert after.held_out is not None
    counts = sides(tokens, seed)
    assert counts["pairs, held out"] == after.held_out.rows
    return {"sides": counts, "before": before.measures(), "after": after.measures()}


def collect(work: Path, name: str, seeds: range) -> dict[str, Any]:
    """Every cell for the seeds, and what lies in `work` for others."""
    start = STARTS[name]
    model = STORIES if name == "stories" else small_model(work)
    make_rows(work, model, start)
    found: dict[str, list[dict[str, Any]]] = {}
    for cell in cells():
        for seed in seeds:
            kept = work / f"{cell[0]}-{seed}.json"
            if not kept.exists():
                kept.write_text(json.dumps(measure(work, model, start, cell, seed)), "utf-8")
                measures = json.loads(kept.read_text("utf-8"))["after"]
                print(seed, cell[0], _short(measures), flush=True)
        some = sorted(work.glob(f"{cell[0]}-[0-9]*.json"))
        if some:
            found[cell[0]] = [json.loads(path.read_text("utf-8")) for path in some]
    return {"model": name, "start": dataclasses.asdict(start), "cells": found}


def _short(measures: dict[str, float]) -> str:
    names = ("accuracy", "longer_wins", "margin", "kl", "length", "stops")
    return ", ".join(f"{name} {measures[name]:.3f}" for name in names)


# Heading, name in the measures, and how it is written.
COLUMNS = (
    ("right", "accuracy", "{:.1%}"),
    ("the longer wins", "longer_wins", "{:.1%}"),
    ("margin", "margin", "{:.3f}"),
    ("reward of chosen", "chosen_reward", "{:.3f}"),
    ("of rejected", "rejected_reward", "{:.3f}"),
    ("KL, nats a token", "kl", "{:.4f}"),
    ("chosen, tokens", "chosen_length", "{:.0f}"),
    ("rejected", "rejected_length", "{:.0f}"),
    ("own answers", "length", "{:.0f}"),
    ("stops", "stops", "{:.0%}"),
)


def interval(values: list[float], form: str) -> str:
    """The mean over seeds, and half of its 95 % interval by Student's t."""
    from trainer.objectives.sft import half_width

    reach = half_width(np.array(values))
    mean = form.format(float(np.mean(values)))
    return mean if reach is None else f"{mean} ± {form.format(reach)}"


def table(lines: dict[str, list[dict[str, float]]]) -> list[str]:
    """A line for each model, a column for each figure."""
    headings = ["", "seeds", *(heading for heading, _, _ in COLUMNS)]
    shown = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for name, measured in lines.items():
        figures = [
            interval([one[key] for one in measured], form) if key in measured[0] else ""
            for _, key, form in COLUMNS
        ]
        shown.append(f"| {name} | {len(measured)} | {' | '.join(figures)} |")
    return shown


# What is known of a model whose pairs are all ties.
BEFORE = ("length", "stops", "chosen_length", "rejected_length", "longer_wins")


def tables(found: dict[str, Any]) -> list[str]:
    """What was read, and the tables of the page; of cells that nobody ran there is no line."""
    made, start = found["cells"], found["start"]
    after = {name: [one["after"] for one in some] for name, some in made.items()}
    main: dict[str, list[dict[str, float]]] = {}
    if "simpo" in made:
        # Before training every pair is a tie of log ratios: SimPO's means tell what SFT prefers.
        main["SFT alone, by ln p a token"] = _picked(made["simpo"], (*BEFORE, "accuracy"))
    main |= {name: after[name] for name in ARMS if name in made}
    sweep: dict[str, list[dict[str, float]]] = {}
    for share in sorted(SHARES):
        name = "dpo" if share == 1 else f"dpo after {share:.0%} of SFT"
        if name in made:
            sweep[f"{share:.0%} of SFT"] = _picked(made[name], BEFORE)
            sweep[f"{share:.0%} of SFT, then dpo"] = after[name]
    lines = [
        f"{start['steps']} steps of SFT, then one epoch of pairs of at most "
        f"{start['max_length']} tokens a side; mean over seeds and its 95 % interval.",
        "",
        f"AlpacaEval ({_counts(made['dpo'])}):",
        "",
        *table(main),
        "",
        "How much SFT comes before DPO:",
        "",
        *table(sweep),
    ]
    if pandalm := made.get("dpo on PandaLM"):
        both = {"SFT alone": _picked(pandalm, BEFORE), "dpo": after["dpo on PandaLM"]}
        lines += ["", f"PandaLM ({_counts(pandalm)}):", "", *table(both)]
    return lines


def _picked(measured: list[dict[str, Any]], names: tuple[str, ...]) -> list[dict[str, float]]:
    """Some of what was measured before training."""
    return [{name: one["before"][name] for name in names} for one in measured]


def _counts(measured: list[dict[str, Any]]) -> str:
    sides = [one["sides"] for one in measured]
    middle = {name: round(float(np.mean([one[name] for one in sides]))) for name in sides[0]}
    return (
        f"{middle['pairs, train']:,} pairs on {middle['prompts, train']:,} prompts to train, "
        f"{middle['pairs, held out']:,} on {middle['prompts, held out']:,} held out"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3, help="0: only write what is there")
    parser.add_argument("--first", type=int, default=0, help="100 or more to choose settings by")
    parser.add_argument("--model", choices=STARTS, default="stories")
    parser.add_argument("--work", type=Path, help="where results of trainings are kept")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/")
    given = parser.parse_args()
    need(ALPACA, STORIES, DATA / "preference")
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        seeds = range(given.first, given.first + given.seeds)
        found = collect(work, given.model, seeds)
    lines = tables(found)
    print("\n".join(lines))
    if given.docs:
        kept = RESULTS / f"preferences-{given.model}.json"
        kept.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        before, mark, rest = PAGE.read_text("utf-8").partition(MARK)
        text = "\n".join(lines)
        PAGE.write_text(f"{before}{mark}\n{text}\n\n{rest[rest.index(END) :]}", "utf-8")


if __name__ == "__main__":
    main()
