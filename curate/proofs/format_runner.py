"""A comparison of formats from its plan to its matrices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curate.base.folder import write_atomic, writing
from curate.base.log import Log
from curate.proofs import format_page, proof_folder
from curate.proofs.cells import Cell
from curate.proofs.design import Design
from curate.proofs.divergence import diverged
from curate.proofs.format_results import FormatProof, judge_formats
from curate.proofs.formats import PreparedFormats, prepare_formats
from curate.proofs.options import BASE, ProveOptions
from curate.proofs.runner import before_line, bits_per_byte, command_of, listed_sets
from curate.proofs.schedule import Running, done
from curate.proofs.training import cell_name


def prove_formats(
    run: Path, options: ProveOptions, design: Design, how: Running, log: Log
) -> FormatProof:
    """See `curate.prove_formats`."""
    prepared = prepare_formats(run, options, design, log)
    for line in prepared.notices:
        log(line)
    command = command_of(run, options, design, how.out)
    with done(prepared.schedule, how, command, format_lines(prepared), log) as (folder, cells):
        return _concluded(prepared, folder, cells, command, log)


def format_lines(prepared: PreparedFormats) -> list[str]:
    """The sets as lines: rows, tokens and steps, of the seeds' means."""
    seeds = prepared.options.seeds
    lines = [
        f"{len(prepared.formats):,} templates, {seeds} seeds: {len(prepared.sets):,} trainings in "
        f"{prepared.amount.steps:,} steps, each prompted with every template"
    ]
    for name in prepared.names:
        own = [each for each in prepared.sets if each.matched.baseline == name]
        rows = sum(len(each.matched.rows) for each in own) / seeds
        taken = sum(each.taken for each in own) / seeds
        lines.append(f"  {name}: {rows:,.0f} rows, {taken:,.0f} trained tokens")
    return lines


def _concluded(
    prepared: PreparedFormats, folder: Path, cells: Sequence[Cell], command: str, log: Log
) -> FormatProof:
    """The matrices of all cells, as values and as a page."""
    untrained = {
        name: cell
        for cell in cells
        for name in prepared.names
        if cell.baseline == cell_name(BASE, name)
    }
    trained = [cell for cell in cells if cell not in untrained.values()]
    proof = judge_formats(trained, prepared.names, prepared.design)
    before = {
        name: {target: bits_per_byte(each) for target, each in cell.targets.items()}
        for name, cell in untrained.items()
    }
    notices = [f"{name}: {before_line(cell)}" for name, cell in untrained.items()]
    for name in prepared.names:
        own = [cell for cell in trained if cell.baseline.endswith(f".{name}")]
        notices += diverged(own, untrained[name])
    for line in notices:
        log(line)
    values = {"plan": prepared.plan, "before_training": before, **proof.as_dict()}
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    about = _about(prepared, command, notices)
    with writing(folder):
        write_atomic(folder / proof_folder.PROOF, text)
        format_page.write_page(proof, about, folder / proof_folder.PAGE)
    return proof


def _about(prepared: PreparedFormats, command: str, notices: Sequence[str]) -> dict[str, Any]:
    """What the page says beside the numbers."""
    return {
        "model": prepared.options.model,
        "set": str(prepared.run.path),
        "sets": listed_sets(prepared.plan, prepared.targets, prepared.files),
        "commands": [command],
        "notices": [*prepared.notices, *notices],
        "versions": prepared.plan["versions"],
    }
