"""Everything before the first training: rows rendered, overlaps taken out, sets matched."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

import templates
from curate.base import spelling
from curate.base.errors import CurateError
from curate.base.folder import OWN_HASH, read_manifest, sha256
from curate.base.log import Log
from curate.base.spelling import option
from curate.evals.suite_results import SuiteOptions
from curate.pipeline.run_folder import RunFolder
from curate.proofs import pool as pools
from curate.proofs import proof_folder, targets
from curate.proofs.cells import SELECTED
from curate.proofs.chosen_by import check_independent
from curate.proofs.design import Design
from curate.proofs.matching import TOLERANCE, Amount, Matched, amount, deviation, match
from curate.proofs.mixtures import Mixture
from curate.proofs.options import ProveOptions
from curate.proofs.pool import Overlaps, Pool, Renderer
from curate.proofs.scorers import Scorer, scorers_of
from curate.proofs.targets import POOL, Target
from trainer.after import chat
from trainer.after.suite.identity import model_hash
from trainer.config.config import TrainConfig
from trainer.data.mixing import tokens_taken
from trainer.models import model as models
from trainer.models import weights

_MOSTLY = 0.5  # of a baseline's tokens: from here on it is said
_VERSIONS = ("torch", "transformers", "tokenizers", "peft", "polars")


@dataclasses.dataclass(frozen=True)
class PlannedSet:
    """A set as one training reads it: `taken` trained tokens in all its steps."""

    matched: Matched
    rendered: templates.Rendered
    taken: int
    median_length: float
    sha256: str

    @property
    def epochs(self) -> float:
        """How often its rows are read."""
        return self.taken / self.matched.tokens

    def as_dict(self) -> dict[str, Any]:
        """What the plan says."""
        own = self.matched
        return {
            "baseline": own.baseline,
            "seed": own.seed,
            "rows": len(own.rows),
            "tokens": own.tokens,
            "trained_tokens": self.taken,
            "steps": own.steps,
            "epochs": round(self.epochs, 4),
            "sha256": self.sha256,
        }


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A proof that is ready to begin.

    `selected`, `cleaned` and `raw` are the rows of sets (raw None where that is not asked for),
    `notices` what a user should know of them.
    """

    run: RunFolder
    options: ProveOptions
    design: Design
    model: Path
    amount: Amount
    targets: tuple[Target, ...]
    files: Mapping[str, str]  # hashes of what is measured on, by target
    selected: Pool
    cleaned: Pool
    raw: Pool | None
    template: templates.ChatTemplate
    tokenizer: templates.Tokenizer
    settings: dict[str, Any]
    baselines: tuple[str, ...]
    notices: tuple[str, ...]
    scorers: tuple[Scorer, ...] = ()
    mixture: Mixture | None = None  # of the selected rows, where shares are varied

    def pool_of(self, baseline: str) -> Pool:
        """The rows that a set is taken from."""
        if baseline == SELECTED:
            return self.selected
        if baseline == "raw":
            assert self.raw is not None
            return self.raw
        return self.cleaned

    @cached_property
    def sets(self) -> tuple[PlannedSet, ...]:
        """Every set and seed, set by set."""
        return tuple(self._sets())

    def _sets(self) -> Iterator[PlannedSet]:
        asked = spelling.amounts() if self.options.amounts else None
        for baseline in (SELECTED, *self.baselines):
            own = self.pool_of(baseline)
            for seed in range(self.options.seeds):
                if baseline == SELECTED and self.mixture is not None:
                    found = self.mixture.match(seed, own, self.amount)
                else:
                    found = match(baseline, seed, own.rows, own.tokens, self.amount, asked)
                yield planned(found, own)

    @cached_property
    def off(self) -> tuple[str, ...]:
        """Sets whose tokens differ by more than is tolerated, as sentences."""
        worst: dict[str, float] = {}
        for each in self.sets:
            by = deviation(each.matched, self.amount)
            worst[each.matched.baseline] = max(worst.get(each.matched.baseline, 0.0), by, key=abs)
        return tuple(
            f"{name}: its trained tokens differ by up to {by:+.1%} from what was asked for, as "
            "rows are whole"
            for name, by in worst.items()
            if abs(by) > TOLERANCE
        )

    @cached_property
    def shared(self) -> tuple[str, ...]:
        """Baselines that are mostly, or wholly, made of rows that selected has, as sentences."""
        shares: dict[str, list[float]] = {}
        own = [set(each.matched.rows) for each in self.sets[: self.options.seeds]]
        for each in self.sets[self.options.seeds :]:
            pool, matched = self.pool_of(each.matched.baseline), each.matched
            both = np.isin(pool.rows, np.array(sorted(own[matched.seed] & {*matched.rows})))
            part = int(pool.tokens[both].sum()) / matched.tokens
            shares.setdefault(matched.baseline, []).append(part)
        means = {name: sum(each) / len(each) for name, each in shares.items()}
        return tuple(
            f"{name}: {share:.0%} of its trained tokens are of rows that selected has too, and "
            + ("nothing else is compared" if share == 1 else "only the others can differ")
            for name, share in means.items()
            if share > _MOSTLY
        )

    @property
    def suite(self) -> SuiteOptions:
        """What is measured of each model."""
        options = self.options
        return SuiteOptions(
            only=options.parts,
            template=options.template,
            max_rows=None,
            prompts=max(1, options.instructions),
            max_tokens=options.max_tokens,
            device=str(options.training.get("device", "auto")),
            max_answers=options.answers or None,
        )

    @cached_property
    def plan(self) -> dict[str, Any]:
        """What is laid down before anything is trained; plain values."""
        options = self.options
        return {
            **plan_of(self.run, options, self.design, self.model, self.settings),
            **(
                {"scorers": {each.kind: each.plan for each in self.scorers}} if self.scorers else {}
            ),
            "template": {"name": self.template.name, "sha256": self.template.hash},
            "tokenizer": self.tokenizer.hash,
            "baselines": list(self.baselines),
            "amount": {"asked_for": options.most_tokens, **dataclasses.asdict(self.amount)},
            "targets": targets_plan(self.targets, self.files),
            "pools": {name: pool.as_dict() for name, pool in self._pools.items()},
            "sets": [each.as_dict() for each in self.sets],
        }

    @property
    def _pools(self) -> dict[str, Pool]:
        found = {SELECTED: self.selected, "cleaned": self.cleaned}
        return found if self.raw is None else {**found, "raw": self.raw}


def plan_of(
    run: RunFolder, options: ProveOptions, design: Design, model: Path, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What every plan says, whatever is compared."""
    return {
        "maker": proof_folder.MAKER,
        "design": design.as_dict(),
        "run": {"name": str(run.path), "sha256": read_manifest(run.path).get(OWN_HASH)},
        "model": {"name": options.model, "sha256": model_hash(str(model))},
        "seeds": options.seeds,
        "training": {name: _plain(value) for name, value in sorted(settings.items())},
        "measured": {
            "max_rows": options.max_rows,
            "answers": options.answers,
            "instructions": options.instructions,
            "max_tokens": options.max_tokens,
        },
        "versions": versions(),
    }


def targets_plan(measured: Sequence[Target], files: Mapping[str, str]) -> list[dict[str, Any]]:
    """What a plan says of the targets, with the hashes of what is measured of them."""
    return [{**each.as_dict(), "measured_sha256": files[each.name]} for each in measured]


def versions() -> dict[str, str]:
    """Of what numbers depend on."""
    return {name: importlib.metadata.version(name) for name in _VERSIONS}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


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


def planned(found: Matched, pool: Pool) -> PlannedSet:
    """A set with what its training reads; `pool` is what its rows are from."""
    rendered = pools.subset(pool.rendered, found.rows)
    trained = _trained(rendered)
    taken = tokens_taken(trained, found.batch_tokens, found.steps, found.seed)
    own = pool.tokens[np.isin(pool.rows, np.array(found.rows, np.int64))]
    return PlannedSet(found, rendered, taken, float(np.median(own)), _hash(rendered))


def _trained(rendered: templates.Rendered) -> np.ndarray:
    """Trained tokens of each example, as the trainer counts them: a row's first token is none."""
    flags = pl.element() != -100
    counts = rendered.examples.select(
        pl.col("labels").list.slice(1).list.eval(flags.cast(pl.Int64)).list.sum()
    )
    return counts.to_series().to_numpy().astype(np.int64)


def _hash(rendered: templates.Rendered) -> str:
    """What is trained: ids of rows, tokens, and which of them are trained."""
    digest = hashlib.sha256()
    frame = rendered.examples
    digest.update("\n".join(frame["id"].to_list()).encode())
    for name in ("input_ids", "labels"):
        digest.update(frame[name].list.len().to_numpy().astype("<i8").tobytes())
        flat = frame[name].explode(empty_as_null=False, keep_nulls=False)
        digest.update(flat.to_numpy().astype("<i4").tobytes())
    return digest.hexdigest()
