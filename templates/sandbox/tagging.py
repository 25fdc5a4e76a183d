"""The sandbox in which `{% generation %}` tags show what they enclose.

Marks are written around the bodies of the tags. Marks are text, so they survive macros,
`{% set %}` blocks and filters, where offsets would be relative to a buffer. The text without them
must be the rendered text, else nothing is known.
"""

from __future__ import annotations

import re

from jinja2.runtime import Macro

from curate.base.sandbox.generation import Generation
from templates.sandbox.environment import Sandbox

OPEN, CLOSE = "\ufdd0", "\ufdd1"  # noncharacters: in no text that is meant to be read
HAS_TAG = re.compile(r"\{%[-+]?\s*generation\b")

Tag = tuple[int, int]


class Marking(Generation):
    """`{% generation %}` with marks around its body."""

    def body(self, caller: Macro) -> str:
        """The body between marks."""
        return f"{OPEN}{caller()}{CLOSE}"


class Tagging(Sandbox):
    """The sandbox that marks what the tags enclose."""

    tags = (Marking,)


def read_marks(marked: str, text: str) -> list[Tag] | None:
    """The characters of `text` between marks, nested ones joined; None if they are not known."""
    tags: list[Tag] = []
    depth = start = place = 0
    for part in re.split(f"([{OPEN}{CLOSE}])", marked):
        if part == OPEN:
            start = start if depth else place
            depth += 1
        elif part == CLOSE:
            depth -= 1
            if not depth and start < place:
                tags.append((start, place))
        else:
            place += len(part)
    is_known = depth == 0 and marked.replace(OPEN, "").replace(CLOSE, "") == text
    return tags if is_known else None
