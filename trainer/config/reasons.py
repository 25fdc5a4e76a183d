"""Why rows do not pass the checks before training; each reason can be allowed by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Reason = Literal[
    "vocabulary",
    "too-long",
    "labels-differ",
    "no-targets",
    "no-stop",
    "early-stop",
    "prompts-differ",
    "same-answer",
    "tokenizer",
]

# Rows of a reason in LEFT_OUT cannot be computed on, or say nothing; once it is allowed they are
# left out and counted. Rows of the other reasons are then trained as they are.
REASONS: Mapping[Reason, str] = {
    "vocabulary": "an id is negative or beyond the model's vocabulary",
    "too-long": "the row is longer than the model has positions",
    "labels-differ": "a trained label is not the token at its own position",
    "no-targets": "nothing in the row is trained",
    "no-stop": "a trained turn does not end with a stop token",
    "early-stop": "a trained turn goes on after a stop token, where generation would end",
    "prompts-differ": "the two answers of a pair do not follow the same tokens",
    "same-answer": "both answers of a pair are the same tokens, or all of one kind are of both",
    "tokenizer": "the model's tokenizer has other special tokens than the rows were rendered with",
}
LEFT_OUT = ("vocabulary", "too-long", "no-targets", "prompts-differ")
