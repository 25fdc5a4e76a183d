from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import curate
from curate import sources
from curate.base.errors import CurateError
from curate.base.folder import sha256
from curate.base.messages import message_json
from curate.base.schema import KEPT_ROWS, MESSAGES
from curate.cli import main
from curate.pipeline import recipe, run_folder, run_writer
from curate.pipeline.kept_rows import DROPPED_ROWS, row_objects
from curate.pipeline.run_folder import RunFolder
from curate.pipeline.runner import run

ROWS = [
    {"instruction": "Say a.", "output": "Aah.", "score": 3, "extra": 1},
    {"instruction": "Say b.", "output": ""},
    {"instruction": "Say a.", "output": "Aah."},
    {"instruction": "No answer."},
]


def finished(folder: Path, rows: list[dict[str, Any]] = ROWS) -> RunFolder:
    dump = folder / "dump.jsonl"
    dump.write_text("\n".join(json.dumps(row) for row in rows))
    steps = folder / "recipe.yaml"
    steps.write_text("steps: [exact, quality]")
    return curate.run(dump, recipe=steps, out=folder / "RUN")


def test_a_run_holds_the_promised_files_and_fields(tmp_path: Path) -> None:
    done = finished(tmp_path)
    written = sorted(path.name for path in done.path.iterdir())
    assert set(run_folder.FILES) <= set(written) and written == sorted(done.manifest["files"])
    assert [list(record) for record in done.lines("kept.jsonl")] == [["id", "messages"]]
    about = ["step", "reason", "duplicate_of", "evidence"]
    dropped = list(done.lines("dropped.jsonl"))
    assert [list(record) for record in dropped] == [["id", "messages", *about]] * 2
    assert [(record["step"], record["duplicate_of"]) for record in dropped] == [
        ("quality", -1),
        ("exact", 0),
    ]
    assert done.kept.schema == KEPT_ROWS and done.dropped.schema == DROPPED_ROWS
    (reject,) = done.lines("rejects.jsonl")
    assert list(reject) == ["source", "line", "reason", "raw"]
    assert reject["line"] == 4


def test_counts_in_the_manifest_add_up(tmp_path: Path) -> None:
    counts = finished(tmp_path).manifest["counts"]
    assert counts == {"read": 4, "kept": 1, "dropped": 2, "rejects": 1, "edited": 0}


def test_every_record_is_found_again_by_its_row(tmp_path: Path) -> None:
    done = finished(tmp_path)
    assert [record["line"] for _, record in sorted(done.records(range(3)).items())] == [1, 2, 3]


def test_what_only_some_rows_have_is_in_the_objects_of_all_or_of_none(tmp_path: Path) -> None:
    plain = [{"instruction": "Say a.", "output": "Aah."}]
    (tmp_path / "plain").mkdir()
    (line,) = curate.open(finished(tmp_path / "plain", plain).path).to_dicts()
    assert "meta" not in line and "rejected" not in line
    pair = {"prompt": "Say b.", "chosen": "Bee.", "rejected": "Sea.", "margin": 2}
    lines = curate.open(finished(tmp_path, [*plain, pair]).path).to_dicts()
    assert lines[0]["meta"] is None and lines[0]["rejected"] is None
    assert json.loads(lines[1]["meta"]) == {"margin": 2}
    assert lines[1]["rejected"] == [{"role": "assistant", "content": "Sea."}]


def test_a_rejected_answer_and_other_fields_come_back_from_a_run(tmp_path: Path) -> None:
    pair = {"prompt": "Say b.", "chosen": "Bee.", "rejected": "Sea.", "documents": ["d"]}
    first = finished(tmp_path, [pair]).path
    again = sources.read([str(first)]).records
    assert again["rejected"].to_list()[0][0]["content"] == "Sea."
    assert json.loads(again["meta"][0])["documents"] == ["d"]
    assert json.loads(again["meta"][0])["line"] == 1


def test_kept_rows_read_back_to_the_same_ids(tmp_path: Path, test_data: Path) -> None:
    dump = sources.read([str(test_data / "raw" / "sharegpt_toolcall_en.json")])
    curate.run(test_data / "raw" / "sharegpt_toolcall_en.json", steps=[], out=tmp_path / "RUN")
    again = sources.read([str(tmp_path / "RUN" / "kept.jsonl")])
    assert again.records["id"].to_list() == dump.records["id"].to_list()
    assert again.records["messages"].equals(dump.records["messages"])
    assert again.records["tools"].equals(dump.records["tools"])


def test_two_runs_give_the_same_bytes_but_for_the_timings(tmp_path: Path) -> None:
    done = finished(tmp_path)
    first = {name: (done.path / name).read_bytes() for name in run_folder.FILES}
    again = finished(tmp_path)
    second = {name: (again.path / name).read_bytes() for name in run_folder.FILES}
    for name in set(run_folder.FILES) - {"manifest.json", "report.html"}:
        assert first[name] == second[name], name
    before, after = json.loads(first["manifest.json"]), json.loads(second["manifest.json"])
    assert before | {"seconds": 0} == after | {"seconds": 0}


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
plain = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": texts})
dressed = plain.flatmap(
    lambda message: st.fixed_dictionaries(
        {"reasoning": texts, "name": texts, "weight": st.sampled_from([0.0, 1.0])}
    ).map(lambda more: message | more)
)


@given(st.lists(st.lists(plain | dressed, min_size=1, max_size=3), min_size=1, max_size=4))
def test_any_messages_survive_being_written_as_json(turns: list[list[dict[str, Any]]]) -> None:
    series = pl.Series("messages", turns, dtype=MESSAGES)
    back = [json.loads(text) for text in message_json(series)]
    renamed = [
        [{("reasoning_content" if k == "reasoning" else k): v for k, v in m.items()} for m in turn]
        for turn in turns
    ]
    assert back == renamed


said = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda text: bool(text.strip())
)
calls = st.fixed_dictionaries(
    {"name": st.just("look"), "arguments": st.dictionaries(said, said | st.integers(-9, 9))}
)
answers = st.one_of(
    st.fixed_dictionaries({"role": st.just("assistant"), "content": said}),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": said, "reasoning_content": said}
    ),
    calls.map(
        lambda call: {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": call}],
        }
    ),
)
asked = st.fixed_dictionaries({"role": st.just("user"), "content": said})
conversations = st.lists(st.tuples(asked, answers), min_size=1, max_size=3).map(
    lambda pairs: {"messages": [message for pair in pairs for message in pair]}
)


@settings(max_examples=30)
@given(rows=st.lists(conversations, min_size=1, max_size=6), least=st.integers(0, 3))
def test_any_records_come_back_from_the_files_of_a_run_as_they_were(
    rows: list[dict[str, Any]], least: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder) / "dump.jsonl"
        dump.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        steps = Path(folder) / "recipe.yaml"
        steps.write_text(f"steps: [{{length: {{action: limit, min: {least}}}}}]")
        read, loaded = sources.read([str(dump)]), recipe.load(str(steps))
        result = run(read.records, loaded.steps)
        out = Path(folder) / "RUN"
        out.mkdir()
        run_writer.write(out, read, result, loaded)
        names = [out / name for name in ("kept.jsonl", "dropped.jsonl")]
        back = sources.read([str(name) for name in names if name.stat().st_size])
        before = pl.concat(
            [read.records.filter(result.kept), read.records.filter(~result.kept)]
        ).drop("row", "source", "line", "meta")
        assert not back.rejects.height
        assert back.records.drop("row", "source", "line", "meta").equals(before)


def test_a_step_may_be_called_like_a_column(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def score(record):\n    return True\n")
    dump = tmp_path / "dump.jsonl"
    dump.write_text("\n".join(json.dumps(row) for row in ROWS))
    steps = tmp_path / "recipe.yaml"
    steps.write_text("steps: ['mine.py:score', length]")
    curate.run(dump, recipe=steps, out=tmp_path / "RUN")
    assert RunFolder.open(tmp_path / "RUN").kept["scores"][0].to_list() == [
        {"step": "length", "score": 1.0}
    ]


def earlier(folder: Path) -> RunFolder:
    """A run as earlier versions wrote it: scores are in the lines and the ledger alone."""
    rows = [
        {"prompt": f"Name {n % 4}.", "completion": "Well " * n, "score": n} for n in range(1, 9)
    ]
    (folder / "dump.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    steps = ["exact", {"length": {"action": "limit", "min": 3}}]
    done = curate.run(folder / "dump.jsonl", steps=steps, out=folder / "RUN")
    about = json.loads((done.path / "manifest.json").read_text())
    for kind in ("kept", "dropped"):
        table, lines = done.path / f"{kind}.parquet", done.path / f"{kind}.jsonl"
        rows = list(row_objects(getattr(done, kind)))
        lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
        pl.read_parquet(table).drop("scores").write_parquet(table)
        about["sha256"] |= {path.name: sha256(path) for path in (table, lines)}
    (done.path / "manifest.json").write_text(json.dumps(about))
    return RunFolder(done.path)


def test_a_run_of_an_earlier_version_has_the_scores_of_its_ledger(tmp_path: Path) -> None:
    done = earlier(tmp_path)
    assert done.kept.schema == KEPT_ROWS and done.dropped.schema == DROPPED_ROWS
    assert [done.records([row])[row]["scores"] for row in (0, 5)] == [{"length": 1}, {"length": 6}]


def test_pairs_of_a_run_of_an_earlier_version_find_its_scores(tmp_path: Path) -> None:
    words = ["pairs", str(earlier(tmp_path).path), "--from", "scores", "--by", "scores.length"]
    assert main([*words, "--out", str(tmp_path / "PAIRS"), "--quiet"]) == 0
    assert pl.read_parquet(tmp_path / "PAIRS" / "pairs.parquet").height == 4


def test_rows_of_a_run_of_an_earlier_version_keep_their_scores_in_another(tmp_path: Path) -> None:
    again = curate.run(earlier(tmp_path).path, steps=["exact"])
    scores = [json.loads(row)["scores"] for row in again.kept["meta"]]
    assert scores == [{"length": float(n)} for n in range(3, 9)]


@pytest.mark.parametrize("name", ["kept.jsonl", "kept.parquet"])
def test_rows_that_were_changed_by_hand_are_read_by_nobody_who_would_not_see_it(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = finished(tmp_path)
    run, dump, out = str(done.path), str(tmp_path / "dump.jsonl"), str(tmp_path / "out")
    changed = done.path / name
    changed.write_bytes(changed.read_bytes() + b" ")
    match = tmp_path / "match.yaml"
    match.write_text(f"steps: [{{length: {{action: match, reference: '{run}'}}}}]")
    against = tmp_path / "against.yaml"
    against.write_text(f"steps: [{{decontaminate: {{against: ['{run}']}}}}]")
    for words in (
        ["run", run, "--recipe", str(match)],
        ["run", dump, "--recipe", str(match)],
        ["run", dump, "--recipe", str(against)],
        ["pairs", run, "--from", "rejected"],
    ):
        assert main([*words, "--out", out, "--quiet"]) == 1
        message = capsys.readouterr().err
        assert f"{changed}: damaged, or changed since curate run wrote it" in message
    if name == "kept.parquet":
        with pytest.raises(CurateError, match="changed since"):
            len(RunFolder(done.path).kept)


def test_of_runs_in_a_folder_only_what_they_kept_is_read(tmp_path: Path) -> None:
    finished(tmp_path)
    again = curate.run(tmp_path, steps=[])
    names = [Path(source["source"]).name for source in again.manifest["sources"]]
    assert names == ["kept.parquet", "dump.jsonl", "recipe.yaml"]
    assert any("of folders that curate wrote only these are read" in line for line in again.notices)


def test_a_run_without_its_manifest_is_no_folder_of_dumps(tmp_path: Path) -> None:
    done = finished(tmp_path)
    (done.path / "manifest.json").write_text("{")
    for folder in (done.path, tmp_path):
        with pytest.raises(CurateError, match=r"RUN: a run whose manifest\.json is missing or dam"):
            curate.run(folder, steps=[])
    assert curate.run(done.path / "kept.parquet", steps=[]).kept.height == 1
