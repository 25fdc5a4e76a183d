"""A file that may not grow: every verb names what it wrote, says what to do, leaves no half."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from curate.cli import main
from tests.templates_toys import byte_level
from tests.trainer_toys import reversed_pairs, write_model, write_tokens

resource = pytest.importorskip("resource")

NEXT = "check the free space, the greatest size of a file (ulimit -f)"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As `ulimit -f`, for this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def dump(tmp_path: Path) -> str:
    rows = [
        {"instruction": f"Count to {number}.", "output": " ".join(map(str, range(number)))}
        for number in range(150)
    ]
    (tmp_path / "dump.json").write_text(json.dumps(rows))
    return str(tmp_path / "dump.json")


@pytest.mark.parametrize("size", [1_000, 25_000])
def test_a_run_that_cannot_be_written_names_its_folder_and_what_to_do(
    dump: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    out = tmp_path / "run"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("steps: [exact]\n")
    words = ["run", dump, "--recipe", str(recipe), "--no-cache", "--workers", "1", "--quiet"]
    with files_of_at_most(size):
        assert main([*words, "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"curate: {out}: could not be written (") and NEXT in said
    assert not out.exists() and not list(tmp_path.glob(".*"))
    assert main([*words, "--out", str(out)]) == 0


def test_measures_that_cannot_be_kept_name_the_cache_and_how_to_go_without(
    dump: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("CURATE_CACHE", str(cache))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("steps: [near]\n")
    words = ["run", dump, "--recipe", str(recipe), "--workers", "1", "--quiet"]
    with files_of_at_most(1_000):
        assert main([*words, "--out", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"curate: {cache}: could not be written (")
    assert "go without: --no-cache" in said
    assert not list(cache.glob("*/*"))


def test_tokens_that_cannot_be_written_name_their_folder_and_what_to_do(
    dump: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "tokenizer.json").write_text(byte_level().backend.to_str())
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<|eos|>"}')
    out = tmp_path / "tokens"
    words = ["render", dump, "--template", "chatml", "--tokenizer", str(tmp_path), "--quiet"]
    with files_of_at_most(1_000):
        assert main([*words, "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"curate: {out}: could not be written (") and NEXT in said
    assert not out.exists() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("size", [1_000, 4_000, 20_000])
def test_a_model_that_cannot_be_written_names_its_folder_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    pytest.importorskip("torch")
    tokens = write_tokens(tmp_path / "tokens", reversed_pairs(16))
    base, out = write_model(tmp_path / "base"), tmp_path / "out"
    words = ["train", tokens, "--model", base, "--out", str(out), "--epochs", "1", "--quiet"]
    with files_of_at_most(size):
        assert main([*words, "--no-proof"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"curate: {out}") and "could not be written (" in said and NEXT in said
    assert not (out / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("state.json", "{}"),
        ("state.json", "{"),
        ("refused.jsonl", "{\n"),
        ("sources.parquet", "no parquet"),
        ("data-00000-of-00001.arrow", "no arrow"),
    ],
)
def test_a_damaged_folder_of_tokens_is_named_with_its_file(
    dump: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "tokenizer.json").write_text(byte_level().backend.to_str())
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<|eos|>"}')
    out = tmp_path / "tokens"
    how = ["--tokenizer", str(tmp_path)]
    assert main(["render", dump, "--template", "chatml", *how, "--quiet", "--out", str(out)]) == 0
    (out / name).write_text(text)
    assert main(["preview", str(out), *how]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"curate: {out / name}: damaged (") and said.endswith(
        "; render the rows again\n"
    )
    (out / name).unlink()
    assert main(["preview", str(out), *how]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"curate: {out}/") and name in said
