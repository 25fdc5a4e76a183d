"""A proof from end to end: what it leaves, how it goes on, and what it refuses to go on with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import curate
from curate.base.errors import CurateError
from curate.cli import main
from filters.reward import linear, linear_fit
from filters.reward.accuracy import Pairs
from tests.fake_server import FakeServer, completion
from tests.prove_toys import MODEL, TRAINING, asked, command, outcome, write_home
from tests.reports import Page
from tests.resume_toys import StoppedError, stop_at

pytest.importorskip("torch")
CELLS = ["base.0", "random.0", "random.1", "selected.0", "selected.1"]


ANSWERED = {"answers": 3, "max_tokens": 8, "instructions": 2}
IN_WORDS = ("--answers", "3", "--max-tokens", "8", "--instructions", "2")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, a target, and `whole`, a proof that nothing stopped."""
    home = write_home(tmp_path_factory.mktemp("home"))
    prove(home, home / "whole")
    return home


def prove(home: Path, out: Path, **given: Any) -> Any:
    return curate.prove(home / "run", out=out, **asked(home, **{**ANSWERED, **given}))


def cells(out: Path) -> dict[str, dict[str, Any]]:
    files = sorted(out.glob("cell.*.json"))
    found = {path.name[5:-5]: json.loads(path.read_bytes())["cell"] for path in files}
    return {name: {**cell, "seconds": 0} for name, cell in found.items()}


def copied(home: Path, out: Path, *without: str) -> Path:
    """The whole proof, but for some of its files."""
    shutil.copytree(home / "whole", out)
    for name in without:
        (out / name).unlink()
    return out


def test_it_leaves_values_a_page_and_a_cell_for_each_training(home: Path) -> None:
    whole = home / "whole"
    names = {path.name for path in whole.iterdir()}
    expected = {f"cell.{name}.json" for name in CELLS}
    expected |= {"plan.json", "proof.json", "proof.html", "manifest.json", "target.old.jsonl"}
    assert names == expected
    found = cells(whole)
    assert sorted(found) == CELLS
    trained = [cell for name, cell in found.items() if name != "base.0"]
    assert {cell["steps"] for cell in trained} == {4}
    assert all(cell["tokens"] == pytest.approx(240, rel=0.05) for cell in trained)
    assert len({cell["final_loss"] for cell in trained}) == 4
    target = found["selected.0"]["targets"]["old"]
    counts = {name: len(column) for name, column in target.items()}
    assert counts == {
        **dict.fromkeys(("prompts", "nats", "bytes", "own_lengths"), 6),
        **dict.fromkeys(("stopped", "lengths", "loops", "answers", "leaked"), 3),
    }
    assert all(len(cell["strict"]) == len(cell["loose"]) == 2 for cell in found.values())
    proof = json.loads((whole / "proof.json").read_bytes())
    assert proof["plan"] == json.loads((whole / "plan.json").read_bytes())
    assert list(proof["verdicts"]) == ["random"]
    assert [each["baseline"] for each in proof["baselines"]] == ["selected", "random"]
    assert list(proof["before_training"]) == ["old"]
    assert "Who built the river" in (whole / "proof.html").read_text("utf-8")


def test_trained_tokens_and_steps_are_those_that_were_planned(home: Path) -> None:
    found = cells(home / "whole")
    for planned in json.loads((home / "whole" / "plan.json").read_bytes())["sets"]:
        cell = found[f"{planned['baseline']}.{planned['seed']}"]
        assert (cell["tokens"], cell["steps"], cell["rows"], cell["rows_sha256"]) == (
            planned["trained_tokens"],
            planned["steps"],
            planned["rows"],
            planned["sha256"],
        )


def test_training_lowers_the_loss_on_the_target(home: Path) -> None:
    """So cells are of trained models, not of the base."""
    sums = {
        name: sum(cell["targets"]["old"]["nats"]) for name, cell in cells(home / "whole").items()
    }
    assert all(sums[name] < sums["base.0"] for name in CELLS[1:])


@pytest.mark.parametrize(
    ("place", "call"),
    [("trainer.loop.learning_rate", 6), ("curate.proofs.proof_folder.write_cell", 2)],
    ids=["within a training", "between trainings"],
)
def test_a_stopped_proof_goes_on_to_the_same_bytes(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, call: int
) -> None:
    out = tmp_path / "proof"
    with monkeypatch.context() as patch:
        stop_at(patch, place, call)
        with pytest.raises(StoppedError):
            prove(home, out)
    done = len(cells(out))
    assert 0 < done < 5 and not (out / "proof.json").exists()
    lines: list[str] = []
    prove(home, out, log=lines.append)
    assert any(f"goes on with {done} trainings" in line for line in lines)
    assert outcome(out) == outcome(home / "whole") and cells(out) == cells(home / "whole")
    assert not (out / "work").exists()


@pytest.mark.slow
def test_two_processes_give_the_same_bytes(home: Path, tmp_path: Path) -> None:
    prove(home, tmp_path / "proof", jobs=2)
    assert outcome(tmp_path / "proof") == outcome(home / "whole")
    assert cells(tmp_path / "proof") == cells(home / "whole")


def test_an_interrupt_leaves_what_is_done_and_says_the_command(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, lines = copied(home, tmp_path / "proof", "cell.random.1.json", "proof.json"), []

    def interrupted(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prove(home, out, log=lines.append)
    assert f"the same command goes on: curate prove {home / 'run'} --model {MODEL}" in lines[-1]
    assert "--tokens 240 --seeds 2" in lines[-1] and lines[-1].endswith(f"--out {out}")


def test_a_finished_proof_is_taken_again_without_training(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = copied(home, tmp_path / "proof", "proof.json", "proof.html", "manifest.json")
    monkeypatch.setattr("trainer.train", None)
    prove(home, out)
    assert outcome(out) == outcome(home / "whole")


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({"seeds": 3}, "seeds was 2, now 3"),
        ({"margin": 0.02}, "design.margin was 0.01, now 0.02"),
        ({"training": {**TRAINING, "learning_rate": 0.002}}, "training.learning_rate was 0.001"),
        ({"template": "alpaca"}, r"template\.sha256 was"),
    ],
    ids=["seeds", "margin", "rate", "template"],
)
def test_a_proof_of_another_plan_is_left_alone_and_what_differs_is_said(
    home: Path, tmp_path: Path, given: dict[str, Any], changed: str
) -> None:
    out = copied(home, tmp_path / "proof")
    with pytest.raises(CurateError, match=f"holds a proof of another plan .*{changed}"):
        prove(home, out, **given)
    assert outcome(out) == outcome(home / "whole")


def test_a_changed_target_is_another_plan(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "old.jsonl"
    other.write_text((home / "old.jsonl").read_text("utf-8").replace("maker", "mason"), "utf-8")
    with pytest.raises(CurateError, match=r"another plan .*targets.0.measured_sha256 was"):
        prove(home, copied(home, tmp_path / "proof"), targets=[other])


def test_what_things_are_called_is_no_part_of_a_plan(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = copied(home, tmp_path / "proof")
    monkeypatch.setattr("trainer.train", None)
    monkeypatch.chdir(home)
    curate.prove(
        "run",
        model=MODEL,
        out=out,
        template="chatml",
        targets=["old.jsonl"],
        baselines=["random"],
        seeds=2,
        tokens=240,
        answers=3,
        max_tokens=8,
        instructions=2,
        training=TRAINING,
    )
    assert cells(out) == cells(home / "whole")


@pytest.mark.parametrize("plan", ["[]", "{}", '{"maker": "curate prove", "run": 3}', "{"])
def test_a_strangers_plan_is_left_alone(home: Path, tmp_path: Path, plan: str) -> None:
    (tmp_path / "proof").mkdir()
    (tmp_path / "proof" / "plan.json").write_text(plan, "utf-8")
    with pytest.raises(CurateError, match="the folder holds something else; choose another"):
        prove(home, tmp_path / "proof", force=True)
    assert (tmp_path / "proof" / "plan.json").read_text("utf-8") == plan


def test_force_begins_anew_and_keeps_no_cell_of_another_plan(home: Path, tmp_path: Path) -> None:
    out = copied(home, tmp_path / "proof")
    prove(home, out, force=True, max_rows=5)
    assert {len(cell["targets"]["old"]["nats"]) for cell in cells(out).values()} == {5}


def test_a_damaged_cell_is_made_again(home: Path, tmp_path: Path) -> None:
    out = copied(home, tmp_path / "proof")
    path = out / "cell.random.1.json"
    path.write_text(path.read_text("utf-8").replace('"steps": 4', '"steps": 5'), "utf-8")
    lines: list[str] = []
    prove(home, out, log=lines.append)
    assert "random.1: its file was changed since, so it is made again" in lines
    assert "5 of 5: random.1" in lines and cells(out) == cells(home / "whole")


def test_a_folder_with_anything_else_is_left_alone(home: Path, tmp_path: Path) -> None:
    out = copied(home, tmp_path / "proof")
    (out / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(CurateError, match="which curate prove does not write; move it"):
        prove(home, out, force=True, seeds=3)
    assert (out / "notes.txt").read_text("utf-8") == "mine"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(CurateError, match="the folder holds something else; choose another"):
        prove(home, tmp_path / "mine")


def test_models_stay_where_that_is_asked_for(home: Path, tmp_path: Path) -> None:
    out = copied(home, tmp_path / "proof", "cell.selected.1.json")
    prove(home, out, keep_models=True)
    assert (out / "models" / "selected.1" / "model.safetensors").is_file()


def test_a_dry_run_says_what_would_be_trained_and_writes_nothing(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "proof"
    words = command(home, out, "--baselines", "random,longest")
    assert main([*words, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "240 trained tokens in 4 steps, 2 seeds" in shown
    assert "  longest: " in shown and "6 trainings of about" in shown
    assert not out.exists()


def test_the_command_ends_with_the_verdicts_and_0_whatever_they_are(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copied(home, tmp_path / "proof")
    words = command(home, out, *IN_WORDS)
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "selected - random@" in shown and f"written to {out}" in shown
    assert main([*words, "--seeds", "1"]) == 1
    assert "--seeds 1: one training of each says nothing" in capsys.readouterr().err


def reward_model(folder: Path) -> str:
    """A reward model for which longer answers are better ones."""
    short = [f"word {'word ' * (number % 3)}" for number in range(40)]
    columns = ([f"Number {n}?" for n in range(40)], [f"{each} and more" for each in short], short)
    folder.mkdir()
    linear.save(linear_fit.fit(Pairs(*map(pl.Series, columns))).model, folder, {})
    return str(folder)


def test_a_finished_proof_is_asked_about_without_training_and_nobody_twice(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = copied(home, tmp_path / "proof")
    monkeypatch.setattr("trainer.train", None)
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    with FakeServer(lambda asked: completion("Why. [[A]]")) as server:
        more = ["--reward", reward_model(tmp_path / "RM"), "--judge", "judge-1"]
        more += ["--url", server.url, "--judge-set", "concurrency=2"]
        assert main(command(home, out, *IN_WORDS, *more, "--dry-run")) == 0
        said = capsys.readouterr().out
        assert f"reward {tmp_path / 'RM'}: 12 answers are scored" in said
        assert "judge judge-1: at most 12 questions about 6 pairs of answers, in both" in said
        assert "5 of 5 models are there and are not made again" in said
        assert not server.asked
        assert main(command(home, out, *IN_WORDS, *more)) == 0
        first, asked = outcome(out), len(server.asked)
        shown = capsys.readouterr().out
        assert main(command(home, out, *IN_WORDS, *more)) == 0
        assert outcome(out) == first and len(server.asked) == asked > 0
    assert "win rates by reward" in shown and "win rates by judge judge-1" in shown
    proof = json.loads(first["proof.json"])
    assert [each["scorer"] for each in proof["win_rates"]] == ["reward", "judge"]
    assert proof["plan"]["scorers"]["judge"]["url"] == server.url
    rates = proof["win_rates"][1]["rates"]
    assert {each["plain"]["value"] for each in rates} == {0.5}
    assert all(each["flipped"] <= each["ties"] == each["pairs"] for each in rates)
    page = " ".join(Page((out / "proof.html").read_text("utf-8")).text.split())
    assert f"--judge judge-1 --url {server.url} --judge-set concurrency=2" in page
    assert "win_rates" not in json.loads(outcome(home / "whole")["proof.json"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--url", "http://127.0.0.1:9/v1"], "are of a judge; name it in --judge"),
        (["--reward", "no/such"], "no/such is no model folder"),
        (["--reward", "RM", "--answers", "0"], "--answers 0: --reward and --judge compare"),
        (["--reward", "RM", "--templates", "chatml,alpaca"], "--reward has no place beside"),
    ],
    ids=["nobody", "folder", "answers", "templates"],
)
def test_scorers_that_cannot_be_are_refused(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    formats = ("--template", "--baselines") if "--templates" in more else ()
    words = command(home, tmp_path / "proof", *more, without=formats)
    assert main(words) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "proof").exists()


def test_a_dry_run_looks_at_the_folder_as_the_proof_would(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copied(home, tmp_path / "proof", "cell.random.1.json", "proof.json")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert main(command(home, out, *IN_WORDS, "--dry-run")) == 0
    shown = capsys.readouterr().out
    assert "4 of 5 models are there" in shown and "1 trainings of about" in shown
    assert main(command(home, out, *IN_WORDS, "--margin", "0.02", "--dry-run")) == 1
    assert "holds a proof of another plan (design.margin was" in capsys.readouterr().err
    (out / "notes.txt").write_text("mine", "utf-8")
    assert main(command(home, out, *IN_WORDS, "--dry-run")) == 1
    assert "which curate prove does not write" in capsys.readouterr().err
    (out / "notes.txt").unlink()
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("amount", ["0", "1.5", "many", "1e400", "-1k"])
def test_what_is_no_amount_of_tokens_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], amount: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command(home, tmp_path / "proof", *IN_WORDS, f"--tokens={amount}"))
    assert ended.value.code == 2
    assert f"'{amount}' is no amount of tokens; such as 25000, 200k" in capsys.readouterr().err


def test_a_training_that_fails_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*given: Any) -> None:
        raise CurateError("step 1 of epoch 1: loss nan")

    out = copied(home, tmp_path / "proof", "cell.random.1.json")
    monkeypatch.setattr("trainer.train", failing)
    with pytest.raises(CurateError, match=r"training random\.1: step 1 of epoch 1: loss nan"):
        prove(home, out)
