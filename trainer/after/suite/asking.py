"""Prompts answered, each answer kept on the disk, so that none is written twice.

An answer is known again by its key: the model's hash, the prompt's tokens, and how it is written.
Which prompts are answered together depends on all of them, known or not, so that a run that goes on
gives the bytes that one run would have given.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.base.folder import writing
from trainer.after import chat
from trainer.after.chat import Sampling, Talker
from trainer.after.suite.progress import Counted, Log
from trainer.result import Answer


@dataclasses.dataclass(frozen=True)
class Asked:
    """A prompt to be answered: whose it is, and what the model reads."""

    part: str  # the file, or "instructions"
    id: str
    prompt_ids: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Written:
    """An answer: its text without the stop, how many tokens it has, whether it ended by itself."""

    key: str
    part: str
    id: str
    prompt: str
    answer: str
    tokens: int
    stopped: bool

    def line(self, model: str) -> str:
        """A line of JSON for `answers.jsonl`."""
        row = {"model": model, **dataclasses.asdict(self)}
        return json.dumps(row, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")


class Kept:
    """Answers by key: those that earlier runs wrote, and a file that new ones are added to.

    `path` is None where nothing is kept.
    """

    def __init__(self, path: Path | None, known: Mapping[str, dict[str, Any]]) -> None:
        self.path, self.known = path, dict(known)

    def add(self, model: str, answers: Sequence[Written]) -> None:
        """Remember answers, on the disk as well, at once."""
        self.known |= {each.key: dataclasses.asdict(each) for each in answers}
        if self.path is not None:
            with writing(self.path), self.path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{each.line(model)}\n" for each in answers))


def read_kept(paths: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """The answers in files of answers, by key; a line that is not whole is passed over."""
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        lines = path.read_bytes().splitlines() if path.is_file() else []
        for line in lines:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):  # the last line of a run that was killed, damage
                continue
            if isinstance(row, dict) and _is_answer(row):
                found[row["key"]] = row
    return found


def _is_answer(row: Mapping[str, Any]) -> bool:
    kinds = {"key": str, "answer": str, "tokens": int, "stopped": bool}
    return all(type(row.get(name)) is kind for name, kind in kinds.items())


def key_of(
    talker: Talker, model_hash: str, prompt: Sequence[int], sampling: Sampling, at: int
) -> str:
    """What an answer depends on, as 32 hex digits.

    `at` is the number of the prompt, which what is drawn depends on; at temperature 0 neither it
    nor the seed matters.
    """
    drawn = [sampling.temperature, sampling.seed, at] if sampling.temperature else []
    stops = [sorted(talker.stop_ids), list(talker.stop_strings)]
    room = talker.room(prompt, sampling.max_tokens)
    text = json.dumps([model_hash, list(prompt), room, stops, drawn])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def ask(
    talker: Talker,
    model: str,
    model_hash: str,
    asked: Sequence[Asked],
    sampling: Sampling,
    kept: Kept,
    log: Log,
) -> list[Written]:
    """An answer to each prompt, in their order; all of them leave room for one.

    `model` is the name that stands in the file of answers.
    """
    prompts = [each.prompt_ids for each in asked]
    chat.check_room(talker, prompts)
    keys = [
        key_of(talker, model_hash, prompt, sampling, number)
        for number, prompt in enumerate(prompts)
    ]
    groups = list(chat.groups(talker, prompts, sampling))
    new = [group for group in groups if any(keys[number] not in kept.known for number in group)]
    if left := sum(map(len, groups)) - sum(map(len, new)):
        log(f"{left:,} of {len(asked):,} answers were written before")
    counted = Counted(log, "answers written", sum(map(len, new)), float(len(new)))
    for group in new:
        made = chat.answer_group(talker, prompts, sampling, group)
        kept.add(
            model,
            [
                _written(talker, keys[number], asked[number], answer)
                for number, answer in zip(group, made, strict=True)
            ],
        )
        counted.add(len(group), 1.0)
    return [_known(talker, one, kept.known[key]) for one, key in zip(asked, keys, strict=True)]


def _written(talker: Talker, key: str, asked: Asked, answer: Answer) -> Written:
    prompt = talker.decode(list(asked.prompt_ids))
    text = (answer.text or "").encode("utf-8", "replace").decode("utf-8")
    return Written(key, asked.part, asked.id, prompt, text, len(answer.ids), answer.stopped)


def _known(talker: Talker, asked: Asked, row: Mapping[str, Any]) -> Written:
    prompt = talker.decode(list(asked.prompt_ids))
    return Written(
        row["key"], asked.part, asked.id, prompt, row["answer"], row["tokens"], row["stopped"]
    )
