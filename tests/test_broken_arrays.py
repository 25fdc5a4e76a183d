"""An array of broken elements takes as long as its text, whatever is broken in them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curate.sources.files import json_values
from curate.sources.files.inputs import Input
from curate.sources.files.items import Block, Item
from curate.sources.files.raw import items
from curate.sources.formats import is_row

BROKEN = {
    "a word": '{"instruction": oops, "output": "a"}',
    "a quote that is never closed": '{"instruction": "q, "output": "a"}',
    "a comma too few": '{"instruction": "q" "output": "a"}',
    "a name without quotes": '{instruction: "q", "output": "a"}',
    "a string over the end": '{"a\\"b}',
    "a long one": '{"instruction": "' + "q" * 5000 + '", "output": oops}',
    "an escape that is none": '{"instruction": "\\x", "output": "a"}',
}


class Counted(str):
    """A text that counts the characters that are looked at or copied of it."""

    looked = 0

    def __getitem__(self, key: Any) -> str:
        found = super().__getitem__(key)
        Counted.looked += len(found)
        return found

    def find(self, part: str, start: Any = 0, end: Any = None) -> int:  # type: ignore[override]
        end = len(self) if end is None else end
        at = super().find(part, start, end)
        Counted.looked += (at if at >= 0 else end) - start
        return at

    def rfind(self, part: str, start: Any = 0, end: Any = None) -> int:  # type: ignore[override]
        end = len(self) if end is None else end
        at = super().rfind(part, start, end)
        Counted.looked += end - max(at, start)
        return at


def work_of(text: str) -> int:
    """How many characters are looked at to read a text, in units of its own length."""
    Counted.looked = 0
    found = list(json_values.values(json_values.Cursor(Counted(text), 1), is_row))
    assert found
    return Counted.looked // len(text)


@pytest.mark.parametrize("between", [", ", ",\n", ",\n\n  "])
@pytest.mark.parametrize("kind", BROKEN)
def test_work_grows_as_the_text_does(kind: str, between: str) -> None:
    small, large = (work_of(f"[{between.join([BROKEN[kind]] * n)}]") for n in (50, 1600))
    assert large <= 2 * small + 40


def test_errors_of_the_parser_are_not_made_of_the_whole_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    made = json.JSONDecodeError.__init__

    def counted(error: json.JSONDecodeError, msg: str, doc: str, pos: int) -> None:
        sizes.append(pos)
        made(error, msg, doc, pos)

    monkeypatch.setattr(json.JSONDecodeError, "__init__", counted)
    text = "[" + ", ".join([BROKEN["a word"]] * 3000) + "]"
    found = list(json_values.document_items(text.encode(), is_row))
    assert len([item for item in found if isinstance(item, Item)]) == 3000
    assert sum(sizes) < 3 * len(text)


@pytest.mark.parametrize("between", [", ", ",\n", "\n,"])
def test_rows_between_broken_ones_are_read_and_each_broken_one_is_a_reject(between: str) -> None:
    # With the elements that end where the next one begins, and with their order changed.
    good = [{"instruction": f"What is {n}?", "output": "x" * (n * 37 % 4001)} for n in range(60)]
    broken = [text for kind, text in BROKEN.items() if "quote" not in kind and "over" not in kind]
    texts = []
    for number, row in enumerate(good):
        texts += [json.dumps(row), broken[number % len(broken)]]
    data = f"[{between.join(texts)}]".encode()
    rows: list[Any] = []
    rejects: list[str] = []
    for item in items(Input("dump.json", lambda: data), data, is_row):
        rows += item.values if isinstance(item, Block) else []
        if isinstance(item, Item) and item.reject is None:
            rows.append(item.value)
        elif isinstance(item, Item):
            rejects.append(item.raw)
    assert rows == good
    assert [raw.strip().strip(",]").strip() for raw in rejects] == [
        broken[number % len(broken)] for number in range(60)
    ]


def test_the_place_of_an_error_is_counted_from_its_element() -> None:
    text = "[" + ", ".join([BROKEN["a word"]] * 3) + "]"
    found = list(json_values.document_items(text.encode(), is_row))
    reasons = {item.reject for item in found if isinstance(item, Item)}
    assert "invalid_json: Expecting value at character 16 of the element" in reasons
