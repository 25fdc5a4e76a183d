"""A proven text on its way to an example: which of its tokens are whose."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from templates.encoding.cutting import Cutting
from templates.encoding.flat import Spelled
from templates.encoding.pieces import Kind
from templates.encoding.tokenizer import Own, Tokenizer
from templates.proof.regions import Proof, Region

if TYPE_CHECKING:
    from tokenizers import Encoding


START, REGION, WORD = -1, -2, -3  # a tail follows nothing, the region before, or a word
WORD_REACH = 200  # characters before a boundary where the end of a word is looked for
_WORD_END = re.compile(r".*([A-Za-z])[ \n]", re.DOTALL)
WHOLE_PROMPTS = 8  # times its own length that a text without control tokens is encoded again


class Tail(NamedTuple):
    """Text before a boundary that proves it when encoded alone.

    It follows a control token; or is all text before the boundary (`control` empty); or, in long
    conversations without control tokens, follows the end of the region before (`control` None).
    """

    control: str | None
    text: str

    @property
    def kind(self) -> Kind:
        return "cut" if self.control is None else "after" if self.control else "first"


class Draft:
    """A text on its way to an example: its control tokens, its ids, and where they stand."""

    def __init__(self, proof: Proof, own: list[Own]) -> None:
        self.proof = proof
        self.own = own
        self.raw = _utf8(proof.text)
        self.ids: list[int] = []
        self.array: NDArray[np.int32] | None = None  # the same
        self.places: list[int] = []  # of each own control token among the ids
        self.read = False  # the ids are those of the text, cut where it is known to be cut
        self.by_words = False  # and they were made word by word
        self.escaped = False  # content spells a control token
        self.encoding: Encoding | None = None
        self.tails: list[Tail] = []  # what must be encoded alone to prove each region's start
        self._after: list[int] = []  # the own token that each tail follows, or START, REGION, WORD
        self.spans: list[tuple[int, int]] | None = None  # where the ids can be taken as they are
        self.crossed: list[int] = []  # boundaries that lie inside a token
        self.cutting: Cutting | None = None  # how the text is cut where they cannot
        self.known_cuts = False  # a stop is known to merge with the text after it

    def cut_at(self, places: list[int], escaped: bool) -> None:
        """Encode in pieces from the start: the ids of the whole text would not be used."""
        self.crossed, self.escaped, self.known_cuts = places, escaped, bool(places)

    def take(
        self,
        encoding: Encoding | None,
        array: NDArray[np.int32],
        places: list[int],
        overlap_free: bool,
    ) -> None:
        """Accept the ids of the whole text, unless content became a control token.

        `places` are the control tokens among the ids. They must be the template's own: the same
        ids in the same order, and, unless no two control tokens can overlap, at the same places.
        """
        if not self.read:
            return
        ids = array.tolist()
        self.encoding, self.array, self.ids, self.places = encoding, array, ids, places
        self.escaped = [ids[place] for place in places] != [token.id for token in self.own]
        if not (self.escaped or overlap_free or encoding is None):
            starts = [encoding.char_to_token(token.start) for token in self.own]
            self.escaped = starts != places

    def find_tails(self) -> None:
        """What must be encoded alone to prove the regions' starts."""
        text = self.proof.text
        stops = [token.stop for token in self.own]
        whole, previous = 0, 0
        for region in self.proof.regions:
            number = bisect_right(stops, region.start) - 1
            start = stops[number] if number >= 0 else 0
            word = word_end(text, start, region.start) if number < 0 and self.by_words else 0
            whole += 0 if number >= 0 or word else region.start
            cut = self.known_cuts and start <= previous and previous in self.crossed
            if cut or (previous and number < 0 and whole > WHOLE_PROMPTS * len(text)):
                tail, after = Tail(None, text[previous : region.start]), REGION
            elif word:
                tail, after = Tail("", text[word : region.start]), WORD
            elif number < 0:
                tail, after = Tail("", text[: region.start]), START
            else:
                control = text[self.own[number].start : start]
                tail, after = Tail(control, text[start : region.start]), number
            self.tails.append(tail)
            self._after.append(after)
            previous = region.end

    def place(self, tails: Mapping[Tail, list[int]], spelled: Spelled, row: int) -> None:
        """Find the trained tokens of each region, or the boundaries that lie inside a token."""
        if not self.read or self.escaped:
            return
        ends = dict(zip((token.stop for token in self.own), self.places, strict=True))
        spans: list[tuple[int, int]] = []
        crossed: list[int] = []
        for region, tail, after in zip(self.proof.regions, self.tails, self._after, strict=True):
            low = spans[-1][1] if after == REGION else 0
            low = self.places[after] + 1 if after >= 0 else low
            if after == WORD:
                word = region.start - len(tail.text)
                low = spelled.tokens_before(row, len(self.proof.text[:word].encode())) or 0
            start = low + len(tails[tail])
            if self.ids[low:start] != tails[tail]:
                crossed.append(region.start)
            own = ends.get(region.end)
            end = self._end(region, spelled, row) if own is None else own + 1
            if end is None:
                crossed.append(region.end)
                end = start
            spans.append((start, end))
        self.crossed += crossed
        self.spans = None if crossed else spans

    def says(self, spelled: Spelled, row: int) -> bool:
        """I7 on the batch: the ids say the text, and each region's ids say its text."""
        shift = spelled.shift(row, self.raw or b"")
        if shift is None:
            return False
        text = self.proof.text
        ascii_text = len(self.raw or b"") == len(text)
        for region, span in zip(self.proof.regions, self.spans or [], strict=True):
            for place, token in zip((region.start, region.end), span, strict=True):
                before = place if ascii_text else len(text[:place].encode())
                if spelled.bytes_before(row, token) != before + shift:
                    return False
        return True

    def _end(self, region: Region, spelled: Spelled, row: int) -> int | None:
        """The number of tokens up to the region's end; None if a token goes on after it."""
        if self.encoding is None:
            return spelled.tokens_before(row, len(self.proof.text[: region.end].encode()))
        last = self.encoding.char_to_token(region.end - 1)
        if last is None:
            return None
        while last + 1 < len(self.ids) and self._chars(last + 1)[0] < region.end:
            last += 1
        return None if self._chars(last)[1] > region.end else last + 1

    def _chars(self, place: int) -> tuple[int, int]:
        chars = self.encoding.token_to_chars(place) if self.encoding else None
        return chars or (0, 0)


def word_end(text: str, low: int, high: int) -> int:
    """The last place before `high` where a word ends for certain; 0 if none is near.

    No expression of `words.EXPRESSIONS` has a word with white space after a letter, and none
    looks behind. So a text is encoded as its two sides are, and the prompt as well: what proves
    a boundary after such a place is the text from there on.
    """
    first = max(low, high - WORD_REACH)
    found = _WORD_END.search(text[first:high])
    return first + found.end(1) if found else 0


def own_tokens(proof: Proof, tokenizer: Tokenizer, allow: bool = False) -> list[Own]:
    """The control tokens that the template wrote: never those that data spells, even in part.

    With `allow` those that data spells too.
    """
    if allow:
        return list(tokenizer.search(proof.text))
    text, found, place = proof.text, list[Own](), 0
    for span in proof.spans:
        if place < span.start:
            found += _moved(tokenizer.own(text[place : span.start]), place)
        place = span.stop
    return found + _moved(tokenizer.own(text[place:]), place)


def _moved(tokens: Sequence[Own], by: int) -> list[Own]:
    return [Own(low + by, high + by, number) for low, high, number in tokens]


def _utf8(text: str) -> bytes | None:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None
