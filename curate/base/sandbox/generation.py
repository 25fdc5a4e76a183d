"""The tag of chat templates that transformers knows beside those of loops."""

from __future__ import annotations

import jinja2.ext
import jinja2.nodes
import jinja2.parser
from jinja2.runtime import Macro


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
