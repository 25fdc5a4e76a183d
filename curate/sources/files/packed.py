"""Packed bytes unpacked: gzip, zstd, bzip2, xz; within bounds, and as far as they are whole."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

from curate.base.errors import CurateError

# A dump packs to a tenth or a hundredth. What unpacks to much more, and to more than any memory
# is sure to have, was made to fill it.
MOST_BYTES = 1 << 30
MOST_TIMES = 200


class _Packing(NamedTuple):
    name: str
    begins: bytes
    opened: Callable[[], Any]  # a decompressor of one stream
    step: int = 1 << 18  # packed bytes given to it at a time
    bounded: bool = True  # whether it can be asked for no more than so many bytes


def _zstd() -> Any:
    import zstandard

    # Frames of `zstd --long` need a window of their own size.
    return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()


_PACKINGS = (
    _Packing("gzip", b"\x1f\x8b", lambda: zlib.decompressobj(wbits=31)),
    # A step of 4 KB of zstd holds at most 128 MB.
    _Packing("zstd", b"\x28\xb5\x2f\xfd", _zstd, step=1 << 12, bounded=False),
    _Packing("bzip2", b"BZh", bz2.BZ2Decompressor),
    _Packing("xz", b"\xfd7zXZ\0", lzma.LZMADecompressor),
)


def is_packed(data: bytes) -> bool:
    """Whether bytes are packed in a way that `unpack` knows."""
    return _packing_of(data) is not None


def _packing_of(data: bytes) -> _Packing | None:
    known = (packing for packing in _PACKINGS if data.startswith(packing.begins))
    packing = next(known, None)
    is_text = packing is not None and packing.name == "bzip2" and data[4:10] != b"1AY&SY"
    return None if is_text else packing


def most_bytes(packed: int) -> int:
    """To how many bytes so many packed ones may unpack."""
    return max(MOST_BYTES, MOST_TIMES * packed)


def unpack(data: bytes, name: str) -> tuple[bytes, str | None]:
    """The bytes without packing, and what went wrong if the packed data ends early.

    Raises `CurateError` when nothing can be unpacked, or far more than a dump would hold.
    """
    packing = _packing_of(data)
    if packing is None:
        return data, None
    pieces: list[bytes] = []
    try:
        wrong = _into(pieces, packing, data, name)
    except (zlib.error, OSError, EOFError, lzma.LZMAError, _zstd_error()) as error:
        wrong = str(error)
    if wrong is None:
        return b"".join(pieces), None
    broken = f"the {packing.name} data is damaged ({wrong})"
    if not any(pieces):
        raise CurateError(f"{name}: {broken}")
    return b"".join(pieces), broken


def _zstd_error() -> type[Exception]:
    import zstandard

    error: type[Exception] = zstandard.ZstdError
    return error


def _into(pieces: list[bytes], packing: _Packing, data: bytes, name: str) -> str | None:
    """All streams of the data unpacked into `pieces`; what is wrong if the last one breaks off."""
    most, total = most_bytes(len(data)), 0
    stream, view = packing.opened(), memoryview(data)
    for at in range(0, len(view), packing.step):
        rest: Any = view[at : at + packing.step]
        while len(rest):
            if stream.eof:
                rest = bytes(rest).lstrip(b"\0")  # streams may be padded
                if not rest:
                    break
                stream = packing.opened()
            bound = (most - total + 1,) if packing.bounded else ()
            pieces.append(stream.decompress(rest, *bound))
            total += len(pieces[-1])
            if total > most:
                raise CurateError(_too_much(name, len(data), most))
            rest = stream.unused_data if stream.eof else b""
    return None if stream.eof else "it ends before its end mark"


def _too_much(name: str, packed: int, most: int) -> str:
    return (
        f"{name}: {packed:,} packed bytes unpack to more than {most:,}, as data made to fill the "
        "memory would; if you trust it, unpack it yourself"
    )
