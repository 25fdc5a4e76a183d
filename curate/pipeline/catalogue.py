"""What filters there are: their settings and the reasons they can give, as text."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

from curate.base.errors import CurateError, nearest
from curate.base.settings import choices_of
from curate.pipeline.recipe import KNOWN, registered


def describe(names: Sequence[str] = ()) -> str:
    """One paragraph per filter and fix: what it does, its settings, its reasons."""
    for name in names:
        if name not in KNOWN:
            hint = nearest(name, KNOWN) or f"; known are {', '.join(KNOWN)}"
            raise CurateError(f"no filter {name!r}{hint}")
    return "\n\n".join(_paragraph(name, registered(name)) for name in names or KNOWN)


def _paragraph(name: str, kind: Any) -> str:
    about = (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")
    lines = [f"{name}{' (fix)' if hasattr(kind, 'fix') else ''}: {about}"]
    for field in dataclasses.fields(kind):
        choices = ", ".join(map(str, choices_of(kind, field.name)))
        shown = f"{field.default!r} (of {choices})" if choices else repr(field.default)
        lines.append(f"  {field.name} = {shown}: {field.metadata['help']}")
    lines += [f"  > {slug}: {sentence}" for slug, sentence in kind.reasons.items()]
    return "\n".join(lines)
