"""Rows of words with a class each, as a file and as TOKENS, and a template that writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.checkpoint_toys import EOS, STOP
from tests.trainer_toys import ASK, START, Row, write_tokens

CLASSES = ("w7", "w7 w6", "w9")
IDS = ((7,), (7, 6), (9,))
TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'user' %}<s> {{ message.content }} ?"
    "{% else %} {{ message.content }} <|end|>{% endif %}{% endfor %}"
)


def words(number: int) -> tuple[str, str]:
    """A question of words and its class, which its last word tells."""
    kind = number % 3
    return f"w{10 + number % 9} w{10 + (7 * number + 3) % 16} w{20 + kind}", CLASSES[kind]


def file_rows(count: int) -> list[dict[str, Any]]:
    """Questions and classes as rows of a file."""
    return [
        dict(zip(("prompt", "response"), words(number), strict=True)) for number in range(count)
    ]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def token_rows(count: int) -> list[Row]:
    """The same as rows of ids."""
    rows: list[Row] = []
    for number in range(count):
        question, _ = words(number)
        prompt = [START, *(int(word[1:]) for word in question.split()), ASK]
        answer = [*IDS[number % 3], STOP]
        rows.append((f"{number:016x}", prompt + answer, [-100] * len(prompt) + answer))
    return rows


def about() -> dict[str, Any]:
    """What a manifest says of them."""
    ending = {"text": "<|end|>", "id": STOP, "source": "template", "tokens": []}
    return {
        "stop": {"ids": [EOS, STOP], "strings": []},
        "template": {"name": "toy", "origin": "test", "hash": "1" * 64, "source": TEMPLATE},
        "tokenizer": {"name": "toy", "special": {"eos_token": "</s>"}, "eos_ids": [EOS]},
        "card": {"ends_with": ending},
    }


def write_labelled(folder: Path, count: int = 48, rows: list[Row] | None = None) -> str:
    """A TOKENS folder of them, or of other rows."""
    return write_tokens(folder, token_rows(count) if rows is None else rows, **about())
