"""What became of records: examples and refused rows, with all that explains them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from templates.cards.card import Card, stop_notices
from templates.options import RenderOptions
from templates.refusals import Unreadable
from templates.remedies import Found, Remedy
from templates.template import ChatTemplate
from templates.tokenizer.tokenizer import Tokenizer
from templates.tokens.columns import unreadable_rows


@dataclass(frozen=True)
class Rendered:
    """What became of the records.

    `examples` has the columns of `EXAMPLES`, in input order: one row for each accepted record,
    several where the template rewrites its history; `refused` those of `REFUSED`. `counts` says
    how many of what, where `rows` and `refused` take in the `unreadable` ones; `card` is the
    template's card, `tool_card` that of the tokenizer's "tool_use" template where that is in use.
    `remedies` are options that would help where many of the records were refused, and
    `remedies_cut` why not all were tried, if so.
    """

    examples: pl.DataFrame
    refused: pl.DataFrame
    card: Card
    counts: dict[str, int]
    template: ChatTemplate
    tokenizer: Tokenizer
    options: RenderOptions
    tool_card: Card | None = None
    remedies: tuple[Remedy, ...] = ()
    remedies_cut: str = ""

    @property
    def cards(self) -> tuple[Card, ...]:
        """The card of each template in use."""
        return tuple(dict.fromkeys(one for one in (self.card, self.tool_card) if one))

    @property
    def found(self) -> Found:
        """The remedies, and why not all options were tried."""
        return Found(self.remedies, self.remedies_cut)

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know before training on the rows."""
        return stop_notices(self.cards)

    def with_unreadable(self, messages: Sequence[str]) -> Rendered:
        """The same with rows that never became records: refused, and counted among the rows.

        Each message says where such a row is and why it cannot be read.
        """
        refused = pl.concat([self.refused, unreadable_rows(messages)])
        more = ("rows", "refused", Unreadable.check)
        counts = self.counts | {name: self.counts[name] + len(messages) for name in more}
        return dataclasses.replace(self, refused=refused, counts=counts)

    def summary(self) -> str:
        """One line on what was rendered, and one for each check that refused rows."""
        counts = self.counts
        share = counts["trained_tokens"] / max(counts["tokens"], 1)
        lines = [
            f"{counts['rows'] - counts['refused']:,} of {counts['rows']:,} rows rendered: "
            f"{counts['tokens']:,} tokens, {counts['trained_tokens']:,} trained ({share:.1%}); "
            f"{counts['refused']:,} refused"
        ]
        for name, what in (
            ("split", "more examples, of conversations whose history the template rewrites"),
            ("truncated", "examples cut to the longest length allowed"),
            ("moved_thoughts", "answers whose thoughts became the reasoning that is written"),
        ):
            if counts[name]:
                lines.append(f"  {name}: {counts[name]:,} {what}")
        grouped = self.refused.group_by("check").agg(pl.len(), pl.col("message").first())
        for check, count, message in grouped.sort("check").iter_rows():
            lines.append(f"  {check}: {count:,} rows, such as: {message.splitlines()[0]}")
        lines += [f"  {one}" for one in (*self.remedies, self.remedies_cut) if one]
        return "\n".join(lines)
