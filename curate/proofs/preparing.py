"""Everything before the first training: rows rendered, overlaps taken out, sets matched."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

import templates
from curate.base.errors import CurateError
from curate.base.folder import sha256
from curate.base.log import Log
from curate.base.spelling import option
from curate.pipeline.run_folder import RunFolder
from curate.proofs import pool as pools
from curate.proofs import proof_folder, targets
from curate.proofs.chosen_by import check_independent, say_own_kind
from curate.proofs.design import Design
from curate.proofs.matching import Amount, amount
from curate.proofs.options import ProveOptions
from curate.proofs.pool import Overlaps, Pool, Renderer
from curate.proofs.prepared import Prepared
from curate.proofs.scorers import scorers_of
from curate.proofs.targets import POOL, Target
from trainer.after import chat
from trainer.config.config import TrainConfig
from trainer.models import model as models
from trainer.models import weights


def prepare(run: Path, options: ProveOptions, design: Design, log: Log) -> Prepared:
    """Read, render, take out what overlaps, and match. Raises `CurateError`; writes nothing."""
    prepared = unmatched(run, options, design, log)
    notices = (*prepared.notices, *prepared.off, *prepared.shared)
    return dataclasses.replace(prepared, notices=notices)


def unmatched(run: Path, options: ProveOptions, design: Design, log: Log) -> Prepared:
    """As `prepare`, before any set is cut to its amount."""
    folder = RunFolder.open(run)
    notices: list[str] = []
    scorers = scorers_of(options)
    for each in scorers:
        check_independent(folder, each, notices.append)
    model, config, render = renderer(options)
    for each in scorers:
        say_own_kind(str(model), each, notices.append)
    records, kept = pools.read_pool(folder)
    baselines, raw = _raw(folder, options, notices.append)
    log(f"rendering {records.height:,} rows of {run} by template {render.template.name}")
    rendered = render(records)
    check_any(rendered, run, options)
    measured, records = _targets(options, render, records, rendered, notices.append)
    with TemporaryDirectory(prefix="curate-") as place:
        files = written(measured, Path(place))
        log(f"looking for the rows of {len(measured)} targets among {records.height:,} rows")
        here = overlaps(records, kept, files, measured, notices.append)
        rest = records["row"].to_list()
        cleaned = pools.make_pool(pools.subset(rendered, rest), here.rows)
        cleaned = dataclasses.replace(cleaned, refused=_refused(rendered))
        uncleaned = None if raw is None else _raw_pool(raw, rest, render, files)
        hashes = {name: sha256(path) for name, path in files.items()}
    selected = _selected(cleaned, kept, rendered)
    if uncleaned is not None and uncleaned.overlapping:
        notices.append(f"raw: {len(uncleaned.overlapping):,} rows repeat a target; left out")
    notices += _refusals(selected, cleaned, uncleaned)
    return Prepared(
        folder,
        options,
        design,
        model,
        _amount(selected, cleaned, options, folder.path),
        tuple(measured),
        hashes,
        selected,
        cleaned,
        uncleaned,
        render.template,
        render.tokenizer,
        config,
        baselines,
        tuple(notices),
        scorers,
    )


def renderer(options: ProveOptions) -> tuple[Path, dict[str, Any], Renderer]:
    """The model's folder, the settings of training that are the same for all, and the renderer."""
    models.check_source(options.model)
    folder = weights.local_folder(options.model)
    config = TrainConfig.from_mapping(
        {**options.settings, "tokens": "TOKENS", "model": str(folder), "out": "CKPT"}
    )
    chat.check_answers(str(folder), "sft")
    limits = models.read_limits(str(folder))
    room = limits.positions
    if room is not None and config.learns == "prompt":
        room -= config.num_virtual_tokens
    tokenizer = templates.load_tokenizer(str(folder))
    template = templates.load_template(options.template, tokenizer)
    return folder, options.settings, Renderer(template, tokenizer, room)


def check_any(rendered: templates.Rendered, run: Path, options: ProveOptions) -> None:
    """Raise `CurateError` where the template takes no row, or the model has no room for any."""
    if rendered.examples.height:
        return
    first = rendered.refused["message"].to_list()[0].splitlines()[0]
    raise CurateError(
        f"{run}: none of its {rendered.refused.height:,} rows can be rendered by template "
        f"{rendered.template.name} for {options.model} (first: {first})"
    )


def _raw(
    run: RunFolder, options: ProveOptions, tell: Log
) -> tuple[tuple[str, ...], pl.DataFrame | None]:
    """The baselines that there will be, and the rows before any fix, where some were fixed."""
    if "raw" not in options.baselines:
        return options.baselines, None
    if not pools.edited_rows(run):
        others = tuple(name for name in options.baselines if name != "raw")
        tell("raw is left out: no step of the run edited a row, so it would be the rows of full")
        if not others:
            raise CurateError(
                f"{option('baselines')} raw: no step of {run.path} edited a row, so these would "
                "be the rows of full; name that"
            )
        return others, None
    return options.baselines, pools.read_raw(run, tell)


def _targets(
    options: ProveOptions,
    render: Renderer,
    records: pl.DataFrame,
    rendered: templates.Rendered,
    tell: Log,
) -> tuple[list[Target], pl.DataFrame]:
    """What is measured on, and the rows that sets may be made of."""
    if options.targets:
        return targets.read_targets(options.targets, options.max_rows, render, tell), records
    rows = pools.held_out(records, rendered)
    own = records.filter(pl.col("row").is_in(rows))
    digest = hashlib.sha256("\n".join(own["id"].to_list()).encode()).hexdigest()
    target = targets.fitting(Target(POOL, POOL, digest, own, {}), render)
    tell(
        f"{len(rows):,} rows of the run are held out of all sets, to measure on; being drawn from "
        "all of it they favour random rows, so name targets of your own if you can (--targets)"
    )
    return [target], pools.without(records, rows)


def written(measured: Sequence[Target], folder: Path) -> dict[str, Path]:
    """The targets written to a folder, by name."""
    files = {each.name: proof_folder.target_file(folder, each.name) for each in measured}
    for each in measured:
        each.write(files[each.name])
    return files


def overlaps(
    records: pl.DataFrame,
    kept: frozenset[int],
    files: Mapping[str, Path],
    measured: Sequence[Target],
    tell: Log,
) -> Overlaps:
    """Rows that repeat a target. Raises `CurateError` for a target that mostly is in the run."""
    found = pools.overlaps(records, files)
    for each in measured:
        hit = found.found[each.name]
        if each.name != POOL and hit > each.records.height / 2:
            raise CurateError(
                f"target {each.source}: {hit:,} of its {each.records.height:,} rows are among "
                "those of the run, so it would measure memory; name rows that the run has not read"
            )
    if found.rows:
        own = len(found.rows & kept)
        tell(
            f"{len(found.rows):,} rows of the run repeat a row of a target and are in no set; "
            f"{own:,} of them were kept"
        )
    return found


def _raw_pool(
    raw: pl.DataFrame, rest: Sequence[int], render: Renderer, files: Mapping[str, Path]
) -> Pool:
    """The rows of raw that are not held out, without those that repeat a target."""
    own = raw.filter(pl.col("row").is_in(list(rest)))
    return pools.make_pool(render(own), pools.overlaps(own, files).rows)


def _refused(rendered: templates.Rendered) -> dict[str, int]:
    return dict(rendered.refused.group_by("check").len().sort("check").iter_rows())


def _selected(cleaned: Pool, kept: frozenset[int], rendered: templates.Rendered) -> Pool:
    own = np.isin(cleaned.rows, np.array(sorted(kept), np.int64))
    refused = rendered.refused.filter(pl.col("row").is_in(list(kept)))
    return dataclasses.replace(
        cleaned,
        rows=cleaned.rows[own],
        tokens=cleaned.tokens[own],
        refused=dict(refused.group_by("check").len().sort("check").iter_rows()),
        overlapping=cleaned.overlapping & kept,
    )


def _amount(selected: Pool, cleaned: Pool, options: ProveOptions, run: Path) -> Amount:
    own, every = int(selected.tokens.sum()), int(cleaned.tokens.sum())
    if not own:
        raise CurateError(
            f"{run}: none of the rows that the run kept is left to train on: the template refuses "
            f"{sum(selected.refused.values()):,}, and {len(selected.overlapping):,} repeat a target"
        )
    if own == every:
        raise CurateError(
            f"{run}: no row that the run dropped is left to compare with, so every baseline would "
            "be the selected rows"
        )
    return amount(own, options.most_tokens, options.epochs, options.batch_tokens)


def _refusals(selected: Pool, cleaned: Pool, raw: Pool | None) -> Iterator[str]:
    """Rows that cannot be rendered, as sentences."""
    named = {"selected": selected, "the run": cleaned, "raw": raw}
    for name, pool in named.items():
        if pool is not None and pool.refused:
            reasons = ", ".join(f"{count:,} {check}" for check, count in pool.refused.items())
            yield f"{name}: {sum(pool.refused.values()):,} rows cannot be rendered ({reasons})"
