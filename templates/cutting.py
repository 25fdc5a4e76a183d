"""Pieces cut at the boundaries of trained texts, where a token would lie across."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from templates.checks import BoundaryStraddled, excerpt
from templates.pieces import Encoded, Piece
from templates.regions import Region
from templates.tokenizer import Tokenizer

Boundary = Literal["split", "train", "mask", "error"]


class Cutting:
    """Cuts pieces at the boundaries of regions where the tokenizer would join over them."""

    def __init__(self, tokenizer: Tokenizer, text: str, boundary: Boundary) -> None:
        self.pieces = tokenizer.pieces
        self.text = text
        self.boundary: Boundary = boundary
        self.cuts = 0
        self._at: dict[int, int] = {}  # characters before a place -> tokens before it
        self._encoded: dict[Piece, Encoded] = {}

    def cut(self, pieces: Sequence[Piece], regions: Sequence[Region]) -> list[Piece]:
        """The pieces, those that a boundary must divide in two."""
        turns = {region.start: region.turn for region in regions}
        boundaries = sorted({*turns, *(region.end for region in regions)})
        done: list[Piece] = []
        count = 0
        for piece in pieces:
            rest = piece
            inside = [place for place in boundaries if piece.start < place < piece.stop]
            for place in inside if piece.id is None else []:
                head, rest = self._divide(rest, place, turns.get(place), count)
                if head is not None:
                    done.append(head)
                    count += len(self.encoded(head).ids)
            self._at.setdefault(rest.start, count)
            done.append(rest)
            count += len(self.encoded(rest).ids)
            self._at[rest.stop] = count
        return done

    def _divide(
        self, piece: Piece, place: int, turn: int | None, count: int
    ) -> tuple[Piece | None, Piece]:
        """The piece in two, or whole if the tokens before the boundary stand as they are."""
        head = piece._replace(stop=place)
        alone, whole = self.encoded(head).ids, self.encoded(piece)
        if whole.ids[: len(alone)] == alone:
            self._at[place] = count + len(alone)
            return None, piece
        self.cuts += 1
        if self.boundary == "error":
            raise BoundaryStraddled(
                f"a token lies across the boundary of a trained text: {excerpt(self.text, place)}",
                turn,
                place,
            )
        if turn is not None and self.boundary != "split":
            reaching = (at for at, (_, high) in enumerate(whole.offsets) if high > place)
            over = next(reaching, len(whole.ids))
            self._at[place] = count + over + (self.boundary == "mask")
            return None, piece
        self._at[place] = count + len(alone)
        return head, Piece(place, piece.stop, "cut")

    def encoded(self, piece: Piece) -> Encoded:
        known = self._encoded.get(piece)
        if known is None:
            known = self._encoded[piece] = self.pieces.encode(self.text, [piece])
        return known

    def tokens_before(self, place: int) -> int:
        """Tokens before a character; white space that a control token swallows has none."""
        return self._at[max(known for known in self._at if known <= place)]


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
