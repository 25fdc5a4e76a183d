"""Segments cut at the boundaries of trained texts, where a token would lie across."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from templates.options import Boundary
from templates.refusals import TokenCrossesBoundary, excerpt
from templates.spans import TrainedSpan
from templates.tokenizer.segments import Kind, Segment, Segments


class SegmentIds:
    """The ids of segments; those seen before are remembered."""

    def __init__(self, segments: Segments) -> None:
        self.segments = segments
        self.known: dict[tuple[Kind, str], list[int]] = {}

    def get(self, kind: Kind, text: str) -> list[int]:
        """The ids of a segment of this kind."""
        ids = self.known.get((kind, text))
        if ids is None:
            ids = self.segments.encode(text, [Segment(0, len(text), kind)]).ids
            self.known[kind, text] = ids
        return ids


class Cutting:
    """One text in segments, cut further until every boundary stands between two tokens.

    `crossed` are the boundaries that the tokenizer would join over. Those that are cut are in
    `cuts`; under `train` and `mask` the start of a trained text is left inside its token.
    """

    def __init__(
        self,
        text: str,
        whole: Sequence[Segment],
        trained: Sequence[TrainedSpan],
        boundary: Boundary,
        cuts: Iterable[int] = (),
    ) -> None:
        self.text = text
        self.boundary: Boundary = boundary
        self.turns = {target.start: target.turn for target in trained}
        self.boundaries = sorted({*self.turns, *(target.end for target in trained)})
        self.crossed: set[int] = set()
        self.cuts: set[int] = set()
        self._whole = whole
        self._at: dict[int, int] = {}  # characters before a place -> tokens before it
        for place in cuts:
            self._cross(place)
        self.segments = self._cut()

    def texts(self) -> list[tuple[Kind, str]]:
        """The segments that will be encoded, and what proves the boundaries inside them."""
        texts = []
        for segment in self.segments:
            inside = (place for place in self.boundaries if segment.start < place < segment.stop)
            for stop in [segment.stop, *inside] if segment.id is None else []:
                texts.append((segment.kind, self.text[segment.start : stop]))
        return texts

    def settle(self, known: SegmentIds) -> list[int]:
        """Cut until no token lies across a boundary; the ids of the text.

        Raises `TokenCrossesBoundary` where boundaries may not be cut.
        """
        while (place := self._first_crossing(known)) is not None:
            self._cross(place)
            self.segments = self._cut()
        return [number for segment in self.segments for number in self._ids(known, segment)]

    def tokens_before(self, place: int) -> int:
        """Tokens before a character; white space that a control token swallows has none."""
        return self._at[max(known for known in self._at if known <= place)]

    def _cut(self) -> list[Segment]:
        segments: list[Segment] = []
        for segment in self._whole:
            rest = segment
            for place in sorted(self.cuts) if segment.id is None else []:
                if rest.start < place < rest.stop:
                    segments.append(rest._replace(stop=place))
                    rest = Segment(place, rest.stop, "cut")
            segments.append(rest)
        return segments

    def _first_crossing(self, known: SegmentIds) -> int | None:
        """The first boundary that a token lies across and nothing was decided about yet."""
        count = 0
        for segment in self.segments:
            self._at[segment.start] = count
            ids = self._ids(known, segment)
            for place in self.boundaries if segment.id is None else []:
                if not segment.start < place < segment.stop:
                    continue
                alone = known.get(segment.kind, self.text[segment.start : place])
                if ids[: len(alone)] == alone:
                    self._at[place] = count + len(alone)
                elif place in self.crossed:
                    self._at[place] = count + self._reaching(known, segment, place)
                else:
                    return place
            count += len(ids)
            self._at[segment.stop] = count
        return None

    def _cross(self, place: int) -> None:
        """Decide about a boundary that a token lies across. A stop is always cut off whole."""
        if self.boundary == "error":
            raise TokenCrossesBoundary(
                f"a token lies across the boundary of a trained text: {excerpt(self.text, place)}",
                self.turns.get(place),
                place,
            )
        self.crossed.add(place)
        if self.boundary == "split" or place not in self.turns:
            self.cuts.add(place)

    def _reaching(self, known: SegmentIds, segment: Segment, place: int) -> int:
        """Tokens of the segment before the one across the boundary; it too if that is masked."""
        offsets = known.segments.encode(self.text, [segment]).offsets
        over = next((at for at, (_, high) in enumerate(offsets) if high > place), len(offsets))
        return over + (self.boundary == "mask")

    def _ids(self, known: SegmentIds, segment: Segment) -> list[int]:
        if segment.id is not None:
            return [segment.id]
        return known.get(segment.kind, self.text[segment.start : segment.stop])


def clip(segments: Sequence[Segment], start: int, end: int) -> list[Segment]:
    """The segments between two characters; one that began before goes on as after a cut."""
    return [
        segment._replace(
            start=max(segment.start, start),
            stop=min(segment.stop, end),
            kind=segment.kind if segment.start >= start else "cut",
        )
        for segment in segments
        if segment.stop > start and segment.start < end
    ]
