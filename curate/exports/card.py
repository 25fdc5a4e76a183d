"""The dataset card: what was read, what was dropped and why, and what nobody looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import yaml

from curate.base.schema import with_text
from curate.base.version import __version__
from curate.exports.fields import SHOWN, MetaFields
from curate.exports.markdown import fenced, inline, table
from curate.exports.target import RunRows, TokenRows, counted
from curate.exports.tokens import longest_example
from curate.report import inspection, reading
from curate.report.run_files import source_names
from filters.language.filter import Language

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
FILES = 40  # files in the table
REASONS = 3  # of one step
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_CODE = re.compile(r"[a-z]{2,3}")
LEAST = 0.01  # share of rows from which on a language is named in the card's head


def card_of_rows(
    rows: RunRows,
    kept: pl.DataFrame,
    data: pl.DataFrame,
    fields: MetaFields,
    files: Sequence[str],
) -> str:
    """The card of a run's kept rows, as Markdown behind a YAML head."""
    languages, looked_at = _languages(kept)
    share = {code: count / max(1, looked_at) for code, count in languages.items()}
    how = f"Detected on {looked_at:,} of {counted(kept.height)}."
    codes = [code for code in share if _CODE.fullmatch(code) and share[code] >= LEAST]
    head = {
        **({"license": fields.licence} if fields.licence else {}),
        **({"language": codes} if codes else {}),
        "task_categories": ["text-generation"],
        "tags": ["sft", "instruction-tuning", "conversational"],
    }
    manifest = rows.run.manifest
    counts = manifest["counts"]
    return _card(
        head,
        data.height,
        files,
        f"{data.height:,} conversations for supervised fine-tuning, cleaned with curate "
        f"{inline(manifest.get('version', __version__))}.",
        {
            "How to load": _loading("messages"),
            "Columns": _columns(data),
            "What was read": _sources(rows),
            "What was dropped": _funnel(manifest, counts),
            "Recipe": _recipe(manifest),
            "Lengths": _lengths(kept),
            "Languages": _listed(how, languages),
            "Licences and sources as given": _origins(fields),
            "What the steps found": _findings(manifest),
            "Known limits": _limits(rows, fields),
        },
    )


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
        f"{counts['refused']:,} of {counts['rows']:,} rows could not be rendered exactly.",
    ]
    return _card(
        {"task_categories": ["text-generation"], "tags": ["sft", "tokenized"]},
        data.height,
        files,
        f"{data.height:,} masked examples for supervised fine-tuning, rendered with curate.",
        {
            "How to load": _loading("input_ids"),
            "Columns": _columns(data),
            "Made with": table(("what", "value"), about),
            "Refused rows": table(("check", "rows"), refused.items()) if refused else "None.",
            "Template": fenced(str(manifest["template"]["source"]), "jinja"),
            "Known limits": "\n".join(f"- {inline(line, 400)}" for line in limits),
        },
    )


def short_model(name: str) -> str:
    """A model's name without the folders of this machine; names of the hub have one slash.

    >>> short_model("/home/me/models/tiny"), short_model("Qwen/Qwen3-8B")
    ('tiny', 'Qwen/Qwen3-8B')
    """
    is_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1] if is_path else name


def _card(
    head: Mapping[str, Any],
    rows: int,
    files: Sequence[str],
    about: str,
    sections: Mapping[str, str],
) -> str:
    size = next((name for limit, name in _SIZES if rows < limit), "1M<n<10M")
    # Without this list every JSON and Parquet file of the folder would be taken for data.
    data = [{"split": "train", "path": list(files)}]
    configs = [{"config_name": "default", "data_files": data}]
    head = {**head, "size_categories": [size], "configs": configs}
    text = yaml.safe_dump(head, allow_unicode=True, sort_keys=False)
    parts = [f"---\n{text}---", "# Dataset card", about]
    parts += [f"## {name}\n\n{section}" for name, section in sections.items()]
    return "\n\n".join(parts) + "\n"


def _loading(column: str) -> str:
    # "." alone is refused by load_dataset: it makes a name of the last part of a path.
    code = (
        "from pathlib import Path\n\n"
        "from datasets import load_dataset\n\n"
        "folder = str(Path.cwd())  # this folder, or the name of the dataset on the hub\n"
        'rows = load_dataset(folder, split="train")\n'
        f'print(rows[0]["{column}"])'
    )
    return fenced(code, "python")


_ABOUT = {
    "id": "16 hex digits: equal conversations have equal ids",
    "messages": "role, content, and of OpenAI's other fields those that any message has; "
    "arguments of calls are JSON text, a weight of 0 means: not trained",
    "tools": "the tools of the conversation, as JSON text",
    "rejected": "of preference pairs: the messages that were not chosen",
    "category": "as the source gives it",
    "score": "as the source gives it",
    "scores": "of each step that gave one",
    "source": "the file it was read from",
    "line": "the line or row in that file, from 1",
    "input_ids": "token ids",
    "labels": "token ids to learn, -100 where nothing is learnt",
    "attention_mask": "1 for each token",
    "rejected_input_ids": "the same prompt with the answer that was not chosen",
    "rejected_labels": "its labels",
}


def _columns(data: pl.DataFrame) -> str:
    return table(("column", "what it is"), [(name, _ABOUT[name]) for name in data.columns])


def _sources(rows: RunRows) -> str:
    names = source_names(rows.run)
    files = rows.run.manifest["sources"]
    lines = [
        (names[file["source"]], file["rows"], file["rejected"], file["sha256"])
        for file in files[:FILES]
    ]
    text = table(("file", "rows read", "rejects", "SHA-256"), lines)
    return text + (f"\n\n{len(files) - FILES:,} more files." if len(files) > FILES else "")


def _funnel(manifest: Mapping[str, Any], counts: Mapping[str, int]) -> str:
    lines = []
    for step in manifest["steps"]:
        reasons = list(step["reasons"].items())
        common = ", ".join(f"{reason} {count:,}" for reason, count in reasons[:REASONS])
        more = f", {len(reasons) - REASONS} more" if len(reasons) > REASONS else ""
        lines.append((step["name"], step["rows"], step["dropped"], step["edited"], common + more))
    total = (
        f"{counts['read']:,} read = {counts['kept']:,} kept + {counts['dropped']:,} dropped + "
        f"{counts['rejects']:,} rejects (rows that could not be read)."
    )
    head = ("step", "rows", "dropped", "edited", "commonest reasons")
    return f"{table(head, lines)}\n\n{total}" if lines else f"No step.\n\n{total}"


def _recipe(manifest: Mapping[str, Any]) -> str:
    made = manifest["recipe"]
    name = inline(short_model(str(made["name"])))
    settings = made.get("settings") or {}
    parts = [f"{name}, seed {manifest['seed']}", fenced(str(made["text"]), "yaml")]
    if settings:
        lines = [(key, without_folders(str(value))) for key, value in settings.items()]
        parts.append("Changed:\n\n" + table(("setting", "value"), lines))
    return "\n\n".join(parts)


def _lengths(kept: pl.DataFrame) -> str:
    texts = with_text(kept.select("messages"))
    words = {name: texts[name].str.count_matches(r"\S+") for name in ("prompt", "response")}
    named = {"prompts, words": words["prompt"], "answers, words": words["response"]}
    named["messages"] = kept["messages"].list.len()
    lines = [
        (name, *(int(values.quantile(share, "nearest") or 0) for share in SHARES))
        for name, values in named.items()
    ]
    return table(("", *(f"{share:.0%}" for share in SHARES)), lines)


def _languages(kept: pl.DataFrame) -> tuple[dict[str, int], int]:
    """Rows by language, measured, and of how many rows: of the set itself.

    What the run's own step counted holds for the rows before later steps.
    """
    sample = inspection.sample(kept)
    language = Language()
    measured = language.measure(with_text(sample))
    sure = pl.col("confidence") >= language.min_confidence
    label = pl.when(sure).then("language").otherwise(pl.lit("not sure which"))
    named = pl.when(pl.col("language").is_null()).then(pl.lit("too short to detect"))
    labels = measured.select(named.otherwise(label).alias("language"))["language"]
    counts = labels.value_counts(name="rows").sort("rows", "language", descending=[True, False])
    return dict(counts.iter_rows()), sample.height


def _listed(how: str, counts: Mapping[str, int]) -> str:
    return f"{how}\n\n{table(('language', 'rows'), counts.items())}"


def _origins(fields: MetaFields) -> str:
    if not fields.origins:
        return "The rows say nothing of a licence or an origin."
    parts = ["What the rows say of themselves. Nobody checked it."]
    for name, values in fields.origins.items():
        more = f"\n\n{len(values) - SHOWN:,} more values." if len(values) > SHOWN else ""
        silent = fields.rows - sum(count for _, count in values)
        shown = [*values[:SHOWN], *([("(none)", silent)] if silent else [])]
        parts.append(table((inline(name), "rows"), shown) + more)
    return "\n\n".join(parts)


# Folders before a name, as a path from the root or a drive has them.
_FOLDERS = re.compile(r"(?<![\w/.:])(?:[A-Za-z]:[\\/]|~?/)(?:[^\s/\\:,;'\"]+[/\\])*(?=[^\s/\\])")


def without_folders(text: str) -> str:
    """The text with names of files, but not of the folders of this machine.

    >>> without_folders("compared with /home/me/evals/gsm8k.jsonl and 3/4 of a.jsonl")
    'compared with gsm8k.jsonl and 3/4 of a.jsonl'
    """
    return _FOLDERS.sub("", text)


def _findings(manifest: Mapping[str, Any]) -> str:
    sentences = [
        f"{step['name']}: {sentence}"
        for step in manifest["steps"]
        for sentence in step.get("sentences", ())
    ]
    return _points(sentences) or "Nothing that they say in words."


def _limits(rows: RunRows, fields: MetaFields) -> str:
    manifest = rows.run.manifest
    lines = [f"Reading: {line}" for line in reading.sentences(manifest["sources"], can_map=False)]
    rejects = manifest["counts"]["rejects"]
    if rejects:
        lines.append(f"{counted(rejects)} could not be read, so what they hold is not in the set.")
    kinds = {
        repr_.split("(")[0].lower() for repr_ in (str(s["settings"]) for s in manifest["steps"])
    }
    unseen = {
        "semantic": "Rows that mean the same in other words were not looked for.",
        "decontaminate": "Overlap with evaluation sets was not looked for.",
        "near": "Near-duplicates were not looked for.",
    }
    lines += [sentence for kind, sentence in unseen.items() if kind not in kinds]
    lines.append("No filter checks whether an answer is true.")
    if fields.counts:
        named = ", ".join(f"{name} ({counted(count)})" for name, count in fields.counts.items())
        lines.append(f"Fields of the sources that are not in this set: {named}")
    return _points(lines)


def _points(lines: Sequence[str]) -> str:
    return "\n".join(f"- {inline(without_folders(line), 600)}" for line in lines)
