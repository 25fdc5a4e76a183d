"""A run that was cut off goes on behind what it had finished, and ends in the same bytes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.base.errors import CurateError
from curate.base.parts import PartSize
from curate.pipeline import recipe, resume, run_writer
from curate.pipeline.engine import engine_of
from curate.pipeline.identity import judge_name
from curate.pipeline.work import Work
from curate.runs import Plan, start
from filters.decontaminate.filter import Decontaminate
from filters.dedup.exact import Exact
from filters.dedup.near.filter import Near
from filters.dedup.semantic.filter import Semantic
from filters.quality.filter import Quality
from tests.test_parts_run import digest

STEPS = """steps: [strip_end_token, exact, near, quality, length]"""


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    rows = [
        {
            "instruction": f"Tell me all that is known about the number {n} and its friends.",
            "output": ""
            if n % 23 == 1
            else f"{n} is a number, and {n % 7} is another one.{'</s>' * (n % 5 == 0)}",
        }
        for n in range(200)
    ]
    path = folder / "dump.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "no row\n", "utf-8")
    return path


def run(dump: Path, out: Path, workers: int = 1) -> list[str]:
    """A run in parts of 50 rows; what it says."""
    file = dump.parent / "recipe.yaml"
    file.write_text(STEPS)
    said: list[str] = []
    with closing(engine_of(workers)) as engine:
        plan = Plan(
            recipe.load(str(file)), engine, out=out, size=PartSize(50),
            log=said.append, warn=said.append,
        )  # fmt: skip
        start(dump, plan)
    return said


class Stopped(BaseException):
    """As if the process were killed here."""


def stops(kind: Any, name: str, monkeypatch: pytest.MonkeyPatch, after: int = 0) -> None:
    """Let a function stop the run when it was called so many times."""
    works, calls = getattr(kind, name), []

    def stopping(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) > after:
            raise Stopped
        return works(*arguments, **named)

    monkeypatch.setattr(kind, name, stopping)


MOMENTS: dict[str, tuple[Any, str, int]] = {
    "while near measures its third part": (Near, "measure", 2),
    "while near judges": (Near, "judge", 0),
    "while quality measures its second part": (Quality, "measure", 1),
    "while quality says why": (Quality, "evidence", 0),
    "when a step is about to be done": (Work, "finish", 3),
    "while verdicts are kept": (Work, "put_verdicts", 6),
    "while rows are written": (run_writer, "describe", 0),
    "while tables are written": (run_writer, "write_table", 2),
}


@pytest.fixture
def expected(dump: Path, tmp_path: Path) -> str:
    run(dump, tmp_path / "whole" / "RUN")
    return digest(tmp_path / "whole" / "RUN")


def calls(kind: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each call of a filter's function from now on."""
    works, seen = getattr(kind, name), list[int]()

    def counted(self: Any, records: pl.DataFrame, *more: Any) -> Any:
        if records.height:
            seen.append(records.height)
        return works(self, records, *more)

    monkeypatch.setattr(kind, name, counted)
    return seen


@pytest.mark.parametrize("moment", MOMENTS)
def test_stopped_at_any_moment_a_run_ends_in_the_same_bytes(
    dump: Path, expected: str, tmp_path: Path, moment: str
) -> None:
    out = tmp_path / "RUN"
    with pytest.MonkeyPatch.context() as patch:
        stops(*MOMENTS[moment][:2], patch, MOMENTS[moment][2])
        with pytest.raises(Stopped):
            run(dump, out)
    assert not out.exists()
    said = run(dump, out)
    assert f"{tmp_path}/.RUN.work: goes on with what a run that was cut off left there" in said
    assert digest(out) == expected
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"in", "whole", "RUN"}


def test_what_was_finished_is_not_done_again(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "RUN"
    with pytest.MonkeyPatch.context() as patch:
        stops(Quality, "measure", patch, 2)
        with pytest.raises(Stopped):
            run(dump, out)
    near, judged = calls(Near, "measure", monkeypatch), calls(Near, "judge", monkeypatch)
    quality = calls(Quality, "measure", monkeypatch)
    read = calls_of_reading(monkeypatch)
    said = run(dump, out)
    assert (near, judged, read) == ([], [], [])
    assert len(quality) == 2  # of four parts two were measured before
    assert any(line.startswith("quality: ") and "measured before" in line for line in said)


def calls_of_reading(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []
    monkeypatch.setattr("curate.sources.read", lambda *names, **_: seen.append(names))
    return seen


def test_a_run_that_was_cut_off_says_where_its_work_is(dump: Path, tmp_path: Path) -> None:
    file = dump.parent / "recipe.yaml"
    file.write_text("steps: [exact, {length: {action: match, max: 90000, min: 80000}}]")
    said: list[str] = []
    plan = Plan(
        recipe.load(str(file)), engine_of(1), out=tmp_path / "RUN", size=PartSize(50),
        warn=said.append,
    )  # fmt: skip
    with pytest.raises(CurateError, match="length"):
        start(dump, plan)
    assert said[-1].startswith(f"what was done is kept in {tmp_path}/.RUN.work: the same command")


def cut_off(dump: Path, out: Path) -> Path:
    """Stop a run while quality judges; the folder of its work."""
    with pytest.MonkeyPatch.context() as patch:
        stops(Quality, "judge", patch)
        with pytest.raises(Stopped):
            run(dump, out)
    work = out.with_name(f".{out.name}.work")
    assert work.is_dir()
    return work


def changed_input(dump: Path, work: Path) -> None:
    dump.write_text(dump.read_text().replace("number 7 ", "number seven "))


def same_input_written_again(dump: Path, work: Path) -> None:
    state = dump.stat()
    dump.write_bytes(dump.read_bytes().replace(b"number 7 ", b"number 8 "))
    os.utime(dump, ns=(state.st_atime_ns, state.st_mtime_ns))


def another_key(dump: Path, work: Path) -> None:
    shutil.rmtree(os.environ["CURATE_CACHE"], ignore_errors=True)


def damaged_part(dump: Path, work: Path) -> None:
    part = sorted(work.rglob("part-*.arrow"))[0]
    part.write_bytes(part.read_bytes().replace(b"friends", b"enemies"))


def missing_part(dump: Path, work: Path) -> None:
    sorted(work.rglob("part-*.arrow"))[0].unlink()


@pytest.mark.parametrize(
    "change", [changed_input, same_input_written_again, another_key, damaged_part, missing_part]
)
def test_work_that_is_not_of_this_run_or_not_whole_is_not_gone_on_with(
    dump: Path, tmp_path: Path, change: Callable[[Path, Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "RUN"
    change(dump, cut_off(dump, out))
    said = run(dump, out)
    assert not any("goes on" in line for line in said)
    run(dump, tmp_path / "fresh" / "RUN")
    assert digest(out) == digest(tmp_path / "fresh" / "RUN")


def test_damaged_verdicts_are_judged_again(dump: Path, expected: str, tmp_path: Path) -> None:
    out = tmp_path / "RUN"
    work = cut_off(dump, out)
    near = sorted(work.glob("step-*/done.frame"))[-1].parent
    files = sorted(path.name for path in near.iterdir())
    assert {"done.frame", "needed.frame", "table-0.frame", "00000.frame"} <= set(files)
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(b"damaged")):
        for name in files:
            damage(near / name)
            with pytest.MonkeyPatch.context() as patch:
                judged = calls(Near, "judge", patch)
                stops(Quality, "judge", patch)
                with pytest.raises(Stopped):
                    run(dump, out)
                assert len(judged) == 1
    run(dump, out)
    assert digest(out) == expected


def test_other_settings_begin_where_they_differ(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "RUN"
    cut_off(dump, out)
    monkeypatch.setattr(
        "tests.test_resume.STEPS",
        "steps: [strip_end_token, exact, {near: {threshold: 0.6}}, quality, length]",
    )
    near, exact = calls(Near, "judge", monkeypatch), calls(Exact, "judge", monkeypatch)
    run(dump, out)
    assert (len(near), exact) == (1, [])
    run(dump, tmp_path / "fresh" / "RUN")
    assert digest(out) == digest(tmp_path / "fresh" / "RUN")


@pytest.mark.parametrize("code", ["def keep(record): return True", "def keep(record): return 'no'"])
def test_a_users_function_is_asked_again(
    dump: Path, tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be another by now, and nothing says so."""
    (dump.parent / "mine.py").write_text(
        "def keep(record): return 'row' if 'one' in record else True"
    )
    monkeypatch.setattr("tests.test_resume.STEPS", "steps: [exact, mine.py:keep, quality]")
    out = tmp_path / "RUN"
    cut_off(dump, out)
    (dump.parent / "mine.py").write_text(code)
    os.utime(dump.parent / "mine.py", ns=(1, 1))
    if "no" in code:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run_writer, "check_not_emptied", lambda *_: None)
            run(dump, out)
    else:
        run(dump, out)
    kept = json.loads((out / "manifest.json").read_text())["counts"]["kept"]
    assert (kept == 0) == ("no" in code)


def test_a_folder_that_a_stranger_left_there_is_not_believed(dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "RUN"
    theirs = tmp_path / ".RUN.work"
    theirs.mkdir()
    pl.DataFrame({"json": ['{"state": null}']}).write_ipc(theirs / "read.frame")
    said = run(dump, out)
    assert not theirs.exists() and not any("goes on" in line for line in said)


def test_a_link_in_the_place_of_the_work_is_not_followed(dump: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious.txt").write_text("keep me")
    (tmp_path / ".RUN.work").symlink_to(victim)
    with pytest.raises(CurateError, match=r"\.RUN\.work: is a link"):
        run(dump, tmp_path / "RUN")
    assert (victim / "precious.txt").read_text() == "keep me"
    assert [path.name for path in victim.iterdir()] == ["precious.txt"]


def test_a_file_in_the_place_of_the_work_is_one_sentence(dump: Path, tmp_path: Path) -> None:
    (tmp_path / ".RUN.work").write_text("mine")
    with pytest.raises(CurateError, match=r"\.RUN\.work.*: could not be written"):
        run(dump, tmp_path / "RUN")
    assert (tmp_path / ".RUN.work").read_text() == "mine"


def test_a_disk_that_is_full_is_one_sentence_and_the_next_run_goes_on(
    dump: Path, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "whole" / "cache"))
    out = tmp_path / "RUN"
    run(dump, out)  # an earlier run stays as it is
    before = digest(out)
    dump.write_text(dump.read_text() + dump.read_text().replace("friends", "relatives"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    parts = 30_000  # what parts of 50 rows take; the files of the run are larger
    resource.setrlimit(resource.RLIMIT_FSIZE, (parts, limits[1]))
    try:
        with pytest.raises(CurateError, match=r"could not be written .*\(ulimit -f\)"):
            run(dump, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert digest(out) == before
    said = run(dump, out)
    assert any("goes on" in line for line in said)


def test_a_misspelt_input_does_not_cost_what_was_done(dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "RUN"
    cut_off(dump, out)
    with pytest.raises(CurateError, match="no such file"):
        run(dump.with_name("dumpp.jsonl"), out)
    assert any("goes on" in line for line in run(dump, out))


def test_an_input_that_changes_after_it_was_read_is_read_again(dump: Path, tmp_path: Path) -> None:
    """As where one of many files was read long before the last of them."""
    out, keep = tmp_path / "RUN", resume.keep

    def keep_later(*arguments: Any) -> Work:
        dump.write_text(dump.read_text().replace("friends", "enemies"))
        return keep(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resume, "keep", keep_later)
        cut_off(dump, out)
    run(dump, out)
    assert "enemies" in (out / "kept.jsonl").read_text()


def test_files_in_a_folder_that_a_glob_matches_are_inputs_too(dump: Path, tmp_path: Path) -> None:
    inner = dump.parent / "some" / "inner"
    inner.mkdir(parents=True)
    (inner / "more.jsonl").write_text(dump.read_text().replace("known", "asked"))
    dump.rename(dump.parent / "some" / dump.name)
    glob, out = dump.parent / "some" / "[!r]*", tmp_path / "RUN"
    cut_off(glob, out)
    (inner / "more.jsonl").write_text('{"instruction": "Ask.", "output": "Told."}\n')
    run(glob, out)
    sources = json.loads((out / "manifest.json").read_text())["sources"]
    assert [source["rows"] for source in sources] == [200, 1]


def test_findings_that_are_gone_are_found_again(dump: Path, expected: str, tmp_path: Path) -> None:
    out = tmp_path / "RUN"
    work = cut_off(dump, out)
    for needed in work.glob("step-*/needed.frame"):
        needed.unlink()
    run(dump, out)
    assert digest(out) == expected


def test_what_lies_in_the_current_folder_is_no_part_of_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = judge_name(Semantic())
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "more").write_text("more")
    assert judge_name(Semantic()) == before


def test_files_that_a_glob_names_are_part_of_a_setting(tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"question": "Who?", "answer": "Me."}\n')
    step = Decontaminate(against=(str(tmp_path / "*.jsonl"),))
    before = judge_name(step)
    questions.write_text('{"question": "Who was it?", "answer": "Me."}\n')
    assert judge_name(step) != before


def test_of_rows_in_memory_no_work_is_kept_and_none_is_promised(tmp_path: Path) -> None:
    """Nobody could tell whether the next run gets the same ones."""
    rows = [{"instruction": f"Name {n}.", "output": f"It is {n}."} for n in range(200)]
    said: list[str] = []
    plan = Plan(
        recipe.of_steps(["exact", "quality"]), engine_of(1), out=tmp_path / "RUN",
        size=PartSize(50), warn=said.append,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        stops(Quality, "judge", patch)
        with pytest.raises(Stopped):
            start(rows, plan)
    assert said == [] and list(tmp_path.iterdir()) == []


def test_where_no_key_can_be_kept_none_is_promised_either(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    with pytest.MonkeyPatch.context() as patch:
        stops(Quality, "judge", patch)
        with pytest.raises(Stopped):
            run(dump, tmp_path / "RUN")
    assert not (tmp_path / ".RUN.work").exists()
