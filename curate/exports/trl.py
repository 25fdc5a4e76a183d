"""TRL: `trl sft --config sft.yaml`, with messages as JSON objects or with tokens."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import polars as pl

from curate.base.json_text import Number
from curate.exports import conversations as talk
from curate.exports.settings import Setting, config, of_transformers, run_line
from curate.exports.target import DATA, Export, RunRows, TokenRows
from curate.exports.tokens import TEMPLATE, columns, described

CONFIG = "sft.yaml"
COMMAND = f"trl sft --config {CONFIG}"
ARGUMENT = "--model_name_or_path MODEL"
_LENGTH = Setting("max_length", None, "Nothing is cut. TRL's own default cuts after 1,024 tokens.")

_END = (
    "Each row has a prompt and a completion, and only completions are trained: no row has an\n"
    "answer to train before its last message. This holds for any chat template."
)
_ALL = (
    "Only answers are trained. TRL finds them by the generation tags of the chat template, has\n"
    "templates with tags for the commonest models, and stops with an error for others."
)


def of_rows(rows: RunRows, model: str | None) -> Export:
    """Conversations as lists of JSON objects, so that no message has fields of another one.

    Where every row trains its last message alone, they are `prompt` and `completion`, else
    `messages`; then a row with an answer of weight 0 beside a trained one is left out.
    """
    given = talk.json_faults(talk.prepared(rows.kept), unreadable)
    number = talk.Fault("number", pl.col("json_fault").is_not_null(), pl.col("json_fault"))
    fine, left_out = talk.split(given, (*talk.COMMON, number))
    fine = talk.with_json(fine, readable)
    by_end = talk.trains_only_the_end(fine)
    if not by_end:
        fine, more = talk.split(fine, (talk.WEIGHTS,))
        left_out = pl.concat([left_out, more]).sort("row")
    texts = talk.message_texts(fine).alias("messages")
    data = fine.select("id").with_columns(texts)
    if by_end:
        data = data.select(
            "id",
            prompt=pl.col("messages").list.head(pl.col("messages").list.len() - 1),
            completion=pl.col("messages").list.tail(1),
        )
    if fine["tools"].null_count() < fine.height:
        data = data.with_columns(talk.tool_texts(fine["tools"]).alias("tools"))
    loss = Setting("assistant_only_loss", not by_end, _END if by_end else _ALL)
    return Export(
        data=data,
        texts={CONFIG: _config(model, [loss, _LENGTH])},
        left_out=left_out,
        json=tuple(name for name in data.columns if name != "id"),
        notes=(
            *talk.control_notes(fine),
            "every row trains its last message alone: written as prompt and completion"
            if by_end
            else "some rows train several answers: written as messages, which needs a chat "
            "template with generation tags, or one that TRL knows",
        ),
        command=run_line(COMMAND, ARGUMENT, model),
    )


def of_tokens(tokens: TokenRows, model: str | None) -> Export:
    """Token ids and labels, which TRL leaves as they are."""
    template = Setting(
        "chat_template_path", TEMPLATE, "The template of these tokens, saved with the model."
    )
    return Export(
        data=columns(tokens),
        texts={
            CONFIG: _config(model, [template, _LENGTH]),
            TEMPLATE: tokens.manifest["template"]["source"],
        },
        notes=described(tokens),
        command=run_line(COMMAND, ARGUMENT, model),
    )


def _config(model: str | None, how: list[Setting]) -> str:
    data = [{"path": "parquet", "data_files": DATA, "split": "train"}]
    named = [Setting("model_name_or_path", model)] if model else []
    return config(
        f"Run in this folder: {run_line(COMMAND, ARGUMENT, model)}",
        [
            *named,
            Setting("datasets", data, "A path is seen from where trl is run."),
            *how,
            *of_transformers(
                Setting("gradient_checkpointing", True, "Less memory, a third more time.")
            ),
        ],
    )


def unreadable(value: Any) -> str | None:
    """A number of the JSON value that TRL's reader cannot read, in words; None without one.

    >>> unreadable({"n": 2**64})
    '18446744073709551616 cannot be read as it is'
    >>> unreadable({"price": 2.53, "n": [3, True]})
    """
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return next((said for item in inner if (said := unreadable(item))), None)
    if isinstance(value, float):
        fine = readable_float(value) is not None
    else:
        fine = not isinstance(value, int) or -(2**63) <= value < 2**64
    return None if fine else f"{value!r} cannot be read as it is"


def readable(value: Any) -> Any:
    """The JSON value with its decimals written so that TRL's reader does not change them."""
    if isinstance(value, dict):
        return {name: readable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [readable(item) for item in value]
    text = readable_float(value) if isinstance(value, float) else None
    return value if text is None else Number(text)


def readable_float(number: float) -> str | None:
    """A decimal as ujson, the reader of `datasets`, reads it exactly; None where there is none.

    It adds the digits behind the point, times a power of ten that is rounded: `0.3` is read as
    0.30000000000000004, but `0.30` as 0.3. So zeros are added until the number is right.

    >>> readable_float(0.3), readable_float(2.5)
    ('0.30', '2.5')
    """
    if not math.isfinite(number):
        return None
    text = format(Decimal(repr(float(number))), "f")
    before, _, behind = text.removeprefix("-").partition(".")
    if len(before) > 15:
        return None
    for digits in range(max(1, len(behind)), 16):
        padded = behind.ljust(digits, "0")
        if int(before) + int(padded) * float(f"1e-{digits}") == abs(number):
            return f"{'-' if text[0] == '-' else ''}{before}.{padded}"
    return None
