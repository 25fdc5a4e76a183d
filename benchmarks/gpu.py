"""Training on a GPU beside TRL: tokens a second, share of the GPU's peak, and memory.

    python benchmarks/gpu.py --install --write docs/performance.md

Models of the shapes of SmolLM2-135M, Qwen3-0.6B and Qwen3-1.7B with random weights train on rows of
random ids of log-normal lengths, all weights, bf16, 32 rows a step; the first 20 steps are left
out. TRL is run as it comes, tuned and padded, and tuned and packed (with flash attention if
`flash_attn` can be imported in its environment), each arm a process of its own. As it comes TRL
keeps fp32 weights, tuned it keeps bf16 weights without masters; curate is run with masters and
without. `--tiny` tries it all on a CPU, with speeds that mean nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from train import BATCH, OURS, TINY, TRL, WARM, Failed, Shape, arm, install, make, speed

LONGEST = 2048
QWEN3 = {
    "vocab_size": 151936,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": LONGEST,
    "tie_word_embeddings": True,
}
SMOLLM2 = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": LONGEST,
    "tie_word_embeddings": True,
}
# Rows as instruction data has them: 330 tokens in the middle, 440 on average.
LENGTHS: dict[str, Any] = {"middle": 330, "spread": 0.8, "longest": LONGEST}
SHAPES = {
    "135M": Shape("llama", SMOLLM2, **LENGTHS),
    "0.6B": Shape("qwen3", {**QWEN3, "hidden_size": 1024, "intermediate_size": 3072}, **LENGTHS),
    "1.7B": Shape("qwen3", {**QWEN3, "hidden_size": 2048, "intermediate_size": 6144}, **LENGTHS),
}

OWN: dict[str, dict[str, Any]] = {
    "curate, fp32 masters": {"rounding": "masters"},
    "curate, fp32 masters, not strict": {"rounding": "masters", "deterministic": False},
    "curate, rounded at random": {"rounding": "stochastic"},
    "curate, rounded at random, not strict": {"rounding": "stochastic", "deterministic": False},
    "curate, rounded at random, padded": {"rounding": "stochastic", "packing": "off"},
}
HEAD = ("arm", "tokens/s", "trained tokens/s", "of peak", "peak memory", "to the first")


@dataclasses.dataclass(frozen=True)
class Trial:
    """Where and how long the arms of one shape run."""

    shape: Shape
    device: str
    steps: int
    warm: int

    @property
    def micro_tokens(self) -> int:
        """Tokens of a forward pass: on a GPU about all that a step has."""
        return 8 * self.shape.longest


@dataclasses.dataclass(frozen=True)
class Line:
    """What an arm reached; without a result, why not."""

    name: str
    speed: float
    result: dict[str, Any]
    failed: str = ""


def peers(trial: Trial, tokens: int, python: Path) -> dict[str, dict[str, Any]]:
    """What TRL is told: as it comes, tuned and padded, tuned and packed."""
    has_flash = trial.device == "cuda" and can_import(python, "flash_attn")
    rows = max(1, round(tokens / trial.steps / trial.shape.longest))
    tuned = {"dtype": "bfloat16", "gradient_checkpointing": False}
    return {
        "TRL as it comes": {"per_device_train_batch_size": 8},
        "TRL tuned, padded": {
            **tuned,
            "per_device_train_batch_size": 16,
            "train_sampling_strategy": "group_by_length",
        },
        f"TRL tuned, packed, {'flash attention' if has_flash else 'SDPA'}": {
            **tuned,
            "batch": rows,
            "per_device_train_batch_size": rows,
            "packing": True,
            "packing_strategy": "bfd",
            "max_length": trial.shape.longest,
            "attention": "flash_attention_2" if has_flash else "sdpa",
        },
    }


def can_import(python: Path, module: str) -> bool:
    done = subprocess.run([python, "-c", f"import {module}"], capture_output=True)
    return done.returncode == 0


def measure(trial: Trial, home: Path, python: Path, log: Any) -> tuple[list[Line], int, int]:
    """A line for each arm, ours first; tokens and trained tokens of all rows."""
    tokens, trained = make(home, trial.steps, trial.shape, "bfloat16")
    how = {"device": trial.device, "warm": trial.warm, "bf16": True, "rate": 1e-5}
    ours = {"dtype": "bfloat16", "micro_tokens": trial.micro_tokens}
    arms = [(name, sys.executable, OURS, {**ours, **told}) for name, told in OWN.items()]
    if python.exists():
        theirs = peers(trial, tokens, python).items()
        arms += [(name, str(python), TRL, told) for name, told in theirs]
    else:
        log(f"no TRL in {python.parent.parent}: --install puts it there")
    lines = []
    for name, interpreter, script, told in arms:
        try:
            result = arm(interpreter, script, home, told, **how)
            lines.append(Line(name, speed(result, trial.warm), result))
            log(f"  {name:40s} {lines[-1].speed:12,.0f} tokens/s")
        except Failed as error:
            lines.append(Line(name, 0.0, {}, str(error).strip().splitlines()[-1][:200]))
            log(f"  {name:40s} failed: {error}")
    return lines, tokens, trained


def table(lines: list[Line], tokens: int, trained: int) -> Iterator[str]:
    """Rows of Markdown; the share of the peak goes by our count of a token's operations."""
    yield "| " + " | ".join(HEAD) + " |"
    yield "|---|" + "---:|" * (len(HEAD) - 1)
    known = next((line for line in lines if "flops" in line.result), None)
    for line in lines:
        if line.failed or known is None:
            yield f"| {line.name} | failed: {line.failed} |" + " |" * (len(HEAD) - 2)
            continue
        share = line.speed * known.result["flops"] / known.result["peak"]
        memory = line.result["memory"] / 1e9
        yield (
            f"| {line.name} | {line.speed:,.0f} | {line.speed * trained / tokens:,.0f} "
            f"| {share:.1%} | {memory:.1f} GB | {line.speed / lines[0].speed:.2f} |"
        )


def versions(lines: list[Line]) -> str:
    """What computed, by the words of the arms themselves."""
    found = [line.result["versions"] for line in lines if line.result]
    said = dict.fromkeys(
        ", ".join(f"{name} {number}" for name, number in each.items()) for each in found
    )
    return "; ".join([f"Python {platform.python_version()}", *said])


def report(name: str, trial: Trial, lines: list[Line], tokens: int, trained: int) -> str:
    of = next((line.result["of"] for line in lines if "of" in line.result), "an unknown device")
    packing: list[str] = next((each.result["said"] for each in lines if "said" in each.result), [])
    said = [
        f"## {name}",
        "",
        f"{trial.shape.kind}, {trial.steps} steps of {BATCH} rows, {tokens:,} tokens, "
        f"{trained / tokens:.0%} trained; peak: {of}. The log of the first arm: "
        f"{', '.join(packing) or 'nothing about packing'}.",
        "",
        *table(lines, tokens, trained),
    ]
    return "\n".join(said) + "\n"


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--tiny", action="store_true", help="on a CPU, a model of two layers")
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(os.environ.get("CURATE_TRL", ".venv/trl")),
        help="TRL's virtual environment (default: $CURATE_TRL or .venv/trl)",
    )
    parser.add_argument("--install", action="store_true", help="make that environment first")
    parser.add_argument(
        "--write", type=Path, help="a page for the tables, such as docs/performance.md"
    )
    asked = parser.parse_args()
    if asked.tiny and asked.write:
        parser.error("--write: the speeds of --tiny mean nothing; leave one of them out")
    if not asked.tiny and asked.steps <= WARM:
        parser.error(f"--steps: the first {WARM} are left out, so give more; got {asked.steps}")
    if not asked.tiny and not torch.cuda.is_available():
        print("torch sees no GPU here, so nothing was measured; --tiny tries the script on a CPU")
        return
    if asked.install and not asked.peers.exists():
        install(asked.peers)
    trials = {"tiny": Trial(TINY, "cpu", 6, 2)}
    if not asked.tiny:
        trials = {name: Trial(SHAPES[name], "cuda", asked.steps, WARM) for name in asked.sizes}
    pages, every = [], []
    for name, trial in trials.items():
        print(name, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            python = asked.peers.absolute() / "bin" / "python"
            lines, *counts = measure(
                trial, Path(folder), python, lambda said: print(said, flush=True)
            )
        pages.append(report(name, trial, lines, *counts))
        every += lines
        print(pages[-1], flush=True)
    page = "\n".join(["# Performance", "", __doc__ or "", versions(every) + ".", "", *pages])
    if asked.write:
        asked.write.write_text(page, encoding="utf-8")
        print(f"written: {asked.write}")


if __name__ == "__main__":
    main()
