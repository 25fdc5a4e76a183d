"""Text from strangers made safe for a terminal, and visible on a page.

All that the packages print goes through here, so that nothing is printed as a stranger wrote it: a
test finds any other `print`.
"""

from __future__ import annotations

import re
import sys
from typing import TextIO

# Controls would act or vanish, marks of direction turn the text around them, and characters without
# width or shape (tags, half characters) hide what a name really is.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    # Persian and Hindi are written with these two, and emoji: between such letters they stay.
    r"|(?<![\u0590-\u1fff\u2100-\ufeff\U00010000-\U000dffff])[\u200c\u200d]"
    r"|[\u200c\u200d](?![\u0590-\u1fff\u2100-\ufeff\U00010000-\U000dffff])"
)
_STYLE = re.compile(r"(\x1b\[[0-9;]*m)")
_MOST = 20_000  # characters of an error


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


def printable_json(text: str) -> str:
    r"""JSON text that means the same, and has no such character in it.

    >>> print(printable_json('["\u202e"]'))
    ["\u202e"]
    """
    return _UNSEEN.sub(_escaped, text)


def show(text: str = "", end: str = "\n") -> None:
    """Print text on standard output."""
    _put(printable(text), sys.stdout, end)


def show_styled(text: str) -> None:
    """Print text that has colours of ours; what else is no text is spelt out as ever."""
    parts = _STYLE.split(text)
    plain = (printable(part) if number % 2 == 0 else part for number, part in enumerate(parts))
    _put("".join(plain), sys.stdout)


def show_json(text: str) -> None:
    """Print JSON text, for machines and for people."""
    _put(printable_json(text), sys.stdout)


def complain(text: str, program: str = "curate") -> None:
    """Print an error or a warning on standard error, with the program's name.

    Further lines are indented, so that none of a stranger's looks like one of ours.
    """
    lines = printable(f"{program}: {text}", _MOST).split("\n")
    _put("\n".join([lines[0], *(f"  {line}" if line else "" for line in lines[1:])]), sys.stderr)


def show_over(text: str, columns: int) -> None:
    """Put a line of standard error in place of the one before."""
    _put(f"\r\033[K{printable_line(text)[:columns]}", sys.stderr, "")


def _put(text: str, stream: TextIO, end: str = "\n") -> None:
    # Where a terminal or file takes only Latin letters, others are spelt out too.
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    print(text, end=end, file=stream, flush=True)


def _spelt(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 256:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 65536:
        return f"\\u{code:04x}"
    high, low = divmod(code - 65536, 1024)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
