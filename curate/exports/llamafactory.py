"""LLaMA-Factory: `llamafactory-cli train sft.yaml`, with its sharegpt reader or with tokens."""

from __future__ import annotations

import json

import polars as pl

from curate.base.json_text import dumps, loads_exact
from curate.base.messages import flat
from curate.exports import conversations as talk
from curate.exports.settings import Setting, config, longest, of_transformers, run_line
from curate.exports.target import DATA, Export, RunRows, TokenRows, counted
from curate.exports.tokens import TEMPLATE, columns, described

CONFIG = "sft.yaml"
INFO = "dataset_info.json"
NAME = "curate"
COMMAND = f"llamafactory-cli train {CONFIG}"
ARGUMENT = "model_name_or_path=MODEL"
_FROM = {"user": "human", "assistant": "gpt", "tool": "observation"}

_FIELD = pl.element().struct.field
_HAS_SYSTEM = talk.ROLES.list.first() == "system"
_BODY = talk.ROLES.list.slice(_HAS_SYSTEM.cast(pl.UInt32))
_ASKS = _BODY.list.gather_every(2).list.eval(pl.element().is_in(["user", "tool"])).list.all()
_ANSWERS = _BODY.list.gather_every(2, 1).list.eval(pl.element() == "assistant").list.all()
_CONTENT = _FIELD("content").fill_null("")
# Texts by which it finds thoughts and calls in an answer that calls.
_MARKS = r"</?think>|</?tool_call>"
# Templates with vision count these and stop with an error, as a row has no picture.
_MEDIA = r"<(?:image|video|audio)>"
# It gives the number of a turn for this in a question.
_NUMBER = "{{idx}}"

FAULTS = (
    talk.Fault("ends_without_answer", _BODY.list.last() != "assistant", talk.ROLES_TEXT),
    talk.Fault("order", ~(_ASKS & _ANSWERS), talk.ROLES_TEXT),
    talk.Fault(
        "text_beside_call",
        talk.any_message(_FIELD("tool_calls").is_not_null() & (_CONTENT.str.strip_chars() != "")),
        pl.lit("an answer has words beside its call"),
    ),
    talk.Fault(
        "marks_in_call",
        talk.any_message(
            _FIELD("tool_calls").str.contains(_MARKS)
            | (_FIELD("tool_calls").is_not_null() & _FIELD("reasoning").str.contains(_MARKS))
        ),
        pl.lit("a call or its reasoning holds <think> or <tool_call>"),
    ),
    talk.Fault(
        "placeholder",
        talk.any_message((_FIELD("role") == "user") & _CONTENT.str.contains(_NUMBER, literal=True)),
        pl.lit(f"a question holds {_NUMBER}, which is replaced by a number"),
    ),
    talk.Fault("tool_schema", pl.col("json_fault").is_not_null(), pl.col("json_fault")),
)


def of_rows(rows: RunRows, model: str | None) -> Export:
    """Conversations as `from` and `value`, the system prompt and the tools in columns.

    Calls are a JSON list, reasoning stands in `<think>` before the answer. What it would skip or
    change is left out.
    """
    given = talk.json_faults(talk.prepared(rows.kept), _tool_fault)
    fine, left_out = talk.split(given, (*talk.COMMON, *FAULTS))
    by_end = talk.trains_only_the_end(fine)
    if not by_end:
        fine, more = talk.split(fine, (talk.WEIGHTS,))
        left_out = pl.concat([left_out, more]).sort("row")
    history = by_end and bool(fine.select((talk.ANSWERS > 1).any()).item())
    data = _data(fine)
    named = {"messages": "conversations", "system": "system", "tools": "tools"}
    columns_of = {name: column for name, column in named.items() if column in data.columns}
    info = {NAME: {"file_name": DATA, "formatting": "sharegpt", "columns": columns_of}}
    settings = [
        Setting("dataset_dir", ".", "A path is seen from where llamafactory-cli is run."),
        Setting("dataset", NAME),
        Setting(
            "cutoff_len",
            longest(talk.most_tokens(fine)),
            "No row has more tokens. Its own default cuts after 2,048 and does not say so.",
        ),
    ]
    if history:
        why = "Only the last answer of a row is trained, as the rows say."
        settings.append(Setting("mask_history", True, why))
    return Export(
        data=data,
        texts={
            CONFIG: _config(model, settings, calls="tools" in columns_of),
            INFO: json.dumps(info, indent=2) + "\n",
        },
        left_out=left_out,
        notes=(
            *_unnamed(fine),
            *talk.control_notes(fine),
            "name a template in sft.yaml: LLaMA-Factory has its own",
        ),
        command=run_line(COMMAND, ARGUMENT, model),
    )


def _data(rows: pl.DataFrame) -> pl.DataFrame:
    """`id`, `conversations`, and where any row has them `system` and `tools`, empty for none."""
    first = pl.col("messages").list.first().struct
    system = pl.when(first.field("role") == "system").then(first.field("content"))
    data = rows.select("id", _conversations(rows), "tools", system=system)
    empty = [name for name in ("tools", "system") if data[name].null_count() == data.height]
    return data.drop(empty).with_columns(pl.exclude("id", "conversations").fill_null(""))


def _tool_fault(value: object) -> str | None:
    """Why its default format of tools cannot write a tool; None for calls."""
    for tool in value if isinstance(value, list) else ():
        if "arguments" in tool:  # a call
            continue
        tool = tool.get("function", {}) if tool.get("type") == "function" else tool
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
            return "a tool has no name"
        given = tool.get("parameters")
        parameters = given if isinstance(given, dict) else {}
        known = parameters.get("properties")
        if not isinstance(known, dict) or not all(isinstance(x, dict) for x in known.values()):
            return f"the tool {tool['name']} has no parameters.properties"
        if not isinstance(parameters.get("required", []), list):
            return f"the tool {tool['name']} has required parameters that are no list"
        for name, about in known.items():
            listed = about.get("enum") or []
            if not isinstance(listed, list) or not all(isinstance(x, str) for x in listed):
                return f"{tool['name']}: the choices of {name} are no texts"
            if not isinstance(about.get("items") or {}, dict):
                return f"{tool['name']}: the items of {name} are no object"
    return None


def _conversations(rows: pl.DataFrame) -> pl.Series:
    lines = flat(rows["messages"]).filter(pl.col("role") != "system")
    calls = [_calls(text) for text in lines["tool_calls"].to_list()]
    thought = pl.when(pl.col("reasoning").fill_null("") != "").then(
        pl.format("<think>\n{}\n</think>\n\n", "reasoning")
    )
    said = pl.coalesce(pl.Series("calls", calls, dtype=pl.String), "content", pl.lit(""))
    kind = pl.when(pl.col("tool_calls").is_not_null()).then(pl.lit("function_call"))
    named = lines.select(
        "at",
        kind.otherwise(pl.col("role").replace(_FROM)).alias("from"),
        value=pl.concat_str(thought.fill_null(""), said),
    )
    return talk.lists(named, pl.struct("from", "value"), rows.height).alias("conversations")


def _calls(text: str | None) -> str | None:
    if text is None:
        return None
    return dumps([{"name": x["name"], "arguments": x["arguments"]} for x in loads_exact(text)])


def _unnamed(rows: pl.DataFrame) -> list[str]:
    """What its format or its templates have no place for, and in how many rows it is."""
    counts = {
        "names of speakers": talk.any_message(_FIELD("name").is_not_null()),
        "ids of calls": talk.any_message(_FIELD("tool_call_id").is_not_null()),
    }
    has = rows.select(**{name: condition.sum() for name, condition in counts.items()}).row(0)
    notes = [
        f"{name} have no place in this format ({counted(number)})"
        for name, number in zip(counts, has, strict=True)
        if number
    ]
    texts = pl.concat_str(*map(_FIELD, ("content", "reasoning", "tool_calls")), ignore_nulls=True)
    thoughts = talk.any_message(_FIELD("reasoning").fill_null("") != "")
    if reasoning := rows.select(thoughts.sum()).item():
        notes.append(
            f"{counted(reasoning)} with reasoning, written as <think>: only for templates that "
            "mark thoughts so"
        )
    # Its system prompts are not looked at.
    shown = (_FIELD("role") != "system") & texts.str.contains(_MEDIA)
    if media := rows.select(talk.any_message(shown).sum()).item():
        notes.append(
            f"{counted(media)} with <image>, <video> or <audio> in a text: its templates with "
            "vision or hearing stop with an error there"
        )
    return notes


def of_tokens(tokens: TokenRows, model: str | None) -> Export:
    """A folder of `datasets`, which it loads with `tokenized_path`."""
    settings = [
        Setting("tokenized_path", ".", "The tokens: this folder. The dataset below is not read."),
        Setting("dataset", NAME, "It stops without a name."),
        Setting("template", "empty", "Nothing is rendered any more, so none is guessed."),
    ]
    return Export(
        data=columns(tokens),
        texts={
            CONFIG: _config(model, settings, calls=False, tokens=True),
            TEMPLATE: tokens.manifest["template"]["source"],
        },
        notes=(*described(tokens), f"put {TEMPLATE} into the folder of the trained model"),
        command=run_line(COMMAND, ARGUMENT, model),
        as_dataset=True,
    )


def _config(model: str | None, how: list[Setting], calls: bool, tokens: bool = False) -> str:
    head = f"Run in this folder: {run_line(COMMAND, ARGUMENT, model)}"
    if not tokens:
        head += (
            "\nNo template is set. Set template to LLaMA-Factory's name of the model's, such as"
            "\nqwen3. Without it one is guessed from the tokenizer's."
        )
    if calls:
        head += "\nA guessed template writes tools in LLaMA-Factory's own form, not the model's."
    return config(
        head,
        [
            *([Setting("model_name_or_path", model)] if model else []),
            Setting("stage", "sft"),
            Setting("do_train", True),
            Setting("finetuning_type", "full"),
            *how,
            *of_transformers(Setting("bf16", True, "Needs a GPU that has it.")),
        ],
    )
