"""Conversations as trainers read them: which rows can be written, and their messages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import orjson
import polars as pl

from curate.base.json_text import dumps, loads_exact
from curate.base.messages import flat, message_json
from curate.exports.target import LEFT_OUT, counted

# Fields of a row that the chat template gets; no file of a trainer has a column for all of them.
GIVEN = ("documents", "chat_template_kwargs")
SHOWN = 120  # characters of a detail
_MESSAGES = pl.col("messages")
_FIELD = pl.element().struct.field
_IS_ANSWER = _FIELD("role") == "assistant"
_IS_TRAINED = _IS_ANSWER & (_FIELD("weight").fill_null(1.0) != 0)

CALLS = pl.List(
    pl.Struct(
        {
            "id": pl.String,
            "type": pl.String,
            "function": pl.Struct({"name": pl.String, "arguments": pl.String}),
        }
    )
)


class Fault(NamedTuple):
    """Why rows cannot be written: a slug, where it holds, and what to look at."""

    reason: str
    holds: pl.Expr
    detail: pl.Expr


def any_message(condition: pl.Expr) -> pl.Expr:
    """Whether the condition, on fields of `pl.element()`, holds for any message."""
    return _MESSAGES.list.eval(condition).list.any().fill_null(False)


ROLES = _MESSAGES.list.eval(_FIELD("role"))
ANSWERS = _MESSAGES.list.eval(_IS_ANSWER).list.sum()
TRAINED = _MESSAGES.list.eval(_IS_TRAINED).list.sum()
ROLES_TEXT = pl.format("roles: {}", ROLES.list.head(20).list.join(", "))
# No call, though there is a list of them: templates would write an empty one.
NO_CALLS = ("", "[]")

BAD_JSON = Fault("bad_json", pl.col("bad_json").is_not_null(), pl.col("bad_json"))

COMMON = (
    Fault("no_answer", ANSWERS == 0, ROLES_TEXT),
    Fault(
        "bad_weight",
        any_message(~_FIELD("weight").fill_null(1.0).is_in([0.0, 1.0])),
        pl.format(
            "weights: {}",
            _MESSAGES.list.eval(_FIELD("weight").drop_nulls().cast(pl.String)).list.join(", "),
        ),
    ),
    Fault("nothing_trained", TRAINED == 0, pl.lit("every answer has weight 0")),
    Fault(
        "empty_answer",
        any_message(
            _IS_TRAINED
            & (_FIELD("content").fill_null("").str.strip_chars() == "")
            & _FIELD("tool_calls").is_null()
        ),
        pl.lit("a trained answer has neither words nor a call"),
    ),
    Fault(
        "template_fields",
        pl.col("given").is_not_null(),
        pl.format("the row gives the template {}", "given"),
    ),
    BAD_JSON,
    Fault("arguments", pl.col("arguments").is_not_null(), pl.col("arguments")),
)
# An answer of weight 0 beside trained ones, for targets that train all answers or none.
WEIGHTS = Fault("weight", TRAINED < ANSWERS, pl.lit("an answer has weight 0, another is trained"))


def prepared(kept: pl.DataFrame) -> pl.DataFrame:
    """The rows without empty lists of calls, and what `COMMON` looks at."""
    calls = pl.when(~_FIELD("tool_calls").is_in(NO_CALLS)).then(_FIELD("tool_calls"))
    messages = _MESSAGES.list.eval(pl.element().struct.with_fields(tool_calls=calls))
    tools = pl.when(~pl.col("tools").is_in(NO_CALLS)).then(pl.col("tools"))
    rows = kept.with_columns(messages, tools)
    given = pl.Series("given", [_given(meta) for meta in rows["meta"].to_list()], dtype=pl.String)
    return rows.with_columns(
        given,
        _json_texts(rows, _json_fault).alias("bad_json"),
        _json_texts(rows, _argument_fault).alias("arguments"),
    )


def _given(meta: str | None) -> str | None:
    if not meta or not any(f'"{name}"' in meta for name in GIVEN):
        return None
    fields = json.loads(meta)
    empty: tuple[Any, ...] = (None, "", "{}", [], {})
    return ", ".join(name for name in GIVEN if fields.get(name) not in empty) or None


def split(rows: pl.DataFrame, faults: Sequence[Fault]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that have none of the faults, and `LEFT_OUT` of the others: the first fault each."""
    fault = pl.coalesce(
        pl.when(one.holds).then(
            pl.struct(reason=pl.lit(one.reason), detail=one.detail.str.slice(0, SHOWN))
        )
        for one in faults
    )
    judged = rows.with_columns(fault.alias("fault"))
    left = judged.filter(pl.col("fault").is_not_null())
    out = left.select("row", "id", pl.col("fault").struct.unnest())
    fine = judged.filter(pl.col("fault").is_null()).drop("fault")
    return fine, out.cast(LEFT_OUT).select(LEFT_OUT.names())


# How models spell the tokens that hold a conversation together.
_CONTROL = r"<\|[\w-]+\|>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>"


def control_notes(rows: pl.DataFrame) -> tuple[str, ...]:
    """Rows with texts that a tokenizer takes for control tokens, as a note for the user."""
    texts = ("content", "reasoning", "tool_calls")
    text = pl.concat_str(*map(_FIELD, texts), ignore_nulls=True)
    count = rows.select(any_message(text.str.contains(_CONTROL)).sum()).item()
    if not count:
        return ()
    return (
        f"{counted(count)} with a text such as <|im_end|>, which becomes a control token where the "
        "model has it; tokens of curate keep it a text",
    )


def trains_only_the_end(rows: pl.DataFrame) -> bool:
    """Whether each row asks first, and trains its last message and no other."""
    last = (ROLES.list.last() == "assistant") & (_MESSAGES.list.len() > 1)
    trained = _MESSAGES.list.last().struct.field("weight").fill_null(1.0) != 0
    return bool(rows.select((last & trained & (TRAINED == 1)).all()).item())


def _json_texts(rows: pl.DataFrame, check: Callable[[list[str], str | None], Any]) -> pl.Series:
    """What `check` says of the calls and tools of each row that has any; null for the others."""
    calls = _MESSAGES.list.eval(_FIELD("tool_calls").drop_nulls())
    texts = rows.select(calls=calls, tools="tools")
    has = texts.select((pl.col("calls").list.len() > 0) | pl.col("tools").is_not_null()).to_series()
    # Only rows with calls or tools are taken one by one.
    checked = iter([check(*pair) for pair in texts.filter(has).iter_rows()])
    return pl.Series([next(checked) if here else None for here in has], dtype=pl.String)


def json_faults(
    rows: pl.DataFrame, check: Callable[[Any], str | None], name: str = "json_fault"
) -> pl.DataFrame:
    """Add a column: what `check` says of the calls or the tools, as JSON values, of each row."""

    def fault(calls: list[str], tools: str | None) -> str | None:
        values = (loads_exact(text) for text in [*calls, *([tools] if tools else [])])
        try:
            return next((said for value in values if (said := check(value))), None)
        except ValueError:
            return None  # `bad_json` says so

    return rows.with_columns(_json_texts(rows, fault).alias(name))


# What may be a decimal: texts without one are not read.
_DECIMAL = r"\d[.eE][-+\d]"


def with_json(rows: pl.DataFrame, change: Callable[[Any], Any]) -> pl.DataFrame:
    """The rows, with `change` made to the JSON values of calls and tools that have decimals."""
    lines = flat(rows["messages"])
    texts = {"tool_calls": lines["tool_calls"], "tools": rows["tools"]}
    if not any(column.str.contains(_DECIMAL).any() for column in texts.values()):
        return rows
    changed = {name: _changed(column, change) for name, column in texts.items()}
    lines = lines.with_columns(changed["tool_calls"])
    fields = pl.struct(pl.exclude("at"))
    messages = lists(lines, fields, rows.height).alias("messages")
    return rows.with_columns(messages, changed["tools"])


def _changed(texts: pl.Series, change: Callable[[Any], Any]) -> pl.Series:
    risky = texts.str.contains(_DECIMAL).fill_null(False)
    pairs = zip(texts.to_list(), risky, strict=True)
    written = [dumps(change(loads_exact(text))) if found else text for text, found in pairs]
    return pl.Series(texts.name, written, dtype=pl.String)


# Such as 1e400: no float holds it, so readers make of it an Infinity that is no JSON.
_MAY_BE_INFINITE = re.compile(r"[eE]\+?\d{3}|\d{300}")


def _json_fault(calls: list[str], tools: str | None) -> str | None:
    try:
        for text in calls:
            _check_calls(loads_exact(text))
        if tools is not None:
            _check_tools(loads_exact(tools))
    except ValueError as error:
        return str(error)
    return None


def _check_calls(calls: Any) -> None:
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise ValueError("tool_calls is no list of objects")
    for call in calls:
        if not isinstance(call.get("name"), str):
            raise ValueError("a call has no name")
        if "arguments" not in call:
            raise ValueError(f"the call of {call['name']} has no arguments")


def _argument_fault(calls: list[str], tools: str | None) -> str | None:
    """Why trainers cannot read the arguments of a call as they are."""
    try:
        for call in chain.from_iterable(map(loads_exact, calls)):
            if not isinstance(call["arguments"], dict):
                return f"arguments of {call['name']} are no object"
        for text in calls if any(map(_MAY_BE_INFINITE.search, calls)) else ():
            orjson.loads(text)
    except (TypeError, LookupError):
        return None  # `bad_json` says so
    except ValueError as error:
        return str(error)
    return None


def _check_tools(tools: Any) -> None:
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise ValueError("tools is no list of objects")


def lists(lines: pl.DataFrame, values: pl.Expr, height: int) -> pl.Series:
    """Values of the lines of `flat` as one list for each row; null for rows without lines."""
    grouped = lines.group_by("at", maintain_order=True).agg(values.alias("list"))
    at = pl.DataFrame({"at": pl.int_range(height, dtype=pl.UInt32, eager=True)})
    return at.join(grouped, on="at", how="left", maintain_order="left")["list"]


def message_texts(rows: pl.DataFrame) -> pl.Series:
    """For each row a list of JSON objects, one a message, as chat templates read them.

    Arguments are objects; weights are left out.
    """
    lines = flat(rows["messages"]).with_columns(weight=pl.lit(None, dtype=pl.Float64))
    single = lines.select(pl.concat_list(pl.struct(pl.exclude("at")))).to_series()
    texts = pl.Series("text", [text[1:-1] for text in message_json(single)], dtype=pl.String)
    return lists(lines.select("at").with_columns(texts), pl.col("text"), rows.height)


def message_structs(
    rows: pl.DataFrame, column: str = "messages", weights: bool = True
) -> pl.Series:
    """For each row a list of OpenAI's messages, without fields that no message has.

    Arguments are JSON text, reasoning is `reasoning_content`. With `weights`, `weight` is kept.
    """
    lines = flat(rows[column])
    calls = [_openai_calls(text) for text in lines["tool_calls"].to_list()]
    lines = lines.with_columns(pl.Series("tool_calls", calls, dtype=CALLS))
    lines = lines.rename({"reasoning": "reasoning_content"})
    optional = ["reasoning_content", "name", "tool_calls", "tool_call_id"]
    optional += ["weight"] if weights else []
    filled = [name for name in optional if lines[name].null_count() < lines.height]
    return lists(lines, pl.struct("role", "content", *filled), rows.height)


def _openai_calls(text: str | None) -> list[dict[str, Any]] | None:
    return (
        None
        if text is None
        else [
            {
                "id": call.get("id"),
                "type": "function",
                "function": {"name": call["name"], "arguments": _as_json(call["arguments"])},
            }
            for call in loads_exact(text)
        ]
    )


def tool_texts(tools: Iterable[str | None]) -> pl.Series:
    """For each row a list of JSON objects, one a tool; null for none."""
    lists = [
        None if text is None else [dumps(tool) for tool in loads_exact(text)] for text in tools
    ]
    return pl.Series(lists, dtype=pl.List(pl.String))


def most_tokens(rows: pl.DataFrame) -> int:
    """No rendering of a row has more tokens: a token is a byte at least.

    A role and its markers take 64 at most, tools are written with indents.
    """
    element = pl.element().struct
    fields = ("content", "reasoning", "name", "tool_call_id")
    size = sum((element.field(name).str.len_bytes().fill_null(0) for name in fields), pl.lit(64))
    size = size + 4 * element.field("tool_calls").str.len_bytes().fill_null(0)
    tools = 4 * pl.col("tools").str.len_bytes().fill_null(0)
    sizes = rows.select(_MESSAGES.list.eval(size.cast(pl.Int64)).list.sum() + tools + 256)
    return max(sizes.to_series().to_list(), default=0)


def _as_json(arguments: Any) -> str:
    """Arguments as JSON text; those that are a text are JSON already."""
    return arguments if isinstance(arguments, str) else dumps(arguments)
