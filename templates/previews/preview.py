"""Previews: what a model will really see, on a terminal, as a page, or for machines."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from curate.base.errors import CurateError, some_of
from curate.base.settings import check_settings
from curate.base.spelling import option
from templates.cards.card import card_of, stop_notices
from templates.options import DEFAULTS, RenderOptions
from templates.previews.difference import differences
from templates.previews.page import page
from templates.previews.parts import annotate, from_text, from_tokens, with_turns
from templates.previews.terminal import terminal
from templates.previews.view import Preview, RowView, numbered, of_turn, statistics
from templates.provers import provers
from templates.refusals import Refusal, Unreadable
from templates.render import RowRenderer, render, renders_of
from templates.spans import VerifiedRender
from templates.template import ChatTemplate
from templates.tokenizer.folder import load_tokenizer
from templates.tokenizer.tokenizer import Tokenizer
from templates.tokens.columns import Record, Row
from templates.tokens.dataset import Tokens, read
from templates.tokens.rendered import Rendered

MOVED = "moved_thoughts"
SAMPLE = 1_000  # records that the statistics of a preview are made of

COUNTED = ("trained_stops", "split", "truncated", "empty", "escaped", "unreadable", MOVED)
Format = Literal["ansi", "text", "html", "json"]


@dataclass(frozen=True)
class PreviewOptions:
    """What to show: rows by their `row` number, how, and whether refused rows are listed.

    `turn` shows one message of each row, with the template text before it. `color=None` means
    colour on a terminal unless NO_COLOR is set. `render` holds the options of `render`, which
    makes the rows that are shown.
    """

    rows: tuple[int, ...] = (0,)
    turn: int | None = None
    format: Format = "ansi"
    failures: bool = False
    ids: bool = False
    color: bool | None = None
    render: RenderOptions = DEFAULTS

    def __post_init__(self) -> None:
        check_settings(self, "preview")


def preview(
    source: pl.DataFrame | Path,
    template: ChatTemplate | None,
    tokenizer: Tokenizer | None,
    options: PreviewOptions = PreviewOptions(),
    against: tuple[ChatTemplate, Tokenizer | None] | None = None,
    unreadable: Sequence[str] = (),
) -> str:
    """Show rows of RECORDS, or of a TOKENS folder, as the trainer will see them.

    A TOKENS folder is read as it was written: its ids and labels are shown, nothing is rendered
    again. Without a tokenizer, records are shown as texts. `against` is another template or
    tokenizer to compare with, `unreadable` what there is to say of each row that is no record.
    Raises `CurateError` for a row that is not there.
    """
    if isinstance(source, Path):
        if against:
            what = "a written folder is shown as it is; compare templates on its records"
            raise CurateError(f"{source}: {what}")
        shown = _of_tokens(read(source), tokenizer, options)
    elif template is None:
        raise CurateError("preview: records need a template; name one with --template")
    else:
        shown = _of_records(source, template, tokenizer, options, unreadable)
    if against and isinstance(source, pl.DataFrame):
        other = _of_records(_choose(source, options), *against, options)
        lines = differences(shown.rows, other.rows, (shown.title, other.title))
        shown = dataclasses.replace(shown, difference=lines)
    shown = dataclasses.replace(shown, rows=_asked(shown.rows, options.turn))
    if options.format == "json":
        return json.dumps(shown.as_dict(), ensure_ascii=False, indent=1)
    if options.format == "html":
        return page(shown, options.ids)
    color = options.color
    if color is None:
        color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return terminal(shown, options.ids, color and options.format == "ansi")


def _asked(views: Sequence[RowView], turn: int | None) -> list[RowView]:
    """The examples of the rows, numbered; of one message alone if that is asked for."""
    views = numbered(views)
    if turn is None:
        return views
    found = [view if view.refused is not None else of_turn(view, turn) for view in views]
    if not any(view.parts or view.refused for view in found):
        rows = {view.row: _turns_of(view) for view in views}
        raise CurateError(
            f"turn {turn}: nothing shown is of that message; {some_of([*rows.values()])}"
        )
    return [view for view in found if view.parts or view.refused is not None]


def _turns_of(view: RowView) -> str:
    """Which messages a row has; of a written one, those whose text is known."""
    if count := len(view.roles):
        return f"row {view.row} has {count} messages, turns 0 to {count - 1}"
    known = sorted({part.message for part in view.parts if part.message is not None})
    return f"in row {view.row} turns {', '.join(map(str, known)) or 'none'} are known"


def _of_records(
    records: pl.DataFrame,
    template: ChatTemplate,
    tokenizer: Tokenizer | None,
    options: PreviewOptions,
    unreadable: Sequence[str] = (),
) -> Preview:
    """Rendered by the same code that writes a dataset, then shown from ids and labels."""
    if tokenizer is None:
        return _of_texts(records, template, options, unreadable)
    chosen = _choose(records, options)
    known = provers(pl.concat([chosen, records.head(SAMPLE)]), template, tokenizer, options.render)
    ready = RowRenderer(known, options.render)
    rows = [
        _row_view(ready, record, row)
        for given, outcomes in ready.batches([chosen])
        for record, row in zip(given, outcomes, strict=True)
    ]
    sample = render(records.head(SAMPLE), template, tokenizer, options.render)
    sample = sample.with_unreadable(unreadable)
    return Preview(
        f"{template.name} with {tokenizer.name}",
        rows,
        _failures(sample.refused) if options.failures else None,
        {**statistics(sample.examples, sample.refused), **_counted(sample.counts)},
        known.cards[0].as_dict(),
        "\n\n".join(map(str, known.cards)),
        _sampled(records),
        notices=(*sample.notices, *_about_refusals(sample)),
    )


def _about_refusals(sample: Rendered) -> tuple[str, ...]:
    """What would help, where many of the rows are refused."""
    counts = sample.counts
    if not any(sample.found):
        return ()
    helps = "; ".join(str(one) for one in (*sample.remedies, sample.remedies_cut) if one)
    return (f"{counts['refused']:,} of {counts['rows']:,} rows are refused; {helps}",)


def _row_view(
    ready: RowRenderer, record: Record, row: Row | Refusal, rejected: bool = False
) -> RowView:
    roles = _roles(record, rejected)
    if isinstance(row, Refusal):
        return RowView(record["row"], record["id"], [], roles, str(row), row.check)
    example = row.example
    ids = [stop.id for stop in ready.ready.stops if stop.id is not None]
    strings = [stop.text for stop in ready.ready.stops if stop.id is None]
    segments = ready.encoder.tokenizer.segments
    parts = from_tokens(example.ids, example.labels, segments, ids, strings)
    parts = annotate(parts, row.verified, ready.encoder.offsets(row.verified, example))
    other = _row_view(ready, record, row.rejected, True) if row.rejected else None
    return RowView(record["row"], record["id"], parts, roles, rejected=other)


def _of_texts(
    records: pl.DataFrame,
    template: ChatTemplate,
    options: PreviewOptions,
    unreadable: Sequence[str],
) -> Preview:
    """Texts and trained spans alone: what can be shown without a tokenizer."""
    how = options.render
    known = provers(records, template, None, how)

    def proven(record: Record) -> list[VerifiedRender] | Refusal:
        return renders_of(record, how, known.prove)

    rows = [
        view
        for record in _choose(records, options).to_dicts()
        for view in _text_views(record, proven(record), how.pairs)
    ]
    sampled = [(record, proven(record)) for record in records.head(SAMPLE).to_dicts()]
    good = [verified for _, made in sampled if isinstance(made, list) for verified in made]
    refused = sum(isinstance(made, Refusal) for _, made in sampled)
    unread = [RowView(None, "", [], (), why, Unreadable.check) for why in unreadable]
    trained = sum(target.end - target.start for verified in good for target in verified.trained)
    characters = sum(len(verified.text) for verified in good)
    failures = [view for record, made in sampled for view in _text_views(record, made, how.pairs)]
    return Preview(
        f"{template.name}, texts only",
        rows,
        [*(view for view in failures if view.refused), *unread] if options.failures else None,
        {
            "rows": len(sampled) + len(unread),
            "examples": len(sampled) - refused if how.pairs else len(good),
            "refused": refused + len(unread),
            "unreadable": len(unread),
            MOVED: sum(made[0].moved for _, made in sampled if isinstance(made, list)),
            "split": 0 if how.pairs else len(good) + refused - len(sampled),
            "characters": characters,
            "trained_characters": trained,
            "trained_share": round(trained / max(characters, 1), 4),
        },
        known.cards[0].as_dict(),
        "\n\n".join(map(str, known.cards)),
        f"{_sampled(records)}; texts only, without a tokenizer",
    )


def _text_views(record: Record, made: list[VerifiedRender] | Refusal, pairs: bool) -> list[RowView]:
    roles = _roles(record)
    row, name = record["row"], record["id"]
    if isinstance(made, Refusal):
        return [RowView(row, name, [], roles, str(made), made.check)]
    if pairs:
        other = RowView(row, name, from_text(made[1]), _roles(record, rejected=True))
        return [RowView(row, name, from_text(made[0]), roles, rejected=other)]
    return [RowView(row, name, from_text(verified), roles) for verified in made]


def _roles(record: Record, rejected: bool = False) -> tuple[str, ...]:
    messages = record["messages"] or []
    if rejected:
        messages = [*messages[: -len(record["rejected"])], *record["rejected"]]
    return tuple(message["role"] for message in messages)


def _counted(counts: Mapping[str, int]) -> dict[str, int]:
    """What `render` counts beyond the rows themselves."""
    return {name: counts.get(name, 0) for name in COUNTED}  # an older folder lacks some


def _of_tokens(tokens: Tokens, tokenizer: Tokenizer | None, options: PreviewOptions) -> Preview:
    """A written dataset, from what lies in its files."""
    manifest = tokens.manifest
    made = manifest["tokenizer"]
    folder = made.get("folder")
    if tokenizer is None and folder and not Path(folder).expanduser().exists():
        raise CurateError(
            f"{tokens.folder}: made with the tokenizer in the folder {folder}, which is not there "
            f"as seen from here; name it with {option('tokenizer')}"
        )
    added = {**made.get("functional", {}), **made.get("closing", {})}
    names = tuple(sorted(added, key=added.__getitem__))
    known = tokenizer or load_tokenizer(made["name"], names)
    if known.hash != manifest["tokenizer"]["hash"]:
        raise CurateError(
            f"{tokens.folder}: written with another tokenizer than {known.name}; "
            "name the one it was rendered with"
        )
    chosen = [view for number in options.rows for view in _written_rows(tokens, number, known)]
    return Preview(
        f"{tokens.folder.name}: {manifest['template']['name']} with {known.name}",
        chosen,
        _failures(tokens.refused) if options.failures else None,
        {**statistics(tokens.examples, tokens.refused), **_counted(manifest["counts"])},
        manifest["card"],
        str(card_of(manifest["card"])),
        "statistics over the whole folder, read from its files",
        notices=stop_notices([card_of(manifest["card"])]),
    )


def _written_rows(tokens: Tokens, number: int, tokenizer: Tokenizer) -> list[RowView]:
    refused = tokens.refused.filter(pl.col("row") == number)
    if refused.height:
        return _failures(refused)
    found = tokens.examples.filter(pl.col("row") == number)
    if not found.height:
        raise CurateError(
            f"row {number}: {tokens.folder} has no such row; "
            f"it holds {tokens.examples.height:,} examples and {tokens.refused.height:,} refusals"
        )
    stop = tokens.manifest["stop"]

    def view(row: Mapping[str, Any], side: str = "") -> RowView:
        ids, labels = row[f"{side}input_ids"], row[f"{side}labels"]
        parts = from_tokens(ids, labels, tokenizer.segments, stop["ids"], stop["strings"])
        return RowView(number, row["id"], parts if side else with_turns(parts, row["turns"]))

    paired = "rejected_labels" in found.columns
    return [
        dataclasses.replace(view(row), rejected=view(row, "rejected_") if paired else None)
        for row in found.iter_rows(named=True)
    ]


def _choose(records: pl.DataFrame, options: PreviewOptions) -> pl.DataFrame:
    """The asked rows in the asked order."""
    frames = []
    for number in options.rows:
        found = records.filter(pl.col("row") == number).head(1)
        if not found.height:
            raise CurateError(
                f"row {number}: there is no such row; there are {records.height:,} rows, counted "
                "from 0 (of a run, those that were kept)"
            )
        frames.append(found)
    return pl.concat(frames) if frames else records.head(0)


def _failures(refused: pl.DataFrame) -> list[RowView]:
    return [
        RowView(row["row"], row["id"], [], (), row["message"], row["check"])
        for row in refused.iter_rows(named=True)
    ]


def _sampled(records: pl.DataFrame) -> str:
    if records.height <= SAMPLE:
        return f"statistics over all {records.height:,} rows"
    return f"statistics over the first {SAMPLE:,} of {records.height:,} rows"
