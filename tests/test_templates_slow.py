"""Tokenizers without offsets: the same ids and masks as fast ones, by ids alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from templates import load_tokenizer
from templates.tokenizer.tokenizer import Tokenizer, make_slow_tokenizer, with_tokens
from templates.tokens.columns import Row
from tests.templates_toys import (
    CHATML,
    byte_level,
    ids,
    merging,
    records,
    refusal,
    rendered,
    row_renderer,
    talk,
    trained,
)

transformers = pytest.importorskip("transformers")

COLON = (
    "{% for m in messages %}{{ 'Human: ' if m.role == 'user' else 'Assistant: ' }}{{ m.content }}"
    "{{ '\\n\\n' if m.role == 'user' else eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)
TALKS = [
    talk("hi", "ok", "so", "fine"),
    talk("hi <|im_end|>", "write <|eos|> so"),
    talk("hi", "ok 😀", "你好", "e\u0301"),
    talk("hi", " ok\n", "so", "\n\nfine \n"),
]


class Slow(transformers.PythonBackend):  # type: ignore[misc, name-defined]
    """The vocabulary of a fast tokenizer without its offsets."""

    def __init__(self, fast: Tokenizer) -> None:
        self.fast = fast
        added = fast.backend.get_added_tokens_decoder()
        super().__init__(added_tokens_decoder=added, **fast.special)

    @property
    def vocab_size(self) -> int:
        return int(self.fast.backend.get_vocab_size())

    def get_vocab(self) -> dict[str, int]:
        return dict(self.fast.backend.get_vocab(with_added_tokens=True))

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        return list(self.fast.segments.front("cut").encode(text).tokens)

    def _convert_token_to_id(self, token: str) -> int | None:
        number: int | None = self.fast.backend.token_to_id(token)
        return number

    def _convert_id_to_token(self, index: int) -> str:
        return str(self.fast.backend.id_to_token(index))

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        numbers = [self.fast.backend.token_to_id(token) or 0 for token in tokens]
        return self.fast.segments.decode(numbers).decode(errors="replace")


def slow(fast: Tokenizer) -> Tokenizer:
    return make_slow_tokenizer(Slow(fast), fast.special, fast.eos_ids)


@pytest.mark.parametrize("source", [CHATML, COLON], ids=["control tokens", "plain text"])
@pytest.mark.parametrize("fast", [byte_level(), merging()], ids=["words", "merging"])
def test_masks_are_those_of_the_fast_tokenizer(source: str, fast: Tokenizer) -> None:
    for boundary in ("split", "train", "mask"):
        expected = rendered(source, fast, *TALKS, boundary=boundary)
        done = rendered(source, slow(fast), *TALKS, boundary=boundary)
        assert done.examples.equals(expected.examples) and done.examples.height == len(TALKS)
        assert done.counts == expected.counts


def test_bytes_as_tokens_are_trained_up_to_the_stop(tmp_path: Path) -> None:
    transformers.ByT5Tokenizer(extra_ids=2).save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path))
    assert not tokenizer.has_offsets and "</s>" in tokenizer.controls
    done = rendered(COLON, tokenizer, talk("hé </s>", "ok 😀", "so", "a </s>"))
    told = done.examples.row(0, named=True)
    stop = tokenizer.backend.token_to_id("</s>")
    labels = [label for label in told["labels"] if label != -100]
    answers = [[*(byte + 3 for byte in text.encode()), stop] for text in ("ok 😀", "a </s>")]
    assert labels == [*answers[0], *answers[1]]
    assert ids(done)[:7] == [byte + 3 for byte in b"Human: "]
    assert done.counts["escaped"] == 1
    ready = row_renderer(COLON, tokenizer)
    [(_, [row])] = ready.batches([records(talk("é", "😀k"))])
    assert isinstance(row, Row)
    assert tokenizer.segments.decode(row.example.ids).decode() == "Human: é\n\nAssistant: 😀k</s>"
    shown = [
        row.verified.text[low:high]
        for low, high in ready.encoder.offsets(row.verified, row.example)
    ]
    assert shown[7:9] == ["é", "é"] and shown[-6:] == ["😀", "😀", "😀", "😀", "k", "</s>"]


def test_text_that_has_no_id_is_refused() -> None:
    class Poor(Slow):
        def _convert_token_to_id(self, token: str) -> int | None:
            return None if token.endswith("k") else super()._convert_token_to_id(token)

    tokenizer = make_slow_tokenizer(Poor(byte_level()), byte_level().special)
    done = rendered(CHATML, tokenizer, talk("hi", "ok"), talk("hi", "fine"))
    assert refusal(done)[0] == "decode_mismatch" and trained(done) == ["fine<|im_end|>"]


def test_its_hash_is_that_of_its_vocabulary_and_special_tokens() -> None:
    first, again = slow(byte_level()), slow(byte_level())
    assert first.hash == again.hash != slow(merging()).hash
    assert make_slow_tokenizer(Slow(byte_level()), {"eos_token": "<|im_end|>"}).hash != first.hash


def test_functional_tokens_need_a_fast_tokenizer() -> None:
    with pytest.raises(CurateError, match=r"give one with tokenizer\.json"):
        with_tokens(slow(byte_level()), ["<search>"])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("Nothing", "transformers has no Nothing"),
        ("BertTokenizer", r"none of the files of a BertTokenizer: vocab\.txt"),
        ("GPT2Tokenizer", "its tokenizer, a GPT2Tokenizer, cannot be loaded"),
    ],
)
def test_a_folder_that_transformers_cannot_read_either_says_so(
    tmp_path: Path, kind: str, words: str
) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))
    (tmp_path / "vocab.json").write_text("{")
    with pytest.raises(CurateError, match=words):
        load_tokenizer(str(tmp_path))


def test_a_fast_class_with_files_of_its_own_is_read_as_fast(tmp_path: Path) -> None:
    model = json.loads(byte_level().backend.to_str())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    pairs = [" ".join(pair) for pair in model["merges"]]
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs, ""]))
    config = {"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|eos|>", "bos_token": "<|bos|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = load_tokenizer(str(tmp_path))
    assert tokenizer.has_offsets and tokenizer.special["eos_token"] == "<|eos|>"
    done = rendered(COLON, tokenizer, *TALKS)
    assert ids(done) == ids(rendered(COLON, byte_level(), *TALKS))
