"""A record as a chat template is given it: plain, or with the origin of every text traced."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curate.base.messages import openai_call
from templates.options import DEFAULTS, RESERVED, RenderOptions
from templates.provenance import Origins
from templates.refusals import (
    BadArguments,
    BadToolCalls,
    BadWeight,
    EmptyAnswer,
    NothingTrained,
    NotOpen,
)

Message = dict[str, Any]

# Fields of a message whose words must be trained if it is; names and ids may be left out.
ANSWER_FIELDS = ("content", "reasoning_content")
# Extra fields of a row that go to the template: texts to answer from, and arguments of its own.
DOCUMENTS = "documents"
ARGUMENTS = "chat_template_kwargs"


@dataclass(frozen=True, slots=True)
class Chat:
    """One conversation in the shape of transformers' `apply_chat_template`.

    `trained` holds the positions of the messages to train on, in order. `given` is what this row
    alone gives the template: documents and arguments. The last answer of an `open` one goes on.
    """

    messages: list[Message]
    tools: list[Any] | None
    trained: tuple[int, ...]
    given: Mapping[str, Any] = field(default_factory=dict)
    open: bool = False

    def traced(self) -> tuple[list[Message], list[Any] | None, Origins]:
        """The same data with every text traced; roles stay plain, they are the template's."""
        origins = Origins()
        messages = [
            _traced(message, number, origins) for number, message in enumerate(self.messages)
        ]
        tools = origins.trace_all(self.tools, -1, "tools", False)
        return messages, tools, origins


def chat(record: Mapping[str, Any], options: RenderOptions = DEFAULTS) -> Chat:
    """The chat of one record (a row of RECORDS as a dict).

    Keys without a value are dropped, reasoning is offered as `reasoning_content` and `thinking`,
    tool calls as OpenAI's objects with `arguments` an object. Raises a `Refusal` for a row that
    has nothing to train on, an empty answer, an unknown weight or unreadable tool calls.
    """
    given = record["messages"] or []
    trained = tuple(
        turn for turn, message in enumerate(given) if _is_trained(turn, message, options.roles)
    )
    trained = trained[-1:] if options.turns == "last" else trained
    if not trained:
        answers = sum(message["role"] in options.roles for message in given)
        why = "every answer has weight 0" if answers else "it has no answer"
        raise NothingTrained(f"nothing to train on: {why}")
    for turn in trained:
        if not (given[turn].get("content") or "").strip() and not given[turn].get("tool_calls"):
            raise EmptyAnswer(f"message {turn}: the answer is empty", turn)
    messages = [_message(turn, message) for turn, message in enumerate(given)]
    extra, is_open = _extra(record.get("meta") or "", options.continue_final_field)
    if is_open and messages[-1]["role"] != "assistant":
        raise NotOpen(
            f"the row says {options.continue_final_field}, but its last message is no answer"
        )
    is_open = is_open and trained[-1] == len(messages) - 1
    return Chat(messages, _tools(record.get("tools")), trained, extra, is_open)


def _extra(meta: str, continue_final_field: str | None) -> tuple[dict[str, Any], bool]:
    """What the row's other fields give the template, and whether its last answer goes on."""
    wanted = [DOCUMENTS, ARGUMENTS, *([continue_final_field] if continue_final_field else [])]
    if not any(f'"{name}"' in meta for name in wanted):  # most rows: their JSON is left unread
        return {}, False
    fields = json.loads(meta)
    documents = fields.get(DOCUMENTS)
    listed = isinstance(documents, list) and documents
    given = {DOCUMENTS: documents} if listed else {}
    return given | _arguments(fields.get(ARGUMENTS)), fields.get(continue_final_field) is True


def _arguments(value: Any) -> dict[str, Any]:
    """The template's arguments of one row; those without a value are none."""
    if isinstance(value, str) and value:
        try:
            value = json.loads(value)
        except ValueError as error:
            raise BadArguments(f"{ARGUMENTS}: no JSON ({error}): {value[:80]}") from error
    if value is not None and not isinstance(value, Mapping):
        raise BadArguments(f"{ARGUMENTS} is no object: {json.dumps(value)[:80]}")
    found = {name: item for name, item in (value or {}).items() if item not in (None, "", [], {})}
    if taken := [name for name in found if name in RESERVED]:
        raise BadArguments(f"{ARGUMENTS}: {taken[0]} is given by the conversation itself")
    return found


def _is_trained(turn: int, message: Mapping[str, Any], roles: Sequence[str]) -> bool:
    weight = message.get("weight")
    if weight not in (None, 0, 1):
        raise BadWeight(f"message {turn}: weight {weight:g}; expected 0 or 1", turn)
    return bool(message["role"] in roles and weight != 0)


def _message(turn: int, given: Mapping[str, Any]) -> Message:
    message: Message = {"role": given["role"]}
    if given.get("content") is not None:
        message["content"] = given["content"]
    if given.get("reasoning") is not None:
        message["reasoning_content"] = message["thinking"] = given["reasoning"]
    if given.get("tool_calls"):
        message["tool_calls"] = _tool_calls(turn, given["tool_calls"])
    for name in ("name", "tool_call_id"):
        if given.get(name) is not None:
            message[name] = given[name]
    return message


def _tool_calls(turn: int, text: str) -> list[Message]:
    calls = _json(text, f"message {turn}: tool_calls", turn)
    if not isinstance(calls, list):
        raise BadToolCalls(f"message {turn}: tool_calls is no list: {text[:80]}", turn)
    return [_tool_call(turn, call) for call in calls]


def _tool_call(turn: int, call: Any) -> Message:
    inner = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise BadToolCalls(
            f"message {turn}: a tool call needs a name: {json.dumps(call)[:80]}", turn
        )
    arguments = inner.get("arguments")
    if isinstance(arguments, str):
        arguments = _json(arguments, f"message {turn}: arguments of {inner['name']}", turn)
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping):
        raise BadToolCalls(
            f"message {turn}: arguments of {inner['name']} are no object: "
            f"{json.dumps(arguments)[:80]}",
            turn,
        )
    named = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
    return openai_call(inner["name"], dict(arguments), named)


def _tools(text: str | None) -> list[Any] | None:
    if not text:
        return None
    tools = _json(text, "tools", None)
    if not isinstance(tools, list):
        raise BadToolCalls(f"tools is no list: {text[:80]}")
    return tools or None


def _json(text: str, what: str, turn: int | None) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadToolCalls(f"{what}: no JSON ({error}): {text[:80]}", turn) from error


def _traced(message: Message, number: int, origins: Origins) -> Message:
    traced: Message = {}
    for key, value in message.items():
        if key == "tool_calls":
            traced[key] = [_traced_call(call, number, origins) for call in value]
        elif key == "thinking":  # another name of reasoning_content, the same text
            traced[key] = traced["reasoning_content"]
        elif key == "role":
            traced[key] = value
        else:
            traced[key] = origins.trace(value, number, key, key in ANSWER_FIELDS)
    return traced


def _traced_call(call: Message, number: int, origins: Origins) -> Message:
    name = origins.trace(call["function"]["name"], number, "tool name", True)
    arguments = origins.trace_all(call["function"]["arguments"], number, "arguments", True)
    named = {"id": origins.trace(call["id"], number, "tool call id", False)} if "id" in call else {}
    return openai_call(name, arguments, named)
