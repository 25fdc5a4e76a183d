"""What a run that is killed leaves in its work folder, and what of that may be made again."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from curate.base.places import UNFINISHED
from curate.pipeline.workers import AHEAD

KINDS = {"parts/": "part read", "step-": "file of verdicts"}  # else a piece that was measured
# A run that goes on notes again what was read; the rejects, if they are few, go with that.
NOTED_AGAIN = ("owner.frame", "read.frame", "unread/memory-00000.frame")
SECONDS = re.compile('(?<=data-label="seconds">)[0-9,.]+|[0-9,.]+(?=\N{NO-BREAK SPACE}s)')


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
    if folder == "rows":
        return True  # writing begins anew
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
        return f"reading, {parts} files of parts" if whole else "the start"
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


def counted(twice: Collection[str]) -> Counter[str]:
    """What was made twice, by kind.

    >>> dict(counted({"near-1f/00000-005000.answer.frame", "read.frame"}))
    {'piece': 1}
    """
    return Counter(
        next((kind for start, kind in KINDS.items() if name.startswith(start)), "piece")
        for name in twice
        if name not in NOTED_AGAIN
    )


def shown(counts: Counter[str]) -> str:
    """Counts, for people.

    >>> shown(Counter({"piece": 2, "part read": 1})), shown(Counter())
    ('1 x part read, 2 x piece', 'nothing')
    """
    return ", ".join(f"{number} x {kind}" for kind, number in sorted(counts.items())) or "nothing"
