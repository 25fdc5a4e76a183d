"""The sandbox in which chat templates run: as transformers does, with its generation tag."""

from __future__ import annotations

from types import CodeType

import jinja2.ext
import jinja2.nodes
import jinja2.parser
from jinja2.runtime import Macro

import curate.base.sandbox.environment as base
from templates.refusals import TemplateFailed


class Generation(jinja2.ext.Extension):
    """`{% generation %}` marks what its author thinks is generated; the text is its body."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        """The tag as a call of `body` around what it encloses."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("body")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def body(self, caller: Macro) -> str:
        """The text that the tag encloses."""
        return caller()


class Sandbox(base.Sandbox):
    """The sandbox with the tag that transformers knows beside those of loops."""

    tags = (Generation,)


class Program(base.Program):
    """A compiled chat template; where it fails, the row is refused with `TemplateFailed`."""

    failure = TemplateFailed


def compile_source(
    source: str, name: str, environment: Sandbox, code: CodeType | None = None
) -> Program:
    """Compile a template. Raises `CurateError` quoting the line that Jinja cannot read."""
    return base.compiled(Program, source, f"template {name}", environment, code)
