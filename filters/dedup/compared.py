"""What of a record `exact` compares beside its key: codes of small differences, and the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import polars as pl

from filters.common.arrays import U64, Ints
from filters.common.codes import text_codes
from filters.common.shingles import mix64
from filters.common.text import SHORT_RESPONSE, Field, content, keys
from filters.dedup.protect import case_codes, code_codes, form_codes, layout_codes, mark_codes

# The kinds that rows of the same normal form can differ in.
Protected = Literal["code", "case", "signs"]
PROTECTED: tuple[Protected, ...] = get_args(Protected)
# Those that are measured by name: rows that differ in neither differ in code.
KINDS_SEEN: tuple[Protected, ...] = ("case", "signs")

# Bits of a key that also stand for what `protect` looks at: few are enough, because they only
# tell rows of one normal form apart. Of two that differ one in 65,536 passes for equal.
PROTECTED_BITS = 16
# Bits of the code of an answer. A row has by chance the code of one of ten answers that stand
# under many prompts once in 400 million.
ANSWER_BITS = 32

# Characters from which an answer is said to stand under other prompts. "Yes, it is." may.
LONG_ANSWER = 100

_ROLE = pl.element().struct.field("role")
_ANSWERS, _PROMPTS = _ROLE == "assistant", _ROLE != "assistant"


class BesideKey(NamedTuple):
    """Of n rows `codes` (n,), below 2 to the `PROTECTED_BITS`, and further columns."""

    codes: U64
    columns: list[pl.Series]


def beside_key(
    records: pl.DataFrame,
    field: Field,
    protect: Sequence[Protected],
    *,
    normalise: bool,
    with_answer: bool,
) -> BesideKey:
    """What rows are compared by beside their normal form.

    `codes` of all kinds of `protect` in the text that `field` compares, 0 for nothing; Booleans
    `case` and `signs`, whether there is something of them. `with_answer` (for `field: both`) adds
    `answer` (u32), equal for answers of the same normal form (if asked) and kinds, 0 for one under
    `LONG_ANSWER` characters.
    """
    texts = _compared(records, field)
    of_answer = _codes(texts["answer"], protect)
    kinds: dict[Protected, list[pl.Series]] = {kind: [] for kind in protect}
    for codes in (
        _codes(texts["prompt"], protect),
        of_answer,
        _asked_codes(texts["asked"], texts["prompt"], protect),
        _asked_codes(texts["asked"], texts["answer"], protect),
    ):
        for kind, found in codes.items():
            kinds[kind] += found
    if "code" in kinds:
        kinds["code"] += _to_the_letter(records, field)
    columns = [pl.Series(kind, _mixed(kinds[kind]) != 0) for kind in KINDS_SEEN if kind in kinds]
    if with_answer:
        answers = _mixed(_answer_codes(records, _flat(of_answer), normalise))
        columns.append(pl.Series("answer", _narrow(answers, ANSWER_BITS)).cast(pl.UInt32))
    every = _mixed(_flat(kinds)) if protect else np.zeros(records.height, np.uint64)
    return BesideKey(_narrow(every, PROTECTED_BITS), columns)


def kinds_apart(measures: pl.DataFrame, rows: Ints, others: Ints) -> list[Protected]:
    """The kind in which each of these rows, of one normal form with the other, differs from it.

    Case or signs where either has something of them, or else code.
    """
    kinds: list[Protected] = ["code"] * len(rows)
    for kind in reversed(KINDS_SEEN):
        if kind in measures.columns:
            has_any = measures[kind].to_numpy()
            for at in np.flatnonzero(has_any[rows] | has_any[others]).tolist():
                kinds[at] = kind
    return kinds


def whole_texts(records: pl.DataFrame, field: Field) -> pl.Series:
    """All that a row holds of the side that is compared, a line for each line."""
    part = pl.element().struct.field
    is_answer = part("role") == "assistant"
    which = {"prompt": ~is_answer, "response": is_answer, "both": part("role").is_not_null()}[field]
    message = pl.element().filter(which).struct.field
    names = ("reasoning", "content", "name", "tool_calls")
    texts = pl.concat_str([message(name) for name in names], separator="\n", ignore_nulls=True)
    joined = pl.concat_str(
        pl.col("messages").list.eval(texts).list.join("\n"),
        "tools",
        separator="\n",
        ignore_nulls=True,
    )
    return records.select(joined.fill_null("")).to_series()


def _flat(kinds: Mapping[Protected, Sequence[pl.Series]]) -> list[pl.Series]:
    """All codes, in the order of `PROTECTED`."""
    return [code for kind in PROTECTED for code in kinds.get(kind, ())]


def _answer_codes(
    records: pl.DataFrame, codes: Sequence[pl.Series], normalise: bool
) -> list[pl.Series]:
    """All that the assistant's messages hold, tool calls too, and these codes of their text."""
    places = (_written(records).str.len_chars() >= LONG_ANSWER).arg_true()
    answers = records[places].select(
        pl.col("messages").list.filter(_ANSWERS), tools=pl.lit(None, pl.String)
    )
    key = keys(content(answers, "both", normalise=normalise), normalise=normalise)
    mixed = _mixed([pl.Series(key), *(code.gather(places) for code in codes)])
    none = pl.Series([None], dtype=pl.UInt64).new_from_index(0, records.height)
    return [none.scatter(places, pl.Series(mixed))]


def _codes(texts: pl.Series, protect: Sequence[Protected]) -> dict[Protected, list[pl.Series]]:
    """The codes of texts, by kind, of what counts whatever the prompt is about."""
    found: dict[Protected, list[pl.Series]] = {}
    if "code" in protect:
        found["code"] = [code_codes(texts)]
    if "signs" in protect:
        found["signs"] = [form_codes(texts)]
    return found


def _asked_codes(
    asked: pl.Series, texts: pl.Series, protect: Sequence[Protected]
) -> dict[Protected, list[pl.Series]]:
    """The codes of texts, by kind, of what counts where the prompt is about it."""
    codes = {"code": layout_codes, "case": case_codes, "signs": mark_codes}
    return {kind: [codes[kind](asked, texts)] for kind in protect}


def _compared(records: pl.DataFrame, field: Field) -> pl.DataFrame:
    """`asked`, all that is not the assistant's; `prompt` and `answer`, what of both is compared."""
    texts = records.select(asked=_words(_PROMPTS), answer=_words(_ANSWERS))
    if field == "prompt":
        return texts.with_columns(prompt="asked", answer=pl.lit(""))
    if field == "both":
        return texts.with_columns(prompt="asked")
    is_short = _written(records).str.len_chars() < SHORT_RESPONSE
    return texts.with_columns(prompt=pl.when(is_short).then("asked").otherwise(pl.lit("")))


def _words(which: pl.Expr) -> pl.Expr:
    """Content and reasoning of the messages that `which` picks, a blank line between."""
    part = pl.element().filter(which).struct.field
    texts = pl.concat_str([part("reasoning"), part("content")], separator="\n\n", ignore_nulls=True)
    return pl.col("messages").list.eval(texts).list.join("\n\n", ignore_nulls=True).fill_null("")


def _written(records: pl.DataFrame) -> pl.Series:
    """Words and calls of the assistant, whose length says whether an answer is short or long."""
    part = pl.element().filter(_ANSWERS).struct.field
    texts = pl.concat_str([part("content"), part("tool_calls")], separator="\n", ignore_nulls=True)
    joined = pl.col("messages").list.eval(texts).list.join("\n\n", ignore_nulls=True)
    return records.select(joined.fill_null("")).to_series()


def _to_the_letter(records: pl.DataFrame, field: Field) -> list[pl.Series]:
    """Codes of names, tool calls and tools, which are code too; null where there are none.

    Of a response alone another code for its reasoning and the ends of its messages, in normal
    form: its key leaves them out.
    """
    messages = pl.col("messages")
    if field != "both":
        messages = messages.list.filter(_ANSWERS if field == "response" else _PROMPTS)
    calls = records.select(
        names=_listed(messages, "name"),
        calls=_listed(messages, "tool_calls"),
        ids=_listed(messages, "tool_call_id"),
        tools=pl.lit(None, pl.String) if field == "response" else "tools",
    )
    # Which call a result belongs to counts where calls have ids.
    ids = pl.when(pl.col("calls").str.contains('"id"', literal=True)).then("ids")
    letters = pl.concat_str("names", "calls", ids, "tools", separator="\x1d", ignore_nulls=True)
    has_any = pl.any_horizontal(pl.col("names", "calls", "tools").is_not_null())
    codes = [text_codes(calls.select(pl.when(has_any).then(letters)).to_series())]
    return [*codes, _beside_words(records)] if field == "response" else codes


def _listed(messages: pl.Expr, name: str) -> pl.Expr:
    """This field of all messages, null where none has it."""
    values = messages.list.eval(pl.element().struct.field(name).fill_null(""))
    has_any = values.list.eval(pl.element() != "").list.any()
    return pl.when(has_any).then(values.list.join("\x1e"))


def _beside_words(records: pl.DataFrame) -> pl.Series:
    """Codes of an answer of several messages or with reasoning; null for others."""
    answers = records.select(pl.col("messages").list.filter(_ANSWERS))
    has_reasoning = pl.element().struct.field("reasoning").fill_null("") != ""
    is_more = (pl.col("messages").list.len() > 1) | (
        pl.col("messages").list.eval(has_reasoning).list.any()
    )
    places = answers.select(is_more).to_series().arg_true()
    chosen = answers[places].with_columns(tools=pl.lit(None, pl.String))
    part = keys(content(chosen, "both", normalise=True), normalise=True)
    empty = pl.Series([None], dtype=pl.UInt64).new_from_index(0, records.height)
    return empty.scatter(places, pl.Series(part, dtype=pl.UInt64))


def _mixed(codes: Sequence[pl.Series]) -> U64:
    """One code of several: 0 if all are null or 0, and another for another order."""
    total = np.zeros(len(codes[0]), np.uint64)
    for code in codes:
        values = code.fill_null(0).to_numpy().astype(np.uint64)
        # A sum that is mixed again for each code, so that each has its place.
        total = np.where((total | values) != 0, mix64(total + np.uint64(1)) + values, 0)
    return total


def _narrow(codes: U64, bits: int) -> U64:
    """Codes of so many bits, 0 only for 0."""
    return np.where(codes == 0, 0, codes % np.uint64((1 << bits) - 1) + np.uint64(1))
