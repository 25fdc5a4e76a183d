"""When a result may take the place of an earlier one, and what is said of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.base.folder import MANIFEST
from curate.cli import main
from tests.templates_toys import byte_level

SEA = [{"prompt": f"What is sea {n}?", "response": f"Much water, and {n} fish."} for n in range(4)]
SKY = [{"prompt": f"What is sky {n}?", "response": f"Much air, and {n} birds."} for n in range(4)]
PAIR = {"prompt": "Say b.", "chosen": "Bee.", "rejected": "Sea."}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write("sea.jsonl", SEA)
    write("sky.jsonl", SKY)
    Path("recipe.yaml").write_text("steps: [exact, {near: {threshold: 0.7}}]")
    return tmp_path


def write(name: str, rows: list[dict[str, Any]]) -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def run(*words: str) -> int:
    return main(["run", *words, "--recipe", "recipe.yaml", "--quiet", "--out", "RUN"])


def sources(folder: str = "RUN") -> list[str]:
    return [one["source"] for one in json.loads(Path(folder, MANIFEST).read_text())["sources"]]


def error(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", text)


def test_a_run_of_other_data_is_not_replaced_without_force(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("sea.jsonl") == 0
    before = {path.name: path.read_bytes() for path in Path("RUN").iterdir()}
    assert run("sky.jsonl") == 1
    assert error(capsys) == (
        "curate: RUN: holds the run of TIME, made from other data (sea.jsonl); choose another "
        "--out, or --force\n"
    )
    assert {path.name: path.read_bytes() for path in Path("RUN").iterdir()} == before
    assert run("sky.jsonl", "--force") == 0
    assert error(capsys) == (
        "curate: RUN: replaces the run of TIME, made from other data (sea.jsonl)\n"
    )
    assert sources() == ["sky.jsonl"]


@pytest.mark.parametrize(
    ("words", "how"),
    [
        ([], "made the same way"),
        (["--set", "near.threshold=0.8"], "with other settings (near.threshold 0.7 -> 0.8)"),
        (["--format", "prompt-completion"], "with other settings (format None -> prompt-comple"),
    ],
)
def test_a_run_of_the_same_data_is_replaced_and_what_differs_is_said(
    words: list[str], how: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("sea.jsonl") == 0 and run("sea.jsonl", *words) == 0
    assert error(capsys).startswith(f"curate: RUN: replaces the run of TIME, {how}")


def test_another_list_of_steps_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("sea.jsonl") == 0
    Path("recipe.yaml").write_text("steps: [exact]")
    assert run("sea.jsonl") == 0
    assert "(steps exact, near -> exact)\n" in error(capsys)


def test_a_file_that_was_written_anew_is_the_same_input_and_said_to_have_changed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("sea.jsonl") == 0
    write("sea.jsonl", SEA[:2])
    assert run(str(here / "sea.jsonl")) == 0  # by its full name it is the same file
    assert error(capsys).endswith(f"made the same way; {here / 'sea.jsonl'} has changed since\n")


def test_a_renamed_file_is_the_same_input(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("sea.jsonl") == 0
    Path("sea.jsonl").rename("ocean.jsonl")
    assert run("ocean.jsonl") == 0
    assert error(capsys) == "curate: RUN: replaces the run of TIME, made the same way\n"


def test_inputs_may_be_added_and_none_may_be_left_out(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("sea.jsonl") == 0 and run("sea.jsonl", "sky.jsonl") == 0
    assert error(capsys).endswith("made the same way; sky.jsonl has been added\n")
    assert run("sky.jsonl") == 1
    assert "made from other data (sea.jsonl)" in error(capsys)


def test_a_run_without_a_kept_row_replaces_none_that_has_some(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("sea.jsonl") == 0
    Path("recipe.yaml").write_text("steps: [exact, {length: {action: limit, min: 99}}]")
    assert run("sea.jsonl") == 1
    assert error(capsys).endswith(
        "curate: RUN: no row was kept, most were dropped by length (4 of 4); the earlier run "
        "there, with 4 rows, is left as it is; choose another --out to see the report, or "
        "--force\n"
    )
    assert len(Path("RUN", "kept.jsonl").read_text().splitlines()) == 4
    assert run("sea.jsonl", "--force") == 0
    assert Path("RUN", "kept.jsonl").read_text() == ""
    assert run("sea.jsonl") == 0  # an empty run may follow an empty one


def test_rows_in_memory_are_the_same_input_only_where_they_are_equal(tmp_path: Path) -> None:
    out = tmp_path / "RUN"
    curate.run(SEA, steps=["exact"], out=out)
    again = curate.run([dict(row) for row in SEA], steps=["exact"], out=out)
    assert again.notices[0].endswith(", made the same way")
    message = r"from other data \(<rows>\); choose another out, or force=True$"
    with pytest.raises(curate.CurateError, match=message):
        curate.run(SKY, steps=["exact"], out=out)
    assert curate.run(SKY, steps=["exact"], out=out, force=True).counts["kept"] == 4


def test_a_run_that_is_saved_replaces_none_of_other_data(tmp_path: Path) -> None:
    sea, sky = (curate.run(rows, steps=["exact"]) for rows in (SEA, SKY))
    sea.save(tmp_path / "RUN")
    with pytest.raises(curate.CurateError, match="made from other data"):
        sky.save(tmp_path / "RUN")
    sky.save(tmp_path / "RUN", force=True)
    assert curate.open(tmp_path / "RUN").to_dicts() == sky.to_dicts()


def test_kept_rows_that_were_corrected_by_hand_are_never_replaced(here: Path) -> None:
    assert run("sea.jsonl") == 0
    Path("RUN", "kept.jsonl").write_text("corrected")
    assert run("sea.jsonl") == 1 == run("sea.jsonl", "--force")
    assert Path("RUN", "kept.jsonl").read_text() == "corrected"


@pytest.mark.parametrize("odd", [None, 7, [], [7], [{}], {"source": "sea.jsonl"}])
def test_a_run_that_does_not_say_from_what_it_was_made_is_not_replaced(
    odd: Any, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("sea.jsonl") == 0
    manifest = json.loads(Path("RUN", MANIFEST).read_text()) | {"sources": odd, "steps": odd}
    Path("RUN", MANIFEST).write_text(json.dumps(manifest))
    assert run("sea.jsonl") == 1
    assert "RUN: holds the run of TIME, made " in error(capsys)


@pytest.fixture
def tokenizer(here: Path) -> str:
    Path("tokenizer").mkdir()
    Path("tokenizer", "tokenizer.json").write_text(byte_level().backend.to_str())
    Path("tokenizer", "tokenizer_config.json").write_text('{"eos_token": "<|eos|>"}')
    return "tokenizer"


def test_tokens_of_other_data_are_not_replaced_of_another_template_they_are(
    tokenizer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("datasets")

    def render(source: str, *words: str) -> int:
        made = ["render", source, "--tokenizer", tokenizer, "--quiet", "--out", "TOKENS"]
        return main([*made, "--template", "chatml", *words])

    assert render("sea.jsonl") == 0 == render("sea.jsonl", "--max-length", "500")
    assert error(capsys) == (
        "curate: TOKENS: replaces the tokens of TIME, with other settings (max_length None -> 500)"
        "\n"
    )
    assert render("sky.jsonl") == 1
    assert "TOKENS: holds the tokens of TIME, made from other data (sea.jsonl)" in error(capsys)
    assert sources("TOKENS") == ["sea.jsonl"]
    assert render("sky.jsonl", "--force") == 0 == render("sky.jsonl", "--template", "zephyr")
    assert re.search(r"settings \(template chatml \(\w+\) -> zephyr \(\w+\)\)\n$", error(capsys))
    assert sources("TOKENS") == ["sky.jsonl"]


def test_tokens_in_memory_are_saved_over_none_of_other_data(tokenizer: str) -> None:
    pytest.importorskip("datasets")
    sea, sky = (
        curate.render(curate.run(rows, steps=[]), template="chatml", tokenizer=tokenizer)
        for rows in (SEA, SKY)
    )
    sea.save("TOKENS")
    assert sources("TOKENS") == ["<run>"]
    with pytest.raises(curate.CurateError, match=r"other data \(<run>\); choose another out"):
        sky.save("TOKENS")
    sea.save("TOKENS")
    assert sea.notices[-1].endswith(", made the same way")


def test_pairs_of_other_data_are_not_replaced(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("one.jsonl", [PAIR])
    write("two.jsonl", [PAIR | {"prompt": "Say c."}])
    words = ["--from", "rejected", "--quiet", "--out", "PAIRS"]
    assert main(["pairs", "one.jsonl", *words]) == 0 == main(["pairs", "one.jsonl", *words])
    assert error(capsys) == "curate: PAIRS: replaces the pairs of TIME, made the same way\n"
    assert main(["pairs", "two.jsonl", *words]) == 1
    assert "PAIRS: holds the pairs of TIME, made from other data (one.jsonl)" in error(capsys)
