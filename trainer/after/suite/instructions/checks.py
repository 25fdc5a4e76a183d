"""One check for each kind of instruction: whether an answer follows it, by its text alone.

Each is a pure function of the answer and the instruction's own values. An answer without any text
follows nothing; that is looked at once, by `scoring.follows`, and not in each check.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from trainer.after.suite import text_units

AT_LEAST, AT_MOST, EXACTLY = "at least", "at most", "exactly"
_COMMAS = re.compile("[,，、﹐﹑،]")
_FENCED = re.compile(r"^```[\w-]*[ \t]*\n(.*?)\n?```$", re.DOTALL)
_TITLE = re.compile(r"<<[^<>\n]*[^<>\s][^<>\n]*>>")
_PLACEHOLDER = re.compile(r"\[[^\[\]\n]*[^\[\]\s][^\[\]\n]*\]")
_HIGHLIGHT = re.compile(r"(?<![\w*])(\*{1,3})(?=[^\s*])[^*\n]*(?<=[^\s*])\1(?![\w*])")
_PARTING = "******"
_OPENING, _CLOSING = '"“„«', '"”“»'
_BETWEEN_SCRIPTS = re.compile("[\u3040-\u30ff\u3400-\u9fff]")


def compares(count: int, relation: str, number: int) -> bool:
    """Whether a count is as an instruction asks.

    >>> compares(3, AT_LEAST, 3), compares(3, AT_MOST, 2), compares(3, EXACTLY, 3)
    (True, False, True)
    """
    kinds = {AT_LEAST: count >= number, AT_MOST: count <= number, EXACTLY: count == number}
    return kinds[relation]


def occurrences(text: str, word: str) -> int:
    """How often a word or phrase occurs as such, in any case.

    >>> occurrences("River, riverbank and RIVER", "river")
    2
    """
    pattern = re.escape(word.casefold())
    if not _BETWEEN_SCRIPTS.search(word):  # those scripts put no space around a word
        pattern = rf"(?<!\w){pattern}(?!\w)"
    return len(re.findall(pattern, text.casefold()))


def keywords_present(answer: str, keywords: Sequence[str]) -> bool:
    """Every keyword occurs."""
    return all(occurrences(answer, word) for word in keywords)


def keyword_count(answer: str, keyword: str, relation: str, number: int) -> bool:
    """A keyword occurs so many times."""
    return compares(occurrences(answer, keyword), relation, number)


def forbidden_words(answer: str, words: Sequence[str]) -> bool:
    """None of the words occurs."""
    return not any(occurrences(answer, word) for word in words)


def letter_count(answer: str, letter: str, relation: str, number: int) -> bool:
    """A letter occurs so many times, in either case."""
    return compares(answer.casefold().count(letter.casefold()), relation, number)


def language(answer: str, code: str) -> bool:
    """The answer is in the language with this code (`de`, `zh`), by langdetect with a fixed seed.

    What langdetect finds no language in (digits, symbols) is in none.
    """
    from langdetect import detector_factory
    from langdetect.lang_detect_exception import LangDetectException

    before = detector_factory.DetectorFactory.seed
    detector_factory.DetectorFactory.seed = 0
    try:
        found: str = detector_factory.detect(answer)
    except LangDetectException:
        return False
    finally:
        detector_factory.DetectorFactory.seed = before
    return found.partition("-")[0] == code


def sentence_count(answer: str, relation: str, number: int) -> bool:
    """There are so many sentences."""
    return compares(len(text_units.sentences(answer)), relation, number)


def paragraph_count(answer: str, number: int) -> bool:
    """There are exactly so many paragraphs, with empty lines between them."""
    return len(text_units.paragraphs(answer)) == number


def word_count(answer: str, relation: str, number: int) -> bool:
    """There are so many words."""
    return compares(len(text_units.words(answer)), relation, number)


def paragraph_first_word(answer: str, paragraphs: int, paragraph: int, word: str) -> bool:
    """There are exactly so many paragraphs, and paragraph number `paragraph` begins with a word."""
    found = text_units.paragraphs(answer)
    if len(found) != paragraphs:
        return False
    first = text_units.words(found[paragraph - 1])[:1]
    return [each.casefold() for each in first] == [word.casefold()]


def placeholder_count(answer: str, number: int) -> bool:
    """There are at least so many placeholders in square brackets, such as [name]."""
    return len(_PLACEHOLDER.findall(answer)) >= number


def postscript(answer: str, marker: str) -> bool:
    """A line below the first begins with the marker (P.S.), and something follows it."""
    pattern = rf"^\W*{re.escape(marker)}[ \t:]*\S"
    lines = answer.strip().splitlines()[1:]
    return any(re.match(pattern, line, re.IGNORECASE) for line in lines)


def bullet_count(answer: str, number: int) -> bool:
    """There are exactly so many bullet points."""
    return text_units.bullets(answer) == number


def one_of(answer: str, options: Sequence[str]) -> bool:
    """The answer is one of the given ones and nothing else, in its own case."""
    return answer.strip() in options


def highlight_count(answer: str, number: int) -> bool:
    """At least so many parts are highlighted with asterisks, such as *this part*."""
    return len(_HIGHLIGHT.findall(answer)) >= number


def section_count(answer: str, name: str, number: int) -> bool:
    """Lines begin with the section's name and 1, 2, ... up to the number, in order, each once."""
    pattern = rf"^[\s#*_]*{re.escape(name)}[ \t]+(\d{{1,6}})\b"
    found = re.findall(pattern, answer, re.IGNORECASE | re.MULTILINE)
    return [int(each) for each in found] == list(range(1, number + 1))


def json_object(answer: str) -> bool:
    """The whole answer is one JSON object, which may stand in a code fence."""
    text = answer.strip()
    fenced = _FENCED.match(text)
    try:
        value = json.loads(fenced[1] if fenced else text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def title(answer: str) -> bool:
    """There is a title in double angular brackets, such as <<A title>>."""
    return bool(_TITLE.search(answer))


def two_responses(answer: str) -> bool:
    """There are two different answers with six asterisks between them."""
    parts = [part.strip() for part in answer.split(_PARTING)]
    return len(parts) == 2 and all(parts) and parts[0] != parts[1]


def repeated_request(answer: str, request: str) -> bool:
    """The answer begins with the request word for word, and goes on after it."""
    text, start = " ".join(answer.split()), " ".join(request.split())
    return text.startswith(start) and len(text) > len(start)


def ending_phrase(answer: str, phrase: str) -> bool:
    """The very last words are the phrase, in any case; quotation marks after it do not count."""
    return answer.rstrip().rstrip(_CLOSING).rstrip().casefold().endswith(phrase.casefold())


def capital_words(answer: str, relation: str, number: int) -> bool:
    """So many words of two letters or more are in capitals."""
    found = [word for word in text_units.words(answer) if word.isupper()]
    return compares(sum(sum(map(str.isalpha, word)) > 1 for word in found), relation, number)


def all_capitals(answer: str) -> bool:
    """There are letters, and none of them is a small one."""
    return any(map(str.isupper, answer)) and not any(map(str.islower, answer))


def all_lowercase(answer: str) -> bool:
    """There are letters, and none of them is a capital."""
    return any(map(str.islower, answer)) and not any(map(str.isupper, answer))


def no_comma(answer: str) -> bool:
    """There is no comma, of any script."""
    return not _COMMAS.search(answer)


def quoted(answer: str) -> bool:
    """The whole answer stands in double quotation marks, straight or curly."""
    text = answer.strip()
    return len(text) > 2 and text[0] in _OPENING and text[-1] in _CLOSING


Check = Callable[..., bool]
CHECKS: dict[str, Check] = {
    "keywords_present": keywords_present,
    "keyword_count": keyword_count,
    "forbidden_words": forbidden_words,
    "letter_count": letter_count,
    "language": language,
    "sentence_count": sentence_count,
    "paragraph_count": paragraph_count,
    "word_count": word_count,
    "paragraph_first_word": paragraph_first_word,
    "placeholder_count": placeholder_count,
    "postscript": postscript,
    "bullet_count": bullet_count,
    "one_of": one_of,
    "highlight_count": highlight_count,
    "section_count": section_count,
    "json_object": json_object,
    "title": title,
    "two_responses": two_responses,
    "repeated_request": repeated_request,
    "ending_phrase": ending_phrase,
    "capital_words": capital_words,
    "all_capitals": all_capitals,
    "all_lowercase": all_lowercase,
    "no_comma": no_comma,
    "quoted": quoted,
}
