"""Logs of an API: a request and its response in one row, from batches, proxies and stores."""

from __future__ import annotations

from typing import Any

from curate.sources.formats import bedrock, blocks, chats, gemini, responses
from curate.sources.shared.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    assistant,
    first_name,
    labelled,
    list_of,
    object_of,
    parsed,
    text_of,
    user,
)

_REQUESTS = ("request", "params", "body", "request_body", "input")
_RESPONSES = ("response", "result", "response_body", "output")
_ASKED = ("messages", "contents", "input", "prompt")
_ANSWERED = ("choices", "candidates", "output", "message", "content")
LOG_FIELDS = frozenset({"choices", "custom_id", *_REQUESTS} - {"input"})
_INSIDE = ("body", "response", "result", "data")
_FAILED = ("errored", "canceled", "cancelled", "expired", "failed")
_CUT = ("length", "max_tokens", "MAX_TOKENS", "max_output_tokens", "content_filter", "SAFETY")

# How the row that a request and its answer make is read.
_READERS = (
    (gemini.is_gemini, gemini.gemini),
    (bedrock.is_bedrock, bedrock.bedrock),
    (blocks.is_anthropic, blocks.anthropic),
    (blocks.is_harmony, blocks.harmony),
    (chats.is_messages, chats.messages),
    (responses.is_responses, responses.responses),
)


def is_log(row: Row) -> bool:
    """`{request | params | body: {messages, ...}, response | result: {choices | ...}}`."""
    if LOG_FIELDS.isdisjoint(row) and not isinstance(row.get("input"), dict):
        return False
    if _flat(row):
        return True
    name, answer = _request_name(row), _response_name(row)
    if "custom_id" in row:  # of a batch, whose requests and responses may lie in two files
        return name is not None or (answer is not None and _is_answer(_opened(row[answer])))
    if name is None or answer is None or name == answer:
        return False
    request = _json(row[name])
    asked = any(isinstance(request.get(field), list) for field in ("messages", "contents"))
    return asked or _is_answer(_opened(row[answer]))


def _flat(row: Row) -> bool:
    """Whether the request's own fields stand beside the answer: `{messages, choices}`."""
    asked = row.get("messages", row.get("input"))
    choices = row.get("choices")
    return (
        isinstance(asked, list)
        and isinstance(choices, list)
        and any(isinstance(choice, dict) and "message" in choice for choice in choices)
    )


def _request_name(row: Row) -> str | None:
    return next((name for name in _REQUESTS if _is_request(_json(row.get(name)))), None)


def _is_request(value: Any) -> bool:
    return isinstance(value, dict) and any(name in value for name in _ASKED)


def _response_name(row: Row) -> str | None:
    return next((name for name in _RESPONSES if row.get(name) is not None), None)


def _is_answer(value: Any) -> bool:
    return isinstance(value, dict) and any(name in value for name in (*_ANSWERED, "error"))


def _json(value: Any) -> Any:
    """Proxies keep bodies as JSON text."""
    if not isinstance(value, str) or not value.startswith("{"):
        return value
    try:
        return parsed(value, "")
    except Reject:
        return value


def log(row: Row) -> list[Conversation]:
    """The request's messages and the first answer of its response."""
    notes: set[str] = set()
    if _flat(row):
        request: Row = {name: row[name] for name in row if name != "choices"}
        wrappers: tuple[str, ...] = ("choices",)
        response: Any = {"choices": row["choices"]}
    else:
        name, answer = _request_name(row), _response_name(row)
        if name is None:
            raise Reject("orphan", f"{answer} answers a request that is not in the row; join both")
        if answer is None:
            raise Reject("no_answer", f"{name} has no response beside it; join both")
        request, response, wrappers = _json(row[name]), _json(row[answer]), (name, answer)
    whole = _request(request, _opened(response), notes)
    (read,) = _read(whole)
    used = (*wrappers, *read.used) if _flat(row) else wrappers
    rest = {} if _flat(row) else {key: request[key] for key in request if key not in read.used}
    said = (*read.notes, *sorted(notes))
    one = labelled(row, read.messages, used)
    return [one._replace(tools=read.tools, rejected=read.rejected, meta=rest, notes=said)]


def _read(whole: Row) -> list[Conversation]:
    for matches, convert in _READERS:
        if matches(whole):
            return convert(whole)
    shown = ", ".join(map(str, list(whole)[:8]))
    raise Reject("unknown_shape", f"no known request has the fields {shown}")


def _opened(response: Any) -> Any:
    """What a response holds inside its envelopes."""
    for _ in _INSIDE:
        response = _json(response)
        if not isinstance(response, dict) or any(name in response for name in _ANSWERED):
            return response
        inside = first_name(response, _INSIDE)
        if inside is None or response[inside] is None:
            return response
        response = response[inside]
    return response


def _request(request: Row, response: Any, notes: set[str]) -> Row:
    """One row of the request's format that ends with the answer."""
    if isinstance(response, dict):
        _check_answered(response)
    if "contents" in request:
        content = _candidate(response, notes)
        return {**request, "contents": [*_listed(request["contents"], "contents"), content]}
    items = response.get("output") if isinstance(response, dict) else None
    if "messages" not in request and isinstance(items, list):
        return {**request, "output": items}
    turns = request.get("messages", request.get("input", request.get("prompt")))
    rest = {name: request[name] for name in request if name not in ("input", "prompt")}
    before, answer = _listed(turns, "messages"), answer_of(response, notes)
    # Some stores append the answer to the request's messages too.
    stored = before and isinstance(before[-1], dict) and before[-1].get("role") == "assistant"
    repeats = stored and before[-1].get("content") == answer.get("content")
    return {**rest, "messages": [*(before[:-1] if repeats else before), answer]}


def _listed(turns: Any, field: str) -> list[Any]:
    return [user(turns)] if isinstance(turns, str) else list_of(turns, field)


def _check_answered(response: Row) -> None:
    error = response.get("error")
    if (error or response.get("type") in _FAILED) and not _has_answer(response):
        why = error.get("message") if isinstance(error, dict) else error
        raise Reject("no_answer", f"the request failed: {why or response['type']}")


def _has_answer(response: Row) -> bool:
    return any(response.get(name) for name in _ANSWERED if name != "message")


def _candidate(response: Any, notes: set[str]) -> Any:
    candidates = response.get("candidates") if isinstance(response, dict) else None
    first = _first(candidates, "candidates", notes)
    _check_end(first.get("finishReason") or first.get("finish_reason"), notes)
    return first.get("content")


def _first(given: Any, field: str, notes: set[str]) -> dict[str, Any]:
    """The first of several answers."""
    if not given:
        raise Reject("no_answer", f"the response has no {field}")
    if len(list_of(given, field)) > 1:
        notes.add(f"the first of several {field} is taken")
    return object_of(given[0], f"the first of {field}")


def _check_end(reason: Any, notes: set[str]) -> None:
    if reason in _CUT:
        notes.add(f"the answer breaks off ({reason})")


def answer_of(response: Any, notes: set[str]) -> Message:
    """The message of the assistant that a response holds."""
    if isinstance(response, str):
        return assistant(response)
    if isinstance(response, list):
        return _only(response)
    response = object_of(response, "the response")
    for name in ("stop_reason", "stopReason", "done_reason", "finish_reason"):
        _check_end(response.get(name), notes)
    if "choices" in response:
        choice = _first(response["choices"], "choices", notes)
        _check_end(choice.get("finish_reason"), notes)
        if "message" not in choice:
            return assistant(text_of(choice.get("text"), "the text of the first choice"))
        return _as_turn(choice["message"])
    output = response.get("output")
    if isinstance(output, str):
        return assistant(output)
    inner = output if isinstance(output, dict) else response
    return _as_turn(inner.get("message") if inner.get("message") is not None else inner)


def _only(turns: list[Any]) -> Message:
    if len(turns) != 1:
        raise Reject("wrong_type", f"the response is a list of {len(turns)}; expected one message")
    return _as_turn(turns[0])


def _as_turn(turn: Any) -> Message:
    """A message of the assistant; a refusal is its content."""
    turn = object_of(turn, "the message of the response")
    if turn.get("content") is None and not any(turn.get(name) for name in _CALLS):
        refusal = turn.get("refusal")
        if not isinstance(refusal, str):
            raise Reject("no_answer", "the message of the response has no content")
        turn = {**turn, "content": refusal}
    return {**turn, "role": turn.get("role") or "assistant"}


_CALLS = ("tool_calls", "function_call")
