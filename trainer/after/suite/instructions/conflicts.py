"""Which kinds of instruction are not given together, as a literal table.

Either one answer could hardly follow both, or following one would decide the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# Each pair stands once, under the kind that excludes more.
CONFLICTS: Mapping[str, tuple[str, ...]] = {
    # A fixed answer leaves nothing to decide.
    "one_of": (
        *("keywords_present", "keyword_count", "forbidden_words", "letter_count", "language"),
        *("sentence_count", "paragraph_count", "word_count", "paragraph_first_word"),
        *("placeholder_count", "postscript", "bullet_count", "highlight_count", "section_count"),
        *("json_object", "title", "two_responses", "repeated_request", "ending_phrase"),
        *("capital_words", "all_capitals", "all_lowercase", "no_comma", "quoted"),
    ),
    # Nothing may stand around an object, and its members are parted by commas.
    "json_object": (
        *("sentence_count", "paragraph_count", "paragraph_first_word", "postscript"),
        *("bullet_count", "highlight_count", "section_count", "title", "two_responses"),
        *("repeated_request", "ending_phrase", "no_comma", "quoted", "word_count"),
        *("all_capitals", "all_lowercase", "language"),
    ),
    # The request is part of the answer then, with its words, commas and capitals.
    "repeated_request": (
        *("keyword_count", "forbidden_words", "letter_count", "language", "sentence_count"),
        *("paragraph_count", "word_count", "paragraph_first_word", "two_responses"),
        *("capital_words", "all_capitals", "all_lowercase", "no_comma", "quoted", "title"),
    ),
    # Whether a number is of each answer or of both together would be open.
    "two_responses": (
        *("sentence_count", "paragraph_count", "word_count", "paragraph_first_word"),
        *("postscript", "bullet_count", "section_count", "title", "ending_phrase", "quoted"),
        "highlight_count",
    ),
    # The words and letters asked for are English ones, and not every script has capitals.
    "language": (
        *("keywords_present", "keyword_count", "forbidden_words", "letter_count"),
        *("paragraph_first_word", "postscript", "section_count", "ending_phrase"),
        *("capital_words", "all_capitals", "all_lowercase", "word_count"),
    ),
    # What makes paragraphs or sentences of its own.
    "paragraph_count": (
        *("sentence_count", "paragraph_first_word", "postscript", "bullet_count"),
        *("section_count", "title", "ending_phrase"),
    ),
    "paragraph_first_word": (
        *("sentence_count", "postscript", "bullet_count", "section_count", "title"),
        *("ending_phrase", "quoted"),
    ),
    "sentence_count": (
        *("word_count", "postscript", "bullet_count", "section_count", "title", "ending_phrase"),
    ),
    "all_capitals": ("all_lowercase", "capital_words"),
    "all_lowercase": ("capital_words",),
    "ending_phrase": ("postscript",),
    "word_count": ("section_count",),
}


def conflicting(kind: str) -> frozenset[str]:
    """The kinds that are not given together with one.

    >>> sorted(conflicting("all_lowercase"))[:2]
    ['all_capitals', 'capital_words']
    """
    others = {other for other, kinds in CONFLICTS.items() if kind in kinds}
    return frozenset(others.union(CONFLICTS.get(kind, ())))


def compatible(kinds: Iterable[str]) -> bool:
    """Whether all of the kinds can be given together; a kind does not go with itself."""
    listed = list(kinds)
    apart = len(set(listed)) == len(listed)
    return apart and not any(set(listed) & conflicting(kind) for kind in listed)
