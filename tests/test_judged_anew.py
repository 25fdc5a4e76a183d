"""A run whose rows are in files is judged anew as long as its object lives, and by it alone."""

from __future__ import annotations

import gc
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

import curate
from curate.base.contract import Filter, Fix, Judgement
from curate.base.errors import CurateError
from curate.base.parts import PartSize
from curate.pipeline import recipe
from curate.pipeline.engine import Here
from curate.runs import Plan, Run, start

STEPS: list[Any] = ["exact", {"length": {"max": 40}}]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    rows = [{"instruction": f"Count to {n}.", "output": "and " * n} for n in range(60)]
    (tmp_path / "dump.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def run(out: str | None = None, steps: list[Any] = STEPS, **more: Any) -> Run:
    plan = Plan(recipe.of_steps(steps), Here(), out=out, size=PartSize(20), remember=True, **more)
    return start("dump.jsonl", plan)


def kept(done: Run) -> int:
    return int(done.counts["kept"])


def test_runs_judged_anew_outlive_the_first_one(here: Path) -> None:
    other = run().with_settings({"length.max": 30})
    gc.collect()
    third = other.with_settings({"length.max": 20})
    assert (kept(other), kept(third)) == (30, 20)
    del other, third
    gc.collect()
    assert [path.name for path in here.iterdir()] == ["dump.jsonl"]


def test_the_first_run_outlives_those_judged_anew() -> None:
    first = run("RUN")
    first.with_settings({"length.max": 30})
    gc.collect()
    assert kept(first.with_settings({"length.max": 20})) == 20


def test_the_current_folder_may_be_another_one_by_then(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run("RUN")
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert kept(first.with_settings({"length.max": 20})) == 20
    del first
    gc.collect()
    assert not (here / ".RUN.work").exists()


def test_a_second_run_into_the_same_folder_is_its_own(here: Path) -> None:
    first, said = run("RUN"), list[str]()
    second = run("RUN", warn=said.append)
    assert not any("goes on" in line for line in said)
    with pytest.raises(CurateError, match="what this run had read is gone, as another run wrote"):
        first.with_settings({"length.max": 20})
    del first
    gc.collect()
    assert kept(second.with_settings({"length.max": 20})) == 20


def mine(fails: bool) -> Filter:
    """A filter as it is before and after its author mended it."""

    @dataclass(frozen=True)
    class Mine(Filter):
        name: ClassVar[str] = "mine"
        reasons: ClassVar[Mapping[str, str]] = {"wrong": "dropped by mistake"}

        def measure(self, records: pl.DataFrame) -> pl.DataFrame:
            if fails and records["row"].max() == 59:
                raise ValueError("the third part")
            wrong = [fails] * records.height
            return pl.DataFrame({"wrong": wrong}, schema={"wrong": pl.Boolean})

        def judge(self, measures: pl.DataFrame) -> Judgement:
            return Judgement.of(~measures["wrong"], "wrong")

    Mine.__qualname__ = "Mine"
    return Mine()


def test_what_a_users_code_measured_before_it_was_mended_is_not_believed() -> None:
    with pytest.raises(CurateError, match="the third part"):
        run("RUN", ["exact", mine(fails=True)])
    assert kept(run("RUN", ["exact", mine(fails=False)])) == 60


@dataclass(frozen=True)
class Label(Fix):
    name: ClassVar[str] = "label"
    reasons: ClassVar[Mapping[str, str]] = {"labelled": "It got a category."}

    def fix(self, records: pl.DataFrame) -> pl.DataFrame:
        assert records.height, "a part of which no row is left is not to be fixed"
        return records.with_columns(category=pl.lit("new"), edited=pl.lit("labelled"))


@dataclass(frozen=True)
class Labelled(Filter):
    name: ClassVar[str] = "labelled"
    reasons: ClassVar[Mapping[str, str]] = {"has_label": "It has the category `new`."}

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        return records.select(has=pl.col("category").eq_missing("new"))

    def judge(self, measures: pl.DataFrame) -> Judgement:
        return Judgement.of(~measures["has"], "has_label")


@pytest.mark.parametrize("out", [None, "RUN"])
def test_measures_of_before_a_fix_are_not_those_of_after_it(out: str | None) -> None:
    done = run(out, [Labelled(), Label(), Labelled()])
    assert [step["dropped"] for step in done.manifest["steps"]] == [0, 0, 60]
    in_memory = curate.run("dump.jsonl", steps=[Labelled(), Label(), Labelled()])
    assert [step["dropped"] for step in in_memory.manifest["steps"]] == [0, 0, 60]


def test_a_part_of_which_no_row_is_left_is_not_fixed() -> None:
    done = run(None, [{"length": {"max": 19}}, Label()])
    assert [step["edited"] for step in done.manifest["steps"]] == [0, 19]


@dataclass(frozen=True)
class Guessed(Filter):
    name: ClassVar[str] = "guessed"
    reasons: ClassVar[Mapping[str, str]] = {"late": "It comes late."}

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        late = [None if row < 30 else row if row < 40 else row / 2 for row in records["row"]]
        return pl.DataFrame({"late": late}, strict=False)

    def judge(self, measures: pl.DataFrame) -> Judgement:
        return Judgement.of(measures["late"].is_null(), "late")


def test_types_that_a_filter_leaves_to_guess_may_differ_between_parts() -> None:
    assert kept(run(None, [Guessed()])) == 30
