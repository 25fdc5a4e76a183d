"""The nouns that flow through the house: Records, Verdicts, Examples, and how they are named.

Everything else imports from here; this file imports nothing of ours.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import orjson
import polars as pl

ROLES = ("system", "user", "assistant", "tool")

MESSAGE = pl.Struct(
    {
        "role": pl.String,
        "content": pl.String,
        "reasoning": pl.String,
        "name": pl.String,
        "tool_calls": pl.String,  # JSON: [{"name": ..., "arguments": {...}, "id"?: ...}]
        "tool_call_id": pl.String,
        "weight": pl.Float64,  # 0 = never trained; null = the default
    }
)
MESSAGES = pl.List(MESSAGE)
MESSAGE_FIELDS = tuple(field.name for field in MESSAGE.fields)

_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "row": pl.UInt32,
    "id": pl.String,
    "source": pl.String,
    "line": pl.UInt32,
    "messages": MESSAGES,
    "tools": pl.String,
    "rejected": MESSAGES,
    "score": pl.Float64,
    "category": pl.String,
    "meta": pl.String,
}
RECORDS = pl.Schema(_COLUMNS)

# What `with_text` adds to them.
TEXTS = ("prompt", "response")

VERDICTS = pl.Schema(
    {
        "keep": pl.Boolean,
        "reason": pl.String,
        "score": pl.Float64,
        "twin": pl.UInt32,
        "evidence": pl.String,
    }
)


class CurateError(Exception):
    """A mistake the user can mend. The command line prints it as it is and exits with 1."""


@runtime_checkable
class Filter(Protocol):
    """Judges records; never edits them, reads files or prints.

    An implementation is a frozen dataclass; its fields are its parameters, declared with
    `setting` and checked in `__post_init__` before any data is read.
    """

    name: ClassVar[str]
    # Every reason slug this filter can give, with one sentence for the docs and the report.
    reasons: ClassVar[Mapping[str, str]]

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """Numbers about each record: same height and order, narrow columns, no view of other rows.

        `records` has the columns of `RECORDS` plus `prompt` and `response` (see `with_text`), or
        those of them that a class variable `reads` names: nothing else is sent to a worker.
        """
        ...

    def judge(self, measures: pl.DataFrame) -> pl.DataFrame:
        """`VERDICTS` of the same height and order.

        `measures` has `row`, `id`, what `measure` returned, `record.source`, `record.score`,
        `record.category`, and `STEP.COLUMN` for everything earlier steps measured.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Findings:
    """What a step says about the set as a whole, beside its verdicts.

    `sentences` are for people (terminal and report), `numbers` (what JSON holds) for machines;
    both stand with the step in the manifest. Each table becomes `STEP.NAME.parquet` in the run.
    """

    sentences: tuple[str, ...] = ()
    numbers: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tables: Mapping[str, pl.DataFrame] = dataclasses.field(default_factory=dict)


@runtime_checkable
class Finds(Protocol):
    """A filter that also says something about the whole set."""

    def findings(self, measures: pl.DataFrame, judged: pl.DataFrame) -> Findings:
        """Called once after `judge`, with its argument and its answer."""
        ...


Read = Callable[[Sequence[str]], pl.DataFrame]


@runtime_checkable
class Compares(Protocol):
    """A filter that compares with the records of other files, such as evaluation sets."""

    def bind(self, read: Read) -> Filter:
        """The filter to run instead, which knows those records.

        `read(paths)` gives the records (with `prompt` and `response`) of files, folders or globs
        in any format that `curate run` reads. Called once, before the dump is measured.
        """
        ...


@runtime_checkable
class Remembers(Protocol):
    """A filter that keeps something beyond the run, such as an index of what was curated.

    An optional property `remembers_in` names the place; two steps of a recipe may not share one.
    """

    def remember(self, records: pl.DataFrame) -> None:
        """Called after the run is written, with the records (and texts) that all steps kept."""
        ...


@runtime_checkable
class Fix(Protocol):
    """Rewrites text; never drops. The runner records which rows changed."""

    name: ClassVar[str]
    reasons: ClassVar[Mapping[str, str]]

    def fix(self, records: pl.DataFrame) -> pl.DataFrame:
        """The records, same height and order, with a column `edited`: reason slug or null."""
        ...


def setting(default: Any, help: str, *, path: bool = False, choices: Sequence[str] = ()) -> Any:
    """A filter's parameter: its default and one line that says what it means and its unit.

    `path=True` marks a file or folder name, looked up beside the recipe first.
    """
    return dataclasses.field(
        default=default, metadata={"help": help, "path": path, "choices": tuple(choices)}
    )


def with_text(records: pl.DataFrame) -> pl.DataFrame:
    """Add the derived columns `prompt` (all that is not assistant) and `response` (all that is).

    Messages are joined by a blank line; reasoning and tool calls are not part of either text.
    """
    return records.with_columns(
        prompt=text_of(pl.col("messages"), assistant=False),
        response=text_of(pl.col("messages"), assistant=True),
    )


def text_of(messages: pl.Expr, *, assistant: bool) -> pl.Expr:
    """The contents of the assistant's messages, or of all others, joined by a blank line."""
    is_assistant = pl.element().struct.field("role") == "assistant"
    wanted = is_assistant if assistant else ~is_assistant
    contents = pl.element().filter(wanted).struct.field("content")
    return messages.list.eval(contents).list.join("\n\n", ignore_nulls=True).fill_null("")


def verdicts(
    keep: Any,
    reason: Any = None,
    score: Any = None,
    twin: Any = None,
    evidence: Any = None,
) -> pl.DataFrame:
    """Build a `VERDICTS` frame from columns (arrays, lists or Series); None means all null.

    >>> verdicts([True, False], reason=[None, "empty"])["keep"].to_list()
    [True, False]
    """
    columns = {"reason": reason, "score": score, "twin": twin, "evidence": evidence}
    kept = pl.Series("keep", keep, dtype=pl.Boolean)
    series = [kept]
    for name, values in columns.items():
        dtype = VERDICTS[name]
        filled = [None] * len(kept) if values is None else values
        series.append(pl.Series(name, filled).cast(dtype))
    return pl.DataFrame(series, schema=VERDICTS)


def content_id(messages: Sequence[Mapping[str, Any]], tools: str | None = None) -> str:
    """16 hex digits that name a conversation: equal content gives an equal id, from any format.

    Reads role, content, reasoning, name, tool_calls and tool_call_id of each message and the
    tool schemas; absent, null and empty optional fields are the same. Training weights,
    provenance and scores are not content.

    >>> content_id([{"role": "user", "content": "hi"}])
    'b88cf9183e99a353'
    """
    canonical = [
        [message.get("role"), message.get("content") or ""]
        + [[name, message[name]] for name in _OPTIONAL if message.get(name)]
        for message in messages
    ]
    text = orjson.dumps([canonical, tools or None])
    return hashlib.blake2b(text, digest_size=8).hexdigest()


_OPTIONAL = ("reasoning", "name", "tool_calls", "tool_call_id")


def nearest(word: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?` for a misspelt word, or the empty string.

    >>> nearest("treshold", ["threshold", "keep"])
    "; did you mean 'threshold'?"
    """
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
