"""Single streams of packed data: what each gives, where it ends, and what is wrong with it.

What a stream gives comes in pieces of bounded size, whatever it is packed to. Where it turns out
to be damaged, all that it gives before the damage is given all the same.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

# Packed bytes given to a stream at a time: few at first, as a file may have many short streams.
_FIRST_STEP, _LAST_STEP = 1 << 11, 1 << 18
# Unpacked bytes asked for at a time.
_PIECE = 1 << 24
# Memory that a stream of xz may ask for; `xz -9` asks for 65 MB.
_XZ_MEMORY = 1 << 30
_CUT = "it ends before its end mark"

Feed = Callable[[Any, bytes], Iterator[bytes]]


class Packing(NamedTuple):
    """One way to pack: how its streams begin, and how one is opened and fed."""

    name: str
    begins: bytes
    opened: Callable[[], Any]
    feed: Feed
    is_begin: Callable[[bytes], bool]  # of the first 12 bytes, for the search behind damage
    most_step: int = _LAST_STEP


class End(NamedTuple):
    """Where a stream ends, or how far it was looked at, and what is wrong with it.

    A stream that `is_whole` ends there all the same, and another one may follow.
    """

    at: int
    wrong: str | None = None
    is_whole: bool = True


def _of_zlib(opened: Any, chunk: bytes) -> Iterator[bytes]:
    piece = opened.decompress(chunk, _PIECE)
    yield piece
    while not opened.eof and (opened.unconsumed_tail or len(piece) == _PIECE):
        piece = opened.decompress(opened.unconsumed_tail, _PIECE)
        yield piece


def _of_library(opened: Any, chunk: bytes) -> Iterator[bytes]:
    yield opened.decompress(chunk, _PIECE)
    while not opened.eof and not opened.needs_input:
        yield opened.decompress(b"", _PIECE)


def _of_zstd(opened: Any, chunk: bytes) -> Iterator[bytes]:
    yield opened.decompress(chunk)


def _zstd() -> Any:
    import zstandard

    # Frames of `zstd --long` need a window of their own size.
    return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()


def _is_gzip(head: bytes) -> bool:
    """Of bytes that are there by chance, one in 10 ** 12 looks so."""
    flags, _, kind, system = head[3], head[4:8], head[8], head[9]
    return head[2] == 8 and flags < 32 and kind in (0, 2, 4) and (system < 14 or system == 255)


PACKINGS = (
    Packing(
        "gzip",
        b"\x1f\x8b",
        lambda: zlib.decompressobj(wbits=-15),
        _of_zlib,
        lambda head: len(head) > 9 and _is_gzip(head),
    ),
    # A step of 4 KB of zstd gives at most 128 MB, and cannot be asked for less.
    Packing("zstd", b"\x28\xb5\x2f\xfd", _zstd, _of_zstd, lambda head: True, most_step=1 << 12),
    Packing(
        "bzip2", b"BZh", bz2.BZ2Decompressor, _of_library, lambda head: head[4:10] == b"1AY&SY"
    ),
    Packing(
        "xz",
        b"\xfd7zXZ\0",
        lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY),
        _of_library,
        lambda head: True,
    ),
)


def next_begin(packing: Packing, data: bytes, start: int) -> int:
    """Where the next stream of this kind begins from a place on; the end if none does."""
    at = data.find(packing.begins, start)
    while at >= 0 and not packing.is_begin(data[at : at + 12]):
        at = data.find(packing.begins, at + 1)
    return len(data) if at < 0 else at


def pieces(packing: Packing, data: bytes, start: int) -> Generator[bytes, None, End]:
    """What the stream that begins at `start` gives; returns where it ends and what is wrong."""
    is_gzip = packing.name == "gzip"
    body = _behind_head(data, start) if is_gzip else start
    if body is None:
        return End(start, "incorrect header check", is_whole=False)
    opened, view, step = packing.opened(), memoryview(data), min(_FIRST_STEP, packing.most_step)
    at, given, checksum = body, 0, 0
    while at < len(data) and not opened.eof:
        chunk: Any = view[at : at + step]
        try:
            for piece in packing.feed(opened, chunk):
                given += len(piece)
                checksum = zlib.crc32(piece, checksum) if is_gzip else 0
                yield piece
        except _errors() as error:
            yield from _rescued(packing, view, body, at, given)
            return End(at, str(error), is_whole=False)
        at += len(chunk)
        step = min(2 * step, packing.most_step)
    if not opened.eof:
        return End(at, _CUT, is_whole=False)
    end = at - len(opened.unused_data)
    return _checked(data, end, given, checksum) if is_gzip else End(end)


def _rescued(packing: Packing, view: Any, body: int, failed: int, given: int) -> Iterator[bytes]:
    """What a stream gives up to its damage, behind the bytes that it gave already.

    A call that meets the damage gives nothing. So it is fed once more, byte by byte at the end.
    """
    opened = packing.opened()
    step, last = packing.most_step, failed + packing.most_step
    coarse = [view[at : min(at + step, failed)] for at in range(body, failed, step)]
    fine = (view[at : at + 1] for at in range(failed, min(last, len(view))))
    try:
        for chunk in (*coarse, *fine):
            for piece in packing.feed(opened, chunk):
                skipped = min(given, len(piece))
                given -= skipped
                if len(piece) > skipped:
                    yield piece[skipped:]
    except _errors():
        return  # the damage, which was met before


def _checked(data: bytes, end: int, given: int, checksum: int) -> End:
    """The end of a member of gzip, which states the checksum and the length of what it holds."""
    if end + 8 > len(data):
        return End(len(data), _CUT, is_whole=False)
    stated = int.from_bytes(data[end : end + 4], "little")
    length = int.from_bytes(data[end + 4 : end + 8], "little")
    is_right = stated == checksum and length == given % (1 << 32)
    wrong = "its checksum does not fit: what is read of this part may have been changed"
    return End(end + 8, None if is_right else wrong)


def _behind_head(data: bytes, start: int) -> int | None:
    """Where the packed bytes of a member of gzip begin; None where its head is none."""
    head = data[start : start + 10]
    if len(head) < 10 or head[2] != 8 or head[3] >= 32:
        return None
    at, flags = start + 10, head[3]
    if flags & 4:
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    for flag in (8, 16):  # a name and a remark, which end with a zero
        if flags & flag:
            end = data.find(b"\0", at)
            if end < 0:
                return None
            at = end + 1
    return at + 2 if flags & 2 else at


def _errors() -> tuple[type[Exception], ...]:
    import zstandard

    return (zlib.error, OSError, EOFError, lzma.LZMAError, zstandard.ZstdError)
