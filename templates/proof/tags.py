"""What `{% generation %}` tags enclose: a cross-check of the trained text, never its source.

The tags are found by marks that the tagging sandbox writes around their bodies. Marks are text,
so they survive macros, `{% set %}` blocks and filters, where offsets would be relative to a
buffer. The text without them must be the rendered text, else nothing is known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from templates.proof.checks import TagDisagrees, excerpt
from templates.sandbox.environment import Generation, Sandbox

if TYPE_CHECKING:
    from jinja2.runtime import Macro

    from templates.proof.regions import Region

OPEN, CLOSE = "\ufdd0", "\ufdd1"  # noncharacters: in no text that is meant to be read
HAS_TAG = re.compile(r"\{%[-+]?\s*generation\b")

Tag = tuple[int, int]


class Marking(Generation):
    """`{% generation %}` with marks around its body."""

    def body(self, caller: Macro) -> str:
        return f"{OPEN}{caller()}{CLOSE}"


class Tagging(Sandbox):
    """The sandbox that marks what the tags enclose."""

    generation = Marking


def read_marks(marked: str, text: str) -> list[Tag] | None:
    """The characters of `text` between marks, nested ones joined; None if they cannot be told."""
    found: list[Tag] = []
    depth = start = place = 0
    for piece in re.split(f"([{OPEN}{CLOSE}])", marked):
        if piece == OPEN:
            start = start if depth else place
            depth += 1
        elif piece == CLOSE:
            depth -= 1
            if not depth and start < place:
                found.append((start, place))
        else:
            place += len(piece)
    told = depth == 0 and marked.replace(OPEN, "").replace(CLOSE, "") == text
    return found if told else None


def enclosing(region: Region, tags: Sequence[Tag]) -> Tag | None:
    """From the first to the last tagged character of a turn; None if nothing of it is tagged."""
    inside = [tag for tag in tags if tag[0] < region.end and tag[1] > region.start]
    return (inside[0][0], inside[-1][1]) if inside else None


def disagreement(region: Region, tags: Sequence[Tag], text: str) -> str | None:
    """How the tags differ from what is generated; text tagged after the stop is no difference.

    White space that opens a generated text is left to the template's author too.
    """
    inside = [tag for tag in tags if tag[0] < region.end and tag[1] > region.start]
    if not inside:
        return "the tags leave the answer out"
    start, end = inside[0][0], inside[-1][1]
    if start < region.start and text[start : region.start].strip():
        return f"the tags hold the prompt's {text[start : region.start][-40:]!r}"
    if start > region.start and text[region.start : start].strip():
        return f"the tags leave out the generated {text[region.start : start][:40]!r}"
    if end < region.end:
        what = "the stop" if end <= region.stop_start else "part of the stop"
        return f"the tags leave out {what} {text[region.stop_start : region.end]!r}"
    for (_, low), (high, _) in pairwise(inside):
        if text[low:high].strip():
            return f"the tags leave out the generated {text[low:high][:40]!r}"
    return None


def check_tags(regions: Sequence[Region], tags: Sequence[Tag] | None, text: str) -> None:
    """Refuse a row whose tags disagree with what is generated."""
    if tags is None:
        raise TagDisagrees(
            "what the template's generation tags enclose cannot be told in the rendered text; "
            "--mask operational ignores them"
        )
    for region in regions:
        if region.stop is None:
            continue  # not an assistant's turn: no tag is meant for it
        why = disagreement(region, tags, text)
        if why:
            raise TagDisagrees(
                f"message {region.turn}: {why}; --mask operational trains what is generated, "
                "--mask tag what the tags hold",
                region.turn,
                region.start,
                (
                    f"  generated {excerpt(text, region.start)}",
                    f"  up to     {excerpt(text, region.end)}",
                ),
            )
