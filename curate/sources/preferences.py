"""Preference data: for SFT the chosen side is the answer, the other side is kept as `rejected`."""

from __future__ import annotations

from typing import Any

from curate.sources.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    assistant,
    checked,
    described,
    labelled,
    number_of,
    system_of,
    text_of,
    tool_schemas,
)
from curate.sources.pairs import asked
from curate.sources.transcripts import is_transcript, turns_of
from curate.sources.turns import message_of, turns_in


def is_chosen_rejected(row: Row) -> bool:
    """`{chosen, rejected}` with or without a prompt, as texts, transcripts or messages."""
    return "chosen" in row and "rejected" in row


def chosen_rejected(row: Row) -> list[Conversation]:
    """HH-RLHF transcripts, DPO triples, ShareGPT pairs and UltraFeedback binarised alike."""
    before, used = _before(row)
    chosen, rejected = (_side(row[name], name, before) for name in ("chosen", "rejected"))
    rejected = rejected[_shared(checked(chosen), rejected) :]
    tools = tool_schemas(row.get("tools"))
    used, scores = (*used, "chosen", "rejected"), ("score_chosen", "chosen_score", "score")
    return [labelled(row, chosen, used, scores, (), tools=tools, rejected=rejected)]


def _before(row: Row) -> tuple[list[Message], tuple[str, ...]]:
    """The turns that both sides answer, and the fields they came from."""
    messages = system_of(row)
    for name in ("conversations", "prompt", "question", "instruction"):
        if name in row and row[name] is not None:
            given = row[name]
            if isinstance(given, str):
                messages.append(asked(given, text_of(row.get("input"), "input")))
                return messages, (name, "input", "system", "tools")
            return messages + turns_in(given), (name, "system", "tools")
    return messages, ("system", "tools")


def _side(value: Any, name: str, before: list[Message]) -> list[Message]:
    if isinstance(value, str):
        if not before and is_transcript(value):
            return turns_of(value)
        return [*before, assistant(value)]
    turns = [message_of(value, 1)] if isinstance(value, dict) else turns_in(value)
    if not turns:
        raise Reject("no_answer", f"{name} is empty")
    # UltraFeedback repeats the prompt inside each side.
    repeats = len(turns) > 1 and turns[0]["role"] != "assistant"
    return turns if repeats else before + turns


def _shared(left: list[Message], right: list[Message]) -> int:
    """How many turns both sides begin with."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(left), len(right)))


def is_openai_preference(row: Row) -> bool:
    """`{input: {messages, tools?}, preferred_output, non_preferred_output}`."""
    return "preferred_output" in row and isinstance(row.get("input"), dict)


def openai_preference(row: Row) -> list[Conversation]:
    """OpenAI's form of a preference pair."""
    before = turns_in(row["input"].get("messages"))
    rejected = turns_in(row.get("non_preferred_output") or [])
    messages = checked(before + turns_in(row["preferred_output"]))
    used = ("input", "preferred_output", "non_preferred_output")
    return [Conversation(messages, used, tool_schemas(row["input"].get("tools")), rejected or None)]


def is_judged_pair(row: Row) -> bool:
    """PandaLM `{instruction, response1, response2, annotator1..}`, AlpacaEval `output_1`, `_2`."""
    return ("response1" in row and "response2" in row) or ("output_1" in row and "output_2" in row)


def judged_pair(row: Row) -> list[Conversation]:
    """The preferred answer; without a majority the first one, and nothing is rejected."""
    names = ("response1", "response2") if "response1" in row else ("output_1", "output_2")
    for name in names:
        if not isinstance(row[name], str):
            raise Reject("wrong_type", f"{name} is {described(row[name])}; expected text")
    better = _winner(row)
    chosen, other = (names[1], names[0]) if better == 2 else names
    question = asked(*(text_of(row.get(name), name) for name in ("instruction", "input")))
    rejected = [assistant(row[other])] if better else None
    used = ("instruction", "input", chosen) + ((other,) if better else ())
    messages, names = [question, assistant(row[chosen])], ("category", "dataset")
    return [labelled(row, messages, used, (), names, rejected=rejected)]


def _winner(row: Row) -> int:
    """1 or 2, or 0 for a tie: the majority of annotators, or AlpacaEval's preference."""
    votes = [row[name] for name in row if name.startswith("annotator") and name != "annotator"]
    if not votes and "preference" in row:
        preference = row["preference"]
        if not isinstance(preference, int | float) or not 0 <= preference <= 2:
            raise Reject("no_preference", f"preference is {described(preference)}; expected 0 to 2")
        return 0 if preference in (0, 1.5) else round(preference)
    return next((side for side in (1, 2) if 2 * votes.count(side) > len(votes)), 0)


def is_voted_pair(row: Row) -> bool:
    """SHP `{history, human_ref_A, human_ref_B, labels: 1 for A or 0 for B, score_A, score_B}`."""
    return "human_ref_A" in row and "human_ref_B" in row and "history" in row


def voted_pair(row: Row) -> list[Conversation]:
    """The comment that the label prefers, with its votes as the score; the other is rejected."""
    label = row.get("labels")
    if isinstance(label, bool) or label not in (0, 1):
        raise Reject("no_preference", f"labels is {described(label)}; expected 1 for A or 0 for B")
    better, other = ("A", "B") if label == 1 else ("B", "A")
    sides = (f"human_ref_{better}", f"human_ref_{other}")
    chosen, rejected = (assistant(text_of(row[side], side)) for side in sides)
    messages = [asked(text_of(row["history"], "history"), ""), chosen]
    scores, categories = (f"score_{better}",), ("domain", "category")
    used = ("history", *sides)
    return [labelled(row, messages, used, scores, categories, rejected=[rejected])]


def is_completions(row: Row) -> bool:
    """UltraFeedback raw: `{instruction, completions: [{model, response, overall_score}]}`."""
    return "instruction" in row and isinstance(row.get("completions"), list)


def completions(row: Row) -> list[Conversation]:
    """The best-scored completion; the worst-scored one is kept as rejected."""
    given = [each for each in row["completions"] if isinstance(each, dict)]
    if not given:
        raise Reject("no_answer", "completions is empty")
    names = ("overall_score", "fine-grained_score", "score")
    ranked = sorted(given, key=lambda each: -(number_of(each, names)[0] or 0.0))
    best, worst = (
        assistant(text_of(each.get("response"), "response")) for each in (ranked[0], ranked[-1])
    )
    question = asked(text_of(row["instruction"], "instruction"), "")
    rejected = [worst] if len(given) > 1 else None
    score, _ = number_of(ranked[0], names)
    return [Conversation([question, best], ("instruction",), None, rejected, score)]
