"""What rows say about training: which messages count towards the loss, and how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.sources.shared.convert import Message, Reject, Row, described, list_of, object_of

MOST_WEIGHT = 1_000
# Loss controls under the names that the known trainers use; True means trained.
WEIGHTS = (
    *("weight", "loss_weight", "sample_weight", "loss", "loss_scale", "loss_mask"),
    *("train", "training", "trainable", "train_on_turn", "is_trained"),
    *("output_with_loss", "do_train", "compute_loss", "trained"),
)
# These mean the opposite.
MASKS = ("masked", "is_masked", "no_train", "ignore_loss", "exclude_from_loss", "no_loss")
DETAIL = "train_detail"
CONTROLS = (*WEIGHTS, *MASKS, DETAIL)
_ANY = frozenset(CONTROLS)
# Beside the messages these may be measures too: there only yes and no are controls.
_YES_OR_NO = ("loss", "train", "training", "trainable", "train_on_turn", "is_trained", *MASKS)

_WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
_WORDS |= {"1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}


def weight_of(turn: Row, position: int) -> Message:
    """`{"weight": w}` from any spelling of a per-message loss control, or nothing.

    A control may also stand on each part of a message: its blocks, its calls. Two that disagree
    are a reject: training on a turn its owner masked cannot be undone.
    """
    parts = [part for name in _LISTED if type(listed := turn.get(name)) is list for part in listed]
    if parts and any(isinstance(part, dict) and not _ANY.isdisjoint(part) for part in parts):
        return _of_parts(turn, parts, position)
    return {} if _ANY.isdisjoint(turn) else _of_turn(turn, f"message {position}")


# Where a message lists its parts.
_LISTED = ("content", "parts", "tool_calls", "blocks")


def _of_parts(turn: Row, parts: list[Any], position: int) -> Message:
    """One weight of all parts, and of the message itself if it has one."""
    where = f"message {position}"
    whole = _of_turn(turn, where)
    weights = [_of_turn(part, where) if isinstance(part, dict) else {} for part in parts]
    if any(isinstance(turn.get(name), str) and turn[name] for name in _LISTED):
        weights.append({})  # words beside the calls
    same = all(each == weights[0] for each in weights)
    if not same or not weights[0] or whole not in ({}, weights[0]):
        wrong = f"{where} has a loss control on a part of it; only whole messages can be left out"
        raise Reject("partial_loss", wrong)
    return weights[0]


def _of_turn(turn: Row, where: str) -> Message:
    names = [name for name in turn if name in _ANY and turn[name] is not None]
    if len(names) == 1:
        return {"weight": _weight(turn[names[0]], names[0], where, turn)}
    given = {name: turn[name] for name in CONTROLS if turn.get(name) is not None}
    weights = {name: _weight(value, name, where, turn) for name, value in given.items()}
    if len(set(weights.values())) > 1:
        listed = ", ".join(f"{name}={value:g}" for name, value in weights.items())
        raise Reject("wrong_type", f"{where} has loss controls that disagree: {listed}")
    return {"weight": next(iter(weights.values()))} if weights else {}


def _weight(value: Any, name: str, where: str, turn: Row) -> float:
    if name == DETAIL:
        return _of_details(value, where, turn)
    number = _WORDS.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(number, (int, float)) or not 0 <= number <= MOST_WEIGHT:
        wrong = f"{where}: {name} is {described(value)}"
        raise Reject("wrong_type", f"{wrong}; expected a number from 0 to {MOST_WEIGHT}")
    return 1.0 - min(number, 1) if name in MASKS else float(number)


def _of_details(value: Any, where: str, turn: Row) -> float:
    """Stretches of a message that are trained or not (Axolotl): all of them, or none."""
    stretches = [object_of(each, f"{where}: {DETAIL}") for each in list_of(value, DETAIL)]
    trained = {bool(each.get("train")) for each in stretches}
    given = next((turn[name] for name in ("content", "value") if name in turn), "")
    text = given if isinstance(given, str) else ""  # of parts no offset is known
    offsets = [(each.get("begin_offset"), each.get("end_offset")) for each in stretches]
    whole = _covers(offsets, text)
    if len(trained) > 1 or (not whole and trained != {False}):
        wrong = f"{where}: {DETAIL} trains a part of the message; only whole ones can be"
        raise Reject("partial_loss", wrong)
    return 0.0 if trained == {False} else 1.0


def _covers(stretches: list[tuple[Any, Any]], text: str) -> bool:
    """Whether stretches of characters leave nothing of a text out; ends may be the last letter."""
    reached = 0
    for start, end in sorted(pair for pair in stretches if all(isinstance(at, int) for at in pair)):
        if start > reached:
            return False
        reached = max(reached, end + 1)
    return reached >= len(text)


def row_controls(row: Row) -> dict[str, Any]:
    """The loss controls that stand beside the messages and hold for the whole row."""
    if _ANY.isdisjoint(row):
        return {}
    given = {name: _unlisted(row[name]) for name in CONTROLS if row.get(name) is not None}
    return {name: value for name, value in given.items() if _is_control(name, value)}


def _unlisted(value: Any) -> Any:
    """The list that a text holds: tables write `[0, 1]`, `[False, True]` or, as numpy, `[0 1]`."""
    text = value.strip() if isinstance(value, str) else ""
    if text[:1] != "[" or text[-1:] != "]":
        return value
    try:
        return [_number(word) for word in text[1:-1].replace(",", " ").lower().split()]
    except ValueError:
        return value


def _number(word: str) -> float | None:
    if word in ("null", "none"):
        return None
    return _WORDS[word] if word in _WORDS else float(word)


def _is_control(name: str, value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _WORDS
    if isinstance(value, int | float):
        return name not in _YES_OR_NO or value in (0, 1)
    return True  # lists with one entry a message, and what cannot be followed


def weighted(messages: list[Message], controls: Mapping[str, Any], turns: int) -> list[Message]:
    """The messages with a row's controls: one value for all answers, or a list with one a turn.

    A message that has a weight of its own gets the product of both: zero from either stays zero.
    `turns` is the number of messages that the row itself lists. Raises `Reject` for what cannot be
    followed, and for two controls that disagree.
    """
    single = {
        name: value
        for name, value in controls.items()
        if name != DETAIL and not isinstance(value, list | dict)
    }
    if single:
        weight = _of_turn(single, "the row")["weight"]
        messages = [
            message | _once(message, weight) if message["role"] == "assistant" else message
            for message in messages
        ]
    for name, value in controls.items():
        if name in single:
            continue
        if name == DETAIL or isinstance(value, dict):
            wrong = f"{name} of the row is {described(value)}; expected a number or a list of them"
            raise Reject("partial_loss", wrong)
        messages = _listed(messages, name, value, turns)
    return messages


def _listed(messages: list[Message], name: str, values: list[Any], turns: int) -> list[Message]:
    answers = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    if len(values) == turns == len(messages):
        places = list(range(len(messages)))
    elif len(values) == turns == len(messages) - 1 and messages[0]["role"] == "system":
        places = list(range(1, len(messages)))  # the system's words came from a field of their own
    elif len(values) == len(answers):
        places = answers
    else:
        wrong = f"{name} of the row has {len(values)} entries for {turns or len(messages)} messages"
        raise Reject("partial_loss", wrong)
    result = list(messages)
    for at, value in zip(places, values, strict=True):
        weight = _weight(value, name, f"{name} of message {at + 1}", {})
        result[at] = result[at] | _once(result[at], weight)
    return result


def _once(message: Message, weight: float) -> Message:
    """A row's weight beside a message's own: zero from either stays zero."""
    own = message.get("weight")
    return {"weight": weight if own is None else weight * own}
