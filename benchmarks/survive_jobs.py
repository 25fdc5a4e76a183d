"""The commands that are killed: what each needs, and what must be the same at its end."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

from rows import write_mixed
from survive_work import digest

OUT = "OUT"
ASKED = 40  # rows that a judge is asked about
SPREAD = 4_100  # rows, of which several processes take their part
RUN = (
    *("polars", "pygal", "yaml", "rapidfuzz", "curate.verbs.cleaning", "curate.runs", "filters"),
    *("curate.report", "filters.dedup.exact", "filters.dedup.near", "filters.quality.filter"),
    *("filters.length.filter", "filters.llm_judge.filter", "curate.renders", "curate.data"),
)
RECIPE = "steps: [exact, near, quality, {length: {action: cap}}]\n"


@dataclass(frozen=True)
class Job:
    """A command that writes the folder `OUT`, and how to compare two of them."""

    name: str
    words: Sequence[str]
    same: Callable[[Path], Any] = digest
    imports: Sequence[str] = RUN
    whole_or_nothing: bool = True  # `OUT` is there when all of it is
    workers: bool = False  # it starts processes of its own
    asks: bool = False  # it asks a server


def write_inputs(home: Path, rows: int, training: bool) -> None:
    """All that the jobs read, in one folder."""
    from tests.templates_toys import byte_level

    write_mixed(home / "dump.jsonl", rows)
    write_mixed(home / "large.jsonl", max(SPREAD, rows))
    (home / "recipe.yaml").write_text(RECIPE)
    with (home / "asked.jsonl").open("w") as file:
        for n in range(ASKED):
            file.write(json.dumps({"instruction": f"question {n} .", "output": f"Is {n}."}) + "\n")
    (home / "tokenizer").mkdir()
    (home / "tokenizer" / "tokenizer.json").write_text(byte_level().backend.to_str())
    (home / "tokenizer" / "tokenizer_config.json").write_text('{"eos_token": "<|eos|>"}')
    if training:
        from tests.trainer_toys import reversed_pairs, write_model, write_tokens

        write_tokens(home / "TOKENS", reversed_pairs(40))
        write_model(home / "base")


def jobs(home: Path, url: str) -> list[Job]:
    """Every job, over the inputs there."""
    run = ["--recipe", str(home / "recipe.yaml"), "--out", OUT, "--quiet", "--no-cache"]
    asked = ["run", str(home / "asked.jsonl"), "--recipe", "alpagasus", "--out", OUT, "--quiet"]
    asked += ["--set", "judge.model=judge-1", "--set", f"judge.url={url}"]
    render = ["render", str(home / "dump.jsonl"), "--template", "chatml", "--tokenizer"]
    train = ["train", str(home / "TOKENS"), "--model", str(home / "base"), "--resume", "--out", OUT]
    for setting in ("batch_size=8", "save_steps=2", "save_total_limit=1", "prompts=1"):
        train += ["--set", setting]
    return [
        Job("run", ["run", str(home / "dump.jsonl"), *run, "--workers", "1"]),
        Job(
            "run, 2 processes",
            ["run", str(home / "large.jsonl"), *run, "--workers", "2"],
            workers=True,
        ),
        Job(
            "run with a judge",
            [*asked, "--workers", "1"],
            imports=(*RUN, "httpx2"),
            asks=True,
        ),
        Job(
            "render",
            [*render, str(home / "tokenizer"), "--append-eos", "--out", OUT, "--quiet"],
            all_files,
            (*RUN, "curate.verbs.rendering", "templates.render", "datasets"),
        ),
        Job(
            "train",
            [*train, "--epochs", "3", "--lr", "0.003", "--no-proof", "--quiet"],
            trained,
            (
                *RUN,
                "curate.verbs.training",
                "trainer.loop",
                "peft",
                "transformers.models.llama.modeling_llama",
            ),
            whole_or_nothing=False,
        ),
    ]


def all_files(out: Path) -> dict[str, str]:
    """The hash of every file of a folder."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def trained(out: Path) -> Any:
    """What must be equal of two trainings: all but times."""
    from tests.resume_toys import outcome

    return outcome(out)


def environment(cache: Path) -> dict[str, str]:
    """What a command finds set."""
    return {
        "CURATE_CACHE": str(cache),
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
