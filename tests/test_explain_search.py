from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.base.errors import CurateError
from curate.cli import main
from curate.pipeline.steps import Step
from curate.report.explain import explain
from tests.reports import SMALL, STEPS, Upper, Words, make, row

CALL = {
    "messages": [
        {"role": "user", "content": "Book it."},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "The harbour is near.",
            "tool_calls": [
                {
                    "type": "function",
                    "function": {"name": "book", "arguments": '{"say":"a \\"b\\""}'},
                }
            ],
        },
    ],
    "tools": [{"type": "function", "function": {"name": "book", "parameters": {}}}],
}


def test_text_is_searched_in_any_case_and_the_hit_is_marked(tmp_path: Path) -> None:
    page = explain(make(tmp_path, SMALL, *STEPS), grep="WATER", width=None)
    lines = page.split("\n")
    assert lines[0] == "3 rows: text 'WATER'"
    assert "  response: [Water] as far as one can see." in lines
    assert "  response: Drops of [water] that fall." in lines


def test_text_is_literal(tmp_path: Path) -> None:
    run = make(tmp_path, [row("Is (a|b)* it?", "Yes."), row("Is ab it?", "Yes.")])
    assert "1 row: text '(a|b)*'" in explain(run, grep="(a|b)*")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("HARBOUR", "  reasoning: The [harbour] is near."),
        ('"B"', '  calls: [{"name":"book","arguments":{"say":"a [\\"b\\"]"}}]'),
    ],
)
def test_reasoning_and_calls_are_searched(text: str, line: str) -> None:
    run = curate.run([CALL, json.loads(row("Hi", "Fine"))], steps=[])
    page = run.explain(grep=text, width=None)
    assert line in page.split("\n")
    assert "assistant thinks: The harbour is near." in page and 'calls {"name":"book"' in page


def test_the_rejected_answer_is_searched_and_shown() -> None:
    pair = {"prompt": "Who?", "chosen": "The miller.", "rejected": "A Walrus."}
    run = curate.run([pair], steps=[])
    page = run.explain(grep="walrus")
    assert "  rejected: A [Walrus]." in page and "rejected assistant: A Walrus." in page


def test_rejects_are_searched_as_they_are_spelt_and_shown_last(tmp_path: Path) -> None:
    broken = '{"prompt": "Ein Caf\\u00e9?'
    run = make(tmp_path, [broken, row("A café?", "Yes.")])
    lines = explain(run, grep="CAFÉ", width=None).split("\n")
    assert lines[0] == "2 rows, 1 of them a reject: text 'CAFÉ'"
    assert lines[-1] == '  raw: {"prompt": "Ein [Caf\\u00e9]?'


def test_the_excerpt_is_around_the_hit_and_counts_what_is_left_out(tmp_path: Path) -> None:
    long = "x " * 300 + "needle" + " y" * 300
    page = explain(make(tmp_path, [row("A?", long), row("B?", long)]), grep="needle", width=None)
    (line, _) = [line for line in page.split("\n") if "response" in line]
    assert " characters before … " in line and "[needle]" in line
    assert line.endswith("more characters")


def test_rows_are_chosen_by_the_reason_of_their_drop(tmp_path: Path) -> None:
    page = explain(make(tmp_path, SMALL, *STEPS), reason="bad_word", width=None)
    assert page.split("\n")[0] == "1 row: reason bad_word"
    assert "dropped by words: bad_word" in page


def test_edits_and_rejects_have_reasons_too(tmp_path: Path) -> None:
    lines = [row("A?", "Be quiet now."), row("B?", "All quiet."), "not json", "neither"]
    run = make(tmp_path, lines, Step("upper", Upper()))
    edits = explain(run, reason="was_quiet", width=None)
    assert edits.startswith("2 rows: reason was_quiet")
    assert edits.count("kept, edited by upper: was_quiet") == 2
    assert explain(run, reason="invalid_json").startswith("2 rejects: reason invalid_json")
    assert explain(run, step="read").startswith("2 rejects: step read")


def test_a_step_parts_rows_that_share_a_reason(tmp_path: Path) -> None:
    steps = [Step(word, Words(word=word)) for word in ("water", "garden")]
    run = make(tmp_path, SMALL, *steps)
    assert explain(run, reason="bad_word").startswith("2 rows: reason bad_word")
    page = explain(run, reason="bad_word", step="garden")
    assert page.startswith("1 row: reason bad_word, step garden") and "a pond" in page


def test_an_unknown_reason_or_step_is_answered_with_those_that_there_are(tmp_path: Path) -> None:
    run = make(tmp_path, SMALL, *STEPS)
    with pytest.raises(CurateError) as wrong:
        explain(run, reason="bad_wrod")
    assert "bad_word (1), invalid_json (1), same_start (1); did you mean 'bad_word'" in str(
        wrong.value
    )
    with pytest.raises(CurateError, match=r"no step is called 'x'; its steps are read, start, w"):
        explain(run, step="x")
    with pytest.raises(CurateError, match="step words gave no row the reason 'same_start'"):
        explain(run, step="words", reason="same_start")


def test_options_narrow_together_and_nothing_left_is_said(tmp_path: Path) -> None:
    run = make(tmp_path, SMALL, *STEPS)
    assert explain(run, "dump.jsonl", grep="garden").startswith("1 row: ")
    with pytest.raises(CurateError, match="no row matches reason bad_word, text 'garden'"):
        explain(run, grep="garden", reason="bad_word")
    with pytest.raises(CurateError, match="no row matches row 0, text 'garden'"):
        explain(run, "0", grep="garden")


def test_the_number_of_rows_is_limited_and_always_counted(tmp_path: Path) -> None:
    run = make(tmp_path, [row(f"Q{number}?", "sorry") for number in range(25)], STEPS[1])
    page = explain(run, reason="bad_word")
    assert page.startswith("10 of 25 rows: reason bad_word") and page.count("\nrow ") == 10
    assert page.endswith("… 15 more; rows=25 shows all")
    assert explain(run, reason="bad_word", rows=25).count("\nrow ") == 25


def test_a_list_shows_reason_evidence_and_the_row_that_is_duplicated(tmp_path: Path) -> None:
    page = explain(make(tmp_path, SMALL, *STEPS), "dump.jsonl", width=None)
    assert "dropped by start: same_start  duplicates row 0" in page
    assert "dropped by words: bad_word  score 25  evidence: sorry" in page


@pytest.mark.parametrize(
    "query", [{"grep": ""}, {"reason": ""}, {"step": ""}, {"grep": "\udcff"}, {}]
)
def test_a_query_that_asks_for_nothing_is_a_mistake(tmp_path: Path, query: dict[str, Any]) -> None:
    with pytest.raises(CurateError):
        explain(make(tmp_path, SMALL, *STEPS), **query)


def test_hostile_text_stays_spelt_out_in_lists_and_messages(tmp_path: Path) -> None:
    escape = "\x1b[31m\u202e"
    lines = [row(f"Hi {escape}", f"sorry {escape}"), row("Ho", f"{escape} sorry"), f"{{ {escape}"]
    step = Step(f"s {escape}", Words(reason=f"bad {escape}"))
    run = make(tmp_path, lines, step, name=f"d {escape}.jsonl")
    for page in (explain(run, grep="[31m"), explain(run, reason="bad \\x1b[31m\\u202e")):
        assert "\x1b" not in page and "\u202e" not in page and "\\x1b[31m" in page


def test_the_command_line_searches_and_does_not_wrap_in_a_pipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = " ".join(["sorry"] * 30)
    make(tmp_path, [row("A?", long), row("B?", long)], STEPS[1])
    out = str(tmp_path / "RUN")
    assert main(["explain", out, "--reason", "bad_word", "--rows", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1 of 2 rows: reason bad_word")
    assert "--rows 2 shows all" in printed
    assert max(map(len, printed.split("\n"))) > 150
    assert main(["explain", out, "--grep", "nowhere"]) == 1
    assert "no row matches text 'nowhere'" in capsys.readouterr().err


@pytest.mark.parametrize("row_first", [True, False])
def test_the_row_may_stand_before_the_options_or_after_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row_first: bool
) -> None:
    run = make(tmp_path, SMALL, *STEPS)
    key, options = ["dump.jsonl:1"], ["--rows", "2"]
    words = [*key, *options] if row_first else [*options, *key]
    assert main(["explain", str(run.path), *words]) == 0
    assert capsys.readouterr().out.startswith("row 0  id ")


def test_a_line_of_standard_input_is_no_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make(tmp_path, SMALL, *STEPS)
    assert main(["explain", str(run.path), "-:3"]) == 1
    assert "no input is called '-'" in capsys.readouterr().err
    for words in (["-x"], ["1", "2"], ["--rows", "2", "1", "2"]):
        with pytest.raises(SystemExit) as stop:
            main(["explain", str(run.path), *words])
        assert stop.value.code == 2


def test_explain_without_a_row_or_an_option_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["explain", str(tmp_path)])
    assert stopped.value.code == 2
    assert "a row, an id or FILE:LINE, or --grep, --reason or --step" in capsys.readouterr().err


def test_in_python_lines_are_wrapped_to_the_width_that_is_given() -> None:
    run = curate.run([{"prompt": "A?", "completion": "word " * 60}], steps=[])
    assert max(map(len, run.explain(0).split("\n"))) <= 100
    assert max(map(len, run.explain(0, width=40).split("\n"))) <= 40
    assert run.explain(0, width=None).split() == run.explain(0, width=40).split()
