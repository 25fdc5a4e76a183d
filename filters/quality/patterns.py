"""The quality rules that are a pattern: what each looks for, where, and what exempts a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from filters.quality.turns import Hits, Turns

Side = Literal["prompt", "response", "either"]

# Turns written out: at line starts only, as "The Human: a film" is prose.
DIALOGUE = (
    r"(?ms:^(?:Human|USER): ?.*^(?:Assistant|ASSISTANT):|\n\n(?:Human|USER): "
    r"|\A(?:Assistant|ASSISTANT): )"
)


@dataclass(frozen=True)
class Pattern:
    """A rule that fires where `pattern` matches (Rust regex syntax, no groups).

    `view` is `plain` (code removed) or `text`; `unless` is a pattern that exempts a row when it
    matches any of its prompts or the message itself, `unless_asked` one that does in any of its
    prompts. `escaped` spells the span out in ASCII.
    """

    side: Side
    pattern: str
    view: Literal["plain", "text"] = "plain"
    unless: str = ""
    unless_asked: str = ""
    escaped: bool = False


_ASKS_FOR_DIALOGUE = (
    r"(?i)\b(?:dialog(?:ue)?s?|conversations?|chat(?:bot)?s?|scripts?|transcripts?|interviews?"
    r"|role.?play|classify|screenplay)\b"
)
_TEMPLATING = (
    # A mail to many has its name filled in for each
    r"(?i)\b(?:e-?mails?|newsletters?|campaigns?|audience|leads?|subject line|outreach|recipients?"
    r"|prospects?|personali[sz]\w*|templates?|messages? for)\b"
    r"|\{%|\{\{ ?[#/^]|\{\{ ?else|</|=>|\\[a-z]+\{"
    r"|\b(?:jinja2?|handlebars|mustache|angular|vue|liquid|helm|templat\w*)\b"
)

_ABOUT_CODE = (
    r"(?i)\b(?:regex(?:es)?|regular expressions?|python|strings?|escaped?|encod\w*|html|xml|json"
    r"|yaml|code|print\w*|latex|sql|java|javascript|c\+\+|c#|function|newlines?|characters?|tex"
    r"|unicode|paths?|csv|script|shell|bash|program)\b"
)

CONTROL_CHARACTERS = Pattern(
    "either", r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\x{FFFE}\x{FFFF}]+", view="text", escaped=True
)
# U+FFFD is a character already lost; the others are UTF-8 read as Windows-1252 or Latin-1.
MOJIBAKE = Pattern(
    "either",
    r"\x{FFFD}+|[ÃÂ][\x{80}-\x{BF}€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
    r"|â[€\x{80}][\x{80}-\x{BF}‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ¢]|ï»¿|ðŸ[\x{80}-\x{BF}‘’“”˜™š›œžŸŽ]",
)
ROLE_MARKER = Pattern("either", DIALOGUE, unless=_ASKS_FOR_DIALOGUE)
STRAY_ESCAPE = Pattern(
    "response",
    r"\\r?\\n|\\n(?:[A-Z0-9•*-]|\s|\z)|\\u00[0-9a-fA-F]{2}|\\u20[0-9a-fA-F]{2}"
    r"|&(?:amp|lt|gt|quot|nbsp|apos|#39|#x27);",
    unless=_ABOUT_CODE,
)
MERGED_INSTRUCTIONS = Pattern(
    "response",
    r"(?m:\d{1,2}\.\s+Instruction:|^Instruction (?:[2-9]|\d\d+):)",
    unless=r"(?m:^Instruction 1:)",  # steps, from the first on
    # Instructions for a model
    unless_asked=(
        r"(?i)\b(?:write|make|generate|create|give|list|provide|produce|come up with)\b[^.\n]{0,40}"
        r"\binstructions?\b|\binstruction[- ](?:tun|follow|data|set)"
    ),
)
PLACEHOLDER_INPUT = Pattern(
    "prompt",
    r"(?i)(?:\A|\n)\s*[\[(<]no[ _]?input(?: (?:is )?(?:required|needed|necessary|given"
    r"|provided))?[\])>.]*\s*\z"
    r"|\n\n\s*no[ _]?input(?: (?:is )?(?:required|needed|necessary|given|provided))?[.]*\s*\z"
    r"|\n\n[\[(<]?(?:n/a|none|not applicable)[\])>.]*\s*\z",
    view="text",
)
UNFILLED_PLACEHOLDER = Pattern(
    "response", r"\{\{ ?[A-Za-z_]\w{2,}(?: \w+){0,3} ?\}\}", unless=_TEMPLATING
)
IMAGE_REFERENCE = Pattern(
    "prompt",
    r"!\[[^\]\n]*\]\(http|<img ?src=|<?\bimage: ?http"
    r"|(?i:(?:\A|[\s\"'])[\[(<](?:an? |the |attached )?(?:image|photo|picture|painting)"
    r"(?: \d+| attached| of [^\])>\n]{1,80})?[\])>](?:[^(]|\z))",
    unless=r"(?i)\b(?:html|css|pages?|markdown|tags?|header|code|javascript|js|div|scripts?|readme"
    r"|components?|output)\b|\{\w+\}"
    # In a long text an image is one of its parts.
    r"|(?s)\A.{800}",
)
IMAGE_REQUEST = Pattern(
    "prompt",
    r"(?i)\A\W*(?:please )?(?:(?:draw|sketch|paint|plot|compose a (?:melody|tune))(?-u:\b)"
    r"|(?:create|design|generate|make|produce|construct|render|show|find|record) (?:me )?an?"
    r" (?:\w+ ){0,4}(?:images?|pictures?|graphics?|logos?|illustrations?|drawings?|paintings?"
    r"|posters?|charts?|diagrams?|flow ?charts?|infographics?|photos?|videos?|audio|visuals?)"
    r"(?-u:\b))",
)
IDENTITY_CLAIM = Pattern(
    "response",
    r"(?i)(?-u:\b)(?:I am|I'm|I’m|my name is) (?:ChatGPT|GPT-?[345]|Claude|Bard|Gemini|Vicuna"
    r"|Alpaca|LLaMA|Qwen|DeepSeek)(?-u:\b)"
    r"|(?-u:\b)I (?:am|was)[^.\n]{0,60}\b(?:trained|developed|created|made|built) by"
    r" (?:OpenAI|Anthropic|Google|Meta|Microsoft|Alibaba|researchers)(?-u:\b)",
)
PROMPT_LEAK = Pattern(
    "response",
    r"(?i)as (?:requested|specified|described|given|stated|asked|instructed) (?:in|by)"
    r" (?:the|your) (?:instructions?|prompt)(?-u:\b)"
    r"|(?:this|the|given) (?:instruction|prompt) (?:asks|requires|does not)(?-u:\b)",
)
END_MARKER = Pattern(
    "response",
    r"(?i)(?:\A|\n)\W*end of (?:the )?(?:output|response|answer|text|document|input)\W*\z",
    view="text",
)


def matches(turns: Turns, patterns: Mapping[str, Pattern]) -> dict[str, pl.DataFrame]:
    """For each named pattern the records it fires on: `index` and the span as `evidence`."""
    return {slug: hits.evidence() for slug, hits in find(turns, patterns).items()}


def find(turns: Turns, patterns: Mapping[str, Pattern]) -> dict[str, Hits]:
    """What each named pattern fires on."""
    found: dict[str, Hits] = {}
    for side in ("prompt", "response", "either"):
        rules = {slug: rule for slug, rule in patterns.items() if rule.side == side}
        if not rules:
            continue
        messages = turns.side(side)
        # All patterns of a side in one select, so that they share the cores.
        fires = messages.select(
            pl.col(rule.view).str.contains(rule.pattern).alias(slug) for slug, rule in rules.items()
        )
        for slug, rule in rules.items():
            found[slug] = _hits(turns, messages.filter(fires[slug]), rule)
    return found


def _hits(turns: Turns, hits: pl.DataFrame, rule: Pattern) -> Hits:
    for exempts in filter(None, (rule.unless, rule.unless_asked)):
        if hits.height:
            asked = turns.prompts_of(hits["index"]).filter(pl.col("text").str.contains(exempts))
            hits = hits.filter(~pl.col("index").is_in(asked["index"].implode()))
    if hits.height and rule.unless:
        hits = hits.filter(~pl.col(rule.view).str.contains(rule.unless))
    span = pl.col(rule.view).str.extract(f"({rule.pattern})", 1)
    # Control characters would be invisible, or act on the terminal that shows them.
    return Hits(hits, span.map_batches(_escaped) if rule.escaped else span.str.strip_chars())


def _escaped(spans: pl.Series) -> pl.Series:
    return pl.Series([ascii(span)[1:-1] for span in spans], dtype=pl.String)
