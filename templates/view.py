"""What a preview shows: a row as parts, each with its kind, whether trained, and whose it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

import polars as pl

from templates.encode import IGNORED
from templates.pieces import Pieces
from templates.regions import Proof

# Kinds, and what they mean; the legend of every preview.
KINDS = {
    "header": "written by the template, masked",
    "context": "data of other messages, masked",
    "masked": "not trained",
    "payload": "trained: the answer",
    "stop": "trained: where generation ends",
}
VISIBLE = {" ": "·", "\t": "→", "\r": "␍"}


@dataclass(frozen=True)
class Part:
    """A token, or without a tokenizer a stretch of text. `message` is its source, if known."""

    text: str
    kind: str
    id: int | None = None
    message: int | None = None

    @property
    def trained(self) -> bool:
        return self.kind in ("payload", "stop")

    @property
    def shown(self) -> str:
        """The text with white space made visible; `⏎` is followed by a line break."""
        if self.id is None:  # without tokens, single spaces between words need no mark
            spaced = re.sub(r"(?<!\S) | (?!\S)|[\t\r]", lambda found: VISIBLE[found[0]], self.text)
        else:
            spaced = "".join(VISIBLE.get(char, char) for char in self.text)
        marked = "".join(
            char if char == "\n" or char.isprintable() else f"\\u{ord(char):04x}" for char in spaced
        )
        return marked.replace("\n", "⏎\n")


@dataclass(frozen=True)
class RowView:
    """One row of a preview: its parts, or why it was refused."""

    row: int
    id: str
    parts: list[Part] = field(default_factory=list)
    roles: tuple[str, ...] = ()
    refused: str | None = None
    check: str | None = None

    @property
    def trained(self) -> int:
        """Trained tokens; without a tokenizer, trained characters."""
        return sum(self._size(part) for part in self.parts if part.trained)

    @property
    def size(self) -> int:
        return sum(map(self._size, self.parts))

    @staticmethod
    def _size(part: Part) -> int:
        return len(part.text) if part.id is None else 1

    @property
    def runs(self) -> str:
        """The labels in short: `[-100 x 24] 31 [-100 x 2]`."""
        runs = groupby(self.parts, key=lambda part: part.trained)
        lengths = [(on, sum(map(self._size, run))) for on, run in runs]
        return " ".join(f"{n}" if on else f"[{IGNORED} x {n}]" for on, n in lengths)

    def summary(self) -> str:
        if self.refused is not None:
            return f"row {self.row}  id {self.id}  refused by {self.check}"
        stops = sum(1 for kind, _ in groupby(part.kind for part in self.parts) if kind == "stop")
        what = "tokens" if any(part.id is not None for part in self.parts) else "characters"
        share = self.trained / max(self.size, 1)
        turns = f"{stops} turns trained with their stops"
        if stops == 1:
            turns = "1 turn trained with its stop"
        return (
            f"row {self.row}  id {self.id}  {self.size} {what}, "
            f"{self.trained} trained ({share:.1%}), {turns}"
        )

    def as_dict(self) -> dict[str, Any]:
        parts = [
            {
                "text": part.text,
                "id": part.id,
                "kind": part.kind,
                "trained": part.trained,
                "message": part.message,
            }
            for part in self.parts
        ]
        return {
            "row": self.row,
            "id": self.id,
            "refused": self.refused,
            "check": self.check,
            "trained": self.trained,
            "runs": self.runs,
            "parts": parts,
        }


@dataclass(frozen=True)
class Preview:
    """Everything a preview says, before it is written in some format."""

    title: str
    rows: list[RowView]
    failures: list[RowView] | None  # None if they were not asked for
    figures: dict[str, Any]
    card: dict[str, Any]
    card_text: str
    about: str
    difference: list[str] = field(default_factory=list)  # from another template or tokenizer

    def as_dict(self) -> dict[str, Any]:
        data = {
            "title": self.title,
            "about": self.about,
            "statistics": self.figures,
            "card": self.card,
            "rows": [view.as_dict() for view in self.rows],
        }
        if self.difference:
            data["difference"] = self.difference
        if self.failures is not None:
            data["failures"] = [view.as_dict() for view in self.failures]
        return data


def from_text(proof: Proof) -> list[Part]:
    """The parts of a proven text, without tokens."""
    cuts = {0, len(proof.text)}
    for span in proof.spans:
        cuts |= {span.start, span.stop}
    for region in proof.regions:
        cuts |= {region.start, region.stop_start, region.end}
    places = sorted(cuts)
    parts = []
    for start, stop in pairwise(places):
        kind, message = _source(proof, start, stop)
        parts.append(Part(proof.text[start:stop], kind, None, message))
    return parts


def from_tokens(
    ids: Sequence[int],
    labels: Sequence[int],
    pieces: Pieces,
    stop_ids: Sequence[int],
    stop_strings: Sequence[str],
) -> list[Part]:
    """The parts of a written row: what its ids and labels say, and nothing else."""
    kinds = ["masked" if label == IGNORED else "payload" for label in labels]
    said = pieces.said(ids)
    for start, end in trained_runs(labels):
        for place in range(_stop_start(ids, said, start, end, stop_ids, stop_strings), end):
            kinds[place] = "stop"
    texts = _texts(said)
    return [Part(*part) for part in zip(texts, kinds, ids, strict=True)]


def annotate(parts: Sequence[Part], proof: Proof, offsets: Sequence[tuple[int, int]]) -> list[Part]:
    """The same parts with header told from context, and each part's source message."""
    named = []
    for part, (start, stop) in zip(parts, offsets, strict=True):
        kind, message = _source(proof, start, max(stop, start + 1))
        named.append(Part(part.text, part.kind if part.trained else kind, part.id, message))
    return named


def trained_runs(labels: Sequence[int]) -> list[tuple[int, int]]:
    """Where labels are trained: `[start, end)` of each run."""
    runs, place = [], 0
    for on, run in groupby(label != IGNORED for label in labels):
        length = len(list(run))
        if on:
            runs.append((place, place + length))
        place += length
    return runs


def _stop_start(
    ids: Sequence[int],
    said: Sequence[bytes],
    start: int,
    end: int,
    stop_ids: Sequence[int],
    stop_strings: Sequence[str],
) -> int:
    """The first token of the stop that ends a trained run; `end` if there is none."""
    if ids[end - 1] in stop_ids:
        return end - 1
    for text in stop_strings:
        if b"".join(said[start:end]).endswith(text.encode()):
            place, length = end, 0
            while length < len(text.encode()):
                place -= 1
                length += len(said[place])
            return place
    return end


def _source(proof: Proof, start: int, stop: int) -> tuple[str, int | None]:
    """The kind of these characters, and the message that they come from."""
    message = None
    for span in proof.spans:
        if span.start < stop and start < span.stop:
            message = span.leaf.message if span.leaf.message >= 0 else None
            break
    for region in proof.regions:
        if region.start < stop and start < region.end:
            return ("stop" if start >= region.stop_start else "payload"), region.turn
    return ("header" if message is None else "context"), message


def _texts(said: Sequence[bytes]) -> list[str]:
    """Tokens as texts; a part of a character as its bytes, `\\xf0\\x9f`."""
    return [piece.decode(errors="backslashreplace") for piece in said]


def statistics(examples: pl.DataFrame, refused: pl.DataFrame) -> dict[str, Any]:
    """Figures on rendered rows: tokens, trained share, lengths, refusals by check."""
    lengths = examples["input_ids"].list.len()
    trained = (
        examples.select(pl.col("labels").list.eval(pl.element() != IGNORED).list.sum())
        .to_series()
        .cast(pl.UInt32)
    )
    tokens = int(lengths.sum())
    return {
        "rows": examples.height + refused.height,
        "examples": examples.height,
        "refused": refused.height,
        "refused_by_check": dict(refused.group_by("check").len().sort("check").iter_rows()),
        "tokens": tokens,
        "trained_tokens": int(trained.sum()),
        "trained_share": round(int(trained.sum()) / max(tokens, 1), 4),
        "trained_turns": int(examples["turns"].list.len().sum()),
        "fully_masked": int((trained == 0).sum()),
        "length_median": lengths.median(),
        "length_max": lengths.max(),
    }
