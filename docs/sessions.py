"""The sessions of the README and the quickstarts: run the commands, put what they print there.

A session is a comment and the block below it:

    <!-- session 1-4 -2: curate run DUMP --out RUN -->
    ```text
    ```

The numbers are the lines of the output to show, counted from 1, or from the end: `-2` are the last
two. What is left out leaves a line that says so. Without numbers all lines are shown. `make docs`
rewrites the blocks; a test runs all commands but the training ones and compares.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# In this order: a later page goes on with what the commands of an earlier one wrote.
PAGES = (
    ROOT / "README.md",
    *(
        ROOT / "docs" / f"quickstart-{job}.md"
        for job in ("clean", "preview", "finetune", "preferences")
    ),
)
SESSION = re.compile(r"(<!-- session((?: [-\d]+)*): (.+?) -->\n```text\n)(.*?)(```)", re.DOTALL)
_SECONDS = re.compile(r"\s+(\d+\.\d+|seconds)$|─+$|[\d,]+ tokens/s$", re.MULTILINE)


class Terminal:
    """Runs commands in a folder, each once; gives what they print."""

    def __init__(self, folder: Path = ROOT) -> None:
        self.folder = folder
        self.printed: dict[str, list[str]] = {}

    def session(self, command: str, ranges: str = "") -> str:
        """The command as a user types it, and those lines of its output that are to be shown."""
        if command not in self.printed:
            words = [sys.executable, "-m", *shlex.split(command)]
            done = subprocess.run(
                words, cwd=self.folder, capture_output=True, text=True, check=True
            )
            self.printed[command] = [line.rstrip() for line in done.stdout.splitlines()]
        lines = self.printed[command]
        return "\n".join([f"$ {command}", *shortened(lines, ranges.split())]) + "\n"


def shortened(lines: Sequence[str], ranges: Sequence[str]) -> Iterator[str]:
    """The lines within the ranges, and between them how many were left out.

    >>> list(shortened(["a", "b", "c", "d", "e"], ["1", "-2"]))
    ['a', '… 2 more lines', 'd', 'e']
    """
    wanted = {number for text in ranges for number in _range(text, len(lines))}
    if not ranges:
        wanted = set(range(len(lines)))
    left_out = 0
    for number in range(len(lines) + 1):
        if number < len(lines) and number not in wanted:
            left_out += 1
            continue
        if left_out:
            yield f"… {left_out} more line{'s' if left_out > 1 else ''}"
        left_out = 0
        if number < len(lines):
            yield lines[number]


def _range(text: str, lines: int) -> range:
    """Numbers from 0 of `3` (one line), `3-5` (three lines) or `-2` (the last two)."""
    first, dash, last = text.partition("-")
    if not first:
        return range(lines - int(last), lines)
    return range(int(first) - 1, int(last) if dash else int(first))


def without_timings(text: str) -> str:
    """Output with everything removed that differs between two runs of the same command."""
    return _SECONDS.sub("", text)


def main() -> None:
    """Rewrite every session of every page, in order."""
    terminal = Terminal()
    for page in PAGES:
        text = page.read_text("utf-8")
        text = SESSION.sub(lambda at: f"{at[1]}{terminal.session(at[3], at[2])}{at[5]}", text)
        page.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
