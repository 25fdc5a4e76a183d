"""Words, sentences and paragraphs of an answer, counted the same way in every measure."""

from __future__ import annotations

import re

# Scripts without spaces between words: each of their characters counts as a word.
_NO_SPACES = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Thai, Lao, Burmese and Khmer have no spaces either, and a character is far less than a word.
_UNCOUNTED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_WORD = re.compile(
    rf"[{_NO_SPACES}]"
    rf"|[^\W_{_NO_SPACES}]+(?:['’\-][^\W_{_NO_SPACES}]+)*"
)
_SPACELESS = re.compile(f"[{_NO_SPACES}{_UNCOUNTED}]")
_FENCE = re.compile(r"^\s{0,3}(```|~~~)")
_ITEM = re.compile(r"^\s*[-*•+]\s+\S")

_ENDING = re.compile(r"[.!?。！？…]+[\"'”’)\]»」』*_]*")
# A full stop after these ends no sentence.
_SHORT = re.compile(
    r"(?:^|[^\w.])(?:mr|mrs|ms|dr|prof|st|vs|approx|e\.g|i\.e|p\.s|p\.p\.s|[a-z])\.$", re.I
)


def words(text: str) -> list[str]:
    """The words of a text: runs of letters and digits, with what joins them (don't, well-known).

    Of scripts that put no space between words (Chinese, Japanese) each character is one.

    >>> words("Don't panic: 3 well-known facts, 你好")
    ["Don't", 'panic', '3', 'well-known', 'facts', '你', '好']
    """
    return _WORD.findall(text)


def has_words(text: str) -> bool:
    """Whether a number of words means something: at most half of the letters are spaceless.

    >>> has_words("Plain words."), has_words("你好世界"), has_words("123")
    (True, False, True)
    """
    letters = sum(char.isalpha() for char in text)
    return 2 * len(_SPACELESS.findall(text)) <= letters


def sentences(text: str) -> list[str]:
    """The sentences of a text.

    One ends in a full stop, a question or an exclamation mark (also full-width), before white
    space or the text's end; an abbreviation, an initial and a decimal point end none. An empty
    line and a new bullet end one too.

    >>> sentences("Dr. Lee paid 3.50. Why? 他走了。我也走了")
    ['Dr. Lee paid 3.50.', 'Why?', '他走了。', '我也走了']
    """
    found: list[str] = []
    for block in _blocks(text):
        start = 0
        for match in _ENDING.finditer(block):
            if _ends(block, match):
                found.append(block[start : match.end()].strip())
                start = match.end()
        found.append(block[start:].strip())
    return [each for each in found if words(each)]


def _blocks(text: str) -> list[str]:
    """The text cut at empty lines and before bullets."""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if not line.strip() or _ITEM.match(line):
            blocks.append([])
        blocks[-1].append(line)
    return [" ".join(block) for block in blocks]


def _ends(block: str, match: re.Match[str]) -> bool:
    after = block[match.end() : match.end() + 1]
    wide = match[0][0] in "。！？"
    if not wide and after and not after.isspace():
        return False
    return not (match[0] == "." and after and _SHORT.search(block[: match.end()]))


def paragraphs(text: str) -> list[str]:
    """What empty lines part; those inside of a code fence part nothing.

    >>> paragraphs("One\\nstill one\\n\\n \\nTwo")
    ['One\\nstill one', 'Two']
    """
    found: list[list[str]] = [[]]
    inside = False
    for line in text.splitlines():
        inside ^= bool(_FENCE.match(line))
        if line.strip() or inside:
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return ["\n".join(lines).strip() for lines in found if lines]


def bullets(text: str) -> int:
    """How many lines are bullets (`* `, `- `, `+ `, `•`), those in code fences left out.

    >>> bullets("* one\\n  - two\\n---\\n**no**\\n```\\n- code\\n```")
    2
    """
    count, inside = 0, False
    for line in text.splitlines():
        inside ^= bool(_FENCE.match(line))
        count += not inside and bool(_ITEM.match(line))
    return count
