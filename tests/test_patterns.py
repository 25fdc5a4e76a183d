"""A tokenizer's patterns may be a stranger's: none is read with that may take for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.base.errors import CurateError
from curate.base.models import read_backend
from curate.base.patterns import repeats_repetitions

ROOT = Path(__file__).resolve().parent.parent
GPT2 = r"'s|'t| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA = r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "([a-z]+)*", r"((a|b)*c*)+$", r"(?:(?:\w+\s?)+)+", "(a*)*", "(?:a{1,}){2,}"],
)
def test_a_repetition_of_repetitions_is_refused(pattern: str, tmp_path: Path) -> None:
    content = json.loads((ROOT / "sample_data/tiny-base/tokenizer.json").read_text("utf-8"))
    split = {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split]}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(
        CurateError, match=r"its pre_tokenizer has the pattern .* may take for ever"
    ):
        read_backend(path)


@pytest.mark.parametrize(
    "pattern",
    [GPT2, LLAMA, r"\d{1,3}(?=(?:\d{3})*\b)", "(a++)+", "[(a+)+]", r"\(a+\)+", "(a+)b+", "(a+)?"],
)
def test_what_published_tokenizers_have_is_not(pattern: str) -> None:
    assert not repeats_repetitions(pattern)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"1", b"[" * 100_000, bytes(1000), "{}".encode("utf-16"), b'{"model": 1}']
)
def test_a_file_that_is_no_tokenizer_is_one_sentence(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data)
    with pytest.raises(CurateError, match="no readable tokenizer") as error:
        read_backend(path)
    assert len(str(error.value)) < 600
