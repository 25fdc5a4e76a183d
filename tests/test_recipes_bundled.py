"""The bundled recipes, on a few rows and on the real dumps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

import curate
from curate import sources
from curate.base.errors import CurateError
from curate.pipeline import recipe
from curate.pipeline.baselines import write_baselines
from curate.pipeline.runner import run

ROOT = Path(__file__).resolve().parent.parent


def test_every_recipe_in_the_folder_is_known_by_name() -> None:
    files = sorted(path.stem for path in (ROOT / "curate" / "recipes").glob("*.yaml"))
    assert files == sorted(recipe.BUNDLED)


@pytest.mark.parametrize("name", [name for name in recipe.BUNDLED if name != "default"])
def test_recipes_name_their_source(name: str) -> None:
    text = (ROOT / "curate" / "recipes" / f"{name}.yaml").read_text("utf-8")
    assert "# Source: " in text
    assert "arXiv 2" in text
    assert f"`{name}`" in (ROOT / "docs" / "selection.md").read_text("utf-8")


def test_an_unknown_recipe_lists_the_bundled_ones() -> None:
    with pytest.raises(CurateError, match=r"there is: default, lima, longest, alpagasus, deita"):
        recipe.load("limo")


def rows(count: int = 40) -> list[dict[str, Any]]:
    words = ["apple", "river", "stone", "cloud", "music", "paper", "garden", "winter", "summer"]
    words += ["market", "doctor", "window"]
    return [
        {
            "instruction": f"Tell me about {words[row % 12]} and {words[row // 12]} number {row}.",
            "output": " ".join([f"The {words[row % 12]} is fine, says {row}."] * (row // 6 + 1)),
            "score": row % 6,
            "quality_score": 1 + row % 5,
            "complexity_score": 1 + row % 3,
        }
        for row in range(count)
    ]


def made(tmp_path: Path, name: str, settings: dict[str, Any] | None = None) -> Path:
    dump = tmp_path / "dump.json"
    dump.write_bytes(orjson.dumps(rows()))
    return curate.run(dump, recipe=name, settings=settings, out=tmp_path / name).path


def kept(folder: Path) -> list[dict[str, Any]]:
    return curate.open(folder).to_dicts()


def test_longest_keeps_the_longest_answers(tmp_path: Path) -> None:
    lines = [row["line"] for row in kept(made(tmp_path, "longest", {"select.budget": 4}))]
    answers = [len(row["output"].split()) for row in rows()]
    assert len(lines) == 4
    assert min(answers[-4:]) == max(answers)


def test_alpagasus_keeps_what_a_judge_gave_four_and_a_half_points(tmp_path: Path) -> None:
    assert {row["score"] for row in kept(made(tmp_path, "alpagasus"))} == {5.0}


def test_deita_ranks_by_quality_times_complexity(tmp_path: Path) -> None:
    out = made(tmp_path, "deita", {"select.budget": 5, "select.threshold": 1.0})
    scores = sorted(row["quality_score"] * row["complexity_score"] for row in rows())
    assert sorted(row["scores"]["select"] for row in kept(out)) == scores[-5:]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("alpagasus", r"judge: none of 40 rows has a score in absent; name a model to ask"),
        ("deita", r"judge: none of 40 rows has a score in absent; name a model to ask"),
    ],
)
def test_a_recipe_without_its_scores_says_what_to_do(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(CurateError, match=said):
        made(tmp_path, name, {"judge.given": "absent"})


def test_the_baselines_of_a_run_become_files_to_train_on(tmp_path: Path) -> None:
    out = made(tmp_path, "longest", {"select.budget": 4})
    written = write_baselines(out, tmp_path / "baselines")
    assert written == {
        "select.full.jsonl": 40,
        "select.longest-rows.jsonl": 4,
        "select.longest-words.jsonl": 4,
        **{f"select.random-rows-{seed}.jsonl": 4 for seed in range(3)},
        **{
            f"select.random-words-{seed}.jsonl": written[f"select.random-words-{seed}.jsonl"]
            for seed in range(3)
        },
        "select.selected.jsonl": 4,
    }
    baselines = tmp_path / "baselines"
    assert (baselines / "select.selected.jsonl").read_bytes() == (out / "kept.jsonl").read_bytes()
    again = sources.read([str(baselines / "select.random-rows-0.jsonl")])
    assert again.records.height == 4
    table = pl.read_parquet(out / "select.baselines.parquet").filter(baseline="random@k", seed=0)
    named = table.filter(matched_by="rows").sort("row")["id"].to_list()
    assert again.records["id"].to_list() == named


def test_a_run_without_a_selection_has_no_baselines(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="no step of this run selected rows"):
        write_baselines(made(tmp_path, "alpagasus"), tmp_path / "baselines")


def test_superfilter_asks_for_a_model() -> None:
    said = r"recipe superfilter: difficulty: .*model.* \(--set difficulty\.SETTING=VALUE\)"
    with pytest.raises(CurateError, match=said):
        recipe.load("superfilter")


def test_superfilter_takes_the_hardest_fifth_and_then_what_covers_it(test_data: Path) -> None:
    model = test_data / "models" / "stories260k-hf"
    steps = recipe.load("superfilter", {"difficulty.model": str(model)}).steps
    told = [repr(step.action) for step in steps[-2:]]
    assert "variant='perplexity'" in told[0]
    assert "keep_top=0.2" in told[0]
    assert told[1].startswith("Select(method='facility', budget=1000")


def test_lima_on_real_dumps_is_diverse_clean_and_calibrated(test_data: Path) -> None:
    loaded = recipe.load("lima", {"select.budget": 30, "mix.budget": 150})
    names = ("alpaca_en_demo", "alpaca_zh_demo")
    found = sources.read([str(test_data / "raw" / f"{name}.json") for name in names]).records
    result = run(found.filter(pl.col("row") % 5 == 0), loaded.steps)
    steps = {step.name: step for step in result.steps}
    assert steps["length-2"].kept == 30
    assert steps["length-2"].numbers["before"]["verdict"] == "pass"
    baselines = steps["select"].numbers["baselines"]
    drawn = [baseline["coverage"] for baseline in baselines if baseline["baseline"] == "random@k"]
    assert baselines[0]["coverage"] > max(drawn[:3]) + 0.01
    chosen = result.verdicts.filter((pl.col("step") == "select") & (pl.col("verdict") != "drop"))
    assert chosen["evidence"].str.contains("the nearest selected row for").all()
    asked = result.records.filter(result.kept).select(pl.col("messages").list.first())
    foreign = asked.to_series().struct.field("content").str.count_matches(r"\p{Han}")
    assert (foreign > 0).sum() <= 1  # half of the rows are Chinese; one of them is half English
