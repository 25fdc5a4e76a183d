"""What a small local judge is worth, beside length and the linear reward model, on the same rows.

    python benchmarks/small_judge.py [DATA] --work FOLDER [--minutes 15] [--rows 100]

SmolLM2-135M-Instruct scores rows by the probabilities of labels, with four bundled rubrics. It asks
for so many minutes, a round of all kinds of rows at a time; answers are kept in FOLDER, and a later
call goes on from there (--minutes 0 prints what is there). Every table says how many rows it is
from. The model is fetched by pip once. Rows are those of at most 1,200 characters.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parent))

import small_judge_rows as rows
from small_model import small_model

from curate.base.schema import with_text
from filters.common.stats import spearman
from filters.common.tasks import tasks
from filters.llm_judge.local import LocalModel
from filters.llm_judge.pairwise import pair_questions, verdict
from filters.llm_judge.question import Answer, Question
from filters.llm_judge.reading import MIN_MASS, Reading
from filters.llm_judge.rubric import Rubric, load_rubric
from filters.reward import linear_fit
from filters.reward.accuracy import Pairs, Share, compare
from filters.reward.linear import LinearReward

RUBRICS = ("careful", "alpagasus", "ask_llm", "deita_quality")
OF_PAIRS = ("careful", "alpagasus")  # of which both answers of a pair are scored
PAIRWISE = "mt_bench_pair"
RESAMPLES = 1_000
PROCESSES = 2

# In a round of questions: how many rows of a kind, each time that many rounds have passed.
EVERY = {"marked": 1, "pandalm": 1, "alpaca_eval": 2, "sharegpt": 4, "planted": 4}


def row_of(prompt: str, answer: str) -> dict[str, Any]:
    """A row as rubrics read it."""
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return {"messages": turns, "tools": None}


@dataclass
class Asked:
    """Answers by question; what is not there yet is noted, in order."""

    identity: str
    folder: Path
    known: dict[str, Answer] = field(default_factory=dict)

    def load(self) -> None:
        for file in sorted(self.folder.glob("answers-*.jsonl")):
            for line in file.read_text("utf-8").splitlines():
                key, probabilities, tokens = json.loads(line)
                self.known[key] = Answer(probabilities=tuple(probabilities), tokens_in=tokens)

    def get(self, question: Question) -> Answer | None:
        return self.known.get(question.key(self.identity).hex())


class Work(NamedTuple):
    """All rows, by kind."""

    marked: list[rows.Row]
    pairs: dict[str, list[rows.Pair]]


def scored(rubric: Rubric, prompt: str, answer: str) -> Question:
    [question] = rubric.questions(row_of(prompt, answer), "probabilities")
    return question


def both_orders(rubric: Rubric, pair: rows.Pair) -> tuple[Question, Question]:
    prompt = {"messages": [{"role": "user", "content": pair.prompt}], "tools": None}
    return pair_questions(rubric, prompt, pair.chosen, pair.rejected, "probabilities")


def top(rubric: Rubric) -> str:
    labels = rubric.matter.labels
    return max(labels, key=lambda label: labels[label])


def questions(work: Work, rounds: int) -> Iterator[Question]:
    """Everything that is asked, in the order in which it is."""
    rubrics = {name: load_rubric(name) for name in (*RUBRICS, PAIRWISE)}
    for turn in range(rounds):
        at = {kind: turn // every for kind, every in EVERY.items() if turn % every == 0}
        for row in work.marked[2 * turn : 2 * turn + 2]:
            yield from (scored(rubrics[name], row.prompt, row.answer) for name in RUBRICS)
        for kind, pairs in work.pairs.items():
            for pair in pairs[at[kind] : at[kind] + 1] if kind in at else ():
                for name in OF_PAIRS:
                    yield scored(rubrics[name], pair.prompt, pair.chosen)
                    yield scored(rubrics[name], pair.prompt, pair.rejected)
                yield from both_orders(rubrics[PAIRWISE], pair)
        if "planted" in at:
            row, other = work.marked[2 * at["planted"] : 2 * at["planted"] + 2]
            for name in RUBRICS:
                for text in rows.planted(row, other, top(rubrics[name])).values():
                    yield scored(rubrics[name], row.prompt, text)


def ask(part: tuple[int, str, str, list[Question], float]) -> tuple[float, int]:
    """Answer some questions until the time is up; processor seconds, and tokens read."""
    number, model, folder, asked, until = part
    import torch

    torch.set_num_threads(1)
    judge = LocalModel(model)
    file = Path(folder) / f"answers-{number}.jsonl"
    tokens = 0
    started = time.process_time()
    with file.open("a", encoding="utf-8") as out:
        for at, answer in judge.ask(enumerate(asked)):
            if answer.problem:
                raise SystemExit(f"{answer.problem}: {asked[at].user[:200]}")
            key = asked[at].key(judge.identity).hex()
            out.write(json.dumps([key, answer.probabilities, answer.tokens_in]) + "\n")
            out.flush()
            tokens += answer.tokens_in
            if time.time() > until:
                break
    return time.process_time() - started, tokens


def ask_all(asked: Asked, model: Path, wanted: Iterator[Question], minutes: float) -> None:
    """Ask what is not known, for some minutes, in two processes."""
    new = {question.key(asked.identity): question for question in wanted}
    missing = [question for key, question in new.items() if key.hex() not in asked.known]
    until = time.time() + 60 * minutes
    parts = [
        (number, str(model), str(asked.folder), missing[number::PROCESSES], until)
        for number in range(PROCESSES)
    ]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        took = pool.map(ask, parts, chunksize=1)
    seconds, tokens = (sum(column) for column in zip(*took, strict=True))
    print(f"{tokens:,} tokens read, {tokens / seconds:.0f} a second of one core\n")
    asked.load()


class Scores(NamedTuple):
    """Of some texts: scores (n,) and label masses (n,)."""

    score: np.ndarray[Any, np.dtype[np.float64]]
    mass: np.ndarray[Any, np.dtype[np.float64]]


def reading(asked: Asked, rubric: Rubric, question: Question) -> Reading | None:
    answer = asked.get(question)
    if answer is None:
        return None
    return rubric.read(question, answer, "probabilities", rubric.aspects[0], min_mass=0.0)


def scores(asked: Asked, name: str, texts: list[tuple[str, str]]) -> Scores:
    """Of the first texts, up to one that was not asked."""
    rubric = load_rubric(name)
    found = []
    for prompt, answer in texts:
        one = reading(asked, rubric, scored(rubric, prompt, answer))
        if one is None or one.score is None or one.mass is None:
            break
        found.append((one.score, one.mass))
    both = np.array(found, dtype=np.float64).reshape(-1, 2)
    return Scores(both[:, 0], both[:, 1])


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


def short(share: Share) -> str:
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
    return linear_fit.fit(as_pairs([pair for name in names for pair in work.pairs[name]])).model


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
             f"{spearman(score, length) or 0.0:+.2f}", f"{within(score, length, group):+.2f}"]
        )  # fmt: skip
    head = ["rubric", "label mass, median", f"rows below {MIN_MASS:g}", "middle 90 % of scores"]
    head += ["on one value", "rank correlation with words", "within task groups"]
    print(f"Scores of the same {count} rows; one value is a fortieth of the scale\n")
    table(head, lines)


def task_groups(texts: list[tuple[str, str]]) -> Any:
    frame = pl.DataFrame({"messages": [row_of(*text)["messages"] for text in texts]})
    return tasks(with_text(frame))["task"].rank("dense").to_numpy()


def within(score: Any, length: Any, group: Any) -> float:
    """Correlation of what is left of ranks after the group's mean is taken off."""
    ranks = [np.argsort(np.argsort(side)).astype(np.float64) for side in (score, length)]
    sizes = np.bincount(group)
    left = [rank - (np.bincount(group, rank) / np.maximum(sizes, 1))[group] for rank in ranks]
    return float(np.corrcoef(*left)[0, 1])


def print_pairs(asked: Asked, work: Work, limit: int) -> None:
    """Which of two answers is better, by score and side by side."""
    fitted_on = {
        "pandalm": ("alpaca_eval", "sharegpt"),
        "alpaca_eval": ("pandalm", "sharegpt"),
        "sharegpt": ("pandalm", "alpaca_eval"),
    }
    lines, flips = [], []
    for kind, pairs in work.pairs.items():
        pairs = pairs[: limit // EVERY[kind]]
        sides = {
            name: [scores(asked, name, [(p.prompt, getattr(p, side)) for p in pairs]).score
                   for side in ("chosen", "rejected")]
            for name in OF_PAIRS
        }  # fmt: skip
        orders = readings_of_orders(asked, pairs)
        count = min(len(orders), *(len(side) for both in sides.values() for side in both))
        used = as_pairs(pairs[:count])
        margins = {name: both[0][:count] - both[1][:count] for name, both in sides.items()}
        verdicts = [verdict(*both) for both in orders[:count]]
        margins[PAIRWISE + ", mean of both orders"] = np.array([v.margin for v in verdicts])
        margins["linear model"] = linear_fit.margins(linear(work, *fitted_on[kind]), used)
        for name, margin in margins.items():
            found = compare(margin, used)
            lines.append([kind, str(count), name, short(found.model), short(found.gain)])
        lines.append([kind, str(count), "longer wins", short(found.longer), ""])
        if kind == "pandalm":
            lines.append([kind, str(count), "one person, by two others", people(pairs[:count]), ""])
        flips.append(flip_line(kind, orders[:count], verdicts))
    print("The better answer of two; a tie is a half\n")
    table(["pairs", "number", "picks", "right", "less longer wins"], lines)
    print(f"{PAIRWISE} in both orders\n")
    table(
        ["pairs", "number", "orders disagree", "A first", "wins in both", "of these right"], flips
    )


def readings_of_orders(asked: Asked, pairs: list[rows.Pair]) -> list[tuple[Reading, Reading]]:
    rubric = load_rubric(PAIRWISE)
    found: list[tuple[Reading, Reading]] = []
    for pair in pairs:
        first, second = (reading(asked, rubric, q) for q in both_orders(rubric, pair))
        if first is None or second is None:
            break
        found.append((first, second))
    return found


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
    for name in RUBRICS:
        rubric = load_rubric(name)
        found: dict[str, list[tuple[float, float]]] = {}
        count = 0
        for at in range(limit // EVERY["planted"]):
            row, other = work.marked[2 * at : 2 * at + 2]
            [own] = scores(asked, name, [(row.prompt, row.answer)]).score.tolist() or [None]
            made = rows.planted(row, other, top(rubric))
            planted = scores(asked, name, [(row.prompt, text) for text in made.values()]).score
            if own is None or len(planted) < len(made):
                break
            count += 1
            for kind, score in zip(made, planted.tolist(), strict=True):
                found.setdefault(kind, []).append((own, score))
        lines = []
        for kind, pairs in found.items():
            own, score = np.array(pairs).T
            lines.append(
                [kind, f"{own.mean():.2f}", f"{score.mean():.2f}",
                 short(interval(lambda a, b: float((b > a).mean()), count, (own, score)))]
            )  # fmt: skip
        print(
            f"{name} ({rubric.low:g} to {rubric.high:g}): {count} good answers, each planted with\n"
        )
        table(["planted", "mean of the originals", "mean planted", "planted above original"], lines)


def main() -> None:
    from rows import DATA, need

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("data", nargs="?", type=Path, default=DATA)
    options.add_argument("--work", type=Path, default=Path(".venv/small_judge"))
    options.add_argument("--minutes", type=float, default=15.0)
    options.add_argument("--rows", type=int, default=400, help="rounds of questions at most")
    given = options.parse_args()
    need(given.data)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    given.work.mkdir(parents=True, exist_ok=True)
    model = small_model(given.work)
    work = Work(
        rows.marked(given.data),
        {
            "pandalm": rows.pandalm(given.data),
            "alpaca_eval": rows.alpaca_eval(given.data),
            "sharegpt": rows.sharegpt(given.data),
        },
    )
    identity = LocalModel(str(model)).identity
    folder = given.work / hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()
    folder.mkdir(exist_ok=True)
    asked = Asked(identity, folder)
    asked.load()
    if given.minutes:
        ask_all(asked, model, questions(work, given.rows), given.minutes)
    print_marked(asked, work, given.rows)
    print_pairs(asked, work, given.rows)
    print_planted(asked, work, given.rows)


if __name__ == "__main__":
    main()
