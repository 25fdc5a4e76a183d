"""Whether answers end by themselves, are empty, run in a loop, or show what begins a turn."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

from trainer.after.chat import Talker
from trainer.after.suite.asking import Written
from trainer.after.suite.intervals import Estimate, mean, mean_difference, share, share_difference
from trainer.after.suite.repetition import distinct, loops

# What begins a turn in the formats of well-known templates. A model that writes one did not stop,
# or learnt the format as text.
_TURNS = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|<｜[^｜<>\s]{1,40}｜>"
    r"|^###\s*(?:Instruction|Response|Input)\s*:|^(?:Human|Assistant|USER|ASSISTANT):\s",
    re.MULTILINE,
)
_SIZES = (1, 2, 3)


@dataclasses.dataclass(frozen=True)
class AnswerState:
    """What is looked at in one answer; `leaked` are the texts of control tokens in it."""

    stopped: bool
    empty: bool
    loops: bool
    leaked: tuple[str, ...]
    distinct: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True)
class StopResult:
    """Shares of answers, each with its interval.

    `stopped` ended by themselves below the cap; `empty` hold nothing but white space; `loops` end
    in a loop (see `repetition`); `leaked` hold the text of a control token or of a turn's opening,
    which `leaks` counts. `distinct_n` is the mean share of an answer's sequences of n words that
    differ, None where no answer has so many words. `cap` is in tokens.
    """

    rows: int
    cap: int
    stopped: Estimate
    empty: Estimate
    loops: Estimate
    leaked: Estimate
    distinct_1: Estimate | None
    distinct_2: Estimate | None
    distinct_3: Estimate | None
    leaks: dict[str, int]


@dataclasses.dataclass(frozen=True)
class StopDifference:
    """The same shares of one model minus those of another, on the same prompts."""

    rows: int
    stopped: Estimate
    empty: Estimate
    loops: Estimate
    leaked: Estimate
    distinct_3: Estimate | None


def control_texts(talker: Talker) -> tuple[str, ...]:
    """The texts of the tokenizer's control tokens, longest first.

    Tokens that were added as vocabulary (`<think>`, `<tool_call>`) are not among them.
    """
    added = talker.tokenizer.added_tokens_decoder.values()
    found = {token.content for token in added if token.special and token.content.strip()}
    return tuple(sorted(found, key=lambda text: (-len(text), text)))


def state_of(written: Written, controls: Sequence[str]) -> AnswerState:
    """What is to be seen in an answer."""
    text = written.answer
    return AnswerState(
        written.stopped,
        not text.strip(),
        loops(text),
        tuple(leaks(text, controls)),
        tuple(distinct(text, size) for size in _SIZES),
    )


def leaks(text: str, controls: Sequence[str]) -> list[str]:
    """The texts of control tokens, and openings of turns, that an answer holds; each as found.

    >>> leaks("Yes.<|im_end|>\\n### Response: No", [])
    ['<|im_end|>', '### Response:']
    """
    own = [text_ for text_ in controls if not _TURNS.fullmatch(text_)]
    pattern = re.compile("|".join([*map(re.escape, own), _TURNS.pattern]), re.MULTILINE)
    return [match[0].strip() for match in pattern.finditer(text)]


def summarize(states: Sequence[AnswerState], cap: int, seed: int = 0) -> StopResult:
    """The shares over answers, of which there is at least one."""
    several = [
        [value for each in states if (value := each.distinct[at]) is not None]
        for at in range(len(_SIZES))
    ]
    one, two, three = (mean(values, seed) if values else None for values in several)
    return StopResult(
        len(states),
        cap,
        share([each.stopped for each in states], seed),
        share([each.empty for each in states], seed),
        share([each.loops for each in states], seed),
        share([bool(each.leaked) for each in states], seed),
        one,
        two,
        three,
        dict(sorted(Counter(text for each in states for text in each.leaked).items())),
    )


def differences(
    one: Sequence[AnswerState], other: Sequence[AnswerState], seed: int = 0
) -> StopDifference:
    """The first model's shares minus the second's; the two answered the same prompts in order."""
    pairs = [
        (a.distinct[-1], b.distinct[-1])
        for a, b in zip(one, other, strict=True)
        if a.distinct[-1] is not None and b.distinct[-1] is not None
    ]

    def apart(name: str) -> Estimate:
        left, right = ([bool(getattr(each, name)) for each in side] for side in (one, other))
        return share_difference(left, right, seed)

    sides = [float(a or 0) for a, _ in pairs], [float(b or 0) for _, b in pairs]
    return StopDifference(
        len(one),
        apart("stopped"),
        apart("empty"),
        apart("loops"),
        apart("leaked"),
        mean_difference(*sides, seed) if pairs else None,
    )
