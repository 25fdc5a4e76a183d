"""Formats before the first training: the same rows rendered by each template, for each seed."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

import templates
from curate.base.errors import CurateError
from curate.base.folder import sha256
from curate.base.log import Log
from curate.base.schema import RECORDS
from curate.evals.suite_results import SuiteOptions
from curate.pipeline.run_folder import RunFolder
from curate.proofs import pool as pools
from curate.proofs import targets
from curate.proofs.cells import SELECTED
from curate.proofs.design import Design
from curate.proofs.matching import Amount, amount, match
from curate.proofs.options import BASE, BASELINES, ProveOptions
from curate.proofs.pool import Pool, Renderer
from curate.proofs.prepared import PlannedSet, plan_of, planned, targets_plan
from curate.proofs.preparing import check_any, overlaps, renderer, written
from curate.proofs.schedule import Prompting, Schedule
from curate.proofs.targets import POOL, Target


@dataclasses.dataclass(frozen=True)
class Format:
    """A template under the name that tables have: what is trained by it, what is measured by it."""

    name: str
    template: templates.ChatTemplate
    pool: Pool
    targets: Mapping[str, templates.Rendered]


@dataclasses.dataclass(frozen=True)
class PreparedFormats:
    """A comparison of formats that is ready to begin. `files` are hashes of the targets."""

    run: RunFolder
    options: ProveOptions
    design: Design
    model: Path
    amount: Amount
    targets: tuple[Target, ...]
    files: Mapping[str, str]
    formats: tuple[Format, ...]
    settings: dict[str, Any]
    notices: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The formats in the order in which they were named."""
        return tuple(each.name for each in self.formats)

    @cached_property
    def sets(self) -> tuple[PlannedSet, ...]:
        """Every format and seed: of a seed all have the same rows, in the same steps."""
        return tuple(self._sets())

    def _sets(self) -> Iterator[PlannedSet]:
        first = self.formats[0].pool
        for each in self.formats:
            for seed in range(self.options.seeds):
                # The first format counts the tokens by which rows are cut.
                found = match(SELECTED, seed, first.rows, first.tokens, self.amount)
                rows = np.isin(each.pool.rows, np.array(found.rows, np.int64))
                tokens = int(each.pool.tokens[rows].sum())
                yield planned(
                    dataclasses.replace(found, baseline=each.name, tokens=tokens), each.pool
                )

    @property
    def suite(self) -> SuiteOptions:
        """What is measured of each model; the rows bring their template with them."""
        options = self.options
        return SuiteOptions(
            only=options.parts,
            max_rows=None,
            max_tokens=options.max_tokens,
            device=str(options.training.get("device", "auto")),
            max_answers=options.answers or None,
        )

    @cached_property
    def plan(self) -> dict[str, Any]:
        """What is laid down before anything is trained; plain values."""
        hashes = [each.template.hash for each in self.formats]
        plan = plan_of(self.run, self.options, self.design, self.model, self.settings)
        return {
            **plan,
            "design": {
                **plan["design"],
                "comparison": "trained with another template minus trained with the one that is "
                "prompted with, seeds and prompts paired",
                "families": {"overall": "each pair of different templates, over all targets"},
            },
            "template": {
                "name": ", ".join(self.names),
                "sha256": hashlib.sha256("\n".join(hashes).encode()).hexdigest(),
            },
            "formats": dict(zip(self.names, hashes, strict=True)),
            "amount": {"asked_for": self.options.tokens, **dataclasses.asdict(self.amount)},
            "targets": targets_plan(self.targets, self.files),
            "pools": {each.name: each.pool.as_dict() for each in self.formats},
            "sets": [each.as_dict() for each in self.sets],
        }

    @property
    def schedule(self) -> Schedule:
        """A training for each format and seed, whose model is prompted with each."""
        return Schedule(
            self.model,
            self.plan,
            self.settings,
            self.sets,
            self.targets,
            self.files,
            {each.name: Prompting(self.suite, each.targets) for each in self.formats},
            (str(self.run.path), str(self.model), *self.options.targets),
        )


def prepare_formats(run: Path, options: ProveOptions, design: Design, log: Log) -> PreparedFormats:
    """Read, render by each template, and take out what overlaps or what one of them refuses.

    Raises `CurateError`; writes nothing.
    """
    folder = RunFolder.open(run)
    model, settings, renderers = _renderers(options)
    records = folder.kept.select(RECORDS.names()).sort("row")
    if not records.height:
        raise CurateError(f"{run}: the run kept no rows; curate report {run} says why")
    notices: list[str] = []
    rendered = _rendered(records, renderers, run, options, log)
    records = _usable(records, rendered, run, notices.append)
    measured, records = _measured(options, records, renderers, rendered, notices.append)
    with TemporaryDirectory(prefix="curate-") as place:
        files = written(measured, Path(place))
        kept = frozenset(records["row"].to_list())
        here = overlaps(records, kept, files, measured, notices.append)
        hashes = {name: sha256(path) for name, path in files.items()}
    formats = tuple(
        Format(
            name,
            each.template,
            pools.make_pool(pools.subset(rendered[name], records["row"].to_list()), here.rows),
            {one.name: each(targets_numbered(one)) for one in measured},
        )
        for name, each in renderers.items()
    )
    own = int(formats[0].pool.tokens.sum())
    if not own:
        raise CurateError(f"{run}: all of the rows that the run kept repeat a target")
    wanted = amount(own, options.tokens, options.epochs, options.batch_tokens)
    return PreparedFormats(
        folder,
        options,
        design,
        model,
        wanted,
        tuple(measured),
        hashes,
        formats,
        settings,
        tuple(notices),
    )


def targets_numbered(target: Target) -> pl.DataFrame:
    """The rows of a target as they are when their file is read: numbered from 0."""
    return target.records.drop("row").with_row_index("row").select(RECORDS.names())


def _renderers(
    options: ProveOptions,
) -> tuple[Path, dict[str, Any], dict[str, Renderer]]:
    """The model's folder, the settings that are the same for all, a renderer by format."""
    found: dict[str, Renderer] = {}
    seen: dict[str, str] = {}
    for source, name in zip(options.templates, _names(options.templates), strict=True):
        alone = dataclasses.replace(options, template=source, templates=(), baselines=BASELINES)
        model, settings, found[name] = renderer(alone)
        same = seen.setdefault(found[name].template.hash, source)
        if same != source:
            raise CurateError(f"templates {same} and {source} are the same one; name one of them")
    return model, settings, found


def _names(sources: Sequence[str]) -> Iterator[str]:
    """A short name for each, which no other has, and neither has the untrained model."""
    taken = {BASE}
    for source in sources:
        stem = re.sub(r"\W+", "_", Path(source).stem)[:40].strip("_") or "template"
        name = next(
            each for each in (stem, *(f"{stem}_{n}" for n in range(2, 1000))) if each not in taken
        )
        taken.add(name)
        yield name


def _rendered(
    records: pl.DataFrame,
    renderers: Mapping[str, Renderer],
    run: Path,
    options: ProveOptions,
    log: Log,
) -> dict[str, templates.Rendered]:
    found = {}
    for name, render in renderers.items():
        log(f"rendering {records.height:,} rows of {run} by template {name}")
        found[name] = render(records)
        check_any(found[name], run, options)
    return found


def _usable(
    records: pl.DataFrame, rendered: Mapping[str, templates.Rendered], run: Path, tell: Log
) -> pl.DataFrame:
    """The rows that all templates take. Raises `CurateError` where there are none."""
    taken = {name: set(each.examples["row"].to_list()) for name, each in rendered.items()}
    common = set.intersection(*taken.values())
    counts = ", ".join(f"{name} takes {len(rows):,}" for name, rows in taken.items())
    if not common:
        raise CurateError(
            f"{run}: no row can be rendered by all of the templates ({counts}); leave one out"
        )
    if len(common) < records.height:
        tell(
            f"{len(common):,} of {records.height:,} rows can be rendered by all templates "
            f"({counts}); the others are in no set"
        )
    return records.filter(pl.col("row").is_in(list(common)))


def _measured(
    options: ProveOptions,
    records: pl.DataFrame,
    renderers: Mapping[str, Renderer],
    rendered: Mapping[str, templates.Rendered],
    tell: Log,
) -> tuple[list[Target], pl.DataFrame]:
    """What is measured on, which all templates take, and the rows that are trained."""
    first, *others = renderers.values()
    if options.targets:
        found = targets.read_targets(options.targets, options.max_rows, first, tell)
    else:
        rows = pools.held_out(records, next(iter(rendered.values())))
        own = records.filter(pl.col("row").is_in(rows))
        digest = hashlib.sha256("\n".join(own["id"].to_list()).encode()).hexdigest()
        found = [Target(POOL, POOL, digest, own, {})]
        records = pools.without(records, rows)
        tell(f"{len(rows):,} of the kept rows are held out of all trainings, to measure on")
    for render in others:
        found = [targets.fitting(each, render) for each in found]
    return found, records
