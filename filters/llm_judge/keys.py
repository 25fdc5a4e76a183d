"""The key for a server: from the environment, for one host, and seen nowhere else."""

from __future__ import annotations

import base64
import html
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NoReturn

from curate.base.errors import CurateError
from filters.llm_judge.address import Address, read_address

KEY, HOST = "OPENAI_API_KEY", "OPENAI_BASE_URL"
_DEFAULT = "https://api.openai.com/v1"
# Shorter ones ("EMPTY", "none") are no secrets, and stand in answers by chance.
SHORTEST = 8
_LOGGERS = (
    "httpcore2.connection",
    "httpcore2.http11",
    "httpcore2.proxy",
    "httpcore2.socks",
    "httpx2",
)

Scrub = Callable[[str], str]


class Key:
    """A secret. It is shown by nothing, and cannot be pickled."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "Key([key])"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is never written anywhere")

    @property
    def is_placeholder(self) -> bool:
        """Whether it is too short for a secret."""
        return len(self._secret) < SHORTEST

    def authorization(self) -> bytes:
        """What a request carries."""
        return f"Bearer {self._secret}".encode("ascii")

    def scrubber(self) -> Scrub:
        """Puts `[key]` in place of the key in a text, however it is written there."""
        if self.is_placeholder:
            return str
        pattern = re.compile("|".join(_patterns(self._secret)))
        return lambda text: pattern.sub("[key]", text)


def key_for(address: Address) -> Key | None:
    """The key of the environment, only if the address is of the host that it is meant for.

    That is the host of `OPENAI_BASE_URL`, or api.openai.com. Raises `CurateError` for a key that no
    request can carry, without showing it.
    """
    secret = os.environ.get(KEY, "")
    if not secret or not _is_for(address):
        return None
    if not re.fullmatch(r"[\x21-\x7e]+", secret):
        raise CurateError(
            f"{KEY} holds a space, a line break or another character that no key has; set it again"
        )
    return Key(secret)


def is_set() -> bool:
    """Whether there is a key for some host."""
    return bool(os.environ.get(KEY))


def how_to_name(address: Address) -> str:
    """What to do so that the key is sent to this address."""
    if _is_for(address):
        return f"set {KEY}" if not is_set() else f"check {KEY}"
    return (
        f"a key is sent only to the host that {HOST} names (by default api.openai.com): "
        f"if this one may have it, set {HOST}={address.text} and {KEY}"
    )


def _is_for(address: Address) -> bool:
    named = os.environ.get(HOST) or _DEFAULT
    try:
        return read_address(named, HOST).origin == address.origin
    except CurateError:
        return False  # no host is named, so none gets the key


def _patterns(secret: str) -> Iterator[str]:
    """The ways in which a server may write a key that it repeats, as patterns."""
    yield "".join(map(_letter, secret))
    yield f"(?i:{secret.encode().hex()})"
    for before in range(3):
        # However many bytes stand before it, as "Bearer ": the part that the key alone decides.
        text = base64.b64encode(b"\0" * before + secret.encode()).decode()
        first, last = (0, 2, 3)[before], (before + len(secret)) * 8 // 6
        yield re.escape(text[first:last]).replace(r"\+", "[+-]").replace("/", "[/_]")


def _letter(letter: str) -> str:
    """A letter as it is, or as JSON, JSON in JSON, URLs or pages may write it.

    Few backslashes, so that a server that sends nothing else costs no time.
    """
    code = ord(letter)
    plain = r"\\{1,8}" if letter == "\\" else re.escape(letter)
    ways = [
        plain if letter.isalnum() or letter == "\\" else rf"\\{{0,8}}{plain}",
        rf"(?i:\\{{0,8}}u{code:04x})",
        rf"(?i:%(?:25){{0,3}}{code:02x})",
        rf"(?i:&#(?:{code}|x0{{0,4}}{code:x});)",
    ]
    if (named := html.escape(letter)) != letter:
        ways.append(re.escape(named))
    return f"(?:{'|'.join(ways)})"


class _Scrubbed(logging.Filter):
    """Keeps a key that a server repeats out of what the client's packages log."""

    def __init__(self, scrub: Scrub) -> None:
        super().__init__()
        self._scrub = scrub

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it always passes."""
        record.msg, record.args = self._scrub(record.getMessage()), ()
        return True


def guard_logs(scrub: Scrub) -> Callable[[], None]:
    """Let nothing that the client's packages log show the key; the result ends that."""
    guard = _Scrubbed(scrub)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(guard)

    def end() -> None:
        for name in _LOGGERS:
            with suppress(ValueError):
                logging.getLogger(name).removeFilter(guard)

    return end
