"""The stops of a template: where inference ends a turn, found by rendering probes."""

from __future__ import annotations

from collections.abc import Sequence

from curate.base.errors import CurateError
from templates.messages import Message
from templates.refusals import Refusal, excerpt, first_difference
from templates.spans import Stop
from templates.template import Renderer
from templates.tokenizer.tokenizer import Tokenizer

USER, ANSWER = "Quokka asks", "Wombat replies"  # found again in the rendered probes
USER_2, ANSWER_2 = "Numbat wonders", "Bilby explains"


def user(text: str) -> Message:
    """A user's message."""
    return {"role": "user", "content": text}


def answer(text: str) -> Message:
    """An assistant's message."""
    return {"role": "assistant", "content": text}


def find_stops(
    renderer: Renderer, tokenizer: Tokenizer | None, extra: Sequence[str] = ()
) -> tuple[Stop, ...]:
    """The stop set of a template with a tokenizer.

    The tokenizer's eos and its generation config's, the control token that ends an answer on the
    probes, and `extra`. If no token ends the answer, the text that the template always writes
    there is the stop. Raises `CurateError` if the template writes no answer at all.
    """
    alone, again, before = _tails(renderer)
    stops = _tokens(tokenizer, renderer.template.stops, extra)
    is_known = any(stop.text in tail for stop in stops for tail in (alone, before))
    closing = alone if is_known or not tokenizer or tokenizer.own(alone) else before
    ending = tokenizer.own(closing)[:1] if tokenizer else ()  # the next role's token, if need be
    if any(stop.text in alone and stop.text in before for stop in stops):
        ending = ()  # every answer ends there: tokens before it close words, not the turn
    stops += [
        Stop(closing[token.start : token.stop], token.id, "template")
        for token in ending
        if all(stop.id != token.id for stop in stops)
    ]
    if not any(stop.text in tail for stop in stops for tail in (alone, before)):
        closing = _common_start([alone, again, before]).strip()
        stops += [_as_text(closing, tokenizer, "template")] if closing else []
    return tuple(stops)


def _tails(renderer: Renderer) -> tuple[str, str, str]:
    """What follows an answer that is last, one that is last of two, and one before a user."""
    one = [user(USER), answer(ANSWER)]
    two = [*one, user(USER_2), answer(ANSWER_2)]
    try:
        first = renderer.text(one, None)
    except Refusal as refusal:
        raise CurateError(
            f"template {renderer.template.name}: it cannot render a user and an answer: {refusal}"
        ) from refusal
    if ANSWER not in first:
        raise CurateError(
            f"template {renderer.template.name}: it writes no assistant turns, or changes their "
            f"words: the answer {ANSWER!r} became {excerpt(first, 0)}"
        )
    alone = first.partition(ANSWER)[2]
    try:
        second = renderer.text(two, None)
    except Refusal:  # a template for one turn only: what it writes there is all there is
        return alone, alone, alone
    before, _, again = second.partition(ANSWER)[2].partition(ANSWER_2)
    between = before.partition(USER_2)[0]
    asked = [user(USER)]
    if renderer.text(asked, None) == renderer.text(asked, None, prompt=True):
        # What opens an answer is always appended, or never: it does not end the last one.
        alone = _common_start([alone, between]) or alone
    opening = first.partition(USER)[0].removeprefix(renderer.variables.get("bos_token", ""))
    return alone, again, between.removesuffix(opening) if opening else between


def _tokens(
    tokenizer: Tokenizer | None, declared: Sequence[str], extra: Sequence[str]
) -> list[Stop]:
    stops: list[Stop] = []
    if tokenizer:
        named = [(number, tokenizer.backend.id_to_token(number)) for number in tokenizer.eos_ids]
        stops += [Stop(text, number, "eos") for number, text in named if text]
    sources = [*((text, "template") for text in declared), *((text, "option") for text in extra)]
    for text, source in sources:
        if any(stop.text == text for stop in stops):
            continue
        control = tokenizer.controls.get(text) if tokenizer else None
        as_token = control and Stop(text, control.id, source)
        stops.append(as_token or _as_text(text, tokenizer, source))
    return stops


def _as_text(text: str, tokenizer: Tokenizer | None, source: str) -> Stop:
    ids = tokenizer.backend.encode(text, add_special_tokens=False).ids if tokenizer else ()
    return Stop(text, None, source, tuple(ids))


def _common_start(texts: Sequence[str]) -> str:
    low, high = min(texts), max(texts)  # the two that differ first
    return low[: first_difference(low, high)]
