"""A prompt and its completion, each as text or as messages: TRL's formats, and KTO's."""

from __future__ import annotations

from typing import Any

from curate.sources.shared.convert import (
    ANSWERS,
    Conversation,
    Message,
    Reject,
    Row,
    assistant,
    checked,
    first_name,
    labelled,
    list_of,
    system_of,
    text_of,
    tool_schemas,
    user,
)
from curate.sources.shared.transcripts import answered, opened
from curate.sources.shared.turns import message_of, turns_in
from curate.sources.shared.undesirable import is_judged

_COMPLETIONS = ("completion", *ANSWERS)


def is_conversational(row: Row) -> bool:
    """`{prompt: [messages], completion: [messages]}` (TRL); either of them may be text."""
    if _is_turns(row.get("prompt")):
        return True
    completion = row.get("completion")
    turn = isinstance(completion, dict) and ("role" in completion or "from" in completion)
    return isinstance(row.get("prompt"), str) and (turn or _is_turns(completion))


def _is_turns(value: Any) -> bool:
    """Whether a value is a list of messages; an empty one is none."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def conversational(row: Row) -> list[Conversation]:
    """The prompt's messages and the completion's; a text is what the one or the other says."""
    name = first_name(row, _COMPLETIONS)
    if name is None:
        raise Reject("no_answer", f"none of the fields {', '.join(_COMPLETIONS)} is there")
    messages, notes = _joined(row, name)
    used = ("prompt", name, *(("system",) if "system" in row else ()), "tools")
    tools = tool_schemas(row.get("tools"))
    return [labelled(row, checked(messages), used, tools=tools, notes=notes)]


def _joined(row: Row, name: str) -> tuple[list[Message], tuple[str, ...]]:
    prompt, completion = row.get("prompt"), row[name]
    system = system_of(row)
    if isinstance(prompt, str) and isinstance(completion, str):
        found = answered(prompt, completion)
        if found is not None:
            return system + found.messages, found.notes
        return [*system, user(prompt), assistant(completion)], ()
    before, notes = prompt_turns(prompt)
    if isinstance(completion, str):
        return [*system, *before, assistant(completion)], notes
    given = [completion] if isinstance(completion, dict) else list_of(completion, name)
    if not given:
        raise Reject("no_answer", f"{name} is empty")
    said = [message_of(turn, number) for number, turn in enumerate(given, 1)]
    # A completion may repeat the prompt that it answers.
    repeats = len(said) > len(before) and said[: len(before)] == before
    return [*system, *(said if repeats else before + said)], notes


def prompt_turns(prompt: Any) -> tuple[list[Message], tuple[str, ...]]:
    """The messages of a prompt, given as messages, as a transcript or as the user's words.

    And what was assumed of it.
    """
    if not isinstance(prompt, str | None):
        return turns_in([prompt] if isinstance(prompt, dict) else prompt), ()
    text = text_of(prompt, "prompt")
    found = opened(text)
    if found is not None:
        return found.messages, found.notes
    return [user(text)], ()


def is_kto(row: Row) -> bool:
    """`{prompt, completion, label | kto_tag: true or false}`; any row may have the label."""
    return "prompt" in row and "completion" in row and is_judged(row)


def kto(row: Row) -> list[Conversation]:
    """The prompt and its completion; what the label says is read for rows of any format."""
    return conversational(row)
