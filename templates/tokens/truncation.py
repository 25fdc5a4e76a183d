"""Rows that are too long: refused, or cut after masking so that no turn is trained in part."""

from __future__ import annotations

import dataclasses

from templates.encoding.encode import Example
from templates.options import RenderOptions
from templates.refusals import Refusal, TooLong
from templates.spans import VerifiedRender
from templates.tokens.columns import Row


def fit(verified: VerifiedRender, example: Example, options: RenderOptions) -> Row | Refusal:
    """The row, cut to `max_length` tokens if asked; turns that are not whole are not trained."""
    size, limit = len(example.ids), options.max_length
    if limit is None or size <= limit:
        return Row(verified, example)
    if options.overlong == "refuse":
        return TooLong(f"{size:,} tokens; at most {limit:,} are allowed")
    low = size - limit if options.overlong == "left" else 0
    kept = [
        (target, (start - low, end - low))
        for target, (start, end) in zip(verified.trained, example.spans, strict=True)
        # The first token of a row is never a target: nothing stands before it to predict it from.
        if start >= low + bool(low) and end <= low + limit
    ]
    if not kept:
        return TooLong(f"{size:,} tokens; cut to {limit:,} it has no whole turn to train on")
    cut = dataclasses.replace(
        example,
        ids=example.ids[low : low + limit],
        array=None,
        spans=[span for _, span in kept],
        skipped=low,
        truncated=True,
    )
    return Row(dataclasses.replace(verified, trained=[target for target, _ in kept]), cut)
