"""Text of any encoding that its first bytes tell, as UTF-8."""

from __future__ import annotations

# With a byte order mark the codec finds the order of the bytes itself; UTF-32's is looked for
# first, as it begins as UTF-16's does.
_MARKED = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_LOOKED_AT = 16


def encoding_of(data: bytes) -> str | None:
    """The encoding in units of two or four bytes that text is in; None for UTF-8, or no text.

    Without a byte order mark it shows in plain letters, of whose bytes all but one are zero.
    """
    for mark, encoding in _MARKED.items():
        if data.startswith(mark):
            return encoding
    begin = data[:_LOOKED_AT]
    kinds = (encoding for encoding, places in _UNMARKED.items() if _holds_letters(begin, *places))
    return next(kinds, None)


# How many bytes a character has, and which of them a plain letter is.
_UNMARKED = {"utf-32-le": (4, 0), "utf-32-be": (4, 3), "utf-16-le": (2, 0), "utf-16-be": (2, 1)}


def _holds_letters(begin: bytes, width: int, at: int) -> bool:
    letters = begin[at::width]
    others = [begin[other::width] for other in range(width) if other != at]
    is_plain = bool(letters) and all(9 <= letter < 127 for letter in letters)
    return is_plain and all(other and not any(other) for other in others)


def as_utf8(data: bytes) -> bytes:
    """Text as UTF-8 without byte order mark; broken UTF-16 stays broken, and is rejected later."""
    encoding = encoding_of(data)
    if encoding is None:
        return data.removeprefix(b"\xef\xbb\xbf")
    # Some bytes too many at the end are half a character: it may not take the whole file with it.
    width = 4 if "32" in encoding else 2
    whole = data[: len(data) // width * width]
    text = whole.decode(encoding, errors="surrogatepass").removeprefix("\ufeff")
    return text.encode("utf-8", errors="surrogatepass")
