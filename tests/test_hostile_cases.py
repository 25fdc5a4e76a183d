"""Dump files that broke something once, or might: rows, rejects or one sentence, none missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.cli import main

# Files of the folder of cases: how many rows are read, and how many of them are rejects. None is
# a file of which nothing can be read at all.
READ: dict[str, tuple[int, int] | None] = {
    "arrow.arrow": None,
    "badbin.yaml": (1, 0),
    "billion.yaml": None,
    "bommid.jsonl": (3, 0),
    "c1_oasst_unhashable.jsonl": (2, 1),
    "c1b_oasst_parent.jsonl": (2, 1),
    "c3_instr.jsonl": (3, 1),
    "c4_harmony.jsonl": (2, 1),
    "c5_intkey.yaml": (1, 0),
    "c5_pref.jsonl": (2, 0),
    "c7_pandalm_input.jsonl": (2, 1),
    "c8_anthropic.jsonl": (2, 1),
    "c8c.jsonl": (2, 0),
    "c8d.jsonl": (2, 1),
    "cesu.jsonl": None,
    "cr.csv": (2, 0),
    "deep.yaml": None,
    "deep1010_doc.json": None,
    "deeponly.json": None,
    "duphdr.csv": (1, 0),
    "emptyhdr.csv": None,
    "flttag.yaml": None,
    "good.jsonl": (50, 0),
    "hugeint.jsonl": (2, 0),
    "hugeint_arr.json": (2, 0),
    "hugeint_doc.json": (1, 0),
    "keylist.yaml": None,
    "lone.jsonl": (3, 2),
    "multi10_lastbad.jsonl.gz": (28, 1),
    "nan.jsonl": (3, 0),
    "nothing.jsonl": None,
    "nul.csv": (2, 0),
    "nul.yaml": None,
    "num.jsonl": None,
    "pq.parquet": None,
    "pqtrunc.parquet": None,
    "pytag2.yaml": None,
    "quote.csv": None,
    "sex.yaml": (1, 0),
    "stream.arrow": None,
    "u16odd.jsonl": (2, 1),
    "ws.jsonl": None,
}


@pytest.fixture
def cases(test_data: Path) -> Path:
    """The folder of cases, which lies beside the test data."""
    folder = test_data.parent / "cases" / "hostile"
    if not folder.is_dir():
        pytest.skip("needs the cases beside the test data; see tests/DATA.md")
    return folder


def run(dump: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    # Steps that keep all rows: what is asked is what is read.
    (out.parent / "recipe.yaml").write_text("steps: [exact]")
    words = ["--recipe", str(out.parent / "recipe.yaml"), "--out", str(out)]
    code = main(["run", str(dump), *words])
    return code, capsys.readouterr().err


def counts(out: Path) -> tuple[int, int]:
    """Rows read and rejects of a run, all of whose rows are accounted for."""
    counted = json.loads((out / "manifest.json").read_text())["counts"]
    assert counted["read"] == counted["kept"] + counted["dropped"] + counted["rejects"]
    lines = {
        name: len((out / f"{name}.jsonl").read_bytes().splitlines())
        for name in ("kept", "dropped", "rejects")
    }
    assert lines == {name: counted[name] for name in lines}
    return counted["read"], counted["rejects"]


@pytest.mark.parametrize("name", READ)
def test_each_case_ends_in_rows_rejects_or_one_sentence(
    cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code, said = run(cases / name, tmp_path / "RUN", capsys)
    assert "Traceback" not in said
    if READ[name] is None:
        assert code == 1 and not (tmp_path / "RUN").exists()
        assert said.count("curate: ") == said.count("\n") == 1 and name in said
    else:
        assert code == 0 and counts(tmp_path / "RUN") == READ[name]


def test_all_cases_are_named_here(cases: Path) -> None:
    assert {path.name for path in cases.iterdir() if path.suffix != ".jinja"} == set(READ)


def test_all_cases_of_one_folder_cost_only_themselves(
    cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(cases, tmp_path / "RUN", capsys)
    read, rejects = counts(tmp_path / "RUN")
    known = [each for each in READ.values() if each]
    assert code == 0 and "Traceback" not in said
    assert read - rejects == sum(read - rejects for read, rejects in known)
    files = {
        file["source"]
        for file in json.loads((tmp_path / "RUN" / "manifest.json").read_text())["sources"]
    }
    assert {Path(name).name for name in files} == set(READ)
