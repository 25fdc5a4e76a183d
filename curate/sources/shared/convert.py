"""What every format needs to turn one raw row into conversations: texts, roles, tool calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from curate.base.json_text import Number, dumps, loads_exact
from curate.base.schema import ROLES
from curate.sources.shared.literals import python_objects

Row = Mapping[str, Any]
Message = dict[str, Any]


class Reject(Exception):
    """A row that cannot become a conversation: a stable slug and what was wrong with it."""

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(f"{slug}: {detail}")
        self.slug = slug


class Joined(NamedTuple):
    """A row put together from several, at the line it belongs to; or one that joined nothing."""

    line: int
    row: Row
    reject: str | None = None


class Conversation(NamedTuple):
    """One record to be. `used` names the raw row's fields accounted for; the rest is meta."""

    messages: list[Message]
    used: tuple[str, ...]
    tools: str | None = None
    rejected: list[Message] | None = None
    score: float | None = None
    category: str | None = None
    meta: Row | None = None  # fields it had before an earlier run wrote it
    notes: tuple[str, ...] = ()  # what was assumed of the row; counted by file and shown


REJECTS = {
    "invalid_json": "the line or element is not JSON",
    "invalid_utf8": "the line holds bytes that are not UTF-8",
    "not_an_object": "the line or element is JSON, but not an object with named fields",
    "unknown_shape": "no known format has these fields",
    "no_answer": "a prompt without an answer of the assistant",
    "empty_conversation": "the list of messages is empty",
    "unknown_role": "a message's role is none that any known format uses",
    "no_preference": "a judged pair without a judgement",
    "no_text": "a message whose words are under no known name",
    "partial_loss": "a loss control for parts of messages, or one that fits no message",
    "undesirable": "an answer that is marked as undesirable (KTO), without --undesirable",
    "orphan": "a message or answer whose parent is not in the file",
    "several_people": "a chat of several people, and nobody said who of them answers",
    "invalid_csv": "a line of a table that does not fit its header",
    "invalid_yaml": "an element of a YAML list that is nested too deeply, aliased or no value",
    "damaged": "a place in packed data where something is missing, or may be wrong",
    "unreadable_file": "a whole file, one of several, that cannot be read",
    "wrong_type": "a field holds something else than the text or list it should",
}

# Speakers whose words are calls of functions.
CALLING = (
    *("function_call", "function-call", "function_calls"),
    *("tool_call", "tool-call", "tool_calls"),
)

# Every spelling of a role in the known formats; the schema's own names map to themselves.
_SPELLINGS = {
    "system": ("developer",),
    "user": ("human", "prompter", "customer"),
    "assistant": (
        *("gpt", "chatgpt", "bing", "bard", "model", "bot", "chatbot", "ai", "agent", "claude"),
        *("gemini", "llm", *CALLING),
    ),
    "tool": (
        *("function", "function_response", "function-response", "observation", "tool_response"),
        *("tool-response", "tool_result", "tool_output", "function_result", "function_output"),
        *("ipython", "tool_results"),
    ),
}
ROLE_NAMES = {name: role for role in ROLES for name in (role, *_SPELLINGS[role])}


# The fields in which rows hold a question, and the answer to it.
QUESTIONS = ("prompt", "query", "question", "problem")
ANSWERS = ("output", "response", "completion", "answer", "target", "solution")

# The fields in which rows of many formats hold a number or a label.
SCORES = ("score", "rating", "reward", "votes", "quality_score")
MOST_SCORE = 1e300
CATEGORIES = ("category", "task", "dataset")
# Fields of what is seen or heard beside the words.
IMAGES = ("image", "images", "video", "videos", "audio", "audios")


def user(content: str) -> Message:
    """A message of the user."""
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    """A message of the assistant."""
    return {"role": "assistant", "content": content}


def labelled(
    row: Row,
    messages: list[Message],
    used: tuple[str, ...],
    scores: tuple[str, ...] = SCORES,
    categories: tuple[str, ...] = CATEGORIES,
    **more: Any,
) -> Conversation:
    """A conversation with the score and the category that the row has under one of these names."""
    score, score_name = number_of(row, scores)
    category, category_name = label_of(row, categories)
    used = (*used, *score_name, *category_name)
    return Conversation(messages, used, score=score, category=category, **more)


def first_name(row: Row, names: Iterable[str]) -> str | None:
    """The first of the names that is a field of the row."""
    for name in names:
        if name in row:
            return name
    return None


# The fields in which rows of any format hold the system's words.
SYSTEMS = ("system", "system_prompt", "system_message", "system_instruction", "sys_prompt")


def system_of(row: Row) -> list[Message]:
    """The message that the field `system`, or one of its other names, holds; or none.

    Its value may be a text or a list of text blocks.
    """
    for name in SYSTEMS:
        if name in row and row[name] not in (None, "", []):
            content = blocks_text(row[name], name)
            return [{"role": "system", "content": content}] if content.strip() else []
    return []


def blocks_text(value: Any, field: str) -> str:
    """A text, or the texts of a list of `{text}` blocks, joined by a blank line."""
    if not isinstance(value, list):
        return text_of(value.get("text") if isinstance(value, dict) else value, field)
    blocks = [block.get("text") if isinstance(block, dict) else block for block in value]
    return "\n\n".join(text_of(block, field) for block in blocks)


def role_of(value: Any, position: int) -> str:
    """The canonical role of message number `position` (from 1), or a reject that names it."""
    role = ROLE_NAMES.get(value.strip().lower()) if isinstance(value, str) else None
    if role is None:
        expected = "system, user, assistant or tool"
        raise Reject("unknown_role", f"message {position} has role {value!r}; expected {expected}")
    return role


def object_of(value: Any, field: str) -> dict[str, Any]:
    """A field's object; anything else is a reject."""
    if isinstance(value, dict):
        return value
    raise Reject("wrong_type", f"{field} is {described(value)}; expected an object")


def list_of(value: Any, field: str) -> list[Any]:
    """A field's list; anything else is a reject."""
    if isinstance(value, list):
        return value
    raise Reject("wrong_type", f"{field} is {described(value)}; expected a list")


def text_of(value: Any, field: str) -> str:
    """A field's text; missing, null and NaN are empty, what else is no text is a reject."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and value != value):
        return ""
    raise Reject("wrong_type", f"{field} is {described(value)}; expected text")


def described(value: Any) -> str:
    """A raw value as an error names it: its type, and itself when it is short.

    >>> described(True)
    'the boolean true'
    """
    kinds = {bool: "boolean", int: "number", float: "number", Number: "number"}
    kinds |= {str: "text", list: "list", dict: "object"}
    kind = kinds.get(type(value), type(value).__name__)
    if value is None:
        return "null"
    if isinstance(value, list | dict):
        return f"a {kind}" if kind != "object" else "an object"
    if not isinstance(value, str | int | float):
        return f"a value of type {kind}"
    shown = repr(value).lower() if isinstance(value, bool) else repr(value)
    return f"the {kind} {shown if len(shown) < 80 else shown[:80] + ' …'}"


def number_of(row: Row, names: tuple[str, ...]) -> tuple[float | None, tuple[str, ...]]:
    """The first of the named fields that holds a finite number, and the name that is used up by it.

    A field with a name of its own (`rating`) is not: it stays in `meta` too, where steps find it.
    """
    for name in names:
        value = row.get(name)
        if (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and abs(value) < MOST_SCORE
        ):
            return float(value), () if name in SCORES[1:] else (name,)
    return None, ()


def label_of(row: Row, names: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """The first of the named fields that holds text, and the name it was found under."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and value:
            return value, (name,)
    return None, ()


def parsed(value: Any, field: str) -> Any:
    """A value given as itself or as JSON text; blank text is None."""
    if not isinstance(value, str):
        return value
    return parse_json(value, field) if value.strip() else None


def written(value: Any, field: str) -> str:
    """A field's value as JSON text, or a reject for what JSON cannot hold."""
    try:
        return dumps(value)
    except TypeError as error:
        raise Reject("wrong_type", f"{field} cannot be kept as JSON ({error})") from error


def parse_json(text: str, field: str) -> Any:
    """JSON text inside a field, its numbers as they are written; or a reject."""
    try:
        return loads_exact(text)
    except ValueError as error:
        raise Reject("wrong_type", f"{field} is not valid JSON ({error})") from error


# Where a schema may hold any value, a null too.
_ANY_VALUE = ("default", "const", "enum", "examples", "example")


def without_nulls(schema: Any) -> Any:
    """A tool's schema without the nulls that no schema has: tables add them to unify objects."""
    if isinstance(schema, dict):
        return {
            key: item if key in _ANY_VALUE and _may_be_null(key, item) else without_nulls(item)
            for key, item in schema.items()
            if item is not None or _may_be_null(key, item)
        }
    if isinstance(schema, list):
        return [without_nulls(item) for item in schema]
    return schema


def _may_be_null(key: str, value: Any) -> bool:
    return key in _ANY_VALUE and (value is not None or key in ("default", "const"))


# How formats call the schema of a tool's arguments.
_PARAMETERS = ("parameters", "input_schema", "inputSchema", "parameter_definitions")


def tool_schemas(value: Any) -> str | None:
    """Tool schemas as JSON text; bare function schemas get OpenAI's wrapper."""
    return _schemas_in(value) if isinstance(value, str) else _schemas(value)


@lru_cache(maxsize=16)
def _schemas_in(text: str) -> str | None:
    """The same for JSON text, which the rows of a file often share; Python's counts too."""
    printed = python_objects(text) if text.lstrip()[:1] in ("[", "{") else None
    return _schemas(text if printed is None else printed)


def _schemas(value: Any) -> str | None:
    given = parsed(value, "tools")
    if not given:
        return None
    listed = [given] if isinstance(given, dict) else list_of(given, "tools")
    if all(isinstance(tool, str) and not _is_json(tool) for tool in listed):
        return None  # names alone describe no tool; they are left over
    return written([_tool_schema(tool) for tool in listed], "tools")


def _tool_schema(given: Any) -> Any:
    tool = without_nulls(parsed(given, "a tool") if isinstance(given, str) else given)
    if not isinstance(tool, dict):
        raise Reject("wrong_type", f"a tool is {described(tool)}; expected an object")
    if "function" in tool:
        function = tool["function"]
        return tool | {"function": parsed(function, "a tool")} if type(function) is str else tool
    name = first_name(tool, _PARAMETERS)
    if name not in (None, "parameters"):
        rest = {key: item for key, item in tool.items() if key != name}
        tool = {**rest, "parameters": tool[name]}
    return {"type": "function", "function": tool}


# How formats call the arguments of a call.
_ARGUMENTS = ("arguments", "parameters", "args", "input")


def tool_calls(value: Any, field: str) -> str | None:
    """Tool calls in any spelling as JSON text: `[{"id"?, "name", "arguments": {...}}]`."""
    given = parsed(value, field)
    if not given:
        return None
    calls = given if isinstance(given, list) else [given]
    return written([_tool_call(call, field) for call in calls], field)


def _tool_call(given: Any, field: str) -> dict[str, Any]:
    call = object_of(parsed(given, field), f"a call in {field}")
    inner = parsed(call.get("function"), field) if _is_json(call.get("function")) else None
    function = inner if isinstance(inner, dict) else call.get("function")
    function = function if isinstance(function, dict) else call
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise Reject("wrong_type", f"{field} has no function name")
    key = first_name(function, _ARGUMENTS)
    arguments = parsed(function[key], f"{field} arguments") if key else None
    if key and isinstance(arguments, str):
        arguments = function[key]  # JSON of a text stays so: the text alone would be no JSON
    given_id = {"id": call["id"]} if isinstance(call.get("id"), str) and call["id"] else {}
    return {**given_id, "name": name, "arguments": {} if arguments in (None, "", []) else arguments}


def _is_json(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip().startswith("{")


def checked(messages: list[Message]) -> list[Message]:
    """The messages, or a reject when there are none or the assistant never speaks."""
    if not messages:
        raise Reject("empty_conversation", "the list of messages is empty")
    if not any(message["role"] == "assistant" for message in messages):
        raise Reject("no_answer", "no message is the assistant's")
    return messages
