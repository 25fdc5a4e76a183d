from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("curate", "filters", "templates", "trainer")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
# Only these look outward from curate; everything else there knows no filter and no template.
OUTWARD = ("curate/recipe.py", "curate/engine.py", "curate/cli.py", "curate/verbs/")


def imported(path: Path) -> set[str]:
    """The dotted names of ours that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name for name in found if name.split(".")[0] in PACKAGES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    here = path.relative_to(ROOT).as_posix()
    package = here.split("/")[0]
    for name in sorted(imported(path)):
        target = name.split(".")[0]
        if target == package or here.startswith(OUTWARD):
            continue
        assert target == "curate", f"{here} imports {name}"
        assert name == "curate" or name.startswith("curate.base.schema"), f"{here} imports {name}"


def test_no_file_is_named_like_a_standard_library_module() -> None:
    clashes = [path.name for path in FILES if path.stem in sys.stdlib_module_names]
    assert clashes == []


def test_importing_the_packages_loads_nothing_heavy() -> None:
    import subprocess

    code = (
        "import sys, curate.cli, curate.pipeline.recipe, filters, templates, trainer;"
        "heavy = ('torch', 'transformers', 'datasets', 'scipy', 'langdetect');"
        "print([name for name in heavy if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
