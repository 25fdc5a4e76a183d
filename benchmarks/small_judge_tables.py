"""What is printed of a small judge: always beside length and the linear reward model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import small_judge_rows as rows
from small_judge_questions import (
    EVERY,
    OF_PAIRS,
    PAIRWISE,
    RUBRICS,
    Asked,
    Scores,
    Work,
    readings_of_orders,
    row_of,
    scores,
    top,
)

from curate.base.schema import with_text
from filters.common.stats import average_ranks, spearman
from filters.common.tasks import tasks
from filters.llm_judge.agreement import Estimate, wilson
from filters.llm_judge.pairwise import verdict
from filters.llm_judge.reading import MIN_MASS, Reading
from filters.llm_judge.rubric import load_rubric
from filters.reward import linear_fit
from filters.reward.accuracy import Pairs, Share, compare
from filters.reward.linear import LinearReward

RESAMPLES = 1_000
LEAST_TOGETHER = 20  # rows of task groups of two or more, for a correlation within them


def words(texts: list[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([len(text.split()) for text in texts], dtype=np.float64)


def auc(score: Any, good: Any) -> float:
    """How often a good row scores above another; a tie is a half."""
    difference = score[good][:, None] - score[~good][None, :]
    return float(np.heaviside(difference, 0.5).mean())


def precision(score: Any, good: Any) -> float:
    """Of as many rows with the best scores as there are good ones: the share that is good.

    Rows that tie at the last place count by chance.
    """
    count = int(good.sum())
    edge = np.sort(score)[-count]
    above, tied = score > edge, score == edge
    return float((good[above].sum() + good[tied].mean() * (count - above.sum())) / count)


def interval(
    measure: Callable[..., float], count: int, columns: tuple[Any, ...], seed: int = 0
) -> Share:
    """A measure of columns (n,) with its 95 % interval by resampling rows."""
    draw = np.random.default_rng(seed)
    found = []
    while len(found) < RESAMPLES:
        at = draw.integers(0, count, count)
        drawn = measure(*(column[at] for column in columns))
        if np.isfinite(drawn):  # a draw of one kind alone says nothing
            found.append(drawn)
    low, high = np.quantile(found, [0.025, 0.975]).tolist()
    return Share(measure(*columns), low, high)


def short(share: Share | Estimate | None) -> str:
    assert share is not None
    return f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f})"


def table(head: list[str], lines: list[list[str]]) -> None:
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for line in lines:
        print("| " + " | ".join(line) + " |")
    print()


def as_pairs(pairs: list[rows.Pair]) -> Pairs:
    columns = ([p.prompt for p in pairs], [p.chosen for p in pairs], [p.rejected for p in pairs])
    return Pairs(*(pl.Series(column, dtype=pl.String) for column in columns))


def linear(work: Work, *names: str) -> LinearReward:
    """The linear model of `curate reward fit`, from all pairs of some files."""
    return linear_fit.fit(as_pairs([pair for name in names for pair in work.to_fit[name]])).model


def print_marked(asked: Asked, work: Work, limit: int) -> None:
    """Rows that a judge of 2023 gave 4.5 or more, against others."""
    texts = [(row.prompt, row.answer) for row in work.marked][: 2 * limit]
    judged = {name: scores(asked, name, texts) for name in RUBRICS}
    count = min(len(found.score) for found in judged.values()) // 2 * 2
    texts, good = texts[:count], np.array([row.good for row in work.marked[:count]])
    prompts, answers = (pl.Series(side) for side in zip(*texts, strict=True))
    model = linear(work, "pandalm", "alpaca_eval")
    others = {
        "length": words([answer for _, answer in texts]),
        "linear model": model.score(prompts, answers, length_term=True),
    }
    columns = {name: found.score[:count] for name, found in judged.items()} | others
    print(f"Rows marked 4.5 or more against others: {count} rows, half of each\n")
    table(
        ["score", "AUC", "precision"],
        [
            [name, short(interval(auc, count, (score, good))),
             short(interval(precision, count, (score, good)))]
            for name, score in columns.items()
        ],
    )  # fmt: skip
    print_health(judged, texts, count)


def print_health(judged: dict[str, Scores], texts: list[tuple[str, str]], count: int) -> None:
    """Label mass, clumping, and what scores have to do with length, on the same rows."""
    length = np.log1p(words([answer for _, answer in texts]))
    group = task_groups(texts)
    lines = []
    for name, found in judged.items():
        score, mass = found.score[:count], found.mass[:count]
        rubric = load_rubric(name)
        step = np.round((score - rubric.low) / (rubric.high - rubric.low) * 40) / 40
        most = np.unique(step, return_counts=True)[1].max() / count
        low, high = np.quantile(score, [0.05, 0.95]).tolist()
        lines.append(
            [name, f"{np.median(mass):.3f}", f"{(mass < MIN_MASS).mean():.2f}",
             f"{low:.2f} to {high:.2f} of {rubric.low:g} to {rubric.high:g}", f"{most:.2f}",
             f"{spearman(score, length) or 0.0:+.2f}", within(score, length, group)]
        )  # fmt: skip
    head = ["rubric", "label mass, median", f"rows below {MIN_MASS:g}", "middle 90 % of scores"]
    head += ["on one value", "rank correlation with words", "within task groups"]
    print(f"Scores of the same {count} rows; one value is a fortieth of the scale\n")
    table(head, lines)


def task_groups(texts: list[tuple[str, str]]) -> Any:
    frame = pl.DataFrame({"messages": [row_of(*text)["messages"] for text in texts]})
    return tasks(with_text(frame))["task"].rank("dense").to_numpy().astype(np.int64)


def within(score: Any, length: Any, group: Any) -> str:
    """Correlation of ranks less their task group's mean, of the rows that are not alone in it."""
    together = np.bincount(group)[group] > 1
    if together.sum() < LEAST_TOGETHER:
        return "too few"
    group, sizes = group[together], np.maximum(np.bincount(group[together]), 1)
    left = []
    for side in (score, length):
        ranks = average_ranks(side[together])
        left.append(ranks - (np.bincount(group, ranks) / sizes)[group])
    return f"{np.corrcoef(*left)[0, 1]:+.2f} ({together.sum()} rows)"


FITTED_ON = {  # the linear model of each kind of pairs comes from the two others
    "pandalm": ("alpaca_eval", "sharegpt"),
    "alpaca_eval": ("pandalm", "sharegpt"),
    "sharegpt": ("pandalm", "alpaca_eval"),
}


def print_pairs(asked: Asked, work: Work, limit: int) -> None:
    """Which of two answers is better, by score and side by side."""
    lines, flips = [], []
    together: list[tuple[list[rows.Pair], dict[str, Any]]] = []
    for kind, drawn in work.pairs.items():
        drawn = drawn[: limit // EVERY[kind]]
        orders = readings_of_orders(asked, drawn)
        margins = margins_of(asked, drawn[: len(orders)])
        count = min(len(orders), *(len(margin) for margin in margins.values()))
        pairs, verdicts = drawn[:count], [verdict(*both) for both in orders[:count]]
        margins = {name: margin[:count] for name, margin in margins.items()}
        margins[PAIRWISE + ", mean of both orders"] = np.array([v.margin for v in verdicts])
        model = linear(work, *FITTED_ON[kind])
        margins["linear model"] = linear_fit.margins(model, as_pairs(pairs))
        lines += pair_lines(kind, pairs, margins)
        if kind == "pandalm":
            lines.append([kind, str(count), "one person, by two others", people(pairs), ""])
        flips.append(flip_line(kind, orders[:count], verdicts))
        together.append((pairs, margins))
    names = together[0][1]
    pooled = {name: np.concatenate([margins[name] for _, margins in together]) for name in names}
    lines += pair_lines("all", [pair for pairs, _ in together for pair in pairs], pooled)
    print("The better answer of two; a tie is a half\n")
    table(["pairs", "number", "picks", "right", "less longer wins"], lines)
    print(f"{PAIRWISE} in both orders\n")
    table(
        ["pairs", "number", "orders disagree", "A first", "wins in both", "of these right"], flips
    )


def margins_of(asked: Asked, pairs: list[rows.Pair]) -> dict[str, Any]:
    """By rubric: the score of the better answer less that of the other, of the pairs asked."""
    found = {}
    for name in OF_PAIRS:
        chosen = scores(asked, name, [(pair.prompt, pair.chosen) for pair in pairs]).score
        rejected = scores(asked, name, [(pair.prompt, pair.rejected) for pair in pairs]).score
        count = min(len(chosen), len(rejected))
        found[name] = chosen[:count] - rejected[:count]
    return found


def pair_lines(kind: str, pairs: list[rows.Pair], margins: dict[str, Any]) -> list[list[str]]:
    used, count = as_pairs(pairs), str(len(pairs))
    found = {name: compare(margin, used) for name, margin in margins.items()}
    lines = [[kind, count, name, short(one.model), short(one.gain)] for name, one in found.items()]
    longer = next(iter(found.values())).longer
    return [*lines, [kind, count, "longer wins", short(longer), ""]]


def flip_line(kind: str, orders: list[tuple[Reading, Reading]], verdicts: list[Any]) -> list[str]:
    shown_first = np.mean([(one.score or 0.0) > 0 for both in orders for one in both])
    decided = [v.winner for v in verdicts if v.winner != "tie"]
    right = f"{decided.count('a')} of {len(decided)}"
    flipped = np.mean([v.is_flipped for v in verdicts])
    wins = f"{len(decided) / len(verdicts):.2f}"
    return [kind, str(len(verdicts)), f"{flipped:.2f}", f"{shown_first:.2f}", wins, right]


def people(pairs: list[rows.Pair]) -> str:
    """How often a person is of the mind of the two others, where these agree; a tie is a half."""
    votes = np.array([pair.votes for pair in pairs])

    def agree(votes: Any) -> float:
        found = []
        for who in range(3):
            others = np.delete(votes, who, axis=1)
            same = (others[:, 0] == others[:, 1]) & (others[:, 0] != 0)
            found.append(np.heaviside(votes[same, who] * others[same, 0], 0.5))
        return float(np.concatenate(found).mean())

    return short(interval(agree, len(votes), (votes,)))


def print_planted(asked: Asked, work: Work, limit: int) -> None:
    """What answers score that ask for a grade, say nothing, or answer something else."""
    lines = []
    for name in RUBRICS:
        for kind, pairs in planted_scores(asked, work, limit, name).items():
            own, score = np.array(pairs).T
            above = wilson(int((score > own).sum()), len(pairs))
            lines.append(
                [name, kind, f"{own.mean():.2f}", f"{score.mean():.2f}",
                 f"{short(above)} of {len(pairs)}"]
            )  # fmt: skip
    print("Good answers, and what is planted in their place\n")
    table(["rubric", "planted", "mean of the originals", "mean planted", "above original"], lines)


def planted_scores(
    asked: Asked, work: Work, limit: int, name: str
) -> dict[str, list[tuple[float, float]]]:
    """Scores of originals and of what is planted, by kind, of the rows that were asked."""
    best = top(load_rubric(name))
    found: dict[str, list[tuple[float, float]]] = {}
    for at in range(limit // EVERY["planted"]):
        row, other = work.marked[2 * at : 2 * at + 2]
        made = rows.planted(row, other, best)
        texts = [(row.prompt, text) for text in (row.answer, *made.values())]
        scored = scores(asked, name, texts).score.tolist()
        if len(scored) < len(texts):
            break
        for kind, score in zip(made, scored[1:], strict=True):
            found.setdefault(kind, []).append((scored[0], score))
    return found
