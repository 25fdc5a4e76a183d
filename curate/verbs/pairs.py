"""The verb that makes PAIRS: preference pairs out of dumps or a RUN, each unused row explained."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from curate.base.errors import CurateError
from curate.base.folder import MANIFEST, atomic_folder, check_out, write_manifest
from curate.base.log import Log
from curate.base.messages import message_json
from curate.base.replacing import Kind, check_replaced
from curate.base.settings import checked_settings
from curate.pairs import (
    PAIRS,
    REASONS,
    Comparison,
    PairResult,
    Rule,
    of_annotators,
    of_comparisons,
    of_groups,
    of_rejected,
    summary,
    unfold_lists,
)
from curate.pipeline.kept_rows import in_lines, write_conversations, write_lines
from curate.sources import Dump
from curate.verbs.common import assignments, read, speaker, warn

MAKER = "curate pairs"
FILES = ("pairs.jsonl", "pairs.parquet", "unused.jsonl", "rejects.jsonl", "sft.jsonl", MANIFEST)

# Which options each kind of pairs reads, with their defaults; None: no such limit.
OPTIONS: dict[str, dict[str, Any]] = {
    "rejected": {},
    "votes": {
        "by": "score", "ratio": 2.0, "margin": 2.0, "least": None, "time": None, "parent": None,
        "per_parent": 5,
    },
    # By: what a reward step judged by, see `_score_of`.
    "scores": {
        "by": None, "margin": 0.0, "least": None, "parent": None, "per_parent": 1,
    },
    "ranks": {"by": "rank", "parent": None, "per_parent": None},
    "annotators": {"annotator": "annotator", "target": None, "valid": None, "per_parent": None},
    "judge": {
        "rubric": "mt_bench_pair", "model": None, "url": None, "set": [], "parent": None,
        "per_parent": 1,
    },
}  # fmt: skip


def settings_of(manifest: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What pairs were made with, from a manifest, which may be a stranger's."""
    given = manifest.get("settings")
    given = given if isinstance(given, dict) else {}
    return {"": {"from": str(manifest.get("from")), **{k: str(v) for k, v in given.items()}}}


# What pairs are, beside others that take the same folder.
KIND = Kind(MAKER, "pairs", settings_of)


def pairs(arguments: argparse.Namespace) -> None:
    """`curate pairs`: see its help."""
    say = speaker(arguments.quiet)
    settings = _settings(arguments)
    check_out(arguments.out, MAKER, arguments.force, arguments.dump, FILES)
    arguments.dump = [name for given in arguments.dump for name in _files(given)]
    dump = read(arguments)
    records, lists, answers = dump.records, 0, 0
    if arguments.kind != "rejected":
        records, lists, answers = unfold_lists(dump.records)
    if arguments.kind == "scores" and settings["by"] is None:
        settings["by"] = _score_of(records)
    new = {"from": arguments.kind, "settings": settings, "sources": [*map(asdict, dump.files)]}
    if note := check_replaced(arguments.out, KIND, new, arguments.force):
        warn(note)
    result = _paired(records, arguments.kind, settings, say)
    lengths = summary(result.pairs)
    with atomic_folder(arguments.out, MAKER, arguments.force) as folder:
        _write_pairs(folder / "pairs.jsonl", result)
        write_lines(folder / "unused.jsonl", _unused_lines(records, result))
        write_lines(folder / "rejects.jsonl", map(orjson.dumps, dump.rejects.iter_rows(named=True)))
        if arguments.sft:
            _write_sft(folder / "sft.jsonl", result)
        result.pairs.write_parquet(folder / "pairs.parquet", statistics=False)
        counts = _counts(dump, lists, answers, result)
        about = {**new, "counts": counts, "pairs": lengths._asdict(), "notes": list(result.notes)}
        write_manifest(folder, MAKER, about)
    if lists:
        say(f"{lists:,} rows are lists of {answers:,} answers; each answer counts as a row")
    say(counts_text(counts["read"] - lists + answers, dump.rejects.height, result))
    for note in result.notes:
        say(note)
    say(lengths.text())
    for line in _partly_known(result.pairs):
        say(line)
    say(f"written to {arguments.out}")


def _counts(dump: Dump, lists: int, answers: int, result: PairResult) -> dict[str, int]:
    """Where every row went: read - lists + answers = rejects + records."""
    counts = result.counts()
    assert dump.read - lists + answers == dump.rejects.height + counts["records"]
    folded = {"lists": lists, "answers": answers} if lists else {}
    return {"read": dump.read, "rejects": dump.rejects.height, **folded, **counts}


def counts_text(read_rows: int, rejects: int, result: PairResult) -> str:
    """Where every row went, for people."""
    counts = result.counts()
    lines = [
        f"{read_rows:,} rows read: {counts['used']:,} in pairs,"
        f" {counts['records'] - counts['used']:,} in no pair, {rejects:,} rejects"
    ]
    reasons = sorted(set(counts) & set(REASONS), key=lambda slug: (-counts[slug], slug))
    return "\n".join(lines + [f"  {counts[slug]:>8,}  {slug}: {REASONS[slug]}" for slug in reasons])


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of this kind of pairs; one that it does not read is a mistake."""
    mine = OPTIONS[arguments.kind]
    every = {name for options in OPTIONS.values() for name in options}
    given = {name for name in every if getattr(arguments, name) not in (None, [])}
    for name in sorted(given - set(mine)):
        kinds = ", ".join(kind for kind, options in OPTIONS.items() if name in options)
        option = "--" + name.replace("_", "-")
        raise CurateError(f"{option} is for --from {kinds}, not {arguments.kind}; leave it out")
    settings = mine | {name: getattr(arguments, name) for name in given}
    if arguments.kind == "annotators" and settings["target"] is None:
        raise CurateError(
            "--from annotators needs --target NAME: whose answers are the chosen ones"
        )
    return settings


def _files(name: str) -> list[str]:
    """Both files of rows of a RUN, as it was written; anything else as it is."""
    from curate.pipeline.run_folder import RunFolder, is_run

    path = Path(name)
    return RunFolder(path).row_files("kept", "dropped") if is_run(path) else [name]


def _score_of(records: pl.DataFrame) -> str:
    """What a run's reward step judged its rows by: the calibrated score if there is one."""
    is_calibrated = records["meta"].str.contains('"reward.calibrated":', literal=True).any()
    return "scores.reward.calibrated" if is_calibrated else "scores.reward"


def _paired(records: pl.DataFrame, kind: str, settings: dict[str, Any], say: Log) -> PairResult:
    if kind == "judge":
        return _judged(records, settings, say)
    if kind == "rejected":
        return of_rejected(records)
    if kind == "annotators":
        return of_annotators(records, **settings)
    return of_groups(records, Rule(**settings, lower=kind == "ranks"))


def _judged(records: pl.DataFrame, settings: dict[str, Any], say: Log) -> PairResult:
    """Pairs that a language model compares; what it answered is kept for the next time."""
    from curate.pipeline.cache import default_folder
    from filters.llm_judge.compare import Pair, PairwiseJudge, about

    asked = {name: settings[name] for name in ("rubric", "model", "url")}
    more = assignments(settings["set"])
    given = checked_settings(PairwiseJudge, {**asked, **more}, "judge")
    judge, verdicts = PairwiseJudge(**given), []

    def compare(comparisons: Sequence[Comparison]) -> list[float | None]:
        pairs = [
            Pair(
                {"messages": each.prompt, "tools": each.tools},
                *map(_text, (each.first, each.second)),
            )
            for each in comparisons
        ]
        verdicts.extend(judge.verdicts(pairs, default_folder(), say))
        return [0.0 if each.winner == "tie" else each.margin for each in verdicts]

    result = of_comparisons(records, compare, settings["parent"], settings["per_parent"])
    return replace(result, notes=(*result.notes, *about(verdicts)))


def _text(answer: Sequence[Mapping[str, Any]]) -> str:
    """An answer's text: all that the assistant says in it."""
    said = (each["content"] for each in answer if each["role"] == "assistant")
    return "\n\n".join(text for text in said if text)


SIDES = ("prompt", "chosen", "rejected")
# What a pair has beside its sides and tools.
ABOUT = tuple(name for name in PAIRS.names() if name not in (*SIDES, "tools"))


def _write_pairs(path: Path, result: PairResult) -> None:
    """Write one object a pair, as TRL and our readers take it, without fields that no pair has."""
    known = [name for name in ABOUT if result.pairs[name].null_count() < result.pairs.height]
    write_conversations(path, result.pairs, known, SIDES)


def _partly_known(pairs: pl.DataFrame) -> Iterator[str]:
    """A sentence on each number that some pairs have and others not: no line can say so."""
    for name in ABOUT:
        lacking = pairs[name].null_count()
        if 0 < lacking < pairs.height and name not in in_lines(pairs, ABOUT):
            yield (
                f"{lacking:,} of {pairs.height:,} pairs have no {name}: it is in pairs.parquet, and"
                " not in pairs.jsonl"
            )


def _write_sft(path: Path, result: PairResult) -> None:
    """Write each chosen answer once, as a conversation, in the order of the pairs."""
    frame = result.pairs.select("prompt", "chosen", "tools", "source", "line", "score_chosen")
    messages = frame["prompt"].list.concat(frame["chosen"])
    key = pl.Series("key", message_json(messages), pl.String)
    rows = frame.with_columns(key, messages=messages).rename({"score_chosen": "score"})
    rows = rows.unique(["key", "tools"], keep="first", maintain_order=True)
    write_conversations(path, rows, ("score", "source", "line"))


def _unused_lines(records: pl.DataFrame, result: PairResult) -> Iterator[bytes]:
    rows = records.select("row", "id", "source", "line")
    reasons = result.rows.select("row", "reason")
    rows = rows.join(reasons, on="row", how="left", maintain_order="left")
    return map(orjson.dumps, rows.drop_nulls("reason").iter_rows(named=True))
