"""Why a row is refused, which means: it cannot be rendered exactly. One error class per check.

The trained text of a turn is what the model must generate at inference after the prompt. Below,
the prompt is what is rendered before a turn, with `add_generation_prompt`.
"""

from __future__ import annotations

from typing import ClassVar, Self

from curate.base.errors import CurateError

# Every check by its slug, as it stands in `refused.jsonl` and the manifest: what must hold.
CHECKS: dict[str, str] = {
    "prompt_not_prefix": "the prompt of a turn is a prefix of the text with the turn",
    "history_rewritten": "the text up to a turn's stop is a prefix of the whole text",
    "answer_altered": "every character of the answer, in its case, lies in its trained text",
    "input_dropped": "the template writes the words of all other messages, documents and arguments",
    "other_text_in_answer": "no character of another message lies in a trained text",
    "stop_not_at_end": "a stop ends each trained text, and stands nowhere else in it",
    "token_crosses_boundary": "the prompt's tokens are a prefix of the tokens with the turn",
    "decode_mismatch": "the tokens decode to the rendered text",
    "render_unstable": "rendering twice gives the same text",
    "template": "the template accepts the conversation",
    "empty": "a trained turn has words or tool calls",
    "open_thoughts": "thoughts that an answer opens end in it",
    "no_target": "the row has a turn to train on",
    "too_long": "the row, or what is left of it, fits the given number of tokens",
    "generation": "the template's generation tags agree with what is generated",
    "control": "no content spells a control token (with --control reject)",
    "tool_calls": "tool calls and tools are readable JSON",
    "weight": "a message's weight is 0 or 1",
    "arguments": "what a row gives the template is an object of arguments",
    "open": "a row whose last answer goes on ends in an answer",
    "pair": "a preference pair has two answers to one prompt",
    "unreadable": "the row can be read as a conversation",
}
CONTEXT = 24  # characters shown on each side of the first difference


class Refusal(CurateError):
    """A row that cannot be rendered into a proven example; other rows go on.

    `turn` is the position of the message in the conversation, `offset` the first differing
    character of the rendered text; both are None where they mean nothing. `lines` are shown below
    the message.
    """

    check: ClassVar[str] = "refused"

    def __init__(
        self,
        message: str,
        turn: int | None = None,
        offset: int | None = None,
        lines: tuple[str, str] | None = None,
    ) -> None:
        self.turn = turn
        self.offset = offset
        super().__init__("\n".join((message, *(lines or ()))))

    @classmethod
    def at_difference(cls, message: str, expected: str, got: str, turn: int | None = None) -> Self:
        """The refusal for two texts that differ: the message says at which `{offset}`."""
        offset = first_difference(expected, got)
        lines = two_lines(expected, got, offset)
        return cls(message.format(offset=offset), turn, offset, lines)


class PromptNotPrefix(Refusal):
    check = "prompt_not_prefix"


class HistoryRewritten(Refusal):
    check = "history_rewritten"


class AnswerAltered(Refusal):
    check = "answer_altered"


class InputDropped(Refusal):
    check = "input_dropped"


class OtherTextInAnswer(Refusal):
    check = "other_text_in_answer"


class StopNotAtEnd(Refusal):
    check = "stop_not_at_end"


class TokenCrossesBoundary(Refusal):
    check = "token_crosses_boundary"


class DecodeMismatch(Refusal):
    check = "decode_mismatch"


class RenderUnstable(Refusal):
    check = "render_unstable"


class TemplateFailed(Refusal):
    check = "template"


class TemplateAtLimit(TemplateFailed):
    """The template asked for more steps, text, depth, time or memory than it may have."""


class TemplateEnded(TemplateAtLimit):
    """The template ended the process that it is rendered in, or reached a limit of it."""


def is_at_limit(error: BaseException) -> bool:
    """Whether an error is that of a template at a limit, or came of one."""
    return isinstance(error, TemplateAtLimit) or isinstance(error.__cause__, TemplateAtLimit)


class EmptyAnswer(Refusal):
    check = "empty"


class OpenThoughts(Refusal):
    check = "open_thoughts"


class NothingTrained(Refusal):
    check = "no_target"


class TooLong(Refusal):
    check = "too_long"


class TagDisagrees(Refusal):
    check = "generation"


class ControlInContent(Refusal):
    check = "control"


class BadToolCalls(Refusal):
    check = "tool_calls"


class BadWeight(Refusal):
    check = "weight"


class BadArguments(Refusal):
    check = "arguments"


class NotOpen(Refusal):
    check = "open"


class NoPair(Refusal):
    check = "pair"


class Unreadable(Refusal):
    """A row that never became a record: it has no number and no id."""

    check = "unreadable"


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
