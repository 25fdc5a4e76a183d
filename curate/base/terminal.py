"""Text from strangers made safe for a terminal, and visible on a page."""

from __future__ import annotations

import re

# Controls would act or vanish; direction overrides would turn the text around them.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)


def printable(text: str, limit: int | None = None) -> str:
    r"""The text with control characters spelt out, cut visibly after `limit` characters.

    >>> print(printable("a\x1b[31mb\u202e"))
    a\x1b[31mb\u202e
    >>> print(printable("abcdef", 3))
    abc … 3 more characters
    """
    if limit is not None and len(text) > limit:
        text = f"{text[:limit]} … {len(text) - limit:,} more characters"
    return _UNSEEN.sub(_spelt, text)


def printable_line(text: str, limit: int | None = None) -> str:
    r"""As `printable`, on one line: breaks and tabs are spelt out too, so that no name makes lines.

    >>> print(printable_line("a\nb"))
    a\nb
    """
    return printable(text, limit).replace("\n", r"\n").replace("\t", r"\t")


def printed(name: str) -> tuple[str, ...]:
    """A name, and all that a terminal shows in its place: what a user may copy from there."""
    return name, printable(name), printable_line(name)


def _spelt(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
