from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.base.errors import CurateError
from curate.cli import main
from curate.pipeline.steps import Step
from curate.report.diff import Diff, diff
from curate.runs import Run
from tests.reports import SMALL, STEPS, SameStart, Upper, Words, make, row

START, WORDS = STEPS


def counts(difference: Diff) -> dict[str, int]:
    return {change: count for change, count in difference.counts.items() if count}


def of(folder: Path, lines: list[str], *steps: Any, name: str = "dump.jsonl") -> Run:
    """A run over a file of these lines, with steps by name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    return curate.run(folder / name, steps=list(steps), out=folder / "RUN")


def test_two_runs_made_the_same_way_do_not_differ(tmp_path: Path) -> None:
    one, two = make(tmp_path / "1", SMALL, *STEPS), make(tmp_path / "2", SMALL, *STEPS)
    difference = diff(one, two)
    assert counts(difference) == {"unchanged": 5} and not difference.rows.height
    assert "the settings are the same" in str(difference)


def test_rows_are_the_same_where_the_bytes_of_their_files_are_whatever_the_name(
    tmp_path: Path,
) -> None:
    one = make(tmp_path / "1", SMALL, *STEPS, name="a.jsonl")
    two = make(tmp_path / "2", SMALL, START, name="b.jsonl")
    assert counts(diff(one, two)) == {"unchanged": 4, "newly kept": 1}
    assert counts(diff(two, one)) == {"unchanged": 4, "newly dropped": 1}


def test_a_changed_verdict_is_shown_with_both_reasons_and_their_evidence(tmp_path: Path) -> None:
    one, two = make(tmp_path / "1", SMALL, WORDS), make(tmp_path / "2", SMALL, START)
    lines = diff(one, two).text(width=None).split("\n")
    assert "          1  dropped by words: bad_word -> kept" in lines
    assert "          1  kept -> dropped by start: same_start" in lines
    assert "  steps only in run 1: words" in lines and "  steps only in run 2: start" in lines
    assert "  run 1: row 2  dropped by words: bad_word  score 25  evidence: sorry" in lines
    (duplicate,) = [line for line in lines if "duplicates" in line]
    assert duplicate.startswith("  run 2: row 1  dropped by start: same_start  duplicates row 0, ")
    assert duplicate.endswith("dump.jsonl:1")


def test_a_kept_row_has_the_score_of_the_step_that_dropped_it_in_the_other_run(
    tmp_path: Path,
) -> None:
    one = make(tmp_path / "1", SMALL, Step("words", Words(word="nowhere")))
    difference = diff(one, make(tmp_path / "2", SMALL, Step("words", Words(word="sorry"))))
    assert difference.rows["score_1"].to_list() == difference.rows["score_2"].to_list() == [25.0]
    assert "run 1: row 2  kept  (words: score 25)" in str(difference)
    assert difference.settings == ("words.word 'nowhere' -> 'sorry'",)


def test_another_step_or_reason_is_a_change_of_its_own(tmp_path: Path) -> None:
    other = Step("words", Words(reason="worse_word"))
    difference = diff(make(tmp_path / "1", SMALL, WORDS), make(tmp_path / "2", SMALL, other))
    assert counts(difference) == {"unchanged": 4, "dropped for another reason": 1}


def test_rows_that_were_edited_differently_show_both_texts(tmp_path: Path) -> None:
    lines = [row("A?", "Be quiet now."), row("B?", "Fine.")]
    one, two = make(tmp_path / "1", lines), make(tmp_path / "2", lines, Step("upper", Upper()))
    difference = diff(one, two)
    assert counts(difference) == {"unchanged": 1, "edited differently": 1}
    text = difference.text(width=None)
    assert "run 2: row 0  kept, edited: was_quiet" in text
    assert "response 1: Be [quiet] now." in text and "response 2: Be [QUIET] now." in text


def test_in_a_file_that_has_changed_rows_are_the_same_where_their_content_is(
    tmp_path: Path,
) -> None:
    one = of(tmp_path, SMALL)
    kept_first = tmp_path / "first"
    shutil.copytree(one.path, kept_first)
    changed = [row("New?", "Yes, new."), *SMALL[1:4], SMALL[4], SMALL[4]]
    difference = Run.open(kept_first).diff(of(tmp_path, changed))
    assert counts(difference) == {"unchanged": 4, "only in run 1": 1, "only in run 2": 2}
    assert set(difference.rows["why"]) == {"the file has changed and has no such row"}


def test_of_rows_in_memory_no_file_is_said_to_have_changed() -> None:
    one, two = (curate.run([json.loads(row("What is it?", name))], steps=[]) for name in "ab")
    difference = one.diff(two)
    assert set(difference.rows["why"]) == {"other data were given, without such a row"}
    empty = curate.run(
        [json.loads(row("What is it?", "a"))], steps=[{"length": {"action": "limit", "min": 9}}]
    )
    assert "1 row that differs:" in one.diff(empty).text()


def test_an_input_that_one_run_did_not_read_is_named_as_such(tmp_path: Path) -> None:
    for name, lines in (("a.jsonl", SMALL), ("b.jsonl", [row("B?", "Fine.")])):
        (tmp_path / name).write_text("\n".join(lines))
    both = curate.run([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], steps=[])
    difference = both.diff(curate.run(tmp_path / "a.jsonl", steps=[]))
    assert counts(difference) == {"unchanged": 5, "only in run 1": 1}
    assert "1  only in run 1: the file was not read (1)" in str(difference)
    assert "run 2: not there: the file was not read" in str(difference)


def test_a_reject_that_is_read_by_the_other_run_is_newly_read(tmp_path: Path) -> None:
    lines = [
        json.dumps({"prompt": "Who?", "completion": "The miller.", "label": label})
        for label in (True, False)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    one = curate.run(tmp_path / "a.jsonl", steps=[])
    two = curate.run(tmp_path / "a.jsonl", steps=[], undesirable=True)
    assert (one.rejects.height, two.rejects.height) == (1, 0)
    assert counts(one.diff(two)) == {"unchanged": 1, "newly read": 1}
    assert counts(two.diff(one)) == {"unchanged": 1, "newly rejected": 1}
    text = one.diff(two).text(width=None)
    assert "rejected: " in text and " -> kept" in text and "undesirable False -> True" in text


def test_a_row_that_is_read_differently_is_a_change(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"q": "Who?", "a": "The miller.", "b": "The baker."}\n')
    runs = [
        curate.run(tmp_path / "a.jsonl", steps=[], columns={"prompt": "q", "response": name})
        for name in "ab"
    ]
    difference = runs[0].diff(runs[1])
    assert counts(difference) == {"read differently": 1}
    assert "response 1: The [miller]." in str(difference)


def test_rows_that_are_equal_are_paired_in_their_order(tmp_path: Path) -> None:
    same = row("A?", "Water.")
    one = of(tmp_path / "1", [same, same, same])
    two = of(tmp_path / "2", [same, same, row("B?", "Other.")], "exact")
    difference = one.diff(two)
    assert counts(difference) == {
        "unchanged": 1,
        "newly dropped": 1,
        "only in run 1": 1,
        "only in run 2": 1,
    }


def test_unchanged_rows_that_duplicate_another_row_are_counted(tmp_path: Path) -> None:
    lines = [row("A?", "sorry Water is wet."), row("B?", "Water one."), row("C?", "Water two.")]
    two = make(tmp_path / "2", lines, Step("start", SameStart()))
    lines[0] = row("A?", "Water is wet.")
    one = make(tmp_path / "1", lines, Step("start", SameStart()))
    assert diff(one, one).duplicates == 0
    assert diff(one, two).duplicates == 1
    assert "1 of them duplicates of another row than before" in str(diff(one, two))


def test_runs_without_a_common_row_are_said_to_have_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of(tmp_path / "1", [row("A?", "One.")], name="a.jsonl")
    of(tmp_path / "2", [row("B?", "Two.")], name="b.jsonl")
    assert main(["diff", str(tmp_path / "1" / "RUN"), str(tmp_path / "2" / "RUN")]) == 0
    printed = capsys.readouterr().out
    assert "the runs have no row in common: run 1 read " in printed
    assert "a.jsonl; run 2 read " in printed and "b.jsonl" in printed


def test_rows_are_limited_and_every_change_has_one_where_there_is_room(tmp_path: Path) -> None:
    lines = [*(row(f"{n}?", f"{n} sorry") for n in range(30)), row("A?", "Hi"), row("B?", "Hi")]
    one, two = make(tmp_path / "1", lines), make(tmp_path / "2", lines, START, WORDS)
    text = diff(one, two).text(rows=4, width=None)
    assert "4 of 31 rows that differ:" in text and text.endswith("27 more; rows=31 shows all")
    assert text.count("\n  run 2: ") == 4 and text.count("  run 2: row 31  dropped by start") == 1


def test_machines_get_every_row_and_both_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "1", SMALL, WORDS), make(tmp_path / "2", SMALL, START)
    runs = [str(tmp_path / name / "RUN") for name in "12"]
    assert main(["diff", *runs, "--json", "--rows", "1"]) == 0
    given = json.loads(capsys.readouterr().out)
    assert given["runs"] == runs and given["in_both"] == 5 and len(given["rows"]) == 2
    assert [(each["verdict_1"], each["verdict_2"]) for each in given["rows"]] == [
        ("kept", "dropped"),
        ("dropped", "kept"),
    ]


def test_an_order_of_steps_that_differs_is_named(tmp_path: Path) -> None:
    one, two = (
        of(tmp_path / "1", SMALL, "exact", "near"),
        of(tmp_path / "2", SMALL, "near", "exact"),
    )
    assert "order of steps exact, near -> near, exact" in str(one.diff(two))


def test_in_python_a_folder_will_do(tmp_path: Path) -> None:
    one = of(tmp_path / "1", SMALL)
    assert one.diff(str(one.path)).counts["unchanged"] == 5
    with pytest.raises(CurateError, match="not a folder written by curate run"):
        one.diff(tmp_path)


def test_hostile_text_reaches_no_terminal(tmp_path: Path) -> None:
    escape = "\x1b[31m\u202e\x9b"
    lines = [row(f"Hi {escape}", f"sorry {escape}"), f"{{ {escape}"]
    steps = [
        Step(f"s {escape}", Words(reason=f"bad {escape}", word=word)) for word in ("sorry", "x")
    ]
    one = make(tmp_path / "1 \x1b\u202e", lines, steps[0], name=f"d {escape}.jsonl")
    two = make(tmp_path / "2", lines, steps[1], name=f"d {escape}.jsonl")
    for text in (diff(one, two).text(), diff(one, two).to_json(), repr(diff(one, two))):
        assert not set("\x1b\u202e\x9b") & set(text)
    assert "bad \\x1b[31m\\u202e\\x9b" in diff(one, two).text(width=None)


@pytest.mark.parametrize(
    "change",
    [
        {"sources": 7},
        {"sources": [7, {"source": 8}]},
        {"sources": [{"source": "\0", "sha256": ["x"]}]},
        {"steps": "none"},
        {"steps": [3, {"name": ["x"]}]},
        {"counts": 3},
        {"reading": 3, "seed": {}, "version": []},
    ],
)
def test_a_strange_manifest_gives_a_sentence_or_a_diff(
    tmp_path: Path, change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "1", SMALL, WORDS), make(tmp_path / "2", SMALL, START)
    path = tmp_path / "2" / "RUN" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    runs = [str(tmp_path / name / "RUN") for name in "12"]
    for words in (["diff", *runs], ["diff", *reversed(runs)], ["explain", runs[1], "dump.jsonl:1"]):
        assert main(words) in (0, 1)
        assert capsys.readouterr().err.count("\n") <= 1
