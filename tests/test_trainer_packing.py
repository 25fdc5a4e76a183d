"""Packed rows: the same loss and gradients as padded ones, and no document sees another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trainer
from curate.base.errors import CurateError
from tests.trainer_toys import (
    ALL,
    documents,
    reversed_pairs,
    toy_model,
    write_model,
    write_tokens,
)
from trainer import TrainConfig
from trainer.data.batches import cut, pad
from trainer.data.rows import IGNORED, make_rows
from trainer.loss import LossMode, target_nats
from trainer.models.attention import isolated, prepare
from trainer.objectives.sft import gradients
from trainer.packing import (
    about_long_rows,
    best_fit,
    decide,
    isolates,
    leak,
    pack,
    positions,
)

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")


def config(**fields: Any) -> TrainConfig:
    return TrainConfig(**{"tokens": "t", "model": "m", "out": "o", "max_grad_norm": 0.0, **fields})


def packing_model(**changes: Any) -> Any:
    model = toy_model(**changes)
    prepare(model)
    return model


# Where documents go


def test_the_longest_comes_first_and_each_goes_where_it_leaves_least_room():
    assert best_fit(np.array([3, 9, 4, 2, 5]), 8) == [[1], [4, 0], [2, 3]]
    assert best_fit(np.array([7, 6, 1, 2]), 8) == [[0, 2], [1, 3]]


def test_a_document_above_the_budget_is_alone_and_the_rest_is_placed_all_the_same():
    assert best_fit(np.array([100, 3, 100, 4]), 8) == [[0], [2], [3, 1]]


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=40), budget=st.integers(1, 67))
def test_every_document_is_placed_once_and_groups_keep_the_budget(lengths: list[int], budget: int):
    groups = best_fit(np.array(lengths), budget)
    assert sorted(place for group in groups for place in group) == list(range(len(lengths)))
    fills = [sum(lengths[place] for place in group) for group in groups]
    assert all(fill <= budget or len(group) == 1 for fill, group in zip(fills, groups, strict=True))
    # Best-fit opens a group only for what fits in none, so no two are half empty.
    assert sum(2 * fill <= budget for fill in fills) <= 1


def test_the_documents_of_a_step_fill_nine_tenths_of_their_rows():
    lengths = np.exp(np.random.default_rng(0).normal(6.4, 0.6, 32)).clip(16, 2048).astype(int)
    groups = best_fit(lengths, 4096)
    assert lengths.sum() / (4096 * len(groups)) > 0.9 or len(groups) == -(-lengths.sum() // 4096)


def test_positions_begin_anew_in_each_document():
    assert positions((3, 1, 2)).tolist() == [[0, 1, 2, 0, 0, 1]]


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=20), budget=st.integers(1, 70))
def test_a_packed_step_holds_each_row_and_each_target_once_and_no_padding(
    lengths: list[int], budget: int
):
    ids = [[4 + number] * length for number, length in enumerate(lengths)]
    rows = make_rows([str(length) for length in lengths], ids, ids)
    made = list(pack(rows, np.arange(len(lengths)), budget))
    assert sorted(row for batch in made for row in batch.rows.tolist()) == list(range(len(lengths)))
    assert sum(batch.input_ids.size for batch in made) == sum(lengths)
    assert sum(len(batch.targets) for batch in made) == int(rows.target_counts.sum())
    for batch in made:
        assert batch.input_ids.reshape(-1)[batch.at].tolist() == batch.targets.tolist()
        assert (batch.input_ids[0][batch.at] - 4).tolist() == batch.rows[batch.row_of].tolist()


def test_the_first_token_of_a_document_is_no_target_of_the_one_before_it():
    rows = make_rows(["a", "b"], [[5, 6, 7], [8, 9]], [[5, 6, 7], [8, 9]])
    (batch,) = pack(rows, np.array([0, 1]), 8)
    assert batch.input_ids.tolist() == [[5, 6, 7, 8, 9]]
    assert (batch.at.tolist(), batch.targets.tolist()) == ([0, 1, 3], [6, 7, 9])
    assert batch.row_of.tolist() == [0, 0, 1]


# Rows longer than a forward pass


def test_a_row_above_the_limit_is_split_after_a_trained_turn_and_keeps_its_targets():
    rows = documents()
    parts = cut(rows, np.array([2]), 8)
    assert (parts.starts - rows.offsets[2]).tolist() == [0, 7]  # the first turn ends at 6
    assert parts.lengths.tolist() == [7, 4]
    batches = list(pack(rows, ALL, 8, split_at=8))
    assert sum(len(batch.targets) for batch in batches) == int(rows.target_counts.sum())
    assert max(batch.input_ids.size for batch in batches) <= 8


def test_a_turn_above_the_limit_is_cut_at_the_limit():
    rows = make_rows(["a"], [[*range(4, 24)]], [[*range(4, 24)]])
    parts = cut(rows, np.array([0]), 8)
    assert parts.lengths.tolist() == [8, 8, 4]


def test_a_part_without_targets_takes_no_place():
    rows = make_rows(["a"], [[*range(4, 24)]], [[-100] * 18 + [22, 23]])
    assert cut(rows, np.array([0]), 8).starts.tolist() == [16]


def test_rows_above_the_limit_end_the_epoch_with_a_finite_loss():
    rows = make_rows(["a", "b"], [[4] * 40, [5] * 3], [[4] * 40, [5] * 3])
    for fate in ("alone", "split"):
        for packed in (True, False):
            settings = config(micro_tokens=8, long_rows=fate)
            mode = LossMode(False, packed)
            loss, _, _ = gradients(packing_model(), rows, np.arange(2), settings, mode, 2)
            assert np.isfinite(loss)


def test_split_rows_give_the_same_loss_packed_and_padded():
    settings = config(micro_tokens=6, long_rows="split")
    losses = [
        gradients(packing_model(), documents(), ALL, settings, LossMode(False, packed), 4)[:2]
        for packed in (True, False)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


# Isolation


def logits(model: Any, rows: list[list[int]]) -> Any:
    """The logits of the rows as one packed row."""
    import torch

    lengths = tuple(len(row) for row in rows)
    with torch.no_grad(), isolated(lengths):
        ids = torch.tensor([[token for row in rows for token in row]])
        where = torch.from_numpy(positions(lengths))
        return model(input_ids=ids, position_ids=where, use_cache=False).logits[0]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_document_does_not_change_one_bit_of_its_neighbours(attention: str):
    import torch

    model = toy_model(attn_implementation=attention)
    prepare(model)
    first, second, third = ([1, 5, 6, 3], [1, 7, 8, 9, 3], [1, 4])
    before = logits(model, [first, second, third])
    after = logits(model, [first, [2, 10, 11, 12, 13], third])
    assert torch.equal(before[:4], after[:4])
    assert torch.equal(before[9:], after[9:])
    assert not torch.equal(before[4:9], after[4:9])


def test_documents_one_by_one_equal_a_hand_written_block_causal_mask():
    import torch

    lengths = (3, 1, 4)
    allowed = torch.zeros(8, 8, dtype=torch.bool)
    for start, length in zip((0, 3, 4), lengths, strict=True):
        for place in range(start, start + length):
            allowed[place, start : place + 1] = True
    ids = torch.tensor([[1, 5, 6, 1, 1, 9, 8, 2]])
    where = torch.from_numpy(positions(lengths))
    model = toy_model()
    with torch.no_grad():
        expected = model(
            input_ids=ids, position_ids=where, attention_mask=allowed[None, None], use_cache=False
        ).logits[0]
    prepare(model)
    packed = logits(model, [[1, 5, 6], [1], [1, 9, 8, 2]])
    assert torch.allclose(packed, expected, atol=1e-6, rtol=0)


def test_the_window_of_a_model_holds_inside_a_packed_document():
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    heads = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    size = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 32, "initializer_range": 0.2}
    model = MistralForCausalLM(MistralConfig(**heads, **size, sliding_window=3)).eval()
    rows = [[1, 5, 6, 7, 8, 9, 10, 11], [1, 4, 6, 7, 8, 9]]
    with torch.no_grad():
        alone = [model(input_ids=torch.tensor([row])).logits[0] for row in rows]
    prepare(model)
    assert torch.allclose(logits(model, rows), torch.cat(alone), atol=1e-6, rtol=0)


def leaky_model() -> Any:
    """A model whose attention looks at everything before it, whatever the documents."""
    model = toy_model(attn_implementation="eager")
    plain = model.model.forward

    def forward(*given: Any, position_ids: Any = None, **named: Any) -> Any:
        return plain(*given, **named)

    model.model.forward = forward
    return model


def test_a_model_that_looks_across_documents_is_noticed():
    assert isolates(packing_model(), documents(), ALL)
    assert not isolates(leaky_model(), documents(), ALL)


def mixture_model(experts: int) -> Any:
    """Experts take the tokens of all documents at once, so these round by what lies beside them."""
    import torch
    from transformers import MixtralConfig, MixtralForCausalLM

    torch.manual_seed(0)
    size = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 128}
    heads = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    model = MixtralForCausalLM(MixtralConfig(**size, **heads, num_local_experts=experts)).eval()
    prepare(model)
    return model


def long_documents() -> Any:
    chance = np.random.default_rng(0)
    ids = [chance.integers(3, 500, 40).tolist() for _ in range(2)]
    return make_rows(["a", "b"], ids, ids)


@pytest.mark.parametrize("experts", [8, 16])
def test_a_mixture_of_experts_that_only_rounds_is_packed_and_the_figure_is_logged(experts: int):
    model, rows, lines = mixture_model(experts), long_documents(), list[str]()
    found = leak(model, rows, ALL[:2])
    assert found is not None and 0 < found < 1e-6
    assert decide(model, rows, ALL[:2], config(), lines.append)
    assert lines == [
        "packing: documents end to end without padding, attention inside each; another document "
        f"before a row changes its outputs by {found:.1e} of their size (allowed 1e-05)"
    ]


@pytest.mark.parametrize("share", [1e-7, 1e-6, 1e-3, 1e-1])
def test_what_reaches_the_next_document_is_rounding_or_a_leak_by_its_size(share: float):
    model = packing_model()
    plain = model.forward

    def forward(input_ids: Any, position_ids: Any, **named: Any) -> Any:
        output = plain(input_ids=input_ids, position_ids=position_ids, **named)
        output.logits = output.logits * (1 + share * (input_ids[0, 0] % 2))
        return output

    model.forward = forward
    found = leak(model, documents(), ALL)
    assert found == pytest.approx(share, rel=0.5)
    assert isolates(model, documents(), ALL) == (share < 1e-5)


def convolution_model(dtype: Any) -> Any:
    """A short convolution alone looks over the border, which changes little."""
    import torch
    from transformers import Lfm2Config, Lfm2ForCausalLM

    torch.manual_seed(0)
    size = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    kinds = {"layer_types": ["conv", "full_attention"]}
    model = Lfm2ForCausalLM(Lfm2Config(**size, **heads, **kinds)).eval().to(dtype)
    prepare(model)
    return model


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_leak_as_small_as_bf16_rounds_is_still_a_leak(dtype: str):
    import torch

    model, rows = convolution_model(getattr(torch, dtype)), long_documents()
    found = leak(model, rows, ALL[:2])
    assert found is not None and 1e-5 < found < 2e-2
    assert not isolates(model, rows, ALL[:2])


def test_in_bf16_a_document_without_gradient_at_its_neighbour_is_blind_to_it():
    import torch

    model = packing_model().to(torch.bfloat16)
    plain = model.forward

    def forward(input_ids: Any, position_ids: Any, **named: Any) -> Any:
        output = plain(input_ids=input_ids, position_ids=position_ids, **named)
        output.logits = output.logits + 0.01 * (input_ids[0, 0] % 2)
        return output

    model.forward = forward
    found = leak(model, documents(), ALL)
    assert found is not None and found > 1e-3
    assert isolates(model, documents(), ALL)


def test_numbers_that_are_none_are_no_isolation():
    import torch

    model = packing_model()
    with torch.no_grad():
        model.lm_head.weight[5] = float("nan")
    assert not isolates(model, documents(), ALL)


@pytest.mark.parametrize("kind", ["Mamba", "Bloom", "GPT2", "Gemma2"])
def test_other_architectures_are_packed_only_if_they_keep_documents_apart(kind: str):
    import torch
    import transformers

    torch.manual_seed(0)
    size: dict[str, dict[str, Any]] = {
        "Mamba": {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
        "Bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 2},
        "GPT2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32},
        "Gemma2": {
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 8,
        },
    }
    name = "GPT2LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM"
    settings = getattr(transformers, f"{kind}Config")(vocab_size=32, **size[kind])
    model = getattr(transformers, name)(settings).eval()
    packed = decide(model, documents(), ALL, config(), lambda line: None)
    assert packed == (kind in ("GPT2", "Gemma2"))
    losses = [
        gradients(model, documents(), ALL, config(), LossMode(True, mode), 4)[0]
        for mode in {False, packed}
    ]
    assert losses == pytest.approx([losses[0]] * len(losses), abs=1e-6)


def test_evaluation_and_generation_after_packing_are_those_of_the_plain_model():
    import torch

    plain, packing = toy_model(), packing_model()
    ids = torch.tensor([[1, 5, 6, 3], [1, 7, 8, 9]])
    with torch.no_grad():
        assert torch.equal(plain(input_ids=ids).logits, packing(input_ids=ids).logits)
    said = [
        model.generate(ids[:1], max_new_tokens=5, do_sample=False, pad_token_id=0).tolist()
        for model in (plain, packing)
    ]
    assert said[0] == said[1]


# Loss and gradients


def gradient_of(model: Any) -> Any:
    import torch

    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("micro_tokens", [1, 11, 17, 1000])
def test_packed_loss_and_gradients_are_those_of_the_padded_path(micro_tokens: int, recompute: bool):
    import torch

    rows, model = documents(), packing_model()
    padded, _, _ = gradients(model, rows, ALL, config(), LossMode(False, False), 4)
    expected = gradient_of(model).clone()
    if recompute:
        model.activation_checkpointing_enable({"use_reentrant": False})
        model.train()
    settings = config(micro_tokens=micro_tokens)
    packed, _, _ = gradients(model, rows, ALL, settings, LossMode(False, True), 4)
    assert packed == pytest.approx(padded, abs=1e-6)
    assert torch.allclose(gradient_of(model), expected, atol=1e-6, rtol=0)


def test_what_the_loss_sees_is_what_the_batch_counts():
    rows = documents()
    for batch in [pad(rows, ALL), *pack(rows, ALL, 100)]:
        nats = target_nats(packing_model(), batch, whole=False)
        assert len(nats) == len(batch.targets) == int((rows.targets != IGNORED).sum())


# Whole runs


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("sources")
    rows = [(name, ids, labels) for name, ids, labels in reversed_pairs(20)]
    longer = ("long", [1, *range(4, 30), 3, 4, 2], [-100] * 28 + [4, 2])
    return {
        "tokens": write_tokens(folder / "tokens", [*rows, longer]),
        "model": write_model(folder / "base"),
    }


def train(sources: dict[str, str], out: Path, **fields: Any) -> tuple[Any, list[str]]:
    settings = {
        "num_train_epochs": 1,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "residual_dropout": 0.0,
    }
    lines: list[str] = []
    made = TrainConfig(**{**sources, **settings, "out": str(out), **fields})
    return trainer.train(made, lines.append), lines


def test_a_packed_run_takes_the_same_steps_to_the_same_losses(
    sources: dict[str, str], tmp_path: Path
):
    packed, said = train(sources, tmp_path / "packed", packing="on")
    padded, also = train(sources, tmp_path / "padded", packing="off", micro_tokens=16)
    assert any("documents end to end" in line for line in said)
    assert any("longer than micro_tokens 16, the longest 30" in line for line in also)
    assert [line.step for line in packed.table] == [line.step for line in padded.table]
    for one, other in zip(packed.table[1:], padded.table[1:], strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, abs=1e-5)
        assert one.held_out.loss == pytest.approx(other.held_out.loss, abs=1e-5)


def test_rows_above_the_limit_can_be_refused_with_what_to_do(
    sources: dict[str, str], tmp_path: Path
):
    with pytest.raises(CurateError, match=r"1 rows are longer .*: long; set micro_tokens to 30"):
        train(sources, tmp_path / "out", micro_tokens=16, long_rows="refuse")
    assert not (tmp_path / "out").exists()


def test_rows_above_the_limit_can_be_split_and_the_parts_are_counted():
    said = about_long_rows(documents(), ALL, config(micro_tokens=8, long_rows="split"))
    assert said == ["1 rows are longer than micro_tokens 8, the longest 11: split into 2 documents"]
    assert about_long_rows(documents(), ALL, config(micro_tokens=11)) == []


def test_packing_that_cannot_be_had_is_an_error_or_left_off():
    said: list[str] = []
    with pytest.raises(CurateError, match="would learn across rows; set packing to off"):
        decide(leaky_model(), documents(), ALL, config(packing="on"), said.append)
    assert not decide(leaky_model(), documents(), ALL, config(), said.append)
    (line,) = said
    assert line.startswith("packing: off, as this model does not keep packed documents apart: anot")
    assert not decide(toy_model(), documents(), ALL, config(packing="off"), said.append)
    assert decide(toy_model(), documents(), ALL, config(packing="on"), said.append)
