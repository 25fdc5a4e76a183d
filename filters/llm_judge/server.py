"""A judge on a server that speaks OpenAI's protocol of chat completions."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from curate.base.errors import CurateError
from curate.base.extras import require
from curate.base.log import Log, no_log
from curate.base.terminal import printable_line
from filters.llm_judge.address import read_address
from filters.llm_judge.asking import Totals, commonest
from filters.llm_judge.keys import how_to_name
from filters.llm_judge.question import Answer, Question
from filters.llm_judge.store import Answers
from filters.llm_judge.workers import in_threads

if TYPE_CHECKING:
    from filters.llm_judge.attempts import Outcome
    from filters.llm_judge.connections import Connections

DAY = 24 * 3600.0  # seconds for which it is believed what a server can do
IN_A_ROW = 20  # failures after which a server is taken to be gone
AT_FIRST = 3  # the same, where nobody answered yet
_KNOWN = Question(
    user="Which letter is first in the alphabet, A or B? Answer with that letter only.",
    labels=("A", "B"),
    max_tokens=16,
)
Prices = tuple[float, float]


class _Known(NamedTuple):
    """What a server was found to do."""

    why_not: str  # it gives no probabilities; "" where it does
    model: str
    fields: list[Any]


class Server:
    """A `Judge` on a server; `url` is what stands before `/chat/completions`.

    The key in `OPENAI_API_KEY` is sent only to the host that `OPENAI_BASE_URL` names (by default
    api.openai.com). `timeout` is for one request, in seconds; `prices` are dollars for a million
    tokens in and out, and past `max_cost` dollars nothing more is asked. `backoff` is the most
    seconds before a second try, doubled for each next. What the server can do is remembered in
    `store` for a day. `log` gets a line when all wait because the server says so; threads call it.
    Raises `CurateError` for settings that cannot be meant.

    >>> Server("http://127.0.0.1:8000/v1/", "judge").identity
    '{"server":"http://127.0.0.1:8000/v1","model":"judge","temperature":0.0,"seed":0}'
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        concurrency: int = 8,
        timeout: float = 120.0,
        temperature: float | None = 0.0,
        seed: int | None = 0,
        prices: Prices | None = None,
        max_cost: float | None = None,
        store: Answers | None = None,
        backoff: float = 1.0,
        log: Log = no_log,
    ) -> None:
        self._address = read_address(url)
        _check(model, concurrency, timeout, prices, max_cost)
        self.model, self.concurrency, self.timeout = model, concurrency, timeout
        # 0 and 0.0 are the same wish, and must be the same judge.
        self.temperature = None if temperature is None else float(temperature)
        self.seed = seed
        self.prices, self.max_cost, self.backoff = prices, max_cost, backoff
        self.kept_in = store
        asked = {
            "server": self._address.text,
            "model": model,
            "temperature": self.temperature,
            "seed": seed,
        }
        self.identity = orjson.dumps(asked).decode()
        self._totals = Totals()
        self._spent = _Spent()
        self._log = log
        self._open: Connections | None = None
        self._known: _Known | None = None
        self._notices: list[str] = []
        self._in_a_row = self._refused = 0
        self._stop = ""

    def __repr__(self) -> str:
        return f"Server({self._address.text!r}, {self.model!r})"

    def __getstate__(self) -> dict[str, Any]:
        # No socket, no key: another process takes the key from its own environment.
        names = ("model", "concurrency", "timeout", "temperature", "seed", "prices", "max_cost")
        return {"url": self._address.text, "backoff": self.backoff} | {
            name: getattr(self, name) for name in names
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        Server.__init__(self, **state)

    def gives_probabilities(self) -> bool:
        """See `Judge`. Where the server is gone, what it could do the last time counts."""
        try:
            return not self._ability().why_not
        except CurateError:
            known = self._recalled(math.inf)
            if known is None:
                raise
            notice = f"{self._address.text} cannot be asked now; it is taken to be as the last time"
            if notice not in self._notices:
                self._notices.append(notice)
            return not known.why_not

    @property
    def why_no_probabilities(self) -> str:
        """The field that is missing, in words; "" where there are probabilities, or unknown."""
        return self._known.why_not if self._known is not None else ""

    @property
    def models_seen(self) -> dict[str, int]:
        """How often a model answered in this process, by the name that it gave itself."""
        return dict(sorted(self._totals.models.items()))

    def ask(self, questions: Iterable[tuple[int, Question]]) -> Iterator[tuple[int, Answer]]:
        """See `Judge`. Runs `concurrency` threads; at most twice as many questions are under way.

        What is under way when it must stop is still answered, but for an interrupt.
        """
        rest = iter(questions)
        first = next(rest, None)
        if first is None:
            return
        known = self._ability()
        opened = self._opened()
        halted = threading.Event()

        def items() -> Iterator[tuple[int, Question]]:
            assert first is not None
            yield first
            yield from rest

        def work(item: tuple[int, Question]) -> tuple[int, Outcome | None]:
            number, question = item
            if question.labels and known.why_not:
                return number, None
            outcome = opened.attempts.ask(question)
            if outcome.stop:
                halt()
            elif outcome.kind == "answered" and self.kept_in is not None:
                # Here, not where answers are taken: a kill between the two would cost it.
                kept = self.kept_in.put(question.key(self.identity), outcome.answer)
                outcome = outcome._replace(answer=kept)
            return number, outcome

        def halt() -> None:
            halted.set()
            opened.pace.end()

        self._stop, self._in_a_row, self._refused = "", 0, 0
        answered = in_threads(work, items(), self.concurrency, halted, opened.interrupt)
        try:
            for number, outcome in answered:
                if outcome is None:
                    self._stop = self._stop or self._no_probabilities(known.why_not)
                else:
                    outcome = self._looked_into(outcome)
                    self._count(outcome)
                    if outcome.kind != "halted" and not outcome.stop:
                        yield number, outcome.answer
                if self._stop:
                    halt()
        finally:
            answered.close()
            if halted.is_set() or opened.pace.ended:
                self.close()
        if self._stop:
            raise CurateError(self._stop)

    def notices(self) -> list[str]:
        """What a user should know of how the answers came about, in sentences."""
        found = list(self._notices)
        if self._open is not None:
            found += self._open.ability.notices
        others = {name: count for name, count in self.models_seen.items() if name != self.model}
        if others:
            every = commonest(others).items()
            named = ", ".join(f"{name or 'no name'} ({count:,})" for name, count in every)
            found.append(f"asked for the model {printable_line(self.model)}, answered by {named}")
        if self._spent.without_usage:
            found.append(
                f"{self._spent.without_usage:,} answers came without usage: tokens and cost are "
                "more than shown"
            )
        return found

    def spent(self) -> dict[str, Any]:
        """What this process took to get them: it differs from run to run."""
        opened = self._open
        sent = opened.attempts.requests if opened is not None else {}
        return {
            "requests": sent.get("sent", 0),
            "tried_again": sent.get("again", 0),
            "pauses": opened.pace.pauses if opened is not None else 0,
            "seconds_paused": round(opened.pace.waited, 3) if opened is not None else 0.0,
            "tokens_in": self._spent.tokens_in,
            "tokens_out": self._spent.tokens_out,
            "without_usage": self._spent.without_usage,
            "cost": self.cost,
        }

    @property
    def cost(self) -> float | None:
        """Dollars so far, by the tokens that the server counted; None without prices."""
        return None if self.prices is None else self._spent.cost(self.prices)

    def close(self) -> None:
        """See `Judge`. A later question opens it again."""
        if self._open is not None:
            self._open.close()

    def _opened(self) -> Connections:
        """Connections, made when they are first needed."""
        if self._open is None:
            require("a judge on a server", "judge", "httpx2")
            self._open = self._connect()
            self._notices += self._open.notices
        elif self._open.closed:
            self._open.reopen()
        return self._open

    def _connect(self) -> Connections:
        from filters.llm_judge.connections import Connections

        return Connections(
            self._address,
            self.model,
            self.concurrency,
            self.timeout,
            self.backoff,
            (self.temperature, self.seed),
            self._log,
        )

    def _ability(self) -> _Known:
        """What the server can do: remembered from the last day, or found out."""
        if self._known is None:
            self._known = self._recalled(DAY) or self._found_out()
        return self._known

    @property
    def _name(self) -> str:
        """What it can do is remembered under this; the number is that of `_Known`'s fields."""
        return f"server 1 {self.identity}"

    def _recalled(self, within: float) -> _Known | None:
        given = None if self.kept_in is None else self.kept_in.recall(self._name, within)
        if given is None:
            return None
        self._opened().take_fields(given[2])
        return _Known(*given)

    def _found_out(self) -> _Known:
        """Ask the known question. Raises `CurateError` where nobody can be asked."""
        opened = self._opened()
        outcome = opened.attempts.ask(_KNOWN, tries=AT_FIRST)
        self._spent.add(outcome.used, outcome.kind in ("answered", "silent"))
        if outcome.kind not in ("answered", "silent"):
            self.close()
            raise CurateError(self._why_unusable(outcome))
        why_not = opened.ability.refusal or outcome.answer.problem
        known = _Known(why_not, outcome.answer.model, list(opened.ability.fields))
        if self.kept_in is not None:
            self.kept_in.remember(self._name, list(known))
        return known

    def _why_unusable(self, outcome: Outcome) -> str:
        """Why the known question has no answer, and what to do."""
        why, where = outcome.stop or outcome.answer.problem, self._address.text
        if outcome.kind == "forbidden":
            why = f"{why}; {how_to_name(self._address)}"
        elif outcome.kind == "failed" and why.startswith("the server's answer"):
            why = f"{why}; is url what stands before /chat/completions?"
        return why if why.startswith(where) else f"{where}: {why}"

    def _looked_into(self, outcome: Outcome) -> Outcome:
        """An outcome that may be about one question or about all, told apart by asking again."""
        if outcome.kind == "refused":
            self._refused += 1
            if self._refused < IN_A_ROW or self._is_well():
                self._refused %= IN_A_ROW
                return outcome
            return outcome._replace(kind="failed", stop=self._gone(outcome.answer.problem))
        if outcome.kind == "forbidden":
            if self._is_well():
                return outcome._replace(kind="refused")
            stop = f"{self._address.text}: {outcome.answer.problem}; {how_to_name(self._address)}"
            return outcome._replace(kind="failed", stop=stop)
        if outcome.kind == "silent":
            if self.kept_in is not None:
                self.kept_in.forget(self._name)
            self._known = None
            stop = self._no_probabilities(outcome.answer.problem)
            return outcome._replace(kind="failed", stop=stop)
        return outcome

    def _is_well(self) -> bool:
        """Whether the server answers the known question now."""
        outcome = self._opened().attempts.ask(_KNOWN, tries=AT_FIRST)
        self._spent.add(outcome.used, outcome.kind == "answered")
        return outcome.kind in ("answered", "silent")

    def _count(self, outcome: Outcome) -> None:
        """Count an outcome, and find out whether it is time to stop."""
        if outcome.kind == "answered":
            self._in_a_row = self._refused = 0
            self._totals.add(outcome.answer)
        elif outcome.kind in ("failed", "unreachable"):
            self._in_a_row += 1
        self._spent.add(outcome.used, outcome.kind == "answered")
        none_yet = outcome.kind == "unreachable" and not self._totals.answers
        stop = outcome.stop
        if not stop and self._in_a_row >= (AT_FIRST if none_yet else IN_A_ROW):
            stop = self._gone(outcome.answer.problem)
        self._stop = self._stop or stop or self._too_dear()

    def _gone(self, problem: str) -> str:
        count = max(self._in_a_row, self._refused)
        return (
            f"{self._address.text}: {count} questions in a row were not answered; the last one: "
            f"{problem}"
        )

    def _no_probabilities(self, why: str) -> str:
        return (
            f"{self._address.text} gives no probabilities, which this rubric is read by: {why}; "
            "set read: text, or ask a server that gives them, as vLLM and llama.cpp do"
        )

    def _too_dear(self) -> str:
        if self.max_cost is None or self.cost is None:
            return ""
        if self._spent.without_usage:
            return (
                f"{self._address.text} does not say how many tokens it used, so max_cost cannot be "
                "kept to; ask without it"
            )
        if self.cost <= self.max_cost:
            return ""
        return f"it has cost ${self.cost:,.4f} so far, and max_cost is ${self.max_cost:,.4f}"


class _Spent:
    """Tokens that a server counted, also of answers that are of no use."""

    def __init__(self) -> None:
        self.tokens_in = self.tokens_out = self.without_usage = 0

    def add(self, used: tuple[int, int] | None, answered: bool) -> None:
        if used is not None:
            self.tokens_in += used[0]
            self.tokens_out += used[1]
        elif answered:
            self.without_usage += 1

    def cost(self, prices: Prices) -> float:
        return (self.tokens_in * prices[0] + self.tokens_out * prices[1]) / 1e6


def _check(
    model: str,
    concurrency: int,
    timeout: float,
    prices: Prices | None,
    max_cost: float | None,
) -> None:
    """Raise `CurateError` for settings that cannot be meant."""
    if not model.strip():
        raise CurateError("model is empty; name the model as the server calls it")
    if not 1 <= concurrency <= 1_000:
        raise CurateError(f"concurrency is {concurrency}; it is from 1 to 1000")
    if not 0 < timeout <= 24 * 3600:
        raise CurateError(f"timeout is {timeout}; it is in seconds, up to a day")
    if prices is not None and not (
        len(prices) == 2 and all(0 <= price < math.inf for price in prices)
    ):
        raise CurateError("prices are dollars for a million tokens in and out, as [0.15, 0.6]")
    if max_cost is not None and prices is None:
        raise CurateError("max_cost needs prices: dollars for a million tokens in and out")
    if max_cost is not None and not 0 < max_cost < math.inf:
        raise CurateError(f"max_cost is {max_cost}; it is in dollars, above 0")
