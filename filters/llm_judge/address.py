"""The address of a server, read by one strict rule, so that no two readers see two hosts in it."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from curate.base.errors import CurateError

_PORTS = {"http": 80, "https": 443}
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"  # as the names of hosts are made of
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://"
    rf"(?P<host>\[[0-9a-f:.]+\]|{_LABEL}(?:\.{_LABEL})*\.?)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[\w~.!$&'()*+,;=:@%-]*)*)",
    re.IGNORECASE | re.ASCII,
)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # the end of a host that is no name
_ASKED = "/chat/completions"


class Address(NamedTuple):
    """Where a server's API begins: `http://127.0.0.1:8000/v1`, without a slash at the end."""

    scheme: str
    host: str  # in lower case; an IPv6 address in brackets
    port: int
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """What must be equal for two addresses to be of one server."""
        return self.scheme, self.host, self.port

    @property
    def other_port(self) -> int | None:
        """The port, where it is not the one that goes without saying."""
        return None if self.port == _PORTS[self.scheme] else self.port

    @property
    def authority(self) -> str:
        """Host and port as a request names them."""
        return self.host if self.other_port is None else f"{self.host}:{self.other_port}"

    @property
    def text(self) -> str:
        """As a user writes it."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this very machine."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            found = ipaddress.ip_address(self.host.strip("[]"))
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address):
            found = found.ipv4_mapped or found
        return found.is_loopback or found.is_unspecified


def read_address(url: str, name: str = "url") -> Address:
    """The address in a URL. Raises `CurateError`, which never repeats what the URL holds.

    >>> read_address("http://LocalHost:8000/v1/").text
    'http://localhost:8000/v1'
    """
    example = "http://127.0.0.1:8000/v1"
    for mark, what in (("@", "a user name"), ("?", "a query"), ("#", "a fragment")):
        before_path = url.partition("//")[2].partition("/")[0]
        if mark in (before_path if mark == "@" else url):
            raise CurateError(
                f"{name} holds {what}, which is not sent; write it as {example}, and the key, if "
                "one is needed, into OPENAI_API_KEY"
            )
    match = _ADDRESS.fullmatch(url.strip())
    if match is None:
        raise CurateError(
            f"{name} is no address of a server; it must begin with http:// or https://, as "
            f"{example} (a name with other letters than a-z in its xn-- form)"
        )
    scheme, host = match["scheme"].lower(), match["host"].lower().rstrip(".")
    if len(host) > 253:
        raise CurateError(f"{name} names a host of {len(host)} characters; 253 is the most")
    port = int(match["port"]) if match["port"] else _PORTS[scheme]
    if not 0 < port < 1 << 16:
        raise CurateError(f"{name} names port {port}; ports are from 1 to 65535")
    if host.startswith("["):
        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            raise CurateError(f"{name} names no IPv6 address in its brackets") from None
    elif _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:  # 127.1 is this machine for one reader, and a name for another
            raise CurateError(f"{name} names no IPv4 address; write its four numbers") from None
    path = match["path"].rstrip("/").removesuffix(_ASKED).rstrip("/")
    return Address(scheme, host, port, path)
