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
from filters.bias.labels import fixed_label_tasks, label_columns, word_scores
from filters.bias.phrases import TRAITS, phrase_columns
from filters.common.arrays import Bools, Ints
from filters.common.conditional import check_read
from filters.common.ranking import best_first, noise_of, places, score_column

Trait = Literal["opener", "agreement", "apology", "stock_phrase", "closing_offer", "label"]
_HABITS = ("agreement", "apology", "closing_offer")


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
        """Opener, habits and style of the answers; task, label and words of short answers."""
        return pl.DataFrame([*phrase_columns(records, self.opener_words), *label_columns(records)])

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """Keep all rows, or drop those beyond the shares; rates of habits and labels of the set."""
        height = measures.height
        if not height:
            return Judgement.of([], findings=Findings(("no rows, so no habits",), {"rows": 0}))
        if self.action == "report":
            return Judgement.of([True] * height, findings=self._findings(measures, ()))
        kept, drops, given_up = self._capped(measures)
        dropped = [drops.get(at, _KEPT) for at in range(height)]
        return Judgement.of(
            pl.Series(kept),
            [drop.reason for drop in dropped],
            [drop.share for drop in dropped],
            evidence=[drop.evidence for drop in dropped],
            findings=self._findings(measures, given_up),
        )

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
            held = index.filter(pl.col(trait).is_not_null())
            # Agreeing and apologising are habits, whatever the words; phrases count one by one.
            what = pl.lit(trait) if trait in _HABITS else pl.col(trait)
            parts = held.group_by(what=what).agg("at").sort("what")
            groups[f"over_{trait}"] = [
                _Group(repr(what), np.array(at), everyone, self.max_share)
                for what, at in parts.filter(pl.col("at").list.len() > least).iter_rows()
            ]
        if "label" in self.traits:
            groups["over_label"] = self._label_groups(index)
        return groups

    def _label_groups(self, index: pl.DataFrame) -> list[_Group]:
        tasks = fixed_label_tasks(index, self.min_task_rows)
        parts = tasks.group_by("task", "label").agg("at").sort("task", "label")
        groups: list[_Group] = []
        for (task,), labels in parts.group_by("task", maintain_order=True):
            whole = np.sort(np.concatenate([np.array(at) for at in labels["at"]]))
            most = min(1.0, self.max_label_ratio / labels.height)
            groups += [
                _Group(f"{label!r} of {str(task)[:40]!r}", np.array(at), whole, most)
                for label, at in labels.select("label", "at").iter_rows()
            ]
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

    def _findings(self, measures: pl.DataFrame, given_up: tuple[str, ...]) -> Findings:
        """Rates of habits, commonest openers, label priors and the words that give labels away."""
        rows = measures.height
        rates = {trait: _held(measures, trait) for trait in TRAITS}
        openers = _top(measures["opener"])
        stance = {
            "asserts": _held(measures.filter("asserts"), "agreement"),
            "asks": _held(measures.filter(~pl.col("asserts")), "agreement"),
        }
        style = {
            name: int(measures[name].sum()) / rows for name in ("exclamations", "emoji", "has_list")
        }
        tasks = fixed_label_tasks(measures.with_row_index("at"), self.min_task_rows)
        priors, words = word_scores(tasks)
        sentences = [f"{rates[trait]:.2%} of the answers {what}" for trait, what in TRAITS.items()]
        if openers:
            text, count = openers[0]
            sentences.append(f"the commonest opener, {text!r}, has {count / rows:.2%} of the rows")
        if measures["asserts"].any():
            sentences.append(
                f"of the answers to prompts that assert something {stance['asserts']:.2%} open by"
                f" agreeing, of the others {stance['asks']:.2%}"
            )
        sentences += _label_sentences(priors, words)
        sentences += [
            f"{slug} is not applied: its cap would drop more than {self.max_drop:.0%} of the rows"
            for slug in given_up
        ]
        numbers = {
            "rows": rows,
            "rates": rates,
            "agreement_by_stance": stance,
            "style_per_answer": style,
            "openers": [{"opener": text, "rows": count} for text, count in openers],
            "stock_phrases": [
                {"phrase": text, "rows": count} for text, count in _top(measures["stock_phrase"])
            ],
            "labels": priors.to_dicts(),
            "given_up": list(given_up),
        }
        return Findings(tuple(sentences), numbers, {"label_words": words} if words.height else {})


class _Group(NamedTuple):
    """Rows that share something, the rows they are a share of, and their greatest share."""

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


def _held(measures: pl.DataFrame, trait: str) -> float:
    """Share of the rows that have the trait; 0 of no rows."""
    return int(measures[trait].is_not_null().sum()) / max(1, measures.height)


def _top(values: pl.Series, most: int = 10) -> list[tuple[str, int]]:
    counts = (
        values.drop_nulls().value_counts().sort(["count", values.name], descending=[True, False])
    )
    return [(str(text), int(count)) for text, count in counts.head(most).iter_rows()]


def _label_sentences(priors: pl.DataFrame, words: pl.DataFrame) -> list[str]:
    sentences = [
        f"the task {row['task'][:60]!r} has {row['rows']:,} rows and {row['labels']} labels;"
        f" {row['top']!r} is {row['share']:.0%} of them"
        f" (entropy {row['entropy']:.2f} of {row['most']:.2f} bits)"
        for row in priors.head(5).iter_rows(named=True)
    ]
    return sentences + [
        f"in {row['task'][:40]!r} the word {row['word']!r} alone predicts {row['label']!r} in"
        f" {row['share']:.0%} of its rows (z = {row['z']:.1f})"
        for row in words.head(3).iter_rows(named=True)
    ]
