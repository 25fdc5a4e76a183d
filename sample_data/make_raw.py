"""Write `raw/`, a dump as somebody might have collected it: many formats, good and bad rows.

    python sample_data/make_raw.py [--out DIR]

The same bytes on every run (but another build of zlib may pack the .gz files differently).
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import questions as q

SEED = 11
SYSTEM = "You answer questions about the town of Pennyfold in a friendly and short way."


def good_rows(rng: random.Random) -> list[q.Row]:
    """What a careful reader would keep, though nearly a hundred of them have the same length."""
    asked = list(q.short_facts())
    generated = [
        *rng.sample(asked, 34),
        *rng.sample(list(q.how_tos()), 10),
        *_distinct(islice(q.sums(rng), 30), 10),
        *q.days_out(rng),
        *rng.sample(list(q.small_talk(rng)), 12),
        *q.portraits(rng),
        *q.lessons(rng),
    ]
    rows = q.written("questions") + q.written("chats") + generated
    return [replace(row, score=round(rng.triangular(5.5, 10, 8.2), 1)) for row in rows]


def _distinct(rows: Any, number: int) -> list[q.Row]:
    return list({row.question: row for row in rows}.values())[:number]


def bad_rows(rng: random.Random, good: list[q.Row]) -> list[q.Row]:
    """Rows with every fault that the steps of the recipe know, most of them scored well."""
    faulty = [row for row in q.written("defects") if row.category != "weak"]
    rows = [*faulty, *_empty(rng, good), *_loops(), *q.guides(), *_near(rng, good)]
    rows += rng.sample(good, 13)
    singles = [row for row in good if len(row.turns) == 1]
    rows += [_careless(rng, row) for row in rng.sample(singles, 6)]
    scored = [replace(row, score=round(rng.triangular(4, 9, 7), 1)) for row in rows]
    weak = [row for row in q.written("defects") if row.category == "weak"]
    scored += [replace(row, score=round(rng.uniform(1.0, 3.5), 1)) for row in weak]
    topics = sorted({row.category for row in good})
    return [
        row if row.category in topics else replace(row, category=rng.choice(topics))
        for row in scored
    ]


def _empty(rng: random.Random, good: list[q.Row]) -> list[q.Row]:
    singles = [row for row in good if len(row.turns) == 1 and row.category == "stories"]
    return [
        replace(row, turns=((f"Once more, but shorter: {row.question}", text),))
        for row, text in zip(rng.sample(singles, 5), ("", " ", "\n\n", "", "\u200b"), strict=True)
    ]


def _loops() -> list[q.Row]:
    """Answers of a generator that got stuck."""
    return [
        q.single("animals", "What does the goat do all day?", "The goat eats leaves. " * 24),
        q.single("stories", "Make the gulls laugh.", "The gulls laugh: " + "ha" * 70),
        q.single("home", "Write a long shopping list.", "\n".join(["- milk"] * 30)),
        q.single("town", "How is the weather on the hill?", "It is very " + "very " * 60 + "cold."),
        q.single("sums", "Count the steps to the lamp.", "One step and then one step " * 15),
        q.single("words", "Explain what a knot is.", "A knot is a knot in a rope that is " * 12),
    ]


SWAPS = (("is", "was"), ("you", "we"), ("and", "or"), ("it", "this"), ("the", "that"),
         ("a", "one"), ("at", "before"), ("with", "without"), ("when", "if"))  # fmt: skip


def _near(rng: random.Random, good: list[q.Row]) -> list[q.Row]:
    """Copies of long answers with one word changed; a few families have three members."""
    long = [row for row in good if len(row.turns) == 1 and len(row.answer.split()) >= 37]
    copies = []
    for number, row in enumerate(rng.sample(long, 14)):
        for swap in rng.sample(SWAPS, len(SWAPS))[: 1 + (number % 3 == 0)]:
            changed = _swapped(row.answer, *swap)
            copies.append(row.answering(changed))
    return copies


def _swapped(text: str, old: str, new: str) -> str:
    """The last `old` of the text replaced by `new`, or else a word added at the end."""
    words = text.split(" ")
    for at in range(len(words) - 1, 0, -1):
        if words[at] == old:
            return " ".join([*words[:at], new, *words[at + 1 :]])
    return f"{text} Good luck!"


def _careless(rng: random.Random, row: q.Row) -> q.Row:
    """The same row typed by somebody in a hurry: case and spaces differ, nothing else."""
    question = rng.choice([row.question.lower(), row.question.upper(), f"  {row.question} "])
    return replace(row, turns=((question, row.answer + "  "),))


def alpaca(row: q.Row) -> dict[str, Any]:
    return {"instruction": row.question, "input": row.given, "output": row.answer}


def dolly(row: q.Row) -> dict[str, Any]:
    return {"instruction": row.question, "context": row.given, "response": row.answer}


def sharegpt(row: q.Row) -> dict[str, Any]:
    turns = []
    for question, answer in row.turns:
        turns += [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"conversations": turns}


def messages(row: q.Row) -> dict[str, Any]:
    turns = [{"role": "system", "content": SYSTEM}] if len(row.turns) > 1 else []
    for question, answer in row.turns:
        turns.append({"role": "user", "content": question})
        turns.append({"role": "assistant", "content": answer})
    return {"messages": turns}


def completion(row: q.Row) -> dict[str, Any]:
    return {"prompt": row.question, "completion": row.answer}


def labelled(name: str, row: q.Row) -> dict[str, Any]:
    """The row in its file's format, with the columns that stand beside the text."""
    score = {} if row.score is None else {"score": row.score}
    return {**FILES[name](row), "category": row.category, **score}


Writer = Callable[[q.Row], dict[str, Any]]
FILES: dict[str, Writer] = {
    "helpdesk.json": alpaca,
    "chats.jsonl": sharegpt,
    "tickets.jsonl": messages,
    "notes.jsonl.gz": dolly,
    "faq.jsonl": completion,
}


def file_of(rng: random.Random, row: q.Row) -> str:
    """Conversations and texts with an input need a format that can hold them."""
    if len(row.turns) > 1:
        return rng.choices(["chats.jsonl", "tickets.jsonl"], [3, 1])[0]
    if row.given:
        return rng.choice(["helpdesk.json", "notes.jsonl.gz"])
    return rng.choices(list(FILES), [50, 4, 16, 12, 18])[0]


# Rows that no reader can use: (file, position among its rows, the text as it stands in the file).
BROKEN = (
    ("helpdesk.json", 20, '"Where is the ferry?"'),
    ("helpdesk.json", 60, '{"instruction": "Think of ten questions about boats."}'),
    ("helpdesk.json", 90, '{"instruction": "Is the sea salty?", "input": "", "output": true}'),
    ("chats.jsonl", 5, '{"conversations": [], "score": 7.0}'),
    ("chats.jsonl", 9, '{"conversations": [{"from": "human", "value": "Tell me a joke."}, '
     '{"from": "narrator", "value": "A long silence followed."}]}'),
    ("chats.jsonl", 17, '{"conversations": [{"from": "human", "value": "Anybody there?"}]}'),
    ("chats.jsonl", 999, '{"conversations": [{"from": "human", "value": "Good night"}, {"fro'),
    ("tickets.jsonl", 3, '{"messages": [{"role": "user", "content": "Hello?"}, '
     '{"role": "assistant", "content": 42}]}'),
    ("tickets.jsonl", 12, '["user", "Where is my parcel?", "assistant", "On its way."]'),
    ("tickets.jsonl", 24, '{"messages": [{"role": "user", "content": "Is it open?"}, '
     '{"role": "assistant", "content": "Yes, it "is" open."}]}'),
    ("notes.jsonl.gz", 8, '{"title": "Tide table", "body": "See the board at the harbour."}'),
    ("faq.jsonl", 6, '{"prompt": "How do I get a library card?"}'),
    ("faq.jsonl", 14, '{"prompt": "Is there a caf\udce9?", "completion": "Yes, by the steps."}'),
    ("helpdesk.json", 120, '{"instruction": "Which is better?", "output_1": "The red one.", '
     '"output_2": "The blue one.", "preference": "left"}'),
)  # fmt: skip


# Conversations that can be read but have an odd shape, in the format of their file.
ODD = (
    ("chats.jsonl", 30, [("gpt", "Welcome to the town! What would you like to know?")]),
    ("chats.jsonl", 33, [("human", "  "), ("gpt", "The ferry leaves at noon.")]),
    ("chats.jsonl", 36, [("human", "Is the mill open?"), ("gpt", "Yes, until five."),
                         ("human", "Thanks! And on Sunday?")]),
    ("chats.jsonl", 40, [("human", "Where is my hat?"), ("human", "It is a green one."),
                         ("gpt", "Perhaps you left it in the tea room.")]),
)  # fmt: skip


def texts_of(name: str, rows: list[q.Row]) -> list[str]:
    """The JSON text of each row of one file, with the broken ones at their places."""
    texts = [json.dumps(labelled(name, row), ensure_ascii=False) for row in rows]
    odd = [(file, at, json.dumps(_odd(turns))) for file, at, turns in ODD]
    for file, at, text in sorted([*BROKEN, *odd]):
        if file == name:
            texts.insert(at, text)
    return texts


def _odd(turns: list[tuple[str, str]]) -> dict[str, Any]:
    said = [{"from": speaker, "value": text} for speaker, text in turns]
    return {"conversations": said, "category": "town", "score": 6.5}


def contents(seed: int = SEED) -> dict[str, bytes]:
    """The bytes of every file by name; of .gz files the bytes inside."""
    rng = random.Random(seed)
    good = good_rows(rng)
    rows = good + bad_rows(rng, good)
    rng.shuffle(rows)
    files: dict[str, list[q.Row]] = {name: [] for name in FILES}
    for row in rows:
        files[file_of(rng, row)].append(row)
    written = {}
    for name, inside in files.items():
        texts = texts_of(name, inside)
        if name.endswith(".json"):
            text = "[\n  " + ",\n  ".join(texts) + "\n]\n"
        else:
            text = "\n".join(texts) + ("" if name == "chats.jsonl" else "\n")
        # Surrogates stand for single bytes: one line of the FAQ is Latin-1.
        written[name] = text.encode("utf-8", "surrogateescape")
    # A spreadsheet program saved the FAQ: byte order mark and its own line ends.
    written["faq.jsonl"] = b"\xef\xbb\xbf" + written["faq.jsonl"].replace(b"\n", b"\r\n")
    taken = {row.question for row in rows}
    late = [row for row in q.short_facts() if row.question not in taken]
    return {**written, **leftovers(rng.sample(late, 8))}


def leftovers(late: list[q.Row]) -> dict[str, bytes]:
    """Small files that came in after the scores had been given, most of them broken."""
    table = ["question,answer", *(f'"{row.question}","{row.answer}"' for row in late[:4])]
    table.insert(3, "Is the ferry late,Yes,about an hour,perhaps two")
    packed = [json.dumps(labelled("faq.jsonl", row)) for row in late[4:]]
    return {
        "survey.csv": ("\n".join(table) + "\n").encode(),
        "forum.jsonl": "".join(json.dumps(post) + "\n" for post in FORUM).encode(),
        "archive.jsonl.gz": "\n".join(packed).encode(),
        "photos.parquet": b"PAR1\x15\x04\x15\x10",
    }


FORUM = [
    {
        "message_id": name,
        "parent_id": parent,
        "role": role,
        "rank": rank,
        "lang": "en",
        "text": text,
    }
    for name, parent, role, rank, text in (
        ("a1", None, "prompter", None, "What is the best place to watch the sunset?"),
        ("a2", "a1", "assistant", 0, "The flat rocks behind the lighthouse. Bring a blanket."),
        ("a3", "a1", "assistant", 1, "Anywhere in the west."),
        ("a4", "a2", "prompter", None, "Is it far?"),
        ("a5", "a4", "assistant", 0, "A quarter of an hour from the harbour, at low tide."),
        ("b7", "b6", "assistant", 0, "I would ask the miller."),
        ("c1", None, "prompter", None, "How do you keep gulls away from a picnic?"),
        ("c2", "c1", "assistant", 0, "Sit under a tree and keep the bread in its bag."),
    )
]


def stored(name: str, data: bytes) -> bytes:
    """The bytes as they lie in the folder; the download of the archive broke off."""
    if name == "archive.jsonl.gz":
        return gzip.compress(data, compresslevel=0, mtime=0)[: len(data) * 2 // 3]
    return gzip.compress(data, mtime=0) if name.endswith(".gz") else data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "raw")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, data in contents().items():
        (out / name).write_bytes(stored(name, data))
        print(f"{out / name}: {(out / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
