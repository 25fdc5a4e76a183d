"""While a step is under way a user sees how far it is; a log gets a plain line now and then."""

from __future__ import annotations

from pathlib import Path

import pytest

import curate
from curate.base.errors import CurateError
from curate.base.log import no_log
from curate.pipeline import measuring
from curate.pipeline.progress import EVERY, Progress
from curate.pipeline.steps import StepReport


class Clock:
    """Moves only when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def ticks(watch: Progress, clock: Clock, times: int, seconds: float, rows: int) -> None:
    """So many rows are done so many times, each after some seconds."""
    for _ in range(times):
        clock.now += seconds
        watch.tick(rows)


def report(rows: int, dropped: int, edited: int = 0) -> StepReport:
    return StepReport("near", "Near()", rows, rows - dropped, dropped, edited)


def test_a_terminal_sees_rows_done_the_pace_and_the_time_left() -> None:
    clock, lines, live = Clock(), list[str](), list[str]()
    watch = Progress(lines.append, live.append, clock)
    watch.begin("near", 1_000_000)
    ticks(watch, clock, times=3, seconds=10, rows=20_000)
    assert live == [
        "near: 20,000 of 1,000,000 rows, 2,000 rows/s, 8 min 10 s left",
        "near: 40,000 of 1,000,000 rows, 2,000 rows/s, 8 min 0 s left",
        "near: 60,000 of 1,000,000 rows, 2,000 rows/s, 7 min 50 s left",
    ]
    watch.end(report(1_000_000, 7))
    assert live[-1] == "" and lines == ["near: 1,000,000 rows, 7 dropped"]


def test_a_terminal_is_not_told_more_than_a_few_times_a_second() -> None:
    clock, live = Clock(), list[str]()
    watch = Progress(live=live.append, clock=clock)
    watch.begin("near", 100)
    ticks(watch, clock, times=100, seconds=0.01, rows=1)
    assert 3 <= len(live) <= 5


def test_a_log_gets_a_line_every_thirty_seconds_and_one_at_the_end() -> None:
    clock, lines = Clock(), list[str]()
    watch = Progress(lines.append, clock=clock)
    watch.begin("near", 100)
    ticks(watch, clock, times=100, seconds=1, rows=1)
    assert lines == [
        "near: 30 of 100 rows, 1 rows/s, 1 min 10 s left",
        "near: 60 of 100 rows, 1 rows/s, 40 s left",
        "near: 90 of 100 rows, 1 rows/s, 10 s left",
    ]
    watch.deciding()
    clock.now += EVERY
    watch.deciding()
    assert lines[-1] == "near: 100 rows measured, deciding"
    watch.end(report(100, 1))
    assert lines[-1] == "near: 100 rows, 1 dropped"


def test_what_was_measured_before_is_said() -> None:
    lines = list[str]()
    watch = Progress(lines.append, clock=Clock())
    watch.begin("near", 100)
    watch.tick(50, known=50)
    watch.tick(50, known=10)
    watch.end(report(100, 1, edited=2))
    assert lines == ["near: 100 rows (60 measured before), 1 dropped, 2 edited"]


def test_rows_are_counted_where_nobody_knows_how_many_will_come() -> None:
    clock, live = Clock(), list[str]()
    watch = Progress(live=live.append, clock=clock)
    watch.begin("reading", None)
    clock.now += 2
    watch.tick(5_000)
    assert live == ["reading: 5,000 rows, 2,500 rows/s"]


@pytest.mark.parametrize("to", ["log", "live"])
def test_a_run_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch, to: str) -> None:
    monkeypatch.setattr("curate.pipeline.progress.EVERY", 0)
    monkeypatch.setattr("curate.pipeline.progress.SHOWN", 0)
    monkeypatch.setattr(measuring, "LOOPED", 10)
    lines = list[str]()
    rows = [{"instruction": f"Name {n}.", "output": f"It is {n}."} for n in range(30)]
    log, live = (lines.append, None) if to == "log" else (no_log, lines.append)
    curate.run(rows, steps=["language"], cache=False, log=log, live=live)
    assert any(line.startswith("language: 20 of 30 rows, ") for line in lines)


def test_the_line_on_the_terminal_goes_before_any_other_and_with_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("curate.pipeline.progress.SHOWN", 0)
    dump = tmp_path / "dump.jsonl"
    dump.write_text('{"instruction": "Name it.", "output": "It."}\nno row\n')
    shown, before = [""], list[str]()

    def show(line: str) -> None:
        shown.append(line)

    def warn(line: str) -> None:
        before.append(shown[-1])

    unlike = {"length": {"action": "match", "max": 90_000, "min": 80_000}}
    with pytest.raises(CurateError, match="length"):
        curate.run(dump, steps=[unlike], cache=False, warn=warn, live=show)
    assert any(shown) and shown[-1] == ""
    assert before and not any(before)
