"""What filters of length, language, duplicates and choice measure: codes, and few bytes a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.base.contract import Filter
from curate.base.parts import Part
from curate.pipeline.cache import MeasureCache
from curate.pipeline.judging import judge
from curate.pipeline.measuring import Measures
from filters.common.tasks import ASKS
from filters.dedup.exact import Exact
from filters.dedup.near.filter import Near
from filters.dedup.semantic.filter import Semantic
from filters.language.detect import LANGUAGE
from filters.language.filter import Language
from filters.length.filter import Length
from filters.mix.filter import Mix
from filters.selection.filter import Select
from filters.selection.tags import TAG

ENGLISH = "The house of the man who is in town stands on a hill."
STRAY = "The word for sky is 天空, and everybody in the town knows that it is so."
PAIRS = [
    ("Write about a house.", ENGLISH),
    ("Write about a house.", "It stands on a hill, and the man who lives there is in town."),
    ("Nenne mir ein Haus in der Stadt, in dem ein Mann wohnt.", ENGLISH),
    ("Why is the house on a hill?", STRAY),
    ("法国的首都是哪里？", "法国的首都是巴黎，它在塞纳河边。"),
    ("Name it", "42"),
]

U8, U16, U32, U64, F64 = pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.Float64
TASK = {"length": U32, "task": pl.Categorical, "has_input": pl.Boolean, "asks": ASKS}
FINISHED = {**TASK, "finished": pl.Boolean}
CODE = {"language": LANGUAGE, "confidence": F64, "letters": U16}
SIDES = {"prompt_language": LANGUAGE, "response_language": LANGUAGE, "sides_confidence": F64}
STRAYS, ABOUT = {"mixing": pl.Boolean}, {"about_language": pl.Boolean}
KEY, LONGEST = {"key": U64}, {"length": U32}
GROUP = {"group": U64}
SEEN, ANSWER = {"case": pl.Boolean, "signs": pl.Boolean}, {"answer": U32}
SHINGLES, TOKENS = {"shingles": pl.List(U32)}, {"tokens": pl.List(U64)}
WORDS = {"words": pl.List(U64), "answer": pl.List(U64), "numbers": pl.Array}
_CODES, _BITS = ("numbers", "negations", "signs", "code", "case", "letters"), ("names", "one_side")
ASKS_FOR = dict.fromkeys(_CODES, U32) | dict.fromkeys((*_BITS, "other_side"), U64)

# Each step, what it measures, and the bytes of a row that are not in a list.
CASES: list[tuple[Filter, dict[str, Any], float]] = [
    (Length(), FINISHED, 10),
    (Length(action="cap", unit="chars", of="turn"), FINISHED, 10),
    (Length(action="trim", of="prompt"), FINISHED, 10),
    (Language(), CODE, 12),
    (Language(mixing="drop"), {**CODE, **STRAYS, **ABOUT}, 12),
    (Language(mismatch="drop"), {**CODE, **SIDES, **ABOUT}, 22.5),
    (Language(field="prompt", mismatch="report", mixing="report"),
     {**CODE, **SIDES, **STRAYS, **ABOUT}, 22.5),
    (Exact(protect=(), same_answer=None), KEY, 8),
    (Exact(), {**KEY, **SEEN, **ANSWER}, 12.5),
    (Exact(normalise=False), {**KEY, **ANSWER}, 12),
    (Exact(keep="longest"), {**KEY, **LONGEST, **SEEN, **ANSWER}, 16.5),
    (Exact(field="response", exempt="same_prompt"), {**KEY, **SEEN, **GROUP}, 16.6),
    (Near(), {**SHINGLES, **KEY, **WORDS}, 8.5),
    (Near(protect=()), {**SHINGLES, **KEY, "numbers": pl.Array}, 8.5),
    (Near(keep="longest"), {**SHINGLES, **KEY, **WORDS, **LONGEST}, 12.5),
    (Near(exempt="same_prompt"), {**SHINGLES, **KEY, **WORDS, **GROUP}, 16.5),
    (Near(similarity="rouge_l"), {**TOKENS, **KEY}, 8.5),
    (Semantic(), {"vector": pl.Array, **ASKS_FOR}, 48),
    (Semantic(keep="longest"), {"vector": pl.Array, **ASKS_FOR, **LONGEST}, 52),
    (Mix(), {"length": U8}, 1),
    (Mix(unit="words"), {"length": U32}, 4),
    (Select(), FINISHED, 10),
    (Select(method="kcenter"), {**FINISHED, "vector": pl.Array}, 10),
    (Select(method="tags"), {**FINISHED, "tags": pl.List(TAG)}, 10),
    (Select(method="tags", tags="tags"), {**FINISHED, "tags": pl.List(pl.Categorical)}, 10),
]  # fmt: skip
each_case = pytest.mark.parametrize(
    ("step", "columns", "most"), CASES, ids=[repr(step)[:60] for step, _, _ in CASES]
)


def rows(conversation: Any, times: int = 1) -> pl.DataFrame:
    tagged = ['{"tags": ["Sky", "town"]}', "{}", '{"tags": "b, a"}'] * (2 * times)
    records: pl.DataFrame = conversation(*PAIRS * times, meta=tagged)
    return records.with_columns(score=pl.col("row") % 3, category=pl.lit("c"))


@each_case
def test_measures_are_codes_of_few_bytes(
    step: Filter, columns: dict[str, Any], most: float, conversation: Any
) -> None:
    measures = step.measure(rows(conversation, times=100))
    assert {name: _kind(dtype, columns[name]) for name, dtype in measures.schema.items()} == columns
    flat = measures.select(~pl.selectors.nested())
    assert flat.estimated_size() <= most * measures.height


def as_run(step: Filter, records: pl.DataFrame, cache: Path) -> pl.DataFrame:
    """What a run with this cache takes for the measures of the rows."""
    part, keys = Part(0, 0, records.height, records), records.select("row", "id")
    known = Measures(cache=MeasureCache(cache))
    return known.of(step.name, step, [part], keys, np.ones(records.height, bool))


def _kind(dtype: pl.DataType, wanted: Any) -> Any:
    """A vector has as many numbers as its encoder gives."""
    return pl.Array if wanted is pl.Array and isinstance(dtype, pl.Array) else dtype


@each_case
def test_measures_and_evidence_are_of_the_columns_that_a_filter_names(
    step: Filter, columns: dict[str, Any], most: float, conversation: Any, tmp_path: Path
) -> None:
    records = rows(conversation)
    assert step.reads is not None
    measures = as_run(step, records, tmp_path)
    assert measures.equals(step.measure(records))
    assert columns.keys() == set(measures.columns)
    assert len(judge(step, records).verdicts) == len(records)


@pytest.mark.parametrize("step", [Length(of="prompt"), Length(), Mix(unit="chars"), Select()])
def test_the_text_that_is_not_measured_need_not_be_made(step: Filter) -> None:
    assert len({"prompt", "response"} & {*(step.reads or ())}) == 1


@pytest.mark.parametrize("step", [Exact(), Near(), Semantic(), Mix()])
def test_filters_that_compare_messages_need_no_text_made(step: Filter) -> None:
    assert not {"prompt", "response"} & {*(step.reads or ())}


RANKED: list[Filter] = [
    Exact(keep="best", by="reward.verdict"),
    Near(keep="best", by="reward.verdict"),
    Semantic(keep="best", by="reward.verdict"),
    Length(action="cap", by="reward.verdict"),
    Length(action="match", min=1, max=20, tolerance=1.0, by="reward.verdict"),
    Mix(budget=3, by="reward.verdict"),
    Select(budget=3, by=("reward.verdict", "record.score")),
    Select(budget=3),
    Select(budget=3, method="repr"),
]


@pytest.mark.parametrize("step", [*RANKED, *(step for step, _, _ in CASES)])
def test_judging_reads_no_earlier_column_that_it_does_not_name(
    step: Filter, conversation: Any
) -> None:
    records = rows(conversation)
    scores = [float(row) for row in range(records.height)]
    every = judge(step, records, reward__verdict=scores, other__length=scores).measures
    own = {*step.measure(records).columns, *step.needs, *step.may_need}
    given = {"row", "id", "record.source", "record.score", "record.category"}
    named = every.select(name for name in every.columns if name in own | given)
    assert "other.length" not in named.columns
    one, other = step.judge(every), step.judge(named)
    assert one.verdicts.equals(other.verdicts)
    assert one.findings.sentences == other.findings.sentences


def test_without_a_column_to_rank_by_a_selection_goes_by_a_reward_where_there_is_one(
    conversation: Any,
) -> None:
    step, records = Select(budget=1), rows(conversation)
    assert (step.needs, step.may_need) == ((), ("reward.verdict",))
    assert Select(by=("record.score",)).may_need == Select(method="random").may_need == ()
    best = judge(step, records, reward__verdict=[0.0, 0.0, 0.0, 0.0, 9.0, 0.0]).verdicts["keep"]
    assert best.arg_true().to_list() == [4]
    assert judge(step, records).verdicts["keep"].arg_true().to_list() != [4]


def test_languages_are_the_same_codes_when_they_come_from_the_cache(
    conversation: Any, tmp_path: Path
) -> None:
    step = Language(mismatch="drop", mixing="drop")
    records = rows(conversation)
    first = as_run(step, records, tmp_path)
    again = as_run(step, records, tmp_path)
    assert again.schema == first.schema
    assert again.equals(first)


@pytest.mark.parametrize("kind", [Exact, Near, Semantic])
def test_lengths_are_measured_for_keeping_the_longest_alone_and_cached_apart(
    kind: type[Exact | Near | Semantic], conversation: Any, tmp_path: Path
) -> None:
    steps = [kind(keep="first"), kind(keep="best"), kind(keep="longest"), kind(keep="best")]
    records = rows(conversation)
    measures = [as_run(step, records, tmp_path) for step in steps]
    assert ["length" in one.columns for one in measures] == [False, False, True, False]
    assert measures[2].drop("length").equals(measures[0])
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2


def test_characters_are_counted_as_in_the_texts_that_are_not_made(conversation: Any) -> None:
    turn = [("system", "Be kind."), ("user", ""), ("assistant", "天空"), ("tool", None)]
    turn += [("user", "So?"), ("assistant", "Yes.\n"), ("assistant", "")]
    messages = [{"role": role, "content": content} for role, content in turn]
    records = conversation(("x", "y"), ("x", "y"), messages=[messages, messages[:2]])
    counted = records["prompt"].str.len_chars() + records["response"].str.len_chars()
    for step in (Exact(keep="longest"), Near(keep="longest"), Semantic(keep="longest")):
        assert step.measure(records)["length"].to_list() == counted.to_list() == [26, 10]
