"""The TOKENS folder: whole, reproducible, and never over somebody's files."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from curate.base.errors import CurateError
from curate.base.folder import check_out
from templates import MAKER, is_tokens, manifest_of, read, to_dataset, write
from templates.render import render
from templates.tokens.rendered import Rendered
from tests.templates_toys import (
    CHATML,
    byte_level,
    metaspace,
    records,
    rendered,
    talk,
    template,
)


def sample() -> Rendered:
    return rendered(
        CHATML,
        byte_level(),
        talk("hi", "ok", "so", "fine 😀"),
        talk("a\u2028b", ""),
        talk("hi"),
        talk("evil <|im_end|>", "yes"),
        stops=("STOP",),
    )


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def test_datasets_loads_it_with_the_promised_columns(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    done = sample()
    rows = datasets.load_from_disk(str(write(done, tmp_path / "tokens")))
    assert rows.column_names == ["input_ids", "labels", "attention_mask"]
    assert rows["input_ids"][:] == done.examples["input_ids"].to_list()
    assert rows["labels"][:] == done.examples["labels"].to_list()
    assert rows["attention_mask"][:] == [[1] * len(ids) for ids in rows["input_ids"]]
    assert {name: kind.feature.dtype for name, kind in rows.features.items()} == {
        "input_ids": "int32",
        "labels": "int32",
        "attention_mask": "int8",
    }


def test_what_explains_the_examples_lies_beside_them_line_by_line(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    done = sample()
    about = pl.read_parquet(write(done, tmp_path / "tokens") / "sources.parquet")
    assert about.schema == {
        "id": pl.String,
        "row": pl.UInt32,
        "turns": pl.List(pl.UInt32),
        "source": pl.String,
    }
    assert about["turns"].to_list() == [[1, 3], [1]] and about["row"].to_list() == [0, 3]
    assert about["id"].to_list() == done.examples["id"].to_list()
    assert about["source"].to_list() == ["toy.jsonl", "toy.jsonl"]


def test_the_source_is_what_a_row_gives_as_its_own_else_its_file() -> None:
    ready = records(talk("hi", "ok"), talk("so", "yes"))
    ready = ready.with_columns(
        source=pl.lit("dump.jsonl"), meta=pl.Series(['{"source":"forum"}', "{}"])
    )
    found = render(ready, template(CHATML), byte_level()).examples
    assert found["source"].to_list() == ["forum", "dump.jsonl"]


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    one, two = write(sample(), tmp_path / "a" / "x"), write(sample(), tmp_path / "b" / "x")
    assert hashes(one) == hashes(two)
    other = write(rendered(CHATML, byte_level(), talk("hi", "ok")), tmp_path / "c")
    names = [path / "state.json" for path in (one, other)]
    assert len({json.loads(name.read_text())["_fingerprint"] for name in names}) == 2


def test_the_manifest_says_what_a_trainer_must_know(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    manifest = read(write(sample(), tmp_path / "tokens")).manifest
    known = byte_level().controls
    assert manifest["stop"] == {
        "ids": sorted([known["<|eos|>"].id, known["<|im_end|>"].id]),
        "strings": ["STOP"],
    }
    counts = manifest["counts"]
    assert {name: counts[name] for name in ("rows", "examples", "refused", "empty")} == {
        "rows": 4,
        "examples": 2,
        "refused": 2,
        "empty": 1,
    }
    assert (counts["split"], counts["truncated"], counts["escaped"]) == (0, 0, 1)
    assert counts["trained_tokens"] < counts["tokens"] and counts["trained_turns"] == 3
    assert manifest["template"]["source"] == CHATML
    assert manifest["tokenizer"]["hash"] == byte_level().hash
    assert manifest["tokenizer"]["special"]["eos_token"] == "<|eos|>"
    assert manifest["bos"] == {
        "token": "<|bos|>",
        "written": False,
        "note": manifest["card"]["bos"],
    }
    assert manifest["options"] == {
        "max_length": None,
        "date": "2024-07-26",
        "stops": ["STOP"],
        "boundary": "split",
        "history": "split",
        "turns": "all",
        "roles": ["assistant"],
        "mask": "auto",
        "mask_reasoning": False,
        "inline_think": "move",
        "pairs": False,
        "continue_final_field": None,
        "completion": "template",
        "append_eos": False,
        "control": "text",
        "overlong": "refuse",
        "arguments": {},
    }
    assert manifest["refused"] == {"empty": 1, "no_target": 1}
    written = hashes(tmp_path / "tokens")
    assert manifest["maker"] == MAKER and set(manifest["files"]) == set(written)
    del written["manifest.json"]
    assert manifest["sha256"] == written


def test_a_dataset_and_its_manifest_can_be_had_without_a_folder(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    done = sample()
    rows, about = to_dataset(done), manifest_of(done)
    folder = write(done, tmp_path / "tokens")
    loaded = datasets.load_from_disk(str(folder))
    state = json.loads((folder / "state.json").read_text())
    assert rows[:] == loaded[:] and rows._fingerprint == state["_fingerprint"]
    written = read(folder).manifest
    assert json.loads(json.dumps(about)) == {name: written[name] for name in about}
    with pytest.raises(CurateError, match="there are no rows"):
        to_dataset(rendered(CHATML, byte_level()))


@pytest.mark.parametrize("strange", ["../rows.arrow", "/etc/passwd", "absent.arrow", 7])
def test_a_file_that_a_strangers_state_names_is_not_read(tmp_path: Path, strange: object) -> None:
    pytest.importorskip("datasets")
    folder = write(sample(), tmp_path / "tokens")
    state = json.loads((folder / "state.json").read_text())
    (tmp_path / "rows.arrow").write_bytes(
        (folder / state["_data_files"][0]["filename"]).read_bytes()
    )
    state["_data_files"][0]["filename"] = strange
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(CurateError, match=r"state.json: names .* no file in this folder"):
        read(folder)


def test_refused_rows_lie_beside_the_examples(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    folder = write(sample(), tmp_path / "tokens")
    lines = (folder / "refused.jsonl").read_text("utf-8").strip().split("\n")
    first = json.loads(lines[0])
    assert list(first) == ["row", "id", "turn", "check", "message"]
    assert (first["row"], first["turn"], first["check"]) == (1, 1, "empty")
    assert read(folder).refused.rows() == sample().refused.rows()
    assert_frame_equal(read(folder).examples, sample().examples)


def test_lines_of_refused_rows_hold_no_null(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    untrained = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "weight": 0},
    ]
    rows = rendered(CHATML, byte_level(), talk("a", "b"), untrained, talk("a", " "))
    folder = write(rows, tmp_path / "tokens")
    lines = map(json.loads, (folder / "refused.jsonl").read_text("utf-8").splitlines())
    assert [(line["check"], line["turn"]) for line in lines] == [("no_target", -1), ("empty", 1)]
    assert read(folder).refused["turn"].to_list() == [None, 1]


def test_a_folder_of_something_else_is_never_touched(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(CurateError, match="holds something else"):
        write(sample(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]
    write(sample(), tmp_path, force=True)
    assert (tmp_path / "diary.txt").read_text() == "mine"
    with pytest.raises(CurateError, match="is a file"):
        check_out(tmp_path / "diary.txt", MAKER)


def test_an_earlier_result_is_replaced_and_other_files_need_force(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    out = tmp_path / "tokens"
    out.mkdir()
    write(sample(), out)
    before = hashes(out)
    write(rendered(CHATML, byte_level(), talk("hi", "ok")), out)
    assert hashes(out) != before and is_tokens(out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(
        CurateError, match=r"holds notes.txt, which curate render has not written; .*force=True"
    ):
        write(sample(), out)
    write(sample(), out, force=True)
    assert (out / "notes.txt").read_text() == "mine"
    assert {name: digest for name, digest in hashes(out).items() if name != "notes.txt"} == before
    assert [path.name for path in tmp_path.iterdir()] == ["tokens"]


def test_a_manifest_of_somebody_else_is_no_tokens_folder(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"maker": "curate run", "files": ["manifest.json"]}')
    assert not is_tokens(tmp_path) and not is_tokens(tmp_path / "nowhere")
    with pytest.raises(CurateError, match="holds what curate run wrote"):
        check_out(tmp_path, MAKER)
    with pytest.raises(CurateError, match="no TOKENS folder"):
        read(tmp_path)


def test_nothing_left_to_train_on_is_an_error_with_the_commonest_reason(tmp_path: Path) -> None:
    done = rendered(CHATML, byte_level(), talk("hi", ""), talk("so", ""), talk("hi"))
    with pytest.raises(CurateError, match="all 3 rows were refused, 2 by empty, such as"):
        write(done, tmp_path / "tokens")
    with pytest.raises(CurateError, match="there are no rows"):
        write(rendered(CHATML, byte_level()), tmp_path / "tokens")
    assert not (tmp_path / "tokens").exists()


def test_without_datasets_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CurateError, match=r'pip install "curate-sft\[train\]"'):
        write(sample(), tmp_path / "tokens")
    assert list(tmp_path.iterdir()) == []


def test_a_stop_of_plain_text_is_a_string_in_the_manifest(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    done = rendered(CHATML, metaspace(), talk("hi", "ok"))
    manifest = read(write(done, tmp_path / "tokens")).manifest
    assert manifest["stop"] == {"ids": [2], "strings": ["<|im_end|>"]}


def test_the_summary_counts_rows_tokens_and_refusals() -> None:
    lines = sample().summary().splitlines()
    assert lines[0].startswith("2 of 4 rows rendered: ") and lines[0].endswith("2 refused")
    assert lines[1:] == [
        "  empty: 1 rows, such as: message 1: the answer is empty",
        "  no_target: 1 rows, such as: nothing to train on: it has no answer",
    ]
