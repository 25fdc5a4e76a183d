from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import trainer
from curate.base.errors import CurateError
from tests.trainer_toys import (
    STOP,
    reversed_pairs,
    sha256,
    silent,
    write_model,
    write_tokenizer,
    write_tokens,
)
from trainer import TrainConfig, TrainResult

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")

TEMPLATE = "{% for message in messages %}{{ message.content }} {% endfor %}"
TEMPLATES = {
    "name": "toy",
    "origin": "test",
    "hash": "2",
    "source": TEMPLATE,
    "tool_use": "{{ 1 }}",
}
EPOCHS, BATCH = 6, 8


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("sources")
    model = write_model(folder / "base")
    write_tokenizer(folder / "base")
    tokens = write_tokens(folder / "tokens", reversed_pairs(40), template=TEMPLATES)
    return {"tokens": tokens, "model": model}


def configure(sources: dict[str, str], out: Path, **fields: Any) -> TrainConfig:
    settings = {
        "num_train_epochs": EPOCHS,
        "batch_size": BATCH,
        "learning_rate": 0.02,
        "held_out": 0.1,
        "save_total_limit": 2,
        "choose": "loss",
    }
    return TrainConfig(**{**sources, **settings, "out": str(out), **fields})


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return []


@pytest.fixture(scope="module")
def done(
    sources: dict[str, str], tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> TrainResult:
    out = tmp_path_factory.mktemp("runs") / "tuned"
    return trainer.train(configure(sources, out, residual_dropout=0.1), lines.append)


def read_metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_held_out_loss_falls(done: TrainResult):
    assert done.before is not None and done.after is not None
    assert done.after.loss < 0.8 * done.before.loss


def test_the_result_loads_as_a_model_and_has_the_loss_of_the_chosen_epoch(done: TrainResult):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(done.out)
    assert model.config.model_type == "llama"
    chosen = next(line for line in done.table if line.epoch == done.epoch)
    assert chosen.held_out is not None and done.after is not None
    assert done.after.loss == pytest.approx(chosen.held_out.loss, abs=1e-6)


def test_the_top_of_the_folder_is_the_chosen_epoch_byte_for_byte(done: TrainResult):
    kept = done.out / "epochs" / f"epoch-{done.epoch}"
    assert sha256(done.out / "model.safetensors") == sha256(kept / "model.safetensors")


def test_each_checkpoint_names_the_rows_it_was_trained_on(
    done: TrainResult, sources: dict[str, str]
):
    manifest = sha256(Path(sources["tokens"]) / "manifest.json")
    for folder in (done.out, *(done.out / "epochs").iterdir()):
        assert (
            json.loads((folder / "origin.json").read_text())["tokens_manifest_sha256"] == manifest
        )


def test_the_chosen_epoch_has_the_lowest_held_out_loss(done: TrainResult):
    losses = {line.epoch: line.held_out.loss for line in done.table if line.held_out}
    assert losses[done.epoch] == min(loss for epoch, loss in losses.items() if epoch > 0)
    assert done.why.startswith("lowest held-out loss per token")


def test_the_newest_epochs_and_the_chosen_one_are_kept(done: TrainResult):
    kept = sorted(folder.name for folder in (done.out / "epochs").iterdir())
    assert kept == sorted({f"epoch-{epoch}" for epoch in (EPOCHS - 1, EPOCHS, done.epoch)})


def test_nothing_half_written_is_left(done: TrainResult):
    assert [path.name for path in done.out.rglob("*.unfinished")] == []


def test_each_step_is_one_line_of_metrics(done: TrainResult):
    steps = [line for line in read_metrics(done.out) if "eval" not in line]
    assert [line["step"] for line in steps] == list(range(1, EPOCHS * 5 + 1))
    assert [line["epoch"] for line in steps] == [epoch for epoch in range(1, 7) for _ in range(5)]
    names = {
        "step",
        "epoch",
        "loss",
        "learning_rate",
        "grad_norm",
        "tokens",
        "trained_tokens",
        "seconds",
    }
    assert all(set(line) == names for line in steps)
    # 36 rows of 7 tokens, 3 of them trained, in steps of 8: the last step has 4 rows.
    assert [line["tokens"] for line in steps[:5]] == [56, 56, 56, 56, 28]
    assert [line["trained_tokens"] for line in steps[:5]] == [24, 24, 24, 24, 12]


def test_evaluations_are_marked_and_agree_with_the_table(done: TrainResult):
    held = [line for line in read_metrics(done.out) if line.get("eval") is True]
    assert [line["epoch"] for line in held] == list(range(EPOCHS + 1))
    assert [line["loss"] for line in held] == [
        line.held_out.loss for line in done.table if line.held_out
    ]


def test_the_run_is_described_with_its_config_and_the_hash_of_its_rows(
    done: TrainResult, sources: dict[str, str]
):
    described = json.loads((done.out / "train.json").read_text())
    assert described["status"] == "done"
    assert described["config"]["learning_rate"] == 0.02
    assert described["chosen_epoch"] == done.epoch
    manifest = Path(sources["tokens"]) / "manifest.json"
    assert described["tokens"]["manifest_sha256"] == sha256(manifest)
    assert described["tokens"]["template"] == {"name": "toy", "origin": "test", "hash": "2"}
    assert len(described["rows"]["held_out"]) == 4
    assert {"torch", "transformers", "peft"} <= set(described["versions"])


def test_the_tokenizer_lies_beside_the_model_with_the_template_it_was_trained_on(
    done: TrainResult,
):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(done.out)
    assert tokenizer.chat_template == {"default": TEMPLATE, "tool_use": "{{ 1 }}"}
    assert tokenizer.convert_tokens_to_ids("w9") == 9


def test_generation_from_the_saved_model_ends_at_the_trained_stop(done: TrainResult):
    from transformers import GenerationConfig

    stops = GenerationConfig.from_pretrained(done.out).eos_token_id
    assert STOP in (stops if isinstance(stops, list) else [stops])


def test_samples_show_the_same_prompts_before_and_after(done: TrainResult):
    written = json.loads((done.out / "samples.json").read_text())
    assert [sample["id"] for sample in written] == [sample.id for sample in done.samples]
    assert len(done.samples) == 3
    for sample in done.samples:
        assert sample.prompt_ids[0] == 1 and sample.prompt_ids[-1] == 3
        assert sample.prompt is not None and sample.prompt.startswith("<s> w")
        assert sample.expected is not None and "</s>" not in sample.expected
    assert any(sample.before != sample.after for sample in done.samples)
    assert all(sample.after.stopped for sample in done.samples)


def test_the_log_names_preset_rows_steps_speed_table_and_choice(
    done: TrainResult, lines: list[str]
):
    text = "\n".join(lines)
    assert lines[0].startswith("loading the libraries, the rows of ")
    assert lines[1].startswith("preset lima: about 1,000 chosen rows")
    assert "residual_dropout" not in lines[1]  # it was set to 0
    loading = [place for place, line in enumerate(lines) if line.startswith("loading model ")]
    assert len(loading) == 1 and "embeddings" in lines[loading[0] + 2]
    assert "other than the preset: num_train_epochs 6 (not 15), batch_size 8 (not 32)" in text
    assert "36 rows to train (252 tokens, 108 of them trained), 4 held out" in text
    assert "30 steps: 6 epochs of 5, 8 examples a step" in text
    assert "tokens/s" in text
    assert "before training: held out" in text
    assert lines[-1] == f"chosen: {done.why}"
    assert sum(line.endswith("  chosen") for line in lines) == 1


def test_the_picture_holds_every_curve_and_nothing_from_the_network(done: TrainResult):
    picture = (done.out / "curves.svg").read_text()
    for name in ("training", "held out", "chosen"):
        assert name in picture
    assert "<script" not in picture
    assert "kozea" not in picture


def test_two_runs_give_the_same_bits(done: TrainResult, sources: dict[str, str], tmp_path: Path):
    again = trainer.train(configure(sources, tmp_path / "b", residual_dropout=0.1), silent)
    for name in ("model.safetensors", "config.json", "samples.json", "curves.svg"):
        assert sha256(again.out / name) == sha256(done.out / name)
    assert again.table == done.table


def test_a_run_leaves_the_callers_random_numbers_and_settings_alone(
    sources: dict[str, str], tmp_path: Path
):
    import torch

    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    trainer.train(configure(sources, tmp_path / "c", num_train_epochs=1), silent)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not torch.are_deterministic_algorithms_enabled()


def test_another_seed_gives_another_model(
    done: TrainResult, sources: dict[str, str], tmp_path: Path
):
    other = trainer.train(configure(sources, tmp_path / "d", residual_dropout=0.1, seed=1), silent)
    assert sha256(other.out / "model.safetensors") != sha256(done.out / "model.safetensors")


def test_the_cut_into_batches_does_not_change_what_is_learnt(
    sources: dict[str, str], tmp_path: Path
):
    runs = [
        trainer.train(
            configure(
                sources,
                tmp_path / str(size),
                num_train_epochs=2,
                micro_tokens=size,
                residual_dropout=0.0,
                learning_rate=1e-3,
            ),
            silent,
        )
        for size in (7, 4096)
    ]
    losses = [
        [line["loss"] for line in read_metrics(run.out) if "eval" not in line] for run in runs
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_the_last_epoch_can_be_asked_for(sources: dict[str, str], tmp_path: Path):
    run = trainer.train(
        configure(sources, tmp_path / "e", num_train_epochs=2, choose="last"), silent
    )
    assert (run.epoch, run.why) == (2, "last epoch")


def test_without_held_out_rows_the_last_epoch_is_taken_and_the_reason_said(
    sources: dict[str, str], tmp_path: Path
):
    run = trainer.train(
        configure(sources, tmp_path / "f", num_train_epochs=1, held_out=0.0), silent
    )
    assert run.before is None and run.after is None and run.samples == ()
    assert run.why == "last epoch; there are no held-out rows to compare epochs by"
    assert (tmp_path / "f" / "curves.svg").is_file()


def test_a_model_without_a_tokenizer_gives_samples_as_ids(tmp_path: Path, sources: dict[str, str]):
    bare = write_model(tmp_path / "bare")
    run = trainer.train(
        configure({**sources, "model": bare}, tmp_path / "g", num_train_epochs=1, prompts=1), silent
    )
    (sample,) = json.loads((run.out / "samples.json").read_text())
    assert sample["prompt"] is None
    assert sample["prompt_ids"] == list(run.samples[0].prompt_ids)
    assert not (run.out / "tokenizer.json").exists()


def test_a_dry_run_checks_all_says_how_long_it_takes_and_writes_nothing(
    sources: dict[str, str], tmp_path: Path
):
    said: list[str] = []
    seconds = trainer.dry_run(configure(sources, tmp_path / "out"), said.append)
    assert seconds > 0 and not (tmp_path / "out").exists()
    assert any("tokens/s" in line and "about" in line for line in said)
    with pytest.raises(CurateError, match="no such"):
        trainer.dry_run(configure({**sources, "tokens": "nowhere"}, tmp_path / "out"), silent)


def test_a_dry_run_sees_the_loss_of_the_first_step(
    sources: dict[str, str], tmp_path: Path, done: TrainResult
):
    said: list[str] = []
    trainer.dry_run(configure(sources, tmp_path / "out", batch_size=10**6), said.append)
    trainer.train(
        configure(sources, tmp_path / "out", batch_size=10**6, num_train_epochs=1), silent
    )
    first = next(line for line in read_metrics(tmp_path / "out") if not line.get("eval"))
    assert any(f"first step: loss {first['loss']:.4f}" in line for line in said)
