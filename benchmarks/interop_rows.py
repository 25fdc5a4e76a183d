"""A mixed set of dumps, made up from a seed: plain chats first, everything odd in the last rows.

A reader that decides on columns and types by the first rows, or by the first block of 10 MB, sees
nothing but `role` and `content` there.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from rows import texts

Row = dict[str, Any]

LONGEST = 12_000_000  # bytes of the longest row; `datasets` reads 10 MB at once

# One key, a value of every type; integers beyond 53, 64 and 128 bits.
VALUES: list[Any] = [
    *("Monday", 7, 2.5, True, None, ["Monday", 3], {"day": "Monday", "hours": [6, 18]}, [], {}, ""),
    *(2**53 + 1, -(2**63), 2**63, 10**40, "10000000000000000000000000", "06:10", "2026-01-01"),
    *("nul \u0000 and \u001f", "\ufeff", -0.0, 5e-324, 0.1 + 0.2),
    *('He asked: "when?"\n\tand \\ left', "\u2028 潮位 🌊 é", [[1, "a"], [None, {"b": []}]], 1e-7),
]
TIDE: Row = {
    "type": "function",
    "function": {
        "name": "tide",
        "description": "High water at a place.",
        "parameters": {
            "type": "object",
            "properties": {"day": {"description": "A day"}, "place": {"type": "string"}},
            "required": ["day"],
        },
    },
}
WIND: Row = {
    "type": "function",
    "function": {
        "name": "wind",
        "description": "Wind now.",
        "parameters": {
            "type": "object",
            "properties": {
                "unit": {"type": "string", "enum": ["kn", "m/s"], "default": "kn"},
                "limit": {"type": "integer", "maximum": 2**60, "default": 12},
            },
        },
    },
}


class Texts:
    """Sentences in an order that is chance, so that no two rows are alike."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.pool = [text for pair in texts(seed, 2_000) for text in pair]

    def words(self, sentences: int) -> str:
        return " ".join(self.chance.choices(self.pool, k=sentences))

    def short(self) -> str:
        """At most 12 words, so that a row fits into a context of 512 tokens."""
        return " ".join(self.words(1).rstrip(".").split()[:12]) + "."


def user(text: str, **more: Any) -> Row:
    return {"role": "user", "content": text, **more}


def answer(text: str, **more: Any) -> Row:
    return {"role": "assistant", "content": text, **more}


def call(name: str, arguments: Any, number: str) -> Row:
    """A call as OpenAI writes it: the arguments are a text."""
    text = arguments if isinstance(arguments, str) else orjson_any(arguments)
    return {"id": number, "type": "function", "function": {"name": name, "arguments": text}}


def orjson_any(value: Any) -> str:
    """JSON, also of integers that are too long for orjson."""
    import json

    return json.dumps(value, ensure_ascii=False)


def plain(made: Texts, turns: int, sentences: int) -> Row:
    messages = [
        one for _ in range(turns) for one in (user(made.words(1)), answer(made.words(sentences)))
    ]
    return {"messages": messages}


def short_chat(made: Texts) -> Row:
    turns = [user(made.short()), answer(made.short())]
    return {"messages": turns if made.chance.random() < 0.5 else [*turns, *_more(made)]}


def _more(made: Texts) -> list[Row]:
    return [user(made.short()), answer(made.short())]


def scored(made: Texts, number: int) -> Row:
    """An Alpaca row with a score, a category and fields that no conversation has."""
    return {
        "instruction": made.short(),
        "input": made.short() if number % 3 else "",
        "output": made.short(),
        "score": round(made.chance.uniform(1, 5), 2),
        "category": f"group {number % 7}",
        "url": f"https://example.org/{number}",
        "about": {"votes": [number, None], "ratio": number / 7, "big": 2**53 + number},
    }


def calling(made: Texts, number: int) -> Row:
    """A conversation with a call; one in three has two calls at once, one in four a system."""
    value = VALUES[number % len(VALUES)]
    calls = [call("tide", {"day": value, "place": made.short()}, f"call_{number}")]
    results = [("tide", "06:10")]
    if number % 3 == 0:
        limit = {"unit": "kn", "limit": 2**60 + number} if number % 2 else {}
        calls.append(call("wind", limit, f"call_{number}b"))
        results.append(("wind", '{"kn": 12}'))
    tools = [
        {"role": "tool", "content": content, "name": name, "tool_call_id": one["id"]}
        for (name, content), one in zip(results, calls, strict=True)
    ]
    system = [{"role": "system", "content": made.short()}] if number % 4 == 0 else []
    content = made.short() if number % 5 == 0 else ""
    messages = [
        *system,
        user(made.short()),
        answer(content, tool_calls=calls),
        *tools,
        answer(made.short()),
        *(_more(made) if number % 2 else ()),
    ]
    return {"messages": messages, "tools": [TIDE, WIND] if number % 3 == 0 else [TIDE]}


def thinking(made: Texts, number: int) -> Row:
    return {
        "messages": [
            user(made.short(), **({"name": "anna"} if number % 2 else {})),
            answer(made.short(), reasoning_content=made.short()),
        ]
    }


def weighted(made: Texts, number: int) -> Row:
    """Answers that are to be trained, and answers that are not."""
    return {
        "messages": [
            user(made.short()),
            answer(made.short(), weight=number % 2),
            user(made.short()),
            answer(made.short(), weight=1),
        ]
    }


def compared(made: Texts) -> Row:
    """A chosen and a rejected answer."""
    return {"prompt": made.short(), "chosen": made.short(), "rejected": made.short()}


def uneven(made: Texts, number: int) -> Row:
    """Conversations in which user and assistant do not take turns."""
    shapes = [
        [user(made.short()), user(made.short()), answer(made.short())],
        [user(made.short()), answer(made.short()), answer(made.short())],
        [answer(made.short()), user(made.short()), answer(made.short())],
        [user(made.short()), answer(made.short()), user(made.short())],
        [{"role": "system", "content": made.short()}, answer(made.short())],
    ]
    return {"messages": shapes[number % len(shapes)]}


def odd(made: Texts, rows: int) -> dict[str, list[Row]]:
    """The last files, by name; `rows` of each kind."""
    return {
        "c-scored": [scored(made, n) for n in range(rows)],
        "d-calls": [calling(made, n) for n in range(rows)],
        "e-thinking": [thinking(made, n) for n in range(rows // 2)],
        "f-weights": [weighted(made, n) for n in range(rows // 2)],
        "g-compared": [compared(made) for _ in range(rows // 2)],
        "h-uneven": [uneven(made, n) for n in range(rows // 4)],
    }


def write(folder: Path, megabytes: float, rows: int = 120, seed: int = 0) -> list[Path]:
    """The dump files, in order: `a-plain` with nearly all of the size, and the small ones."""
    made = Texts(seed)
    folder.mkdir(parents=True, exist_ok=True)
    large = folder / "a-plain.jsonl"
    with large.open("wb") as file:
        for row in _until(made, megabytes * 1e6):
            file.write(row)
    small = {"b-short": [short_chat(made) for _ in range(rows)], **odd(made, rows)}
    paths = [large]
    for name, listed in small.items():
        paths.append(folder / f"{name}.jsonl")
        lines = [orjson_any(row) + "\n" for row in listed]
        paths[-1].write_text("".join(lines), "utf-8")
    return paths


def _until(made: Texts, size: float) -> Iterator[bytes]:
    """Lines of plain chats; the last one is longer than the block that a reader takes at once."""
    written = 0
    while written < size:
        line = orjson.dumps(plain(made, made.chance.randint(1, 4), made.chance.randint(1, 4)))
        written += len(line) + 1
        yield line + b"\n"
    if size > 5 * LONGEST:
        long = [user(made.words(1)), answer(made.words(LONGEST // 250))]
        yield orjson.dumps({"messages": long}) + b"\n"
