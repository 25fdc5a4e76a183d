"""What stands where in a rendered text: whose words, and what is trained."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

# What looks like a control token, in any vocabulary: `<|im_end|>`, `<end_of_turn>`, `[/INST]`.
MARK = re.compile(r"<[^<>\s]{1,60}>|\[/?[A-Z_]{2,40}\]|<｜[^<>]{1,60}｜>")


class TracedText(NamedTuple):
    """One text of the data: its message (-1 for tools and documents), and which field it is.

    `first` is the number of its first character among all characters of the data. `is_answer`
    says that the text must be trained if its message is: content, reasoning, tool calls.
    """

    first: int
    text: str
    message: int
    field: str
    is_answer: bool


class Span(NamedTuple):
    """Characters `start` to `stop` of a rendered text that are `source.text[offset:...]`."""

    start: int
    stop: int
    source: TracedText
    offset: int


@dataclass(frozen=True)
class Stop:
    """A text at which generation stops.

    `id` is its token, or None if it is plain text of the `tokens` given: generation must then
    stop on the string. `source` is "eos", "template" or "option".
    """

    text: str
    id: int | None
    source: str
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainedSpan:
    """Characters `start` to `end` of a rendered text: what is generated for message `turn`.

    The stop begins at `stop_start`; before it stands the answer text, with what the template
    writes around it. `stop` is None where none is trained: turns of other roles, and tags that
    leave it out.
    """

    turn: int
    start: int
    stop_start: int
    end: int
    stop: Stop | None


@dataclass(frozen=True, slots=True)
class VerifiedRender:
    """A rendered conversation, which of its characters are data, and what to train of it.

    `moved` counts the messages whose inline thoughts became reasoning; of several texts of one
    conversation the first has the count.
    """

    text: str
    spans: list[Span]
    trained: list[TrainedSpan]
    moved: int = 0


def first_stop(tail: str, stops: Iterable[Stop]) -> tuple[int, Stop] | None:
    """The first stop in a text, as its character and which it is; of several there the longest."""
    found = [(tail.find(stop.text), -len(stop.text), stop) for stop in stops]
    places = [place for place in found if place[0] >= 0]
    if not places:
        return None
    place, _, stop = min(places, key=lambda place: place[:2])
    return place, stop
