"""What a preference pair is, and what can keep a record out of all pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from curate.base.errors import CurateError
from curate.base.schema import MESSAGES, text_of

_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "prompt": MESSAGES,
    "chosen": MESSAGES,
    "rejected": MESSAGES,
    "tools": pl.String,
    "parent": pl.UInt32,  # equal for pairs of one prompt, which belong into one batch
    "source": pl.String,  # of the chosen answer
    "line": pl.UInt32,
    "score_chosen": pl.Float64,
    "score_rejected": pl.Float64,
}
PAIRS = pl.Schema(_COLUMNS)

REASONS = {
    "no_rejected": "nothing in the row is rejected: a tie, or no preference data",
    "no_majority": "no answer has more than half of the annotators' votes",
    "no_prompt": "there is no user message before the answer, or no answer after it",
    "empty_answer": "the answer is empty",
    "same_answer": "both answers are the same but for case and white space",
    "repeated": "another row gives the same answer to the same prompt, and is in the pairs",
    "no_score": "the row has no finite number where the score should be",
    "no_time": "the row has no time that can be read, and the time guard needs one",
    "below_least": "the score is below the least one",
    "alone": "no other usable answer to its prompt",
    "too_close": "its score is too near to those of the other answers, or the same",
    "earlier": "the better answer was there first, so that its votes may be those of its time",
    "no_verdict": "the judge said nothing that can be read of it and another answer",
    "not_preferred": "the judge prefers neither it nor the other answers in both orders",
    "over_limit": "its prompt has as many pairs as a prompt may have",
    "no_annotator": "the row does not say whose answer it is",
    "not_valid": "the answer is marked as not valid",
    "no_target": "the target annotator has not answered its prompt",
}


@dataclass(frozen=True)
class PairResult:
    """`pairs` (see `PAIRS`) and `rows`: `row`, `pairs` (how many hold it) and `reason`.

    Each record has a line in `rows`, with a reason if and only if it is in no pair. `notes` are
    sentences on values that could not be read.
    """

    pairs: pl.DataFrame
    rows: pl.DataFrame
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.pairs.schema == PAIRS, self.pairs.schema
        explained = self.rows["reason"].is_not_null()
        assert ((self.rows["pairs"] == 0) == explained).all(), "a row is in no pair for no reason"

    def counts(self) -> dict[str, int]:
        """Rows, rows in pairs, and rows per reason: the last two add up to the first."""
        reasons = self.rows["reason"].drop_nulls().value_counts().sort("reason").iter_rows()
        used = int((self.rows["pairs"] > 0).sum())
        counts = {"records": self.rows.height, "used": used, **dict(reasons)}
        assert sum(counts.values()) == 2 * counts["records"]
        return counts


def answers(records: pl.DataFrame) -> pl.DataFrame:
    """Records with `prompt` (up to the last user message), `answer` (the rest) and `problem`.

    `text` is the answer's text, `plain` the same without case and extra white space, `asked` a
    key that is equal for equal prompts and tools.
    """
    split = records.with_columns(cut=after_last_user())
    split = split.with_columns(
        prompt=pl.col("messages").list.head("cut"),
        answer=pl.col("messages").list.slice("cut"),
    ).drop("cut")
    split = split.with_columns(text=text_of(pl.col("answer"), assistant=True))
    no_answer = pl.col("answer").is_null() | (pl.col("answer").list.len() == 0)
    empty = is_empty("answer", "text")
    return split.with_columns(
        plain=plain("text"),
        asked=prompt_key(),
        problem=first_reason({"no_prompt": no_answer, "empty_answer": empty}),
    )


def after_last_user() -> pl.Expr:
    """How many messages there are up to the user's last one, and that one; null without one."""
    is_user = pl.element().struct.field("role") == "user"
    return pl.col("messages").list.eval(is_user.arg_true().last()).list.first() + 1


def first_reason(reasons: Mapping[str, pl.Expr], *before: str) -> pl.Expr:
    """The first reason whose condition is true; null for none. Columns in `before` go first."""
    slugs = (pl.when(condition).then(pl.lit(slug)) for slug, condition in reasons.items())
    return pl.coalesce(*before, *slugs)


def plain(text: str) -> pl.Expr:
    """A column of texts without case and extra white space."""
    return pl.col(text).str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()


def calls_tools(answer: str) -> pl.Expr:
    """Whether any message of an answer calls a tool."""
    calls = pl.element().struct.field("tool_calls").is_not_null()
    return pl.col(answer).list.eval(calls).list.any().fill_null(False)


def is_empty(answer: str, text: str) -> pl.Expr:
    """Whether an answer has neither text nor tool calls."""
    return (pl.col(text).str.strip_chars() == "") & ~calls_tools(answer)


def prompt_key() -> pl.Expr:
    """A text that is equal where the columns `prompt` and `tools` are."""
    part = pl.element().struct.field
    message = part("role") + "\x1f" + part("content").fill_null("")
    messages = pl.col("prompt").list.eval(message).list.join("\x1e", ignore_nulls=True)
    return messages.fill_null("") + "\x1d" + pl.col("tools").fill_null("")


def field(records: pl.DataFrame, name: str) -> pl.Series:
    """A field of the rows as text: `score`, `category`, `source`, or one of `meta` (`a.b`).

    The name of a nested field may have dots itself: `scores.reward.calibrated`.
    """
    if name in ("score", "category", "source"):
        return records[name].cast(pl.String)
    steps = name.split(".")
    if "" in steps:
        raise CurateError(f"pairs: {name!r} is no field's name; expected one like votes or a.b")
    nested = ([*steps[:at], ".".join(steps[at:])] for at in range(len(steps) - 2, -1, -1))
    found = (pl.col("meta").str.json_path_match(_path(each)) for each in [steps, *nested])
    return records.select(pl.coalesce(found)).to_series()


def _path(steps: Sequence[str]) -> str:
    escaped = (step.replace("\\", "\\\\").replace("'", "\\'") for step in steps)
    return "$" + "".join(f"['{step}']" for step in escaped)


def numbers(records: pl.DataFrame, name: str) -> pl.Series:
    """A field as finite numbers, null where it is none. Raises `CurateError` where all are null."""
    values = field(records, name).cast(pl.Float64, strict=False)
    values = values.to_frame("n").select(pl.when(pl.col("n").is_finite()).then("n")).to_series()
    check_some(values, f"a number in {name!r}; name the field that holds it")
    return values


def check_some(values: pl.Series, expected: str) -> None:
    """Raise `CurateError` where no row has what is `expected`."""
    if len(values) and values.null_count() == len(values):
        raise CurateError(f"pairs: none of {len(values):,} rows has {expected}")


def pair_texts(pairs: pl.DataFrame) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Texts of prompt, chosen and rejected answers, as `with_text` gives them for records.

    Answers that the assistant gave before, in the prompt, count on both sides.
    """
    before = text_of(pl.col("prompt"), assistant=True)
    sides = {
        name: pl.concat_str(
            pl.when(before != "").then(before),
            text_of(pl.col(name), assistant=True),
            separator="\n\n",
            ignore_nulls=True,
        )
        for name in ("chosen", "rejected")
    }
    texts = pairs.select(prompt=text_of(pl.col("prompt"), assistant=False), **sides)
    return texts["prompt"], texts["chosen"], texts["rejected"]
