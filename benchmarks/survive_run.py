"""kill -9 of a run, or of one of its workers, at random moments: same bytes, and how much twice?

A killed run is followed by the same command, without a cache of measures: all that it knows is what
the killed one left in its work folder. Who wrote what is seen in that folder: a file that was whole
at the kill and has another inode later was made twice. Only what was under way may be: rows that
workers had, the step whose verdicts were being written, and reading, which begins anew. A run whose
worker is killed goes on, and makes one file twice at most. `--kills 20 --worker-kills 20` is the
full check; it prints one line a kill and fails on any fault.

Moments are spread over a run that nobody kills. Each is a file that was whole then, and the time
since, so that it lies at the same place of a run that takes longer on a busy machine.
"""

from __future__ import annotations

import argparse
import bisect
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from figures import report
from survive_work import counted, digest, faults_of_twice, phase, shown, whole_files

from curate.base.places import UNFINISHED

ROOT = Path(__file__).resolve().parent.parent
LOOK_EVERY = 0.01  # seconds between two looks at the work folder
OUTLIVED = 10  # seconds until no process of a killed run is left
TRIES = 10  # at kills that come before the end
GOES_ON = "goes on with what a run that was cut off left there"


@dataclass
class Job:
    """One folder to run into, and what was seen of it."""

    dump: Path
    home: Path
    workers: int
    versions: dict[str, set[tuple[int, int]]] = field(default_factory=dict)  # of files at work
    places: dict[str, float] = field(default_factory=dict)  # when each file was first seen, seconds
    log: str = ""  # of the last process that ended

    @property
    def out(self) -> Path:
        """The folder that the run writes."""
        return self.home / "RUN"

    @property
    def work(self) -> Path:
        """The folder of what is under way."""
        return self.home / ".RUN.work"

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The run as a process, in a session of its own; the work folder is looked at meanwhile."""
        self.home.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "curate", "run", str(self.dump), "--out", str(self.out)]
        command += ["--workers", str(self.workers), "--no-cache"]
        cache = self.dump.parent / "cache"  # it has the key of the checksums, and no measures
        environment = os.environ | {"PYTHONPATH": str(ROOT), "CURATE_CACHE": str(cache)}
        ended = threading.Event()
        looking = threading.Thread(target=self._look, args=(ended, time.perf_counter()))
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                *(command,), cwd=cache.parent, env=environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
            looking.start()
            try:
                yield process
                process.wait()
            finally:
                process.kill()
                process.wait()
                ended.set()
                looking.join()
                log.seek(0)
                self.log = log.read().decode(errors="replace")

    def _look(self, ended: threading.Event, began: float) -> None:
        while not ended.wait(LOOK_EVERY):
            for name in self.look() | self.writing():
                self.places.setdefault(name, time.perf_counter() - began)

    def writing(self) -> set[str]:
        """Files of the folder that becomes `RUN`."""
        return {path.name for path in self.home.glob(f".RUN.*{UNFINISHED}/*")}

    def wait(self, process: subprocess.Popen[bytes], moment: float, seen: list[float]) -> None:
        """Wait until as many files were seen as at a moment of another run, and as long since."""
        place = bisect.bisect_right(seen, moment)
        while process.poll() is None and len(self.places) < place:
            time.sleep(LOOK_EVERY)
        time.sleep(moment - (seen[place - 1] if place else 0.0))

    def look(self) -> set[str]:
        """Note which files are whole now, and which copy of each it is."""
        now = whole_files(self.work)
        for name, version in now.items():
            self.versions.setdefault(name, set()).add(version)
        return set(now)

    @property
    def twice(self) -> set[str]:
        """Files that were made more than once."""
        return {name for name, versions in self.versions.items() if len(versions) > 1}


def of_session(leader: int) -> list[int]:
    """Processes of a session that run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, _, session, *_ = stat.read_text().rpartition(")")[2].split()
            if int(session) == leader and state != "Z":
                found.append(int(stat.parent.name))
    return found


def workers_of(leader: int) -> list[int]:
    """Processes of a session that work on items."""
    found = []
    for process in of_session(leader):
        with suppress(FileNotFoundError, ProcessLookupError):
            if b"--multiprocessing-fork" in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
    return found


def outlived(leader: int) -> list[str]:
    """Wait until no process of a killed run is left; a fault if some are after a while."""
    until = time.monotonic() + OUTLIVED
    while left := of_session(leader):
        if time.monotonic() > until:
            return [f"{len(left)} processes outlive their run by {OUTLIVED} s"]
        time.sleep(LOOK_EVERY)
    return []


def faults_of_end(job: Job, status: int, expected: str) -> list[str]:
    """What is wrong with the outcome of a run that went to its end."""
    if status:
        return [f"exit status {status}: {job.log[-2000:]}"]
    faults = [f"{path.name} is left" for path in job.home.iterdir() if path != job.out]
    return faults if digest(job.out) == expected else [*faults, f"other bytes in {job.out}"]


def kill_head(
    job: Job, moment: float, expected: str, seen: list[float]
) -> tuple[str, list[str]] | None:
    """Kill the run and run it again: what it was at, and faults; None if it had ended."""
    with job.running() as process:
        job.wait(process, moment, seen)
        process.kill()
    if process.returncode == 0:
        return None
    faults = outlived(process.pid)
    whole = job.look()
    writing = job.writing()
    if is_shown := job.out.exists():  # it was done but for its work folder; another run begins anew
        faults += [] if digest(job.out) == expected else ["what is shown has other bytes"]
        job.versions.clear()
    began = time.perf_counter()
    with job.running() as process:
        pass
    seconds = time.perf_counter() - began
    faults += faults_of_end(job, process.returncode, expected)
    if is_shown:
        return f"the end, RUN is whole; run again in {seconds:.1f} s", faults
    faults += faults_of_twice(job.twice, whole, job.workers)
    if (GOES_ON in job.log) != ("read.frame" in whole):
        faults.append("it does not go on where it was cut off, or does not say so")
    return f"{phase(whole, writing)}; resumed in {seconds:.1f} s", faults


def kill_worker(
    job: Job, moment: float, expected: str, seen: list[float], chance: random.Random
) -> tuple[str, list[str]] | None:
    """Kill a worker of a run that goes on; None if there was none."""
    with job.running() as process:
        job.wait(process, moment, seen)
        if not (workers := workers_of(process.pid)):
            return None
        os.kill(chance.choice(workers), signal.SIGKILL)
        place = phase(job.look(), ())
    faults = faults_of_end(job, process.returncode, expected)
    if len(job.twice) > 1 or any(not name.endswith(".answer.frame") for name in job.twice):
        faults.append(f"done twice: {', '.join(sorted(job.twice))}")
    return place, faults


@dataclass(frozen=True)
class Check:
    """What all kills have in common."""

    dump: Path
    workers: int
    span: tuple[float, float]  # of a run that nobody kills: from when to when, seconds
    expected: str
    whole: Job  # that run
    chance: random.Random

    def kill(self, what: str, number: int, count: int) -> tuple[Counter[str], list[str]]:
        """Kill in the `number`th of `count` equal times of a run: what was made twice, faults."""
        seen, (start, end) = sorted(self.whole.places.values()), self.span
        for _ in range(TRIES):
            moment = start + (end - start) * (number + self.chance.random()) / count
            home = self.dump.parent / f"{what}{number}"
            job = Job(self.dump, home, self.workers)
            if what == "head":
                found = kill_head(job, moment, self.expected, seen)
            else:
                found = kill_worker(job, moment, self.expected, seen, self.chance)
            if found is not None:
                break
            shutil.rmtree(home)
        else:
            raise SystemExit(f"{TRIES} times a kill came after the end")
        place, faults = found
        new = job.versions.keys() - self.whole.versions.keys()
        # What workers answer is deleted once it is taken over, so not every look sees it.
        new = {name for name in new if not name.endswith(".answer.frame")}
        faults += [f"{name} is made by a run that was killed alone" for name in sorted(new)]
        twice = counted(job.twice)
        print(f"{what} killed at {moment:5.1f} s, {place}; twice: {shown(twice)}", flush=True)
        for fault in faults:
            print(f"  FAULT: {fault}", flush=True)
        if not faults:
            shutil.rmtree(home)
        return twice, faults


def summary(kills: Sequence[tuple[Counter[str], list[str]]]) -> str:
    """The figure of some kills.

    >>> summary([(Counter({"piece": 2}), []), (Counter({"piece": 1, "part read": 1}), [])])
    '2 of 2: same bytes; twice at most 1 x part read, 2 x piece'
    """
    good = sum(not faults for _, faults in kills)
    most: Counter[str] = Counter()
    for twice, _ in kills:
        most |= twice
    return f"{good} of {len(kills)}: same bytes; twice at most {shown(most)}"


def uninterrupted(job: Job) -> tuple[str, float, tuple[float, float]]:
    """Run without a kill: the digest, seconds, and from when to when there were workers."""
    began, lived = time.perf_counter(), []
    with job.running() as process:
        while process.poll() is None:
            if workers_of(process.pid):
                lived.append(time.perf_counter() - began)
            time.sleep(LOOK_EVERY)
    seconds, expected = time.perf_counter() - began, digest(job.out)
    if faults := faults_of_end(job, process.returncode, expected):
        raise SystemExit("\n".join(faults))
    assert job.versions and lived, "so few rows are in memory, or without workers; take more"
    assert not job.twice, "without a kill nothing is made twice"
    return expected, seconds, (lived[0], lived[-1])


def main() -> None:
    """Run once without a kill, then kill."""
    from rows import write_mixed

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=120_000, help="more than one part")
    parser.add_argument("--kills", type=int, default=3, help="of the run itself")
    parser.add_argument("--worker-kills", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--docs", action="store_true", help="write into docs/performance.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder) / "dump.jsonl"
        write_mixed(dump, options.rows)
        whole = Job(dump, Path(folder) / "whole", options.workers)
        expected, seconds, lived = uninterrupted(whole)
        print(f"{options.rows:,} rows, {seconds:.1f} s without a kill, {expected}", flush=True)
        chance = random.Random(options.seed)
        wrong = False
        for what, count, span in (
            ("head", options.kills, (0.0, seconds)),
            ("worker", options.worker_kills, lived),
        ):
            check = Check(dump, options.workers, span, expected, whole, chance)
            kills = [check.kill(what, number, count) for number in range(count)]
            if kills:
                report(what, summary(kills), options.docs)
            wrong |= any(faults for _, faults in kills)
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
