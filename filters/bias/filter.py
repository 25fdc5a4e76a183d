"""What answers have in common too often, whatever is asked: openings, agreement, labels.

A model learns the commonest opening, the commonest label and the habit of agreeing before it
learns anything else. Llama 3 balanced over-used phrases ("I'm sorry", "I apologize") instead of
deleting them (2407.21783, 4.2), so `cap` lowers their share and keeps the best rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, get_args

import numpy as np
import polars as pl

from curate.base.contract import Filter, Findings, Judgement
from curate.base.errors import CurateError, nearest
from curate.base.settings import setting
from filters.bias.findings import count, has, worded
from filters.bias.labels import fixed_label_tasks, label_columns, label_texts
from filters.bias.phrases import HABITS, TRAITS, openers, phrase_columns
from filters.common.arrays import Bools, Ints
from filters.common.codes import text_codes
from filters.common.conditional import check_read
from filters.common.ranking import best_first, noise_of, places, score_column

Trait = Literal["opener", "agreement", "apology", "stock_phrase", "closing_offer", "label"]
# What their evidence shows stands in the row's text.
_QUOTING = ("over_opener", "over_label")


@dataclass(frozen=True)
class Bias(Filter):
    """Report what answers have in common beyond their tasks; `cap` lowers the largest shares.

    `cap` takes away rows of a trait until it is at most `max_share` of the rows: lowest score
    first, equal scores in a seeded order. Labels are capped within each task. Of several answers
    in one conversation the first opens and the last closes.
    """

    name: ClassVar[str] = "bias"
    reasons: ClassVar[Mapping[str, str]] = {
        "over_opener": "Too many answers begin with these words.",
        "over_agreement": "Too many answers begin by agreeing or praising the question.",
        "over_apology": "Too many answers apologise.",
        "over_stock_phrase": "Too many answers have this stock phrase.",
        "over_closing_offer": "Too many answers end by offering more help.",
        "over_label": "Too many rows of this task have this label.",
    }
    reads: ClassVar[tuple[str, ...]] = ("prompt", "response", "category")
    version: ClassVar[int] = 2
    measured_by: ClassVar[tuple[str, ...]] = ("opener_words",)

    action: Literal["report", "cap"] = setting(
        "report", "report only, or drop what is over-represented"
    )
    max_share: float = setting(
        0.1,
        "cap: greatest share of rows, 0 to 1, for one opener, phrase or habit",
        above=0,
        below=1,
    )
    max_label_ratio: float = setting(
        1.5, "cap: rows of one label for each row of an even split over its task's labels", low=1
    )
    traits: tuple[Trait, ...] = setting(get_args(Trait), "cap: what is capped")
    max_drop: float = setting(
        0.5,
        "cap: share of rows that may be dropped; a cap that needs more is reported, not applied",
        above=0,
        high=1,
        only=("cap",),
    )
    opener_words: int = setting(3, "words at the start of an answer that are its opener", low=1)
    min_task_rows: int = setting(
        50, "rows that a task needs before its labels are looked at", low=20
    )
    by: str = setting(
        "record.score", "cap: column whose lowest rows are dropped first", only=("cap",)
    )
    seed: int = setting(0, "cap: seed of the order among rows of equal score", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_read(self, self.name, "action")

    @property
    def needs(self) -> tuple[str, ...]:
        """The measure that ranks the rows to cap."""
        return (self.by,) if self.action == "cap" else ()

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """Opener, habits and style of the answers; task, label and words of short answers.

        `opener`, `task`, `label` and the list `words` are codes of texts (u64).
        """
        opener = text_codes(openers(records, self.opener_words)).alias("opener")
        return pl.DataFrame([opener, *phrase_columns(records), *label_columns(records)])

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """Keep all rows, or drop those beyond the shares; rates of habits and labels of the set."""
        height = measures.height
        if not height:
            return Judgement.of([], findings=Findings(("no rows, so no habits",), {"rows": 0}))
        if self.action == "report":
            counted = count(measures, self.min_task_rows, ())
            return Judgement.of([True] * height, **counted._asdict())
        kept, drops, given_up = self._capped(measures)
        dropped = [drops.get(at, _KEPT) for at in range(height)]
        return Judgement.of(
            pl.Series(kept),
            [drop.reason for drop in dropped],
            [drop.share for drop in dropped],
            evidence=[drop.evidence for drop in dropped],
            from_text=[drop.reason in _QUOTING for drop in dropped],
            **count(measures, self.min_task_rows, given_up)._asdict(),
        )

    def evidence(
        self, records: pl.DataFrame, measures: pl.DataFrame, verdicts: pl.DataFrame
    ) -> pl.Series:
        """The opener, or the label and its task, before the shares that `judge` gave."""
        labels = label_texts(records)
        # A loop over dropped rows: each shows a text of its own.
        lines = zip(
            verdicts["reason"],
            openers(records, self.opener_words),
            labels["label"],
            labels["task"],
            verdicts["evidence"],
            strict=True,
        )
        shown = [
            (repr(opener) if reason == "over_opener" else _label(label, task, shares)) + shares
            for reason, opener, label, task, shares in lines
        ]
        return pl.Series(shown, dtype=pl.String)

    def quote(self, findings: Findings, records: pl.DataFrame, measures: pl.DataFrame) -> Findings:
        """The findings with the openers, tasks, labels and words of these rows."""
        sources = measures["record.source"]
        return worded(findings, records, sources, self.opener_words, self.max_drop)

    def _capped(self, measures: pl.DataFrame) -> tuple[Bools, dict[int, _Drop], tuple[str, ...]]:
        """Which rows (n,) are kept, why each of the others is not, and reasons not applied."""
        height = measures.height
        groups = self._groups(measures)
        place = self._order(measures)
        kept = np.ones(height, bool)
        drops: dict[int, _Drop] = {}
        given_up: list[str] = []
        # Rows dropped for one reason raise the shares of the others, so all are looked at again
        # until none is above its cap; each round drops a row, or is the last.
        changed = True
        while changed:
            changed = False
            for slug in (slug for slug in groups if slug not in given_up):
                surplus = _over_share(groups[slug], kept, place)
                if (~kept).sum() + len(surplus) > self.max_drop * height:
                    given_up.append(slug)
                    continue
                changed |= bool(surplus)
                kept[list(surplus)] = False
                for at, (what, share, most) in surplus.items():
                    drops[at] = _Drop(slug, f"{what}: {share:.1%}, at most {most:.1%}", share)
        return kept, drops, tuple(given_up)

    def _groups(self, measures: pl.DataFrame) -> dict[str, list[_Group]]:
        """Of each reason the groups of rows that could be above a cap."""
        groups: dict[str, list[_Group]] = {}
        index = measures.with_row_index("at")
        least = self.max_share * (1 - self.max_drop) * measures.height
        everyone = np.arange(measures.height)
        for trait in (trait for trait in ("opener", *TRAITS) if trait in self.traits):
            held = index.filter(has(trait))
            # Agreeing and apologising are habits, whatever the words; phrases count one by one.
            what = pl.lit(trait) if trait in HABITS else pl.col(trait)
            parts = held.group_by(what=what).agg("at").sort("what")
            groups[f"over_{trait}"] = [
                _Group(
                    "" if trait == "opener" else repr(what), np.array(at), everyone, self.max_share
                )
                for what, at in parts.filter(pl.col("at").list.len() > least).iter_rows()
            ]
        if "label" in self.traits:
            groups["over_label"] = self._label_groups(index)
        return groups

    def _label_groups(self, index: pl.DataFrame) -> list[_Group]:
        tasks = fixed_label_tasks(index, self.min_task_rows)
        parts = tasks.group_by("task", "label").agg("at").sort("task", "label")
        sources = index["record.source"].unique()
        of_file = dict(zip(text_codes(sources), sources, strict=True))
        groups: list[_Group] = []
        for (task,), labels in parts.group_by("task", maintain_order=True):
            whole = np.sort(np.concatenate([np.array(at) for at in labels["at"]]))
            most = min(1.0, self.max_label_ratio / labels.height)
            # The name of a task that is a file stands in no text of its rows.
            what = f" of {of_file[task][:40]!r}" if task in of_file else ""
            groups += [_Group(what, np.array(at), whole, most) for at in labels["at"]]
        return groups

    def _order(self, measures: pl.DataFrame) -> Ints:
        """Each row's rank from the best, 0, to the one to drop first; unscored rows are last."""
        if self.by not in measures.columns:
            raise CurateError(
                f"bias: by is {self.by!r}, which no earlier step measured"
                f"{nearest(self.by, measures.columns)}"
            )
        scores = score_column(measures, self.by)
        return places(best_first(measures, scores, noise_of(measures["id"], self.seed)))


class _Group(NamedTuple):
    """Rows that share something, the rows they are a share of, and their greatest share.

    `what` is as much of its name as does not stand in the text of its rows.
    """

    what: str
    rows: Ints
    whole: Ints
    most: float


class _Drop(NamedTuple):
    """Why a row is dropped, and the share that was too large."""

    reason: str | None
    evidence: str | None
    share: float | None


_KEPT = _Drop(None, None, None)


def _over_share(
    groups: list[_Group], kept: Bools, place: Ints
) -> dict[int, tuple[str, float, float]]:
    """The rows to drop until no group is above its share: position, group, share, cap."""
    left = kept.copy()
    surplus: dict[int, tuple[str, float, float]] = {}
    changed = True
    while changed:
        changed = False
        for group in groups:
            held = group.rows[left[group.rows]]
            over = _surplus(len(held), int(left[group.whole].sum()), group.most)
            if not over:
                continue
            changed = True
            worst = held[np.argsort(-place[held])[:over]]
            left[worst] = False
            share = len(group.rows) / len(group.whole)
            surplus |= dict.fromkeys(worst.tolist(), (group.what, share, group.most))
    return surplus


def _surplus(count: int, whole: int, share: float) -> int:
    """How many of `count` rows to drop so that the rest are at most `share` of what is kept."""
    if share >= 1 or count <= share * whole + 1e-9:
        return 0
    # One group alone cannot be a smaller share of itself; then nothing is left of it.
    return min(count, int(np.ceil((count - share * whole) / (1 - share) - 1e-9)))


def _label(label: str, task: str, shares: str) -> str:
    """The label and its task, unless what `judge` gave names the task already."""
    return repr(label) if shares.startswith(" of ") else f"{label!r} of {task[:40]!r}"
