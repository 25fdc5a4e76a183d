"""Values that users write, in recipes and after `=` on the command line: YAML's core schema.

PyYAML reads YAML 1.1, in which `off` is False, `1e-5` is text, `2024-07-26` is a date and `1:30`
is ninety. Here they are what version 1.2 makes of them: text, a number, text and text
(https://yaml.org/spec/1.2.2/#103-core-schema).
"""

from __future__ import annotations

import re
from typing import Any

import yaml


class _Core(yaml.SafeLoader):
    """Safe, with the implicit types of YAML 1.2 alone."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


for _tag, _written, _first in (
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
    _Core.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_written})$"), _first)


def _mapping(loader: _Core, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: list[str] = []
    for key, _ in node.value:
        if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
            raise yaml.constructor.ConstructorError(
                None, None, f"{key.value!r} is given twice", key.start_mark
            )
        seen.append(key.value)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


def _int(loader: _Core, node: yaml.ScalarNode) -> int:
    return int(node.value)  # 010 is ten, not eight


_Core.add_constructor("tag:yaml.org,2002:map", _mapping)
_Core.add_constructor("tag:yaml.org,2002:int", _int)


def load(text: str) -> Any:
    """The value of a YAML text. Raises `yaml.YAMLError`.

    >>> load("{off: [loop], lr: 1e-5, day: 2024-07-26}")
    {'off': ['loop'], 'lr': 1e-05, 'day': '2024-07-26'}
    """
    return yaml.load(text, Loader=_Core)
