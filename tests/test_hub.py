"""Datasets by their hub name; nothing here asks a server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from curate.sources import read

ROWS = [{"instruction": "Add 1 and 2.", "output": "3"}, {"instruction": "Say hi.", "output": "hi"}]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, Any]]:
    """A hub that has one dataset; what was asked for is written down."""
    datasets = pytest.importorskip("datasets")
    asked: list[tuple[str, Any]] = []

    def load_dataset(name: str, split: str | None = None) -> Any:
        asked.append((name, split))
        if name != "some-lab/small":
            raise FileNotFoundError(f"Dataset '{name}' doesn't exist")
        table = datasets.Dataset.from_list(ROWS)
        return table if split else datasets.DatasetDict(train=table, test=table.select([1]))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.chdir(tmp_path)
    return asked


def test_a_hub_dataset_is_read_split_by_split(hub: list[tuple[str, Any]]) -> None:
    dump = read(["some-lab/small"])
    assert (
        dump.records["source"].to_list() == ["some-lab/small:test"] + ["some-lab/small:train"] * 2
    )
    assert dump.records["line"].to_list() == [1, 1, 2]
    assert [file.formats for file in dump.files] == [{"alpaca": 1}, {"alpaca": 2}]
    assert read(["some-lab/small:train"]).records.height == 2
    assert hub == [("some-lab/small", None), ("some-lab/small", "train")]


def test_a_dataset_that_is_not_there_is_named(hub: list[tuple[str, Any]]) -> None:
    with pytest.raises(CurateError, match="some-lab/none: no such file or folder, and no dataset"):
        read(["some-lab/none"])


@pytest.mark.parametrize(
    "name", ["here/rows", "lab/rows.jsonl", "lab/rows.json.gz", "rows", "a/b/c"]
)
def test_a_misspelt_path_asks_no_server(
    hub: list[tuple[str, Any]], tmp_path: Path, name: str
) -> None:
    (tmp_path / "here").mkdir()
    with pytest.raises(CurateError, match=r"no such file or folder$"):
        read([name])
    assert not hub


def test_without_the_package_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CurateError, match=r'pip install "curate-sft\[train\]"'):
        read(["some-lab/small"])
