"""Length teaches length: what a model generates after training on answers of one length.

    python benchmarks/length_effect.py [--seeds 5] [--work DIR] [--docs]

From Alpaca three sets are made: `crowded`, four fifths of whose answers have 36 to 44 words, and
its rows after `length: cap` and after `length: match` (the reference is the lengths of Alpaca's
answers, of rows that are in no set). A model is trained on each for the same steps of the same
trained tokens, for several seeds, which redraw the crowded rows too; `natural` are random rows at
the same tokens. Then it answers other Alpaca prompts, whose own answers' lengths it is held to, by
task group. The model is stories260k of the test data, which has read children's stories alone and
follows no instruction: what is measured is how long it writes, and for whom, not what. `--model`
names another.

A line for each set and seed lies in `--work`, so that a run which was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
from rows import DATA, need

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "evidence.md"
MARK, END = "<!-- benchmarks/length_effect.py --docs -->", "<!-- end of length_effect -->"
DUMP = DATA / "raw" / "alpaca_random_9k.json"
STORIES = DATA / "models" / "stories260k-hf"
LOW, HIGH = 36, 44  # words; one window of `cap`, whose width is 10 % to either side
LONGEST = 800  # characters of a row, so that it fits 512 positions of a small vocabulary
SETS = ("crowded", "cap", "match", "natural")
T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # 97.5 %, 1 to 9 degrees
SHORT, LONG = 10, 60  # words of prompts' own answers: below, and from, which they are short or long


def words(text: str) -> int:
    """Words of an English text, as `length` counts them."""
    return len(text.split())


def parts() -> tuple[list[dict[str, Any]], ...]:
    """Rows to train on, rows whose lengths are the reference, and rows to ask, without overlap."""
    rows = [
        row
        for row in json.loads(DUMP.read_text("utf-8"))
        if row["output"].strip() and sum(len(row[key]) for key in row) <= LONGEST
    ]
    random.Random(0).shuffle(rows)
    return rows[:-1200], rows[-1200:-200], rows[-200:]


def conversation(row: dict[str, Any]) -> dict[str, Any]:
    """An Alpaca row as messages."""
    asked = "\n".join(text for text in (row["instruction"], row["input"]) if text)
    turns = (("user", asked), ("assistant", row["output"]))
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def crowded(rows: list[dict[str, Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """Four fifths from the window, one fifth from all."""
    chance = random.Random(seed)
    sizes = [words(row["output"]) for row in rows]
    inside = [row for row, size in zip(rows, sizes, strict=True) if LOW <= size <= HIGH]
    chosen = chance.sample(inside, 4 * count // 5)
    taken = {id(row) for row in chosen}
    others = [row for row in rows if id(row) not in taken]
    return chosen + chance.sample(others, count - len(chosen))


def make_sets(
    rows: list[dict[str, Any]], reference: Path, count: int, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """The four sets of one seed, as conversations."""
    import curate

    raw = crowded(rows, count, seed)
    cap = {"length": {"action": "cap"}}
    # Of these lengths the reference's cannot be reached more closely.
    near = {"tolerance": 0.1, "min_per_group": 1, "seed": seed}
    match = {"length": {"action": "match", "reference": str(reference), **near}}
    made: dict[str, list[dict[str, Any]]] = {"crowded": raw}
    for name, step in (("cap", cap), ("match", match)):
        kept = curate.run(raw, steps=[step], seed=seed, cache=False).kept
        made[name] = [{"messages": messages} for messages in kept["messages"].to_list()]
    made["natural"] = random.Random(1_000 + seed).sample(rows, count)
    return made


def measure(
    rows: list[dict[str, Any]], test: Path, model: str, home: Path, seed: int, given: Any
) -> dict[str, Any]:
    """Train on rows and answer the prompts: rows, and words of each answer beside its own."""
    import curate

    tokens = home / "tokens"
    curate.render(rows, tokenizer=model, template="chatml", out=tokens, force=True)
    settings = {"batch_tokens": given.batch, "max_steps": given.steps, "learning_rate": given.rate}
    settings |= {"seed": seed, "held_out": 0, "prompts": 0}
    settings |= {"choose": "last", "save_total_limit": 1, "method": given.method, "force": True}
    settings |= {"allow": ["too-long"]}  # a row or two of 512 positions or more are left out
    curate.train(tokens, model=model, out=home / "tuned", proof=False, **settings)
    curate.evaluate_suite(
        home / "tuned",
        [test],
        only=["stops", "lengths"],
        max_rows=None,
        max_tokens=given.longest,
        seed=seed,
        temperature=1.0,
        out=home / "eval",
        force=True,
    )
    lines = (home / "eval" / "answers.jsonl").read_text("utf-8").splitlines()
    answers = [json.loads(line) for line in lines]
    asked = [json.loads(line) for line in test.read_text("utf-8").splitlines()]
    own = [asked[int(each["id"].split()[0])] for each in answers]
    return {
        "rows": len(rows),
        "groups": [row["instruction"].split()[0].lower() for row in own],
        "own": [words(row["output"]) for row in own],
        "words": [words(each["answer"]) for each in answers],
        "stopped": [each["stopped"] for each in answers],
    }


def summary(cell: dict[str, Any]) -> dict[str, float]:
    """What one training's answers are like beside the prompts' own."""
    from curate.base.distances import wasserstein

    own, made = cell["own"], cell["words"]
    both = list(zip(own, made, strict=True))
    named = list(zip(cell["groups"], made, strict=True))
    found = {
        "rows": cell["rows"],
        "words, middle": statistics.median(made),
        "of 36 to 44": sum(LOW <= size <= HIGH for size in made) / len(made),
        "distance (W1)": wasserstein(own, made),
        "asked short": statistics.median([size for asked, size in both if asked < SHORT]),
        "asked long": statistics.median([size for asked, size in both if asked >= LONG]),
        "rank correlation": rank_correlation(own, made),
        "stops": sum(cell["stopped"]) / len(made),
    }
    for group in ("classify", "name", "describe", "write"):
        sizes = [size for name, size in named if name == group]
        if sizes:
            found[f"{group}"] = statistics.median(sizes)
    return found


def rank_correlation(one: list[int], other: list[int]) -> float:
    """Spearman's; ties share their ranks."""
    ranks = pl.DataFrame({"one": one, "other": other}).select(pl.all().rank())
    return float(ranks.select(pl.corr("one", "other")).item())


def interval(values: list[float]) -> str:
    """The mean over seeds, and half of its 95 % interval by Student's t."""
    usable = [value for value in values if math.isfinite(value)]
    if len(usable) < 2:
        return f"{usable[0]:.2f}" if usable else "none"
    reach = T[len(usable) - 2] * statistics.stdev(usable) / math.sqrt(len(usable))
    return f"{statistics.mean(usable):.2f} ± {reach:.2f}"


def table(cells: dict[str, list[dict[str, Any]]]) -> list[str]:
    """A line for each quantity, a column for each set, and the prompts' own answers."""
    found = {name: [summary(cell) for cell in some] for name, some in cells.items()}
    one = next(iter(cells.values()))[0]
    asked = summary(one | {"words": one["own"]})
    lines = [f"| | {' | '.join(cells)} | the prompts' own |", "|---" * (len(cells) + 2) + "|"]
    for quantity in next(iter(found.values()))[0]:
        shown = [interval([each[quantity] for each in some]) for some in found.values()]
        own = "" if quantity in ("rows", "stops", "distance (W1)") else f"{asked[quantity]:.2f}"
        lines.append(f"| {quantity} | {' | '.join(shown)} | {own} |")
    return lines


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as lines of JSON."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--count", type=int, default=500, help="rows of the crowded set")
    parser.add_argument("--model", default=str(STORIES))
    parser.add_argument("--method", default="full")
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--batch", type=int, default=2_000, help="trained tokens of a step")
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--longest", type=int, default=350, help="tokens of an answer")
    parser.add_argument("--work", type=Path, help="where results are kept")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/")
    given = parser.parse_args()
    need(DUMP, STORIES)
    train, reference, asked = parts()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        work = given.work or home / "work"
        work.mkdir(parents=True, exist_ok=True)
        test = write(home / "test.jsonl", asked)
        lengths = write(home / "lengths.jsonl", [conversation(row) for row in reference])
        cells: dict[str, list[dict[str, Any]]] = {name: [] for name in SETS}
        for seed in range(given.seeds):
            sets = make_sets(train, lengths, given.count, seed)
            for name, rows in sets.items():
                kept = work / f"{name}-{seed}.json"
                if not kept.exists():
                    found = measure(rows, test, given.model, home, seed, given)
                    kept.write_text(json.dumps(found), "utf-8")
                cells[name].append(json.loads(kept.read_text("utf-8")))
                print(seed, name, summary(cells[name][-1]), flush=True)
    lines = [
        f"{given.seeds} seeds; {given.steps} steps of {given.batch:,} trained tokens; mean over "
        "seeds and its 95 % interval.",
        "",
        *table(cells),
    ]
    print("\n".join(lines))
    if given.docs:
        before, mark, rest = PAGE.read_text("utf-8").partition(MARK)
        text = "\n".join(lines)
        PAGE.write_text(f"{before}{mark}\n{text}\n\n{rest[rest.index(END) :]}", "utf-8")


if __name__ == "__main__":
    main()
