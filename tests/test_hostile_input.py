"""Input that broke something once: each has a defined outcome, and no row goes missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.base.errors import CurateError
from curate.cli import main
from curate.sources import Dump, ReadOptions, read

ROW = {"instruction": "Add.", "output": "3"}
GOOD = json.dumps(ROW)


def given(folder: Path, text: str, name: str = "dump.json") -> Dump:
    (folder / name).write_text(text, "utf-8")
    return read([str(folder / name)])


def slugs(dump: Dump) -> list[str]:
    return [reason.split(":")[0] for reason in dump.rejects["reason"]]


def test_text_after_the_end_of_an_array_is_a_reject(tmp_path: Path) -> None:
    dump = given(tmp_path, f"[\n{GOOD}\n]\nThe end, says Add.\n")
    assert (dump.records.height, slugs(dump)) == (1, ["invalid_json"])
    assert dump.rejects.select("line", "raw").rows() == [(4, "The end, says Add.")]


def test_an_odd_element_does_not_hide_the_list_it_stands_in(tmp_path: Path) -> None:
    dump = given(tmp_path, f'{{"train": [{GOOD}],\n"test": [{GOOD}, null]}}')
    assert (dump.records.height, slugs(dump)) == (2, ["not_an_object"])
    dump = given(tmp_path, f'{{"a": {GOOD}, "b": {GOOD}, "version": 1}}')
    assert dump.records.height == 2


def test_a_broken_element_does_not_swallow_the_row_after_it(tmp_path: Path) -> None:
    dump = given(tmp_path, f"[\n{GOOD},\nNULLgarbage,\n{GOOD},\n{GOOD}]")
    assert (dump.records.height, dump.rejects["raw"].to_list()) == (3, ["NULLgarbage"])
    inside = '{"instruction": "code }, {\\"k\\": 1} end", "output": oops}'
    dump = given(tmp_path, f"[\n{GOOD},\n{inside},\n{GOOD}\n]")
    assert (dump.records.height, dump.rejects["raw"].to_list()) == (2, [inside])


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "assistant", "content": "b", "weight": 10**400}]},
        {"messages": [{"role": "assistant", "content": "b", "weight": 1e308}]},
        {**ROW, "deep": json.loads("[" * 400 + "]" * 400)},
        {"qid": 1, "question": "<p>" * 3000 + "x</p>", "response_j": "a", "response_k": "b"},
    ],
)
def test_a_row_that_cannot_be_kept_is_a_reject_and_its_neighbours_stay(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    lines = [GOOD] * 30 + [json.dumps(row)] + [GOOD] * 30
    dump = given(tmp_path, "\n".join(lines), "dump.jsonl")
    assert (dump.records.height, slugs(dump)) == (60, ["wrong_type"])


def test_a_score_too_large_for_a_float_is_no_score(tmp_path: Path) -> None:
    dump = given(tmp_path, json.dumps({**ROW, "score": 10**400}), "dump.jsonl")
    assert dump.read == 1


def test_binary_columns_of_a_table_are_rejects(tmp_path: Path) -> None:
    table = pl.DataFrame({"instruction": [b"a\xff", b"ok"], "output": ["x", "y"]})
    table.write_parquet(tmp_path / "dump.parquet")
    assert slugs(read([str(tmp_path / "dump.parquet")])) == ["wrong_type"] * 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("dump.json", "[]", "no rows in"),
        ("dump.csv", "prompt,completion\n", "no rows in"),
        ("dump.yaml", "a: 1", "expected a YAML list of rows, found an object"),
    ],
)
def test_a_file_without_usable_rows_is_one_clear_error(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(CurateError, match=message):
        given(tmp_path, text, name)


@pytest.mark.parametrize("columns", [{"": "x"}, {"a": ""}])
def test_a_mapping_without_a_name_is_an_error(columns: dict[str, str]) -> None:
    with pytest.raises(CurateError, match="response=answer"):
        ReadOptions(columns=columns)


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "dump.jsonl"
    path.parent.mkdir()
    path.write_text(
        "\n".join(json.dumps({**ROW, "n": n, "instruction": f"Add {n}."}) for n in range(4))
    )
    return path


def test_a_run_never_writes_over_its_own_input(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "run", dump, "--out", tmp_path / "r1", "--quiet")[0] == 0
    code, _, said = run(capsys, "run", tmp_path / "r1", "--out", tmp_path / "r1")
    assert code == 1 and "holds the input" in said
    code, out, _ = run(capsys, "run", tmp_path / "r1", "--out", tmp_path / "r2")
    assert code == 0 and "4 read = " in out  # the rows it kept, not its ledger and rejects


def test_mistakes_about_folders_are_found_before_the_work(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, said = run(capsys, "run", dump, "--out", dump / "sub")
    assert (code, out) == (1, "") and "is a file" in said
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "kept.jsonl").write_text("theirs")
    code, out, said = run(capsys, "run", dump, "--force", "--out", tmp_path / "taken")
    assert (code, out) == (
        1,
        "",
    ) and "kept.jsonl was not written by curate run; move it away first" in said


def test_a_users_filter_that_fails_is_named_with_its_row(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text("def boom(record):\n    raise ValueError('no\\nway')\n")
    (tmp_path / "bad.py").write_text("def f(:\n")
    for name, message in (
        ("mine.py:boom", "row 0: failed with ValueError: no way"),
        ("bad.py:f", "SyntaxError"),
    ):
        (tmp_path / "recipe.yaml").write_text(f"steps: ['{name}']")
        code, _, said = run(
            capsys, "run", dump, "--recipe", tmp_path / "recipe.yaml", "--out", tmp_path / "RUN"
        )
        assert code == 1 and message in said


def test_a_damaged_run_is_named(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "RUN"
    assert run(capsys, "run", dump, "--out", out, "--quiet")[0] == 0
    (out / "kept.parquet").write_text("junk\n")
    assert run(capsys, "explain", out, "0")[2].startswith(f"curate: {out}/kept.parquet: damaged")
    (out / "ledger.parquet").write_bytes(b"junk")
    assert "ledger.parquet: damaged" in run(capsys, "explain", out, "0")[2]


def test_rows_that_went_missing_from_a_finished_run_are_noticed(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "RUN"
    assert run(capsys, "run", dump, "--out", out, "--quiet")[0] == 0
    (out / "kept.jsonl").write_text("")
    code, _, said = run(capsys, "report", out)
    damaged = "kept.jsonl: damaged, or changed since curate run wrote it; run it again, or name"
    assert code == 1 and damaged in said
    code, _, said = run(capsys, "run", out, "--out", tmp_path / "AGAIN")
    assert code == 1 and damaged in said and not (tmp_path / "AGAIN").exists()


def test_a_last_row_that_was_cut_is_noticed(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "RUN"
    assert run(capsys, "run", dump, "--out", out, "--quiet")[0] == 0
    kept = out / "kept.jsonl"
    kept.write_bytes(kept.read_bytes()[:-9])
    for words in (["report", out], ["preview", out, "--template", "chatml"]):
        code, _, said = run(capsys, *words)
        assert code == 1 and "kept.jsonl: damaged, or changed" in said and "run it again" in said


def test_a_report_that_cannot_be_drawn_does_not_cost_the_run(
    dump: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from curate import report

    def broken(of: object) -> str:
        raise ZeroDivisionError("division\nby zero")

    out = tmp_path / "RUN"
    with monkeypatch.context() as patched:
        patched.setattr(report, "html", broken)
        code, _, said = run(capsys, "run", dump, "--out", out, "--quiet")
    assert code == 1 and said == (
        f"curate: {out} holds the whole run, but report.html could not be made (ZeroDivisionError: "
        f"division by zero); make it again with: curate report {out}\n"
    )
    assert (out / "kept.jsonl").exists() and not (out / "report.html").exists()
    assert run(capsys, "report", out)[0] == 0 and (out / "report.html").exists()
    assert not list(out.glob(".*"))


def test_a_file_given_twice_is_read_twice_and_says_so(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = run(capsys, "run", dump, dump, "--out", tmp_path / "RUN")
    assert code == 0 and f"{dump} is named twice; its rows are read twice" in said
    copy = dump.with_name("copy.jsonl")
    copy.write_bytes(dump.read_bytes())
    said = run(capsys, "run", dump, copy, "--out", tmp_path / "RUN")[2]
    assert f"{dump}, {copy} hold the same bytes, read 2 times" in said


def test_lines_may_end_as_they_once_did(tmp_path: Path) -> None:
    dump = given(tmp_path, f"{GOOD}\r{GOOD}\r{{broken\r", "dump.jsonl")
    assert dump.records["line"].to_list() == [1, 2]
    assert dump.rejects.select("line", "raw").rows() == [(3, "{broken")]
    some = given(tmp_path, f"{GOOD}\r{GOOD}\n{GOOD}\r\n{GOOD}\n", "some.jsonl")
    assert some.records["line"].to_list() == [1, 2, 3, 4] and not some.rejects.height


def test_a_run_that_keeps_nothing_says_so_and_so_does_what_follows(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.yaml").write_text("steps: [{length: {min: 1000}}]")
    arguments = ("run", dump, "--recipe", tmp_path / "recipe.yaml", "--out", tmp_path / "RUN")
    code, _, said = run(capsys, *arguments)
    assert code == 0 and "no row was kept" in said
    code, _, said = run(capsys, "preview", tmp_path / "RUN", "--template", "chatml")
    assert code == 1 and "the run kept no rows" in said


def test_escape_sequences_in_field_names_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "dump.jsonl"
    path.write_text(json.dumps({**ROW, "\x1b[31mred": 1}))
    code, out, _ = run(capsys, "run", path, "--out", tmp_path / "RUN")
    assert code == 0 and "\x1b" not in out and "\\x1b[31mred" in out


def test_bytes_that_are_not_utf8_in_a_csv_file_are_rejects_not_text(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(b"question,answer\nWas ist s\xfc\xdf?,Zucker\nUnd sauer?,Zitrone\n")
    dump = read([str(path)])
    assert dump.records["line"].to_list() == [3]
    assert slugs(dump) == ["invalid_utf8"]
    assert dump.rejects["raw"].to_list() == ["Was ist s\\xfc\\xdf?,Zucker"]


@pytest.mark.parametrize("text", [b'a,"b"x\n1,2\n', b'"a\n1,2\n', b'"a"\xffb,c\n1,2\n'])
def test_a_csv_file_without_a_header_is_a_reject_with_all_its_text(
    tmp_path: Path, text: bytes
) -> None:
    (tmp_path / "dump.csv").write_bytes(text)
    (tmp_path / "good.jsonl").write_text(GOOD)
    dump = read([str(tmp_path / "dump.csv"), str(tmp_path / "good.jsonl")])
    assert (dump.height, slugs(dump)) == (1, ["invalid_csv"])
    assert dump.rejects["raw"].to_list() == [text.decode(errors="backslashreplace")]


def test_a_column_that_stands_twice_loses_no_words(tmp_path: Path) -> None:
    rows = "prompt,completion,prompt\nHow?,So.,Why?\nWhen?,Now.,\nWho?,Me.,Who?\n"
    dump = given(tmp_path, rows, "dump.csv")
    asked = [messages[0]["content"] for messages in dump.records["messages"].to_list()]
    assert asked == ["When?", "Who?"]
    assert dump.rejects["line"].to_list() == [2]
    assert "the column 'prompt' twice" in dump.rejects["reason"][0]
    assert dump.rejects["raw"][0] == "How?,So.,Why?"


def test_a_csv_file_with_semicolons_is_read_by_its_known_names_or_says_so(tmp_path: Path) -> None:
    dump = given(tmp_path, "question;answer\nHow, then?;So.\n", "dump.csv")
    assert dump.records["messages"][0][0]["content"] == "How, then?"
    dump = given(tmp_path, "frage;antwort\nHow, then?;So.\n", "dump.csv")
    assert "separated by semicolons" in dump.rejects["reason"][0]
