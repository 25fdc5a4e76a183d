"""Prompts of a file answered by a model, one line of JSON for each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

import templates
from curate import sources
from curate.base.errors import CurateError, one_line
from curate.base.folder import write_atomic, writing
from curate.base.json_text import dumps, loads_exact
from curate.base.log import Log
from curate.base.messages import message_json
from curate.base.places import check_place
from curate.base.schema import content_id
from curate.base.spelling import option
from curate.unanswered import answered

if TYPE_CHECKING:
    from trainer.after.chat import Sampling, Talker


@dataclass(frozen=True)
class Prompt:
    """What a model is asked: messages as templates read them, and the row's id."""

    id: str
    messages: list[dict[str, Any]]
    tools: list[Any] | None
    place: str


def read_prompts(path: str | PathLike[str]) -> list[Prompt]:
    """The prompts of a file: lines of text (`.txt`), or rows in any shape that `sources` knows.

    What a row has after the last message that is not the assistant's is left out; a row without
    any answer is read as well. Raises `CurateError` for a row that cannot be read.
    """
    name = fspath(path)
    if not Path(name).is_file():
        raise CurateError(f"{name}: there is no such file of prompts")
    if Path(name).suffix.lower() == ".txt":
        return list(_lines(name))
    dump = sources.read([name])
    found = [(line, prompt) for frame in _frames(dump) for line, prompt in _rows(frame, name)]
    for source, line, reason, raw in dump.iter_rejects():
        if not str(reason).startswith("no_answer"):
            raise CurateError(f"{source}:{line}: is no prompt: {reason}")
        found.append((line or 0, _unanswered(f"{source}:{line}", raw, reason)))
    return [prompt for _, prompt in sorted(found, key=lambda each: each[0])]


def _lines(name: str) -> Iterator[Prompt]:
    try:
        text = Path(name).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CurateError(f"{name}: is not UTF-8 (byte {error.start})") from error
    lines = [(number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), 1)]
    found = [
        Prompt(content_id(messages), messages, None, f"{name}:{number}")
        for number, line in lines
        if line.strip()
        for messages in [[{"role": "user", "content": line}]]
    ]
    if not found:
        raise CurateError(f"{name}: holds no line of text")
    yield from found


def _frames(dump: sources.Dump) -> Iterator[pl.DataFrame]:
    return (part.load() for part in dump.parts)


def _rows(records: pl.DataFrame, name: str) -> Iterator[tuple[int, Prompt]]:
    texts = message_json(records["messages"])
    about = records.select("messages", "line", "tools", "meta").iter_rows(named=True)
    for text, row in zip(texts, about, strict=True):
        messages = json.loads(text)
        while messages and messages[-1]["role"] == "assistant":
            messages.pop()
        if not any(message["role"] == "user" for message in messages):
            raise CurateError(f"{name}:{row['line']}: is no prompt: nobody asks anything in it")
        tools = loads_exact(row["tools"]) if row["tools"] else None
        own = loads_exact(row["meta"]).get("id") if row["meta"] else None
        known = own if isinstance(own, str | int) and not isinstance(own, bool) else None
        content = row["messages"][: len(messages)]
        number = content_id(content, row["tools"]) if known is None else str(known)
        yield row["line"], Prompt(number, messages, tools, f"{name}:{row['line']}")


def _unanswered(place: str, raw: str, reason: str) -> Prompt:
    """A row that has no answer, read with one put in its place."""
    records = answered(raw, place)
    if records is None:
        raise CurateError(f"{place}: is no prompt: {reason}")
    [(_, prompt)] = _rows(records, place)
    return Prompt(prompt.id, prompt.messages, prompt.tools, place)


def check_answers(out: str | PathLike[str], prompts: str | PathLike[str], force: bool) -> Path:
    """Where answers are written: a new file, or with `force` one of answers that is there.

    Raises `CurateError`, also for the file that holds the prompts.
    """
    place = Path(out)
    if place.is_dir():
        raise CurateError(f"{out}: is a folder; name the file to write")
    if place.exists() and place.resolve() == Path(prompts).resolve():
        raise CurateError(f"{option('out', fspath(out))} is the file of prompts itself")
    if place.is_symlink() or (place.exists() and not (force and _holds_answers(place))):
        more = "; choose another name" if force else f"; choose another, or {option('force', True)}"
        raise CurateError(
            f"{out}: is there already{' and holds no answers' if force else ''}{more}"
        )
    if not place.absolute().parent.is_dir():
        raise CurateError(f"{out}: there is no folder {place.parent}; make it first")
    check_place(place.absolute().parent / f"{place.name}.new")
    return place


def _holds_answers(path: Path) -> bool:
    """Whether a file begins with a line that was written here."""
    with path.open("rb") as file:
        first = file.readline(10_000_000)
    try:
        row = json.loads(first or b"{}")
    except (ValueError, RecursionError):
        return False
    empty = not first
    return empty or (isinstance(row, dict) and {"id", "messages", "answer", "stopped"} <= set(row))


def written(tokenizer: Any, messages: Sequence[Mapping[str, Any]], tools: Any) -> str:
    """The prompt that a tokenizer's own template writes: a stranger's, so within limits."""
    try:
        source = tokenizer.get_chat_template(None, tools)
    except ValueError as error:  # of several templates none is for this
        raise CurateError(f"no template takes these messages: {one_line(error)}") from error
    return templates.prompt_of(source, tokenizer.special_tokens_map, messages, tools)


def write_answers(
    talker: Talker,
    prompts: list[Prompt],
    system: str | None,
    sampling: Sampling,
    out: Path,
    log: Log,
) -> int:
    """Answer all prompts and write them, each a line; how many did not stop by themselves."""
    from trainer.after import chat

    asked = [_with_system(prompt.messages, system) for prompt in prompts]
    ids = []
    for prompt, messages in zip(prompts, asked, strict=True):
        try:
            ids.append(chat.prompt_ids(talker, messages, prompt.tools, written))
        except CurateError as error:
            raise CurateError(f"{prompt.place}: {error}") from error
    for prompt, numbers in zip(prompts, ids, strict=True):
        if not talker.room(numbers, 1):
            raise CurateError(
                f"{prompt.place}: has {len(numbers):,} tokens, and the model {talker.positions:,} "
                "positions, which leaves no room for an answer"
            )
    found = chat.answers(talker, ids, sampling, log)
    rows = [
        {
            "id": prompt.id,
            "messages": messages,
            **({"tools": prompt.tools} if prompt.tools else {}),
            "answer": answer.text,
            "stopped": answer.stopped,
        }
        for prompt, messages, answer in zip(prompts, asked, found, strict=True)
    ]
    with writing(out):
        write_atomic(out, "".join(f"{dumps(row)}\n" for row in rows))
    return sum(not answer.stopped for answer in found)


def _with_system(messages: list[dict[str, Any]], system: str | None) -> list[dict[str, Any]]:
    if system is None or any(message["role"] == "system" for message in messages):
        return messages
    return [{"role": "system", "content": system}, *messages]
