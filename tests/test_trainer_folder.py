"""The output folder: what a run may replace, what it never touches, and who may write to it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import trainer
from curate.base.errors import CurateError
from curate.base.folder import locked
from tests.trainer_toys import reversed_pairs, silent, write_model, write_tokens
from trainer import TrainConfig
from trainer.checkpoints import place

pytest.importorskip("torch")

OURS = '{"writer": "curate train", "status": "done"}'


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("sources")
    return {
        "tokens": write_tokens(folder / "tokens", reversed_pairs(8)),
        "model": write_model(folder / "base"),
    }


def configure(sources: dict[str, str], out: Path | str, **fields: Any) -> TrainConfig:
    settings = {"num_train_epochs": 1, "batch_size": 4, "prompts": 0, "choose": "loss"}
    return TrainConfig(**{**sources, **settings, "out": str(out), **fields})


def refused(sources: dict[str, str], out: Path | str, **fields: Any) -> str:
    with pytest.raises(CurateError) as error:
        trainer.train(configure(sources, out, **fields), silent)
    return str(error.value)


def planted(out: Path, *names: str) -> Path:
    """A folder whose `train.json` says that training wrote it, with files that it did not write."""
    out.mkdir()
    (out / "train.json").write_text(OURS)
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("years of work")
    return out


@pytest.mark.parametrize(
    "name",
    [
        "thesis.txt",
        "epochs/thesis.txt",
        "epochs/epoch-1/thesis.txt",
        "epochs/epoch-1-mine/model.safetensors",
        "state/step-2/notes.md",
        "src/main.py",
        "model.safetensors.bak",
        "adapter/state.json",
        ".hidden",
    ],
)
def test_a_strangers_train_json_opens_no_folder_with_other_files(
    name: str, sources: dict[str, str], tmp_path: Path
):
    out = planted(tmp_path / "out", "model.safetensors", name)
    said = refused(sources, out, force=True)
    assert f"holds {Path(name).parts[0]}" in said or f"holds {name}" in said
    assert "which no training run writes; move it away" in said
    assert (out / name).read_text() == "years of work"
    assert (out / "model.safetensors").read_text() == "years of work"


def test_a_folder_with_none_but_our_names_is_replaced(sources: dict[str, str], tmp_path: Path):
    names = ("model-00001-of-00002.safetensors", "epochs/epoch-7/config.json", "state/step-1/x")
    out = planted(tmp_path / "out", *names[:2], "tensorboard/events.out.tfevents.17.host.1")
    (out / "adapter").mkdir()
    (out / "epochs" / ".epoch-8.unfinished").mkdir()
    (out / ".samples.json.123.unfinished").write_text("half")
    done = trainer.train(configure(sources, out, force=True), silent)
    assert done.epoch == 1
    assert [path.name for path in (out / "epochs").iterdir()] == ["epoch-1"]
    assert sorted(path.name for path in out.iterdir()) == [
        *("config.json", "curves.svg", "epochs", "generation_config.json", "metrics.jsonl"),
        *("model.safetensors", "origin.json", "samples.json", "train.json"),
    ]


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", ["metrics.jsonl", "epochs", "state", "epochs/epoch-1"])
def test_nothing_is_removed_or_written_through_a_link(
    name: str, resume: bool, sources: dict[str, str], tmp_path: Path
):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "model.safetensors").write_text("years of work")
    out = planted(tmp_path / "out")
    (out / "train.json").write_text(OURS.replace("done", "running"))
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).symlink_to(victim if "." not in name else victim / "model.safetensors")
    said = refused(sources, out, force=not resume, resume=resume)
    assert f"holds {name}, which no training run writes" in said
    assert (victim / "model.safetensors").read_text() == "years of work"
    assert [path.name for path in victim.iterdir()] == ["model.safetensors"]


def test_a_train_json_that_is_a_link_opens_nothing(sources: dict[str, str], tmp_path: Path):
    other = planted(tmp_path / "other")
    out = tmp_path / "out"
    out.mkdir()
    (out / "train.json").symlink_to(other / "train.json")
    assert "no training run wrote" in refused(sources, out, force=True)


@pytest.mark.parametrize("content", ["[" * 100_000, "{}", '"curate train"', "\x00"])
def test_a_train_json_that_says_nothing_of_us_opens_nothing(
    content: str, sources: dict[str, str], tmp_path: Path
):
    out = planted(tmp_path / "out")
    (out / "train.json").write_text(content)
    assert "no training run wrote" in refused(sources, out, force=True)


def test_a_resumed_run_leaves_a_strangers_files_where_they_are(
    sources: dict[str, str], tmp_path: Path
):
    out = planted(tmp_path / "out", "notes.txt", "epochs/epoch-1-mine/config.json")
    (out / "train.json").write_text(OURS.replace("done", "running"))
    # Half of a model that was being put in place when the run was stopped is made anew.
    (out / "model.safetensors").write_text("half")
    trainer.train(configure(sources, out, resume=True), silent)
    assert (out / "notes.txt").read_text() == "years of work"
    assert (out / "epochs" / "epoch-1-mine" / "config.json").read_text() == "years of work"
    assert (out / "model.safetensors").stat().st_size > 1000


def test_a_resumed_run_is_refused_where_a_checkpoint_holds_a_strangers_file(
    sources: dict[str, str], tmp_path: Path
):
    out = planted(tmp_path / "out", "epochs/epoch-1/notes.txt")
    (out / "train.json").write_text(OURS.replace("done", "running"))
    assert "holds epochs/epoch-1/notes.txt" in refused(sources, out, resume=True)


def test_out_that_is_a_link_empty_or_the_current_folder_is_refused_before_the_model_is_read(
    sources: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    nowhere = {**sources, "model": str(tmp_path / "nowhere")}
    (tmp_path / "real").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "other")
    monkeypatch.chdir(tmp_path / "real")
    for out, said in (
        (tmp_path / "link", "is a link; name the folder itself"),
        ("", "out is empty"),
        (".", "holds the current folder"),
        (tmp_path, "holds the current folder"),
    ):
        assert said in refused(nowhere, out)
    assert list((tmp_path / "real").iterdir()) == []


def test_two_runs_into_one_folder_one_has_it_and_the_other_says_so(
    sources: dict[str, str], tmp_path: Path
):
    """Two processes at once: whoever comes second is refused, and the first ends as if alone."""
    script = (
        "import sys, trainer\n"
        "from curate.base.errors import CurateError\n"
        "from trainer import TrainConfig\n"
        "fields = dict(one.split('=') for one in sys.argv[1:])\n"
        "try:\n"
        "    trainer.train(TrainConfig(**fields, num_train_epochs=1, prompts=0, choose='loss'))\n"
        "except CurateError as error:\n"
        "    sys.exit(str(error))\n"
    )
    words = [f"{name}={value}" for name, value in {**sources, "out": tmp_path / "out"}.items()]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes == [0, 1], errors
    # The second comes while the first trains, or finds its finished run.
    said = next(error for error in errors if "curate" in error or "out:" in error)
    assert "another run is writing to this folder" in said or "holds an earlier" in said
    assert json.loads((tmp_path / "out" / "train.json").read_text())["status"] == "done"


def test_a_folder_that_another_run_writes_to_is_refused_before_anything_is_read(
    sources: dict[str, str], tmp_path: Path
):
    with locked(tmp_path / "out"):
        said = refused({**sources, "model": str(tmp_path / "nowhere")}, tmp_path / "out")
    assert "another run is writing to this folder; wait for it, or choose another out" in said
    assert not (tmp_path / "out").exists()


def test_only_the_first_of_several_processes_claims_the_folder(tmp_path: Path):
    config = configure({"tokens": "t", "model": "m"}, tmp_path / "out")
    with (
        place.claimed(config, first=True),
        place.claimed(config, first=False),
        pytest.raises(CurateError, match="another run is writing"),
        place.claimed(config, first=True),
    ):
        pass
    with place.claimed(config, first=True):
        pass


class TerminatedError(BaseException):
    """What a signal that ends the program raises in the main thread."""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, TerminatedError])
def test_a_run_that_is_interrupted_can_be_resumed_and_lets_go_of_its_folder(
    kind: type[BaseException],
    sources: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    def interrupted(*given: Any) -> float:
        raise kind

    config = configure(sources, tmp_path / "out", save_steps=1)
    with monkeypatch.context() as patch:
        patch.setattr("trainer.loop.learning_rate", interrupted)
        with pytest.raises(kind):
            trainer.train(config, silent)
    assert json.loads((tmp_path / "out" / "train.json").read_text())["status"] == "running"
    assert not list(tmp_path.glob(".out*"))
    trainer.train(configure(sources, tmp_path / "out", save_steps=1, resume=True), silent)
    assert json.loads((tmp_path / "out" / "train.json").read_text())["status"] == "done"
