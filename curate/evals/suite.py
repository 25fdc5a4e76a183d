"""Models measured on held-out files and on instructions, side by side, with intervals.

Files are read and models loaded one after the other; what is written lies in one folder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from os import PathLike
from typing import Any

import templates
from curate.base.errors import CurateError
from curate.base.log import Log
from curate.evals import suite_folder
from curate.evals.suite_files import SuiteFile, read_file, reference_texts
from curate.evals.suite_model import FileRows, Measured, Reference, measure
from curate.evals.suite_results import (
    PARTS,
    Comparison,
    FileDifference,
    SuiteEvaluation,
    SuiteOptions,
)
from curate.evals.suite_rows import check_tokenizer
from curate.sources import ReadOptions
from trainer.after import chat
from trainer.after.suite import lengths, loss_results, stops
from trainer.after.suite.asking import Kept
from trainer.after.suite.instructions import scoring

Source = str | PathLike[str]
OWN = "tokenizer"  # the model's own template, by name


def evaluate(
    models: Sequence[str],
    files: Sequence[Source],
    options: SuiteOptions,
    how: ReadOptions,
    reference: Source | None,
    out: Source | None,
    force: bool,
    log: Log,
) -> SuiteEvaluation:
    """Measure every model on every file; the first is compared with each other.

    `how` says how files of conversations are read; a reference's format is detected.
    With `out` a folder is written: `eval.json` and `answers.jsonl`. What was answered before this
    was interrupted is not answered again. Raises `CurateError`.
    """
    check_options(options, files)
    notices: list[str] = []
    read = [read_file(each, options.max_rows, options.seed, notices.append, how) for each in files]
    texts = None if reference is None else reference_texts(reference, notices.append)
    notices += _cuts(read)
    for number, model in enumerate(models):  # before the first of them is at work for hours
        check_tokenizer(chat.tokenizer_of(model, _base(options, number)), read)
    if out is None:
        return _evaluated(models, read, options, reference, texts, Kept(None, {}), notices, log)[0]
    inputs = [*map(str, files), *models, *([] if reference is None else [str(reference)])]
    about = suite_folder.about(read, models, options)
    with suite_folder.opened(out, force, inputs, about) as (folder, kept, replaced):
        if replaced is not None:
            log(replaced)
        found, measured = _evaluated(models, read, options, reference, texts, kept, notices, log)
        suite_folder.write(folder, found, measured, about)
    suite_folder.forget(out)
    return found


def _base(options: SuiteOptions, number: int) -> str | None:
    """What an adapter goes on, where it is said: of the first model."""
    return None if number else options.base


def check_options(options: SuiteOptions, files: Sequence[Source]) -> None:
    """Raise `CurateError` for parts that are none, and where there is nothing to measure."""
    if strange := [name for name in options.only if name not in PARTS]:
        raise CurateError(f"--only {strange[0]}: is no part; expected some of {', '.join(PARTS)}")
    if not options.only:
        raise CurateError(f"--only names no part; expected some of {', '.join(PARTS)}")
    if not files and "instructions" not in options.only:
        raise CurateError(f"{', '.join(options.only)}: need a file to measure on; name one or more")
    if options.template is not None and options.template.partition(":")[0] != OWN:
        templates.load_template(options.template, None)
    for name in ("max_rows", "prompts", "max_tokens"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise CurateError(f"{name} is {value}; expected a whole number from 1")


def _cuts(files: Sequence[SuiteFile]) -> list[str]:
    """What is left out of files before any model reads them."""
    lines = []
    for file in files:
        readable = file.read - sum(file.rejects.values())
        if file.chosen < readable:
            lines.append(
                f"{file.name}: {file.chosen:,} of {readable:,} rows are measured, drawn by the seed"
            )
    return lines


def _evaluated(
    models: Sequence[str],
    files: Sequence[SuiteFile],
    options: SuiteOptions,
    reference: Source | None,
    texts: Reference | None,
    kept: Kept,
    notices: list[str],
    log: Log,
) -> tuple[SuiteEvaluation, list[Measured]]:
    measured = [
        measure(model, _base(options, number), files, options, texts, kept, log)
        for number, model in enumerate(models)
    ]
    first, *others = measured
    found = SuiteEvaluation(
        options,
        None if reference is None else str(reference),
        tuple(_about(file) for file in files),
        tuple(each.result for each in measured),
        tuple(_compared(first, other, options) for other in others),
        (*notices, *(line for each in measured for line in each.notices)),
    )
    return found, measured


def _about(file: SuiteFile) -> dict[str, Any]:
    return {
        "name": file.name,
        "sha256": file.sha256,
        "kind": file.kind,
        "read": file.read,
        "rejects": file.rejects,
        "chosen": file.chosen,
    }


def _compared(first: Measured, other: Measured, options: SuiteOptions) -> Comparison:
    seed = options.seed
    names = [each.name for each in first.result.files]
    pairs = zip(names, first.files, other.files, strict=True)
    mine = {each.prompt.number: each for each in first.verdicts}
    theirs = {each.prompt.number: each for each in other.verdicts}
    both = [number for number in mine if number in theirs]
    sides = [[side[number] for number in both] for side in (mine, theirs)]
    return Comparison(
        other.result.model,
        tuple(_file_difference(name, one, two, seed) for name, one, two in pairs),
        scoring.differences(sides[0], sides[1], seed) if both else None,
    )


def _file_difference(name: str, one: FileRows, other: FileRows, seed: int) -> FileDifference:
    """Over the rows that both models read."""
    scored = [key for key in one.losses if key in other.losses]
    asked = [key for key in one.states if key in other.states]
    made = FileDifference(
        name,
        max(
            len(one.losses.keys() ^ other.losses.keys()),
            len(one.states.keys() ^ other.states.keys()),
        ),
    )
    if scored:
        sides = [[side.losses[key] for key in scored] for side in (one, other)]
        made = dataclasses.replace(made, loss=loss_results.difference(sides[0], sides[1], seed))
    if asked:
        states = [[side.states[key] for key in asked] for side in (one, other)]
        sizes = [[side.lengths[key] for key in asked] for side in (one, other)]
        made = dataclasses.replace(
            made,
            stops=stops.differences(states[0], states[1], seed),
            lengths=lengths.differences(sizes[0], sizes[1], seed),
        )
    return made
