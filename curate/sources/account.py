"""Which words of a file are in no conversation: every field that holds words is accounted for.

A word of a row is used (it stands in a message, a tool's schema or the rejected side), known to be
no part of the conversation (ids, urls, scores, hashes, timestamps, names of models and labels), or
left over. What is left over is counted by field; nested fields have dotted names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from itertools import chain, repeat
from typing import Any

import orjson

from curate.base.json_text import as_text, loads_exact
from curate.sources.about import LABEL_WORDS, is_about, is_about_value, is_label_name, says_about
from curate.sources.bulk import FlatMessages
from curate.sources.formats.chats import TURN_LISTS
from curate.sources.formats.pairs import is_no_input
from curate.sources.shared.controls import CONTROLS
from curate.sources.shared.convert import Conversation, Row, label_of
from curate.sources.shared.literals import python_value
from curate.sources.shared.turns import FLAGS

_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"\w+")
# Marks of speakers and templates, and tags: no words of anybody.
_MARKS = re.compile(r"<[^<>]{1,60}>|\[/?INST\]|\[\|\w+\|\]|#{2,} ?\w+:?|^\s*\w+:", re.MULTILINE)
_IN_MARKS = "<[#:"  # no mark is without one of them
# Nested names beyond this many are one name: keys may be ids.
MOST_PATHS = 200
_MOST_KEYS = 30


@dataclass
class Leftover:
    """A field whose words are part of no conversation: in how many rows, and how many words."""

    rows: int = 0
    words: int = 0


@dataclass
class Switch:
    """A yes-or-no field of messages that is not understood: rows with it, and whether always so."""

    rows: int = 0
    only_yes_or_no: bool = True


class Spoken:
    """What was said in the conversations of a row; what is rarely asked is made when it is."""

    def __init__(self, texts: Sequence[str], conversations: Sequence[Conversation] = ()) -> None:
        self._texts, self._conversations = texts, conversations
        # Most texts of a row went into messages as they are: the very same objects, found by a
        # look at where they lie. They stay alive as long as this does.
        self._objects = set(map(id, texts))
        self._text: str | None = None
        self._written: list[str] | None = None
        self._called: str | None = None
        self._words: str | None = None

    def is_message(self, text: str) -> bool:
        """Whether a text is a message; False too where only an equal one is."""
        return id(text) in self._objects

    @property
    def text(self) -> str:
        """What the messages say."""
        if self._text is None:
            self._text = "\0".join(self._texts)
        return self._text

    @property
    def written(self) -> list[str]:
        """The JSON of calls and tools."""
        if self._written is None:
            self._written = [text for one in self._conversations for text in _written_in(one)]
        return self._written

    @property
    def called(self) -> str:
        """What stands in calls, tools and columns of the conversations."""
        if self._called is None:
            self._called = "\0".join(chain.from_iterable(map(_called_in, self._conversations)))
        return self._called

    @property
    def words(self) -> str:
        """All of it without punctuation."""
        if self._words is None:
            self._words = " ".join(_WORD.findall(f"{self.text} {self.called}"))
        return self._words

    def has(self, text: str) -> bool:
        """Whether a text stands anywhere in it as it is."""
        # To take calls and tools apart takes long; most of their texts stand so in the JSON.
        return text in self.text or any(text in one for one in self.written) or text in self.called


NOTHING = Spoken(())


@dataclass
class Account:
    """What one file's rows hold beside conversations."""

    rows: int = 0
    left: dict[str, Leftover] = field(default_factory=dict)
    switches: dict[str, Switch] = field(default_factory=dict)

    def plain(self, rows: Sequence[Row], flat: FlatMessages) -> None:
        """Account for rows with the same fields, which all went into flat messages."""
        self.rows += len(rows)
        names = [name for name in rows[0] if name not in flat.used]
        said: list[Spoken] = []
        for name in names:
            values = _not_taken(name, rows, flat)
            if is_about(name):
                if set(map(type, values)) <= _FLAT:
                    continue
                values = [None if says_about(name, value) else value for value in values]
            if not any(map(_may_hold_words, values)):
                continue
            if _are_labels(str(name), values):
                self._count_labels(str(name), Counter(values))
                continue
            said = said or list(map(Spoken, _spoken_in(flat)))
            for value, texts in zip(values, said, strict=True):
                if value:
                    self._count(_leftovers(str(name), value, texts))

    def _count_labels(self, name: str, values: Mapping[str | None, int]) -> None:
        for value, rows in values.items():
            if words := _left_words(name, value or "", NOTHING):
                self._count({name: words * rows}, rows)

    def row(self, row: Row, conversations: Sequence[Conversation]) -> None:
        """Account for one row and the conversations that it became."""
        self.rows += 1
        said = Spoken([text for one in conversations for text in _texts_of(one)], conversations)
        tools = conversations[0].used if conversations[0].tools else ()
        left: dict[str, int] = {}
        for name, value in row.items():
            if not value or not isinstance(value, _WORDY) or says_about(name, value):
                continue
            if isinstance(value, str) and (
                _is_as_it_was(name, value, said) or _is_category(name, value, conversations)
            ):
                continue
            if name in ("tools", "functions") and name in tools:
                continue
            if name in CONTROLS and name in conversations[0].used:
                continue  # a list of yes and no as a text, which is obeyed
            for path, words in _leftovers(str(name), value, said).items():
                left[path] = left.get(path, 0) + words
        self._count(left)
        self._switches(row)

    def _count(self, left: Mapping[str, int], rows: int = 1) -> None:
        for path, words in left.items():
            if path not in self.left and len(self.left) >= MOST_PATHS:
                path = path.partition(".")[0]
            entry = self.left.setdefault(path, Leftover())
            entry.rows += rows
            entry.words += words

    def _switches(self, row: Row) -> None:
        """Yes-or-no fields of messages."""
        found: dict[str, bool] = {}
        for name in _TURNS.intersection(row):
            for entry in row[name] if isinstance(row[name], list) else ():
                for key, item in entry.items() if isinstance(entry, dict) else ():
                    if isinstance(item, _NUMBERS) and not is_about(str(key)):
                        path = f"{name}.{key}"
                        found[path] = found.get(path, True) and item in (0, 1)
        for path, is_switch in found.items():
            if path.rpartition(".")[2] not in _UNDERSTOOD:
                entry = self.switches.setdefault(path, Switch())
                entry.rows += 1
                entry.only_yes_or_no &= is_switch


_TURNS = frozenset(TURN_LISTS)
_UNDERSTOOD = frozenset((*CONTROLS, *FLAGS))
_NUMBERS = (int, float)
_FLAT = frozenset((str, int, float, bool, type(None)))
_WORDY = (str, list, dict)


def _not_taken(name: str, rows: Sequence[Row], flat: FlatMessages) -> list[Any]:
    """The values of a field, without those that became a column or part of a conversation."""
    values = [row[name] for row in rows]
    if name in flat.categories:
        labels = (label_of(row, flat.categories)[1] for row in rows)
        values = [None if name in one else value for value, one in zip(values, labels, strict=True)]
    if flat.taken:
        each = zip(values, flat.taken, strict=True)
        values = [None if name in taken else value for value, taken in each]
    return values


def _is_category(name: Any, value: str, conversations: Sequence[Conversation]) -> bool:
    """Whether a field became the column `category`."""
    return any(one.category == value and name in one.used for one in conversations)


def _spoken_in(flat: FlatMessages) -> Iterator[list[str]]:
    """What was said in each conversation."""
    end = 0
    for length, rejected in zip(
        flat.lengths, flat.rejected or repeat(None, len(flat.lengths)), strict=True
    ):
        start, end = end, end + length
        said = flat.contents[start:end]
        yield said if rejected is None else [*said, rejected]


def _may_hold_words(value: Any) -> bool:
    return isinstance(value, _WORDY)


def _are_labels(name: str, values: Sequence[Any]) -> bool:
    return is_label_name(name) and all(
        value is None or (isinstance(value, str) and _is_label(value))
        for value in set(map(_hashable, values))
    )


def _is_label(text: str) -> bool:
    return len(text.split()) <= LABEL_WORDS and not text.startswith(_OPENING)


def _hashable(value: Any) -> Any:
    return value if isinstance(value, str) or value is None else 0


def _texts_of(conversation: Conversation) -> list[str]:
    texts: list[str] = []
    for message in chain(conversation.messages, conversation.rejected or ()):
        texts.append(message["content"])
        if len(message) > 2:
            texts += [message[key] for key in _TEXT_KEYS if message.get(key)]
    return texts


_TEXT_KEYS = ("reasoning", "name", "tool_call_id")


def _written_in(conversation: Conversation) -> list[str]:
    """The JSON of the calls and the tools."""
    messages = chain(conversation.messages, conversation.rejected or ())
    written = [one["tool_calls"] for one in messages if len(one) > 2 and one.get("tool_calls")]
    return [*written, conversation.tools] if conversation.tools else written


def _called_in(conversation: Conversation) -> Iterator[str]:
    for written in _written_in(conversation):
        yield written
        yield from _strings(loads_exact(written))
    if conversation.meta is not None:
        yield as_text(conversation.meta)


def _strings(value: Any) -> list[str]:
    """All texts of a value, names of fields too, in order."""
    found: list[str] = []
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            for key, item in reversed(value.items()):
                waiting += (item, key)
        elif isinstance(value, list):
            waiting += reversed(value)
    return found


def _is_as_it_was(name: Any, text: str, said: Spoken) -> bool:
    """Whether a text is a message as it is, and no label, whose words count all the same."""
    return said.is_message(text) and not is_label_name(str(name))


def _is_message(entry: Any, said: Spoken, depth: int = 0) -> bool:
    """Whether an object, such as a turn, has nothing but messages as they are and what is known."""
    if not isinstance(entry, dict) or depth > 1:
        return False
    for name, value in entry.items():
        if isinstance(value, str):
            if not is_about(name) and not _is_as_it_was(name, value, said):
                return False
        elif isinstance(value, list):  # the parts of a turn
            if not all(_is_message(part, said, depth + 1) for part in value):
                return False
        elif value and isinstance(value, dict):
            return False
    return True


def _leftovers(name: str, value: Any, said: Spoken) -> dict[str, int]:
    """The words of a field that were not said, by the names of nested fields."""
    left: dict[str, int] = {}
    waiting = [(name, name, value, 0)]
    while waiting:
        path, key, value, depth = waiting.pop()
        if isinstance(value, str):
            is_json = value[:1] in _OPENING and depth < _DEEPEST
            # JSON that was said as it stands is no more taken apart than any other text.
            inner = _inner(value) if is_json and not _is_repeated(key, value, said) else None
            if inner is not None:
                waiting.append((path, key, inner, depth + 1))
            elif words := _left_words(key, value, said):
                left[path] = left.get(path, 0) + words
        elif depth < _DEEPEST and isinstance(value, dict):
            many = len(value) > _MOST_KEYS
            for under, item in value.items():
                if item and isinstance(item, _WORDY) and not says_about(under, item):
                    if isinstance(item, str) and _is_as_it_was(under, item, said):
                        continue
                    shown = "*" if is_about_value(str(under)) else under
                    inside = path if many and isinstance(item, dict) else f"{path}.{shown}"
                    # What a call is given is no label of the row, whatever it is called.
                    called = key if key in _GIVEN else str(under)
                    waiting.append((inside, called, item, depth + 1))
        elif depth < _DEEPEST and isinstance(value, list):
            waiting += [
                (path, key, item, depth + 1) for item in value if not _is_message(item, said)
            ]
        elif words := sum(_left_words(key, text, said) for text in _texts(value)):
            left[path] = left.get(path, 0) + words  # too deep to be looked at, and yet counted
    return left


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value, however deep they are."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict | list):
            waiting += each.values() if isinstance(each, dict) else each


def _is_repeated(name: str, text: str, said: Spoken) -> bool:
    return not is_label_name(name) and text in said.text


_OPENING = ("{", "[")
_GIVEN = ("arguments", "args", "parameters")
# Nothing that people write is nested deeper.
_DEEPEST = 40


def _inner(text: str) -> Any:
    """What a text holds that is JSON, or Python's, of an object or a list."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        value = python_value(text) if _PRINTED.match(text) and len(text) < _PRINTED_SIZE else None
        return value if isinstance(value, list | dict) else None


# Python's lists and objects begin with a text in single quotes, or with another object.
_PRINTED = re.compile(r"\[['\"{]|\{'")
_PRINTED_SIZE = 100_000


def _left_words(name: str, text: str, said: Spoken) -> int:
    """How many words of a text were not said; 0 where it is no text, or one about the row."""
    bare = text.strip()
    if is_label_name(name) and len(bare.split()) <= LABEL_WORDS:
        # Few words stand in many texts by chance; only those that are words of a label count.
        return len(bare.split()) if _LETTER.search(bare) and not is_about_value(bare) else 0
    if text in said.text:
        return 0
    if name == "input" and is_no_input(bare):
        return 0
    if said.has(bare) or not _LETTER.search(bare) or is_about_value(bare):
        return 0
    # A text may have been taken apart, at speakers or tags: then its pieces were said.
    plain = unescape(bare)
    pieces = _MARKS.split(plain) if any(mark in plain for mark in _IN_MARKS) else [plain]
    return sum(len(words) for words in map(_WORD.findall, pieces) if not _are_words_of(said, words))


def _are_words_of(said: Spoken, words: list[str]) -> bool:
    """Whether words follow each other in what was said."""
    # To list all the words that were said takes long, and nearly always one is missing in it.
    return all(map(said.has, words)) and " ".join(words) in said.words
