"""What a manifest says is checked when it is read, and the sentence names the field."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from curate.pipeline.run_folder import RunFolder
from templates import read, write
from tests.templates_toys import CHATML, byte_level, rendered, talk

STOP = {"text": "x", "id": 1, "source": "eos", "tokens": [], "versions": {}}


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("template",), "chatml", "template: expected an object, got 'chatml'"),
        (("template", "name"), 3, "template.name: expected a text, got 3"),
        (("tokenizer",), ["x"], "tokenizer: expected an object, got ['x']"),
        (("tokenizer", "closing"), {"<x>": "1"}, "tokenizer.closing: expected an object with an"),
        (("stop",), 5, "stop.ids: expected a list of ids, and there is none"),
        (("stop", "strings"), [1], "stop.strings: expected a list of texts, got [1]"),
        (("counts", "tokens"), "many", "counts: expected an object with a whole number for each"),
        (("counts",), {}, "counts.rows: expected a whole number, and there is none"),
        (("card",), None, "card: expected an object, and there is none"),
        (("card", "stops"), 7, "card.stops: expected a list of stops"),
        (("card", "ends_with"), {"text": "x"}, "card.ends_with: expected a stop"),
        (("card", "problems"), [{}], "card.problems: expected a list of texts"),
        (("sources",), [{"source": 1}], "sources: expected a list of files"),
    ],
    ids=str,
)
def test_a_field_of_tokens_of_another_type_is_named(
    tmp_path: Path, place: tuple[str, ...], value: Any, said: str
) -> None:
    folder = write(rendered(CHATML, byte_level(), talk("hi", "ok")), tmp_path / "T")
    changed(folder, place, value)
    with pytest.raises(CurateError, match=re.escape(f"manifest.json: {said}")):
        read(folder)


def test_a_field_that_a_later_version_may_add_is_passed_over(tmp_path: Path) -> None:
    from templates.cards.card import card_of

    folder = write(rendered(CHATML, byte_level(), talk("hi", "ok")), tmp_path / "T")
    changed(folder, ("card", "ends_with"), STOP)
    ending = card_of(read(folder).manifest["card"]).ends_with
    assert ending is not None and ending.text == "x"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"counts": 3}, "counts: expected an object with a whole number for each name, got 3"),
        ({"counts": {"read": []}}, "counts: expected an object with a whole number for each name"),
        ({"steps": [4]}, "steps: expected a list of steps"),
        ({"steps": [{"name": "exact", "rows": "all"}]}, "steps: expected a list of steps"),
        ({"sources": [{}]}, "sources: expected a list of files"),
        ({"recipe": {"text": 4}}, "recipe.text: expected a text, got 4"),
        ({"seconds": {"exact": "long"}}, "seconds: expected an object with a number for each name"),
    ],
    ids=str,
)
def test_a_field_of_a_run_of_another_type_is_named(
    tmp_path: Path, content: dict[str, Any], said: str
) -> None:
    whole = {"counts": {}, "steps": [], "sources": []} | content
    (tmp_path / "manifest.json").write_text(json.dumps(whole), "utf-8")
    with pytest.raises(CurateError, match=re.escape(f"manifest.json: {said}")):
        _ = RunFolder(tmp_path).manifest


def changed(folder: Path, place: tuple[str, ...], value: Any) -> None:
    path = folder / "manifest.json"
    whole = json.loads(path.read_text("utf-8"))
    inner = whole
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    path.write_text(json.dumps(whole), "utf-8")
