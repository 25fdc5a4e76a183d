"""Rows with everything that a trainer may trip over, and runs and exports of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

import curate
from curate.exports.export import Exported
from curate.runs import Run

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Today's weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def user(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


def answer(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def tool(text: str, call: str = "c1") -> dict[str, Any]:
    return {"role": "tool", "content": text, "tool_call_id": call}


def calls(*arguments: dict[str, Any]) -> dict[str, Any]:
    """An answer that calls `weather` once for each of the arguments, as OpenAI writes it."""
    written = [
        {
            "id": f"c{number}",
            "type": "function",
            "function": {"name": "weather", "arguments": json.dumps(given)},
        }
        for number, given in enumerate(arguments, 1)
    ]
    return answer("", tool_calls=written)


def row(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


PLAIN = [row(user(f"Name number {n}."), answer(f"Its name is {n}.")) for n in range(3)]
SYSTEM = row({"role": "system", "content": "Be brief."}, user("Hi."), answer("Hello."))
CALL = row(
    user("Is it warm in Rome?"),
    calls({"city": "Rome", "days": 12345678901234567890}),
    tool("warm"),
    answer("It is."),
    tools=[WEATHER],
)
REASONING = row(user("Two and two?"), answer("Four.", reasoning_content="I add them."))
WEIGHTED = row(user("One?"), answer("Wrong.", weight=0), user("Again?"), answer("Right.", weight=1))
NAMED = row(user("Who am I?", name="bob"), answer("Bob."))
TWO_TURNS = row(user("One?"), answer("1."), user("Two?"), answer("2."))


def run(folder: Path, rows: list[dict[str, Any]], steps: list[Any] | None = None) -> Run:
    """A run over these rows in `folder/RUN`, of the file `folder/dump.jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)
    dump = folder / "dump.jsonl"
    dump.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return curate.run(dump, steps=steps or [], out=folder / "RUN", force=True)


def exported(folder: Path, to: str, rows: list[dict[str, Any]], **options: Any) -> Exported:
    """These rows as a run, exported to `folder/DIR`."""
    return curate.export(run(folder, rows), to=to, out=folder / "DIR", **options)


def data(done: Exported) -> list[dict[str, Any]]:
    """The rows that were written, as Python values."""
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = []
    for path in sorted(done.path.glob("*.parquet")):
        found += pq.read_table(path).to_pylist()
    return found


def left_out(done: Exported) -> list[tuple[int, str]]:
    """Row and reason of what was left out, as the file has it."""
    path = done.path / "left_out.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    loaded = [json.loads(line) for line in lines]
    assert [one["id"] for one in loaded] == done.left_out["id"].to_list()
    return [(one["row"], one["reason"]) for one in loaded]


def config(done: Exported, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((done.path / name).read_text())
    return loaded


def without_nulls(value: Any) -> Any:
    """As trainers see a message: without the fields that it does not have."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value
