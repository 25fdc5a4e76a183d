"""The start-up proof: every mode of computing the user's own first rows gives one number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer
from curate.base.errors import CurateError
from tests.trainer_toys import reversed_pairs, toy_model, write_model, write_tokens
from trainer import TrainConfig
from trainer.checks.proof import ALLOWED, prove
from trainer.data.rows import Rows, make_rows
from trainer.loss import LossMode
from trainer.models import attention

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")


def rows_of(count: int) -> Rows:
    rows = reversed_pairs(count)
    longer = [(name, [1, *ids], [-100, *labels]) for name, ids, labels in rows[::2]]
    names, ids, labels = zip(*rows, *longer, strict=True)
    return make_rows(names, ids, labels)


def config(**fields: Any) -> TrainConfig:
    return TrainConfig(**{"tokens": "t", "model": "m", "out": "o", **fields})


def ready(**changes: Any) -> Any:
    model = toy_model(**changes)
    attention.prepare(model)
    return model.train()


def test_ways_agree_to_rounding_and_the_numbers_are_said():
    rows = rows_of(12)
    proof = prove(ready(), rows, np.arange(len(rows)), config(), LossMode(False, True))
    assert (proof.rows, proof.tokens) == (18, int(rows.lengths.sum()))
    assert set(proof.differences) == {"accumulated", "packed"}
    assert all(loss <= 1e-6 and grad <= 1e-5 for loss, grad in proof.differences.values())
    assert "differences from padded: accumulated: loss" in str(proof)
    assert proof.allowed == ALLOWED["float32"]


def test_bf16_is_held_to_what_bf16_can_do():
    import torch

    model = ready().to(torch.bfloat16)
    rows = rows_of(12)
    proof = prove(model, rows, np.arange(18), config(dtype="bfloat16"), LossMode(False, True))
    assert proof.allowed == ALLOWED["bfloat16"]


def test_a_model_whose_attention_ignores_documents_is_refused_with_the_numbers(
    monkeypatch: pytest.MonkeyPatch,
):
    real = attention._attention

    def leaky(*given: Any, **named: Any) -> Any:
        with attention.isolated(None):
            return real(*given, **named)

    monkeypatch.setattr(attention, "_attention", leaky)
    rows = rows_of(6)
    with pytest.raises(CurateError) as refused:
        prove(ready(), rows, np.arange(9), config(), LossMode(False, True))
    said = str(refused.value)
    assert "packed: loss" in said and "(allowed 1e-05, 1e-04)" in said
    assert "set packing to off, or skip the proof with --no-proof" in said


def test_a_loss_divided_by_each_pass_is_refused(monkeypatch: pytest.MonkeyPatch):
    from trainer.checks import proof

    def mean(nats: Any, batch: Any) -> Any:
        return nats.mean()

    monkeypatch.setattr(proof, "weighted_sum", mean)
    with pytest.raises(CurateError, match="accumulated: loss"):
        prove(ready(), rows_of(4), np.arange(6), config(), LossMode(False, False))


def test_dropout_is_off_in_the_proof_and_back_after_it():
    from trainer.models.dropout import add_residual_dropout

    model = toy_model()
    add_residual_dropout(model, 0.5)
    model.train()
    prove(model, rows_of(4), np.arange(6), config(), LossMode(False, False))
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())


def test_of_a_large_model_only_the_shortest_rows_are_proven(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("trainer.checks.proof._WORK", 1.0)
    rows = rows_of(4)
    proof = prove(ready(), rows, np.arange(6), config(), LossMode(False, True))
    assert (proof.rows, proof.tokens) == (2, 14)
    assert "2 of 6 rows of the first step" in str(proof)


def test_the_proof_is_in_the_log_and_in_the_manifest(tmp_path: Path):
    sources = {
        "tokens": write_tokens(tmp_path / "tokens", reversed_pairs(12)),
        "model": write_model(tmp_path / "base"),
    }
    fields = {"num_train_epochs": 1, "batch_size": 8}
    lines: list[str] = []
    proven = trainer.train(TrainConfig(**sources, out=str(tmp_path / "a"), **fields), lines.append)
    said = json.loads((proven.out / "train.json").read_text())
    assert any(line.startswith("proof on 8 rows of the first step") for line in lines)
    assert said["packed"] is True and said["proof"]["rows"] == 8
    assert said["proof"]["seconds"] < 5


def test_the_proof_can_be_left_out(tmp_path: Path):
    sources = {
        "tokens": write_tokens(tmp_path / "tokens", reversed_pairs(12)),
        "model": write_model(tmp_path / "base"),
    }
    lines: list[str] = []
    out = str(tmp_path / "out")
    trainer.dry_run(TrainConfig(**sources, out=out, proof=False), lines.append)
    assert lines and not [line for line in lines if line.startswith("proof")]
