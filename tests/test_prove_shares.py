"""Shares: the selected rows mixed anew from the kept ones, at the same trained tokens."""

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
from curate.pipeline.run_folder import RunFolder
from curate.proofs.amount_results import judge_amounts
from curate.proofs.amounts import PreparedAmounts, notices_of, prepare_shares
from curate.proofs.axes import Axis
from curate.proofs.cells import Cell
from curate.proofs.design import Design
from curate.proofs.proof_folder import goes_on, write_cell
from curate.proving import proof_options
from tests.proof_cells import cell, target
from tests.prove_toys import (
    LEAST,
    MODEL,
    asked,
    command,
    options,
    outcome,
    row,
    write_lines,
    write_target,
)
from tests.reports import Page
from tests.resume_toys import StoppedError, stop_at

pytest.importorskip("torch")
SHARES = (0.1, 0.5)


def write_sources(home: Path, *steps: Any) -> Path:
    """80 plain rows, 40 of `code`, every second one of which is of the category py; a target."""
    rows = [row(number) for number in range(120)]
    code = [{**each, "category": ("c", "py")[at % 2]} for at, each in enumerate(rows[80:])]
    files = [
        write_lines(home / f"{name}.jsonl", part)
        for name, part in (("plain", rows[:80]), ("code", code))
    ]
    steps = ({"length": {"unit": "words", "min": LEAST}}, *steps)
    curate.run(files, steps=list(steps), out=home / "run", cache=False)
    write_target(home / "old.jsonl")
    return home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources, a target, and `whole`, a sweep that nothing stopped."""
    home = write_sources(tmp_path_factory.mktemp("home"))
    proved(home, home / "whole")
    return home


def proved(home: Path, out: Path) -> Any:
    return curate.prove_shares(home / "run", "code", SHARES, out=out, **asked(home))


def prepared(
    home: Path, group: str = "code", shares: tuple[float, ...] = SHARES, **given: Any
) -> PreparedAmounts:
    usual = {"targets": (str(home / "old.jsonl"),), "group": group, "shares": shares}
    return prepare_shares(home / "run", options(**{**usual, **given}), Design(), no_log)


def rows_of_code(home: Path, column: str = "source", ending: str = "code.jsonl") -> set[int]:
    kept = RunFolder.open(home / "run").kept
    return {
        number
        for number, name in kept.select("row", column).iter_rows()
        if name and name.endswith(ending)
    }


def selected(found: PreparedAmounts, share: float) -> list[set[int]]:
    return [
        set(each.matched.rows)
        for each in found.at[share].sets
        if each.matched.baseline == "selected"
    ]


def test_each_set_has_its_share_of_the_trained_tokens_and_all_the_same_sum(home: Path) -> None:
    found, code = prepared(home, shares=(0.0, 0.1, 0.3, 1.0), tokens=300), rows_of_code(home)
    pool = found.main.selected
    tokens = dict(zip(pool.rows.tolist(), pool.tokens.tolist(), strict=True))
    for share in found.at:
        for rows in selected(found, share):
            total = sum(tokens[each] for each in rows)
            assert total == pytest.approx(300, abs=20)
            own = sum(tokens[each] for each in rows & code)
            assert own / total == pytest.approx(share, abs=0.04)
    steps = {each.matched.steps for each in found.sets}
    assert steps == {5}


def test_sets_of_two_shares_have_most_rows_in_common_and_seeds_do_not(home: Path) -> None:
    """So that a difference is of the share, and the luck of the draw is seen."""
    found, code = prepared(home, shares=(0.2, 0.4), tokens=400), rows_of_code(home)
    for few, many in zip(selected(found, 0.2), selected(found, 0.4), strict=True):
        assert few & code < many & code and many - code < few - code
    first, second = selected(found, 0.2)
    assert first != second


def test_baselines_are_trained_once(home: Path) -> None:
    names = {path.name for path in (home / "whole").glob("cell.*")}
    sets = [
        f"{name}.{seed}" for name in ("selected.0.1", "selected.0.5", "random") for seed in (0, 1)
    ]
    assert names == {f"cell.{name}.json" for name in (*sets, "base.0")}


def test_without_an_amount_it_is_what_all_shares_can_give(home: Path) -> None:
    found = prepared(home, shares=(0.1, 0.5), tokens=None)
    pool, code = found.main.selected, rows_of_code(home)
    inside = np.isin(pool.rows, sorted(code))
    own, others = int(pool.tokens[inside].sum()), int(pool.tokens[~inside].sum())
    most = int(min(own / 0.1, others / 0.9, own / 0.5, others / 0.5))
    assert found.main.amount.pass_tokens == most


def test_a_share_that_the_kept_rows_cannot_give_says_what_they_can(home: Path) -> None:
    with pytest.raises(CurateError) as error:
        prepared(home, shares=(0.5, 0.9), tokens=500)
    said = str(error.value)
    assert "0.9 of 500 trained tokens are 450 of code, and the kept rows have" in said
    most = int(said.split("they give ")[1].split()[0])
    assert prepared(home, shares=(0.5, 0.9), tokens=most).main.amount.pass_tokens == most
    with pytest.raises(CurateError, match="of all other rows, and the kept rows have"):
        prepared(home, shares=(0.0, 0.1), tokens=900)


def test_a_group_that_is_not_there_says_which_are(home: Path) -> None:
    with pytest.raises(
        CurateError, match=r"called 'cod'; there is code\.jsonl, plain\.jsonl, c, py"
    ):
        prepared(home, "cod")


def test_shares_that_come_to_the_very_same_sets_are_refused(home: Path) -> None:
    with pytest.raises(CurateError, match=r"0\.1 and 0\.10000001 are the very same sets, as rows"):
        prepared(home, shares=(0.1, 0.10000001, 0.5))


def test_a_tiny_share_has_files_that_a_proof_knows_again(home: Path, tmp_path: Path) -> None:
    plan = prepared(home).plan
    (tmp_path / "plan.json").write_text(json.dumps(plan), "utf-8")
    write_cell(tmp_path, "plan", cell("selected.5e-05", 0, {"old": target([1.0, 2.0])}))
    assert goes_on(str(tmp_path), (), plan, force=False)


def test_no_share_at_all_has_one_name_however_it_is_written(home: Path) -> None:
    given = {"model": MODEL, "group": "code", "shares": (-0.0, 1)}
    _, found, _ = proof_options(home / "run", 0.01, **given)
    assert str(found.shares) == "(0.0, 1.0)"


def test_a_category_is_a_group_too_and_what_the_run_mixes_is_meant(
    home: Path, tmp_path: Path
) -> None:
    found = prepared(home, "py", (0.1, 0.2), tokens=300)
    py = rows_of_code(home, "category", "py")
    assert all(rows & py and rows - py for rows in selected(found, 0.2))
    mixed = write_sources(tmp_path, {"mix": {"of": "category"}})
    with pytest.raises(CurateError, match="no single category of the kept rows is called 'code'"):
        prepared(mixed)
    assert prepared(mixed, "py", (0.1, 0.2), tokens=200).axis.name == "mix.py"


def test_a_share_that_whole_rows_miss_is_said(home: Path) -> None:
    lines = list(notices_of(prepared(home, shares=(0.01, 0.5), tokens=240)))
    assert any(line.startswith("0.01 of code: up to 0.0") for line in lines)


def test_proof_json_has_the_verdicts_at_each_share_and_the_step_between(home: Path) -> None:
    proof = json.loads((home / "whole" / "proof.json").read_bytes())
    assert list(proof["amounts"]) == ["0.1", "0.5"]
    assert proof["plan"]["sweep"] == {"mix.code": [0.1, 0.5]}
    (step,) = proof["steps"]
    assert (step["baseline"], step["smaller"], step["larger"]) == ("selected", 0.1, 0.5)
    lines = proof["curve"]["lines"]
    assert [each["value"] for each in lines["selected"]] == [step["at_smaller"], step["at_larger"]]
    assert lines["random"][0] == lines["random"][1]
    assert list(proof["curve"]["stops"]) == ["selected"]


def test_the_page_has_the_curve_in_shares(home: Path) -> None:
    page = Page((home / "whole" / "proof.html").read_text("utf-8"))
    assert page.tags.count("svg") == 2 and "Bits per byte by share of code" in page.text
    assert "selected@50 % - selected@10 %: bits per byte" in page.text
    assert "--sweep mix.code=0.1,0.5" in page.text and "logarithmic" not in page.text


def test_the_command_gives_the_same_proof(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(home / "whole", tmp_path / "proof")
    assert main(command(home, tmp_path / "proof", "--sweep", "mix.code=0.1,.5")) == 0
    shown = capsys.readouterr().out
    assert "10 % of code: selected - random@" in shown and "50 % of code: selected - " in shown
    assert "bits per byte by share of code" in shown
    assert outcome(tmp_path / "proof") == outcome(home / "whole")


def test_a_dry_run_says_the_sets_at_each_share(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(home, tmp_path / "p", "--sweep", "mix.code=0.1,0.2,0.4", "--dry-run")) == 0
    shown = capsys.readouterr().out
    assert "at 20 % of code: 240 trained tokens in 4 steps, 2 seeds" in shown
    assert "8 trainings of about" in shown and "9 measurements of about" in shown
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("mix.code=0.1", "a single share has nothing to be compared with"),
        ("mix.code=0.5,0.1", "the smallest first: --sweep mix.code=0.1,0.5"),
        ("mix.code=0.1,0.1", "expected each once"),
        ("mix.code=0.1,1.5", "'1.5' is no share; expected numbers from 0 to 1"),
        ("mix.code=0.1,nan", "'nan' is no share"),
        ("mix.code=0.1,much", "'much' is no share"),
        ("mix.nothing=0.1,0.5", "there is code.jsonl, plain.jsonl"),
    ],
    ids=["single", "unsorted", "repeated", "large", "nan", "words", "unknown"],
)
def test_what_makes_no_sweep_of_shares_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], sweep: str, message: str
) -> None:
    assert main(command(home, tmp_path / "proof", "--sweep", sweep)) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "proof").exists()


@pytest.mark.slow
def test_a_stopped_sweep_goes_on_to_the_same_bytes(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "proof"
    with monkeypatch.context() as patch:
        stop_at(patch, "curate.proofs.proof_folder.write_cell", 4)
        with pytest.raises(StoppedError):
            proved(home, out)
    proved(home, out)
    assert outcome(out) == outcome(home / "whole")


def made(shifts: dict[float, float]) -> dict[float, list[Cell]]:
    """Selected rows whose losses lie so far above a common level at each share; one baseline."""
    draw = np.random.Generator(np.random.PCG64(3))
    common = draw.normal(1, 0.3, 40)

    def trained(name: str, shift: float) -> list[Cell]:
        moved = [common + shift + draw.normal(0, 0.002) for _ in range(5)]
        return [
            cell(name, seed, {"old": target((each + draw.normal(0, 0.002, 40)).tolist())})
            for seed, each in enumerate(moved)
        ]

    random = trained("random", 0.05)
    return {share: [*trained("selected", shift), *random] for share, shift in shifts.items()}


def test_a_share_that_is_too_large_is_worse_again_and_said_so() -> None:
    proof = judge_amounts(made({0.0: 0.06, 0.2: 0.0, 0.8: 0.1}), Design(draws=0), axis=Axis("code"))
    steps = {(each.smaller, each.larger): each.comparison.verdict for each in proof.steps}
    assert steps == {(0.0, 0.2): "better", (0.2, 0.8): "worse", (0.0, 0.8): "worse"}
    assert proof.curve.stops == {"selected": 0.2}
    verdicts = [each.overall[0].verdict for each in proof.proofs.values()]
    assert verdicts == ["worse", "better", "worse"]
    lines = proof.lines()
    assert "selected: beyond 20 % of code no step to the next share is shown to help" in lines
