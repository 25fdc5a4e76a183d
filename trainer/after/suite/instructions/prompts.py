"""Prompts with instructions that code can check, the same for the same seed and number."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Iterator

from trainer.after.suite.instructions import kinds, word_lists
from trainer.after.suite.instructions.checks import CHECKS
from trainer.after.suite.instructions.conflicts import compatible
from trainer.after.suite.instructions.kinds import Draw, Instruction

PROMPTS = 300
# How many instructions prompts have, in turn: half have one, a third two, a sixth three.
_COUNTS = (1, 2, 1, 3, 1, 2)


@dataclasses.dataclass(frozen=True)
class InstructionPrompt:
    """A prompt, and the instructions in it."""

    number: int
    text: str
    instructions: tuple[Instruction, ...]


def make_prompts(count: int = PROMPTS, seed: int = 0) -> list[InstructionPrompt]:
    """So many prompts, each with one to three instructions that one answer can follow.

    Prompt `n` is the same whatever the count. The kinds take turns in being the first of a prompt;
    those that join it are the ones that were used least. No two prompts have the same request,
    until there are more prompts than requests.

    >>> [prompt] = make_prompts(1)
    >>> [each.kind for each in prompt.instructions]
    ['keywords_present']
    """
    requests = {which: _requests(seed, which) for which in (True, False)}
    used: Counter[str] = Counter()
    made = []
    for number in range(count):
        first = list(CHECKS)[number % len(CHECKS)]
        # Shifted by one each round, so that every kind is alone, and with others.
        wanted = _COUNTS[sum(divmod(number, len(CHECKS))) % len(_COUNTS)]
        chosen = _joined(first, wanted, used, random.Random(f"{seed} kinds {number}"))
        used.update(chosen)
        made.append(_prompt(number, seed, next(requests[first == "one_of"]), chosen))
    return made


def _joined(first: str, wanted: int, used: Counter[str], draws: random.Random) -> list[str]:
    """The first kind, and others that go with it; fewer where nothing does."""
    chosen = [first]
    others = list(CHECKS)
    draws.shuffle(others)
    for kind in sorted(others, key=used.__getitem__):
        if len(chosen) < wanted and compatible([*chosen, kind]):
            chosen.append(kind)
    return chosen


def _requests(seed: int, closed: bool) -> Iterator[str]:
    """Requests in a drawn order; closed ones are questions that a fixed answer suits."""
    made = [each.format(subject) for subject in word_lists.SUBJECTS for each in word_lists.REQUESTS]
    known = list(word_lists.QUESTIONS) if closed else made
    draws = random.Random(f"{seed} requests {closed}")
    while True:
        yield from draws.sample(known, len(known))


def _prompt(number: int, seed: int, request: str, chosen: list[str]) -> InstructionPrompt:
    draws = Draw(f"{seed} values {number}", request)
    instructions = [kinds.draw(kind, draws) for kind in chosen]
    draws.random.shuffle(instructions)
    text = " ".join([request, *(each.text for each in instructions)])
    return InstructionPrompt(number, text, tuple(instructions))
