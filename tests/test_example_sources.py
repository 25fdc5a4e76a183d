"""`sources.parquet` of TOKENS: line n says what example n is from, or the folder is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import curate
from curate.base.errors import CurateError
from curate.cli import main
from curate.renders import Tokens
from templates import RenderOptions, read, render, write
from tests.templates_toys import CHATML, byte_level, records, talk, template
from tests.test_templates_history import HYBRID
from tests.trainer_toys import reversed_pairs, write_columns, write_tokens
from trainer.data.tokens import load_tokens

pytest.importorskip("datasets")
Change = Callable[[pl.DataFrame], pl.DataFrame]


def folder_of(out: Path) -> Path:
    """Three records, the first of which becomes two examples."""
    thinking = [{**turn, "reasoning": "hm"} if n % 2 else turn for n, turn in enumerate(FOUR)]
    rows = records(thinking, talk("so", "yes"), talk("well", "no"))
    rows = rows.with_columns(source=pl.Series(["forum.jsonl", "forum.jsonl", "wiki.jsonl"]))
    return write(render(rows, template(HYBRID), byte_level(), RenderOptions()), out)


FOUR = talk("a", "one", "b", "two")


def changed(folder: Path, change: Change) -> None:
    path = folder / "sources.parquet"
    change(pl.read_parquet(path)).write_parquet(path)


def resave(folder: Path, change: Callable[[Any], Any], out: Path) -> Path:
    """The dataset saved again after a change, with our files beside it, as people do."""
    import datasets

    change(datasets.load_from_disk(str(folder))).save_to_disk(str(out))
    for name in ("manifest.json", "sources.parquet", "refused.jsonl"):
        shutil.copyfile(folder / name, out / name)
    return out


def test_reading_joins_each_example_with_what_it_is_from(tmp_path: Path) -> None:
    examples = read(folder_of(tmp_path / "tokens")).examples
    assert examples.columns == ["id", "row", "input_ids", "labels", "turns", "source"]
    assert examples["row"].to_list() == [0, 0, 1, 2]
    assert examples["turns"].to_list() == [[1], [3], [1], [1]]
    assert examples["source"].to_list() == ["forum.jsonl"] * 3 + ["wiki.jsonl"]
    opened = curate.open(tmp_path / "tokens")
    assert isinstance(opened, Tokens)
    assert_frame_equal(opened.examples, examples)
    assert opened.dataset.column_names == ["input_ids", "labels", "attention_mask"]


def test_the_trainer_takes_ids_and_sources_from_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "tokens")
    tokens = load_tokens(str(folder))
    about = pl.read_parquet(folder / "sources.parquet")
    assert tokens.rows.ids == tuple(about["id"]) and tokens.rows.ids[0] == tokens.rows.ids[1]
    assert tokens.sources == ("forum.jsonl", "forum.jsonl", "forum.jsonl", "wiki.jsonl")


def test_a_source_that_is_not_known_of_a_row_is_known_of_none(tmp_path: Path) -> None:
    folder = write_tokens(tmp_path / "tokens", reversed_pairs(2))
    changed(Path(folder), lambda about: about.with_columns(source=pl.Series(["a", None])))
    assert load_tokens(folder).sources is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda about: about.reverse(),
            "is not the file that was written with these examples, so it does not say what they",
        ),
        (lambda about: about.head(3), "has 3 lines for 4 examples in the dataset"),
        (lambda about: about.drop("turns", "id"), "has no column id, turns; its columns are row,"),
        (
            lambda about: about.with_columns(id=pl.lit(None, pl.String)),
            "column 'id' has 4 nulls",
        ),
        (
            lambda about: about.with_columns(row=pl.lit("first")),
            "column 'row' holds String, expected UInt32",
        ),
        (lambda about: about.with_columns(row=pl.lit(-1)), "column 'row' holds Int32, expected UI"),
        (
            lambda about: about.with_columns(turns=pl.lit("1")),
            r"column 'turns' holds String, expected List\(UInt32\)",
        ),
    ],
)
def test_lines_that_do_not_fit_the_examples_are_refused_by_both_readers(
    tmp_path: Path, change: Change, message: str
) -> None:
    folder = folder_of(tmp_path / "tokens")
    changed(folder, change)
    for reader in (read, lambda path: load_tokens(str(path))):
        with pytest.raises(CurateError, match=f"sources.parquet: {message}.*; render the rows aga"):
            reader(folder)


def test_the_dataset_may_be_saved_again_in_more_parts(tmp_path: Path) -> None:
    import datasets

    folder = folder_of(tmp_path / "tokens")
    again = resave(folder, lambda rows: rows, tmp_path / "again")
    datasets.load_from_disk(str(folder)).save_to_disk(str(again), num_shards=3)
    assert len(list(again.glob("data-*-of-00003.arrow"))) == 3
    assert_frame_equal(read(again).examples, read(folder).examples)
    assert load_tokens(str(again)).rows.ids == load_tokens(str(folder)).rows.ids


def test_a_folder_whose_parts_were_changed_is_not_copied(tmp_path: Path) -> None:
    import datasets

    folder = folder_of(tmp_path / "tokens")
    again = tmp_path / "again"
    datasets.load_from_disk(str(folder)).save_to_disk(str(again), num_shards=3)
    for name in ("manifest.json", "sources.parquet", "refused.jsonl"):
        shutil.copyfile(folder / name, again / name)
    opened = curate.open(again)
    with pytest.raises(CurateError, match="is missing or was changed since curate render wrote"):
        opened.save(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    curate.open(folder).save(tmp_path / "copy")
    assert_frame_equal(read(tmp_path / "copy").examples, read(folder).examples)


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1 and more PAR1"])
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    folder = folder_of(tmp_path / "tokens")
    (folder / "sources.parquet").write_bytes(content)
    for reader in (read, lambda path: load_tokens(str(path))):
        with pytest.raises(CurateError, match=r"sources.parquet: damaged \(.*; render the rows ag"):
            reader(folder)


def test_a_folder_of_an_earlier_version_must_be_rendered_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = {"id": ["a"], "row": [0], "input_ids": [[5, 6]], "labels": [[-100, 6]]}
    earlier = Path(write_columns(tmp_path / "earlier", ["a"], columns))
    folder = folder_of(tmp_path / "tokens")
    for path in (earlier, folder):
        (path / "sources.parquet").unlink()
    message = "sources.parquet: missing; .* An earlier version of curate wrote none: render the row"
    with pytest.raises(CurateError, match=message):
        load_tokens(str(earlier))
    with pytest.raises(CurateError, match=message):
        read(folder)
    assert main(["preview", str(folder)]) == 1
    assert "render the rows again" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.select([1, 0, 2, 3]),
        lambda rows: rows.select([0, 1, 2, 2]),
        lambda rows: rows.map(lambda row: {"input_ids": [7, *row["input_ids"][1:]]}),
    ],
)
def test_examples_that_were_saved_in_another_order_do_not_get_the_ids_of_others(
    tmp_path: Path, change: Callable[[Any], Any]
) -> None:
    out = resave(folder_of(tmp_path / "tokens"), change, tmp_path / "again")
    for reader in (read, lambda path: load_tokens(str(path))):
        with pytest.raises(CurateError, match="not those of the manifest, or not in their order"):
            reader(out)


def test_weights_may_be_added_to_the_examples_and_they_are_saved_again(tmp_path: Path) -> None:
    def weighted(rows: Any) -> Any:
        weights = [[0.5] * len(ids) for ids in rows["input_ids"]]
        return rows.add_column("weights", weights)

    out = resave(folder_of(tmp_path / "tokens"), weighted, tmp_path / "weighted")
    rows = load_tokens(str(out)).rows
    assert rows.weights is not None and set(rows.weights.tolist()) == {0.5, 0.0}
    columns = ["id", "row", "input_ids", "labels", "turns", "source", "weights"]
    assert read(out).examples.columns == columns


def test_the_manifest_lists_and_hashes_it(tmp_path: Path) -> None:
    manifest = json.loads((folder_of(tmp_path / "tokens") / "manifest.json").read_text())
    assert "sources.parquet" in manifest["files"] and "sources.parquet" in manifest["sha256"]
    plain = render(records(talk("hi", "ok")), template(CHATML), byte_level())
    with pytest.raises(CurateError, match="was changed since"):
        (tmp_path / "tokens" / "sources.parquet").write_bytes(b"mine")
        write(plain, tmp_path / "tokens")
