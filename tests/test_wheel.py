"""The wheel alone must work: an editable install hides files that were never packed."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROW = {"instruction": "Name a fruit that grows on trees.", "output": "The apple grows on trees."}


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out))
    run(*build, str(ROOT), cwd=out)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_templates_rubrics_recipes_and_no_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "templates/chat/chatml.jinja" in names
    assert "filters/llm_judge/rubrics/careful.jinja" in names
    assert "curate/recipes/default.yaml" in names
    packages = ("curate", "filters", "templates", "trainer")
    assert {f"{package}/py.typed" for package in packages} < set(names)
    assert {"curate/report/report.css", "curate/report/report.html.jinja"} < set(names)
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"curate", "filters", "templates", "trainer"}


@pytest.mark.slow
def test_installed_bare_in_a_new_environment_it_cleans_and_previews(
    wheel: Path, tmp_path: Path
) -> None:
    run(sys.executable, "-m", "venv", "bare", cwd=tmp_path)
    python = str(tmp_path / "bare" / "bin" / "python")
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--constraint", str(ROOT / "constraints.txt"), str(wheel), cwd=tmp_path)
    curate = str(tmp_path / "bare" / "bin" / "curate")
    (tmp_path / "dump.jsonl").write_text(json.dumps(ROW) + "\n")
    assert "preview" in run(curate, "--help", cwd=tmp_path)
    run(curate, "run", "dump.jsonl", "--out", "RUN", cwd=tmp_path)
    page = run(curate, "preview", "RUN", "--template", "chatml", cwd=tmp_path)
    assert "The apple grows on trees." in page
    assert (
        run(python, "-c", "import importlib.util as u; print(u.find_spec('torch'))", cwd=tmp_path)
        == "None\n"
    )
    asked = ("train", "RUN", "--model", "x", "--out", "CKPT")
    refused = subprocess.run([curate, *asked], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 1
    assert 'pip install "curate-sft[train]"' in refused.stderr
