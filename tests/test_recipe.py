from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from curate.cli import main
from curate.pipeline import recipe
from curate.pipeline.runner import run
from filters import FILTERS, FIXES


def write(folder: Path, text: str) -> str:
    path = folder / "recipe.yaml"
    path.write_text(text, "utf-8")
    return str(path)


def test_a_recipe_binds_names_settings_and_the_seed(tmp_path: Path) -> None:
    text = "seed: 7\nsteps:\n  - exact\n  - near: {threshold: 0.9, keep: longest}\n"
    loaded = recipe.load(write(tmp_path, text))
    assert [step.name for step in loaded.steps] == ["exact", "near"]
    near: Any = loaded.steps[1].action
    assert (near.threshold, near.keep, near.seed) == (0.9, "longest", 7)


def test_a_step_that_comes_twice_gets_a_number(tmp_path: Path) -> None:
    loaded = recipe.load(write(tmp_path, "steps: [exact, near, near]"))
    assert [step.name for step in loaded.steps] == ["exact", "near", "near-2"]


def test_set_overrides_a_field_of_a_step(tmp_path: Path) -> None:
    path = write(tmp_path, "steps:\n  - near: {threshold: 0.9}\n")
    near: Any = recipe.load(path, {"near.threshold": 0.7}).steps[0].action
    assert near.threshold == 0.7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: [exakt]", "unknown step 'exakt'; did you mean 'exact'"),
        ("steps: [{near: {treshold: 1}}]", "no setting 'treshold'; did you mean 'threshold'"),
        ("steps: [{near: {threshold: high}}]", "threshold is 'high'; expected a number"),
        ("steps: [{near: {threshold: 7}}]", "threshold"),
        ("steps: [{near: {keep: bset}}]", "keep is 'bset'; expected one of first, longest, best"),
        ("steps: [{near: 0.8}]", "expected field: value"),
        ("steps: [{near: {}, exact: {}}]", "expected a name, or one name with settings"),
        ("stpes: []", "needs a list called 'steps'"),
        ("seeds: 1\nsteps: []", "unknown entry 'seeds'; known are seed and steps"),
        ("seed: x\nsteps: []", "expected a whole number"),
        ("steps: [", "not valid YAML"),
        ("steps: ['nowhere.py:f']", "no such file beside the recipe"),
        ("steps: ['no.such.module:f']", "No module named"),
        ("steps: ['json:nothing']", "json has no 'nothing'"),
        ("steps: [{select: {budget: 5, by: reward.score}}]", "no earlier step is called 'reward'"),
    ],
)
def test_every_mistake_in_a_recipe_is_one_clear_message(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(CurateError) as error:
        recipe.load(write(tmp_path, text))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("near", "expected step.field"),
        ("near.", "expected step.field"),
        ("naer.threshold", "no step 'naer' in the recipe; did you mean 'near'"),
        ("near.treshold", "did you mean 'threshold'"),
    ],
)
def test_every_mistake_in_a_changed_setting_is_one_clear_message(
    tmp_path: Path, target: str, message: str
) -> None:
    path = write(tmp_path, "steps: [near]")
    with pytest.raises(CurateError) as error:
        recipe.load(path, {target: 1})
    assert message in str(error.value)
    with pytest.raises(CurateError) as error:
        recipe.load(path).with_settings({target: 1})
    assert message in str(error.value)


def test_a_former_name_of_a_setting_is_answered_with_the_present_one(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="the setting 'spare' is now 'exempt'"):
        recipe.load(write(tmp_path, "steps: [{near: {spare: same_prompt}}]"))


def test_a_missing_recipe_names_the_bundled_ones() -> None:
    with pytest.raises(CurateError, match="there is: default"):
        recipe.load("nowhere.yaml")


# (The model that `superfilter` needs is the user's to name.)
@pytest.mark.parametrize("name", [name for name in recipe.BUNDLED if name != "superfilter"])
def test_bundled_recipes_bind(name: str) -> None:
    assert recipe.load(name).steps


def test_a_plain_function_beside_the_recipe_is_a_filter(tmp_path: Path, conversation: Any) -> None:
    (tmp_path / "mine.py").write_text(
        "def no_urls(record):\n"
        "    return 'has_url' if 'http' in record['response'] else len(record['response']) > 1\n"
    )
    loaded = recipe.load(write(tmp_path, "steps: ['mine.py:no_urls']"))
    result = run(conversation(("q", "see http://x.y"), ("q", "fine"), ("q", "n")), loaded.steps)
    assert result.kept.to_list() == [False, True, False]
    assert loaded.steps[0].name == "no_urls"
    assert result.steps[0].reasons == {"has_url": 1, "rejected_by_function": 1}


def test_a_function_that_answers_neither_bool_nor_reason_is_named(
    tmp_path: Path, conversation: Any
) -> None:
    (tmp_path / "odd.py").write_text("def f(record):\n    return 3\n")
    loaded = recipe.load(write(tmp_path, "steps: ['odd.py:f']"))
    with pytest.raises(CurateError, match=r"odd.py:f returned 3 for row 0"):
        run(conversation(("q", "a")), loaded.steps)


@pytest.mark.parametrize("name", [*FILTERS, *FIXES])
def test_every_filter_documents_its_settings_and_reasons(name: str) -> None:
    import dataclasses

    kind: Any = {**FILTERS, **FIXES}[name]
    assert kind.name == name
    assert kind.__doc__
    assert all(field.metadata.get("help") for field in dataclasses.fields(kind))
    assert all(sentence for sentence in kind.reasons.values())


def test_code_that_a_setting_names_is_found_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "encoders.py").write_text("class Mine:\n    encode = print\n", "utf-8")
    text = "steps:\n  - semantic: {encoder: 'encoders.py:Mine'}\n"
    semantic: Any = recipe.load(write(tmp_path, text)).steps[0].action
    assert semantic.encoder == f"{tmp_path / 'encoders.py'}:Mine"
    # What is not there is left as it is: it may be a name on a hub, or a folder from here.
    with pytest.raises(CurateError, match=r"other\.py"):
        recipe.load(write(tmp_path, "steps:\n  - semantic: {encoder: 'other.py:Mine'}\n"))


def test_steps_and_encoders_may_be_modules_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "of_my_own").mkdir()
    (tmp_path / "of_my_own" / "parts.py").write_text(
        "def encode(texts):\n    return [[1.0, float('far' in text)] for text in texts]\n\n\n"
        "def short(record):\n    return len(record['response']) < 9\n"
    )
    rows = '{"instruction": "a", "output": "b"}\n{"instruction": "c", "output": "far too long"}\n'
    (tmp_path / "dump.jsonl").write_text(rows)
    steps = 'steps: [{semantic: {encoder: "of_my_own.parts:encode"}}, "of_my_own.parts:short"]'
    (tmp_path / "recipe.yaml").write_text(steps)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    words = ["run", "dump.jsonl", "--recipe", "recipe.yaml", "--out", "RUN"]
    assert main(words) == 0
    assert "semantic: 2 rows, 0 dropped\nshort: 2 rows, 1 dropped" in capsys.readouterr().out
