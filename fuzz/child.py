"""The process that cases run in: `python -m fuzz.child NAME SEED FIRST COUNT`, or `NAME FILE`.

It writes a line of JSON before and after each case, so that whoever reads them knows which case it
was at when it ended.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from fuzz import limits
from fuzz.contract import Case, Fault, Fuzzer
from fuzz.fuzzers import FUZZERS

ROOT = Path(__file__).resolve().parent.parent
CURRENT = "current.json"  # in the folder that a child is started in: the case it is at


def made(name: str, seed: str, number: int) -> Case:
    """A case of a fuzzer: a pure function of its seed and its number."""
    return FUZZERS[name]().make(random.Random(f"{seed}/{name}/{number}"))


def kind_of(error: BaseException) -> str:
    """What a fault is called: equal ones are reported once."""
    if isinstance(error, Fault):
        return f"Fault: {str(error).partition(chr(10))[0].partition(': ')[0]}"
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if _is_ours(frame.filename)] or list(frames)
    last = ours[-1]
    place = f"{Path(last.filename).name}:{last.name}"
    return f"{type(error).__name__} in {place}"


def _is_ours(name: str) -> bool:
    path = Path(name)
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] not in ("fuzz", ".venv")


def checked(fuzzer: Fuzzer, case: Case, home: Path) -> dict[str, Any]:
    """The outcome of a case, or its fault."""
    folder = home / "case"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    before = limits.peak()
    limits.watch()
    try:
        outcome = fuzzer.check(case, folder)
    except BaseException as error:  # a library's panic is no Exception
        text = "".join(traceback.format_exception(error, limit=-12))
        return {"kind": kind_of(error), "fault": text[-4_000:]}
    finally:
        limits.unwatch()
    if before <= limits.MEMORY < limits.peak():
        return {"kind": "memory", "fault": f"it held {limits.peak() / 1e9:.1f} GB"}
    return {"outcome": outcome}


def main(words: list[str]) -> None:
    """Check the cases that were asked for."""
    name, *rest = words
    current = Path(CURRENT).absolute()
    os.environ |= {"HF_HUB_OFFLINE": "1", "CURATE_CACHE": tempfile.mkdtemp(prefix="cache-")}
    limits.hold()
    fuzzer, home = FUZZERS[name](), Path(tempfile.mkdtemp(prefix="cases-"))
    # Libraries print what they like; the lines of this protocol go where nobody else writes.
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    fuzzer.prepare()
    if len(rest) == 1:
        given = json.loads(Path(rest[0]).read_text("utf-8"))
        lines.write(json.dumps({"case": 0}) + "\n")
        lines.write(json.dumps(checked(fuzzer, given, home)) + "\n")
        return
    seed, first, count = rest[0], int(rest[1]), int(rest[2])
    for number in range(first, first + count):
        try:
            case = made(name, seed, number)
        except RecursionError:  # it holds itself too often: the next one
            continue
        current.write_text(json.dumps(case))  # for who finds this process ended
        lines.write(json.dumps({"case": number}) + "\n")
        outcome = checked(fuzzer, case, home) | {"size": fuzzer.size(case)}
        lines.write(json.dumps(outcome | ({"given": case} if "fault" in outcome else {})) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
