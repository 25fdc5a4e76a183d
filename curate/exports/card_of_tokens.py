"""The dataset card of masked tokens: what they were made with, and what is not in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from curate.base.json_text import as_text
from curate.exports.card import FILES, card, columns, loading, more_files, points, several
from curate.exports.markdown import fenced, table
from curate.exports.names import file_names, short_model, without_folders
from curate.exports.target import TokenRows
from curate.exports.tokens import longest_example, losses


def card_of_tokens(tokens: TokenRows, data: pl.DataFrame, files: Sequence[str]) -> str:
    """The card of masked tokens."""
    manifest = tokens.manifest
    counts = manifest["counts"]
    about = [
        ("template", manifest["template"]["name"]),
        ("hash of the template", manifest["template"]["hash"]),
        ("tokenizer", short_model(str(manifest["tokenizer"]["name"]))),
        ("hash of the tokenizer", manifest["tokenizer"]["hash"]),
        ("stop ids", ", ".join(map(str, manifest["stop"]["ids"])) or "none"),
        ("stop texts", ", ".join(manifest["stop"]["strings"]) or "none"),
        ("examples", data.height),
        ("longest example, in tokens", longest_example(tokens)),
        *((name.replace("_", " "), counts[name]) for name in ("tokens", "trained_tokens")),
    ]
    refused = manifest["refused"]
    limits = [
        "Labels are -100 where a token is not trained. Nothing is padded.",
        "No other tokenizer can read these ids, and another template needs other tokens.",
        *(f"{line}." for line in losses(tokens)),
    ]
    return card(
        {"task_categories": ["text-generation"], "tags": ["sft", "tokenized"]},
        data.height,
        files,
        f"{several(data.height, 'masked example')} for supervised fine-tuning, "
        "rendered with curate.",
        {
            "How to load": loading("input_ids"),
            "Columns": columns(data),
            "What was read": _files(manifest["sources"]),
            "Made with": table(("what", "value"), about),
            "Options of rendering": table(("option", "value"), _options(manifest["options"])),
            "Refused rows": table(("check", "rows"), refused.items()) if refused else "None.",
            "Template": fenced(str(manifest["template"]["source"]), "jinja"),
            "Known limits": points(limits),
        },
    )


def _files(files: Sequence[Mapping[str, str]]) -> str:
    names = file_names([file["source"] for file in files])
    lines = [(names[file["source"]], file["sha256"]) for file in files[:FILES]]
    return table(("file", "SHA-256"), lines) + more_files(len(files))


def _options(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in options.items():
        if value not in (None, [], {}):
            text = value if isinstance(value, str) else as_text(value)
            yield name.replace("_", " "), without_folders(text)
