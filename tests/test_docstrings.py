"""Every public function and method of the four packages says what it does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from curate.base.contract import Filter, Fix

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("curate", "filters", "templates", "trainer")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
# What the filter's contract, Python, Jinja, torch and argparse declare and document.
DECLARED_ELSEWHERE = {
    *dir(Filter),
    *dir(Fix),
    *dir(str),
    *dir(dict),
    *dir(ImmutableSandboxedEnvironment),
    *("forward", "backward", "setup_context", "format_help"),
}
SHORT = 2  # lines of a property whose name says it all

Function = ast.FunctionDef | ast.AsyncFunctionDef


def public(body: list[ast.stmt], owner: ast.ClassDef | None = None) -> Iterator[Function]:
    """Public functions, and public methods of public classes; not what is inside functions."""
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from public(node.body, owner)
        if not isinstance(node, ast.ClassDef | Function) or node.name.startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            yield from public(node.body, node)
        elif not (owner is not None and is_plain(node, owner)):
            yield node


def is_plain(method: Function, owner: ast.ClassDef) -> bool:
    """Whether a method is declared elsewhere, an overload, or a property of a line or two."""
    decorators = {ast.unparse(one).rpartition(".")[2] for one in method.decorator_list}
    declared = bool(owner.bases) and method.name in DECLARED_ELSEWHERE
    short = method.end_lineno is not None and method.end_lineno - method.body[0].lineno < SHORT
    return declared or "overload" in decorators or (short and "property" in decorators)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_public_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for node in public(tree.body)
        if not ast.get_docstring(node)
    ]
    assert silent == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_holds(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert not tree.body or ast.get_docstring(tree)
