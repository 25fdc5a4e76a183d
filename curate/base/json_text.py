"""JSON whose numbers stay as they were written: long integers, the digits of decimals."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

# A number that a double, or 64 bits, may not hold as it is written.
# One digit stands before all alternatives: so the search leaps from digit to digit.
_PRECISE = re.compile(rb"\d(?:\d{15}|\.\d|[eE][-+]?\d)")
_INT64, _UINT64 = -(2**63), 2**64 - 1


class Number(float):
    """A number that no float or 64-bit integer writes as it was written: `100.50`, or 2 ** 70."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Number:
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __repr__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[type[Number], tuple[str]]:
        return Number, (self.text,)


def loads_exact(text: str | bytes) -> Any:
    """A JSON value; `dumps` writes its numbers as they were. Raises ValueError, as `json.loads`.

    >>> dumps(loads_exact('{"account": 40817810099910004312, "amount": 100.50}'))
    '{"account":40817810099910004312,"amount":100.50}'
    """
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if not _PRECISE.search(data):
        return orjson.loads(data)
    try:
        return json.loads(data, parse_float=_decimal, parse_int=_integer, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def needs_exact(data: bytes) -> bool:
    """Whether a text may hold numbers that `loads_exact` alone keeps and that may matter.

    Those are numbers of 16 digits or more, and any in the arguments of calls.
    """
    calls = b'"arguments"' in data or b'"parameters"' in data or b'"tool_calls"' in data
    return calls or may_hold_long_numbers(data)


def may_hold_long_numbers(data: bytes) -> bool:
    """Whether a text may hold a number of 16 digits or more."""
    return _LONG in data.translate(_DIGITS)


# Two calls in C are several times as fast as a pattern.
_DIGITS = bytes(ord("0") if chr(byte).isdecimal() and byte < 128 else 32 for byte in range(256))
_LONG = b"0" * 16


def dumps(value: Any) -> str:
    """A JSON value as compact text. Raises TypeError for what JSON cannot hold.

    >>> dumps({"a": [1, None]})
    '{"a":[1,null]}'
    """
    return orjson.dumps(value, default=as_written).decode()


def as_written(value: Any) -> orjson.Fragment:
    """For `orjson.dumps(default=...)`: a `Number` with its digits. Raises TypeError for others."""
    if isinstance(value, Number):
        return orjson.Fragment(value.text)
    raise TypeError(f"a value of type {type(value).__name__} is no JSON")


def as_text(value: Any) -> str:
    """Any value as JSON text, to be looked at: what JSON has no type for is there as a text."""
    try:
        return orjson.dumps(value, default=_shown, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        pass  # nested deeper than JSON writers go, or a number longer than they write
    try:
        return repr(value)
    except (RecursionError, ValueError):
        return "(nested too deeply, or with numbers too long, to be shown)"


def _shown(value: Any) -> Any:
    return as_written(value) if isinstance(value, Number) else str(value)


def exact_decoder() -> json.JSONDecoder:
    """Python's decoder, which takes NaN, with numbers as `loads_exact` gives them."""
    return json.JSONDecoder(parse_float=_decimal, parse_int=_integer)


def _decimal(text: str) -> float:
    number = float(text)
    return number if repr(number) == text else Number(text)


def _integer(text: str) -> int | float:
    if len(text) < 19:
        return int(text)
    if len(text) > 20:
        return Number(text)
    number = int(text)
    return number if _INT64 <= number <= _UINT64 else Number(text)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
