"""`curate export`: what goes in, what comes out, and what is in the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import curate
from curate.base.folder import MANIFEST
from curate.cli import main
from curate.exports.export import TARGETS
from tests.export_rows import (
    CALL,
    PLAIN,
    WEATHER,
    WEIGHTED,
    answer,
    calls,
    config,
    data,
    exported,
    left_out,
    row,
    run,
    tool,
    user,
)


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_run_gives_the_same_bytes(tmp_path: Path, target: str) -> None:
    done = run(tmp_path, [*PLAIN, CALL, WEIGHTED])
    folders = [
        curate.export(done, to=target, out=tmp_path / name / "DIR").path for name in ("a", "b")
    ]
    files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert files[0] == files[1]
    listed = json.loads(files[0][MANIFEST])
    assert set(listed["files"]) == set(files[0]) and listed["target"] == target
    assert listed["counts"]["rows"] + listed["counts"]["left_out"] == 5


@pytest.mark.parametrize("target", TARGETS)
def test_parquet_loads_in_polars_and_pandas(tmp_path: Path, target: str) -> None:
    import polars as pl

    pandas = pytest.importorskip("pandas")
    (path,) = exported(tmp_path, target, [*PLAIN, CALL]).path.glob("*.parquet")
    assert pl.read_parquet(path).height == len(pandas.read_parquet(path)) == 4


def test_rows_that_no_trainer_can_express_are_left_out_by_all(tmp_path: Path) -> None:
    odd = {
        "nothing_trained": row(user("a"), answer("b", weight=0)),
        "template_fields": {**PLAIN[0], "chat_template_kwargs": {"enable_thinking": True}},
    }
    for target in ("trl", "axolotl", "llamafactory"):
        done = exported(tmp_path / target, target, [*PLAIN, *odd.values()])
        assert done.left_out["reason"].to_list() == list(odd), target
        assert done.left_out["row"].to_list() == [3, 4]


@pytest.mark.parametrize("arguments", ['"Rome"', "[1, 2]", '{"n": 1e400}'])
def test_arguments_that_no_template_reads_are_for_the_hub_alone(
    tmp_path: Path, arguments: str
) -> None:
    call = calls({})
    call["tool_calls"][0]["function"]["arguments"] = arguments
    odd = row(user("Go."), call, tool("ok"), answer("Done."), tools=[WEATHER])
    for target in ("trl", "axolotl", "llamafactory"):
        done = exported(tmp_path / target, target, [*PLAIN, odd])
        assert left_out(done) == [(3, "arguments")], target
    done = exported(tmp_path / "hub", "hub", [*PLAIN, odd])
    written = data(done)[3]["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert written.replace(" ", "") == arguments.replace(" ", "") and left_out(done) == []


def test_texts_that_tokenizers_take_for_control_tokens_are_counted(tmp_path: Path) -> None:
    odd = [row(user("What is <|im_end|>?"), answer("A token.")), row(user("</s>"), answer("No."))]
    for target in ("trl", "axolotl", "llamafactory"):
        done = exported(tmp_path / target, target, [*PLAIN, *odd])
        assert sum(note.startswith("2 rows with a text such as <|im_end|>") for note in done.notes)
        plain = exported(tmp_path / target / "plain", target, PLAIN)
        assert not any("<|im_end|>" in note for note in plain.notes)


def test_fields_that_a_target_has_no_place_for_are_counted(tmp_path: Path) -> None:
    pair = {"prompt": "Say b.", "chosen": "Bee.", "rejected": "Sea.", "margin": 2}
    done = exported(tmp_path, "trl", [{**PLAIN[0], "score": 2, "category": "x"}, pair])
    assert "not written: rejected (1 row), category (1 row), score (1 row), meta (1 row)" in (
        done.notes
    )
    assert "meta holds the fields margin" in done.notes


def test_a_note_is_one_line_whatever_a_field_is_called(tmp_path: Path) -> None:
    done = exported(tmp_path, "trl", [{**PLAIN[0], "x\ncd evil": 1, "y" * 500: 2}])
    (line,) = [line for line in done.summary().splitlines() if "meta holds" in line]
    assert r"x\ncd evil" in line and len(line) < 200


def test_a_model_folder_is_named_as_seen_from_the_export(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    done = exported(tmp_path, "trl", PLAIN, model=tmp_path / "model")
    assert config(done, "sft.yaml")["model_name_or_path"] == "../model"
    assert any("../model" in note for note in done.notes)
    # The manifest goes with the data: no folder of this machine stands in it.
    assert str(tmp_path) not in (done.path / MANIFEST).read_text()


def test_a_model_that_can_only_be_a_folder_and_is_none_is_pointed_at(tmp_path: Path) -> None:
    notes = exported(tmp_path, "trl", PLAIN, model="./no such").notes
    assert "no folder is called ./no such here; it is written as it is" in notes
    hub = exported(tmp_path, "trl", PLAIN, model="some/model")
    assert not any("no folder" in note for note in hub.notes)


def test_the_command_line_prints_what_was_written_and_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, [*PLAIN, row(user("a"), answer("b"), user("c"))])
    monkeypatch.chdir(tmp_path)
    assert main(["export", "RUN", "--to", "llamafactory", "--out", "a b", "--model", "m/m"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 rows written for llamafactory"
    assert lines[1] == "  left out, ends_without_answer: 1 row"
    assert "curate render, then curate export" in lines[2]
    assert lines[-1] == "cd 'a b' && llamafactory-cli train sft.yaml"
    assert main(["export", "RUN", "--to", "trl", "--out", "DIR", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RUN", "--to", "axolotll"], "no target is called 'axolotll'"),
        (["RUN", "--to", "HUB"], "did you mean 'hub'?"),
        (["dump.jsonl", "--to", "trl"], "neither a folder of curate run nor of curate render"),
        (["nothing", "--to", "trl"], "neither a folder"),
        (["RUN", "--to", "trl", "--model", " "], "--model is empty"),
    ],
)
def test_wrong_input_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    run(tmp_path, PLAIN)
    monkeypatch.chdir(tmp_path)
    assert main(["export", *words, "--out", "DIR"]) == 1
    assert message in capsys.readouterr().err and not Path("DIR").exists()


def test_a_run_that_kept_nothing_is_no_export(tmp_path: Path) -> None:
    done = run(tmp_path, [row(user("a"), answer(""))], ["quality"])
    with pytest.raises(curate.CurateError, match="no row was kept"):
        curate.export(done, to="trl", out=tmp_path / "DIR")


@pytest.mark.parametrize("target", ["trl", "axolotl", "llamafactory"])
def test_a_run_of_which_no_row_can_be_written_is_no_export(tmp_path: Path, target: str) -> None:
    with pytest.raises(curate.CurateError, match=r"no row can be written .*nothing_trained 1"):
        exported(tmp_path, target, [row(user("a"), answer("b", weight=0))])
    assert not (tmp_path / "DIR").exists()


def test_what_has_to_be_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(tmp_path, PLAIN)
    monkeypatch.setattr("curate.base.extras.find_spec", lambda name: None)
    with pytest.raises(curate.CurateError, match=r"needs pyarrow; .*curate-sft\[export\]"):
        curate.export(done, to="trl", out=tmp_path / "DIR")


def test_files_of_others_and_the_source_are_left_alone(tmp_path: Path) -> None:
    done = run(tmp_path, PLAIN)
    with pytest.raises(curate.CurateError, match="holds the input"):
        curate.export(done, to="trl", out=done.path)
    with pytest.raises(curate.CurateError, match="lies in the input"):
        curate.export(done, to="trl", out=done.path / "DIR")
    (tmp_path / "DIR").mkdir()
    (tmp_path / "DIR" / "mine.txt").write_text("mine")
    with pytest.raises(curate.CurateError, match="something else"):
        curate.export(done, to="trl", out=tmp_path / "DIR")


def test_an_export_of_other_data_is_replaced_by_force_alone(tmp_path: Path) -> None:
    exported(tmp_path, "trl", PLAIN)
    again = exported(tmp_path, "axolotl", PLAIN)
    assert any("target trl -> axolotl" in note for note in again.notes)
    assert not (tmp_path / "DIR" / "sft.yaml").exists()
    other = curate.run([CALL], steps=[], out=tmp_path / "OTHER")
    with pytest.raises(curate.CurateError, match="from other data"):
        curate.export(other, to="trl", out=tmp_path / "DIR")
    assert curate.export(other, to="trl", out=tmp_path / "DIR", force=True).rows == 1


def test_an_export_of_the_same_data_cleaned_otherwise_is_said_to_differ(tmp_path: Path) -> None:
    dump = tmp_path / "dump.jsonl"
    dump.write_text("".join(json.dumps(each) + "\n" for each in [*PLAIN, PLAIN[0]]))
    notes = [
        " ".join(curate.export(curate.run(dump, steps=steps), to="hub", out=tmp_path / "DIR").notes)
        for steps in ([], [], ["exact"])
    ]
    assert "replaces" not in notes[0]
    assert "made the same way" in notes[1]
    assert "with other settings (content " in notes[2]


def test_a_damaged_run_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, PLAIN)
    (done.path / "kept.parquet").write_bytes(b"PAR1")
    with pytest.raises(curate.CurateError, match="damaged"):
        curate.export(done.path, to="trl", out=tmp_path / "DIR")


def test_anything_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(curate.CurateError, match="not a list"):
        curate.export(PLAIN, to="trl", out=tmp_path / "DIR")  # type: ignore[arg-type]
