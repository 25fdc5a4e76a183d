"""A proof from its plan to its verdict: every training that is not there yet, then what came."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from curate.base.folder import write_atomic, writing
from curate.base.log import Log, no_log
from curate.proofs import page, proof_folder
from curate.proofs.cells import SELECTED, Cell, TargetCell
from curate.proofs.design import Design
from curate.proofs.options import BASE, USUAL_ANSWERS, ProveOptions
from curate.proofs.prepared import Prepared
from curate.proofs.preparing import prepare
from curate.proofs.proof import Proof
from curate.proofs.schedule import Prompting, Running, Schedule, done
from curate.proofs.scored_answers import ByTarget, Pair, PairKey, outcomes
from curate.proofs.scorers import Scorer
from curate.proofs.targets import Target, texts_of
from curate.proofs.verdicts import Asked, judge


def prove(
    run: Path, options: ProveOptions, design: Design, how: Running, log: Log = no_log
) -> Proof:
    """See `curate.prove`."""
    prepared = prepare(run, options, design, log)
    for line in prepared.notices:
        log(line)
    command = command_of(run, options, design, how.out)
    check_scorers(prepared, how)
    with done(schedule_of(prepared), how, command, set_lines(prepared), log) as (folder, cells):
        log(before_line(cells[-1]))
        pairs = pairs_of([cell for cell in cells if cell.baseline != BASE])
        asked = [
            Asked(scorer.kind, scorer.name, {key[1:]: each for key, each in found.items()})
            for scorer, found in ask(prepared, pairs, folder, log)
        ]
        return _concluded(prepared, folder, cells, asked, command)


def check_scorers(prepared: Prepared, how: Running) -> None:
    """Raise `CurateError` where somebody cannot be asked about answers, before any is written.

    A finished proof has what they said.
    """
    if how.force or not (Path(how.out) / proof_folder.PROOF).is_file():
        for each in prepared.scorers:
            each.check()


def pairs_of(cells: Sequence[Cell]) -> list[Pair]:
    """The selected rows' cells with those of each baseline, by seed."""
    own = {cell.seed: cell for cell in cells if cell.baseline == SELECTED}
    return [(own[cell.seed], cell) for cell in cells if cell.baseline != SELECTED]


def ask(
    prepared: Prepared, pairs: Sequence[Pair], folder: Path, log: Log
) -> Iterator[tuple[Scorer, dict[PairKey, ByTarget]]]:
    """What each scorer says of each pair of cells. Raises `CurateError` where one is gone."""
    records = {each.name: numbered(each.records) for each in prepared.targets}
    for scorer in prepared.scorers:
        yield scorer, outcomes(scorer, pairs, records, folder, log)


def schedule_of(prepared: Prepared) -> Schedule:
    """What is trained and measured: every set, in one way."""
    options = prepared.options
    return Schedule(
        prepared.model,
        prepared.plan,
        prepared.settings,
        prepared.sets,
        prepared.targets,
        prepared.files,
        {"": Prompting(prepared.suite)},
        (
            *(str(prepared.run.path), str(prepared.model), *options.targets),
            *(each.name for each in prepared.scorers if Path(each.name).is_dir()),
        ),
    )


def _concluded(
    prepared: Prepared, folder: Path, cells: Sequence[Cell], asked: Sequence[Asked], command: str
) -> Proof:
    """The verdicts of all cells, as values, a page and a manifest."""
    compared = [cell for cell in cells if cell.baseline != BASE]
    (base,) = (cell for cell in cells if cell.baseline == BASE)
    proof = judge(compared, prepared.design, asked, base)
    before = {name: bits_per_byte(target) for name, target in base.targets.items()}
    values = {"plan": prepared.plan, "before_training": before, **proof.as_dict()}
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    with writing(folder):
        write_atomic(folder / proof_folder.PROOF, text)
        about = about_page(prepared, prepared.plan, base, command)
        page.write_page(proof, about, folder / proof_folder.PAGE)
    return proof


def bits_per_byte(target: TargetCell) -> float:
    """Bits that a model needs for a byte of the held-out answers, all together."""
    return sum(target.nats) / math.log(2) / sum(target.bytes)


def before_line(base: Cell) -> str:
    """The model before training, as a line."""
    shown = (f"{bits_per_byte(target):.3f} on {name}" for name, target in base.targets.items())
    return f"bits per byte before training: {', '.join(shown)}"


def about_page(
    prepared: Prepared, plan: Mapping[str, Any], base: Cell, command: str
) -> dict[str, Any]:
    """What the page says beside the numbers."""
    keys = {name: target.prompts for name, target in base.targets.items()}
    return {
        "model": prepared.options.model,
        "template": prepared.template.name,
        "set": str(prepared.run.path),
        "sets": listed_sets(plan, prepared.targets, prepared.files),
        "commands": [command],
        "notices": [*prepared.notices, before_line(base)],
        "versions": plan["versions"],
        "texts": {
            each.name: texts_of(numbered(each.records), keys[each.name])
            for each in prepared.targets
        },
    }


def listed_sets(
    plan: Mapping[str, Any], measured: Sequence[Target], files: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Sets and targets with their hashes, as a page lists them."""
    sets = [
        {
            "name": f"{each['baseline']}, seed {each['seed']}",
            **{name: each[name] for name in ("rows", "tokens", "sha256")},
        }
        for each in plan["sets"]
    ]
    return sets + [
        {
            "name": f"target {each.name}",
            "rows": each.records.height,
            "tokens": None,
            "sha256": files[each.name],
        }
        for each in measured
    ]


def numbered(records: pl.DataFrame) -> pl.DataFrame:
    """Records as they are when their file is read: numbered from 0."""
    return records.drop("row").with_row_index("row")


def set_lines(prepared: Prepared) -> list[str]:
    """The sets as lines: rows, tokens, steps and passes, of the seeds' means."""
    lines = [
        f"{prepared.amount.tokens:,} trained tokens in {prepared.amount.steps:,} steps, "
        f"{prepared.options.seeds} seeds"
    ]
    sets = prepared.sets
    for name in dict.fromkeys(each.matched.baseline for each in sets):
        own = [each for each in sets if each.matched.baseline == name]
        rows = sum(len(each.matched.rows) for each in own) / len(own)
        taken = sum(each.taken for each in own) / len(own)
        epochs = sum(each.epochs for each in own) / len(own)
        length = sum(each.median_length for each in own) / len(own)
        lines.append(
            f"  {name}: {rows:,.0f} rows, {taken:,.0f} trained tokens, "
            f"{own[0].matched.steps:,} steps, {epochs:.2f} epochs, median answer {length:,.0f}"
        )
    return lines


def command_of(run: Path, options: ProveOptions, design: Design, out: str) -> str:
    """The command that makes, or goes on with, this proof."""
    words = ["curate", "prove", str(run), "--model", options.model]
    words += [] if options.template is None else ["--template", options.template]
    words += ["--baselines", ",".join(options.baselines)] if options.baselines else []
    words += ["--templates", ",".join(options.templates)] if options.templates else []
    words += [] if options.reward is None else ["--reward", options.reward]
    words += _judge_words(options.judge)
    words += ["--sweep", f"tokens={','.join(map(str, options.amounts))}"] if options.amounts else []
    if options.group is not None:
        words += ["--sweep", f"mix.{options.group}={','.join(map(str, options.shares))}"]
    for name, value in _numbers(options, design).items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    for target in options.targets:
        words += ["--targets", target]
    for name, value in options.training.items():
        given = ",".join(value) if isinstance(value, list | tuple) else json.dumps(value)
        words += ["--set", f"{name}={value if isinstance(value, str) else given}"]
    return shlex.join([*words, "--out", out])


def _judge_words(judge: Mapping[str, Any]) -> Iterator[str]:
    """The options that name a judge, with its other settings."""
    own = {"model": "--judge", "url": "--url", "rubric": "--rubric"}
    for name, value in judge.items():
        if name in own:
            yield from (own[name], str(value))
        else:
            yield from ("--judge-set", f"{name}={json.dumps(value)}")


def _numbers(options: ProveOptions, design: Design) -> dict[str, Any]:
    """Options with a number that is not what it is without them."""
    fields = {field.name: field.default for field in dataclasses.fields(ProveOptions)}
    if options.templates or options.is_scored:
        fields["answers"] = USUAL_ANSWERS
    names = ("tokens", "seeds", "max_rows", "answers", "instructions", "max_tokens")
    given = {name: getattr(options, name) for name in names}
    changed = {name: value for name, value in given.items() if value != fields[name]}
    return changed if design.margin == Design().margin else {**changed, "margin": design.margin}
