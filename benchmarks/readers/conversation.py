"""What a row says, however it is spelt: the same text here and in a peer's environment.

Needs nothing but Python: interpreters of several environments read it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SHOWN = 1500  # characters of a row that differs


def canonical(row: Mapping[str, Any]) -> str:
    """One line of JSON: id, messages with calls and arguments parsed, what is trained, tools."""
    if "prompt" in row:
        given = [{**message, "weight": 0} for message in row["prompt"]]
        messages = [*given, *row["completion"]]
    else:
        messages = _listed(row["messages"])
    said = [_message(message) for message in messages]
    tools = [_tool(tool) for tool in _listed(row.get("tools"))]
    return dumps({"id": row["id"], "messages": said, "tools": tools})


def everything(row: Mapping[str, Any]) -> str:
    """The same with all that `kept.parquet` holds of a row."""
    rejected = [_message(message) for message in _listed(row.get("rejected"))]
    scores = [[each["step"], each["score"]] for each in _listed(row.get("scores"))]
    fields = ("row", "source", "line", "score", "category", "meta")
    about = {name: row[name] if _given(row[name]) else None for name in fields}
    return dumps([canonical(row), about, rejected, scores])


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    fields = {
        "reasoning": message.get("reasoning_content", message.get("reasoning")),
        "name": message.get("name"),
        "tool_call_id": message.get("tool_call_id"),
        "calls": [_call(call) for call in _listed(message.get("tool_calls"))],
    }
    kept = {name: value for name, value in fields.items() if _given(value)}
    said = {"role": message["role"], "content": message.get("content") or ""}
    return {**said, **kept, "trained": _trained(message)}


def _trained(message: Mapping[str, Any]) -> bool:
    """Whether this is an answer that nothing says not to train."""
    weight, train = message.get("weight"), message.get("train")
    masked = (_given(weight) and float(weight or 0) == 0) or (_given(train) and not train)
    return message["role"] == "assistant" and not masked


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    inner = call.get("function") or call
    given = inner.get("arguments")
    arguments = json.loads(given) if isinstance(given, str) and given else given
    identifier = {"id": call["id"]} if _given(call.get("id")) else {}
    return {"name": inner["name"], "arguments": arguments, **identifier}


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tool, its parameters parsed where they are a text."""
    inner = tool.get("function", tool)
    if not isinstance(inner.get("parameters"), str):
        return tool
    parsed = {**inner, "parameters": json.loads(inner["parameters"])}
    return {**tool, "function": parsed} if "function" in tool else parsed


def _listed(value: Any) -> list[Any]:
    """A list, also where it is JSON text, an array of numpy, or nothing."""
    if isinstance(value, str):
        return list(json.loads(value)) if value else []
    return list(value) if _given(value) else []


def _given(value: Any) -> bool:
    """Whether this is a value: not null, not the NaN that pandas puts for it, not empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return False
    return not hasattr(value, "__len__") or len(value) > 0


def truth(path: Path) -> list[str]:
    """The lines that a reader has to find."""
    with path.open(encoding="utf-8") as lines:
        return [line.rstrip("\n") for line in lines]


def conversation(line: str) -> dict[str, Any]:
    """The messages and tools of a line of the truth, as transformers' templates take them."""
    row = json.loads(line)
    messages = []
    for message in row["messages"]:
        turn = {"role": message["role"], "content": message["content"]}
        turn |= {key: message[key] for key in ("name", "tool_call_id") if key in message}
        if "reasoning" in message:
            turn["reasoning_content"] = message["reasoning"]
        if "calls" in message:
            turn["tool_calls"] = [{"type": "function", "function": one} for one in message["calls"]]
        messages.append(turn)
    return {"conversation": messages, "tools": row["tools"] or None}


def compared(rows: Iterable[Mapping[str, Any]], wanted: list[str]) -> dict[str, Any]:
    """How many rows there are and should be, how many differ, and the first that does."""
    return differences(map(canonical, rows), wanted)


def compared_tokens(
    rows: Iterable[Mapping[str, Any]], wanted: list[str], shuffled: bool = False
) -> dict[str, Any]:
    """The same of ids and labels: a line of the truth is one JSON list of both.

    `shuffled` rows are compared in the order of their text. A mask of another length than the ids,
    or with anything but 1, makes a row differ.
    """
    return differences(map(_tokens, rows), wanted, shuffled)


def _tokens(row: Mapping[str, Any]) -> str:
    """Ids and labels of a row, and its mask where that is not all ones."""
    ids, labels = list(row["input_ids"]), list(row["labels"])
    mask = list(row.get("attention_mask") or [1] * len(ids))
    return dumps([ids, labels] if mask == [1] * len(ids) else [ids, labels, mask])


def differences(lines: Iterable[str], wanted: list[str], shuffled: bool = False) -> dict[str, Any]:
    """The lines beside those that were wanted, one by one."""
    if shuffled:
        lines, wanted = sorted(lines), sorted(wanted)
    read, differ, first = 0, 0, None
    for line in lines:
        wrote = wanted[read] if read < len(wanted) else "no row"
        read += 1
        if line != wrote:
            differ += 1
            first = first or {"row": read, **_around(line, wrote)}
    return {"rows": read, "expected": len(wanted), "differ": differ, "first": first}


def _around(read: str, wrote: str) -> dict[str, str]:
    """Both texts from a little before the character in which they differ."""
    same = next((n for n, (a, b) in enumerate(zip(read, wrote, strict=False)) if a != b), 0)
    start = max(0, same - 200)
    return {"read": read[start : start + SHOWN], "wrote": wrote[start : start + SHOWN]}


def rendered(
    rows: Iterable[Mapping[str, Any]],
    wanted: list[str],
    tokenizer: Any,
    seen: Mapping[str, Any] | None = None,
    shuffled: bool = False,
) -> dict[str, Any]:
    """Ids of rows beside those of transformers' own rendering of the conversations.

    `seen` is what was found before of the same rows: differences add up.
    """
    read = (dumps(list(row["input_ids"])) for row in rows)
    result = differences(read, [_ids(line, tokenizer) for line in wanted], shuffled)
    alike = result["rows"] - result["differ"]
    result["notes"] = [f"{alike:,} rendered as transformers does"]
    if seen is not None:
        result["differ"] += seen["differ"] + (seen["rows"] != result["rows"])
        result["first"] = seen["first"] or result["first"]
    return result


def _ids(line: str, tokenizer: Any) -> str:
    text = tokenizer.apply_chat_template(**conversation(line), tokenize=False)
    return dumps(tokenizer(text, add_special_tokens=False)["input_ids"])


def share_alike(rows: Iterable[Mapping[str, Any]], tokens: Path, stop: int) -> str:
    """Of the rows whose ids are among TOKENS, how many have the same labels.

    What stands behind a trained stop is never generated; a tool may train it all the same.
    """
    ours = {tuple(ids): labels for ids, labels in map(json.loads, truth(tokens))}
    known = [
        (own, list(row["labels"]))
        for row in rows
        if (own := ours.get(tuple(row["input_ids"]))) is not None
    ]
    alike = sum(own == theirs for own, theirs in known)
    nearly = sum(own != theirs and _but_for_breaks(own, theirs, stop) for own, theirs in known)
    words = f"labels as in TOKENS: {alike:,} of the {len(known):,} rows with the same ids"
    return words + (f", {nearly:,} but for the line break behind a stop" if nearly else "")


def _but_for_breaks(ours: list[int], theirs: list[int], stop: int) -> bool:
    unlike = (n for n, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
    return all(ours[n] == -100 and n > 0 and ours[n - 1] == stop for n in unlike)


def finite(losses: list[float], steps: int) -> bool:
    """Whether there is a loss of each step, none of them infinite."""
    return len(losses) == steps and all(math.isfinite(loss) for loss in losses)


def report(result: Mapping[str, Any], **versions: str) -> None:
    """The last line of a reader: its result, and which versions read."""
    print("RESULT " + json.dumps({**result, "versions": versions}), flush=True)
