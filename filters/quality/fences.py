"""Fenced code blocks, read line by line."""

from __future__ import annotations

import re

FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})(.*)")
# Also behind the marks of quotations and lists.
FENCE_INSIDE = re.compile(r"[ \t]*(?:>[ \t]?)*(?:[-*+][ \t]+|\d+[.)][ \t]+)?(`{3,}|~{3,})(.*)")

_INFO = re.compile(r"\{?[\w.+#-]+(?:[ ,:=]+[^\s.!?]+)?\}?")
# A sentence after code shows that fences were left out before, not that the answer stops in one.
_PROSE = re.compile(r"(?:\d+[.)] |[-*] )?[A-Z\"'“(](?:\S+[ ]){4,}\S+[.!?:][\"'”)*_]*\Z")


def read_fences(
    text: str, fence: re.Pattern[str] = FENCE
) -> tuple[list[tuple[str, str]], str | None]:
    """The closed blocks of a text, and the line that opened the one that is left open, or None.

    A block is its info string (small letters) and its body. CommonMark: a closing fence has the
    opener's character, is at least as long, and carries nothing else.
    """
    blocks: list[tuple[str, str]] = []
    body: list[str] = []
    opener: str | None = None
    marker = info = ""
    for line in text.split("\n"):
        match = fence.match(line)
        if opener is None:
            # ```code``` on one line is an inline span: an info string holds no backtick.
            if match and (match[1][0] == "~" or "`" not in match[2]):
                opener, body = line.strip(), []
                marker, info = match[1], match[2].strip().lower()
        elif match and match[1].startswith(marker) and not match[2].strip():
            blocks.append((info, "\n".join(body)))
            opener = None
        else:
            body.append(line)
    return blocks, opener


def left_open(text: str) -> str | None:
    """The line that opened the block in which a text stops, or None.

    People and models also nest blocks of equal fences, begin inside a block that an earlier answer
    opened, and leave a fence over at the end. So the block must be open by CommonMark's rule and
    by the one that nests, and what stands in it must be what may stand in a block.
    """
    opener = read_fences(text, FENCE_INSIDE)[1]
    if opener is None:
        return None
    lines = text.split("\n")
    at = _opened_at(lines)
    if at is None:
        return None
    body = [line for line in lines[at + 1 :] if line.strip(" \t\r`~")]
    named = _named(FENCE_INSIDE.match(lines[at]))
    if not body:
        before = next((line.rstrip() for line in reversed(lines[:at]) if line.strip()), "")
        # A bare fence at the end is left over, unless it was announced or is all there is.
        return opener if named or not before or before.endswith((":", "：")) else None
    return None if _PROSE.match(body[-1].strip()) else opener


def _opened_at(lines: list[str]) -> int | None:
    """Where the outermost open block begins, if fences with a name nest in other blocks."""
    stack: list[tuple[str, int]] = []
    for at, line in enumerate(lines):
        match = FENCE_INSIDE.match(line)
        if match is None or "`" in match[2]:
            continue
        if stack and not match[2].strip() and match[1].startswith(stack[-1][0]):
            stack.pop()
        elif not stack or (_named(match) and match[1][0] == stack[-1][0][0]):
            stack.append((match[1], at))
    return stack[-1][1] if stack else None


def _named(match: re.Match[str] | None) -> bool:
    """Whether a fence names a language, so that it opens a block; prose behind it does not."""
    return bool(match and _INFO.fullmatch(match[2].strip()))
