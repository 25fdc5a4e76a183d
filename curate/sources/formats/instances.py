"""Formats in which one row holds several examples, or hides them one level down."""

from __future__ import annotations

from curate.sources.formats.pairs import asked
from curate.sources.shared.convert import (
    Conversation,
    Reject,
    Row,
    assistant,
    described,
    first_name,
    text_of,
    user,
)


def is_self_instruct(row: Row) -> bool:
    """Self-Instruct seeds: `{id, name, instruction, instances: [{input, output}]}`."""
    return "instruction" in row and isinstance(row.get("instances"), list)


def self_instruct(row: Row) -> list[Conversation]:
    """One conversation an instance."""
    conversations = []
    instruction = text_of(row["instruction"], "instruction")
    for number, instance in enumerate(row["instances"], 1):
        if not isinstance(instance, dict) or "output" not in instance:
            raise Reject("no_answer", f"instance {number} has no output")
        question = asked(instruction, text_of(instance.get("input"), "input"))
        answer = assistant(text_of(instance["output"], "output"))
        conversations.append(Conversation([question, answer], ("instruction", "instances")))
    if not conversations:
        raise Reject("no_answer", "instances is empty")
    return conversations


def is_request(row: Row) -> bool:
    """Requests of an evaluation harness: `{doc: {prompt, canonical_solution | ...}, ...}`."""
    doc = row.get("doc")
    return isinstance(doc, dict) and "prompt" in doc


def request(row: Row) -> list[Conversation]:
    """The document's prompt and its reference solution."""
    doc = row["doc"]
    name = first_name(doc, ("canonical_solution", "answer", "target"))
    if name is None:
        raise Reject("no_answer", f"doc has the fields {', '.join(doc)}; none is a solution")
    if not isinstance(doc[name], str):
        raise Reject("wrong_type", f"doc.{name} is {described(doc[name])}; expected text")
    question = user(text_of(doc["prompt"], "doc.prompt"))
    return [Conversation([question, assistant(doc[name])], ())]
