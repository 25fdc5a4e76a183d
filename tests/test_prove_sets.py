"""What the sets of a proof are made of, and what is taken out of them before they are matched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import curate
from curate.base.errors import CurateError
from curate.base.log import no_log
from curate.pipeline.run_folder import RunFolder
from curate.proofs.design import Design
from curate.proofs.options import ProveOptions
from curate.proofs.prepared import Prepared
from curate.proofs.preparing import prepare
from tests.prove_toys import (
    EDITED,
    LEAST,
    MODEL,
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


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_target(tmp_path_factory.mktemp("target") / "old.jsonl")


def prepared(run: Path, **given: Any) -> Prepared:
    return prepare(run, options(**given), Design(), no_log)


def rows_of(found: Prepared, baseline: str) -> list[set[int]]:
    return [set(each.matched.rows) for each in found.sets if each.matched.baseline == baseline]


def texts_of(found: Prepared, baseline: str) -> dict[int, str]:
    """What a set trains, decoded, by row."""
    decode = found.tokenizer.backend.decode
    return {
        number: decode(ids)
        for each in found.sets
        if each.matched.baseline == baseline
        for number, ids in each.rendered.examples.select("row", "input_ids").iter_rows()
    }


def test_selected_rows_are_those_that_were_kept_and_random_ones_are_of_all(
    run: Path, target: str
) -> None:
    found = prepared(run, targets=(target,), tokens=None)
    kept = set(RunFolder.open(run).kept["row"].to_list())
    assert rows_of(found, "selected") == [kept, kept]
    first, second = rows_of(found, "random")
    assert first != second and all(each - kept for each in (first, second))
    assert all(each <= set(range(120)) for each in (first, second))


def test_raw_rows_have_the_words_that_were_read_and_full_ones_those_after_the_fixes(
    run: Path, target: str
) -> None:
    # Nearly as many tokens as all rows have: nearly every row is in both sets.
    tokens = int(prepared(run, targets=(target,)).cleaned.tokens.sum()) - 30
    found = prepared(run, targets=(target,), baselines=("full", "raw"), tokens=tokens)
    raw, full = texts_of(found, "raw"), texts_of(found, "full")
    for number in EDITED:
        assert "bob@marl.org" in raw[number] and "[EMAIL]" in full[number]
    others = set(raw) & set(full) - set(EDITED)
    assert len(others) > 100 and all(raw[each] == full[each] for each in others)


def test_raw_without_an_edited_row_is_left_out_and_said(tmp_path: Path, target: str) -> None:
    run = write_run(tmp_path, [row(n) for n in range(120) if n not in EDITED])
    found = prepared(run, targets=(target,), baselines=("random", "raw"))
    assert found.baselines == ("random",)
    assert any(line.startswith("raw is left out: no step of the run") for line in found.notices)
    with pytest.raises(CurateError, match="edited a row, so these would be the rows of full"):
        prepared(run, targets=(target,), baselines=("raw",))


def test_raw_is_refused_where_the_source_has_changed(tmp_path: Path, target: str) -> None:
    run = write_run(tmp_path)
    dump = tmp_path / "dump.jsonl"
    dump.write_text(dump.read_text("utf-8").replace("mill", "barn"), "utf-8")
    with pytest.raises(CurateError, match=r"baseline raw: what .* was made from has changed"):
        prepared(run, targets=(target,), baselines=("raw",))
    assert prepared(run, targets=(target,)).baselines == ("random",)
    dump.unlink()
    with pytest.raises(CurateError, match="not all that it was made from is there"):
        prepared(run, targets=(target,), baselines=("raw",))


def test_rows_that_repeat_a_target_are_in_no_set(run: Path, tmp_path: Path) -> None:
    """One row as it is, and one with a word put in; the target's other rows are nobody's."""
    copied, edited = row(8), row(19)
    longer = {"instruction": f"Please tell me, {edited['instruction']}", "output": "Here."}
    asked = "In which of the seven small towns by the sea did the old maker of this {} live then?"
    new = [{"instruction": asked.format(name), "output": "In none."} for name in ("a", "b", "c")]
    path = write_lines(tmp_path / "near.jsonl", [copied, *new, longer])
    found = prepared(run, targets=(path,), tokens=None, baselines=("random", "full"))
    assert found.cleaned.overlapping == found.selected.overlapping == {8}
    for baseline in ("selected", "random", "full"):
        assert all(8 not in rows for rows in rows_of(found, baseline))
    assert "1 rows of the run repeat a row of a target" in " ".join(found.notices)


def test_near_copies_are_found_as_well(tmp_path: Path, target: str) -> None:
    question = "Which of the three bridges over the river at Brun was built first by the monks?"
    typo = question.replace("monks", "mnoks").replace("Which of", "Say which of")
    rows = [row(number) for number in range(120)]
    rows[9]["instruction"] = typo
    run = write_run(tmp_path, rows)
    others = [json.loads(line) for line in Path(target).read_text("utf-8").splitlines()]
    asked = {"instruction": question, "output": "The one of wood."}
    path = write_lines(tmp_path / "asked.jsonl", [asked, *others])
    assert prepared(run, targets=(path,)).cleaned.overlapping == {9}


def test_a_target_that_mostly_is_in_the_run_is_refused(run: Path, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "seen.jsonl", [row(number) for number in range(10)])
    with pytest.raises(CurateError, match="10 of its 10 rows are among those of the run, so it"):
        prepared(run, targets=(path,))


def test_without_targets_rows_are_held_out_of_every_set(run: Path) -> None:
    found = prepared(run, tokens=None, baselines=("random", "longest", "full"))
    (target,) = found.targets
    ids = set(target.records["id"].to_list())
    assert target.name == "pool" and len(ids) == target.records.height == 12
    for each in found.sets:
        assert not ids & set(each.rendered.examples["id"].to_list())
    assert any("they favour random rows" in line for line in found.notices)
    again = prepared(run, seeds=3)
    assert set(again.targets[0].records["id"].to_list()) == ids


def test_too_few_rows_to_hold_some_out_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path, [row(number) for number in range(60)])
    with pytest.raises(CurateError, match="only 60 different rows, too few to hold some out"):
        prepared(run)


def test_rows_without_room_in_the_model_are_counted(tmp_path: Path, target: str) -> None:
    rows = [row(number) for number in range(120)]
    rows[9]["output"] = "word " * 900
    found = prepared(write_run(tmp_path, rows), targets=(target,))
    assert found.cleaned.refused == {"too_long": 1}
    assert "selected: 1 rows cannot be rendered (1 too_long)" in found.notices


def test_a_target_row_without_room_is_left_out_and_one_of_other_things_is_refused(
    run: Path, tmp_path: Path, target: str
) -> None:
    rows = [json.loads(line) for line in Path(target).read_text("utf-8").splitlines()]
    rows[0]["output"] = "word " * 900
    (found,) = prepared(run, targets=(write_lines(tmp_path / "t.jsonl", rows),)).targets
    assert found.records.height == 5 and found.left_out == {"too_long": 1}
    text = tmp_path / "tale.txt"
    text.write_text("Once upon a time.", "utf-8")
    with pytest.raises(CurateError, match=r"tale\.txt: holds text; a target is conversations"):
        prepared(run, targets=(str(text),))
    with pytest.raises(CurateError, match="no such file or folder to measure on"):
        prepared(run, targets=(str(tmp_path / "absent.jsonl"),))


def test_a_run_that_kept_nothing_or_everything_is_refused(tmp_path: Path, target: str) -> None:
    dump = write_lines(tmp_path / "dump.jsonl", [row(number) for number in range(120)])
    for name, least in (("none", 500), ("all", 1)):
        steps: list[Any] = [{"length": {"unit": "words", "min": least}}]
        curate.run(dump, steps=steps, out=tmp_path / name, cache=False)
    with pytest.raises(CurateError, match="the run kept no rows"):
        prepared(tmp_path / "none", targets=(target,))
    with pytest.raises(CurateError, match="the run dropped no row, so every baseline would be"):
        prepared(tmp_path / "all", targets=(target,))
    with pytest.raises(CurateError, match="not a folder written by curate run"):
        prepared(tmp_path, targets=(target,))


def test_the_plan_names_every_set_by_its_hash_and_its_tokens(run: Path, target: str) -> None:
    plan = prepared(run, targets=(target,)).plan
    assert [(each["baseline"], each["seed"]) for each in plan["sets"]] == [
        ("selected", 0),
        ("selected", 1),
        ("random", 0),
        ("random", 1),
    ]
    assert len({each["sha256"] for each in plan["sets"]}) == 4  # selected is cut by seed
    assert all(abs(each["trained_tokens"] / 240 - 1) < 0.1 for each in plan["sets"])
    assert plan["design"]["primary"] == "bits_per_byte"
    assert plan["targets"][0]["rows"] == 6 and len(plan["targets"][0]["measured_sha256"]) == 64
    assert json.loads(json.dumps(plan)) == plan
    assert plan == prepared(run, targets=(target,)).plan


def test_answers_that_were_dropped_are_shorter(run: Path, target: str) -> None:
    """The toys are what they say: length decides what is kept."""
    found = RunFolder.open(run)
    words = pl.col("messages").list.get(1).struct.field("content").str.split(" ").list.len()
    assert found.kept.select(words.min()).item() >= LEAST
    assert found.dropped.select(words.max()).item() < LEAST


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"seeds": 1},
            "seeds=1: one training of each says nothing of how much .* 3 or more",
        ),
        ({"baselines": ("randm",)}, "baselines: 'randm' is no baseline; did you mean 'random'?"),
        ({"baselines": ()}, "baselines: names none; expected some of random, longest, full, raw"),
        ({"baselines": ("full", "full")}, "baselines: names one twice"),
        ({"tokens": 0}, "tokens=0: expected a whole number from 1"),
        ({"answers": 1}, "answers=1: one prompt alone says nothing"),
        ({"instructions": 1}, "instructions=1: one prompt alone says nothing"),
        ({"answers": -1}, "answers=-1: expected a whole number from 0"),
        ({"training": {"batch_size": 8}}, "batch_size is not to be set: steps are cut by trained"),
        ({"training": {"seed": 8}}, "seed is not to be set: each training has its own; seeds says"),
        ({"training": {"num_train_epochs": 2}}, "tokens and num_train_epochs both say how long"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_what_makes_no_proof_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(CurateError, match=message.replace("?", r"\?")):
        options(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"training": {"learning_rat": 1}}, "did you mean 'learning_rate'"),
        ({"training": {"method": "everything"}}, "method is 'everything'; expected one of"),
        ({"template": "chatmll"}, "chatmll"),
        ({"model": "no/such/folder"}, "no/such/folder"),
    ],
    ids=["setting", "method", "template", "model"],
)
def test_training_model_and_template_are_checked_before_rows_are_read(
    run: Path, target: str, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(CurateError, match=message):
        prepared(run, targets=(target,), **given)


def test_a_model_without_room_for_any_row_is_refused(
    run: Path, target: str, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    shutil.copytree(MODEL, small)
    config = json.loads((small / "config.json").read_bytes())
    (small / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 8}))
    with pytest.raises(CurateError, match=r"none of its 120 rows can be rendered .*at most 8 are"):
        prepared(run, model=str(small), targets=(target,))


def test_where_more_is_trained_than_there_is_sets_are_read_again_and_steps_stay_equal(
    run: Path, target: str
) -> None:
    own = int(prepared(run, targets=(target,)).selected.tokens.sum())
    found = prepared(run, targets=(target,), tokens=round(2.4 * own), baselines=("random",))
    assert len({each.matched.steps for each in found.sets}) == 1
    assert all(each.epochs == pytest.approx(2.4, rel=0.05) for each in found.sets)
    assert all(abs(each.taken / found.amount.tokens - 1) < 0.02 for each in found.sets)
    once = ("full",)
    with pytest.raises(CurateError, match=r"full has only .* tokens, and its rows are read once"):
        prepared(run, targets=(target,), tokens=round(2.4 * own), baselines=once)


def test_lora_is_trained_where_nothing_is_said() -> None:
    assert ProveOptions(model="m").settings["method"] == "lora"
    assert "method" not in ProveOptions(model="m", training={"preset": "alpaca"}).settings
    assert ProveOptions(model="m", training={"num_train_epochs": 4}).epochs == 4
