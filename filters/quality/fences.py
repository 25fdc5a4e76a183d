"""Fenced code blocks, read line by line."""

from __future__ import annotations

import re

FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})(.*)")
# Also behind the marks of quotations and lists.
FENCE_INSIDE = re.compile(r"[ \t]*(?:>[ \t]?)*(?:[-*+][ \t]+|\d+[.)][ \t]+)?(`{3,}|~{3,})(.*)")


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
