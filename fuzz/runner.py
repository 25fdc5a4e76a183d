"""Cases in children of some hundreds each; what fails is tried again alone, shrunk and saved."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fuzz.child import CURRENT
from fuzz.contract import Case
from fuzz.fuzzers import FUZZERS
from fuzz.limits import SECONDS, WALL_SECONDS
from fuzz.shrink import shrunk

ROOT = Path(__file__).resolve().parent.parent
CASES = ROOT / "fuzz" / "cases"
SHRINK_SECONDS = 20
PROGRESS_SECONDS = 60
_FRAME = re.compile(r'File "([^"]+)", line \d+,? in (\S+)')


class Found(NamedTuple):
    """A fault: what it is called, and what it said."""

    kind: str
    fault: str


@dataclass
class Tally:
    """What became of the cases of a fuzzer."""

    name: str
    cases: int = 0
    inputs: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: dict[str, int] = field(default_factory=dict)  # by kind
    saved: list[Path] = field(default_factory=list)
    again: list[str] = field(default_factory=list)  # what did not fail when it was tried again

    def line(self) -> str:
        """The tally for people."""
        outcomes = ", ".join(f"{count:,} {name}" for name, count in self.outcomes.most_common(6))
        faults = f"{sum(self.faults.values()):,} faults of {len(self.faults)} kinds"
        took = f"{self.inputs:,} inputs in {self.cases:,} cases, {self.seconds:.0f} s"
        return f"{self.name}: {took}, {faults}; {outcomes}"


def run(
    name: str, seed: str, seconds: float, cases: int, say: Callable[[str], None], save: bool = True
) -> Tally:
    """Try cases of a fuzzer for so long, or so many."""
    tally, began, number = Tally(name), time.monotonic(), 0
    size = FUZZERS[name]().cases_a_child
    said = began
    while number < cases and time.monotonic() - began < seconds:
        until = began + seconds
        number = _batch(tally, seed, number, min(size, cases - number), until, say, save)
        tally.seconds = time.monotonic() - began
        if time.monotonic() - said > PROGRESS_SECONDS:
            said = time.monotonic()
            say(f"... {tally.line()}")
    tally.seconds = time.monotonic() - began
    return tally


def _batch(
    tally: Tally,
    seed: str,
    first: int,
    count: int,
    until: float,
    say: Callable[[str], None],
    save: bool,
) -> int:
    """Try some cases in one child; the number of the next one."""
    number, new = first - 1, list[tuple[int, dict[str, Any]]]()
    for line in _lines([tally.name, seed, str(first), str(count)], until):
        if "case" in line:
            number = line["case"]
            continue
        if number < first:
            raise RuntimeError(f"the child ended before its first case\n{line['fault']}")
        tally.cases += 1
        tally.inputs += line.get("size", 1)
        if "outcome" in line:
            tally.outcomes[line["outcome"]] += 1
            continue
        if line["kind"] not in tally.faults:
            new.append((number, line))
        tally.faults[line["kind"]] = tally.faults.get(line["kind"], 0) + 1
    for at, fault in new:
        _report(tally, f"{tally.name}, case {at} of seed {seed}", fault, say, save)
    return number + 1


def _report(
    tally: Tally, where: str, fault: dict[str, Any], say: Callable[[str], None], save: bool
) -> None:
    """Try a case again alone, then make it smaller, and save it."""
    case = fault["given"]
    found = alone(tally.name, case)
    if found is None:
        tally.again.append(where)
        say(f"{where} failed, but not when it was tried again alone\n{fault['fault']}")
        return
    tally.faults.setdefault(found.kind, 1)
    if save:
        case = shrunk(case, lambda one: _is_same(found, alone(tally.name, one)), SHRINK_SECONDS)
        tally.saved.append(_save(tally.name, case, found))
        where += f", saved as {tally.saved[-1].name}"
    say(f"{where}: {found.kind}\n{found.fault}")


def _is_same(first: Found, second: Found | None) -> bool:
    return second is not None and second.kind == first.kind


def _save(name: str, case: Case, found: Found) -> Path:
    CASES.mkdir(exist_ok=True)
    key = hashlib.sha256(f"{name} {found.kind}".encode()).hexdigest()[:8]
    path = CASES / f"{name}-{key}.json"
    content = {"fuzzer": name, "kind": found.kind, "case": case}
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return path


def alone(name: str, case: Case) -> Found | None:
    """The fault of one case in a child of its own; None if there is none."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(case, file)
        file.flush()
        for line in _lines([name, file.name]):
            if "fault" in line:
                return Found(line["kind"], line["fault"])
    return None


def _lines(words: list[str], until: float = float("inf")) -> Iterator[dict[str, Any]]:
    """What a child says; at last that it ended, if it did so before its end."""
    environment = os.environ | {
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    environment["POLARS_MAX_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="fuzz-") as home, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "fuzz.child", *words], env=environment | {"TMPDIR": home},
            stdout=subprocess.PIPE, stderr=errors, cwd=home, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            for text in process.stdout:
                yield json.loads(text)
                if time.monotonic() > until:
                    return
            if code := process.wait():
                errors.seek(0)
                said = errors.read().decode(errors="replace")[-4_000:]
                current = Path(home) / CURRENT
                given = json.loads(current.read_text()) if current.exists() else None
                yield {"kind": _death(code, said), "fault": said, "given": given}
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()


def _death(code: int, said: str) -> str:
    """What a process that ended is called: for one out of time, with the place it was at."""
    if "Timeout (" not in said and code != -signal.SIGPROF:
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"it ended the process ({how})"
    kind = f"{SECONDS} seconds of processor" if code < 0 else f"{WALL_SECONDS} seconds"
    own = (name for file, name in _FRAME.findall(said) if str(ROOT) in file and ".venv" not in file)
    return f"it took more than {kind} in {next(own, 'a library')}"
