"""The quality rules that lay an answer beside what its question orders: counts, code, the web.

Each fires only where the order is plain and what was given can be counted without understanding
it. Loops over the few rows that a pattern leaves.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import polars as pl

from filters.quality.excuses import ASKS_BACK
from filters.quality.turns import Hits, Turns, faults

_SMALL = "one two three four five six seven eight nine ten eleven twelve"
NUMBER_WORDS = dict(zip(_SMALL.split(), range(1, 13), strict=True)) | {"fifteen": 15, "twenty": 20}
MORE_NUMBER_WORDS = NUMBER_WORDS | {"thirty": 30, "fifty": 50}
_NUMBER = rf"(\d{{1,2}}|{'|'.join(sorted(NUMBER_WORDS, key=len, reverse=True))})"

_A_LIST = (
    r"\b(?:list|name|give|provide|generate|suggest|identify|write|create|come up with|offer|propose"
    r"|brainstorm|make|compile|produce|tell|outline|state|mention|recommend|share)\s+(?:me\s+|us\s+)?"
    rf"(?:a\s+(?:\w+\s+)?list\s+(?:of|with|containing)\s+|down\s+)?{_NUMBER}\s+"
)
_IN_SENTENCES = (
    rf"\b(?:in|into)\s+(?:exactly\s+|only\s+|just\s+)?{_NUMBER}(?:\s+\w+)?\s+sentences\b"
)
_LIST = re.compile(rf"(?i){_A_LIST}(?!to\b|or\b|and\b|[-–/])(?:[a-z'-]+\s+){{0,3}}?[a-z'-]+s\b")
_SENTENCES = re.compile(_IN_SENTENCES, re.IGNORECASE)
# With these another number may be right: "at least three", "two for each", "3 pros and 3 cons".
_LOOSE = re.compile(
    r"(?i)\balso\b|\bat (?:least|most)\b|\bup to\b|\bor (?:more|less|fewer)\b"
    r"|\bm(?:in|ax)imum\b|\bno more\b|\bbetween\b|\beach\b|\bevery\b|\bper\b|\bboth\b|\bcombine\b"
    rf"|\d\s*(?:-|–|to)\s*\d|\band\s+(?:\w+\s+)?{_NUMBER}\b"
)
_A_NUMBER_OF = re.compile(
    rf"(?i)(?<![\w.$€£-]){_NUMBER}\s+(?:[a-z'-]+\s+){{0,3}}?"
    r"(?!(?:words|characters|sentences|lines|paragraphs|pages|minutes|hours|days|weeks|months|years)\b)"
    r"[a-z'-]+s\b"
)
_NOT_ORDERED = re.compile(
    r"(?i)\b(?:able to|needs? to|wants? to|going to|trying to|used to|will|would|should|must|may"
    r"|might|it|they|we|which|who|that)\s+\Z"
)
# "Script #2", "Day 3": each part has a list of its own.
_PARTS = re.compile(r"(?im)^\W*[a-z]+(?: [a-z]+){0,2} #?\d+\b")
# The order is not yet to be carried out.
_LATER = re.compile(r"(?i)\b(?:I(?:['’]m| am) going to|I(?:['’]ll| will)|if you understand)\b")
_NUMBERED = re.compile(r"(?:^|\s)(\d{1,2})[.)]\s+(?=\S)")
_BULLET = re.compile(r"^[-*•]\s+\S", re.MULTILINE)
_HEADING = re.compile(r":\s*$", re.MULTILINE)
_ABBREVIATION = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|St|vs|etc|e\.g|i\.e|U\.S|U\.K|Inc|Jr|Sr|No|Prof|a\.m|p\.m|[A-Z])\."
)
_SENTENCE_END = re.compile(r"[.!?]+[\"'”’)]*(?=\s|$)")

# Cheap, and true of all that the pattern proper finds (to Python a small i has two more forms).
_MAY_ORDER_CODE = r"(?i)function|program|script|code|query|class|method|snippet|reg(?:ex|ular)"
_MAY_ORDER = (
    r"(?i)wr.te|create|develop|.mplement|generate|code|bu.ld|construct|des.gn|compose|produce"
)
_ASKS_CODE = re.compile(
    r"(?i)(?:\A|[.!?:\n]\s*)\W*(?:(?:please|now|then|ok(?:ay)?|so|and|hi|hello),?\s+)*"
    r"(?:(?:can|could|would|will) you\s+(?:please\s+)?|(?:I want|I need|I'd like) you to\s+"
    r"|help me (?:to\s+)?|your task is to\s+)?"
    r"(?:write|create|develop|implement|generate|code|build|construct|design|compose|produce)\s+"
    r"(?:me\s+)?(?:an?|the|some)\s+"
    r"(?:(?!name|for\b|of\b|or\b|in\b|about\b|list|description|plan|outline|test)[\w+#.-]+\s+){0,3}?"
    r"(?:function|program|(?:shell|bash|python) script|code|query|class|method|snippet|regex"
    r"|regular expression)\b(?:\s+in\s+[\w+#]+)?\s+(?:that|to|which|for|using|in)\b"
)
_ABOUT_DATA = re.compile(
    r"(?i)\b(?:python|java|javascript|c\+\+|c#|php|ruby|sql|html|css|strings?|integers?|array|numbers?"
    r"|loop|user input|input|database|files?|api|compute|calculat\w+|sort\w*|prints?|returns?"
    r"|variables?|computer|detects?|to-do)\b"
)
_LOOKS_LIKE_CODE = re.compile(
    r"[{};=<>\\`|$#]|\w\(|^\s{2,}\S|^\s*\d\.|\bprint|\breturn\b|\bimport\b|pseudo"
    # Code of plain words: SQL, BASIC, COBOL, assembly, a shell, `table.column`
    r"|\b(?:SELECT|PRINT|DISPLAY|MOVE|GOTO|FROM|WHERE|INSERT|UPDATE|DELETE|CREATE|THEN|ELSE|ENDIF)\b"
    r"|\A\s*(?:select|insert|update|delete|alter|drop|create|with|grant)\s"
    r"|^\s*(?:if|else|elif|end|for|while|set|let|dim|begin|echo|cat|grep|find|mov|call|push|pop|sub"
    r"|proc|when|repeat|int|var|fn|func|def|do|done|use|local)\b(?! you\b)"
    r"|\b[a-z]\w+\.[a-z]\w+|\w_\w",
    re.MULTILINE,
)
_YES_OR_NO = re.compile(r"(?i)\byes or no\b")
_PROSE_WORDS, _READY_WORDS = 12, 3
_ORDERS_REPLY = re.compile(r"(?i)\b(?:respond|reply|answer|say|acknowledge)\b")
# A few words may be all of these. Elsewhere they are what the program would print.
_MAY_BE_BRIEF = re.compile(
    r"(?i)\b(?:bash|shell|commands?|reg(?:ex|ular)\w*"
    r"|quer(?:y|ies)|sql|css|html|excel|one[- ]lin\w*)\b"
)

_SEARCHES = (
    r"(?i)(?:\A|[.!?]\s|\bplease\s)\s*(?:search|browse|surf)\s+(?:on\s+|through\s+)?(?:the\s+)?"
    r"(?:web|internet|google|online)\b[^\n]*"
)
# What changes from day to day; a definition can be given without a search.
_TODAYS = (
    r"(?i)\b(?:news|articles?|current|latest|recent|today|trends?|prices?|weather|near\w*|rated"
    r"|restaurants?|hotels?|reviews?)\b"
)


def wrong_count(turns: Turns) -> Hits:
    """Records whose answer lists, or has sentences, in another number than the question orders."""
    return faults_of_pairs(turns, _miscounted, f"(?i){_A_LIST}|{_IN_SENTENCES}")


def missing_code(turns: Turns) -> Hits:
    """Records that are asked for a program and answer in prose about one, or with what it says."""
    return faults_of_pairs(turns, _no_code, _MAY_ORDER_CODE, _MAY_ORDER)


def needs_web(turns: Turns) -> Hits:
    """Records without tools that are told to look up today's facts: the answer only pretends to."""
    asked = turns.asked.filter(
        ~pl.col("declared"),
        pl.col("text").str.contains(_SEARCHES),
        pl.col("text").str.contains(_TODAYS),
    )
    return Hits(asked, pl.col("text").str.extract(f"({_SEARCHES})", 1))


def faults_of_pairs(
    turns: Turns, fault: Callable[[str, str], str | None], *likely: str, given: str = ""
) -> Hits:
    """What `fault` finds in each question and the answer after it, without tools.

    Only of those whose question matches all of `likely` and whose answer matches `given`.
    """
    pairs = turns.pairs
    for pattern in likely:
        pairs = pairs.filter(pl.col("asked").str.contains(pattern))
    if given:
        pairs = pairs.filter(pl.col("text").str.contains(given))
    return faults(pairs, fault, "asked", "text")


def order_of(asked: str) -> str:
    """The first paragraph of a question: the order stands there, what to work on below it."""
    return asked.strip().partition("\n\n")[0][:1000]


def value_of(word: str) -> int:
    """The number that digits or a word stand for."""
    return int(word) if word.isdigit() else MORE_NUMBER_WORDS[word.lower()]


def _miscounted(asked: str, answer: str) -> str | None:
    order = order_of(asked)
    fault = _miscounted_by(order, answer)
    if fault is None or _LOOSE.search(order) or _LATER.search(asked):
        return None
    # "Make 5 for trainers and the other 5 for guests", "Also give me ten reasons"
    return fault if len(_A_NUMBER_OF.findall(order)) < 2 else None


def _miscounted_by(order: str, answer: str) -> str | None:
    wanted = _SENTENCES.search(order)
    if wanted and "\n" not in answer.strip() and not _NUMBERED.search(answer):
        return _differs(wanted, _sentences(answer))
    wanted = _LIST.search(order)
    # "Customers should be able to create 2 campaigns" is no order.
    if wanted is None or _NOT_ORDERED.search(order[: wanted.start()]):
        return None
    given = _listed(answer)
    return _differs(wanted, given) if given else None


def _differs(wanted: re.Match[str], given: int) -> str | None:
    number = value_of(wanted[1])
    return None if number in (given, 1) else f"{wanted[0]}: {given} given"


def _sentences(text: str) -> int:
    plain = _ABBREVIATION.sub("x", text.strip())
    ends = [match.end() for match in _SENTENCE_END.finditer(plain)]
    return len(ends) + (not ends or ends[-1] < len(plain))


def _listed(answer: str) -> int | None:
    """Items of an answer that holds one list, numbered from 1 or of bullets; else None."""
    numbers = [int(number) for number in _NUMBERED.findall(answer)]
    if len(_PARTS.findall(answer)) > 1:
        return None
    if numbers:
        # Behind a lone 1 the list may go on in bullets.
        if numbers == [1] and _BULLET.search(answer):
            return None
        return len(numbers) if numbers == list(range(1, len(numbers) + 1)) else None
    # Of two headings each has a list of its own.
    bullets, headings = _BULLET.findall(answer), _HEADING.findall(answer)
    return len(bullets) if len(bullets) > 1 and len(headings) < 2 else None


def _no_code(asked: str, answer: str) -> str | None:
    order = _ASKS_CODE.search(order_of(asked))
    if not order or not _ABOUT_DATA.search(asked) or not answer.strip():
        return None
    if _YES_OR_NO.search(asked):
        return None
    if len(answer.split()) < _PROSE_WORDS and _MAY_BE_BRIEF.search(asked):
        return None
    if _LOOKS_LIKE_CODE.search(answer) or answer.rstrip().endswith("?"):
        return None
    # "Ready.": what was ordered is to come later.
    if len(answer.split()) <= _READY_WORDS and _ORDERS_REPLY.search(asked):
        return None
    return None if ASKS_BACK.search(answer) else order[0]
