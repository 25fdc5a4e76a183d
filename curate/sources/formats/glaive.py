"""Glaive's function calling: one text with USER, ASSISTANT, `<functioncall>`, FUNCTION RESPONSE."""

from __future__ import annotations

import re

from curate.sources.shared.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    checked,
    labelled,
    text_of,
    tool_schemas,
)
from curate.sources.shared.written_calls import calls_of, json_texts

TOOLS = (
    "the functions in a system prompt became tools; they and the sentence that lists them left it"
)
_MARKS = re.compile(r"(?:\A|\n)[ \t]*(SYSTEM|USER|ASSISTANT|FUNCTION RESPONSE):[ \t]*")
_ROLES = {
    "SYSTEM": "system",
    "USER": "user",
    "ASSISTANT": "assistant",
    "FUNCTION RESPONSE": "tool",
}
_CALL = "<functioncall>"
_LISTS = re.compile(r"functions\. Use them if required\s*-?\s*(?=[\[{])")
_SENTENCE = re.compile(
    r"You are a helpful assistant with access to the following functions\."
    r" Use them if required\s*-?\s*\Z"
)


def is_glaive(row: Row) -> bool:
    """Glaive `{system: "SYSTEM: ... functions", chat: "USER: ... ASSISTANT: ..."}`, `{sample}`."""
    sample = row.get("sample")
    if isinstance(sample, str):
        return sample.lstrip().startswith(("SYSTEM:", "USER:"))
    chat = row.get("chat")
    return isinstance(chat, str) and chat.lstrip().startswith("USER:")


def glaive(row: Row) -> list[Conversation]:
    """Calls become calls of tools, responses tool messages, and the listed functions tools."""
    name = "sample" if isinstance(row.get("sample"), str) else "chat"
    system = text_of(row.get("system"), "system") if name == "chat" else ""
    messages = _turns(row[name].lstrip())
    if not system and messages[0]["role"] == "system":
        system = messages.pop(0)["content"]
    told, tools = system_and_tools(system.strip().removeprefix("SYSTEM:").strip())
    notes = (TOOLS,) if tools else ()
    messages = ([{"role": "system", "content": told}] if told else []) + messages
    return [labelled(row, checked(messages), (name, "system"), tools=tools, notes=notes)]


def _turns(text: str) -> list[Message]:
    before, *pieces = _MARKS.split(text)
    if before.strip() or not pieces:
        raise Reject("wrong_type", "the chat does not begin with a speaker")
    messages = []
    for number, (name, content) in enumerate(zip(pieces[::2], pieces[1::2], strict=True), 1):
        said = content.replace("<|endoftext|>", "").strip()
        messages.append(_message(_ROLES[name], said, f"message {number}"))
    return messages


def _message(role: str, said: str, where: str) -> Message:
    if role != "assistant" or _CALL not in said:
        return {"role": role, "content": said}
    content, *calls = said.split(_CALL)
    return {"role": role, "content": content.strip(), "tool_calls": calls_of(calls, where)}


def system_and_tools(system: str) -> tuple[str, str | None]:
    """The system prompt without the functions it lists, and these as tool schemas.

    The sentence that introduces them goes with them: a chat template writes its own.
    """
    lists = _LISTS.search(system)
    if lists is None:
        return system, None
    texts, rest = json_texts(system[lists.end() :])
    if not texts or rest[:1] in ("{", "["):
        shown = (rest or system[lists.end() :])[:60]
        raise Reject("wrong_type", f"system lists a function that is not valid JSON: {shown!r}")
    one_list = len(texts) == 1 and texts[0].startswith("[")
    tools = tool_schemas(texts[0] if one_list else f"[{', '.join(texts)}]")
    before = _SENTENCE.sub("", system[: lists.end()]).strip()
    return "\n\n".join(part for part in (before, rest.strip()) if part), tools
