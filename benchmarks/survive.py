"""kill -9 of a run, or of one of its workers, at random moments: same bytes, and how much twice?

A killed run is followed by the same command, without a cache of measures: all that it knows is what
the killed one left in its work folder. Who wrote what is seen in that folder: a file that was whole
at the kill and has another inode later was made twice. Only what was under way may be: rows that
workers had, the step whose verdicts were being written, and reading, which begins anew. A run whose
worker is killed goes on, and makes one file twice at most. `--kills 20 --worker-kills 20` is the
full check; it prints one line a kill and fails on any fault.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(ROOT))

from figures import report

from curate.base.places import UNFINISHED
from curate.pipeline.workers import AHEAD

LOOK_EVERY = 0.01  # seconds between two looks at the work folder
OUTLIVED = 10  # seconds until no process of a killed run is left
TRIES = 10  # at kills that come before the end
SECONDS = re.compile('(?<=data-label="seconds">)[0-9,.]+|[0-9,.]+(?=\N{NO-BREAK SPACE}s)')
# A run that goes on notes again what was read; the rejects, if they are few, go with that.
NOTED_AGAIN = ("read.frame", "unread/memory-00000.frame")
KINDS = {"parts/": "part read", "step-": "file of verdicts"}  # else a piece that was measured
GOES_ON = "goes on with what a run that was cut off left there"


@dataclass
class Job:
    """One folder to run into, and what was seen of it."""

    dump: Path
    home: Path
    workers: int
    versions: dict[str, set[tuple[int, int]]] = field(default_factory=dict)  # of files at work
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
        looking = threading.Thread(target=self._look, args=(ended,))
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

    def _look(self, ended: threading.Event) -> None:
        while not ended.wait(LOOK_EVERY):
            self.look()

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


def whole_files(work: Path) -> dict[str, tuple[int, int]]:
    """Every whole file below a folder by its name there, with its inode and time."""
    found = {}
    for folder, _, names in os.walk(work):
        for name in names:
            path = Path(folder) / name
            if not name.endswith(UNFINISHED):
                with suppress(FileNotFoundError):
                    state = path.stat()
                    key = path.relative_to(work).as_posix()
                    found[key] = (state.st_ino, state.st_mtime_ns)
    return found


def was_under_way(name: str, whole: Collection[str]) -> bool:
    """Whether a file belongs to something that was not done, where these files were whole.

    >>> was_under_way("near-1f/00000-005000.answer.frame", {"read.frame"})
    True
    >>> was_under_way("near-1f/00000-005000.frame", {"read.frame"})
    False
    """
    folder = name.partition("/")[0]
    if "read.frame" not in whole or name in NOTED_AGAIN:
        return True
    if folder.startswith("step-"):
        return f"{folder}/done.frame" not in whole
    return name.endswith(".answer.frame") and name.replace(".answer", "") not in whole


def faults_of_twice(twice: Collection[str], whole: Collection[str], workers: int) -> list[str]:
    """What was made twice though it was whole at a kill, or more of it than may be under way."""
    faults = [
        f"{name} was whole and made again"
        for name in sorted(twice)
        if not was_under_way(name, whole)
    ]
    answers = [name for name in twice if name.endswith(".answer.frame")]
    if len(answers) > workers * AHEAD + 1:  # and one that was being kept
        faults.append(f"{len(answers)} pieces were under way")
    steps = {name.partition("/")[0] for name in twice if name.startswith("step-")}
    if len(steps) > 1:
        faults.append(f"{len(steps)} steps were under way")
    return faults


def phase(whole: Collection[str], writing: Collection[str]) -> str:
    """What a run was at, by its whole files, and those of the folder that it writes."""
    parts = sum(name.startswith("parts/") for name in whole)
    if "read.frame" not in whole:
        return f"reading, {parts} files of parts" if whole else "the start or the end"
    done = sum(name.startswith("step-") and name.endswith("/done.frame") for name in whole)
    if writing:
        return f"writing {sorted(writing)[-1]}, {done} steps done"
    deciding = {name.partition("/")[0] for name in whole if name.startswith("step-")}
    if len(deciding) > done:
        return f"verdicts of step {done + 1}"
    answers = (name for name in whole if name.endswith(".answer.frame"))
    pieces = sum(was_under_way(name, whole) for name in answers)
    return f"step {done + 1}, {pieces} pieces under way"


def digest(out: Path) -> str:
    """One hash of all that a run wrote, but for the seconds that it took."""
    whole = hashlib.sha256()
    for path in sorted(out.iterdir()):
        data = path.read_bytes()
        if path.name == "report.html":
            data = SECONDS.sub("", data.decode()).encode()
        if path.name == "manifest.json":
            data = json.dumps(json.loads(data) | {"seconds": None}).encode()
        whole.update(path.name.encode() + b"\0" + data)
    return whole.hexdigest()[:16]


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


def kill_head(job: Job, moment: float, expected: str) -> tuple[str, list[str]] | None:
    """Kill the run and run it again: what it was at, and faults; None if it had ended."""
    with job.running() as process:
        time.sleep(moment)
        process.kill()
    if process.returncode == 0:
        return None
    faults = outlived(process.pid)
    whole = job.look()
    writing = {path.name for path in job.home.glob(f".RUN.*{UNFINISHED}/*")}
    if job.out.exists() and digest(job.out) != expected:
        faults.append("what is shown under the final name has other bytes")
    began = time.perf_counter()
    with job.running() as process:
        pass
    seconds = time.perf_counter() - began
    faults += faults_of_end(job, process.returncode, expected)
    faults += faults_of_twice(job.twice, whole, job.workers)
    if (GOES_ON in job.log) != ("read.frame" in whole):
        faults.append("it does not go on where it was cut off, or does not say so")
    return f"{phase(whole, writing)}; resumed in {seconds:.1f} s", faults


def kill_worker(
    job: Job, moment: float, expected: str, chance: random.Random
) -> tuple[str, list[str]] | None:
    """Kill a worker of a run that goes on; None if there was none any more."""
    with job.running() as process:
        time.sleep(moment)
        while process.poll() is None and not (workers := workers_of(process.pid)):
            time.sleep(LOOK_EVERY)
        if process.poll() is not None:
            return None
        os.kill(chance.choice(workers), signal.SIGKILL)
        place = phase(job.look(), ())
    faults = faults_of_end(job, process.returncode, expected)
    if len(job.twice) > 1 or any(not name.endswith(".answer.frame") for name in job.twice):
        faults.append(f"done twice: {', '.join(sorted(job.twice))}")
    return place, faults


def shown(twice: Collection[str]) -> str:
    """What was made twice, counted by kind.

    >>> shown({"near-1f/00000-005000.answer.frame", "parts/part-00000.arrow"})
    '1 x part read, 1 x piece'
    >>> shown(())
    'nothing'
    """
    kinds: dict[str, int] = {}
    for name in twice:
        if name in NOTED_AGAIN:
            continue
        kind = next((kind for start, kind in KINDS.items() if name.startswith(start)), "piece")
        kinds[kind] = kinds.get(kind, 0) + 1
    counts = (f"{number} x {kind}" for kind, number in sorted(kinds.items()))
    return ", ".join(counts) or "nothing"


@dataclass(frozen=True)
class Check:
    """What all kills have in common."""

    dump: Path
    workers: int
    seconds: float  # of a run that nobody kills
    expected: str
    files: Mapping[str, object]  # of its work folder
    chance: random.Random

    def kill(self, what: str, number: int, count: int) -> tuple[set[str], list[str]]:
        """Kill in the `number`th of `count` equal times of a run: what was made twice, faults."""
        for _ in range(TRIES):
            moment = self.seconds * (number + self.chance.random()) / count
            home = self.dump.parent / f"{what}{number}"
            job = Job(self.dump, home, self.workers)
            if what == "head":
                found = kill_head(job, moment, self.expected)
            else:
                found = kill_worker(job, moment, self.expected, self.chance)
            if found is not None:
                break
            shutil.rmtree(home)
        else:
            raise SystemExit(f"{TRIES} times a kill came after the end")
        place, faults = found
        faults += [f"{name} is new" for name in sorted(job.versions.keys() - self.files.keys())]
        print(f"{what} killed at {moment:5.1f} s, {place}; twice: {shown(job.twice)}", flush=True)
        for fault in faults:
            print(f"  FAULT: {fault}", flush=True)
        if not faults:
            shutil.rmtree(home)
        return job.twice, faults


def summary(kills: list[tuple[set[str], list[str]]]) -> str:
    """The figure of some kills."""
    good = sum(not faults for _, faults in kills)
    most = max((twice for twice, _ in kills), key=len)
    return f"{good} of {len(kills)}: same bytes; twice at most {shown(most)}"


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
        job = Job(dump, Path(folder) / "whole", options.workers)
        began = time.perf_counter()
        with job.running() as process:
            pass
        seconds, expected = time.perf_counter() - began, digest(job.out)
        if faults := faults_of_end(job, process.returncode, expected):
            raise SystemExit("\n".join(faults))
        assert job.versions, "so few rows are in memory; take more"
        assert not job.twice, "without a kill nothing is made twice"
        print(f"{options.rows:,} rows, {seconds:.1f} s without a kill, {expected}", flush=True)
        chance = random.Random(options.seed)
        check = Check(dump, options.workers, seconds, expected, job.versions, chance)
        wrong = False
        for what, count in (("head", options.kills), ("worker", options.worker_kills)):
            kills = [check.kill(what, number, count) for number in range(count)]
            if kills:
                report(what, summary(kills), options.docs)
            wrong |= any(faults for _, faults in kills)
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
