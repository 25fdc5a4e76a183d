"""What a judge on a server does with all that servers do."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import pickle
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from filters.llm_judge.pace import Pace
from filters.llm_judge.question import Answer, Question
from filters.llm_judge.server import Server
from filters.llm_judge.store import Answers
from tests.fake_server import (
    Asked,
    FakeServer,
    Script,
    Sent,
    after,
    bomb,
    completion,
    endless,
    error,
    refuses,
    usual,
)

LABELS = ("1", "2", "3", "4", "5")


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def texts(count: int, **more: Any) -> list[tuple[int, Question]]:
    return [(number, Question(f"question {number}", **more)) for number in range(count)]


def scored(count: int) -> list[tuple[int, Question]]:
    return texts(count, labels=LABELS)


def but_known(script: Script) -> Script:
    """A script that leaves the known question alone."""
    return lambda asked: None if asked.is_known else script(asked)


def always(sent: Sent) -> Script:
    return but_known(lambda asked: sent)


def first_times(count: int, sent: Sent) -> Script:
    """Sends something the first times that each question comes."""
    times: dict[str, int] = {}

    def script(asked: Asked) -> Sent | None:
        times[asked.user] = times.get(asked.user, 0) + 1
        return sent if times[asked.user] <= count else None

    return but_known(script)


def answers(
    *scripts: Script, questions: list[tuple[int, Question]] | None = None, **settings: Any
) -> tuple[dict[int, Answer], FakeServer, Server]:
    """What a judge on a server with these scripts answers."""
    with FakeServer(*scripts) as fake:
        server = Server(fake.url, "judge", **{"backoff": 0.001, "timeout": 5.0} | settings)
        try:
            return dict(server.ask(questions or texts(1))), fake, server
        finally:
            server.close()


def problem(*scripts: Script, **more: Any) -> str:
    """The problem of the one question that was asked."""
    return answers(*scripts, **more)[0][0].problem


def stop(*scripts: Script, **more: Any) -> str:
    """The sentence with which all asking ends."""
    with pytest.raises(CurateError) as error:
        answers(*scripts, **more)
    return str(error.value)


# What is sent.


def test_packed_answers_are_read() -> None:
    packed = gzip.compress(json.dumps(completion("4").body).encode())
    sent = Sent(raw=packed, headers={"Content-Encoding": "gzip"})
    found, fake, _ = answers(always(sent))
    assert found[0].text == "4" and fake.asked[-1].headers["accept-encoding"] == "identity"


def test_a_question_with_labels_asks_for_one_token_and_the_twenty_likeliest() -> None:
    _, fake, _ = answers(questions=[(0, Question("why?", "You judge.", LABELS))])
    asked = fake.asked[-1]
    assert asked.path == "/v1/chat/completions"
    assert asked.body == {
        "model": "judge",
        "messages": [
            {"role": "system", "content": "You judge."},
            {"role": "user", "content": "why?"},
        ],
        "max_completion_tokens": 1,
        "temperature": 0.0,
        "seed": 0,
        "logprobs": True,
        "top_logprobs": 20,
    }


def test_a_question_for_text_asks_for_text() -> None:
    _, fake, _ = answers(questions=texts(1, max_tokens=77), temperature=None, seed=None)
    assert fake.asked[-1].body == {
        "model": "judge",
        "messages": [{"role": "user", "content": "question 0"}],
        "max_completion_tokens": 77,
    }


@pytest.mark.parametrize("end", ["", "/", "/chat/completions", "/chat/completions/"])
def test_the_address_may_be_written_with_what_follows_it(end: str) -> None:
    with FakeServer() as fake:
        server = Server(fake.url + end, "judge")
        assert dict(server.ask(texts(1)))[0].text
        server.close()
    assert fake.asked[-1].path == "/v1/chat/completions"


# Probabilities.


def test_probabilities_are_sums_over_tokens_that_are_a_label_but_for_white_space() -> None:
    listed = {"4": math.log(0.5), " 4": math.log(0.2), "5\n": math.log(0.1), "x": math.log(0.05)}
    found, _, _ = answers(always(completion("4", listed)), questions=scored(1))
    assert found[0].probabilities == pytest.approx((0, 0, 0, 0.7, 0.1))
    # 0.15 are left, but what is not listed has no more than the least that is.
    assert found[0].bound == pytest.approx(0.05)
    assert (found[0].text, found[0].tokens_in, found[0].tokens_out) == ("4", 10, 1)


def test_what_is_not_listed_has_no_more_than_the_rest() -> None:
    listed = {"4": math.log(0.6), "5": math.log(0.399)}
    found, _, _ = answers(always(completion("4", listed)), questions=scored(1))
    assert found[0].bound == pytest.approx(0.001)


def test_where_all_labels_are_listed_nothing_is_left_open() -> None:
    found, _, _ = answers(questions=scored(1))
    assert found[0].bound == 0.0 and min(found[0].probabilities) > 0


def test_minus_infinity_is_a_probability_of_zero() -> None:
    body = usual(Asked(0, {"messages": [{"content": "q"}], "logprobs": True}, {}, "")).body
    body["choices"][0]["logprobs"]["content"][0]["top_logprobs"][0]["logprob"] = -math.inf
    found, _, _ = answers(always(Sent(json.dumps(body).encode())), questions=scored(1))
    assert found[0].probabilities[0] == 0.0 and found[0].problem == ""


@pytest.mark.parametrize("log", ["x", None, True, math.nan, 3.0])
def test_a_probability_that_is_none_is_a_problem_of_its_question(log: Any) -> None:
    said = problem(always(completion("4", {"4": log, "5": -1.0})), questions=scored(1))
    assert "probabilit" in said


def test_a_server_that_drops_the_probabilities_is_found_out_once() -> None:
    def drops(asked: Asked) -> Sent:
        return completion("A")

    with FakeServer(drops) as fake:
        store = Answers(None)
        server = Server(fake.url, "judge", store=store)
        assert not server.gives_probabilities()
        assert "choices[0].logprobs.content[0].top_logprobs" in server.why_no_probabilities
        again = Server(fake.url, "judge", store=store)
        assert not again.gives_probabilities() and again.why_no_probabilities
        assert len(fake.asked) == 1
        assert dict(again.ask(texts(2)))[1].text == "A"
        with pytest.raises(CurateError, match=r"gives no probabilities.*read: text"):
            list(again.ask(scored(1)))
        again.close()
        server.close()
        store.close()


def test_a_server_that_stops_giving_probabilities_ends_the_run_and_is_asked_anew() -> None:
    with FakeServer(always(completion("4"))) as fake:
        store = Answers(None)
        server = Server(fake.url, "judge", store=store)
        assert server.gives_probabilities()
        with pytest.raises(CurateError, match="gives no probabilities"):
            list(server.ask(scored(1)))
        fake.scripts = ()
        assert server.gives_probabilities()
        assert [asked.is_known for asked in fake.asked] == [True, False, True]
        server.close()


def test_what_a_server_can_do_is_remembered_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer(refuses("max_completion_tokens")) as fake:
        store = Answers(None)
        for _ in range(2):
            server = Server(fake.url, "judge", store=store)
            assert server.gives_probabilities()
            server.close()
        assert len(fake.asked) == 2  # one was refused, the second answered
        server = Server(fake.url, "judge", store=store)
        assert dict(server.ask(scored(1)))[0].problem == ""
        assert len(fake.asked) == 3
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 25 * 3600)
        server.close()
        server = Server(fake.url, "judge", store=store)
        assert server.gives_probabilities()
        assert len(fake.asked) == 5
        server.close()


def test_a_server_that_is_gone_is_taken_to_be_as_the_last_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Answers(None)
    with FakeServer() as fake:
        server = Server(fake.url, "judge", store=store)
        assert server.gives_probabilities()
        server.close()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 25 * 3600)
    server = Server(fake.url, "judge", store=store, backoff=0.001)
    assert server.gives_probabilities()
    assert any("taken to be as the last time" in notice for notice in server.notices())
    with pytest.raises(CurateError, match="cannot be reached"):
        list(server.ask(scored(1)))


# Fields that a server refuses.


@pytest.mark.parametrize("code", [400, 422])
def test_an_old_server_is_asked_with_max_tokens(code: int) -> None:
    def old(asked: Asked) -> Sent | None:
        if "max_completion_tokens" not in asked.body:
            return None
        detail = [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"]}]
        return Sent({"detail": detail}, code)

    found, fake, server = answers(old, questions=scored(5))
    assert [answer.problem for answer in found.values()] == [""] * 5
    assert len(fake.asked) == 7  # the known question twice
    assert "max_tokens" in fake.asked[-1].body
    assert server.gives_probabilities()


def test_a_server_that_knows_neither_field_is_quoted_with_its_first_words() -> None:
    said = stop(refuses("max_completion_tokens"), refuses("max_tokens"))
    assert "'max_completion_tokens' is not supported" in said


@pytest.mark.parametrize("name", ["temperature", "seed"])
def test_a_refused_choice_is_left_out_aloud(name: str) -> None:
    found, fake, server = answers(refuses(name), questions=texts(3))
    assert all(answer.text for answer in found.values())
    assert name not in fake.asked[-1].body
    assert any(f"field {name}" in notice for notice in server.notices())


def test_a_later_process_says_it_again() -> None:
    store = Answers(None)
    with FakeServer(refuses("temperature")) as fake:
        for requests in (3, 1):
            fake.asked.clear()
            server = Server(fake.url, "judge", store=store)
            list(server.ask(texts(1)))
            assert len(fake.asked) == requests
            assert any("field temperature" in notice for notice in server.notices())
            server.close()
    store.close()


def test_a_reasoning_model_refuses_several_and_gives_no_probabilities() -> None:
    scripts = [refuses("temperature"), refuses("logprobs", param=None)]
    with FakeServer(*scripts) as fake:
        server = Server(fake.url, "judge")
        assert not server.gives_probabilities()
        assert "refuses the field logprobs (Unsupported parameter: 'logprobs'" in (
            server.why_no_probabilities
        )
        assert dict(server.ask(texts(1)))[0].text
        server.close()


def test_a_403_that_names_logprobs_is_about_that_field() -> None:
    message = "You are not allowed to request logprobs from this model"
    refusal = error(403, message, type="invalid_request_error", param=None)
    with FakeServer(lambda asked: refusal if "logprobs" in asked.body else None) as fake:
        server = Server(fake.url, "judge")
        assert not server.gives_probabilities()
        server.close()


def test_a_server_that_lists_five_is_asked_for_five() -> None:
    def five(asked: Asked) -> Sent | None:
        if asked.body.get("top_logprobs", 0) > 5:
            return error(400, "top_logprobs must be at most 5")
        return None

    found, fake, server = answers(five, questions=scored(2))
    assert fake.asked[-1].body["top_logprobs"] == 5 and found[1].probabilities
    assert any("5 likeliest" in notice for notice in server.notices())


# What fails for one question.


def test_a_question_that_is_too_long_is_a_problem_of_that_question() -> None:
    message = (
        "'max_tokens' or 'max_completion_tokens' is too large: 512. This model's maximum context "
        "length is 2048 tokens and your request has 1900 input tokens"
    )

    def long(asked: Asked) -> Sent | None:
        return error(400, message, code=400) if asked.user == "question 1" else None

    found, fake, _ = answers(long, questions=texts(3), concurrency=1)
    assert "maximum context length is 2048" in found[1].problem
    assert found[0].text and found[2].text
    # The field that it names is not to blame: later questions are sent as before.
    assert "max_completion_tokens" in fake.asked[-1].body


@pytest.mark.parametrize("code", [413, 422])
def test_other_refusals_are_problems_of_their_question(code: int) -> None:
    assert f"({code})" in problem(always(error(code, "no")))


def test_any_number_of_refused_questions_does_not_end_a_run_of_a_server_that_is_well() -> None:
    too_long = error(400, "too long", code="context_length_exceeded")
    found, fake, _ = answers(always(too_long), questions=texts(50), concurrency=1)
    assert len(found) == 50 and all("too long" in answer.problem for answer in found.values())
    assert sum(asked.is_known for asked in fake.asked) == 3  # after each 20, whether it is well


def test_refusals_end_the_run_where_the_known_question_is_refused_too() -> None:
    known = iter([completion("A", {"A": -0.1})])
    refusal = error(400, "the world has changed")
    said = stop(
        lambda asked: next(known, refusal) if asked.is_known else refusal, questions=texts(50)
    )
    assert "20 questions in a row" in said and "the world has changed" in said


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (completion("", finish="length"), "empty when its 512 tokens were used up"),
        (completion(None), "the answer was empty (finish_reason stop)"),
        (completion(None, refusal="I would rather not."), "refused: I would rather not."),
        (completion(None, finish="content_filter"), "finish_reason content_filter"),
        (completion(None, tool_calls=[{"id": "1"}]), "called a tool"),
        (Sent({"choices": [], "model": "m"}), "no choices"),
        (Sent({"choices": [None]}), "no choices"),
        (Sent({"choices": [{"text": "old"}]}), "no message"),
        (Sent(b'{"choices": [{"mess'), 'no JSON object; it begins: {"choices": [{"mess'),
        (Sent(b"<html>\x1b[2J hello"), "begins: <html>\\x1b[2J hello"),
        (Sent([1]), "no JSON object"),
        (Sent({"error": {"message": "hidden"}}), "hidden"),
    ],
)
def test_an_answer_that_holds_none_is_a_problem_with_its_reason(sent: Sent, words: str) -> None:
    assert words in problem(always(sent))


def test_an_answer_in_parts_is_read() -> None:
    parts: Any = [{"type": "text", "text": "Score: "}, {"type": "image"}, {"text": "4"}]
    assert answers(always(completion(parts)))[0][0].text == "Score: 4"


def test_an_answer_that_was_cut_is_an_answer_that_says_so() -> None:
    found = answers(always(completion("Well, first", finish="length")))[0][0]
    assert (found.text, found.finish, found.problem) == ("Well, first", "length", "")


def test_half_a_character_does_not_break_the_run() -> None:
    body = json.dumps(completion("PLACE").body).replace("PLACE", "\\ud83d!").encode()
    found = answers(always(Sent(body)))[0][0]
    assert found.text == "\ufffd!"


@pytest.mark.parametrize(
    "sent", [Sent(parts=endless()), bomb(200_000_000)], ids=["endless", "bomb"]
)
def test_a_body_without_an_end_is_cut_off(sent: Sent) -> None:
    began = time.monotonic()
    assert "longer than 4 MB" in problem(always(sent))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("where", ["body", "headers"])
def test_a_server_that_drips_is_given_up_at_the_deadline(where: str) -> None:
    def drip() -> Iterator[bytes]:
        while True:
            yield b" " if where == "body" else b"HTTP/1.1 100 Continue\r\n\r\n"

    sent = Sent(parts=drip(), between=0.05)
    if where == "headers":
        sent = Sent(parts=drip(), between=0.05, status=100)
    began = time.monotonic()
    assert "no whole answer within 0.4 s" in problem(
        first_times(9, sent), timeout=0.4, questions=texts(1)
    )
    assert time.monotonic() - began < 6 * 0.4 + 2


def test_a_slow_server_is_a_problem_after_all_tries() -> None:
    found, fake, _ = answers(always(Sent({}, wait=0.5)), timeout=0.1)
    assert found[0].problem == "no whole answer within 0.1 s"
    assert len(fake.questions) == 6


# What another try mends.


@pytest.mark.parametrize(
    "sent",
    [
        *(error(code, "later") for code in (408, 409, 429, 500, 502, 503, 529)),
        Sent(shut=True),
        Sent(b'{"cut": '),
        Sent({}, wait=0.5),
    ],
    ids=lambda sent: str(sent.status),
)
def test_what_may_pass_is_tried_again(sent: Sent) -> None:
    found, fake, server = answers(first_times(2, sent), questions=texts(4), timeout=0.3)
    assert [found[number].problem for number in range(4)] == [""] * 4
    assert len(fake.questions) == 12
    assert server.spent()["tried_again"] == 8


def test_a_word_in_a_message_decides_nothing() -> None:
    # "generate" holds "rate": a client that looks for words would try this again.
    found, fake, _ = answers(always(error(400, "could not generate: rate limit of timeouts 429")))
    assert "could not generate" in found[0].problem and len(fake.questions) == 1


@pytest.mark.parametrize("as_date", [False, True])
def test_a_server_that_says_when_is_left_alone_until_then_by_all(as_date: bool) -> None:
    seconds = 2.0 if as_date else 0.5
    limited: list[float] = []

    def script(asked: Asked) -> Sent | None:
        if asked.number == 5:
            limited.append(time.monotonic())
            return error(429, "slow down", after(seconds, as_date=as_date))
        return None

    found, fake, server = answers(but_known(script), questions=texts(40), concurrency=4)
    assert all(answer.problem == "" for answer in found.values())
    # Those that were under way came within a moment; then nobody did for a while.
    least = 0.4 if not as_date else 0.8  # a date has whole seconds
    quiet = [moment for moment in fake.times if limited[0] + 0.1 < moment < limited[0] + least]
    assert quiet == []
    assert server.spent()["pauses"] == 1 and server.spent()["seconds_paused"] > least


def test_a_long_pause_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("filters.llm_judge.attempts.WORTH_A_LINE", 0.2)
    limited = iter([error(429, "slow down", after(0.3))])
    lines: list[str] = []
    slow = but_known(lambda asked: next(limited, None))
    answers(slow, questions=texts(8), concurrency=4, log=lines.append)
    assert len(lines) == 1 and "asks to wait 0 s; going on then" in lines[0]


def test_those_that_are_refused_together_are_one_pause() -> None:
    pace = Pace(4)
    assert pace.slow_down(30.0)
    assert not pace.slow_down(30.0)
    assert not pace.slow_down(None)
    assert pace.pauses == 1


def test_too_many_at_once_becomes_fewer_at_once() -> None:
    lock, now = threading.Lock(), 0

    def script(asked: Asked) -> Sent | None:
        nonlocal now
        with lock:
            now += 1
            crowded = now > 2
        time.sleep(0.005)
        with lock:
            now -= 1
        return error(429, "slow down", after(0.02)) if crowded else None

    found, fake, _ = answers(but_known(script), questions=texts(120), concurrency=16)
    assert len(found) == 120 and all(answer.problem == "" for answer in found.values())
    assert len(fake.questions) < 3 * 120  # a client that comes back with 16 needs many more


def test_a_pause_beyond_ten_minutes_ends_the_run() -> None:
    said = stop(always(error(429, "come back tomorrow", after(86_400))), questions=texts(9))
    assert "asks to wait 24.0 hours" in said and "come back tomorrow" in said


# What fails for all.


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (error(401, "who are you?"), "set OPENAI_BASE_URL=http://127.0.0.1"),
        (error(403, "not you"), "(403): not you"),
        (error(404, "The model `judge` does not exist."), "no such model or address (404)"),
        (error(402, "Insufficient Balance"), "no quota left"),
        (error(429, "pay", code="insufficient_quota"), "no quota left"),
        (error(429, "pay", type="insufficient_quota"), "no quota left"),
    ],
)
def test_what_no_question_can_pass_ends_the_run_at_once(sent: Sent, words: str) -> None:
    with FakeServer(lambda asked: sent) as fake:
        server = Server(fake.url, "judge")
        with pytest.raises(CurateError) as error:
            list(server.ask(texts(1000)))
        assert words in str(error.value) and "\n" not in str(error.value)
        assert len(fake.asked) <= 2
        server.close()


def test_in_the_middle_of_a_run_what_is_under_way_is_still_answered() -> None:
    def script(asked: Asked) -> Sent | None:
        if asked.user == "question 7":
            return error(401, "expired")
        return Sent(usual(asked).body, wait=0.2)

    got = []
    with FakeServer(but_known(script)) as fake:
        server = Server(fake.url, "judge", concurrency=8)
        with pytest.raises(CurateError, match="expired"):
            for number, answer in server.ask(texts(1000)):
                got.append((number, answer.problem))
        assert sorted(got) == [(number, "") for number in range(7)]
        assert len(fake.questions) == 8
        server.close()


def test_a_403_for_one_question_is_that_ones_problem() -> None:
    def script(asked: Asked) -> Sent | None:
        return error(403, "input was flagged") if asked.user == "question 3" else None

    found, _, _ = answers(but_known(script), questions=texts(9))
    assert "input was flagged" in found[3].problem
    assert sum(answer.problem == "" for answer in found.values()) == 8


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_named_and_not_followed(status: int) -> None:
    with FakeServer() as other:
        place = f"{other.url}/chat/completions?token=x"
        said = stop(lambda asked: Sent({}, status, {"Location": place}))
        assert f"sends us on to {other.url} ({status})" in said and "set url" in said
        assert "token" not in said
        assert other.asked == []


def test_a_redirect_to_nowhere_is_no_traceback() -> None:
    for place in ("http://[::1", "javascript:alert(1)", "http://\x7f/", ""):
        said = stop(lambda asked, place=place: Sent({}, 302, {"Location": place}))
        assert "sends us on to" in said


def test_a_server_that_is_not_there_ends_the_run_soon() -> None:
    with FakeServer() as fake:
        pass
    began = time.monotonic()
    server = Server(fake.url, "judge", backoff=0.01)
    with pytest.raises(CurateError, match="cannot be reached"):
        list(server.ask(texts(1000)))
    assert time.monotonic() - began < 5


def test_a_server_that_dies_in_the_middle_ends_the_run_with_what_came() -> None:
    got = {}
    with FakeServer() as fake:
        server = Server(fake.url, "judge", backoff=0.001, concurrency=4)
        with pytest.raises(CurateError, match="in a row were not answered"):
            for number, answer in server.ask(texts(1000)):
                if not answer.problem:
                    got[number] = answer
                if len(got) == 10:
                    fake.scripts = (lambda asked: Sent(shut=True),)
    assert 10 <= len(got) < 30
    server.close()


def test_the_first_that_fail_to_connect_end_the_run() -> None:
    store = Answers(None)
    with FakeServer() as fake:
        server = Server(fake.url, "judge", store=store)
        server.gives_probabilities()
        server.close()
    server = Server(fake.url, "judge", store=store, backoff=0.001)
    with pytest.raises(CurateError, match="3 questions in a row"):
        list(server.ask(texts(1000)))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    folder = tmp_path_factory.mktemp("certificate")
    options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key"), "-out", str(folder / "cert")]
    command = ["openssl", *options.split(), *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "key").read_text() + (folder / "cert").read_text())
    return both


def test_a_server_is_asked_over_tls_only_with_a_certificate_that_is_trusted(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with FakeServer(tls=tls) as fake:
        server = Server(fake.url, "judge", backoff=0.001)
        with pytest.raises(CurateError, match=r"certificate is not trusted.*SSL_CERT_FILE"):
            list(server.ask(texts(1)))
        assert fake.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        server = Server(fake.url, "judge", timeout=5.0)
        assert len(dict(server.ask(texts(20)))) == 20
        server.close()


# Money, names, threads.


def test_cost_past_its_limit_ends_the_run_and_keeps_what_came() -> None:
    got = []
    with FakeServer(always(completion("4", usage=(1_000_000, 100_000)))) as fake:
        server = Server(
            fake.url, "judge", prices=(1.0, 10.0), max_cost=9.5, concurrency=2, backoff=0.001
        )
        with pytest.raises(CurateError, match=r"cost \$10\.\d+ so far, and max_cost is \$9\.5"):
            for one in server.ask(texts(1000)):
                got.append(one)
        assert 5 <= len(got) <= 9 and len(fake.questions) == len(got)
        assert server.cost == pytest.approx(2.0 * len(got), rel=0.01)
        server.close()


def test_cost_cannot_be_kept_to_where_the_server_counts_nothing() -> None:
    said = stop(
        lambda asked: completion("A", {"A": -0.1}, usage=None), prices=(1.0, 1.0), max_cost=1.0
    )
    assert "does not say how many tokens" in said


def test_answers_without_usage_are_counted() -> None:
    _, _, server = answers(always(completion("4", usage=None)), questions=texts(3))
    assert server.spent()["without_usage"] == 3
    assert any("3 answers came without usage" in notice for notice in server.notices())


def test_other_names_than_the_one_asked_for_are_said() -> None:
    names = iter(["judge"] * 3 + ["other-2"] * 2)
    _, _, server = answers(
        but_known(lambda asked: completion("4", model=next(names))), questions=texts(5)
    )
    assert server.models_seen == {"judge": 3, "other-2": 2}
    assert any("answered by other-2 (2)" in notice for notice in server.notices())


def test_answers_are_the_same_however_many_at_once() -> None:
    assert (
        answers(questions=scored(40), concurrency=1)[0]
        == (answers(questions=scored(40), concurrency=16)[0])
    )


def test_no_more_are_under_way_than_is_set() -> None:
    slow = but_known(lambda asked: Sent(usual(asked).body, wait=0.02))
    _, fake, _ = answers(slow, questions=texts(40), concurrency=5)
    assert 3 <= fake.most <= 5


def test_questions_are_taken_as_there_is_room() -> None:
    taken = 0

    def many() -> Iterator[tuple[int, Question]]:
        nonlocal taken
        for number in range(10_000):
            taken += 1
            yield number, Question(f"question {number}")

    with FakeServer() as fake:
        server = Server(fake.url, "judge", concurrency=4)
        asking = server.ask(many())
        for _ in range(10):
            next(asking)
        assert taken <= 10 + 8 + 1
        asking.close()
        server.close()


def test_no_question_needs_no_server() -> None:
    assert list(Server("http://127.0.0.1:9/v1", "judge").ask([])) == []


def test_an_interrupt_ends_at_once() -> None:
    with FakeServer(always(Sent({}, wait=30))) as fake:
        server = Server(fake.url, "judge")

        def interrupted() -> Iterator[tuple[int, Question]]:
            yield from texts(4)
            while len(fake.questions) < 4:
                time.sleep(0.01)
            raise KeyboardInterrupt

        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            list(server.ask(interrupted()))
        assert time.monotonic() - began < 3
        assert [t for t in threading.enumerate() if t.name == "judge"] == []


def test_after_an_interrupt_the_same_judge_can_be_asked() -> None:
    with FakeServer() as fake:
        server = Server(fake.url, "judge")
        asking = server.ask(texts(100))
        next(asking)
        asking.close()
        assert len(dict(server.ask(texts(20)))) == 20
        server.close()


def test_a_running_event_loop_does_not_matter() -> None:
    async def notebook() -> int:
        with FakeServer() as fake:
            server = Server(fake.url, "judge")
            try:
                return len(list(server.ask(texts(5))))
            finally:
                server.close()

    assert asyncio.run(notebook()) == 5


def test_a_judge_can_be_pickled() -> None:
    with FakeServer() as fake:
        server = Server(fake.url, "judge", prices=(1.0, 2.0), timeout=3.0)
        list(server.ask(texts(2)))
        other = pickle.loads(pickle.dumps(server))
        assert other.identity == server.identity and other.prices == (1.0, 2.0)
        assert len(list(other.ask(texts(2)))) == 2
        server.close()
        other.close()


# Settings.


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no address"),
        ("127.0.0.1:8000/v1", "must begin with http"),
        ("ftp://127.0.0.1/v1", "must begin with http"),
        ("http://secretname:secretword@host/v1", "holds a user name"),
        ("http://host/v1?api_key=secretword", "holds a query"),
        ("http://host/v1#secretword", "holds a fragment"),
        ("http://good.example\\@evil.example/v1", "a user name"),
        ("http://host:0/v1", "port 0"),
        ("http://host:70000/v1", "port 70000"),
        ("http://höst/v1", "xn--"),
        ("http://host/v1 secretword", "no address"),
        ("http://[::1/v1", "no address"),
        ("http://[:::]/v1", "no IPv6 address"),
        ("http://a..b/v1", "no address"),
        (f"http://{'a' * 64}.example/v1", "no address"),
        (f"http://{'a.' * 130}example/v1", "253 is the most"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_without_repeating_it(url: str, words: str) -> None:
    with pytest.raises(CurateError) as error:
        Server(url, "judge")
    assert words in str(error.value) and "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": " "}, "model is empty"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"timeout": 0.0}, "timeout is 0"),
        ({"prices": (-1.0, 0.0)}, "prices are dollars"),
        ({"prices": (1.0,)}, "prices are dollars"),
        ({"max_cost": 1.0}, "max_cost needs prices"),
        ({"max_cost": -1.0, "prices": (1.0, 1.0)}, "above 0"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(CurateError, match=words):
        Server("http://127.0.0.1:1/v1", **{"model": "judge"} | settings)


def test_without_its_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.base.extras.find_spec", lambda name: None)
    with pytest.raises(CurateError, match=r'pip install "curate-sft\[judge\]"'):
        list(Server("http://127.0.0.1:1/v1", "judge").ask(texts(1)))


def test_the_package_is_imported_when_a_question_is_asked_and_not_before() -> None:
    code = (
        "import sys; from filters.llm_judge.server import Server;"
        "Server('http://127.0.0.1:1/v1', 'judge');"
        "print([name for name in ('httpx2', 'httpcore2', 'h11', 'ssl') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_identity_is_what_can_change_an_answer_and_nothing_else() -> None:
    url = "http://127.0.0.1:1/v1"
    same = {
        Server(url, "m").identity,
        Server(url, "m", temperature=0).identity,
        Server(url + "/", "m", concurrency=3, timeout=9, prices=(1, 1), max_cost=2).identity,
    }
    others = {
        Server(url, "n").identity,
        Server("http://127.0.0.1:2/v1", "m").identity,
        Server(url, "m", temperature=0.5).identity,
        Server(url, "m", seed=None).identity,
    }
    assert len(same) == 1 and len(others) == 4 and not same & others
