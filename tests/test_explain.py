from __future__ import annotations

from pathlib import Path

import pytest

from curate.base.errors import CurateError
from curate.report.explain import explain
from tests.test_run_folder import finished


def test_a_kept_row_shows_its_text_and_every_verdict(tmp_path: Path) -> None:
    page = explain(finished(tmp_path), "0")
    assert "row 0" in page and "dump.jsonl:1  kept" in page
    assert "assistant: Aah." in page
    assert page.index("read ") < page.index("exact ") < page.index("quality ")


def test_a_dropped_row_shows_its_reason_and_settings(tmp_path: Path) -> None:
    page = explain(finished(tmp_path), "1")
    assert "dropped by quality: empty_response" in page
    assert "settings: Quality(" in page


def test_a_duplicate_shows_the_row_it_duplicates(tmp_path: Path) -> None:
    page = explain(finished(tmp_path), "2")
    assert "dropped by exact: exact_duplicate" in page
    assert "duplicates row 0  id" in page


def test_an_id_finds_every_row_that_bears_it(tmp_path: Path) -> None:
    done = finished(tmp_path)
    page = explain(done, done.find(0)["id"])
    assert "row 0  id" in page and "row 2  id" in page


def test_an_unknown_key_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="no record has row or id '99'"):
        explain(finished(tmp_path), "99")


def test_control_characters_from_the_data_do_not_reach_the_terminal(tmp_path: Path) -> None:
    done = finished(tmp_path, [{"instruction": "Clear \x1b[2J it.", "output": "Fine, thanks."}])
    page = explain(done, "0")
    assert "\x1b" not in page and "\\x1b[2J" in page
