"""Folders that somebody changed: every verb that reads one ends well, or in a sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from curate.base.errors import CurateError
from curate.base.folder import OWN_HASH, changes_explained, is_as_written
from curate.cli import main
from tests.tampering import file_changes, json_changes

LINES = [
    {"instruction": "Name a big river in Europe.", "output": "The big Danube.", "score": 2},
    {"instruction": "Name a big river in Europe.", "output": "The big Danube.", "score": 1},
    {"instruction": "Say hello to Anna.", "output": "Hello Anna, nice to meet you.", "score": 5},
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tampered")
    dump, recipe = folder / "dump.jsonl", folder / "recipe.yaml"
    dump.write_text("\n".join(map(json.dumps, LINES)) + "\nbroken\n", "utf-8")
    recipe.write_text("steps: [exact, {select: {budget: 1, by: record.score}}]", "utf-8")
    asked = ["run", str(dump), "--recipe", str(recipe), "--workers", "1", "--quiet"]
    assert main([*asked, "--out", str(folder / "RUN")]) == 0
    return folder / "RUN"


def test_a_folder_knows_whether_it_is_as_it_was_written(run: Path, tmp_path: Path) -> None:
    assert is_as_written(run)
    shutil.copytree(run, tmp_path / "RUN")
    path = tmp_path / "RUN" / "manifest.json"
    about = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**about, "seconds": {}}), "utf-8")  # of no two runs alike
    assert is_as_written(tmp_path / "RUN")
    path.write_text(json.dumps({**about, "seed": 1}), "utf-8")
    assert not is_as_written(tmp_path / "RUN")
    assert OWN_HASH in about


def test_a_fault_of_ours_is_not_blamed_on_a_folder(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), changes_explained(run):
        raise ZeroDivisionError
    shutil.copytree(run, tmp_path / "RUN")
    (tmp_path / "RUN" / "kept.jsonl").write_text("{}\n", "utf-8")
    message = "a file is not as it was written there .*make the folder again"
    with pytest.raises(CurateError, match=message), changes_explained(tmp_path / "RUN"):
        raise ZeroDivisionError


@pytest.mark.slow
@pytest.mark.parametrize("start", range(4))
def test_whatever_was_changed_every_verb_ends_in_a_sentence(
    run: Path, start: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed, out = tmp_path / "RUN", str(tmp_path / "OUT")
    changes = [*file_changes(run), *list(json_changes(run, "manifest.json"))[::5]]
    for name, change in changes[start::40]:
        for verb in (
            ["report", str(changed)],
            ["explain", str(changed), "0"],
            ["diff", str(changed), str(run)],
            ["preview", str(changed), "--template", "simple"],
            ["export", str(changed), "--to", "hub", "--out", out, "--force"],
            ["baselines", str(changed), "--out", f"{out}B", "--force"],
        ):
            shutil.rmtree(changed, ignore_errors=True)
            shutil.copytree(run, changed)
            change(changed)
            code = main(verb)
            error = capsys.readouterr().err
            assert code == 0 or (code == 1 and error.startswith("curate: ")), (name, verb, error)
