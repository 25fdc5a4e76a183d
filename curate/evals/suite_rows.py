"""A file as one model reads it: token rows, what each asks for, and the answers it has itself."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

import templates
from curate.base.errors import CurateError
from curate.evals.suite_files import SuiteFile, row_numbers
from trainer.after.chat import Talker
from trainer.after.suite.asking import Asked
from trainer.after.suite.losses import AnswerText, answers_of
from trainer.checks import gate
from trainer.data.rows import IGNORED, Ints, Rows, make_rows
from trainer.models import model as models

# What base models without a chat template are asked with.
PLAIN = "simple"


@dataclasses.dataclass(frozen=True)
class Format:
    """How a model is asked: its template, and the tokenizer as rendering sees it."""

    template: templates.ChatTemplate
    tokenizer: templates.Tokenizer
    is_assumed: bool

    def as_dict(self) -> dict[str, str]:
        """What is written down of it."""
        named = self.template.name
        return {"template": named, "hash": self.template.hash, "tokenizer": self.tokenizer.hash}


@dataclasses.dataclass(frozen=True)
class ModelRows:
    """The rows of a file that a model reads whole, and why it does not read the others.

    `keys` name them in any model's rows; `last` is each one's last answer, which is asked for by
    what stands before it. `left_out` counts rows by reason.
    """

    rows: Rows
    keys: tuple[str, ...]
    last: tuple[AnswerText, ...]
    groups: tuple[str, ...]
    left_out: dict[str, int]

    def asked(self, part: str, talker: Talker) -> tuple[list[Asked], list[int], int]:
        """The prompts with room for an answer, the rows they are of, and how many have none."""
        found = [
            (row, Asked(part, key, prompt_before(self.rows, row, last.first)))
            for row, (key, last) in enumerate(zip(self.keys, self.last, strict=True))
            if last.first and talker.room(range(last.first), 1)
        ]
        return [each for _, each in found], [row for row, _ in found], len(self.keys) - len(found)


def prompt_before(rows: Rows, row: int, first: int) -> tuple[int, ...]:
    """The ids of a row before its token number `first`."""
    return tuple(rows.input_ids[rows.row(row)][:first].tolist())


def first_trained(labels: Sequence[int]) -> int:
    """The place of the first trained token.

    >>> first_trained([-100, -100, 7])
    2
    """
    return next(at for at, label in enumerate(labels) if label != IGNORED)


def format_of(talker: Talker, name: str | None) -> Format:
    """The template that is asked for, or the model's own, or a plain one where it has none.

    Raises `CurateError` for a template that is none.
    """
    tokenizer = templates.load_tokenizer(str(talker.folder))
    is_assumed = name is None and not tokenizer.chat_templates
    chosen = templates.load_template(PLAIN if is_assumed else name, tokenizer)
    return Format(chosen, tokenizer, is_assumed)


def with_stops(talker: Talker, rendered: templates.Rendered) -> Talker:
    """The model, which also stops where the template ends an answer."""
    stops = [stop for card in rendered.cards for stop in card.stops]
    ids = {stop.id for stop in stops if stop.id is not None}
    strings = [stop.text for stop in stops if stop.id is None]
    return dataclasses.replace(
        talker,
        stop_ids=talker.stop_ids | ids,
        stop_strings=tuple(dict.fromkeys([*talker.stop_strings, *strings])),
    )


def render(file: str, records: pl.DataFrame, how: Format) -> templates.Rendered:
    """Records by the model's template. Raises `CurateError` where it takes none of them."""
    try:
        rendered = templates.render(records, how.template, how.tokenizer)
    except CurateError as error:
        raise CurateError(f"{file}: {error}") from error
    if not rendered.examples.height:
        first = rendered.refused["message"].to_list()[:1]
        why = f": {first[0].splitlines()[0]}" if first else ""
        raise CurateError(f"{file}: template {how.template.name} takes none of its rows{why}")
    return rendered


def rendered_rows(talker: Talker, file: SuiteFile, rendered: templates.Rendered) -> ModelRows:
    """The rows that a template made of a file's records."""
    frame = rendered.examples
    keys = numbered([f"{row} {name}" for row, name in frame.select("row", "id").iter_rows()])
    rows = make_rows(keys, frame["input_ids"].to_list(), frame["labels"].to_list())
    assert file.records is not None
    place = {row: at for at, row in enumerate(file.records["row"].to_list())}
    groups = [file.groups[place[row]] for row in frame["row"].to_list()]
    refused = Counter(rendered.refused["check"].to_list())
    return _fitting(talker, rows, groups, {f"refused_{name}": n for name, n in refused.items()})


def numbered(names: Sequence[str]) -> list[str]:
    """Names, each only once: a further one gets its number.

    >>> numbered(["a", "b", "a"])
    ['a', 'b', 'a #2']
    """
    seen: Counter[str] = Counter()
    made = []
    for name in names:
        seen[name] += 1
        made.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return made


def check_tokenizer(tokenizer: Any, files: Sequence[SuiteFile]) -> None:
    """Raise `CurateError` for a TOKENS folder that was rendered for another tokenizer."""
    known = models.token_ids(tokenizer)
    assert known is not None
    for file in files:
        if file.tokens is None:
            continue
        if strange := gate.strange_tokens(file.tokens, known, len(tokenizer)):
            raise CurateError(
                f"{file.name}: was rendered for another tokenizer than that of "
                f"{tokenizer.name_or_path} ({strange[0]}); measure on the rows before they were "
                "rendered"
            )


def token_rows(talker: Talker, file: SuiteFile, max_rows: int | None, seed: int) -> ModelRows:
    """The rows of a TOKENS folder, which is of the model's tokenizer (`check_tokenizer`)."""
    assert file.tokens is not None
    rows = file.tokens.rows
    chosen = row_numbers(file, max_rows, seed)
    names = numbered([f"{row} {rows.ids[row]}" for row in chosen.tolist()])
    some = [(rows.input_ids[rows.row(row)], rows.labels[rows.row(row)]) for row in chosen.tolist()]
    made = make_rows(names, [ids.tolist() for ids, _ in some], [each.tolist() for _, each in some])
    return _fitting(talker, made, [""] * len(names), {})


def _fitting(
    talker: Talker, rows: Rows, groups: Sequence[str], left_out: dict[str, int]
) -> ModelRows:
    """The rows that the model has positions for, and in which something is trained."""
    longest = talker.positions
    fits = rows.lengths <= longest if longest is not None else np.ones(len(rows), np.bool_)
    trained = rows.target_counts > 0
    counts = {"too_long": int((~fits).sum()), "no_answer": int((fits & ~trained).sum())}
    kept = np.flatnonzero(fits & trained)
    chosen = _take(rows, kept)
    last = tuple(answers_of(talker, chosen, row)[-1] for row in range(len(chosen)))
    return ModelRows(
        chosen,
        chosen.ids,
        last,
        tuple(groups[row] for row in kept.tolist()),
        left_out | {name: count for name, count in counts.items() if count},
    )


def _take(rows: Rows, chosen: Ints) -> Rows:
    if len(chosen) == len(rows):
        return rows
    parts = [rows.row(row) for row in chosen.tolist()]
    return make_rows(
        [rows.ids[row] for row in chosen.tolist()],
        [rows.input_ids[part].tolist() for part in parts],
        [rows.labels[part].tolist() for part in parts],
    )
