"""Pieces cut at the boundaries of trained texts, where a token would lie across."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from templates.encoding.pieces import Kind, Piece, Pieces
from templates.options import Boundary
from templates.proof.checks import BoundaryStraddled, excerpt
from templates.proof.regions import Region


class PieceIds:
    """The ids of pieces seen before; rows of one batch share headers and closings."""

    def __init__(self, pieces: Pieces) -> None:
        self.pieces = pieces
        self._known: dict[tuple[Kind, str], list[int]] = {}

    def get(self, kind: Kind, text: str) -> list[int]:
        found = self._known.get((kind, text))
        if found is None:
            found = self.pieces.encode(text, [Piece(0, len(text), kind)]).ids
            self._known[kind, text] = found
        return found

    def put(self, kind: Kind, text: str, ids: list[int]) -> None:
        self._known[kind, text] = ids

    def warm(self, wanted: Iterable[tuple[Kind, str]]) -> None:
        """Encode many pieces at once, on all cores; forget those of earlier batches."""
        by_kind: dict[Kind, list[str]] = {}
        for kind, text in dict.fromkeys(wanted):
            if (kind, text) not in self._known:
                by_kind.setdefault(kind, []).append(text)
        for kind, texts in by_kind.items():
            for text, ids in zip(texts, self.pieces.encode_batch(kind, texts), strict=True):
                self._known[kind, text] = ids

    def clear(self) -> None:
        self._known.clear()


class Cutting:
    """One text in pieces, cut further until every boundary stands between two tokens.

    `crossed` are the boundaries that the tokenizer would join over. Those that are cut are in
    `cuts`; under `train` and `mask` a region's start is left inside its token.
    """

    def __init__(
        self,
        text: str,
        whole: Sequence[Piece],
        regions: Sequence[Region],
        boundary: Boundary,
        cuts: Iterable[int] = (),
    ) -> None:
        self.text = text
        self.boundary: Boundary = boundary
        self.turns = {region.start: region.turn for region in regions}
        self.boundaries = sorted({*self.turns, *(region.end for region in regions)})
        self.crossed: set[int] = set()
        self.cuts: set[int] = set()
        self._whole = whole
        self._at: dict[int, int] = {}  # characters before a place -> tokens before it
        for place in cuts:
            self._cross(place)
        self.pieces = self._cut()

    def texts(self) -> list[tuple[Kind, str]]:
        """The pieces that will be encoded, and what proves the boundaries inside them."""
        found = []
        for piece in self.pieces:
            inside = (place for place in self.boundaries if piece.start < place < piece.stop)
            for stop in [piece.stop, *inside] if piece.id is None else []:
                found.append((piece.kind, self.text[piece.start : stop]))
        return found

    def settle(self, known: PieceIds) -> list[int]:
        """Cut until no token lies across a boundary; the ids of the text."""
        while (place := self._first_crossing(known)) is not None:
            self._cross(place)
            self.pieces = self._cut()
        return [number for piece in self.pieces for number in self._ids(known, piece)]

    def tokens_before(self, place: int) -> int:
        """Tokens before a character; white space that a control token swallows has none."""
        return self._at[max(known for known in self._at if known <= place)]

    def _cut(self) -> list[Piece]:
        pieces: list[Piece] = []
        for piece in self._whole:
            rest = piece
            for place in sorted(self.cuts) if piece.id is None else []:
                if rest.start < place < rest.stop:
                    pieces.append(rest._replace(stop=place))
                    rest = Piece(place, rest.stop, "cut")
            pieces.append(rest)
        return pieces

    def _first_crossing(self, known: PieceIds) -> int | None:
        """The first boundary that a token lies across and nothing was decided about yet."""
        count = 0
        for piece in self.pieces:
            self._at[piece.start] = count
            ids = self._ids(known, piece)
            for place in self.boundaries if piece.id is None else []:
                if not piece.start < place < piece.stop:
                    continue
                alone = known.get(piece.kind, self.text[piece.start : place])
                if ids[: len(alone)] == alone:
                    self._at[place] = count + len(alone)
                elif place in self.crossed:
                    self._at[place] = count + self._reaching(known, piece, place)
                else:
                    return place
            count += len(ids)
            self._at[piece.stop] = count
        return None

    def _cross(self, place: int) -> None:
        """Decide about a boundary that a token lies across. A stop is always cut off whole."""
        if self.boundary == "error":
            raise BoundaryStraddled(
                f"a token lies across the boundary of a trained text: {excerpt(self.text, place)}",
                self.turns.get(place),
                place,
            )
        self.crossed.add(place)
        if self.boundary == "split" or place not in self.turns:
            self.cuts.add(place)

    def _reaching(self, known: PieceIds, piece: Piece, place: int) -> int:
        """Tokens of the piece before the one across the boundary; it too if that is masked."""
        offsets = known.pieces.encode(self.text, [piece]).offsets
        over = next((at for at, (_, high) in enumerate(offsets) if high > place), len(offsets))
        return over + (self.boundary == "mask")

    def _ids(self, known: PieceIds, piece: Piece) -> list[int]:
        if piece.id is not None:
            return [piece.id]
        return known.get(piece.kind, self.text[piece.start : piece.stop])


def clip(pieces: Sequence[Piece], start: int, end: int) -> list[Piece]:
    """The pieces between two characters; one that began before goes on as after a cut."""
    return [
        piece._replace(
            start=max(piece.start, start),
            stop=min(piece.stop, end),
            kind=piece.kind if piece.start >= start else "cut",
        )
        for piece in pieces
        if piece.stop > start and piece.start < end
    ]
