"""Rows for Google's models: Gemini contents, PaLM chats, and the pairs of their tuning jobs."""

from __future__ import annotations

import re
from typing import Any

from curate.sources.shared.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    assistant,
    checked,
    described,
    first_name,
    labelled,
    list_of,
    number_of,
    object_of,
    parsed,
    role_of,
    text_of,
    user,
)
from curate.sources.shared.parts import (
    Part,
    as_json,
    function_schemas,
    joined,
    messages_from,
    result,
    server_tool,
    unread,
    weighted,
)

_SYSTEM = ("systemInstruction", "system_instruction")
_DECLARATIONS = ("functionDeclarations", "function_declarations")
_PARAMETERS = ("parameters", "parametersJsonSchema", "parameters_json_schema")
# What stands beside a part and is no part.
_BESIDE = ("thought", "thoughtSignature", "thought_signature", "videoMetadata", "video_metadata")
# Gemini writes the types of a schema in capitals; JSON Schema does not.
_TYPE = re.compile(r'"type":"(STRING|NUMBER|INTEGER|BOOLEAN|ARRAY|OBJECT|NULL)"')


def is_gemini(row: Row) -> bool:
    """`{contents: [{role: user | model, parts: [...]}], systemInstruction?, tools?}`."""
    contents = row.get("contents")
    return isinstance(contents, list) and any(
        isinstance(content, dict) and "parts" in content for content in contents
    )


def gemini(row: Row) -> list[Conversation]:
    """Parts with calls, results and thoughts; of scored `completions` the best is the answer."""
    notes: set[str] = set()
    system, messages = first_name(row, _SYSTEM), list[Message]()
    if system:
        messages += _system(row[system], system)
    for position, content in enumerate(row["contents"], 1):
        messages += _turn(content, position, notes)
    rejected = None
    if isinstance(row.get("completions"), list):
        better, rejected = _completions(row["completions"], len(row["contents"]) + 1, notes)
        messages += better
    used = ("contents", "tools", "completions", system or "")
    tools, said = _tools(row.get("tools")), tuple(sorted(notes))
    return [labelled(row, checked(messages), used, tools=tools, rejected=rejected, notes=said)]


def _system(value: Any, field: str) -> list[Message]:
    parts = value.get("parts") if isinstance(value, dict) and "parts" in value else value
    pieces = parts if isinstance(parts, list) else [parts]
    texts = [piece.get("text") if isinstance(piece, dict) else piece for piece in pieces]
    content = "\n\n".join(text for text in (text_of(text, field) for text in texts) if text)
    return [{"role": "system", "content": content}] if content else []


def _turn(content: Any, position: int, notes: set[str]) -> list[Message]:
    where = f"message {position}"
    content = object_of(content, where)
    role = role_of(content.get("role") or "user", position)
    parts = content.get("parts")
    listed = parts if isinstance(parts, list) else [] if parts is None else [parts]
    read = [_part(part, where, number) for number, part in enumerate(listed, 1)]
    # The results of functions are sent as the user or as the function.
    base = weighted("user" if role == "tool" else role, content, position)
    return messages_from(base, read, where, notes, glue="")


def _part(part: Any, where: str, number: int) -> Part:
    if isinstance(part, str):
        return Part("text", part)
    part = object_of(part, f"{where} part {number}")
    kinds = [name for name in part if name not in _BESIDE and part[name] is not None]
    match kinds:
        case []:
            return Part("text", "")
        case ["text"]:
            text = text_of(part["text"], f"{where} part {number}")
            return Part("thought" if part.get("thought") else "text", text)
        case ["functionCall" | "function_call" as name]:
            call = object_of(part[name], f"{where} {name}")
            given = {"id": call.get("id"), "name": call.get("name")}
            return Part("call", {**given, "arguments": call.get("args")})
        case ["functionResponse" | "function_response" as name]:
            answer = object_of(part[name], f"{where} {name}")
            content = as_json(answer.get("response"), f"{where} {name}")
            return result(content, answer.get("id"), answer.get("name"), where)
    raise unread(where, number, ", ".join(map(str, kinds)), "only text and function calls")


def _tools(value: Any) -> str | None:
    functions: list[Any] = []
    given = parsed(value, "tools") or []
    for tool in given if isinstance(given, list) else [given]:
        tool = object_of(tool, "a tool")
        other = [name for name in tool if name not in _DECLARATIONS and tool[name] is not None]
        if other:
            raise server_tool(str(other[0]))
        for name in _DECLARATIONS:
            functions += list_of(tool.get(name) or [], name)
    schemas = function_schemas(functions, _PARAMETERS)
    return schemas and _TYPE.sub(lambda found: found[0].lower(), schemas)


def _completions(
    given: list[Any], position: int, notes: set[str]
) -> tuple[list[Message], list[Message] | None]:
    """The best-scored answer and the worst-scored one, as preference tuning has them."""
    if not given:
        raise Reject("no_answer", "completions is empty")
    scored = [object_of(each, "a completion") for each in given]
    ranked = sorted(scored, key=lambda each: -(number_of(each, ("score",))[0] or 0.0))
    sides = [ranked[0].get("completion"), ranked[-1].get("completion")]
    best, worst = (_turn(side, position, notes) for side in sides)
    return best, worst if len(ranked) > 1 else None


def is_ai_studio(row: Row) -> bool:
    """`{runSettings, systemInstruction, chunkedPrompt: {chunks: [{role, text, isThought?}]}}`."""
    prompt = row.get("chunkedPrompt")
    return isinstance(prompt, dict) and isinstance(prompt.get("chunks"), list)


def ai_studio(row: Row) -> list[Conversation]:
    """A prompt saved in AI Studio: its chunks are Gemini's parts, one after the other."""
    turns: list[tuple[Message, list[Part]]] = []
    notes: set[str] = set()
    for position, chunk in enumerate(row["chunkedPrompt"]["chunks"], 1):
        where = f"chunk {position}"
        chunk = object_of(chunk, where)
        base = weighted(role_of(chunk.get("role"), position), chunk, position)
        other = [name for name in chunk if str(name).startswith(_FILES) and chunk[name] is not None]
        if other:
            raise unread(where, 1, other[0], "only texts")
        text = text_of(chunk.get("text"), where)
        turns.append((base, [Part("thought" if chunk.get("isThought") else "text", text)]))
    system = _system(row.get("systemInstruction"), "systemInstruction")
    messages = checked([*system, *joined(turns, notes)])
    used = ("systemInstruction", "chunkedPrompt")
    return [labelled(row, messages, used, notes=tuple(sorted(notes)))]


# What a chunk may hold instead of a text: `driveDocument`, `inlineImage`, `youtubeVideo`, ...
_FILES = ("drive", "inline", "youtube", "executable", "codeExecution")


def is_palm(row: Row) -> bool:
    """`{context?, examples?, messages: [{author, content}]}` (PaLM)."""
    messages = row.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    return (
        isinstance(first, dict)
        and first.get("role") is None
        and isinstance(first.get("author"), str)
        and "content" in first
    )


def palm(row: Row) -> list[Conversation]:
    """The context is the system's; examples are turns that are not trained."""
    context = text_of(row.get("context"), "context")
    messages: list[Message] = [{"role": "system", "content": context}] if context else []
    examples = list_of(row.get("examples") or [], "examples")
    for number, example in enumerate(examples, 1):
        pair = object_of(example, f"example {number}")
        asked, given = (
            _words_of(pair.get(side), f"example {number}") for side in ("input", "output")
        )
        messages += [user(asked), {**assistant(given), "weight": 0.0}]
    for position, turn in enumerate(row["messages"], 1):
        turn = object_of(turn, f"message {position}")
        base = weighted(role_of(turn.get("author"), position), turn, position)
        messages.append({**base, "content": text_of(turn.get("content"), f"message {position}")})
    notes = ("examples are turns with weight 0",) if examples else ()
    used = ("context", "examples", "messages")
    return [labelled(row, checked(messages), used, notes=notes)]


def _words_of(value: Any, where: str) -> str:
    return text_of(value.get("content") if isinstance(value, dict) else value, where)


_PAIRS = (("text_input", "output"), ("input_text", "output_text"))


def is_tuning_pair(row: Row) -> bool:
    """`{text_input, output}` (Gemini) and `{input_text, output_text}` (PaLM)."""
    return ("text_input" in row and "output" in row) or (
        "input_text" in row and "output_text" in row
    )


def tuning_pair(row: Row) -> list[Conversation]:
    """One question and one answer."""
    asks, answers = next(pair for pair in _PAIRS if set(pair) <= set(row))
    messages = [user(text_of(row[asks], asks)), assistant(text_of(row[answers], answers))]
    if row[answers] is None:
        raise Reject("no_answer", f"{answers} is {described(None)}")
    return [labelled(row, messages, (asks, answers))]
