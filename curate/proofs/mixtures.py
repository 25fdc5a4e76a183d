"""The selected rows with a given share of a group of them: a source, or a category."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import polars as pl

from curate.base.errors import CurateError
from curate.base.replacing import shown_settings
from curate.base.spelling import option, shares_of
from curate.base.terminal import printable_line
from curate.pipeline.run_folder import RunFolder
from curate.proofs.cells import SELECTED
from curate.proofs.matching import TOLERANCE, Amount, Matched, cut, matched, order_of
from curate.proofs.pool import Pool
from filters.mix.shares import named
from trainer.data.rows import Ints

_KINDS = ("source", "category")
_LISTED = 12  # names that a message shows


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Rows of which a `share` of the trained tokens is of the `group`, whose `rows` are numbers."""

    group: str
    share: float
    rows: tuple[int, ...]

    def match(self, seed: int, pool: Pool, wanted: Amount) -> Matched:
        """The set of a seed: of the group and of the other rows as many tokens as the share says.

        Both are taken in the seed's order, so that sets of several shares have most rows in
        common. No row is in it twice.
        """
        budget, pass_steps = wanted.of(SELECTED)
        order = order_of(SELECTED, seed, pool.rows, pool.tokens)
        inside = self.has(pool)[order]
        of_group = round(self.share * budget)
        parts = [
            cut(order[kind], pool.tokens, tokens)
            for kind, tokens in ((inside, of_group), (~inside, budget - of_group))
            if tokens
        ]
        chosen = np.concatenate(parts)
        return matched(SELECTED, seed, chosen, pool.rows, pool.tokens, wanted.steps, pass_steps)

    def has(self, pool: Pool) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which rows of a pool are of the group."""
        return np.isin(pool.rows, np.array(self.rows, np.int64))

    def most(self, pool: Pool) -> int:
        """Trained tokens that a pool gives at this share, no row twice."""
        own, others = self._sums(pool)
        limits = [own / self.share] if self.share else []
        limits += [others / (1 - self.share)] if self.share < 1 else []
        # A hair more before rounding down: 0.3 * (30 / 0.3) must remain 30.
        return int(min(limits) + 1e-6)

    def check(self, pool: Pool, tokens: int, most: int, given: str) -> None:
        """Raise `CurateError` where a pool has too few rows of a kind.

        `most` is what it gives at all shares, which the option `given` names.
        """
        if tokens * (1 - TOLERANCE) <= self.most(pool):
            return
        own, others = self._sums(pool)
        share, have, what = self.share, own, printable_line(self.group, 80)
        if own >= self.share * tokens * (1 - TOLERANCE):
            share, have, what = 1 - self.share, others, "all other rows"
        if not have:
            raise CurateError(f"{given}: none of the kept rows that can be trained is of {what}")
        raise CurateError(
            f"{given}: {share:.4g} of {tokens:,} trained tokens are {share * tokens:,.0f} of "
            f"{what}, and the kept rows have {have:,} of them; at these shares they give {most:,} "
            f"trained tokens at most, as no row is read twice: lower {option('tokens')} to that"
        )

    def _sums(self, pool: Pool) -> tuple[int, int]:
        inside = self.has(pool)
        return int(pool.tokens[inside].sum()), int(pool.tokens[~inside].sum())


def mixtures(run: RunFolder, group: str, shares: Sequence[float]) -> list[Mixture]:
    """The mixtures of a run's kept rows for these shares of a group.

    What is mixed is what the run's own step `mix` mixes; without one a source is looked for first,
    then a category. Raises `CurateError` for a group that is not there.
    """
    rows = _rows_of(run, group, shares)
    return [Mixture(group, share, rows) for share in shares]


def _rows_of(run: RunFolder, group: str, shares: Sequence[float]) -> tuple[int, ...]:
    kept = run.kept.select("row", *_KINDS)
    known: list[str] = []
    for kind in _kinds(run):
        names = kept[kind].drop_nulls().unique().sort().to_list()
        if (name := _named(group, names)) is not None:
            return tuple(kept.filter(pl.col(kind) == name)["row"].to_list())
        known += [PurePath(name).name if kind == "source" else name for name in names]
    listed = ", ".join(printable_line(name, 60) for name in known[:_LISTED])
    more = f" and {len(known) - _LISTED:,} more" if len(known) > _LISTED else ""
    raise CurateError(
        f"{shares_of(group, *shares)}: no single {' or '.join(_kinds(run))} of the kept rows is "
        f"called {printable_line(group, 80)!r}; there is {listed or 'none'}{more}"
    )


def _named(group: str, names: Sequence[str]) -> str | None:
    """The one name that is meant, as the step `mix` takes it."""
    try:
        return names[next(iter(named({group: 0.0}, names, "shares")))]
    except CurateError:
        return None


def _kinds(run: RunFolder) -> Sequence[str]:
    """What the run's own step `mix` mixes, if it has one."""
    for step in run.manifest["steps"]:
        settings = step.get("settings", "")
        if settings.startswith("Mix("):
            try:
                of = ast.literal_eval(shown_settings(settings).get("of", "None"))
            except (SyntaxError, ValueError):
                continue
            if of in _KINDS:
                return (of,)
    return _KINDS


def share_of(rows: Sequence[int], group: Sequence[int], numbers: Ints, tokens: Ints) -> float:
    """The share of a group in the trained tokens of a set."""
    chosen = np.isin(numbers, np.array(rows, np.int64))
    inside = chosen & np.isin(numbers, np.array(group, np.int64))
    return float(tokens[inside].sum() / max(int(tokens[chosen].sum()), 1))
