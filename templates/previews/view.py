"""What a preview shows: a row as parts, each with its kind, whether trained, and whose it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import polars as pl

from templates.encoding.encode import IGNORED
from templates.tokens.columns import by_check

# Kinds, and what they mean; the legend of every preview.
KINDS = {
    "template": "written by the template, masked",
    "context": "data of other messages, tools and documents, masked",
    "masked": "not trained",
    "answer": "trained: the answer",
    "stop": "trained: where generation ends",
}
SIDES = {"answer": ("[", "]"), "stop": ("{", "}")}  # as on a terminal without colour
VISIBLE = {" ": "·", "\t": "→", "\r": "␍"}


@dataclass(frozen=True)
class Part:
    """A token, or without a tokenizer a stretch of text. `message` is its source, if known.

    `glyphs` is how a token reads that is part of a character or ends one; else its `text`.
    """

    text: str
    kind: str
    id: int | None = None
    message: int | None = None
    glyphs: str | None = None

    @property
    def trained(self) -> bool:
        """Whether it is part of a trained text."""
        return self.kind in ("answer", "stop")

    @property
    def shown(self) -> str:
        """The text with white space made visible; `⏎` is followed by a line break."""
        text = self.text if self.glyphs is None else self.glyphs
        if self.id is None:  # without tokens, single spaces between words need no mark
            spaced = re.sub(r"(?<!\S) | (?!\S)|[\t\r]", lambda found: VISIBLE[found[0]], text)
        else:
            spaced = "".join(VISIBLE.get(char, char) for char in text)
        marked = "".join(
            char if char == "\n" or char.isprintable() else f"\\u{ord(char):04x}" for char in spaced
        )
        return marked.replace("\n", "⏎\n")


@dataclass(frozen=True)
class RowView:
    """One example of a row: its parts, or why the row was refused.

    `number` is which example of how many the row became. A pair has its `rejected` answer: another
    example, with the same parts up to the first trained one.
    """

    row: int | None  # None for a row that could not be read
    id: str
    parts: list[Part] = field(default_factory=list)
    roles: tuple[str, ...] = ()
    refused: str | None = None
    check: str | None = None
    number: tuple[int, int] = (1, 1)
    rejected: RowView | None = None

    @property
    def prompt(self) -> int:
        """How many parts stand before the first trained one."""
        places = (place for place, part in enumerate(self.parts) if part.trained)
        return next(places, len(self.parts))

    @property
    def trained(self) -> int:
        """Trained tokens; without a tokenizer, trained characters."""
        return sum(self._size(part) for part in self.parts if part.trained)

    @property
    def size(self) -> int:
        """Tokens; without a tokenizer, characters."""
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
        """One line on the example: its size, and what is trained."""
        if self.refused is not None:
            named = "" if self.row is None else f"row {self.row}  id {self.id}  "
            return f"{named}refused by {self.check}"
        which, many = self.number
        example = f", example {which} of {many}" if many > 1 else ""
        stops = sum(1 for kind, _ in groupby(part.kind for part in self.parts) if kind == "stop")
        what = "tokens" if any(part.id is not None for part in self.parts) else "characters"
        share = self.trained / max(self.size, 1)
        turns = f"{stops} turns trained with their stops"
        if stops == 1:
            turns = "1 turn trained with its stop"
        runs = sum(on for on, _ in groupby(part.trained for part in self.parts))
        if runs > stops:
            turns += f", {runs - stops} without a stop"
        return (
            f"row {self.row}{example}  id {self.id}  {self.size} {what}, "
            f"{self.trained} trained ({share:.1%}), {turns}"
        )

    def as_dict(self) -> dict[str, Any]:
        """The example as plain data."""
        parts = [
            {name: getattr(part, name) for name in ("text", "id", "kind", "trained", "message")}
            for part in self.parts
        ]
        names = ("row", "id", "refused", "check", "trained", "runs")
        data = {name: getattr(self, name) for name in names} | {"parts": parts}
        return data | ({"rejected": self.rejected.as_dict()} if self.rejected else {})


@dataclass(frozen=True)
class Preview:
    """Everything a preview shows, before it is written in some format."""

    title: str
    rows: list[RowView]
    failures: list[RowView] | None  # None if they were not asked for
    figures: dict[str, Any]
    card: dict[str, Any]
    card_text: str
    about: str
    difference: list[str] = field(default_factory=list)  # from another template or tokenizer
    notices: tuple[str, ...] = ()  # what a user should know before training

    @property
    def kinds(self) -> dict[str, str]:
        """The kinds that the rows have, and what they mean."""
        present = {part.kind for view in self.rows for part in view.parts}
        return {kind: meaning for kind, meaning in KINDS.items() if kind in present}

    def as_dict(self) -> dict[str, Any]:
        """The preview as plain data."""
        data = {
            "title": self.title,
            "about": self.about,
            "statistics": self.figures,
            "card": self.card,
            "notices": [*self.notices],
            "rows": [view.as_dict() for view in self.rows],
        }
        if self.difference:
            data["difference"] = self.difference
        if self.failures is not None:
            data["failures"] = [view.as_dict() for view in self.failures]
        return data


def numbered(views: Sequence[RowView]) -> list[RowView]:
    """The same views, those of one row numbered."""
    many = Counter(view.row for view in views)
    seen: Counter[int | None] = Counter()
    found = []
    for view in views:
        seen[view.row] += 1
        found.append(replace(view, number=(seen[view.row], many[view.row])))
    return found


def of_turn(view: RowView, turn: int) -> RowView:
    """What a row holds of one message, with the template text before it."""
    places = [place for place, part in enumerate(view.parts) if part.message == turn]
    if not places:
        return replace(view, parts=[])
    start = places[0]
    while start and view.parts[start - 1].kind in ("template", "masked"):
        start -= 1
    return replace(view, parts=view.parts[start : places[-1] + 1])


def bracketed(parts: Sequence[Part]) -> str:
    """Parts as one text, trained ones in brackets and stops in braces."""
    runs = groupby(parts, key=lambda part: part.kind if part.kind in SIDES else "")
    segments = []
    for kind, run in runs:
        before, after = SIDES.get(kind, ("", ""))
        segments.append(f"{before}{''.join(part.text for part in run)}{after}")
    return "".join(segments)


def statistics(examples: pl.DataFrame, refused: pl.DataFrame) -> dict[str, Any]:
    """Figures on rendered rows: tokens, trained share, lengths, refusals by check."""
    rows = pl.concat([examples["row"], refused["row"]])
    lengths = examples["input_ids"].list.len()
    trained = (
        examples.select(pl.col("labels").list.eval(pl.element() != IGNORED).list.sum())
        .to_series()
        .cast(pl.UInt32)
    )
    tokens = int(lengths.sum())
    return {
        "rows": rows.drop_nulls().n_unique() + rows.null_count(),
        "examples": examples.height,
        "refused": refused.height,
        "refused_by_check": by_check(refused),
        "tokens": tokens,
        "trained_tokens": int(trained.sum()),
        "trained_share": round(int(trained.sum()) / max(tokens, 1), 4),
        "trained_turns": int(examples["turns"].list.len().sum()),
        "fully_masked": int((trained == 0).sum()),
        "length_median": lengths.median(),
        "length_max": lengths.max(),
    }
