"""Two answers in columns of their own, and which of them won: arenas, WebGPT, SafeRLHF."""

from __future__ import annotations

from itertools import chain
from typing import Any

from curate.sources.formats.comparisons import (
    VERDICTS,
    before_answers,
    compared,
    number_in,
    plain_answer,
    side_of,
)
from curate.sources.formats.pairs import asked
from curate.sources.shared.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    assistant,
    described,
    list_of,
    object_of,
    parse_json,
    text_of,
    tool_schemas,
    user,
)
from curate.sources.shared.turns import turns_in

_STEMS = ("response", "answer", "completion", "output", "generation", "assistant")
_ENDS = (("_a", "_b"), ("_A", "_B"), ("_0", "_1"), ("_1", "_2"), ("1", "2"), ("A", "B"))
_COLUMNS = [(stem + one, stem + two) for one, two in _ENDS for stem in _STEMS]
_NUMBERS = ("score", "rating", "reward")


def is_arena(row: Row) -> bool:
    """`{conversation_a: [turns], conversation_b: [turns], winner: model_a | model_b | tie}`."""
    return isinstance(row.get("conversation_a"), list) and "conversation_b" in row


def arena(row: Row) -> list[Conversation]:
    """The winner's conversation; what the other model said instead is rejected."""
    names = ("conversation_a", "conversation_b")
    first, second = (turns_in(row.get(name)) for name in names)
    if "winner" not in row:
        raise Reject("no_preference", "there is no winner; expected model_a, model_b or tie")
    better = _winner(row, "winner", names)
    tools = tool_schemas(row.get("tools"))
    return [compared(row, (first, second), names, better, ("winner", "tools"), tools=tools)]


def is_versus(row: Row) -> bool:
    """`{prompt, response_a, response_b, winner}`: two answers, and a verdict or two scores."""
    names = _pair(row)
    return names is not None and _verdict_field(row, names) is not None


def _pair(row: Row) -> tuple[str, str] | None:
    return next((pair for pair in _COLUMNS if pair[0] in row and pair[1] in row), None)


def _verdict_field(row: Row, names: tuple[str, str]) -> str | None:
    """The field that tells the winner: a verdict, a flag of each side, or a score of each."""
    named = next((name for name in VERDICTS if name in row), None)
    if named or "winner_model_a" in row:
        return named or "winner_model_a"
    return next((one for one, two in _score_names(names) if one in row and two in row), None)


def _score_names(names: tuple[str, str]) -> list[tuple[str, str]]:
    """`score_a` and `score_b` for `response_a` and `response_b`."""
    ends = [end for end in _ENDS if names[0].endswith(end[0]) and names[1].endswith(end[1])]
    one, two = ends[0]
    return [(stem + one, stem + two) for stem in _NUMBERS]


def versus(row: Row) -> list[Conversation]:
    """The better answer, with its own score where each has one; the other one is rejected."""
    names = _pair(row)
    field = _verdict_field(row, names) if names else None
    if names is None or field is None:
        raise Reject("no_preference", "no field says which of two answers is better")
    better = _better(row, names, field)
    rounds = _rounds(row, names, better)
    if rounds is None:
        before = before_answers(row)
        first, second = ([*before.messages, plain_answer(row[name], name)] for name in names)
        used, notes = before.used, before.notes
    else:
        (first, second), used, notes = rounds, ("prompt",), ()
    scores = [tuple(pair[at] for pair in _score_names(names)) for at in (0, 1)]
    notes = (*notes, *_safety(row, better))
    verdict = () if field.startswith(_NUMBERS) else (field,)
    tools = tool_schemas(row.get("tools"))
    return [
        compared(
            row,
            (first, second),
            names,
            better,
            (*used, *verdict),
            (scores[0], scores[1]),
            notes,
            tools=tools,
        )
    ]


def _better(row: Row, names: tuple[str, str], field: str) -> int:
    if field == "winner_model_a":
        return _flagged(row)
    if field in VERDICTS:
        return _winner(row, field, names)
    numbers = next(pair for pair in _score_names(names) if pair[0] == field)
    scores = [number_in(row[name]) for name in numbers]
    if scores[0] is None or scores[1] is None:
        at = 0 if scores[0] is None else 1
        wrong = f"{numbers[at]} is {described(row[numbers[at]])}; expected a number"
        raise Reject("no_preference", wrong)
    return 0 if scores[0] == scores[1] else 1 if scores[0] > scores[1] else 2


def _winner(row: Row, field: str, names: tuple[str, str]) -> int:
    """The side that a verdict names, perhaps by the name of its model."""
    models = [row.get("model_a"), row.get("model_b")]
    value = row[field]
    if isinstance(value, str) and value in models and models[0] != models[1]:
        return models.index(value) + 1
    return side_of(value, field, names)


def _flagged(row: Row) -> int:
    """`winner_model_a`, `winner_model_b` and `winner_tie`, of which one is 1."""
    flags = ("winner_tie", "winner_model_a", "winner_model_b")
    raised = [at for at, name in enumerate(flags) if str(row.get(name)).lower() in _RAISED]
    if len(raised) != 1:
        listed = ", ".join(f"{name} is {described(row.get(name))}" for name in flags[1:])
        raise Reject("no_preference", f"{listed}; expected one of the winner's flags to be 1")
    return raised[0]


_RAISED = ("1", "1.0", "true")


def _rounds(
    row: Row, names: tuple[str, str], better: int
) -> tuple[list[Message], list[Message]] | None:
    """Both conversations where the prompt and the answers are JSON lists of texts, a round each."""
    texts = [row.get("prompt"), *(row[name] for name in names)]
    if not all(isinstance(text, str) and text[:1] == "[" and text[-1:] == "]" for text in texts):
        return None
    prompts, *answers = (
        list_of(parse_json(str(text), name), name)
        for text, name in zip(texts, ("prompt", *names), strict=True)
    )
    chosen = 1 if better == 2 else 0
    for name, said in zip(names, answers, strict=True):
        if len(said) != len(prompts):
            wrong = f"prompt has {len(prompts)} rounds and {name} has {len(said)}"
            raise Reject("wrong_type", wrong)
        if None in said and name == names[chosen]:
            raise Reject("no_answer", f"{name} has no answer in round {said.index(None) + 1}")
    first, second = (_alternating(prompts, said) for said in answers)
    return first, second


def _alternating(prompts: list[Any], answers: list[Any]) -> list[Message]:
    rounds = (
        (user(text_of(one, "prompt")), assistant(text_of(two, "a response")))
        for one, two in zip(prompts, answers, strict=True)
    )
    return list(chain.from_iterable(rounds))


def _safety(row: Row, better: int) -> tuple[str, ...]:
    """What SafeRLHF says of the better answer that training should know."""
    if "safer_response_id" not in row or not better:
        return ()
    note = "the more helpful of two answers is taken (better_response_id), safe or not"
    return (note,) if row["safer_response_id"] != row.get("better_response_id") else ()


def is_summaries(row: Row) -> bool:
    """OpenAI's `{info: {title, post}, summaries: [{text}, {text}], choice: 0 | 1}`."""
    return isinstance(row.get("info"), dict) and isinstance(row.get("summaries"), list)


def summaries(row: Row) -> list[Conversation]:
    """The chosen summary of a post; nothing in the row asks for it, so the post is the prompt."""
    info, given = row["info"], row["summaries"]
    texts = [text_of(object_of(one, "a summary").get("text"), "summary text") for one in given]
    choice = row.get("choice")
    if len(texts) != 2 or isinstance(choice, bool) or choice not in (0, 1):
        expected = "expected 0 or 1, and two summaries"
        raise Reject("no_preference", f"choice is {described(choice)}; {expected}")
    body = text_of(info.get("post") or info.get("article"), "info.post")
    post = asked(text_of(info.get("title"), "info.title"), body)
    note = "the post is the prompt: nothing in the row asks for a summary"
    first, second = ([post, assistant(text.strip())] for text in texts)
    names = ("summaries", "summaries")
    used = ("info", "choice")
    return [compared(row, (first, second), names, int(choice) + 1, used, notes=(note,))]
