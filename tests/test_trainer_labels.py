"""Held-out rows are classified after each epoch, and macro-F1 may choose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import trainer
from curate.base.errors import CurateError
from tests.checkpoint_toys import STOP, write_base
from tests.label_toys import CLASSES, token_rows, write_labelled
from tests.trainer_toys import ASK, START, silent, write_model
from trainer import TrainConfig
from trainer.evaluation import choosing
from trainer.result import Epoch, Evaluation, Probe

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_base(tmp_path_factory.mktemp("labels") / "base")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_labelled(tmp_path_factory.mktemp("labels") / "tokens")


def run(tokens: str, model: str, out: Path, log: Any = silent, **fields: Any) -> Any:
    settings: dict[str, Any] = {
        "method": "lora",
        "learning_rate": 0.03,
        "batch_size": 8,
        "num_train_epochs": 3,
        "held_out": 0.25,
        "prompts": 0,
        "choose": "macro_f1",
        "labels": "auto",
        "proof": False,
    }
    given = {**settings, "tokens": tokens, "model": model, "out": str(out), **fields}
    return trainer.train(TrainConfig(**given), log)


def refused(tokens: str, model: str, out: Path, **fields: Any) -> str:
    with pytest.raises(CurateError) as error:
        run(tokens, model, out, **fields)
    assert not out.exists()
    return str(error.value)


def test_macro_f1_of_each_epoch_is_in_the_table_and_chooses(
    tokens: str, base: str, tmp_path: Path
) -> None:
    lines: list[str] = []
    result = run(tokens, base, tmp_path / "run", lines.append)
    found = [line.probe.macro_f1 for line in result.table]
    assert all(value is not None for value in found)
    assert found[0] < 0.5 < max(found[1:]) == result.table[result.epoch].probe.macro_f1
    assert result.why.startswith(f"best macro-F1 of labels: {max(found[1:]):.4f} at epoch")
    assert any("macro_f1  label_accuracy" in line for line in lines)
    assert any("held-out rows of 3 classes are classified after each epoch" in x for x in lines)
    noted = [json.loads(x) for x in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["macro_f1"] for line in noted if line.get("eval")] == found


def test_a_stopped_run_goes_on_to_the_same_table(
    tokens: str, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tokens, base, tmp_path / "whole")
    seen = 0

    def interrupt(line: str) -> None:
        nonlocal seen
        seen += line.startswith("epoch 2/3:")
        if seen:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tokens, base, tmp_path / "run", interrupt)
    with pytest.raises(CurateError, match="classes"):
        names = tmp_path / "more.txt"
        names.write_text("\n".join([*CLASSES, "w11"]), encoding="utf-8")
        run(tokens, base, tmp_path / "run", resume=True, labels=str(names))
    again = run(tokens, base, tmp_path / "run", resume=True)
    assert (again.table, again.epoch) == (whole.table, whole.epoch)


def test_classes_of_a_file_that_no_held_out_row_has_are_said(
    tokens: str, base: str, tmp_path: Path
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join([*CLASSES, "w11"]), encoding="utf-8")
    lines: list[str] = []
    run(tokens, base, tmp_path / "run", lines.append, labels=str(names), num_train_epochs=1)
    assert "labels: no held-out row has 'w11', in no macro-F1" in lines


def test_answers_that_are_no_labels_are_refused_before_step_1(base: str, tmp_path: Path) -> None:
    free = [
        (f"{n:016x}", [START, 12, ASK, 4 + n, 5 + n, STOP], [-100] * 3 + [4 + n, 5 + n, STOP])
        for n in range(24)
    ]
    tokens = write_labelled(tmp_path / "free", rows=free)
    assert "24 rows have 24 different labels" in refused(tokens, base, tmp_path / "out")
    same = [(name, [*ids[:-2], 7, STOP], [-100] * 3 + [7, STOP]) for name, ids, _ in free]
    same = [
        (name, [START, 4 + n, ASK, 7, STOP], labels) for n, (name, _, labels) in enumerate(same)
    ]
    tokens = write_labelled(tmp_path / "same", rows=same)
    assert "names only 'w7'" in refused(tokens, base, tmp_path / "out")


def test_classes_that_no_row_has_are_refused_before_step_1(
    tokens: str, base: str, tmp_path: Path
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("w11\nw12\n", encoding="utf-8")
    message = refused(tokens, base, tmp_path / "out", labels=str(names))
    assert "no row has one of these classes as its answer; rows have 'w7', 'w7 w6', 'w9'" in message
    assert "cannot be read" in refused(tokens, base, tmp_path / "out", labels="none.txt")
    names.write_text(json.dumps({"0": "w7", "1": "w9"}), encoding="utf-8")
    assert "is a map" in refused(tokens, base, tmp_path / "out", labels=str(names))


def test_held_out_rows_with_other_answers_are_counted(base: str, tmp_path: Path) -> None:
    other = [
        (f"{n:016x}", [START, n - 90, ASK, 13, STOP], [-100] * 3 + [13, STOP])
        for n in range(100, 110)
    ]
    tokens = write_labelled(tmp_path / "tokens", rows=[*token_rows(48), *other])
    names = tmp_path / "names.txt"
    names.write_text("\n".join(CLASSES), encoding="utf-8")
    lines: list[str] = []
    run(tokens, base, tmp_path / "run", lines.append, labels=str(names), num_train_epochs=1)
    [line] = [line for line in lines if "left out" in line]
    assert "other_label" in line and "label 'w13' is none of the classes" in line


def test_a_model_without_a_tokenizer_is_refused(tokens: str, tmp_path: Path) -> None:
    model = write_model(tmp_path / "m")
    assert "has no tokenizer to read answers with" in refused(tokens, model, tmp_path / "out")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"choose": "macro_f1"}, "labels is None; name classes in labels, or auto"),
        ({"stop_on": "macro_f1"}, "labels is None; name classes in labels, or auto"),
        ({"labels": "auto", "held_out": 0.0}, "set held_out above 0"),
        ({"labels": "auto", "objective": "reward"}, "no meaning for a reward model"),
    ],
)
def test_settings_that_do_not_go_with_labels(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(CurateError, match=words):
        TrainConfig(**{"tokens": "t", "model": "m", "out": "o", **fields})


def test_of_equal_macro_f1_the_lower_loss_decides() -> None:
    table = [
        Epoch(number, 10 * number, None, Evaluation(loss, loss, 4, 12), Probe(macro_f1=macro_f1))
        for number, (loss, macro_f1) in enumerate([(3.0, 0.2), (2.0, 0.5), (1.0, 0.9), (0.5, 0.9)])
    ]
    config = TrainConfig(tokens="t", model="m", out="o", choose="macro_f1", labels="auto")
    chosen, why = choosing.choose(table, config)
    assert chosen.epoch == 3
    assert why == "best macro-F1 of labels: 0.9000 at epoch 3 of 3 (before training 0.2000)"
    stops = TrainConfig(
        tokens="t", model="m", out="o", labels="auto", stop_on="macro_f1", patience=1
    )
    assert choosing.ended(table, stops) is not None
    assert choosing.ended(table[:3], stops) is None
