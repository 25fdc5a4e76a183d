"""Two previews of the same rows, line by line: another template, or another tokenizer."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from templates.previews.view import RowView, bracketed

_BYTES = re.compile(
    r"\\x[c-d][0-9a-f]\\x[89ab][0-9a-f]|\\xe[0-9a-f](?:\\x[89ab][0-9a-f]){2}"
    r"|\\xf[0-4](?:\\x[89ab][0-9a-f]){3}"
)


def differences(
    left: Sequence[RowView], right: Sequence[RowView], names: tuple[str, str]
) -> list[str]:
    """Rows of two previews as lines: what is only left after `-`, only right after `+`.

    Trained text stands in brackets and stops in braces, so that a mask that differs over equal
    text is a difference too.
    """
    rows = list(dict.fromkeys(view.row for view in [*left, *right]))
    lines = [f"- {names[0]}", f"+ {names[1]}"]
    for row in rows:
        ours, theirs = ([v for v in side if v.row == row] for side in (left, right))
        lines += ["", f"row {row}: {_sizes(ours)} | {_sizes(theirs)}"]
        texts = [
            [line for view in side for line in _marked(view).split("\n")] for side in (ours, theirs)
        ]
        if texts[0] == texts[1]:
            lines.append("  the same text and the same mask")
        else:
            found = difflib.unified_diff(texts[0], texts[1], n=1, lineterm="")
            lines += [line for line in found if not line.startswith(("---", "+++", "@@"))]
    return lines


def _sizes(views: Sequence[RowView]) -> str:
    refused = [view.check for view in views if view.refused is not None]
    if refused:
        return f"refused by {refused[0]}"
    size, trained = sum(view.size for view in views), sum(view.trained for view in views)
    what = "tokens" if any(p.id is not None for v in views for p in v.parts) else "characters"
    examples = f" in {len(views)} examples" if len(views) > 1 else ""
    return f"{size:,} {what}{examples}, {trained:,} trained"


def _marked(view: RowView) -> str:
    if view.refused is not None:
        return view.refused
    return _whole(bracketed(view.parts))


def _whole(text: str) -> str:
    """The text with characters whole whose bytes are shown one by one, `\\xf0\\x9f\\x98\\x80`."""

    def char(run: re.Match[str]) -> str:
        return bytes.fromhex(run[0].replace("\\x", "")).decode(errors="replace")

    return _BYTES.sub(char, text)
