"""The kinds of instruction: what each asks for, in words, and how its values are drawn."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainer.after.suite.instructions import word_lists
from trainer.after.suite.instructions.checks import AT_LEAST, AT_MOST, EXACTLY

Values = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One thing that an answer must do: its kind, the values of its check, and how it is asked."""

    kind: str
    values: Mapping[str, Any]
    text: str


class Draw:
    """Draws for one prompt: no word is asked for by two of its instructions."""

    def __init__(self, seed: str, request: str) -> None:
        self.random = random.Random(seed)
        self.request = request
        self._left = [word for word in word_lists.KEYWORDS if word not in request]

    def words(self, count: int) -> list[str]:
        """Words that were not drawn before."""
        found = self.random.sample(self._left, count)
        self._left = [word for word in self._left if word not in found]
        return found

    def one(self, values: Any) -> Any:
        """One of some values."""
        return self.random.choice(list(values))


Drawn = tuple[Values, str]


def _keywords_present(draw: Draw) -> Drawn:
    words = draw.words(draw.one((2, 3)))
    return {"keywords": words}, f"Use the words {_listed(words)}."


def _keyword_count(draw: Draw) -> Drawn:
    [word], number = draw.words(1), draw.one((2, 3, 4))
    text = f'Use the word "{word}" {AT_LEAST} {number} times.'
    return {"keyword": word, "relation": AT_LEAST, "number": number}, text


def _forbidden_words(draw: Draw) -> Drawn:
    words = draw.random.sample(word_lists.FORBIDDEN, draw.one((2, 3)))
    return {"words": words}, f"Do not use any of the words {_listed(words)}."


def _letter_count(draw: Draw) -> Drawn:
    rare = draw.one((True, False))
    letter = draw.one(word_lists.RARE_LETTERS if rare else word_lists.LETTERS)
    relation, number = (AT_MOST, 1) if rare else (AT_LEAST, draw.one((5, 8, 12)))
    times = "once" if number == 1 else f"{number} times"
    text = f'The letter "{letter}" must occur {relation} {times}.'
    return {"letter": letter, "relation": relation, "number": number}, text


def _language(draw: Draw) -> Drawn:
    code = draw.one(word_lists.LANGUAGES)
    return {"code": code}, f"Write the whole answer in {word_lists.LANGUAGES[code]}."


def _sentence_count(draw: Draw) -> Drawn:
    relation, number = draw.one((AT_LEAST, AT_MOST, EXACTLY)), draw.one((2, 3, 4, 5))
    text = f"Write {relation} {number} sentences."
    return {"relation": relation, "number": number}, text


def _paragraph_count(draw: Draw) -> Drawn:
    number = draw.one((2, 3, 4))
    return {"number": number}, f"Write exactly {number} paragraphs with an empty line between them."


def _word_count(draw: Draw) -> Drawn:
    relation = draw.one((AT_LEAST, AT_MOST))
    number = draw.one((40, 60, 80) if relation == AT_LEAST else (60, 80, 100))
    return {"relation": relation, "number": number}, f"Answer in {relation} {number} words."


def _paragraph_first_word(draw: Draw) -> Drawn:
    count, word = draw.one((2, 3)), draw.one(word_lists.FIRST_WORDS)
    number = draw.one(range(1, count + 1))
    text = (
        f"Write exactly {count} paragraphs with an empty line between them. Paragraph {number} "
        f'must begin with the word "{word}".'
    )
    return {"paragraphs": count, "paragraph": number, "word": word}, text


def _placeholder_count(draw: Draw) -> Drawn:
    number = draw.one((1, 2, 3))
    what = "placeholder" if number == 1 else "placeholders"
    text = f"Leave at least {number} {what} in square brackets to be filled in, such as [name]."
    return {"number": number}, text


def _postscript(draw: Draw) -> Drawn:
    marker = draw.one(word_lists.MARKERS)
    return {"marker": marker}, f"Add a postscript at the end that starts with {marker}"


def _bullet_count(draw: Draw) -> Drawn:
    number = draw.one((2, 3, 4, 5))
    text = f"Use exactly {number} bullet points, each on a line that starts with an asterisk."
    return {"number": number}, text


def _one_of(draw: Draw) -> Drawn:
    options = draw.one(word_lists.OPTIONS)
    return {
        "options": list(options)
    }, f"Answer with one of the following and nothing else: {_listed(options, 'or')}"


def _highlight_count(draw: Draw) -> Drawn:
    number = draw.one((1, 2, 3))
    what = "part" if number == 1 else "parts"
    return {
        "number": number
    }, f"Highlight at least {number} {what} of the answer with asterisks, like *this part*."


def _section_count(draw: Draw) -> Drawn:
    name, number = draw.one(word_lists.SECTIONS), draw.one((2, 3))
    text = (
        f"Divide the answer into {number} sections. Begin them with {name} 1 and so on up to "
        f"{name} {number}, each on a new line."
    )
    return {"name": name, "number": number}, text


def _json_object(draw: Draw) -> Drawn:
    return {}, "Give the whole answer as one JSON object. A code fence around it is fine."


def _title(draw: Draw) -> Drawn:
    return {}, "Give the answer a title in double angular brackets, such as <<a title>>."


def _two_responses(draw: Draw) -> Drawn:
    return {}, "Give two different answers. Put only six asterisks between them: ******"


def _repeated_request(draw: Draw) -> Drawn:
    text = "Before you answer, repeat the first sentence of this message word for word."
    return {"request": draw.request}, text


def _ending_phrase(draw: Draw) -> Drawn:
    phrase = draw.one(word_lists.ENDINGS)
    return {"phrase": phrase}, f'End with exactly these words and nothing after them: "{phrase}"'


def _capital_words(draw: Draw) -> Drawn:
    relation, number = draw.one((AT_LEAST, AT_MOST)), draw.one((2, 3, 5))
    text = f"Write {relation} {number} words in capital letters; words of one letter do not count."
    return {"relation": relation, "number": number}, text


def _all_capitals(draw: Draw) -> Drawn:
    return {}, "Write the whole answer in capital letters."


def _all_lowercase(draw: Draw) -> Drawn:
    return {}, "Write the whole answer in small letters, without any capital."


def _no_comma(draw: Draw) -> Drawn:
    return {}, "Do not use any commas."


def _quoted(draw: Draw) -> Drawn:
    return {}, "Put the whole answer in double quotation marks."


def _listed(words: Sequence[str], last: str = "and") -> str:
    quoted = [f'"{word}"' for word in words]
    return f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"


DRAWN: dict[str, Callable[[Draw], Drawn]] = {
    "keywords_present": _keywords_present,
    "keyword_count": _keyword_count,
    "forbidden_words": _forbidden_words,
    "letter_count": _letter_count,
    "language": _language,
    "sentence_count": _sentence_count,
    "paragraph_count": _paragraph_count,
    "word_count": _word_count,
    "paragraph_first_word": _paragraph_first_word,
    "placeholder_count": _placeholder_count,
    "postscript": _postscript,
    "bullet_count": _bullet_count,
    "one_of": _one_of,
    "highlight_count": _highlight_count,
    "section_count": _section_count,
    "json_object": _json_object,
    "title": _title,
    "two_responses": _two_responses,
    "repeated_request": _repeated_request,
    "ending_phrase": _ending_phrase,
    "capital_words": _capital_words,
    "all_capitals": _all_capitals,
    "all_lowercase": _all_lowercase,
    "no_comma": _no_comma,
    "quoted": _quoted,
}


def draw(kind: str, given: Draw) -> Instruction:
    """An instruction of the kind, with values that suit the request."""
    values, text = DRAWN[kind](given)
    return Instruction(kind, values, text)
