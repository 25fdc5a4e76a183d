"""Conversations written out as one text: HH-RLHF, BELLE, Baize, guanaco, and plain text."""

from __future__ import annotations

import re

from curate.sources.convert import Conversation, Message, Reject, Row, assistant, checked, text_of

# A transcript's two speakers go by one of these pairs of names; only the pair that it begins
# with splits it, so that "Answer:" inside somebody's text stays text.
_PAIRS = (("Human", "Assistant|AI"), ("User", "Assistant|AI"), ("Question", "Answer"))
# At the start of a line. `### Human:` is guanaco's, `[|Human|]` Baize's.
_MARK = r"(?:^|\n)[ \t]*(?:#{{2,3}} ?)?(?:\[\|)?({user}|{assistant})(?:\|\]|:)[ \t]*"
_SPLITS = {user: re.compile(_MARK.format(user=user, assistant=other)) for user, other in _PAIRS}


def turns_of(text: str) -> list[Message]:
    """The turns of a transcript; text before the first speaker is the system's.

    >>> turns_of("Human: Hi\\n\\nAssistant: Hello")[1]
    {'role': 'assistant', 'content': 'Hello'}
    """
    user, split = _split_for(text)
    pieces = split.split(text)
    messages: list[Message] = []
    if pieces[0].strip():
        messages.append({"role": "system", "content": pieces[0].strip()})
    for speaker, content in zip(pieces[1::2], pieces[2::2], strict=True):
        role = "user" if speaker == user else "assistant"
        messages.append({"role": role, "content": content.strip()})
    return messages


def _split_for(text: str) -> tuple[str, re.Pattern[str]]:
    """The pair of names whose first mark comes first."""
    first_marks = [
        (match.start(), user) for user, split in _SPLITS.items() if (match := split.search(text))
    ]
    user = min(first_marks)[1] if first_marks else _PAIRS[0][0]
    return user, _SPLITS[user]


def is_transcript(text: object) -> bool:
    """Whether a text begins with a speaker's name."""
    if not isinstance(text, str):
        return False
    start = text.lstrip()[:40]
    return any(split.match(start) for split in _SPLITS.values())


def is_belle(row: Row) -> bool:
    """Alpaca's fields with a whole transcript inside `instruction`, ending at the answer."""
    instruction = row.get("instruction")
    return is_transcript(instruction) and "output" in row and "Assistant:" in str(instruction)


def belle(row: Row) -> list[Conversation]:
    """The transcript's turns; `output` is what the assistant says last."""
    messages = turns_of(row["instruction"])
    if messages[-1]["role"] == "assistant" and not messages[-1]["content"]:
        messages.pop()
    messages.append(assistant(text_of(row["output"], "output")))
    return [Conversation(checked(messages), ("instruction", "input", "output"))]


def is_baize(row: Row) -> bool:
    """`{topic, input: "... [|Human|] ... [|AI|] ..."}`."""
    return isinstance(row.get("input"), str) and "[|Human|]" in row["input"]


def baize(row: Row) -> list[Conversation]:
    """The transcript without its preamble; a last empty turn of the user is none."""
    messages = [turn for turn in turns_of(row["input"]) if turn["role"] != "system"]
    while messages and messages[-1]["role"] == "user" and not messages[-1]["content"]:
        messages.pop()
    return [Conversation(checked(messages), ("input",))]


def is_red_team(row: Row) -> bool:
    """`{transcript, ...}` of a red-teaming session."""
    return is_transcript(row.get("transcript"))


def red_team(row: Row) -> list[Conversation]:
    """The whole session, turn by turn."""
    return [Conversation(checked(turns_of(row["transcript"])), ("transcript",))]


def is_text(row: Row) -> bool:
    """`{text}` and nothing that another format knows."""
    return isinstance(row.get("text"), str)


def text(row: Row) -> list[Conversation]:
    """A transcript where speakers are named; any other text is one answer without a prompt."""
    content = row["text"]
    if not content.strip():
        raise Reject("empty_conversation", "text is empty")
    if is_transcript(content):
        return [Conversation(checked(turns_of(content)), ("text",))]
    return [Conversation([assistant(content)], ("text",))]
