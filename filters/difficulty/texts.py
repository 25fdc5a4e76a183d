"""The two texts of instruction-following difficulty: an answer after what was asked, and alone.

Which tokens are the answer's is read from character offsets in the whole text. To look for the
answer's text fails where it occurs twice, and to encode the prompt apart fails where a token
spans the border.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

Template = Literal["wiz", "alpaca", "bare"]


class Wrapper(NamedTuple):
    """How a conversation is written: once, around each question, before an answer alone."""

    opening: str
    before: str
    after: str
    between: str
    alone: str


_RESPONSE = "### Response:"
WRAPPERS: dict[Template, Wrapper] = {
    # Cherry_LLM, cherry_seletion/data_analysis.py: --prompt wiz (its default) and --prompt alpaca
    "wiz": Wrapper("", "", f"\n\n{_RESPONSE}", "\n\n", _RESPONSE),
    "alpaca": Wrapper(
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n",
        "### Instruction:\n",
        f"\n\n{_RESPONSE}",
        "\n\n",
        _RESPONSE,
    ),
    # Superfiltering, code_ifd/data_analysis.py
    "bare": Wrapper("", "", "\n", "\n", ""),
}


class Written(NamedTuple):
    """A text and where (in characters) the answers stand in it."""

    text: str
    answers: list[tuple[int, int]]


def written(messages: Sequence[Mapping[str, Any]], template: Template) -> Written:
    """The whole conversation; messages of others between two answers are one question.

    Answers without text (calls of tools) are left out, and so are reasoning and calls.
    """
    wrapper = WRAPPERS[template]
    text, asked = wrapper.opening, list[str]()
    answers: list[tuple[int, int]] = []
    for message in messages:
        content = message["content"] or ""
        if message["role"] != "assistant":
            asked.append(content)
        elif content.strip():
            text += wrapper.between if answers else ""
            text += wrapper.before + "\n\n".join(asked) + wrapper.after
            answers.append((len(text), len(text) + len(content)))
            text += content
            asked = []
    return Written(text, answers)


def alone(whole: Written, template: Template) -> list[Written]:
    """Each answer of a conversation as if nothing had been asked."""
    prefix = WRAPPERS[template].alone
    return [
        Written(prefix + whole.text[start:end], [(len(prefix), len(prefix) + end - start)])
        for start, end in whole.answers
    ]


class Encoded(NamedTuple):
    """Token ids of a text, the characters of each (from, to), and special tokens before them."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    specials: int


def shared(
    whole: Encoded, span: tuple[int, int], single: Encoded, own: tuple[int, int]
) -> list[tuple[int, int]]:
    """Places of an answer's tokens in both encodings: (in the whole, alone), in order.

    A token counts if it lies within the answer, is the same at the same place of it on both
    sides, and has something before it on both sides: a text's very first token has no loss. So
    both means are over the same tokens, with a start token or without, and where the border or
    the text behind it has merged with a neighbour.
    """
    places: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for place, key in _inside(single, own):
        places[key].append(place)
    pairs = []
    for place, key in _inside(whole, span):
        if places[key]:
            pairs.append((place, places[key].pop(0)))
    return [(one, other) for one, other in pairs if one > 0 and other > 0]


def _inside(encoded: Encoded, span: tuple[int, int]) -> list[tuple[int, tuple[int, int, int]]]:
    start, end = span
    return [
        (place + encoded.specials, (low - start, high - start, token))
        for place, ((low, high), token) in enumerate(
            zip(encoded.offsets, encoded.ids[encoded.specials :], strict=True)
        )
        if start <= low and high <= end and low < high
    ]
