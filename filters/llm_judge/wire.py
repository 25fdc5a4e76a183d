"""Bytes to a server and back: within a deadline, within a size, to this host and to no other.

No cookies, no redirects, nothing from `.netrc`; a proxy of the environment only for other machines.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2

from curate.base.errors import CurateError
from curate.base.version import __version__
from filters.llm_judge.address import Address
from filters.llm_judge.keys import Key

MOST_BYTES = 4_000_000  # of an answer, decoded
_IDLE = 4.0  # seconds that a connection is kept: servers close theirs after 5
_CONNECT = 30.0  # seconds


class Reply(NamedTuple):
    """What a server sent; `cut` where it sent more than `MOST_BYTES`."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes
    cut: bool


class NoReply(Exception):
    """There was no whole reply: `kind` is `connect`, `certificate`, `timeout` or `broken`."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind, self.text = kind, text


class Wire:
    """Posts bodies to one address, from several threads at once."""

    def __init__(self, address: Address, key: Key | None, connections: int) -> None:
        self.address = address
        self._headers = [
            (b"Host", address.authority.encode()),
            (b"Content-Type", b"application/json"),
            (b"Accept", b"application/json"),
            (b"Accept-Encoding", b"identity"),
            (b"User-Agent", f"curate/{__version__}".encode()),
        ]
        self._key = key
        self._sockets = _Sockets()
        self._pool = httpcore2.ConnectionPool(
            ssl_context=httpx2.create_ssl_context() if address.scheme == "https" else None,
            proxy=_proxy(address),
            max_connections=connections,
            keepalive_expiry=_IDLE,
            network_backend=self._sockets,
        )

    def post(self, path: str, body: bytes, timeout: float) -> Reply:
        """Send a body to a path below the address; `timeout` is for all of it, in seconds.

        Raises `NoReply`.
        """
        self._sockets.set_deadline(time.monotonic() + timeout)
        headers = [*self._headers, (b"Content-Length", str(len(body)).encode())]
        if self._key is not None:
            headers.append((b"Authorization", self._key.authorization()))
        url = httpcore2.URL(
            scheme=self.address.scheme.encode(),
            host=self.address.host.strip("[]").encode(),
            port=self.address.other_port,
            target=f"{self.address.path}{path}".encode(),
        )
        waits = {
            "connect": min(timeout, _CONNECT),
            "read": timeout,
            "write": timeout,
            "pool": timeout,
        }
        try:
            with self._pool.stream(
                "POST", url, headers=headers, content=body, extensions={"timeout": waits}
            ) as response:
                return _read(response)
        except httpcore2.ConnectError as error:
            kind = "certificate" if _is_of_certificate(error) else "connect"
            failure = NoReply(kind, str(error))
        except (httpcore2.ConnectTimeout, httpcore2.ProxyError) as error:
            failure = NoReply("connect", str(error) or "it took too long")
        except httpcore2.TimeoutException:
            failure = NoReply("timeout", f"no whole answer within {timeout:g} s")
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpx2.HTTPError) as error:
            failure = NoReply("broken", str(error))
        except httpx2.InvalidURL as error:
            failure = NoReply("broken", str(error))
        raise failure

    def interrupt(self) -> None:
        """Make what is under way in other threads fail at once; nothing is sent any more."""
        self._sockets.shut()

    def close(self) -> None:
        """End every connection, when nobody uses one."""
        self._sockets.shut()
        self._pool.close()


def _read(response: httpcore2.Response) -> Reply:
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
    }
    decoded = httpx2.Response(
        response.status, headers=response.headers, content=_parts(response)
    ).iter_bytes()
    body = bytearray()
    for part in decoded:
        body += part
        if len(body) > MOST_BYTES:
            return Reply(response.status, headers, bytes(body[:MOST_BYTES]), True)
    return Reply(response.status, headers, bytes(body), False)


def _parts(response: httpcore2.Response) -> Iterator[bytes]:
    yield from response.iter_stream()


def _proxy(address: Address) -> httpcore2.Proxy | None:
    """The proxy that the environment names for this address."""
    if address.is_loopback or proxy_bypass(f"{address.host.strip('[]')}:{address.port}"):
        return None
    named = getproxies()
    proxy = named.get(address.scheme) or named.get("all")
    if not proxy:
        return None
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        raise CurateError(
            f"the proxy in the environment for {address.scheme} is none of http:// or https://; "
            f"mend {address.scheme}_proxy, or name {address.host} in no_proxy"
        ) from None
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    user = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return httpcore2.Proxy(f"{parts.scheme}://{host}:{port}", auth=user)


def _is_of_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__
    return False


class _Sockets(httpcore2.NetworkBackend):
    """Sockets that know when the answer of their thread must be there, and can be shut together.

    The package's own limits are for one read each: a server that sends a byte now and then, or
    empty headers for ever, would hold a thread as long as it likes.
    """

    def __init__(self) -> None:
        self._plain = httpcore2.SyncBackend()
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: set[_Socket] = set()
        self._shut = False

    def set_deadline(self, deadline: float) -> None:
        """For this thread, in seconds of the monotonic clock."""
        self._local.deadline = deadline

    def left(self, timeout: float | None) -> float:
        left: float = self._local.deadline - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("the deadline of the whole request has passed")
        return left if timeout is None else min(left, timeout)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        stream = self._plain.connect_tcp(
            host, port, self.left(timeout), local_address, socket_options
        )
        return self.keep(stream)

    def keep(self, stream: httpcore2.NetworkStream) -> _Socket:
        found = _Socket(stream, self)
        with self._lock:
            if self._shut:
                stream.close()
                raise httpcore2.ConnectError("closed")
            self._open.add(found)
        return found

    def drop(self, stream: _Socket) -> None:
        with self._lock:
            self._open.discard(stream)

    def shut(self) -> None:
        import socket

        with self._lock:
            self._shut = True
            left = list(self._open)
        for stream in left:
            with suppress(OSError):  # closed by the other side already
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


class _Socket(httpcore2.NetworkStream):
    def __init__(self, plain: httpcore2.NetworkStream, sockets: _Sockets) -> None:
        self._plain, self._sockets = plain, sockets

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._plain.read(max_bytes, self._sockets.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._plain.write(buffer, self._sockets.left(timeout))

    def close(self) -> None:
        self._sockets.drop(self)
        self._plain.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        left = self._sockets.left(timeout)
        self._sockets.drop(self)
        return self._sockets.keep(self._plain.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._plain.get_extra_info(info)
