"""Records in, proven token rows out.

For each record: its chat (`messages`), the template's texts and which of their characters are
trained (`proof`), token ids and labels (`encoding`), and a row that is not too long (`tokens`).
What fails a check on the way is a refusal. `fast` gives the same rows sooner.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import tee
from typing import Any

import polars as pl

from curate.base.errors import CurateError
from templates.encoding.encode import Encoder, Example
from templates.fast.encoder import FastEncoder
from templates.messages import ARGUMENTS, DOCUMENTS, chat
from templates.options import DEFAULTS, RenderOptions
from templates.provers import Provers, provers
from templates.refusals import EmptyAnswer, Refusal, TemplateEnded, is_at_limit
from templates.remedies import Found, are_many, find_remedies, remedy_lines
from templates.sandbox.programs import SearchEnded, TooCostly
from templates.spans import VerifiedRender
from templates.template import ChatTemplate
from templates.tokenizer.tokenizer import Tokenizer
from templates.tokens.columns import EXAMPLES, REFUSED, Examples, Record, Row, refused_row
from templates.tokens.pairs import Prove, pair_of, prove_pair
from templates.tokens.rendered import Rendered
from templates.tokens.truncation import fit

BATCH = 512  # rows that are proven, then encoded together


def render(
    records: pl.DataFrame,
    template: ChatTemplate,
    tokenizer: Tokenizer,
    options: RenderOptions = DEFAULTS,
    fast: bool = True,
) -> Rendered:
    """Render, mask and encode records (columns of RECORDS); refuse what cannot be proven.

    Without `fast` every row is rendered, proven and encoded by itself; the result is the same.
    Raises `CurateError` if the template cannot render a plain conversation at all. Rows that
    fail a check are in `refused`, with the check and the first differing place.
    """
    passing = partial(_passing, template, tokenizer, fast)
    try:
        known = provers(records, template, tokenizer, options, fast)
    except TooCostly:
        raise  # whatever the options
    except CurateError as error:
        if is_at_limit(error):
            raise  # each option that is tried would take as long
        found = find_remedies(records, template, tokenizer, options, passing)
        raise CurateError("\n".join([str(error), *remedy_lines(found)])) from error
    ready = RowRenderer(known, options, fast)
    examples, refused, ended = Examples(), list[tuple[Any, ...]](), False
    for given, rows in ready.batches(records.iter_slices(BATCH)):
        pairs = list(zip(given, rows, strict=True))
        accepted = [(record, row) for record, row in pairs if isinstance(row, Row)]
        examples.add([record for record, _ in accepted], [row for _, row in accepted])
        refused += [refused_row(record, row) for record, row in pairs if isinstance(row, Refusal)]
        ended = ended or any(isinstance(row, TemplateEnded) for _, row in pairs)
    frame = examples.frame().join(_origin(records), on="row", how="left", maintain_order="left")
    frame = frame.select(*EXAMPLES, pl.exclude(*EXAMPLES))  # a pair's other columns last
    refusals = pl.DataFrame(refused, schema=REFUSED, orient="row")
    counts = {
        "rows": records.height,
        "examples": frame.height,
        "refused": refusals.height,
        "split": frame.height + refusals.height - records.height,  # rows added by `history`
        "empty": refusals.filter(pl.col("check") == EmptyAnswer.check).height,
        "unreadable": 0,  # see `Rendered.with_unreadable`
        **examples.counts,
    }
    helps = Found()
    # What ended a process would end one for each option that is tried.
    if are_many(refusals.height, records.height) and not ended:
        helps = find_remedies(records, template, tokenizer, options, passing)
    return Rendered(
        frame,
        refusals,
        known.cards[0],
        counts,
        template,
        ready.encoder.tokenizer,
        options,
        known.tool_card,
        helps.remedies,
        helps.cut,
    )


def _passing(
    template: ChatTemplate,
    tokenizer: Tokenizer,
    fast: bool,
    records: pl.DataFrame,
    options: RenderOptions,
) -> int:
    """How many of the records these options render; none if they suit no template."""
    try:
        ready = RowRenderer(provers(records, template, tokenizer, options, fast), options, fast)
    except SearchEnded:
        raise
    except CurateError:
        return 0
    batches = [
        zip(given, rows, strict=True) for given, rows in ready.batches(records.iter_slices(BATCH))
    ]
    made = [(record["row"], row) for batch in batches for record, row in batch]
    return records.height - len({number for number, row in made if isinstance(row, Refusal)})


def _origin(records: pl.DataFrame) -> pl.DataFrame:
    """`row` and `source`: what the row itself gives as its source, else the file it is from."""
    given = pl.col("meta").str.json_path_match("$.source")
    return records.select("row", pl.coalesce(given, "source").alias("source"))


def renders_of(
    record: Record, options: RenderOptions, prove: Prove
) -> list[VerifiedRender] | Refusal:
    """The verified texts of a record, of a pair those of both answers; or why there are none."""
    try:
        if options.pairs:
            return prove_pair(record, options, prove)
        return prove(chat(record, options))
    except Refusal as refusal:
        return refusal


class RowRenderer:
    """Templates, tokenizer and options, ready for rows."""

    def __init__(
        self,
        ready: Provers,
        options: RenderOptions,
        fast: bool = True,
    ) -> None:
        assert ready.tokenizer is not None
        self.ready, self.options = ready, options
        ids = sorted({stop.id for stop in ready.stops if stop.id is not None})
        kind = FastEncoder if fast else Encoder
        self.encoder = kind(ready.tokenizer, ids, options.boundary, options.control)

    def batches(
        self, slices: Iterable[pl.DataFrame]
    ) -> Iterator[tuple[list[Record], list[Row | Refusal]]]:
        """Each slice of records with what became of them, in order.

        A record whose history is rewritten stands there once for each of its examples.
        """
        # Two readers of the same batches: the encoder may be some ahead.
        proven, ahead = tee(map(self._proven, slices))
        texts = (
            [one for made in renders if isinstance(made, list) for one in made]
            for _, renders in ahead
        )
        for (given, renders), examples in zip(proven, self.encoder.stream(texts), strict=True):
            left = iter(examples)
            rows = [self._outcomes(one, left) for one in renders]
            records = [one for one, of_it in zip(given, rows, strict=True) for _ in of_it]
            yield records, [row for of_it in rows for row in of_it]

    def _proven(
        self, records: pl.DataFrame
    ) -> tuple[list[Record], list[list[VerifiedRender] | Refusal]]:
        """The records as dicts, and the verified texts of each."""
        options, meta = self.options, pl.col("meta")
        fields = [DOCUMENTS, ARGUMENTS, *filter(None, [options.continue_final_field])]
        given = pl.when(meta.str.contains_any(fields)).then(meta)  # in most rows nothing to read
        rejected = ["rejected"] if options.pairs else []
        rows = records.select("row", "id", "messages", "tools", *rejected, given).to_dicts()
        return rows, [renders_of(row, options, self.ready.prove) for row in rows]

    def _outcomes(
        self, made: list[VerifiedRender] | Refusal, examples: Iterator[Example | Refusal]
    ) -> Sequence[Row | Refusal]:
        """The examples of a record, or the one refusal that any of them earned."""
        if isinstance(made, Refusal):
            return [made]
        rows: list[Row | Refusal] = []
        for verified in made:
            example = next(examples)
            cut = example if isinstance(example, Refusal) else fit(verified, example, self.options)
            rows.append(cut)
        if self.options.pairs:
            return [pair_of(rows)]
        refused = next((row for row in rows if isinstance(row, Refusal)), None)
        return [refused] if refused else rows
