"""Conversations written out as one text: HH-RLHF, BELLE, Baize, guanaco, and plain text."""

from __future__ import annotations

import re
from functools import lru_cache

from curate.sources.shared.convert import (
    Message,
    assistant,
)
from curate.sources.shared.renderings import Written, rendering

# A transcript's two speakers go by one of these pairs of names; only the pair that it begins
# with splits it, so that "Answer:" inside somebody's text stays text.
_PAIRS = {
    "Human": "Assistant|AI",
    "User": "Assistant|AI|Response",
    "Question": "Answer",
    "human": "assistant|bot|gpt",
    "user": "assistant|bot|ai",
    "Customer": "Agent|Assistant",
}
# Who answers, where nobody of these does.
_ELSE = {"Human": "Bot|Chatbot", "User": "Bot|Chatbot|Agent", "Customer": "Support|Representative"}
# These begin many texts that are no transcripts: one is where somebody answers, too.
_LOOSE = ("human", "user", "Customer")
# `### Human:` is guanaco's, `[|Human|]` Baize's, `<human>:` OIG's.
_SIGN = r"(#{{2,3}}(?!#) ?|\[\||<)?({names})(?:\|\]:?|>?:)"
_ANYBODY = "|".join((*_PAIRS, "System", "Assistant", "AI"))
_BEGINS = re.compile(rf"\s*{_SIGN.format(names=_ANYBODY)}")
_FIRST = re.compile(rf"(?:^|\n)[ \t]*{_SIGN.format(names='|'.join(_PAIRS))}")


def turns_of(text: str) -> list[Message]:
    """The turns of a transcript; text before the first speaker is the system's.

    >>> turns_of("Human: Hi\\n\\nAssistant: Hello")[1]
    {'role': 'assistant', 'content': 'Hello'}
    """
    first = _FIRST.search(text) or re.search(rf"{_SIGN.format(names='|'.join(_PAIRS))}", text)
    if first is None:
        return [{"role": "system", "content": text.strip()}] if text.strip() else []
    user = first[2]
    answering = _answering(text, user)
    for split in _splits(user, answering, first[1] or "", text.startswith("\n\n")):
        pieces = split.split(text)
        if any(re.fullmatch(answering, speaker) for speaker in pieces[1::2]):
            break
    messages: list[Message] = []
    if pieces[0].strip():
        messages.append({"role": "system", "content": pieces[0].strip()})
    for speaker, content in zip(pieces[1::2], pieces[2::2], strict=True):
        role = {user: "user", "System": "system"}.get(speaker, "assistant")
        messages.append({"role": role, "content": content.strip()})
    if first[1] and first[1].startswith("#"):  # early guanaco and Vicuna also end in the mark
        messages[-1]["content"] = messages[-1]["content"].removesuffix("###").rstrip()
    return messages


def _answering(text: str, user: str) -> str:
    """The names of who answers: the usual ones, or others where none of them speaks."""
    usual, others = _PAIRS[user], _ELSE.get(user)
    if others and not _speaks(usual).search(text) and _speaks(others).search(text):
        return others
    return usual


@lru_cache
def _speaks(names: str) -> re.Pattern[str]:
    return re.compile(rf"(?:^|\n|#)[ \t]*(?:#{{2,3}} ?|\[\||<)?(?:{names})(?:\|\]:?|>?:)")


@lru_cache
def _splits(user: str, answering: str, decor: str, spaced: bool) -> tuple[re.Pattern[str], ...]:
    """Where a transcript's turns begin, the strictest way first.

    `### ` marks a turn wherever it stands; a bare name does at the start of a line, and in a text
    that begins with a blank line (HH-RLHF) only after a blank line.
    """
    names = f"({user}|{answering}|System)"
    if decor.startswith("#"):
        return (re.compile(rf"(?<!#){decor.strip()} ?{names}:[ \t]*"),)
    if decor == "<":
        return (re.compile(rf"(?:^|\n)[ \t]*<{names}>:[ \t]*"),)
    if decor:
        return (re.compile(rf"(?:^|\n)[ \t]*\[\|{names}\|\]:?[ \t]*"),)
    lines = re.compile(rf"(?:^|\n)[ \t]*{names}:[ \t]*")
    after_blank = re.compile(rf"(?:^\s*|\n[ \t]*\n[ \t]*){names}:[ \t]*")
    return (after_blank, lines) if spaced else (lines,)


def is_transcript(text: object) -> bool:
    """Whether a text begins with a speaker's name: the user's, or another's before the user's."""
    if not isinstance(text, str):
        return False
    begins = _BEGINS.match(text)
    if begins is not None and begins[2] in _LOOSE:
        return _speaks(_PAIRS[begins[2]]).search(text, begins.end()) is not None
    return begins is not None and (
        begins[2] in _PAIRS or _FIRST.search(text, begins.end()) is not None
    )


def may_hold_turns(text: str) -> bool:
    """One cheap look: whether a text begins as transcripts and renderings do."""
    return _LOOK.match(text) is not None


_LOOK = re.compile(
    r"\s*(?:[<\[]|#{2,3} ?[A-Z]|(?:Human|User|Question|Customer|System|Assistant|AI|USER|SYSTEM):"
    r"|A chat between |Below is an instruction that)",
    re.IGNORECASE,
)


def written_turns(text: str) -> Written | None:
    """The turns of a text that is a rendering of a template or a transcript; else None.

    `is_open` says that it ends where the assistant is to speak.
    """
    found = rendering(text)
    if found is not None or not is_transcript(text):
        return found
    messages = turns_of(text)
    is_open = messages[-1]["role"] == "assistant" and not messages[-1]["content"]
    return Written(messages[:-1] if is_open else messages, is_open)


def answered(prompt: str, answer: str) -> Written | None:
    """The turns of a prompt that holds a whole conversation, and of the answer to it.

    None where the prompt is none, or does not end where the assistant is to speak: then it is
    text that may talk about a conversation.
    """
    before = opened(prompt)
    if before is None:
        return None
    whole = written_turns(prompt + answer)
    if whole and not whole.is_open and _goes_on(before.messages, whole.messages):
        return whole._replace(notes=before.notes)
    return before._replace(messages=[*before.messages, assistant(spoken(answer))])


def opened(prompt: str) -> Written | None:
    """The turns of a prompt that ends where the assistant is to speak; None for any other."""
    before = written_turns(prompt)
    if before is None or not before.messages or before.messages[-1]["role"] != "user":
        return None
    # "User: why?" may be somebody's words; what a template rendered is not.
    if not before.is_open and not before.notes and not prompt.startswith("\n\n"):
        return None
    # "Question: ... Answer:" is how exercises are set, not how people speak.
    if not before.notes and _first_speaker(prompt) == "Question":
        return None
    note = "a transcript in the prompt is read as turns"
    return before if before.notes else before._replace(notes=(note,))


def _first_speaker(text: str) -> str:
    begins = _BEGINS.match(text)
    return begins[2] if begins else ""


def _goes_on(before: list[Message], whole: list[Message]) -> bool:
    """Whether `whole` is `before` and an answer, perhaps with more questions and answers."""
    rest = [turn["role"] for turn in whole[len(before) :]]
    in_turn = rest == (["assistant", "user"] * len(rest))[: len(rest)]
    return whole[: len(before)] == before and len(rest) % 2 == 1 and in_turn


def spoken(answer: str) -> str:
    """What is said after a mark that ends a prompt: without the space between."""
    return answer.strip("\r\n").removeprefix(" ").rstrip()
