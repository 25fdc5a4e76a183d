"""Labels scored by a model: as a whole with their stop, and the same whatever is read together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.base.errors import CurateError
from tests.tiny_models import write_tiny
from tests.trainer_toys import toy_model
from trainer.data.batches import pad
from trainer.data.labelled import Ids, check_labels
from trainer.data.rows import make_rows
from trainer.evaluation import label_choice
from trainer.evaluation.label_choice import evened, mass
from trainer.evaluation.label_nats import LabelNats, label_nats
from trainer.loss import target_nats
from trainer.models import model as models

ASKED, STOP = 0, 1


def chain(after: Mapping[int, Mapping[int, float]]) -> Any:
    """A model whose next token depends on the last one alone, with these probabilities."""
    import torch

    class Chain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            size = 1 + max(max(after), *(max(next) for next in after.values()))
            table = torch.full((size, size), -1e9)
            for last, shares in after.items():
                for token, share in shares.items():
                    table[last, token] = float(np.log(share))
            self.embedding = torch.nn.Embedding.from_pretrained(table)

        @property
        def base_model(self) -> Any:
            return self

        def get_output_embeddings(self) -> None:
            return None

        def get_input_embeddings(self) -> Any:
            return self.embedding

        def forward(self, input_ids: Any, **options: Any) -> Any:
            from types import SimpleNamespace

            return SimpleNamespace(logits=self.embedding(input_ids))

    return Chain().eval()


def scored(model: Any, *labels: Ids) -> LabelNats:
    return label_nats(model, [(ASKED,)], [labels])


def test_the_longer_of_two_labels_can_win_as_the_stop_counts() -> None:
    one, zero = 2, 3
    model = chain({ASKED: {one: 0.9, zero: 0.1}, one: {zero: 0.6, STOP: 0.4}, zero: {STOP: 1.0}})
    labels = ((one, STOP), (one, zero, STOP))
    found = scored(model, *labels)
    assert np.exp(-found.sums()[0]) == pytest.approx([0.36, 0.54], abs=1e-6)
    assert label_choice.choose(found, [labels], "sum").tolist() == [1]
    # Without the stop the shorter one is the beginning of the other, and wins always.
    bare = scored(model, (one,), (one, zero))
    assert np.exp(-bare.sums()[0]) == pytest.approx([0.9, 0.54], abs=1e-6)
    with pytest.raises(CurateError, match="no stop is known, and label '1' begins '10'"):
        check_labels(["1", "10"], [(one,), (one, zero)], has_stop=False)


def test_down_a_trie_the_likeliest_beginning_is_not_the_likeliest_label() -> None:
    first, last, left, right = 2, 3, 4, 5
    ends = {token: {STOP: 1.0} for token in (last, left, right)}
    model = chain({ASKED: {first: 0.6, last: 0.4}, first: {left: 0.5, right: 0.5}, **ends})
    labels = ((first, left, STOP), (first, right, STOP), (last, STOP))
    found = scored(model, *labels)
    assert np.exp(-found.sums()[0]) == pytest.approx([0.3, 0.3, 0.4], abs=1e-6)
    picked = {name: _picked(found, labels, name) for name in ("sum", "mean", "trie")}
    assert picked == {"sum": 2, "mean": 0, "trie": 0}


def _picked(found: LabelNats, labels: tuple[Ids, ...], scoring: Any) -> int:
    return int(label_choice.choose(found, [labels], scoring)[0])


def test_a_trie_goes_down_to_the_end_of_labels_that_share_tokens() -> None:
    one, two, three = 2, 3, 4
    model = chain(
        {
            ASKED: {one: 1.0},
            one: {two: 1.0},
            two: {three: 0.3, STOP: 0.7},
            three: {STOP: 1.0},
        }
    )
    labels = ((one, two, three, STOP), (one, two, STOP))
    found = scored(model, *labels)
    assert label_choice.choose(found, [labels], "trie").tolist() == [1]


PROMPTS = [(4, 5, 6), (7, 8, 9, 10, 11, 12, 13, 14), (5,), (9, 9, 9, 4), (6, 7, 8)]
LABELS = ((5, 2), (5, 6, 2), (7, 8, 9, 2), (11,))


def by_training(model: Any) -> Any:
    """The sum of -ln p of each prompt's labels, as training counts them, one row at a time."""
    sums = []
    for prompt in PROMPTS:
        for label in LABELS:
            rows = make_rows(["a"], [[*prompt, *label]], [[-100] * len(prompt) + [*label]])
            nats = target_nats(model, pad(rows, np.arange(1)), whole=True)
            sums.append(float(nats.detach().double().sum()))
    return np.array(sums).reshape(len(PROMPTS), len(LABELS))


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("positions", [1, 9, 8192])
def test_scores_are_those_of_training_whatever_is_read_together(
    positions: int, share: bool
) -> None:
    model = toy_model()
    found = label_nats(model, PROMPTS, [LABELS] * 5, positions=positions, share=share)
    assert found.shares_prompts is share
    assert found.sums() == pytest.approx(by_training(model), abs=1e-5)
    assert [len(each) for each in found.tokens[0]] == [2, 3, 4, 1]


# The last three have memory that is not by position, and read each label with its prompt.
@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("gpt2", True),
        ("mistral", True),
        ("gemma3_text", True),
        ("bloom", True),
        ("mixtral", True),
        ("mamba", False),
        ("jamba", False),
        ("lfm2", False),
    ],
)
def test_architectures_share_prompts_where_that_gives_the_same(
    name: str, shares: bool, tmp_path: Path
) -> None:
    import torch

    model = models.load(write_tiny(name, tmp_path / "m"), torch.device("cpu")).eval()
    found = label_nats(model, PROMPTS, [LABELS] * 5)
    apart = label_nats(model, PROMPTS, [LABELS] * 5, share=False)
    assert found.shares_prompts is shares
    assert found.sums() == pytest.approx(apart.sums(), abs=1e-4)


def test_each_prompt_is_read_once_for_all_of_its_labels() -> None:
    prompts, labels = [(4, 5, 6, 7)] * 6, [LABELS] * 6
    found = label_nats(toy_model(), prompts, labels)
    # Four tokens of a prompt, and 1 + 2 + 3 + 0 of its labels, whose last tokens are not fed.
    assert (found.once, found.apart) == (6 * 10, 6 * (4 * 4 + 6))
    assert found.read == 6 * 4 + 6 * 3 * 3  # three labels padded to three tokens
    apart = label_nats(toy_model(), prompts, labels, share=False)
    assert apart.read > 2 * found.read


def test_labels_of_rows_may_differ() -> None:
    model = toy_model()
    rows = [LABELS[:2], LABELS[1:], LABELS[:1], LABELS, LABELS[2:]]
    found = label_nats(model, PROMPTS, rows)
    whole = by_training(model)
    assert [[float(each.sum()) for each in row] for row in found.tokens] == [
        pytest.approx(whole[0, :2], abs=1e-5),
        pytest.approx(whole[1, 1:], abs=1e-5),
        pytest.approx(whole[2, :1], abs=1e-5),
        pytest.approx(whole[3], abs=1e-5),
        pytest.approx(whole[4, 2:], abs=1e-5),
    ]


def test_the_mass_of_labels_is_the_chance_of_any_of_them() -> None:
    model = chain({ASKED: {2: 0.2, 3: 0.3, 4: 0.5}, 2: {STOP: 0.5}, 3: {STOP: 1.0}, 4: {STOP: 1.0}})
    found = scored(model, (2, STOP), (3, STOP))
    # After 2 there is nothing else than the stop, as the table's shares are made to sum to 1.
    assert mass(found.sums()) == pytest.approx([0.5], abs=1e-6)


def test_with_an_even_prior_no_class_has_a_lead_over_all_rows() -> None:
    """Of three rows the model gives the first class most of all three; one of them the least."""
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    nats = -np.log(shares)
    assert label_choice.likeliest(nats).tolist() == [0, 0, 0]
    assert label_choice.likeliest(evened(nats)).tolist() == [0, 0, 1]


def test_of_equal_scores_the_first_class_is_taken() -> None:
    assert label_choice.likeliest(np.array([[1.0, 1.0, 2.0]])).tolist() == [0]
