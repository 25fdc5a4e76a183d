"""What the values that a template reads and makes cost it, in steps.

A filter, a method, a comparison or a key is one step of a template and may be any amount of work:
on a long text, or on lists that hold each other many times over and are written out in full.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from types import GeneratorType
from typing import Any

import jinja2.nodes
from jinja2.runtime import LoopContext
from jinja2.utils import Namespace

from curate.base.sandbox.limits import LONG_TEXT, MAX_DEPTH, LimitExceeded, check_size

# The filters that charge for the values of comparisons, keys and slices.
DEEP, ITEMS, SHALLOW = "_charge_deep", "_charge_items", "_charge_shallow"
ITEM = 4  # what an item costs where all are written
PLAIN = frozenset({bool, int, float, type(None)})
TEXTS = (str, bytes)
LISTS = (dict, list, tuple)
VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
NESTED: Any = (*LISTS, *VIEWS, Namespace)  # what is written with all that it holds
ITERATORS: Any = (GeneratorType, reversed, LoopContext)  # what gives its items one by one

# Filters that look at the items they are given alone, not into them.
SHALLOW_FILTERS = (
    "_counted", "batch", "count", "d", "default", "first", "items", "last", "length",
    "list", "map", "reject", "rejectattr", "reverse", "select", "selectattr", "slice",
)  # fmt: skip
# Filters that compare or hash the items of what they are given.
ITERATING = ("groupby", "join", "max", "min", "sort", "sum", "unique")
# Filters that are slow for each character.
SLOW = ("indent", "pprint", "striptags", "title", "urlize", "wordcount", "wordwrap")


class Costs:
    """What values cost in one environment, counted by `spend(steps)`."""

    def __init__(self, spend: Callable[[int], None]) -> None:
        self._spend = spend

    def charge_deep(self, value: Any, item: int = 1) -> Any:
        """A value that is compared, hashed, or read as a whole: as text, or item by item."""
        if value.__class__ in PLAIN:
            return value
        if isinstance(value, TEXTS):
            if len(value) > LONG_TEXT:
                self._spend(len(value) // 64)
        elif isinstance(value, NESTED):
            self.charge_nested(value, item)
        return value

    def charge_items(self, value: Any, item: int = 1) -> Any:
        """A value whose items are compared, hashed or read, also if it gives them one by one."""
        if isinstance(value, ITERATORS):
            return self._charging(value, item)
        return self.charge_deep(value, item)

    def _charging(self, values: Iterable[Any], item: int) -> Iterator[Any]:
        """The values of an iterator, each charged when it is taken."""
        for value in values:
            self._spend(1)
            yield self.charge_deep(value, item)

    def charge_nested(self, value: Any, cost: int = ITEM) -> None:
        """Steps for each item, met again or not: what it takes to write or compare it all.

        Raises `LimitExceeded` also for more text than a template may build, and for lists that
        lie too deep in each other.
        """
        characters = depth = 0
        level: list[Any] = [value]
        while level:
            below: list[Any] = []
            for item in level:
                if isinstance(item, TEXTS):
                    characters += len(item)
                elif isinstance(item, Namespace):
                    below.append(item._Namespace__attrs)  # its items, which it hides
                elif isinstance(item, LoopContext):
                    below += (item._before, item._current, item._after)
                elif isinstance(item, NESTED):
                    self._spend(cost * (len(item) + 1))
                    below += item
                    if isinstance(item, dict):
                        below += item.values()
            depth += 1
            if depth > MAX_DEPTH:
                raise LimitExceeded(f"lists in lists, more than {MAX_DEPTH} deep")
            level = below
        check_size(characters)
        self._spend(characters // 64)

    def charge_shallow(self, value: Any) -> Any:
        """A value that is taken or made without a look into its items."""
        if value.__class__ in PLAIN:
            return value
        if isinstance(value, TEXTS):
            if len(value) > LONG_TEXT:
                check_size(len(value))
                self._spend(len(value) // 64)
        elif isinstance(value, LISTS):
            self._spend(len(value) // 8)
        return value

    def charged(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter that costs what it reads and what it makes."""
        reads = (
            self.charge_shallow
            if name in SHALLOW_FILTERS
            else functools.partial(self.charge_deep, item=ITEM)
        )
        slow = name in SLOW

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if name in ITERATING:  # some are given the context first
                args = tuple([self.charge_items(value, ITEM) for value in args])
            else:
                for value in args:
                    reads(value)
            for value in kwargs.values():
                reads(value)
            if slow:
                for value in (*args, *kwargs.values()):
                    self._spend(len(value) if isinstance(value, str) else 0)
            result = function(*args, **kwargs)
            self.charge_shallow(result)
            return result

        return checked

    def charged_test(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A test that costs what it reads."""

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            for value in (*args, *kwargs.values()) if kwargs else args:
                self.charge_deep(value)
            return function(*args, **kwargs)

        return checked

    def is_in(self, value: Any, seq: Any) -> bool:
        """The test `in`."""
        self.charge_deep(value)
        return value in self.charge_items(seq)


def charge_operands(source: jinja2.nodes.Template) -> None:
    """Have every value counted that a template compares, slices or takes as a key.

    Changes the tree.
    """
    for compare in source.find_all(jinja2.nodes.Compare):
        compare.expr = _through_filter(DEEP, compare.expr)
        for operand in compare.ops:
            looks_in = operand.op in ("in", "notin")
            operand.expr = _through_filter(ITEMS if looks_in else DEEP, operand.expr)
    for item in source.find_all(jinja2.nodes.Getitem):
        if isinstance(item.arg, jinja2.nodes.Slice):
            item.node = _through_filter(SHALLOW, item.node)
        else:
            item.arg = _through_filter(DEEP, item.arg)
    for pair in source.find_all(jinja2.nodes.Pair):
        pair.key = _through_filter(DEEP, pair.key)


def _through_filter(name: str, value: jinja2.nodes.Expr) -> jinja2.nodes.Expr:
    if isinstance(value, jinja2.nodes.Const):
        return value
    return jinja2.nodes.Filter(value, name, [], [], None, None, lineno=value.lineno)
