"""curate eval --suite on a tiny model: what is measured, written, kept and refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import curate
from curate.base.errors import CurateError
from curate.cli import main
from tests.checkpoint_toys import change_json, change_tensors, write_letters
from tests.trainer_toys import silent, write_model

ANSWERS = ["ab cd", "Yes", "no, not now", "It is so.", "a", "b c d e"]
TEMPLATE = (
    "{% for message in messages %}{{ '<s>' if message.role == 'user' else '' }}"
    "{{ message.content }}{{ '\\n' if message.role == 'user' else '</s>' }}{% endfor %}"
)
FILE = "held.jsonl"
SMALL: dict[str, Any] = {"max_tokens": 6, "prompts": 5}
LOSS: dict[str, Any] = {"only": ["loss"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, another with other weights, and a file of rows."""
    folder = tmp_path_factory.mktemp("suite")
    for name, seed in (("base", 0), ("other", 1)):
        known = write_letters(folder / name)
        sizes = {"vocab_size": 4 + len(known), "max_position_embeddings": 1200}
        write_model(folder / name, seed=seed, **sizes)
        (folder / name / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    write_file(folder / FILE, ANSWERS)
    return folder


def write_file(path: Path, answers: list[str]) -> Path:
    rows = [
        {"instruction": f"Say number {at}.", "output": answer} for at, answer in enumerate(answers)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def suite(made: Path, *files: Path | str, log: Callable[[str], None] = silent, **more: Any) -> Any:
    given = {**SMALL, **more}
    return curate.evaluate_suite(made / "base", files, log=log, **given)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_every_part_is_measured_on_every_file_apart(made: Path, tmp_path: Path) -> None:
    longer = write_file(tmp_path / "longer.jsonl", ["What " * 9] * 4)
    found = suite(made, made / FILE, longer)
    [model] = found.models
    assert [each.measured for each in model.files] == [6, 4]
    for each in model.files:
        assert each.loss.bits_per_byte.rows == each.stops.rows == each.lengths.rows == each.measured
    assert model.files[0].lengths.characters.reference == tuple(
        np.quantile([len(each) for each in ANSWERS], (0.05, 0.25, 0.5, 0.75, 0.95))
    )
    assert model.files[1].lengths.words.reference == (9.0,) * 5
    assert model.instructions.prompt_strict.rows == 5
    assert model.stops == {"ids": [2], "strings": []}
    assert model.format["template"] == "tokenizer"


def test_the_same_input_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        suite(made, made / FILE, out=tmp_path / name, temperature=1.0, seed=3)
    one, two = bytes_of(tmp_path / "one"), bytes_of(tmp_path / "two")
    assert set(one) == {"answers.jsonl", "eval.json", "manifest.json"}
    assert one == two
    suite(made, made / FILE, out=tmp_path / "three", temperature=1.0, seed=4)
    assert bytes_of(tmp_path / "three")["answers.jsonl"] != one["answers.jsonl"]


def test_a_run_that_is_interrupted_goes_on_with_the_answers_it_has(
    made: Path, tmp_path: Path
) -> None:
    suite(made, made / FILE, out=tmp_path / "whole")
    out, lines = tmp_path / "EVAL", list[str]()

    def stop(line: str) -> None:
        if "prompts with instructions" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        suite(made, made / FILE, out=out, log=stop)
    waiting = tmp_path / ".EVAL.answers.jsonl"
    assert not out.exists() and len(waiting.read_text().splitlines()) == 6
    waiting.write_bytes(waiting.read_bytes() + b'{"key": "cut sho')  # as kill -9 may leave it
    suite(made, made / FILE, out=out, log=lines.append)
    assert "6 of 6 answers were written before" in lines
    assert bytes_of(out) == bytes_of(tmp_path / "whole")
    assert not waiting.exists()


def test_answers_are_taken_from_an_earlier_evaluation_but_not_those_of_other_weights(
    made: Path, tmp_path: Path
) -> None:
    out = tmp_path / "EVAL"
    suite(made, made / FILE, out=out)
    lines = list[str]()
    suite(made, made / FILE, out=out, log=lines.append)
    assert [line for line in lines if "before" in line] == [
        "6 of 6 answers were written before",
        "5 of 5 answers were written before",
    ]
    suite(made, made / FILE, out=out, log=lines.append, max_tokens=7, only=["stops"])
    assert sum("before" in line for line in lines) == 2  # another cap, other answers
    copy = tmp_path / "copy"
    shutil.copytree(made / "base", copy)
    change_tensors(copy, lambda found: found["model.norm.weight"].mul_(1.5))
    lines.clear()
    curate.evaluate_suite(
        copy, [made / FILE], out=out, force=True, log=lines.append, only=["stops"], **SMALL
    )
    assert not [line for line in lines if "before" in line]


def test_a_model_differs_from_itself_by_nothing_and_from_another_by_pairs(made: Path) -> None:
    found = suite(made, made / FILE, against=[made / "base", made / "other"])
    same, other = found.comparisons
    assert same.files[0].loss.bits_per_byte.value == 0
    assert same.files[0].loss.bits_per_byte.high == 0
    assert same.files[0].lengths.tokens.value == 0
    ours, theirs = (each.files[0].loss for each in (found.models[0], found.models[2]))
    apart = other.files[0].loss
    assert apart.rows == 6 and apart.nats_per_token is not None
    expected = ours.bits_per_byte.value - theirs.bits_per_byte.value
    assert apart.bits_per_byte.value == pytest.approx(expected)


def test_a_base_without_a_template_is_asked_with_a_plain_one_and_that_is_said(
    made: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(made / "base", plain)
    (plain / "chat_template.jinja").unlink()
    change_json(plain / "tokenizer_config.json", lambda told: told.pop("chat_template", None))
    found = curate.evaluate_suite(plain, [made / FILE], only=["loss"])
    [notice] = [line for line in found.notices if "no chat template" in line]
    assert "'simple'" in notice
    named = curate.evaluate_suite(plain, [made / FILE], only=["loss"], template="alpaca")
    assert named.notices == () and named.models[0].format["template"] == "alpaca"


def test_tokens_give_the_numbers_of_the_rows_they_were_rendered_from(
    made: Path, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    curate.render(made / FILE, tokenizer=str(made / "base"), out=tokens)
    found = suite(made, made / FILE, tokens, only=["loss", "lengths"])
    one, other = found.models[0].files
    assert one.loss == other.loss and one.lengths.tokens == other.lengths.tokens


def test_a_plain_text_has_a_loss_and_no_answers(made: Path, tmp_path: Path) -> None:
    text = tmp_path / "page.txt"
    text.write_text("One more line.\nIt goes on " * 100, encoding="utf-8")
    found = suite(made, text, only=["loss", "stops"])
    [each] = found.models[0].files
    assert each.loss is not None and each.stops is None
    assert each.loss.bytes == text.stat().st_size


def test_lengths_are_beside_a_reference_that_is_named(made: Path, tmp_path: Path) -> None:
    reference = write_file(tmp_path / "reference.jsonl", ["1234567"] * 3)
    found = suite(made, made / FILE, only=["lengths"], reference=reference)
    lengths = found.models[0].files[0].lengths
    assert lengths.tokens.reference == (7.0,) * 5 and lengths.reference_rows == 3


def test_rows_are_drawn_by_the_seed_and_what_is_left_out_is_counted(
    made: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "odd.jsonl"
    good = (made / FILE).read_text()
    long = json.dumps({"instruction": "Go on.", "output": "on " * 500})
    odd.write_text(f"{good}{long}\nnot json\n", encoding="utf-8")
    found = suite(made, odd, **LOSS)
    assert found.files[0]["read"] == 8 and found.files[0]["rejects"] == {"invalid_json": 1}
    assert found.models[0].files[0].left_out == {"too_long": 1}
    some = suite(made, made / FILE, max_rows=3, **LOSS)
    assert some.models[0].files[0].measured == 3
    assert "3 of 6 rows are measured, drawn by the seed" in some.notices[0]


def test_the_same_content_twice_is_two_rows(made: Path, tmp_path: Path) -> None:
    twice = tmp_path / "twice.jsonl"
    twice.write_text((made / FILE).read_text() * 2, encoding="utf-8")
    assert suite(made, twice, **LOSS).models[0].files[0].measured == 12


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.jsonl", None, "there is no such file or folder"),
        ("empty.jsonl", "", "empty"),
        ("empty.txt", " \n", "is empty, so there is nothing to measure on"),
        ("asks.jsonl", '{"messages": [{"role": "user", "content": "hi"}]}\n', "no_answer"),
    ],
)
def test_files_with_nothing_to_measure_are_a_sentence(
    name: str, content: str | None, message: str, made: Path, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(CurateError, match=message):
        suite(made, tmp_path / name)


def test_models_that_cannot_be_asked_are_a_sentence(made: Path, tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="there is no such folder"):
        curate.evaluate_suite(tmp_path / "none", [made / FILE])
    reward = tmp_path / "reward"
    shutil.copytree(made / "base", reward)
    change_json(
        reward / "config.json",
        lambda told: told.update(architectures=["LlamaForSequenceClassification"]),
    )
    # Also where it is the last of several: before the first of them is measured.
    lines = list[str]()
    with pytest.raises(CurateError, match="is a reward model"):
        suite(made, made / FILE, against=[reward], log=lines.append)
    assert lines == []


def test_broken_weights_are_a_sentence(made: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(made / "base", broken)
    change_tensors(broken, lambda found: found["model.norm.weight"].fill_(float("nan")))
    with pytest.raises(CurateError, match="numbers that are none"):
        curate.evaluate_suite(broken, made / FILE, only=["loss"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ["speed"]}, "is no part; expected some of loss, stops, lengths, instructions"),
        ({"only": ["loss"], "files": []}, "need a file to measure on"),
        ({"template": "chatlm"}, "did you mean 'chatml'"),
        ({"max_rows": 0}, "max_rows is 0"),
    ],
)
def test_options_that_are_none_are_a_sentence(
    options: dict[str, Any], message: str, made: Path
) -> None:
    files = options.pop("files", [made / FILE])
    with pytest.raises(CurateError, match=message):
        suite(made, *files, **options)


def test_rows_that_are_all_too_long_are_a_sentence(made: Path, tmp_path: Path) -> None:
    long = write_file(tmp_path / "long.jsonl", ["on " * 500] * 2)
    with pytest.raises(CurateError, match="can read none of its rows \\(2 too_long\\)"):
        suite(made, long)


def test_the_command_prints_every_file_and_writes_a_folder(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["eval", str(made / "base"), str(made / FILE), "--suite"]
    words += ["--against", str(made / "other"), "--max-tokens", "6", "--prompts", "5"]
    assert main([*words, "--out", str(tmp_path / "EVAL")]) == 0
    shown = capsys.readouterr().out
    for part in ("base - other", "bits per byte", "stopped", "tokens of an answer", "instructions"):
        assert part in shown
    written = json.loads((tmp_path / "EVAL" / "eval.json").read_text())
    assert written["models"][0]["files"][0]["loss"]["rows"] == 6
    answers = (tmp_path / "EVAL" / "answers.jsonl").read_text().splitlines()
    assert len(answers) == 2 * (6 + 5)
    assert main([*words, "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == written["models"]


def test_results_of_other_data_are_not_replaced_without_being_told(
    made: Path, tmp_path: Path
) -> None:
    suite(made, made / FILE, out=tmp_path / "EVAL", **LOSS)
    other = write_file(tmp_path / "others.jsonl", ["Other."])
    with pytest.raises(CurateError, match="made from other data"):
        suite(made, other, out=tmp_path / "EVAL", **LOSS)
    suite(made, other, out=tmp_path / "EVAL", force=True, **LOSS)


def test_columns_of_other_names_are_mapped(made: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.jsonl"
    odd.write_text(json.dumps({"ask": "Say it.", "say": "It."}) + "\n", encoding="utf-8")
    found = suite(made, odd, columns={"instruction": "ask", "response": "say"}, **LOSS)
    assert found.models[0].files[0].measured == 1


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--suite", "--scoring", "mean"], "--scoring is read by --labels alone"),
        (["--labels", "auto", "--max-rows", "3"], "--max-rows is read by --suite alone"),
        (["--suite", "--all-rows", "--max-rows", "3"], "say two things; leave one of them out"),
        (["--suite", "--only", "loss", "--prompts", "3"], "is read for instructions alone, and"),
        (["--suite", "--only", "loss", "--max-tokens", "9"], "instructions, lengths, stops alone"),
        (["--suite", "--only", "loss,stops", "--reference", "x"], "is read for lengths alone"),
        (["--suite", "--labels", "auto"], "two evaluations"),
    ],
)
def test_an_option_that_would_not_be_read_is_refused(
    option: list[str], message: str, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(made / "base"), str(made / FILE), *option]) == 1
    assert message in capsys.readouterr().err
