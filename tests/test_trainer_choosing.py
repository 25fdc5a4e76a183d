from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer
from curate.base.charts import nice_ticks
from curate.base.errors import CurateError
from tests.trainer_toys import (
    ASK,
    START,
    STOP,
    Row,
    reversed_pairs,
    silent,
    toy_model,
    write_model,
    write_tokenizer,
    write_tokens,
)
from trainer import TrainConfig
from trainer.checkpoints import checkpoint
from trainer.evaluation import choosing, probes
from trainer.evaluation.table import table_lines
from trainer.result import Epoch, Evaluation, Probe


def config(**fields: Any) -> TrainConfig:
    return TrainConfig(**{"tokens": "t", "model": "m", "out": "o", **fields})


def table(*values: dict[str, float]) -> list[Epoch]:
    """Epoch 0 and on, each with some of: loss, score, retention."""
    return [
        Epoch(
            number,
            10 * number,
            None,
            Evaluation(each["loss"], each.get("rows", each["loss"]), 4, 12),
            Probe(score=each.get("score"), retention=each.get("retention")),
        )
        for number, each in enumerate(values)
    ]


def test_limas_window_is_epoch_5_to_10_of_15():
    assert choosing.window(15) == (5, 10)
    assert [choosing.window(epochs) for epochs in (1, 2, 3, 6)] == [(1, 1), (1, 1), (1, 2), (2, 4)]


def test_limas_rule_takes_the_best_answers_of_the_window_whatever_the_loss_says():
    """As in LIMA's own run: held-out loss rises while answers get better."""
    lines = table(
        {"loss": 3.0, "score": 0.1},
        {"loss": 1.0, "score": 0.99},
        {"loss": 1.5, "score": 0.4},
        {"loss": 2.0, "score": 0.6},
        {"loss": 2.5, "score": 0.5},
        {"loss": 2.6, "score": 0.9},
        {"loss": 2.7, "score": 0.95},
    )
    chosen, why = choosing.choose(lines, config(choose="lima", num_train_epochs=6))
    assert chosen.epoch == 3
    assert (
        why == "best score of answers: 0.6000 at epoch 3 of epochs 2 to 4 (before training 0.1000)"
    )
    assert choosing.choose(lines, config(choose="score", num_train_epochs=6))[0].epoch == 1
    assert choosing.choose(lines, config(choose="loss", num_train_epochs=6))[0].epoch == 1


def scored(*scores: float, lost: tuple[int, ...] = ()) -> list[Epoch]:
    """Epochs with these scores, of which some have lost too much on general text."""
    base = {"loss": 3.0, "score": 0.0, "retention": 2.0}
    epochs = [
        {"loss": 2.0, "score": score, "retention": 2.9 if number in lost else 2.0}
        for number, score in enumerate(scores, start=1)
    ]
    return table(base, *epochs)


BOUND: dict[str, Any] = {"choose": "lima", "retention": "f", "retention_limit": 0.2}


@pytest.mark.parametrize(
    ("lines", "fields", "epoch", "why"),
    [
        # No epoch of the window keeps the limit: the best of those left, not the last.
        (
            scored(0.5, 0.9, 0.3, 0.6, 0.2, 0.1, lost=(2, 3, 4)),
            {**BOUND, "num_train_epochs": 6},
            1,
            "best score of answers: 0.5000 at epoch 1 of 6 (before training 0.0000); left out for "
            "losing more than 0.2 on general text: 2, 3, 4; no epoch that may be chosen lies in "
            "epochs 2 to 4",
        ),
        # Training ended before the window began.
        (
            scored(0.7, 0.4, 0.2),
            {"choose": "lima", "num_train_epochs": 15},
            1,
            "best score of answers: 0.7000 at epoch 1 of 3 (before training 0.0000); no epoch that "
            "may be chosen lies in epochs 5 to 10",
        ),
        # Every epoch lost too much: the one that lost the least, which is not in the window.
        (
            scored(0.5, 0.9, 0.3, lost=(1, 2, 3)),
            {**BOUND, "num_train_epochs": 9},
            1,
            "best score of answers: 0.5000 at epoch 1 of 3 (before training 0.0000); every epoch "
            "lost more than 0.2 on general text, and this one the least (0.9000); no epoch that "
            "may be chosen lies in epochs 3 to 6",
        ),
        # One epoch of the window is left.
        (
            scored(0.9, 0.1, 0.3, 0.6, 0.2, 0.95, lost=(2, 4)),
            {**BOUND, "num_train_epochs": 6},
            3,
            "best score of answers: 0.3000 at epoch 3 of epochs 2 to 4 (before training 0.0000); "
            "left out for losing more than 0.2 on general text: 2, 4",
        ),
    ],
)
def test_limas_window_that_holds_no_permitted_epoch_gives_way_to_the_best_of_the_others(
    lines: list[Epoch], fields: dict[str, Any], epoch: int, why: str
):
    assert choosing.choose(lines, config(**fields)) == (lines[epoch], why)


def test_what_limas_rule_takes_in_the_end_was_never_removed_before(tmp_path: Path):
    """Best so far at each epoch, whether the window has begun or not."""
    lines = scored(0.5, 0.9, 0.3, 0.6, 0.2, 0.1, lost=(2, 3, 4))
    settings, kept = config(**{**BOUND, "num_train_epochs": 6}), list[int]()
    for count in range(1, 7):
        checkpoint.epoch_folder(tmp_path, count).mkdir(parents=True)
        best, _ = choosing.choose(lines[: count + 1], settings)
        kept = checkpoint.prune(tmp_path, [*kept, count], 1, best.epoch)
    assert choosing.choose(lines, settings)[0].epoch in kept


def test_loss_a_token_and_loss_a_row_can_choose_differently():
    lines = table({"loss": 3}, {"loss": 1, "rows": 2}, {"loss": 2, "rows": 1})
    assert choosing.choose(lines, config(choose="loss", num_train_epochs=2))[0].epoch == 1
    assert choosing.choose(lines, config(choose="example-loss", num_train_epochs=2))[0].epoch == 2


def test_of_equal_epochs_the_earlier_is_taken():
    lines = table({"loss": 3}, {"loss": 1}, {"loss": 1})
    assert choosing.choose(lines, config(choose="loss", num_train_epochs=2))[0].epoch == 1


@pytest.mark.parametrize(
    ("best", "keep", "stays"), [(1, 2, [1, 4, 5]), (5, 2, [4, 5]), (4, 1, [4, 5]), (2, 1, [2, 5])]
)
def test_the_newest_epochs_and_the_best_one_stay_whatever_is_removed(
    tmp_path: Path, best: int, keep: int, stays: list[int]
):
    written = [1, 2, 3, 4, 5]
    for epoch in written:
        checkpoint.epoch_folder(tmp_path, epoch).mkdir(parents=True)
    assert checkpoint.prune(tmp_path, written, keep, best) == stays
    left = sorted(folder.name for folder in (tmp_path / "epochs").iterdir())
    assert left == [f"epoch-{epoch}" for epoch in stays]


def test_where_no_answer_stops_token_f1_decides():
    lines = table({"loss": 3, "score": 0.0}, *({"loss": 1, "score": 0.0} for _ in range(3)))
    alike = (0.0, 0.2, 0.5, 0.3)
    lines = [
        dataclasses.replace(line, probe=Probe(score=0.0, token_f1=token_f1))
        for line, token_f1 in zip(lines, alike, strict=True)
    ]
    assert choosing.choose(lines, config(choose="score", num_train_epochs=3))[0].epoch == 2


def test_an_epoch_that_lost_too_much_on_general_text_is_not_chosen():
    lines = table(
        {"loss": 3, "retention": 2.0},
        {"loss": 2, "retention": 2.1},
        {"loss": 1, "retention": 2.5},
    )
    chosen, why = choosing.choose(lines, config(choose="loss", retention="f", retention_limit=0.2))
    assert chosen.epoch == 1
    assert why.endswith("; left out for losing more than 0.2 on general text: 2")


def test_if_every_epoch_lost_too_much_the_least_is_taken_and_said():
    lines = table(
        {"loss": 3, "retention": 2.0}, {"loss": 2, "retention": 2.4}, {"loss": 1, "retention": 2.9}
    )
    chosen, why = choosing.choose(lines, config(choose="loss", retention="f", retention_limit=0.2))
    assert chosen.epoch == 1
    assert "every epoch lost more than 0.2 on general text, and this one the least (0.4000)" in why


def test_training_ends_when_the_named_metric_has_not_improved():
    lines = table({"loss": 9}, {"loss": 3}, {"loss": 2}, {"loss": 2.5}, {"loss": 2.2})
    early = config(stop_on="loss", patience=2, num_train_epochs=9)
    assert choosing.ended(lines[:4], early) is None
    assert choosing.ended(lines, early) == (
        "training ends after epoch 4 of 9: loss has not improved for 2 epochs"
    )
    assert choosing.ended(lines, config(num_train_epochs=9)) is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"prompts": 0},
            "choose is 'lima', and prompts is 0; it needs answers; set prompts above 0",
        ),
        (
            {"choose": "loss", "stop_on": "score", "prompts": 0},
            "stop_on is 'score', and prompts is 0",
        ),
        (
            {"stop_on": "retention"},
            "stop_on is 'retention', and retention is None; name a general text",
        ),
        ({"retention_limit": 0.1}, "retention_limit is 0.1, and retention is None; name a general"),
    ],
)
def test_a_rule_without_its_measure_is_refused(fields: dict[str, Any], message: str):
    with pytest.raises(CurateError, match=message):
        config(**fields)


def test_the_table_has_a_column_for_each_measure_and_marks_the_chosen_epoch():
    lines = table({"loss": 2, "score": 0.25}, {"loss": 1, "score": 0.5, "retention": 1.5})
    head, first, second = table_lines(lines, 1)
    assert head.split() == [
        "epoch",
        "step",
        "held",
        "out",
        "example_loss",
        "score",
        "retention",
    ]
    assert first.split() == ["0", "0", "2.0000", "2.0000", "0.250", "-"]
    assert second.split() == ["1", "10", "1.0000", "1.0000", "0.500", "1.5000", "chosen"]


def test_token_f1_is_the_f1_of_two_bags_of_tokens():
    assert probes.alike([1, 2, 3], [3, 2, 1]) == 1.0
    assert probes.alike([1, 1, 2], [1, 3]) == pytest.approx(2 * 1 / 5)
    assert probes.alike([], [1]) == 0.0


def test_ticks_are_round_and_hold_all_values():
    assert nice_ticks(0.97, 0.13) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert nice_ticks(3.0, 3.0)[0] <= 3.0 < nice_ticks(3.0, 3.0)[-1]


def long_answers(count: int) -> list[Row]:
    """Rows with one answer of ten tokens, so that it is soon known by heart."""
    rows: list[Row] = []
    for number in range(count):
        prompt, answer = [START, 4 + number % 28, 4 + (5 * number) % 28, ASK], [*range(6, 15), STOP]
        rows.append((f"{number:016x}", prompt + answer, [-100] * len(prompt) + answer))
    return rows


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> trainer.TrainResult:
    folder = tmp_path_factory.mktemp("choosing")
    model = write_model(folder / "base")
    write_tokenizer(folder / "base")
    general = folder / "general.txt"
    general.write_text("w5 w6 w7 w8 w9\n\nw20 w21 w22 w23", encoding="utf-8")
    return trainer.train(
        config(
            tokens=write_tokens(folder / "tokens", long_answers(24)),
            model=model,
            out=str(folder / "tuned"),
            num_train_epochs=5,
            batch_size=6,
            learning_rate=0.02,
            held_out=0.2,
            retention=str(general),
            choose="score",
            prompts=4,
            residual_dropout=0.0,
        ),
        silent,
    )


def test_each_epoch_is_measured_in_every_way(done: trainer.TrainResult):
    assert [line.epoch for line in done.table] == [0, 1, 2, 3, 4, 5]
    for line in done.table:
        assert set(line.measures()) == {
            *("loss", "example_loss", "example_loss_interval", "rows", "trained_tokens"),
            *("fit", "generalisation_gap", "memorised", "length_target", "length", "stops"),
            *("token_f1", "score", "retention", "kl"),
        }
        assert line.held_out is not None and line.probe.fit is not None
        assert line.probe.generalisation_gap == pytest.approx(line.held_out.loss - line.probe.fit)


def test_what_is_measured_is_in_the_metrics_without_held_out_rows_too(tmp_path: Path):
    general = write_tokens(tmp_path / "general", long_answers(4))
    tokens, model = write_tokens(tmp_path / "tokens", long_answers(4)), write_model(tmp_path / "m")
    about = {"num_train_epochs": 1, "batch_size": 4, "held_out": 0.0, "residual_dropout": 0.0}
    out = tmp_path / "out"
    done = trainer.train(
        config(tokens=tokens, model=model, out=str(out), retention=general, **about), silent
    )
    noted = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    found = [line["retention"] for line in noted if line.get("eval")]
    assert found == [line.probe.retention for line in done.table]
    assert not any("loss" in line for line in noted if line.get("eval"))


def test_what_is_learnt_by_heart_is_seen(done: trainer.TrainResult):
    first, last = done.table[0].probe, done.table[-1].probe
    assert (first.memorised, last.memorised) == (0.0, 1.0)
    assert first.score is not None and last.score is not None
    assert (last.stops, last.token_f1, last.length) == (1.0, 1.0, 9.0)
    assert first.score < last.score == 1.0
    assert last.length_target == 9.0


def test_the_divergence_from_the_base_starts_at_nothing_and_grows(done: trainer.TrainResult):
    found = [line.probe.kl for line in done.table]
    assert found[0] == pytest.approx(0.0, abs=1e-6)
    assert found[1] is not None and found[-1] is not None and 0.01 < found[1] < found[-1]


def test_the_loss_on_general_text_is_that_of_a_language_model(done: trainer.TrainResult):
    """Every token but the first of each document counts; the base's loss is the plain one."""
    import torch

    texts = [[5, 6, 7, 8, 9, STOP], [20, 21, 22, 23, STOP]]
    nats = [
        torch.nn.functional.cross_entropy(
            toy_model()(input_ids=torch.tensor([ids])).logits[0, :-1].detach(),
            torch.tensor(ids[1:]),
            reduction="sum",
        )
        for ids in texts
    ]
    losses = [line.probe.retention for line in done.table]
    assert losses[0] == pytest.approx(float(sum(nats)) / 9, abs=1e-5)
    assert losses[0] != losses[1]


def test_the_chosen_epoch_has_the_best_score_and_need_not_be_the_last(done: trainer.TrainResult):
    scores = {line.epoch: line.probe.score or 0.0 for line in done.table if line.epoch}
    assert scores[done.epoch] == max(scores.values())
    assert done.epoch < 5
    assert done.why.startswith("best score of answers: 1.0000 at epoch")


def test_metrics_and_picture_hold_the_measures(done: trainer.TrainResult):
    lines = [json.loads(line) for line in (done.out / "metrics.jsonl").read_text().splitlines()]
    held = [line for line in lines if line.get("eval")]
    assert [line["kl"] for line in held] == [line.probe.kl for line in done.table]
    picture = (done.out / "curves.svg").read_text()
    for title in ("Loss, nats", "Answers to held-out", "Mean length", "Memorised", "KL", "general"):
        assert title in picture
    assert picture.count(">chosen<") == 6
    described = json.loads((done.out / "train.json").read_text())
    assert described["table"][3]["probe"]["memorised"] == done.table[3].probe.memorised
    assert described["length_target"] == {
        "tokens": 9.0,
        "source": "the median of the training answers",
    }


def test_memorised_agrees_with_answers_that_are_really_generated(done: trainer.TrainResult):
    """The teacher-forced test must say what generating says."""
    import torch
    from transformers import AutoModelForCausalLM

    from trainer.data.rows import make_rows

    tuned = AutoModelForCausalLM.from_pretrained(done.out)
    for model, expected in ((tuned, True), (toy_model(), False)):
        row = long_answers(1)[0]
        rows = make_rows([row[0]], [row[1]], [row[2]])
        asked = torch.tensor([row[1][:4]])
        said = model.generate(
            asked, attention_mask=torch.ones_like(asked), max_new_tokens=10, pad_token_id=0
        )
        plan: Any = type("P", (), {})()
        plan.tokens, plan.limits, plan.config = plan, plan, plan
        plan.rows, plan.vocabulary, plan.micro_tokens = rows, 32, 64
        none: Any = None
        probe = probes.Probes(plan, none, False, none, (), np.array([0]), none, (), none)
        assert (said[0, 4:].tolist() == row[1][4:]) == expected
        assert probe._memorised(model) == float(expected)


def test_a_long_row_is_compared_by_its_first_targets_and_no_more_logits_exist(
    monkeypatch: pytest.MonkeyPatch,
):
    """Of one row of 40 targets 10 are kept, and the output layer sees 8 at a time."""
    import torch

    from trainer.data.rows import make_rows

    model = toy_model()
    ids = [1, 3, *range(4, 32), *range(4, 16)]
    rows = make_rows(["a"], [ids], [[-100, -100, *ids[2:]]])
    monkeypatch.setattr(probes, "_KEPT_VALUES", 320)
    monkeypatch.setattr("trainer.loss.read_logits.__kwdefaults__", {"chunk": 256})
    seen: list[int] = []
    model.get_output_embeddings().register_forward_hook(
        lambda module, given, output: seen.append(len(output))
    )
    plan: Any = type("P", (), {})()
    plan.tokens, plan.limits, plan.config = plan, plan, plan
    plan.rows, plan.vocabulary, plan.micro_tokens = rows, 32, 64
    chosen = np.array([0])
    (batch,) = probes._passes(plan, chosen, probes._kept(plan))
    base = probes._log_probabilities(model, batch, whole=False)
    assert seen == [8, 2]
    whole = model(input_ids=torch.tensor([ids])).logits[0, 1:11].log_softmax(dim=-1)
    assert torch.allclose(base, whole, atol=1e-6)
    none: Any = None
    probe = probes.Probes(plan, none, False, none, (), chosen, chosen, (base + 1,), none)
    assert probe._divergence(model) == pytest.approx(-1.0, abs=1e-6)


def test_a_run_that_ends_early_says_why_and_keeps_its_choice(tmp_path: Path):
    lines: list[str] = []
    run = trainer.train(
        config(
            tokens=write_tokens(tmp_path / "tokens", reversed_pairs(16)),
            model=write_model(tmp_path / "base"),
            out=str(tmp_path / "tuned"),
            num_train_epochs=6,
            batch_size=4,
            learning_rate=0.9,
            max_grad_norm=0.0,
            residual_dropout=0.0,
            choose="loss",
            stop_on="loss",
            patience=1,
            prompts=0,
        ),
        lines.append,
    )
    last = run.table[-1].epoch
    assert last < 6 and run.epoch < last
    assert f"training ends after epoch {last} of 6: loss has not improved for 1 epoch" in lines
