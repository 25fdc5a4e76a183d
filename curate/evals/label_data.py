"""Labelled rows as each model reads them: of a TOKENS folder as they are, of a file rendered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import templates
from curate.base.errors import CurateError
from curate.base.log import Log
from curate.evals.label_classes import Classes, read_labels
from curate.evals.label_rows import FileRows, read_rows
from curate.sources import DETECTED, ReadOptions
from trainer.after.chat import Talker
from trainer.checks import gate
from trainer.data import labelled
from trainer.data.labelled import Ids, LabelledRows, LeftOut
from trainer.data.rows import IGNORED
from trainer.data.tokens import Tokens, load_tokens
from trainer.models import model as models

# The last answer alone is scored, whatever a template does to earlier turns.
_OPTIONS = templates.RenderOptions(turns="last", history="last", boundary="split")


@dataclasses.dataclass(frozen=True)
class LabelData:
    """What is classified: rows of token ids, or of a file; `template` is for the latter."""

    name: str
    rows: Tokens | FileRows
    classes: Classes
    template: str | None = None
    notices: tuple[str, ...] = ()


def read(
    source: str | PathLike[str],
    labels: str | PathLike[str] | Sequence[str] | Mapping[str, str],
    field: str | None = None,
    template: str | None = None,
    how: ReadOptions = DETECTED,
) -> LabelData:
    """Read the rows to classify, and the classes (see `read_labels`).

    Raises `CurateError` for what is neither a TOKENS folder, a RUN nor a file of rows.
    """
    name, classes, notices = fspath(source), read_labels(labels, field), list[str]()
    if not templates.is_tokens(Path(name)) and not (Path(name) / "dataset_info.json").is_file():
        rows = read_rows(name, classes, how, notices.append)
        return LabelData(name, rows, classes, template, tuple(notices))
    if classes.field is not None:
        raise CurateError(
            f"{name}: token rows have no field {classes.field!r}; name a file of classes in "
            "labels, or auto for the answers that the rows have"
        )
    if classes.texts is not None:
        raise CurateError(
            f"{name}: the answers of token rows are classes already; name a plain list of them"
        )
    if template is not None:
        raise CurateError(f"{name}: is rendered already; leave out the template")
    return LabelData(name, load_tokens(name), classes)


class Encoder:
    """Makes labelled rows for one model after another; the first one's template serves those
    that have none."""

    def __init__(self, data: LabelData, tell: Log) -> None:
        self.data, self.tell = data, tell
        self.first: templates.ChatTemplate | None = None

    def rows(self, model: str, talker: Talker) -> LabelledRows:
        """The rows as the model reads them. Raises `CurateError`."""
        rows = self.data.rows
        if isinstance(rows, Tokens):
            return _of_tokens(self.data, rows, model, talker)
        tokenizer = templates.load_tokenizer(str(talker.folder))
        template = self._template(model, talker, tokenizer)
        self.first = self.first or template
        return _of_file(rows, template, tokenizer)

    def _template(
        self, model: str, talker: Talker, tokenizer: templates.Tokenizer
    ) -> templates.ChatTemplate:
        has_own = bool(talker.tokenizer.chat_template)
        if self.data.template is None and not has_own and self.first is not None:
            self.tell(f"{model}: has no chat template, so the first model's writes its prompts")
            return self.first
        return templates.load_template(self.data.template, tokenizer)


def _of_tokens(data: LabelData, tokens: Tokens, model: str, talker: Talker) -> LabelledRows:
    known = models.token_ids(talker.tokenizer)
    assert known is not None
    if strange := gate.strange_tokens(tokens, known, len(talker.tokenizer)):
        raise CurateError(
            f"{model}: has another tokenizer than the rows of {data.name} ({'; '.join(strange)}); "
            "evaluate the rows before they are rendered"
        )
    chosen, classes = np.arange(len(tokens.rows)), data.classes
    return labelled.from_tokens(
        tokens, chosen, talker.decode, talker.tokenizer, classes.names, classes.source
    )


def _of_file(
    rows: FileRows, template: templates.ChatTemplate, tokenizer: templates.Tokenizer
) -> LabelledRows:
    """Each row rendered with each class as its answer."""
    count, numbers = len(rows.classes), rows.records["row"].to_list()
    rendered = templates.render(_with_answers(rows), template, tokenizer, _OPTIONS)
    pairs = {number: _cut(ids, labels) for number, ids, labels in _examples(rendered)}
    refused = dict(rendered.refused.select("row", "message").iter_rows())
    checks = dict(rendered.refused.select("row", "check").iter_rows())
    left_out, kept, prompts, every = list(rows.left_out), list[int](), list[Ids](), list[Labels]()
    shared: dict[Labels, Labels] = {}
    for place, row_id in enumerate(rows.records["id"].to_list()):
        of_row = range(place * count, (place + 1) * count)
        if lacking := [number for number in of_row if number not in pairs]:
            first = lacking[0]
            why = f"with label {rows.classes[first % count]!r}: {refused[first].splitlines()[0]}"
            left_out.append(LeftOut(numbers[place], row_id, checks[first], why))
            continue
        if len({pairs[number][0] for number in of_row}) > 1:
            why = "its prompt has other tokens before one label than before another"
            left_out.append(LeftOut(numbers[place], row_id, "prompt_differs", why))
            continue
        labels = tuple(pairs[number][1] for number in of_row)
        kept.append(place)
        prompts.append(pairs[place * count][0])
        every.append(shared.setdefault(labels, labels))
    for labels in shared:
        labelled.check_labels(rows.classes, labels, has_stop=rendered.card.ends_with is not None)
    ids = rows.records["id"].to_list()
    return LabelledRows(
        classes=rows.classes,
        numbers=np.array([numbers[place] for place in kept], dtype=np.int64),
        ids=tuple(ids[place] for place in kept),
        prompts=tuple(prompts),
        labels=tuple(every),
        truth=np.array([rows.truth[place] for place in kept], dtype=np.int64),
        left_out=tuple(left_out),
    )


Labels = tuple[Ids, ...]


def _with_answers(rows: FileRows) -> pl.DataFrame:
    """Every record with every class as its last answer; `row` counts both."""
    made: list[dict[str, Any]] = []
    # A loop over rows: the answer is put into a list of messages.
    for record in rows.records.to_dicts():
        places = [at for at, each in enumerate(record["messages"]) if each["role"] == "assistant"]
        before = record["messages"][: places[-1]]
        for name in rows.classes:
            answer = {**dict.fromkeys(record["messages"][places[-1]]), "role": "assistant"}
            messages = [*before, {**answer, "content": name}]
            made.append({**record, "row": len(made), "messages": messages})
    return pl.DataFrame(made, schema=rows.records.schema)


def _examples(rendered: templates.Rendered) -> list[tuple[int, list[int], list[int]]]:
    return rendered.examples.select("row", "input_ids", "labels").rows()


def _cut(ids: Sequence[int], labels: Sequence[int]) -> tuple[Ids, Ids]:
    """The prompt and the trained answer, stop included; what a template writes after is no part."""
    trained = [place for place, label in enumerate(labels) if label != IGNORED]
    return tuple(ids[: trained[0]]), tuple(ids[trained[0] : trained[-1] + 1])
