from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.trainer_toys import ALL, DOCUMENTS, documents, reversed_pairs, toy_model
from trainer.config.config import TrainConfig
from trainer.data.batches import batches, pad
from trainer.data.rows import make_rows, train_prompts
from trainer.loss import LossMode, head_is_plain, target_nats
from trainer.objectives.sft import evaluate, gradients


def reference_nats(model: Any, ids: list[int], labels: list[int]) -> tuple[Any, int]:
    """Sum and number by the textbook: one unpadded row, labels shifted, cross_entropy."""
    import torch
    import torch.nn.functional as F

    logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1]
    targets = torch.tensor(labels[1:])
    nats = F.cross_entropy(logits, targets, ignore_index=-100, reduction="sum")
    return nats, int((targets != -100).sum())


def reference_loss(model: Any) -> Any:
    parts = [reference_nats(model, *row) for row in DOCUMENTS]
    return sum(nats for nats, _ in parts) / sum(count for _, count in parts)


def config(**fields: Any) -> TrainConfig:
    return TrainConfig(**{"tokens": "t", "model": "m", "out": "o", "max_grad_norm": 0.0, **fields})


def gradient_of(model: Any) -> Any:
    import torch

    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


def test_the_loss_equals_cross_entropy_with_ignored_labels():
    import torch
    import torch.nn.functional as F

    model, rows = toy_model(), documents()
    ids, labels = DOCUMENTS[2]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits
        expected = F.cross_entropy(
            logits[:, :-1].flatten(0, 1), torch.tensor(labels[1:]), ignore_index=-100
        )
        nats = target_nats(model, pad(rows, np.array([2])), whole=False)
    assert float(nats.mean()) == pytest.approx(expected.item(), abs=1e-6)


def test_the_model_itself_computes_the_same_loss_from_the_labels():
    import torch

    model, rows = toy_model(), documents()
    ids, labels = DOCUMENTS[0]
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss
        nats = target_nats(model, pad(rows, np.array([0])), whole=False)
    assert float(nats.mean()) == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("micro_tokens", [1, 11, 22, 1000])
@pytest.mark.parametrize("whole", [False, True])
def test_loss_and_gradients_are_those_of_single_rows_however_a_step_is_cut(
    micro_tokens: int, whole: bool
):
    import torch

    model, rows = toy_model(), documents()
    expected = reference_loss(model)
    expected.backward()
    expected_gradient = gradient_of(model).clone()
    loss, norm, _ = gradients(
        model, rows, ALL, config(micro_tokens=micro_tokens), LossMode(whole, False), len(rows)
    )
    assert loss == pytest.approx(expected.item(), abs=1e-6)
    assert torch.allclose(gradient_of(model), expected_gradient, atol=1e-6, rtol=0)
    assert norm == pytest.approx(float(expected_gradient.norm()), abs=1e-6)


def test_a_mean_of_means_would_be_another_number():
    import torch

    model = toy_model()
    with torch.no_grad():
        parts = [reference_nats(model, *row) for row in DOCUMENTS]
        means = sum(float(nats) / count for nats, count in parts) / len(parts)
        assert abs(means - float(reference_loss(model))) > 1e-3


def test_gradients_of_an_earlier_step_are_gone():
    model, rows = toy_model(), documents()
    gradients(model, rows, ALL, config(), LossMode(False, False), len(rows))
    once = gradient_of(model).clone()
    gradients(model, rows, ALL, config(), LossMode(False, False), len(rows))
    assert bool((gradient_of(model) == once).all())


def test_clipping_bounds_the_gradient_and_reports_its_norm_before():
    model, rows = toy_model(), documents()
    _, norm, _ = gradients(
        model, rows, ALL, config(max_grad_norm=0.01), LossMode(False, False), len(rows)
    )
    assert norm > 0.01
    assert float(gradient_of(model).norm()) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("chunk", [32, 64, 96, 10_000])
def test_logits_in_pieces_give_the_same_nats_and_gradients(chunk: int):
    import torch

    model, rows = toy_model(), documents()
    batch = pad(rows, ALL)
    whole = target_nats(model, batch, whole=True)
    whole.sum().backward()
    expected = gradient_of(model).clone()
    model.zero_grad()
    pieces = target_nats(model, batch, whole=False, chunk=chunk)
    pieces.sum().backward()
    assert torch.allclose(pieces, whole, atol=1e-6, rtol=0)
    assert torch.allclose(gradient_of(model), expected, atol=1e-5, rtol=0)


def test_padding_and_neighbours_are_invisible_to_a_row():
    import torch

    model, rows = toy_model(), documents()
    batch = pad(rows, ALL)
    with torch.no_grad():
        before = target_nats(model, batch, whole=False)
        changed = batch.input_ids.copy()
        changed[3, 3:] = 17  # padding of the shortest row
        changed[0, :] = 18  # another row altogether
        after = target_nats(
            model,
            type(batch)(batch.rows, changed, batch.at, batch.targets, batch.row_of),
            whole=False,
        )
    untouched = torch.from_numpy(batch.row_of != 0)
    assert torch.equal(before[untouched], after[untouched])
    assert not torch.equal(before[~untouched], after[~untouched])


def test_a_model_with_a_plain_output_layer_computes_only_trained_logits():
    assert head_is_plain(toy_model(), pad(documents(), ALL))
    assert head_is_plain(toy_model(tie_word_embeddings=True), pad(documents(), ALL))


def test_a_model_that_caps_its_logits_is_noticed_and_its_loss_is_right():
    import torch
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    settings = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 32, "head_dim": 8}
    heads = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    capped = Gemma2ForCausalLM(
        Gemma2Config(**settings, **heads, final_logit_softcapping=0.5, initializer_range=0.3)
    ).eval()
    batch = pad(documents(), ALL)
    assert not head_is_plain(capped, batch)
    with torch.no_grad():
        expected = float(reference_loss(capped))
        nats = target_nats(capped, batch, whole=True)
    assert float(nats.mean()) == pytest.approx(expected, abs=1e-6)


def test_evaluation_does_not_depend_on_how_rows_are_batched():
    model, rows = toy_model(), documents()
    results = [evaluate(model, rows, ALL, size, LossMode(False, False)) for size in (1, 15, 1000)]
    first = results[0]
    assert first is not None
    for other in results[1:]:
        assert other is not None
        assert other.loss == pytest.approx(first.loss, abs=1e-6)
        assert other.example_loss == pytest.approx(first.example_loss, abs=1e-6)


def test_evaluation_reports_both_per_token_and_per_row():
    import torch

    model, rows = toy_model(), documents()
    held = evaluate(model, rows, np.array([1, 2]), 64, LossMode(False, False))
    with torch.no_grad():
        (one, ones), (two, twos) = (reference_nats(model, *DOCUMENTS[row]) for row in (1, 2))
    assert held is not None
    assert held.loss == pytest.approx(float(one + two) / (ones + twos), abs=1e-6)
    assert held.example_loss == pytest.approx(float(one / ones + two / twos) / 2, abs=1e-6)
    assert (held.rows, held.targets) == (2, 9)


def test_a_short_last_batch_weighs_by_its_own_targets():
    rows = documents()
    cut = list(batches(rows, ALL, 14))
    assert sum(len(batch.targets) for batch in cut) == int(rows.target_counts.sum()) == 13
    assert len({len(batch.targets) for batch in cut}) > 1


# What a target counts


def test_weights_of_tokens_make_a_weighted_mean():
    import torch

    model = toy_model()
    weights = [[0.0] * len(ids) for ids, _ in DOCUMENTS]
    weights[0][4:] = [1.0, 0.5, 0.0]
    weights[1][3:] = [2.0, 1.0]
    names = [str(number) for number in range(len(DOCUMENTS))]
    rows = make_rows(names, [row[0] for row in DOCUMENTS], [row[1] for row in DOCUMENTS], weights)
    with torch.no_grad():
        first = target_nats(model, pad(rows, np.array([0])), whole=False)
        second = target_nats(model, pad(rows, np.array([1])), whole=False)
    expected = (first @ torch.tensor([1.0, 0.5, 0.0]) + second @ torch.tensor([2.0, 1.0])) / 4.5
    for packed in (False, True):
        mode = LossMode(False, packed)
        loss, _, _ = gradients(model, rows, np.array([0, 1]), config(micro_tokens=9), mode, 4)
        assert loss == pytest.approx(expected.item(), abs=1e-6)


def test_equal_weights_change_nothing_whatever_they_are():
    model, plain = toy_model(), documents()
    names = [str(number) for number in range(len(DOCUMENTS))]
    ids, labels = [row[0] for row in DOCUMENTS], [row[1] for row in DOCUMENTS]
    weighted = make_rows(names, ids, labels, [[3.0] * len(row) for row in ids])
    losses = [
        gradients(model, rows, ALL, config(), LossMode(False, False), 4)[:2]
        for rows in (plain, weighted)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_a_weight_on_prompts_trains_every_token_but_the_first():
    import torch
    import torch.nn.functional as F

    model = toy_model()
    rows = train_prompts(documents(), 0.25)
    assert rows.target_counts.tolist() == [6, 4, 10, 2]
    nats, counted = 0.0, 0.0
    for ids, labels in DOCUMENTS:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
        each = F.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")
        weight = torch.tensor([0.25 if label == -100 else 1.0 for label in labels[1:]])
        nats, counted = nats + float(each @ weight), counted + float(weight.sum())
    loss, _, _ = gradients(model, rows, ALL, config(), LossMode(False, False), 4)
    assert loss == pytest.approx(nats / counted, abs=1e-6)


def test_evaluation_is_of_answers_alone_whatever_prompts_weigh():
    rows = documents()
    assert train_prompts(rows, 0.5).labels is rows.labels
    assert documents().target_counts.tolist() == rows.target_counts.tolist() == [3, 2, 7, 1]


# Memory


def test_logits_of_a_large_vocabulary_never_exist_whole():
    """Of 600 targets and 128,000 words: 77 million logits, of which a piece exists at a time."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    model = toy_model(vocab_size=128_000, hidden_size=8, num_attention_heads=2)
    ids = [*range(4, 44)]
    rows = make_rows([str(number) for number in range(15)], [ids] * 15, [ids] * 15)

    class Largest(TorchDispatchMode):
        values = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            result = func(*args, **(kwargs or {}))
            for each in result if isinstance(result, tuple | list) else (result,):
                if isinstance(each, torch.Tensor):
                    Largest.values = max(Largest.values, each.numel())
            return result

    with Largest():
        nats = target_nats(model, pad(rows, np.arange(15)), whole=False, chunk=1 << 22)
        nats.sum().backward()
    assert len(nats) == 585
    assert Largest.values <= 1 << 22


def test_a_pass_without_targets_has_a_gradient_of_nothing_for_every_weight():
    model = toy_model()
    rows = make_rows(["a"], [[1, 5, 6, 3]], [[-100] * 4])
    nats = target_nats(model, pad(rows, np.array([0])), whole=False).sum()
    nats.backward()
    assert nats.item() == 0.0
    assert all(weight.grad is not None for weight in model.parameters())
    assert float(gradient_of(model).abs().max()) == 0.0


# Steps


def test_a_short_last_step_is_divided_by_its_own_targets_and_leaves_nothing_behind():
    """63 rows at 8 a step: the last has 7, and the next epoch begins from nothing."""
    model = toy_model()
    names, ids, labels = zip(*reversed_pairs(63), strict=True)
    rows = make_rows(names, ids, labels)
    last, first = np.arange(56, 63), np.arange(8)
    seven, _, _ = gradients(model, rows, last, config(micro_tokens=7), LossMode(False, False), 63)
    each = [
        gradients(model, rows, np.array([row]), config(), LossMode(False, False), 63)[0]
        for row in last
    ]
    assert seven == pytest.approx(np.mean(each), abs=1e-6)
    after = gradients(model, rows, first, config(), LossMode(False, False), 63)
    assert after == gradients(toy_model(), rows, first, config(), LossMode(False, False), 63)
