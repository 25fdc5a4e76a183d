"""Values that users write, in recipes and after `=` on the command line: YAML's core schema.

PyYAML reads YAML 1.1, in which `off` is False, `1e-5` is text, `2024-07-26` is a date and `1:30`
is ninety. Here they are what version 1.2 makes of them: text, a number, text and text
(https://yaml.org/spec/1.2.2/#103-core-schema). What that schema does not know (dates, sets, binary
data, Python's objects) is an error with its line, and so is what would take long to read.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from curate.base.errors import CurateError, brief

LONGEST = 200_000  # characters of a text; it is read at some 50,000 a second
DEEPEST = 50  # lists and mappings inside of each other
MOST = 100_000  # values, those counted anew that an alias repeats

_TAG = "tag:yaml.org,2002:"


class NotYaml(CurateError):
    """A text that is no YAML, or not of the kind that is read here; says the line and why.

    `line` counts from 1, 0 where it is the text as a whole; `reason` is without it.
    """

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        self.reason, self.line = reason, line
        places = [f"line {line}"] * (line > 0) + [f"column {column}"] * (column > 0)
        super().__init__(f"{', '.join(places)}: {reason}" if places else reason)


class _Core(yaml.SafeLoader):
    """Safe, with the implicit types and tags of YAML 1.2 alone, and bounded."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.sizes: dict[int, int] = {}  # values in each list and mapping, by its node

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self.depth += 1
        if self.depth > DEEPEST:
            _fail(f"more than {DEEPEST} lists or mappings inside of each other", event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if isinstance(node, yaml.ScalarNode):
            return node
        if not isinstance(event, yaml.AliasEvent):
            self.sizes[id(node)] = self._size(node)
        elif id(node) not in self.sizes:  # it is not yet at its end
            _fail(f"*{event.anchor} stands inside of what it names", event)
        return node

    def _size(self, node: Any) -> int:
        size = 1 + sum(self.sizes.get(id(part), 1) for part in _parts(node))
        if size > MOST:
            _fail(f"more than {MOST:,} values, those that aliases repeat included", node)
        return size

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except Exception as error:  # `!!int abc`, a number of 5,000 digits
            kind, is_text = node.tag.removeprefix(_TAG), isinstance(node, yaml.ScalarNode)
            what = f"{node.value!r:.60}" if is_text else "a list or mapping"
            raise yaml.constructor.ConstructorError(
                None, None, f"{what} cannot be read as {kind}", node.start_mark
            ) from error


def _parts(node: Any) -> list[Any]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value)


def _fail(why: str, at: Any) -> None:
    raise yaml.composer.ComposerError(None, None, why, at.start_mark)


for _name, _written, _first in (
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    _Core.add_implicit_resolver(f"{_TAG}{_name}", re.compile(f"(?:{_written})$"), _first)


def _mapping(loader: _Core, node: yaml.MappingNode) -> dict[Any, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise TypeError("no mapping")
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(
                None, None, "a list or mapping cannot be a name", key.start_mark
            )
        if key.value in seen and key.tag != f"{_TAG}merge":
            raise yaml.constructor.ConstructorError(
                None, None, f"{key.value!r:.60} is given twice", key.start_mark
            )
        seen.add(key.value)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


def _sequence(loader: _Core, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node, deep=True)


def _int(loader: _Core, node: yaml.ScalarNode) -> int:
    return int(node.value)  # 010 is ten, not eight


def _unknown(loader: _Core, node: Any) -> None:
    tag = node.tag.replace(_TAG, "!!")
    _fail(f"the tag {tag!r} is none of YAML's core schema, which alone is read here", node)


# The tags of the core schema; `None` is any other.
_Core.yaml_constructors = {
    f"{_TAG}null": _Core.construct_yaml_null,
    f"{_TAG}bool": _Core.construct_yaml_bool,
    f"{_TAG}int": _int,
    f"{_TAG}float": _Core.construct_yaml_float,
    f"{_TAG}str": _Core.construct_yaml_str,
    f"{_TAG}seq": _sequence,
    f"{_TAG}map": _mapping,
    None: _unknown,
}


def load(text: str) -> Any:
    """The value of a YAML text. Raises `NotYaml`, whose message has the line.

    >>> load("{off: [loop], lr: 1e-5, day: 2024-07-26}")
    {'off': ['loop'], 'lr': 1e-05, 'day': '2024-07-26'}
    """
    if len(text) > LONGEST:
        raise NotYaml(f"{len(text):,} characters; expected at most {LONGEST:,}")
    try:
        loader = _Core(text)
    except yaml.reader.ReaderError as error:
        line, code = text.count("\n", 0, error.position) + 1, f"U+{error.character:04X}"
        raise NotYaml(f"the character {code} is not allowed", line) from error
    try:
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        raise _explained(error) from error
    except (ValueError, OverflowError) as error:  # an escape that names no character
        raise NotYaml(f"{error}", loader.line + 1, loader.column + 1) from error


def _explained(error: yaml.MarkedYAMLError) -> NotYaml:
    """Where it is, and what is wrong, without the lines around it."""
    mark = error.problem_mark or error.context_mark
    context = f"{error.context}, " if error.context else ""
    reason = brief(" ".join(f"{context}{error.problem or 'not readable'}".split()))
    return NotYaml(reason, mark.line + 1, mark.column + 1) if mark else NotYaml(reason)
