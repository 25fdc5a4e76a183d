"""Mix sources or categories in given proportions, with a card that adds up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import polars as pl

from curate.base.contract import Filter, Findings, Judgement, verdicts
from curate.base.errors import CurateError
from curate.base.settings import setting
from filters.common.ranking import best_first, noise_of, score_column
from filters.common.stats import Bools, Floats, Ints
from filters.common.units import check_tokenizer, lengths, tokenizer_state
from filters.mix.shares import named, quotas
from filters.selection.budget import Allowance, spend

UNITS = ("rows", "words", "chars", "tokens")
NONE = "(none)"
_SHOWN = 8  # groups in the sentence; the card has all


class _Plan(NamedTuple):
    """`names` and, of each, rows, size after caps, quota and wanted share; `group` (n,) a row."""

    names: list[str]
    group: Ints
    cost: Ints
    quota: Ints
    wanted: Floats
    capped: Bools


@dataclass(frozen=True)
class Mix(Filter):
    """Keep of each source (or category) what its share of the mixture allows.

    A group of n rows has a share in proportion to n ** (1 / temperature): 1 keeps proportions,
    more evens them out (Raffel et al. 2020, arXiv 1910.10683); `cap` and `caps` limit n before
    that, `shares` sets a share outright and the other groups divide the rest. Without a budget
    the mixture is as large as its shares allow. No row is ever repeated, and a share that the
    rows do not allow is an error. Which rows of a group stay is drawn by id, or decided by `by`;
    the order of sources and rows changes nothing.
    """

    name: ClassVar[str] = "mix"
    reasons: ClassVar[Mapping[str, str]] = {
        "over_share": "its group has its share of the mixture without this row",
    }
    per_row: ClassVar[bool] = False
    measured_by: ClassVar[tuple[str, ...]] = ("unit", "tokenizer", "fingerprint")
    version: ClassVar[int] = 1

    of: Literal["source", "category"] = setting(
        "source", "what is mixed: files, or the categories of rows", choices=("source", "category")
    )
    unit: Literal["rows", "words", "chars", "tokens"] = setting(
        "rows", "what shares count: rows, or words, characters or tokens of response", choices=UNITS
    )
    tokenizer: str | None = setting(
        None, "tokenizer.json, or its folder, for unit tokens", path=True
    )
    budget: int | None = setting(None, "rows, or units, of the mixture; none: all that fits")
    temperature: float = setting(1.0, "1 keeps proportions, more evens them out")
    shares: Mapping[str, float] | None = setting(
        None, "share of named groups, 0 to 1, such as {lima.json: 0.2}; file name, stem or pattern"
    )
    cap: int | None = setting(None, "rows, or units, that any group has at most")
    caps: Mapping[str, int] | None = setting(None, "the same for named groups")
    by: str | None = setting(None, "column whose highest rows of a group stay; none: a draw")
    seed: int = setting(0, "of the draw")

    def __post_init__(self) -> None:
        if self.of not in ("source", "category"):
            raise CurateError(f"mix: of is {self.of!r}; expected source or category")
        if self.unit not in UNITS:
            raise CurateError(f"mix: unit is {self.unit!r}; expected {', '.join(UNITS)}")
        if not 0.0 < self.temperature < float("inf"):
            raise CurateError(f"mix: temperature is {self.temperature:g}; expected above 0")
        if self.seed < 0:
            raise CurateError(f"mix: seed is {self.seed}; expected 0 or more")
        limits = {"budget": self.budget, "cap": self.cap, **(self.caps or {})}
        for name, value in limits.items():
            if value is not None and value < 1:
                raise CurateError(f"mix: {name} is {value}; expected 1 or more {self.unit}")
        self._check_shares()
        check_tokenizer(self.name, "unit", self.unit, self.tokenizer)

    def _check_shares(self) -> None:
        given = self.shares or {}
        for name, share in given.items():
            if not 0.0 <= share <= 1.0:
                raise CurateError(f"mix: the share of {name} is {share:g}; expected 0 to 1")
        if sum(given.values()) > 1.0 + 1e-9:
            raise CurateError(f"mix: the shares add up to {sum(given.values()):g}, more than 1")

    @property
    def needs(self) -> tuple[str, ...]:
        """The measured column that decides which rows of a group stay."""
        return (self.by,) if self.by else ()

    @property
    def cached(self) -> bool:
        """Counting words costs no more than looking them up; tokens do."""
        return self.unit == "tokens"

    @property
    def fingerprint(self) -> tuple[int, int] | None:
        """Of the tokenizer's file."""
        return tokenizer_state(self.tokenizer)

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`length`: what each row counts (u32); 1 for rows."""
        if self.unit == "rows":
            return pl.DataFrame({"length": np.ones(records.height, dtype=np.uint32)})
        return lengths(records, self.unit, "response", self.tokenizer).to_frame()

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """See `Filter.judge`."""
        judged = self._verdicts(measures)
        return Judgement(judged, self._findings(measures, judged))

    def _verdicts(self, measures: pl.DataFrame) -> pl.DataFrame:
        if not measures.height:
            return verdicts([])
        plan = self._plan(measures)
        kept = np.zeros(measures.height, dtype=np.bool_)
        scores = score_column(measures, self.by) if self.by else np.zeros(measures.height)
        order = best_first(measures, scores, noise_of(measures["id"], self.seed, "mix"))
        for number, quota in enumerate(plan.quota.tolist()):  # one turn a group, not a row
            inside = plan.group == number
            none = np.zeros(len(kept), dtype=np.int64)
            kept |= spend(order[inside[order]].tolist(), Allowance(plan.cost, quota, none, inside))
        told = [
            f"{name} has {quota:,} {self.unit} of the mixture"
            for name, quota in zip(plan.names, plan.quota.tolist(), strict=True)
        ]
        frame = pl.DataFrame({"kept": kept, "group": plan.group})
        evidence = pl.col("group").replace_strict(dict(enumerate(told)), return_dtype=pl.String)
        judged = frame.select(
            reason=pl.when(~pl.col("kept")).then(pl.lit("over_share")),
            evidence=pl.when(~pl.col("kept")).then(evidence),
        )
        score = pl.Series(scores).fill_nan(None) if self.by else None
        return verdicts(kept, judged["reason"], score, evidence=judged["evidence"])

    def _findings(self, measures: pl.DataFrame, judged: pl.DataFrame) -> Findings:
        """The card: of each group what there was, what it should have and what it has."""
        if not measures.height:
            return Findings()
        plan, keep = self._plan(measures), judged["keep"].to_numpy()
        rows = np.bincount(plan.group, minlength=len(plan.names))
        kept = np.bincount(plan.group[keep], minlength=len(plan.names))
        before = np.bincount(plan.group, plan.cost, len(plan.names)).astype(np.int64)
        after = np.bincount(plan.group[keep], plan.cost[keep], len(plan.names)).astype(np.int64)
        total = int(after.sum())
        card = pl.DataFrame(
            {
                "group": plan.names,
                "rows": rows,
                "kept": kept,
                "size": before,
                "quota": plan.quota,
                "kept_size": after,
                "wanted_share": plan.wanted,
                "share": after / max(total, 1),
            }
        )
        self._check_sums(card, measures.height, int(keep.sum()))
        numbers: dict[str, Any] = {"unit": self.unit, "total": total, "groups": card.to_dicts()}
        return Findings(tuple(_sentences(card, self.unit, self.budget)), numbers, {"card": card})

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
        return _Plan(names, group, cost, quota, parts, capped < sizes)


def _sentences(card: pl.DataFrame, unit: str, budget: int | None) -> list[str]:
    total = int(card["kept_size"].sum())
    largest = card.with_columns(_short_names(card["group"])).sort("kept_size", descending=True)
    said = [
        f"{name} {kept:,} of {rows:,} ({100 * share:.1f} %)"
        for name, kept, rows, share in largest.select("group", "kept", "rows", "share").iter_rows()
    ]
    rest = f" and {len(said) - _SHOWN} more groups in the card" if len(said) > _SHOWN else ""
    found = [f"{total:,} {unit} in all, no row twice; rows: {', '.join(said[:_SHOWN])}{rest}"]
    short = largest.filter((pl.col("wanted_share") - pl.col("share")) > 0.005)
    told = [
        f"{name} ({100 * share:.1f} %, not {100 * wanted:.1f} %)"
        for name, wanted, share in short.select("group", "wanted_share", "share").iter_rows()
    ]
    if told:
        found.append(f"all rows are taken, yet the share is not reached: {', '.join(told)}")
    if budget is not None and total < budget and unit == "rows":
        found.append(f"{total:,} rows are all there are; the budget is {budget:,}")
    return found


def _short_names(names: pl.Series) -> pl.Series:
    """File names without their folders, where these tell the groups apart."""
    short = names.str.split("/").list.last()
    return short if short.n_unique() == len(short) else names
