"""What a user can mend, and how it is said."""

from __future__ import annotations

from collections.abc import Sequence


class CurateError(Exception):
    """A mistake the user can mend. The command line prints it as it is and exits with 1."""


def one_line(error: BaseException) -> str:
    """The kind and the message of someone else's error, without line breaks.

    >>> one_line(ValueError("no\\nnumber"))
    'ValueError: no number'
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def brief(text: str, most: int = 200) -> str:
    """A text that somebody gave, as it stands in an error: cut where it is long.

    >>> brief("abcdef", 3)
    'abc ... (6 characters)'
    """
    return text if len(text) <= most else f"{text[:most]} ... ({len(text):,} characters)"


def shown(value: object, most: int = 200) -> str:
    """A value that somebody gave, as it stands in an error: as Python writes it, and cut.

    >>> shown([1, "a"])
    "[1, 'a']"
    """
    try:
        return brief(repr(value), most)
    except Exception:  # of a number with 5,000 digits, and of what a user's class makes of it
        return f"a {type(value).__name__} that cannot be shown"


def some_of(names: Sequence[str], most: int = 3) -> str:
    """The first of the names on one line, and how many more there are.

    >>> some_of(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    # A stranger's name with a line break would look like a line of ours.
    return ", ".join(names[:most]).replace("\r", r"\r").replace("\n", r"\n") + more


def nearest(word: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?` for a misspelt word, or the empty string.

    >>> nearest("treshold", ["threshold", "keep"])
    "; did you mean 'threshold'?"
    """
    import difflib

    if len(word) > 100:  # nobody's slip
        return ""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
