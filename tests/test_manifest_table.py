from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curate
from curate import sources
from curate.base import manifest_table
from curate.base.errors import CurateError
from curate.base.folder import read_manifest, sha256, write_manifest
from curate.base.manifest_table import restored, shortened, table_of
from curate.pipeline import run_writer
from curate.pipeline.recipe import Recipe
from curate.pipeline.run_folder import RunFolder
from curate.pipeline.runner import run as run_steps
from curate.pipeline.steps import Step
from curate.report import html
from curate.report.explain import explain
from tests.reports import EveryRowItsReason, make, row

MANY = 10_000


def of_many_files(folder: Path) -> RunFolder:
    """A run whose one file was read under ten thousand names."""
    (folder / "dump.jsonl").write_text(row("Say a.", "Aah.") + "\n")
    dump = sources.read([str(folder / "dump.jsonl")])
    (file,) = dump.files
    others = [replace(file, source=f"{n:05}.jsonl", rows=0, converted=0) for n in range(MANY)]
    dump = replace(dump, files=[file, *others])
    (folder / "RUN").mkdir()
    made = Recipe("test", 0, (), "steps: []")
    run_writer.write(folder / "RUN", dump, run_steps(dump.records, ()), made)
    return RunFolder(folder / "RUN")


def head(run: RunFolder) -> Any:
    text = (run.path / "manifest.json").read_text("utf-8")
    assert len(text) < 200_000
    return json.loads(text)


def test_a_manifest_of_usual_size_is_written_as_it_is(tmp_path: Path) -> None:
    about = {"sources": [{"source": f"{n}.jsonl"} for n in range(1_000)]}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_manifest(tmp_path / name, "curate run", about, table=name == "two")
    one, two = (tmp_path / name / "manifest.json" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert [path.name for path in two.parent.iterdir()] == ["manifest.json"]


def test_ten_thousand_inputs_stand_in_the_table_and_come_back(tmp_path: Path) -> None:
    run = of_many_files(tmp_path)
    assert head(run)["sources"] == {"moved_to": "manifest.parquet", "entries": MANY + 1}
    assert "manifest.parquet" in head(run)["files"] and "manifest.parquet" in head(run)["sha256"]
    names = [file["source"] for file in run.manifest["sources"]]
    assert len(names) == MANY + 1 and names[-1] == "09999.jsonl"
    assert "and 9,801 more files" in html(run)
    assert "id " in explain(run, "dump.jsonl:1")


def test_a_users_function_may_give_thousands_of_reasons(tmp_path: Path) -> None:
    lines = [row(f"Say {n}.", "Aah.") for n in range(8_000)]
    run = make(tmp_path, lines, Step("flood", EveryRowItsReason()))
    (step,) = head(run)["steps"]
    assert step["reasons"] == {"moved_to": "manifest.parquet", "entries": 7_999}
    assert (step["name"], step["dropped"]) == ("flood", 7_999)
    assert list(run.manifest["steps"][0]["reasons"])[1] == "reason 10"
    assert explain(run, reason="reason 7").startswith("1 row: reason reason 7")
    assert curate.open(run.path).summary().count("… 7,991 more reasons") == 1


def test_a_long_recipe_leaves_the_number_of_its_characters(tmp_path: Path) -> None:
    text = "steps: []\n" + "# why\n" * 50_000
    run = make(tmp_path, [row("Say a.", "Aah.")], recipe=text)
    assert head(run)["recipe"]["text"] == {
        "moved_to": "manifest.parquet",
        "characters": len(json.dumps(text)),
    }
    assert run.manifest["recipe"]["text"] == text


def test_how_many_rows_there_are_is_known_without_the_table(tmp_path: Path) -> None:
    run = of_many_files(tmp_path)
    (run.path / "manifest.parquet").unlink()
    assert run.counts["kept"] == 1
    with pytest.raises(CurateError, match=r"manifest\.parquet: missing; run it again"):
        _ = run.manifest


def test_the_largest_values_are_moved_and_no_more_than_are_needed() -> None:
    content = {"small": "a" * 100_000, "large": {"b/c~d": ["e" * 90_000]}, "counts": {"read": 1}}
    short, moved = shortened(content)
    assert moved == {"/small": json.dumps("a" * 100_000)}
    assert short["large"] == content["large"] and short["counts"] == {"read": 1}
    _, moved = shortened({**content, "other": "f" * 120_000})
    assert list(moved) == ["/other", "/small"]


def test_the_seconds_of_a_run_decide_nothing() -> None:
    content = {"text": "a" * 149_900, "seconds": {"near": 1.0}}
    _, moved = shortened(content)
    _, slower = shortened({**content, "seconds": {f"step {n}": n / 7 for n in range(100)}})
    assert moved == slower == {}


texts = st.text(max_size=9) | st.text(min_size=1, max_size=9).map(lambda text: text * 20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=30,
)


@given(st.dictionaries(st.sampled_from(["steps", "a/b", "~1", "", "counts"]), values))
def test_any_content_comes_back_as_it_was(content: dict[str, Any]) -> None:
    with patch.object(manifest_table, "MOST", 80), patch.object(manifest_table, "LEAST", 60):
        short, moved = shortened(content)
    lines = list(table_of(moved).iter_rows())
    with patch.object(manifest_table, "_lines", lambda *_: lines):
        again = json.loads(json.dumps(short)) | {"files": ["manifest.parquet"]}
        assert restored(Path(), again) == content | {"files": ["manifest.parquet"]}


def with_table(folder: Path, lines: Any) -> RunFolder:
    """A run whose table of the manifest a stranger has made, with its hash."""
    run = make(folder, [row("Say a.", "Aah.")])
    table = run.path / "manifest.parquet"
    if isinstance(lines, bytes):
        table.write_bytes(lines)
    else:
        pl.DataFrame(lines).write_parquet(table)
    about = head(run)
    about["files"].insert(0, table.name)
    about["sources"] = {"moved_to": table.name, "entries": 1}
    about["sha256"][table.name] = sha256(table)
    (run.path / "manifest.json").write_text(json.dumps(about))
    return RunFolder(run.path)


@pytest.mark.parametrize(
    "lines",
    [
        b"no table",
        {"path": ["/sources"]},
        {"path": [1], "value": ["[]"]},
        {"path": ["/sources"], "value": [None]},
        {"path": ["/sources"], "value": ["[" * 100_000]},
        {"path": ["/sources"], "value": ["9" * 5_000]},
        {"path": ["/counts"], "value": ["{}"]},
        {"path": ["/sources/0"], "value": ["[]"]},
        {"path": ["/steps/x"], "value": ["[]"]},
        {"path": ["/counts/read/0"], "value": ["[]"]},
        {"path": ["../../sources"], "value": ["[]"]},
        {"path": [""], "value": ["[]"]},
        {"path": [None], "value": ["[]"]},
        {"path": ["/sources"], "value": ["{}"]},
        {"path": pl.Series([], dtype=pl.String), "value": pl.Series([], dtype=pl.String)},
    ],
)
def test_a_table_of_a_stranger_is_damage_in_one_sentence(tmp_path: Path, lines: Any) -> None:
    run = with_table(tmp_path, lines)
    for read in (html, lambda run: explain(run, "0")):
        with pytest.raises(
            CurateError, match=r"manifest\.(parquet|json): (damaged|sources: expected)"
        ) as wrong:
            read(run)
        assert "\n" not in str(wrong.value) and len(str(wrong.value)) < 500


def test_a_table_that_was_changed_or_is_a_link_is_noticed(tmp_path: Path) -> None:
    run = of_many_files(tmp_path)
    table = run.path / "manifest.parquet"
    moved = table.rename(tmp_path / "elsewhere.parquet")
    table.symlink_to(moved)
    with pytest.raises(CurateError, match=r"manifest\.parquet: missing"):
        html(RunFolder(run.path))
    table.unlink()
    table.write_bytes(moved.read_bytes() + b" ")
    with pytest.raises(CurateError, match=r"manifest\.parquet: damaged, or changed since"):
        html(RunFolder(run.path))


def test_a_run_of_many_inputs_is_replaced_by_one_of_the_same_alone(tmp_path: Path) -> None:
    out = of_many_files(tmp_path).path
    other = tmp_path / "other.jsonl"
    other.write_text(row("Say b.", "Bee.") + "\n")
    with pytest.raises(CurateError, match=r"made from other data \(.*and .* more"):
        curate.run(other, steps=[], out=out)
    (out / "manifest.parquet").write_bytes(b"no table")
    about = read_manifest(out)
    about["sha256"]["manifest.parquet"] = sha256(out / "manifest.parquet")
    (out / "manifest.json").write_text(json.dumps(about))
    with pytest.raises(CurateError, match="nobody knows from what data"):
        curate.run(other, steps=[], out=out)
    curate.run(other, steps=[], out=out, force=True)
    assert not (out / "manifest.parquet").exists()
