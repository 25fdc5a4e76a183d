"""Text from strangers made safe for a terminal."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str, limit: int | None = None) -> str:
    r"""The text with control characters spelt out, cut visibly after `limit` characters.

    >>> print(printable("a\x1b[31mb"))
    a\x1b[31mb
    >>> print(printable("abcdef", 3))
    abc … 3 more characters
    """
    if limit is not None and len(text) > limit:
        text = f"{text[:limit]} … {len(text) - limit:,} more characters"
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
