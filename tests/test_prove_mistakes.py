"""What a user may name wrongly for a proof, and what is said of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.base.errors import CurateError
from curate.base.log import no_log
from curate.proofs.design import Design
from curate.proofs.prepared import Prepared
from curate.proofs.preparing import prepare
from tests.prove_toys import (
    LEAST,
    MODEL,
    THINGS,
    options,
    row,
    write_lines,
    write_run,
    write_target,
)

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


def prepared(run: Path, **given: Any) -> Prepared:
    return prepare(run, options(**given), Design(), no_log)


def said(found: Prepared, beginning: str) -> list[str]:
    return [line for line in found.notices if line.startswith(beginning)]


def asked(*numbers: int) -> list[dict[str, str]]:
    return [
        {"instruction": f"Who made the {THINGS[number]} of Marl?", "output": "A maker did."}
        for number in numbers
    ]


def test_a_prompt_counts_once_however_often_targets_have_it(run: Path, tmp_path: Path) -> None:
    one = write_lines(tmp_path / "one.jsonl", asked(0, 1, 2, 0))
    other = write_lines(tmp_path / "other.jsonl", asked(2, 3, 4))
    found = prepared(run, targets=(one, other))
    assert [target.records.height for target in found.targets] == [3, 2]
    assert said(found, "target") == [
        "target one: 1 of its rows cannot be measured (1 repeated)",
        "target other: 1 of its rows cannot be measured (1 repeated)",
    ]


def test_a_target_that_is_named_twice_is_refused(run: Path, tmp_path: Path) -> None:
    one = write_target(tmp_path / "one.jsonl")
    copy = shutil.copy(one, tmp_path / "copy.jsonl")
    with pytest.raises(CurateError, match=r"copy\.jsonl: 6 of its 6 rows repeat others"):
        prepared(run, targets=(one, str(copy)))


def test_target_rows_that_cannot_be_rendered_are_counted_aloud(run: Path, tmp_path: Path) -> None:
    rows = [*asked(0, 1, 2), {"instruction": "Who made it?", "output": ""}]
    found = prepared(run, targets=(write_lines(tmp_path / "one.jsonl", rows),))
    assert said(found, "target") == ["target one: 1 of its rows cannot be measured (1 empty)"]


def test_raw_without_its_sources_says_that_it_can_be_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    (tmp_path / "dump.jsonl").unlink()
    target = write_target(tmp_path / "old.jsonl")
    with pytest.raises(CurateError, match="leave raw out of baselines"):
        prepared(run, baselines=("raw",), targets=(target,))


def test_a_reward_model_is_refused_before_anything_is_written(run: Path, tmp_path: Path) -> None:
    judge = shutil.copytree(MODEL, tmp_path / "judge")
    config = json.loads((judge / "config.json").read_text())
    config["architectures"] = ["LlamaForSequenceClassification"]
    (judge / "config.json").write_text(json.dumps(config))
    with pytest.raises(CurateError, match="is a reward model"):
        curate.prove(run, model=judge, template="chatml", out=tmp_path / "proof")
    assert not (tmp_path / "proof").exists()


def test_a_baseline_of_the_selected_rows_themselves_is_said(run: Path, tmp_path: Path) -> None:
    rows = [row(number) for number in range(60)]
    steps: list[Any] = [{"length": {"unit": "words", "min": LEAST}}]
    curate.run(
        write_lines(tmp_path / "dump.jsonl", rows), steps=steps, out=tmp_path / "run", cache=False
    )
    target = write_target(tmp_path / "old.jsonl")
    given = {"baselines": ("random", "longest"), "targets": (target,), "tokens": None}
    found = prepared(tmp_path / "run", **given)
    assert said(found, "longest") == [
        "longest: 100% of its trained tokens are of rows that selected has too, and nothing else "
        "is compared"
    ]
    (random,) = said(found, "random")
    assert random.endswith("only the others can differ")
    assert not any("selected has" in line for line in prepared(run, targets=(target,)).notices)


def test_another_plan_is_told_apart_by_what_was_asked_for(run: Path, tmp_path: Path) -> None:
    first, second = (write_lines(tmp_path / f"{n}.jsonl", asked(n, n + 1)) for n in (0, 4))
    given: dict[str, Any] = {
        "model": MODEL, "template": "chatml", "baselines": ["random"], "seeds": 2,
        "training": {"method": "full"}, "out": tmp_path / "proof",
    }  # fmt: skip
    plan = prepared(run, targets=(first,), tokens=240).plan
    (tmp_path / "proof").mkdir()
    (tmp_path / "proof" / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(CurateError, match=r"another plan \((amount\.asked_for|targets|training)"):
        curate.prove(run, targets=[second], tokens=300, **given)
