"""A tokenizer's patterns may be a stranger's: none is read with that may take for ever."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from curate.base.models import load_tokenizer, read_backend
from curate.base.patterns import check_patterns, is_slow

ROOT = Path(__file__).resolve().parent.parent
GPT2 = r"'s|'t| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
GPT4 = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
LLAMA = r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"


@pytest.mark.parametrize(
    "pattern",
    [
        *("(a+)+$", "([a-z]+)*", r"((a|b)*c*)+$", r"(?:(?:\w+\s?)+)+", "(a*)*", "(?:a{1,}){2,}"),
        *(r"(\w|\d|a)+$", r"(\w|\d)*!", "(a|aa)+$", r"(\w\w?)+$", "(a|b|ab)*c", "(?:a|a){0,40}b"),
        *("(?i:a|A)+$", "([a-c]|[b-d])*x", "((a|b)|b)+c", "(?:x(?:1|\\d)+)y"),
    ],
)
def test_a_pattern_that_may_take_for_ever_is_refused(pattern: str, tmp_path: Path) -> None:
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
    [
        *(GPT2, LLAMA, GPT4, r"\d{1,3}(?=(?:\d{3})*\b)", "(a++)+", "[(a+)+]", r"\(a+\)+", "(a+)b+"),
        *("(a+)?", r"(?:\w|\s)+$", "(?:a|b)+c", "(?:a|a)++c", "(?>a|a)+c", r"(?:\.\d{3})*x"),
        *(r"(?:\r\n|\r|\n)+", r"(?:\r\n|\r|\n)+|\s+"),
    ],
)
def test_what_published_tokenizers_have_is_not(pattern: str) -> None:
    assert not is_slow(pattern)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"1", b"[" * 100_000, bytes(1000), "{}".encode("utf-16"), b'{"model": 1}']
)
def test_a_file_that_is_no_tokenizer_is_one_sentence(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data)
    with pytest.raises(CurateError, match="no readable tokenizer") as error:
        read_backend(path)
    assert len(str(error.value)) < 600


WRONG = [
    ("model", {"type": "BPE", "vocab": 3, "merges": []}),
    ("added_tokens", "all"),
    ("added_tokens", [{"id": "one", "content": "<s>"}]),
    ("normalizer", {"type": "NFKC and more"}),
    ("pre_tokenizer", [1]),
    ("post_processor", {"type": "TemplateProcessing", "single": 1}),
    ("decoder", "wordy"),
    ("version", 7),
]


@pytest.mark.parametrize(("field", "value"), WRONG, ids=map(str, range(len(WRONG))))
def test_a_tokenizer_with_a_field_of_another_type_is_one_sentence_for_transformers_too(
    field: str, value: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "sample_data/tiny-base", tmp_path / "base")
    path = tmp_path / "base" / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), field: value}), "utf-8")
    with pytest.raises(CurateError, match=r"tokenizer\.json: no readable tokenizer") as error:
        load_tokenizer(str(tmp_path / "base"), local=True)
    assert "\n" not in str(error.value) and len(str(error.value)) < 600
    assert capfd.readouterr().err == ""


def test_a_slow_pattern_is_refused_before_transformers_reads_with_it(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "sample_data/tiny-base", tmp_path / "base")
    path = tmp_path / "base" / "tokenizer.json"
    replaced = {"type": "Replace", "pattern": {"Regex": r"(\w|\d)+$"}, "content": ""}
    content = json.loads(path.read_text("utf-8")) | {"normalizer": replaced}
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(CurateError, match="its normalizer has the pattern"):
        load_tokenizer(str(tmp_path / "base"), local=True)


@pytest.mark.parametrize("pattern", [r"(?<x>a)(?:\k<x>|aa)+b", r"(a)(?:\1|aa)+b"])
def test_a_choice_that_nobody_can_try_alone_is_refused(pattern: str) -> None:
    assert is_slow(pattern)


def test_a_slow_pattern_of_the_hub_is_refused_before_transformers_reads_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    transformers = pytest.importorskip("transformers")
    path = tmp_path / "tokenizer.json"
    content = json.loads((ROOT / "sample_data/tiny-base/tokenizer.json").read_text("utf-8"))
    replaced = {"type": "Replace", "pattern": {"Regex": r"(\w|\d)+$"}, "content": ""}
    path.write_text(json.dumps(content | {"normalizer": replaced}), "utf-8")
    asked: list[tuple[str, str]] = []

    def fetched(name: str, file: str, **_: Any) -> str:
        asked.append((name, file))
        return str(path)

    def read(*_: Any, **__: Any) -> Any:
        raise AssertionError("transformers reads the tokenizer")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetched)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", read)
    with pytest.raises(CurateError, match="its normalizer has the pattern"):
        load_tokenizer("some-lab/some-model")
    assert asked == [("some-lab/some-model", "tokenizer.json")]


def test_a_model_of_the_hub_without_the_file_is_read_by_transformers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    transformers = pytest.importorskip("transformers")
    from huggingface_hub.errors import LocalEntryNotFoundError

    def absent(*_: Any, **__: Any) -> str:
        raise LocalEntryNotFoundError("not here")

    ours = transformers.AutoTokenizer.from_pretrained(ROOT / "sample_data/tiny-base")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", absent)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: ours)
    assert load_tokenizer("some-lab/some-model", local=True) is ours


def test_tokenizers_of_published_models_have_no_such_pattern(test_data: Path) -> None:
    found = sorted(test_data.rglob("tokenizer.json"))
    assert found
    for path in found:
        check_patterns(path.read_bytes(), path)
