"""What would help where a template refuses many rows: options that are tried, not guessed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl

from curate.base.errors import CurateError
from curate.base.spelling import option, stop, template_argument
from templates.cards.probes import verify
from templates.options import DEFAULTS, RenderOptions
from templates.proof.probing import (
    ANSWER,
    ARGUMENT,
    RESULT,
    USER,
    USER_2,
    Probing,
    answer,
    call,
    result,
    user,
)
from templates.refusals import Refusal
from templates.sandbox.programs import SearchEnded, TooCostly
from templates.spans import MARK
from templates.template import THINKING, ChatTemplate, bind
from templates.tokenizer.tokenizer import Tokenizer

TRIED = 100  # rows that each remedy is tried on: the first ones
SHOWN = 3  # the best remedies
MANY = 0.1  # of the rows: remedies are looked for where so many or more were refused


@dataclass(frozen=True)
class Candidate:
    """An option to try, as it is spelt, and what it changes."""

    name: str
    changes: Mapping[str, Any]

    def beside(self, other: Candidate) -> Candidate:
        """Both options together; where both change the same, this one's."""
        return Candidate(f"{self.name} {other.name}", {**other.changes, **self.changes})


Passing = Callable[[pl.DataFrame, RenderOptions], int]  # how many of the rows these options render


@dataclass(frozen=True)
class Remedy:
    """An option with which `passed` of the first `tried` rows are rendered."""

    option: str
    passed: int
    tried: int

    def __str__(self) -> str:
        return f"{self.option}: {self.passed:,} of the first {self.tried:,} rows would be rendered"


class Found(NamedTuple):
    """Remedies, the best first; and why not all options were tried, if they were not."""

    remedies: tuple[Remedy, ...] = ()
    cut: str = ""


def remedy_lines(found: Found) -> list[str]:
    """Remedies as lines below a refusal; one if nothing that was tried helps."""
    lines = [f"  {remedy}" for remedy in found.remedies]
    lines = lines or ["  no option that was tried renders more of the rows"]
    return [*lines, f"  {found.cut}"] if found.cut else lines


def are_many(refused: int, rows: int) -> bool:
    """Whether so many rows were refused that remedies are looked for."""
    return refused >= MANY * max(rows, 1)


def find_remedies(
    records: pl.DataFrame,
    template: ChatTemplate,
    tokenizer: Tokenizer | None,
    options: RenderOptions,
    passing: Passing,
) -> Found:
    """The options with which more of the first rows are rendered than now, the best ones first.

    Each is tried alone, and the two best of them together. None of them makes up for words that a
    template drops; they say where a turn ends, or which of two prompts it is generated after. With
    a stranger's template all of it takes seconds at most: `cut` says if not all was tried.
    """
    first = records.head(TRIED)
    tried, found, cut = 0, list[tuple[int, Candidate]](), ""

    def take(candidates: Iterable[Candidate], best: int) -> None:
        nonlocal tried
        for candidate in candidates:
            passed = passing(first, dataclasses.replace(options, **candidate.changes))
            tried += 1
            if passed > best:
                found.append((passed, candidate))
        found.sort(key=lambda one: -one[0])  # stable: of equal ones the first tried

    try:
        with template.search():
            now = passing(first, options)
            known = [*_candidates(template, tokenizer, options)]
            take(known, now)
            if not found:  # a switch that a template insists on hides what else it lacks
                switches = [one for one in known if "arguments" in one.changes]
                pairs = [(one, other) for one in switches for other in known if other is not one]
                take((one.beside(other) for one, other in pairs), now)
            elif len(found) > 1 and found[0][0] < first.height:
                take([found[0][1].beside(found[1][1])], found[0][0])
    except SearchEnded:
        cut = f"{tried:,} options were tried, and no more: the template takes too long"
    found.sort(key=lambda one: -one[0])
    best = tuple(Remedy(one.name, passed, first.height) for passed, one in found[:SHOWN])
    return Found(best, cut)


def _candidates(
    template: ChatTemplate, tokenizer: Tokenizer | None, options: RenderOptions
) -> Iterator[Candidate]:
    """Options to try, by how they are spelt."""
    reads = _reads(template) | (_reads(template.tool_use) if template.tool_use else frozenset())
    for switch in (True, False):
        if THINKING in reads and THINKING not in options.arguments:
            arguments = {**options.arguments, THINKING: switch}
            yield Candidate(template_argument(THINKING, switch), {"arguments": arguments})
    for text in _following(template, tokenizer, options):
        yield Candidate(stop(text), {"stops": (*options.stops, text)})
    if not options.append_eos:
        yield Candidate(option("append_eos", True), {"append_eos": True})
    for name, value in (
        ("completion", "raw"),
        ("mask", "operational"),
        ("history", "split"),
        ("boundary", "split"),
        ("control", "text"),
        ("inline_think", "move"),
    ):
        if getattr(options, name) != value:
            yield Candidate(option(name, value), {name: value})


def working(
    template: ChatTemplate, tokenizer: Tokenizer | None, options: RenderOptions = DEFAULTS
) -> tuple[str, ...]:
    """The options with which a template is safe for plain conversations, as they are spelt.

    To try them takes together no more than one rendering may; those after that are not found.
    """
    found = []
    with template.allowance():
        try:
            tried = [*_candidates(template, tokenizer, options)]
        except TooCostly:
            return ()
        for one in tried:
            try:
                card = verify(template, tokenizer, dataclasses.replace(options, **one.changes))
            except CurateError:
                continue  # no better than without
            if not card.problems:
                found.append(one.name)
    return tuple(found)


def _reads(template: ChatTemplate) -> frozenset[str]:
    """The variables that a template reads; none of one that cannot be read itself."""
    try:
        return template.reads
    except CurateError:
        return frozenset()


def _following(
    template: ChatTemplate, tokenizer: Tokenizer | None, options: RenderOptions
) -> tuple[str, ...]:
    """Tokens and marks that follow answers and calls, the first and last; no known stops."""
    if tokenizer is None:
        return ()
    try:
        plain = bind(template, tokenizer, options.date, options.arguments)
    except CurateError:
        return ()  # one that cannot be read writes nothing
    tails = []
    for renderer in (plain, Probing.of_tools(plain)):
        for messages, after, before in (
            ([answer(ANSWER), user(USER_2)], ANSWER, USER_2),
            ([call(ARGUMENT), result()], ARGUMENT, RESULT),
        ):
            for count in (1, 2):  # last, and before another message
                try:
                    text = renderer.text([user(USER), *messages[:count]], None)
                except Refusal:
                    continue
                tails.append(text.partition(after)[2].partition(before)[0])
    found = [MARK.findall(tail) for tail in tails]
    texts = [text for marks in found for text in (*marks[:1], *marks[-1:])]
    for tail in tails:
        tokens = tokenizer.own(tail)
        texts += [tail[one.start : one.stop] for one in (*tokens[:1], *tokens[-1:])]
    known = {*options.stops, *template.stops}
    known |= {tokenizer.backend.id_to_token(number) for number in tokenizer.eos_ids}
    return tuple(dict.fromkeys(text for text in texts if text not in known))
