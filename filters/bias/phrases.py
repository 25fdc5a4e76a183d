"""Habits of answers that a pattern finds: how they open, agree, apologise and close."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

# Each habit with what it says in a sentence.
TRAITS: Mapping[str, str] = {
    "agreement": "open by agreeing or praising the question",
    "apology": "apologise",
    "stock_phrase": "have a stock phrase of chat models",
    "closing_offer": "end by offering more help",
}
# Those that count as one, whatever the words.
HABITS = ("agreement", "apology", "closing_offer")

_AGREEMENT = (
    r"(?i)\A[\s\"'“]*((?:you(?:'|’)?re|you are) (?:absolutely |completely |quite )?"
    r"(?:right|correct)"
    r"|(?:that(?:'|’)?s|that is|what) an? (?:\w+ )?(?:great|good|excellent|interesting|wonderful"
    r"|fantastic|thoughtful|insightful) (?:question|point|idea)"
    r"|(?:great|good|excellent) (?:question|point|idea|choice)|i (?:completely |totally )?agree"
    r"|absolutely[!,.]|certainly[!,.]|of course[!,.]|sure(?: thing)?[!,.]"
    r"|yes, (?:you|that)(?:'|’)?(?:re| are|s| is) (?:right|correct))"
)
_APOLOGY = (
    r"(?i)\b(i(?:'|’)?m (?:very |so |really |truly )?sorry|i am (?:very |so |really |truly )?sorry"
    r"|i (?:sincerely |deeply )?apologi[sz]e|my (?:sincere )?apologies|apologies for)\b"
)
_STOCK = (
    r"(?i)\b(as an? (?:ai|artificial intelligence|large language model)(?: language model)?"
    r"|it(?:'|’)?s (?:important|worth|crucial|essential) to (?:note|remember|mention|keep in mind)"
    r"|it is (?:important|worth|crucial|essential) to (?:note|remember|mention|keep in mind)"
    r"|in (?:conclusion|summary)|delve into|(?:rich|vibrant) tapestry|testament to"
    r"|in today(?:'|’)s (?:fast-paced|digital|modern|ever-changing) (?:world|age|society)"
    r"|plays? an? (?:crucial|vital|pivotal|significant) role|i hope this (?:helps|email finds you)"
    r"|navigat(?:e|ing) the complexities|when it comes to|unlock the (?:power|potential))\b"
)
_CLOSING = (
    r"(?i)((?:let me know if|feel free to (?:ask|reach|contact)|don(?:'|’)t hesitate to"
    r"|if you (?:have|need) any (?:more|other|further|additional)"
    r"|is there anything else|i(?:'|’)?m here to help|would you like me to)[^\n]{0,120})\s*\z"
)
# A prompt that claims instead of asking: "I think", "... , right?".
_ASSERTS = (
    r"(?i)\b(?:i (?:think|believe|feel|know|am sure|would say|reckon)|in my (?:opinion|view)"
    r"|(?:isn(?:'|’)t|aren(?:'|’)t|doesn(?:'|’)t|don(?:'|’)t) (?:it|they|that|you)\?"
    r"|right\?|obviously"
    r"|everyone knows|it(?:'|’)?s (?:clear|obvious) that|you(?:'|’)?re wrong|you are wrong)"
)
_LIST = r"(?m)^\s*(?:[-*+•]|\d{1,3}[.)]) \S"
_EMOJI = r"[\x{1F300}-\x{1FAFF}\x{2600}-\x{27BF}]"


def phrase_columns(records: pl.DataFrame) -> list[pl.Series]:
    """One column each: the habits of `TRAITS`, prompt stance, style of the answers.

    `stock_phrase` names the phrase found, of which there are some hundred; the other habits, and
    the stance, are true or false.
    """
    prompt, answer = pl.col("prompt"), pl.col("response")
    # An offer and what follows it in its line are shorter than that; a search of it all is slow.
    ending = answer.str.strip_chars_end().str.tail(300)
    frame = records.select(
        agreement=answer.str.contains(_AGREEMENT),
        apology=answer.str.contains(_APOLOGY),
        stock_phrase=_found(answer, _STOCK).cast(pl.Categorical),
        closing_offer=ending.str.contains(_CLOSING),
        asserts=prompt.str.contains(_ASSERTS),
        exclamations=answer.str.count_matches("!", literal=True),
        emoji=answer.str.count_matches(_EMOJI),
        has_list=answer.str.contains(_LIST),
    )
    return frame.get_columns()


def _found(text: pl.Expr, pattern: str) -> pl.Expr:
    """The words found, in small letters with a plain apostrophe, or null."""
    words = text.str.extract(pattern, 1).str.to_lowercase().str.replace_all("’", "'", literal=True)
    return words.str.head(60)


def openers(records: pl.DataFrame, words: int) -> pl.Series:
    """The first words in small letters; null for an answer of no more words than that."""
    text = pl.col("response")
    parts = text.str.head(40 * words).str.to_lowercase().str.extract_all(r"[\p{L}\p{N}'’]+")
    opener = parts.list.head(words).list.join(" ")
    return records.select(opener=pl.when(parts.list.len() > words).then(opener)).to_series()
