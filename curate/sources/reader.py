"""Raw rows into records and rejects: each row asked which format it is, then converted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, groupby
from operator import itemgetter
from typing import Any, NamedTuple

from curate.base.errors import some_of
from curate.base.json_text import as_text, loads_exact, may_hold_long_numbers, needs_exact
from curate.base.parts import PartsTo, together
from curate.base.schema import RECORDS, content_id
from curate.sources import shape
from curate.sources.account import Account, Leftover
from curate.sources.build import CHUNK, Builder, meta_of
from curate.sources.bulk import BULK, FlatMessages
from curate.sources.collected import REJECTED, Collected
from curate.sources.contained import (
    SLOWLY,
    UNCOUNTED,
    Unforeseen,
    check_types,
    conversations_of,
    gathered,
)
from curate.sources.detection import Detection
from curate.sources.file_report import FileReport, FileRows
from curate.sources.files.items import AnyItem, Block, Item, Note, Numbers
from curate.sources.finish import finished
from curate.sources.formats import GATHERED, Format, recognises
from curate.sources.formats.chats import added
from curate.sources.formats.people import exported
from curate.sources.options import ReadOptions
from curate.sources.shared.convert import Conversation, Joined, Reject, Row, described
from curate.sources.shared.undesirable import with_judgement

# Fewer rows than this in a run of like ones are not worth the try to take them together.
PLAIN_FROM = 16
# Where some rows of a run are not plain, as many as this are tried together.
PIECE = 512

SWITCH = "`{}` is yes or no and is not understood; if it says what to train, rename it to `train`"


class _Read(NamedTuple):
    """One raw row as it was read: as which format, and for each conversation its id and meta."""

    format: str
    row: Row
    conversations: list[Conversation]
    ids: list[str]
    metas: list[str]
    notes: list[str]


class Reader:
    """Turns the items of a file into records and rejects, and hands them over as they come.

    `names` are the fields of its rows, before columns were renamed; none where none are.
    """

    def __init__(self, source: str, options: ReadOptions, into: Collected | None = None) -> None:
        self.options, self.formats = options, options.formats()
        self.detection = Detection(self.formats)
        # A question and an answer that the user named come before anything else in the row.
        self.first = [name for name in ("prompt-completion", "alpaca") if options.asks_for(name)]
        self.into = into or Collected(PartsTo())
        self.begins = self.into.place()
        self.report, self.builder = FileReport(source), Builder(self.into.add)
        self.account = Account()
        self.names: dict[str, None] = {}
        # Fields that are known under other names than the file's own, by the known name.
        self.own = dict(options.columns)
        # Rows to be joined, by the format that joins them.
        self.aside: dict[str, list[tuple[int, Row]]] = {}

    def rows(self) -> FileRows:
        """All that was read, of a reader that has this one file."""
        report = self.finish()
        records, rejects = self.into.finish()
        return FileRows(together(records, RECORDS), together(rejects, REJECTED), report)

    def finish(self) -> FileReport:
        """Hand over what is left; rows that only make sense together are joined now."""
        for name, rows in self.aside.items():
            for joined in gathered(name, GATHERED[name][1], rows):
                if isinstance(joined, Joined):
                    self._convert(Item(joined.line, joined.row, joined.reject))
                else:
                    line, row, why = joined
                    self.reject(Item(line, row), why)
        self.aside = {}
        self.report.leftovers, self.report.converted = self._left_over(), self.account.rows
        for path, switch in sorted(self.account.switches.items()):
            if switch.only_yes_or_no:
                self.note(SWITCH.format(path), switch.rows)
        self.builder.flush()
        return self.report

    def _left_over(self) -> dict[str, Leftover]:
        """What was left over, by the names that the file has for its fields."""
        left: dict[str, Leftover] = {}
        for path, found in self.account.left.items():
            top, dot, inner = path.partition(".")
            hidden = bool(self.options.columns) and top.endswith(shape.ASIDE)
            own = top.removesuffix(shape.ASIDE) if hidden else self.own.get(top, top)
            entry = left.setdefault(f"{own}{dot}{inner}", Leftover())
            entry.rows, entry.words = entry.rows + found.rows, entry.words + found.words
        return left

    def take(self, items: Iterable[AnyItem]) -> None:
        """Convert all items: neighbours with the same fields together, others one by one."""
        # Rows are Python objects here: their shapes differ, and parsing them is C code already.
        alike: list[Item] = []
        fields: tuple[Any, ...] | None = None
        for item in items:
            if isinstance(item, Numbers):
                self._take_alike(alike)
                alike, fields = [], None
                self._number(item.lines)
                continue
            if isinstance(item, Note):
                self.note(item.text, 0)
                continue
            if isinstance(item, Block):
                self._take_alike(alike)
                alike, fields = [], None
                self._take_block(item)
                continue
            own = tuple(item.value) if type(item.value) is dict else None
            if own != fields or len(alike) >= CHUNK:
                self._take_alike(alike)
                alike, fields = [], own
            alike.append(item)
        self._take_alike(alike)

    def _number(self, lines: list[int]) -> None:
        """Put its number in place of the line of each row so far."""
        self.builder.flush()
        self.into.number(self.begins, lines)
        number = {line: at for at, line in enumerate(lines, 1)}
        for name, rows in self.aside.items():
            self.aside[name] = [(number[line], row) for line, row in rows]

    def reject(self, item: Item, why: Reject) -> None:
        """Write down a place that could not be read."""
        raw = item.raw
        if not raw and (item.reject is None or item.value is not None):
            raw = as_text(item.value)
        self.into.reject((self.report.source, item.line, str(why), raw))
        self.report.rejects[why.slug] = self.report.rejects.get(why.slug, 0) + 1
        if isinstance(why, Unforeseen):
            self.note(why.note)

    def note(self, sentence: str, rows: int = 1) -> None:
        """Count something that was assumed of rows."""
        self.report.notes[sentence] = self.report.notes.get(sentence, 0) + rows

    def _take_block(self, block: Block) -> None:
        if set(map(type, block.values)) == {dict}:
            kinds: list[tuple[Any, ...] | None] = list(map(tuple, block.values))
        else:
            kinds = [tuple(row) if type(row) is dict else None for row in block.values]
        start = 0
        for end in _ends_of_runs(kinds):
            lines, rows = block.lines[start:end], self._with_known_names(block.values[start:end])
            self._take_rows(lines, rows, block.texts[start:end])
            start = end

    def _take_rows(self, lines: list[int], rows: list[Any], texts: list[bytes]) -> None:
        """Rows with the same fields: all at once, else a few at once, else one by one."""
        if self._take_plain(lines, rows, texts) or self._set_aside(lines, rows, texts):
            return
        if size := _piece(len(rows)):
            for at in range(0, len(rows), size):
                end = at + size
                self._take_rows(lines[at:end], rows[at:end], texts[at:end])
            return
        for line, row, text in zip(lines, rows, texts, strict=True):
            self._convert(Item(line, _exact(row, text)))

    def _take_alike(self, alike: list[Item]) -> None:
        if alike and alike[0].reject is None:
            rows = self._with_known_names([item.value for item in alike])
            lines = [item.line for item in alike]
            if self._take_plain(lines, rows) or self._set_aside(lines, rows):
                return
            if size := _piece(len(alike)):
                for at in range(0, len(alike), size):
                    self._take_alike(alike[at : at + size])
                return
        for item in alike:
            self._convert(item)

    def _set_aside(self, lines: list[int], rows: list[Any], texts: Sequence[bytes] = ()) -> bool:
        if type(rows[0]) is not dict or self.options.format is not None:
            return False
        for name, (matches, _) in GATHERED.items():
            if recognises(matches, rows[0]):
                rows = list(map(_exact, rows, texts)) if texts else rows
                self.aside.setdefault(name, []).extend(zip(lines, rows, strict=True))
                return True
        return False

    def _take_plain(self, lines: list[int], rows: list[Any], texts: Sequence[bytes] = ()) -> bool:
        """All rows at once, when their format has a way to and every one of them is plain."""
        if len(rows) < PLAIN_FROM or type(rows[0]) is not dict or self.options.columns:
            return False
        asked = self.detection.candidates(rows[0])
        known = (at for at, (_, each) in enumerate(asked) if recognises(each.matches, rows[0]))
        at = next(known, None)
        name = "" if at is None else asked[at][0]
        if name not in BULK:
            return False
        try:
            flat = BULK[name](rows)
            if flat is None or _is_anothers(rows, flat.used, asked[:at]):
                return False
            if texts and _may_change_numbers(rows, texts, flat.used):
                return False
            self.builder.add_plain(self.report.source, lines, rows, flat)
        except (Reject, MemoryError) as error:
            if isinstance(error, MemoryError):
                raise
            return False  # one of the rows is to be rejected: they are looked at one by one
        except Exception as error:
            self.note(SLOWLY.format(name, type(error).__name__), 0)
            return False
        self._account_plain(name, rows, flat)
        for note, times in flat.notes.items():
            self.note(note, times)
        self._count(name, rows[0], len(rows))
        return True

    def _account_plain(self, name: str, rows: list[Any], flat: FlatMessages) -> None:
        try:
            self.account.plain(rows, flat)
        except MemoryError:
            raise
        except Exception as error:  # the conversations are whole: only the words beside them
            self.note(UNCOUNTED.format(name, type(error).__name__), len(rows))

    def _count(self, name: str, row: Row, rows: int) -> None:
        report = self.report
        report.rows += rows
        report.formats[name] = report.formats.get(name, 0) + rows
        if name not in report.fields:
            report.fields[name] = ", ".join(map(str, row))

    def _convert(self, item: Item) -> None:
        report = self.report
        try:
            if item.reject is not None:
                raise Reject(*item.reject.split(": ", 1))
            read = self._read(item.value)
        except Reject as reject:
            self.reject(item, reject)
            return
        for note in read.notes:
            self.note(note)
        for name, meta, conversation in zip(read.ids, read.metas, read.conversations, strict=True):
            self.builder.add(report.source, item.line, name, meta, conversation)
        self._count(read.format, read.row, len(read.conversations))

    def _read(self, value: Any) -> _Read:
        """What a row says, with all that may go wrong done before any of it is handed over.

        Raises `Reject`; whatever else a stranger's row brings about becomes one.
        """
        name = "detection"
        try:
            row, notes = self._shaped(value)
            name, conversations = self._recognised(row)
            conversations = [finished(row, one, self.options.columns) for one in conversations]
            wanted = self.options.undesirable
            conversations = with_judgement(row, conversations, wanted=wanted)
            for one in conversations:
                check_types(one)
            ids = [content_id(one.messages, one.tools) for one in conversations]
            # Where a record first came from goes before where an earlier run wrote it.
            metas = [meta_of(row, one.used, one.meta) for one in conversations]
            self.account.row(_OWN[name](row) if name in _OWN else row, conversations)
        except (Reject, MemoryError):
            raise
        except Exception as error:
            fields = some_of([str(field) for field in value], 8) if value else ""
            raise Unforeseen(name, f"one of {fields}", error) from error
        said = dict.fromkeys(chain(notes, *(one.notes for one in conversations)))
        return _Read(name, row, conversations, ids, metas, list(said))

    def _shaped(self, row: Any) -> tuple[Row, list[str]]:
        if not isinstance(row, dict):
            raise Reject("not_an_object", f"the row is {described(row)}; expected an object")
        notes: list[str] = []
        if self.options.columns:
            self.names |= dict.fromkeys(map(str, row))
            row, notes = shape.mapped(row, self.options.columns)
        (row,) = self._with_known_names([row])
        row, opened = shape.unpacked(row)
        return row, notes + opened

    def _with_known_names(self, rows: list[Any]) -> list[Any]:
        """Rows with the same fields, under the names that formats know."""
        names = shape.canonical(tuple(rows[0])) if type(rows[0]) is dict else None
        if not names:
            return rows
        self.own |= {known: str(name) for name, known in names.items()}
        return [shape.renamed(row, names) for row in rows]

    def _recognised(self, row: Row) -> tuple[str, list[Conversation]]:
        asked = self.detection.candidates(row)
        if self.first:
            named = [(name, self.formats[name]) for name in self.first if name in self.formats]
            asked = [*named, *asked]
        for name, known in asked:
            conversations = conversations_of(name, known, row)
            if conversations is not None:
                return name, conversations
        if not row:
            raise Reject("unknown_shape", "the row is an object without fields")
        for name in _CONVERSATIONS:
            if name in row and not isinstance(row[name], str | None):
                is_list = isinstance(row[name], list)
                found = "a list of other things" if is_list else described(row[name])
                raise Reject("wrong_type", f"{name} is {found}; expected a list of messages")
        shown = ", ".join(map(str, list(row)[:8]))
        forced = self.options.format
        lacking = f"format {forced} does not have" if forced else "no known format has"
        raise Reject("unknown_shape", f"{lacking} the fields {shown}")


# Names that leave no doubt what a field should hold. A text may be anything under them.
_CONVERSATIONS = ("messages", "conversations")

# What is the file's own of a row: what an earlier run left over was said then, and what was put
# together has words of the reader.
_OWN = {"kept": added, "several-people": exported}


def _piece(rows: int) -> int:
    """How many rows of a run to try together next, when it is not plain; 0 for none."""
    if rows > PIECE:
        return PIECE
    return (rows + 1) // 2 if rows >= 2 * PLAIN_FROM else 0


def _is_anothers(rows: list[Any], used: tuple[str, ...], before: list[tuple[str, Format]]) -> bool:
    """Whether a format that is asked first reads one of the rows, by a field that is no text."""
    others = [name for name in rows[0] if name not in used]
    nested = [name for name in others if not _NESTED.isdisjoint(map(type, _of(rows, name)))]
    if not nested:
        return False
    odd = (row for row in rows if any(type(row[name]) in _NESTED for name in nested))
    return any(each.matches(row) for row in odd for _, each in before)


def _may_change_numbers(rows: list[Any], texts: Sequence[bytes], used: tuple[str, ...]) -> bool:
    """Whether a number of the rows may not be what their texts say: an integer became a float."""
    others = [name for name in rows[0] if name not in used]
    holds = any(not _FLOATING.isdisjoint(map(type, _of(rows, name))) for name in others)
    return holds and any(map(may_hold_long_numbers, texts))


_NESTED = frozenset((list, dict))
_FLOATING = frozenset((float, list, dict))


def _of(rows: list[Any], name: Any) -> Iterator[Any]:
    return map(itemgetter(name), rows)


def _exact(row: Any, text: bytes) -> Any:
    """A row with its numbers as its text has them, where that may matter."""
    return loads_exact(text) if needs_exact(text) else row


def _ends_of_runs(kinds: list[Any]) -> list[int]:
    if kinds.count(kinds[0]) == len(kinds):
        return [len(kinds)]
    return list(accumulate(sum(1 for _ in same) for _, same in groupby(kinds)))
