"""Formats that hold a conversation written out as one text: HH-RLHF, BELLE, Baize, plain text."""

from __future__ import annotations

from curate.sources.shared.convert import (
    ANSWERS,
    QUESTIONS,
    ROLE_NAMES,
    Conversation,
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
from curate.sources.shared.renderings import Written, may_be_rendered, rendering
from curate.sources.shared.transcripts import (
    answered,
    is_transcript,
    may_hold_turns,
    opened,
    turns_of,
    written_turns,
)


def is_belle(row: Row) -> bool:
    """Alpaca's fields with a whole transcript inside `instruction`, ending at the answer."""
    return "instruction" in row and _in_column(row, ("instruction",)) is not None


def belle(row: Row) -> list[Conversation]:
    """The transcript's turns; `output` is what the assistant says last."""
    return _prompted(row, ("instruction",))


def is_prompt_transcript(row: Row) -> bool:
    """`{prompt | query | question | problem, completion | ...}`, the prompt a whole transcript."""
    return _in_column(row, _asked_in(row)) is not None and not _is_copy(row)


_OR_INPUT = (*QUESTIONS, "input")


def _asked_in(row: Row) -> tuple[str, ...]:
    """The columns that may hold what is asked; `input` does where there is no instruction."""
    return QUESTIONS if "instruction" in row else _OR_INPUT


def _is_copy(row: Row) -> bool:
    """Whether a prompt is what a template made of the instruction beside it."""
    instruction = row.get("instruction")
    prompt = row.get(first_name(row, QUESTIONS) or "")
    return (
        isinstance(instruction, str)
        and bool(instruction.strip())
        and isinstance(prompt, str)
        and instruction.strip() in prompt
    )


def prompt_transcript(row: Row) -> list[Conversation]:
    """The prompt's turns and the answer; a rendered prompt is read as the turns it holds."""
    return _prompted(row, _asked_in(row))


def _in_column(row: Row, names: tuple[str, ...]) -> Written | None:
    """The turns inside the first of the columns, where it ends at an answer to come."""
    name = first_name(row, names)
    prompt = row.get(name) if name else None
    if not isinstance(prompt, str) or not may_hold_turns(prompt):
        return None
    if first_name(row, ANSWERS) is not None:
        return None if name != "input" and _filled(row.get("input")) else opened(prompt)
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
    used = (*used, *(("input",) if "input" in row and name != "input" else ()))
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
    *("translation", "sentiment", "targets", "code", "sql", "answers", "question", "questions"),
    *("intent", "emotion", "emotions", "entities", "ner_tags", "target_text", "reply", "summaries"),
)
# Beside a text these say that it is one message of several.
_OF_CHATS = (
    *("in_response_to_tweet_id", "response_tweet_id", "in_reply_to", "in_reply_to_id"),
    *("in_reply_to_status_id", "reply_to", "reply_to_id", "parent_id", "thread_id"),
)
_SPEAKERS = ("speaker", "sender", "role", "from")
UNREAD = "a text begins as what a template rendered, but is not wholly such: it stays one answer"


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
            wrong = f"a text beside its {beside}: is the one asked, and the other answered?"
            raise Reject("unknown_shape", wrong)
        _check_alone(row)
        notes = (UNREAD,) if content.lstrip()[:1] in "<[" and may_be_rendered(content) else ()
        return [Conversation([assistant(content)], ("text",), notes=notes)]
    return [Conversation(checked(found.messages), ("text",), notes=found.notes)]


def _check_alone(row: Row) -> None:
    """Raise `Reject` for one message of a chat whose others are in rows of their own."""
    name = next((name for name in _OF_CHATS if name in row), None)
    for speaker in _SPEAKERS if name is None else ():
        is_role = str(row.get(speaker)).strip().lower() in ROLE_NAMES
        if is_role or (row.get(speaker) and speaker in ("speaker", "sender")):
            name = speaker
    if name is not None:
        wrong = f"the field {name} says that the row is one message of a chat"
        raise Reject("wrong_type", f"{wrong}; join the rows of each chat to a list `messages`")
