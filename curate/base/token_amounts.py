"""Amounts of tokens as people write them: `25k`, `1.5M`."""

from __future__ import annotations

_SIZES = {"k": 1_000, "m": 1_000_000}


def amount_of(text: str) -> int:
    """The whole number of tokens, from 1, that a text says. Raises `ValueError` for any other text.

    >>> amount_of("25k"), amount_of("50000"), amount_of("1.5M")
    (25000, 50000, 1500000)
    """
    number, size = text, 1
    if text and text[-1].lower() in _SIZES:
        number, size = text[:-1], _SIZES[text[-1].lower()]
    try:
        amount = float(number) * size
        whole = round(amount)
    except (ValueError, OverflowError):
        amount, whole = 0.0, -1
    # 1.1 million is no whole number in floating point, but for its last digit.
    if whole < 1 or abs(whole - amount) > 1e-9 * whole:
        raise ValueError(f"{text!r} is no amount of tokens")
    return whole
