"""A question as a request of chat completions, and what a server sends back, read without a guess.

The protocol is OpenAI's, with what other servers make of it: https://platform.openai.com/docs/
api-reference/chat (request and answer), and what vLLM, llama.cpp, Ollama and others refuse or drop.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any, NamedTuple, TypeGuard

import orjson

from curate.base.terminal import printable_line
from filters.llm_judge.keys import Scrub
from filters.llm_judge.question import Answer, Question
from filters.llm_judge.wire import Reply

MOST_LISTED = 20  # tokens whose probabilities the protocol gives at most
FEWER_LISTED = 5  # what some servers give
MOST_TOKENS = 10**9  # of one question and answer; more is no count
_QUOTED = 300  # characters of what a server says
Json = dict[str, Any]


class Fields(NamedTuple):
    """Which fields of the protocol a server takes."""

    tokens: str = "max_completion_tokens"
    temperature: float | None = 0.0
    seed: int | None = 0
    listed: int = MOST_LISTED  # 0: it gives no probabilities

    def without(self, name: str) -> Fields | None:
        """Fields that may do where the server refuses this one; None where nothing else may."""
        if name == "top_logprobs" and self.listed > FEWER_LISTED:
            return self._replace(listed=FEWER_LISTED)
        if name in ("logprobs", "top_logprobs") and self.listed:
            return self._replace(listed=0)
        if name == self.tokens:
            old, new = "max_tokens", "max_completion_tokens"
            return self._replace(tokens=new if name == old else old)
        if name == "temperature" and self.temperature is not None:
            return self._replace(temperature=None)
        if name == "seed" and self.seed is not None:
            return self._replace(seed=None)
        return None


def body_of(question: Question, model: str, fields: Fields) -> bytes:
    """The request for a question."""
    messages = [{"role": "user", "content": question.user}]
    if question.system:
        messages.insert(0, {"role": "system", "content": question.system})
    scored = bool(question.labels) and fields.listed > 0
    body: Json = {
        "model": model,
        "messages": messages,
        fields.tokens: 1 if scored else question.max_tokens,
    }
    if fields.temperature is not None:
        body["temperature"] = fields.temperature
    if fields.seed is not None:
        body["seed"] = fields.seed
    if scored:
        body |= {"logprobs": True, "top_logprobs": fields.listed}
    return orjson.dumps(body)


def refused_field(body: Json, sent: bytes) -> str:
    """The field that a server names as refused, of those that were sent; "" where it names none.

    Where a field of its answer says so, that counts; words of its message only where none does.
    """
    fields = [name for name in orjson.loads(sent) if name not in ("model", "messages")]
    error = body.get("error")
    named = error.get("param") if isinstance(error, dict) else None
    if isinstance(named, str) and named:
        return named if named in fields else ""
    detail = body.get("detail")
    if isinstance(detail, list):  # FastAPI's: where it is in the request
        paths = [one.get("loc") for one in detail if isinstance(one, dict)]
        places = [path[-1] for path in paths if isinstance(path, list) and path]
        return next((place for place in places if place in fields), "")
    message = message_of(body)
    return next(
        (name for name in fields if re.search(rf"(?<!\w){name}(?!\w)", message)),
        "",
    )


def codes_of(body: Json) -> set[str]:
    """What a server calls an error: its `code` and its `type`."""
    error = body.get("error")
    places = (error, body) if isinstance(error, dict) else (body,)
    return {
        str(place[name])
        for place in places
        for name in ("code", "type")
        if isinstance(place.get(name), str)
    }


def json_of(reply: Reply) -> Json | None:
    """The object that a server sent; None where it is none, or was cut."""
    if reply.cut:
        return None
    try:
        body = orjson.loads(reply.body)
    except ValueError:
        try:  # some servers write -Infinity, half characters, and numbers beyond 64 bits
            body = _storable(json.loads(reply.body, parse_int=_number))
        except (ValueError, RecursionError):
            return None
    return body if isinstance(body, dict) else None


def _number(digits: str) -> int | float:
    """A whole number, beyond 64 bits as JSON's readers mostly take it."""
    return int(digits) if len(digits) < 19 else float(digits)


def _storable(value: Any) -> Any:
    """A value of JSON whose texts can all be written: half characters are replaced."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_storable(one) for one in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(one) for name, one in value.items()}
    return value


def message_of(body: Json) -> str:
    """What a server says of an error, as it is."""
    error = body.get("error")
    if isinstance(error, dict):
        error = error.get("message")
    for text in (error, body.get("message"), body.get("detail")):
        if isinstance(text, str) and text:
            return text
        if isinstance(text, list) and text:
            return _written(text)
    return ""


def _written(value: list[Any]) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:  # a server's joke, which says nothing
        return ""


def quoted(text: str, scrub: Scrub, most: int = _QUOTED) -> str:
    """A server's words on one line, without a key, of bounded length."""
    # Cut after the key is gone: half a key is too much of it.
    line = " ".join(_clean(text, scrub).split())
    return printable_line(line if len(line) <= most else f"{line[:most]} ...")


def _clean(text: str, scrub: Scrub) -> str:
    """A server's words without a key, and as a text that can be written anywhere."""
    return scrub(_storable(text))


def words_of(reply: Reply, scrub: Scrub) -> str:
    """What a server says of an error, to be printed: its message, or how its answer begins."""
    body = json_of(reply)
    text = message_of(body) if body is not None else ""
    if not text and not reply.cut:
        text = reply.body.decode("utf-8", "replace")
    return quoted(text, scrub) or "it gives no reason"


def usage_of(body: Json) -> tuple[int, int] | None:
    """Tokens in and out; None where the server does not say."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None
    tokens_in, tokens_out = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (tokens_in, tokens_out) if _is_count(tokens_in) and _is_count(tokens_out) else None


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < MOST_TOKENS


class NotReadable(Exception):
    """An answer that holds none, with the reason."""


def read_answer(question: Question, body: Json, scored: bool, scrub: Scrub) -> Answer:
    """The answer in a reply. Raises `NotReadable`, with what to say of it."""
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise NotReadable("the server's answer has no choices")
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        raise NotReadable("the server's answer has no message")
    finish = choice.get("finish_reason")
    finish = quoted(finish, scrub, 40) if isinstance(finish, str) else ""
    used = usage_of(body) or (0, 0)
    model = body.get("model")
    answer = Answer(
        text=_clean(_text(message), scrub),
        model=quoted(model, scrub, 200) if isinstance(model, str) else "",
        finish=finish,
        tokens_in=used[0],
        tokens_out=used[1],
    )
    if scored:
        given, bound = _probabilities(choice, question.labels)
        return replace(answer, probabilities=given, bound=bound)
    if not answer.text.strip():
        raise NotReadable(_why_empty(message, finish, question, scrub))
    return answer


def _text(message: Json) -> str:
    content = message.get("content")
    if isinstance(content, list):  # parts, of which some are text
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _why_empty(message: Json, finish: str, question: Question, scrub: Scrub) -> str:
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        return f"the model refused: {quoted(message['refusal'], scrub)}"
    if finish == "length":
        return f"the answer was empty when its {question.max_tokens:,} tokens were used up"
    if message.get("tool_calls"):
        return "the model called a tool instead of answering"
    return f"the answer was empty (finish_reason {finish or 'not given'})"


def listed_tokens(choice: Json) -> list[tuple[str, float]] | None:
    """The tokens that may come first, with their probabilities; None where none are listed."""
    given = choice.get("logprobs")
    content = given.get("content") if isinstance(given, dict) else None
    first = content[0] if isinstance(content, list) and content else None
    listed = first.get("top_logprobs") if isinstance(first, dict) else None
    if not isinstance(listed, list) or not listed:
        return None
    tokens: dict[tuple[str, float], None] = {}  # a server may list one twice
    for one in listed:
        token, log = (one.get("token"), one.get("logprob")) if isinstance(one, dict) else (0, 0)
        if not isinstance(token, str) or isinstance(log, bool) or not isinstance(log, int | float):
            raise NotReadable("the server's list of probabilities holds something else")
        if math.isnan(log) or log > 1e-3:
            raise NotReadable(f"the server gives a token the logarithm {log} as its probability")
        tokens[token, math.exp(min(log, 0.0))] = None
    return list(tokens)


class NoProbabilities(NotReadable):
    """The server answered and left the probabilities out."""


def _probabilities(choice: Json, labels: tuple[str, ...]) -> tuple[tuple[float, ...], float]:
    """What each label has, and the most that a label which is not listed can have."""
    tokens = listed_tokens(choice)
    if tokens is None:
        raise NoProbabilities("the server left choices[0].logprobs.content[0].top_logprobs out")
    sums = dict.fromkeys(labels, 0.0)
    listed = set()
    for token, probability in tokens:
        if (label := token.strip()) in sums:
            sums[label] += probability
            listed.add(label)
    given = tuple(min(1.0, sums[label]) for label in labels)
    if len(listed) == len(sums):
        return given, 0.0
    rest = max(0.0, 1.0 - sum(probability for _, probability in tokens))
    return given, min(rest, min(probability for _, probability in tokens))
