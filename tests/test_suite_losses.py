"""Loss of answers: bits a byte whatever the tokenizer, stops apart, plain texts piece by piece."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.checkpoint_toys import STOP, write_base, write_letters
from tests.trainer_toys import ASK, START, silent
from trainer.after import chat
from trainer.after.chat import Talker
from trainer.after.suite.loss_results import difference, summarize
from trainer.after.suite.losses import (
    RowLoss,
    answers_of,
    pieces,
    row_losses,
    text_losses,
)
from trainer.data.rows import make_rows
from trainer.loss import LossMode
from trainer.objectives import sft


def uniform(talker: Talker) -> Talker:
    """The model with an output layer of zeros: every token has the same probability."""
    talker.net.get_output_embeddings().weight.data.zero_()
    return talker


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Talker:
    """A model whose token `n` is the word `wn`, of 32 tokens; `<|end|>` is 30."""
    base = write_base(tmp_path_factory.mktemp("words"))
    talker = chat.load(base, with_template=False)
    return dataclasses.replace(talker, stop_ids=talker.stop_ids | {STOP})


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> tuple[Talker, dict[str, int]]:
    """A model whose tokens are letters, 259 of them."""
    folder = tmp_path_factory.mktemp("letters")
    known = write_letters(folder)
    return chat.load(str(folder), with_template=False), known


def row(prompt: list[int], *turns: list[int]) -> tuple[list[int], list[int]]:
    ids, labels = list(prompt), [-100] * len(prompt)
    for turn in turns:
        ids += [*turn, ASK]
        labels += [*turn, -100]
    return ids, labels


def rows_of(*given: tuple[list[int], list[int]]) -> Any:
    names = [str(number) for number in range(len(given))]
    return make_rows(names, [ids for ids, _ in given], [labels for _, labels in given])


def test_a_stop_is_apart_from_its_answer(words: Talker) -> None:
    rows = rows_of(row([START, 4, ASK], [5, 6, STOP], [7, STOP]))
    first, second = answers_of(words, rows, 0)
    assert (first.first, first.ids, first.stop, first.text) == (3, (5, 6), (STOP,), "w5 w6")
    assert (second.ids, second.stop, second.size) == ((7,), (STOP,), 2)


def test_a_stop_of_several_tokens_is_apart_too(letters: tuple[Talker, dict[str, int]]) -> None:
    talker, known = letters
    talker = dataclasses.replace(talker, stop_ids=frozenset(), stop_strings=("##", "#"))
    rows = rows_of(row([START], [known[one] for one in "ok##"]))
    [answer] = answers_of(talker, rows, 0)
    assert (answer.text, len(answer.ids), len(answer.stop), answer.size) == ("ok", 2, 2, 2)


def test_uniform_models_with_other_tokenizers_have_the_bits_of_their_vocabularies(
    words: Talker, letters: tuple[Talker, dict[str, int]]
) -> None:
    """`w5 w6` has 5 bytes: 2 of 32 tokens, or 5 of 259 (its space is one as well)."""
    talker, known = letters
    spelt = [known[letter] for letter in ("w", "5", "Ġ", "w", "6")]
    by_words = row_losses(uniform(words), rows_of(row([START], [5, 6, STOP])), silent)
    by_letters = row_losses(uniform(talker), rows_of(row([START], spelt)), silent)
    one, other = summarize(by_words), summarize(by_letters)
    assert one is not None and other is not None
    size = talker.net.config.vocab_size
    assert one.bytes == other.bytes == 5
    assert math.isclose(one.bits_per_byte.value, 2 * 5 / 5, rel_tol=1e-6)
    assert math.isclose(other.bits_per_byte.value, 5 * math.log2(size) / 5, rel_tol=1e-6)
    assert math.isclose(one.nats_per_token.value, math.log(32), rel_tol=1e-6)
    apart = difference(by_words, by_letters)
    assert apart is not None and apart.nats_per_token is None
    assert math.isclose(apart.bits_per_byte.value, 2 - math.log2(size), rel_tol=1e-6)


def test_white_space_at_the_ends_of_an_answer_has_no_bytes(
    letters: tuple[Talker, dict[str, int]],
) -> None:
    talker, known = letters
    spelt = [known[letter] for letter in ("Ġ", "o", "k", "Ċ")]
    [loss] = row_losses(talker, rows_of(row([START], spelt)), silent)
    assert (loss.size, loss.tokens) == (2, 4)


def test_all_trained_tokens_together_are_the_loss_that_training_prints(
    tmp_path: Path,
) -> None:
    talker = chat.load(write_base(tmp_path), with_template=False)
    talker = dataclasses.replace(talker, stop_ids=talker.stop_ids | {STOP})
    given = [row([START, 4, ASK], [5 + at, 6, STOP], [7, 8, STOP]) for at in range(9)]
    rows = rows_of(*given, row([START, 9, ASK], [11, STOP]))
    found = summarize(row_losses(talker, rows, silent))
    mode = LossMode(whole=True, packed=False)
    expected = sft.evaluate(talker.net, rows, np.arange(len(rows)), 1000, mode)
    assert found is not None and expected is not None
    assert math.isclose(found.nats_per_trained_token.value, expected.loss, rel_tol=1e-5)
    assert found.tokens + found.stops == expected.targets


def test_sums_and_means_of_rows_are_two_numbers() -> None:
    losses = [RowLoss("a", 10.0, 10, 20), RowLoss("b", 4.0, 2, 2)]
    found = summarize(losses)
    assert found is not None
    assert found.nats_per_token.value == 14 / 12
    assert found.row_nats_per_token.value == (1 + 2) / 2
    assert math.isclose(found.bits_per_byte.value, 14 / math.log(2) / 22)
    assert found.nats_per_stop is None


def test_rows_without_a_byte_are_counted_and_left_out() -> None:
    stop_alone = RowLoss("b", 0.0, 0, 0, stop_nats=1.0, stops=1, stop_tokens=1)
    found = summarize([RowLoss("a", 1.0, 1, 1), stop_alone])
    assert found is not None and (found.rows, found.empty) == (1, 1)
    assert summarize([stop_alone]) is None


def test_a_text_is_read_whole_and_its_bytes_are_all_counted(
    letters: tuple[Talker, dict[str, int]],
) -> None:
    talker, _ = letters
    text = "né " * 30 + "\n" + "ab " * 30
    losses, lost = text_losses(uniform(talker), text, silent)
    assert lost == 0 and sum(each.size for each in losses) == len(text.encode())
    # The model has 48 positions, one of which is the start; each byte is a token.
    assert len(losses) > 4 and max(each.tokens for each in losses) <= 47
    found = summarize(losses)
    assert found is not None
    bits = math.log2(talker.net.config.vocab_size)
    assert math.isclose(found.bits_per_byte.value, bits, rel_tol=1e-6)


def test_without_a_token_for_the_start_the_first_one_is_context(
    letters: tuple[Talker, dict[str, int]],
) -> None:
    talker, _ = letters
    names = ("bos_token", "eos_token")
    before = {name: getattr(talker.tokenizer, name) for name in names}
    try:
        for name in names:
            setattr(talker.tokenizer, name, None)
        [loss], lost = text_losses(talker, "abc", silent)
    finally:
        for name, value in before.items():
            setattr(talker.tokenizer, name, value)
    assert (lost, loss.size, loss.tokens) == (1, 2, 2)


def test_tokens_that_are_unknown_to_a_tokenizer_are_counted(words: Talker) -> None:
    [loss], _ = text_losses(words, "w5 你好 w6", silent)
    assert (loss.tokens, loss.unknown) == (3, 1)


@pytest.mark.parametrize("longest", [1, 7, 40, 10_000])
def test_pieces_of_a_text_joined_are_the_text(longest: int) -> None:
    text = "One line.\nAnother one\n\n" * 20 + "x" * 100 + " 你好"
    found = pieces(text, longest)
    assert "".join(found) == text and max(map(len, found)) <= longest
    assert pieces("") == []
