from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

import filters
from curate import verbs
from curate.grammar import VERBS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("curate", "filters", "templates", "trainer")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """What `make lint` proves of the layers, for the packages in a folder."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("place", "line", "contract"),
    [
        ("filters/dedup/exact.py", "import curate.sources", "stand on curate.base alone"),
        ("trainer/loop.py", "import templates", "do not know each other"),
        ("curate/sources/build.py", "import filters", "a few modules alone look outward"),
        ("curate/base/folder.py", "import curate.pipeline.ledger", "layers of curate"),
        ("filters/common/text.py", "import filters.length.filter", "layers of filters"),
        ("templates/messages.py", "import templates.render", "layers of templates"),
        ("trainer/packing.py", "import trainer.loop", "layers of trainer"),
    ],
)
def test_a_wrong_import_is_found(place: str, line: str, contract: str, tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / place
    path.write_text(f"{path.read_text()}\n\ndef _later() -> None:\n    {line}\n")
    done = lint_imports(tmp_path)
    broken = [text for text in done.stdout.splitlines() if text.endswith("BROKEN")]
    assert done.returncode == 1 and any(contract in text for text in broken), done.stdout


def test_the_layers_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


def test_no_file_is_named_like_a_standard_library_module() -> None:
    clashes = [path.name for path in FILES if path.stem in sys.stdlib_module_names]
    assert clashes == []


def test_importing_the_packages_loads_nothing_heavy() -> None:
    code = (
        "import sys, curate.cli, curate.pipeline.recipe, filters, templates, trainer;"
        "heavy = ('torch', 'transformers', 'datasets', 'scipy', 'langdetect');"
        "print([name for name in heavy if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_recipe_loads_the_filters_that_it_names_and_no_others() -> None:
    code = (
        "import sys; from curate.pipeline import recipe; recipe.of_steps(['exact', 'mask_pii']);"
        "loaded = [name for name in sys.modules if name.startswith('filters.')];"
        "print(sorted({name.split('.')[1] for name in loaded} - {'common'}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['dedup', 'fixes']"


def test_filters_are_attributes_of_their_package() -> None:
    classes = [*filters.FILTERS.values(), *filters.FIXES.values()]
    assert classes == [getattr(filters, kind.__name__) for kind in classes]
    assert {kind.__name__ for kind in classes} < set(filters.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nearly'"):
        _ = filters.Nearly


def test_every_verb_has_a_function() -> None:
    assert [verbs.called(name).__name__ for name in VERBS] == list(VERBS)


def _prints(path: Path) -> list[str]:
    """Where a file prints by itself: `print` however it is used, and the streams of the process."""
    tree = ast.parse(path.read_text("utf-8"))
    asked = {id(node.value) for node in ast.walk(tree) if _asks_a_stream(node)}
    return [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id in ("print", "pprint"))
        or (_is_stream(node) and id(node) not in asked)
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in ("warnings.warn", "os.write"))
    ]


def _is_stream(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr in (*("stdout", "stderr", "__stdout__", "__stderr__"),)
        and ast.unparse(node.value) == "sys"
    )


def _asks_a_stream(node: ast.AST) -> bool:
    """`sys.stdout.isatty` and `.fileno` print nothing."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr in ("isatty", "fileno")
        and _is_stream(node.value)
    )


# The only places that print, and what for.
PRINT = {
    "curate/base/terminal.py": "it is what prints",
    "curate/base/unexpected.py": "it says so with nothing that can fail in its turn",
    "curate/cli.py": "it empties standard output, or turns it away",
    "curate/grammar.py": "argparse is told where its usage goes",
    "curate/base/sandbox/frames.py": "a pipe between two processes",
}


def test_all_that_is_printed_goes_through_one_place() -> None:
    found = [place for path in FILES for place in _prints(path)]
    others = [place for place in found if place.rpartition(":")[0] not in PRINT]
    assert not others, "print with curate.base.terminal, which spells out what strangers wrote"
    assert {place.rpartition(":")[0] for place in found} == set(PRINT)


@pytest.mark.parametrize(
    "line",
    [
        "print(1)",
        "log = print",
        "import sys; sys.stderr.write('x')",
        "import sys; where = sys.stdout",
        "import warnings; warnings.warn('x')",
    ],
)
def test_whatever_prints_by_itself_is_found(line: str) -> None:
    path = ROOT / "tests" / "nothing.py"
    with patch.object(Path, "read_text", return_value=line):
        assert _prints(path) == ["tests/nothing.py:1"]
