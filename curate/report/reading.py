"""What reading left over or assumed, in sentences: fields in no conversation, and notes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from curate.base.spelling import mapped, option
from curate.sources.account import LABEL_WORDS, is_label_name

# Sentences of each kind that are shown before "and n more".
SHOWN = 6

File = Mapping[str, Any]  # a `FileReport` as plain JSON types, as in the manifest


class Field(NamedTuple):
    """A field whose words are in no conversation, over all files that have it."""

    name: str
    rows: int
    words: int
    of: int  # rows that were read in these files
    files: int

    @property
    def share(self) -> str:
        """The share of rows that have words in it."""
        return "all rows" if self.rows >= self.of else f"{_percent(self.rows / self.of)} of rows"

    @property
    def is_label(self) -> bool:
        """Whether it is a label of the row, such as a topic, and not a text."""
        return is_label_name(self.name) and self.words <= LABEL_WORDS * self.rows

    @property
    def mean(self) -> str:
        """Words in a row that has any."""
        words = max(1, round(self.words / self.rows))
        return f"{words:,} word{'s' if words > 1 else ''} on average"


def _percent(share: float) -> str:
    return "under 1 %" if share < 0.01 else f"{share * 100:.0f} %"


def leftovers(files: Iterable[File]) -> list[Field]:
    """Fields that are left over, those with the most words first."""
    found: dict[str, Field] = {}
    for file in files:
        for name, left in file.get("leftovers", {}).items():
            old = found.get(name, Field(name, 0, 0, 0, 0))
            rows, words = old.rows + left["rows"], old.words + left["words"]
            found[name] = Field(name, rows, words, old.of + file["converted"], old.files + 1)
    return sorted(found.values(), key=lambda field: (-field.words, field.name))


def notes(files: Iterable[File]) -> list[tuple[str, int]]:
    """What was assumed of rows, and of how many; the commonest first."""
    found: dict[str, int] = {}
    for file in files:
        for sentence, rows in file.get("notes", {}).items():
            found[sentence] = found.get(sentence, 0) + rows
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))


def sentences(files: Iterable[File]) -> list[str]:
    """What a user should know of how the files were read, a line each."""
    files = list(files)
    found = leftovers(files)
    fields = [field for field in found if not field.is_label]
    lines = [_sentence(field) for field in fields[:SHOWN]]
    if more := fields[SHOWN:]:
        names = ", ".join(f"`{field.name}`" for field in more[:SHOWN])
        dots = ", ..." if len(more) > SHOWN else ""
        lines.append(f"and {len(more)} more fields are not part of any conversation: {names}{dots}")
    if labels := [f"`{field.name}`" for field in found if field.is_label]:
        dots = ", ..." if len(labels) > 2 * SHOWN else ""
        lines.append(f"labels of few words stay in meta: {', '.join(labels[: 2 * SHOWN])}{dots}")
    said = [(text, rows) for text, rows in notes(files)]
    return lines + [text + _counted(rows) for text, rows in said]


def _counted(rows: int) -> str:
    """Of how many rows a note is; it may be of a file, and of none."""
    return f" ({rows:,} row{'s' if rows > 1 else ''})" if rows else ""


def _sentence(field: Field) -> str:
    text = f"`{field.name}` ({field.share}, {field.mean}) is not part of any conversation"
    if field.name.startswith("prompt.replies"):
        return f"{text}; {option('paths', 'all')} reads every reply"
    if "." in field.name:
        return text
    return f"{text}; {mapped({'context': field.name})} puts it before the question"
