"""Evaluation files: questions to look for in a training set, and the answers that count as right.

A row is read by the columns that the user names, by the shape of a published benchmark, by the
formats of training sets, or by the usual names of a question and an answer; the first that fits.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
import polars as pl

from curate.base.errors import CurateError, nearest, some_of
from curate.base.schema import RECORDS, content_id
from curate.sources.build import Builder
from curate.sources.evaluations.benchmarks import SHAPES, Question, question, question_in
from curate.sources.evaluations.references import LETTERS, answers_in, first_of, normal, texts_of
from curate.sources.files.inputs import Input, expand
from curate.sources.files.items import AnyItem, Block, Item, Note, Numbers
from curate.sources.files.packed import unpack
from curate.sources.files.raw import items
from curate.sources.formats import is_row
from curate.sources.options import ReadOptions
from curate.sources.reader import Reader
from curate.sources.shared.convert import ROLE_NAMES, Conversation, Reject, Row, assistant, user

# Names of the fields that are taken for a question and its answers where nothing else fits.
PROMPTS = (
    *("question", "prompt", "problem", "query", "instruction", "input", "inputs", "question_text"),
    *("task", "text", "sentence"),
)
ANSWERS = (
    *("answer", "answers", "solution", "output", "response", "completion", "target", "targets"),
    *("reference", "references", "reference_answer", "expected_answer", "ground_truth"),
)
_LISTS = ("turns", "messages", "conversations", "conversation")
# Rejects of the training formats that may hold a question all the same.
_MAY_ASK = ("no_answer", "unknown_shape", "wrong_type", "no_preference")

_TEXTS = pl.List(pl.String)
_SAMPLE = 100  # rows that are looked at for a guess of what their fields hold
_SHOWN = 20  # fields that an error names


class Evaluation(NamedTuple):
    """The questions of some files.

    `records` are Records with three more columns: `context`, the passage that is asked about (or
    ""), `other_prompts`, the same question in other words, and `choices`, what there is to choose
    from. A record has a message of the
    user for each turn, then one of the assistant for each answer that counts as right.
    `warnings` are about rows that could not be read, `fields` all names of fields in the rows.
    """

    records: pl.DataFrame
    warnings: list[str]
    fields: list[str]


class Unread(NamedTuple):
    """A row that holds no question that can be read."""

    source: str
    line: int
    reason: str


def read(paths: Sequence[str], columns: Mapping[str, str], setting: str) -> Evaluation:
    """Read the questions of files, folders or globs in any container that is read.

    `columns` names the fields that hold the `prompt` and the `answer`; `setting` is where a user
    writes them, for errors. Raises `CurateError` for a file of which nothing can be read.
    """
    files = [_read_file(source, columns, setting) for source in expand(list(paths))]
    records = pl.concat([records for records, _, _ in files])
    unread = [row for _, rows, _ in files for row in rows]
    warnings = [_warning(", ".join(paths), records.height, unread)] if unread else []
    fields = list(dict.fromkeys(name for _, _, names in files for name in names))
    numbered = records.with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32))
    return Evaluation(numbered, warnings, fields)


def check_columns(columns: Mapping[str, str], fields: Sequence[str], setting: str) -> None:
    """Raise `CurateError` for a named column that no evaluation file has."""
    for part, column in columns.items():
        if column not in fields:
            raise CurateError(
                f"{setting}: no evaluation file has a field {column!r}, which is named as the "
                f"{part}; there are {_named(fields)}{nearest(column, fields)}"
            )


def _warning(where: str, read: int, unread: Sequence[Unread]) -> str:
    (slug, count), *_ = Counter(_slug(row.reason) for row in unread).most_common(1)
    first = next(row for row in unread if _slug(row.reason) == slug)
    most = f"; most ({count:,}) like" if count < len(unread) else "; first"
    return (
        f"{where}: {len(unread):,} of {read + len(unread):,} rows cannot be read and are not "
        f"compared with{most} {first.source}:{first.line}: {first.reason}"
    )


def _slug(reason: str) -> str:
    return reason.split(":")[0]


# --- one file


def _read_file(
    source: Input, columns: Mapping[str, str], setting: str
) -> tuple[pl.DataFrame, list[Unread], list[str]]:
    reading = _FileReader(source.name, columns)
    reading.take(_items(source))
    records, unread = reading.part()
    if not records.height:
        raise CurateError(_nothing(reading, unread, setting))
    return records, unread, list(reading.fields)


class _FileReader:
    """The questions of one file as they come, and the rows left to the training formats."""

    def __init__(self, source: str, columns: Mapping[str, str]) -> None:
        self.source, self.columns = source, columns
        self.questions: list[tuple[int, Question]] = []
        self.unread: list[Unread] = []
        self.left: list[AnyItem] = []
        self.fields: dict[str, None] = {}
        self.sample: list[Row] = []

    def take(self, given: Iterator[AnyItem]) -> None:
        # Rows are Python objects here: a benchmark has thousands of them, and their shapes differ.
        for item in given:
            if isinstance(item, Numbers):
                self._number(item)
            elif isinstance(item, Note):
                self.left.append(item)
            elif isinstance(item, Block):
                for line, row in zip(item.lines, item.values, strict=True):
                    self._take_row(Item(line, row))
            else:
                self._take_row(item)

    def _number(self, numbers: Numbers) -> None:
        """Put its number in place of the line of each row so far."""
        number = {line: at for at, line in enumerate(numbers.lines, 1)}
        self.questions = [(number[line], one) for line, one in self.questions]
        self.unread = [row._replace(line=number[row.line]) for row in self.unread]
        self.left.append(numbers)

    def _take_row(self, item: Item) -> None:
        row = item.value
        if isinstance(row, dict):
            self.fields |= dict.fromkeys(map(str, row))
            self.sample += [row] if len(self.sample) < _SAMPLE else []
        try:
            questions = self._questions(row) if item.reject is None else None
        except Reject as reject:
            self.unread.append(Unread(self.source, item.line, str(reject)))
            return
        if questions is None:
            self.left.append(item)
        else:
            self.questions += [(item.line, one) for one in questions]

    def _questions(self, row: Any) -> list[Question] | None:
        """What the row asks; None for one that is left to the formats of training sets."""
        found = question_in(row)
        if isinstance(row, dict) and self.columns:
            there = [row.get(column) is not None for column in self.columns.values()]
            if all(there) or (found is None and row.get(self.columns["prompt"]) is not None):
                return [self._by_columns(row)]
        return SHAPES[found[0]].read(found[1]) if found else None

    def _by_columns(self, row: Row) -> Question:
        prompt, answer = self.columns["prompt"], self.columns.get("answer", "")
        return question(row[prompt], prompt, list(texts_of(row.get(answer))))

    def part(self) -> tuple[pl.DataFrame, list[Unread]]:
        """All records in the order of the file, and the rows that hold no question."""
        own, unread = list(self.questions), list(self.unread)
        reader = Reader(self.source, ReadOptions())
        reader.take(self.left)
        general = reader.rows()
        for source, line, reason, raw in general.rejects.iter_rows():
            usual = _usual(raw, _slug(reason))
            if usual is None:
                unread.append(Unread(source, line, reason))
            else:
                own.append((line, usual))
        more = general.records.with_columns(
            context=pl.lit(""), other_prompts=pl.lit([], _TEXTS), choices=pl.lit([], _TEXTS)
        )
        records = pl.concat([_records(self.source, own), more])
        unread.sort(key=lambda row: row.line)
        return records.sort("line", maintain_order=True), unread


def _records(source: str, questions: Sequence[tuple[int, Question]]) -> pl.DataFrame:
    frames = [pl.DataFrame(schema=RECORDS)]
    builder = Builder(frames.append)
    for line, one in questions:
        messages = [*map(user, one.turns), *map(assistant, one.answers)]
        builder.add(source, line, content_id(messages), "{}", Conversation(messages, ()))
    builder.flush()
    contexts = [one.context for _, one in questions]
    others = [list(one.others) for _, one in questions]
    return pl.concat(frames).with_columns(
        context=pl.Series(contexts, dtype=pl.String),
        other_prompts=pl.Series(others, dtype=_TEXTS),
        choices=pl.Series([list(one.choices) for _, one in questions], dtype=_TEXTS),
    )


def _usual(raw: str, slug: str) -> Question | None:
    """A question under a usual name, in a row that no format of training sets takes."""
    if slug not in _MAY_ASK:
        return None
    try:
        row = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(row, dict):
        return None
    named = normal(row)
    # Of a list that holds something odd, a part would pass for the whole.
    turns = [] if slug == "wrong_type" else _turns(named)
    if not turns:
        parts = [named.get("instruction"), named.get("input")]
        texts = [part for part in parts if isinstance(part, str) and part.strip()]
        name = next((name for name in PROMPTS if _is_text(named.get(name))), None)
        turns = ["\n\n".join(texts)] if "instruction" in named and texts else []
        turns = turns or ([named[name]] if name else [])
    return Question(tuple(turns), tuple(answers_in(*ANSWERS)(named))) if turns else None


def _turns(row: Row) -> list[str]:
    """The user's turns of a conversation in which nobody answers."""
    turns = row.get(first_of(row, "|".join(_LISTS)) or "")
    texts = [_asked(turn) for turn in turns] if isinstance(turns, list) else []
    return [text for text in texts if _is_text(text)]


def _asked(turn: Any) -> Any:
    if not isinstance(turn, dict):
        return turn
    speaker = str(turn.get("role", turn.get("from", "user"))).lower()
    asks = ROLE_NAMES.get(speaker, "user") == "user"
    return turn.get("content", turn.get("value")) if asks else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


# --- containers


def _items(source: Input) -> Iterator[AnyItem]:
    """The rows of a file; a CSV file of MMLU, which has no header, gets one."""
    stored = source.stored()
    header = _lettered_header(source, stored)
    if not header:
        return items(source, stored, _is_row)
    data, damages = unpack(stored, source.name)
    broken = "; ".join(each.wrong for each in damages) or None
    headed = header.encode() + b"\n" + data.removeprefix(b"\xef\xbb\xbf")
    return _without_header(items(source, headed, _is_row), broken)


def _is_row(value: object) -> bool:
    return question_in(value) is not None or is_row(value)


def _lettered_header(source: Input, stored: bytes) -> str:
    """The header that a table of a question, its choices and a letter lacks; or nothing."""
    delimiter = {".csv": ",", ".tsv": "\t"}.get(source.suffix())
    if delimiter is None or not stored:
        return ""
    start = unpack(stored, source.name)[0][: 1 << 16].decode(errors="replace")
    try:
        first = next(
            csv.reader(io.StringIO(start.removeprefix("\ufeff"), newline=""), delimiter=delimiter)
        )
    except (csv.Error, StopIteration):
        return ""
    *choices, letter = first[1:] or [""]
    letters = LETTERS[: len(choices)]
    # `question,A,B,C,D` is a header itself.
    is_row = len(choices) > 1 and letter in list(letters) and "".join(choices) != letters
    return delimiter.join(["question", *letters, "answer"]) if is_row else ""


def _without_header(given: Iterator[AnyItem], broken: str | None) -> Iterator[AnyItem]:
    line = 1
    for item in given:
        assert isinstance(item, Item), "a table has single rows"
        line = max(1, item.line - 1)
        yield item._replace(line=line)
    if broken:
        yield Item(line, reject=f"damaged: {broken}; what follows this line is lost")


# --- errors


def _nothing(reading: _FileReader, unread: Sequence[Unread], setting: str) -> str:
    """Why nothing of a file could be read, and what to do."""
    nothing = f"{reading.source}: no evaluation question could be read"
    if not unread:
        return f"{nothing}: there is no row; name a file with questions"
    if not reading.fields:
        return f"{nothing}; line {unread[0].line}: {unread[0].reason}"
    known = [row for row in unread if _slug(row.reason) != "unknown_shape"]
    why = f" (line {known[0].line}: {known[0].reason})" if known else ""
    fields = list(reading.fields)
    missing = [column for column in reading.columns.values() if column not in fields]
    lacking = f"; it has no {', '.join(map(repr, missing))} of {setting}" if missing else ""
    guess = _guess(reading.sample)
    if guess:
        advice = f"say which hold it: {setting}: {{{guess}}}"
    else:
        advice = "none of them holds the text of a question: name the file that does"
    return f"{nothing}{why}; its fields are {_named(fields)}{lacking}; {advice}"


def _named(fields: Sequence[str]) -> str:
    shown = [name if len(name) < 40 else f"{name[:40]}…" for name in fields]
    return some_of(shown, _SHOWN)


# Parts of names by which a guess goes.
_ASKING = ("question", "prompt", "problem", "query", "instruct", "input", "goal", "text", "task")
_ANSWERING = ("answer", "solution", "output", "target", "response", "reference", "gold", "label")


def _guess(sample: Sequence[Row]) -> str:
    """`prompt: a, answer: b` for the fields that most likely hold them; empty for none."""
    words: Counter[str] = Counter()
    for row in sample:
        words.update({str(name): len(text.split()) for name, text in row.items() if _is_text(text)})
    # Ids and labels are one word.
    texts = [name for name, count in words.most_common() if count > 2 * len(sample)]
    prompt = _like(texts, _ASKING) or next(iter(texts), None)
    if prompt is None:
        return ""
    others = dict.fromkeys(str(name) for row in sample for name in row if name != prompt)
    called_so = (name for name in others if name.lower() in ("a", "ans"))
    answer = _like(list(others), _ANSWERING) or next(called_so, None)
    answer = answer or next((name for name in texts if name != prompt), None)
    return f"prompt: {prompt}" + (f", answer: {answer}" if answer else "")


def _like(names: Sequence[str], parts: Sequence[str]) -> str | None:
    return next((name for part in parts for name in names if part in name.lower()), None)
