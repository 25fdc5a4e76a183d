"""The terminal's funnel."""

from __future__ import annotations

from pathlib import Path

from curate.pipeline.steps import Step
from curate.report import text
from tests.reports import SMALL, STEPS, EveryRowItsReason, Words, make, row


def test_the_terminal_shows_the_funnel_and_the_sum(tmp_path: Path) -> None:
    run = make(tmp_path, SMALL, *STEPS)
    run.manifest["seconds"] = {"start": 0.5, "words": 12.25}
    assert text(run).splitlines() == [
        "step    rows in   dropped   kept   reasons        seconds",
        "─────────────────────────────────────────────────────────",
        "start         4         1      3   1 same_start      0.50",
        "words         3         1      2   1 bad_word       12.25",
        "",
        "5 read = 2 kept + 2 dropped + 1 rejects",
    ]


def test_the_terminal_takes_reasons_as_plain_text(tmp_path: Path) -> None:
    step = Step("words", Words(reason="[bold]loud[/bold]\x1b[31m"))
    shown = text(make(tmp_path, SMALL, step))
    assert "[bold]loud[/bold]\\x1b[31m" in shown
    assert "\x1b" not in shown


def test_names_and_reasons_with_line_breaks_make_no_lines_of_their_own(tmp_path: Path) -> None:
    step = Step("two\nlines", Words(reason="for\ntwo"))
    shown = text(make(tmp_path, SMALL, step))
    assert "two\\nlines" in shown and "for\\ntwo" in shown
    assert len(shown.splitlines()) == len(text(make(tmp_path / "b", SMALL, STEPS[0])).splitlines())


def test_the_terminal_summary_stays_within_its_width(tmp_path: Path) -> None:
    run = make(tmp_path, SMALL, Step("words", Words(reason="a_long_reason_" * 4)))
    assert max(map(len, text(run, width=60).splitlines())) <= 60


def test_the_terminal_counts_what_it_leaves_out(tmp_path: Path) -> None:
    lines = [row("Count", f"Number {at}") for at in range(20)]
    shown = text(make(tmp_path, lines, Step("flood", EveryRowItsReason())))
    assert "… 11 more reasons" in shown
