"""How fast questions are asked of a server and looked up, and that a killed run asks none twice.

The server is `tests/fake_server.py` in a process of its own on this machine, which answers at once:
so this is what the client costs, beside a model that takes a hundred times as long.

    python benchmarks/judge_client.py [--kills 20]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filters.llm_judge.asking import ask_all
from filters.llm_judge.question import Answer, Question
from filters.llm_judge.server import Server
from filters.llm_judge.store import Answers

ROOT = Path(__file__).resolve().parent.parent
LABELS = ("1", "2", "3", "4", "5")
TEXT = "Explain how a bicycle stays upright while it is ridden, in simple words. " * 8


def question(number: int) -> Question:
    return Question(f"{number}: {TEXT}", labels=LABELS)


@contextmanager
def served(*options: str) -> Iterator[str]:
    """A fake server; its address."""
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.fake_server", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert running.stdin is not None and running.stdout is not None
    try:
        yield running.stdout.readline().strip()
    finally:
        running.stdin.close()
        running.wait()


def rate(concurrency: int, rows: int) -> tuple[float, float]:
    """Questions in a second, new ones, each kept; and CPU seconds of this process for each."""
    with served() as url, tempfile.TemporaryDirectory() as folder:
        store = Answers(Path(folder))
        server = Server(url, "judge", concurrency=concurrency, store=store)
        server.gives_probabilities()
        began, worked = time.perf_counter(), time.process_time()
        asked = ((number, question(number)) for number in range(rows))
        answered = sum(not answer.problem for _, answer in ask_all(asked, server, store))
        seconds, cpu = time.perf_counter() - began, time.process_time() - worked
        server.close()
        store.close()
    assert answered == rows
    return rows / seconds, cpu / rows


def look_up(rows: int) -> tuple[float, float, float]:
    """Seconds to look up answers that are kept, CPU seconds, and the megabytes they take."""
    with tempfile.TemporaryDirectory() as folder:
        store = Answers(Path(folder))
        server = Server("http://127.0.0.1:1/v1", "judge")
        for number in range(rows):
            answer = Answer("4", (0.01, 0.02, 0.1, 0.61, 0.25), 0.0, "judge-1", "length", 200, 1)
            store.put(question(number).key(server.identity), answer)
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        asked = [(number, question(number)) for number in range(rows)]
        began, worked = time.perf_counter(), time.process_time()
        answered = sum(1 for _ in ask_all(asked, server, store))
        seconds, cpu = time.perf_counter() - began, time.process_time() - worked
        store.close()
    assert answered == rows
    return seconds, cpu, size


def child(url: str, folder: str, rows: int) -> None:
    """Ask all questions; killed from outside."""
    store = Answers(Path(folder))
    server = Server(url, "judge", store=store)
    asked = ((number, question(number)) for number in range(rows))
    for _ in ask_all(asked, server, store):
        pass
    server.close()


def kept_of(folder: str, url: str, rows: int) -> set[str]:
    store = Answers(Path(folder))
    identity = Server(url, "judge").identity
    keys = {question(number).key(identity): question(number).user for number in range(rows)}
    found = {keys[key] for key in store.get(list(keys))}
    assert store.notices == []
    store.close()
    return found


def killed(kills: int, rows: int, seed: int = 0) -> tuple[int, int]:
    """Kills at random moments: kept questions that were asked again, and those asked twice."""
    draw = random.Random(seed)
    broken = 0
    with tempfile.TemporaryDirectory() as place:
        log, folder = Path(place) / "log", str(Path(place) / "kept")
        kept: set[str] = set()
        with served("--log", str(log), "--wait", "0.01") as url:
            for kill in range(kills + 1):
                before = len(lines(log))
                command = [sys.executable, __file__, "--child", url, folder, str(rows)]
                running = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
                if kill < kills:
                    while len(lines(log)) == before and running.poll() is None:
                        time.sleep(0.01)  # it has asked its first question
                    time.sleep(draw.uniform(0.0, 0.3))
                    running.kill()
                running.wait()
                time.sleep(0.1)  # the server writes down what was under way
                broken += len(set(lines(log)[before:]) & kept)
                kept = kept_of(folder, url, rows)
                print(f"  kill {kill + 1}: {len(kept):,} of {rows:,} kept", flush=True)
        assert len(kept) == rows
        counts = Counter(line for line in lines(log) if TEXT in line)
    return broken, sum(count - 1 for count in counts.values())


def lines(log: Path) -> list[str]:
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--child", nargs=3)
    given = parser.parse_args()
    if given.child:
        url, folder, rows = given.child
        child(url, folder, int(rows))
        return
    for concurrency in (8, 64):
        each, cpu = rate(concurrency, 4_000)
        print(f"{concurrency} at once: {each:,.0f} questions a second, {cpu * 1e3:.2f} ms CPU each")
    seconds, cpu, size = look_up(100_000)
    print(f"100,000 known answers: {seconds:.2f} s, {cpu:.2f} s CPU, {size:.1f} MB")
    broken, twice = killed(given.kills, 3_000)
    print(
        f"{given.kills} kills: {broken} kept questions asked again; {twice} under way asked twice"
    )


if __name__ == "__main__":
    main()
