"""Token ids and labels of verified texts: the whole text encoded, every boundary proven.

A token is trained iff it lies in a trained text. Boundaries are decided by ids: the tokens of the
prompt must be the first of the tokens of the text. Control tokens are hard boundaries, so only the
text after the last one needs to be encoded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from templates.encoding.boundaries import control_tokens, find_boundaries, took_data_for_control
from templates.encoding.cutting import Cutting, SegmentIds, clip
from templates.options import Boundary, Control
from templates.refusals import (
    ControlInContent,
    DecodeMismatch,
    Refusal,
    StopNotAtEnd,
    excerpt,
)
from templates.spans import VerifiedRender
from templates.tokenizer.segments import ControlTokenSpan, Segment
from templates.tokenizer.tokenizer import Tokenizer

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Example:
    """A proven row. `spans` are the trained tokens `[start, end)` of each trained text, in order.

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
    """Encodes verified texts with one tokenizer; `stop_ids` are tokens that end generation."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        stop_ids: Sequence[int],
        boundary: Boundary = "split",
        control: Control = "text",
    ) -> None:
        self.tokenizer = tokenizer
        self.control: Control = control
        self.stop_ids = frozenset(stop_ids)
        self.boundary: Boundary = boundary
        self._joining: dict[tuple[str, str], bool] = {}

    def stream(
        self, batches: Iterable[Sequence[VerifiedRender]]
    ) -> Iterator[list[Example | Refusal]]:
        """What becomes of each batch of verified texts, in order."""
        for batch in batches:
            yield [self.encode(verified) for verified in batch]

    def encode(self, verified: VerifiedRender) -> Example | Refusal:
        """The example of a verified text, or the refusal of a check on its tokens."""
        try:
            example = self._encoded(verified)
            self.check_stops(verified, example)
        except Refusal as refusal:
            return refusal
        return example

    def _encoded(self, verified: VerifiedRender) -> Example:
        """The whole text encoded; in segments where that would join what must stay apart."""
        text, tokenizer = verified.text, self.tokenizer
        self.check_text(utf8(text) is not None, escaped=False)
        own = control_tokens(verified, tokenizer, self.control == "allow")
        cuts = self.joined_stops(verified)
        if cuts or not tokenizer.has_offsets:
            return self.by_segments(verified, own, cuts, self.spells_control(text, own))
        encoding = tokenizer.backend.encode(text, add_special_tokens=False)
        escaped = took_data_for_control(tokenizer, encoding, own)
        if escaped:
            return self.by_segments(verified, own, [], escaped)
        spans, cuts = find_boundaries(tokenizer, encoding, verified, own)
        if cuts:
            return self.by_segments(verified, own, cuts, escaped)
        example = Example(encoding.ids, spans)
        self.check_decodes(verified, own, example, None)
        return example

    def by_segments(
        self,
        verified: VerifiedRender,
        own: Sequence[ControlTokenSpan],
        cuts: Iterable[int],
        escaped: bool,
        known: SegmentIds | None = None,
    ) -> Example:
        """Encode segment by segment, cut at boundaries that a token would lie across.

        `known` are ids of segments that were encoded before.
        """
        self.check_text(True, escaped)
        cutting = self.cutting(verified, own, cuts)
        ids = cutting.settle(known or SegmentIds(self.tokenizer.segments))
        self._check_controls(own, ids)
        before = cutting.tokens_before
        spans = [(before(target.start), before(target.end)) for target in verified.trained]
        example = Example(ids, spans, len(cutting.crossed), escaped)
        self.check_decodes(verified, own, example, cutting.segments)
        return example

    def cutting(
        self, verified: VerifiedRender, own: Sequence[ControlTokenSpan], cuts: Iterable[int] = ()
    ) -> Cutting:
        """The text in segments, cut at some boundaries."""
        segments = self.tokenizer.segments.split(verified.text, own)
        return Cutting(verified.text, segments, verified.trained, self.boundary, cuts)

    def offsets(self, verified: VerifiedRender, example: Example) -> list[tuple[int, int]]:
        """The characters `[start, stop)` that each token of an example stands for."""
        text, tokenizer = verified.text, self.tokenizer
        first, size = example.skipped, len(example.ids)
        whole = tokenizer.backend.encode(text, add_special_tokens=False)
        if tokenizer.has_offsets and whole.ids[first : first + size] == example.ids:
            return list(whole.offsets[first : first + size])
        own = control_tokens(verified, tokenizer, self.control == "allow")
        cutting = self.cutting(verified, own)
        cutting.settle(SegmentIds(tokenizer.segments))
        offsets = tokenizer.segments.encode(text, cutting.segments).offsets
        return list(offsets[first : first + size])

    def joined_stops(self, verified: VerifiedRender) -> list[int]:
        """Where a stop of plain text is one token with the words after it: its last character.

        Decided by the stop and those words alone, so that the same row has the same cuts in any
        company; other crossings show when the whole text is encoded.
        """
        if self.boundary == "error" or not self.tokenizer.has_offsets:
            return []
        places = []
        for target in verified.trained:
            if target.stop is None or target.stop.id is not None:
                continue
            data = (span.start for span in verified.spans if span.start >= target.end)
            high = min(next(data, len(verified.text)), target.end + 16)
            after = verified.text[target.end : high]
            if after and self._joins(target.stop.text, after):
                places.append(target.end)
        return places

    def _joins(self, stop: str, after: str) -> bool:
        known = self._joining.get((stop, after))
        if known is None:
            offsets = self.tokenizer.segments.front("cut").encode(stop + after).offsets
            known = any(low < len(stop) < high for low, high in offsets)
            self._joining[stop, after] = known
        return known

    def spells_control(self, text: str, own: Sequence[ControlTokenSpan]) -> bool:
        """Whether data spells a control token, told by the text alone."""
        return len(self.tokenizer.search(text)) > len(own)

    def check_text(self, is_utf8: bool, escaped: bool) -> None:
        """Refuse a text that no token spells, and control tokens in content if asked to.

        Raises `DecodeMismatch` or `ControlInContent`.
        """
        if not is_utf8:
            raise DecodeMismatch("the text holds half a surrogate pair, which no token spells")
        if escaped and self.control == "reject":
            raise ControlInContent("its content spells a control token of the tokenizer")

    def _check_controls(self, own: Sequence[ControlTokenSpan], ids: Sequence[int]) -> None:
        """No control token but the template's own: neither by its spelling nor as unknown."""
        left = [token.id for token in own]
        for number in ids:
            if number not in self.tokenizer.control_ids:
                continue
            if number not in left:
                token = self.tokenizer.backend.id_to_token(number)
                raise DecodeMismatch(f"plain text in this row can only be encoded as {token!r}")
            left.remove(number)

    def check_decodes(
        self,
        verified: VerifiedRender,
        own: Sequence[ControlTokenSpan],
        example: Example,
        segments: Sequence[Segment] | None,
    ) -> None:
        """The ids decode to the text, and those of each trained text to it.

        `segments` are those that were encoded; None for the whole text. Raises `DecodeMismatch`.
        """
        texts = self.tokenizer.segments.token_texts(example.ids)
        raw, whole = verified.text.encode(), b"".join(texts)
        if segments is None:
            segments = self.tokenizer.segments.split(verified.text, own)
        if whole not in (raw, b" " + raw):
            self._check_surface(verified, segments, example.ids, (0, len(verified.text)), None)
        for target, (start, end) in zip(verified.trained, example.spans, strict=True):
            wanted = verified.text[target.start : target.end].encode()
            decoded = b"".join(texts[start:end])
            if decoded != wanted and not self._loose(wanted, decoded):
                ids, place = example.ids[start:end], (target.start, target.end)
                self._check_surface(verified, segments, ids, place, target.turn)

    def _loose(self, wanted: bytes, decoded: bytes) -> bool:
        """Whether a token across the start, left whole on request, is all that is different."""
        left = self.boundary in ("train", "mask")
        return left and (wanted.endswith(decoded) or decoded.endswith(wanted))

    def _check_surface(
        self,
        verified: VerifiedRender,
        segments: Sequence[Segment],
        ids: Sequence[int],
        place: tuple[int, int],
        turn: int | None,
    ) -> None:
        """The same after the normaliser: what the model's own vocabulary can spell at all."""
        known = self.tokenizer.segments
        wanted = known.surface(verified.text, clip(segments, *place))
        shown = known.shown(ids)
        if wanted == shown or (turn is not None and self._loose(wanted, shown)):
            return
        pairs = enumerate(zip(wanted, shown, strict=False))
        at = next((at for at, (one, two) in pairs if one != two), min(len(wanted), len(shown)))
        lines = (
            f"  expected {excerpt(wanted.decode(errors='replace'), at)}",
            f"  got      {excerpt(shown.decode(errors='replace'), at)}",
        )
        what = "the tokens" if turn is None else f"message {turn}: its trained tokens"
        raise DecodeMismatch(f"{what} do not decode to the text", turn, place[0] + at, lines)

    def check_stops(self, verified: VerifiedRender, example: Example) -> None:
        """The stop's token is the last of its trained text, and the only stop in it.

        Raises `StopNotAtEnd`.
        """
        for target, (start, end) in zip(verified.trained, example.spans, strict=True):
            ids = example.ids[start:end]
            if target.stop is None:
                continue
            if target.stop.id is not None and (not ids or ids[-1] != target.stop.id):
                why = f"its last token is not {target.stop.text!r}"
            elif not self.stop_ids.isdisjoint(ids[:-1]):
                early = next(number for number in ids if number in self.stop_ids)
                token = self.tokenizer.backend.id_to_token(early)
                why = f"{token!r} stands in it, where generation would end"
            else:
                continue
            raise StopNotAtEnd(f"message {target.turn}: {why}", target.turn, target.stop_start)


def utf8(text: str) -> bytes | None:
    """The text's bytes; None if it holds half a surrogate pair."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None
