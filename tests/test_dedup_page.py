"""What docs/dedup.md shows does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from curate.pipeline import recipe
from curate.pipeline import runner as pipeline
from curate.pipeline.result import remember
from curate.pipeline.steps import Step, bind_steps
from filters.dedup.near.filter import Near
from tests.near_rows import records

PAGE = (Path(__file__).parent.parent / "docs" / "dedup.md").read_text("utf-8")
NOTE = "The old lighthouse has stood on the northern coast for a hundred years."


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_its_recipes_are_recipes(tmp_path: Path) -> None:
    found = blocks("yaml")
    assert len(found) == 2
    for number, text in enumerate(found):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text, "utf-8")
        assert recipe.load(str(path)).steps


def test_its_snippet_asks_an_index_with_datasketch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = records(
        [("", NOTE), ("", "Bread is made of flour and water, salt and yeast."), ("", "Hi")]
    )
    rows = rows.with_columns(source=pl.lit("dump.jsonl"), line=pl.col("row") + 1)
    steps = bind_steps([Step("near", Near(index="curated"))])
    remember(steps, pipeline.run(rows.drop("prompt", "response"), steps))
    (snippet,) = blocks("python")
    exec(compile(snippet, "docs/dedup.md", "exec"), {})
    assert capsys.readouterr().out.strip() == repr([rows["id"][0]])
