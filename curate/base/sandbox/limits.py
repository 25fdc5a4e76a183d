"""How much a template may build: checked before it is built."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jinja2

MAX_SOURCE = 1_000_000  # characters of a template
MAX_TEXT = 16_000_000  # characters of any text that a template builds
MAX_STEPS = 2_000_000  # loop items and operations of one rendering: about two seconds
CALL_STEPS = 20  # what a call costs
LONG_TEXT = 4_096  # building a text longer than this costs a step for every 64 characters
MAX_WIDTH = 1_000  # columns that a filter may pad to
MAX_BITS = 10_000  # of a whole number
MAX_DEPTH = 200  # of lists in lists: hashing a deeper one may overflow the stack of the process
MAX_MESSAGE = 1_000  # characters of an error that are shown

SIZED = (str, bytes, list, tuple)


class LimitExceeded(jinja2.TemplateRuntimeError):
    """A template asked for more text, steps or width than it may have."""


def check_operands(operator: str, left: Any, right: Any) -> None:
    """Refuse `'x' * 10**9`, `9**9**9` and `'%999999999d'` before they are computed."""
    if operator == "*":
        for text, times in ((left, right), (right, left)):
            if isinstance(text, SIZED) and isinstance(times, int):
                check_size(len(text) * times)
    if operator == "%" and isinstance(left, str):
        check_format(left, right if isinstance(right, tuple) else (right,))
    elif isinstance(left, int) and isinstance(right, int) and operator in "**":
        bits = left.bit_length()
        bits = bits * right if operator == "**" else bits + right.bit_length()
        if bits > MAX_BITS:
            raise LimitExceeded("a number of too many digits")


def check_method(
    name: str, owner: Any, arguments: tuple[Any, ...], named: Mapping[str, Any]
) -> tuple[Any, ...]:
    """Refuse methods that would build an enormous text; the arguments, to be read once more."""
    if name in ("ljust", "rjust", "center", "zfill", "to_bytes"):
        check_width((*arguments, *named.values()))
    elif name == "expandtabs":
        check_width((*arguments, *named.values()))
        check_size(len(owner) * max([8, *arguments, *named.values()]))
    elif name == "translate" and arguments and isinstance(arguments[0], Mapping):
        texts = (len(text) for text in arguments[0].values() if isinstance(text, str))
        check_size(len(owner) * max(texts, default=1))
    elif name == "replace" and len(arguments) >= 2:
        check_size(_replaced(owner, arguments[0], arguments[1]))
    elif name == "join" and arguments:
        items = arguments[0] if isinstance(arguments[0], SIZED) else list(arguments[0])
        check_size(len(owner) * len(items))
        check_size(_joined(owner, items))
        return (items, *arguments[1:])
    return arguments


def checked_first(check: Callable[..., None], function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose arguments a check sees before it is called."""

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        check(*args, **kwargs)
        return function(*args, **kwargs)

    return checked


def bounded_join(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter `join`, whose items are counted before they are joined."""

    @functools.wraps(function)
    def checked(context: Any, items: Any, d: Any = "", attribute: Any = None) -> Any:
        items = list(items)
        check_size(_joined(str(d), items))
        return function(context, items, d, attribute)

    return checked


def _check_widths(_: Any, *args: Any, **kwargs: Any) -> None:
    check_width((*args, *kwargs.values()))


def _check_replace(_: Any, text: Any, old: Any, new: Any, *__: Any, **___: Any) -> None:
    check_size(_replaced(str(text), str(old), str(new)))


def _check_indent(text: Any, width: Any = 4, *more: Any, **named: Any) -> None:
    _check_widths(text, width, *more, **named)
    check_size(str(text).count("\n") * (width if isinstance(width, int) else len(width)))


def _check_filled(value: Any, *args: Any, **kwargs: Any) -> None:
    check_format(str(value), (*args, *kwargs.values()))


def _check_json(value: Any, *args: Any, **kwargs: Any) -> None:
    """Refuse JSON whose indents alone would be an enormous text."""
    _check_widths(value, *args, **kwargs)
    given = kwargs.get("indent", args[1] if len(args) > 1 else None)
    width = len(given) if isinstance(given, str) else given if isinstance(given, int) else 0
    characters, left = 0, [(value, 1)]
    while left and width > 0:
        item, depth = left.pop()
        if isinstance(item, Mapping | list | tuple):
            characters += (len(item) + 1) * width * depth
            check_size(characters)
            inside = item.values() if isinstance(item, Mapping) else item
            left += [(one, depth + 1) for one in inside]


# What sees the arguments of a filter before the filter does.
FILTER_CHECKS: dict[str, Callable[..., None]] = {
    **dict.fromkeys(("batch", "center", "round", "slice", "wordwrap"), _check_widths),
    "tojson": _check_json,
    "replace": _check_replace,
    "format": _check_filled,
    "indent": _check_indent,
}


def _replaced(text: str, old: Any, new: Any) -> int:
    return len(text) + text.count(str(old)) * len(str(new))


def _joined(separator: str, items: Iterable[Any]) -> int:
    return sum(len(separator) + (len(item) if isinstance(item, str) else 1) for item in items)


def check_size(characters: int) -> None:
    """Raise `LimitExceeded` for a text of too many characters."""
    if characters > MAX_TEXT:
        raise LimitExceeded(f"a text of more than {MAX_TEXT:,} characters")


def check_width(arguments: Iterable[Any]) -> None:
    """Raise `LimitExceeded` if any of the arguments is a width of too many columns."""
    if any(isinstance(width, int) and abs(width) > MAX_WIDTH for width in arguments):
        raise LimitExceeded(f"a width of more than {MAX_WIDTH:,}")


def check_format(text: str, arguments: tuple[Any, ...], fields: bool = False) -> None:
    """Refuse widths that are enormous, or given by data inside of a `{...}` field."""
    if fields and re.search(r"\{[^{}]*\{", text.replace("{{", "")):
        raise LimitExceeded("a width that is no number")
    widths = [int(digits[:9]) for digits in re.findall(r"\d+", text)]
    if "*" in text:
        widths += [argument for argument in arguments if isinstance(argument, int)]
    check_width(widths)
