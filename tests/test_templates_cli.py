"""`curate render` and `curate preview` from the command line: exit codes and options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.cli import main
from templates import read
from tests.templates_toys import byte_level


@pytest.fixture
def job(tmp_path: Path) -> list[str]:
    """A dump with one good row and one empty answer, and a tokenizer: the words of a command."""
    pytest.importorskip("datasets")
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(byte_level().backend.to_str())
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|eos|>"}')
    turns = ([("user", "hi"), ("assistant", "ok <search>")], [("user", "so"), ("assistant", " ")])
    rows = [{"messages": [{"role": r, "content": c} for r, c in turn]} for turn in turns]
    dump = tmp_path / "dump.jsonl"
    dump.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [str(dump), "--template", "chatml", "--tokenizer", str(folder)]


def test_refused_rows_leave_the_exit_code_alone_unless_strict(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tokens"
    assert main(["render", *job, "--out", str(out), "--add-token", "<search>"]) == 0
    tokens = read(out)
    wanted = ("rows", "examples", "refused", "split", "truncated", "empty")
    assert [tokens.manifest["counts"][name] for name in wanted] == [2, 1, 1, 0, 0, 1]
    assert list(tokens.manifest["tokenizer"]["added"]) == ["<search>"]
    assert main(["render", *job, "--out", str(tmp_path / "b"), "--strict"]) == 1
    assert "1 of 2 rows were refused, and --strict takes none" in capsys.readouterr().err
    assert read(tmp_path / "b").refused.height == 1  # written, so that one can see which


def test_options_are_said_in_the_manifest_and_unread_arguments_are_mistakes(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--history", "last", "--turns", "last", "--date", "2020-02-02", "--stop", "STOP"]
    assert main(["render", *job, "--out", str(tmp_path / "a"), *given]) == 0
    options = read(tmp_path / "a").manifest["options"]
    assert (options["history"], options["turns"], options["date"]) == ("last", "last", "2020-02-02")
    assert options["stops"] == ["STOP"]
    capsys.readouterr()
    assert main(["render", *job, "--out", str(tmp_path / "c"), "--arg", "mood=good"]) == 1
    assert "does not read the argument 'mood'" in capsys.readouterr().err


def test_a_preview_compares_templates_of_records_and_nothing_of_a_written_folder(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preview", *job, "--diff", "zephyr"]) == 0
    assert "+ zephyr with" in capsys.readouterr().out
    out = tmp_path / "tokens"
    assert main(["render", *job, "--out", str(out), "--quiet"]) == 0
    assert main(["preview", str(out), "--diff", "zephyr"]) == 1
    assert "shown as it is" in capsys.readouterr().err
