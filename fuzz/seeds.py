"""Rows of every format that is read: what the fuzzers change."""

from __future__ import annotations

import json
import os
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from tests.test_formats import CASES

Rows = list[dict[str, Any]]

# Rows that mean something only together.
TOGETHER: dict[str, Rows] = {
    "oasst-messages": [
        {"message_id": "a", "parent_id": None, "text": "Hi", "role": "prompter", "lang": "en"},
        {"message_id": "b", "parent_id": "a", "text": "Hello", "role": "assistant", "rank": 0},
        {"message_id": "c", "parent_id": "a", "text": "No.", "role": "assistant", "rank": 1},
    ],
    "stackexchange-raw": [
        {"Id": 1, "PostTypeId": 1, "AcceptedAnswerId": 2, "Title": "Hi", "Body": "<p>Hi</p>"},
        {"Id": 2, "PostTypeId": 2, "ParentId": 1, "Score": 3, "Body": "<p>Hello</p>"},
    ],
    "slack": [
        {"type": "message", "user": "U1", "text": "Hi", "ts": "1700000000.000100"},
        {"type": "message", "user": "U2", "text": "Hello", "ts": "1700000001.000100"},
    ],
    "discord": [
        {
            "guild": {"id": "1"},
            "channel": {"id": "2", "name": "c"},
            "messages": [
                {"id": "1", "type": "Default", "content": "Hi", "author": {"id": "U1"}},
                {"id": "2", "type": "Default", "content": "Hello", "author": {"id": "U2"}},
            ],
        }
    ],
    "telegram": [
        {
            "name": "c",
            "type": "personal_chat",
            "id": 1,
            "messages": [
                {"id": 1, "type": "message", "from": "A", "from_id": "user1", "text": "Hi"},
                {
                    "id": 2,
                    "type": "message",
                    "from": "U2",
                    "from_id": "user2",
                    "text": [{"type": "plain", "text": "Hello"}],
                },
            ],
        }
    ],
}


@cache
def published() -> dict[str, Rows]:
    """By format: a row as it is published and one that is malformed, or rows that are joined."""
    return {name: [case[0], case[2]] for name, case in CASES.items()} | TOGETHER


@cache
def names() -> tuple[str, ...]:
    """Every name of a field in those rows: a key that some format knows."""
    found: dict[str, None] = {}
    waiting: list[Any] = list(published().values())
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            found |= dict.fromkeys(one)
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return tuple(found)


def test_data() -> Path | None:
    """The folder of real dumps, if it is here; `tests/DATA.md` says what is in it."""
    folder = Path(os.environ.get("CURATE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    return folder if folder.is_dir() else None


@cache
def real() -> list[Rows]:
    """The first rows of each real dump that is JSON and not long; none without the test data."""
    folder = test_data()
    found: list[Rows] = []
    for path in sorted((folder / "raw").glob("*.json*")) if folder else ():
        if path.suffix == ".jsonl":
            with path.open(encoding="utf-8") as file:
                rows = [json.loads(line) for line in islice(file, 4)]
        elif path.stat().st_size < 20_000_000:
            rows = json.loads(path.read_text("utf-8"))[:4]
        else:
            continue
        found.append([row for row in rows if len(json.dumps(row)) < 8_000])
    return [rows for rows in found if rows]
