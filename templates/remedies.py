"""What would help where a template refuses most rows: options that are tried, not guessed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
from templates.template import THINKING, ChatTemplate, bind
from templates.tokenizer.tokenizer import Tokenizer

TRIED = 100  # rows that each remedy is tried on: the first ones
SHOWN = 3  # the best remedies

Passing = Callable[[pl.DataFrame, RenderOptions], int]  # how many of the rows these options render


@dataclass(frozen=True)
class Remedy:
    """An option with which `passed` of the first `tried` rows are rendered."""

    option: str
    passed: int
    tried: int

    def __str__(self) -> str:
        return f"{self.option}: {self.passed:,} of the first {self.tried:,} rows would be rendered"


def remedy_lines(remedies: Sequence[Remedy]) -> list[str]:
    """Remedies as lines below a refusal; one if nothing that was tried helps."""
    if not remedies:
        return ["  no option that was tried renders more of the rows"]
    return [f"  {remedy}" for remedy in remedies]


def find_remedies(
    records: pl.DataFrame,
    template: ChatTemplate,
    tokenizer: Tokenizer | None,
    options: RenderOptions,
    passing: Passing,
) -> tuple[Remedy, ...]:
    """The options with which more of the first rows are rendered than now, the best ones first.

    Each is tried alone, and the two best of them together. None of them makes up for words that a
    template drops; they say where a turn ends, or which of two prompts it is generated after.
    """
    first = records.head(TRIED)
    now = passing(first, options)
    found: list[tuple[int, str, Mapping[str, Any]]] = []
    for name, changes in _candidates(template, tokenizer, options):
        passed = passing(first, dataclasses.replace(options, **changes))
        if passed > now:
            found.append((passed, name, changes))
    found.sort(key=lambda one: -one[0])  # stable: of equal ones the first tried
    if len(found) > 1 and found[0][0] < first.height:
        both = " ".join(name for _, name, _ in found[:2])
        changes = {**found[1][2], **found[0][2]}
        passed = passing(first, dataclasses.replace(options, **changes))
        if passed > found[0][0]:
            found.insert(0, (passed, both, changes))
    return tuple(Remedy(name, passed, first.height) for passed, name, _ in found[:SHOWN])


def _candidates(
    template: ChatTemplate, tokenizer: Tokenizer | None, options: RenderOptions
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Options to try, by how they are spelt."""
    reads = template.reads | (template.tool_use.reads if template.tool_use else frozenset())
    for switch in (True, False):
        if THINKING in reads and THINKING not in options.arguments:
            arguments = {**options.arguments, THINKING: switch}
            yield template_argument(THINKING, switch), {"arguments": arguments}
    for text in _following(template, tokenizer, options):
        yield stop(text), {"stops": (*options.stops, text)}
    if not options.append_eos:
        yield option("append_eos", True), {"append_eos": True}
    for name, value in (
        ("completion", "raw"),
        ("mask", "operational"),
        ("history", "split"),
        ("boundary", "split"),
        ("control", "text"),
    ):
        if getattr(options, name) != value:
            yield option(name, value), {name: value}


def working(
    template: ChatTemplate, tokenizer: Tokenizer | None, options: RenderOptions = DEFAULTS
) -> tuple[str, ...]:
    """The options with which a template is safe for plain conversations, as they are spelt."""
    found = []
    for name, changes in _candidates(template, tokenizer, options):
        try:
            card = verify(template, tokenizer, dataclasses.replace(options, **changes))
        except CurateError:
            continue  # no better than without
        if not card.problems:
            found.append(name)
    return tuple(found)


def _following(
    template: ChatTemplate, tokenizer: Tokenizer | None, options: RenderOptions
) -> tuple[str, ...]:
    """Control tokens that the template writes next after answers and calls, and that are no eos."""
    if tokenizer is None:
        return ()
    plain = bind(template, tokenizer, options.date, options.arguments)
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
    texts = [tail[token.start : token.stop] for tail in tails for token in tokenizer.own(tail)[:1]]
    known = {*options.stops, *template.stops}
    known |= {tokenizer.backend.id_to_token(number) for number in tokenizer.eos_ids}
    return tuple(dict.fromkeys(text for text in texts if text not in known))
