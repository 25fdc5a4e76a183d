"""Records in, proven token rows out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, get_args

import polars as pl

from curate.schema import CurateError
from templates.card import Card, inspect
from templates.checks import EmptyAnswer, Refusal, TooLong
from templates.columns import Examples, Record, Refusals, Row
from templates.cutting import Boundary
from templates.draft import Draft
from templates.encode import Encoder, Example
from templates.environment import DATE, clock
from templates.messages import chat
from templates.regions import Proof, prove
from templates.template import ChatTemplate, Renderer, bind
from templates.tokenizer import Tokenizer

if TYPE_CHECKING:
    from tokenizers import Encoding


BATCH = 512  # rows that are proven, then encoded together


@dataclass(frozen=True)
class RenderOptions:
    """How rows are rendered; every field is in the manifest.

    `max_length` refuses longer rows (tokens; nothing is ever cut). `date` is the day that
    templates see. `stops` are further texts at which generation will stop. `boundary` says what
    happens where a token would lie across the start of a trained text: `split` encodes the
    prompt alone, as inference does; `train` and `mask` leave the token whole; `error` refuses.
    """

    max_length: int | None = None
    date: str = DATE
    stops: tuple[str, ...] = ()
    boundary: Boundary = "split"

    def __post_init__(self) -> None:
        clock(self.date)
        if self.boundary not in get_args(Boundary):
            known = ", ".join(get_args(Boundary))
            raise CurateError(f"boundary {self.boundary!r}: expected one of {known}")
        if self.max_length is not None and self.max_length < 1:
            raise CurateError(f"max_length {self.max_length}: expected at least 1 token")
        if not all(stop.strip() for stop in self.stops):
            raise CurateError("stops: a stop cannot be empty or white space alone")


@dataclass(frozen=True)
class Rendered:
    """What became of the records.

    `examples` has the columns of `EXAMPLES`, one row for each accepted record in input order;
    `refused` those of `REFUSED`. `counts` says how many of what, `cards` the template's card,
    and with it that of the tokenizer's "tool_use" template where there is one.
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
            f"{counts['examples']:,} of {counts['rows']:,} rows rendered: "
            f"{counts['tokens']:,} tokens, {counts['trained_tokens']:,} trained ({share:.1%}); "
            f"{counts['refused']:,} refused"
        ]
        grouped = self.refused.group_by("check").agg(pl.len(), pl.col("message").first())
        for check, count, message in grouped.sort("check").iter_rows():
            lines.append(f"  {check}: {count:,} rows, such as: {message.splitlines()[0]}")
        return "\n".join(lines)


def render(
    records: pl.DataFrame,
    template: ChatTemplate,
    tokenizer: Tokenizer,
    options: RenderOptions = RenderOptions(),
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
    frame, refusals = examples.frame(), refused.frame()
    empty = refusals.filter(pl.col("check") == EmptyAnswer.check).height
    counts = {
        "rows": records.height,
        "examples": frame.height,
        "refused": refusals.height,
        "split": 0,  # rows made of one conversation whose history is rewritten: refused so far
        "truncated": 0,  # nothing is ever cut
        "empty": empty,
        **examples.counts,
    }
    tool_card = ready.tool_setup.card if ready.tool_setup else None
    return Rendered(
        frame, refusals, ready.setup.card, counts, template, tokenizer, options, tool_card
    )


@dataclass(frozen=True)
class Setup:
    """One template, bound and probed."""

    renderer: Renderer
    card: Card


class Batch(NamedTuple):
    """Rows on their way: rendered, and being encoded."""

    given: list[Record]
    proofs: list[Proof | Refusal]
    drafts: list[Draft]
    encoded: Future[list[Encoding]]


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
        self.encoder = Encoder(tokenizer, sorted(ids), options.boundary)

    def batches(
        self, slices: Iterable[pl.DataFrame]
    ) -> Iterator[tuple[list[Record], list[Row | Refusal]]]:
        """Each batch of records with what became of them, in order.

        A batch is encoded in a thread, where tokenizers leave Python alone, while the next one
        is rendered: templates are programs that run once for every row.
        """
        with ThreadPoolExecutor(1) as thread:
            waiting: Batch | None = None
            for records in slices:
                given = records.select("row", "id", "messages", "tools").to_dicts()
                proofs = [self.proof(record) for record in given]
                drafts = self.encoder.drafts([p for p in proofs if isinstance(p, Proof)])
                batch = Batch(given, proofs, drafts, thread.submit(self.encoder.encode, drafts))
                if waiting:
                    yield waiting.given, self._finish(waiting)
                waiting = batch
            if waiting:
                yield waiting.given, self._finish(waiting)

    def _finish(self, batch: Batch) -> list[Row | Refusal]:
        examples = iter(self.encoder.finish(batch.drafts, batch.encoded.result()))
        return [
            proof if isinstance(proof, Refusal) else self._row(proof, next(examples))
            for proof in batch.proofs
        ]

    def _row(self, proof: Proof, example: Example | Refusal) -> Row | Refusal:
        if isinstance(example, Refusal):
            return example
        limit = self.options.max_length
        if limit is not None and len(example.ids) > limit:
            return TooLong(f"{len(example.ids):,} tokens; at most {limit:,} are allowed")
        return Row(proof, example)

    def proof(self, record: Record) -> Proof | Refusal:
        try:
            conversation = chat(record)
            setup = self.tool_setup if conversation.tools and self.tool_setup else self.setup
            return prove(setup.renderer, conversation, setup.card.stops)
        except Refusal as refusal:
            return refusal


def _setup(template: ChatTemplate, tokenizer: Tokenizer | None, options: RenderOptions) -> Setup:
    card = inspect(template, tokenizer, options.date, options.stops)
    return Setup(bind(template, tokenizer, options.date), card)


def verify(template: ChatTemplate, tokenizer: Tokenizer | None) -> Card:
    """The card of a template: what it does, whether it is safe to train with, and why."""
    return inspect(template, tokenizer, DATE)
