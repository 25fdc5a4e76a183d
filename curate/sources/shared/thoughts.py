"""Reasoning that was written into an answer between marks of its own."""

from __future__ import annotations

import re
from typing import NamedTuple


class Thought(NamedTuple):
    """An answer's reasoning and what it says after it."""

    reasoning: str
    content: str


_MARKS = re.compile(r"<\|(?:begin|end)_of_(?:thought|solution)\|>")
NOTE = "`<|begin_of_thought|>` opens an answer's reasoning, `<|begin_of_solution|>` the answer"


def opens_thought(text: str) -> bool:
    """Whether an answer begins with the mark of its reasoning."""
    return text.lstrip().startswith("<|begin_of_thought|>")


def split_thought(text: str) -> Thought | None:
    """OpenThoughts' and Sky-T1's answers in two; None where the marks are not all in place.

    >>> split_thought("<|begin_of_thought|>Hm.<|end_of_thought|><|begin_of_solution|>4")
    Thought(reasoning='Hm.', content='4')
    """
    before, begins, rest = text.partition("<|begin_of_thought|>")
    thought, ends, solution = rest.partition("<|end_of_thought|>")
    if not begins or not ends or before.strip():
        return None
    solution = solution.strip().removeprefix("<|begin_of_solution|>")
    thought, solution = thought.strip(), solution.removesuffix("<|end_of_solution|>").strip()
    # An answer that never came, or marks inside the marks: better left as it is.
    broken = not thought or not solution or _MARKS.search(thought) or _MARKS.search(solution)
    return None if broken else Thought(thought, solution)
