"""Templates bound to a tokenizer and probed, and which of them a row is proven with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import polars as pl

from curate.base.errors import CurateError
from templates.cards.card import Card
from templates.cards.probes import verify, with_stops
from templates.fast.plans import Plans
from templates.messages import Chat
from templates.options import RenderOptions
from templates.proof.chains import prove
from templates.proof.thoughts import moving
from templates.refusals import TemplateFailed
from templates.spans import Stop, VerifiedRender
from templates.template import ChatTemplate, bind
from templates.tokenizer.tokenizer import Tokenizer
from templates.tokens.pairs import Prove

_NO_TOOLS = ("", "[]")  # a row's tools where it has none


@dataclass(frozen=True)
class Prover:
    """One template's card, and the function that proves conversations with it."""

    card: Card
    prove: Prove


@dataclass(frozen=True)
class Provers:
    """The template of rows without tools, and of rows with them: the same one, or one of two.

    One that no row needs is not there. `tokenizer` is the one given, with the stops it was taught.
    """

    tokenizer: Tokenizer | None
    plain: Prover | None
    with_tools: Prover | None

    @property
    def cards(self) -> tuple[Card, ...]:
        """The card of each template in use; that of rows without tools first."""
        cards = [one.card for one in (self.plain, self.with_tools) if one is not None]
        return tuple(cards[:1] if self.plain is self.with_tools else cards)

    @property
    def tool_card(self) -> Card | None:
        """The card of the template that only rows with tools have, if there is one in use."""
        own = self.with_tools if self.with_tools is not self.plain else None
        return own.card if own else None

    @property
    def stops(self) -> tuple[Stop, ...]:
        """Where generation ends, of all templates in use."""
        return tuple(dict.fromkeys(stop for card in self.cards for stop in card.stops))

    def prove(self, conversation: Chat) -> list[VerifiedRender]:
        """The verified texts of a conversation. Raises the `Refusal` of a failed check."""
        one = self.with_tools if conversation.tools else self.plain
        assert one is not None  # made for these rows
        return one.prove(conversation)


def provers(
    records: pl.DataFrame,
    template: ChatTemplate,
    tokenizer: Tokenizer | None,
    options: RenderOptions,
    fast: bool = True,
) -> Provers:
    """The templates that the records need, bound to a tokenizer (None: texts only) and probed.

    Of two templates, one that cannot render a plain conversation refuses its own rows alone.
    Raises `CurateError` if none of them can.
    """
    tool_use = template.tool_use
    if tool_use is None:
        with template.allowance():
            tokenizer = with_stops(template, tokenizer, options)
        only = _prover(template, tokenizer, options, fast)
        return Provers(tokenizer, only, only)
    has_tools = records["tools"].fill_null("").str.replace_all(r"\s", "").is_in(_NO_TOOLS).not_()
    wanted = [one for one, rows in ((template, ~has_tools), (tool_use, has_tools)) if rows.any()]
    wanted = wanted or [template]
    for one in wanted:
        with one.allowance():
            tokenizer = with_stops(one, tokenizer, options)
    made = dict[ChatTemplate, Prover]()
    failed = dict[ChatTemplate, CurateError]()
    for one in wanted:
        try:
            made[one] = _prover(one, tokenizer, options, fast)
        except CurateError as error:
            failed[one] = error
    if not made:
        raise next(iter(failed.values()))
    other = next(iter(made.values())).card
    made |= {one: Prover(other, partial(_refuse, error)) for one, error in failed.items()}
    return Provers(tokenizer, made.get(template), made.get(tool_use))


def _refuse(error: CurateError, _: Chat) -> list[VerifiedRender]:
    """What a template that cannot be used does with a row."""
    raise TemplateFailed(str(error))


def _prover(
    template: ChatTemplate, tokenizer: Tokenizer | None, options: RenderOptions, fast: bool
) -> Prover:
    """A template, probed. Raises `CurateError` if it cannot render a plain conversation."""
    card = verify(template, tokenizer, options)
    renderer = bind(template, tokenizer, options.date, options.arguments)
    if fast:
        fast_prove = Plans(renderer, card.stops, options).prove
        return Prover(card, moving(fast_prove, card.reasoning, options))
    one_by_one = partial(prove, renderer, stops=card.stops, options=options)
    return Prover(card, moving(one_by_one, card.reasoning, options))
