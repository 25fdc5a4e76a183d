"""A score says what it is: as it came under the step's name, or with length taken out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import curate
from curate.base.contract import BrokenContract, Filter, Judgement
from curate.cli import main
from curate.pipeline.judging import judge
from filters.reward.filter import Reward

ROWS = [
    {"instruction": f"Question {row // 2}", "output": " ".join(["word"] * (1 + row % 40)),
     "score": 1.0 + row % 40 + (row % 3) / 10}
    for row in range(200)
]  # fmt: skip


def run_of(folder: Path, name: str = "RUN", **settings: Any) -> Any:
    dump = folder / "dump.jsonl"
    dump.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return curate.run(dump, steps=[{"reward": settings}, "length"], out=folder / name)


def scores_of(rows: pl.DataFrame) -> list[dict[str, float]]:
    return [{each["step"]: each["score"] for each in row} for row in rows["scores"]]


def test_a_raw_and_a_calibrated_score_stand_under_names_of_their_own(tmp_path: Path) -> None:
    done = run_of(tmp_path, keep_top=0.5)
    verdicts = dict(done.ledger.filter(step="reward").select("row", "score").iter_rows())
    for rows in (done.kept, done.dropped):
        for row, raw, scores in zip(rows["row"], rows["score"], scores_of(rows), strict=True):
            assert list(scores)[:2] == ["reward", "reward.calibrated"]
            assert scores["reward"] == raw
            assert scores["reward.calibrated"] == verdicts[row]


def test_a_score_that_nothing_was_taken_out_of_is_not_called_calibrated(tmp_path: Path) -> None:
    done = run_of(tmp_path, calibrate="none")
    for raw, scores in zip(done.kept["score"], scores_of(done.kept), strict=True):
        assert scores == {"reward": raw, "length": scores["length"]}


@pytest.mark.parametrize(
    ("settings", "by"), [({}, "reward.calibrated"), ({"calibrate": "none"}, "reward")]
)
def test_pairs_of_a_run_go_by_the_score_that_it_judged_by(
    tmp_path: Path, settings: dict[str, Any], by: str
) -> None:
    run = str(run_of(tmp_path, **settings).path)
    for name, words in {"default": [], "named": ["--by", f"scores.{by}"]}.items():
        out = ["--out", str(tmp_path / name), "--quiet"]
        assert main(["pairs", run, "--from", "scores", *words, *out]) == 0
    default, named = (
        pl.read_parquet(tmp_path / name / "pairs.parquet") for name in ("default", "named")
    )
    assert default.equals(named) and default.height
    manifest = json.loads((tmp_path / "default" / "manifest.json").read_text())
    assert manifest["settings"]["by"] == f"scores.{by}"


def test_a_run_can_be_ranked_by_either_score_of_an_earlier_one(tmp_path: Path) -> None:
    first = run_of(tmp_path)
    for column, name in (
        ("scores.reward", "reward"),
        ("scores.reward.calibrated", "reward.calibrated"),
    ):
        step = {"reward": {"column": column, "calibrate": "none", "top_k": 5}}
        again = curate.run(first.path, steps=[step], out=tmp_path / name)
        best = sorted((scores[name] for scores in scores_of(first.kept)), reverse=True)[:5]
        assert sorted(each["reward"] for each in scores_of(again.kept)) == sorted(best)


def test_a_report_and_explain_name_the_score_they_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for settings, shown in (
        ({"keep_top": 0.5}, "reward.calibrated"),
        ({"keep_top": 0.5, "calibrate": "none"}, "score"),
    ):
        done = run_of(tmp_path, shown, **settings)
        page = (done.path / "report.html").read_text()
        assert f"<b>{shown}</b>" in page
        row = done.dropped["id"][0]
        capsys.readouterr()
        assert main(["explain", str(done.path), row]) == 0
        (line,) = [
            each
            for each in capsys.readouterr().out.splitlines()
            if "not_in_top" in each and "reward " in each and "drop " in each
        ]
        assert f"  {shown} " in line


def test_raw_scores_of_another_height_break_the_contract(conversation: Any) -> None:
    class Odd(Reward):
        def judge(self, measures: pl.DataFrame) -> Judgement:
            return Judgement.of([True] * measures.height, raw=[1.0])

    assert issubclass(Odd, Filter)
    with pytest.raises(BrokenContract, match="raw is not a line a row"):
        judge(Odd(), conversation(("a", "x"), ("b", "y"), score=[1.0, 2.0]))
