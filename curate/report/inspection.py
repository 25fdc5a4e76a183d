"""What is in a dump, before anything is decided: formats, counts, lengths, likely problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from io import StringIO
from itertools import islice
from typing import Any

import polars as pl

from curate.base.schema import with_text
from curate.base.terminal import printable, printable_line
from curate.pipeline import ledger
from curate.report import reading
from curate.sources import Dump

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

# Signs of trouble in a record's text: what to look for, and what it means for the user.
PROBLEMS = {
    "wrapped_prompt": (
        "prompt",
        "(?s)Below is an instruction.*### Instruction:",
        "the user's message contains an Alpaca prompt template",
    ),
    "end_token": (
        "response",
        r"<\|endoftext\|>|</s>|<\|im_end\|>|<\|eot_id\|>",
        "the answer contains an end token as text",
    ),
    "placeholder": (
        "response",
        r"\{\{\s*\w+\s*\}\}",
        "the answer contains an unfilled {{placeholder}}",
    ),
    "html": ("response", r"(?i)</(p|div|span|li|a|code|pre|b|i)>", "the answer contains HTML"),
    "empty_answer": ("response", r"^\s*$", "the answer is empty"),
}


def inspection(
    dump: Dump,
    measures: Mapping[str, pl.DataFrame] | None = None,
    length: tuple[Mapping[str, Any], pl.DataFrame] | None = None,
) -> dict[str, Any]:
    """Everything `curate inspect` shows, as plain JSON types.

    `measures` are filters' measures of (a sample of) the records, by the filter's name; their
    numbers are given as quantiles, their texts as counts. `length` are the numbers of a `length`
    step's findings and the table of its task groups. Lengths are in words unless `length` has
    another unit.
    """
    records = with_text(dump.records)
    turns = records["messages"].list.len()
    counts = {"read": dump.read, "records": records.height, "rejects": dump.rejected}
    return {
        "reading": asdict(dump.options),
        "files": [asdict(file) | {"rejected": file.rejected} for file in dump.files],
        "counts": counts,
        "messages": _quantiles(turns),
        "roles": _counts(records["messages"].explode().struct.field("role")),
        "categories": _counts(records["category"].drop_nulls()),
        "scores": {"rows": int(records["score"].is_not_null().sum())}
        | _quantiles(records["score"].drop_nulls()),
        "prompt_words": _quantiles(_words(records["prompt"])),
        "response_words": _quantiles(_words(records["response"])),
        "length": _length(length),
        "distinct": records["id"].n_unique(),
        "problems": _problems(records),
        "rejects": [
            f"{source}:{line}: {reason}"
            for source, line, reason, _ in islice(dump.iter_rejects(), 5)
        ],
        "examples": _examples(records),
        "measures": {
            name: {"rows": frame.height} | {column.name: _summary(column) for column in frame}
            for name, frame in (measures or {}).items()
        },
    }


# Rows looked at by measures that take their time.
SAMPLE = 5_000


def sample(records: pl.DataFrame) -> pl.DataFrame:
    """Rows spread evenly over the records: all of them, or `SAMPLE`."""
    step = max(1, -(-records.height // SAMPLE))
    return records.gather_every(step)


def _length(found: tuple[Mapping[str, Any], pl.DataFrame] | None) -> dict[str, Any] | None:
    """The diagnosis of the lengths: verdict, reasons, every number, and the task groups."""
    if found is None:
        return None
    numbers, table = found
    diagnosis: Mapping[str, Any] = numbers["before"]
    # `before_p05` of the table is the quantile "0.05".
    shares = {share: f"before_p{round(100 * float(share)):02}" for share in diagnosis["quantiles"]}
    groups = [
        {name: line[name] for name in ("group", "rows", "concentration", "spread")}
        | {"quantiles": {share: line[column] for share, column in shares.items()}}
        for line in table.iter_rows(named=True)
    ]
    return {**diagnosis, "groups": groups}


def _summary(values: pl.Series) -> dict[str, Any]:
    present = values.drop_nulls()
    return _quantiles(present) if present.dtype.is_numeric() else _counts(present.cast(pl.String))


def _words(texts: pl.Series) -> pl.Series:
    return texts.str.count_matches(r"\S+")


def _quantiles(values: pl.Series) -> dict[str, float]:
    if not len(values):
        return {}
    return {f"{share:.0%}": float(values.quantile(share, "nearest") or 0) for share in QUANTILES}


def _counts(values: pl.Series) -> dict[str, Any]:
    return dict(islice(ledger.count_reasons(values).items(), 20))


def _problems(records: pl.DataFrame) -> dict[str, dict[str, Any]]:
    problems = {}
    for slug, (column, pattern, about) in PROBLEMS.items():
        hits = records.filter(pl.col(column).str.contains(pattern))
        if hits.height:
            where = f"{hits['source'][0]}:{hits['line'][0]}"
            problems[slug] = {"rows": hits.height, "about": about, "first": where}
    return problems


def _examples(records: pl.DataFrame) -> list[dict[str, Any]]:
    """Three rows spread over the dump: the first, the middle one, the last."""
    rows = sorted({0, records.height // 2, records.height - 1}) if records.height else []
    chosen = records[rows].select("row", "id", "source", "line", "prompt", "response")
    return list(chosen.iter_rows(named=True))


def text(inspected: dict[str, Any]) -> str:
    """An `inspection` for a terminal, 100 columns wide."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    files = Table(box=None, pad_edge=False)
    for name in ("file", "rows", "rejects", "format"):
        files.add_column(name, justify="right" if name in ("rows", "rejects") else "left")
    for file in inspected["files"]:
        formats = ", ".join(sorted(file["formats"])) or "no known format"
        # Text, not str: rich would read [brackets] in a file's name as markup.
        source = Text(printable_line(file["source"]))
        files.add_row(source, f"{file['rows']:,}", f"{file['rejected']:,}", formats)
    lengths = Table(box=None, pad_edge=False)
    lengths.add_column("")
    for share in QUANTILES:
        lengths.add_column(f"{share:.0%}", justify="right")
    for name in ("messages", "prompt_words", "response_words"):
        values = [f"{value:,.0f}" for value in inspected[name].values()]
        lengths.add_row(name.replace("_", " "), *values)
    page = StringIO()
    Console(file=page, width=100, force_terminal=False).print(files, "", lengths, sep="\n")
    return printable("\n".join([page.getvalue(), *_facts(inspected)]))


def _facts(inspected: dict[str, Any]) -> list[str]:
    counts = inspected["counts"]
    lines = [
        f"{counts['read']:,} rows read: {counts['records']:,} records,"
        f" {counts['rejects']:,} rejects; {inspected['distinct']:,} distinct conversations",
        f"roles: {_listed(inspected['roles'])}",
    ]
    if inspected["categories"]:
        lines.append(f"categories: {_listed(inspected['categories'])}")
    if inspected["scores"]["rows"]:
        scores = inspected["scores"]
        lines.append(f"scores: on {scores['rows']:,} rows, median {scores['50%']:g}")
    files, columns = inspected["files"], inspected["reading"]["columns"]
    lines += [f"left over: {line}" for line in reading.left_over(files, columns)]
    lines += [f"note: {line}" for line in reading.assumed(files)]
    lines += _measured(inspected["measures"])
    if inspected["length"]:
        sentences = " ".join(inspected["length"]["sentences"])
        lines.append(f"response length: {inspected['length']['verdict']}. {sentences}")
    lines += [
        f"problem: {problem['about']} ({problem['rows']:,} rows, first {problem['first']})"
        for problem in inspected["problems"].values()
    ]
    lines += [f"reject: {printable_line(reject, 200)}" for reject in inspected["rejects"]]
    for example in inspected["examples"]:
        lines.append(
            f"\nrow {example['row']}  id {example['id']}  {example['source']}:{example['line']}"
        )
        lines.append(f"  prompt:   {printable(example['prompt'], 300)}")
        lines.append(f"  response: {printable(example['response'], 300)}")
    return lines


def _measured(measures: dict[str, Any]) -> list[str]:
    lines = []
    if "language" in measures:
        language = measures["language"]
        languages = _listed(language["language"]) or "all rows are too short to detect one"
        lines.append(f"languages (of {language['rows']:,} rows): {languages}")
    if "length" in measures:
        lengths = measures["length"]
        shown = ", ".join(f"{share} {value:,.0f}" for share, value in lengths["length"].items())
        lines.append(f"response tokens (of {lengths['rows']:,} rows): {shown}")
    return lines


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
