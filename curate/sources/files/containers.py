"""Objects and arrays that are not rows but hold some: which these are, and what is left over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from curate.sources.files.items import IsRow, Item, Note
from curate.sources.shared.convert import ANSWERS, QUESTIONS, ROLE_NAMES, described

# Lists under these names hold rows, whatever their fields are.
_ROWS = ("data", "rows", "records", "examples", "samples", "dataset")
_SPLITS = ("train", "test", "validation", "valid", "val", "dev", "eval")
_HOLDING = frozenset((*_ROWS, *_SPLITS, "row"))

# What a table written as JSON says of itself beside its rows; it holds no words of theirs.
_TABLE = {"schema", "index", "index_names", "column_names", "pandas_version", "features"}
_TABLE |= {"num_rows_total", "num_rows_per_page", "partial"}

# Fields of one row. Objects under such names are its parts, not rows by name.
_PARTS = {*QUESTIONS, *ANSWERS, "input", "request", "chosen", "rejected", "instruction", "doc"}
_PARTS |= {"message", "messages", "conversation", "conversations", "meta", "metadata"}

NAMED = "the first list of the array is read as the names of the fields"

_SAID = ("content", "value", "parts", "tool_calls", "function_call")
_DEPTH = 3  # objects inside objects that are looked through for lists of rows


def may_hold_rows(value: Any) -> bool:
    """Whether a value that is one of many may hold rows instead of being one; cheap."""
    return type(value) is list or (type(value) is dict and not _HOLDING.isdisjoint(value))


def rows_of(value: Any, is_row: IsRow, *, alone: bool) -> Iterator[Item | Note]:
    """The rows of one value of JSON: itself, or those that it holds, without their lines (0).

    `is_row` says whether an object is a row that some format knows. A value that is `alone` in
    its file is more readily taken apart than one of many.

    >>> list(rows_of([{"role": "user", "content": "Hi"}], bool, alone=False))[0].value
    {'messages': [{'role': 'user', 'content': 'Hi'}]}
    """
    if isinstance(value, list):
        yield from _of_list(value, is_row)
    elif isinstance(value, dict):
        yield from _of_object(value, is_row, alone)
    else:
        yield Item(0, value)


def is_message(value: Any) -> bool:
    """Whether a value is one turn of a conversation: a known role, and what is said."""
    if not isinstance(value, dict):
        return False
    role = value.get("role", value.get("from"))
    known = isinstance(role, str) and role.lower() in ROLE_NAMES
    return known and any(name in value for name in _SAID)


def conversation(messages: list[Any]) -> dict[str, Any]:
    """A bare list of messages as the row that holds it."""
    first = messages[0]
    name = "contents" if "parts" in first else "messages" if "role" in first else "conversations"
    return {name: messages}


def named(names: list[str], row: Any, where: str = "the header") -> Item:
    """A row given as the list of its values, with their names; a reject if they do not fit."""
    if isinstance(row, list) and len(row) == len(names):
        return Item(0, dict(zip(names, row, strict=True)))
    found = f"{len(row)} values" if isinstance(row, list) else described(row)
    return Item(0, row, f"not_an_object: the row is {found}; {where} names {len(names)}")


def names_in(row: Any, is_row: IsRow) -> list[str] | None:
    """The names of fields, if that is what a list holds: they make a row that a format knows."""
    if not isinstance(row, list) or not all(isinstance(name, str) for name in row):
        return None
    return row if len(set(row)) == len(row) > 1 and is_row(dict.fromkeys(row, "")) else None


def _of_list(values: list[Any], is_row: IsRow) -> Iterator[Item | Note]:
    if values and all(map(is_message, values)) and not is_row(values[0]):
        yield Item(0, conversation(values))
    elif any(isinstance(value, dict | list) for value in values):
        yield from elements(values, is_row)
    else:
        yield _nameless(values)


def elements(values: Iterable[Any], is_row: IsRow) -> Iterator[Item | Note]:
    """The rows of an array: objects, conversations, or lists of values under a first of names."""
    names: list[str] | None = None
    for number, value in enumerate(values):
        if number == 0 and (names := names_in(value, is_row)):
            yield Note(NAMED)
        elif names:
            yield named(names, value, "the first list")
        else:
            yield from element(value, is_row)


def element(value: Any, is_row: IsRow) -> Iterator[Item | Note]:
    """The rows of one element of an array; in a list inside it nothing deeper is looked for."""
    if not isinstance(value, list):
        yield _shown(value)
    elif value and all(isinstance(inner, dict) for inner in value):
        yield from _of_list(value, is_row)
    else:
        yield _nameless(value)


def _nameless(values: list[Any]) -> Item:
    """A reject for a list of values that nothing names."""
    texts = "texts" if all(isinstance(value, str) for value in values) else "values"
    found = f"a list of {len(values)} {texts} without names" if values else "an empty list"
    expected = 'expected an object, such as {"prompt": ..., "completion": ...}'
    return Item(0, values, f"not_an_object: the row is {found}; {expected}")


def _of_object(value: dict[str, Any], is_row: IsRow, alone: bool) -> Iterator[Item | Note]:
    if _is_viewer_page(value):
        yield from map(_shown, value["rows"])
    elif (table := _split(value)) is not None:
        names, rows = table
        yield from (named(names, row, "columns") for row in rows)
    elif alone and (columns := _columns(value, is_row)):
        yield from (Item(0, row) for row in columns)
    elif is_row(value) or not (rows := _rows_inside(value, is_row, alone)):
        yield _shown(value)
    else:
        yield from rows


# The rows endpoint of the dataset viewer of the Hugging Face hub.


def _is_viewer_page(value: dict[str, Any]) -> bool:
    rows = value.get("rows")
    return isinstance(rows, list) and bool(rows) and all(map(_is_viewer_row, rows))


def _is_viewer_row(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("row"), dict)
        and {"row", "row_idx"} <= set(value) <= {"row", "row_idx", "truncated_cells"}
    )


def _shown(value: Any) -> Item:
    """A row; one of the dataset viewer without its wrapping, a reject if cells of it are cut."""
    if not _is_viewer_row(value):
        return Item(0, value)
    if cut := value.get("truncated_cells"):
        cells = ", ".join(map(str, cut)) if isinstance(cut, list) else described(cut)
        wrong = f"damaged: the dataset viewer cut off the cells {cells}; download the dataset"
        return Item(0, value, wrong)
    return Item(0, value["row"])


# Tables as pandas writes them.


def _split(value: dict[str, Any]) -> tuple[list[str], list[Any]] | None:
    """Names and rows of `{columns: [...], data: [[...], ...]}` (pandas, orient split)."""
    names = next((value[name] for name in ("columns", "header") if name in value), None)
    rows = next((value[name] for name in ("data", "rows") if name in value), None)
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        return None
    if not (isinstance(rows, list) and any(isinstance(row, list) for row in rows)):
        return None
    return names, rows


def _columns(value: dict[str, Any], is_row: IsRow) -> list[dict[str, Any]] | None:
    """Rows of an object that holds columns, as lists or by the row's name (pandas)."""
    first = next(iter(value.values()), None)
    if isinstance(first, dict) and first and all(label.isdecimal() for label in first):
        labels = list(first)
        if not all(
            isinstance(column, dict) and list(column) == labels for column in value.values()
        ):
            return None
        lists = {name: list(column.values()) for name, column in value.items()}
    elif isinstance(first, list) and first:
        lists = value
        if not all(isinstance(one, list) and len(one) == len(first) for one in value.values()):
            return None
    else:
        return None
    cells = {name: column[0] for name, column in lists.items()}
    # A list of messages is a conversation of its own, not a column of them.
    if any(map(is_message, cells.values())) or not is_row(cells):
        return None
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


# Objects with lists of rows inside, or with rows by name.


def _rows_inside(value: dict[str, Any], is_row: IsRow, alone: bool) -> list[Item | Note]:
    if squad := _squad(value.get("data")):
        return [*map(_row, squad), *_left_over(value, {"data"})]
    lists = dict(_lists(value, is_row, alone, _DEPTH if alone else 1))
    if lists:
        rows = [item for inner in lists.values() for item in elements(inner, is_row)]
        return [*rows, *_joined(lists), *_left_over(value, set(lists))]
    return _by_name(value, is_row) if alone else []


def _row(value: Any) -> Item:
    return Item(0, value)


def _lists(
    value: Mapping[str, Any], is_row: IsRow, alone: bool, depth: int, path: str = ""
) -> Iterator[tuple[str, list[Any]]]:
    for name, inner in value.items():
        if isinstance(inner, list) and any(isinstance(row, dict) for row in inner):
            is_named = name in _ROWS or name in _SPLITS
            if (is_named and alone) or ((is_named or alone) and _any_known(inner, is_row)):
                yield f"{path}{name}", inner
        elif isinstance(inner, dict) and depth > 1 and not is_row(inner):
            yield from _lists(inner, is_row, alone, depth - 1, f"{path}{name}.")


def _any_known(rows: list[Any], is_row: IsRow) -> bool:
    """Whether some of the rows have a format of their own: nearly anything may have a `text`."""
    objects = (row for row in rows if isinstance(row, dict))
    return any(is_row({key: row[key] for key in row if key != "text"}) for row in objects)


def _joined(lists: Mapping[str, list[Any]]) -> Iterator[Note]:
    if len(lists) > 1:
        listed = ", ".join(f"{path} ({len(rows):,})" for path, rows in lists.items())
        yield Note(f"the rows of several lists are read one after another: {listed}")


def _left_over(value: Mapping[str, Any], taken: set[str]) -> Iterator[Note]:
    names = list(_beside(value, taken))
    if names:
        listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        yield Note(f"beside its rows the file has {listed}, which no row takes")


def _beside(value: Mapping[str, Any], taken: set[str], path: str = "") -> Iterator[str]:
    """The paths of fields that are not taken, nor hold any that is, nor tell of a table."""
    for name, inner in value.items():
        if f"{path}{name}" in taken or name in _TABLE:
            continue
        if any(one.startswith(f"{path}{name}.") for one in taken) and isinstance(inner, dict):
            yield from _beside(inner, taken, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def _by_name(value: dict[str, Any], is_row: IsRow) -> list[Item | Note]:
    """Rows of `{name: row, ...}`; a name that is no number stays with its row as `key`."""
    objects = {name: inner for name, inner in value.items() if isinstance(inner, dict)}
    known = sum(map(is_row, objects.values()))
    if not known or 2 * known < len(objects) or not _PARTS.isdisjoint(objects):
        return []
    are_numbers = all(name.isdecimal() for name in objects)
    keyed = (
        {"key": name} if "key" not in row and not are_numbers else {}
        for name, row in objects.items()
    )
    rows = [Item(0, {**row, **key}) for row, key in zip(objects.values(), keyed, strict=True)]
    return [*rows, *_left_over(value, set(objects))]


def _squad(articles: Any) -> list[dict[str, Any]]:
    """The questions of SQuAD's files, each with what its article and paragraph say; else none."""
    rows = []
    for article in articles if isinstance(articles, list) else ():
        for paragraph in _objects(article, "paragraphs"):
            questions = _objects(paragraph, "qas")
            if not questions:
                return []
            about = _without(article, "paragraphs") | _without(paragraph, "qas")
            rows += [{**about, **_asked(question)} for question in questions]
        if not _objects(article, "paragraphs"):
            return []
    return rows


def _objects(value: Any, name: str) -> list[dict[str, Any]]:
    """The list of objects under a name, empty unless there is one."""
    inner = value.get(name) if isinstance(value, dict) else None
    fits = isinstance(inner, list) and all(isinstance(one, dict) for one in inner)
    return inner if fits and inner is not None else []


def _without(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: inner for key, inner in value.items() if key != name}


def _asked(question: dict[str, Any]) -> dict[str, Any]:
    """A question with its answers as columns, which is how the hub has them."""
    answers = question.get("answers")
    if not isinstance(answers, list) or not all(isinstance(one, dict) for one in answers):
        return question
    names = dict.fromkeys(name for one in answers for name in one) or ("text", "answer_start")
    return {**question, "answers": {name: [one.get(name) for one in answers] for name in names}}
