"""A server of OpenAI's chat completions that does what a script says, for tests; it counts all.

`python -m tests.fake_server --log FILE [--wait SECONDS]` runs one in a process of its own.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """What the server sends back; `parts` with a wait between them, where there are any."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    parts: Iterator[bytes] | None = None
    between: float = 0.0
    shut: bool = False
    raw: bytes | None = None


@dataclass(frozen=True)
class Asked:
    """A request: its number from 0, its body, and its headers in lower case."""

    number: int
    body: Body
    headers: dict[str, str]
    path: str

    @property
    def user(self) -> str:
        """The last message."""
        return str(self.body["messages"][-1]["content"])

    @property
    def is_known(self) -> bool:
        """Whether it is the question that finds out what a server can do."""
        return self.user.startswith("Which letter is first in the alphabet")


Script = Callable[[Asked], Sent | None]


def completion(
    text: str | None = "A",
    tokens: dict[str, float] | None = None,
    *,
    finish: str = "stop",
    model: str = "judge-1",
    usage: tuple[int, int] | None = (10, 1),
    **message: Any,
) -> Sent:
    """A usual answer; `tokens` are the logarithms that it lists."""
    choice: Body = {
        "index": 0,
        "message": {"role": "assistant", "content": text, **message},
        "finish_reason": finish,
    }
    if tokens is not None:
        listed = [{"token": token, "logprob": log, "bytes": None} for token, log in tokens.items()]
        choice["logprobs"] = {"content": [{**listed[0], "top_logprobs": listed}]}
    body: Body = {"id": "x", "object": "chat.completion", "model": model, "choices": [choice]}
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return Sent(body)


def error(status: int, message: str, headers: dict[str, str] | None = None, **more: Any) -> Sent:
    """An error as OpenAI writes it: `code`, `type`, `param`."""
    return Sent({"error": {"message": message, **more}}, status, headers or {})


def usual(asked: Asked) -> Sent:
    """Letters by the hash of the question; with the likeliest listed where that is asked."""
    if asked.is_known:
        tokens = {"A": -0.05, "B": -3.5, " A": -5.0}
    else:
        digest = hashlib.blake2b(asked.user.encode(), digest_size=5).digest()
        tokens = {str(place + 1): -0.1 - byte / 64 for place, byte in enumerate(digest)}
    best = max(tokens, key=tokens.__getitem__)
    return completion(best, tokens if asked.body.get("logprobs") else None)


def refuses(name: str, message: str = "", **more: Any) -> Script:
    """A server that takes all fields but one."""
    words = message or f"Unsupported parameter: '{name}' is not supported with this model."

    def script(asked: Asked) -> Sent | None:
        if name not in asked.body:
            return None
        return error(400, words, type="invalid_request_error", **({"param": name} | more))

    return script


def after(seconds: float, *, as_date: bool = False) -> dict[str, str]:
    """A Retry-After."""
    if as_date:
        return {"Retry-After": formatdate(time.time() + seconds, usegmt=True)}
    return {"Retry-After": f"{seconds:g}"}


def bomb(size: int) -> Sent:
    """A small body that is large when it is unpacked."""
    packed = gzip.compress(b" " * size)
    return Sent(raw=packed, headers={"Content-Encoding": "gzip"})


def endless() -> Iterator[bytes]:
    """A body that never ends."""
    while True:
        yield b" " * 65536


class FakeServer:
    """Serves on a free port while it is open. `script` answers, or leaves it to `usual`.

    `asked` holds all requests in order, `most` how many were under way at once.
    """

    def __init__(self, *scripts: Script, log: Path | None = None, port: int = 0) -> None:
        self.scripts: tuple[Script, ...] = scripts
        self.asked: list[Asked] = []
        self.times: list[float] = []
        self.most = self._now = 0
        self._log = log.open("a", buffering=1) if log is not None else None
        self._lock = threading.Lock()
        self._server = _Listening(("127.0.0.1", port), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """What a judge's `url` is set to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def questions(self) -> list[str]:
        """The questions that came, but for the known one."""
        return [asked.user for asked in list(self.asked) if not asked.is_known]

    def __enter__(self) -> FakeServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.drop()
        self._server.server_close()
        self._thread.join()
        if self._log is not None:
            self._log.close()

    def answer(self, body: Body, headers: dict[str, str], path: str) -> Sent:
        """What to send for a request."""
        with self._lock:
            asked = Asked(len(self.asked), body, headers, path)
            self.asked.append(asked)
            self.times.append(time.monotonic())
            self._now += 1
            self.most = max(self.most, self._now)
        for script in self.scripts:
            if (sent := script(asked)) is not None:
                return sent
        return usual(asked)

    def done(self, body: Body) -> None:
        """An answer went out."""
        with self._lock:
            self._now -= 1
            if self._log is not None:
                self._log.write(json.dumps(body["messages"][-1]["content"]) + "\n")


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    fake: FakeServer

    def __init__(self, *args: Any) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def drop(self) -> None:
        """End all connections, as a server that is killed."""
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go when they like."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listening

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        sent = self.server.fake.answer(body, headers, self.path)
        try:
            time.sleep(sent.wait)
            self._send(sent)
        finally:
            self.server.fake.done(body)

    def _send(self, sent: Sent) -> None:
        if sent.shut:
            self.close_connection = True
            return
        parts = sent.parts
        content = sent.raw
        if content is None:
            content = sent.body if isinstance(sent.body, bytes) else json.dumps(sent.body).encode()
        lines = [f"HTTP/1.1 {sent.status} x", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in sent.headers.items()]
        if parts is not None:
            lines += ["Connection: close", "", ""]
            self.close_connection = True
            self.wfile.write("\r\n".join(lines).encode())
            for part in parts:
                self.wfile.write(part)
                time.sleep(sent.between)
            return
        lines += [f"Content-Length: {len(content)}", "", ""]
        self.wfile.write("\r\n".join(lines).encode() + content)

    def do_GET(self) -> None:
        self._send(Sent({"data": []}))

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def main() -> None:
    """Serve until standard input ends; the address is the first line of the output."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path)
    parser.add_argument("--wait", type=float, default=0.0)
    given = parser.parse_args()

    def slow(asked: Asked) -> Sent:
        time.sleep(given.wait)
        return usual(asked)

    with FakeServer(*([slow] if given.wait else []), log=given.log) as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
