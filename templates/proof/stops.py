"""The stops of a template: where inference ends a turn, found by rendering probes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from curate.base.errors import CurateError
from templates.messages import Message
from templates.proof.probing import (
    ANSWER,
    ANSWER_2,
    ARGUMENT,
    ARGUMENT_2,
    RESULT,
    USER,
    USER_2,
    answer,
    call,
    result,
    thoughtful,
    tools,
    user,
)
from templates.refusals import Refusal, excerpt, first_difference
from templates.spans import MARK, Stop, first_stop
from templates.template import Renderer
from templates.tokenizer.segments import ControlTokenSpan
from templates.tokenizer.tokenizer import Tokenizer


class Tails(NamedTuple):
    """What follows an answer that is last, one that is last of two, and one before a user.

    `closed` says that what follows a last answer closes it; else it may open the next one too,
    because the template asks for an answer whether one is wanted or not.
    """

    alone: str
    again: str
    before: str
    closed: bool = False

    @property
    def always(self) -> str:
        """What follows every answer."""
        return _common_start([self.alone, self.again, self.before])


def find_stops(
    renderer: Renderer, tokenizer: Tokenizer | None, extra: Sequence[str] = ()
) -> tuple[Stop, ...]:
    """The stop set of a template with a tokenizer.

    The tokenizer's eos and its generation config's, the control token that ends an answer on the
    probes (of several that close every answer the last), the one that ends a call of a tool, and
    `extra`. If no token ends the answer, the text that the template always writes there is the
    stop. Raises `CurateError` if the template writes no answer at all.
    """
    tails = find_tails(renderer)
    stops = _tokens(tokenizer, renderer.template.stops, extra)
    if tokenizer and not any(
        stop.text in tails.alone and stop.text in tails.before for stop in stops
    ):
        # Were there one in both, every answer ended there: tokens before it close words, no turn.
        is_known = any(stop.text in tail for stop in stops for tail in (tails.alone, tails.before))
        closing, ending = _ending(tails, tokenizer, is_known)
        _add(stops, closing, ending)
    if not any(stop.text in tail for stop in stops for tail in (tails.alone, tails.before)):
        closing = _in_whole_marks(tails).strip()
        stops += [_as_text(closing, tokenizer, "template")] if closing else []
    if tokenizer:
        ends = [first_stop(tail, stops) is not None for tail in (tails.alone, tails.before)]
        by_next_role = ends == [False, True]
        _add(stops, *_ending_of_calls(renderer, tokenizer, stops, by_next_role))
    return tuple(stops)


def _in_whole_marks(tails: Tails) -> str:
    """What follows every answer, without a beginning that two different marks share."""
    always = tails.always
    for found in MARK.finditer(tails.alone):
        if found.start() < len(always) < found.end():
            return always[: found.start()]
    return always


def _add(stops: list[Stop], text: str, ending: Sequence[ControlTokenSpan]) -> None:
    """Add the control tokens of a text that are no stops yet."""
    stops += [
        Stop(text[token.start : token.stop], token.id, "template")
        for token in ending
        if all(stop.id != token.id for stop in stops)
    ]


def _ending(
    tails: Tails, tokenizer: Tokenizer, is_known: bool
) -> tuple[str, Sequence[ControlTokenSpan]]:
    """The control token that ends an answer, in the text that follows one; none if none does."""
    alone, _, before, closed = tails
    if closed and (always := tokenizer.own(tails.always)):
        return tails.always, always[-1:]  # after the last one nothing more is ever to come
    closing = alone if is_known or tokenizer.own(alone) else before  # the next role's token
    return closing, tokenizer.own(closing)[:1]


def _ending_of_calls(
    renderer: Renderer, tokenizer: Tokenizer, stops: Sequence[Stop], by_next_role: bool
) -> tuple[str, Sequence[ControlTokenSpan]]:
    """The control token that ends a turn with a call, where none of the stops does.

    The last one that the template writes after the call by itself, as Gemma 4's opening of the
    result; but one that stands between two calls as well, or in an answer, closes no turn. Else,
    where answers too end `by_next_role`, the one that opens the result, as GLM's.
    """
    try:
        own = _after(renderer, [call(ARGUMENT)])
        if own is None or first_stop(own, stops):
            return "", ()
        inside = _generated(renderer)
        ending = tokenizer.own(own)[-1:]
        if ending and own[ending[0].start : ending[0].stop] not in inside:
            return own, ending
        if not by_next_role:
            return "", ()
        whole = _after(renderer, [call(ARGUMENT), result(), answer(ANSWER)], RESULT)
    except Refusal:  # no tools, or not in this way: rows with calls are proven or refused
        return "", ()
    if whole is None or not whole.startswith(own) or first_stop(whole, stops):
        return "", ()
    opening = whole[len(own) :]
    ending = tokenizer.own(opening)[:1]
    is_new = ending and opening[ending[0].start : ending[0].stop] not in inside
    return opening, ending if is_new else ()


def _after(renderer: Renderer, messages: Sequence[Message], up_to: str = "") -> str | None:
    """What follows the argument of a call, up to another text; None where one is not written."""
    first = renderer.of(messages[0])
    text = first.text([user(USER), *messages], tools())
    if ARGUMENT not in text:
        return None
    if not up_to:
        return text.rpartition(ARGUMENT)[2]
    tail, found, _ = text.partition(ARGUMENT)[2].partition(up_to)
    return tail if found else None


def _generated(renderer: Renderer) -> str:
    """What is generated inside of turns: between two calls, and before an answer's last word."""
    two = renderer.text([user(USER), call(ARGUMENT, ARGUMENT_2)], tools())
    between = two.rpartition(ARGUMENT_2)[0].partition(ARGUMENT)[2]
    thinking = renderer.of(thoughtful(ANSWER))
    asked = thinking.text([user(USER)], tools(), prompt=True)
    answered = thinking.text([user(USER), thoughtful(ANSWER)], tools())
    return between + answered.rpartition(ANSWER)[0][first_difference(asked, answered) :]


def _instead(text: str) -> str:
    """What a template wrote where an answer should be, on one line."""
    _, asked, rest = text.partition(USER)
    return repr(rest[:80]) if asked else excerpt(text, 0)


def ending_marks(renderer: Renderer) -> tuple[str, ...]:
    """The marks after an answer, and the last one after a call of a tool.

    Whether or not they are tokens of any vocabulary.
    """
    tails = find_tails(renderer)
    marks = [mark for tail in tails[:3] for mark in MARK.findall(tail)]
    try:
        after_call = _after(renderer, [call(ARGUMENT)]) or ""
    except Refusal:  # no tools, or not in this way
        after_call = ""
    return tuple(dict.fromkeys([*marks, *MARK.findall(after_call)[-1:]]))


def find_tails(renderer: Renderer) -> Tails:
    """What a template writes after answers. Raises `CurateError` if it writes no answer."""
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
            f"words: the answer {ANSWER!r} became {_instead(first)}"
        )
    alone = first.partition(ANSWER)[2]
    try:
        second = renderer.text(two, None)
    except Refusal:  # a template for one turn only: what it writes there is all there is
        return Tails(alone, alone, alone)
    before, _, again = second.partition(ANSWER)[2].partition(ANSWER_2)
    between = before.partition(USER_2)[0]
    asked = [user(USER)]
    closed = renderer.text(asked, None) != renderer.text(asked, None, prompt=True)
    if not closed:
        # What opens an answer is always appended, or never: it does not end the last one.
        alone = _common_start([alone, between]) or alone
    opening = first.partition(USER)[0].removeprefix(renderer.variables.get("bos_token", ""))
    between = between.removesuffix(opening) if opening else between
    return Tails(alone, again, between, closed)


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
