"""StackExchange: paired answers, answers with votes, and raw posts (HTML to text)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from curate.sources.formats.pairs import asked
from curate.sources.shared.convert import (
    Conversation,
    Joined,
    Reject,
    Row,
    assistant,
    number_of,
    object_of,
    text_of,
    user,
)


def is_paired(row: Row) -> bool:
    """`{qid, question, date, metadata, response_j, response_k}`: j got more votes than k."""
    return "question" in row and "response_j" in row and "response_k" in row


def paired(row: Row) -> list[Conversation]:
    """The better-voted answer; the other one is kept as rejected."""
    question = user(as_text(row["question"], "question"))
    sides = ("response_j", "response_k")
    chosen, rejected = (assistant(as_text(row[name], name)) for name in sides)
    return [Conversation([question, chosen], ("question", *sides), rejected=[rejected])]


def is_answers(row: Row) -> bool:
    """`{qid, question, answers: [{answer_id, pm_score | score, selected, text, author}]}`."""
    answers = row.get("answers")
    return (
        "question" in row
        and isinstance(answers, list)
        and all(isinstance(answer, dict) for answer in answers)
    )


def answers(row: Row) -> list[Conversation]:
    """Every answer is a conversation with its votes as score; the prompt is the same."""
    if not row["answers"]:
        raise Reject("no_answer", "answers is empty")
    conversations = []
    for number, answer in enumerate(row["answers"], 1):
        content = as_text(answer.get("text", answer.get("body")), f"answer {number}")
        votes, _ = number_of(answer, ("pm_score", "score", "votes"))
        messages = [user(as_text(row["question"], "question")), assistant(content)]
        conversations.append(Conversation(messages, ("question",), score=votes))
    return conversations


def is_post(row: Row) -> bool:
    """A raw post of a data dump: `{Id, PostTypeId, ParentId?, Score, Title?, Body}`."""
    return "PostTypeId" in row and "Body" in row and "Id" in row


def gather(rows: list[tuple[int, Row]]) -> Iterator[Joined]:
    """Questions and answers joined: one row an answer, at the answer's line.

    Answers without their question, questions without an answer, and questions whose id an earlier
    one bears are rejects.
    """
    questions: dict[str, Row] = {}
    for _, row in rows:
        if str(row["PostTypeId"]) == "1":
            questions.setdefault(str(row["Id"]), row)
    answered = {str(row.get("ParentId")) for _, row in rows if str(row["PostTypeId"]) == "2"}
    for line, row in rows:
        kind, parent = str(row["PostTypeId"]), questions.get(str(row.get("ParentId")))
        if kind == "2" and parent is not None:
            yield Joined(line, {"question_post": dict(parent), "answer_post": dict(row)})
        elif kind == "2":
            wanted = row.get("ParentId")
            yield Joined(line, row, f"orphan: its question {wanted!r} is not in this file")
        elif kind == "1" and questions[str(row["Id"])] is not row:
            yield Joined(line, row, f"orphan: an earlier question has the id {row['Id']!r} too")
        elif kind != "1" or str(row["Id"]) not in answered:
            yield Joined(line, row, "no_answer: a post that no answer in this file belongs to")


def is_joined(row: Row) -> bool:
    """Raw posts, a question and one of its answers, that were put together."""
    return isinstance(row.get("question_post"), dict) and isinstance(row.get("answer_post"), dict)


def joined(row: Row) -> list[Conversation]:
    """Title and body of the question; the answer's body, its votes as score."""
    question, answer = (object_of(row[name], name) for name in ("question_post", "answer_post"))
    if answer.get("Body") is None:
        raise Reject("no_answer", "the answer's post has no Body")
    title = text_of(question.get("Title"), "Title")
    asks = asked(title, as_text(question.get("Body"), "Body"))
    answers = assistant(as_text(answer["Body"], "Body"))
    try:
        score = float(answer.get("Score", ""))
    except (TypeError, ValueError):
        score = None
    return [Conversation([asks, answers], (), score=score)]


def as_text(value: Any, field: str) -> str:
    """HTML as Markdown, so that code, lists and links keep their meaning; plain text as it is."""
    text = text_of(value, field)
    if "<" not in text or not any(tag in text for tag in ("</", "<br", "<p>", "<p ", "<img")):
        return text
    from markdownify import markdownify

    try:
        return str(markdownify(text, heading_style="ATX", bullets="-")).strip()
    except RecursionError as error:
        raise Reject("wrong_type", f"{field} holds HTML that is nested too deeply") from error
