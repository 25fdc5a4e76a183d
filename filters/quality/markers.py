"""How chat templates spell their delimiters, and where such a spelling is none.

Control tokens count anywhere outside code. Alpaca's headings ("### Instruction:") are ordinary
Markdown: in a document with other headings, or in a question that lays out its own parts, they are
the writer's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from filters.quality.turns import Hits, Turns, faults

# Names of tokens, but for those that end like OpenThoughts' marks of a thought and a solution
# (`<|begin_of_thought|>`): these are content, which no template adds.
_TOKEN_NAME = (
    r"(?:[A-Za-z_]+(?:[A-Za-z_--[tn]]|[A-Za-z_--h]t|[A-Za-z_--o]n|[A-Za-z_--i]on|[A-Za-z_--t]ion"
    r"|[A-Za-z_--u]tion))"
)

_PREAMBLE = r"(?m:^Below is an instruction that describes)"
# By family (no groups): `quality` drops rows that hold any, and `format` says whose they are.
MARKERS: Mapping[str, str] = {
    "chatml": r"<\|im_(?:start|end|sep)\|>",
    "llama3": r"<\|(?:start_header_id|end_header_id|eot_id|eom_id|begin_of_text|end_of_text)\|>",
    "zephyr": r"<\|(?:system|user|assistant|end)\|>",
    "special": rf"<\|{_TOKEN_NAME}\|>|<(?:unk|pad|eos|bos)>|</s>\s*\z|\A\s*<s>",
    "llama2": r"\[/?INST\]|<</?SYS>>",
    "gemma": r"<(?:start|end)_of_turn>",
    "alpaca": (
        r"#{2,4} ?(?:Instruction|Response)s?:|### ?(?:Input|Human|Assistant|User):"
        rf"|{_PREAMBLE}"
    ),
}
_HEADINGS = "alpaca"
# Each holds one of these, which are found many times faster.
_PARTS = ("<", "INST]", "##", "Below is an instr")
_ANY = "|".join(MARKERS.values())

_NAMES = r"(?:Instruction|Response|Input|Output|Human|Assistant|User)s?"
# A prompt that a template made: its preamble, its two headings in order, or the one for the answer
# at the end.
_WHOLE = re.compile(
    r"(?m)^Below is an instruction that describes|(?s:### ?Instruction:.*### ?Response:)"
    r"|(?s:### ?Human:.*### ?Assistant:)"
)
_FOR_ANSWER = re.compile(r"### ?(?:Response|Assistant):\s*\Z")
_OTHER_HEADING = re.compile(
    rf"(?m)^[ \t]*(?:#{{1,6}} ?(?!{_NAMES}\b)\w|\*\*(?!{_NAMES}\b)\w[^*\n]*\*\*:?\s*$)"
)
# A lone "### Input:" shows an example, and "### Instructions:" are steps.
_ONE_OF_TEMPLATE = re.compile(r"#{2,4} ?(?:Instruction|Response|Human|Assistant|User):")
_STRUCK = r"(?i)\bstrik\w*[ -]?(?:out|through)?\b|\bcross(?:ed)?[- ]out\b|\bhtml\b"
_ON_TEMPLATES = (
    r"(?i)(?-u:\b)(?:(?:prompt|chat|instruction)[ -](?:templates?|formats?)|special tokens?"
    r"|control tokens?|tokeni[sz]er\w*|chatml|end-of-(?:text|turn|sequence)"
    r"|fine-?tun\w*|instruction[ -]tun\w*|format\w* (?:my |the |a )?(?:\w+ )?prompts?)(?-u:\b)"
)


def template_marker(turns: Turns) -> Hits:
    """Records with a delimiter of a chat template in a message; the span is the delimiter."""
    found = [hits.lines for hits in turns.once(markers).values()]
    lines = pl.concat(found).sort("index", "place", maintain_order=True)
    return Hits(lines, pl.col("marker").str.strip_chars())


def markers(turns: Turns) -> dict[str, Hits]:
    """The messages with a delimiter of each family: `index`, `place`, `marker`.

    None is in code, or in a conversation that asks about templates.
    """
    plain = pl.col("plain")
    sides = [
        side.filter(
            pl.any_horizontal(plain.str.contains(part, literal=True) for part in _PARTS)
        ).filter(plain.str.contains(_ANY))
        for side in (turns.prompts, turns.responses)
    ]
    likely = pl.concat(sides).sort("index", "place")
    if likely.height:
        asked = turns.prompts_of(likely["index"])
        on_templates = asked.filter(plain.str.contains(_ON_TEMPLATES))["index"]
        of_one = plain.str.contains(_PREAMBLE)
        likely = likely.filter(of_one | ~pl.col("index").is_in(on_templates.implode()))
    found = {}
    for family, marks in MARKERS.items():
        lines = likely.filter(pl.col("plain").str.contains(marks))
        if family == _HEADINGS and lines.height:
            with_asked = lines.with_columns(asked=turns.before(lines))
            lines = faults(with_asked, _foreign, "role", "plain", "asked").lines
        if family == "special" and lines.height:
            # A mark of one's own, as the question orders it: end with "<|DONE|>".
            lines = lines.filter(plain.str.contains(rf"(?:\A|[^\"'“‘])(?:{marks})"))
            # <s> strikes text out in HTML.
            struck = plain.str.contains(r"(?s)<s>.*</s>") & turns.before(lines).str.contains(
                _STRUCK
            )
            lines = lines.filter(~struck)
        lines = lines.select("index", "place", marker=pl.col("plain").str.extract(f"({marks})", 1))
        found[family] = Hits(lines, pl.col("marker").str.strip_chars())
    return found


def _foreign(role: str, text: str, asked: str) -> str | None:
    """A word for headings that no writer of this message set, or None."""
    if _WHOLE.search(text):
        return "template"
    if role != "assistant":
        return "template" if _FOR_ANSWER.search(text) else None
    if _OTHER_HEADING.search(text) or not _ONE_OF_TEMPLATE.search(text):
        return None
    return None if "#" in asked or re.search(rf"(?i)\b{_NAMES}\b", asked) else "heading"
