"""Stops that are plain text for a tokenizer: what happens at inference, and the ways out."""

from __future__ import annotations

from collections.abc import Sequence

from curate.base.spelling import added_token, option


def about_plain_stops(stops: Sequence[str]) -> str:
    """What a user must know of answers that end in text which is no token of the vocabulary.

    Rendering and training both say it: `generate` of transformers looks at tokens, so that a
    model which learnt its answers' end perfectly would not stop there by itself.
    """
    named = " and ".join(map(repr, stops))
    is_are = "is plain text" if len(stops) == 1 else "are plain text"
    return (
        f"the stop {named} {is_are} for this tokenizer, no token of its own: a model trained so "
        "writes it and goes on, since plain `generate` does not stop at text. Three ways out: "
        f"{added_token(stops[0])} makes it a token that the model learns, and nothing else is to "
        f"do; {option('template')} names a template that ends answers in a token of this "
        f"tokenizer; or stop on the text wherever the model runs: generate(..., "
        f"stop_strings={[*stops]!r}, tokenizer=tokenizer), `stop` of a server. The checkpoint's "
        "generation_config.json has stop_strings, and generate then asks for the tokenizer"
    )
