"""Packed bytes unpacked: gzip, zstd, bzip2, xz; within bounds, and around what is damaged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from curate.base.errors import CurateError
from curate.sources.files.streams import PACKINGS, Packing, next_begin, pieces

# A dump packs to a tenth or a hundredth. What unpacks to much more, and to more than any memory
# is sure to have, was made to fill it.
MOST_BYTES = 1 << 30
MOST_TIMES = 200
# Unpacked bytes up to here are kept as they come. Of more it is counted first how many there are.
HELD = 1 << 28
# The head, as of gzip, that a packed member of a zip archive gets.
ZIPPED = b"\x1f\x8b\x08\0zip\0\0\xff"
# Packed bytes looked at again behind damage, in lengths of the data; more are not looked at.
_MOST_TRIED = 4
# Damaged streams behind which another one is looked for.
MOST_DAMAGED = 1000


@dataclass
class Budget:
    """To how many bytes a file, or all the files of an archive, may be unpacked.

    `most` is what the user allows; without it, it follows from how large the packed file is.
    """

    most: int | None = None
    spent: int = 0

    def limit(self, packed: int) -> int:
        """The most bytes that so many packed ones may become."""
        return self.most if self.most is not None else max(MOST_BYTES, MOST_TIMES * packed)


class Damage(NamedTuple):
    """Where something is wrong: behind how many unpacked bytes, and what it is.

    Where it `cuts`, bytes are missing, and the text before it breaks off.
    """

    at: int
    wrong: str
    cuts: bool = True


class Unpacked(NamedTuple):
    """The bytes without packing; `damages` tell of all that is missing or may be wrong."""

    data: bytes
    damages: tuple[Damage, ...] = ()


def is_packed(data: bytes) -> bool:
    """Whether bytes are packed in a way that `unpack` knows."""
    return _packing_of(data) is not None


def _packing_of(data: bytes) -> Packing | None:
    known = (packing for packing in PACKINGS if data.startswith(packing.begins))
    packing = next(known, None)
    is_text = packing is not None and packing.name == "bzip2" and data[4:10] != b"1AY&SY"
    return None if is_text else packing


def unpack(data: bytes, name: str, budget: Budget | None = None) -> Unpacked:
    """The bytes without packing, around what is damaged: sound streams behind it are read.

    Raises `CurateError` when nothing can be unpacked, or far more than a dump would hold.
    """
    packing = _packing_of(data)
    if packing is None:
        return Unpacked(data)
    budget = budget or Budget()
    kind = "zip" if data.startswith(ZIPPED) else packing.name
    most = budget.limit(len(data))
    held: list[bytes] = []
    damages: list[Damage] = []
    total = 0
    for piece in _pieces(packing, data):
        if isinstance(piece, Damage):
            wrong = f"the {kind} data is damaged ({piece.wrong})"
            damages.append(piece._replace(at=total, wrong=wrong))
            continue
        total += len(piece)
        if budget.spent + total > most:
            raise CurateError(too_much(name, len(data), most))
        if total <= HELD:
            held.append(piece)
        else:
            held.clear()
    budget.spent += total
    if damages and not total:
        raise CurateError(f"{name}: {damages[0].wrong}")
    if total > HELD:
        held = [piece for piece in _pieces(packing, data) if isinstance(piece, bytes)]
    return Unpacked(b"".join(held), tuple(damages))


def too_much(name: str, packed: int, most: int) -> str:
    """What is said of data that may not be unpacked."""
    return (
        f"{name}: {packed:,} packed bytes, which unpack to more than {most:,}, as data made to "
        "fill the memory would; if you trust it, raise the limit: --max-unpacked 100GB"
    )


def _pieces(packing: Packing, data: bytes) -> Iterator[bytes | Damage]:
    """The unpacked bytes of all streams, one after another, and in its place what is wrong."""
    at = tried = damaged = 0
    while at < len(data):
        end = yield from pieces(packing, data, at)
        wrong = end.wrong
        if end.is_whole:
            begin = _behind_padding(data, end.at)
            if begin < len(data) and not data.startswith(packing.begins, begin):
                wrong = wrong or "something else follows its end"
                begin = next_begin(packing, data, begin)
        else:
            tried += end.at - at
            begin = next_begin(packing, data, at + 1)
        if wrong is not None:
            damaged += 1
            is_hopeless = tried > _MOST_TRIED * len(data) or damaged >= MOST_DAMAGED
            is_last = begin == len(data) or is_hopeless
            before = "" if end.is_whole else "; what stands just before may have been changed"
            lost = "; what follows is lost" if is_last else ""
            yield Damage(0, f"{wrong}{before}{lost}", cuts=not end.is_whole)
            if is_last:
                return
        at = begin


_PADDING = re.compile(rb"\0*")


def _behind_padding(data: bytes, at: int) -> int:
    """Where data goes on behind zeros, which may follow a stream."""
    found = _PADDING.match(data, at)
    return found.end() if found else at
