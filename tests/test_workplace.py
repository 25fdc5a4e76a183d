"""What strangers work with: the CI workflow, the hooks, the forms for issues."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import curate

ROOT = Path(__file__).resolve().parent.parent
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def test_ci_lints_and_tests_with_the_oldest_python_that_is_promised() -> None:
    job = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["check"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[:2] == ["make lint", "make test"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["requires-python"] == f">={job['strategy']['matrix']['python'][0]}"


def test_hooks_are_local_and_do_what_lint_does() -> None:
    (repo,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repo["repo"] == "local"
    entries = [hook["entry"] for hook in repo["hooks"]]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for entry in entries:
        assert " ".join(entry.split(" --")[0].split()) in makefile, entry
    assert [entry.split()[0] for entry in entries] == ["ruff", "ruff", "lint-imports"]


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.name)
def test_a_form_for_issues_has_what_the_forge_asks_for(form: Path) -> None:
    content = read(form)
    if form.name == "config.yml":
        return
    assert {"name", "description", "body"} <= set(content)
    ids = [field["id"] for field in content["body"]]
    assert len(set(ids)) == len(ids)
    assert all(field["attributes"]["label"] for field in content["body"])


def test_the_newest_version_in_the_changelog_is_this_one() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert next(one for one in versions if one != "Unreleased") == curate.__version__
    section = text.split(f"## {curate.__version__}")[1].split("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("### ")] == [
        "### Changed",
        "### Added",
        "### Fixed",
    ]
