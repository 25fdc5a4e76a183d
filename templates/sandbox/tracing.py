"""The sandbox in which texts keep their origin."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jinja2 import pass_eval_context
from jinja2.filters import FILTERS

from curate.base.sandbox.environment import tojson
from curate.base.sandbox.limits import FILTER_CHECKS, bounded_join, checked_first
from templates.provenance import TEMPLATE, TracedStr, joined
from templates.sandbox.environment import Sandbox


class Tracing(Sandbox):
    """The sandbox with every joint of text made traceable."""

    def __init__(self) -> None:
        super().__init__()
        self.filters["tojson"] = checked_first(FILTER_CHECKS["tojson"], traced_json)
        self.filters["safe"] = _same
        self.filters["join"] = bounded_join(_traced_join)
        for name in ("tojson", "safe", "join"):
            self.filters[name] = self.costs.charged(name, self.filters[name])

    def joined(self, parts: list[str]) -> str:
        """Parts as one text that keeps their origins."""
        return joined(parts)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """An attribute; a plain text's methods are those of a traced one."""
        return super().getattr(_traceable(obj), attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An item or attribute, as `getattr`."""
        return super().getitem(_traceable(obj), argument)


def _traceable(value: Any) -> Any:
    """A plain text that is about to act on texts (`', '.join(...)`) as a traced one."""
    return TracedStr(value) if value.__class__ is str else value


def _same(value: Any) -> Any:
    return value


@pass_eval_context
def _traced_join(context: Any, items: Iterable[Any], d: str = "", attribute: Any = None) -> str:
    if attribute is not None:
        plain: str = FILTERS["join"](context, items, d, attribute)
        return plain
    return TracedStr(str(d)).join(map(str, items))


def traced_json(value: Any, **options: Any) -> str:
    """`tojson` that keeps origins: each text of the data is found in the JSON, in order."""
    text = tojson(value, **options)
    encode = json.JSONEncoder(ensure_ascii=options.get("ensure_ascii", False)).encode
    parts: list[str] = []
    cursor = done = 0
    for source in _texts(value, bool(options.get("sort_keys", False))):
        quoted = encode(source)
        start = text.index(quoted, cursor) + 1  # all quoted texts before it were passed over
        cursor = start + len(quoted) - 1
        parts += [text[done:start], _escaped(source, quoted[1:-1], encode)]
        done = cursor - 1
    return joined([*parts, text[done:]])


def _texts(value: Any, sort_keys: bool) -> Iterator[str]:
    """The texts of plain data in the order in which JSON writes them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in sorted(value.items()) if sort_keys else value.items():
            yield key if isinstance(key, str) else json.dumps(key)
            yield from _texts(item, sort_keys)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, sort_keys)


def _escaped(source: str, written: str, encode: Callable[[str], str]) -> str:
    if not isinstance(source, TracedStr):
        return written
    if len(written) == len(source):
        return TracedStr(written, source.runs)
    # An escape is several characters that all come from the one they stand for.
    sizes = (len(encode(str.__getitem__(source, place))) - 2 for place in range(len(source)))
    runs = (
        (1, first + place if first != TEMPLATE else TEMPLATE)
        for length, first in source.runs
        for place in range(length)
    )
    return TracedStr(
        written, tuple(run for size, run in zip(sizes, runs, strict=True) for _ in range(size))
    )
