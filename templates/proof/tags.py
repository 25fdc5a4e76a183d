"""What `{% generation %}` tags enclose: a cross-check of the trained text, never its source."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from templates.refusals import TagDisagrees, excerpt
from templates.sandbox.tagging import Tag
from templates.spans import TrainedSpan


def enclosing(target: TrainedSpan, tags: Sequence[Tag]) -> Tag | None:
    """From the first to the last tagged character of a turn; None if nothing of it is tagged."""
    inside = [tag for tag in tags if tag[0] < target.end and tag[1] > target.start]
    return (inside[0][0], inside[-1][1]) if inside else None


def disagreement(target: TrainedSpan, tags: Sequence[Tag], text: str) -> str | None:
    """How the tags differ from what is generated; text tagged after the stop is no difference.

    White space that opens a generated text is left to the template's author too.
    """
    inside = [tag for tag in tags if tag[0] < target.end and tag[1] > target.start]
    if not inside:
        return "the tags leave the answer out"
    start, end = inside[0][0], inside[-1][1]
    if start < target.start and text[start : target.start].strip():
        return f"the tags hold the prompt's {text[start : target.start][-40:]!r}"
    if start > target.start and text[target.start : start].strip():
        return f"the tags leave out the generated {text[target.start : start][:40]!r}"
    if end < target.end:
        what = "the stop" if end <= target.stop_start else "part of the stop"
        return f"the tags leave out {what} {text[target.stop_start : target.end]!r}"
    for (_, low), (high, _) in pairwise(inside):
        if text[low:high].strip():
            return f"the tags leave out the generated {text[low:high][:40]!r}"
    return None


def check_tags(trained: Sequence[TrainedSpan], tags: Sequence[Tag] | None, text: str) -> None:
    """Refuse a row whose tags disagree with what is generated."""
    if tags is None:
        raise TagDisagrees(
            "what the template's generation tags enclose cannot be told in the rendered text; "
            "--mask operational ignores them"
        )
    for target in trained:
        if target.stop is None:
            continue  # not an assistant's turn: no tag is meant for it
        why = disagreement(target, tags, text)
        if why:
            raise TagDisagrees(
                f"message {target.turn}: {why}; --mask operational trains what is generated, "
                "--mask tag what the tags hold",
                target.turn,
                target.start,
                (
                    f"  generated {excerpt(text, target.start)}",
                    f"  up to     {excerpt(text, target.end)}",
                ),
            )
