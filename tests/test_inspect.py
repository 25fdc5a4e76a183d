"""What `curate inspect` says of the lengths of a dump."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate.cli import main


def inspected(
    folder: Path, capsys: pytest.CaptureFixture[str], rows: list[dict[str, Any]], *options: str
) -> Any:
    path = folder / "dump.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert main(["inspect", str(path), *options]) == 0
    said = capsys.readouterr().out
    return json.loads(said) if "--json" in options else said


def rows_of(*lengths: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"instruction": f"Write {at} words.", "output": "word " * length + "end.", **more}
        for at, length in enumerate(lengths)
    ]


def test_lengths_have_a_verdict_reasons_and_every_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = inspected(tmp_path, capsys, rows_of(*[200] * 60), "--json")["length"]
    assert (found["verdict"], found["reasons"]) == ("flag", ["concentrated", "narrow"])
    numbers = {
        "concentration", "concentration_at", "concentration_floor", "spread", "spread_within",
        "eta2", "eta2_null", "eta2_null95", "eta2_adjusted", "wall", "wall_at",
        "score_correlation", "score_correlation_within", "mean", "maximum", "quantiles", "rows",
    }  # fmt: skip
    assert numbers <= set(found)
    assert found["concentration"] == 1.0 and found["rows"] == 60
    assert found["groups"] == [
        {"group": "write", "rows": 60, "concentration": 1.0, "spread": pytest.approx(0.0)}
        | {"quantiles": found["quantiles"]}
    ]


def test_the_verdict_is_one_plain_sentence_for_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = inspected(tmp_path, capsys, rows_of(*[200] * 60))
    assert (
        "response length: flag. 100 % of the responses have 165 to 201 words: a model"
        " trained on this stops there whatever the task." in said
    )


def test_scores_are_compared_with_the_lengths_when_there_are_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row | {"score": at} for at, row in enumerate(rows_of(*range(20, 80)))]
    found = inspected(tmp_path, capsys, rows, "--json")
    assert found["scores"]["rows"] == 60
    assert found["length"]["score_correlation"] == pytest.approx(1.0)


def test_with_a_tokenizer_lengths_are_in_its_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], test_data: Path
) -> None:
    tokenizer = sorted((test_data / "tokenizers").rglob("tokenizer.json"))[0]
    rows = rows_of(*[200] * 60)
    found = inspected(tmp_path, capsys, rows, "--json", "--tokenizer", str(tokenizer.parent))
    assert found["length"]["unit"] == "tokens"
    assert found["length"]["quantiles"]["0.5"] > 200


def test_names_and_texts_reach_the_terminal_as_they_are_but_for_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "[bold]in\x1b[31m[link]"
    folder.mkdir()
    rows = rows_of(2, category="a\x1b[31m")
    rows += [{"prompt": "x\x1b[2J", "completion": "</s>"}, {"colour\x1b[1m": 1}]
    said = inspected(folder, capsys, rows)
    assert "\x1b" not in said and said.count("\\x1b[") >= 6
    assert "[bold]in" in said and "the answer contains an end token as text (1 rows" in said
