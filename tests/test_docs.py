from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from curate.base import values
from curate.base.settings import checked_settings
from curate.grammar import parser
from curate.pipeline.recipe import registered

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
ALL = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *PAGES]
PACKAGES = ("curate", "filters", "templates", "trainer")


def loaded(name: str) -> ModuleType:
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.M)


def pages_with(language: str) -> list[Any]:
    return [pytest.param(page, id=page.name) for page in ALL if blocks(page, language)]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    return loaded("generate")


@pytest.fixture
def beside_the_sample_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like the one that the pages are read in."""
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_sessions_are_what_the_commands_print(beside_the_sample_data: Path) -> None:
    sessions = loaded("sessions")
    terminal = sessions.Terminal(beside_the_sample_data)
    seen = []
    for page in sessions.PAGES:
        for _, lines, command, text, _ in sessions.SESSION.findall(page.read_text("utf-8")):
            # A training session's last digits depend on the processor; the others must be exact.
            if command.startswith("curate train"):
                continue
            seen.append(command.split()[1])
            now = sessions.without_timings(terminal.session(command, lines))
            assert now == sessions.without_timings(text), f"{page.name}, {command}: run make docs"
    assert {"run", "inspect", "explain", "preview", "templates", "render"} <= set(seen)


def test_a_shortened_session_says_how_many_lines_are_missing() -> None:
    shortened = loaded("sessions").shortened
    assert list(shortened("abcdef", ["2-3", "-1"])) == [
        "… 1 more line",
        "b",
        "c",
        "… 2 more lines",
        "f",
    ]
    assert list(shortened("ab", [])) == ["a", "b"]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 130


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_parts_say_what_the_code_says(page: Path, generate: ModuleType) -> None:
    text = page.read_text("utf-8")
    assert generate.filled(text) == text, "run: make docs"


def test_every_generated_part_stands_on_some_page(generate: ModuleType) -> None:
    pages = "".join(page.read_text("utf-8") for page in PAGES)
    assert [name for name in generate.PARTS if f"<!-- generated: {name} -->" not in pages] == []


def test_a_setting_that_is_a_choice_shows_the_choices_apart_from_its_help(
    generate: ModuleType,
) -> None:
    listed = generate.PARTS["filters"]()
    assert "  keep = 'first' (of first, longest, best): which row" in listed
    assert "One of" not in listed


def test_links_between_pages_lead_somewhere() -> None:
    for page in ALL:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_is_on_the_map() -> None:
    text = (ROOT / "docs" / "index.md").read_text("utf-8")
    assert [page.name for page in PAGES if f"({page.name})" not in text] == ["index.md"]


# The code on the pages.

# Pages whose Python needs something that another test makes first.
RUN_ELSEWHERE = {
    "dedup.md": "test_dedup_page.py",
    "training.md": "test_checkpoint_stops.py",
}


@pytest.mark.parametrize(
    "page", [page for page in pages_with("python") if page.id not in RUN_ELSEWHERE]
)
def test_python_on_a_page_runs(
    page: Path, beside_the_sample_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All blocks of a page in turn. One that begins with `# NAME.py` is a file of that name."""
    monkeypatch.syspath_prepend(str(beside_the_sample_data))
    space: dict[str, Any] = {"__name__": "page"}
    for number, block in enumerate(blocks(page, "python"), 1):
        name = re.match(r"# (\w+\.py)\n", block)
        if name:
            (beside_the_sample_data / name[1]).write_text(block, "utf-8")
            monkeypatch.delitem(sys.modules, name[1].removesuffix(".py"), raising=False)
            continue
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(block, f"{page.name}, block {number}", "exec"), space)


@pytest.mark.parametrize("page", RUN_ELSEWHERE)
def test_a_page_that_is_run_elsewhere_is(page: str) -> None:
    assert f'"{page}"' in (ROOT / "tests" / RUN_ELSEWHERE[page]).read_text("utf-8")


@pytest.mark.parametrize("page", pages_with("yaml"))
def test_recipes_on_a_page_name_steps_and_settings_that_exist(page: Path) -> None:
    for block in blocks(page, "yaml"):
        recipe = values.load(block)
        steps = recipe["steps"] if isinstance(recipe, dict) else recipe
        for step in steps:
            name, given = (step, None) if isinstance(step, str) else next(iter(step.items()))
            if ":" not in name:  # the reader's own code
                checked_settings(registered(name), given or {}, f"{page.name}: {name}")


def commands(page: Path) -> Iterator[list[str]]:
    """The `curate` commands in the blocks of a page, as words."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["curate"]:
                yield words[1:]


@pytest.mark.parametrize("page", pages_with("sh"))
def test_commands_on_a_page_have_verbs_and_options_that_exist(page: Path) -> None:
    for words in commands(page):
        try:
            parser().parse_args(words)
        except SystemExit:
            pytest.fail(f"{page.name}: curate {shlex.join(words)}")


# Messages that docs/troubleshooting.md explains are messages of the program.


def texts_of(node: ast.AST) -> Iterator[str]:
    """String literals; what an f-string fills in is written as an ellipsis."""
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
        yield "".join(map(str, parts))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from texts_of(child)


@pytest.fixture(scope="module")
def texts() -> str:
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    trees = (ast.parse(path.read_text("utf-8")) for path in files)
    return "\n".join(text for tree in trees for text in texts_of(tree))


def test_messages_that_are_explained_are_messages_of_the_program(texts: str) -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    messages = re.findall(r"^### `(.+)`$", page, re.M)
    assert len(messages) >= 20
    pieces = [(message, piece) for message in messages for piece in message.split("…")]
    strange = [message for message, piece in pieces if piece.strip() not in texts]
    assert strange == []
