"""`curate render` and `curate preview` from the command line: exit codes and options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate import api
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


UNREADABLE = [
    ("{not json", "invalid_json"),
    ("[1, 2]", "not_an_object"),
    ('{"messages": [{"role": "boss", "content": "do"}]}', "unknown_role"),
    ('{"prompt": "Why?"}', "no_answer"),
]


def with_unreadable(job: list[str], lines: list[str]) -> str:
    """Puts the lines between the good row and the empty answer; gives the dump's name."""
    dump = Path(job[0])
    good, empty = dump.read_text().splitlines()
    dump.write_text("".join(f"{line}\n" for line in (good, *lines, empty)))
    return str(dump)


@pytest.mark.parametrize(("line", "slug"), UNREADABLE, ids=lambda value: value[:12])
def test_a_row_that_cannot_be_read_is_refused_and_counted(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, slug: str
) -> None:
    dump, out = with_unreadable(job, [line]), tmp_path / "tokens"
    assert main(["render", *job, "--out", str(out)]) == 0
    assert f"unreadable: 1 rows, such as: {dump}:2: {slug}: " in capsys.readouterr().out
    (empty, unread) = map(json.loads, (out / "refused.jsonl").read_text("utf-8").splitlines())
    assert (empty["row"], empty["turn"], empty["check"]) == (1, 1, "empty")
    assert {**unread, "message": ""} == {
        "row": -1,
        "id": "",
        "turn": -1,
        "check": "unreadable",
        "message": "",
    }
    assert unread["message"].startswith(f"{dump}:2: {slug}: ")
    tokens = read(out)
    assert tokens.manifest["refused"] == {"empty": 1, "unreadable": 1}
    wanted = ("rows", "examples", "refused", "unreadable", "empty", "split")
    assert [tokens.manifest["counts"][name] for name in wanted] == [3, 1, 2, 1, 1, 0]
    assert tokens.refused.select("row", "turn").rows() == [(1, 1), (None, None)]
    assert tokens.examples["row"].to_list() == [0]


def test_strict_takes_no_row_that_cannot_be_read(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = Path(with_unreadable(job, [line for line, _ in UNREADABLE]))
    assert main(["render", *job, "--out", str(tmp_path / "a"), "--strict"]) == 1
    assert "5 of 6 rows were refused, and --strict takes none" in capsys.readouterr().err
    dump.write_text("\n".join(dump.read_text().splitlines()[:2]) + "\n")  # the good row, and one
    assert main(["render", *job, "--out", str(tmp_path / "b"), "--strict"]) == 1
    assert "1 of 2 rows were refused" in capsys.readouterr().err
    dump.write_text(dump.read_text().splitlines()[0] + "\n")
    assert main(["render", *job, "--out", str(tmp_path / "c"), "--strict"]) == 0


@pytest.mark.parametrize("tokenizer", [True, False])
def test_a_preview_says_how_many_rows_cannot_be_read_and_why(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], tokenizer: bool
) -> None:
    dump = with_unreadable(job, [line for line, _ in UNREADABLE])
    given = ["preview", *(job if tokenizer else job[:3]), "--failures"]
    assert main([*given, "--json"]) == 0
    printed = capsys.readouterr()
    assert "4 of 6 rows could not be read" in printed.err
    shown = json.loads(printed.out)
    wanted = ("rows", "examples", "refused", "unreadable")
    assert [shown["statistics"][name] for name in wanted] == [6, 1, 5, 4]
    unread = [view for view in shown["failures"] if view["check"] == "unreadable"]
    assert [view["row"] for view in unread] == [None] * 4
    places = [view["refused"].partition(": ")[0] for view in unread]
    assert places == [f"{dump}:{number}" for number in (2, 3, 4, 5)]
    assert main(given) == 0
    assert f"refused by unreadable\n  {dump}:2: invalid_json" in capsys.readouterr().out
    if tokenizer:  # a written folder says the same, and one of an earlier version says 0
        out = tmp_path / "tokens"
        assert main(["render", *job, "--out", str(out), "--quiet"]) == 0
        figures = api.preview(out).data["statistics"]
        assert [figures[name] for name in wanted] == [6, 1, 5, 4]
        manifest = json.loads((out / "manifest.json").read_text())
        del manifest["counts"]["unreadable"]
        (out / "manifest.json").write_text(json.dumps(manifest))
        assert api.preview(out).data["statistics"]["unreadable"] == 0


def test_what_a_run_could_not_read_is_its_own_account(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = with_unreadable(job, [line for line, _ in UNREADABLE[:3]])
    api.run(dump, steps=["exact"], out=tmp_path / "RUN", cache=False)
    for name, many in (("kept.jsonl", 0), ("", 1)):
        out = tmp_path / f"tokens{many}"
        rendered = ["render", str(tmp_path / "RUN" / name), *job[1:], "--out", str(out)]
        assert main(rendered) == 0
        said = "the run could not read 3 of its rows; they are in its rejects.jsonl, and not"
        assert capsys.readouterr().err.count(said) == many
        assert read(out).manifest["counts"]["unreadable"] == 0
        assert read(out).manifest["refused"] == {"empty": 1}
