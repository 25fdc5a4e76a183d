"""`curate rewind` from a run to a model that loads, talks, is measured, merged and stops."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import curate
from curate.base.errors import CurateError
from curate.cli import main
from tests.checkpoint_toys import (
    EOS,
    STOP,
    answers,
    change_json,
    change_tensors,
    read_json,
    tensors,
    write_answers,
    write_base,
)
from tests.rewind_toys import hard_run, write_general
from tests.trainer_toys import ASK, START, write_tokens

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

METHODS = ("full", "lora", "dora", "oft")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rewind")


@pytest.fixture(scope="module")
def base(home: Path) -> str:
    return write_base(home / "base")


@pytest.fixture(scope="module")
def tokens(home: Path) -> str:
    return write_answers(home / "tokens", 40)


@pytest.fixture(scope="module")
def general(home: Path) -> str:
    return write_general(home / "before.txt")


@pytest.fixture(scope="module")
def tuned(home: Path, base: str, tokens: str, general: str) -> Callable[[str], Path]:
    """The run of a method, trained once for all who ask."""

    @functools.cache
    def run(method: str) -> Path:
        return hard_run(tokens, base, home / method, method, retention=general)

    return run


@pytest.fixture(scope="module")
def rewound(home: Path, general: str, tuned: Callable[[str], Path]) -> Callable[[str], Any]:
    """What a rewind of a method's run hands back, done once for all who ask."""

    @functools.cache
    def one(method: str) -> Any:
        return curate.rewind(
            tuned(method), retention=general, max_retention_loss=0.05, out=home / f"{method}-back"
        )

    return one


def of(found: Any, name: str) -> Any:
    """The point of this name."""
    return next(point for point in found.points if str(point.place) == name)


@pytest.mark.parametrize("method", METHODS)
def test_both_ends_have_the_losses_that_training_measured(
    method: str, tuned: Callable[[str], Path], rewound: Callable[[str], Any]
) -> None:
    found, table = rewound(method), read_json(tuned(method) / "train.json")["table"]
    for name, line in (("alpha 0", table[0]), *((f"epoch {n}", table[n]) for n in (1, 2, 3))):
        numbers = of(found, name).numbers
        assert numbers.target == pytest.approx(line["held_out"]["loss"], abs=1e-5)
        assert numbers.retention == pytest.approx(line["probe"]["retention"], abs=1e-5)
    last = read_json(tuned(method) / "train.json")["after"]["loss"]
    assert of(found, "alpha 1").numbers.target == pytest.approx(last, abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_base_agrees_with_itself_and_distances_are_shares_of_the_whole(
    method: str, rewound: Callable[[str], Any]
) -> None:
    found = rewound(method)
    first = of(found, "alpha 0")
    assert (first.distance, first.rise) == (0, 0)
    assert first.numbers.kl == pytest.approx(0, abs=1e-7) and first.numbers.top1 == 1
    assert of(found, "alpha 1").distance == 1
    distances = [point.distance for point in found.points if point.place.track == "path"]
    assert distances == sorted(distances)
    if method in ("full", "lora"):
        assert of(found, "alpha 0.3").distance == pytest.approx(0.3, abs=1e-4)
    if method == "oft":
        assert of(found, "alpha 0.3").distance > 0.5
        # It goes far at once, so there are points before the first of the others.
        assert of(found, "alpha 0.0025").distance < 0.06 < 0.2 < of(found, "alpha 0.05").distance
    assert of(found, "alpha 0.5").numbers.kl > 0.001


@pytest.mark.parametrize("method", METHODS)
def test_the_point_within_the_bound_is_written_with_all_that_a_checkpoint_has(
    method: str, base: str, tuned: Callable[[str], Path], rewound: Callable[[str], Any]
) -> None:
    found, run = rewound(method), tuned(method)
    able = [point for point in found.points[1:] if point.rise <= 0.05]
    assert found.chosen == min(able, key=lambda point: point.numbers.target)
    assert found.form == ("weights" if method == "full" else "adapter")
    source = run if method == "full" else run / "adapter"
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (found.out / file).read_bytes() == (source / file).read_bytes()
    assert read_json(found.out / "generation_config.json")["eos_token_id"] == [EOS, STOP]
    if method == "full":
        assert read_json(found.out / "config.json") == read_json(run / "config.json")
    else:
        own = read_json(found.out / "adapter_config.json")
        assert own == read_json(run / "adapter" / "adapter_config.json")
    manifest = read_json(found.out / "manifest.json")
    assert manifest["maker"] == "curate rewind" and manifest["units"] == "nats a token"
    assert manifest["hashes"]["base"] == read_json(run / "train.json")["base_sha256"]
    assert manifest["alpha"] == found.chosen.place.alpha
    assert len(manifest["points"]) == (18 if method == "oft" else 15)
    assert read_json(found.out / "rewind.json") == json.loads(json.dumps(found.as_dict()))


@pytest.mark.parametrize("method", METHODS)
def test_it_is_measured_as_its_point_was(
    method: str, home: Path, tuned: Callable[[str], Path], rewound: Callable[[str], Any]
) -> None:
    found = rewound(method)
    held = {*read_json(tuned(method) / "train.json")["rows"]["held_out"]}
    rows = [row for row in answers(40) if row[0] in held]
    like = read_json(home / "tokens" / "manifest.json")
    names = ("template", "tokenizer", "stop", "card")
    only = write_tokens(home / f"{method}-held", rows, **{name: like[name] for name in names})
    loss = curate.evaluate_suite(found.out, [only], only=["loss"]).models[0].files[0].loss
    assert loss.nats_per_trained_token.value == pytest.approx(found.chosen.numbers.target, abs=1e-5)


def test_it_talks_and_stops(rewound: Callable[[str], Any], tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("w5 w6\nw9 w4\n", encoding="utf-8")
    for method in ("full", "oft"):
        out = tmp_path / f"{method}.jsonl"
        asked = ["chat", str(rewound(method).out), "--prompts", str(prompts), "--out", str(out)]
        assert main([*asked, "--max-tokens", "20", "--quiet"]) == 0
        lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
        assert len(lines) == 2 and any(line["stopped"] for line in lines)


@pytest.mark.parametrize("method", ["lora", "dora", "oft"])
def test_an_adapter_that_was_written_merges_like_any_other(
    method: str, rewound: Callable[[str], Any], tmp_path: Path
) -> None:
    found = rewound(method)
    merged = curate.merge(found.out, out=tmp_path / "whole")
    assert merged.error < 1e-4 < merged.change
    assert read_json(tmp_path / "whole" / "generation_config.json")["eos_token_id"] == [EOS, STOP]


def test_a_line_between_all_weights_is_what_full_fine_tuning_is_rewound_to(
    base: str, tuned: Callable[[str], Path], rewound: Callable[[str], Any]
) -> None:
    found = rewound("full")
    place = found.chosen.place
    assert place.track == "path"
    before, last = tensors(Path(base)), tensors(tuned("full"))
    for name, weight in tensors(found.out).items():
        wanted = before[name] + place.alpha * (last[name] - before[name])
        assert float((weight - wanted).abs().max()) < 1e-6, name


def test_an_adapter_of_lora_is_its_own_with_the_second_factor_scaled(
    tuned: Callable[[str], Path], rewound: Callable[[str], Any]
) -> None:
    found = rewound("lora")
    own, now = tensors(tuned("lora") / "adapter"), tensors(found.out)
    assert own.keys() == now.keys()
    for name, weight in own.items():
        part = found.chosen.place.alpha if "lora_B" in name else 1
        assert bool((now[name] == weight * part).all())


def test_the_command_line_prints_the_table_and_what_was_taken(
    general: str,
    tuned: Callable[[str], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["rewind", str(tuned("lora")), "--retention", general, "--lines", "--quiet"]
    out = tmp_path / "back"
    assert main([*asked, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0].split() == [
        *("point", "way", "target", "retention", "rise", "KL", "same", "token"),
    ]
    assert len([line for line in lines if line.startswith(("alpha", "LiNeS", "epoch"))]) == 26
    assert sum(line.endswith("taken") for line in lines) == 1
    assert "written: an adapter again, for the same base" in printed
    assert "hypervolumes begin at target" in printed and "largest hypervolume" in printed
    # The same again gives the same bytes.
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert main([*asked, "--out", str(out)]) == 0
    assert first == {path.name: path.read_bytes() for path in out.iterdir()}


def test_json_and_a_dry_run(
    general: str,
    tuned: Callable[[str], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "back"
    asked = ["rewind", str(tuned("oft")), "--retention", general, "--out", str(out)]
    assert main([*asked, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "18 points: 15 on the path, 3 saved epochs" in printed and "in all about" in printed
    assert not out.exists()
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["form"] == "adapter" and len(found["points"]) == 18
    assert found["reference"]["target"] == max(found["points"][at]["target"] for at in (0, 14))


def test_other_rows_can_be_the_target(
    general: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    rows = [
        (f"{number:016x}", [START, 20, 4 + number, ASK, 7, 6, STOP], [-100] * 4 + [7, 6, STOP])
        for number in range(9)
    ]
    like = read_json(tuned("lora") / "train.json")["tokens"]
    tokens = write_tokens(
        tmp_path / "other", rows, **{name: like[name] for name in ("template", "tokenizer")}
    )
    lines: list[str] = []
    found = curate.rewind(
        tuned("lora"), retention=general, target=tokens, out=tmp_path / "back", log=lines.append
    )
    assert found.target.rows == 9 and found.target.targets == 27
    assert of(found, "alpha 1").numbers.target < of(found, "alpha 0").numbers.target


def test_rows_of_the_training_as_target_are_spoken_of(
    tokens: str, general: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    found = curate.rewind(tuned("lora"), retention=general, target=tokens, out=tmp_path / "back")
    assert any("are near-copies of trained ones" in line for line in found.notices)


def test_an_adapter_alone_is_rewound_with_rows_that_are_named(
    base: str, tokens: str, general: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    alone = shutil.copytree(tuned("lora") / "adapter", tmp_path / "alone")
    found = curate.rewind(alone, retention=general, target=tokens, out=tmp_path / "back")
    assert len(found.points) == 12 and found.form == "adapter"
    assert any("does not say which weights it was trained from" in line for line in found.notices)
    assert any("its training rows are not here" in line for line in found.notices)


def test_a_base_that_moved_is_known_again(
    base: str, general: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    elsewhere = shutil.copytree(base, tmp_path / "elsewhere")
    found = curate.rewind(tuned("oft"), retention=general, model=elsewhere, out=tmp_path / "back")
    own = read_json(tmp_path / "back" / "adapter_config.json")
    assert own["base_model_name_or_path"] == str(elsewhere)
    assert not found.notices


def refused(tmp_path: Path, source: str | Path, **options: Any) -> str:
    with pytest.raises(CurateError) as error:
        curate.rewind(source, out=tmp_path / "refused", **options)
    assert [path.name for path in tmp_path.glob("*refused*")] == []
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_base_that_changed_is_refused(
    base: str, general: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    other = shutil.copytree(base, tmp_path / "other")
    change_tensors(other, lambda found: found["model.norm.weight"].add_(1))
    message = refused(tmp_path, tuned("lora"), retention=general, model=other)
    assert f"{other}: is not the base that" in message


def test_a_base_that_is_gone_is_asked_for(
    general: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    for method, file, key in (
        ("full", "train.json", "config"),
        ("lora", "adapter/adapter_config.json", "base_model_name_or_path"),
    ):
        run = shutil.copytree(tuned(method), tmp_path / method)
        nowhere: Any = "/nowhere/base"
        if method == "full":
            nowhere = {**read_json(run / file)["config"], "model": nowhere}
        change_json(run / file, lambda content, k=key, v=nowhere: content.update({k: v}))
        assert "its base is /nowhere/base" in refused(tmp_path, run, retention=general)


def test_retention_texts_that_tell_nothing_are_refused(
    tokens: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    run = tuned("lora")

    def said(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return refused(tmp_path, run, retention=str(tmp_path / name))

    assert "there is no such retention text" in refused(tmp_path, run, retention="/none.txt")
    assert "holds no text of two tokens" in said("empty.txt", b"")
    assert "has 3 tokens to predict" in said("short.txt", b"w4 w5 w6")
    assert "is no text (it has zero bytes)" in said("picture.png", b"\x89PNG\0\0")
    assert "cannot be read as text" in said("latin.txt", b"w4 \xe9")
    assert "of its tokens are unknown" in said("words.txt", b"once upon a time " * 100)
    assert "expected a JSON object with a text" in said("rows.jsonl", b"{}\n")


def test_a_retention_text_that_holds_trained_rows_is_refused(
    tuned: Callable[[str], Path], home: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(home / "base")
    shown = [tokenizer.decode(ids[1:]) for _, ids, _ in answers(4)]
    text = (home / "before.txt").read_text("utf-8")
    (tmp_path / "leak.txt").write_text("\n\n".join([text, *shown]), encoding="utf-8")
    message = refused(tmp_path, tuned("lora"), retention=str(tmp_path / "leak.txt"))
    assert "documents are, nearly, rows of the task or parts of them" in message


def test_rows_of_another_tokenizer_or_template_are_no_target(
    general: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    run = tuned("lora")
    template = {"name": "other", "origin": "test", "hash": "2" * 64, "source": "x"}
    other = write_answers(tmp_path / "other", template=template)
    message = refused(tmp_path, run, retention=general, target=other)
    assert "was rendered with the template 'other' (222222222222)" in message
    words = {"name": "toy", "special": {"eos_token": "<|eot|>"}, "eos_ids": [5]}
    strange = write_answers(tmp_path / "strange", tokenizer=words)
    message = refused(tmp_path, run, retention=general, target=strange)
    assert "was rendered for another tokenizer" in message and "'<|eot|>' is no token" in message


def test_a_run_that_held_nothing_out_needs_a_target(
    base: str, tokens: str, general: str, tmp_path: Path
) -> None:
    run = hard_run(tokens, base, tmp_path / "run", "lora", num_train_epochs=1, held_out=0.0)
    message = refused(tmp_path, run, retention=general)
    assert "its run held no rows out" in message and "--target" in message
    # Its rows are looked for where they were.
    change_json(run / "train.json", lambda content: content["config"].update(tokens="/gone"))
    assert "/gone is gone); name rows with --target" in refused(tmp_path, run, retention=general)


def test_a_checkpoint_that_is_its_base_has_no_path(
    base: str, tokens: str, general: str, tmp_path: Path
) -> None:
    same = shutil.copytree(base, tmp_path / "same")
    message = refused(tmp_path, same, retention=general, target=tokens, model=base)
    assert "its weights are those of" in message and "nothing to rewind" in message


def test_other_mistakes_are_one_sentence(
    base: str, general: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    run = tuned("lora")
    assert "there is no such folder" in refused(tmp_path, "/nowhere", retention=general)
    message = refused(tmp_path, run, retention=general, max_retention_loss=-1.0)
    assert "max_retention_loss is -1; expected nats a token from 0" in message
    half = shutil.copytree(run, tmp_path / "half")
    change_json(half / "train.json", lambda content: content.update(status="running"))
    assert "its training run did not end" in refused(tmp_path, half, retention=general)
    with pytest.raises(CurateError, match="holds the input") as error:
        curate.rewind(run, retention=general, out=run)
    assert "\n" not in str(error.value)


def test_a_run_that_says_what_no_run_writes_is_refused(
    general: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    run = shutil.copytree(tuned("lora"), tmp_path / "run")
    for key, value in (("config", []), ("rows", {"held_out": [[1]]}), ("tokens", "x")):
        shutil.copyfile(tuned("lora") / "train.json", run / "train.json")
        change_json(run / "train.json", lambda content, k=key, v=value: content.update({k: v}))
        message = refused(tmp_path, run, retention=general)
        assert f"train.json: {key}" in message and "expected a" in message
    shutil.copyfile(tuned("lora") / "train.json", run / "train.json")
    config = run / "adapter" / "adapter_config.json"
    change_json(config, lambda content: content.update(base_model_name_or_path=5))
    assert "its base is 5; expected a name" in refused(tmp_path, run, retention=general)


def test_nothing_is_written_into_the_run_or_its_rows(
    tokens: str, general: str, tuned: Callable[[str], Path]
) -> None:
    run = tuned("lora")
    for source, out in (
        (run / "epochs" / "epoch-1", run / "epochs" / "epoch-9"),
        (run, Path(tokens) / "back"),
    ):
        with pytest.raises(CurateError, match="lies in the input"):
            curate.rewind(source, retention=general, target=tokens, out=out)
        assert not out.exists()


def test_a_rewound_model_knows_its_base_when_it_is_rewound_again(
    tokens: str, general: str, base: str, rewound: Callable[[str], Any], tmp_path: Path
) -> None:
    source = rewound("full").out
    found = curate.rewind(source, retention=general, target=tokens, out=tmp_path / "again")
    assert found.base == base
    assert of(found, "alpha 1").numbers.retention == pytest.approx(
        rewound("full").chosen.numbers.retention, abs=1e-5
    )
    other = shutil.copytree(base, tmp_path / "other")
    change_tensors(other, lambda tensors: tensors["model.norm.weight"][:1].add_(0.001))
    for method in ("full", "lora"):
        message = refused(
            tmp_path, rewound(method).out, retention=general, target=tokens, model=other
        )
        assert "is not the base that" in message


def test_token_rows_of_another_tokenizer_are_no_retention_text(
    tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    words = {"name": "toy", "special": {"eos_token": "<|eot|>"}, "eos_ids": [5]}
    strange = write_answers(tmp_path / "strange", 60, tokenizer=words)
    message = refused(tmp_path, tuned("lora"), retention=strange)
    assert "was rendered for another tokenizer" in message
    (tmp_path / "none").mkdir()
    message = refused(tmp_path, tuned("lora"), retention=str(tmp_path / "none"))
    assert "not a tokens folder" in message
    for name in ("", "x" * 300):
        assert "no such retention text" in refused(tmp_path, tuned("lora"), retention=name)


def test_a_bound_that_is_no_number_is_refused_by_a_dry_run_too(
    general: str, tuned: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["rewind", str(tuned("lora")), "--retention", general, "--out", str(tmp_path / "back")]
    assert main([*asked, "--max-retention-loss", "nan", "--dry-run"]) == 1
    assert "max_retention_loss is nan" in capsys.readouterr().err


def test_a_name_with_a_break_makes_no_line_of_the_table(
    home: Path, tuned: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = tmp_path / "x\ntaken: epoch 9.txt"
    shutil.copyfile(home / "before.txt", strange)
    asked = ["rewind", str(tuned("lora")), "--retention", str(strange)]
    assert main([*asked, "--out", str(tmp_path / "back")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("taken: epoch 9")] == []
    assert any(r"x\ntaken: epoch 9.txt" in line for line in lines)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_file_that_cannot_be_written_is_one_sentence(
    method: str,
    tuned: Callable[[str], Path],
    general: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import safetensors.torch
    from transformers import modeling_utils

    def full(*_: Any, **__: Any) -> None:
        raise safetensors.SafetensorError("Error while serializing: I/O error: File too large")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    monkeypatch.setattr(modeling_utils, "safe_save_file", full)
    message = refused(tmp_path, tuned(method), retention=general)
    assert "could not be written" in message and "check the free space" in message
    if method == "lora":
        with pytest.raises(CurateError, match="could not be written"):
            curate.merge(tuned(method), out=tmp_path / "merged")
        assert not (tmp_path / "merged").exists()


def test_what_is_there_already_is_not_overwritten(
    general: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    out = tmp_path / "back"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(CurateError, match="the folder holds something else"):
        curate.rewind(tuned("lora"), retention=general, out=out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_a_rewind_that_is_stopped_leaves_nothing(
    general: str, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    def stop(line: str) -> None:
        if line.startswith("retention:"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        curate.rewind(tuned("full"), retention=general, out=tmp_path / "back", log=stop)
    assert list(tmp_path.iterdir()) == []


def test_the_page_runs_nothing_and_shows_names_of_strangers_as_text(
    home: Path, tuned: Callable[[str], Path], tmp_path: Path
) -> None:
    strange = tmp_path / "<b onload=x>\u202e.txt"
    shutil.copyfile(home / "before.txt", strange)
    found = curate.rewind(tuned("lora"), retention=strange, out=tmp_path / "back", lines=True)
    page = (found.out / "rewind.html").read_text("utf-8")
    assert "<b onload" not in page and "&lt;b onload=x&gt;" in page and "\u202e" not in page
    assert "<script" not in page and "default-src &#39;none&#39;" in page
    assert "Taken: " in page and page.count('class="chart plane') == 2
    picture = (found.out / "rewind.svg").read_text("utf-8")
    root = ElementTree.fromstring(picture)
    dots = [each for each in root.iter() if each.tag.endswith("circle")]
    rings = sum(point.is_front or point.is_chosen for point in found.points)
    assert len(dots) == len(found.points) + rings
    assert "\u202e" not in picture and "<b onload" not in picture


def test_python_and_the_command_line_forecast_alike(
    general: str, tuned: Callable[[str], Path]
) -> None:
    lines: list[str] = []
    seconds = curate.forecast_rewind(tuned("oft"), retention=general, lines=True, log=lines.append)
    assert 0 < seconds < 600
    assert "29 points: 15 on the path, 11 by layer, 3 saved epochs" in lines[-1]


def test_epochs_are_measured_with_what_they_were_saved_as(
    tuned: Callable[[str], Path], rewound: Callable[[str], Any]
) -> None:
    found = rewound("full")
    names = [str(point.place) for point in found.points if point.place.track == "epoch"]
    assert names == ["epoch 1", "epoch 2", "epoch 3"]
    last = of(found, "epoch 3")
    assert last.numbers == of(found, "alpha 1").numbers and last.distance == 1
    assert of(found, "epoch 1").distance < 1
