"""Which instructions answers follow, strictly and loosely, and the shares of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from trainer.after.suite.instructions.checks import CHECKS
from trainer.after.suite.instructions.kinds import Instruction
from trainer.after.suite.instructions.prompts import InstructionPrompt
from trainer.after.suite.intervals import (
    Estimate,
    pooled_difference,
    pooled_share,
    share,
    share_difference,
)


@dataclasses.dataclass(frozen=True)
class PromptVerdict:
    """Of each instruction of a prompt whether the answer follows it, strictly and loosely."""

    prompt: InstructionPrompt
    strict: tuple[bool, ...]
    loose: tuple[bool, ...]


@dataclasses.dataclass(frozen=True)
class KindResult:
    """How often a kind was asked for, and the share of answers that follow it."""

    asked: int
    strict: float
    loose: float


@dataclasses.dataclass(frozen=True)
class InstructionResult:
    """Shares of prompts whose instructions are all followed, and of instructions.

    Intervals are over prompts: the instructions of a prompt are drawn together.
    """

    prompt_strict: Estimate
    prompt_loose: Estimate
    instruction_strict: Estimate
    instruction_loose: Estimate
    kinds: dict[str, KindResult]


@dataclasses.dataclass(frozen=True)
class InstructionDifference:
    """The same shares of one model minus those of another, on the same prompts."""

    prompt_strict: Estimate
    prompt_loose: Estimate
    instruction_strict: Estimate
    instruction_loose: Estimate


def follows(answer: str, instruction: Instruction) -> bool:
    """Whether the answer, as it stands, does what is asked; one without any text does not.

    >>> [follows(each, Instruction("no_comma", {}, "")) for each in ("one two", "one, two", " ")]
    [True, False, False]
    """
    return bool(answer.strip()) and CHECKS[instruction.kind](answer, **instruction.values)


def loosened(answer: str) -> list[str]:
    """The answer without its first line, its last, or both, each with and without asterisks.

    So neither an opening ("Sure, here it is:") nor marks of bold text decide. The answer as it
    stands is the first.

    >>> loosened("Sure:\\n**no**")
    ['Sure:\\n**no**', '**no**', 'Sure:', '', 'Sure:\\nno', 'no', 'Sure:', '']
    """
    lines = answer.split("\n")
    cuts = [lines, lines[1:], lines[:-1], lines[1:-1]]
    texts = [answer, *("\n".join(cut).strip() for cut in cuts[1:])]
    return [*texts, *(text.replace("*", "") for text in texts)]


def follows_loosely(answer: str, instruction: Instruction) -> bool:
    """Whether any of the loosened answers does what is asked."""
    return any(follows(text, instruction) for text in loosened(answer))


def judge(prompt: InstructionPrompt, answer: str) -> PromptVerdict:
    """The verdicts on an answer to a prompt."""
    return PromptVerdict(
        prompt,
        tuple(follows(answer, each) for each in prompt.instructions),
        tuple(follows_loosely(answer, each) for each in prompt.instructions),
    )


def summarize(verdicts: Sequence[PromptVerdict], seed: int = 0) -> InstructionResult:
    """The shares over all prompts, and for each kind. Raises ValueError without any prompt."""
    asked = [len(each.strict) for each in verdicts]
    return InstructionResult(
        share([all(each.strict) for each in verdicts], seed),
        share([all(each.loose) for each in verdicts], seed),
        pooled_share([sum(each.strict) for each in verdicts], asked, seed),
        pooled_share([sum(each.loose) for each in verdicts], asked, seed),
        _kinds(verdicts),
    )


def _kinds(verdicts: Sequence[PromptVerdict]) -> dict[str, KindResult]:
    found: dict[str, list[tuple[bool, bool]]] = {kind: [] for kind in CHECKS}
    for each in verdicts:
        for instruction, *pair in zip(
            each.prompt.instructions, each.strict, each.loose, strict=True
        ):
            found[instruction.kind].append((pair[0], pair[1]))
    return {
        kind: KindResult(
            len(pairs),
            sum(strict for strict, _ in pairs) / len(pairs),
            sum(loose for _, loose in pairs) / len(pairs),
        )
        for kind, pairs in found.items()
        if pairs
    }


def differences(
    one: Sequence[PromptVerdict], other: Sequence[PromptVerdict], seed: int = 0
) -> InstructionDifference:
    """Paired differences, the first minus the second; the two are of the same prompts in order."""
    asked = [len(each.strict) for each in one]

    def followed(verdicts: Sequence[PromptVerdict], which: str) -> list[int]:
        return [sum(getattr(each, which)) for each in verdicts]

    def whole(verdicts: Sequence[PromptVerdict], which: str) -> list[bool]:
        return [all(getattr(each, which)) for each in verdicts]

    ways = ("strict", "loose")
    return InstructionDifference(
        *(share_difference(whole(one, way), whole(other, way), seed) for way in ways),
        *(pooled_difference(followed(one, way), followed(other, way), asked, seed) for way in ways),
    )
