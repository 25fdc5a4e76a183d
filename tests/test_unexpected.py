"""An error that nobody expected is one sentence, with the details in a file of the user's own."""

from __future__ import annotations

import argparse
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from curate import verbs
from curate.base import unexpected
from curate.base.unexpected import answer_unexpected
from curate.cli import main

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files of details are written, by the handler that users have."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(unexpected, "answer_unexpected", answer_unexpected)
    return tmp_path


def fails_with(monkeypatch: pytest.MonkeyPatch, error: Callable[[], object]) -> None:
    def verb(arguments: argparse.Namespace) -> None:
        error()

    monkeypatch.setattr(verbs, "called", lambda name: verb)


def raises(error: BaseException) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


def deep() -> object:
    return deep()


def dictionary() -> object:
    return {}["the user's own words"]


class Panic(BaseException):
    """What a library in Rust raises is no Exception."""


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (dictionary, "KeyError"),
        (raises(Panic("index out of bounds")), "Panic"),
        (raises(MemoryError()), "MemoryError"),
        (deep, "RecursionError"),
        (raises(UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates")), "UnicodeEncodeError"),
    ],
)
def test_one_sentence_names_the_kind_and_the_file_and_asks_for_a_report(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Callable[[], object],
    name: str,
) -> None:
    fails_with(monkeypatch, error)
    assert main(["filters", "near"]) == 1
    said = capsys.readouterr()
    [path] = folder.iterdir()
    assert said.out == "" and said.err == (
        f"curate: a fault of curate itself ({name} in curate/cli.py:{line_of(said.err)}); its "
        f"details are in {path}: look it through, then please report it, with what you did and "
        "that file\n"
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text("utf-8")
    assert "Traceback (most recent call last)" in text and name in text
    assert "command: curate filters near\n" in text
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in text


def line_of(sentence: str) -> str:
    found = re.search(r"cli\.py:(\d+)", sentence)
    assert found is not None
    return found[1]


def test_secrets_of_the_command_and_the_environment_are_taken_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "geheim-4711")
    fails_with(monkeypatch, raises(ValueError("the server repeats geheim-4711")))
    secret = [
        "--set",
        "judge.api_key=abcdef",
        "--set",
        "judge.url=http://ann:pass@host/v1?token=t1",
    ]
    main(["run", "dump.jsonl", *secret, "--set", "a=hf_abcdefghijk", "--out", "RUN"])
    [path] = folder.iterdir()
    text = path.read_text("utf-8")
    for word in ("geheim", "abcdef", "ann:pass", "t1", "abcdefghijk"):
        assert not re.search(rf"\b{word}\b", text), word
    assert "the server repeats [OPENAI_API_KEY]" in text
    assert "judge.url=http://[taken out]@host/v1" in text


def test_what_variables_held_is_not_in_the_details(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reads() -> object:
        row = " ".join(["a row of", "somebody's letters"])
        return int(row[-1:] + "x")

    fails_with(monkeypatch, reads)
    assert main(["filters"]) == 1
    [path] = folder.iterdir()
    assert "ValueError" in path.read_text("utf-8")
    assert "a row of somebody's letters" not in path.read_text("utf-8")


@pytest.mark.parametrize("failed", [OSError(28, "no space"), MemoryError(), RecursionError()])
def test_details_that_cannot_be_saved_cost_no_more_than_the_file(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failed: Exception,
) -> None:
    fails_with(monkeypatch, raises(ValueError("odd")))

    def full(*given: object, **more: object) -> object:
        raise failed

    monkeypatch.setattr("os.fdopen", full)
    assert main(["filters"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("curate: a fault of curate itself (ValueError in curate/cli.py:")
    assert f"its details could not be saved ({type(failed).__name__}); please report" in said
    assert said.count("\n") == 1 and not list(folder.iterdir())


def test_no_folder_to_write_to_is_said_too(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(folder / "nowhere"))
    fails_with(monkeypatch, raises(ValueError("odd")))
    assert main(["filters"]) == 1
    assert "could not be saved (FileNotFoundError)" in capsys.readouterr().err


def test_an_interrupt_while_details_are_saved_is_an_interrupt(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails_with(monkeypatch, raises(ValueError("odd")))
    monkeypatch.setattr("os.fdopen", lambda *given, **more: raises(KeyboardInterrupt())())
    assert main(["filters"]) == 130
    assert capsys.readouterr().err == "curate: interrupted\n" and not list(folder.iterdir())


def test_a_command_with_a_fault_ends_without_a_traceback(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom curate import cli, verbs\n"
        "def broken(arguments): return {}['x']\n"
        "verbs.called = lambda name: broken\nsys.exit(cli.main(['filters']))\n"
    )
    environment = {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    [path] = tmp_path.glob("curate-error-*.txt")
    assert str(path) in done.stderr and "KeyError" in path.read_text("utf-8")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_that_cannot_be_written_is_one_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "curate", "filters"], stdout=full, stderr=subprocess.PIPE,
            env={"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"curate: [Errno 28] No space left on device\n")


def test_a_terminal_that_has_not_all_letters_gets_their_numbers() -> None:
    environment = {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "curate", "explain", "Übung", "0"], env=environment,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith(b"curate: \\xdcbung")
