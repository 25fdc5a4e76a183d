"""Text as Python prints values, which tables hold where somebody wrote objects without JSON."""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any

# A longer text of Python is not worth the memory that its parser takes.
_LITERAL_SIZE = 1_000_000


def python_value(text: str) -> Any:
    """The value of a literal of Python's; None where it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # escapes that are none
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


# Texts are passed over: what looks like the end of an object in them is none.
_NO_COMMA = re.compile(
    r"""(?P<text>'(?:[^'\\]|\\.?)*+(?:'|\Z)|"(?:[^"\\]|\\.?)*+(?:"|\Z))|\}\s+\{""", re.DOTALL
)


def python_objects(text: str) -> Any:
    """The objects that Python, or numpy, printed; None where it is none.

    numpy puts no comma between the objects of a list.

    >>> python_objects("[{'role': 'user'} {'role': 'assistant'}]")
    [{'role': 'user'}, {'role': 'assistant'}]
    """
    if len(text) > _LITERAL_SIZE or "{'" not in text[:80]:
        return None
    value = python_value(text.strip())
    if value is None:
        value = python_value(_NO_COMMA.sub(lambda found: found["text"] or "},{", text.strip()))
    return value
