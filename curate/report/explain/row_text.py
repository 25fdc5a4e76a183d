"""A record as text for a terminal: all of it, or an excerpt of a few lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from curate.base.json_text import dumps, loads_exact
from curate.base.terminal import printable_line
from curate.pipeline.run_folder import DROPPED, KEPT, LEDGER
from curate.report.excerpts import Piece, excerpt

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder

BRIEF = 160  # characters of an excerpt

Record = Mapping[str, Any]  # the columns of `RECORDS`


def records_of(run: RunFolder, rows: Iterable[int]) -> dict[int, Record]:
    """The kept and dropped records with these row numbers, by row; others are left out."""
    run.check_untouched(KEPT, DROPPED, LEDGER)
    wanted = set(rows)
    return {
        record["row"]: record
        for name in (KEPT, DROPPED)
        for record in run.lines_about(name, wanted).iter_rows(named=True)
    }


def full_text(record: Record) -> Iterator[str]:
    """Every message of a record, and its rejected answer; lines of a text keep their own breaks."""
    yield from _messages(record["messages"], "")
    if record["rejected"]:
        yield from _messages(record["rejected"], "rejected ")


def _messages(messages: Iterable[Mapping[str, Any]], before: str) -> Iterator[str]:
    for message in messages:
        name = f" ({printable_line(message['name'])})" if message["name"] else ""
        if message["reasoning"]:
            yield _indented(f"{before}{message['role']}{name} thinks: {message['reasoning']}")
        # A message that only thinks or calls has no text of its own.
        if message["content"] or not (message["reasoning"] or message["tool_calls"]):
            yield _indented(f"{before}{message['role']}{name}: {message['content'] or ''}")
        for call in loads_exact(message["tool_calls"] or "[]"):
            yield _indented(f"  {before}{message['role']}{name} calls {dumps(call)}")


def _indented(text: str) -> str:
    first, *others = text.split("\n")
    return "\n".join([f"  {first}", *(f"    {line}" if line else "" for line in others)])


def brief(record: Record, hit: re.Pattern[str] | None = None) -> Iterator[str]:
    """The prompt and the response, a line each, cut; what `hit` matches is in [brackets].

    Where else it matches (reasoning, calls, the rejected answer) is a line too.
    """
    for name, text in _parts(record).items():
        match = hit.search(text) if hit else None
        if match or (name in ("prompt", "response") and (text or name == "response")):
            yield f"  {name}: {one_line(excerpt(text, match[0] if match else None, BRIEF))}"


def hits(record: Record, hit: re.Pattern[str]) -> list[str]:
    """The lines of `brief` in which something matches."""
    matching = [name for name, text in _parts(record).items() if hit.search(text)]
    return [line for line in brief(record, hit) if line.strip().partition(": ")[0] in matching]


def answer(record: Record) -> str:
    """All that the assistant says."""
    return _parts(record)["response"]


def _parts(record: Record) -> dict[str, str]:
    messages, rejected = record["messages"], record["rejected"] or []
    answers = [message for message in messages if message["role"] == "assistant"]
    others = [message for message in messages if message["role"] != "assistant"]
    return {
        "prompt": _joined(others, "content"),
        "response": _joined(answers, "content"),
        "reasoning": _joined(messages, "reasoning"),
        "calls": _joined(messages, "tool_calls"),
        "rejected": _joined(rejected, "content", "reasoning", "tool_calls"),
    }


def _joined(messages: Iterable[Mapping[str, Any]], *fields: str) -> str:
    texts = (message[field] for message in messages for field in fields)
    return "\n\n".join(text for text in texts if text)


def one_line(pieces: Iterable[Piece]) -> str:
    """An excerpt with its marks in [brackets] and without line breaks."""
    return " ".join("".join(map(_shown, pieces)).split())


def _shown(piece: Piece) -> str:
    if piece.kind == "mark":
        return f"[{piece.text}]"
    return f" {piece.text} " if piece.kind == "cut" else piece.text


def number(score: float) -> str:
    """A count as it is, anything else in four digits."""
    is_count = abs(score) < 1e15 and score == int(score)
    return f"{score:.0f}" if is_count else f"{score:.4g}"
