"""What of a record is sent to where its measure is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from curate.base.contract import Filter, Judgement
from curate.base.errors import CurateError
from curate.base.schema import RECORDS, TEXTS
from curate.pipeline import recipe
from curate.pipeline.runner import run
from curate.pipeline.steps import Step
from filters.language.filter import Language

seen: list[list[str]] = []


@dataclass(frozen=True)
class Looks(Filter):
    name: ClassVar[str] = "looks"
    reasons: ClassVar[Mapping[str, str]] = {}

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        seen.append(records.columns)
        return pl.DataFrame({"one": [1] * records.height})

    def judge(self, measures: pl.DataFrame) -> Judgement:
        return Judgement.of([True] * measures.height)


@dataclass(frozen=True)
class Narrow(Looks):
    reads: ClassVar[tuple[str, ...]] = ("response",)


def test_a_filter_that_says_what_it_reads_gets_that_and_any_other_all(conversation: Any) -> None:
    seen.clear()
    run(conversation(("q", "a")), [Step("narrow", Narrow()), Step("looks", Looks())])
    assert seen == [["response"], [*RECORDS.names(), *TEXTS]]


@pytest.mark.parametrize("field", ["both", "prompt"])
def test_what_language_reads_is_all_it_needs(conversation: Any, field: Any) -> None:
    records = conversation(("What is this, my friend?", "Это ответ, и он по-русски."))
    step = Language(field=field, mismatch="report", mixing="report")
    narrow = step.measure(records.select(step.reads))
    assert narrow.equals(step.measure(records)) and narrow["about_language"].to_list() == [False]


def test_a_misspelt_column_is_said_before_any_data_is_read(tmp_path: Path) -> None:
    code = Path(__file__).read_text("utf-8").replace('("response",)', '("respones",)')
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    (tmp_path / "r.yaml").write_text("steps: [mine.py:Narrow]", encoding="utf-8")
    with pytest.raises(CurateError, match=r"'mine.py:Narrow' reads 'respones'.*prompt, response"):
        recipe.load(str(tmp_path / "r.yaml"))
