"""Token ids and labels of proven texts: one encode of the whole text, every boundary proven.

A token is trained iff it lies in a region. Boundaries are decided by ids: the tokens of the
prompt must be a prefix of the tokens of the text (I6). Control tokens are hard boundaries, so
only the text after the last one needs to be encoded again, and equal headers only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from templates.checks import NoStop, NotDecodable, Refusal, excerpt
from templates.cutting import Boundary, Cutting, clip
from templates.pieces import Piece
from templates.regions import Proof, Region
from templates.tokenizer import Own, Tokenizer

if TYPE_CHECKING:
    from tokenizers import Encoding

IGNORED = -100
MAX_TAILS = 20_000


@dataclass(frozen=True, slots=True)
class Example:
    """A proven row. `spans` are the trained tokens `[start, end)` of each region, in order.

    `cut` counts boundaries that the tokenizer would have joined over, `escaped` says that
    content which spells control tokens was encoded as plain text.
    """

    ids: list[int]
    spans: list[tuple[int, int]]
    cut: int = 0
    escaped: bool = False

    @property
    def labels(self) -> list[int]:
        """Unshifted labels, -100 where nothing is trained."""
        labels = [IGNORED] * len(self.ids)
        for start, end in self.spans:
            labels[start:end] = self.ids[start:end]
        return labels


class Tail(NamedTuple):
    """Text between the last control token before a boundary (or the start) and the boundary."""

    control: str
    text: str


class Encoder:
    """Encodes proven texts with one tokenizer; remembers the tokens of headers seen before."""

    def __init__(self, tokenizer: Tokenizer, stop_ids: Sequence[int], boundary: Boundary) -> None:
        self.tokenizer = tokenizer
        self.stop_ids = frozenset(stop_ids)
        self.boundary: Boundary = boundary
        self._tails: dict[Tail, list[int]] = {}

    def drafts(self, proofs: Sequence[Proof]) -> list[Draft]:
        return [Draft(proof, own_tokens(proof, self.tokenizer)) for proof in proofs]

    def encode(self, drafts: Sequence[Draft]) -> list[Encoding]:
        """The whole texts encoded, unreadable ones as nothing; safe in a thread of its own."""
        texts = [draft.proof.text if draft.raw is not None else "" for draft in drafts]
        return self.tokenizer.backend.encode_batch(texts, add_special_tokens=False)

    def finish(
        self, drafts: Sequence[Draft], encodings: Sequence[Encoding]
    ) -> list[Example | Refusal]:
        """An example, or the refusal of a check at token level, for each proven text."""
        for draft, encoding in zip(drafts, encodings, strict=True):
            draft.take(encoding, self.tokenizer)
        self._learn([tail for draft in drafts for tail in draft.tails])
        return [self._finish(draft) for draft in drafts]

    def _learn(self, tails: Sequence[Tail]) -> None:
        if len(self._tails) > MAX_TAILS:
            self._tails.clear()
        new = [tail for tail in dict.fromkeys(tails) if tail not in self._tails]
        if not new:
            return
        texts = [tail.control + tail.text for tail in new]
        batch = self.tokenizer.backend.encode_batch_fast(texts, add_special_tokens=False)
        for tail, encoding in zip(new, batch, strict=True):
            self._tails[tail] = encoding.ids[1:] if tail.control else encoding.ids

    def _finish(self, draft: Draft) -> Example | Refusal:
        try:
            if draft.raw is None:
                raise NotDecodable("the text holds half a surrogate pair, which no token spells")
            spans = draft.spans(self._tails)
            if spans is None:
                example = self._by_pieces(draft)
            else:
                example = Example(draft.ids, spans)
                self._check_decodes(draft, example, None)
            self._check_stops(draft, example)
        except Refusal as refusal:
            return refusal
        return example

    def offsets(self, proof: Proof, example: Example) -> list[tuple[int, int]]:
        """The characters that each token of an example stands for."""
        whole = self.tokenizer.backend.encode(proof.text, add_special_tokens=False)
        if whole.ids == example.ids:
            return list(whole.offsets)
        cutting, pieces = self._cut(Draft(proof, own_tokens(proof, self.tokenizer)))
        return [offset for piece in pieces for offset in cutting.encoded(piece).offsets]

    def _cut(self, draft: Draft) -> tuple[Cutting, list[Piece]]:
        cutting = Cutting(self.tokenizer, draft.proof.text, self.boundary)
        whole = self.tokenizer.pieces.split(draft.proof.text, draft.own)
        return cutting, cutting.cut(whole, draft.proof.regions)

    def _by_pieces(self, draft: Draft) -> Example:
        """Encode piece by piece: content spells a control token, or a boundary is straddled."""
        cutting, pieces = self._cut(draft)
        ids = [number for piece in pieces for number in cutting.encoded(piece).ids]
        self._check_controls(draft, ids)
        before = cutting.tokens_before
        spans = [(before(region.start), before(region.end)) for region in draft.proof.regions]
        example = Example(ids, spans, cutting.cuts, draft.escaped)
        self._check_decodes(draft, example, pieces)
        return example

    def _check_controls(self, draft: Draft, ids: Sequence[int]) -> None:
        """No control token but the template's own: neither by its spelling nor as unknown."""
        left = [token.id for token in draft.own]
        for number in ids:
            if number not in self.tokenizer.control_ids:
                continue
            if number not in left:
                token = self.tokenizer.backend.id_to_token(number)
                raise NotDecodable(f"plain text in this row can only be encoded as {token!r}")
            left.remove(number)

    def _check_decodes(
        self, draft: Draft, example: Example, pieces: Sequence[Piece] | None
    ) -> None:
        """I7: the ids say the text, and the ids of each region say its text."""
        said = self.tokenizer.pieces.said(example.ids)
        whole = b"".join(said)
        if whole != draft.raw and whole != b" " + (draft.raw or b""):
            self._check_surface(draft, example.ids, 0, len(draft.proof.text), pieces, None)
        for region, (start, end) in zip(draft.proof.regions, example.spans, strict=True):
            text = draft.proof.text[region.start : region.end].encode()
            trained = b"".join(said[start:end])
            loose = self.boundary in ("train", "mask") and (
                text.endswith(trained) or trained.endswith(text)
            )
            if trained != text and not loose:
                ids = example.ids[start:end]
                self._check_surface(draft, ids, region.start, region.end, pieces, region.turn)

    def _check_surface(
        self,
        draft: Draft,
        ids: Sequence[int],
        start: int,
        end: int,
        pieces: Sequence[Piece] | None,
        turn: int | None,
    ) -> None:
        """The same after the normaliser: what the model's own vocabulary can say at all."""
        text, known = draft.proof.text, self.tokenizer.pieces
        inside = clip(known.split(text, draft.own) if pieces is None else pieces, start, end)
        expected, said = known.surface(text, inside), known.shown(ids)
        if expected == said:
            return
        place = next(
            (at for at, pair in enumerate(zip(expected, said, strict=False)) if pair[0] != pair[1]),
            min(len(expected), len(said)),
        )
        lines = (
            f"  expected {excerpt(expected.decode(errors='replace'), place)}",
            f"  got      {excerpt(said.decode(errors='replace'), place)}",
        )
        what = "the tokens" if turn is None else f"message {turn}: its trained tokens"
        raise NotDecodable(f"{what} do not decode to the text", turn, start + place, lines)

    def _check_stops(self, draft: Draft, example: Example) -> None:
        """I5 at token level: the stop's token is the region's last, and its only stop."""
        for region, (start, end) in zip(draft.proof.regions, example.spans, strict=True):
            ids = example.ids[start:end]
            if region.stop.id is not None and (not ids or ids[-1] != region.stop.id):
                why = f"its last token is not {region.stop.text!r}"
            elif not self.stop_ids.isdisjoint(ids[:-1]):
                early = next(number for number in ids if number in self.stop_ids)
                token = self.tokenizer.backend.id_to_token(early)
                why = f"{token!r} stands in it, where generation would end"
            else:
                continue
            raise NoStop(f"message {region.turn}: {why}", region.turn, region.stop_start)


class Draft:
    """A text on its way to an example: its control tokens, its ids, and where they stand."""

    def __init__(self, proof: Proof, own: list[Own]) -> None:
        self.proof = proof
        self.own = own
        self.raw = _utf8(proof.text)
        self.ids: list[int] = []
        self.places: list[int] = []  # of each own control token among the ids
        self.escaped = False  # content spells a control token
        self.encoding: Encoding | None = None
        self.tails: list[Tail] = []  # what must be encoded alone to prove each region's start
        self._before: list[int] = []  # tokens before each tail

    def take(self, encoding: Encoding, tokenizer: Tokenizer) -> None:
        """Accept the ids of the whole text, unless content became a control token."""
        if self.raw is None:
            return
        self.encoding = encoding
        self.ids = encoding.ids
        places = [encoding.char_to_token(token.start) for token in self.own]
        controls = list(map(tokenizer.control_ids.__contains__, self.ids)).count(True)
        self.places = [place for place in places if place is not None]
        self.escaped = controls != len(self.own) or any(
            place is None or self.ids[place] != token.id
            for place, token in zip(places, self.own, strict=True)
        )
        if not self.escaped:
            self._find_tails()

    def _find_tails(self) -> None:
        text = self.proof.text
        for region in self.proof.regions:
            before = [at for at, token in enumerate(self.own) if token.stop <= region.start]
            if before:
                token = self.own[before[-1]]
                control = text[token.start : token.stop]
                self.tails.append(Tail(control, text[token.stop : region.start]))
                self._before.append(self.places[before[-1]] + 1)
            else:
                self.tails.append(Tail("", text[: region.start]))
                self._before.append(0)

    def spans(self, tails: dict[Tail, list[int]]) -> list[tuple[int, int]] | None:
        """The trained tokens of each region; None if a boundary lies inside a token."""
        if self.escaped:
            return None
        spans = []
        for region, tail, before in zip(self.proof.regions, self.tails, self._before, strict=True):
            expected = tails[tail]
            start = before + len(expected)
            end = self._end(region)
            if end is None or self.ids[before:start] != expected:
                return None
            spans.append((start, end))
        return spans

    def _end(self, region: Region) -> int | None:
        """The number of tokens up to the region's end; None if a token goes on after it."""
        for token, place in zip(self.own, self.places, strict=True):
            if token.stop == region.end:
                return place + 1
        if self.encoding is None:
            return None
        last = self.encoding.char_to_token(region.end - 1)
        if last is None:
            return None
        while last + 1 < len(self.ids) and self._chars(last + 1)[0] < region.end:
            last += 1
        return None if self._chars(last)[1] > region.end else last + 1

    def _chars(self, place: int) -> tuple[int, int]:
        chars = self.encoding.token_to_chars(place) if self.encoding else None
        return chars or (0, 0)


def own_tokens(proof: Proof, tokenizer: Tokenizer) -> list[Own]:
    """The control tokens that the template wrote: never those that data spells, even in part."""
    found: list[Own] = []
    place = 0
    for start, stop in [(span.start, span.stop) for span in proof.spans] + [(len(proof.text), 0)]:
        if place < start:
            written = tokenizer.own(proof.text[place:start])
            found += [Own(low + place, high + place, number) for low, high, number in written]
        place = stop
    return found


def _utf8(text: str) -> bytes | None:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None
