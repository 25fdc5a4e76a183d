"""The quality rules about what is asked: is the material there, and would Alpaca's generator
(stanford_alpaca, `generate_instruction.py`) have taken the instruction?
"""

from __future__ import annotations

import re

import polars as pl

from filters.quality.excuses import sentences
from filters.quality.turns import BLANK, Hits, Turns, faults

# "Summarize the following article." and nothing after it. The prompt must be one line without
# quotes, digits, a colon or brackets, any of which may hold the material.
_MATERIAL = (
    r"(?:texts?|sentences?|articles?|passages?|paragraphs?|poems?|code|function|equations?"
    r"|expressions?|numbers?|words?|tweets?|reviews?|emails?|dialogues?|statements?|lists?"
    r"|arrays?|strings?|stor(?:y|ies)|snippets?|excerpts?|quotes?|html|data|tables?|documents?)"
)
_POINTS_AT = (
    rf"(?i)\b(?:the|this|these) (?:following|given|provided|attached) (?:\w+ ){{0,2}}{_MATERIAL}"
    rf"(?: (?:below|above|given|provided))?[.?!]?\s*\z"
    rf"|\b(?:the|this|these) (?:\w+ )?{_MATERIAL} (?:below|above)[.?!]?\s*\z"
)
_HOLDS_SOME = r"[\n:\"“”‘`{}\[\]()<>|=0-9]|\s['']"
# "Write a story that uses the given words": even then nothing is given, so no exemption for that;
# but code can be written for material that is given later.
_FOR_LATER = (
    r"(?i)\b(?:function|program|script|algorithm|method|class|query|code|regex|formula|how)\b"
)

_ALPACA_WORDS = (
    r"(?i)\b(?:images?|graphs?|pictures?|files?|maps?|draw|plot|go to|video|audio|music"
    r"|flowchart|diagram)\b"
)
INPUT_CHARACTERS = 60  # shorter material is a word or a number, which an answer has to name

_A_LINK = r"<?https?://\S+"
# "<LINK TO ARTICLE>", "(insert URL)"
_FOR_A_LINK = r"(?i:[<\[(](?:insert )?(?:link|url)(?: [^\n>\])]{1,40})?[>\])])"
_LINK_WORDS = ("http", "link", "Link", "LINK", "url", "Url", "URL")
_ENDS_IN_LINK = rf"(?:\A|\s)(?:{_A_LINK}|{_FOR_A_LINK})\s*\z"
# "Link:", "Here is the article:"
_LINK_LINE = re.compile(rf"(?:[^\n:]{{0,30}}:\s*)?(?:{_A_LINK}|{_FOR_A_LINK})")
# What is asked about an address is answered from it.
_ABOUT_ADDRESS = (
    r"(?i)\b(?:domain|parse|extract|shorten|qr"
    r"|classif\w*[^\n]{0,40}\bwebsites?|websites?[^\n]{0,40}\bclassif\w*|normali[sz]\w*|valid\w*"
    r"|encod\w*|decod\w*|tool\w*|site ?maps?|slugs?|permalinks?|backlinks?|url suggestions?"
    r"|e-?mails?|letters?|messages?)\b"
)
# An order about what the link leads to; a question may be answered without it.
_ON_MATERIAL = re.compile(
    r"(?i)\b(?:this|these|following|given|attached|provided|link|url|articles?|web ?sites?"
    r"|web ?pages?|photos?|images?|paintings?|videos?|songs?)\b"
    r"|\A\W*(?:please |can you |could you )?(?:summari[sz]e|rewrite|rephrase|paraphrase|review"
    r"|evaluate|analy[sz]e|describe|classify|rate|outline|edit|translate|read|transcribe|critique"
    r"|proofread|explain|identify|find|list)\b"
)
_ORDER_WORDS, _LABEL_WORDS, _LINKS = 40, 3, 3
_DECLINES = (
    r"(?i)\A[^.!?\n]{0,80}(?:can ?not|can['’]t|unable|not able|do(?:n['’]t| not) have)\b"
    r"|\A\W*(?:the|this|that) (?:link|url)\b|\A\W*it (?:seems|looks|appears)\b"
    r"|\A\W*(?:I(?: a|['’])m )?(?:very |so )?(?:sorry|afraid)\b|\A\W*(?:unfortunately|my apolog)"
    r"|\A\W*(?:sure|ok|okay|yes|of course|certainly|great)\b[^.!?\n]{0,150}[.!?]?\s*\z"
    r"|\A[^.!?\n]{0,40}[!.]?[^.!?\n]{0,80}\?[^.!?\n]{0,100}\??\s*\z"  # asks what to do
)


def link_as_input(turns: Turns) -> Hits:
    """Records whose question gives nothing to work on but links, and that are answered anyway.

    A text with its source below it is material. A tool may read what a link leads to.
    """
    some = pl.any_horizontal(
        pl.col("asked").str.contains(word, literal=True) for word in _LINK_WORDS
    )
    linked = turns.pairs.filter(some).filter(
        pl.col("asked").str.contains(_ENDS_IN_LINK),
        ~pl.col("asked").str.contains(_ABOUT_ADDRESS),
        ~pl.col("text").str.contains(_DECLINES),
    )
    return faults(linked, _only_a_link, "asked")


def _only_a_link(asked: str) -> str | None:
    """The last link, if the order before it is all that the question says besides links."""
    lines = asked.strip().split("\n")
    links = [line.strip() for line in lines if _LINK_LINE.fullmatch(line.strip())]
    # Many links are what is to be worked on.
    if not 1 <= len(links) <= _LINKS or not _LINK_LINE.fullmatch(lines[-1].strip()):
        return None
    rest = "\n".join(line for line in lines if line.strip() not in links).strip()
    order, _, more = rest.partition("\n\n")
    if len(order.split()) > _ORDER_WORDS or len(more.split()) > _LABEL_WORDS:
        return None
    # What stands beside an order in its paragraph is the material.
    stated = sum(not _ON_MATERIAL.search(sentence) for sentence in sentences(order))
    return links[-1] if stated == 0 else None


def empty_turn(turns: Turns) -> Hits:
    """Records with an empty user message beside others that say something."""
    blank = pl.col("text").str.contains(BLANK)
    some = turns.asked.filter(~blank).select("index").unique()
    empty = turns.asked.filter(blank).join(some, on="index", how="semi", maintain_order="left")
    return Hits(empty, pl.lit("empty user message"))


def missing_input(turns: Turns) -> Hits:
    """Records of one question that points at material which is not there."""
    asked = turns.prompts.filter(
        pl.len().over("index") == 1,
        pl.col("role") == "user",
        pl.col("text").str.contains(_POINTS_AT),
    )
    bare = asked.filter(
        ~pl.col("text").str.strip_chars().str.contains(_HOLDS_SOME),
        ~pl.col("text").str.contains(_FOR_LATER),
    )
    return Hits(bare, pl.col("text").str.extract(f"({_POINTS_AT})", 1))


def input_repeated(turns: Turns) -> Hits:
    """Records whose answer holds what follows the first blank line of the question."""
    material = pl.col("text").str.extract(r"(?s)\A.*?\n\n(.*)\z", 1).str.strip_chars()
    asked = turns.prompts.filter(pl.col("text").str.contains("\n\n", literal=True)).select(
        "index", material=material
    )
    long = asked.filter(pl.col("material").str.len_chars() >= INPUT_CHARACTERS)
    pairs = turns.responses.join(long, on="index", how="inner", maintain_order="left")
    same = pairs.filter(pl.col("text").str.contains(pl.col("material"), literal=True))
    return Hits(same, pl.col("material"))


def prompt_words(turns: Turns) -> Hits:
    """Every record's instruction, with the number of its `words`."""
    counted = turns.once(_instructions).select(
        "index", words=pl.col("text").str.count_matches(r"\S+")
    )
    return Hits(counted, pl.format("{} words", "words"))


def visual_word(turns: Turns) -> Hits:
    """Records whose instruction has a word that points beyond text."""
    found = turns.once(_instructions).filter(pl.col("text").str.contains(_ALPACA_WORDS))
    return Hits(found, pl.col("text").str.extract(f"({_ALPACA_WORDS})", 1))


def program_prefix(turns: Turns) -> Hits:
    """Records whose instruction begins with "Write a program"."""
    program = turns.once(_instructions).filter(pl.col("text").str.starts_with("Write a program"))
    return Hits(program, pl.col("text"))


def odd_first_character(turns: Turns) -> Hits:
    """Records whose instruction begins with ASCII punctuation or a character beyond ASCII."""
    odd = turns.once(_instructions).filter(
        pl.col("text").str.contains(r"\A(?:[!-/:-@\[-`{-~]|[^\x00-\x7f])")
    )
    return Hits(odd, pl.col("text").str.head(20))


def _instructions(turns: Turns) -> pl.DataFrame:
    """The first user message of each record, up to its first blank line."""
    first = pl.col("text").str.strip_chars().str.splitn("\n\n", 2).struct.field("field_0")
    return turns.first_asked.select("index", text=first.fill_null(""))
