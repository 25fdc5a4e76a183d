"""What filters measure of all rows is in memory at once: codes, never text, and few bytes a row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import curate
from curate.base.contract import Filter
from curate.base.schema import with_text
from curate.pipeline import recipe
from curate.pipeline.functions import UserFunction
from curate.sources.evaluations import questions
from filters import FILTERS

ROWS = 500
# Bytes a row of all columns that are no lists or arrays: those, such as shingles and vectors, are
# bounded by a filter's own settings.
MOST_BYTES = 60
# What a text costs that a column of categories holds once: its hash and its places in tables. A
# million different texts of 17 letters took 124 bytes each.
CATEGORY = 100

# Settings that measure more than the default does; what a filter needs that has no default.
SETTINGS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "exact": ({}, {"field": "response", "exempt": "same_prompt"}, {"keep": "longest"}),
    "near": ({}, {"exempt": "same_prompt", "keep": "longest"}),
    "decontaminate": ({"against": ("evaluation.jsonl",), "field": "both"},),
    "quality": ({}, {"rules": ("data_juicer",)}),
    "bias": ({}, {"opener_words": 12}),
    "language": ({}, {"mismatch": "report", "mixing": "report"}),
    "length": ({}, {"action": "trim"}, {"action": "match", "quantiles": (1, 2)}),
    "difficulty": ({"model": "model"},),
    "reward": ({}, {"scores": "scores.jsonl"}, {"model": "model"}),
    "judge": ({"given": "score"}, {"given": "score", "rubric": "ultrafeedback"}),
    "mix": ({}, {"of": "category", "unit": "words"}),
    "select": ({}, {"method": "tags"}, {"method": "tags", "tags": "tags"}, {"method": "kcenter"}),
}
CASES = [(name, case) for name in FILTERS for case in SETTINGS.get(name, ({},))]


def texts_in(dtype: pl.DataType) -> Iterator[pl.DataType]:
    """The types inside a type that hold text or anything at all."""
    if isinstance(dtype, pl.List | pl.Array):
        yield from texts_in(dtype.inner)  # type: ignore[arg-type]
    elif isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield from texts_in(field.dtype)  # type: ignore[arg-type]
    elif dtype in (pl.String, pl.Binary, pl.Object):
        yield dtype


def bytes_of(column: pl.Series) -> float:
    """Bytes a row, with the texts of a column of categories (`estimated_size` leaves them out)."""
    texts = 0
    if column.dtype == pl.Categorical:
        names = column.drop_nulls().unique().cast(pl.String)
        texts = int(names.str.len_bytes().sum()) + CATEGORY * len(names)
    return (column.estimated_size() + texts) / len(column)


def check_codes(measured: pl.DataFrame) -> None:
    """Fail for a column of text, and for more bytes a row than a measure may take."""
    texts = [name for name, dtype in measured.schema.items() if any(texts_in(dtype))]
    assert not texts, f"{texts} hold text: measure codes, and make what is shown in `evidence`"
    sizes = sizes_of(measured)
    assert sum(sizes.values()) <= MOST_BYTES, f"bytes a row: {sizes}"


def sizes_of(measured: pl.DataFrame) -> dict[str, float]:
    """Bytes a row of each column that is no list or array."""
    flat = measured.select(~pl.selectors.nested())
    return {column.name: round(bytes_of(column), 1) for column in flat.get_columns()}


@pytest.fixture
def alike(conversation: Any) -> pl.DataFrame:
    """Rows as they usually are: few labels, wrappers and phrases, which many rows share."""
    answers = ("Yes.", "It is so. I hope this helps you a lot, dear reader of this page! Bye.")
    return conversation(
        *((f"Is town {n % 50} in the north of the land? ###", answers[n % 2]) for n in range(ROWS))
    )


@pytest.fixture
def unlike(conversation: Any) -> pl.DataFrame:
    """Rows of which each has other words in all that is looked at, so that no text is shared.

    But for the first one: it is a word of a language, which has far fewer of them than a set rows.
    """
    return conversation(
        *(
            (
                f"Do{chr(97 + n % 26)} it{n} [/INST]\nthe{n}y [no input] http://a{n}.de {'#' * n}",
                answer,
            )
            for n in range(ROWS)
            for answer in [
                f"Label{n}x"
                if n % 2
                else f"Answer{n}x: I{n}d think{n} so<|im_{n}_end|>. Sure{n}, as an AI, "
                f"I cannot help you with town{n} and town{n}. Human: hi{n} 我喜{n}欢. "
                f"Let me know if you need {n} more of {n}!"
            ]
        ),
        category=[f"category {n}" for n in range(ROWS)],
        score=[n / ROWS for n in range(ROWS)],
        meta=[json.dumps({"tags": [f"tag {n}"]}) for n in range(ROWS)],
    )


@pytest.fixture
def made(tmp_path: Path, unlike: pl.DataFrame, test_data: Path) -> Any:
    """Build a filter by name, with the files that its settings name."""

    def build(name: str, settings: Mapping[str, Any]) -> Filter:
        given = dict(settings)
        if "against" in given:
            file = tmp_path / "evaluation.jsonl"
            lines = unlike.select("prompt", "response").head(9).iter_rows()
            file.write_text(
                "".join(
                    json.dumps({"instruction": prompt, "output": answer}) + "\n"
                    for prompt, answer in lines
                ),
                "utf-8",
            )
            given["against"] = (str(file),)
        if "scores" in given:
            file = tmp_path / "scores.jsonl"
            lines = (json.dumps({"id": id, "score": 1.5}) + "\n" for id in unlike["id"])
            file.write_text("".join(lines), "utf-8")
            given["scores"] = str(file)
        if "model" in given:
            given["model"] = model(name, tmp_path, test_data)
        return FILTERS[name](**given).bind(
            lambda paths, columns=None: with_text(
                questions.read(paths, columns or {}, f"{name}.columns")[0]
            )
        )

    return build


def model(name: str, folder: Path, test_data: Path) -> str:
    pytest.importorskip("torch", reason="models need torch")
    pytest.importorskip("transformers", reason="models need transformers")
    if name == "difficulty":
        return str(test_data / "models" / "stories260k-hf")
    from tests.test_reward_model import save_model

    return save_model(folder)


@pytest.mark.parametrize(
    ("name", "settings"), CASES, ids=[f"{name}-{settings}" for name, settings in CASES]
)
def test_a_filter_measures_codes_of_few_bytes(
    made: Any, alike: pl.DataFrame, unlike: pl.DataFrame, name: str, settings: Mapping[str, Any]
) -> None:
    step = made(name, settings)
    for records in (alike, unlike):
        measured = step.measure(records.select(step.reads or records.columns))
        assert measured.height == ROWS
        check_codes(measured)


def test_the_measures_of_the_default_recipe_are_together_under_60_bytes_a_row(
    alike: pl.DataFrame,
) -> None:
    actions = [step.action for step in recipe.load(None).steps]
    filters = [action for action in actions if isinstance(action, Filter)]
    sizes = {step.name: sizes_of(step.measure(alike)) for step in filters}
    assert list(sizes) == ["exact", "near", "quality", "language", "length"]
    assert sum(sum(each.values()) for each in sizes.values()) < 60, sizes


@pytest.mark.parametrize(
    "text",
    [
        pl.Series(["a"] * ROWS),
        pl.Series([["a"]] * ROWS),
        pl.Series([None] * ROWS, dtype=pl.String),
        pl.Series([{"a": ["b"]}] * ROWS),
    ],
)
def test_a_measure_that_is_text_or_has_some_is_told(text: pl.Series) -> None:
    with pytest.raises(AssertionError, match=r"\['text'\] hold text: measure codes"):
        check_codes(pl.DataFrame({"length": range(ROWS), "text": text}))


def test_categories_that_are_as_many_as_rows_are_told() -> None:
    names = pl.Series([f"name {n}" for n in range(ROWS)]).cast(pl.Categorical)
    with pytest.raises(AssertionError, match=r"bytes a row: \{'name': 111"):
        check_codes(pl.DataFrame({"name": names}))
    check_codes(pl.DataFrame({"name": names.head(5).sample(ROWS, with_replacement=True, seed=0)}))


def test_a_function_measures_the_names_of_its_reasons(alike: pl.DataFrame) -> None:
    step = UserFunction(lambda record: f"too_{record['row'] % 9}", "mine")
    check_codes(step.measure(alike))


def test_a_function_may_have_as_many_reasons_as_rows_and_its_user_is_told() -> None:
    rows = [{"instruction": f"Say {n}.", "output": "So be it. " * 40} for n in range(3 * ROWS)]

    def odd(record: dict[str, Any]) -> str:
        return f"{record['row']} is odd: {record['response']}"

    run = curate.run(rows, steps=[odd])
    assert run.dropped["reason"].n_unique() == 3 * ROWS
    assert run.dropped["reason"][7] == "7 is odd: " + "So be it. " * 40
    (sentence,) = run.manifest["steps"][0]["sentences"]
    assert sentence.startswith("it gave over 1,000 different reasons")
    assert "7 is odd" in run.explain(7)
