"""Conversations into masked tokens: rendered by any chat template, proven row by row."""

from templates.card import Card
from templates.encoding.folder import load_tokenizer
from templates.encoding.tokenizer import Tokenizer
from templates.options import RenderOptions
from templates.previews.preview import PreviewOptions, preview
from templates.render import Rendered, render, verify
from templates.template import TEMPLATES, ChatTemplate, describe, load_template
from templates.tokens.columns import EXAMPLES, REFUSED
from templates.tokens.dataset import Tokens, check_free, is_tokens, manifest_of, read, write
from templates.tokens.lengths import Matched

__all__ = [
    "EXAMPLES",
    "REFUSED",
    "TEMPLATES",
    "Card",
    "ChatTemplate",
    "Matched",
    "PreviewOptions",
    "RenderOptions",
    "Rendered",
    "Tokenizer",
    "Tokens",
    "check_free",
    "describe",
    "is_tokens",
    "load_template",
    "load_tokenizer",
    "manifest_of",
    "preview",
    "read",
    "render",
    "verify",
    "write",
]
