"""An engine answers in order, and a worker that dies costs its item another try, no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.base.errors import CurateError
from curate.base.user_code import user_module
from curate.pipeline.engine import Engine, Here, Processes, engine_of
from curate.pipeline.measuring import SPREAD_FROM
from curate.pipeline.workers import AHEAD


@dataclass(frozen=True)
class Square:
    """Squares numbers, after so many seconds for each."""

    seconds: tuple[float, ...] = ()

    def __call__(self, item: int) -> int:
        if self.seconds:
            time.sleep(self.seconds[item])
        if item < 0:
            raise CurateError(f"{item} has no square here")
        return item * item

    def about(self, item: int) -> str:
        return f"square of {item}"


@dataclass(frozen=True)
class Deadly(Square):
    """Kills its process at an item, as often as `times` says; counts in a folder."""

    folder: str = ""
    at: int = 0
    times: int = 0

    def __call__(self, item: int) -> int:
        (Path(self.folder) / f"{item}-{time.monotonic_ns()}").touch()
        tries = len(list(Path(self.folder).glob(f"{item}-*")))
        if item == self.at and tries <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(item)


@pytest.fixture(params=[1, 3])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with closing(engine_of(request.param)) as engine:
        yield engine


def test_answers_come_in_the_order_of_the_items(engine: Engine) -> None:
    slow_first = Square((0.3, 0.0, 0.1, 0.0, 0.0))
    assert list(engine.map(slow_first, range(5))) == [0, 1, 4, 9, 16]
    assert list(engine.map(Square(), [])) == []
    assert list(engine.map(Square(), [7])) == [49]  # the same workers, with another task


def test_an_error_of_a_task_is_raised_where_its_answer_was_due(engine: Engine) -> None:
    answers = engine.map(Square(), [1, 2, -3, 4])
    assert [next(answers), next(answers)] == [1, 4]
    with pytest.raises(CurateError, match=r"^-3 has no square here$"):
        next(answers)
    assert list(engine.map(Square(), [5])) == [25]


def test_one_worker_is_this_process() -> None:
    assert isinstance(engine_of(1), Here)
    assert isinstance(engine_of(2), Processes)


def test_no_more_than_twice_as_many_items_as_workers_are_under_way() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(40):
            taken.append(item)
            yield item

    with closing(Processes(2)) as engine:
        for number, _ in enumerate(engine.map(Square(), items())):
            assert len(taken) <= number + 1 + 2 * AHEAD
    assert len(taken) == 40


def test_a_dead_worker_costs_its_item_another_try(tmp_path: Path) -> None:
    task = Deadly(folder=str(tmp_path), at=3, times=3)
    with closing(Processes(2)) as engine:
        assert list(engine.map(task, range(8))) == [n * n for n in range(8)]
    tries = [len(list(tmp_path.glob(f"{item}-*"))) for item in range(8)]
    assert tries == [1, 1, 1, 4, 1, 1, 1, 1]


def test_an_item_that_kills_every_worker_is_one_sentence(tmp_path: Path) -> None:
    task = Deadly(folder=str(tmp_path), at=1, times=99)
    with closing(Processes(2)) as engine:
        with pytest.raises(CurateError, match=r"^square of 1: .*died 4 times.*by SIGKILL; if mem"):
            list(engine.map(task, range(6)))
        assert list(engine.map(Square(), [5])) == [25]
    assert len(list(tmp_path.glob("1-*"))) == 4


class Fragile(Exception):
    """Cannot be sent to another process: it needs two arguments."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


@dataclass(frozen=True)
class Breaks(Square):
    def __call__(self, item: int) -> int:
        raise Fragile("broken", "glass")


def test_an_error_that_cannot_be_sent_is_told_all_the_same() -> None:
    with closing(Processes(2)) as engine, pytest.raises(RuntimeError, match="broken glass"):
        list(engine.map(Breaks(), [1]))


def test_workers_that_are_killed_at_any_moment_change_no_answer() -> None:
    """By somebody who knows nothing of items: also while they start, and between two items."""
    script = (
        "import os, signal, sys, threading, time\n"
        "from contextlib import closing\n"
        "from pathlib import Path\n"
        "from curate.pipeline.engine import Processes\n"
        "from tests.test_workers import Square\n"
        "def children():\n"
        "    path = Path(f'/proc/self/task/{os.getpid()}/children')\n"
        "    return [int(one) for one in path.read_text().split()]\n"
        "def kill():\n"
        "    for wait in [0.05, 0.4, 0.3, 0.5, 0.2]:\n"
        "        time.sleep(wait)\n"
        "        for child in children()[:1]:\n"
        "            os.kill(child, signal.SIGKILL)\n"
        "if __name__ == '__main__':\n"
        "    threading.Thread(target=kill, daemon=True).start()\n"
        "    with closing(Processes(2)) as engine:\n"
        "        print(list(engine.map(Square((0.1,) * 20), range(20))))\n"
    )
    if not Path("/proc/self/task").exists():
        pytest.skip("reads /proc, which is not here")
    path = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == str([n * n for n in range(20)]), done.stderr


def test_a_script_that_forgot_its_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from curate.pipeline.engine import Processes\n"
        "class Task:\n"
        "    def __call__(self, item): return item\n"
        "    def about(self, item): return 'part 1'\n"
        "print(list(Processes(2).map(Task(), [1])))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert 'a script that uses workers needs its `if __name__ == "__main__"`' in done.stderr


def test_the_answers_of_a_map_that_nobody_finished_are_not_those_of_the_next() -> None:
    with closing(Processes(2)) as engine:
        answers: Any = engine.map(Square((0.0, 0.5, 0.5, 0.5)), range(4))
        assert next(answers) == 0
        answers.close()
        assert list(engine.map(Square(), [10, 11])) == [100, 121]


def test_closing_ends_those_that_work_for_nobody_any_more() -> None:
    engine = Processes(2)
    answers: Any = engine.map(Square((0.0, 60.0, 60.0)), range(3))
    assert next(answers) == 0
    children = active_children()
    assert children
    engine.close()  # while `answers` still hangs on to the traceback of whoever stopped listening
    assert not any(child.is_alive() for child in children)
    answers.close()


MINE = """
from dataclasses import dataclass
import polars as pl
from curate import Filter, Judgement

@dataclass(frozen=True)
class Mine(Filter):
    name, reasons, per_row = "mine", {"even": "its length is even"}, True
    def measure(self, records):
        return pl.DataFrame({"length": [len(text) for text in records["response"]]})
    def judge(self, measures):
        return Judgement.of(measures["length"] % 2 == 1, "even")
"""


def test_workers_know_what_a_file_of_the_users_defines(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "recipe.yaml").write_text("steps: [mine.py:Mine]")
    rows = [{"instruction": "Count.", "output": "n" * (n % 7)} for n in range(SPREAD_FROM)]
    counts = [
        curate.run(rows, recipe=tmp_path / "recipe.yaml", workers=workers).counts
        for workers in (1, 2)
    ]
    assert counts[0] == counts[1] and counts[0]["dropped"] > 0


def test_a_file_that_was_used_before_and_is_gone_costs_nobody_anything(tmp_path: Path) -> None:
    file = tmp_path / "gone_mine.py"
    file.write_text("def keep(record): return True")
    user_module(str(file), "user", register=True)
    file.unlink()
    with closing(Processes(2)) as engine:
        assert list(engine.map(Square(), [3])) == [9]
