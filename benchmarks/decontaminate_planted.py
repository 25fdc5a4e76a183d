"""Leaks of test rows as somebody would paste them, and rows that only look like leaks.

Each item of a set is planted once a change, as a row of a training set. `decontaminate.py` prints
what is found of them.
"""

from __future__ import annotations

import gzip
import html
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

LETTERS = "ABCDEFGH"
# Words that are put in; none asks for something else.
FILLERS = ["really", "actually", "kindly", "now", "simply", "perhaps", "indeed", "clearly"]
SPELT = {
    "n't": " not",
    "what's": "what is",
    "it's": "it is",
    "that's": "that is",
    "i'm": "i am",
    "'re": " are",
    "'ll": " will",
    "'ve": " have",
}


class Asked(NamedTuple):
    """A test row: what it asks, what is right, and what there is to choose from."""

    prompt: str
    answer: str
    choices: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The prompt as a model gets it: with the choices by letters."""
        pairs = zip(LETTERS, self.choices, strict=False)
        return "\n".join([self.prompt, *(f"{letter}. {text}" for letter, text in pairs)])


Change = Callable[[random.Random, str], str]


def inserted(chance: random.Random, text: str) -> str:
    words = text.split(" ")
    words.insert(chance.randrange(1, max(2, len(words))), chance.choice(FILLERS))
    return " ".join(words)


def mistyped(chance: random.Random, text: str) -> str:
    """One word in fifteen, at least one: two letters swapped, one dropped, doubled or another."""
    spots = list(re.finditer(r"[A-Za-z]{4,}", text))
    count = max(1, len(text.split()) // 15)
    for spot in sorted(chance.sample(spots, min(count, len(spots))), key=lambda s: -s.start()):
        text = text[: spot.start()] + _typo(chance, spot[0]) + text[spot.end() :]
    return text


def _typo(chance: random.Random, word: str) -> str:
    at = chance.randrange(1, len(word) - 1)
    before, letter, after = word[:at], word[at], word[at + 1 :]
    return chance.choice(
        [
            before + after[0] + letter + after[1:],
            before + after,
            before + letter * 2 + after,
            before + chance.choice("etaoinshr") + after,
        ]
    )


def unmarked(chance: random.Random, text: str) -> str:
    return re.sub(r"(?<=\w)[,.;:!?](?=\s|$)", "", text)


def curled(chance: random.Random, text: str) -> str:
    text = re.sub(r'(?<=\w)"|"(?=\s|$)', "”", text).replace('"', "“")
    return re.sub(r"(?<=\w)-(?=\w)", "‐", text).replace("'", "’").replace(" - ", " — ")


def escaped(chance: random.Random, text: str) -> str:
    return html.escape(text).replace("&#x27;", "&#39;")


def spelt_out(chance: random.Random, text: str) -> str:
    for short, long in SPELT.items():
        text = re.sub(rf"{short}\b", long, text.replace("’", "'"), flags=re.IGNORECASE)
    return text


CHANGES: dict[str, Change] = {
    "as it is": lambda chance, text: text,
    "a word put in": inserted,
    "a typo in fifteen words": mistyped,
    "capitals": lambda chance, text: text.upper(),
    "marks left out": unmarked,
    "other quotes and dashes": curled,
    "HTML entities": escaped,
    "contractions spelt out": spelt_out,
}


def renumbered(chance: random.Random, text: str) -> str:
    return re.sub(r"\d+", lambda found: str(int(found[0][:6]) + chance.randrange(1, 9)), text)


def negated(chance: random.Random, text: str) -> str:
    return re.sub(r"\b(is|are|was|were|can|does|do|did)\b", r"\1 not", text, count=1, flags=re.I)


# What asks for something else.
OTHERS: dict[str, Change] = {"other numbers": renumbered, "a not put in": negated}


def long_items(data: Path) -> dict[str, list[Asked]]:
    """The sets of the test data, whole or every fourth row."""
    lines = (data / "eval/gsm8k_test.jsonl").read_text("utf-8").splitlines()
    gsm8k = [Asked(row["question"], row["answer"]) for row in map(json.loads, lines[::4])]
    lines = (data / "eval/mt_bench_question.jsonl").read_text("utf-8").splitlines()
    bench = [Asked(row["turns"][0], "") for row in map(json.loads, lines)]
    with gzip.open(data / "eval/humaneval_requests.jsonl.gz", "rt", encoding="utf-8") as file:
        docs = {row["doc"]["task_id"]: row["doc"] for row in map(json.loads, file)}
    code = [Asked(doc["prompt"], doc["canonical_solution"]) for doc in docs.values()]
    middle = [Asked(*pair) for pair in _questions(data, range(8, 21))]
    return {"gsm8k": gsm8k, "mt_bench": bench, "humaneval": code, "8 to 20 words": middle}


def short_items(data: Path) -> list[Asked]:
    """Questions under eight words of a dump with their short answers, made multiple-choice.

    The wrong choices are the answers of the questions that follow.
    """
    found = [pair for pair in _questions(data, range(1, 8)) if len(pair[1].split()) <= 30]
    answers = [answer for _, answer in found]
    chance = random.Random(0)
    items = []
    for at, (prompt, answer) in enumerate(found):
        choices = [answer, *(answers[(at + step) % len(answers)] for step in (1, 2, 3))]
        items.append(Asked(prompt, answer, tuple(chance.sample(choices, 4))))
    return items


def _questions(data: Path, words: range) -> list[tuple[str, str]]:
    """Questions of so many words of a dump, and their answers."""
    rows = json.loads((data / "raw/alpaca_random_9k.json").read_text("utf-8"))
    pairs = {row["instruction"].strip(): row["output"].strip() for row in rows if not row["input"]}
    return [
        (prompt, answer)
        for prompt, answer in pairs.items()
        if prompt.endswith("?") and len(re.findall(r"\w+", prompt)) in words
    ]


def write(items: list[Asked], path: Path) -> None:
    """An evaluation file: MMLU's shape where there are choices, else a question and its answer."""
    with path.open("w", encoding="utf-8") as file:
        for item in items:
            row = {"question": item.prompt, "answer": item.answer}
            if item.choices:
                right = item.choices.index(item.answer)
                row |= {"choices": item.choices, "answer": right}  # type: ignore[dict-item]
            file.write(json.dumps(row) + "\n")
