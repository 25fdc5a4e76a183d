"""Conversations written out as one text: HH-RLHF, BELLE, Baize, guanaco, and plain text."""

from __future__ import annotations

import re
from functools import lru_cache

from curate.sources.convert import (
    ANSWERS,
    QUESTIONS,
    Conversation,
    Message,
    Reject,
    Row,
    assistant,
    checked,
    first_name,
    labelled,
    system_of,
    text_of,
    tool_schemas,
)
from curate.sources.renderings import Written, rendering

# A transcript's two speakers go by one of these pairs of names; only the pair that it begins
# with splits it, so that "Answer:" inside somebody's text stays text.
_PAIRS = {"Human": "Assistant|AI", "User": "Assistant|AI|Response", "Question": "Answer"}
# `### Human:` is guanaco's, `[|Human|]` Baize's.
_SIGN = r"(#{{2,3}}(?!#) ?|\[\|)?({names})(?:\|\]:?|:)"
_BEGINS = re.compile(rf"\s*{_SIGN.format(names='Human|User|Question|System|Assistant|AI')}")
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
    for split in _splits(user, first[1] or "", text.startswith("\n\n")):
        pieces = split.split(text)
        if any(re.fullmatch(_PAIRS[user], speaker) for speaker in pieces[1::2]):
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


@lru_cache
def _splits(user: str, decor: str, spaced: bool) -> tuple[re.Pattern[str], ...]:
    """Where a transcript's turns begin, the strictest way first.

    `### ` marks a turn wherever it stands; a bare name does at the start of a line, and in a text
    that begins with a blank line (HH-RLHF) only after a blank line.
    """
    names = f"({user}|{_PAIRS[user]}|System)"
    if decor.startswith("#"):
        return (re.compile(rf"(?<!#){decor.strip()} ?{names}:[ \t]*"),)
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
    return begins is not None and (
        begins[2] in _PAIRS or _FIRST.search(text, begins.end()) is not None
    )


def may_hold_turns(text: str) -> bool:
    """One cheap look: whether a text begins as transcripts and renderings do."""
    return _LOOK.match(text) is not None


_LOOK = re.compile(
    r"\s*(?:[<\[]|#{2,3} ?[A-Z]|(?:Human|User|Question|System|Assistant|AI|USER|SYSTEM):"
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


def is_belle(row: Row) -> bool:
    """Alpaca's fields with a whole transcript inside `instruction`, ending at the answer."""
    return "instruction" in row and _in_column(row, ("instruction",)) is not None


def belle(row: Row) -> list[Conversation]:
    """The transcript's turns; `output` is what the assistant says last."""
    return _prompted(row, ("instruction",))


def is_prompt_transcript(row: Row) -> bool:
    """`{prompt | query | question | problem, completion | ...}`, the prompt a whole transcript."""
    return _in_column(row, QUESTIONS) is not None


def prompt_transcript(row: Row) -> list[Conversation]:
    """The prompt's turns and the answer; a rendered prompt is read as the turns it holds."""
    return _prompted(row, QUESTIONS)


def _in_column(row: Row, names: tuple[str, ...]) -> Written | None:
    """The turns inside the first of the columns, where it ends at an answer to come."""
    name = first_name(row, names)
    prompt = row.get(name) if name else None
    if not isinstance(prompt, str) or not may_hold_turns(prompt):
        return None
    if first_name(row, ANSWERS) is not None:
        return None if _filled(row.get("input")) else opened(prompt)
    whole = written_turns(prompt)
    return whole if whole and whole.notes and whole.messages[-1]["role"] == "assistant" else None


def _filled(value: object) -> bool:
    return not isinstance(value, str | None) or bool(value and value.strip())


def _prompted(row: Row, names: tuple[str, ...]) -> list[Conversation]:
    name = first_name(row, names) or ""
    prompt, answers = text_of(row.get(name), name), first_name(row, ANSWERS)
    answer = text_of(row.get(answers), answers) if answers else ""
    found = answered(prompt, answer) if answers else written_turns(prompt)
    if found is None:
        raise Reject("wrong_type", f"{name} is no conversation that ends where an answer begins")
    system = [] if found.messages[0]["role"] == "system" else system_of(row)
    used = (name, *(("system",) if system else ()), *([answers] if answers else []), "tools")
    used = (*used, *(("input",) if "input" in row else ()))
    messages = checked([*system, *found.messages])
    tools = tool_schemas(row.get("tools"))
    return [labelled(row, messages, used, tools=tools, notes=found.notes)]


def is_answer_transcript(row: Row) -> bool:
    """`{completion | output | ...}` that holds a whole conversation, the prompt with it."""
    return _in_answer(row) is not None


def answer_transcript(row: Row) -> list[Conversation]:
    """The turns inside the answer; a prompt beside it is said there again, or blank."""
    found = _in_answer(row)
    if found is None:
        raise Reject("wrong_type", "no answer holds a whole conversation")
    names = [name for name in (*_ASKED, *ANSWERS, "input") if name in row]
    system = [] if found.messages[0]["role"] == "system" else system_of(row)
    used = (*names, *(["system"] if system else []), "tools")
    tools = tool_schemas(row.get("tools"))
    messages = checked([*system, *found.messages])
    return [labelled(row, messages, used, tools=tools, notes=found.notes)]


_ASKED = ("instruction", *QUESTIONS)


def _in_answer(row: Row) -> Written | None:
    answers = [name for name in ANSWERS if name in row]
    text = row[answers[0]] if len(answers) == 1 else None
    if not isinstance(text, str) or not may_hold_turns(text):
        return None
    found = written_turns(text)
    if found is None or found.is_open or len(found.messages) < 2 or _filled(row.get("input")):
        return None
    asked = [row[name] for name in _ASKED if name in row and row[name] != ""]
    first = next((turn["content"] for turn in found.messages if turn["role"] == "user"), "")
    fits = all(isinstance(text, str) and text.strip() in ("", first) for text in asked)
    return found if fits and len(asked) < 2 else None


def is_baize(row: Row) -> bool:
    """`{topic, input: "... [|Human|] ... [|AI|] ..."}`."""
    return isinstance(row.get("input"), str) and "[|Human|]" in row["input"]


def baize(row: Row) -> list[Conversation]:
    """The transcript without its preamble; a last empty turn of the user is none."""
    messages = [turn for turn in turns_of(row["input"]) if turn["role"] != "system"]
    while messages and messages[-1]["role"] == "user" and not messages[-1]["content"]:
        messages.pop()
    return [Conversation(checked(messages), ("input",))]


_WHOLE = ("transcript", "conversation", "conversations", "dialogue", "dialog", "chat")


def is_red_team(row: Row) -> bool:
    """`{transcript, ...}` of a red-teaming session; `conversation`, `dialogue`, `chat` too."""
    name = first_name(row, _WHOLE)
    told = row.get(name) if name else None
    return isinstance(told, str) and (is_transcript(told) or rendering(told) is not None)


def red_team(row: Row) -> list[Conversation]:
    """The whole session, turn by turn."""
    name = first_name(row, _WHOLE) or _WHOLE[0]
    found = written_turns(text_of(row.get(name), name))
    if found is None:
        raise Reject("wrong_type", f"{name} is no transcript")
    return [Conversation(checked(found.messages), (name,), notes=found.notes)]


# Beside a text these are what a model is to say of it.
_BESIDE_TEXT = (
    *(*ANSWERS, "label", "label_text", "labels", "summary", "highlights", "headline"),
    *("translation", "sentiment", "targets"),
)


def is_text(row: Row) -> bool:
    """`{text}` and nothing that another format knows."""
    return isinstance(row.get("text"), str)


def text(row: Row) -> list[Conversation]:
    """A transcript, or what a template rendered, as turns; any other text is one answer."""
    content = row["text"]
    if not content.strip():
        raise Reject("empty_conversation", "text is empty")
    found = written_turns(content)
    if found is None:
        beside = next((name for name in _BESIDE_TEXT if row.get(name) not in (None, "")), None)
        if beside is not None:
            # Trained alone, the text would be the answer; it is what was asked.
            wrong = f"a text with a {beside}: is the one asked, and the other answered?"
            raise Reject("unknown_shape", wrong)
        return [Conversation([assistant(content)], ("text",))]
    return [Conversation(checked(found.messages), ("text",), notes=found.notes)]
