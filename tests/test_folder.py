from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.base.errors import CurateError
from curate.base.folder import MANIFEST, whole


def fill(out: Path, force: bool = False, **files: str) -> None:
    with whole(out, "test", force) as folder:
        for name, text in files.items():
            (folder / name).write_text(text)
        manifest = {"maker": "test", "files": [*files, MANIFEST]}
        (folder / MANIFEST).write_text(json.dumps(manifest))


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


def test_files_appear_all_at_once_and_nothing_else_stays(tmp_path: Path) -> None:
    fill(tmp_path / "deep" / "out", a="1")
    assert names(tmp_path / "deep") == ["out"]
    assert names(tmp_path / "deep" / "out") == ["a", MANIFEST]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole(tmp_path / "out", "test") as folder:
        (folder / "half").write_text("x")
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_an_earlier_result_of_the_same_maker_is_replaced_its_neighbours_stay(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "out", a="1", old="x")
    (tmp_path / "out" / "notes").write_text("the user's")
    fill(tmp_path / "out", a="2")
    assert names(tmp_path / "out") == ["a", MANIFEST, "notes"]
    assert (tmp_path / "out" / "a").read_text() == "2"


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CurateError, match="holds something else; choose another --out, or --force"):
        fill(tmp_path, a="1")
    assert names(tmp_path) == ["thesis.tex"]


def test_force_writes_beside_what_is_there_but_never_over_it(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    fill(tmp_path, force=True, a="1")
    assert names(tmp_path) == ["a", MANIFEST, "thesis.tex"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "a").write_text("theirs")
    with pytest.raises(CurateError, match="a was not written by curate"):
        fill(other, force=True, a="1")
    assert (other / "a").read_text() == "theirs"


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(CurateError, match="out: is a file"):
        fill(tmp_path / "out", a="1")


def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with (
        pytest.raises(CurateError, match=r"run: could not be written .*the folder's rights"),
        whole(tmp_path / "run", "test"),
    ):
        pass
