"""Commands that are killed, find the disk full, or run twice at once: the same bytes in the end?

`run` in one process and in two, `run` with a judge, `render` and `train` are each run once in
peace. Then they are killed at random moments; before and after each time that they give a file or
a folder its name; they meet a limit on the size of files and, where mounting is allowed, a disk
that is full; and two start at once into one folder. The same command follows, and must give what
the first one gave, byte for byte but for times, and leave nothing else behind. Where `OUT` is shown
whole or not at all, that is looked at after each kill. `--kills 250` is the full check.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from survive_jobs import ASKED, OUT, ROOT, Job, environment, jobs, write_inputs

from fuzz.record import record
from tests.fake_server import Asked, FakeServer, Sent, completion

HEAD = (
    "| command | at a moment | at a name | full disk | two at once | names given | faults |",
    "|---|---|---|---|---|---|---|",
)
WAYS = ("moment", "name", "full", "two")
REPORT = "report.html"
DONE = "this training run is done"  # as the second of two, or after a kill at the very end
SHARES = {"run": 18, "run, 2 processes": 3, "run with a judge": 10, "render": 12, "train": 7}
UNDER_WAY = 16  # questions that may be asked once more: those without an answer at a kill
PATIENCE = 1_200  # seconds until a command that goes on hangs


def scored(asked: Asked) -> Sent | None:
    """A judge that takes a little time."""
    if asked.is_known:
        return None
    number = int(asked.user.split("question ")[1].split(" ")[0])
    sent = completion(f"{number % 6}\nIt is number {number}.")
    return Sent(sent.body, wait=0.02)


class Forks:
    """The process that forks one for each command (`survive_child`)."""

    def __init__(self, job: Job, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        command = [sys.executable, str(ROOT / "benchmarks" / "survive_child.py"), *job.imports]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | environment(folder / "none"), cwd=folder,
        )  # fmt: skip

    def start(self, job: Job, home: Path, **befalls: Any) -> int:
        """Start the job in a folder of its own; the id of its process."""
        home.mkdir(exist_ok=True)
        given = {"words": list(job.words), "folder": str(home), "log": str(self.log), **befalls}
        given["environment"] = environment(self.folder / f"cache-{home.name}")
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(given) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def status(self) -> int:
        """Wait for the process that was started; its exit status."""
        assert self._process.stdout
        return int(self._process.stdout.readline())

    @property
    def log(self) -> Path:
        """What the last process said."""
        return self.folder / "log"

    @property
    def names(self) -> int:
        """How many names the last process gave."""
        return int((self.folder / "log.names").read_text() or 0)

    def close(self) -> None:
        """End."""
        self._process.kill()
        self._process.communicate()


@dataclass
class Check:
    """A job, what it gives in peace, and what was done to it."""

    job: Job
    forks: Forks
    server: FakeServer
    chance: random.Random
    expected: Any = None
    bare: Any = None  # the same without its report
    seconds: float = 0.0
    names: int = 0
    largest: int = 0
    tries: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    asked_again: int = 0  # at most, after a kill

    def peace(self) -> None:
        """Run once without anything befalling it."""
        home = self.home()
        began = time.perf_counter()
        status = self.run(home)
        self.seconds, self.names = time.perf_counter() - began, self.forks.names
        assert status == 0, self.forks.log.read_text()
        self.expected = self.job.same(home / OUT)
        self.largest = max(path.stat().st_size for path in (home / OUT).rglob("*"))
        (home / OUT / REPORT).unlink(missing_ok=True)
        self.bare = self.job.same(home / OUT)
        shutil.rmtree(home)

    @cached_property
    def other(self) -> Forks:
        """Where the second of two commands comes from."""
        return Forks(self.job, self.forks.folder / "other")

    def close(self) -> None:
        """End the processes that commands come from."""
        self.forks.close()
        if "other" in self.__dict__:
            self.other.close()

    def fault(self, text: str) -> None:
        """Say what is wrong, and count it."""
        print(f"  FAULT: {self.job.name}, {text}", flush=True)
        self.faults.append(text)

    def home(self) -> Path:
        """A new folder for a try."""
        self.tries += 1
        return self.forks.folder / f"try{self.tries}"

    def run(self, home: Path, moment: float = math.inf, **befalls: Any) -> int:
        """Run the job, killed at a moment; its exit status."""
        process = self.forks.start(self.job, home, **befalls)
        with killed_at(process, min(moment, PATIENCE)):
            return self.forks.status()

    def once(self, way: str, number: int) -> bool:
        """Let something befall the job, then run it again. False if it had ended before."""
        home, asked = self.home(), len(self.server.questions)
        status = getattr(self, f"_{way}")(home, number)
        if status is None:
            shutil.rmtree(home, ignore_errors=True)
            return False
        self.counts[way] += 1
        faults = self._shown(home) + self._again(home)
        again = len(self.server.questions) - asked - ASKED if self.job.asks else 0
        self.asked_again = max(self.asked_again, again if way != "two" else 0)
        if again > UNDER_WAY and way != "two":
            faults.append(f"{again} questions were asked again")
        for fault in faults:
            self.fault(f"{way} {number}: {fault}")
        if not faults:
            shutil.rmtree(home)
        return True

    def _shown(self, home: Path) -> list[str]:
        out = home / OUT
        if not (self.job.whole_or_nothing and out.exists() and any(out.iterdir())):
            return []
        if self.job.same(out) == self.expected or self._lacks_its_report(out):
            return []
        return ["what is shown is not whole"]

    def _lacks_its_report(self, out: Path) -> bool:
        """Whether a run is whole but for the page about it, which is said."""
        said = "report.html could not be made" in self.forks.log.read_text()
        return said and not (out / REPORT).exists() and self.job.same(out) == self.bare

    def _again(self, home: Path) -> list[str]:
        status = self.run(home)
        if status and DONE not in self.forks.log.read_text():
            return [f"the same command ends with {status}: {self.forks.log.read_text()[-900:]}"]
        left = [path.name for path in home.iterdir() if path.name != OUT]
        faults = [f"{name} is left" for name in left]
        same = self.job.same(home / OUT) == self.expected
        return faults if same else [*faults, f"other bytes in {home / OUT}"]

    def _moment(self, home: Path, number: int) -> int | None:
        began = time.perf_counter()
        status = self.run(home, self.seconds * self.chance.random())
        if status:
            return status
        # It takes less time than before, as on a machine that others have left.
        self.seconds = min(self.seconds, time.perf_counter() - began)
        return None

    def _name(self, home: Path, number: int) -> int | None:
        at, after = number // 2 % self.names + 1, bool(number % 2)
        status = self.run(home, rename=at, after=after)
        assert status == -signal.SIGKILL, f"it gave fewer than {at} names: {status}"
        return status

    def _full(self, home: Path, number: int) -> int | None:
        """A limit on the size of files, and a disk that is full, in turn."""
        if number % 2 == 0 or not is_root():
            status = self.run(home, size=self.chance.randrange(1, self.largest))
        else:
            home.mkdir()
            size = self.chance.randrange(1, max(2, 2 * self.largest // 4096)) * 4096
            with disk(home, size):
                status = self.run(home)
        said = self.forks.log.read_text()
        if status and ("Traceback" in said or "curate: " not in said):
            self.fault(f"a full disk is no sentence: {said[-900:]}")
        return status

    def _two(self, home: Path, number: int) -> int | None:
        other = self.other
        process = self.forks.start(self.job, home)
        time.sleep(self.seconds * self.chance.random() if number else 0.0)
        second = other.start(self.job, home)
        with killed_at(process, PATIENCE), killed_at(second, PATIENCE):
            statuses = sorted((self.forks.status(), other.status()))
        said = self.forks.log.read_text() + other.log.read_text()
        known = ("another run is writing to this folder", DONE)
        if statuses == [0, 1] and not any(each in said for each in known):
            self.fault(f"of two, one fails otherwise: {said[-900:]}")
        elif statuses not in ([0, 0], [0, 1]):
            self.fault(f"two at once end with {statuses}: {said[-900:]}")
        return statuses[-1]

    def line(self) -> str:
        """What was done, as a line of a table."""
        counts = " | ".join(str(self.counts[way]) for way in WAYS)
        return f"| {self.job.name} | {counts} | {self.names} | {len(self.faults)} |"


@contextmanager
def killed_at(process: int, seconds: float) -> Iterator[None]:
    """Kill a process, and what it has started, when the seconds are over."""
    import threading

    def kill() -> None:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)

    timer = threading.Timer(seconds, kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def is_root() -> bool:
    """Whether disks may be mounted."""
    return os.getuid() == 0 and shutil.which("mount") is not None


@contextmanager
def disk(home: Path, size: int) -> Iterator[None]:
    """A disk of so many bytes at a folder; what is on it stays there afterwards."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(home)]
    if subprocess.run(mount, capture_output=True).returncode:
        yield  # it is not allowed here: then nothing is full
        return
    kept = home.with_name(f"{home.name}-kept")
    try:
        yield
        shutil.copytree(home, kept, symlinks=True)
    finally:
        subprocess.run(["umount", str(home)], check=True)
    home.rmdir()
    kept.rename(home)


def plan(kills: int) -> dict[str, dict[str, int]]:
    """How often what befalls each job.

    >>> sum(sum(ways.values()) for ways in plan(250).values())
    250
    """
    whole = sum(SHARES.values())
    counts = {name: max(4, kills * share // whole) for name, share in SHARES.items()}
    counts["run"] += max(0, kills - sum(counts.values()))
    return {name: _ways(count) for name, count in counts.items()}


def _ways(count: int) -> dict[str, int]:
    ways = {"name": count // 4, "full": count // 6 or 1, "two": count // 10 or 1}
    return {"moment": count - sum(ways.values()), **ways}


def checked(check: Check, ways: dict[str, int]) -> None:
    """Do all that is planned for a job."""
    check.peace()
    for way, count in ways.items():
        done = number = 0
        while done < count:
            done += check.once(way, number)
            number += 1
            if number > 4 * count + 8:
                raise SystemExit(f"{check.job.name}: too many kills ({way}) came after the end")


def main() -> None:
    """Kill, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of all jobs together; 250 is all")
    parser.add_argument("--rows", type=int, default=60, help="of the dump that is read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--docs", action="store_true", help="write into docs/security.md")
    parser.add_argument("--job", action="append", choices=SHARES, help="only this (repeatable)")
    options = parser.parse_args()
    began, checks = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder, FakeServer(scored) as server:
        home = Path(folder)
        write_inputs(home, options.rows, training="train" in (options.job or SHARES))
        for job in jobs(home, server.url):
            if options.job and job.name not in options.job:
                continue
            forks = Forks(job, home / job.name.replace(",", "").replace(" ", "-"))
            chance = random.Random(f"{options.seed}/{job.name}")
            check = Check(job, forks, server, chance)
            try:
                checked(check, plan(options.kills)[job.name])
            finally:
                check.close()
            checks.append(check)
            print(check.line(), flush=True)
    total = sum(sum(check.counts.values()) for check in checks)
    faults = sum(len(check.faults) for check in checks)
    again = max((check.asked_again for check in checks), default=0)
    took = f"{time.perf_counter() - began:.0f} s, seed {options.seed}"
    last = f"{total} times, {faults} faults, {took}; at most {again} questions were asked again"
    print(last)
    if options.docs:
        record("survive", [*HEAD, *(check.line() for check in checks), "", f"{last}."])
    if faults:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
