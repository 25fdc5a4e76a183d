"""The kinds of change that `planted.py` makes to a row: twelve that leave it the same, three not.

Each change takes a source of chance, a row and the words it may use, and gives the changed row, or
None where the kind does not apply. Prompt and answer are changed each by itself.
"""

from __future__ import annotations

import html
import json
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

Row = tuple[str, str]

# In these the writing itself is what is asked about, so that another writing is another question.
ABOUT_WRITING = re.compile(
    r"synonym|antonym|rhym|spell|grammar|punctuat|capital|case\b|letter|character|typo|edit\b|"
    r"re-?writ|rephras|reword|paraphras|correct|proofread|contraction|format|replac|translat|word|"
    r"sentence|space|quot|string|html|abbreviat|anagram|palindrome|\bfix\b|vowel|noun|verb",
    re.IGNORECASE,
)
CODE = re.compile(
    r"```|[{}<>\\$^_=|~]|\w\(|\(\)|;\s*$|^\s{2,}\S|::|http|\bSELECT\b|^#!|\bimport \w", re.MULTILINE
)
LISTED = re.compile(r"^\s*(?:\d+[.)]|[-*•])", re.MULTILINE)
COUNTED = re.compile(r"\b(?:the|these|those|between|following|given|takes|if) $")
ORDERED = re.compile(r"\b(?:First|Second|Third|Next|Then|Last|Final)(?:ly)?\b")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"“])")
NUMBER = re.compile(r"(?<![\w.,/$#:-])\d{1,4}(?![\w/:-]|[.,]\d|\.\s|\))")
SPELT = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve"]
NO_SUBJECT = r"(?! (?:I|you|we|they|he|she|it)\b)"
# Where a "not" can stand as somebody would have written it; in a part that is played or in a story
# it would be odd.
ASSERTED = re.compile(
    r"\b(that|which|who|it|they|people|this|companies|statement|company|person|someone|[a-z]{4,}s) "
    r"(is|are|can|should|could|would|must|may|was|were)\b"
    r"(?! (?:not|no|only|it|you|they|we|he|she|I|the same|there|about|as|a)\b)(?= [a-z])"
)
UNASSERTED = re.compile(
    r"\b(?:what|how|when|where|why) [^.?!\n]*\b(?:is|are|can|should|could|would)\b|\bif\b|comma|"
    r"imagine|role-?\s?play|\byou are\b|\bas an? |\bhe\b|\bshe\b|story|character|so that|\d",
    re.IGNORECASE,
)


class Vocabulary(NamedTuple):
    """The words that changes may use, of one half of the tables, and of the rows themselves."""

    synonyms: Mapping[str, str]
    names: Mapping[str, list[str]]  # all of a kind; those put in come from `inserted`
    inserted: Mapping[str, list[str]]
    contractions: Mapping[str, str]
    imperatives: frozenset[str]
    sentences: list[str]  # of rows that are not in the set
    known: frozenset[str]  # words of the dump, which no typo may make by chance


Change = Callable[[random.Random, Row, Vocabulary], Row | None]


def tables(part: str) -> Vocabulary:
    """The tables of `dev` or `test`: synonyms and inserted names of the two are disjoint."""
    found = json.loads(Path(__file__).with_name("planted_words.json").read_text("utf-8"))
    half = slice(part == "test", None, 2)
    return Vocabulary(
        synonyms=dict(pair.split() for pair in found["synonyms"][part]),
        names=found["names"],
        inserted={kind: names[half] for kind, names in found["names"].items()},
        contractions=found["contractions"],
        imperatives=frozenset(found["imperatives"]),
        sentences=[],
        known=frozenset(),
    )


def is_code(row: Row) -> bool:
    """Whether spaces, case and marks of the row may mean something."""
    return bool(CODE.search("\n".join(row)))


def _is_prose(row: Row) -> bool:
    return not is_code(row) and not ABOUT_WRITING.search(row[0])


def _each(row: Row, changed: Callable[[str], str]) -> Row:
    return changed(row[0]), changed(row[1])


def _sized(row: Row, least: int) -> bool:
    return len(" ".join(row).split()) >= least


def typo(chance: random.Random, row: Row, words: Vocabulary) -> Row | None:
    """One for every fifteen words; at least one in a text of eight or more."""
    if not _is_prose(row) or not _sized(row, 16):
        return None

    def changed(text: str) -> str:
        count = len(text.split())
        wanted = round(count / 15) or int(count >= 8)
        spots = list(re.finditer(r"[A-Za-z]{4,}", text))
        chance.shuffle(spots)
        made: list[tuple[int, int, str]] = []
        for spot in spots:
            if len(made) < wanted and (word := _mistyped(chance, spot[0], words.known)):
                made.append((spot.start(), spot.end(), word))
        return _spliced(text, made)

    return _each(row, changed)


def _mistyped(chance: random.Random, word: str, known: frozenset[str]) -> str | None:
    """Two letters swapped, one dropped or one doubled, never the first; None if that is a word."""
    at = chance.randrange(1, len(word) - 1)
    kind = chance.choice(("swap", "drop", "double"))
    if kind == "swap":
        found = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    else:
        found = word[:at] + (word[at] * 2 if kind == "double" else "") + word[at + 1 :]
    return None if found == word or found.lower() in known else found


def _spliced(text: str, parts: list[tuple[int, int, str]]) -> str:
    """The text with these stretches (start, end) replaced."""
    for start, end, word in sorted(parts, reverse=True):
        text = text[:start] + word + text[end:]
    return text


def casing(chance: random.Random, row: Row, words: Vocabulary) -> Row | None:
    """All in small letters, sentences begun with them, or a capital for every word."""
    if not _is_prose(row) or not _sized(row, 10):
        return None
    way = chance.choice(("lower", "starts", "title"))

    def changed(text: str) -> str:
        if way == "lower":
            return text.lower()
        if way == "title":
            return re.sub(r"(?<![\w'’])[a-z]", lambda found: found[0].upper(), text)
        return re.sub(r"(?:^|(?<=[.!?]\s)|(?<=\n))[A-Z](?=[a-z])", lambda m: m[0].lower(), text)

    return _each(row, changed)


def punctuation(chance: random.Random, row: Row, words: Vocabulary) -> Row | None:
    """Sentence marks left out, or more of them; a number, a list and an apostrophe keep theirs."""
    if not _is_prose(row) or not _sized(row, 10):
        return None
    way = chance.choice(("without", "without commas", "more"))

    def changed(text: str) -> str:
        if way == "without":
            return re.sub(r"(?<=[A-Za-z])[.,;:!?]+(?=\s|$)", "", text)
        if way == "without commas":
            return re.sub(r"(?<=[A-Za-z])(?:,(?= )|[.!?:;]+\s*$)", "", text)
        text = re.sub(r"(?<=[A-Za-z]{3})(?= (?:and|or|but|which|because|so|with) )", ",", text)
        ended = re.sub(r"(?<=[A-Za-z])([.!?])(?=\s*$)", lambda found: found[1] * 3, text)
        return ended if ended != text or text[-1:] in "\"')" else text + "."

    return _each(row, changed)


def white_space(chance: random.Random, row: Row, words: Vocabulary) -> Row | None:
    """Line breaks after sentences, doubled spaces, or tabs and spaces at the ends."""
    if not _is_prose(row) or not _sized(row, 10):
        return None
    way = chance.choice(("breaks", "doubled", "tabs"))

    def changed(text: str) -> str:
        if way == "doubled":
            return _some(chance, r"(?<=\S) (?=\S)", "  ", text)
        if way == "tabs":
            return "\t" + _some(chance, r"(?<=\S) (?=\S)", "\t", text) + " \n"
        broken = re.sub(r"(?<=[.!?,:]) (?=\S)", "\n", text)
        return broken.replace("\n\n", "\n") + "\n" if broken == text else broken

    return _each(row, changed)


def _some(chance: random.Random, pattern: str, instead: str, text: str) -> str:
    """One match in four replaced."""
    return re.sub(pattern, lambda found: instead if chance.random() < 0.25 else found[0], text)


def synonym(chance: random.Random, row: Row, words: Vocabulary) -> Row | None:
    """One in about every twenty words; at least one in the row."""
    if not _is_prose(row) or not _sized(row, 20):
        return None

    def changed(text: str) -> str:
        wanted = max(1, round(len(text.split()) / 20))
        spots = [
            m for m in re.finditer(r"(?<!-)\b[A-Za-z]+", text) if m[0].lower() in words.synonyms
        ]
        chance.shuffle(spots)
        made = []
        for spot in spots[:wanted]:
            word = words.synonyms[spot[0].lower()]
            made.append((spot.start(), spot.end(), _cased_as(spot[0], word)))
        return _with_articles(_spliced(text, made), {word for *_, word in made})

    new = _each(row, changed)
    enough = _changed_words(row, new) * 30 >= len(" ".join(row).split())
    return new if enough else None


def _changed_words(row: Row, new: Row) -> int:
    before, after = (" ".join(texts).split() for texts in (row, new))
    return sum(one != other for one, other in zip(before, after, strict=False))


def _cased_as(word: str, instead: str) -> str:
    return instead[0].upper() + instead[1:] if word[0].isupper() else instead


def _with_articles(text: str, put: set[str]) -> str:
    """`a` or `an` as the first letter of the words put in asks for it."""

    def right(found: re.Match[str]) -> str:
        article = "an" if found[3][0] in "aeioAEIO" or found[3].startswith("un") else "a"
        return _cased_as(found[1], article) + found[2] + found[3]

    options = "|".join(sorted(map(re.escape, put), key=len, reverse=True))
    return re.sub(rf"\b([Aa]n?)( )({options})\b", right, text) if put else text


def please(chance: random.Random, row: Row, words: Vocabulary) -> Row | None:
    first = re.match(r"[A-Za-z]+", row[0])
    if not first or first[0] not in words.imperatives or ABOUT_WRITING.search(row[0][:40]):
        return None
    return f"Please {row[0][0].lower()}{row[0][1:]}", row[1]


def thanks(chance: random.Random, row: Row, words: Vocabulary) -> Row | None:
    if not row[0].endswith((".", "?", "!")) or not _sized(row, 8):
        return None
    return f"{row[0]} Thanks!", row[1]


def swapped_sentences(chance: random.Random, row: Row, words: Vocabulary) -> Row | None:
    """Two neighbours, in the answer if it has four or more sentences, else in the prompt."""
    if not _is_prose(row) or LISTED.search("\n".join(row)) or ORDERED.search(row[1]):
        return None
    for side in (1, 0):
        text = row[side]
        sentences = SENTENCE_END.split(text)
        if len(sentences) < 4 or "\n" in text or min(map(len, sentences)) < 12:
            continue
        at = chance.randrange(1, len(sentences) - 2 + side)
        sentences[at], sentences[at + 1 - 2 * (at + 1 == len(sentences))] = (
            sentences[at + 1 - 2 * (at + 1 == len(sentences))],
            sentences[at],
        )
        new = " ".join(sentences)
        return (row[0], new) if side else (new, row[1])
    return None


def added_sentence(chance: random.Random, row: Row, words: Vocabulary) -> Row | None:
    """A sentence of another row, at the end of an answer of twenty words or more."""
    if is_code(row) or len(row[1].split()) < 20 or not row[1].endswith((".", "!")):
        return None
    return row[0], f"{row[1]} {chance.choice(words.sentences)}"


def contractions(chance: random.Random, row: Row, words: Vocabulary) -> Row | None:
    if ABOUT_WRITING.search(row[0]):
        return None
    # "Why don't you" would become "Why do not you", "it's been" is "it has been".
    shorts = "|".join(words.contractions).replace("'", "['’]")
    own = r"(?! (?:i|you|we|they|he|she|it|the|this|that|been|got|had|\w+ed)\b)(?![\w'’])"
    pattern = re.compile(rf"(?<![\w'’])(?:{shorts}){own}", re.IGNORECASE)

    def spelt(found: re.Match[str]) -> str:
        return _cased_as(found[0], words.contractions[found[0].lower().replace("’", "'")])

    return _each(row, lambda text: pattern.sub(spelt, text))


def quotes_and_dashes(chance: random.Random, row: Row, words: Vocabulary) -> Row | None:
    """Straight quotes curly and the reverse; other dashes between words and in ranges."""
    if is_code(row):
        return None
    dash = chance.choice(("–", "—"))

    def changed(text: str) -> str:
        if re.search("[“”‘’]", text):
            return text.translate(str.maketrans("“”‘’", "\"\"''"))
        text = re.sub(r'(^|[\s(])"(?=\S)', r"\1“", text).replace('"', "”")
        text = re.sub(r"(^|[\s(“])'(?=\w)", r"\1‘", text).replace("'", "’")
        text = re.sub(r"(?<=\d)-(?=\d)", "–", text)
        return re.sub(r"(?<=\w )(?:-|–|—)(?= \w)", lambda m: "-" if m[0] != "-" else dash, text)

    return _each(row, changed)


def html_entities(chance: random.Random, row: Row, words: Vocabulary) -> Row | None:
    if re.search(r"&#?\w+;|html|entit", "\n".join(row), re.IGNORECASE):
        return None
    return _each(row, lambda text: html.escape(text).replace("&#x27;", "&#39;"))


def number(chance: random.Random, row: Row, words: Vocabulary) -> Row | None:
    """One number of the prompt is another; where it stands in the answer too."""
    prompt = row[0]
    spots = [*NUMBER.finditer(prompt), *re.finditer(rf"\b(?:{'|'.join(SPELT)})\b", prompt)]
    spots = [spot for spot in spots if not _is_place(prompt, spot)]
    # "Compare the two sports" names them; with three it is no question.
    spots = [spot for spot in spots if not COUNTED.search(prompt[: spot.start()])]
    if not spots:
        return None
    old = chance.choice(spots)[0]
    new = _other_number(chance, old)
    if re.search(rf"(?<![\w.]){new}(?!\w|\.\d)", prompt):
        return None
    pattern = re.compile(rf"(?<![\w.,]){old}(?!\w|[.,]\d)")

    def changed(text: str) -> str:
        return pattern.sub(lambda spot: spot[0] if _is_place(text, spot) else new, text)

    return _each(row, changed)


def _is_place(text: str, spot: re.Match[str]) -> bool:
    """Whether a number counts the items of a list."""
    start = text.rfind("\n", 0, spot.start()) + 1
    return not text[start : spot.start()].strip() and text[spot.end() :][:1] in (".", ")")


def _other_number(chance: random.Random, old: str) -> str:
    """Another as somebody may have asked for: of like size, round if the old one is."""
    if not old.isdigit():
        at = SPELT.index(old)
        return chance.choice([w for w in SPELT[max(0, at - 3) : at + 4] if w != old])
    value = int(old)
    if 1900 <= value <= 2030:
        return str(chance.choice([year for year in range(value - 30, value) if year != value]))
    step = next((step for step in (1000, 100, 50, 10, 5) if value and value % step == 0), 1)
    low, high = max(value // 2, 2), max(value * 2, 9)
    others = [n for n in range(low - low % step, high + 1, step) if n > 1 and n != value]
    return str(chance.choice(others))


def negation(chance: random.Random, row: Row, words: Vocabulary) -> Row | None:
    """A "not" taken out of the prompt if one can be, else one put after an auxiliary."""
    prompt = row[0]
    ways = [
        (r"\b(is|are|was|were|can|should|could|will|would|must|may) not (?!only)", r"\1 "),
        (r"\bcannot\b", "can"),
        (
            r"\b(is|are|was|were|should|could|would)n['’]t\b(?! (?:I|you|we|they|he|she|it)\b)",
            r"\1",
        ),
        (r"\b(I|you|we|they|who|that) (?:do not|don['’]t) ", r"\1 "),
        (r"(?:^|(?<=[.!?] ))(?:Do not|Don['’]t) (\w)", lambda m: m[1].upper()),
    ]
    for pattern, instead in ways:
        if re.search(pattern, prompt):
            return re.sub(pattern, instead, prompt, count=1), row[1]
    # Behind the subject ("which are", "people should"), so that no question is turned around.
    found = [spot for spot in ASSERTED.finditer(prompt) if not UNASSERTED.search(prompt)]
    if not found or len(prompt.split()) > 45:
        return None
    spot = chance.choice(found)
    negated = "cannot" if spot[2] == "can" else f"{spot[2]} not"
    return f"{prompt[: spot.start(2)]}{negated}{prompt[spot.end(2) :]}", row[1]


def name(chance: random.Random, row: Row, words: Vocabulary) -> Row | None:
    """One name of the prompt is another of its kind, in prompt and answer."""
    found = [
        (kind, known)
        for kind, names in words.names.items()
        for known in sorted(names, key=len, reverse=True)
        if re.search(rf"(?<![\w-])(?<!(?:North|South) ){re.escape(known)}(?![\w-])", row[0])
    ]
    if not found or ABOUT_WRITING.search(row[0][:25]):
        return None
    kind, old = max(found, key=lambda pair: len(pair[1]))
    text = "\n".join(row)
    others = [other for other in words.inserted[kind] if other != old and other not in text]
    if not others:
        return None
    new = chance.choice(others)
    pairs = [(old, new)]
    if kind == "person":
        pairs.append((old.split()[-1], new.split()[-1]))

    def changed(text: str) -> str:
        for one, other in pairs:
            text = re.sub(rf"(?<![\w-]){re.escape(one)}(?![\w-])", other, text)
        return _with_articles(text, {new})

    return _each(row, changed)


DUPLICATES: Mapping[str, Change] = {
    "one typo in fifteen words": typo,
    "casing": casing,
    "punctuation": punctuation,
    "white space": white_space,
    "a synonym in twenty words": synonym,
    "Please before": please,
    "Thanks! after": thanks,
    "two sentences swapped": swapped_sentences,
    "a sentence added": added_sentence,
    "contractions spelt out": contractions,
    "quotes and dashes": quotes_and_dashes,
    "HTML entities": html_entities,
}
DIFFERENT: Mapping[str, Change] = {
    "a number changed": number,
    "a not more or less": negation,
    "another name": name,
}
