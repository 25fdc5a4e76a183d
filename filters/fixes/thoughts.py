"""The step that takes an answer's thoughts out of its text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from curate.base.contract import Fix
from curate.base.thoughts import split_thoughts
from filters.fixes.rewrite import rewrite

# What every text that can be split holds: a cheap look before each is taken apart.
_SIGN = (
    r"(?i)<\s*/\s*(?:think|thinking|thought|reasoning)\s*>|\[\s*/\s*think\s*\]|<\|end_of_thought\|>"
)


@dataclass(frozen=True)
class InlineThink(Fix):
    """Move thoughts at the start of an answer, `<think>...</think>`, into its reasoning.

    Also `<thinking>`, `<thought>`, `<reasoning>`, `[THINK]`, the marks of OpenThoughts, and a
    single `</think>` whose opening the prompt had. Empty thoughts go. Answers that have reasoning
    already, whose thoughts are not closed, or of which nothing would be left stay as they are.
    """

    name: ClassVar[str] = "inline_think"
    reads_texts: ClassVar[bool] = False
    reasons: ClassVar[Mapping[str, str]] = {
        "moved_thoughts": "The answer's thoughts stood in its text, and are its reasoning now.",
        "empty_thoughts": "The answer began with the marks of thoughts and none between them.",
    }

    def fix(self, records: pl.DataFrame) -> pl.DataFrame:
        """Records with thoughts in `reasoning` and a column `edited`."""
        return rewrite(records, _move)


def _move(messages: pl.DataFrame) -> pl.DataFrame:
    likely = (
        (pl.col("role") == "assistant")
        & (pl.col("reasoning").fill_null("") == "")
        & pl.col("content").str.contains(_SIGN)
    )
    places = messages.select(likely.fill_null(False)).to_series().arg_true()
    # A loop over the few that are likely: where thoughts end is nothing that columns can tell.
    rows = messages[places].select("content", "reasoning", "tool_calls").iter_rows()
    moved = [_moved(*row) for row in rows]
    changed = pl.DataFrame(
        moved, schema=dict.fromkeys(("content", "reasoning", "edited"), pl.String), orient="row"
    )
    edited = pl.Series("edited", [None], dtype=pl.String).new_from_index(0, messages.height)
    columns = {"content": messages["content"], "reasoning": messages["reasoning"], "edited": edited}
    return messages.with_columns(
        column.scatter(places, changed[name]).alias(name) for name, column in columns.items()
    )


def _moved(
    content: str, reasoning: str | None, calls: str | None
) -> tuple[str, str | None, str | None]:
    """Content and reasoning of an answer, and why they changed; None where they did not."""
    parts = split_thoughts(content)
    if parts is None or not (parts.content.strip() or calls):
        return content, reasoning, None
    if not parts.reasoning:
        return parts.content, None, "empty_thoughts"
    return parts.content, parts.reasoning, "moved_thoughts"
