"""Values of JSON text one after another, over lines or on one, whole and broken ones."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import orjson

from curate.base.json_text import as_written, exact_decoder
from curate.sources.files.containers import (
    NAMED,
    conversation,
    element,
    is_message,
    named,
    names_in,
    rows_of,
)
from curate.sources.files.items import AnyItem, IsRow, Item, Note, Numbers

# What may stand between values besides white space: commas, byte order marks of files that were
# put together, and the record separators of JSON text sequences (RFC 7464).
GLUE = re.compile("[\\s,\ufeff\x1e]*")


def check_unicode(value: Any, default: Callable[[Any], Any] | None = None) -> None:
    """Raise ValueError for half a surrogate pair, which is no character and cannot be stored.

    `default` gives what is written for a value without a JSON type.
    """
    if default is None:
        try:
            orjson.dumps(value, default=as_written)
            return
        except TypeError:
            pass  # half a pair, or only what the fast writer does not take
    json.dumps(value, ensure_ascii=False, default=default).encode()


DECODER = exact_decoder()


class Cursor:
    """A position in JSON text, and the line that it is on.

    `places` find where reading goes on behind a broken value. Of the text as a whole the parser's
    errors cost as much time as it is long: behind the first of them values are read out of a
    window of it, so that many broken values take as long as their text.
    """

    def __init__(self, text: str, line: int) -> None:
        self.text, self.line, self.position = text, line, 0
        self.places = Places(text)
        self._suspicious = "\\ud" in text or "\\uD" in text
        self._window: int | None = None
        self._asked = self._line_begins = 0

    def move(self, position: int) -> None:
        """Go on to a later position."""
        self.line += self.text.count("\n", self.position, position)
        self.position = position

    def skip(self) -> bool:
        """Go on to what is neither white space nor a comma; False at the end of the text."""
        gap = GLUE.match(self.text, self.position)
        self.move(gap.end() if gap else self.position)
        return self.position < len(self.text)

    def value(self) -> Any:
        """The value that begins here, which is gone past; raises what the parser does."""
        value, end = self.decoded(self.position)
        if self._suspicious and self._has_surrogates(end):
            check_unicode(value)
        self.move(end)
        return value

    def decoded(self, start: int) -> tuple[Any, int]:
        """The value that begins at a place, and where it ends; raises what the parser does."""
        if self._window is None:
            try:
                return DECODER.raw_decode(self.text, start)
            except json.JSONDecodeError as error:
                self._window = WINDOW
                raise _at(error, error.pos - start) from None
        size = self._window
        while start + size < len(self.text):
            piece = self.text[start : start + size]
            try:
                value, end = DECODER.raw_decode(piece)
                if end < size - _TAIL:
                    return value, start + end
            except json.JSONDecodeError as error:
                if error.pos < size - _TAIL and not error.msg.startswith("Unterminated"):
                    raise _at(error, error.pos) from None
            size *= 4
        value, end = DECODER.raw_decode(self.text[start:])
        return value, start + end

    def indent(self, start: int) -> str:
        """What stands in the line before a place, which is behind all that was asked for before."""
        begins = self.text.rfind("\n", self._asked, start) + 1
        self._line_begins = begins or self._line_begins
        self._asked = start
        if start - self._line_begins > _MOST_INDENT:
            return "..."  # something stands before it
        return self.text[self._line_begins : start]

    def _has_surrogates(self, end: int) -> bool:
        """Whether the text from here to `end` may hold escapes of surrogates."""
        halves = (self.text.find(half, self.position, end) for half in ("\\ud", "\\uD"))
        return any(at >= 0 for at in halves)


# Characters that are looked at first, and those at the end of them that may be half of something.
WINDOW = 1 << 10
_TAIL = 16
_MOST_INDENT = 1000


def _at(error: json.JSONDecodeError, position: int) -> json.JSONDecodeError:
    """The error with a position counted from where its value begins, and without the text."""
    return json.JSONDecodeError(error.msg, "", position)


class Places:
    """Where lines of a text begin with an object or a list, by how far they are indented.

    It is gone through once, and not before it is asked for.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._of: dict[tuple[str, str], list[int]] | None = None

    def following(self, indent: str, opening: str, start: int) -> int | None:
        """The first place behind `start` where a line so indented opens something; None if none."""
        if self._of is None:
            self._of = {}
            for found in _OPENED_LINE.finditer(self._text):
                self._of.setdefault((found[1], found[2]), []).append(found.start(2))
        places = self._of.get((indent, opening), [])
        at = bisect_right(places, start)
        return places[at] if at < len(places) else None


_OPENED_LINE = re.compile(r"\n([^\S\n]*)([{\[])")


def document_items(data: bytes, is_row: IsRow) -> Iterator[AnyItem]:
    """The rows of values over several lines, each with the one on which it begins.

    As soon as one begins where another does, all are numbered.
    """
    rows = values(Cursor(data.decode(errors="backslashreplace"), 1), is_row)
    lines: list[int] = []
    last: Item | None = None
    for row in rows:
        if not isinstance(row, Item):
            yield row
        elif last is None and (not lines or lines[-1] < row.line):
            lines.append(row.line)
            yield row
        elif last is None and row.reject is not None:
            # At the end, it is what follows the rows, and may begin where the last of them does.
            last = row
        else:
            shared = [row] if last is None else [last, row]
            yield from _numbered(lines, shared, rows)
            return
    if last is not None:
        yield last


def _numbered(
    lines: list[int], shared: list[Item], rows: Iterator[Item | Note]
) -> Iterator[AnyItem]:
    """The rows from those on that share a line with an earlier one; `lines` are of all before."""
    yield Numbers(lines)
    number = len(lines)
    for row in chain(shared, rows):
        number += isinstance(row, Item)
        yield row._replace(line=number) if isinstance(row, Item) else row


def values(at: Cursor, is_row: IsRow) -> Iterator[Item | Note]:
    """The rows of all values of a text, each with the line on which it begins."""
    is_first = True
    while at.skip():
        line = at.line
        if at.text[at.position] == "[":
            yield from _array(at, is_row)
        else:
            try:
                value = at.value()
            except (ValueError, RecursionError) as error:
                yield _broken(at, error, _next_value(at, at.position))
            else:
                alone = is_first and not at.skip()
                yield from each_at(line, rows_of(value, is_row, alone=alone))
        is_first = False


def _array(at: Cursor, is_row: IsRow) -> Iterator[Item | Note]:
    """The rows of an array, one by one: a broken element takes no other one with it."""
    if (whole := _conversation(at, is_row)) is not None:
        yield whole
        return
    names: list[str] | None = None
    is_first = True
    at.position += 1
    while at.skip():
        line = at.line
        if at.text[at.position] == "]":
            at.position += 1
            return
        try:
            value = at.value()
        except (ValueError, RecursionError) as error:
            yield _broken_element(at, error)
            if at.position == len(at.text):
                return
            continue
        if is_first and (names := names_in(value, is_row)):
            yield Note(NAMED)
        elif names:
            yield named(names, value, "the first list")._replace(line=line)
        elif type(value) is dict and "row" not in value:
            yield Item(line, value)  # what `element` gives for nearly all
        else:
            yield from each_at(line, element(value, is_row))
        is_first = False
    yield Item(at.line, reject="invalid_json: the array is never closed; what followed it is lost")


def _conversation(at: Cursor, is_row: IsRow) -> Item | None:
    """The array that begins here as one row, if it is one of messages; else it is not gone past.

    A conversation with a broken message is a reject: one that lacks a turn says something else.
    """
    gap = GLUE.match(at.text, at.position + 1)
    try:
        first, _ = at.decoded(gap.end() if gap else at.position + 1)
        if not is_message(first) or is_row(first):
            return None
    except (ValueError, RecursionError):
        return None
    line, begins = at.line, at.position
    try:
        messages = at.value()
    except (ValueError, RecursionError) as error:
        return _broken(at, error, _next_value(at, begins))
    if all(map(is_message, messages)):
        return Item(line, conversation(messages))
    at.line, at.position = line, begins
    return None


def _broken(at: Cursor, error: Exception, end: int, more: str = "") -> Item:
    """A reject for the text from here to `end`, which is gone past."""
    raw = at.text[at.position : end].rstrip().removesuffix(",")
    item = Item(at.line, reject=f"invalid_json: {reason(error)}{more}", raw=raw)
    at.move(end)
    return item


def reason(error: Exception) -> str:
    """Why a value could not be read, in a few words."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos} of the element"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    # Python reads no integers of more digits than this.
    return "a number of more than 4,300 digits" if "digits" in str(error) else str(error)


def _next_value(at: Cursor, start: int) -> int:
    """Where reading can go on after a broken value: where a line begins with another, or the end.

    It is indented as the broken one is: what is indented further is inside of that.
    """
    indent = at.indent(start)
    indent = "" if indent.strip() else indent
    found = (at.places.following(indent, opening, start) for opening in "{[")
    return min((place for place in found if place is not None), default=len(at.text))


def _broken_element(at: Cursor, error: Exception) -> Item:
    end = _next_element(at, at.position)
    # At the end of the text, nothing tells the rows behind it from its own text.
    lost = "; the file ends with it, and any row behind it is lost"
    return _broken(at, error, end, lost if end == len(at.text) else "")


def _next_element(at: Cursor, start: int) -> int:
    """Where reading can go on after a broken element: the next object, or the end.

    An object that begins a line as the broken element does (same indentation) is its neighbour;
    without one, what follows the next closed object.
    """
    indent = at.indent(start)
    if not indent.strip():
        neighbour = at.places.following(indent, "{", start)
        if neighbour is not None:
            return neighbour
    following = _NEXT_OBJECT.search(at.text, start)
    return following.end() if following else len(at.text)


_NEXT_OBJECT = re.compile(r"\}\s*,\s*(?=\{)")


UNREADABLE = -1  # JSON, but with numbers too long or nested too deeply to be read


def wrong_at(text: str, start: int) -> int | None:
    """The position at which a value turns out to be no JSON; None if it does nowhere."""
    try:
        DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        is_cut = not text[error.pos :].strip()
        return len(text) if is_cut else error.pos
    except (ValueError, RecursionError):
        return UNREADABLE
    return None


def each_at(line: int, rows: Iterator[Item | Note]) -> Iterator[Item | Note]:
    """Rows that share a line, each with the number of it."""
    for row in rows:
        yield Item(line, *row[1:]) if isinstance(row, Item) else row
