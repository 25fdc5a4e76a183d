"""Rows whose answer somebody judged: KTO's labels, thumbs and feedback, in rows of any format."""

from __future__ import annotations

import re

from curate.sources.shared.choices import CHOICES, choice_columns
from curate.sources.shared.convert import ANSWERS, SCORES, Conversation, Reject, Row, described

# Fields that say whether the answer is a good one.
JUDGEMENTS = (
    *("label", "kto_tag", "feedback", "thumbs", "thumbs_up", "thumbs_down", "desirable"),
    *("is_desirable", "winner", "is_response_0_safe"),
    *("kto_label", "is_good", "is_chosen", "is_accepted", "is_preferred"),
    *("is_safe", "is_correct", "correct", "chosen", "accepted"),
)
# Of these a yes says only that nothing is wrong with the answer.
_ONLY_NO = ("is_safe", "is_correct", "correct", "chosen", "accepted")
_JUDGED = frozenset(JUDGEMENTS)
_OF_PAIRS = ("winner", "is_response_0_safe")
_GOOD = (
    *("true", "good", "desirable", "chosen", "up", "thumbs_up", "thumbs up", "thumbsup"),
    *("upvote", "like", "👍", "accepted"),
)
_BAD = (
    *("false", "bad", "undesirable", "rejected", "down", "thumbs_down", "thumbs down"),
    *("thumbsdown", "downvote", "dislike", "👎"),
)
_VERDICTS = dict.fromkeys(_GOOD, True) | dict.fromkeys(_BAD, False)
# Words that are a verdict of a person, but may as well be the class of a text.
_FEELINGS = {"positive": True, "negative": False}
# "Neither answer is good": the one verdict on a pair that is a verdict on its answers.
_NEITHER = ("tie (bothbad)", "bothbad", "both_bad", "both bad", "tie_both_bad", "neither")


def judged(row: Row) -> bool | None:
    """Whether the row's answer is marked as desirable, or None where nobody judged it.

    A class name ("sports", 3, "positive" as a label) is no judgement. Two judgements that
    disagree are a reject.

    >>> judged({"prompt": "Hi", "completion": "Go away.", "label": False})
    False
    """
    if _JUDGED.isdisjoint(row):
        return None
    if "chosen" in row and "rejected" in row:
        return None  # a pair: a label tells something else of it
    if isinstance(row.get("text"), str) and not _holds_answer(row):
        return None  # a text with its class
    verdicts = {name: said for name in JUDGEMENTS if (said := _verdict(row, name)) is not None}
    if len(set(verdicts.values())) > 1:
        listed = ", ".join(f"{name} is {described(row[name])}" for name in verdicts)
        raise Reject("wrong_type", f"two judgements of the answer disagree: {listed}; keep one")
    return next(iter(verdicts.values()), None)


def is_judged(row: Row) -> bool:
    """Whether a `label` or a `kto_tag` judges the row's answer."""
    return any(_verdict(row, name) is not None for name in ("label", "kto_tag"))


def _verdict(row: Row, name: str) -> bool | None:
    value = row.get(name)
    if name == "is_response_0_safe":  # SafeRLHF: its answers are unsafe, the better one too
        return False if value is row.get("is_response_1_safe") is False else None
    if name == "winner":
        return False if isinstance(value, str) and value.strip().lower() in _NEITHER else None
    if name in ("thumbs_up", "thumbs_down"):  # without a thumb nobody judged, or they count
        return name == "thumbs_up" if value is True else None
    if name in _ONLY_NO:
        return False if value is False or (name[:3] == "is_" and value in (0, "False")) else None
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _of_number(row, name, value)
    if not isinstance(value, str) or _is_class(row, value):
        return None
    word = value.strip().lower()
    if word in ("0", "1", "0.0", "1.0", "-1"):
        return _of_number(row, name, float(word))
    return _VERDICTS.get(word, _FEELINGS.get(word) if name != "label" else None)


def _of_number(row: Row, name: str, value: float) -> bool | None:
    """0 and 1 (of thumbs and feedback also -1), but for labels that number classes."""
    if value == -1 and name not in ("label", "kto_tag"):
        return False
    if value not in (0, 1):
        return None
    # Classification sets in Alpaca's columns answer in a word and number the classes in `label`.
    short = "instruction" in row and any(len(text.split()) < 4 for text in _answers(row))
    named = "label_text" in row or "label_name" in row
    chosen = any(row.get(each) for each in CHOICES) or choice_columns(tuple(row))
    classes = name == "label" and (short or named or bool(chosen))
    return None if classes else bool(value)


def _is_class(row: Row, label: str) -> bool:
    """Whether the answer itself begins with the label, which then names a class."""
    begins = re.compile(rf"\W*{re.escape(label.strip())}\b", re.IGNORECASE)
    return any(begins.match(text) for text in _answers(row))


def _holds_answer(row: Row) -> bool:
    lists = (row.get(name) for name in ("messages", "conversations", "conversation"))
    return bool(_answers(row)) or any(isinstance(turns, list) for turns in lists)


def _answers(row: Row) -> list[str]:
    return [row[name] for name in ANSWERS if isinstance(row.get(name), str)]


def with_judgement(
    row: Row, conversations: list[Conversation], *, wanted: bool
) -> list[Conversation]:
    """The conversations with the judgement as their score: 1 for desirable, 0 for undesirable.

    An undesirable answer is a reject unless it is `wanted`.
    """
    verdict = judged(row)
    if verdict is None:
        return conversations
    names = [name for name in JUDGEMENTS if _verdict(row, name) is verdict]
    # Of a pair a label tells something else, but that neither answer is good.
    if any(one.rejected for one in conversations) and not {*names} & {*_OF_PAIRS}:
        return conversations
    if verdict is False and not wanted:
        raise Reject(
            "undesirable",
            f"{names[0]} is {described(row[names[0]])}: the answer is marked as undesirable;"
            " --undesirable reads it, with the score 0",
        )
    return [
        one._replace(
            score=float(verdict),
            used=(*(name for name in one.used if name not in SCORES), *names),
        )
        for one in conversations
    ]
