"""Patterns of a stranger's tokenizer: none that takes for ever on some texts.

The library tries a pattern at every place of a text, and has no limit of time. What is exponential
is a repetition without an end of what is itself repeated so, as in `(a+)+`: such a pattern is
refused before anything is read with it. No published tokenizer that is known here has one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError, shown

LONGEST = 20_000  # characters of a pattern; published ones have a few hundred
# An escape, a class of characters (others may stand in it), an end of a group with its repetition,
# a repetition, a start of a group.
_PARTS = re.compile(
    r"\\p\{[^}]*\}|\\.|\[(?:\\.|\[:[^]]*:\]|[^\]\\])*\]|\((?:\?(?:[:=!>]|<[=!]|[a-z-]*:))?"
    r"|\)|(?:[*+]|\{\d*,\})[+?]?",
    re.DOTALL,
)


def repeats_repetitions(pattern: str) -> bool:
    """Whether something that is repeated without an end is repeated so again.

    >>> repeats_repetitions("(a+)+"), repeats_repetitions(r" ?[^\\s]+[\\r\\n]*|\\s+")
    (True, False)
    """
    inside = [False]  # whether what is read so far of each open group has such a repetition
    ended = False  # whether the group that ended last has one
    for match in _PARTS.finditer(pattern):
        part = match[0]
        if part.startswith("("):
            inside.append(False)
        elif part == ")" and len(inside) > 1:
            ended = inside.pop()
            inside[-1] |= ended
            follows = _PARTS.match(pattern, match.end())
            if ended and follows is not None and follows[0][0] in "*+{":
                # `++` after a group gives nothing back, so that nothing is tried twice.
                return not follows[0].endswith("+") or len(follows[0]) == 1
        elif part[0] in "*+{" and (len(part) == 1 or not part.endswith("+")):
            inside[-1] = True
    return False


def check_patterns(data: bytes, path: Path) -> None:
    """Raise `CurateError` for a `tokenizer.json` with a pattern that may take for ever."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CurateError(f"{path}: no readable tokenizer: {error}") from error
    if not isinstance(content, dict):
        raise CurateError(f"{path}: no readable tokenizer: it is no JSON object")
    # The vocabulary, by far the most of it, has none.
    for name in ("normalizer", "pre_tokenizer", "decoder", "post_processor"):
        for pattern in _patterns(content.get(name)):
            if len(pattern) > LONGEST or repeats_repetitions(pattern):
                raise CurateError(
                    f"{path}: its {name} has the pattern {shown(pattern, 100)}, which may take for "
                    "ever on some texts; give another tokenizer"
                )


def _patterns(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(pattern := value.get("Regex"), str):
            yield pattern
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _patterns(part)
