"""The page of figures and the scripts that fill it: one line each, and what they decide by."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks"


def loaded(name: str) -> Iterator[ModuleType]:
    """A script as a module; the scripts import each other by their bare names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module(name)


@pytest.fixture(scope="module")
def figures() -> Iterator[ModuleType]:
    yield from loaded("figures")


@pytest.fixture(scope="module")
def survive() -> Iterator[ModuleType]:
    yield from loaded("survive_work")


@pytest.fixture(scope="module")
def default() -> Iterator[ModuleType]:
    yield from loaded("default")


# The page.


def test_the_page_has_a_line_for_each_figure_and_no_other(figures: ModuleType) -> None:
    page = figures.PAGE.read_text("utf-8")
    lines = [line for line in page.split("\n") if "`python benchmarks/" in line and "|" in line]
    measured = [line.split(" | ")[3] for line in lines]
    expected = map(figures.line, figures.FIGURES.values(), measured)
    assert lines == list(expected)


def test_a_command_of_a_figure_names_a_script_and_options_that_it_has(figures: ModuleType) -> None:
    for figure in figures.FIGURES.values():
        script, *words = figure.command.split()
        text = (FOLDER / script).read_text("utf-8")
        options = [word for word in words if word.startswith("--")]
        assert [option for option in options if f'"{option}"' not in text] == [], figure.command


def test_what_was_measured_takes_the_place_of_the_line_before(figures: ModuleType) -> None:
    figure = figures.Figure("seconds", "2", "1", "x.py")
    page = "text\n| seconds | 2 | 1 | not yet | `python benchmarks/x.py` |\nmore"
    filled = figures.filled(page, figure, "0.9")
    assert filled == "text\n| seconds | 2 | 1 | 0.9 | `python benchmarks/x.py` |\nmore"
    with pytest.raises(AssertionError, match="0 lines of: seconds"):
        figures.filled("text", figure, "0.9")


@pytest.mark.parametrize("name", ["figures", "survive", "survive_run", "survive_work"])
def test_examples_of_scripts_are_right(name: str) -> None:
    for module in loaded(name):
        done = doctest.testmod(module)
        assert done.attempted and not done.failed


# Two runs that should be equal.


def write(run: Path, verdict: pl.Series, kept: bytes = b"{}\n") -> Path:
    run.mkdir()
    for name in ("dropped.jsonl", "rejects.jsonl"):
        (run / name).write_bytes(b"")
    (run / "kept.jsonl").write_bytes(kept)
    pl.DataFrame([verdict.alias("verdict")]).write_parquet(run / "ledger.parquet")
    return run


def test_a_ledger_that_is_stored_in_another_way_is_the_same(
    default: ModuleType, tmp_path: Path
) -> None:
    names = pl.Series(["keep", "drop"])
    one = write(tmp_path / "one", names)
    other = write(tmp_path / "other", names.cast(pl.Enum(["drop", "keep"])))
    assert default.differences(one, other) == []


def test_other_lines_and_other_verdicts_are_named(default: ModuleType, tmp_path: Path) -> None:
    one = write(tmp_path / "one", pl.Series(["keep", "drop"]))
    more = write(tmp_path / "more", pl.Series(["keep", "drop", "keep"]))
    other = write(tmp_path / "other", pl.Series(["keep", "keep"]), b"{ }\n")
    assert default.differences(one, more) == ["ledger.parquet"]
    assert default.differences(one, other) == ["kept.jsonl", "ledger.parquet"]


# What a killed run may do twice.

READ = {"read.frame", "parts/part-00000.arrow"}
MEASURED = {"near-1f/00000-000000.answer.frame", "near-1f/00000-000000.frame"}
DECIDED = {"step-01-aa/00000.frame", "step-01-aa/done.frame"}


def test_before_all_is_read_everything_may_be_read_again(survive: ModuleType) -> None:
    assert survive.faults_of_twice({"parts/part-00000.arrow"}, {"parts/part-00000.arrow"}, 2) == []


@pytest.mark.parametrize(
    "name",
    ["parts/part-00000.arrow", *sorted(MEASURED), *sorted(DECIDED)],
)
def test_what_was_whole_must_not_be_made_again(survive: ModuleType, name: str) -> None:
    faults = survive.faults_of_twice({name}, READ | MEASURED | DECIDED, 2)
    assert faults == [f"{name} was whole and made again"]


def test_pieces_that_workers_had_and_a_step_without_an_end_may_be_made_again(
    survive: ModuleType,
) -> None:
    twice = {"near-1f/00000-005000.answer.frame", "step-02-bb/00000.frame"}
    assert survive.faults_of_twice(twice, READ | MEASURED | DECIDED | twice, 2) == []


def test_more_than_workers_can_have_is_a_fault(survive: ModuleType) -> None:
    twice = {f"near-1f/00000-{start:06}.answer.frame" for start in range(6)}
    assert survive.faults_of_twice(twice, READ | twice, 2) == ["6 pieces were under way"]
    assert survive.faults_of_twice(twice, READ | twice, 3) == []
    twice = {"step-01-aa/00000.frame", "step-02-bb/00000.frame"}
    assert survive.faults_of_twice(twice, READ | twice, 2) == ["2 steps were under way"]


def test_the_whole_files_say_what_a_run_was_at(survive: ModuleType) -> None:
    begun = {"near-1f/00000-005000.answer.frame"}
    assert survive.phase(set(), set()) == "the start"
    assert survive.phase({"parts/part-00000.arrow"}, set()) == "reading, 1 files of parts"
    assert survive.phase(READ | MEASURED | begun, set()) == "step 1, 1 pieces under way"
    assert survive.phase(READ | {"step-01-aa/00000.frame"}, set()) == "verdicts of step 1"
    assert survive.phase(READ | DECIDED, {"kept.jsonl"}) == "writing kept.jsonl, 1 steps done"


def test_seconds_are_no_part_of_what_a_run_wrote(survive: ModuleType, tmp_path: Path) -> None:
    space = "\N{NO-BREAK SPACE}"
    digests = []
    for seconds, rows in (("0.09", 7), ("1,012.50", 7), ("0.09", 8)):
        run = tmp_path / f"{seconds}-{rows}"
        run.mkdir()
        (run / "manifest.json").write_text(
            f'{{"rows": {rows}, "seconds": {{"near": "{seconds}"}}}}'
        )
        page = f'<td data-label="seconds">{seconds}</td> took {seconds}{space}s.'
        (run / "report.html").write_text(page, "utf-8")
        digests.append(survive.digest(run))
    assert digests[0] == digests[1] != digests[2]


def test_half_a_file_is_not_there(survive: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "near-1f").mkdir()
    for name in ("a.frame", ".b.frame.7.unfinished"):
        (tmp_path / "near-1f" / name).touch()
    assert list(survive.whole_files(tmp_path)) == ["near-1f/a.frame"]
