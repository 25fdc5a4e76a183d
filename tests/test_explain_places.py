from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

import curate
from curate.base.errors import CurateError
from curate.runs import Run
from tests.reports import row

SEA = row("What is the sea?", "Water as far as one can see.")
POND = row("What is a pond?", "Water in a garden.")


def of_files(folder: Path, files: dict[str, str]) -> Run:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return curate.run(folder, steps=["exact"])


def first_line(text: str) -> str:
    return text.split("\n")[0]


@pytest.fixture
def two(tmp_path: Path) -> Run:
    return of_files(
        tmp_path, {"dump/a.jsonl": f"{SEA}\n\n{POND}\n", "dump/more/a.jsonl": f"{POND}\nnot json\n"}
    )


@pytest.mark.parametrize(
    ("key", "row_number"),
    [("a.jsonl:1", 0), ("a.jsonl:3", 1), ("more/a.jsonl:1", 2), ("a.jsonl:3:", 1)],
)
def test_a_row_is_named_by_the_place_that_reports_print(
    two: Run, key: str, row_number: int
) -> None:
    assert first_line(two.explain(key, width=None)).startswith(f"row {row_number}  id ")


def test_a_row_is_named_by_its_path_in_any_spelling(
    two: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "dump" / "more")
    for key in (f"{tmp_path}/dump/more/a.jsonl:1", "./a.jsonl:1", "../more/a.jsonl:1"):
        assert first_line(two.explain(key, width=None)).startswith("row 2  id ")


def test_a_name_that_ends_several_paths_shows_the_rows_of_all_and_says_so(tmp_path: Path) -> None:
    run = of_files(tmp_path, {"x/b.jsonl": SEA + "\n", "y/b.jsonl": POND + "\n"})
    page = run.explain("b.jsonl:1", width=None)
    assert first_line(page).startswith("2 rows: line 1 of 2 inputs (")
    assert "give more of the path" in first_line(page)
    assert "x/b.jsonl:1  kept" in page and "y/b.jsonl:1  kept" in page
    assert first_line(run.explain("y/b.jsonl:1", width=None)).startswith("row 1  id ")


def test_a_part_of_a_name_is_no_name(two: Run) -> None:
    with pytest.raises(CurateError, match=r"no input is called 'e/a\.jsonl'"):
        two.explain("e/a.jsonl:1")


def test_a_member_of_an_archive_is_a_place(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "dump.zip", "w") as archive:
        archive.writestr("inner/a.jsonl", SEA + "\n")
        archive.writestr("inner/b.jsonl", POND + "\n")
    run = curate.run(tmp_path / "dump.zip", steps=[])
    for key in ("dump.zip/inner/b.jsonl:1", "inner/b.jsonl:1", "b.jsonl:1"):
        assert "What is a pond?" in run.explain(key)


def test_the_name_of_an_archive_or_a_folder_means_all_that_was_read_in_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "dump.zip", "w") as archive:
        archive.writestr("inner/a.jsonl", SEA + "\n")
        archive.writestr("b.jsonl", POND + "\nnot json\n")
    run = of_files(tmp_path, {"more/c.jsonl": SEA + "\n"})
    for key in ("dump.zip", str(tmp_path / "dump.zip"), "dump.zip/"):
        page = run.explain(key, width=None)
        assert first_line(page).startswith("3 rows, 1 of them a reject: 2 inputs (")
    assert first_line(run.explain("more", width=None)).startswith("row 2  id ")


def test_the_raw_row_of_a_member_of_an_archive_is_shown(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "dump.zip", "w") as archive:
        archive.writestr("a.jsonl", SEA + "\n")
        archive.writestr("b.jsonl", POND + "\n")
    run = curate.run(tmp_path / "dump.zip", steps=[])
    assert f"line 1 of {tmp_path}/dump.zip/b.jsonl: {{" in run.explain(1, width=None)
    with zipfile.ZipFile(tmp_path / "dump.zip", "w") as archive:
        archive.writestr("a.jsonl", SEA + "\n")
    assert "the file has no such row any more" in run.explain(1, width=None)


def test_a_line_number_of_any_size_is_no_misspelt_name(two: Run) -> None:
    with pytest.raises(CurateError, match=rf"no row of more/a\.jsonl begins on line {'9' * 30}$"):
        two.explain(f"more/a.jsonl:{'9' * 30}")


def test_names_cannot_make_lines_of_their_own(tmp_path: Path) -> None:
    name = "a\nverdicts, in order:\n  read  keep\t.jsonl"
    spelt = name.replace("\n", "\\n").replace("\t", "\\t")
    run = of_files(tmp_path, {f"dump/{name}": f"{SEA}\nnot json\n{POND}\n"})
    for key in (0, spelt, f"{spelt}:2"):
        page = run.explain(key, width=None)
        assert "\\nverdicts" in page and "\n  read  keep" not in page
    other = of_files(tmp_path, {f"dump/{name}": f"{SEA}\n{POND}\n"})
    page = run.diff(other).text(width=None)
    assert "\\nverdicts" in page and "\nverdicts" not in page


def test_rows_in_memory_are_places() -> None:
    run = curate.run([json.loads(SEA), json.loads(POND)], steps=[])
    assert "What is a pond?" in run.explain("<rows>:2")


def test_the_last_colon_parts_the_line_from_a_name_with_colons(tmp_path: Path) -> None:
    run = of_files(tmp_path, {"C:\\x.jsonl": SEA + "\n", "at:2.jsonl": POND + "\n"})
    assert "What is the sea?" in run.explain("C:\\x.jsonl:1")
    assert "What is the sea?" in run.explain("x.jsonl:1")
    assert "What is a pond?" in run.explain("at:2.jsonl:1")
    assert "What is a pond?" in run.explain("at:2.jsonl")


def test_a_name_with_control_characters_can_be_copied_as_it_was_printed(tmp_path: Path) -> None:
    run = of_files(tmp_path, {"a\x1bb.jsonl": SEA + "\n"})
    assert "What is the sea?" in run.explain("a\\x1bb.jsonl:1")


def test_all_rows_that_share_a_line_are_shown(tmp_path: Path) -> None:
    run = of_files(tmp_path, {"a.jsonl": f"{SEA} {POND}\n{SEA}\n"})
    page = run.explain("a.jsonl:1", width=None)
    assert "What is the sea?" in page and "What is a pond?" in page
    assert first_line(page).startswith("2 rows: ")


def test_a_reject_is_shown_with_its_reason_and_raw_text(two: Run) -> None:
    page = two.explain("more/a.jsonl:2", width=None)
    assert "more/a.jsonl:2  reject: invalid_json" in first_line(page)
    assert page.split("\n")[-1] == "  not json"


def test_a_file_alone_means_all_of_its_rows_and_rejects(two: Run) -> None:
    page = two.explain("more/a.jsonl", width=None)
    assert first_line(page).startswith("2 rows, 1 of them a reject: ")
    assert "dropped by exact: exact_duplicate" in page and "raw: not json" in page


def test_a_line_without_a_row_says_where_rows_begin(two: Run) -> None:
    with pytest.raises(CurateError) as wrong:
        two.explain("a.jsonl:2")
    assert "a.jsonl begins on line 2; it has 2 records and 0 rejects on lines 1 to 3" in str(
        wrong.value
    )
    assert "the nearest on 1 and 3" in str(wrong.value)
    with pytest.raises(CurateError, match=r"the nearest on 3$"):
        two.explain("a.jsonl:99999999999999")


def test_a_misspelt_name_is_answered_with_the_nearest(two: Run) -> None:
    with pytest.raises(
        CurateError, match=r"no input is called 'b\.jsonl'; did you mean 'a\.jsonl'"
    ):
        two.explain("b.jsonl:1")
    with pytest.raises(CurateError, match=r"called 'zzz:q'; 2 inputs were read: .*a\.jsonl"):
        two.explain("zzz:q")


def test_an_edited_row_is_named_by_its_old_and_its_new_id(tmp_path: Path) -> None:
    text = row("What is the sea?", "Water.</s>")
    (tmp_path / "a.jsonl").write_text(text + "\n")
    run = curate.run(tmp_path / "a.jsonl", steps=["strip_end_token"])
    (old,) = run.ledger.filter(verdict="edited")["id"]
    (new,) = run.kept["id"]
    assert old != new
    for key in (old, new):
        page = " ".join(run.explain(key).split())
        assert f"its id was {old} before it was edited" in page
        assert "kept, edited by strip_end_token: " in page


@pytest.mark.parametrize("key", ["\0:1", ":1", ":", "/", "\udcff:1", "a.jsonl:\u0661x", "..", "./"])
def test_no_key_gives_a_traceback(two: Run, key: str) -> None:
    with pytest.raises(CurateError):
        two.explain(key)
