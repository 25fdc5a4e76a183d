"""Long lines broken to the width of a terminal, so that what belongs together stays together."""

from __future__ import annotations

import re
from collections.abc import Iterator

HANGING = 4  # columns that a line's further pieces are indented by, more than the line itself
_TAB = 4
_LEAST = 20  # columns; narrower, nothing could be read


def wrapped(text: str, width: int | None) -> str:
    """The text with lines of at most `width` columns; None leaves every line as it is.

    Every line keeps its own indentation, and so do its further pieces, with `HANGING` more. Lines
    break at spaces; a word longer than a line is cut. Characters count as wide as terminals show
    them (most of Chinese and Japanese are two columns wide).

    >>> print(wrapped("  user: the quick brown fox jumps", 24))
      user: the quick brown
          fox jumps
    """
    if width is None:
        return text
    lines = text.split("\n")
    return "\n".join(piece for line in lines for piece in _pieces(line, max(_LEAST, width)))


def _pieces(line: str, width: int) -> Iterator[str]:
    from rich.cells import cell_len

    line = line.expandtabs(_TAB)
    if cell_len(line) <= width:
        yield line
        return
    own = len(line) - len(line.lstrip(" "))
    further = " " * min(own + HANGING, width // 2)
    current = " " * min(own, width // 2)
    for spaces, word in re.findall(r"( *)([^ ]+)", line[own:]):
        gap = spaces if current.strip() else ""
        size = cell_len(word)
        if cell_len(current) + len(gap) + size <= width:
            current += gap + word
            continue
        if size > width - len(further):  # it has to be cut anyway: so from here on
            *full, last = _cut(current + gap, word, further, width)
            yield from full
            current = last
        else:
            yield current
            current = further + word
    yield current


def _cut(start: str, word: str, further: str, width: int) -> Iterator[str]:
    """Lines with a word that is longer than one, the first of them after `start`."""
    from rich.cells import cell_len, chop_cells

    room = width - cell_len(start)
    # Two columns are needed for any character at all.
    first = chop_cells(word, room)[0] if room > 1 else ""
    yield start + first if first else start.rstrip(" ")
    for piece in chop_cells(word[len(first) :], width - len(further)):
        yield further + piece
