"""Formats: trained with one template, prompted with another, for all pairs."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import curate
import templates
from curate import proving
from curate.base.errors import CurateError
from curate.cli import main
from curate.grammar import parser
from curate.proofs.cells import Cell
from curate.proofs.design import Design
from curate.proofs.format_page import html
from curate.proofs.format_results import judge_formats
from curate.proofs.runner import command_of
from tests.proof_cells import cell, target
from tests.prove_toys import (
    MODEL,
    TRAINING,
    asked,
    command,
    outcome,
    row,
    write_home,
    write_lines,
)
from tests.reports import HOSTILE, Page
from tests.resume_toys import StoppedError, stop_at

pytest.importorskip("torch")
FORMATS = ("chatml", "alpaca")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, a target, and `whole`, a comparison that nothing stopped."""
    home = write_home(tmp_path_factory.mktemp("home"))
    proved(home, home / "whole")
    return home


def proved(home: Path, out: Path, formats: tuple[str, ...] = FORMATS, **given: Any) -> Any:
    usual = asked(home, ["template", "baselines"], answers=3, max_tokens=8)
    return curate.prove_formats(home / "run", formats, out=out, **{**usual, **given})


def picky_template(path: Path, word: str) -> str:
    """The template `simple`, which refuses questions with a word."""
    refuses = f"{{% if '{word}' in messages[0]['content'] %}}{{{{ raise_exception('no') }}}}"
    simple = Path(templates.__file__).parent / "chat" / "simple.jinja"
    path.write_text(f"{refuses}{{% endif %}}{simple.read_text('utf-8')}", "utf-8")
    return str(path)


def words(home: Path, out: Path, *more: str) -> list[str]:
    """The command of `whole`, but for the templates."""
    without = ["--template", "--baselines"]
    return command(home, out, "--answers", "3", "--max-tokens", "8", *more, without=without)


def test_every_model_is_prompted_with_every_template(home: Path) -> None:
    names = {path.name for path in (home / "whole").iterdir()}
    expected = {
        f"cell.{trained}.{prompted}.{seed}.json"
        for trained in FORMATS
        for prompted in FORMATS
        for seed in (0, 1)
    }
    expected |= {f"cell.base.{prompted}.0.json" for prompted in FORMATS}
    expected |= {"plan.json", "proof.json", "proof.html", "manifest.json", "target.old.jsonl"}
    assert names == expected


def test_of_a_seed_all_templates_train_the_same_rows_in_the_same_steps(home: Path) -> None:
    sets = json.loads((home / "whole" / "plan.json").read_bytes())["sets"]
    assert [(each["baseline"], each["seed"]) for each in sets] == [
        (name, seed) for name in FORMATS for seed in (0, 1)
    ]
    for seed in (0, 1):
        one, other = (each for each in sets if each["seed"] == seed)
        assert (one["rows"], one["steps"]) == (other["rows"], other["steps"])
        assert one["sha256"] != other["sha256"]


def test_training_lowers_the_loss_where_the_prompt_has_the_same_template(home: Path) -> None:
    """So cells are of trained models, prompted with the template that they are named after."""
    proof = json.loads((home / "whole" / "proof.json").read_bytes())
    for name in FORMATS:
        own = proof["matrices"]["bits_per_byte"][name][name]
        assert own["low"] <= own["value"] <= own["high"]
        assert own["value"] < proof["before_training"][name]["old"]


def test_values_are_those_of_the_cells(home: Path) -> None:
    proof = json.loads((home / "whole" / "proof.json").read_bytes())

    def bits(trained: str, prompted: str, seed: int) -> float:
        path = home / "whole" / f"cell.{trained}.{prompted}.{seed}.json"
        found = json.loads(path.read_bytes())["cell"]["targets"]["old"]
        return float(sum(found["nats"]) / math.log(2) / sum(found["bytes"]))

    for pair in (each for each in proof["pairs"] if each["metric"] == "bits_per_byte"):
        trained, prompted = pair["trained_with"], pair["prompted_with"]
        apart = [bits(trained, prompted, n) - bits(prompted, prompted, n) for n in (0, 1)]
        assert pair["by_seed"] == pytest.approx(apart)
        matrix = proof["matrices"]["bits_per_byte"][trained][prompted]
        levels = [bits(trained, prompted, seed) for seed in (0, 1)]
        assert matrix["value"] == pytest.approx(np.mean(levels))
    assert {each["metric"] for each in proof["pairs"]} == {"bits_per_byte", "stopped", "leaked"}


def test_the_page_has_the_matrices_and_every_pair(home: Path) -> None:
    page = Page((home / "whole" / "proof.html").read_text("utf-8"))
    assert "Trained with another template than the prompt's, of 2 pairs:" in page.text
    for text in ("prompted with trained with chatml alpaca chatml", "share of answers"):
        assert text in page.text
    assert "--templates chatml,alpaca" in page.text


@pytest.mark.parametrize(
    ("place", "call"),
    [("trainer.loop.learning_rate", 6), ("curate.proofs.proof_folder.write_cell", 5)],
    ids=["within a training", "between the templates of a model"],
)
def test_a_stopped_comparison_goes_on_to_the_same_bytes(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, call: int
) -> None:
    out = tmp_path / "proof"
    with monkeypatch.context() as patch:
        stop_at(patch, place, call)
        with pytest.raises(StoppedError):
            proved(home, out)
    assert not (out / "proof.json").exists()
    lines: list[str] = []
    proved(home, out, log=lines.append)
    assert any("goes on with 2 trainings" in line for line in lines)
    assert outcome(out) == outcome(home / "whole") and not (out / "work").exists()


def test_the_command_shows_tables_and_a_sentence_for_each_pair(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(home / "whole", tmp_path / "proof")
    assert main(words(home, tmp_path / "proof", "--templates", "chatml,alpaca")) == 0
    shown = capsys.readouterr().out
    assert "bits per byte, trained with (down), prompted with (across)" in shown
    assert "prompted with alpaca, trained with chatml - with alpaca: bits per byte " in shown
    assert "prompted with chatml, trained with alpaca - with chatml: bits per byte " in shown
    assert outcome(tmp_path / "proof") == outcome(home / "whole")


def test_a_dry_run_says_what_would_be_trained_and_writes_nothing(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "proof"
    assert main(words(home, out, "--templates", "chatml,alpaca,simple", "--dry-run")) == 0
    shown = capsys.readouterr().out
    assert "3 templates, 2 seeds: 6 trainings in 4 steps, each prompted with every" in shown
    assert "6 trainings of about" in shown and "21 measurements of about" in shown
    assert not out.exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--templates", "chatml"], "one template alone shows nothing"),
        (["--templates", "chatml,chatml"], "names one twice"),
        (["--templates", "chatml,alpcaa"], "'alpcaa'"),
        (["--templates", "chatml,alpaca", "--template", "chatml"], "both say how rows are"),
        (["--templates", "chatml,alpaca", "--baselines", "random"], "--baselines has no place"),
        (["--templates", "chatml,alpaca", "--instructions", "2"], "--instructions has no place"),
        (["--templates", "chatml,alpaca", "--sweep", "tokens=1k,2k"], "--sweep has no place"),
    ],
    ids=["one", "twice", "unknown", "template", "baselines", "instructions", "sweep"],
)
def test_what_makes_no_comparison_is_refused(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    assert main(words(home, tmp_path / "proof", *more)) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "proof").exists()


def test_the_same_template_by_two_names_is_refused(home: Path, tmp_path: Path) -> None:
    source = Path(templates.__file__).parent / "chat" / "chatml.jinja"
    copy = shutil.copy(source, tmp_path / "mine.jinja")
    with pytest.raises(CurateError, match=r"chatml and .*mine.jinja are the same one"):
        proved(home, tmp_path / "proof", ("chatml", str(copy)))


def test_a_template_that_takes_no_row_is_refused(home: Path, tmp_path: Path) -> None:
    picky = picky_template(tmp_path / "picky.jinja", "Where in")
    with pytest.raises(CurateError, match="none of its 84 rows can be rendered by template"):
        proved(home, tmp_path / "proof", ("chatml", picky))


def test_rows_that_one_template_refuses_are_in_no_set(home: Path, tmp_path: Path) -> None:
    """No format may have a row that another cannot have."""
    picky = picky_template(tmp_path / "picky.jinja", "Aber")
    lines: list[str] = []
    proved(
        home,
        tmp_path / "proof",
        ("chatml", picky),
        tokens=None,
        answers=0,
        log=lines.append,
    )
    assert any("77 of 84 rows can be rendered by all templates" in line for line in lines)
    sets = json.loads((tmp_path / "proof" / "plan.json").read_bytes())["sets"]
    assert {each["rows"] for each in sets} == {77}
    proof = json.loads((tmp_path / "proof" / "proof.json").read_bytes())
    assert list(proof["matrices"]) == ["bits_per_byte"]


def test_without_targets_rows_are_held_out_of_all_trainings(tmp_path: Path) -> None:
    """Even where the run dropped no row."""
    dump = write_lines(tmp_path / "dump.jsonl", [row(number) for number in range(110)])
    curate.run(dump, steps=["exact"], out=tmp_path / "run", cache=False)
    lines: list[str] = []
    seconds = curate.forecast_proof(
        tmp_path / "run",
        model=MODEL,
        templates=FORMATS,
        seeds=2,
        tokens=240,
        training=TRAINING,
        log=lines.append,
    )
    assert seconds > 0
    assert any("11 of the kept rows are held out of all trainings" in line for line in lines)


def made(shift: float, leaks: float = 0.0) -> list[Cell]:
    """Models of a and of b: those of a lie `shift` above those of b where b is prompted with."""
    draw = np.random.Generator(np.random.PCG64(3))
    level = {name: draw.normal(1, 0.2, 40) for name in "ab"}
    found = []
    for trained in "ab":
        for prompted in "ab":
            for seed in range(5):
                off = shift if (trained, prompted) == ("a", "b") else 0.0
                bits = level[prompted] + off + draw.normal(0, 0.002) + draw.normal(0, 0.002, 40)
                leaked = (draw.random(40) < (leaks if off else 0.0)).tolist()
                own = target(bits.tolist(), leaked=leaked, stopped=[True] * 40)
                found.append(cell(f"{trained}.{prompted}", seed, {"old": own}))
    return found


def test_a_lasting_effect_is_found_where_it_is_and_nowhere_else() -> None:
    proof = judge_formats(made(0.05, leaks=0.5), ("a", "b"), Design())
    verdicts = {
        (each.trained, each.prompted): each.comparison.verdict
        for each in proof.of_metric("bits_per_byte")
    }
    assert verdicts == {("a", "b"): "worse", ("b", "a"): "no difference"}
    (worse,) = (each for each in proof.of_metric("bits_per_byte") if each.prompted == "b")
    assert worse.comparison.difference.value == pytest.approx(0.05, abs=0.005)
    leaked = {each.trained: each.comparison.verdict for each in proof.of_metric("leaked")}
    assert leaked["a"] == "worse" and leaked["b"] != "worse"
    assert proof.headline.endswith("of 2 pairs: worse in 1, no difference in 1")


def test_a_difference_without_scatter_is_called_not_shown_and_why() -> None:
    cells = []
    for each in made(0.0):
        own = each.targets["old"]
        stopped = (each.baseline != "a.b",) * 40
        own = dataclasses.replace(own, stopped=stopped)
        cells.append(dataclasses.replace(each, targets={"old": own}))
    few = [each for each in cells if each.seed < 2]
    lines = judge_formats(few, ("a", "b"), Design()).lines()
    (line,) = (each for each in lines if "answers that stop -1.000" in each)
    assert line.endswith("not shown; nothing scatters, so it rests on the signs of the seeds alone")
    assert "answers that stop: the same share in 1 of 2 pairs" in lines


def test_a_pair_is_adjusted_for_all_pairs() -> None:
    proof = judge_formats(made(0.003), ("a", "b"), Design())
    found = [each.comparison for each in proof.of_metric("bits_per_byte")]
    least = min(found, key=lambda each: each.p)
    assert least.holm == pytest.approx(min(1.0, 2 * least.p))


def test_other_prompts_in_a_column_are_refused() -> None:
    cells = made(0.0)
    own = dataclasses.replace(cells[-1].targets["old"], bytes=(99,) * 40)
    cells[-1] = dataclasses.replace(cells[-1], targets={"old": own})
    with pytest.raises(CurateError, match="the prompts are not those of"):
        judge_formats(cells, ("a", "b"), Design())


def test_hostile_names_stay_text() -> None:
    named = [
        dataclasses.replace(each, baseline=each.baseline.replace("a", HOSTILE))
        for each in made(0.05)
    ]
    proof = judge_formats(named, (HOSTILE, "b"), Design())
    source = html(proof, {"model": HOSTILE, "set": HOSTILE, "notices": [HOSTILE]})
    page = Page(source)
    assert "script" not in page.tags and page.tags.count("style") == 1
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]


def test_the_kept_rows_are_what_is_trained(home: Path) -> None:
    kept = pl.read_parquet(home / "run" / "kept.parquet").height
    pools = json.loads((home / "whole" / "plan.json").read_bytes())["pools"]
    assert {name: pool["rows"] for name, pool in pools.items()} == dict.fromkeys(FORMATS, kept)


@pytest.mark.parametrize("answers", [None, 0, 5], ids=["usual", "none", "some"])
def test_the_command_to_repeat_it_asks_for_the_same(answers: int | None) -> None:
    given = {} if answers is None else {"answers": answers}
    folder, options, design = proving.proof_options(
        "RUN", 0.01, model="M", templates=FORMATS, **given
    )
    words = shlex.split(command_of(folder, options, design, "OUT"))
    arguments = parser().parse_args(words[1:])
    assert arguments.templates == "chatml,alpaca" and arguments.baselines is None
    again = 32 if arguments.answers is None else arguments.answers
    assert again == options.answers == (32 if answers is None else answers)
