"""Records in, proven token rows out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from templates.card import Card
from templates.encoding.draft import Draft
from templates.encoding.encode import Encoder, Example
from templates.encoding.tokenizer import Tokenizer
from templates.encoding.truncation import fit
from templates.encoding.whole import Encoded
from templates.messages import ARGUMENTS, DOCUMENTS, Chat, chat
from templates.options import DEFAULTS, RenderOptions
from templates.proof.chains import prove
from templates.proof.checks import EmptyAnswer, Refusal
from templates.proof.probes import inspect
from templates.proof.regions import Proof
from templates.shapes.plans import Plans
from templates.template import ChatTemplate, Renderer, bind
from templates.tokens.columns import EXAMPLES, Examples, Record, Refusals, Row
from templates.tokens.pairs import pair_of, prove_pair

BATCH = 512  # rows that are proven, then encoded together


@dataclass(frozen=True)
class Rendered:
    """What became of the records.

    `examples` has the columns of `EXAMPLES`, in input order: one row for each accepted record,
    several where the template rewrites its history; `refused` those of `REFUSED`. `counts` says
    how many of what; `card` is the template's card, `tool_card` that of the tokenizer's
    "tool_use" template where there is one.
    """

    examples: pl.DataFrame
    refused: pl.DataFrame
    card: Card
    counts: dict[str, int]
    template: ChatTemplate
    tokenizer: Tokenizer
    options: RenderOptions
    tool_card: Card | None = None

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
            ("split", "examples more, of conversations whose history the template rewrites"),
            ("truncated", "examples cut to the longest length allowed"),
        ):
            if counts[name]:
                lines.append(f"  {name}: {counts[name]:,} {what}")
        grouped = self.refused.group_by("check").agg(pl.len(), pl.col("message").first())
        for check, count, message in grouped.sort("check").iter_rows():
            lines.append(f"  {check}: {count:,} rows, such as: {message.splitlines()[0]}")
        return "\n".join(lines)


def render(
    records: pl.DataFrame,
    template: ChatTemplate,
    tokenizer: Tokenizer,
    options: RenderOptions = DEFAULTS,
) -> Rendered:
    """Render, mask and encode records (columns of RECORDS); refuse what cannot be proven.

    Raises `CurateError` if the template cannot render a plain conversation at all. Rows that
    fail a check are in `refused`, with the check and the first differing place.
    """
    ready = RowRenderer(template, tokenizer, options)
    examples, refused = Examples(), Refusals()
    for given, rows in ready.batches(records.iter_slices(BATCH)):
        pairs = list(zip(given, rows, strict=True))
        accepted = [(record, row) for record, row in pairs if isinstance(row, Row)]
        examples.add([record for record, _ in accepted], [row for _, row in accepted])
        refused.add([(record, row) for record, row in pairs if isinstance(row, Refusal)])
    frame = examples.frame().join(_origin(records), on="row", how="left", maintain_order="left")
    frame = frame.select(*EXAMPLES, pl.exclude(*EXAMPLES))  # a pair's other columns last
    refusals = refused.frame()
    empty = refusals.filter(pl.col("check") == EmptyAnswer.check).height
    counts = {
        "rows": records.height,
        "examples": frame.height,
        "refused": refusals.height,
        "split": frame.height + refusals.height - records.height,  # rows added by `history`
        "empty": empty,
        **examples.counts,
    }
    tool_card = ready.tool_setup.card if ready.tool_setup else None
    return Rendered(
        frame, refusals, ready.setup.card, counts, template, tokenizer, options, tool_card
    )


def _origin(records: pl.DataFrame) -> pl.DataFrame:
    """`row` and `source`: what the row itself says it is from, else the file it was read from."""
    said = pl.col("meta").str.json_path_match("$.source")
    return records.select("row", pl.coalesce(said, "source").alias("source"))


@dataclass(frozen=True)
class Setup:
    """One template, bound and probed; `plans` remember how its rows were proven."""

    renderer: Renderer
    card: Card
    plans: Plans


class Batch(NamedTuple):
    """Rows on their way: rendered, and being encoded."""

    given: list[Record]
    proofs: list[list[Proof] | Refusal]
    drafts: list[Draft]
    encoded: Future[Encoded]


class RowRenderer:
    """Template, tokenizer and options, ready for rows."""

    def __init__(
        self, template: ChatTemplate, tokenizer: Tokenizer, options: RenderOptions
    ) -> None:
        self.options = options
        self.setup = _setup(template, tokenizer, options)
        self.tool_setup = (
            _setup(template.tool_use, tokenizer, options) if template.tool_use else None
        )
        setups = [setup for setup in (self.setup, self.tool_setup) if setup]
        ids = {stop.id for setup in setups for stop in setup.card.stops if stop.id is not None}
        meta, wanted = pl.col("meta"), [DOCUMENTS, ARGUMENTS, *filter(None, [options.open_field])]
        given = pl.when(meta.str.contains_any(wanted)).then(meta)  # in most rows nothing to read
        losers = ["rejected"] if options.pairs else []
        self._columns = [*map(pl.col, ("row", "id", "messages", "tools", *losers)), given]
        self.encoder = Encoder(tokenizer, sorted(ids), options.boundary, options.control)

    def batches(
        self, slices: Iterable[pl.DataFrame]
    ) -> Iterator[tuple[list[Record], list[Row | Refusal]]]:
        """Each batch of records with what became of them, in order.

        A record whose history is rewritten stands there once for each of its examples. A batch
        is encoded in a thread, where tokenizers leave Python alone, while the next one is
        rendered: templates are programs that run once for every row.
        """
        with ThreadPoolExecutor(1) as thread:
            waiting: Batch | None = None
            for records in slices:
                given = records.select(self._columns).to_dicts()
                proofs = [self.proofs(record) for record in given]
                flat = [proof for made in proofs if isinstance(made, list) for proof in made]
                drafts = self.encoder.drafts(flat)
                batch = Batch(given, proofs, drafts, thread.submit(self.encoder.encode, drafts))
                if waiting:
                    yield self._finish(waiting)
                waiting = batch
            if waiting:
                yield self._finish(waiting)

    def _finish(self, batch: Batch) -> tuple[list[Record], list[Row | Refusal]]:
        examples = iter(self.encoder.finish(batch.drafts, batch.encoded.result()))
        records: list[Record] = []
        outcomes: list[Row | Refusal] = []
        for record, proofs in zip(batch.given, batch.proofs, strict=True):
            made = self._outcomes(proofs, examples)
            outcomes += made
            records += [record] * len(made)
        return records, outcomes

    def _outcomes(
        self, proofs: list[Proof] | Refusal, examples: Iterator[Example | Refusal]
    ) -> Sequence[Row | Refusal]:
        """The examples of a record, or the one refusal that any of them earned."""
        if isinstance(proofs, Refusal):
            return [proofs]
        made: list[Row | Refusal] = []
        for proof in proofs:
            example = next(examples)
            cut = example if isinstance(example, Refusal) else fit(proof, example, self.options)
            made.append(cut)
        if self.options.pairs:
            return [pair_of(made)]
        refused = next((row for row in made if isinstance(row, Refusal)), None)
        return [refused] if refused else made

    def proofs(self, record: Record) -> list[Proof] | Refusal:
        """The proven texts of a record, or why there are none."""
        try:
            if self.options.pairs:
                return prove_pair(record, self.options, self._prove)
            return self._prove(chat(record, self.options))
        except Refusal as refusal:
            return refusal

    def _prove(self, conversation: Chat) -> list[Proof]:
        setup = self.tool_setup if conversation.tools and self.tool_setup else self.setup
        return prove(setup.renderer, conversation, setup.card.stops, self.options, setup.plans)


def _setup(template: ChatTemplate, tokenizer: Tokenizer | None, options: RenderOptions) -> Setup:
    card = inspect(template, tokenizer, options)
    renderer = bind(template, tokenizer, options.date, options.arguments)
    return Setup(renderer, card, Plans(renderer, card.stops, options))


def verify(template: ChatTemplate, tokenizer: Tokenizer | None) -> Card:
    """The card of a template: what it does, whether it is safe to train with, and why."""
    return inspect(template, tokenizer)
