"""Axolotl: `axolotl train axolotl.yaml`, with its chat_template reader or with tokens."""

from __future__ import annotations

from typing import Any

import polars as pl

from curate.base.messages import flat
from curate.exports import conversations as talk
from curate.exports.settings import Setting, config, run_line
from curate.exports.target import DATA, DATA_HASH, Export, RunRows, TokenRows
from curate.exports.tokens import TEMPLATE, columns, described, longest_example

CONFIG = "axolotl.yaml"
COMMAND = f"axolotl train {CONFIG}"
ARGUMENT = "--base-model MODEL"
_DATA = {"path": DATA, "ds_type": "parquet", "split": "train"}
_LENGTH = (
    "The longest example. Axolotl raises the limit in the model's config to this if it is lower."
)
_ESTIMATE = (
    "An estimate from above for most texts: half the bytes of the longest row. Nothing is padded\n"
    "to it; a row of more tokens is an error. Axolotl raises the limit in the model's config to\n"
    "this if it is lower, so set what the model holds."
)
_TEMPLATE = Setting(
    "chat_template",
    "tokenizer_default",
    "The model's own. If its turns end with another token than its eos token, name that one in\n"
    "eot_tokens, or the model does not learn to stop; Axolotl prints a warning then.",
)


def of_rows(rows: RunRows, model: str | None) -> Export:
    """Conversations as lists of messages, arguments and tools as JSON text.

    Answers of weight 0 have `train: false`; null is the default of the message's role.
    """
    fine, left_out = talk.split(talk.prepared(rows.kept), talk.COMMON)
    messages = talk.message_structs(fine, weights=False).alias("messages")
    data = fine.select("id").with_columns(messages)
    masked = fine.select((talk.TRAINED < talk.ANSWERS).any()).item()
    if masked:
        data = data.with_columns(_with_train(fine, messages))
    fields = messages.head(1).explode().struct.fields
    reader: dict[str, Any] = {
        **_DATA,
        "type": "chat_template",
        "field_messages": "messages",
        # It gives a template the fields listed here, and others only where it finds out by itself
        # that the template reads them.
        "message_property_mappings": {name: name for name in fields},
        "roles_to_train": ["assistant"],
        "train_on_eos": "turn",
    }
    if fine["tools"].null_count() < fine.height:
        data = data.with_columns(fine["tools"].fill_null("[]"))
        reader["field_tools"] = "tools"
    if masked:
        reader["message_field_training"] = "train"
    settings = [
        Setting("datasets", [reader], "A path is seen from where axolotl is run."),
        _TEMPLATE,
        Setting("sequence_len", max(2048, talk.most_tokens(fine) // 2), _ESTIMATE),
    ]
    return Export(
        data=data,
        texts={CONFIG: _config(model, settings)},
        left_out=left_out,
        notes=talk.control_notes(fine),
        command=run_line(COMMAND, ARGUMENT, model),
    )


def _with_train(rows: pl.DataFrame, messages: pl.Series) -> pl.Series:
    """The messages with `train`: false for answers of weight 0, else null."""
    lines = flat(rows["messages"])
    masked = (pl.col("role") == "assistant") & (pl.col("weight") == 0)
    train = lines.select("at", train=pl.when(masked).then(pl.lit(False)))
    structs = pl.DataFrame({"messages": messages}).explode("messages").unnest("messages")
    both = pl.concat([structs, train], how="horizontal")
    return talk.lists(both, pl.struct(pl.exclude("at")), rows.height).alias("messages")


def of_tokens(tokens: TokenRows, model: str | None) -> Export:
    """Token ids, labels and a mask: three columns by which Axolotl knows tokens."""
    settings = [
        Setting(
            "datasets",
            [{**_DATA, "type": ""}],
            "An empty type: the rows are tokens. A path is seen from where axolotl is run.",
        ),
        Setting("chat_template", "jinja", "The template of these tokens, saved with the model."),
        Setting("chat_template_jinja", TEMPLATE),
        Setting("sequence_len", longest_example(tokens), _LENGTH),
    ]
    return Export(
        data=columns(tokens),
        texts={
            CONFIG: _config(model, settings),
            TEMPLATE: tokens.manifest["template"]["source"],
        },
        notes=described(tokens),
        command=run_line(COMMAND, ARGUMENT, model),
    )


def _config(model: str | None, how: list[Setting]) -> str:
    return config(
        f"Run in this folder: {run_line(COMMAND, ARGUMENT, model)}",
        [
            *([Setting("base_model", model)] if model else []),
            *how,
            Setting("excess_length_strategy", "raise", "Axolotl's own default drops longer rows."),
            Setting("sample_packing", False),
            Setting("val_set_size", 0),
            Setting(
                "dataset_prepared_path",
                f"prepared-{DATA_HASH}",
                "Named by the data: Axolotl takes what it has prepared by the file's name alone.",
            ),
            Setting("output_dir", "output"),
            Setting("num_epochs", 3),
            Setting("micro_batch_size", 1, "Times the steps below: examples of one update."),
            Setting("gradient_accumulation_steps", 16),
            Setting("learning_rate", 1.0e-5, "For all weights; about ten times this for LoRA."),
            Setting("optimizer", "adamw_torch"),
            Setting("lr_scheduler", "cosine"),
            Setting("warmup_ratio", 0.03),
            Setting("bf16", "auto"),
            Setting("gradient_checkpointing", True, "Less memory, a third more time."),
            Setting("logging_steps", 10),
            Setting("saves_per_epoch", 1),
            Setting("seed", 1, "Axolotl takes 0 for none."),
        ],
    )
