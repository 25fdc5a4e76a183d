"""TOKENS are what was rendered, value for value, or no reader takes them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import curate
from curate.base.errors import CurateError
from curate.base.example_sources import CONTENT_HASHES, content_hashes
from curate.base.folder import OWN_HASH
from curate.cli import main
from templates import RenderOptions, read, render, write
from tests.templates_toys import CHATML, byte_level, records, talk, template
from tests.trainer_toys import silent, write_model
from trainer import TrainConfig, train
from trainer.data.tokens import load_tokens

datasets = pytest.importorskip("datasets")
Change = Callable[[Any], Any]
# Two rows of one length, whose labels could be those of the other.
ROWS = [talk("a", "bc"), talk("d", "ef"), talk("well", "fine then")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = render(records(*ROWS), template(CHATML), byte_level(), RenderOptions())
    return write(made, tmp_path / "tokens")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rows = [
        {"prompt": "hi", "chosen": "ok", "rejected": "go away"},
        {"prompt": "so", "chosen": "no", "rejected": "what"},
    ]
    (tmp_path / "toy.jinja").write_text(CHATML)
    curate.render(
        rows,
        template=str(tmp_path / "toy.jinja"),
        tokenizer=byte_level(),
        out=tmp_path / "pairs",
        pairs=True,
    )
    return tmp_path / "pairs"


def saved_again(folder: Path, change: Change, **options: Any) -> Path:
    """The dataset after a change, with our files beside it, as people do."""
    out = folder.with_name("again")
    change(datasets.load_from_disk(str(folder))).save_to_disk(str(out), **options)
    for name in ("manifest.json", "sources.parquet", "refused.jsonl"):
        shutil.copyfile(folder / name, out / name)
    return out


def refused(folder: Path, message: str) -> None:
    """By training, by preview and reading, and by export."""
    for reader in (read, lambda path: load_tokens(str(path))):
        with pytest.raises(CurateError, match=f"{message}.*render the rows again"):
            reader(folder)
    with pytest.raises(CurateError, match=message):
        curate.export(folder, to="trl", out=folder.with_name("exported"))
    assert not folder.with_name("exported").exists()


def all_trained(row: dict[str, Any]) -> dict[str, Any]:
    return {"labels": row["input_ids"]}


def nothing_trained(row: dict[str, Any]) -> dict[str, Any]:
    return {"labels": [-100] * len(row["labels"])}


def one_more_trained(row: dict[str, Any]) -> dict[str, Any]:
    first = next(place for place, label in enumerate(row["labels"]) if label != -100)
    labels = [*row["labels"]]
    labels[first - 1] = row["input_ids"][first - 1]
    return {"labels": labels}


def shifted(row: dict[str, Any]) -> dict[str, Any]:
    return {"labels": [*row["labels"][1:], -100]}


def swapped(rows: Any) -> Any:
    labels = rows["labels"][:]
    return rows.remove_columns("labels").add_column("labels", [labels[1], labels[0], *labels[2:]])


LABELS = "column 'labels' is not as it was rendered, so what would be trained is not what was prov"


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.map(all_trained),
        lambda rows: rows.map(nothing_trained),
        lambda rows: rows.map(one_more_trained),
        lambda rows: rows.map(shifted),
        swapped,
    ],
)
def test_labels_that_were_changed_are_refused(folder: Path, change: Change) -> None:
    refused(saved_again(folder, change), LABELS)


def cut(row: dict[str, Any]) -> dict[str, Any]:
    return {name: values[:-1] for name, values in row.items()}


def other_start(row: dict[str, Any]) -> dict[str, Any]:
    return {"input_ids": [row["input_ids"][1], *row["input_ids"][1:]]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.select([0, 1]), "has 3 lines for 2 examples in the dataset"),
        (lambda rows: rows.map(cut), "its examples are not those of the manifest"),
        (lambda rows: rows.select([1, 0, 2]), "its examples are not those of the manifest"),
        (lambda rows: rows.map(other_start), "its examples are not those of the manifest"),
    ],
)
def test_rows_that_were_cut_left_out_or_moved_are_refused(
    folder: Path, change: Change, message: str
) -> None:
    refused(saved_again(folder, change), message)


def test_a_mask_that_was_changed_is_refused(folder: Path) -> None:
    again = saved_again(
        folder,
        lambda rows: rows.map(lambda row: {"attention_mask": [0, *row["attention_mask"][1:]]}),
    )
    with pytest.raises(CurateError, match="column 'attention_mask' is not as it was rendered"):
        read(again)
    with pytest.raises(CurateError, match="'attention_mask' is not 1 for 3 tokens"):
        load_tokens(str(again))


@pytest.mark.parametrize("name", ["rejected_labels", "rejected_input_ids"])
def test_the_rejected_side_of_pairs_is_checked_as_well(pairs: Path, name: str) -> None:
    def change(row: dict[str, Any]) -> dict[str, Any]:
        return {name: [*row[name][:-1], 7]}

    refused(saved_again(pairs, lambda rows: rows.map(change)), f"column '{name}' is not as it was")


def test_a_side_of_pairs_cannot_be_taken_away(pairs: Path) -> None:
    names = ["rejected_input_ids", "rejected_labels", "rejected_attention_mask"]
    again = saved_again(pairs, lambda rows: rows.remove_columns(names))
    refused(again, "column 'rejected_attention_mask' is not in the dataset, so this is not what wa")


def test_every_byte_that_is_flipped_in_the_rows_changes_nothing_or_is_refused(folder: Path) -> None:
    """Padding between columns may be anything; no other byte."""
    (data,) = folder.glob("data-*.arrow")
    whole, expected, rows = data.read_bytes(), read(folder).examples, load_tokens(str(folder)).rows
    refusals = 0
    for at in range(3, len(whole), 17):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        data.write_bytes(changed)
        try:
            assert read(folder).examples.equals(expected)
        except CurateError:
            refusals += 1
        try:
            found = load_tokens(str(folder)).rows
            assert np.array_equal(found.labels, rows.labels)
            assert np.array_equal(found.input_ids, rows.input_ids)
            assert np.array_equal(found.offsets, rows.offsets)
        except CurateError:
            refusals += 1
    assert refusals > len(whole) / 17


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda about: about.pop(CONTENT_HASHES),
            "manifest.json: has no content_sha256, so nobody knows whether the labels are those",
        ),
        (
            lambda about: about[CONTENT_HASHES].pop("labels"),
            "column 'labels' is not in the manifest",
        ),
        (lambda about: about[CONTENT_HASHES].update(labels="0" * 64), "column 'labels' is not as"),
        (
            lambda about: about.update(input_ids_sha256="0" * 64),
            "its examples are not those of the manifest",
        ),
    ],
)
def test_hashes_that_were_taken_out_or_changed_are_refused(
    folder: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    about = json.loads((folder / "manifest.json").read_text())
    change(about)
    del about[OWN_HASH]  # with it the manifest itself is refused
    (folder / "manifest.json").write_text(json.dumps(about))
    refused(folder, message)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_a_folder_that_was_saved_again_passes_in_any_number_of_parts(
    folder: Path, parts: int
) -> None:
    again = saved_again(folder, lambda rows: rows, num_shards=parts)
    assert read(again).examples.equals(read(folder).examples)
    assert np.array_equal(load_tokens(str(again)).rows.labels, load_tokens(str(folder)).rows.labels)


def test_a_folder_that_was_saved_again_with_wider_numbers_passes(folder: Path) -> None:
    wide = datasets.Features(
        {
            name: datasets.List(datasets.Value("int64"))
            for name in ("input_ids", "labels", "attention_mask")
        }
    )
    again = saved_again(folder, lambda rows: rows.cast(wide))
    assert np.array_equal(load_tokens(str(again)).rows.labels, load_tokens(str(folder)).rows.labels)
    assert read(again).examples["labels"].to_list() == read(folder).examples["labels"].to_list()


def test_training_starts_on_none_of_it_and_preview_says_the_same(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = saved_again(folder, lambda rows: rows.map(all_trained))
    assert main(["preview", str(again)]) == 1
    assert "column 'labels' is not as it was rendered" in capsys.readouterr().err
    fields = {"model": write_model(tmp_path / "model"), "out": str(tmp_path / "out")}
    with pytest.raises(CurateError, match="column 'labels' is not as it was rendered"):
        train(TrainConfig(tokens=str(again), **fields), silent)
    assert not (tmp_path / "out").exists()


# The hash itself


def hashes(lengths: list[int], ids: list[int], labels: list[int], kind: Any = np.int32) -> Any:
    sizes = np.array(lengths)
    columns = {"input_ids": np.array(ids, kind), "labels": np.array(labels, kind)}
    return content_hashes({name: (sizes, values) for name, values in columns.items()})


def test_the_same_values_have_the_same_hash_in_every_number_format() -> None:
    given = ([2, 3], [5, 6, 7, 8, 9], [-100, 6, -100, 8, 4])
    assert hashes(*given) == hashes(*given, kind=np.int64)


@pytest.mark.parametrize(
    ("lengths", "ids", "labels"),
    [
        ([3, 2], [5, 6, 7, 8, 9], [-100, 6, -100, 8, 4]),
        ([2, 3], [5, 6, 7, 8, 9], [-100, -100, 6, 8, 4]),
        ([2, 3], [5, 6, 7, 8, 9], [-100, 6, -100, 4, 8]),
        ([2, 3], [5, 6, 7, 8, 9], [-100, 6, -100, 8, 4 + 2**32]),
        ([2, 3], [5, 6, 7, 8, 9], [-100, 6, -100, 8, 5]),
    ],
)
def test_other_labels_have_another_hash(
    lengths: list[int], ids: list[int], labels: list[int]
) -> None:
    before = hashes([2, 3], [5, 6, 7, 8, 9], [-100, 6, -100, 8, 4], np.int64)
    assert hashes(lengths, ids, labels, np.int64)["labels"] != before["labels"]
