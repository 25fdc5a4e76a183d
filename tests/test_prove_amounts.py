"""Amounts: sets at several numbers of trained tokens, and where more stop helping."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import curate
from curate.base.errors import CurateError
from curate.base.log import no_log
from curate.cli import main
from curate.proofs.amount_results import judge_amounts
from curate.proofs.amounts import PreparedAmounts, prepare_amounts
from curate.proofs.cells import Cell
from curate.proofs.design import Design
from tests.proof_cells import cell, target
from tests.prove_toys import asked, command, options, outcome, write_home
from tests.reports import Page
from tests.resume_toys import StoppedError, stop_at

pytest.importorskip("torch")
AMOUNTS = (120, 240)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, a target, and `whole`, a sweep that nothing stopped."""
    home = write_home(tmp_path_factory.mktemp("home"))
    proved(home, home / "whole")
    return home


def proved(home: Path, out: Path, **more: Any) -> Any:
    given = asked(home, ["tokens"]) | more
    return curate.prove_amounts(home / "run", AMOUNTS, out=out, **given)


def words(home: Path, out: Path, *more: str) -> list[str]:
    """The command of `whole`, but for what it sweeps."""
    return command(home, out, *more, without=["--tokens"])


def prepared(home: Path, *amounts: int, **given: Any) -> PreparedAmounts:
    usual = {"tokens": None, "targets": (str(home / "old.jsonl"),), "amounts": amounts}
    return prepare_amounts(home / "run", options(**{**usual, **given}), Design(), no_log)


def test_every_set_is_trained_at_every_amount(home: Path) -> None:
    found = {
        path.name: json.loads(path.read_bytes())["cell"]
        for path in (home / "whole").glob("cell.*.json")
    }
    steps = {name: each["steps"] for name, each in found.items()}
    expected = {
        f"cell.{name}.{tokens}.{seed}.json": tokens // 60
        for name in ("selected", "random")
        for tokens in AMOUNTS
        for seed in (0, 1)
    }
    assert steps == {**expected, "cell.base.0.json": 0}
    for name, each in found.items():
        if not name.startswith("cell.base"):
            assert each["tokens"] == pytest.approx(60 * each["steps"], rel=0.1)


def test_draws_are_nested(home: Path) -> None:
    found = prepared(home, 120, 240, 480, baselines=("random", "longest", "full"))
    for name in ("selected", "random", "longest", "full"):
        for seed in (0, 1):
            rows = [
                set(each.matched.rows)
                for part in found.at.values()
                for each in part.sets
                if (each.matched.baseline, each.matched.seed) == (name, seed)
            ]
            assert rows[0] < rows[1] < rows[2]


def test_steps_hold_as_many_tokens_at_every_amount(home: Path) -> None:
    """Without a size they are those of the smallest amount."""
    found = prepared(home, 400, 800, training={"method": "full"})
    amounts = [each.amount for each in found.at.values()]
    assert [each.steps for each in amounts] == [20, 40]
    assert [each.tokens / each.steps for each in amounts] == [20, 20]


def test_the_largest_amount_must_be_there(home: Path) -> None:
    with pytest.raises(CurateError, match=r"baseline full has only .*read once; lower amounts to"):
        prepared(home, 120, 50_000, baselines=("full",))


def test_amounts_that_are_the_same_training_are_refused(home: Path) -> None:
    with pytest.raises(CurateError, match=r"these are 2, 2 steps of 60 trained tokens"):
        prepared(home, 120, 125)


def test_proof_json_has_the_verdicts_of_each_amount_and_every_step(home: Path) -> None:
    proof = json.loads((home / "whole" / "proof.json").read_bytes())
    assert list(proof["amounts"]) == ["120", "240"]
    assert proof["verdicts"] == proof["amounts"]["240"]["verdicts"]
    steps = [(each["baseline"], each["smaller"], each["larger"]) for each in proof["steps"]]
    assert steps == [("selected", 120, 240), ("random", 120, 240)]
    assert proof["plan"]["sweep"] == {"tokens": [120, 240]}
    for each in proof["steps"]:
        levels = proof["curve"]["lines"][each["baseline"]]
        assert [each["at_smaller"], each["at_larger"]] == [level["value"] for level in levels]
        apart = each["at_larger"] - each["at_smaller"]
        assert each["difference"]["value"] == pytest.approx(apart)


def test_the_page_has_the_curve_and_the_steps(home: Path) -> None:
    page = Page((home / "whole" / "proof.html").read_text("utf-8"))
    assert page.tags.count("svg") == 2 and "What was varied" in page.text
    assert "selected@240 - selected@120: bits per byte" in page.text
    assert "--sweep tokens=120,240" in page.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "call", "done"),
    [("trainer.loop.learning_rate", 4, 3), ("curate.proofs.proof_folder.write_cell", 6, 6)],
    ids=["within a training", "between trainings"],
)
def test_a_stopped_sweep_goes_on_to_the_same_bytes(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    call: int,
    done: int,
) -> None:
    out = tmp_path / "proof"
    with monkeypatch.context() as patch:
        stop_at(patch, place, call)
        with pytest.raises(StoppedError):
            proved(home, out)
    lines: list[str] = []
    proved(home, out, log=lines.append)
    assert any(f"goes on with {done} trainings" in line for line in lines)
    assert outcome(out) == outcome(home / "whole")


def test_the_command_shows_verdicts_a_table_and_where_more_stop_helping(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(home / "whole", tmp_path / "proof")
    assert main(words(home, tmp_path / "proof", "--sweep", "tokens=0.12k,240")) == 0
    shown = capsys.readouterr().out
    assert shown.count("selected - random@") == 2
    assert "bits per byte by trained tokens" in shown
    assert "selected@240 - selected@120: bits per byte" in shown
    assert "to the next amount is shown to help" in shown or "more still helps" in shown
    assert outcome(tmp_path / "proof") == outcome(home / "whole")


def test_a_dry_run_says_what_would_be_trained_and_writes_nothing(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "proof"
    assert main(words(home, out, "--sweep", "tokens=120,240,360", "--dry-run")) == 0
    shown = capsys.readouterr().out
    assert "12 trainings of about" in shown and "13 measurements of about" in shown
    for tokens, steps in ((120, 2), (240, 4), (360, 6)):
        assert f"{tokens} trained tokens in {steps} steps, 2 seeds" in shown
    assert not out.exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--sweep", "tokens=1k"], "a single amount has nothing to be compared with"),
        (["--sweep", "tokens=2k,1k"], "the smallest first: --sweep tokens=1000,2000"),
        (["--sweep", "tokens=1k,1000"], "expected each once"),
        (["--sweep", "tokens=1k,many"], "'many' is no amount of tokens"),
        (["--sweep", "tokens=1k,infk"], "'infk' is no amount of tokens"),
        (["--sweep", "tokens=0,1k"], "'0' is no amount of tokens"),
        (["--sweep", "1k,2k"], "expected tokens=AMOUNTS"),
        (["--sweep", "near.threshold=0.7,0.8"], "make a run for each value (curate run DUMP"),
        (["--sweep", "mix.=0.7,0.8"], "only tokens and shares of a source or category"),
        (["--sweep", "tokens=1k,2k", "--tokens", "3000"], "both say how long is trained"),
        (["--sweep", "tokens=1k,2k", "--epochs", "2"], "both say how long is trained"),
    ],
    ids=[
        *(
            "single",
            "unsorted",
            "repeated",
            "words",
            "infinite",
            "none",
            "nameless",
            "recipe",
            "mix",
        ),
        *("tokens", "epochs"),
    ],
)
def test_what_makes_no_sweep_is_refused(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    assert main(words(home, tmp_path / "proof", *more)) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "proof").exists()


def made(levels: dict[str, tuple[float, ...]]) -> dict[int, list[Cell]]:
    """Sets whose losses lie so far above a common level at 100, 200 and 400 tokens."""
    draw = np.random.Generator(np.random.PCG64(3))
    common = draw.normal(1, 0.3, 40)
    found: dict[int, list[Cell]] = {}
    for at, tokens in enumerate((100, 200, 400)):
        found[tokens] = []
        for name, shifts in levels.items():
            for seed in range(5):
                moved = common + shifts[at] + draw.normal(0, 0.002)
                bits = moved + draw.normal(0, 0.002, 40)
                found[tokens].append(cell(name, seed, {"old": target(bits.tolist())}, tokens))
    return found


def test_where_more_stop_helping_is_by_paired_differences() -> None:
    """The bands, which hold what prompts are like, overlap by far."""
    levels = {"selected": (0.04, 0.0, 0.0), "random": (0.08, 0.05, 0.0)}
    proof = judge_amounts(made(levels), Design(draws=0))
    assert proof.curve.stops == {"selected": 200.0, "random": None}
    first, second, _ = proof.curve.lines["selected"]
    assert second.high > first.low
    verdicts = {
        (each.baseline, each.smaller, each.larger): each.comparison.verdict for each in proof.steps
    }
    assert verdicts["selected", 100, 200] == verdicts["random", 200, 400] == "better"
    assert verdicts["selected", 200, 400] == "no difference"
    assert verdicts["selected", 100, 400] == "better"
    assert "selected: beyond 200 trained tokens no step" in "\n".join(proof.lines())
    assert "random: more still helps at 400 trained tokens" in proof.lines()


def test_nothing_helps_where_nothing_changes() -> None:
    proof = judge_amounts(made({"selected": (0.0,) * 3, "random": (0.01,) * 3}), Design(draws=0))
    assert proof.curve.stops == {"selected": 100.0, "random": 100.0}


def test_steps_are_adjusted_for_all_steps_of_all_sets() -> None:
    proof = judge_amounts(made({"selected": (0.004, 0, 0), "random": (0.0,) * 3}), Design(draws=0))
    assert len(proof.steps) == 6
    least = min((each.comparison for each in proof.steps), key=lambda each: each.p)
    assert least.holm == pytest.approx(min(1.0, 6 * least.p))
