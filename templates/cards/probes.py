"""What a template does with a tokenizer, found by rendering probes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from curate.base.errors import CurateError
from templates.cards.card import Card
from templates.messages import Message, chat
from templates.options import DEFAULTS, RenderOptions
from templates.proof.chains import prove
from templates.proof.probing import (
    ANSWER,
    ANSWER_2,
    ARGUMENT,
    REASONING,
    SYSTEM,
    TOOL,
    USER,
    USER_2,
    Probing,
    answer,
    call,
    result,
    system,
    thoughtful,
    tools,
    user,
)
from templates.proof.stops import ending_marks, find_stops, find_tails
from templates.refusals import HistoryRewritten, Refusal, TagDisagrees, is_at_limit
from templates.spans import Stop, VerifiedRender, first_stop
from templates.template import ChatTemplate, Renderer, bind
from templates.tokenizer.tokenizer import Tokenizer

OTHER_DATE = "1999-12-31"


def verify(
    template: ChatTemplate, tokenizer: Tokenizer | None, options: RenderOptions = DEFAULTS
) -> Card:
    """The card of a template: what it does, whether it is safe to train with, and why.

    Found by about thirty renderings of probes, with a tool for a template that renders nothing
    without. Raises `CurateError` if it cannot render a user's and an assistant's turn, or if the
    probes together take more than one rendering may.
    """
    with template.allowance():
        return _verified(template, tokenizer, options)


def _verified(template: ChatTemplate, tokenizer: Tokenizer | None, options: RenderOptions) -> Card:
    renderer, stops, needs_tools = _probing(template, tokenizer, options)
    first = renderer.text([user(USER), answer(ANSWER)], None)
    ending = first_stop(first.partition(ANSWER)[2], stops)
    history, problems, example = _history(renderer, stops, options)
    later = bind(template, tokenizer, OTHER_DATE, options.arguments)
    later = Probing.of_tools(later) if needs_tools else later
    dated = later.text([user(USER), answer(ANSWER)], None)
    return Card(
        template=template.name,
        template_hash=template.hash,
        tokenizer=tokenizer.name if tokenizer else None,
        generation_prompt=_generation_prompt(renderer, stops),
        system=_outcome(renderer, [system(SYSTEM), user(USER), answer(ANSWER)], SYSTEM),
        default_system=_default_system(renderer),
        reasoning=_outcome(
            renderer,
            [user(USER), thoughtful(ANSWER)],
            REASONING,
        ),
        tools=_outcome(renderer, [user(USER), answer(ANSWER)], TOOL, tools()),
        tool_calls=_outcome(
            renderer, [user(USER), call(ARGUMENT), result(), answer(ANSWER)], ARGUMENT
        ),
        content=_content(renderer),
        history=history,
        date="written" if dated != first else "ignored",
        generation_tags=_tags(renderer, stops, options),
        bos=_bos(first, tokenizer),
        writes_bos=_starts_with_bos(first, tokenizer),
        stops=stops,
        ends_with=ending[1] if ending else None,
        raises_on=(*needs_tools, *_raising(renderer)),
        problems=problems,
        empty_thoughts=_empty_thoughts(renderer),
        example=example,
        after_stop=_after_stop(renderer, tokenizer, ending),
    )


def with_stops(
    template: ChatTemplate, tokenizer: Tokenizer | None, options: RenderOptions
) -> Tokenizer | None:
    """The tokenizer, in which an added token that this template ends answers with is a control
    token: content that spells it stays text.
    """
    if tokenizer is None or not tokenizer.functional:
        return tokenizer
    renderer = bind(template, tokenizer, options.date, options.arguments)
    try:
        ends = ending_marks(renderer)
    except CurateError as error:
        if is_at_limit(error):
            return tokenizer
        try:
            ends = ending_marks(Probing.of_tools(renderer))
        except CurateError:
            return tokenizer  # whoever verifies the template says why
    named = {*ends, *template.stops, *options.stops}
    return tokenizer.with_controls([text for text in tokenizer.functional if text in named])


def _probing(
    template: ChatTemplate, tokenizer: Tokenizer | None, options: RenderOptions
) -> tuple[Renderer, tuple[Stop, ...], tuple[str, ...]]:
    """What a template is probed with, and its stops; with a tool if it cannot do without.

    Last comes what it raises without tools, if it does.
    """
    renderer = bind(template, tokenizer, options.date, options.arguments)
    try:
        return renderer, find_stops(renderer, tokenizer, options.stops), ()
    except CurateError as error:
        if is_at_limit(error):  # a tool would not make it cheaper
            raise
        offering = Probing.of_tools(renderer)
        try:
            stops = find_stops(offering, tokenizer, options.stops)
        except CurateError:
            raise error from None  # with tools it is no better: why it fails without them
        return offering, stops, (f"no tools: {_short(error)}",)


def _after_stop(
    renderer: Renderer, tokenizer: Tokenizer | None, ending: tuple[int, Stop] | None
) -> tuple[str, ...]:
    """Control tokens that follow the stop of every answer: the template's, and not trained."""
    tails = find_tails(renderer)
    if tokenizer is None or ending is None or not tails.closed:
        return ()
    place, stop = ending
    rest = tails.always[place + len(stop.text) :]
    return tuple(rest[token.start : token.stop] for token in tokenizer.own(rest))


def _generation_prompt(renderer: Renderer, stops: Sequence[Stop]) -> str:
    asked = renderer.text([user(USER)], None, prompt=True)
    unasked = renderer.text([user(USER)], None)
    if asked != unasked:
        return "honoured"
    tail = renderer.text([user(USER), answer(ANSWER)], None).partition(ANSWER)[2]
    found = first_stop(tail, stops)
    after = tail[found[0] + len(found[1].text) :] if found else ""
    return "always appended" if after.strip() else "ignored"


def _empty_thoughts(renderer: Renderer) -> str:
    """What the prompt of an answer without reasoning holds beyond that of one with it."""
    plain, thoughtful = answer(ANSWER), {**answer(ANSWER), "reasoning_content": REASONING}
    without, given = (
        renderer.of(turn).text([user(USER)], None, prompt=True) for turn in (plain, thoughtful)
    )
    return without.removeprefix(given) if without.startswith(given) else ""


def _outcome(
    renderer: Renderer, messages: list[Message], sentinel: str, tools: list[Any] | None = None
) -> str:
    """Whether a text of the probe comes out: written, dropped, or refused with the reason."""
    try:
        return "written" if sentinel in renderer.text(messages, tools) else "dropped"
    except Refusal as refusal:
        return f"refused: {_short(refusal)}"


def _default_system(renderer: Renderer) -> bool:
    """Whether words stand before the first user that a system message would replace."""
    plain = renderer.text([user(USER)], None)
    try:
        given = renderer.text([system(SYSTEM), user(USER)], None)
    except Refusal:
        return False
    before = plain.partition(USER)[0]
    return SYSTEM in given and len(before) > len(given.partition(USER)[0].replace(SYSTEM, ""))


def _content(renderer: Renderer) -> str:
    padded = renderer.text([user(f" {USER} "), answer(f" {ANSWER} ")], None)
    kept = [f" {text} " in padded for text in (USER, ANSWER)]
    return "verbatim" if all(kept) else "trimmed"


def _history(
    renderer: Renderer, stops: Sequence[Stop], options: RenderOptions
) -> tuple[str, tuple[str, ...], str]:
    """Whether earlier turns stay as they were generated; what keeps a plain chat unproven, or the
    chat with what is trained of it.
    """
    plain = [user(USER), answer(ANSWER), user(USER_2), answer(ANSWER_2)]
    thinking = [{**message, "reasoning": REASONING} for message in plain]
    history, problems, example = "kept", [], ""
    for what, messages in (("", plain), (" of turns with reasoning", thinking)):
        probe = chat({"messages": messages, "tools": None})
        try:
            whole = dataclasses.replace(options, history="error", mask="operational")
            prove(renderer, probe, stops, whole)
        except HistoryRewritten:
            history = f"rewritten{what}" if history == "kept" else history
        except Refusal:
            pass  # reported below, by the options asked for
        if what:
            continue
        try:
            example = _bracketed(prove(renderer, probe, stops, options)[-1])
        except Refusal as refusal:
            problems.append(f"{refusal.check}: {refusal}")
    return history, tuple(problems), example


def _bracketed(verified: VerifiedRender) -> str:
    """A verified text, trained words in brackets and stops in braces."""
    parts, place = [], 0
    for target in verified.trained:
        parts.append(verified.text[place : target.start])
        for start, stop, sides in (
            (target.start, target.stop_start, "[]"),
            (target.stop_start, target.end, "{}"),
        ):
            if start < stop:
                parts += (sides[0], verified.text[start:stop], sides[1])
        place = target.end
    return "".join([*parts, verified.text[place:]])


def _tags(renderer: Renderer, stops: Sequence[Stop], options: RenderOptions) -> str:
    """Whether `{% generation %}` encloses what is generated, on one question and answer."""
    if renderer.template.tagging is None:
        return "none"
    probe = chat({"messages": [user(USER), answer(ANSWER)], "tools": None})
    try:
        prove(renderer, probe, stops, dataclasses.replace(options, mask="auto"))
    except TagDisagrees as refusal:
        return f"disagree: {str(refusal).splitlines()[0]}"
    except Refusal as refusal:
        return f"unknown: {_short(refusal)}"
    return "agree with what is generated"


def _starts_with_bos(first: str, tokenizer: Tokenizer | None) -> bool:
    bos = tokenizer.special.get("bos_token") if tokenizer else None
    return bool(bos) and first.startswith(bos or "")


def _bos(first: str, tokenizer: Tokenizer | None) -> str:
    if tokenizer is None:
        return "unknown without a tokenizer"
    bos = tokenizer.special.get("bos_token")
    if not bos:
        return "none: the tokenizer has no bos token"
    if _starts_with_bos(first, tokenizer):
        return f"{bos!r}, written by the template; the tokenizer adds none"
    adds = "the tokenizer would add it to plain text, " if tokenizer.adds_bos else ""
    return f"missing: {adds}this template does not write {bos!r}, so training has none"


def _raising(renderer: Renderer) -> tuple[str, ...]:
    shapes = {
        "an answer first": [answer(ANSWER), user(USER), answer(ANSWER_2)],
        "two users in a row": [user(USER), user(USER_2), answer(ANSWER)],
        "two answers in a row": [user(USER), answer(ANSWER), answer(ANSWER_2)],
        "a user last": [user(USER), answer(ANSWER), user(USER_2)],
        "several turns": [user(USER), answer(ANSWER), user(USER_2), answer(ANSWER_2)],
        "a tool's result": [user(USER), call(ARGUMENT), result(), answer(ANSWER)],
    }
    found = []
    for shape, messages in shapes.items():
        try:
            renderer.text(messages, None)
        except Refusal as refusal:
            found.append(f"{shape}: {_short(refusal)}")
    return tuple(found)


def _short(refusal: CurateError) -> str:
    """The template's message, without the line of its source."""
    return str(refusal).removeprefix("the template fails: ").partition(" at line ")[0]
