"""The suite on a real model before and after a short LoRA, and how fast its answers are written.

    python benchmarks/suite.py --work DIR

The model is SmolLM2-135M-Instruct (see small_model.py), whose weights were rounded to 4 bits, so
differences count more than levels. It is tuned on `--train` rows of Alpaca for one epoch, and both
are measured on other Alpaca rows, on GSM8K and on a page of our own documentation. `--docs` prints
the tables as they stand in docs/evaluate.md. With `--work` a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from rows import DATA, need
from small_model import small_model

ROOT = Path(__file__).parent.parent
LONGEST = 500  # characters of a row, so that a step fits a laptop
AT_ONCE = 16


def curate(*words: object) -> float:
    """One command; the seconds it took."""
    shown = [str(word) for word in words]
    print("$ curate", *shown, flush=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "curate", *shown], check=True, env=environment)
    return time.perf_counter() - started


def write_rows(work: Path, train: int, held_out: int) -> list[Path]:
    """Rows to train on, and the files to measure on."""
    alpaca = _short(DATA / "raw" / "alpaca_random_9k.json")
    sets = {
        "train.jsonl": alpaca[:train],
        "alpaca.jsonl": alpaca[-held_out:],
        "gsm8k.jsonl": _short(DATA / "raw" / "gsm8k_train_alpaca.json")[:held_out],
    }
    for name, rows in sets.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (work / name).write_text(text, encoding="utf-8")
    page = (ROOT / "docs" / "length.md").read_text("utf-8")[:8000]
    (work / "page.txt").write_text(page, encoding="utf-8")
    return [work / name for name in ("alpaca.jsonl", "gsm8k.jsonl", "page.txt")]


def _short(path: Path) -> list[dict[str, Any]]:
    rows = json.loads(path.read_text("utf-8"))
    texts = ("instruction", "input", "output")
    return [
        row
        for row in rows
        if row["output"].strip() and sum(len(row.get(each) or "") for each in texts) < LONGEST
    ]


def speed(model: Path, tokens: int) -> list[list[str]]:
    """Tokens a second of answers, beside transformers' own loop and the model's passes alone."""
    import torch

    from trainer.after import chat
    from trainer.after.chat import Sampling
    from trainer.after.suite.instructions.prompts import make_prompts

    talker = chat.load(str(model))
    prompts = [
        chat.prompt_ids(talker, [{"role": "user", "content": each.text}])
        for each in make_prompts(AT_ONCE)
    ]
    endless = chat.Talker(
        talker.net, talker.tokenizer, talker.decode, frozenset(), (), None, talker.folder
    )
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(one)) + list(one) for one in prompts])
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts])

    def theirs() -> None:
        talker.net.generate(
            ids, attention_mask=mask, do_sample=False, max_new_tokens=tokens, min_new_tokens=tokens
        )

    def passes() -> None:
        with torch.no_grad():
            output = talker.net(input_ids=ids, attention_mask=mask, use_cache=True)
            for _ in range(tokens - 1):
                output = talker.net(
                    input_ids=ids[:, -1:], past_key_values=output.past_key_values, use_cache=True
                )

    ways = {
        "the model's passes alone": passes,
        "generate of transformers": theirs,
        "our answers": lambda: chat.answers(
            endless, prompts, Sampling(max_tokens=tokens), lambda line: None
        ),
    }
    # Each once in turn, twice: the better of the two, as others use this machine too.
    seconds = {name: float("inf") for name in ways}
    for _ in range(2):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    rate = {name: AT_ONCE * tokens / each for name, each in seconds.items()}
    return [["", "tokens/s"], *([name, f"{each:.1f}"] for name, each in rate.items())]


def tables(found: dict[str, Any], names: Sequence[str]) -> list[list[list[str]]]:
    """The tables of the page, from `eval.json`."""
    apart = found["comparisons"][0]
    loss = [["bits per byte", *names, "difference"]]
    stops = [["", *names, "difference"]]
    sizes = [["median tokens (5 % to 95 %)", "reference", *names, "W1"]]
    for at, file in enumerate(found["files"]):
        name = Path(file["name"]).name
        both = [each["files"][at] for each in found["models"]]
        loss.append(
            [
                f"{name}, {both[0]['measured']} {'pieces' if file['kind'] == 'text' else 'rows'}",
                *(_number(each["loss"]["bits_per_byte"]) for each in both),
                _number(apart["files"][at]["loss"]["bits_per_byte"], "+"),
            ]
        )
        if not both[0]["stops"]:
            continue
        for what in ("stopped", "loops", "empty", "leaked"):
            cells = [_percent(each["stops"][what]) for each in both]
            stops.append([f"{name}: {what}", *cells, _percent(apart["files"][at]["stops"][what])])
        lengths = [each["lengths"]["tokens"] for each in both]
        cells = [_quantiles(lengths[0]["reference"])]
        cells += [_quantiles(each["generated"]) for each in lengths]
        sizes.append([name, *cells, " / ".join(f"{each['w1']:.0f}" for each in lengths)])
    return [loss, stops, sizes, *_instructions(found, names)]


def _instructions(found: dict[str, Any], names: Sequence[str]) -> list[list[list[str]]]:
    both = [each["instructions"] for each in found["models"]]
    apart = found["comparisons"][0]["instructions"]
    shares = [["followed", *names, "difference"]]
    for what in ("prompt_strict", "prompt_loose", "instruction_strict", "instruction_loose"):
        cells = [_percent(each[what]) for each in both]
        shares.append([what.replace("_", "s, "), *cells, _percent(apart[what])])
    kinds = [["kind", "asked", *(f"{name}, strict / loose" for name in names)]]
    for kind, each in both[0]["kinds"].items():
        cells = [
            f"{one['kinds'][kind]['strict']:.0%} / {one['kinds'][kind]['loose']:.0%}"
            for one in both
        ]
        kinds.append([kind, str(each["asked"]), *cells])
    return [shares, kinds]


def _number(one: dict[str, float], sign: str = "") -> str:
    return f"{one['value']:{sign}.3f} ({one['low']:{sign}.3f} to {one['high']:{sign}.3f})"


def _percent(one: dict[str, float]) -> str:
    return f"{one['value']:.0%} ({one['low']:.0%} to {one['high']:.0%})"


def _quantiles(values: Sequence[float]) -> str:
    return f"{values[2]:.0f} ({values[0]:.0f} to {values[-1]:.0f})"


def markdown(table: Sequence[Sequence[str]]) -> str:
    """A table as the page has it."""
    lines = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([lines[0], "|".join(["", *["-"] * len(table[0]), ""]), *lines[1:]])


def main() -> None:
    """Tune, measure both, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="where all is kept, to go on another time")
    parser.add_argument("--train", type=int, default=96, help="rows that are trained on")
    parser.add_argument("--rows", type=int, default=24, help="rows of each file")
    parser.add_argument("--prompts", type=int, default=50, help="prompts with instructions")
    parser.add_argument("--tokens", type=int, default=64, help="the longest answer")
    parser.add_argument("--docs", action="store_true", help="tables for docs/evaluate.md")
    given = parser.parse_args()
    need(DATA / "raw" / "alpaca_random_9k.json", DATA / "raw" / "gsm8k_train_alpaca.json")
    with tempfile.TemporaryDirectory() as folder:
        work = given.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        model = small_model(work)
        files = write_rows(work, given.train, given.rows)
        tokens, tuned, found = (work / name for name in ("tokens", "tuned", "EVAL"))
        times = {}
        if not (tuned / "model.safetensors").is_file():
            render = ["render", work / "train.jsonl", "--tokenizer", model, "--out", tokens]
            curate(*render, "--force", "--quiet")
            train = ["train", tokens, "--model", model, "--method", "lora", "--out", tuned]
            more = ["--epochs", 1, "--batch", 8, "--set", "held_out=0", "--set", "prompts=0"]
            times["training"] = curate(*train, *more, "--lr", 2e-4, "--force")
        evaluate = ["eval", tuned, *files, "--suite", "--against", model, "--out", found]
        sizes = ["--prompts", given.prompts, "--max-tokens", given.tokens, "--force"]
        times["evaluating"] = curate(*evaluate, *sizes)
        numbers = json.loads((found / "eval.json").read_text("utf-8"))
        shown = [*tables(numbers, ["tuned", "base"]), speed(model, 32)]
        for table in shown:
            print("\n" + (markdown(table) if given.docs else "\n".join(map("  ".join, table))))
        print(f"\n{', '.join(f'{name} {each:.0f} s' for name, each in times.items())}")


if __name__ == "__main__":
    main()
