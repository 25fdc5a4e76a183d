"""Plain text for a language model's own loss, as files of it are: one document after the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from tests.checkpoint_toys import EOS, write_words
from trainer.data.general import read_general
from trainer.data.tokens import Limits


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("words")
    write_words(folder)
    return AutoTokenizer.from_pretrained(folder)


def documents(path: Path, tokenizer: Any) -> list[list[int]]:
    rows = read_general(path, tokenizer, Limits(32, None), 64)
    return [rows.input_ids[rows.row(row)].tolist() for row in range(len(rows))]


def test_lines_of_json_may_be_empty_begin_with_a_mark_and_hold_other_breaks(
    tokenizer: Any, tmp_path: Path
) -> None:
    path = tmp_path / "some.jsonl"
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in ("w4\u2028w5", "w6\x85w7")]
    path.write_text("\ufeff" + "\n\n".join(lines) + "\n\n", encoding="utf-8")
    assert documents(path, tokenizer) == [[4, 5, EOS], [6, 7, EOS]]


def test_a_mark_at_the_beginning_of_a_text_is_no_word_of_it(tokenizer: Any, tmp_path: Path) -> None:
    path = tmp_path / "some.txt"
    path.write_bytes(b"\xef\xbb\xbfw4 w5\r\n\r\nw6")
    assert documents(path, tokenizer) == [[4, 5, EOS], [6, EOS]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"text": null}',
            "some.jsonl:2: expected a JSON object with a text, got '{\"text\": null}'",
        ),
        ('{"text": 5}', "some.jsonl:2: expected a JSON object with a text"),
        ('["text"]', "some.jsonl:2: expected a JSON object with a text"),
        ('{"text": "w4 \\ud800"}', "some.jsonl:2: its text has half a character ('\\ud800')"),
    ],
    ids=["null", "number", "list", "half a character"],
)
def test_a_line_without_a_text_is_named(
    line: str, message: str, tokenizer: Any, tmp_path: Path
) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text('{"text": "w4 w5"}\n' + line, encoding="utf-8")
    with pytest.raises(CurateError) as error:
        documents(path, tokenizer)
    assert message in str(error.value)
