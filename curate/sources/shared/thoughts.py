"""Reasoning that was written into an answer between marks of its own."""

from __future__ import annotations

import re
from typing import NamedTuple


class Thought(NamedTuple):
    """An answer's reasoning and what it says after it."""

    reasoning: str
    content: str


# The fields of a row in which its answer's reasoning stands.
REASONING = (
    *("reasoning_content", "reasoning", "thinking", "thoughts", "complex_cot"),
    *("chain_of_thought", "thinking_trajectory"),
)
# What a field of these names says where it tells how to think, and not what was thought.
SETTINGS = frozenset(
    (
        *("", "on", "off", "yes", "no", "true", "false", "none", "null", "n/a", "nan", "auto"),
        *("low", "medium", "high", "minimal", "enabled", "disabled", "default"),
    )
)


def is_thought(value: object) -> bool:
    """Whether the value of a field of reasoning is a text of it, rather than a setting.

    >>> is_thought("Two and two make four."), is_thought("off")
    (True, False)
    """
    return isinstance(value, str) and value.strip().lower() not in SETTINGS


THOUGHT = "<|begin_of_thought|>"
_MARKS = re.compile(r"<\|(?:begin|end)_of_(?:thought|solution)\|>")
NOTE = "`<|begin_of_thought|>` opens an answer's reasoning, `<|begin_of_solution|>` the answer"


def opens_thought(text: str) -> bool:
    """Whether an answer begins with the mark of its reasoning."""
    # Nearly all texts fail the first look, which costs a tenth of the second.
    return text[:1] in _FIRST and text.lstrip().startswith(THOUGHT)


_FIRST = ("<", " ", "\n", "\t", "\r")


def split_thought(text: str) -> Thought | None:
    """OpenThoughts' and Sky-T1's answers in two; None where the marks are not all in place.

    >>> split_thought("<|begin_of_thought|>Hm.<|end_of_thought|><|begin_of_solution|>4")
    Thought(reasoning='Hm.', content='4')
    """
    before, begins, rest = text.partition(THOUGHT)
    thought, ends, solution = rest.partition("<|end_of_thought|>")
    if not begins or not ends or before.strip():
        return None
    solution = solution.strip().removeprefix("<|begin_of_solution|>")
    thought, solution = thought.strip(), solution.removesuffix("<|end_of_solution|>").strip()
    # An answer that never came, or marks inside the marks: better left as it is.
    broken = not thought or not solution or _MARKS.search(thought) or _MARKS.search(solution)
    return None if broken else Thought(thought, solution)
