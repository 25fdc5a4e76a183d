"""A verified text on its way to an example: which of its tokens are whose."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from templates.encoding.boundaries import other_controls, tokens_up_to
from templates.encoding.encode import utf8
from templates.fast.token_batch import Spelled
from templates.spans import TrainedSpan, VerifiedRender
from templates.tokenizer.segments import ControlTokenSpan, Kind
from templates.tokenizer.tokenizer import Tokenizer

# What a context follows: nothing, the trained text before, or a word; else a control token.
START, TRAINED, WORD = -1, -2, -3
WORD_REACH = 200  # characters before a boundary where the end of a word is looked for
_WORD_END = re.compile(r".*([A-Za-z])[ \n]", re.DOTALL)
WHOLE_PROMPTS = 8  # times its own length that a text without control tokens is encoded again


class BoundaryContext(NamedTuple):
    """Text before a boundary that proves it when encoded alone.

    It follows a control token; or is all text before the boundary (`control` empty); or, in long
    conversations without control tokens, follows the trained text before (`control` None).
    """

    control: str | None
    text: str

    @property
    def kind(self) -> Kind:
        """What kind of segment it is."""
        return "cut" if self.control is None else "after" if self.control else "first"


class PendingEncoding:
    """A text on its way to an example: its control tokens, its ids, and where they stand."""

    def __init__(self, verified: VerifiedRender, own: list[ControlTokenSpan]) -> None:
        self.verified = verified
        self.own = own
        self.raw = utf8(verified.text)
        self.ids: list[int] = []
        self.array: NDArray[np.int32] | None = None  # the same
        self.places: list[int] = []  # of each own control token among the ids
        self.read = False  # the ids are those of the text, cut where it is known to be cut
        self.by_pretokens = False  # and they were made word by word
        self.escaped = False  # content spells a control token
        self.encoding: Encoding | None = None
        self.contexts: list[BoundaryContext] = []  # encoded alone, they prove each start
        self._after: list[int] = []  # the number of the own token that each context follows
        self.spans: list[tuple[int, int]] | None = None  # where the ids can be taken as they are
        self.crossed: list[int] = []  # boundaries that lie inside a token
        self.known_cuts = False  # a stop is known to merge with the text after it

    def take(
        self,
        tokenizer: Tokenizer,
        encoding: Encoding | None,
        array: NDArray[np.int32],
        places: list[int],
    ) -> None:
        """Accept the ids of the whole text, unless content became a control token.

        `places` are the control tokens among the ids.
        """
        if not self.read:
            return
        ids = array.tolist()
        self.encoding, self.array, self.ids, self.places = encoding, array, ids, places
        self.escaped = other_controls(tokenizer, encoding, ids, places, self.own)

    def find_contexts(self) -> None:
        """What must be encoded alone to prove where each trained text starts."""
        text = self.verified.text
        stops = [token.stop for token in self.own]
        whole, previous = 0, 0
        for target in self.verified.trained:
            number = bisect_right(stops, target.start) - 1
            start = stops[number] if number >= 0 else 0
            word = word_end(text, start, target.start) if number < 0 and self.by_pretokens else 0
            whole += 0 if number >= 0 or word else target.start
            cut = self.known_cuts and start <= previous and previous in self.crossed
            if cut or (previous and number < 0 and whole > WHOLE_PROMPTS * len(text)):
                context, after = BoundaryContext(None, text[previous : target.start]), TRAINED
            elif word:
                context, after = BoundaryContext("", text[word : target.start]), WORD
            elif number < 0:
                context, after = BoundaryContext("", text[: target.start]), START
            else:
                control = text[self.own[number].start : start]
                context, after = BoundaryContext(control, text[start : target.start]), number
            self.contexts.append(context)
            self._after.append(after)
            previous = target.end

    def place(
        self, prompts: Mapping[BoundaryContext, list[int]], spelled: Spelled, row: int
    ) -> None:
        """Find the trained tokens of each text, or the boundaries that lie inside a token.

        `prompts` are the ids of contexts, encoded alone.
        """
        if not self.read or self.escaped:
            return
        ends = dict(zip((token.stop for token in self.own), self.places, strict=True))
        spans: list[tuple[int, int]] = []
        crossed: list[int] = []
        trained = zip(self.verified.trained, self.contexts, self._after, strict=True)
        for target, context, after in trained:
            low = spans[-1][1] if after == TRAINED else 0
            low = self.places[after] + 1 if after >= 0 else low
            if after == WORD:
                word = target.start - len(context.text)
                low = spelled.tokens_before(row, len(self.verified.text[:word].encode())) or 0
            start = low + len(prompts[context])
            if self.ids[low:start] != prompts[context]:
                crossed.append(target.start)
            own = ends.get(target.end)
            end = self._end(target, spelled, row) if own is None else own + 1
            if end is None:
                crossed.append(target.end)
                end = start
            spans.append((start, end))
        # What is crossed beside known cuts is left to `Encoder`, which decides one after the other:
        # a context may reach back over a known cut, and a cut may end the joining further on.
        self.crossed += [] if self.known_cuts else crossed
        self.spans = None if crossed else spans

    def decodes(self, spelled: Spelled, row: int) -> bool:
        """Whether the ids decode to the text, and those of each trained text to it."""
        shift = spelled.shift(row, self.raw or b"")
        if shift is None:
            return False
        text = self.verified.text
        ascii_text = len(self.raw or b"") == len(text)
        for target, span in zip(self.verified.trained, self.spans or [], strict=True):
            for place, token in zip((target.start, target.end), span, strict=True):
                before = place if ascii_text else len(text[:place].encode())
                if spelled.bytes_before(row, token) != before + shift:
                    return False
        return True

    def _end(self, target: TrainedSpan, spelled: Spelled, row: int) -> int | None:
        """The number of tokens up to a trained text's end; None if a token goes on after it."""
        if self.encoding is None:
            return spelled.tokens_before(row, len(self.verified.text[: target.end].encode()))
        return tokens_up_to(self.encoding, target)


def word_end(text: str, low: int, high: int) -> int:
    """The last place before `high` where a word ends for certain; 0 if none is near.

    No expression of `pretokens.EXPRESSIONS` has a word with white space after a letter, and none
    looks behind. So a text is encoded as its two sides are, and the prompt as well: what proves
    a boundary after such a place is the text from there on.
    """
    first = max(low, high - WORD_REACH)
    match = _WORD_END.search(text[first:high])
    return first + match.end(1) if match else 0
