from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from curate.cli import main
from curate.grammar import parser

ROOT = Path(__file__).resolve().parent.parent
GOOD = {"instruction": "Name a fruit that grows on trees.", "output": "The apple grows on trees."}


@pytest.fixture
def dump(tmp_path: Path) -> str:
    path = tmp_path / "dump.jsonl"
    rows = [GOOD, GOOD, {"instruction": "Nothing?", "output": ""}, {"colour": "blue"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_run_writes_a_folder_and_prints_a_funnel(
    dump: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "RUN"
    assert main(["run", dump, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "alpaca (3 rows" in said and "exact" in said
    assert (out / "report.html").is_file()
    counts = json.loads((out / "manifest.json").read_text())["counts"]
    assert counts["read"] == 4 == counts["kept"] + counts["dropped"] + counts["rejects"]


def test_quiet_prints_nothing(
    dump: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", dump, "--out", str(tmp_path / "RUN"), "--quiet"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.json", "--out", "OUT"], "nowhere.json: no such file or folder"),
        (["run", "DUMP", "--recipe", "nowhere.yaml", "--out", "OUT"], "no such recipe file"),
        (["run", "DUMP", "--set", "nera.x=1", "--out", "OUT"], "did you mean 'near'"),
        (["run", "DUMP", "--set", "near.treshold=1", "--out", "OUT"], "did you mean 'threshold'"),
        (["run", "DUMP", "--out", "TAKEN"], "holds something else"),
        (["explain", "TAKEN", "0"], "not a folder written by curate run"),
        (["report", "TAKEN"], "not a folder written by curate run"),
        (["inspect", "nowhere"], "nowhere: no such file or folder"),
        (["filters", "nera"], "no filter 'nera'; did you mean 'near'"),
        (["preview", "DUMP", "--template", "chatlm"], "did you mean 'chatml'"),
        (
            ["render", "DUMP", "--template", "chatml", "--tokenizer", "TAKEN", "--out", "OUT"],
            "TAKEN",
        ),
        (["train", "TAKEN", "--model", "TAKEN", "--out", "OUT"], "TAKEN"),
    ],
)
def test_mistakes_are_one_message_and_exit_code_one(
    arguments: list[str],
    message: str,
    dump: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    taken = tmp_path / "TAKEN"
    taken.mkdir()
    (taken / "thesis.tex").write_text("years of work")
    places = {"DUMP": dump, "OUT": str(tmp_path / "OUT"), "TAKEN": str(taken)}
    assert main([places.get(word, word) for word in arguments]) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.startswith("curate: ") and said.err.count("\n") == 1
    assert "Traceback" not in said.err
    assert not (tmp_path / "OUT").exists()
    assert [path.name for path in taken.iterdir()] == ["thesis.tex"]


def test_an_empty_file_is_one_clear_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert main(["run", str(empty), "--out", str(tmp_path / "OUT")]) == 1
    assert "empty.jsonl: the file is empty" in capsys.readouterr().err


def test_usage_errors_exit_with_two() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["run"])
    assert stopped.value.code == 2


def test_inspect_speaks_to_people_and_to_machines(
    dump: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", dump]) == 0
    assert "4 rows read: 3 records, 1 rejects; 2 distinct" in capsys.readouterr().out
    assert main(["inspect", dump, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"] == {"read": 4, "records": 3, "rejects": 1}
    assert found["problems"]["empty_answer"]["rows"] == 1


def test_every_verb_has_help_and_no_help_loads_anything_heavy() -> None:
    code = (
        "import sys\nfrom curate.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'polars', 'numpy', 'torch', 'jinja2', 'yaml', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for verb in parser()._subparsers._group_actions[0].choices:  # type: ignore[union-attr]
        assert verb in done.stdout


def test_a_value_that_is_no_yaml_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "T", "--model", "M", "--out", "O", "--set", "lr={a"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("curate: --set lr={a: the value is not valid YAML (")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["arms", "RUN", "--out", "OUT"], "arms is now baselines"),
        (["preview", "RUN", "--open-field", "x"], "--open-field is now --continue-final-field"),
        (["preview", "RUN", "--open-field=x"], "--open-field is now --continue-final-field"),
        (["run", "dump.jsonl", "--out", ""], "argument --out: it is empty; name the folder"),
    ],
)
def test_former_names_and_an_empty_folder_exit_with_two(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_every_option_has_a_sentence() -> None:
    verbs = parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    silent = [
        f"{verb} {action.option_strings or action.dest}"
        for verb, grammar in verbs.items()  # type: ignore[union-attr]
        for action in grammar._actions
        if not action.help
    ]
    assert silent == []


def many(path: Path, rows: int) -> Path:
    with path.open("w") as file:
        for number in range(rows):
            row = {"instruction": f"Say {number}.", "output": f"This is the number {number}."}
            file.write(json.dumps(row) + "\n")
    return path


def test_a_run_that_is_terminated_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import time\ndef slow(record):\n    time.sleep(0.05)\n    return True\n"
    )
    (tmp_path / "recipe.yaml").write_text("steps: ['slow.py:slow']")
    many(tmp_path / "dump.jsonl", 2_000)
    before = sorted(path.name for path in tmp_path.iterdir())
    words = [sys.executable, "-m", "curate", "run", "dump.jsonl", "--recipe", "recipe.yaml"]
    running = subprocess.Popen(
        [*words, "--out", "OUT"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    running.stdout.readline()  # what was read: the step has begun, or is about to
    running.terminate()
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 143 and errors == b"curate: terminated\n"
    left = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}
    assert sorted(left) == before


def test_files_of_the_users_that_are_named_like_our_packages_hide_nothing(tmp_path: Path) -> None:
    (tmp_path / "filters.py").write_text("def no_7(record): return '7' not in record['response']")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "__init__.py").touch()
    (tmp_path / "recipe.yaml").write_text("steps: [language, 'filters.py:no_7']")
    many(tmp_path / "dump.jsonl", 4_100)  # enough for two processes
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    words = [sys.executable, "-m", "curate"]
    for verb in (
        ["run", "dump.jsonl", "--recipe", "recipe.yaml", "--workers", "2", "--out", "OUT"],
        ["preview", "OUT", "--template", "chatml"],
    ):
        done = subprocess.run(
            [*words, *verb], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "OUT" / "manifest.json").read_text())["counts"]
    assert counts["dropped"] == sum("7" in str(number) for number in range(4_100))


def test_in_python_one_sentence_says_what_hides_a_package(tmp_path: Path) -> None:
    (tmp_path / "filters.py").touch()
    (tmp_path / "mine.py").write_text("import curate\ncurate.run([{'prompt': 'a'}])")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "mine.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    last = done.stderr.strip().splitlines()[-1]
    assert "filters.py hides curate's own package 'filters'; rename it" in last
