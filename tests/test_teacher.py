"""`curate teacher`: what a teacher would say at every target, written to a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import curate
import trainer
from curate.base.errors import CurateError
from curate.base.folder import write_manifest
from curate.cli import main
from tests.trainer_toys import (
    DOCUMENTS,
    VOCABULARY,
    reversed_pairs,
    sha256,
    silent,
    write_model,
    write_tokenizer,
    write_tokens,
)
from trainer import TrainConfig, teaching
from trainer.data.teacher import MAKER, line_type, open_logits
from trainer.data.tokens import load_tokens

torch = pytest.importorskip("torch")

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")

ROWS = [(f"{number:016x}", *document) for number, document in enumerate(DOCUMENTS)]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("teacher")
    return {
        "tokens": write_tokens(home / "tokens", ROWS),
        "teacher": write_model(home / "teacher", hidden_size=32, seed=7),
    }


def teach(places: dict[str, str], out: Path, **how: Any) -> Path:
    given = {"top": 5, "log": silent, **how}
    return teaching.teach(places["tokens"], places["teacher"], str(out), **given).out


def by_hand(places: dict[str, str], temperature: float = 1.0) -> Any:
    """The teacher's log probabilities at each target, row by row: fp32 [13, words]."""
    from transformers import AutoModelForCausalLM

    net = AutoModelForCausalLM.from_pretrained(places["teacher"]).eval()
    found = []
    for ids, labels in DOCUMENTS:
        at = torch.tensor(labels[1:]) != -100
        with torch.no_grad():
            logits = net(input_ids=torch.tensor([ids])).logits[0, :-1][at]
        found.append((logits / temperature).log_softmax(-1))
    return torch.cat(found)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("bytes_of_a_part", [1, 120, 1 << 20])
def test_each_target_has_the_likeliest_words_and_all_others_together(
    places: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    temperature: float,
    bytes_of_a_part: int,
):
    monkeypatch.setattr(teaching, "PART_BYTES", bytes_of_a_part)
    out = teach(places, tmp_path / "logits", temperature=temperature)
    stored = open_logits(str(out), load_tokens(places["tokens"]))
    assert len(stored.starts) - 1 == {1: 4, 120: 3, 1 << 20: 1}[bytes_of_a_part]
    ids, log_probs = stored.read(np.arange(13))
    expected = by_hand(places, temperature)
    top = expected.topk(5, dim=-1)
    assert ids.tolist() == top.indices.tolist()
    assert np.allclose(log_probs[:, :5], top.values, atol=4e-3)  # 11 bits of numbers up to 8
    rest = (1 - top.values.exp().sum(-1)).log()
    assert np.allclose(log_probs[:, 5], rest, atol=4e-3)
    assert np.allclose(np.exp(log_probs).sum(axis=1), 1, atol=1e-6)
    picked = np.array([7, 0, 12, 7])
    assert stored.read(picked)[0].tolist() == ids[picked].tolist()


def test_all_words_leave_no_rest(places: dict[str, str], tmp_path: Path):
    out = teach(places, tmp_path / "logits", top=VOCABULARY)
    ids, log_probs = open_logits(str(out), load_tokens(places["tokens"])).read(np.arange(13))
    assert log_probs.shape == (13, VOCABULARY)
    assert [sorted(line) for line in ids.tolist()] == [[*range(VOCABULARY)]] * 13


def test_the_folder_says_whose_distributions_of_which_rows_it_holds(
    places: dict[str, str], tmp_path: Path
):
    lines: list[str] = []
    out = teach(places, tmp_path / "logits", log=lines.append)
    manifest = json.loads((out / "manifest.json").read_text())
    tokens = load_tokens(places["tokens"])
    assert manifest["maker"] == "curate teacher"
    assert (
        manifest["tokens"]["content_sha256"]["labels"]
        == (tokens.manifest["content_sha256"]["labels"])
    )
    assert (manifest["tokens"]["rows"], manifest["tokens"]["targets"]) == (4, 13)
    assert (manifest["top"], manifest["temperature"]) == (5, 1.0)
    assert manifest["dtype"] == {"computed": "float32", "stored": "float16"}
    assert manifest["parts"] == [{"file": "part-00000.npy", "rows": [0, 4], "targets": 13}]
    assert set(manifest["sha256"]) == {"part-00000.npy", "vocabulary.json"}
    assert lines[0] == (
        "13 targets of 4 rows, 5 of 32 words each: 0.0 MB in 1 file, 22 bytes a target"
    )


def test_a_target_takes_the_bytes_that_are_said():
    assert line_type(50, 49_152).itemsize == 50 * (2 + 2) + 2
    assert line_type(50, 151_936).itemsize == 50 * (4 + 2) + 2


def test_the_same_call_gives_the_same_bytes_and_takes_the_place_of_the_first(
    places: dict[str, str], tmp_path: Path
):
    one, two = teach(places, tmp_path / "one"), teach(places, tmp_path / "two")
    names = sorted(path.name for path in one.iterdir())
    assert names == ["manifest.json", "part-00000.npy", "vocabulary.json"]
    assert [sha256(one / name) for name in names] == [sha256(two / name) for name in names]
    lines: list[str] = []
    teach(places, tmp_path / "one", top=3, log=lines.append)
    assert "replaces the distributions of" in lines[0] and "top" in lines[0]


class StoppedError(BaseException):
    """Like a kill: nothing handles it."""


@pytest.mark.parametrize("harm", ["nothing", "a flipped byte", "half a file"])
def test_a_stopped_run_goes_on_after_its_last_whole_part_to_the_same_bytes(
    places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
):
    monkeypatch.setattr(teaching, "PART_BYTES", 1)
    whole = teach(places, tmp_path / "whole")
    asked = teaching.LoadedTeacher.part
    seen: list[int] = []

    def stops(self: Any, chosen: Any) -> Any:
        if len(seen) == 2:
            raise StoppedError
        seen.append(int(chosen[0]))
        return asked(self, chosen)

    with monkeypatch.context() as patch:
        patch.setattr(teaching.LoadedTeacher, "part", stops)
        with pytest.raises(StoppedError):
            teach(places, tmp_path / "logits")
    assert not (tmp_path / "logits").exists()
    part = tmp_path / ".logits.work" / "part-00001.npy"
    if harm == "a flipped byte":
        part.write_bytes(part.read_bytes()[:-1] + b"x")
    if harm == "half a file":
        part.write_bytes(part.read_bytes()[:-20])
    lines: list[str] = []
    out = teach(places, tmp_path / "logits", log=lines.append)
    there = 2 if harm == "nothing" else 1
    assert f"{there} of 4 parts are there from a run that was stopped" in lines
    names = sorted(path.name for path in whole.iterdir())
    assert sorted(path.name for path in out.iterdir()) == names
    assert [sha256(out / name) for name in names] == [sha256(whole / name) for name in names]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logits", "whole"]


def test_parts_of_another_run_are_not_taken(
    places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(teaching, "PART_BYTES", 1)
    real = teaching.write_manifest

    def stops(*given: Any, **named: Any) -> None:
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(teaching, "write_manifest", stops)
        with pytest.raises(StoppedError):
            teach(places, tmp_path / "logits")
    assert teaching.write_manifest is real
    lines: list[str] = []
    out = teach(places, tmp_path / "logits", temperature=2.0, log=lines.append)
    assert any("holds parts of another run, which are removed" in line for line in lines)
    assert not any("parts are there" in line for line in lines)
    other = teach(places, tmp_path / "other", temperature=2.0)
    assert sha256(out / "part-00002.npy") == sha256(other / "part-00002.npy")


def test_rows_without_a_target_take_no_line(places: dict[str, str], tmp_path: Path):
    rows = [("a" * 16, [1, 5, 6], [-100] * 3), *ROWS, ("b" * 16, [1, 5], [-100] * 2)]
    tokens = write_tokens(tmp_path / "tokens", rows)
    out = teach({**places, "tokens": tokens}, tmp_path / "logits")
    alone = teach(places, tmp_path / "alone")
    found = [np.load(each / "part-00000.npy") for each in (out, alone)]
    assert found[0]["ids"].tolist() == found[1]["ids"].tolist()


def test_the_command_line_and_python_write_the_same(
    places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["teacher", places["tokens"], "--model", places["teacher"], "--top", "5"]
    assert main([*words, "--out", str(tmp_path / "one")]) == 0
    said = capsys.readouterr().out
    assert "13 targets of 4 rows" in said and f"written to {tmp_path / 'one'}" in said
    curate.teacher(places["tokens"], model=places["teacher"], out=tmp_path / "two", top=5)
    assert sha256(tmp_path / "one" / "part-00000.npy") == sha256(
        tmp_path / "two" / "part-00000.npy"
    )


# What is refused


def taught(places: dict[str, str], out: Path, logits: Path, **fields: Any) -> None:
    given = {"tokens": places["tokens"], "model": places["teacher"], "teacher": str(logits)}
    settings = {"preset": "alpaca", "num_train_epochs": 1, "held_out": 0.0, "prompts": 0}
    trainer.train(TrainConfig(**{**given, **settings, **fields}, out=str(out)), silent)


def test_distributions_of_other_rows_are_refused(places: dict[str, str], tmp_path: Path):
    out = teach(places, tmp_path / "logits")
    other = write_tokens(tmp_path / "tokens", reversed_pairs(4))
    with pytest.raises(CurateError, match=r"holds distributions of other rows than those of"):
        taught({**places, "tokens": other}, tmp_path / "tuned", out)
    first = (ROWS[0][0], ROWS[0][1], [-100] * 5 + ROWS[0][2][5:])
    masked = write_tokens(tmp_path / "masked", [first, *ROWS[1:]])
    with pytest.raises(CurateError, match=r"of other rows .* \(ids or labels differ\)"):
        taught({**places, "tokens": masked}, tmp_path / "tuned", out)
    assert not (tmp_path / "tuned").exists()


def test_another_temperature_is_refused_as_the_rest_is_known_at_one_alone(
    places: dict[str, str], tmp_path: Path
):
    out = teach(places, tmp_path / "logits", temperature=2.0)
    with pytest.raises(CurateError, match=r"at temperature 2, and distil_temperature is 1; set it"):
        taught(places, tmp_path / "tuned", out)
    taught(places, tmp_path / "tuned", out, distil_temperature=2.0)
    assert (tmp_path / "tuned" / "config.json").is_file()


@pytest.mark.parametrize("harm", ["a flipped byte", "half a file", "no file", "another shape"])
def test_damaged_distributions_are_refused(places: dict[str, str], tmp_path: Path, harm: str):
    out = teach(places, tmp_path / "logits")
    part = out / "part-00000.npy"
    if harm == "a flipped byte":
        part.write_bytes(part.read_bytes()[:-1] + b"x")
    elif harm == "half a file":
        part.write_bytes(part.read_bytes()[:-20])
    elif harm == "no file":
        part.unlink()
    else:
        manifest = json.loads((out / "manifest.json").read_text())
        (out / "manifest.json").write_text(json.dumps({**manifest, "top": 6}))
    with pytest.raises(CurateError, match=r"part-00000\.npy: damaged, or changed|manifest"):
        taught(places, tmp_path / "tuned", out)


@pytest.mark.parametrize("gone", ["tokens", "parts", "top", "vocabulary", "temperature", "teacher"])
def test_a_manifest_that_lacks_what_is_needed_is_refused(
    places: dict[str, str], tmp_path: Path, gone: str
):
    out = teach(places, tmp_path / "logits")
    manifest = json.loads((out / "manifest.json").read_text())
    del manifest[gone]
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CurateError, match="lacks what curate teacher writes"):
        taught(places, tmp_path / "tuned", out)


def test_a_student_of_another_vocabulary_is_refused(places: dict[str, str], tmp_path: Path):
    home = tmp_path / "teacher"
    shutil.copytree(places["teacher"], home)
    write_tokenizer(home)
    out = teach({**places, "teacher": str(home)}, tmp_path / "logits")
    student = tmp_path / "student"
    shutil.copytree(home, student)
    text = (student / "tokenizer.json").read_text("utf-8")
    (student / "tokenizer.json").write_text(text.replace('"w9"', '"dog"'), "utf-8")
    with pytest.raises(CurateError, match="id 9 is 'w9' there and 'dog' here"):
        taught(places, tmp_path / "tuned", out, model=str(student))


def _with_hashes(out: Path, **changes: Any) -> None:
    """Make a changed folder's manifest fit its files again, as who means harm would."""
    content = json.loads((out / "manifest.json").read_text()) | changes
    for name in ("sha256", "manifest_sha256", "maker", "files"):
        content.pop(name)
    write_manifest(out, MAKER, content)


def _with_lines(part: Path, column: str, value: float) -> None:
    lines = np.load(part)
    lines[column][3] = value
    np.save(part, lines)


@pytest.mark.parametrize(
    ("column", "value"),
    [("ids", 32), ("ids", 65_535), ("log_probs", np.nan), ("log_probs", 5.0), ("rest", np.inf)],
)
def test_lines_that_are_no_distribution_are_refused_even_with_fitting_hashes(
    places: dict[str, str], tmp_path: Path, column: str, value: float
):
    out = teach(places, tmp_path / "logits")
    _with_lines(out / "part-00000.npy", column, value)
    _with_hashes(out)
    with pytest.raises(CurateError, match="holds what is no distribution over 32 words"):
        taught(places, tmp_path / "tuned", out)
    assert not (tmp_path / "tuned").exists()


@pytest.mark.parametrize("words", ["5", "[1]", "{", "[" * 100_000], ids=["5", "1", "cut", "deep"])
def test_a_vocabulary_that_is_none_is_refused_even_with_fitting_hashes(
    places: dict[str, str], tmp_path: Path, words: str
):
    out = teach(places, tmp_path / "logits")
    (out / "vocabulary.json").write_text(words)
    _with_hashes(out)
    with pytest.raises(CurateError, match=r"vocabulary\.json: is no (JSON|list)"):
        taught(places, tmp_path / "tuned", out)


def test_a_manifest_that_was_changed_is_refused(places: dict[str, str], tmp_path: Path):
    out = teach(places, tmp_path / "logits", temperature=2.0)
    path = out / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "temperature": 1.0}))
    with pytest.raises(CurateError, match="is not the manifest that curate teacher wrote"):
        taught(places, tmp_path / "tuned", out)


@pytest.mark.parametrize("temperature", [0.0, 1e-300, 0.009, 101.0, float("nan")])
def test_a_temperature_at_which_logits_are_no_numbers_is_refused(
    places: dict[str, str], tmp_path: Path, temperature: float
):
    with pytest.raises(CurateError, match=r"expected a number from 0\.01 to 100"):
        teach(places, tmp_path / "logits", temperature=temperature)
    with pytest.raises(CurateError, match="distil_temperature is"):
        taught(places, tmp_path / "tuned", tmp_path, distil_temperature=temperature)


def test_a_teacher_without_a_name_is_one_sentence(places: dict[str, str], tmp_path: Path):
    with pytest.raises(CurateError, match="the name of a model is empty"):
        teach({**places, "teacher": ""}, tmp_path / "logits")
    with pytest.raises(CurateError, match="the name of a model is empty"):
        taught(places, tmp_path / "tuned", tmp_path, teacher=" ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 12}, "row 0 (0000000000000000) has id"),
        ({"max_position_embeddings": 8}, "1 rows are longer than the 8 positions of"),
    ],
)
def test_rows_that_the_teacher_cannot_read_are_refused(
    places: dict[str, str], tmp_path: Path, changes: dict[str, int], message: str
):
    rows = (
        ROWS if "max_position_embeddings" in changes else [(ROWS[0][0], [1, 30, 2], [-100, 30, 2])]
    )
    tokens = write_tokens(tmp_path / "tokens", rows)
    small = write_model(tmp_path / "small", **changes)
    with pytest.raises(CurateError) as error:
        teach({"tokens": tokens, "teacher": small}, tmp_path / "logits")
    assert message in str(error.value)
    assert not (tmp_path / "logits").exists() and not (tmp_path / ".logits.work").exists()


def test_more_words_than_there_are_and_no_target_at_all_are_refused(
    places: dict[str, str], tmp_path: Path
):
    with pytest.raises(CurateError, match="top is 33; expected a number from 1 to 32"):
        teach(places, tmp_path / "logits", top=33)
    with pytest.raises(CurateError, match=r"temperature is 0; expected a number from 0\.01 to 100"):
        teach(places, tmp_path / "logits", temperature=0.0)
    tokens = write_tokens(tmp_path / "tokens", [("a" * 16, [1, 5, 6], [-100] * 3)])
    with pytest.raises(CurateError, match="nothing in its rows is trained"):
        teach({**places, "tokens": tokens}, tmp_path / "logits")


def test_rows_of_another_vocabulary_are_refused(places: dict[str, str], tmp_path: Path):
    home = tmp_path / "teacher"
    shutil.copytree(places["teacher"], home)
    write_tokenizer(home)
    about = {"special": {"eos_token": "<|end|>"}, "vocabulary": 40, "added": {"<|x|>": 31}}
    tokens = write_tokens(tmp_path / "tokens", ROWS, tokenizer=about)
    with pytest.raises(CurateError) as error:
        teach({"tokens": tokens, "teacher": str(home)}, tmp_path / "logits")
    for part in ("'<|end|>' (eos_token) is no token of it", "has 40 tokens, and it has 32"):
        assert part in str(error.value)


def test_a_teacher_with_broken_weights_is_refused(places: dict[str, str], tmp_path: Path):
    from safetensors.torch import load_file, save_file

    home = tmp_path / "teacher"
    shutil.copytree(places["teacher"], home)
    weights = load_file(home / "model.safetensors")
    weights["lm_head.weight"][4] = float("nan")
    save_file(weights, home / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CurateError, match="gives logits that are no numbers"):
        teach({**places, "teacher": str(home)}, tmp_path / "logits")
    with pytest.raises(CurateError, match="teacher: gives logits that are no numbers"):
        taught(places, tmp_path / "tuned", home)


def test_padded_and_packed_teachers_say_the_same(
    places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    one = teach(places, tmp_path / "one")
    monkeypatch.setattr(teaching.packing, "isolates", lambda *given: False)
    two = teach(places, tmp_path / "two")
    found = [np.load(each / "part-00000.npy") for each in (one, two)]
    assert np.allclose(found[0]["log_probs"], found[1]["log_probs"], atol=8e-3)
