"""Token ids and labels of proven texts: one encode of the whole text, every boundary proven.

A token is trained iff it lies in a region. Boundaries are decided by ids: the tokens of the
prompt must be a prefix of the tokens of the text (I6). Control tokens are hard boundaries, so
only the text after the last one needs to be encoded again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from templates.encoding.cutting import Cutting, PieceIds, clip
from templates.encoding.draft import Draft, Tail, own_tokens
from templates.encoding.flat import Flat, Spelled
from templates.encoding.pieces import Piece
from templates.encoding.tokenizer import Tokenizer
from templates.encoding.whole import Encoded, Whole
from templates.options import Boundary, Control
from templates.proof.checks import ControlInContent, NoStop, NotDecodable, Refusal, excerpt
from templates.proof.regions import Proof

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Example:
    """A proven row. `spans` are the trained tokens `[start, end)` of each region, in order.

    `cut` counts boundaries that the tokenizer would have joined over, `escaped` says that
    content which spells control tokens was encoded as plain text. A `truncated` row lost tokens
    beyond `max_length`, the first `skipped` of them at its start. `array` are the ids once more,
    where they were made as one.
    """

    ids: list[int]
    spans: list[tuple[int, int]]
    cut: int = 0
    escaped: bool = False
    truncated: bool = False
    skipped: int = 0
    array: NDArray[np.int32] | None = field(default=None, compare=False, repr=False)

    @property
    def labels(self) -> list[int]:
        """Unshifted labels, -100 where nothing is trained."""
        labels = [IGNORED] * len(self.ids)
        for start, end in self.spans:
            labels[start:end] = self.ids[start:end]
        return labels


class Encoder:
    """Encodes proven texts with one tokenizer; remembers the tokens of headers seen before."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        stop_ids: Sequence[int],
        boundary: Boundary,
        control: Control = "text",
    ) -> None:
        self.tokenizer = tokenizer
        self.control: Control = control
        self.stop_ids = frozenset(stop_ids)
        self.boundary: Boundary = boundary
        self._whole = Whole(tokenizer)
        self._pieces = PieceIds(tokenizer.pieces)
        self._joining: dict[tuple[str, str], bool] = {}

    def drafts(self, proofs: Sequence[Proof]) -> list[Draft]:
        return [self._draft(proof) for proof in proofs]

    def _draft(self, proof: Proof) -> Draft:
        draft = Draft(proof, own_tokens(proof, self.tokenizer, self.control == "allow"))
        if not self.tokenizer.has_offsets:
            draft.escaped = len(self.tokenizer.search(proof.text)) > len(draft.own)
            return draft
        merging = self._merging(proof) if self.boundary != "error" else []
        if merging:
            spelled = len(self.tokenizer.search(proof.text)) > len(draft.own)
            draft.cut_at(merging, spelled)
        return draft

    def _merging(self, proof: Proof) -> list[int]:
        """Ends of regions where a stop of plain text is one token with the words after it.

        Told by the stop and those words alone, so that the same row has the same cuts in any
        company; other crossings show when the whole text is encoded.
        """
        places = []
        for region in proof.regions:
            if region.stop is None or region.stop.id is not None:
                continue
            data = (span.start for span in proof.spans if span.start >= region.end)
            after = proof.text[region.end : min(next(data, len(proof.text)), region.end + 16)]
            if after and self._joins(region.stop.text, after):
                places.append(region.end)
        return places

    def _joins(self, stop: str, after: str) -> bool:
        known = self._joining.get((stop, after))
        if known is None:
            offsets = self.tokenizer.pieces.front("cut").encode(stop + after).offsets
            known = any(low < len(stop) < high for low, high in offsets)
            self._joining[stop, after] = known
        return known

    def encode(self, drafts: Sequence[Draft]) -> Encoded:
        """The whole texts encoded; safe in a thread of its own."""
        return self._whole.encode(drafts)

    def finish(self, drafts: Sequence[Draft], encoded: Encoded) -> list[Example | Refusal]:
        """An example, or the refusal of a check at token level, for each proven text."""
        flat = Flat(encoded.ids)
        places = flat.places_of(self.tokenizer.control_ids)
        spelled = Spelled(flat, self.tokenizer.token_bytes)
        for row, draft in enumerate(drafts):
            encoding = encoded.encodings.get(row)
            draft.take(encoding, encoded.ids[row], places[row], self.tokenizer.overlap_free)
            draft.place(encoded.prompts, spelled, row)
        left = [draft for draft in drafts if draft.raw is not None and draft.spans is None]
        self._warm(left, encoded.prompts)
        return [self._finish(draft, spelled, row) for row, draft in enumerate(drafts)]

    def _warm(self, drafts: Sequence[Draft], prompts: Mapping[Tail, list[int]]) -> None:
        """Encode at once what rows must be made of that cannot be taken as they are."""
        self._pieces.clear()
        for draft in drafts:
            for tail in [] if draft.escaped else draft.tails:
                self._pieces.put(tail.kind, tail.text, prompts[tail])
        for draft in drafts if self.boundary != "error" else []:
            draft.cutting = self._cutting(draft)
        cuttings = [draft.cutting for draft in drafts if draft.cutting]
        self._pieces.warm(text for cutting in cuttings for text in cutting.texts())

    def _finish(self, draft: Draft, spelled: Spelled, row: int) -> Example | Refusal:
        try:
            if draft.raw is None:
                raise NotDecodable("the text holds half a surrogate pair, which no token spells")
            if draft.escaped and self.control == "reject":
                raise ControlInContent("its content spells a control token of the tokenizer")
            if draft.spans is None:
                example = self._by_pieces(draft)
            else:
                example = Example(draft.ids, draft.spans, len(draft.crossed), array=draft.array)
                if not draft.says(spelled, row):
                    self._check_decodes(draft, example, None)
            self._check_stops(draft, example)
        except Refusal as refusal:
            return refusal
        return example

    def offsets(self, proof: Proof, example: Example) -> list[tuple[int, int]]:
        """The characters that each token of an example stands for."""
        first, size = example.skipped, len(example.ids)
        whole = self.tokenizer.backend.encode(proof.text, add_special_tokens=False)
        if self.tokenizer.has_offsets and whole.ids[first : first + size] == example.ids:
            return list(whole.offsets[first : first + size])
        cutting = self._cutting(self._draft(proof))
        cutting.settle(self._pieces)
        offsets = self.tokenizer.pieces.encode(proof.text, cutting.pieces).offsets
        return list(offsets[first : first + size])

    def _cutting(self, draft: Draft) -> Cutting:
        text = draft.proof.text
        whole = self.tokenizer.pieces.split(text, draft.own)
        return Cutting(text, whole, draft.proof.regions, self.boundary, draft.crossed)

    def _by_pieces(self, draft: Draft) -> Example:
        """Encode piece by piece: content spells a control token, or a boundary is straddled."""
        cutting = draft.cutting or self._cutting(draft)
        ids = cutting.settle(self._pieces)
        self._check_controls(draft, ids)
        before = cutting.tokens_before
        spans = [(before(region.start), before(region.end)) for region in draft.proof.regions]
        example = Example(ids, spans, len(cutting.crossed), draft.escaped)
        self._check_decodes(draft, example, cutting.pieces)
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
            if trained != text and not self._loose(text, trained):
                ids = example.ids[start:end]
                self._check_surface(draft, ids, region.start, region.end, pieces, region.turn)

    def _loose(self, text: bytes, trained: bytes) -> bool:
        """Whether a token across the start, left whole on request, is all that is different."""
        left = self.boundary in ("train", "mask")
        return left and (text.endswith(trained) or trained.endswith(text))

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
        if expected == said or (turn is not None and self._loose(expected, said)):
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
            if region.stop is None:
                continue
            if region.stop.id is not None and (not ids or ids[-1] != region.stop.id):
                why = f"its last token is not {region.stop.text!r}"
            elif not self.stop_ids.isdisjoint(ids[:-1]):
                early = next(number for number in ids if number in self.stop_ids)
                token = self.tokenizer.backend.id_to_token(early)
                why = f"{token!r} stands in it, where generation would end"
            else:
                continue
            raise NoStop(f"message {region.turn}: {why}", region.turn, region.stop_start)
