"""Why a row is refused: one error class per check, each naming turn, place and difference.

The trained text of a turn is what the model must generate at inference after the prompt. Below,
`P` is the prompt rendered before a turn, `S` the conversation rendered up to and with the turn,
and `F` the whole conversation rendered.
"""

from __future__ import annotations

from typing import ClassVar

from curate.base.errors import CurateError

CONTEXT = 24  # characters shown on each side of the first difference


class Refusal(CurateError):
    """A row that cannot be rendered into a proven example; other rows go on.

    `turn` is the position of the message in the conversation, `offset` the first differing
    character of the rendered text; both are None where they mean nothing. `row` and `id` are
    filled in by `templates.render`.
    """

    check: ClassVar[str] = "refused"
    rule: ClassVar[str] = "the row can be rendered"

    def __init__(
        self,
        message: str,
        turn: int | None = None,
        offset: int | None = None,
        lines: tuple[str, str] | None = None,
    ) -> None:
        self.turn = turn
        self.offset = offset
        self.lines = lines
        self.row: int | None = None
        self.id: str | None = None
        super().__init__("\n".join((message, *(lines or ()))))


class PromptChanged(Refusal):
    check = "I1"
    rule = "the prompt of a turn is a prefix of the text with the turn"


class HistoryRewritten(Refusal):
    check = "I2"
    rule = "the text up to a turn's stop is a prefix of the whole text"


class PayloadLost(Refusal):
    check = "I3"
    rule = "every character of the answer lies in its trained text"


class ForeignText(Refusal):
    check = "I4"
    rule = "no character of another message lies in a trained text"


class NoStop(Refusal):
    check = "I5"
    rule = "a stop ends each trained text, and stands nowhere else in it"


class BoundaryStraddled(Refusal):
    check = "I6"
    rule = "the prompt's tokens are a prefix of the tokens with the turn"


class NotDecodable(Refusal):
    check = "I7"
    rule = "the tokens decode to the rendered text"


class Unstable(Refusal):
    check = "I8"
    rule = "rendering twice gives the same text"


class TemplateFailed(Refusal):
    check = "template"
    rule = "the template accepts the conversation"


class EmptyAnswer(Refusal):
    check = "empty"
    rule = "a trained turn says something"


class NothingTrained(Refusal):
    check = "no_target"
    rule = "the row has a turn to train on"


class TooLong(Refusal):
    check = "too_long"
    rule = "the row, or what is left of it, fits the given number of tokens"


class TagDisagrees(Refusal):
    check = "generation"
    rule = "the template's generation tags agree with what is generated"


class ControlInContent(Refusal):
    check = "control"
    rule = "no content spells a control token (with --control reject)"


class BadToolCalls(Refusal):
    check = "tool_calls"
    rule = "tool calls and tools are readable JSON"


class BadWeight(Refusal):
    check = "weight"
    rule = "a message's weight is 0 or 1"


class BadArguments(Refusal):
    check = "arguments"
    rule = "what a row gives the template is an object of arguments"


class NotOpen(Refusal):
    check = "open"
    rule = "a row whose last answer goes on ends in an answer"


class NoPair(Refusal):
    check = "pair"
    rule = "a preference pair has two answers to one prompt"


CHECKS: tuple[type[Refusal], ...] = (
    PromptChanged,
    HistoryRewritten,
    PayloadLost,
    ForeignText,
    NoStop,
    BoundaryStraddled,
    NotDecodable,
    Unstable,
    TemplateFailed,
    EmptyAnswer,
    NothingTrained,
    TooLong,
    TagDisagrees,
    ControlInContent,
    BadToolCalls,
    BadWeight,
    BadArguments,
    NotOpen,
    NoPair,
)


def first_difference(expected: str, got: str) -> int:
    """The first offset at which two texts differ; the shorter length if one is a prefix.

    >>> first_difference("abcd", "abXd")
    2
    """
    low, high = 0, min(len(expected), len(got))
    while low < high:  # halving: texts of a megabyte are compared by slices, not by characters
        middle = (low + high + 1) // 2
        if expected[:middle] == got[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def two_lines(expected: str, got: str, offset: int) -> tuple[str, str]:
    """Both texts around the first difference, white space made visible.

    >>> two_lines("one two", "one too", 6)
    ("  expected 'one tw|o'", "  got      'one to|o'")
    """
    return (f"  expected {excerpt(expected, offset)}", f"  got      {excerpt(got, offset)}")


def excerpt(text: str, offset: int) -> str:
    """The text around an offset, marked by `|`, on one line."""
    start = max(0, offset - CONTEXT)
    before, after = text[start:offset], text[offset : offset + CONTEXT]
    return f"{'...' if start else ''}{f'{before}|{after}'!r}"
