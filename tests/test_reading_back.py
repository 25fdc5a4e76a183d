"""Explain and report read of a run what they show, and notice what somebody changed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import polars as pl
import pytest

import curate
from curate.base import folder as folders
from curate.base.errors import CurateError
from curate.pipeline.run_folder import RunFolder
from curate.report.explain import explain, raw_rows
from curate.report.run_files import tables
from tests.reports import SMALL, STEPS, make, row

# All but the narrow table of lengths, which a report holds.
FRAMES = {"kept", "dropped", "ledger", "rejects", "last_verdicts"}


def hashed_anew(run: RunFolder) -> RunFolder:
    """The run, with a manifest that knows its files as they are now."""
    about = json.loads((run.path / "manifest.json").read_text("utf-8"))
    about["sha256"] = {name: folders.sha256(run.path / name) for name in about["sha256"]}
    (run.path / "manifest.json").write_text(json.dumps(about))
    return RunFolder(run.path)


def test_nothing_that_is_shown_of_a_run_loads_a_whole_table(tmp_path: Path) -> None:
    make(tmp_path, SMALL, *STEPS)
    run = curate.open(tmp_path / "RUN")
    for query in ({"key": "1"}, {"key": "dump.jsonl"}, {"grep": "water"}, {"reason": "bad_word"}):
        run.explain(**query)
    run.explain(step="read")
    run.explain(run.records([0])[0]["id"])
    run.report()
    run.summary()
    run.diff(run).text()
    assert not FRAMES & set(vars(run))
    assert run.kept.height == 2 and FRAMES & set(vars(run)) == {"kept"}


def test_damage_elsewhere_in_a_table_does_not_matter_to_a_row(tmp_path: Path) -> None:
    run = make(tmp_path, [row(f"Say {n * n}.", "Aah " * (n % 90)) for n in range(1, 6_001)])
    table = run.path / "kept.parquet"
    whole = table.read_bytes()
    at = len(whole) * 9 // 10
    table.write_bytes(whole[:at] + bytes(len(whole) // 20) + whole[at + len(whole) // 20 :])
    run = hashed_anew(run)
    assert "Say 36." in explain(run, "5") and "Say 36." in explain(run, "dump.jsonl:6")
    assert list(run.records([5])) == [5]
    with pytest.raises(CurateError, match=r"kept\.parquet: damaged"):
        explain(run, "5700")


def test_a_table_at_which_polars_panics_is_damage_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def panic(*_: object, **__: object) -> pl.DataFrame:
        raise pl.exceptions.PanicException("range end index 9 out of range")

    run = make(tmp_path, SMALL, *STEPS)
    monkeypatch.setattr(pl.LazyFrame, "collect", panic)
    with pytest.raises(CurateError, match=r"parquet: damaged \(range end index 9"):
        explain(run, "1")
    monkeypatch.setattr(pl, "read_parquet_schema", panic)
    with pytest.raises(CurateError, match=r"kept\.parquet: damaged \(range end index 9"):
        run.row_files("kept")


def test_the_rejects_do_not_matter_to_a_row(tmp_path: Path) -> None:
    run = make(tmp_path, SMALL, *STEPS)
    (run.path / "rejects.jsonl").write_text("no JSON\n")
    run = hashed_anew(run)
    assert "Water in a garden" in explain(run, "1")
    for query in ({"step": "read"}, {"key": "dump.jsonl"}, {"grep": "water"}):
        with pytest.raises(CurateError, match=r"rejects\.jsonl: damaged"):
            explain(run, **query)


def test_tables_of_earlier_versions_are_searched_without_statistics(tmp_path: Path) -> None:
    run = make(tmp_path, SMALL, *STEPS)
    pages = [explain(run, "1"), explain(run, reason="bad_word"), explain(run, grep="water")]
    for name in ("kept", "dropped", "ledger", "lengths"):
        table = pl.read_parquet(run.path / f"{name}.parquet")
        table.write_parquet(run.path / f"{name}.parquet", statistics=False)
    run = hashed_anew(run)
    again = [explain(run, "1"), explain(run, reason="bad_word"), explain(run, grep="water")]
    assert again == pages


@pytest.mark.parametrize(
    "name", ["kept.jsonl", "kept.parquet", "dropped.jsonl", "rejects.jsonl", "ledger.parquet"]
)
def test_a_report_hashes_a_file_that_was_touched_and_no_other(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, SMALL, *STEPS)
    run = curate.open(tmp_path / "RUN")
    hashed: list[str] = []
    hash_of = folders.sha256

    def spy(path: Path) -> str:
        hashed.append(path.name)
        return hash_of(path)

    monkeypatch.setattr(folders, "sha256", spy)
    run.report()
    explain(run, "0")
    assert hashed == []
    (run.path / name).write_bytes((run.path / name).read_bytes())
    run.report()
    assert hashed == [name]
    (run.path / name).write_bytes((run.path / name).read_bytes() + b"\n")
    with pytest.raises(CurateError, match=rf"{name}: damaged, or changed since curate run wrote"):
        run.report()


def test_a_run_whose_recipe_is_damaged_is_not_judged_anew(tmp_path: Path) -> None:
    (tmp_path / "dump.jsonl").write_text("\n".join(SMALL))
    run = curate.run(tmp_path / "dump.jsonl", recipe="longest", out=tmp_path / "RUN")
    about = json.loads((run.path / "manifest.json").read_text("utf-8"))
    about["recipe"] = {"name": 5}
    (run.path / "manifest.json").write_text(json.dumps(about))
    with pytest.raises(CurateError, match="a file is not as curate run wrote it"):
        curate.open(run.path).with_settings({"exact.field": "prompt"})


def test_a_report_reads_no_table_outside_of_the_run(tmp_path: Path) -> None:
    run = make(tmp_path, SMALL, *STEPS)
    columns = {"cluster": pl.Int64, "row": pl.Int64}
    pl.DataFrame({"cluster": [1], "row": [1]}, columns).write_parquet(tmp_path / "a.x.parquet")
    (run.path / "b.x.parquet").symlink_to(tmp_path / "a.x.parquet")
    about = json.loads((run.path / "manifest.json").read_text("utf-8"))
    about["files"] += ["../a.x.parquet", "b.x.parquet", 5]
    (run.path / "manifest.json").write_text(json.dumps(about))
    assert list(tables(RunFolder(run.path), "x", {"row"})) == []


def test_no_verdict_is_shown_of_a_ledger_that_somebody_changed(tmp_path: Path) -> None:
    make(tmp_path, SMALL, *STEPS)
    run = curate.open(tmp_path / "RUN")
    time.sleep(0.05)  # two writes in one tick of the clock look like one
    run.ledger.with_columns(verdict=pl.lit("keep")).write_parquet(run.path / "ledger.parquet")
    for show in (lambda: explain(run, "1"), lambda: run.diff(run).text()):
        with pytest.raises(CurateError, match=r"ledger\.parquet: damaged, or changed since"):
            show()


def test_rows_are_never_read_from_a_file_that_does_not_have_its_hash(tmp_path: Path) -> None:
    run = make(tmp_path, SMALL, *STEPS)
    run.kept.clear().write_parquet(run.path / "kept.parquet")
    (run.path / "manifest.json").touch()  # now the table is the older of the two
    for read in (lambda: RunFolder(run.path).kept, lambda: RunFolder(run.path).row_files("kept")):
        with pytest.raises(CurateError, match=r"kept\.parquet: damaged, or changed since"):
            read()


def test_a_row_on_a_line_of_a_large_file_is_found_without_reading_it_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [row(f"Say {n}.", "Aah.") for n in range(4)]
    run = make(tmp_path, [lines[0], "", *lines[1:3], '{"half": ', lines[3]])
    shown = [explain(run, str(number), width=None) for number in range(4)]
    monkeypatch.setattr(raw_rows, "LARGEST", 10)
    assert [explain(run, str(number), width=None) for number in range(4)] == shown
    assert all(f'"Say {number}."' in page for number, page in enumerate(shown))
    dump = tmp_path / "dump.jsonl"
    dump.write_bytes(dump.read_bytes().replace(b"Say 2.", b"Say X."))
    assert "as the file is now (it has changed since): " in explain(run, "2", width=None)
    dump.write_text("\n".join(lines[:2]))
    assert "not shown, as all 0 MB would be read for it" in explain(run, "2", width=None)


@pytest.mark.parametrize(
    "text",
    [
        f"[\n{row('Say a.', 'Aah.')},\n{row('Say b.', 'Bee.')}\n]\n",
        f"{row('Say a.', 'Aah.')}\r{row('Say b.', 'Bee.')}\n{row('Say c.', 'See.')}\n",
        f'{{"data": [\n{row("Say a.", "Aah.")},\n{row("Say b.", "Bee.")}\n]}}\n',
    ],
)
def test_a_row_of_a_large_file_without_a_row_a_line_is_not_guessed(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path, [text])
    assert '"Say b."' in explain(run, "1", width=None)
    monkeypatch.setattr(raw_rows, "LARGEST", 10)
    assert "not shown, as all 0 MB would be read for it" in explain(run, "1", width=None)
