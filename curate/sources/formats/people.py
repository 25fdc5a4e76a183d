"""Conversations of several people, one of whom gives the answers if the user says who."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from curate.sources.shared.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    checked,
    labelled,
    list_of,
    object_of,
    text_of,
)


class Utterance(NamedTuple):
    """What one person said: the person's id, all names of the person, and the words."""

    person: str
    names: tuple[str, ...]
    text: str

    @property
    def name(self) -> str:
        """The name that is shown: the first one, or else the id."""
        return next(iter(self.names), self.person)


def exported(row: Row) -> Row:
    """The row without what its reader says of it."""
    return {name: value for name, value in row.items() if name not in ("several_people", "notes")}


def is_people(row: Row) -> bool:
    """A channel or a thread of Slack, Discord or Telegram (`--answerer` names who answers)."""
    return isinstance(row.get("said"), list) and isinstance(row.get("several_people"), str)


def people(row: Row, answerer: str | None = None) -> list[Conversation]:
    """The answerer is the assistant, all others are the user; see `conversation`."""
    said = []
    for number, entry in enumerate(list_of(row["said"], "said"), 1):
        entry = object_of(entry, f"message {number}")
        names = list_of(entry.get("user_names") or [], f"message {number} names")
        texts = [text_of(value, f"message {number}") for value in (entry.get("text"), *names)]
        person = text_of(entry.get("user_id"), f"message {number} user_id")
        said.append(Utterance(person, tuple(texts[1:]), texts[0]))
    notes = [text_of(note, "notes") for note in list_of(row.get("notes") or [], "notes")]
    used = ("several_people", "said", "notes")
    return [conversation(row, said, answering(said, answerer), used, notes)]


def answering(said: Sequence[Utterance], answerer: str | None) -> set[str]:
    """The id of the person whose messages are the answers, or a reject that asks for it."""
    people = {each.person: each for each in said}
    if len(people) < 2:
        names = ", ".join(each.name for each in people.values()) or "nobody"
        raise Reject("no_answer", f"only {names} speaks here")
    if answerer is None:
        raise Reject("several_people", f"{_counted(said)}; who answers? {_proposal(said)}")
    wanted = answerer.casefold()
    if any(person.casefold() == wanted for person in people):
        return {person for person in people if person.casefold() == wanted}
    # One person may have had another name before: every message is asked.
    named = {each.person for each in said if wanted in map(str.casefold, each.names)}
    if not named:
        raise Reject("no_answer", f"{answerer} does not speak here; {_counted(said)}")
    if len(named) > 1:
        ids = ", ".join(sorted(named))
        raise Reject("several_people", f"{answerer} is the name of {len(named)} people: {ids}")
    return named


def _counted(said: Sequence[Utterance]) -> str:
    """The people, by name and number of messages, those who say most first."""
    counts: dict[str, int] = {}
    shown = {}
    for each in said:
        counts[each.person] = counts.get(each.person, 0) + 1
        shown[each.person] = each.name
    order = sorted(counts, key=lambda person: -counts[person])
    some = ", ".join(f"{shown[person]} ({counts[person]})" for person in order[:8])
    more = f" and {len(order) - 8} more" if len(order) > 8 else ""
    return f"{len(order)} people speak: {some}{more}"


def _proposal(said: Sequence[Utterance]) -> str:
    """Whoever says most of those who did not begin is the likeliest to answer."""
    others = [each.person for each in said if each.person != said[0].person]
    person = max(dict.fromkeys(others), key=others.count)
    return f"--answerer {person}"


def conversation(
    row: Row,
    said: Sequence[Utterance],
    answers: set[str],
    used: tuple[str, ...],
    notes: Sequence[str],
) -> Conversation:
    """What people said, as turns: what one side says in a row is one message, line by line.

    Where several others speak, their names stand before their words. What nobody answers any more
    is left out, and the notes say so.
    """
    notes = list(notes)
    several = len({each.person for each in said if each.person not in answers}) > 1
    messages: list[Message] = []
    for each in said:
        role = "assistant" if each.person in answers else "user"
        text = f"{each.name}: {each.text}" if several and role == "user" else each.text
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += f"\n{text}"
        else:
            messages.append({"role": role, "content": text})
    checked(messages)
    if messages[-1]["role"] == "user":
        messages.pop()
        notes.append("what is said after the last answer is left out")
    if several:
        notes.append("several people ask: their names stand before their words")
    return labelled(row, messages, used, notes=tuple(sorted(notes)))
