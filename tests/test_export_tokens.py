"""TOKENS for other trainers: what their readers of tokens want, by the rules in each test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import curate
from curate.base.errors import CurateError
from curate.renders import Tokens
from tests.conftest import ROOT
from tests.export_rows import PLAIN, TWO_TURNS, config, data
from tests.templates_toys import CHATML, byte_level

datasets: Any = pytest.importorskip("datasets")
COLUMNS = ["input_ids", "labels", "attention_mask"]


def tokens(folder: Path, rows: list[dict[str, Any]] | None = None, **options: Any) -> Tokens:
    (folder / "toy.jinja").write_text(CHATML)
    return curate.render(
        rows or [*PLAIN, TWO_TURNS],
        template=str(folder / "toy.jinja"),
        tokenizer=byte_level(),
        out=folder / "TOKENS",
        **options,
    )


@pytest.mark.parametrize("target", ["trl", "axolotl", "hub"])
def test_rows_are_ids_labels_and_a_mask_of_ones(tmp_path: Path, target: str) -> None:
    # Axolotl knows tokens by these three columns, and trains on every column there is.
    given = tokens(tmp_path)
    rows = data(curate.export(given, to=target, out=tmp_path / "DIR"))
    assert [list(one) for one in rows] == [COLUMNS] * 4
    for one, example in zip(rows, given.examples.iter_rows(named=True), strict=True):
        assert one["input_ids"] == example["input_ids"] and one["labels"] == example["labels"]
        assert one["attention_mask"] == [1] * len(one["input_ids"])


def test_llamafactory_loads_the_folder_from_disk(tmp_path: Path) -> None:
    # tokenized_path is a folder for load_from_disk; other settings of data are not read, but it
    # stops without the name of a dataset.
    given = tokens(tmp_path)
    done = curate.export(given, to="llamafactory", out=tmp_path / "DIR")
    loaded = datasets.load_from_disk(str(done.path))
    assert loaded.column_names == COLUMNS
    assert loaded["input_ids"][:] == given.examples["input_ids"].to_list()
    settings = config(done, "sft.yaml")
    assert settings["tokenized_path"] == "." and settings["dataset"]
    assert settings["template"] == "empty"


def test_nothing_is_cut_or_dropped(tmp_path: Path) -> None:
    given = tokens(tmp_path)
    trl = curate.export(given, to="trl", out=tmp_path / "trl")
    assert config(trl, "sft.yaml")["max_length"] is None
    axolotl = config(curate.export(given, to="axolotl", out=tmp_path / "ax"), "axolotl.yaml")
    assert axolotl["sequence_len"] == max(map(len, given.examples["input_ids"].to_list()))
    assert axolotl["datasets"] == [
        {"path": "train.parquet", "ds_type": "parquet", "split": "train", "type": ""}
    ]


def test_the_template_of_the_tokens_goes_with_the_model(tmp_path: Path) -> None:
    done = curate.export(tokens(tmp_path), to="trl", out=tmp_path / "DIR")
    assert (done.path / "chat_template.jinja").read_text() == CHATML
    assert config(done, "sft.yaml")["chat_template_path"] == "chat_template.jinja"


def test_the_model_is_that_of_the_tokenizer_unless_it_is_named(tmp_path: Path) -> None:
    given = tokens(tmp_path)
    done = curate.export(given, to="trl", out=tmp_path / "DIR")
    assert config(done, "sft.yaml")["model_name_or_path"] == "byte-level"
    assert any("assumed to be byte-level" in note for note in done.notes)
    named = curate.export(given, to="trl", out=tmp_path / "DIR", model="m/m")
    assert config(named, "sft.yaml")["model_name_or_path"] == "m/m"
    assert not any("assumed" in note for note in named.notes)


def test_tokens_that_were_added_are_named(tmp_path: Path) -> None:
    (tmp_path / "toy.jinja").write_text(CHATML)
    given = curate.render(
        PLAIN,
        template=str(tmp_path / "toy.jinja"),
        tokenizer=str(ROOT / "sample_data" / "tiny-base"),
        add_tokens=["<|new|>"],
    )
    done = curate.export(given, to="axolotl", out=tmp_path / "DIR")
    assert any("<|new|>" in note for note in done.notes)


def test_pairs_go_to_the_hub_alone(tmp_path: Path) -> None:
    pair = {"prompt": "Say b.", "chosen": "Bee.", "rejected": "Sea."}
    given = tokens(tmp_path, [pair], pairs=True)
    with pytest.raises(curate.CurateError, match="holds pairs of answers"):
        curate.export(given, to="trl", out=tmp_path / "DIR")
    (one,) = data(curate.export(given, to="hub", out=tmp_path / "DIR"))
    assert one["rejected_input_ids"] == given.examples["rejected_input_ids"][0].to_list()


def test_the_card_says_with_what_they_were_made(tmp_path: Path) -> None:
    given = tokens(tmp_path, [*PLAIN, {"messages": [{"role": "user", "content": "hi"}]}])
    done = curate.export(given, to="hub", out=tmp_path / "DIR")
    text = (done.path / "README.md").read_text()
    assert "| tokenizer | byte-level |" in text and given.manifest["template"]["hash"] in text
    assert "| examples | 3 |" in text and "im_start" in text


@pytest.mark.parametrize("target", ["trl", "axolotl", "llamafactory", "hub"])
def test_the_same_tokens_give_the_same_bytes(tmp_path: Path, target: str) -> None:
    given = tokens(tmp_path)
    folders = [
        curate.export(given, to=target, out=tmp_path / name / "DIR").path for name in ("a", "b")
    ]
    first, second = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders)
    assert first == second


def test_the_card_says_what_was_read_and_what_was_cut(tmp_path: Path) -> None:
    long = {"messages": [*PLAIN[0]["messages"], *TWO_TURNS["messages"]]}
    given = tokens(tmp_path, [*PLAIN, long], max_length=60, overlong="right")
    assert given.manifest["counts"]["truncated"] == 1
    done = curate.export(given, to="hub", out=tmp_path / "DIR")
    text = (done.path / "README.md").read_text()
    assert "| max length | 60 |" in text and "| overlong | right |" in text
    assert given.manifest["sources"][0]["sha256"] in text
    assert "- examples that were cut to the longest length allowed: 1." in text
    other = curate.export(given, to="trl", out=tmp_path / "DIR")
    assert "examples that were cut to the longest length allowed: 1" in other.notes


def other_labels(folder: Path) -> None:
    """Every token of what lies there is trained, and nothing says so."""
    loaded = datasets.load_from_disk(str(folder))
    changed = loaded.map(lambda row: {"labels": row["input_ids"]}, load_from_cache_file=False)
    changed.save_to_disk(str(folder.parent / "changed"))
    for file in (folder.parent / "changed").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())


def test_a_dataset_whose_labels_were_changed_is_not_handed_on(tmp_path: Path) -> None:
    folder = tokens(tmp_path).path
    assert folder is not None
    assert len(Tokens(folder).dataset) == 4
    other_labels(folder)
    with pytest.raises(CurateError, match="labels"):
        _ = Tokens(folder).dataset


def test_tokens_of_the_same_ids_with_other_labels_are_said_to_be_others(tmp_path: Path) -> None:
    rows = [*PLAIN, TWO_TURNS]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = tokens(tmp_path / "one", rows), tokens(tmp_path / "two", rows, turns="last")
    ids = [given.examples["input_ids"].to_list() for given in (one, two)]
    assert ids[0] == ids[1] and one.examples["labels"].to_list() != two.examples["labels"].to_list()
    curate.export(one, to="trl", out=tmp_path / "DIR")
    again = curate.export(one, to="trl", out=tmp_path / "DIR")
    assert "made the same way" in again.notes[-1]
    other = curate.export(two, to="trl", out=tmp_path / "DIR")
    assert "with other settings (content" in other.notes[-1]
