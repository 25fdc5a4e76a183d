"""What was measured, put into `docs/security.md`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "security.md"


def filled(page: str, name: str, lines: Sequence[str]) -> str:
    """The page with these lines between the marks of that name.

    >>> print(filled("a\\n<!-- measured: x -->\\nold\\n<!-- end -->\\nb", "x", ["new"]))
    a
    <!-- measured: x -->
    <BLANKLINE>
    new
    <BLANKLINE>
    <!-- end -->
    b
    """
    start = f"<!-- measured: {name} -->"
    assert page.count(start) == 1, f"the page has {page.count(start)} places for {name}"
    text = "\n".join(["", *lines, ""])
    pattern = rf"({re.escape(start)}\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda found: f"{found[1]}{text}\n{found[2]}", page, count=1, flags=re.S)


def record(name: str, lines: Sequence[str]) -> None:
    """Write the lines into the page."""
    PAGE.write_text(filled(PAGE.read_text("utf-8"), name, lines), "utf-8")
