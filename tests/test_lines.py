"""`source` and `line` lead back to the raw row, however the file is laid out."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from curate import sources
from curate.pipeline import recipe, run_writer
from curate.pipeline.run_folder import RunFolder
from curate.pipeline.runner import run
from curate.report.explain import explain

ROWS = [{"instruction": f"Say {word}.", "output": f"{word}!"} for word in ("one", "two", "three")]
TEXTS = [json.dumps(row) for row in ROWS]
TAIL = "the file ends with it, and any row behind it is lost"

LAYOUTS = {
    "lines.jsonl": ("\n".join(TEXTS), [1, 2, 3]),
    "spaced.jsonl": ("\n\n".join(TEXTS), [1, 3, 5]),
    "old.jsonl": ("\r".join(TEXTS), [1, 2, 3]),
    "one-line.json": (json.dumps(ROWS), [1, 2, 3]),
    "one-line.jsonl": (json.dumps(ROWS), [1, 2, 3]),
    "pretty.json": (json.dumps(ROWS, indent=1), [2, 6, 10]),
    "pretty-old.json": (json.dumps(ROWS, indent=1).replace("\n", "\r"), [2, 6, 10]),
    "pretty-lines.json": ("\n".join(json.dumps(row, indent=1) for row in ROWS), [1, 5, 9]),
    "glued.json": ("".join(TEXTS), [1, 2, 3]),
    "two-arrays.json": (f"[\n{TEXTS[0]}]\n[\n{TEXTS[1]},\n{TEXTS[2]}]", [2, 4, 5]),
    "each-line.json": ("[\n" + ",\n".join(TEXTS) + "\n]\n", [2, 3, 4]),
    "two-on-one.json": (f"[\n{TEXTS[0]},{TEXTS[1]},\n{TEXTS[2]}]", [1, 2, 3]),
    "inside.json": (json.dumps({"data": ROWS}, indent=1), [1, 2, 3]),
    "by-name.json": (json.dumps(dict(zip("abc", ROWS, strict=True))), [1, 2, 3]),
    "list.yaml": (json.dumps(ROWS), [1, 2, 3]),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_lines_tell_rows_apart_and_lead_back_to_them(tmp_path: Path, name: str) -> None:
    text, lines = LAYOUTS[name]
    path = tmp_path / name
    path.write_bytes(text.encode())
    dump = sources.read([str(path)])
    assert dump.records["line"].to_list() == lines and not dump.rejects.height
    assert_explained(tmp_path, dump)


def test_rows_of_tables_and_packed_files_are_found_again(tmp_path: Path) -> None:
    pl.DataFrame(ROWS).write_parquet(tmp_path / "rows.parquet")
    (tmp_path / "rows.json.gz").write_bytes(gzip.compress(json.dumps(ROWS, indent=1).encode()))
    for name, lines in (("rows.parquet", [1, 2, 3]), ("rows.json.gz", [2, 6, 10])):
        dump = sources.read([str(tmp_path / name)])
        assert dump.records["line"].to_list() == lines
        assert_explained(tmp_path, dump)


def assert_explained(folder: Path, dump: sources.Dump) -> None:
    """What `explain` shows as the raw row is the row, and not one beside it."""
    steps = recipe.of_steps(["exact"])
    (folder / "RUN").mkdir(exist_ok=True)
    run_writer.write(folder / "RUN", dump, run(dump.records, steps.steps), steps)
    for row, line in enumerate(dump.records["line"]):
        page = explain(RunFolder.open(folder / "RUN"), str(row), width=None)
        shown = page.split(f"  line {line} of ", 1)[1].splitlines()[0]
        assert ROWS[row]["output"] in shown
        others = [other["output"] for other in ROWS if other is not ROWS[row]]
        assert not any(other in shown for other in others)


def test_a_line_that_several_rows_share_shows_none_of_them(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{TEXTS[0]}{TEXTS[1]}\n{TEXTS[2]}\n")
    dump = sources.read([str(path)])
    assert dump.records["line"].to_list() == [1, 1, 2]
    steps = recipe.of_steps(["exact"])
    (tmp_path / "RUN").mkdir()
    run_writer.write(tmp_path / "RUN", dump, run(dump.records, steps.steps), steps)
    pages = [explain(RunFolder.open(tmp_path / "RUN"), str(row), width=None) for row in range(3)]
    shared = "not shown, as several rows share the line"
    assert [shared in page for page in pages] == [True, True, False]
    assert not any(row["output"] in pages[0].split("  line 1")[1] for row in ROWS)


def test_a_file_that_has_changed_since_shows_no_raw_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(ROWS, indent=1))
    dump = sources.read([str(path)])
    assert_explained(tmp_path, dump)
    for text in ("", "[]", json.dumps(ROWS[:1], indent=1)):
        path.write_text(text)
        assert "rows.json: {" not in explain(RunFolder.open(tmp_path / "RUN"), "2", width=None)


@pytest.mark.parametrize(("between", "lines"), [(",\n", [2, 3, 3]), (", ", [1, 2, 3])])
def test_a_reject_at_the_end_does_not_change_what_lines_mean(
    tmp_path: Path, between: str, lines: list[int]
) -> None:
    path = tmp_path / "cut.json"
    path.write_text(f"[\n{TEXTS[0]}{between}{TEXTS[1]}, {{broken")
    dump = sources.read([str(path)])
    (reject,) = dump.rejects.select("line", "reason", "raw").rows()
    assert dump.records["line"].to_list() == lines[:2]
    assert (reject[0], reject[2]) == (lines[2], "{broken") and reject[1].endswith(TAIL)
