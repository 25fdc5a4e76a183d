"""The dataset card of a run: what was read, what was dropped and why, what nobody looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from curate.base.schema import with_text
from curate.base.version import __version__
from curate.exports.card import FILES, card, columns, loading, more_files, points, several
from curate.exports.fields import KNOWN, SHOWN, MetaFields
from curate.exports.markdown import fenced, inline, table
from curate.exports.names import file_names, short_model, without_folders
from curate.exports.target import RunRows, counted
from curate.report import inspection, reading
from filters.common.units import Of, lengths
from filters.language.filter import Language

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
REASONS = 3  # of one step
LEAST = 0.01  # share of rows from which on a language is named in the card's head
_CODE = re.compile(r"[a-z]{2,3}")


def card_of_rows(
    rows: RunRows,
    kept: pl.DataFrame,
    data: pl.DataFrame,
    fields: MetaFields,
    left_out: pl.DataFrame,
    files: Sequence[str],
) -> str:
    """The card of a run's kept rows, as Markdown behind a YAML head."""
    languages, looked_at = _languages(kept)
    share = {code: count / max(1, looked_at) for code, count in languages.items()}
    how = f"Detected on {looked_at:,} of {counted(kept.height)}."
    codes = [code for code in share if _CODE.fullmatch(code) and share[code] >= LEAST]
    head = {
        **({"license": fields.licence} if fields.licence in KNOWN else {}),
        **({"language": codes} if codes else {}),
        "task_categories": ["text-generation"],
        "tags": ["sft", "instruction-tuning", "conversational"],
    }
    manifest = rows.run.manifest
    counts = manifest["counts"]
    return card(
        head,
        data.height,
        files,
        f"{several(data.height, 'conversation')} for supervised fine-tuning, cleaned with curate "
        f"{inline(manifest.get('version', __version__))}.",
        {
            "How to load": loading("messages"),
            "Columns": columns(data),
            "What was read": _sources(rows),
            "What was dropped": _funnel(manifest, counts, left_out.height),
            "Recipe": _recipe(manifest),
            "Lengths": _lengths(kept),
            "Languages": _listed(how, languages),
            "Licences and sources as given": _origins(fields),
            "What the steps found": _findings(manifest),
            "Known limits": _limits(rows, fields),
        },
    )


def _sources(rows: RunRows) -> str:
    files = rows.run.manifest["sources"]
    names = file_names([file["source"] for file in files])
    lines = [
        (names[file["source"]], file["rows"], file["rejected"], file["sha256"])
        for file in files[:FILES]
    ]
    return table(("file", "rows read", "rejects", "SHA-256"), lines) + more_files(len(files))


def _funnel(manifest: Mapping[str, Any], counts: Mapping[str, int], left_out: int) -> str:
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
    if left_out:
        total += f" Of the kept rows {left_out:,} could not be written: left_out.jsonl names them."
    head = ("step", "rows", "dropped", "edited", "commonest reasons")
    return f"{table(head, lines)}\n\n{total}" if lines else f"No step.\n\n{total}"


def _recipe(manifest: Mapping[str, Any]) -> str:
    made = manifest["recipe"]
    name = inline(short_model(str(made["name"])))
    settings = made.get("settings") or {}
    parts = [f"{name}, seed {manifest['seed']}"]
    parts.append(fenced(made["text"], "yaml") if made["text"].strip() else "It has no step.")
    if settings:
        lines = [(key, without_folders(str(value))) for key, value in settings.items()]
        parts.append("Changed:\n\n" + table(("setting", "value"), lines))
    return "\n\n".join(parts)


_COUNTED: tuple[Of, ...] = ("prompt", "response")


def _lengths(kept: pl.DataFrame) -> str:
    texts = with_text(kept.select("messages"))
    # As the steps count: a Chinese character is a word, and calls are part of an answer.
    words = {of: lengths(texts, "words", of, None) for of in _COUNTED}
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
    label = (
        pl.when(sure).then(pl.col("language").cast(pl.String)).otherwise(pl.lit("not sure which"))
    )
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


def _findings(manifest: Mapping[str, Any]) -> str:
    sentences = [
        f"{step['name']}: {sentence}"
        for step in manifest["steps"]
        for sentence in step.get("sentences", ())
    ]
    return points(sentences) or "Nothing that they say in words."


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
    return points(lines)
