"""What reading left over or assumed, in sentences: fields in no conversation, and notes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from curate.base.spelling import mapped, option
from curate.base.terminal import printable_line
from curate.sources.about import LABEL_WORDS, is_label_name

# Sentences of each kind that are shown before "and n more".
SHOWN = 6
# Characters of a field's name that are shown.
LONGEST = 60

File = Mapping[str, Any]  # a `FileReport` as plain JSON types, as in the manifest


class Field(NamedTuple):
    """A field whose words are in no conversation, over all files that have it."""

    name: str
    rows: int
    words: int
    of: int  # rows that were read in these files
    files: int
    of_files: int  # files of which rows were read

    @property
    def shown(self) -> str:
        """The name as one line, safe for a terminal, and cut."""
        if not self.name.strip():
            return "(no name)"
        name = self.name[:LONGEST].replace("\n", "\\n").replace("\t", "\\t")
        return printable_line(name) + (" …" if len(self.name) > LONGEST else "")

    @property
    def share(self) -> str:
        """The share of rows that have words in it, of the files that have it in some."""
        share = "all rows" if self.rows >= self.of else f"{_percent(self.rows / self.of)} of rows"
        if self.files == self.of_files:
            return share
        return f"{share} in {self.files:,} of {self.of_files:,} files"

    @property
    def is_label(self) -> bool:
        """Whether it is a label of the row, such as a topic, and not a text."""
        return is_label_name(self.name) and self.words <= LABEL_WORDS * self.rows

    @property
    def mean(self) -> int:
        """Words in a row that has any, on average."""
        return max(1, round(self.words / self.rows))

    @property
    def can_be_mapped(self) -> bool:
        """Whether the name can be copied from a sentence; inner fields cannot be mapped."""
        return self.shown == self.name and "." not in self.name


def _percent(share: float) -> str:
    if share < 0.01:
        return "under 1 %"
    return "over 99 %" if share > 0.99 else f"{share * 100:.0f} %"


def leftovers(files: Iterable[File]) -> list[Field]:
    """Fields that are left over, those with the most words first."""
    files, found = list(files), dict[str, Field]()
    of_files = sum(file.get("converted", 0) > 0 for file in files)
    for file in files:
        for name, left in file.get("leftovers", {}).items():
            old = found.get(name, Field(name, 0, 0, 0, 0, of_files))
            found[name] = old._replace(
                rows=old.rows + left["rows"],
                words=old.words + left["words"],
                of=old.of + file["converted"],
                files=old.files + 1,
            )
    return sorted(found.values(), key=lambda field: (-field.words, field.name))


def notes(files: Iterable[File]) -> list[tuple[str, int]]:
    """What was assumed of rows, and of how many; the commonest first."""
    found: dict[str, int] = {}
    for file in files:
        for sentence, rows in file.get("notes", {}).items():
            found[sentence] = found.get(sentence, 0) + rows
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))


def left_over(
    files: Iterable[File], columns: Mapping[str, str] | None = None, can_map: bool = True
) -> list[str]:
    """The fields that are left over, a line each; of many fields the names in one line.

    `columns` are those that were mapped already (`ReadOptions.columns`); `can_map` says whether
    who reads this could map columns, or only in `curate run`.
    """
    found = leftovers(files)
    fields = [field for field in found if not field.is_label]
    shown = fields if len(fields) == SHOWN + 1 else fields[:SHOWN]
    lines = [_sentence(field, columns or {}, can_map) for field in shown]
    if more := fields[len(shown) :]:
        are = f"and {len(more):,} more fields are not part of any conversation"
        lines.append(f"{are}: {_listed(more, SHOWN)}")
    if labels := [field for field in found if field.is_label]:
        lines.append(f"labels of few words stay in meta: {_listed(labels, 2 * SHOWN)}")
    return lines


def assumed(files: Iterable[File]) -> list[str]:
    """What was assumed of rows, a line each."""
    return [text + _counted(rows) for text, rows in notes(files)]


def sentences(
    files: Iterable[File], columns: Mapping[str, str] | None = None, can_map: bool = True
) -> list[str]:
    """What a user should know of how the files were read, a line each."""
    files = list(files)
    return left_over(files, columns, can_map) + assumed(files)


def _listed(fields: list[Field], most: int) -> str:
    names = ", ".join(f"`{field.shown}`" for field in fields[:most])
    return names + (", ..." if len(fields) > most else "")


def _counted(rows: int) -> str:
    """Of how many rows a note is; it may be of a file, and of none."""
    return f" ({rows:,} row{'s' if rows > 1 else ''})" if rows else ""


def _sentence(field: Field, columns: Mapping[str, str], can_map: bool) -> str:
    words = f"{field.mean:,} word{'s' if field.mean > 1 else ''} on average"
    text = f"`{field.shown}` ({field.share}, {words}) is not part of any conversation"
    if field.name.startswith("prompt.replies") and can_map:
        return f"{text}; {option('paths', 'all')} reads every reply"
    mapped_already = "context" in columns or field.name in columns.values()
    if mapped_already or not can_map or not field.can_be_mapped:
        return text
    return f"{text}; {mapped({**columns, 'context': field.name})} puts it before the question"
