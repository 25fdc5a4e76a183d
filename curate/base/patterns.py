"""Patterns of a stranger's tokenizer: none that takes for ever on some texts.

The library tries a pattern at every place of a text, and has no limit of time. What is exponential
is a repetition without an end of what is itself repeated so, as in `(a+)+`, and of what matches
some text in two ways, as in `(\\w|\\d)+` or `(a|aa)+`: such a pattern is refused before anything is
read with it. No published tokenizer that is known here has one.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
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

_TOKENS = re.compile(rf"{_PARTS.pattern}|\|", re.DOTALL)
# A repetition without an end, or of ten times and more, that gives back what it took.
_MANY = re.compile(r"[*+](?!\+)|\{\d*,(?:\d\d+)?\}|\{\d\d+\}")
_LETTERS = "aB1 \n_.'-é中😀"  # one of each kind that patterns tell apart


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


def repeats_choices(pattern: str) -> bool:
    """Whether a group that is repeated many times matches some short text in two ways.

    >>> repeats_choices(r"(\\w|\\d)+$"), repeats_choices(r"(?:\\w|\\s)+$")
    (True, False)
    """
    return any(_is_ambiguous(start, choices) for start, choices in _repeated(pattern))


def _repeated(pattern: str) -> Iterator[tuple[str, list[str]]]:
    """The groups that are repeated many times: how each begins, and what it is a choice of."""
    open_groups: list[tuple[str, list[int]]] = []
    for match in _TOKENS.finditer(pattern):
        part = match[0]
        if part.startswith("("):
            open_groups.append((part, [match.end()]))
        elif part == "|" and open_groups:
            open_groups[-1][1].append(match.end())
        elif part == ")" and open_groups:
            start, places = open_groups.pop()
            follows = _MANY.match(pattern, match.end())
            # With nothing after it, it never gives back what it took.
            is_last = follows and not open_groups and pattern[follows.end() :][:1] in ("", "|")
            if follows and not is_last and start[:3] not in ("(?=", "(?!", "(?<", "(?>"):
                ends = [place - 1 for place in places[1:]] + [match.start()]
                yield start, [pattern[a:b] for a, b in zip(places, ends, strict=True)]


def _is_ambiguous(start: str, choices: Sequence[str]) -> bool:
    """Whether some text of up to three characters is more than one sequence of these choices.

    Or may be, where a choice cannot be tried by itself.
    """
    import tokenizers

    own = re.sub(r"\\.|[\[\](){}|*+?^$]", "", "".join(choices))
    letters = "".join(dict.fromkeys(f"{own[:8]}{_LETTERS}"))
    texts = ["".join(some) for size in (1, 2, 3) for some in product(letters, repeat=size)]
    ways: Counter[str] = Counter()
    for choice in choices:
        try:
            found = tokenizers.Regex(f"\\A{start}{choice})\\z")
        except Exception:  # the library's own; it depends on a part of the pattern elsewhere, as
            return True  # on a group that it names: nobody can say here that it is not slow
        replace = tokenizers.normalizers.Replace(found, "")
        ways.update(text for text in texts if not replace.normalize_str(text))
    whole = ways.copy()
    for text in texts:  # the shorter ones first
        ways[text] += sum(whole[text[:at]] * ways[text[at:]] for at in range(1, len(text)))
    return any(count > 1 for count in ways.values())


def is_slow(pattern: str) -> bool:
    """Whether a pattern may take for ever on some texts."""
    return repeats_repetitions(pattern) or repeats_choices(pattern)


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
            if len(pattern) > LONGEST or is_slow(pattern):
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
