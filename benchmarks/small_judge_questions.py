"""What a small judge is asked about its rows, in which order, and what is known of the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import small_judge_rows as rows

from filters.llm_judge.pairwise import pair_questions
from filters.llm_judge.question import Answer, Question
from filters.llm_judge.reading import Reading
from filters.llm_judge.rubric import Rubric, load_rubric

RUBRICS = ("careful", "alpagasus", "ask_llm", "deita_quality")
OF_PAIRS = ("careful", "alpagasus")  # of which both answers of a pair are scored
PAIRWISE = "mt_bench_pair"

# In a round of questions: rows of a kind, each time that many rounds have passed.
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
    pairs: dict[str, list[rows.Pair]]  # drawn, by kind
    to_fit: dict[str, list[rows.Pair]]  # all of a kind, for the linear model of another one


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


def readings_of_orders(asked: Asked, pairs: list[rows.Pair]) -> list[tuple[Reading, Reading]]:
    rubric = load_rubric(PAIRWISE)
    found: list[tuple[Reading, Reading]] = []
    for pair in pairs:
        first, second = (reading(asked, rubric, q) for q in both_orders(rubric, pair))
        if first is None or second is None:
            break
        found.append((first, second))
    return found
