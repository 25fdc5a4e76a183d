"""What stands in the way of writing is found before the work, whoever asks."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.base.errors import CurateError
from curate.base.folder import atomic_folder, check_out, write_manifest
from curate.base.places import check_page, check_place, short_of_space
from curate.base.spelling import in_a_command
from curate.cli import main
from tests.templates_toys import byte_level

NOBODY = 65534
ROWS = [{"prompt": f"What is sea {n}?", "response": f"Much water, {n} fish."} for n in range(3)]
PAGE = "<!DOCTYPE html>"


@contextmanager
def another_user() -> Iterator[None]:
    """Root may write everywhere, so it becomes nobody for a while; another user is one already."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def closed() -> Iterator[Path]:
    """Folders that another user may not write to, or not look into."""
    top = Path(tempfile.mkdtemp(prefix="curate-test-"))
    for name in ("readonly/RUN", "unlisted", "unsearched/RUN"):
        (top / name).mkdir(parents=True)
    (top / "readonly" / "page.html").write_text(PAGE)
    for name, rights in (("readonly", 0o555), ("unlisted", 0o333), ("unsearched", 0o600)):
        (top / name).chmod(rights)
    (top / "readonly" / "RUN").chmod(0o777)
    top.chmod(0o777)
    yield top
    for name in ("readonly", "unlisted", "unsearched"):
        (top / name).chmod(0o700)
    shutil.rmtree(top)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("readonly", r"as \S+readonly is no folder in which this user may make files"),
        ("readonly/new", r"as \S+readonly is no folder in which this user may make files"),
        ("readonly/new/below", r"as \S+readonly is no folder in which this user may make files"),
        ("readonly/RUN", r"as \S+readonly is no folder in which this user may make files"),
        ("unlisted", r"as \S+unlisted is no folder in which this user may make files"),
        ("unsearched/RUN", r"unsearched/RUN: cannot be written"),
        ("unsearched/new/below", r"unsearched/new/below: cannot be written"),
    ],
)
def test_a_folder_that_another_user_cannot_make_is_found(
    out: str, message: str, closed: Path
) -> None:
    with another_user(), pytest.raises(CurateError, match=message):
        check_place(closed / out)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("readonly/new.html", "no folder in which this user may make files"),
        ("readonly/page.html", "no folder in which this user may make files"),
        ("unsearched/page.html", "cannot be written"),
        ("missing/page.html", r"there is no folder \S+missing; make it first"),
    ],
)
def test_a_page_that_another_user_cannot_write_is_found(
    page: str, message: str, closed: Path
) -> None:
    with another_user(), pytest.raises(CurateError, match=message):
        check_page(closed / page)


def test_a_result_that_this_user_cannot_read_is_not_replaced(tmp_path: Path) -> None:
    top = Path(tempfile.mkdtemp(prefix="curate-test-"))
    with atomic_folder(top / "RUN", "curate run") as folder:
        (folder / "kept.jsonl").write_text("{}")
        write_manifest(folder, "curate run", {})
    top.chmod(0o777)
    (top / "RUN").chmod(0o777)
    (top / "RUN" / "kept.jsonl").chmod(0o000)
    with another_user(), pytest.raises(CurateError, match=r"kept\.jsonl cannot be read"):
        check_out(top / "RUN", "curate run")
    shutil.rmtree(top)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 236, "is too long a name, of 236 bytes; choose one of 235 at most"),
        ("ü" * 130, "is too long a name, of 260 bytes"),
        ("x" * 5_000, "is too long a name"),
        ("/".join(["y" * 200] * 30), "cannot be written"),
        ("a\0b", "holds a null character"),
    ],
)
def test_a_name_that_no_disk_takes_is_found(name: str, message: str, tmp_path: Path) -> None:
    for check in (check_place, check_page):
        with pytest.raises(CurateError, match=message):
            check(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    curate.run(ROWS, steps=[], out=tmp_path / ("x" * 235))
    assert [len(path.name) for path in tmp_path.iterdir()] == [235]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("data", "more").mkdir(parents=True)
    for name in ("dump.jsonl", "data/part.jsonl", "data/more/part.jsonl"):
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("given", "out", "message"),
    [
        ("data", "data", "--out data holds the input data"),
        ("data/part.jsonl", "data", "--out data holds the input data/part.jsonl"),
        ("data/*.jsonl", "data", "--out data holds the input data/*.jsonl"),
        ("data", "data/RUN", "--out data/RUN lies in the input data, so"),
        ("data/**/*.jsonl", "data/RUN", "lies in what is matched by the input data/**/*.jsonl"),
        ("data/*/*.jsonl", "data/RUN", "lies in what is matched by the input data/*/*.jsonl"),
        ("data/*", "data/RUN", "lies in what is matched by the input data/*"),
        ("dump.jsonl", "dump.jsonl", "dump.jsonl: is a file"),
        ("dump.jsonl", "dump.jsonl/RUN", "is a file, so there can be no folder in it"),
    ],
)
@pytest.mark.parametrize("verb", [["run"], ["pairs", "--from", "rejected"]])
def test_a_result_among_the_inputs_is_found(
    verb: list[str],
    given: str,
    out: str,
    message: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = everything(here)
    assert main([*verb, given, "--force", "--out", out]) == 1
    assert message in capsys.readouterr().err
    assert everything(here) == before


@pytest.mark.parametrize(
    ("given", "out"), [("data/*.jsonl", "data/RUN"), ("data/**/*.csv*", "data/RUN2")]
)
def test_a_glob_that_matches_no_file_of_the_result_is_free(
    given: str, out: str, here: Path
) -> None:
    Path("data", "part.csv").write_text("prompt,response\nWhat?,That.\n")
    assert main(["run", given, "--quiet", "--out", out]) == 0


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("data", "data: is a folder"),
        ("dump.jsonl", "dump.jsonl: is there already and is no page"),
        ("missing/page.html", "there is no folder missing; make it first"),
    ],
)
def test_a_page_that_cannot_be_written_is_found_before_the_preview_is_made(
    page: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The source is not looked at, or it would be what is missing.
    words = ["preview", "nowhere.jsonl", "--template", "chatml", "--html", page]
    assert main(words) == 1
    assert message in capsys.readouterr().err
    run = curate.run(ROWS, steps=[])
    with pytest.raises(CurateError, match=message):
        run.report(page)


@pytest.fixture
def tokenizer(here: Path) -> str:
    Path("tokenizer").mkdir()
    Path("tokenizer", "tokenizer.json").write_text(byte_level().backend.to_str())
    return "tokenizer"


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("RUN", "--out RUN holds the input RUN"),
        ("RUN/TOKENS", "--out RUN/TOKENS lies in the input RUN"),
        ("tokenizer", "--out tokenizer holds the input tokenizer"),
        ("OTHER", "OTHER: manifest.json was not written by curate render; move it away first"),
    ],
)
def test_tokens_among_what_they_are_made_of_are_found_before_a_row_is_rendered(
    out: str,
    message: str,
    tokenizer: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RUN", "OTHER"):
        curate.run("dump.jsonl", steps=[], out=name)
    monkeypatch.setattr("templates.render", lambda *_: pytest.fail("the work began"))
    words = ["render", "RUN", "--template", "chatml", "--tokenizer", tokenizer, "--force"]
    assert main([*words, "--out", out]) == 1
    assert message in capsys.readouterr().err


def test_what_another_verb_wrote_is_named(here: Path, tokenizer: str) -> None:
    curate.run("dump.jsonl", steps=[], out="RUN")
    message = "the folder holds what curate run wrote; choose another out, or force=True"
    with pytest.raises(CurateError, match=message):
        curate.render("dump.jsonl", template="chatml", tokenizer=tokenizer, out="RUN")


def test_baselines_inside_their_run_are_found(here: Path) -> None:
    longest = {"select": {"method": "longest", "budget": 2}}
    curate.run("dump.jsonl", steps=[longest], out="RUN")
    for out in ("RUN", "RUN/BASELINES"):
        with pytest.raises(CurateError, match="the input RUN"):
            curate.baselines("RUN", out, force=True)


def test_of_work_that_came_to_nothing_no_folder_stays(here: Path) -> None:
    before = everything(here)
    with pytest.raises(CurateError, match="none of 1 rows could be read"):
        curate.run([{"colour": "blue"}], out="new/deep/RUN")
    assert everything(here) == before


class Disk:
    free = 100


def test_a_disk_with_less_room_than_the_inputs_is_said(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert short_of_space("RUN", ["dump.jsonl", "data", "data/*.jsonl", "-", "owner/name"]) is None
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk)
    message = "RUN: the disk has 0.00 GB left and the inputs take 0.00 GB; what is written may not"
    for inputs in (["dump.jsonl"], ["data"], ["data/*.jsonl"]):
        warning = short_of_space("RUN", inputs)
        assert warning is not None and warning.startswith(message)
    assert curate.run("dump.jsonl", steps=[], out="RUN").notices[0].startswith(message)
    assert curate.run(ROWS, steps=[], out="RUN2").notices == ()


def test_a_file_that_cannot_be_read_is_one_sentence(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(CurateError, match=r"^dump\.jsonl: cannot be read \(Permission denied\)$"):
        curate.run("dump.jsonl", steps=[])


@pytest.mark.parametrize(
    ("mistake", "in_python", "in_command"),
    [
        ("", "^out is empty;", "^--out is empty;"),
        (".", r"^out='\.' holds the current folder", r"^--out \. holds the current folder"),
        ("data", "choose another out, or force=True$", "choose another --out, or --force$"),
    ],
)
def test_messages_name_options_as_they_are_given(
    mistake: str, in_python: str, in_command: str, here: Any
) -> None:
    with pytest.raises(CurateError, match=in_python):
        check_out(mistake, "curate run")
    with in_a_command(), pytest.raises(CurateError, match=in_command):
        check_out(mistake, "curate run")


@pytest.mark.parametrize("odd", ["a[1]", "b*", "c?", "{d}", "e f", "%20", "#g"])
def test_a_folder_with_an_odd_name_serves_as_any_other(tmp_path: Path, odd: str) -> None:
    top = tmp_path / odd
    top.mkdir()
    rows = [
        {"instruction": f"What is {n} and {n}?", "output": f"That is {2 * n}, as any book says."}
        for n in range(30)
    ]
    (top / "dump.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    near: Any = {"near": {"index": str(top / "index")}}
    steps = [near, {"select": {"method": "longest", "budget": 9}}]
    first = curate.run([str(top / "dump.jsonl")], steps=steps, out=top / "RUN")
    opened = curate.open(top / "RUN")
    assert opened.kept.height == first.kept.height == 9
    assert "row 3" in opened.explain(3) and opened.report().is_file()
    assert curate.baselines(top / "RUN", top / "BASELINES")["select.full.jsonl"] == 30
    again = curate.run(top / "RUN", steps=[near])
    assert again.counts["read"] == 9 and again.counts["kept"] == 0
    match = {"length": {"action": "match", "reference": str(top / "RUN"), "tolerance": 1}}
    assert curate.run(top / "RUN", steps=[match]).counts["read"] == 9
    tokens = curate.render(
        top / "RUN", template="chatml", tokenizer="sample_data/tiny-base", out=top / "TOKENS"
    )
    assert curate.open(top / "TOKENS").examples.height == tokens.examples.height == 9
