"""Dump to fine-tuned model through the command line, twice: the same bytes and the same weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.cli import main

SAMPLE = Path(__file__).resolve().parent.parent / "sample_data"
BASE = str(SAMPLE / "tiny-base")

pytest.importorskip("torch")


def job(folder: Path) -> None:
    def do(*words: str) -> None:
        assert main([*words, "--quiet"]) == 0

    run, tokens, model = (str(folder / name) for name in ("run", "tokens", "model"))
    recipe = ("--recipe", str(SAMPLE / "recipe.yaml"), "--set", "select.budget=60")
    do("run", str(SAMPLE / "raw"), *recipe, "--out", run)
    do("render", run, "--template", "chatml", "--tokenizer", BASE, "--out", tokens)
    settings = ("--lr", "0.003", "--epochs", "1", "--batch", "8", "--set", "prompts=1")
    do("train", tokens, "--model", BASE, "--preset", "alpaca", *settings, "--out", model)


def files(folder: Path, *names: str) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    first, second = (tmp_path_factory.mktemp("job") for _ in range(2))
    job(first)
    job(second)
    return first, second


def test_two_jobs_give_the_same_rows_tokens_and_weights(twice: tuple[Path, Path]) -> None:
    names = ("run/kept.jsonl", "run/dropped.jsonl", "run/rejects.jsonl", "run/ledger.parquet")
    arrow = sorted(path.name for path in (twice[0] / "tokens").glob("*.arrow"))
    names = (*names, *(f"tokens/{name}" for name in arrow), "model/model.safetensors")
    assert arrow
    first, second = files(twice[0], *names), files(twice[1], *names)
    assert [name for name in names if first[name] != second[name]] == []


def test_held_out_loss_falls_and_the_curves_are_written(twice: tuple[Path, Path]) -> None:
    done = json.loads((twice[0] / "model" / "train.json").read_text("utf-8"))
    table = done["table"]
    assert table[-1]["held_out"]["loss"] < table[0]["held_out"]["loss"]
    lines = (twice[0] / "model" / "metrics.jsonl").read_text("utf-8").splitlines()
    steps = [json.loads(line) for line in lines if "eval" not in json.loads(line)]
    wanted = {
        "step",
        "epoch",
        "loss",
        "learning_rate",
        "grad_norm",
        "tokens",
        "trained_tokens",
        "seconds",
    }
    assert steps and all(wanted <= set(step) for step in steps)
    assert "<svg" in (twice[0] / "model" / "curves.svg").read_text("utf-8")


def test_tokens_and_model_load_in_the_usual_libraries(twice: tuple[Path, Path]) -> None:
    import datasets
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = datasets.load_from_disk(str(twice[0] / "tokens"))
    assert len(rows) == 60 and rows.column_names == ["input_ids", "labels", "attention_mask"]
    model = AutoModelForCausalLM.from_pretrained(twice[0] / "model")
    tokenizer = AutoTokenizer.from_pretrained(twice[0] / "model")
    assert model.config.vocab_size >= len(tokenizer)
