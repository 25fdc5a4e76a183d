"""Strangers' text in Markdown: as words in a line, in a table, in a fence."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from curate.base.terminal import printable

LONGEST = 200  # characters of a text in a line
_SPECIAL = re.compile(r"[\\`*_{}\[\]|~$@]|^[#+-]|(?<=^\d)[.)](?=\s)|(?<=^\d\d)[.)](?=\s)")
# What renderers make links of without being asked.
_LINKS = re.compile(r":(?=//)|(?<=www)\.", re.IGNORECASE)


def inline(text: object, limit: int = LONGEST) -> str:
    r"""A text as it is, on one line: nothing in it is Markdown, HTML or a link.

    >>> print(inline("a|b <i>\n`x` https://x"))
    a\|b &lt;i&gt; \`x\` https&#58;//x
    """
    line = html.escape(" ".join(printable(str(text), limit).split()), quote=False)
    return _LINKS.sub(lambda found: f"&#{ord(found[0])};", _SPECIAL.sub(r"\\\g<0>", line))


def fenced(text: str, language: str = "") -> str:
    """A block of code around any text: the fence is longer than every one in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    shown = "\n".join(printable(line) for line in text.rstrip("\n").split("\n"))
    return f"{fence}{language}\n{shown}\n{fence}"


def table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A table; every cell is escaped, numbers have their thousands."""
    rows = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    rows += [f"| {' | '.join(_cell(value) for value in line)} |" for line in lines]
    return "\n".join(rows)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else inline(value)
