"""Mix sources or categories in given proportions, with a card that adds up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import polars as pl

from curate.base.contract import Findings, Judgement, verdicts
from curate.base.errors import CurateError
from curate.base.settings import setting
from filters.common.arrays import Bools, Floats, Ints
from filters.common.budget import Allowance, spend
from filters.common.ranking import best_first, noise_of, score_column
from filters.common.units import CountsTokens, lengths
from filters.mix.shares import named, quotas

NONE = "(none)"
_SHOWN = 8  # groups in the sentence; the card has all
LARGEST = 20  # groups among the numbers


class _Plan(NamedTuple):
    """Names, quotas and wanted shares of the groups (groups,); group and cost of the rows (n,)."""

    names: list[str]
    quota: Ints
    wanted: Floats
    group: Ints
    cost: Ints


@dataclass(frozen=True)
class Mix(CountsTokens):
    """Keep of each source (or category) what its share of the mixture allows.

    A group of n rows has a share in proportion to n ** (1 / temperature): 1 keeps proportions,
    more evens them out (Raffel et al. 2020, arXiv 1910.10683); `cap` and `caps` limit n before
    that, `shares` sets a share outright and the other groups divide the rest. Without a budget
    the mixture is as large as its shares allow. No row is ever repeated, and a share that the
    rows do not allow is an error. Which rows of a group are kept is drawn by id, or decided by
    `by`; the order of sources and rows changes nothing.
    """

    name: ClassVar[str] = "mix"
    reasons: ClassVar[Mapping[str, str]] = {
        "over_share": "its group has its share of the mixture without this row",
    }
    measured_by: ClassVar[tuple[str, ...]] = ("unit", "tokenizer", "fingerprint")
    version: ClassVar[int] = 2

    of: Literal["source", "category"] = setting(
        "source", "what is mixed: files, or the categories of rows"
    )
    unit: Literal["rows", "words", "chars", "tokens"] = setting(
        "rows",
        "what shares count: rows, or words, characters or tokens of response (with the end token of"
        " each assistant turn)",
    )
    tokenizer: str | None = setting(
        None, "tokenizer.json, or its folder, for unit tokens", path=True
    )
    budget: int | None = setting(None, "rows, or units, of the mixture; none: all that fits", low=1)
    temperature: float = setting(1.0, "1 keeps proportions, more evens them out", above=0)
    shares: Mapping[str, float] | None = setting(
        None, "share of named groups, 0 to 1, such as {lima.json: 0.2}; file name, stem or pattern"
    )
    cap: int | None = setting(None, "rows, or units, that any group has at most", low=1)
    caps: Mapping[str, int] | None = setting(None, "the same for named groups")
    by: str | None = setting(None, "column whose highest rows of a group are kept; none: a draw")
    seed: int = setting(0, "of the draw", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (self.caps or {}).items():
            if most < 1:
                raise CurateError(f"mix: caps: {name} is {most}; expected a number of at least 1")
        given = self.shares or {}
        for name, share in given.items():
            if not 0.0 <= share <= 1.0:
                raise CurateError(
                    f"mix: shares: {name} is {share:g}; expected a number of at least 0 and at"
                    " most 1"
                )
        if sum(given.values()) > 1.0 + 1e-9:
            raise CurateError(f"mix: shares add up to {sum(given.values()):g}; expected at most 1")

    @property
    def reads(self) -> tuple[str, ...]:
        """The answers, where they are counted."""
        return ("row",) if self.unit == "rows" else ("messages", "response")

    @property
    def needs(self) -> tuple[str, ...]:
        """The measured column that decides which rows of a group are kept."""
        return (self.by,) if self.by else ()

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`length`: what each row counts (u32); for rows 1 (u8)."""
        if self.unit == "rows":
            return pl.DataFrame({"length": np.ones(records.height, dtype=np.uint8)})
        return lengths(records, self.unit, "response", self.tokenizer).to_frame()

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """Which rows fit into their group's quota, and the card that adds up."""
        if not measures.height:
            return Judgement.of([])
        plan = self._plan(measures)
        scores = score_column(measures, self.by) if self.by else np.zeros(measures.height)
        order = best_first(measures, scores, noise_of(measures["id"], self.seed, "mix"))
        kept = _taken(plan, order)
        score = pl.Series(scores).fill_nan(None) if self.by else None
        return Judgement(self._verdicts(plan, kept, score), self._findings(plan, kept))

    def _verdicts(self, plan: _Plan, kept: Bools, score: pl.Series | None) -> pl.DataFrame:
        quota_of = pl.Series(
            f"{name} has {quota:,} {self.unit} of the mixture"
            for name, quota in zip(plan.names, plan.quota.tolist(), strict=True)
        )
        judged = pl.DataFrame({"kept": kept, "quota": quota_of.gather(plan.group)})
        evidence = judged.select(pl.when(~pl.col("kept")).then("quota")).to_series()
        return verdicts(kept, "over_share", score, evidence=evidence)

    def _findings(self, plan: _Plan, keep: Bools) -> Findings:
        """The card: of each group what there was, what it should have and what it has.

        The numbers have the `LARGEST` groups, by name; the table has all.
        """
        groups = len(plan.names)
        after = np.bincount(plan.group[keep], plan.cost[keep], groups).astype(np.int64)
        total = int(after.sum())
        card = pl.DataFrame(
            {
                "group": plan.names,
                "rows": np.bincount(plan.group, minlength=groups),
                "kept": np.bincount(plan.group[keep], minlength=groups),
                "size": np.bincount(plan.group, plan.cost, groups).astype(np.int64),
                "quota": plan.quota,
                "kept_size": after,
                "wanted_share": plan.wanted,
                "share": after / max(total, 1),
            }
        )
        self._check_sums(card, len(keep), int(keep.sum()))
        # There can be as many categories as rows.
        largest = card.sort("kept_size", "group", descending=[True, False]).head(LARGEST)
        numbers: dict[str, Any] = {
            "unit": self.unit,
            "total": total,
            "groups_in_card": card.height,
            "groups": largest.sort("group").to_dicts(),
        }
        sentences = (*_sentences(card, self.unit, self.budget), *self.counted)
        return Findings(sentences, numbers, {"card": card})

    def _check_sums(self, card: pl.DataFrame, rows: int, kept: int) -> None:
        assert int(card["rows"].sum()) == rows, "the card's rows do not add up"
        assert int(card["kept"].sum()) == kept, "the card's kept rows do not add up"
        assert bool((card["kept_size"] <= card["quota"]).all()), "a group has more than its quota"
        if self.unit == "rows":
            assert card["kept"].equals(card["kept_size"]), "rows are counted in two ways"

    def _plan(self, measures: pl.DataFrame) -> _Plan:
        column = measures[f"record.{self.of}"].fill_null(NONE)
        names = column.unique().sort().to_list()
        group = (column.rank("dense") - 1).cast(pl.Int64).to_numpy()
        cost = measures["length"].cast(pl.Int64).to_numpy()
        sizes = np.bincount(group, cost, len(names)).astype(np.int64)
        limit = np.full(len(names), np.iinfo(np.int64).max if self.cap is None else self.cap)
        for number, cap in named(self.caps or {}, names, "caps").items():
            limit[number] = int(cap)
        wanted = named(self.shares or {}, names, "shares")
        capped = np.minimum(sizes, limit)
        quota, parts = quotas(capped, names, wanted, self.temperature, self.budget, self.unit)
        return _Plan(names, quota, parts, group, cost)


def _taken(plan: _Plan, order: Ints) -> Bools:
    """Which rows (n,) fit into the quota of their group, in this order."""
    kept = np.zeros(len(order), dtype=np.bool_)
    strata = np.zeros(len(order), dtype=np.int64)
    for number, quota in enumerate(plan.quota.tolist()):  # one turn a group, not a row
        inside = plan.group == number
        kept |= spend(order[inside[order]].tolist(), Allowance(plan.cost, quota, strata, inside))
    return kept


def _sentences(card: pl.DataFrame, unit: str, budget: int | None) -> list[str]:
    total = int(card["kept_size"].sum())
    largest = card.with_columns(_short_names(card["group"])).sort("kept_size", descending=True)
    sizes = [
        f"{name} {kept:,} of {rows:,} ({100 * share:.1f} %)"
        for name, kept, rows, share in largest.select("group", "kept", "rows", "share").iter_rows()
    ]
    rest = f" and {len(sizes) - _SHOWN} more groups in the card" if len(sizes) > _SHOWN else ""
    sentences = [f"{total:,} {unit} in all, no row twice; rows: {', '.join(sizes[:_SHOWN])}{rest}"]
    short = largest.filter((pl.col("wanted_share") - pl.col("share")) > 0.005)
    missed = [
        f"{name} ({100 * share:.1f} %, not {100 * wanted:.1f} %)"
        for name, wanted, share in short.select("group", "wanted_share", "share").iter_rows()
    ]
    if missed:
        sentences.append(
            f"these groups do not reach their share although all their rows are taken:"
            f" {', '.join(missed)}"
        )
    if budget is not None and total < budget and unit == "rows":
        sentences.append(f"the budget is {budget:,} rows, and there are only {total:,}")
    return sentences


def _short_names(names: pl.Series) -> pl.Series:
    """File names without their folders, where these tell the groups apart."""
    short = names.str.split("/").list.last()
    return short if short.n_unique() == len(short) else names
