"""Rows out of a YAML list, one by one: what cannot be built of one costs no other.

The parser gives events, and each row is built from its own. So nothing of a row but its text is
ever nested in a call: depth, aliases and tags are judged row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from curate.base.errors import CurateError
from curate.sources.files.items import Item
from curate.sources.files.json_values import check_unicode

MOST_DEEP = 200  # collections inside each other: nothing that people write is nested deeper
# The parser takes for each of its steps as long as it is deep: here it is given up.
GIVE_UP = 1000

_DEEP = f"nested deeper than {MOST_DEEP}"
_ALIAS = (
    "YAML aliases (*name) are not read, as a few can stand for any amount; write the values out"
)


class _Row(NamedTuple):
    """A row as nodes, with its text; or why it is none."""

    node: Any
    wrong: str | None
    raw: str


def yaml_items(name: str, data: bytes) -> Iterator[Item]:
    """Rows of a YAML list; the line is the row's number. Names of fields become text.

    Raises `CurateError` for what is no list; where the text stops being YAML behind some rows,
    the rest of it is a reject.
    """
    number, text, row = 0, data.decode(errors="backslashreplace"), _Builder()
    try:
        for number, node in enumerate(_rows(name, data, text, row), 1):
            yield _item(number, node)
    except yaml.YAMLError as error:
        wrong = f"not valid YAML ({' '.join(str(error).split())})"
        if not number:
            raise CurateError(f"{name}: {wrong}") from error
        lost = "what follows the row before it is lost"
        rest = text[row.done :].strip()
        yield Item(number + 1, reject=f"invalid_yaml: {wrong}; {lost}", raw=rest)


def _item(number: int, row: _Row) -> Item:
    if row.wrong is not None:
        return Item(number, reject=f"invalid_yaml: {row.wrong}", raw=row.raw)
    try:
        value = _with_text_names(SafeConstructor().construct_document(row.node))
        check_unicode(value, default=str)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        # Tags that do not exist, dates that are none, numbers too long, keys that are lists.
        shown = getattr(error, "problem", None) or str(error)
        wrong = f"invalid_yaml: {' '.join(str(shown).split())}"
        return Item(number, reject=wrong, raw=row.raw)
    return Item(number, value)


def _with_text_names(value: Any) -> Any:
    """The value with text for all names of fields: YAML has `true`, 1 and nothing too."""
    if isinstance(value, list):
        return list(map(_with_text_names, value))
    if not isinstance(value, dict):
        return value
    named = {_text_name(key): _with_text_names(item) for key, item in value.items()}
    if len(named) < len(value):
        raise ValueError("two fields of an object have the same name, one as text")
    return named


def _text_name(key: Any) -> str:
    if isinstance(key, str):
        return key
    if not isinstance(key, bool | int | float | None):
        raise TypeError(f"the name of a field is of type {type(key).__name__}; expected text")
    (name,) = orjson.loads(orjson.dumps({key: 0}, option=orjson.OPT_NON_STR_KEYS))
    return str(name)


def _rows(name: str, data: bytes, text: str, row: _Builder) -> Iterator[_Row]:
    """The elements of the lists that the documents of a text are; `row` puts them together."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    inside = False
    for event in yaml.parse(data, Loader=loader):
        if isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent):
            continue
        if isinstance(event, yaml.DocumentStartEvent | yaml.DocumentEndEvent):
            inside = False
        elif not inside:
            if not isinstance(event, yaml.SequenceStartEvent):
                raise CurateError(f"{name}: expected a YAML list of rows, found {_kind(event)}")
            inside = True
        elif isinstance(event, yaml.SequenceEndEvent) and not row.depth:
            inside = False
        elif row.take(event):
            yield row.finish(text)
        elif row.depth > GIVE_UP:
            yield row.given_up(text)
            return


def _kind(event: Any) -> str:
    if isinstance(event, yaml.MappingStartEvent):
        return "an object"
    return "an alias" if isinstance(event, yaml.AliasEvent) else "a single value"


class _Builder:
    """Puts one row together from its events; nothing more of it is kept after something wrong."""

    def __init__(self) -> None:
        self._resolver = Resolver()
        self.done = 0  # where the text goes on behind the last finished row
        self._clear()

    def _clear(self) -> None:
        self._begins = self._ends = 0
        self._depth = 0
        self._wrong: str | None = None
        self._open: list[Any] = []  # the collections around the next event
        self._keys: list[Any] = []  # for each the key that waits for its value, if it is an object
        self._root: Any = None

    @property
    def depth(self) -> int:
        """How many collections are open; 0 between two rows."""
        return self._depth

    def take(self, event: Any) -> bool:
        """Take the next event; whether the row ends with it."""
        if not self._depth:
            self._begins = event.start_mark.index
        self._ends = event.end_mark.index
        if isinstance(event, yaml.CollectionEndEvent):
            self._depth -= 1
            if self._wrong is None:
                self._open.pop()
                self._keys.pop()
            return not self._depth
        if isinstance(event, yaml.AliasEvent):
            self._wrong = self._wrong or _ALIAS
        elif self._depth >= MOST_DEEP and isinstance(event, yaml.CollectionStartEvent):
            self._wrong = self._wrong or _DEEP
        if self._wrong is None:
            self._add(event)
        self._depth += isinstance(event, yaml.CollectionStartEvent)
        return not self._depth

    def finish(self, text: str) -> _Row:
        """The row; the next event begins another one."""
        row = _Row(self._root, self._wrong, text[self._begins : self._ends].rstrip())
        self.done = self._ends
        self._clear()
        return row

    def given_up(self, text: str) -> _Row:
        """The row that is too deep to go on with, and all behind it."""
        wrong = f"nested deeper than {GIVE_UP:,}; what follows it is lost"
        return _Row(None, wrong, text[self._begins :].rstrip())

    def _add(self, event: Any) -> None:
        node = self._node(event)
        if not self._open:
            self._root = node
        elif isinstance(self._open[-1], yaml.SequenceNode):
            self._open[-1].value.append(node)
        elif self._keys[-1] is None:
            self._keys[-1] = node
        else:
            self._open[-1].value.append((self._keys[-1], node))
            self._keys[-1] = None
        if isinstance(event, yaml.CollectionStartEvent):
            self._open.append(node)
            self._keys.append(None)

    def _node(self, event: Any) -> Any:
        kinds: list[tuple[type[Any], type[Any], Any]] = [
            (yaml.ScalarEvent, yaml.ScalarNode, getattr(event, "value", None)),
            (yaml.SequenceStartEvent, yaml.SequenceNode, []),
            (yaml.MappingStartEvent, yaml.MappingNode, []),
        ]
        kind, value = next((node, given) for one, node, given in kinds if isinstance(event, one))
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._resolver.resolve(kind, value, event.implicit)  # type: ignore[no-untyped-call]
        return kind(tag, value, event.start_mark, event.end_mark)
