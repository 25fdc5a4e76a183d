"""The quality rules that hold an answer to a plain demand: a length, a shape, a change, an end.

As in `asked`, each fires only where the demand is plain; loops over the few rows a pattern leaves.
"""

from __future__ import annotations

import re

from filters.quality.asked import MORE_NUMBER_WORDS, faults_of_pairs, order_of, value_of
from filters.quality.turns import Hits, Turns

_NUMBER = rf"(\d{{1,4}}|{'|'.join(sorted(MORE_NUMBER_WORDS, key=len, reverse=True))})"
_BEGINS = (
    r"(?:\A|[.!?:]\s+)\W*(?:please\s+)?(?:write|compose|create|generate|produce|provide|draft|craft"
    r"|construct|make|give|come up with)\s+(?:me\s+|us\s+)?"
)
_PLAIN_ORDER = 400  # characters: longer ones speak of more than one text

# A limit on words or characters, unless it is one on each of several or on what a program takes.
_LIKELY_LENGTH = (
    r"(?i)\d[- ](?:words?|characters?)\b|\b(?:ten|fifteen|twenty|thirty|fifty) words\b"
    r"|\ba (?:\w+ )?tweet\b"
)
_MOST = re.compile(
    r"(?i)(?<!no )(?<!not )\b(?:(?:no|not) (?:more|longer) than|less than|fewer than|at most"
    rf"|maximum(?: of)?|under|within|up to)\s+{_NUMBER}\s+(words?|characters?)\b"
    rf"|\b{_NUMBER}\s+(words?|characters?)\s+or\s+(?:less|fewer)\b"
)
_ABOUT_AS_MANY = re.compile(
    rf"(?i)\b(?:in|using)\s+(?:exactly\s+|only\s+|just\s+|about\s+|around\s+)?{_NUMBER}\s+words\b"
    r"(?!\s+or\s+more)"
)
_LONG = re.compile(
    rf"(?i){_BEGINS}an?\s+{_NUMBER}[- ]words?\s+(?!summar|limit|max)"
    rf"|\b(?:at least|no less than|a minimum of)\s+{_NUMBER}\s+words\b"
)
_TWEET = re.compile(rf"(?i){_BEGINS}a\s+(?:\w+\s+)?tweet\b")
_NOT_ONE_TEXT = re.compile(
    r"(?i)\b(?:each|every|per|stories|titles?|headlines?|slogans|names|sentences|taglines|paragraphs"
    r"|tweets|thread|function|program|script|code|regex|find|count|reduce|between|shorter|password"
    r"|only|rest|restrict\w*"
    r"|these|those|them|phrases|bullets?|options|headings|one-?liners"
    r"|math|how many)\b"
)
# "Ten slogans of at most 100 characters": each of them.
_SEVERAL = re.compile(
    rf"(?i)(?<![\w.$€£-])(?:(?!1\b|one\b|\d{{4}}\b){_NUMBER}|several|multiple|different|some"
    r"|few|many|more|another)\s+(?:[\w'’,-]+\s+){0,3}?(?!words\b|characters\b|less\b)[a-z'-]{2,}s\b"
)
# The same, where the order comes later.
_IN_SEVERAL = re.compile(
    rf"(?i)(?<![\w.])(?:(?!1\b|one\b){_NUMBER}|several|multiple)\s+(?:[\w-]+\s+){{0,2}}?"
    r"(?:examples|versions|variations|options|drafts|e-?mails|posts|ads|captions|chapters)\b"
)
_SORRY = re.compile(
    r"(?i)\W*(?:I(?: a|['’])m sorry|I apologi[sz]e|sorry|apologies|unfortunately)\b"
)
_TWEET_CHARACTERS = 280
_LONG_TEXT = 50  # words; of fewer, a few are much
_SHORT_BY, _OVER_BY, _OVER_ABOUT = 0.6, 1.05, 1.2

_LIKELY_LINES = (
    r"(?i)\b(?:haiku|limerick)\b|(?:\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve"
    r"|fifteen|twenty))[- ](?:lines?|(?:short )?paragraphs?)\b"
)
_VERSE = r"(?:poem|song|rap|rhyme|lyrics|ode|ballad)"
_FORM = re.compile(rf"(?i){_BEGINS}an?\s+(?:\w+\s+){{0,2}}(haiku|limerick)\b")
_FORM_LINES = {"haiku": 3, "limerick": 5}
_VERSE_LINES = re.compile(
    rf"(?i){_BEGINS}(?:an?\s+|the\s+|some\s+)?(?:[\w-]+\s+){{0,3}}?{_VERSE}\b[^.\n]{{0,30}}?"
    rf"\b{_NUMBER}[- ]lines?\b"
    rf"|{_BEGINS}(?:an?\s+|the\s+lyrics\s+to\s+an?\s+)?{_NUMBER}[- ]lines?\s+(?:\w+\s+){{0,2}}"
    rf"{_VERSE}\b"
)
_PARAGRAPHS = re.compile(
    rf"(?i)\bin\s+(?:exactly\s+|only\s+|just\s+)?{_NUMBER}\s+(?:short\s+)?paragraphs\b"
    rf"|{_BEGINS}(?:an?\s+)?{_NUMBER}[- ]paragraphs?\b"
)
_NOT_ONE_SHAPE = re.compile(
    r"(?i)\bat (?:least|most)\b|\bor (?:more|less|fewer)\b|\b(?:first|last|next|opening|closing"
    r"|each|every|per|stanzas?|verses|minimum|maximum|up to|e-?mail|letter|given|these|two poems)\b"
    r"|\d\s*(?:-|–|to|or)\s*\d"
)
_NUMBERED = re.compile(r"(?m)^\s*\d{1,2}[.)]\s")
_HEADING = re.compile(
    r"(?i)\W*(?:(?:verse|chorus|bridge|title|outro|intro|refrain|hook|stanza|pre-chorus)\b.{0,14}|.*:)\W*\Z"
)

_ANNOUNCES = r"[:：]\s*\z"
_MATERIAL_WORDS = 8
_OF_CODE = re.compile(r"[)\]\d'\"]\s*:\s*\Z|\A\s*(?:def|class|while|for|if|elif|else|try|with)\b")
_SMILEY = re.compile(r"(?:[^\w\s)\]}\"'`*]|(?<![\w])\w)\s?[:：]\Z")
_OPEN_BY_RIGHT = re.compile(
    r"(?i)\b(?:forms?|template|labels?|headings?|salutation|greeting|signature|prefix|colon|headers?"
    r"|fields?|outline|survey|questionnaire)\b"
)


def empty_promise(turns: Turns) -> Hits:
    """Records whose answer ends by announcing what does not come: "Here is a recipe:"."""
    return faults_of_pairs(turns, _announces, given=_ANNOUNCES)


def wrong_length(turns: Turns) -> Hits:
    """Records whose answer is longer than the question allows, or far shorter than it orders."""
    return faults_of_pairs(turns, _misses_length, _LIKELY_LENGTH)


def wrong_lines(turns: Turns) -> Hits:
    """Records whose poem or text has another number of lines or paragraphs than was ordered."""
    return faults_of_pairs(turns, _misses_lines, _LIKELY_LINES)


def _announces(asked: str, answer: str) -> str | None:
    lines = [line.rstrip() for line in answer.rstrip().split("\n") if line.strip()]
    given = asked.rstrip().rpartition("\n")[2]
    # The text that was to be changed ends so, or in a colon too.
    same = given.endswith(lines[-1][-20:]) or (
        given.endswith((":", "：")) and len(given.split()) > _MATERIAL_WORDS
    )
    if _SMILEY.search(lines[-1]) or same:
        return None
    # Of several the last is a field of a form.
    a_field = len(lines) > 1 and lines[-2].endswith((":", "："))
    if a_field or _OF_CODE.search(lines[-1]) or _OPEN_BY_RIGHT.search(order_of(asked)):
        return None
    return lines[-1][-80:]


def _numbers(match: re.Match[str]) -> list[str]:
    return [group for group in match.groups() if group]


def _misses_length(asked: str, answer: str) -> str | None:
    order = order_of(asked)
    if len(order) > _PLAIN_ORDER or _NOT_ONE_TEXT.search(order):
        return None
    fault = _misses_length_of(order, answer)
    if fault is None or _SEVERAL.search(order) or _SORRY.match(answer):
        return None
    return None if _IN_SEVERAL.search(asked) else fault


def _misses_length_of(order: str, answer: str) -> str | None:
    words, characters = len(answer.split()), len(answer.strip())
    if _TWEET.search(order) and characters > _TWEET_CHARACTERS:
        return f"tweet: {characters} characters"
    if (most := _MOST.search(order)) is not None:
        number, unit = _numbers(most)
        if unit.lower().startswith("c"):
            return f"{most[0]}: {characters}" if 20 <= value_of(number) < characters else None
        return f"{most[0]}: {words}" if words > _OVER_BY * value_of(number) + 1 else None
    if (least := _LONG.search(order)) is not None:
        fewest = value_of(_numbers(least)[0])
        short = fewest >= _LONG_TEXT and words < _SHORT_BY * fewest
        return f"{least[0].lstrip(': ')}: {words}" if short else None
    about = _ABOUT_AS_MANY.search(order)
    if about is None or value_of(about[1]) < 10 or words <= _OVER_ABOUT * value_of(about[1]):
        return None
    return f"{about[0]}: {words}"


def _misses_lines(asked: str, answer: str) -> str | None:
    order = order_of(asked)
    if len(order) > _PLAIN_ORDER or _NOT_ONE_SHAPE.search(order):
        return None
    form, verse, text = (rule.search(order) for rule in (_FORM, _VERSE_LINES, _PARAGRAPHS))
    if form is None and verse is None:
        if text is None:
            return None
        if _NUMBERED.search(answer):
            return None  # which of the items are paragraphs is not to be told
        number, given = value_of(_numbers(text)[0]), _paragraphs(answer)
        return None if given == number else f"{number} paragraphs ordered, {given} given"
    number = value_of(_numbers(verse)[0]) if verse else 0
    number = _FORM_LINES[form[1].lower()] if form else number
    lines = _lines(answer, number)
    return None if lines in (None, number) else f"{number} lines ordered, {lines} given"


def _lines(answer: str, wanted: int) -> int | None:
    """Lines of a poem without headings and title; None for one line that may be several."""
    text = answer.strip()
    lines = [line for line in text.split("\n") if line.strip() and not _HEADING.match(line)]
    if len(lines) < 2:
        return None
    # A title stands alone.
    titled = len(lines) == wanted + 1 and len(lines[0].split()) <= 8 and "\n\n" in text
    return wanted if titled else len(lines)


def _paragraphs(answer: str) -> int:
    text = answer.strip()
    parts = re.split(r"\n\s*\n" if re.search(r"\n\s*\n", text) else r"\n+", text)
    # Titles and lines such as "Product A:" are no paragraphs, nor are the items of a list.
    return sum(part.rstrip()[-1:] in ".!?\"”')" and len(part.split()) > 8 for part in parts)
