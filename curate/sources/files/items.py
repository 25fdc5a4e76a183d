"""What an input is taken apart into before any format is asked: raw rows, and what is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

IsRow = Callable[[Any], bool]


class Item(NamedTuple):
    """One raw row, or (when `reject` is set) the text of a place that could not be read.

    `line` is the line on which the row begins, or its number; both count from 1.
    """

    line: int
    value: Any = None
    reject: str | None = None
    raw: str = ""


class Block(NamedTuple):
    """Many raw rows at once, all of them read without trouble, with the line of each, and its text.

    Decimals and long numbers are as a float holds them: where they matter, the text has them.
    """

    lines: list[int]
    values: list[Any]
    texts: list[bytes]


class Numbers(NamedTuple):
    """From here on rows have their number instead of their line, and so have those before.

    Lines turned out not to tell them apart; `lines` are those of all rows so far, ascending.
    """

    lines: list[int]


class Note(NamedTuple):
    """What a user should know of a file that no row of it says, as one sentence."""

    text: str


AnyItem = Item | Block | Numbers | Note
