"""Tokenizers from folders: what is read, what is refused, what the hash stands for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from templates import load_template, load_tokenizer
from tests.templates_toys import CHATML, byte_level, metaspace, rendered, talk, trained


def folder(path: Path, **files: Any) -> str:
    """A tokenizer's folder; `chat` and others are further files by their stem."""
    (path / "tokenizer.json").write_text(byte_level().backend.to_str(), "utf-8")
    config = {"bos_token": None, "eos_token": {"content": "<|eos|>", "lstrip": False}}
    (path / "tokenizer_config.json").write_text(json.dumps(config | files.pop("config", {})))
    for name, value in files.items():
        (path / f"{name}.json").write_text(json.dumps(value), "utf-8")
    return str(path)


def test_special_tokens_and_every_eos_are_read(tmp_path: Path) -> None:
    name = folder(
        tmp_path,
        special_tokens_map={"bos_token": "<|bos|>", "pad_token": "<|bos|>"},
        generation_config={"eos_token_id": [2, 1]},
        config={"extra_special_tokens": {"image_token": "<think>"}},
    )
    tokenizer = load_tokenizer(name)
    assert tokenizer.special == {
        "eos_token": "<|eos|>",
        "pad_token": "<|bos|>",
        "image_token": "<think>",
    }
    assert tokenizer.eos_ids == (1, 2)
    assert tokenizer.origin == {"folder": name}
    assert load_tokenizer(f"{name}/tokenizer.json").hash == tokenizer.hash


def test_a_single_eos_id_adds_to_the_eos_token(tmp_path: Path) -> None:
    assert load_tokenizer(folder(tmp_path, generation_config={"eos_token_id": 3})).eos_ids == (1, 3)


def test_the_hash_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    names = ("one", "two", "other")
    for name in names:
        (tmp_path / name).mkdir()
    one, two = (load_tokenizer(folder(tmp_path / name)) for name in names[:2])
    other = load_tokenizer(folder(tmp_path / "other", config={"pad_token": "<|bos|>"}))
    assert one.hash == two.hash != other.hash


def test_control_tokens_are_known_and_white_space_is_vocabulary() -> None:
    import tokenizers

    from templates.tokenizer.tokenizer import make_tokenizer

    backend = tokenizers.Tokenizer.from_str(byte_level().backend.to_str())
    backend.add_tokens(["    ", "<tool>"])
    tokenizer = make_tokenizer(backend, {"eos_token": "<|eos|>"})
    assert "<tool>" in tokenizer.controls and "    " not in tokenizer.controls
    done = rendered(CHATML, tokenizer, talk("hi <tool>", "a:\n    b <|im_end|>"))
    assert trained(done) == ["a:\n    b <|im_end|><|im_end|>"]
    assert tokenizer.backend.token_to_id("    ") in done.examples["input_ids"][0].to_list()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere", "there is no such folder"),
        ("./no/where", "there is no such folder"),
        ("empty", "no tokenizer.json"),
        ("old", "not a SentencePiece model"),
        ("broken", "no readable tokenizer"),
        ("config", "no readable JSON"),
    ],
)
def test_what_is_no_tokenizer_is_said_clearly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for made in ("empty", "old", "broken", "config"):
        (tmp_path / made).mkdir()
    (tmp_path / "old" / "tokenizer.model").write_bytes(b"")
    (tmp_path / "broken" / "tokenizer.json").write_text("{}")
    folder(tmp_path / "config")
    (tmp_path / "config" / "tokenizer_config.json").write_text("{")
    with pytest.raises(CurateError, match=words):
        load_tokenizer(name)


def test_a_hub_id_needs_the_hub_library_and_a_mistyped_path_does_not_ask_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CurateError, match=r'pip install "curate-sft\[train\]"'):
        load_tokenizer("org/name")
    with pytest.raises(CurateError, match="there is no such folder"):
        load_tokenizer("models/name")


def test_a_hub_model_is_fetched_by_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    folder(tmp_path)
    asked: list[Any] = []

    def download(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, "tokenizer.json" in allow_patterns))
        return str(tmp_path)

    hub = types.SimpleNamespace(snapshot_download=download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    tokenizer = load_tokenizer("org/name")
    assert asked == [("org/name", True)]
    assert tokenizer.origin == {"hub": "org/name", "revision": tmp_path.name}


def test_chat_templates_come_from_config_and_files_win(tmp_path: Path) -> None:
    several = [{"name": "default", "template": "D"}, {"name": "rag", "template": "R"}]
    name = folder(tmp_path, config={"chat_template": several})
    assert load_tokenizer(name).chat_templates == {"default": "D", "rag": "R"}
    (tmp_path / "chat_template.jinja").write_text("F")
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text("T")
    tokenizer = load_tokenizer(name)
    assert tokenizer.chat_templates == {"default": "F", "rag": "R", "tool_use": "T"}
    own = load_template(None, tokenizer)
    assert (own.source, own.tool_use and own.tool_use.source) == ("F", "T")
    assert load_template("tokenizer:rag", tokenizer).source == "R"
    with pytest.raises(CurateError, match="tokenizer:default, tokenizer:rag, tokenizer:tool_use"):
        load_template("tokenizer:chat", tokenizer)


def test_a_tokenizer_without_a_chat_template_names_the_bundled_ones() -> None:
    with pytest.raises(CurateError, match=r"has no chat template.*chatml"):
        load_template("tokenizer", metaspace())
    with pytest.raises(CurateError, match="name one with --tokenizer"):
        load_template(None, None)


def test_templates_are_found_by_name_and_by_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text(CHATML)
    mine = load_template(str(path), None)
    assert (mine.name, mine.origin, mine.source) == ("mine", str(path), CHATML)
    with pytest.raises(CurateError, match="did you mean 'chatml'"):
        load_template("chatmll", None)
    with pytest.raises(CurateError, match="there is no such file"):
        load_template("no/such.jinja", None)
    path.write_text("{% for %}")
    with pytest.raises(CurateError, match="template mine: line 1"):
        load_template(str(path), None)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(CurateError, match="cannot be read as text"):
        load_template(str(path), None)
