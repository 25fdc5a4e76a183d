"""The sandbox in which chat templates run: as transformers does, with its generation tag."""

from __future__ import annotations

from types import CodeType

import curate.base.sandbox.environment as base
from curate.base.sandbox.generation import Generation
from templates.refusals import TemplateAtLimit, TemplateFailed


class Sandbox(base.Sandbox):
    """The sandbox with the tag that transformers knows beside those of loops."""

    tags = (Generation,)


class Program(base.Program):
    """A compiled chat template; where it fails, the row is refused with `TemplateFailed`."""

    failure = TemplateFailed
    at_limit = TemplateAtLimit


def compile_source(
    source: str, name: str, environment: Sandbox, code: CodeType | None = None
) -> Program:
    """Compile a template. Raises `CurateError` quoting the line that Jinja cannot read."""
    return base.compiled(Program, source, f"template {name}", environment, code)
