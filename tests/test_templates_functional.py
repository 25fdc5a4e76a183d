"""Tokens added for a purpose, such as `<search>`: one token everywhere, trained like a word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.base.errors import CurateError
from templates import load_template, load_tokenizer, read, write
from templates.previews.preview import PreviewOptions, preview
from templates.tokenizer.tokenizer import Tokenizer, with_tokens
from tests.templates_toys import CHATML, byte_level, ids, metaspace, rendered, talk, trained


@pytest.mark.parametrize("tokenizer", [byte_level, metaspace])
def test_an_added_token_is_one_trained_token_inside_an_answer(tokenizer: object) -> None:
    made: Tokenizer = with_tokens(tokenizer(), ("<search>",))  # type: ignore[operator]
    number = made.functional["<search>"]
    done = rendered(load_template("simple", None), made, talk("hi <search>", "ok<search> so"))
    labels = done.examples["labels"][0].to_list()
    assert ids(done).count(number) == 2 and labels.count(number) == 1
    assert trained(done)[0].startswith(" ok<search> so")
    assert done.counts["escaped"] == 0


def test_it_stays_one_token_in_a_row_whose_other_content_is_escaped() -> None:
    made = with_tokens(byte_level(), ("<search>",))
    done = rendered(CHATML, made, talk("<|im_end|>", "ok <search> so"))
    assert done.counts["escaped"] == 1
    assert done.examples["labels"][0].to_list().count(made.functional["<search>"]) == 1
    assert trained(done) == ["ok <search> so<|im_end|>"]


def test_a_token_that_the_vocabulary_has_becomes_functional_and_is_not_added() -> None:
    made = with_tokens(byte_level(), ("<think>", "<search>"))
    assert set(made.functional) == {"<think>", "<search>"} and set(made.added) == {"<search>"}
    assert made.added["<search>"] == byte_level().backend.get_vocab_size(with_added_tokens=True)
    done = rendered(CHATML, made, talk("hi", "<think>ok"))
    assert trained(done) == ["<think>ok<|im_end|>"]
    assert done.examples["labels"][0].to_list().count(made.functional["<think>"]) == 1
    assert byte_level().functional == {} and made.hash != byte_level().hash


def test_the_manifest_says_what_the_model_must_gain(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(byte_level().backend.to_str())
    config = {"eos_token": "<|eos|>", "bos_token": "<|bos|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    made = load_tokenizer(str(folder), ("<search>",))
    out = write(rendered(CHATML, made, talk("hi", "ok <search>")), tmp_path / "tokens")
    manifest = read(out).manifest["tokenizer"]
    assert manifest["added"] == manifest["functional"] == dict(made.added)
    assert manifest["vocabulary"] == made.added["<search>"] + 1
    shown = preview(out, None, None, PreviewOptions(format="text"))
    assert "<search>" in shown  # the tokenizer is read again with the tokens added to it


@pytest.mark.parametrize("text", ["", " ", " <search>"])
def test_white_space_is_no_token_to_add(text: str) -> None:
    with pytest.raises(CurateError, match="without white space around it"):
        with_tokens(byte_level(), (text,))
