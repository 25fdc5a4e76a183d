"""Questions of a few words, which say little alone: with their answer, choices or passage."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import NamedTuple

from filters.decontaminate.align import TURNS, Item, Place, item_of, place
from filters.decontaminate.tokens import Tokens

# What stands beside the question in a text, by the code that is measured.
BESIDE = ("answer", "choices", "passage")
# A shorter answer must stand this close behind the question: alone it may stand anywhere.
NEAR, LONG_ANSWER = 20, 4
# Words that any question may have, and answers that any choice may be.
_WORDS = (
    "a an the of and or to in on at by for from with as into than that this these those it its "
    "they their he she his her you your we our i me my be s re d ve ll m was were been do does "
    "did can could should may might must not no yes true false correct incorrect right wrong "
    "which what who whom whose when where why how many much following statement statements best "
    "worst most least describes describe described answer answers option options choice choices "
    "choose select pick question questions example examples term definition define mean means "
    "meant called known except all any none both some above below one two only same other "
    "another if there here please give name say tell about more less unknown neither nor either"
)
_GENERIC = frozenset(_WORDS.split())


class Probe(NamedTuple):
    """A question, the answers that count as right, the choices and the passage it comes with."""

    question: str
    answers: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    context: str = ""

    @property
    def pieces(self) -> tuple[str, ...]:
        """All texts of which a leaked row has some."""
        return (self.question, *self.answers, *self.choices, *filter(None, [self.context]))


def telling(words: Iterable[str]) -> set[str]:
    """The words that are not in every other question."""
    return {word for word in words if word not in _GENERIC and (word[0].isalnum())}


def is_generic(question: str) -> bool:
    """Whether a question says nothing without its choices.

    >>> [is_generic(text) for text in ("Which of these is true?", "What is anomie?")]
    [True, False]
    """
    return not telling(item_of(question).words.words)


def found_beside(probe: Probe, spoken: Tokens, known: Container[str]) -> tuple[int, int] | None:
    """What stands beside the question in all that is said (a position of `BESIDE`), and how many
    changes the question has; None if it is not there, or alone."""
    question = item_of(probe.question)
    at = question_place(question, spoken, known)
    if at is None:
        at = place(question, spoken, known)
        if at is None or not _leads_to(probe.choices, spoken, at):
            return None
    if probe.context:
        return (2, at.changes) if place(item_of(probe.context), spoken, known) else None
    if _has_choices(question, probe.choices, spoken, known):
        return 1, at.changes
    if any(_has_answer(question, answer, spoken, at, known) for answer in probe.answers):
        return 0, at.changes
    return None


def question_place(question: Item, text: Tokens, known: Container[str]) -> Place | None:
    """Where a question stands in a text as a sentence of its own, or None.

    One of one or two words must begin there too.
    """
    low, is_tiny = 0, len(question.words.words) < 3
    while (at := place(question, text, known, low)) is not None:
        if text.closes[at.end - 1] and (text.opens[at.start] or not is_tiny):
            return at
        low = at.start + 1
    return None


def _leads_to(choices: tuple[str, ...], text: Tokens, at: Place) -> bool:
    """Whether a choice, or its letter and then the choice, comes right behind a place."""
    behind = text.words[at.end : at.end + 2]
    if behind and len(behind[0]) > 1:
        behind = behind[:1]
    if TURNS & {*behind}:
        return False
    return any(item_of(choice).words.words[:1] == [word] for choice in choices for word in behind)


def _has_choices(
    question: Item, choices: tuple[str, ...], text: Tokens, known: Container[str]
) -> bool:
    """Whether all choices but one are there, and say more than "yes", "no" and "both"."""
    found = [item for item in map(item_of, choices) if place(item, text, known)]
    if len(found) < max(2, len(choices) - 1):
        return False
    words = [word for item in found for word in item.words.words]
    return len(telling([*question.words.words, *words])) > 3 and len(telling(words)) > 1


def _has_answer(
    question: Item, answer: str, text: Tokens, at: Place, known: Container[str]
) -> bool:
    """Whether the answer is there: anywhere if it is long, right behind the question if not."""
    wanted = item_of(answer)
    if not telling(question.words.words) or not telling(wanted.words.words):
        return False
    found = place(wanted, text, known, at.end)
    if found is None:
        return False
    return len(wanted.words.words) >= LONG_ANSWER or found.start - at.end < NEAR
