from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    return loaded("generate")


def test_the_sessions_in_the_readme_are_what_the_commands_print(tmp_path: Path) -> None:
    sessions = loaded("sessions")
    # A training session's last digits depend on the processor; the others must be exact.
    found = [
        (command, text)
        for _, command, text, _ in sessions.SESSION.findall((ROOT / "README.md").read_text("utf-8"))
        if not command.startswith("curate train")
    ]
    assert [command.split()[1] for command, _ in found] == ["run", "preview"]
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    for command, text in found:
        now = sessions.without_timings(sessions.shown(command, tmp_path))
        assert now == sessions.without_timings(text), "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_parts_say_what_the_code_says(page: Path, generate: ModuleType) -> None:
    text = page.read_text("utf-8")
    assert generate.filled(text) == text, "run: make docs"


def test_every_generated_part_stands_on_some_page(generate: ModuleType) -> None:
    pages = "".join(page.read_text("utf-8") for page in PAGES)
    assert [name for name in generate.PARTS if f"<!-- generated: {name} -->" not in pages] == []


def test_links_between_pages_lead_somewhere() -> None:
    import re

    for page in [*PAGES, ROOT / "README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
