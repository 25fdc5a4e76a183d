"""What every page that is written here has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from curate.base.terminal import printable, printable_line

if TYPE_CHECKING:
    import jinja2

# Nothing is fetched and nothing runs, even where text of a stranger became part of the page.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page_templates(*packages: str, filters: Mapping[str, Any]) -> jinja2.Environment:
    """The templates of some packages of `curate`, those of the first before others of that name.

    What is filled in is escaped, and a name that a page was not given is an error. Beside `filters`
    a template has `line` and `printable`.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader("curate", name) for name in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"line": printable_line, "printable": printable, **filters}
    return environment
