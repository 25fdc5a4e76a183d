"""How two processes exchange messages: the length of each in eight bytes, then its bytes."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from typing import Any

LENGTH = struct.Struct("!Q")
MOST = 1 << 30  # bytes of a message
CHUNK = 1 << 16  # what a pipe holds


def send(pipe: int, message: bytes) -> None:
    """Write a message. Raises `OSError` if nobody reads."""
    left = memoryview(LENGTH.pack(len(message)) + message)
    while left:
        left = left[os.write(pipe, left) :]


def receive(pipe: int, wait: Callable[[], object] = lambda: None) -> bytes | None:
    """The next message, one at a time; None if no whole one comes. `wait` precedes each read."""
    found = bytearray()
    wanted = LENGTH.size
    while len(found) < wanted:
        wait()
        part = os.read(pipe, CHUNK)
        if not part:
            return None
        found += part
        if wanted == LENGTH.size and len(found) >= wanted:
            wanted += LENGTH.unpack_from(found)[0]
            if wanted > MOST:
                return None
    return bytes(found[LENGTH.size :])


def written(answer: Any) -> bytes:
    """Plain data as JSON, every text as it is, half characters too."""
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogatepass")


def read(message: bytes) -> Any:
    """The plain data of a message. Reading JSON runs no code of whoever wrote it."""
    return json.loads(message.decode("utf-8", "surrogatepass"))
