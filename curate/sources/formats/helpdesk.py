"""Tickets of a help desk: the one who asks is known, and staff answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from curate.sources.formats.people import Utterance, answering, conversation
from curate.sources.formats.posts import as_text
from curate.sources.shared.convert import Conversation, Reject, Row, list_of, object_of, text_of

PRIVATE = "private notes of the staff are left out"
_BODIES = ("plain_body", "body", "html_body")


def is_zendesk(row: Row) -> bool:
    """`{id, subject, description, requester_id, comments: [{author_id, body, public}]}`."""
    comments = row.get("comments")
    return isinstance(comments, list) and any(
        isinstance(comment, dict)
        and "author_id" in comment
        and any(body in comment for body in _BODIES)
        for comment in comments
    )


def zendesk(row: Row, answerer: str | None = None) -> list[Conversation]:
    """The requester is the user, everybody else the assistant; or only who is named answers."""
    if isinstance(row.get("ticket"), dict):
        row = {**row["ticket"], **row}
    comments = [
        object_of(comment, f"comment {number}") for number, comment in enumerate(row["comments"], 1)
    ]
    public = [comment for comment in comments if comment.get("public") is not False]
    notes = [PRIVATE] if len(public) < len(comments) else []
    requester = _person(row.get("requester_id"))
    said = _opened(row, [_comment(each, number) for number, each in enumerate(public, 1)])
    answers = {each.person for each in said if each.person != requester}
    if answerer is not None or not requester:
        answers = answering(said, answerer)
    elif len(answers) > 1:
        notes.append("whoever is not the requester of a ticket answers")
    used = ("ticket", "subject", "description", "comments")
    return [conversation(row, said, answers, used, notes)]


def _person(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _comment(comment: Row, number: int) -> Utterance:
    where = f"comment {number}"
    person = _person(comment.get("author_id"))
    if not person:
        raise Reject("wrong_type", f"{where} has no author_id")
    author = comment.get("author")
    name = author.get("name") if isinstance(author, dict) else None
    names = (name,) if isinstance(name, str) and name else ()
    body = next((comment[each] for each in _BODIES if comment.get(each) is not None), None)
    return Utterance(person, names, as_text(body, where).strip())


def _opened(row: Row, said: list[Utterance]) -> list[Utterance]:
    """What was said, with the subject and the description before it, if these are not in it."""
    subject = text_of(row.get("subject"), "subject").strip()
    description = text_of(row.get("description"), "description").strip()
    said = [each for each in said if each.text]
    requester = _person(row.get("requester_id")) or next((each.person for each in said), "")
    if said and said[0].text == description:
        description = ""
    first = "\n\n".join(text for text in (subject, description) if text)
    if not first:
        return said
    if not description and said and said[0].person == requester:
        return [said[0]._replace(text=f"{first}\n\n{said[0].text}"), *said[1:]]
    names = next((each.names for each in said if each.person == requester), ())
    return [Utterance(requester, names, first), *said]


def is_intercom(row: Row) -> bool:
    """`{source: {body, author}, conversation_parts: {conversation_parts: [{body, author}]}}`."""
    parts = row.get("conversation_parts")
    source = row.get("source")
    return isinstance(source, dict) and "author" in source and isinstance(parts, list | dict)


# Who asks, by the type of the author; all others are staff, or its bot.
_CUSTOMERS = ("user", "lead", "contact")


def intercom(row: Row) -> list[Conversation]:
    """Users and leads are the user; admins and bots are the assistant."""
    given = row["conversation_parts"]
    inner = given.get("conversation_parts") if isinstance(given, dict) else given
    parts = list_of(inner or [], "conversation_parts")
    said: list[Utterance] = []
    staff: set[str] = set()
    private = False
    for number, part in enumerate([row["source"], *parts]):
        part = object_of(part, f"part {number}")
        if part.get("part_type") == "note":
            private = True
            continue
        one, asks = _part(part, f"part {number}")
        said += [one] if one.text else []
        staff |= set() if asks else {one.person}
    notes = [PRIVATE] if private else []
    return [conversation(row, _titled(said, row), staff, ("source", "conversation_parts"), notes)]


def _part(part: Row, where: str) -> tuple[Utterance, bool]:
    author = object_of(part.get("author"), f"{where} author")
    kind, name = author.get("type"), author.get("name")
    person = f"{kind} {_person(author.get('id'))}"
    names = (name,) if isinstance(name, str) and name else ()
    return Utterance(person, names, as_text(part.get("body"), where).strip()), kind in _CUSTOMERS


def _titled(said: Sequence[Utterance], row: Row) -> list[Utterance]:
    subject = as_text(row["source"].get("subject"), "subject").strip()
    if not said or not subject:
        return list(said)
    return [said[0]._replace(text=f"{subject}\n\n{said[0].text}"), *said[1:]]
