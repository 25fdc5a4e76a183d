"""A run that is stopped anywhere and resumed ends in the bits of one that was not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from tests.resume_toys import StoppedError, outcome, stop_at, train_until, write_sources
from tests.trainer_toys import reversed_pairs, sha256, silent, write_model, write_tokens
from trainer import TrainConfig, dry_run, train

pytest.importorskip("torch")

FIELDS: dict[str, Any] = {
    "num_train_epochs": 3,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "held_out": 0.1,
    "prompts": 1,
    "save_total_limit": 1,
    "residual_dropout": 0.1,
    "save_steps": 2,
}
STEPS_PER_EPOCH = 5  # 40 rows less 4 held out, 8 a step


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_sources(tmp_path_factory.mktemp("sources"))


def settings(method: str, sources: dict[str, str] | None = None) -> dict[str, Any]:
    if method == "full":
        return {**FIELDS, "preset": "alpaca"}
    if method == "mixed":
        # Cut into many passes, weighted, with general text, and packed, as all are.
        assert sources is not None
        mixed = {"micro_tokens": 14, "prompt_weight": 0.1, "replay": sources["tokens"]}
        return {**FIELDS, "preset": "alpaca", **mixed}
    if method == "oft":
        return {**FIELDS, "preset": "lora", "method": "oft", "rotation_block": 4}
    return {**FIELDS, "preset": "lora", "method": "lora", "lora_dropout": 0.1}


@pytest.fixture(scope="module")
def whole(
    sources: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The folder of a run that was never stopped."""
    done: dict[str, Path] = {}

    def of(method: str) -> Path:
        if method not in done:
            out = tmp_path_factory.mktemp("whole") / method
            train(TrainConfig(**sources, out=str(out), **settings(method, sources)), silent)
            done[method] = out
        return done[method]

    return of


@pytest.mark.parametrize(
    ("method", "place", "call"),
    [
        ("full", "trainer.loop.learning_rate", 0),
        ("full", "trainer.loop.learning_rate", 3),
        ("full", "trainer.loop.learning_rate", STEPS_PER_EPOCH),
        ("full", "trainer.loop.learning_rate", 3 * STEPS_PER_EPOCH - 1),
        ("full", "trainer.checkpoints.checkpoint.save", 1),
        ("full", "trainer.checkpoints.resume.save", 4),
        ("full", "trainer.checkpoints.checkpoint.prune", 1),
        ("full", "trainer.checkpoints.checkpoint.publish", 0),
        ("full", "trainer.checkpoints.finish.write_results", 0),
        ("mixed", "trainer.loop.learning_rate", 8),
        ("oft", "trainer.loop.learning_rate", 8),
        ("lora", "trainer.loop.learning_rate", 7),
        ("lora", "trainer.checkpoints.checkpoint.save", 1),
        ("lora", "trainer.checkpoints.checkpoint.publish", 0),
    ],
)
def test_a_run_stopped_anywhere_and_resumed_ends_in_the_same_bits(
    sources: dict[str, str],
    whole: Callable[[str], Path],
    tmp_path: Path,
    method: str,
    place: str,
    call: int,
) -> None:
    fields = {**sources, "out": str(tmp_path / "out"), **settings(method, sources)}
    train_until(place, call, fields)
    train(TrainConfig(**fields, resume=True), silent)
    assert outcome(tmp_path / "out") == outcome(whole(method))


def test_a_run_stopped_twice_ends_in_the_same_bits(
    sources: dict[str, str],
    whole: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    fields = {**sources, "out": str(tmp_path / "out"), **settings("full")}
    for call, resume in ((6, False), (3, True)):
        train_until("trainer.loop.learning_rate", call, {**fields, "resume": resume})
    train(TrainConfig(**fields, resume=True), silent)
    assert outcome(tmp_path / "out") == outcome(whole("full"))


@pytest.fixture(scope="module")
def stopped_once(sources: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was stopped in step 8, its last state that of step 6."""
    out = tmp_path_factory.mktemp("stopped") / "out"
    fields = {**sources, "out": str(out), **settings("full")}
    train_until("trainer.loop.learning_rate", 7, fields)
    return out


@pytest.fixture
def stopped(sources: dict[str, str], stopped_once: Path, tmp_path: Path) -> dict[str, Any]:
    """The settings of that run, in a copy of its folder."""
    shutil.copytree(stopped_once, tmp_path / "out")
    return {**sources, "out": str(tmp_path / "out"), **settings("full")}


def test_a_stopped_run_is_neither_taken_for_done_nor_lost(stopped: dict[str, Any]) -> None:
    with pytest.raises(CurateError, match="did not end; --resume goes on with it"):
        train(TrainConfig(**stopped), silent)
    assert (Path(stopped["out"]) / "state").is_dir()


def test_another_run_cannot_be_resumed_and_the_difference_is_named(
    stopped: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(CurateError, match=r"learning_rate was 0.003, now 0.001.*--force"):
        train(TrainConfig(**{**stopped, "learning_rate": 1e-3}, resume=True), silent)
    other = write_tokens(tmp_path / "other", reversed_pairs(40, first=3))
    with pytest.raises(CurateError, match="the rows to train on are others"):
        train(TrainConfig(**{**stopped, "tokens": other}, resume=True), silent)
    base = write_model(tmp_path / "base", seed=1)
    with pytest.raises(CurateError, match="the weights of the base model are others"):
        train(TrainConfig(**{**stopped, "model": base}, resume=True), silent)


def test_settings_that_changed_are_refused_before_anything_is_said(
    stopped: dict[str, Any],
) -> None:
    lines: list[str] = []
    with pytest.raises(CurateError, match="learning_rate was"):
        train(TrainConfig(**{**stopped, "learning_rate": 1e-3}, resume=True), lines.append)
    assert [line.split(",")[0] for line in lines] == ["loading the libraries"]


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["optimizer.safetensors", "state.json"])
def test_a_damaged_state_gives_way_to_the_one_before_it_and_the_bits_are_the_same(
    stopped: dict[str, Any], whole: Callable[[str], Path], name: str
) -> None:
    out = Path(stopped["out"])
    assert sorted(path.name for path in (out / "state").iterdir()) == ["step-5", "step-6"]
    damage(out / "state" / "step-6" / name)
    lines: list[str] = []
    train(TrainConfig(**stopped, resume=True), lines.append)
    assert any("step-6: this state is damaged, so an earlier one" in line for line in lines)
    assert "resumed after step 5 of 15" in lines
    assert outcome(out) == outcome(whole("full"))


@pytest.mark.parametrize(
    "text", ["[]", '{"files": {}}', '{"of": {}, "files": {}, "progress": {}}', "{", "\\xff"]
)
def test_a_state_that_was_written_over_is_a_damaged_one(
    stopped: dict[str, Any], text: str, tmp_path: Path
) -> None:
    out = Path(stopped["out"])
    for file in out.glob("state/*/state.json"):
        file.write_text(text)
    with pytest.raises(CurateError, match=r"damaged, and there is no earlier one.*--force"):
        train(TrainConfig(**stopped, resume=True), silent)


def test_a_state_of_an_earlier_version_names_the_settings_that_have_other_names_now(
    stopped: dict[str, Any],
) -> None:
    for file in Path(stopped["out"]).glob("state/*/state.json"):
        content = json.loads(file.read_text())
        content["of"]["config"]["lr"] = content["of"]["config"].pop("learning_rate")
        for line in content["progress"]["table"]:
            line["probe"]["likeness"] = line["probe"].pop("token_f1")
        file.write_text(json.dumps(content))
    said = r"earlier version.*'lr' is now 'learning_rate'.*start anew with --force"
    with pytest.raises(CurateError, match=said):
        train(TrainConfig(**stopped, resume=True), silent)


@pytest.mark.parametrize("place", ["step", "learning_rate"])
def test_a_state_whose_own_words_were_changed_is_damaged(
    stopped: dict[str, Any], whole: Callable[[str], Path], place: str
) -> None:
    out = Path(stopped["out"])
    file = out / "state" / "step-6" / "state.json"
    state = json.loads(file.read_text())
    part = state["progress"] if place == "step" else state["of"]["config"]
    part[place] = part[place] * 2
    file.write_text(json.dumps(state))
    lines: list[str] = []
    train(TrainConfig(**stopped, resume=True), lines.append)
    assert any("step-6: this state is damaged" in line for line in lines)
    assert outcome(out) == outcome(whole("full"))


def test_a_state_of_another_step_and_copies_of_epochs_are_no_part_of_the_run(
    stopped: dict[str, Any], whole: Callable[[str], Path]
) -> None:
    """An older state has a count of tokens, which nothing read, and no hash of itself; a user's
    copies lie beside.
    """
    out = Path(stopped["out"])
    changed = json.loads((out / "state" / "step-6" / "state.json").read_text())
    changed["progress"]["step"] = 4
    (out / "state" / "step-6" / "state.json").write_text(json.dumps(changed))
    older = json.loads((out / "state" / "step-5" / "state.json").read_text())
    older["progress"]["tokens"] = 280
    del older["sha256"]
    (out / "state" / "step-5" / "state.json").write_text(json.dumps(older))
    (out / "epochs" / "epoch-1-mine").mkdir()
    (out / "state" / "step-mine").mkdir()
    with (out / "metrics.jsonl").open("ab") as file:
        file.write(b'[]\n{"step": 7}\n{"loss": 1}\n\xff\xfe\n')
    train(TrainConfig(**stopped, resume=True), silent)
    (out / "epochs" / "epoch-1-mine").rmdir()
    assert outcome(out) == outcome(whole("full"))


def test_states_that_are_all_damaged_are_an_error_and_the_checkpoints_stay(
    stopped: dict[str, Any],
) -> None:
    out = Path(stopped["out"])
    for file in out.glob("state/*/weights.safetensors"):
        file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(CurateError, match=r"damaged, and there is no earlier one.*--force"):
        train(TrainConfig(**stopped, resume=True), silent)
    assert (out / "epochs" / "epoch-1" / "model.safetensors").is_file()


def test_a_kill_during_a_save_leaves_the_state_before_it(
    sources: dict[str, str],
    whole: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = {**sources, "out": str(tmp_path / "out"), **settings("full")}
    # Each state is two files of tensors, then what it says: stop before the third one's second.
    with monkeypatch.context() as patch:
        stop_at(patch, "trainer.checkpoints.resume.sha256", 5)
        # A kill runs no clean-up.
        patch.setattr("shutil.rmtree", lambda path, ignore_errors=False: None)
        with pytest.raises(StoppedError):
            train(TrainConfig(**fields), silent)
    states = sorted(path.name for path in (tmp_path / "out" / "state").iterdir())
    assert states == [".step-5.unfinished", "step-2", "step-4"]
    train(TrainConfig(**fields, resume=True), silent)
    assert outcome(tmp_path / "out") == outcome(whole("full"))


def test_a_kill_between_the_first_checkpoint_and_the_first_state_begins_anew(
    sources: dict[str, str],
    whole: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    fields = {**sources, "out": str(out), **settings("full"), "save_steps": 0}
    with monkeypatch.context() as patch:
        stop_at(patch, "trainer.checkpoints.resume.save", 0)
        with pytest.raises(StoppedError):
            train(TrainConfig(**fields), silent)
    assert (out / "epochs" / "epoch-1").is_dir() and not (out / "state").exists()
    train(TrainConfig(**fields, resume=True), silent)
    assert outcome(out)["weights"] == outcome(whole("full"))["weights"]


@pytest.mark.parametrize("which", ["shifted", "unseeded"])
def test_a_resume_that_is_not_exact_is_seen(
    stopped: dict[str, Any],
    whole: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    which: str,
) -> None:
    if which == "shifted":
        from trainer.data.mixing import Mixture

        real = Mixture.epoch
        monkeypatch.setattr(Mixture, "epoch", lambda self, epoch: real(self, epoch)[::-1])
    else:
        monkeypatch.setattr("trainer.loop.torch_seed", lambda seed: None)
    train(TrainConfig(**stopped, resume=True), silent)
    assert outcome(Path(stopped["out"]))["weights"] != outcome(whole("full"))["weights"]


def test_a_dry_run_of_a_stopped_run_says_what_is_left(stopped: dict[str, Any]) -> None:
    before = outcome_of_stopped(Path(stopped["out"]))
    lines: list[str] = []
    dry_run(TrainConfig(**stopped, resume=True), lines.append)
    assert "a stopped run goes on after step 6 of 15" in lines
    assert any("tokens in 9 steps" in line for line in lines)
    assert outcome_of_stopped(Path(stopped["out"])) == before
    with pytest.raises(CurateError, match="--resume goes on with it"):
        dry_run(TrainConfig(**stopped), silent)


def outcome_of_stopped(out: Path) -> dict[str, str]:
    return {str(path): sha256(path) for path in sorted(out.rglob("*")) if path.is_file()}


def test_a_finished_run_has_nothing_to_resume(whole: Callable[[str], Path], sources: Any) -> None:
    fields = {**sources, "out": str(whole("full")), **settings("full")}
    with pytest.raises(CurateError, match="is done; there is nothing to resume"):
        train(TrainConfig(**fields, resume=True), silent)


def test_resume_in_a_new_folder_is_a_run_from_the_start(
    sources: dict[str, str], whole: Callable[[str], Path], tmp_path: Path
) -> None:
    fields = {**sources, "out": str(tmp_path / "out"), **settings("full")}
    train(TrainConfig(**fields, resume=True), silent)
    assert outcome(tmp_path / "out") == outcome(whole("full"))


def test_resume_and_force_are_opposites(sources: dict[str, str]) -> None:
    with pytest.raises(CurateError, match="give one of them"):
        TrainConfig(**sources, out="x", resume=True, force=True)
