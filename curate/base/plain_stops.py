"""Stops that are plain text for a tokenizer: what happens at inference, and the ways out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from curate.base.spelling import added_tokens, option


def about_plain_stops(stops: Sequence[str]) -> str:
    """What a user must know of answers that end in text which is no token of the vocabulary.

    Rendering and training both say it: `generate` of transformers looks at tokens, so that a
    model which learnt its answers' end perfectly would not stop there by itself.
    """
    named = " or ".join(map(repr, stops))
    return (
        f"answers end in {named}, which is plain text for this tokenizer and no token: the model "
        "will write it and go on, as plain `generate` stops at tokens alone. Ways out: "
        f"{added_tokens(*_marks(stops))} (the model learns it as a token; nothing else is to do); "
        f"another {option('template')}, which ends answers in a token of this tokenizer; or "
        "stop on the text where the model runs (the checkpoint's generation_config.json has it as "
        "stop_strings, and `generate` then wants the tokenizer too)"
    )


def _marks(stops: Sequence[str]) -> list[str]:
    """Each mark of the stops by itself: two tokens that stand together are no third one."""
    found = [
        mark for stop in stops for mark in re.findall(r"<[^<>]+>|\[[^\[\]]+\]", stop) or [stop]
    ]
    return list(dict.fromkeys(found))
