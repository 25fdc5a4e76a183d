"""The key for a judge: sent to one host, seen nowhere else."""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.base.errors import CurateError
from filters.llm_judge.address import read_address
from filters.llm_judge.asking import ask_all
from filters.llm_judge.keys import Key, key_for
from filters.llm_judge.question import Question
from filters.llm_judge.server import Server
from filters.llm_judge.store import Answers
from tests.fake_server import Asked, FakeServer, Script, Sent, completion, error

ROOT = Path(__file__).resolve().parent.parent
# With all that JSON, URLs, pages and patterns write in another way.
KEY = r'sk-Qz7"\/+&<=%.*|x-nobody-may-see-this'
PART = "nobody-may-see"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def echoes(asked: Asked) -> Iterator[str]:
    """The key in the ways in which a server may repeat it."""
    sent = asked.headers["authorization"]
    key = sent.removeprefix("Bearer ")
    yield from (key, sent, json.dumps(key), json.dumps(json.dumps(key)), quote(key, safe=""))
    yield from (html.escape(key), repr(key), key.encode().hex(), json.dumps({"key": key}))
    for text in (key, sent, f":{key}", f"xx{key}yy", f'{{"key": "{key}"}}'):
        yield base64.b64encode(text.encode()).decode()
        yield base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def traces() -> list[str]:
    """What must be nowhere: the key as it is, and what stays of it in other writings."""
    cores = [base64.b64encode(b"\0" * n + KEY.encode())[8:-8].decode() for n in range(3)]
    return [PART, PART.encode().hex(), *cores, *(c.replace("+", "-") for c in cores)]


def assert_no_trace(text: str) -> None:
    for trace in traces():
        assert trace not in text


def named(monkeypatch: pytest.MonkeyPatch, fake: FakeServer) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", fake.url)


def ask(server: Server) -> str:
    """What one question comes to, as text: answer, problem, or the whole traceback."""
    try:
        return repr(dict(server.ask([(0, Question("q"))]))[0])
    except CurateError as error:
        return "".join(traceback.format_exception(error)) + repr(error) + repr(error.args)
    finally:
        server.close()


# Who gets it.


def test_the_named_host_gets_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer() as fake:
        named(monkeypatch, fake)
        ask(Server(fake.url, "judge"))
        assert {asked.headers["authorization"] for asked in fake.asked} == {f"Bearer {KEY}"}


def test_another_host_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer() as fake, FakeServer() as other:
        named(monkeypatch, other)
        ask(Server(fake.url, "judge"))
        assert fake.asked and not any("authorization" in asked.headers for asked in fake.asked)


@pytest.mark.parametrize("name", ["", "no address", "http://[", "https://api.openai.com/v1"])
def test_without_a_name_for_it_no_host_gets_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer() as fake:
        monkeypatch.setenv("OPENAI_BASE_URL", name)
        ask(Server(fake.url, "judge"))
        assert not any("authorization" in asked.headers for asked in fake.asked)


@pytest.mark.parametrize(
    ("url", "gets"),
    [
        ("https://api.openai.com/v1", True),
        ("https://API.OpenAI.com:443/v1/", True),
        ("https://api.openai.com./v2", True),
        ("http://api.openai.com/v1", False),
        ("https://api.openai.com:8443/v1", False),
        ("https://api.openai.com.evil.example/v1", False),
        ("https://evil.example/api.openai.com/v1", False),
        ("https://openai.com/v1", False),
    ],
)
def test_the_host_is_compared_whole(url: str, gets: bool) -> None:
    assert (key_for(read_address(url)) is not None) == gets


def test_a_login_in_the_netrc_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    with FakeServer() as fake:
        ask(Server(fake.url, "judge"))
        assert not any("authorization" in asked.headers for asked in fake.asked)


def test_a_cookie_is_not_sent_back() -> None:
    with FakeServer(lambda asked: Sent(completion().body, headers={"Set-Cookie": "a=b"})) as fake:
        server = Server(fake.url, "judge", concurrency=1)
        list(server.ask([(n, Question(str(n))) for n in range(3)]))
        server.close()
        assert not any("cookie" in asked.headers for asked in fake.asked)


def test_this_machine_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with FakeServer() as fake:
        assert "problem=''" in ask(Server(fake.url, "judge"))


def test_another_machine_is_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert "problem=''" in ask(Server("http://judge.invalid/v1", "judge"))
        assert proxy.asked[0].path == "http://judge.invalid/v1/chat/completions"
        assert proxy.asked[0].headers["host"] == "judge.invalid"
        monkeypatch.setenv("no_proxy", "judge.invalid")
        assert "cannot be reached" in ask(Server("http://judge.invalid/v1", "judge", backoff=0.01))
        assert len(proxy.asked) == 2


# Where it is not seen.

WAYS: list[Callable[[str], str]] = [
    str,
    lambda key: json.dumps(key)[1:-1],
    lambda key: json.dumps(json.dumps(key)[1:-1])[1:-1],
    lambda key: "".join(f"\\u{ord(letter):04X}" for letter in key),
    lambda key: quote(key, safe=""),
    lambda key: quote(quote(key, safe=""), safe=""),
    html.escape,
    lambda key: repr(key)[1:-1],
    lambda key: key.encode().hex().upper(),
]
SECRETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=60)


@given(SECRETS, st.sampled_from(WAYS), st.text(max_size=9), st.text(max_size=9))
def test_however_a_key_is_written_it_is_taken_out_of_a_text(
    secret: str, way: Callable[[str], str], before: str, after: str
) -> None:
    written = way(secret)
    assert written not in Key(secret).scrubber()(before + written + after)


@given(SECRETS, st.binary(max_size=9), st.binary(max_size=9))
def test_a_key_in_base64_cannot_be_read_back(secret: str, before: bytes, after: bytes) -> None:
    text = base64.b64encode(before + secret.encode() + after).decode()
    # What is left of it are the letters that its neighbours decide too: 4 of its bytes at most.
    scrubbed = Key(secret).scrubber()(text)
    assert "[key]" in scrubbed
    assert len(text) - len(scrubbed.replace("[key]", "")) >= len(secret) * 8 // 6 - 2


def test_a_text_without_the_key_is_left_as_it_is() -> None:
    text = "Score: 4 [key] sk-Qz7 %20 \\\\ " + base64.b64encode(os.urandom(3000)).decode()
    assert Key(KEY).scrubber()(text) == text


def spoils() -> list[Script]:
    """Servers that repeat the key wherever they can."""

    def in_text(asked: Asked) -> Sent:
        text = " ".join(echoes(asked))
        return completion(text, {"A": -0.1, text: -3.0}, model=text, finish=text)

    def in_refusal(asked: Asked) -> Sent:
        return completion(None, refusal=" ".join(echoes(asked)))

    def in_error(status: int) -> Script:
        return lambda asked: error(status, " ".join(echoes(asked)), code=next(echoes(asked)))

    def no_json(asked: Asked) -> Sent:
        return Sent("".join(echoes(asked)).encode())

    def far_in(asked: Asked) -> Sent:
        # The cut that keeps a message short falls into the key.
        return error(400, "x" * 290 + next(echoes(asked)))

    def in_location(asked: Asked) -> Sent:
        place = quote(next(echoes(asked)), safe="")
        return Sent({}, 302, {"Location": f"http://x.example/{place}?{place}"})

    def in_headers(asked: Asked) -> Sent:
        return Sent(completion().body, headers={"X-Key": next(echoes(asked)), "Retry-After": KEY})

    def as_detail(asked: Asked) -> Sent:
        return Sent({"detail": [{"loc": list(echoes(asked)), "msg": next(echoes(asked))}]}, 422)

    codes = (400, 401, 403, 404, 429, 500)
    return [
        in_text,
        in_refusal,
        *map(in_error, codes),
        no_json,
        far_in,
        in_location,
        in_headers,
        as_detail,
    ]


@pytest.mark.parametrize("place", range(len(spoils())))
@pytest.mark.parametrize("known", [True, False], ids=["all", "but the known question"])
def test_a_key_that_a_server_repeats_is_in_no_answer_message_log_or_file(
    place: int,
    known: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    spoil = spoils()[place]
    with FakeServer(lambda asked: None if known and asked.is_known else spoil(asked)) as fake:
        named(monkeypatch, fake)
        store = Answers(tmp_path)
        server = Server(fake.url, "judge", store=store, backoff=0.001)
        seen = []
        try:
            seen += [repr(one) for one in ask_all([(0, Question("q"))], server, store)]
        except CurateError as error:
            seen.append("".join(traceback.format_exception(error)))
        seen += [repr(server), repr(vars(server)), repr(server.notices())]
        seen += [repr(server.spent()), repr(server.models_seen), repr(store.notices)]
        server.close()
        store.close()
        assert fake.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert caplog.records  # the packages below log at this level
    for text in (*seen, caplog.text, *(repr(record.__dict__) for record in caplog.records)):
        assert_no_trace(text)
    database = Answers(tmp_path)
    key = [Question("q").key(server.identity)]
    assert_no_trace(repr(database.get(key)))
    database.close()
    for file in tmp_path.rglob("*"):
        assert_no_trace(file.read_bytes().decode("latin-1"))


def test_a_judge_shows_no_key_and_pickles_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer() as fake:
        named(monkeypatch, fake)
        server = Server(fake.url, "judge")
        list(server.ask([(0, Question("q"))]))
        assert_no_trace(pickle.dumps(server).decode("latin-1") + repr(server) + server.identity)
        server.close()
    key = key_for(read_address(os.environ["OPENAI_BASE_URL"]))
    assert_no_trace(repr(key) + str(key))
    with pytest.raises(TypeError):
        pickle.dumps(key)


@pytest.mark.parametrize("bad", ["sk-abcdefgh\n", "sk abcdefgh", "sk-abcdéfgh", "sk-abcdefgh\x00"])
def test_a_key_that_no_request_can_carry_is_refused_unseen(
    bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "\0" in bad:
        bad = bad.replace("\0", "\x01")  # an environment holds no null
    monkeypatch.setenv("OPENAI_API_KEY", bad)
    with pytest.raises(CurateError) as error:
        list(Server("https://api.openai.com/v1", "judge").ask([(0, Question("q"))]))
    assert "OPENAI_API_KEY holds" in str(error.value) and "abc" not in str(error.value)


def test_a_placeholder_is_not_taken_out_of_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "4")
    with FakeServer(lambda asked: completion("Score: 4", {"A": -0.1})) as fake:
        named(monkeypatch, fake)
        server = Server(fake.url, "judge")
        assert dict(server.ask([(0, Question("q"))]))[0].text == "Score: 4"
        assert any("taken for a placeholder" in notice for notice in server.notices())
        server.close()


def test_logs_are_as_before_when_a_judge_is_closed() -> None:
    loggers = [logging.getLogger(f"httpcore2.{name}") for name in ("http11", "connection")]
    before = [list(logger.filters) for logger in loggers]
    with FakeServer() as fake:
        server = Server(fake.url, "judge")
        list(server.ask([(0, Question("q"))]))
        assert [list(logger.filters) for logger in loggers] != before
        server.close()
    assert [list(logger.filters) for logger in loggers] == before


RUN = """
import logging, sys, traceback
from pathlib import Path
from filters.llm_judge.asking import ask_all
from filters.llm_judge.question import Question
from filters.llm_judge.server import Server
from filters.llm_judge.store import Answers

logging.basicConfig(level=logging.DEBUG)
store = Answers(Path("cache"))
server = Server(sys.argv[1], "judge", store=store, backoff=0.001)
try:
    for one in ask_all(((n, Question(f"q{n}")) for n in range(40)), server, store):
        print(one)
    print(server.notices(), server.spent())
except Exception:
    traceback.print_exc()
for name in ("cmdline", "comm", "status"):
    print(Path(f"/proc/self/{name}").read_text())
server.close()
"""


@pytest.mark.parametrize("place", [0, 3, 5], ids=["answer", "401", "404"])
def test_a_whole_process_leaves_no_trace_of_the_key(place: int, tmp_path: Path) -> None:
    with FakeServer(spoils()[place]) as fake:
        done = subprocess.run(
            [sys.executable, "-c", RUN, fake.url],
            cwd=tmp_path,
            env={**os.environ, "OPENAI_BASE_URL": fake.url, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert fake.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert done.returncode == 0 and "[key]" in done.stdout + done.stderr
    assert_no_trace(done.stdout + done.stderr)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for file in files:
        assert_no_trace(file.read_bytes().decode("latin-1"))
