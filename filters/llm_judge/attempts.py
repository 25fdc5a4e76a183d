"""One question to a server: its tries, its waits, and what a failure means for the others."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple
from urllib.parse import urljoin, urlsplit

from curate.base.errors import CurateError
from curate.base.log import Log
from filters.llm_judge.address import Address, read_address
from filters.llm_judge.keys import Scrub, how_to_name
from filters.llm_judge.pace import Pace
from filters.llm_judge.protocol import (
    FEWER_LISTED,
    Fields,
    Json,
    NoProbabilities,
    NotReadable,
    body_of,
    codes_of,
    json_of,
    quoted,
    read_answer,
    refused_field,
    usage_of,
    words_of,
)
from filters.llm_judge.question import Answer, Question
from filters.llm_judge.wire import MOST_BYTES, NoReply, Reply, Wire

TRIES = 6
SECONDS = 600.0  # in requests and waits of one question; the longest pause of all
_LONGEST_WAIT = 60.0  # between two tries
_MOST_PAUSES = 20  # of one question, when a server says "too many" again and again
WORTH_A_LINE = 5.0  # seconds of a pause that is worth a line
_AGAIN = {408, 409, 425, 429}
_NO_QUOTA = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "insufficient_balance",
}
_TOO_LONG = {"context_length_exceeded", "string_above_max_length"}

# How a question ended. `refused`: the server takes this question not; `forbidden`: this one or all;
# `unreachable`: nobody is there; `silent`: an answer without probabilities; `halted`: not at all.
Kind = Literal["answered", "refused", "forbidden", "failed", "unreachable", "silent", "halted"]


class Outcome(NamedTuple):
    """What came of a question; `stop` says why no other may be asked either."""

    kind: Kind
    answer: Answer = Answer()
    stop: str = ""
    used: tuple[int, int] | None = None  # tokens in and out, where a server answered and says so


HALTED = Outcome("halted")


class Ability:
    """What a server takes, learnt from what it refused; shared by all threads.

    `fields` is what is sent, instead of what was `wanted`.
    """

    def __init__(self, wanted: Fields) -> None:
        self.wanted = self.fields = wanted
        self._reasons: dict[str, str] = {}
        self._lock = threading.Lock()

    def settle(self, before: Fields, after: Fields, reasons: dict[str, str]) -> None:
        """A server that refused fields, for the reasons that it gave, answered without them."""
        with self._lock:
            if self.fields == before != after:
                self.fields = after
                self._reasons |= reasons

    @property
    def notices(self) -> list[str]:
        """What differs from what was wanted, where that changes answers."""
        found = [
            f"the server refuses the field {name}, so it is left out, and answers may differ from "
            f"run to run{self._reason(name)}"
            for name in ("temperature", "seed")
            if getattr(self.fields, name) != getattr(self.wanted, name)
        ]
        if self.fields.listed == FEWER_LISTED:
            found.append(f"the server lists the {FEWER_LISTED} likeliest tokens only")
        return found

    @property
    def refusal(self) -> str:
        """Why there are no probabilities, where the field is refused."""
        reason = self._reason("logprobs") or self._reason("top_logprobs")
        return "" if self.fields.listed else f"the server refuses the field logprobs{reason}"

    def _reason(self, name: str) -> str:
        return f" ({self._reasons[name]})" if name in self._reasons else ""


@dataclass
class Attempts:
    """Asks questions of a server; used by several threads at once."""

    wire: Wire
    address: Address
    model: str
    timeout: float
    backoff: float  # seconds, at most, before the second try; twice as long before each next
    ability: Ability
    pace: Pace
    scrub: Scrub
    log: Log
    requests: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, question: Question, tries: int = TRIES) -> Outcome:
        """Ask until there is an answer, or a failure that another try does not mend."""
        spent, tried, pauses = 0.0, 0, 0
        while True:
            if not self.pace.enter():
                return HALTED
            began = time.monotonic()
            outcome: Outcome | None = None
            try:
                fields = self.ability.fields
                reply, sent_fields, sent = self._exchange(question, fields)
                outcome, wait = self._judge(question, reply, sent_fields, sent)
            except NoReply as failure:
                outcome, wait = self._without_reply(failure), -1.0
            finally:
                answered = outcome is not None and outcome.kind in ("answered", "silent")
                self.pace.leave(answered=answered)
            if wait is None or outcome.stop:
                return outcome
            spent += time.monotonic() - began
            if wait >= 0 and pauses < _MOST_PAUSES:
                pauses += 1
                self._count("pause")
                continue  # the pace makes it wait, like all others
            tried += 1
            if tried >= tries or spent >= SECONDS:
                return outcome
            pause = random.uniform(0, min(_LONGEST_WAIT, self.backoff * 2 ** (tried - 1)))
            spent += pause
            self._count("again")
            if not self.pace.sleep(pause):
                return HALTED

    def _exchange(self, question: Question, fields: Fields) -> tuple[Reply, Fields, bytes]:
        """Send a question; where the server refuses a field, without that field."""
        start, seen = fields, {fields}
        first: tuple[Reply, Fields, bytes] | None = None
        reasons: dict[str, str] = {}
        while True:
            sent = body_of(question, self.model, fields)
            self._count("sent")
            reply = self.wire.post("/chat/completions", sent, self.timeout)
            found = reply, fields, sent
            if reply.status not in (400, 403, 422):
                if 200 <= reply.status < 300:
                    self.ability.settle(start, fields, reasons)
                return found
            body = json_of(reply) or {}
            name = "" if codes_of(body) & _TOO_LONG else refused_field(body, sent)
            fewer = fields.without(name) if name else None
            if fewer is None or fewer in seen:
                return first or found
            first = first or found
            reasons[name] = words_of(reply, self.scrub)
            seen.add(fewer)
            fields = fewer

    def _judge(
        self, question: Question, reply: Reply, fields: Fields, sent: bytes
    ) -> tuple[Outcome, float | None]:
        """What a reply means, and how long to wait before another try: None, there is none.

        A negative number: as long as this question's own backoff says.
        """
        if 200 <= reply.status < 300:
            return self._read(question, reply, fields)
        words = f"({reply.status}): {words_of(reply, self.scrub)}"
        if stop := self._stop(reply, words):
            return Outcome("failed", stop=stop), None
        if reply.status in _AGAIN or reply.status >= 500:
            outcome = Outcome("failed", _problem(f"the server failed {words}"))
            wait = retry_after(reply.headers) if reply.status in (429, 503) else None
            if wait is not None and wait > SECONDS:
                stop = f"{self.address.text} asks to wait {wait / 3600:,.1f} hours {words}"
                return Outcome("failed", stop=stop), None
            if reply.status == 429 or wait is not None:
                self._slow_down(wait)
            return outcome, -1.0 if wait is None else wait
        kind: Kind = "forbidden" if reply.status == 403 else "refused"
        return Outcome(kind, _problem(f"the server refused the question {words}")), None

    def _slow_down(self, seconds: float | None) -> None:
        if self.pace.slow_down(seconds) and seconds is not None and seconds >= WORTH_A_LINE:
            with self.lock:
                self.log(f"{self.address.text} asks to wait {seconds:,.0f} s; going on then")

    def _read(
        self, question: Question, reply: Reply, fields: Fields
    ) -> tuple[Outcome, float | None]:
        if reply.cut:
            problem = f"the server's answer is longer than {MOST_BYTES // 10**6} MB"
            return Outcome("failed", _problem(problem)), None
        body = json_of(reply)
        if body is None:
            begins = quoted(reply.body.decode("utf-8", "replace"), self.scrub, 100)
            problem = f"the server's answer is no JSON object; it begins: {begins}"
            return Outcome("failed", _problem(problem)), -1.0
        outcome = self._read_body(question, reply, body, fields)
        return outcome, -1.0 if "choices" not in body else None

    def _read_body(self, question: Question, reply: Reply, body: Json, fields: Fields) -> Outcome:
        used = usage_of(body)
        scored = bool(question.labels)
        if "error" in body and "choices" not in body:  # some gateways answer 200 with an error
            problem = f"the server failed (200): {words_of(reply, self.scrub)}"
            return Outcome("failed", _problem(problem), used=used)
        try:
            answer = read_answer(question, body, scored and fields.listed > 0, self.scrub)
        except NoProbabilities as error:
            return Outcome("silent", _problem(str(error)), used=used)
        except NotReadable as error:
            # Where logprobs are refused the known question may come back empty: that is an answer.
            kind: Kind = "silent" if scored and not fields.listed else "failed"
            return Outcome(kind, _problem(str(error)), used=used)
        if scored and not fields.listed:
            return Outcome("silent", replace(answer, problem=self.ability.refusal), used=used)
        return Outcome("answered", answer, used=used)

    def _without_reply(self, failure: NoReply) -> Outcome:
        text = quoted(failure.text, self.scrub)
        where = self.address.text
        if failure.kind == "certificate":
            return Outcome(
                "unreachable",
                stop=f"{where}: its certificate is not trusted ({text}); SSL_CERT_FILE can name a "
                "file with certificates to trust",
            )
        if failure.kind == "connect":
            return Outcome("unreachable", _problem(f"{where} cannot be reached ({text})"))
        words = {"timeout": text, "broken": f"the connection broke ({text})"}
        return Outcome("failed", _problem(words[failure.kind]))

    def _stop(self, reply: Reply, words: str) -> str:
        """Why a reply ends all asking; "" where it is about one question, or may pass."""
        where, status = self.address.text, reply.status
        if 300 <= status < 400:
            return self._redirected(reply)
        if status in (401, 407):
            return f"{where} does not let us in {words}; {how_to_name(self.address)}"
        if status in (404, 405, 410):
            return (
                f"{where} has no such model or address {words}; the model is {self.model!r}, and "
                "url is what stands before /chat/completions, as http://127.0.0.1:8000/v1"
            )
        if status == 402 or (status == 429 and codes_of(json_of(reply) or {}) & _NO_QUOTA):
            return f"{where} has no quota left for this key {words}"
        return ""

    def _redirected(self, reply: Reply) -> str:
        asked = f"{self.address.text}/chat/completions"
        try:
            parts = urlsplit(urljoin(asked, self.scrub(reply.headers.get("location", ""))))
            place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
            other = read_address(place).text
        except (ValueError, CurateError):
            other = "what is no address of a server"
        return (
            f"{self.address.text} sends us on to {other} ({reply.status}); nothing is sent there. "
            "If that is the server you mean, set url to it"
        )

    def _count(self, what: str) -> None:
        with self.lock:
            self.requests[what] += 1


def retry_after(headers: dict[str, str]) -> float | None:
    """Seconds that a server asks to wait, given as a number or as a date; None if it does not.

    A date is compared with the server's own clock where it gives that.
    """
    given = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", given):
        return float(given)
    try:
        until = parsedate_to_datetime(given).timestamp()
    except (ValueError, OverflowError):
        return None
    try:
        now = parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        now = time.time()
    return max(0.0, until - now)


def _problem(text: str) -> Answer:
    return Answer(problem=text)
