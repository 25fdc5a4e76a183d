"""The README's sessions: run the commands, and put what they print (or its start) into the page.

`make docs` rewrites them; a test runs those without training and compares all but the timings.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
SESSION = re.compile(r"(<!-- session: (.+?) -->\n```text\n)(.*?)(```)", re.DOTALL)
_SECONDS = re.compile(r"\s+(\d+\.\d+|seconds)$|─+$|[\d,]+ tokens/s$", re.MULTILINE)


def shown(command: str, folder: Path = ROOT) -> str:
    """The command as a user types it in `folder`, and its output as the README shows it."""
    words = [sys.executable, "-m", *shlex.split(command)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    if command.startswith("curate preview"):
        lines = lines[: lines.index("") + 1 + lines[lines.index("") + 1 :].index("")]
    if command.startswith("curate train"):
        start = next(number for number, line in enumerate(lines) if line.startswith("epoch    "))
        lines = ["…", *lines[start:]]
    return "\n".join([f"$ {command}", *(line.rstrip() for line in lines)]) + "\n"


def without_timings(text: str) -> str:
    """Output with everything removed that differs between two runs of the same command."""
    return _SECONDS.sub("", text)


def main() -> None:
    """Rewrite every session of the README, in order."""
    page = README.read_text("utf-8")
    page = SESSION.sub(lambda found: f"{found[1]}{shown(found[2])}{found[4]}", page)
    README.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
