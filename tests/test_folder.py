from __future__ import annotations

import contextlib
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from curate.base.folder import MANIFEST, atomic_folder, files_of, locked, write_manifest, writing


def fill(out: Path, force: bool = False, **files: str) -> None:
    with atomic_folder(out, "test", force, files=list(files)) as folder:
        for name, text in files.items():
            (folder / name).write_text(text)
        write_manifest(folder, "test", {})


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


def test_files_appear_all_at_once_and_nothing_else_stays(tmp_path: Path) -> None:
    fill(tmp_path / "deep" / "out", a="1")
    assert names(tmp_path / "deep") == ["out"]
    assert names(tmp_path / "deep" / "out") == ["a", MANIFEST]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "out", "test") as folder:
        (folder / "half").write_text("x")
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_an_earlier_result_of_the_same_maker_is_replaced_its_neighbours_stay(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "out", a="1", old="x")
    (tmp_path / "out" / "notes").write_text("the user's")
    with pytest.raises(
        CurateError, match="holds notes, which test has not written; choose another out"
    ):
        fill(tmp_path / "out", a="2")
    fill(tmp_path / "out", force=True, a="2")
    assert names(tmp_path / "out") == ["a", MANIFEST, "notes"]
    assert (tmp_path / "out" / "a").read_text() == "2"


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CurateError, match="something else; choose another out, or force=True"):
        fill(tmp_path, a="1")
    assert names(tmp_path) == ["thesis.tex"]


def test_force_writes_beside_what_is_there_but_never_over_it(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    fill(tmp_path, force=True, a="1")
    assert names(tmp_path) == ["a", MANIFEST, "thesis.tex"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "a").write_text("theirs")
    with pytest.raises(CurateError, match="a was not written by test"):
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
        atomic_folder(tmp_path / "run", "test"),
    ):
        pass


def test_a_file_that_was_changed_is_the_users_and_is_not_replaced(tmp_path: Path) -> None:
    fill(tmp_path / "out", a="1")
    (tmp_path / "out" / "a").write_text("corrected by hand")
    for force in (False, True):
        with pytest.raises(CurateError, match="a was changed since test wrote it"):
            fill(tmp_path / "out", force=force, a="2")
    assert (tmp_path / "out" / "a").read_text() == "corrected by hand"


PLANTED = {
    "a path above": "../victim/precious.txt",
    "an absolute path": "ABSOLUTE",
    "a path below": "sub/precious.txt",
    "a link": "link",
    "a folder": "sub",
    "the folder itself": ".",
    "the folder above": "..",
    "another's file": "thesis.tex",
    "another's file without a hash": "notes.tex",
    "no text": 7,
}


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("force", [False, True])
def test_a_planted_manifest_deletes_nothing(kind: str, force: bool, tmp_path: Path) -> None:
    victim, out = tmp_path / "victim", tmp_path / "out"
    for folder in (victim, out, out / "sub"):
        folder.mkdir()
    precious = [
        victim / "precious.txt",
        out / "sub" / "precious.txt",
        out / "thesis.tex",
        out / "notes.tex",
    ]
    for path in precious:
        path.write_text("years of work")
    (out / "link").symlink_to(victim / "precious.txt")
    listed = str(precious[0]) if PLANTED[kind] == "ABSOLUTE" else PLANTED[kind]
    manifest = {"maker": "test", "files": [listed, MANIFEST], "sha256": {"thesis.tex": "0" * 64}}
    (out / MANIFEST).write_text(json.dumps(manifest))
    with contextlib.suppress(CurateError):
        fill(out, force=force, a="1")
    assert [path.read_text() for path in precious] == ["years of work"] * len(precious)
    assert (out / "link").is_symlink()


@pytest.mark.parametrize(
    "text",
    ["[]", "{", '{"maker": "test"}', '{"maker": "test", "files": 3, "sha256": 4}', "[" * 9999],
)
def test_an_odd_manifest_is_not_ours(text: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(text)
    assert files_of(tmp_path, "test") == {}


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("", "out is empty"),
        (" ", "out is empty"),
        (".", "holds the current folder"),
        ("..", "holds the current folder"),
        ("link", "link: is a link"),
        ("dangling", "dangling: is a link"),
        ("file", "file: is a file"),
        ("file/below", "is a file, so there can be no folder in it"),
    ],
)
def test_what_can_be_no_folder_is_found_before_the_work(
    out: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    before = names(tmp_path)
    with pytest.raises(CurateError, match=message), atomic_folder(out, "test"):
        pytest.fail("the work began")
    assert names(tmp_path) == before


def test_a_name_in_the_way_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("theirs")
    with (
        pytest.raises(CurateError, match="a was not written by test"),
        atomic_folder(tmp_path, "test", force=True, files=["a"]),
    ):
        pytest.fail("the work began")


def test_one_of_two_runs_into_a_folder_has_it_the_other_is_told(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "out"),
        pytest.raises(CurateError, match="out: another run is writing to this folder"),
    ):
        fill(tmp_path / "out", a="1")
    fill(tmp_path / "out", a="1")
    assert names(tmp_path) == ["out"]


def write_slowly(out: Path, name: str, start: Any, results: Any) -> None:
    """Wait for the other, then write two files of one's own name; tell who had the folder."""
    for number in range(PAIRS):
        start.wait()
        try:
            with atomic_folder(out / str(number), "test") as folder:
                start.wait()  # until the other one has tried
                for part in ("a", "b"):
                    (folder / f"{name}-{part}").write_text(name)
                write_manifest(folder, "test", {})
            results.put((number, name))
        except CurateError as error:
            assert "another run is writing" in str(error), error
            start.wait()
            results.put((number, ""))


PAIRS = 100


def test_of_pairs_that_write_at_once_each_has_one_winner(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(2), context.Queue()
    workers = [
        context.Process(target=write_slowly, args=(tmp_path, name, start, results))
        for name in ("one", "two")
    ]
    for worker in workers:
        worker.start()
    ended = [results.get(timeout=120) for _ in range(2 * PAIRS)]
    for worker in workers:
        worker.join()
    for number in range(PAIRS):
        (winner,) = [name for at, name in ended if at == number and name]
        assert names(tmp_path / str(number)) == [MANIFEST, f"{winner}-a", f"{winner}-b"]
    assert len(names(tmp_path)) == PAIRS  # nothing hidden is left


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / ".out.abc.unfinished"
    left.mkdir()
    (left / "half").touch()
    (tmp_path / ".out.def.unfinished").symlink_to(tmp_path)
    fill(tmp_path / "out", a="1")
    assert names(tmp_path) == [".out.def.unfinished", "out"]


def test_a_failed_write_is_one_sentence_other_faults_stay_what_they_are(tmp_path: Path) -> None:
    with (
        pytest.raises(CurateError, match="out: could not be written"),
        atomic_folder(tmp_path / "out", "test") as folder,
        writing(tmp_path / "out"),
    ):
        (folder / "no" / "such").write_text("x")
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "out", "test"):
        (tmp_path / "input").read_text()
    assert names(tmp_path) == []
