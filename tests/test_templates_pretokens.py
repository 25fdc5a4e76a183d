"""Encoding by words: the ids of the library, or none at all."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, normalizers, pre_tokenizers, trainers

from templates import load_tokenizer
from templates.fast.pretokens import CUT, EXPRESSIONS, GPT2, PretokenCache
from templates.tokenizer.segments import ControlTokenSpan
from templates.tokenizer.tokenizer import Tokenizer, make_tokenizer
from tests.templates_toys import CHATML, CORPUS, byte_level, metaspace, prepending, rendered, talk

SPACES = " \n\r\t\x0b\x0c\x1c\x85\xa0\u2003\u2028\u3000"
ODD = "'`ſK/|<>!.,_\"\u0301\u200d\ufe0f\u0663²½Ⅷǅʰªéßẞ你好あｱ한😀𝔘\x00\ue000\ue001\ufdd0\uffff"
TEXT = st.lists(st.sampled_from([*SPACES, *ODD, *"sStTrReEvVmMlLdDaA019", "'re", "'LL"])).map(
    "".join
)


@functools.cache
def splitting(expression: str, nfc: bool = False) -> Tokenizer:
    """A byte-level BPE whose words the expression cuts; `<|end|>` is its control token."""
    backend = tokenizers.Tokenizer(models.BPE())
    byte = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=expression == GPT2)
    split = pre_tokenizers.Split(tokenizers.Regex(expression), "isolated")
    backend.pre_tokenizer = byte if expression == GPT2 else pre_tokenizers.Sequence([split, byte])
    backend.normalizer = normalizers.NFC() if nfc else None
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<|end|>", "<|endless|>", "|||A|||"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([*CORPUS, "  \n\n   a  's 'll ... !!\n"], trainer)
    return make_tokenizer(backend, {"eos_token": "<|end|>"}, name="splitting")


def library(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.backend.encode(text, add_special_tokens=False).ids
    return ids


def by_pretokens(tokenizer: Tokenizer, *texts: str) -> list[list[int] | None]:
    words = PretokenCache.of(tokenizer)
    assert words
    rows = words.encode(texts)
    return [None if row is None else row.tolist() for row in rows]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=["gpt2", "llama3", "qwen", "gpt4o"])
def test_ids_are_those_of_the_library_or_left_to_it(expression: str) -> None:
    tokenizer = splitting(expression)
    words = PretokenCache.of(tokenizer)
    assert words

    @settings(max_examples=25, deadline=None)
    @given(st.lists(TEXT, min_size=1, max_size=6))
    def check(texts: list[str]) -> None:
        for text, row in zip(texts, words.encode(texts), strict=True):
            private = any("\ue000" <= char <= "\uf8ff" for char in text)
            assert (row is None) == (private or not text)
            assert row is None or row.tolist() == library(tokenizer, text)

    check()


def test_every_kind_of_character_is_taken_for_the_same_by_both_engines() -> None:
    for expression in EXPRESSIONS:
        words = PretokenCache.of(splitting(expression))
        assert words
        texts = [chr(n) for n in range(0x80, 0x30000, 193) if not 0xD800 <= n < 0xF900]
        rows = words.encode(texts)
        assert not words._odd and all(row is not None for row in rows)


def test_a_character_that_the_engines_take_for_two_things_is_left_to_the_library() -> None:
    words = PretokenCache.of(splitting(GPT2))
    assert words
    words._pretokens = words._pretokens.replace(r"\p{L}", "[a-zA-Z]")
    assert [row is None for row in words.encode(["ab", "aé"])] == [
        False,
        True,
    ]


def test_control_tokens_of_the_template_are_marked_and_those_of_content_left_to_the_library() -> (
    None
):
    tokenizer = splitting(GPT2)
    words = PretokenCache.of(tokenizer)
    assert words
    text = "hi <|end|>  there<|end|>"
    own = tokenizer.search(text)
    spelt = "a <|end|> b<|end|>"
    last = [ControlTokenSpan(11, 18, tokenizer.controls["<|end|>"].id)]
    coded = [words.coded(text, own), words.coded(spelt, last)]
    whole, left = words.encode([text, spelt], coded, [2, 1])
    assert whole is not None and whole.tolist() == library(tokenizer, text)
    assert left is None


def test_a_control_token_that_shares_its_ends_with_itself_is_left_to_the_library() -> None:
    tokenizer = splitting(GPT2)
    words = PretokenCache.of(tokenizer)
    assert words and words.coded("a|||A|||", tokenizer.search("a|||A|||")) == ""
    assert words.encode(["a|||A|||"], [""], [1]) == [None]


def test_as_plain_text_spelt_control_tokens_are_words_like_others() -> None:
    tokenizer = splitting(GPT2)
    words = PretokenCache.of(tokenizer)
    assert words
    texts = ["a <|end|> b", "|||A|||", "hi"]
    expected = [tokenizer.segments.front("cut").encode(text).ids for text in texts]
    rows = words.encode(texts, plain=True)
    assert [row if row is None else row.tolist() for row in rows] == expected
    assert tokenizer.controls["<|end|>"].id not in expected[0]


def test_a_cut_is_as_encoding_both_sides_alone() -> None:
    tokenizer = splitting(GPT2)
    words = PretokenCache.of(tokenizer)
    assert words and library(tokenizer, "thank you")[-1] not in library(tokenizer, "thank yo")
    coded = words.coded("thank you", (), [8])
    assert coded == f"thank yo{CUT}u"
    [row] = words.encode(["thank you"], [coded], [1])
    assert row is not None
    assert row.tolist() == library(tokenizer, "thank yo") + library(tokenizer, "u")


def test_text_that_the_normaliser_would_change_is_left_to_the_library() -> None:
    assert by_pretokens(splitting(GPT2, nfc=True), "e\u0301")[0] is None
    assert by_pretokens(splitting(GPT2, nfc=True), "é") == [library(splitting(GPT2, nfc=True), "é")]
    assert by_pretokens(splitting(GPT2), "e\u0301") == [library(splitting(GPT2), "e\u0301")]


def test_tokenizers_that_make_words_in_another_way_are_left_to_the_library() -> None:
    assert PretokenCache.of(byte_level()) is not None
    assert PretokenCache.of(metaspace()) is None and PretokenCache.of(prepending()) is None
    backend = tokenizers.Tokenizer.from_str(byte_level().backend.to_str())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    assert PretokenCache.of(make_tokenizer(backend, {})) is None
    split = pre_tokenizers.Split(tokenizers.Regex(r"\w+|\W+"), "isolated")
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, plain])
    assert PretokenCache.of(make_tokenizer(backend, {})) is None


COLON = (
    "{% for m in messages %}{{ 'Human: ' if m.role == 'user' else 'Assistant: ' }}{{ m.content }}"
    "{{ '\\n\\n' if m.role == 'user' else '<|stop|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)
WRITTEN = st.lists(TEXT | st.sampled_from(["<|im_end|>", "<|", "|>", "ok"]), max_size=3).map(
    "".join
)


@pytest.mark.parametrize("source", [CHATML, COLON], ids=["control tokens", "plain text"])
def test_rows_are_the_same_as_without_words(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.lists(WRITTEN, min_size=2, max_size=4), min_size=1, max_size=3))
    def check(contents: list[list[str]]) -> None:
        talks = [talk(*texts) for texts in contents]
        with monkeypatch.context() as patched:
            done = rendered(source, byte_level(), *talks)
            patched.setattr(PretokenCache, "of", lambda _: None)
            fresh = dataclasses.replace(byte_level())  # another one, that remembers nothing
            expected = rendered(source, fresh, *talks)
        assert done.examples.equals(expected.examples)
        assert done.refused.equals(expected.refused) and done.counts == expected.counts

    check()


def test_words_that_were_forgotten_are_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("templates.fast.pretokens.MAX_WORDS", 3)
    tokenizer = splitting(GPT2)
    words = PretokenCache.of(tokenizer)
    assert words
    for text in ("a cat and a dog", "sat on the mat", "a cat sat"):
        [row] = words.encode([text])
        assert row is not None and row.tolist() == library(tokenizer, text)
    assert len(words._known) == 3


@pytest.mark.parametrize("name", ["llama3", "gpt-neox-olmo"])
def test_real_texts_in_many_scripts_get_the_ids_of_real_tokenizers(
    test_data: Path, name: str
) -> None:
    tokenizer = load_tokenizer(str(test_data / "tokenizers" / name))
    texts = [
        row["output"]
        for file in ("alpaca_zh_demo.json", "code_alpaca_2k.json")
        for row in json.loads((test_data / "raw" / file).read_text("utf-8"))[:150]
    ]
    rows = by_pretokens(tokenizer, *texts)
    known = [(row, library(tokenizer, text)) for row, text in zip(rows, texts, strict=True) if row]
    assert len(known) > 200
    assert all(row == ids for row, ids in known)
