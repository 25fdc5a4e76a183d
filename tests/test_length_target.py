"""The length that answers should have: from a run's `length` step, in tokens, to the trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.base.errors import CurateError
from curate.cli import main
from templates import Matched, read
from templates.tokens.lengths import first_answers, in_tokens
from tests.templates_toys import byte_level
from tests.trainer_toys import reversed_pairs, silent, write_model, write_tokens
from trainer import TrainConfig
from trainer.checks.planning import make_plan
from trainer.plan import Plan

MATCHED = {
    "step": "length",
    "unit": "words",
    "of": "response",
    "target": 90,
    "tokens_per_unit": 1.25,
    "target_tokens": 112.5,
}


def test_an_answer_is_the_first_trained_turn_without_its_stop() -> None:
    labels = pl.Series(
        [[-100, 5, 6, 2, -100, 7, 2], [-100, 8], [9], [-100, -100], [2, -100, 4, 4], [6, 7, 2]]
    )
    assert first_answers(labels, [2]).tolist() == [2, 1, 1, 0, 0, 2]
    assert first_answers(labels, []).tolist() == [3, 1, 1, 0, 1, 3]
    assert first_answers(pl.Series([[-100, -100]]), [2]).tolist() == [0]


def test_the_rate_is_that_of_the_rows_whose_length_is_known() -> None:
    lengths = pl.DataFrame({"row": [0, 1, 2], "length": [2.0, 4.0, None]})
    matched = Matched("length", "words", "response", 30, lengths)
    examples = pl.DataFrame(
        {"row": [0, 1, 2], "labels": [[-100, 5, 5, 5, 2], [6, 6, 6, 6, 6, 6, 2], [7] * 50]},
        schema_overrides={"row": pl.UInt32},
    )
    found = in_tokens(matched, examples, [2])
    assert found is not None
    assert (found["rows"], found["median"]) == (2, 3.0)
    assert found["tokens_per_unit"] == 1.5  # 3 and 6 tokens for 2 and 4 words
    assert found["target_tokens"] == 45.0
    assert in_tokens(matched, examples.filter(row=2), [2]) is None


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump of 200 rows of which most answers are short, a tokenizer, and runs by recipe."""
    pytest.importorskip("datasets")
    home = tmp_path_factory.mktemp("matched")
    (home / "tokenizer").mkdir()
    (home / "tokenizer" / "tokenizer.json").write_text(byte_level().backend.to_str())
    (home / "tokenizer" / "tokenizer_config.json").write_text('{"eos_token": "<|eos|>"}')
    lines = []
    for number in range(200):
        words = 5 + number // 20 if number < 120 else number - 110
        turns = [("user", f"ask {number}"), ("assistant", "word " * (words - 1) + f"end{number}.")]
        messages = [{"role": role, "content": content} for role, content in turns]
        lines.append(json.dumps({"messages": messages}))
    (home / "dump.jsonl").write_text("\n".join(lines))
    return home


def rendered(home: Path, name: str, steps: str) -> Path:
    """The TOKENS of a run with these steps."""
    recipe, out = home / f"{name}.yaml", home / name
    recipe.write_text(f"steps: {steps}\n")
    run = ["run", str(home / "dump.jsonl"), "--recipe", str(recipe), "--no-cache", "--workers", "1"]
    assert main([*run, "--quiet", "--out", str(out)]) == 0
    how = ["--template", "chatml", "--tokenizer", str(home / "tokenizer"), "--quiet"]
    assert main(["render", str(out), *how, "--out", str(home / f"{name}-tokens")]) == 0
    return home / f"{name}-tokens"


MATCH = "{length: {action: match, quantiles: [5, 30, 85], tolerance: 0.1, min_per_group: 0}}"


def test_a_run_that_was_matched_says_its_target_in_tokens_of_the_tokenizer(job: Path) -> None:
    tokens = read(rendered(job, "matched", f"[exact, {MATCH}, {{length: {{max: 100}}}}]"))
    told = tokens.manifest["length"]
    assert (told["step"], told["unit"], told["of"]) == ("length", "words", "response")
    assert 27 <= told["target"] <= 30  # the bin of the distribution's median
    kept = [json.loads(line) for line in (job / "matched" / "kept.jsonl").read_text().splitlines()]
    answers = [row["messages"][1]["content"] for row in kept]
    words = sum(len(answer.split()) for answer in answers)
    written = sum(len(byte_level().backend.encode(answer).ids) for answer in answers)
    assert told["rows"] == len(kept) < 200
    assert told["tokens_per_unit"] == pytest.approx(written / words)
    assert told["target_tokens"] == pytest.approx(told["target"] * written / words)


@pytest.mark.parametrize(
    "steps",
    [
        "[{length: {max: 100}}]",
        "[{length: {action: cap, max_share: 0.5}}]",
        "[exact]",
        "[{length: {of: prompt, action: match, quantiles: [1, 3], tolerance: 1.0}}]",
    ],
)
def test_steps_that_aim_at_no_length_of_answers_say_none(job: Path, steps: str) -> None:
    name = f"aimless-{len(steps)}"
    assert read(rendered(job, name, steps)).manifest["length"] is None


def planned(folder: Path, told: Any, said: Any = silent, **fields: Any) -> Plan:
    tokens = folder / "tokens"
    if not tokens.exists():
        write_tokens(tokens, reversed_pairs(16), **({} if told is None else {"length": told}))
        write_model(folder / "base")
    given = {"tokens": str(tokens), "model": str(folder / "base"), "out": str(folder / "out")}
    return make_plan(TrainConfig(**given, **fields), said)


def test_the_trainer_takes_the_length_that_was_matched_and_says_so(tmp_path: Path) -> None:
    lines: list[str] = []
    assert planned(tmp_path, MATCHED, lines.append).length.tokens == 112.5
    assert [line for line in lines if line.startswith("target length")][-1] == (
        "target length of an answer: 112.5 tokens, step length matched the rows to a median of 90 "
        "words, 1.25 tokens each"
    )


def test_length_target_comes_first_and_the_median_last(tmp_path: Path) -> None:
    assert str(planned(tmp_path / "a", MATCHED, length_target=40).length) == (
        "target length of an answer: 40 tokens, as length_target says"
    )
    assert str(planned(tmp_path / "b", None).length) == (
        "target length of an answer: 2 tokens, the median of the training answers"
    )


@pytest.mark.parametrize(
    "change", [{"target_tokens": -1}, {"target_tokens": "many"}, {"step": ...}]
)
def test_a_damaged_length_in_the_manifest_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    told = {name: value for name, value in {**MATCHED, **change}.items() if value is not ...}
    with pytest.raises(CurateError, match=r"manifest.json: length: expected the step.*render"):
        planned(tmp_path, told)
