"""Conversations into masked tokens: rendered by any chat template, proven row by row."""

from templates.cards.card import Card, ending_lines, stop_notices
from templates.cards.probes import verify
from templates.options import RENAMED, RenderOptions
from templates.previews.preview import PreviewOptions, preview
from templates.prompts import prompt_of
from templates.refusals import CHECKS
from templates.remedies import Remedy, working
from templates.render import render
from templates.template import TEMPLATES, ChatTemplate, describe, load_template
from templates.tokenizer.folder import load_tokenizer
from templates.tokenizer.tokenizer import Tokenizer
from templates.tokens.columns import EXAMPLES, REFUSED
from templates.tokens.dataset import (
    FILES,
    MAKER,
    Tokens,
    is_tokens,
    manifest_of,
    read,
    write,
)
from templates.tokens.lengths import Matched
from templates.tokens.rendered import Rendered
from templates.tokens.trainer_columns import dataset_of, to_dataset

__all__ = [
    "CHECKS",
    "EXAMPLES",
    "FILES",
    "MAKER",
    "REFUSED",
    "RENAMED",
    "TEMPLATES",
    "Card",
    "ChatTemplate",
    "Matched",
    "PreviewOptions",
    "Remedy",
    "RenderOptions",
    "Rendered",
    "Tokenizer",
    "Tokens",
    "dataset_of",
    "describe",
    "ending_lines",
    "is_tokens",
    "load_template",
    "load_tokenizer",
    "manifest_of",
    "preview",
    "prompt_of",
    "read",
    "render",
    "stop_notices",
    "to_dataset",
    "verify",
    "working",
    "write",
]
