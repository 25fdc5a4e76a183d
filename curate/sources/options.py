"""How a user wants dumps to be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from curate.base.errors import CurateError, nearest
from curate.sources.formats import FORMATS, Format, helpdesk, people, trees
from curate.sources.shared.convert import ANSWERS, QUESTIONS


@dataclass(frozen=True)
class ReadOptions:
    """How to read: a format's name instead of detection, columns to rename, paths of trees.

    `columns` maps the names that formats know to the names in the file:
    `{"response": "answer_text"}`. `paths` is `best`, `all` or a number (OASST trees). `answerer`
    names the person of a chat of several people whose messages are the answers. `undesirable`
    reads answers that are marked as undesirable too, with the score 0. `max_unpacked` is to how
    many bytes a packed file, or all of an archive, may be unpacked: without it to 1 GiB, or to 200
    times its size if that is more.
    """

    format: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    paths: str = "best"
    answerer: str | None = None
    undesirable: bool = False
    max_unpacked: int | None = None

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            hint = nearest(self.format, list(FORMATS)) or f"; known are {', '.join(FORMATS)}"
            raise CurateError(f"no format {self.format!r}{hint}")
        if len(set(self.columns.values())) < len(self.columns):
            raise CurateError("a column is mapped to two fields; map it to one")
        if "" in self.columns or "" in self.columns.values():
            raise CurateError("a column mapping needs a field and a column: response=answer")
        if self.paths not in ("best", "all") and not (self.paths.isdecimal() and int(self.paths)):
            raise CurateError(f"paths is {self.paths!r}; expected best, all or a number")
        if self.max_unpacked is not None and self.max_unpacked < 1:
            raise CurateError(f"max_unpacked is {self.max_unpacked}; expected a number of bytes")
        if self.answerer == "":
            raise CurateError("the answerer has an empty name; name the person who answers")

    def asks_for(self, name: str) -> bool:
        """Whether the mapped columns are a question and an answer in this format's names."""
        questions = QUESTIONS if name == "prompt-completion" else ("instruction",)
        return any(each in self.columns for each in questions) and any(
            each in self.columns for each in ANSWERS
        )

    def formats(self) -> dict[str, Format]:
        """The formats to ask, in order."""
        oasst = Format(trees.is_tree, partial(trees.tree, paths=self.paths))
        threads = Format(people.is_people, partial(people.people, answerer=self.answerer))
        tickets = Format(helpdesk.is_zendesk, partial(helpdesk.zendesk, answerer=self.answerer))
        bound = {"oasst": oasst, "several-people": threads, "zendesk": tickets}
        known = FORMATS | bound
        return known if self.format is None else {self.format: known[self.format]}


def size_of(text: str) -> int:
    """How many bytes a size is that somebody wrote. Raises `CurateError`.

    >>> size_of("20GB"), size_of("1.5 GiB")
    (20000000000, 1610612736)
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise CurateError(f"{text!r} is no size; expected a number of bytes, or such as 20GB")
    unit = found[2].lower()
    base = 1024 if unit.endswith("ib") else 1000
    return int(float(found[1]) * base ** " kmgt".index(unit[:1] if unit[:1] in "kmgt" else " "))


_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*((?:[kmgt]i?)?b?)", re.IGNORECASE)
