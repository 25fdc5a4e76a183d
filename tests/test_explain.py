from __future__ import annotations

from pathlib import Path

import pytest

import curate
from curate.base.errors import CurateError
from curate.pipeline.run_folder import RunFolder
from curate.pipeline.steps import Step
from curate.report.explain import explain
from tests.reports import SMALL, STEPS, Words, make, row
from tests.test_run_folder import finished


def test_a_kept_row_shows_its_text_and_every_verdict(tmp_path: Path) -> None:
    page = explain(finished(tmp_path), "0", width=None)
    assert "row 0" in page and "dump.jsonl:1  kept" in page
    assert "assistant: Aah." in page
    assert page.index("read ") < page.index("exact ") < page.index("quality ")


def test_a_dropped_row_shows_its_reason_and_settings(tmp_path: Path) -> None:
    page = explain(finished(tmp_path), "1", width=None)
    assert "dropped by quality: empty_response" in page
    assert "settings: Quality(" in page


def test_a_duplicate_shows_the_row_it_duplicates(tmp_path: Path) -> None:
    page = explain(finished(tmp_path), "2", width=None)
    assert "dropped by exact: exact_duplicate" in page
    assert "duplicates row 0  id" in page


def test_an_id_finds_every_row_that_bears_it(tmp_path: Path) -> None:
    done = finished(tmp_path)
    page = explain(done, done.records([0])[0]["id"])
    assert "row 0  id" in page and "row 2  id" in page


@pytest.mark.parametrize("key", ["99", "99999999999", "f" * 16, "", "nobody"])
def test_an_unknown_key_is_a_clear_error(tmp_path: Path, key: str) -> None:
    with pytest.raises(CurateError, match=f"no record has row or id '{key}'"):
        explain(finished(tmp_path), key)


def test_an_unknown_row_says_how_many_there_are(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="'3'; 3 rows were read, counted from 0; see kept"):
        explain(finished(tmp_path), "3")


def test_a_raw_row_that_is_not_there_any_more_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dump = Path("dump.jsonl")
    dump.write_text('{"prompt": "Say a.", "response": "Aah."}\n')
    done = curate.run("dump.jsonl", steps=[], out="RUN")
    done = RunFolder(done.path.absolute())
    assert 'line 1 of dump.jsonl: {"prompt":"Say a."' in explain(done, "0")
    dump.write_text('{"prompt": "Say c.", "response": "See."}\n')
    changed = "line 1 of dump.jsonl, as the file is now (it has changed since): {"
    assert f'{changed}"prompt":"Say c."' in explain(done, "0", width=None)
    dump.write_text("\n\n" + 2 * '{"prompt": "Say b.", "response": "Bee."}\n')
    assert "line 1 of dump.jsonl: not shown, as the file has no such row any more" in explain(
        done, "0"
    )
    dump.write_text("")
    assert "line 1 of dump.jsonl: not shown, as the file cannot be read any more (" in explain(
        done, "0"
    )
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert "line 1 of dump.jsonl: not shown, as there is no such file as seen from here" in explain(
        done, "0"
    )


def test_rows_that_were_in_memory_have_no_raw_row() -> None:
    run = curate.run([{"prompt": "Say a.", "response": "Aah."}], steps=[])
    assert "not shown" not in run.explain(0)


def test_control_characters_from_the_data_do_not_reach_the_terminal(tmp_path: Path) -> None:
    done = finished(tmp_path, [{"instruction": "Clear \x1b[2J it.", "output": "Fine, thanks."}])
    page = explain(done, "0")
    assert "\x1b" not in page and "\\x1b[2J" in page


def test_a_duplicate_is_shown_beside_the_row_it_duplicates_with_brackets_around_differences(
    tmp_path: Path,
) -> None:
    lines = explain(make(tmp_path, SMALL, *STEPS), "1", width=None).splitlines()
    assert "duplicates row 0  id" in lines[-3]
    assert lines[-2].strip() == "row 1: What is [a pond?] Water [in a garden.]"
    assert lines[-1].strip() == "row 0: What is [the sea?] Water [as far as one can see.]"


def test_no_text_of_the_data_reaches_the_terminal_with_its_control_characters(
    tmp_path: Path,
) -> None:
    escape = "\x1b[31m\u202e"
    reason = Words(word="sorry", reason=f"bad {escape}")
    lines = [row(f"Hi {escape}", f"sorry {escape}"), row("Hi", "Fine")]
    done = make(tmp_path, lines, Step(f"step {escape}", reason), name=f"dump {escape}.jsonl")
    page = explain(done, "0")
    assert "\x1b" not in page and "\u202e" not in page
    assert page.count("\\x1b[31m\\u202e") >= 8


def test_a_run_whose_files_were_changed_is_said_to_be_damaged(tmp_path: Path) -> None:
    done = make(tmp_path, SMALL, *STEPS)
    dropped = (done.path / "dropped.parquet").read_bytes()
    (done.path / "dropped.parquet").write_bytes((done.path / "kept.parquet").read_bytes())
    with pytest.raises(CurateError, match=r"dropped\.parquet: damaged"):
        explain(RunFolder(done.path), "1")
    (done.path / "dropped.parquet").write_bytes(dropped)
    kept = (done.path / "kept.parquet").read_bytes()
    done.kept.clear().write_parquet(done.path / "kept.parquet")
    with pytest.raises(CurateError, match=r"kept\.parquet: damaged, or changed since"):
        explain(RunFolder(done.path), "0")
    (done.path / "kept.parquet").write_bytes(kept)
    (done.path / "dropped.parquet").unlink()
    with pytest.raises(CurateError, match=r"dropped\.parquet: missing"):
        explain(RunFolder(done.path), "1")
