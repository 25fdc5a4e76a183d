"""What `import curate` offers, for every kind of input that it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

import curate
import filters
from curate.base.contract import Filter
from filters.dedup.near.filter import Near
from tests.templates_toys import byte_level

WORDS = "one two three four five six seven eight nine ten eleven twelve"
ROWS: list[dict[str, Any]] = [
    {"instruction": f"Count to {number}, please.", "output": f"Sure: {WORDS}, and {number}."}
    for number in range(1, 9)
]
ROWS += [ROWS[0], {"instruction": "Nothing?", "output": ""}]
ODD = [{"colour": "blue"}]
QA = [{"q": "What is the sea?", "a": "Water."}]


def jsonl(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "dump.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def of_datasets(folder: Path, rows: list[dict[str, Any]]) -> Any:
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset.from_list(rows)


def of_pandas(folder: Path, rows: list[dict[str, Any]]) -> Any:
    return pytest.importorskip("pandas").DataFrame(rows)


KINDS: dict[str, Callable[[Path, list[dict[str, Any]]], Any]] = {
    "a path": jsonl,
    "text": lambda folder, rows: str(jsonl(folder, rows)),
    "paths": lambda folder, rows: [jsonl(folder, rows)],
    "dicts": lambda folder, rows: rows,
    "a generator": lambda folder, rows: (row for row in rows),
    "polars": lambda folder, rows: pl.DataFrame(rows),
    "pandas": of_pandas,
    "datasets": of_datasets,
}


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(byte_level().backend.to_str())
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|eos|>"}')
    return str(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_input_is_cleaned_rendered_and_accounted_for(
    kind: str, tmp_path: Path, tokenizer: str
) -> None:
    pytest.importorskip("datasets")

    def short(record: dict[str, Any]) -> bool | str:
        return "too_short" if "5" in record["response"] else True

    data = KINDS[kind](tmp_path, ROWS)
    run = curate.run(data, steps=["exact", filters.Near(threshold=0.99), short, "quality"])
    assert run.counts == {"read": 10, "kept": 7, "dropped": 3, "rejects": 0, "edited": 0}
    assert run.dropped.select("step", "reason").rows() == [
        ("short", "too_short"),
        ("exact", "exact_duplicate"),
        ("quality", "empty_response"),
    ]
    assert run.kept.height == 7 == len(run.to_dicts()) == run.to_datasets().num_rows
    assert run.to_dicts()[0]["messages"][0]["content"] == "Count to 1, please."
    assert run.to_datasets()[0]["messages"][1] == {
        "role": "assistant",
        "content": ROWS[0]["output"],
    }
    assert "exact_duplicate" in run.explain(8) and run.rejects.height == 0

    saved = curate.open(run.save(tmp_path / "RUN"))
    assert isinstance(saved, type(run)) and saved.kept.equals(run.kept)
    page = run.report(tmp_path / "report.html")
    assert page.read_text() == (tmp_path / "RUN" / "report.html").read_text()

    shown = curate.preview(run, template="chatml", tokenizer=tokenizer)
    assert "Count to 1" in str(shown).replace("¦", "").replace("·", " ") and shown.data["rows"]
    assert shown._repr_html_().startswith("<iframe sandbox srcdoc=")
    tokens = curate.render(run, template="chatml", tokenizer=tokenizer)
    assert tokens.dataset.num_rows == 7 == tokens.manifest["counts"]["rows"]
    written = curate.open(tokens.save(tmp_path / "TOKENS"))
    assert written.dataset[:] == tokens.dataset[:]
    assert tokens.dataset.column_names == ["input_ids", "labels", "attention_mask"]
    assert written.examples.equals(tokens.examples)


def test_pandas_gets_the_kept_rows() -> None:
    pytest.importorskip("pandas")
    frame = curate.run(ROWS, steps=["exact"]).to_pandas()
    assert len(frame) == 9 and list(frame["messages"][0][0]) == ["role", "content"]


def test_training_takes_tokens_as_they_are_or_their_folder(tmp_path: Path, tokenizer: str) -> None:
    pytest.importorskip("torch")
    from tests.trainer_toys import write_model

    rows = [{"instruction": f"Say {n}.", "output": f"I say {n} today."} for n in range(24)]
    tokens = curate.render(curate.run(rows, steps=[]), template="chatml", tokenizer=tokenizer)
    model = write_model(tmp_path / "model", vocab_size=byte_level().backend.get_vocab_size())
    lines: list[str] = []
    first = curate.train(
        tokens, model=model, out=tmp_path / "one", num_train_epochs=1, log=lines.append
    )
    assert lines and first.out == tmp_path / "one"
    folder = tokens.save(tmp_path / "TOKENS")
    second = curate.train(folder, model=model, out=tmp_path / "two", num_train_epochs=1)
    weights = [(out / "model.safetensors").read_bytes() for out in (first.out, second.out)]
    assert weights[0] == weights[1]


def test_other_settings_judge_anew_and_measure_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def spy(kind: type[Filter]) -> None:
        measure = kind.measure

        def counted(self: Any, records: pl.DataFrame) -> pl.DataFrame:
            measured.append(self.name)
            return measure(self, records)

        monkeypatch.setattr(kind, "measure", counted)

    for kind in (*filters.FILTERS.values(),):
        spy(kind)
    steps = ["unwrap_prompt", "exact", "near", "quality", "length"]
    run = curate.run(ROWS, steps=steps)
    assert {"exact", "near", "quality", "length"} <= set(measured)
    measured.clear()
    other = run.with_settings({"near.threshold": 0.5, "length.max": 13})
    assert measured == []
    anew = curate.run(ROWS, steps=steps, settings={"near.threshold": 0.5, "length.max": 13})
    assert other.kept.equals(anew.kept) and other.dropped.equals(anew.dropped)
    assert other.counts["kept"] < run.counts["kept"]
    assert run.counts["kept"] == curate.run(ROWS, steps=steps).counts["kept"]


def test_a_run_that_was_opened_is_judged_anew_from_its_files(tmp_path: Path) -> None:
    dump = jsonl(tmp_path, ROWS)
    alone = {"near.protect": [], "near.common_rows": 0}  # similarity alone decides
    strict = {"near.threshold": 0.95, **alone}
    curate.run(dump, recipe="default", settings=strict, out=tmp_path / "RUN")
    opened = curate.open(tmp_path / "RUN")
    wanted = {"near.threshold": 0.3, **alone}
    loose = opened.with_settings(wanted)
    assert loose.counts["kept"] < opened.counts["kept"]
    assert loose.manifest["recipe"]["settings"] == wanted
    dump.write_text(dump.read_text() + json.dumps(ROWS[1]) + "\n")
    with pytest.raises(curate.CurateError, match="has changed; run it again"):
        opened.with_settings({"near.threshold": 0.3})
    dump.unlink()
    with pytest.raises(curate.CurateError, match="not all that it was made from is there"):
        opened.with_settings({"near.threshold": 0.3})


def test_a_filter_of_ones_own_is_a_class_with_typed_settings() -> None:
    @dataclass(frozen=True)
    class NoShouting(curate.Filter):
        name = "no_shouting"
        reasons = {"shouting": "Most letters are capitals."}  # noqa: RUF012
        max_share: float = curate.setting(0.5, "largest share of capitals", low=0.0, high=1.0)

        def measure(self, records: pl.DataFrame) -> pl.DataFrame:
            capitals = pl.col("response").str.count_matches("[A-Z]")
            return records.select(share=capitals / pl.col("response").str.len_chars())

        def judge(self, measures: pl.DataFrame) -> curate.Judgement:
            keep = measures["share"].fill_nan(0.0) <= self.max_share
            return curate.Judgement.of(keep, reason="shouting", score=measures["share"])

    rows = [{"prompt": "a", "response": "quiet"}, {"prompt": "b", "response": "LOUD"}]
    run = curate.run(rows, steps=[NoShouting()])
    assert run.dropped["reason"].to_list() == ["shouting"]
    assert run.with_settings({"no_shouting.max_share": 1}).counts["dropped"] == 0
    with pytest.raises(curate.CurateError, match="no_shouting: max_share is 2"):
        NoShouting(max_share=2.0)


class Bare(curate.Filter):
    """Keeps everything; its class is no dataclass."""

    name = "bare"
    reasons: ClassVar[dict[str, str]] = {}

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        return records.select("response")

    def judge(self, measures: pl.DataFrame) -> curate.Judgement:
        return curate.Judgement.of([True] * measures.height)


@dataclass(frozen=True)
class Halves(Bare):
    """Measures half of the rows."""

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        return records.select("response")[::2]


@dataclass(frozen=True)
class Fails(Bare):
    """Cannot judge."""

    def judge(self, measures: pl.DataFrame) -> curate.Judgement:
        raise ZeroDivisionError("no\nway")


def near() -> Any:
    return curate.run(ROWS, steps=["near"])


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: curate.run([]), "no rows"),
        (lambda: curate.run(7), "the rows are the number 7"),
        (lambda: curate.run(""), "the data is an empty name"),
        (lambda: curate.run(ROWS, steps=[Halves()]), "measure changed the number of rows"),
        (lambda: curate.run(ROWS, steps=[Bare()]), "Bare is no dataclass; write @dataclass"),
        (lambda: curate.run(ROWS, steps=[Fails()]), "step 'bare' failed with ZeroDivisionError"),
        (lambda: curate.run(ROWS, steps=[Near]), r"write Near\(...\)"),
        (lambda: curate.run(ROWS, workers=0), "workers is 0; expected a whole number from 1"),
        (lambda: curate.run(ROWS, settings=["near.threshold=1"]), "expected {'step.field'"),
        (lambda: curate.run(pl.DataFrame({"a": pl.Series([{1}], dtype=pl.Object)})), "'a' holds"),
        (lambda: curate.train(curate.run(ROWS, steps=[]), model="m", out="o"), "not a Run"),
        (lambda: near().with_settings({"near.spare": 1}), "'spare' is now 'exempt'"),
        (lambda: curate.run(ODD), "none of 1 rows could be read; most: unknown_shape"),
        (lambda: curate.run(QA), r"try columns=\{'prompt': 'q', 'response': 'a'\}$"),
        (lambda: curate.inspect(QA), r"try columns=\{'prompt': 'q', 'response': 'a'\}$"),
        (
            lambda: curate.preview(QA, template="chatml"),
            r"try curate\.run with columns=\{'prompt': 'q', 'response': 'a'\}, and give the run$",
        ),
        (lambda: curate.run(QA, columns={"zzz": "q"}), "no format has a field 'zzz'; fields that"),
        (
            lambda: curate.run(QA, columns={"promt": "q"}),
            "'promt'; did you mean 'prompt'",
        ),
        (lambda: curate.run("nowhere.jsonl"), "nowhere.jsonl: no such file"),
        (lambda: curate.run(ROWS, recipe="lima", steps=["exact"]), "give one of them"),
        (lambda: curate.run(ROWS, recipe="limma"), "no such recipe file"),
        (lambda: curate.run(ROWS, steps="exact"), "expected a list of steps"),
        (lambda: curate.run(ROWS, steps=[3]), "step 1 is 3; expected a name, a filter"),
        (lambda: curate.run(ROWS, steps=[Near]), "step 1 is <class"),
        (lambda: curate.run(ROWS, steps=["exakt"]), "did you mean 'exact'"),
        (lambda: curate.run(ROWS, steps=[{"near": {"treshold": 1}}]), "did you mean 'threshold'"),
        (lambda: curate.run(ROWS, steps=["near"], settings={"near": 1}), "expected step.field"),
        (lambda: curate.run(ROWS, steps=["near"], settings={"nera.x": 1}), "did you mean 'near'"),
        (lambda: curate.run(ROWS, out=""), "^out is empty"),
        (lambda: curate.open("nowhere"), "nowhere: neither a folder of curate run nor"),
        (lambda: curate.preview(ROWS, template="chatlm"), "did you mean 'chatml'"),
        (lambda: curate.preview(ROWS, template="chatml", tokens=1), "no setting 'tokens'"),
        (lambda: curate.render(ROWS, template="chatml", tokenizer=3), "tokenizer is int"),
        (lambda: curate.train("nowhere", model="m", out="o", epochs=1), "num_train_epochs"),
    ],
)
def test_mistakes_are_curate_errors_with_the_command_lines_words(
    mistake: Callable[[], Any], message: str
) -> None:
    with pytest.raises(curate.CurateError, match=message):
        mistake()


def test_a_page_never_takes_the_place_of_another_file(tmp_path: Path) -> None:
    dump = jsonl(tmp_path, ROWS)
    run = curate.run(dump, steps=["exact"])
    with pytest.raises(curate.CurateError, match="is there already and is no page"):
        run.report(dump)
    page = run.report(tmp_path / "page.html")
    assert run.report(page) == page and dump.read_text().startswith("{")


def test_an_opened_run_is_read_again_as_it_was_read(tmp_path: Path) -> None:
    rows = [{"q": row["instruction"], "reply": row["output"]} for row in ROWS]
    columns = {"prompt": "q", "response": "reply"}
    first = curate.run(jsonl(tmp_path, rows), columns=columns, out=tmp_path / "RUN")
    again = curate.open(tmp_path / "RUN").with_settings({"near.threshold": 0.99})
    assert again.kept.height and first.with_settings({"near.threshold": 0.99}).kept.equals(
        again.kept
    )


def test_a_run_does_not_speak_for_another_that_took_its_folder(tmp_path: Path) -> None:
    first = curate.run(ROWS[:3], steps=["exact"], out=tmp_path / "RUN")
    curate.run(ROWS, steps=["exact"], out=tmp_path / "RUN", force=True)
    for ask in (first.to_dicts, lambda: first.kept, lambda: first.explain(1)):
        with pytest.raises(curate.CurateError, match="another run was written here since"):
            ask()


def test_a_run_that_kept_nothing_gives_no_rows() -> None:
    pytest.importorskip("datasets")
    run = curate.run(ROWS, steps=[lambda record: False])
    assert run.kept.height == run.to_datasets().num_rows == len(run.to_pandas()) == 0
    assert run.notices == ("no row was kept; the report says why",)


def test_an_edited_file_of_the_users_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("steps: ['mine.py:keep']")
    for number, answer in enumerate(("True", "'gone'")):
        (tmp_path / "mine.py").write_text(f"def keep(record): return {answer}")
        os.utime(tmp_path / "mine.py", ns=(number, number))
        run = curate.run(ROWS, recipe=tmp_path / "recipe.yaml")
        assert run.counts["kept"] == (10, 0)[number]


def test_nothing_prints_and_a_log_hears_the_progress(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    curate.run(ROWS, steps=["exact"], log=lines.append, cache=False)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    assert lines[-1] == "exact: 10 rows, 1 dropped"


def test_a_temporary_run_goes_with_its_object() -> None:
    run = curate.run(ROWS, steps=["exact"])
    path = run.path
    assert path.is_dir()
    del run
    assert not path.exists()


def test_importing_curate_loads_nothing_heavy() -> None:
    code = (
        "import sys, curate\n"
        "heavy = {'polars', 'numpy', 'torch', 'jinja2', 'yaml', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
