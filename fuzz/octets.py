"""Random changes of bytes, and bytes in cases, which are JSON."""

from __future__ import annotations

import base64
import random

ODD = (
    *(
        b"\x00",
        b"\r",
        b"\n",
        b"\r\n",
        b"\xff",
        b"\xfe\xff",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\\",
    ),
    *(b'"', b"'", b"{", b"}", b"[", b"]", b",", b":", b"[" * 1_200, b"{" * 1_200, b'{"a":' * 1_200),
    *(
        b"9" * 5_000,
        b"1e999",
        b"NaN",
        b"-",
        b"\\ud800",
        b"\\u0000",
        b"null",
        b"&a",
        b"*a",
        b"!!python",
    ),
    *(
        b"!!timestamp 9999-99-99",
        b"? - a",
        b"true: 1\n",
        b"\x1b[2J",
        "\u2028\u202e".encode(),
        b"\t" * 99,
    ),
)


def written(data: bytes) -> str:
    """Bytes as they stand in a case."""
    return base64.b64encode(data).decode()


def read(text: str) -> bytes:
    """Bytes of a case."""
    return base64.b64decode(text)


def mutated(chance: random.Random, data: bytes, other: bytes = b"") -> bytes:
    """The bytes with some things changed; `other` is what they may be spliced with."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        data = _once(chance, data, other)
    return data


def _once(chance: random.Random, data: bytes, other: bytes) -> bytes:
    start = chance.randrange(len(data) + 1)
    end = min(len(data), start + chance.choice((0, 1, 1, 2, 4, 16, 64, 400)))
    kind = chance.randrange(8)
    if kind == 0 and data:
        at = min(start, len(data) - 1)
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    if kind == 1:
        return data[:start]
    if kind == 2:
        return data[:start] + data[end:]
    if kind == 3:
        return data[:end] + data[start:end] * chance.choice((1, 3)) + data[end:]
    if kind == 4:
        return data[:start] + other[chance.randrange(len(other) + 1) :]
    if kind == 5:
        return data[:start] + chance.randbytes(chance.choice((1, 2, 8))) + data[end:]
    return data[:start] + chance.choice(ODD) + data[end if kind == 6 else start :]
