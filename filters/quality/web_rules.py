"""Gopher, C4 and FineWeb: the rules for web pages, with the decisions of datatrove.

They judge the whole answer as one page. Each returns datatrove's name of the first rule that
fails, in its order, with its arithmetic and its thresholds. They read words as it does, with
spaCy's rule-based English splitter, which is why they need the extra `web`.

Sources: Gopher 2112.11446, C4 1910.10683, FineWeb 2406.17557; huggingface/datatrove 0.10
`pipeline/filters`. FineWeb's share of characters in repeated lines is 0.01, as in its code and
appendix; the text of the paper says 0.1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import polars as pl

from curate.base.extras import require

STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
# Marks that end a sentence in any script (Unicode's Sentence_Terminal, as datatrove lists it).
TERMINAL = (
    "!.?։؝؞؟۔܀܁܂߹࠷࠹࠽࠾।॥၊။።፧፨᙮᜵᜶។៕៖៙៚᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᭽᭾᰻᰼᱾᱿‼‽⁇⁈⁉⸮⸼⹓⹔。꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？｡"
    "𐩖𐩗𐽕𐽖𐽗𐽘𐽙𐾆𐾇𐾈𐾉𑁇𑁈𑂾𑂿𑃀𑃁𑅁𑅂𑅃𑇅𑇆𑇍𑇞𑇟𑈸𑈹𑈻𑈼𑊩𑑋𑑌𑗂𑗃𑗉𑗊𑗋𑗌𑗍𑗎𑗏𑗐𑗑𑗒𑗓𑗔𑗕𑗖𑗗𑙁𑙂𑜼𑜽𑜾𑥄𑥆𑩂𑩃𑪛𑪜𑱁𑱂𑻷𑻸\U00011f43\U00011f44"
    "𖩮𖩯𖫵𖬷𖬸𖭄𖺘𛲟𝪈"
)
_CONTROLS = [*range(9), *range(11, 13), *range(13, 32), *range(127, 160)]
PUNCTUATION = frozenset(
    "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
    + TERMINAL
    + "".join(map(chr, _CONTROLS))
)

_TOP_GRAMS = ((2, 0.2), (3, 0.18), (4, 0.16))
_REPEATED_GRAMS = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.1))

_CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
_C4_ENDS = (".", "?", "!", '"', "'")
_POLICY = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)


# A rule on an answer as one page: its text and words to what was counted where it fails.
PageRule = Callable[[str, Sequence[str]], str | None]


def page_rules(texts: pl.Series, rules: Mapping[str, PageRule]) -> dict[str, pl.Series]:
    """For each named rule: `RULE: what was counted` for each text, or null.

    A loop over rows: the rules are defined on lists of words and lines, with an order in which
    they are tried. About 1,000 texts a second for all sets.
    """
    found: dict[str, list[str | None]] = {slug: [] for slug in rules}
    if rules and len(texts):
        splitter = _english()
        reads_words = any(rule is not c4 for rule in rules.values())
        # The splitter remembers every new word it meets; a zone forgets them again.
        for start in range(0, len(texts), 1_000):
            with splitter.memory_zone():
                for text in texts[start : start + 1_000]:
                    words = words_of(text) if reads_words else []
                    for slug, rule in rules.items():
                        found[slug].append(rule(text, words))
    return {slug: pl.Series(slug, fired, dtype=pl.String) for slug, fired in found.items()}


@cache
def _english() -> Any:
    import spacy

    english = spacy.blank("en")
    english.add_pipe("sentencizer")
    return english


def check_splitter() -> None:
    """Raise a `CurateError` now if the word splitter is missing, before any data is read."""
    require("quality: rules", "web", "spacy", instead="leave `rules` empty")


def words_of(text: str) -> list[str]:
    """The words and marks of a text, as spaCy's English rules split it."""
    words = [token.text.strip() for token in _english().tokenizer(text)]
    return [word for word in words if word]


def _sentences(line: str) -> int:
    english = _english()
    english.max_length = max(english.max_length, len(line) + 10)
    return max(1, sum(1 for _ in english(line).sents))


def gopher_quality(text: str, words: Sequence[str]) -> str | None:
    """Too few or too many words, odd word lengths, symbols, bullets, too few plain words."""
    lengths = [len(word) for word in words if not PUNCTUATION.issuperset(word)]
    if len(lengths) < 50:
        return f"gopher_short_doc: {len(lengths)} words, at least 50"
    if len(lengths) > 100_000:
        return f"gopher_long_doc: {len(lengths)} words, at most 100000"
    mean = sum(lengths) / len(lengths)
    if mean < 3:
        return f"gopher_below_avg_threshold: {mean:.2f} letters a word, at least 3"
    dots = text.count("...") + text.count("…")
    return (
        _over("gopher_above_avg_threshold", mean, 10, " letters a word")
        or _over("gopher_too_many_hashes", text.count("#") / len(words), 0.1, " a word")
        or _over("gopher_too_many_ellipsis", dots / len(words), 0.1, " a word")
        or _gopher_lines(text.splitlines())
        or _gopher_words(words)
    )


def _over(name: str, share: float, most: float, unit: str) -> str | None:
    return f"{name}: {share:.2f}{unit}, at most {most}" if share > most else None


def _gopher_lines(lines: Sequence[str]) -> str | None:
    bullets = sum(line.lstrip().startswith(("•", "-")) for line in lines)
    trailing = sum(line.rstrip().endswith(("...", "…")) for line in lines)
    unit = " of the lines"
    return _over("gopher_too_many_bullets", bullets / len(lines), 0.9, unit) or _over(
        "gopher_too_many_end_ellipsis", trailing / len(lines), 0.3, unit
    )


def _gopher_words(words: Sequence[str]) -> str | None:
    # isalpha() of the whole word is true for most words and spares the look at each letter.
    letters = sum(word.isalpha() or any(map(str.isalpha, word)) for word in words) / len(words)
    if letters < 0.8:
        return f"gopher_below_alpha_threshold: {letters:.2f} of the words, at least 0.8"
    common = len(STOP_WORDS.intersection(words))
    if common < 2:
        return f"gopher_enough_stop_words: {common} of the commonest words, at least 2"
    return None


def gopher_repetition(text: str, words: Sequence[str]) -> str | None:
    """Too much of the text in repeated lines, paragraphs or runs of words."""
    if not text:
        return "empty: no text"
    paragraphs, lines = re.split(r"\n{2,}", text.strip()), re.split(r"\n+", text)
    for name, parts in (("para", paragraphs), ("line", lines)):
        again, characters = _repeated(parts)
        if fault := _over(f"dup_{name}_frac", again / len(parts), 0.3, " of them"):
            return fault
        if fault := _over(f"dup_{name}_char_frac", characters / len(text), 0.2, ""):
            return fault
    for kind, count, sizes in (
        ("top_{}_gram", _top_gram, _TOP_GRAMS),
        ("duplicated_{}_n_grams", _repeated_grams, _REPEATED_GRAMS),
    ):
        for n, most in sizes:
            share = count(words, n) / len(text)
            if fault := _over(kind.format(n), share, most, " of the characters"):
                return fault
    return None


def _repeated(parts: Sequence[str]) -> tuple[int, int]:
    """How many parts came before in the same list, and their characters."""
    counts = Counter(parts)
    return len(parts) - len(counts), sum((n - 1) * len(part) for part, n in counts.items() if n > 1)


def _top_gram(words: Sequence[str], n: int) -> int:
    """Characters that the commonest run of n words covers; of equals, the first."""
    grams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
    if not grams:
        return 0
    [(gram, times)] = grams.most_common(1)
    return len(gram) * times


def _repeated_grams(words: Sequence[str], n: int) -> int:
    """Characters in runs of n words that came before; runs counted do not overlap."""
    seen: set[str] = set()
    characters = place = 0
    while place <= len(words) - n:
        gram = "".join(words[place : place + n])
        if gram in seen:
            characters += len(gram)
            place += n
        else:
            seen.add(gram)
            place += 1
    return characters


def c4(text: str, words: Sequence[str]) -> str | None:
    """Filler text, a curly bracket, or under five sentences in the lines that C4 keeps."""
    sentences = 0
    for whole in text.splitlines():
        line = whole.strip()
        parts = line.split()
        if any(len(part) > 1_000 for part in parts):
            continue
        line = _CITATION.sub("", line)
        if not line.endswith(_C4_ENDS) or line.endswith("...") or len(parts) < 3:
            continue
        small = line.lower()
        if "lorem ipsum" in small:
            return f"lorem_ipsum: {line[:60]}"
        if "javascript" in small:
            continue
        if "{" in line:
            return f"curly_bracket: {line[:60]}"
        if not any(phrase in small for phrase in _POLICY):
            sentences += _sentences(line)
    return f"too_few_sentences: {sentences}, at least 5" if sentences < 5 else None


def fineweb(text: str, words: Sequence[str]) -> str | None:
    """Few lines that end a sentence, many short ones, repeated ones, or a list."""
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return "empty: no text"
    ended = sum(line.endswith(tuple(TERMINAL)) for line in lines) / len(lines)
    if ended < 0.12:
        return f"line_punct_ratio: {ended:.2f} of the lines end a sentence, at least 0.12"
    short = sum(len(line) <= 30 for line in lines) / len(lines)
    characters = len(text.replace("\n", ""))
    return (
        _over("short_line_ratio", short, 0.67, " of the lines")
        or _over("char_dup_ratio", _repeated(lines)[1] / characters, 0.01, " in repeated lines")
        or _over("list_ratio", text.count("\n") / len(words), 0.3, " line breaks a word")
    )
