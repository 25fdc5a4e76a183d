"""A proof that is ready to begin: its sets as trainings read them, and its plan."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import templates
from curate.base import spelling
from curate.base.folder import OWN_HASH, read_manifest
from curate.evals.suite_results import SuiteOptions
from curate.pipeline.run_folder import RunFolder
from curate.proofs import pool as pools
from curate.proofs import proof_folder
from curate.proofs.cells import SELECTED
from curate.proofs.design import Design
from curate.proofs.matching import TOLERANCE, Amount, Matched, deviation, match
from curate.proofs.mixtures import Mixture
from curate.proofs.options import ProveOptions
from curate.proofs.pool import Pool
from curate.proofs.scorers import Scorer
from curate.proofs.targets import Target
from trainer.after.suite.identity import model_hash
from trainer.data.mixing import tokens_taken

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
