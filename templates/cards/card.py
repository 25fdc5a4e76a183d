"""The template card: what a template does with a tokenizer, in words a reader can check."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.base.plain_stops import about_plain_stops
from templates.spans import Stop


@dataclass(frozen=True)
class Card:
    """What a template does, in words a reader can check, and the stops that rendering uses.

    `problems` is empty for a template that is safe to train with on plain conversations.
    """

    template: str
    template_hash: str
    tokenizer: str | None
    generation_prompt: str  # honoured, ignored or always appended
    system: str  # written, dropped or refused
    default_system: bool
    reasoning: str
    tools: str
    tool_calls: str
    content: str  # verbatim or trimmed
    history: str  # kept or rewritten
    date: str  # ignored or written
    generation_tags: str  # none, agreeing, or how they differ from what is generated
    bos: str
    writes_bos: bool
    stops: tuple[Stop, ...]
    ends_with: Stop | None
    raises_on: tuple[str, ...]
    problems: tuple[str, ...]
    empty_thoughts: str = ""  # what the prompt of an answer without reasoning holds of them
    after_stop: tuple[str, ...] = ()  # control tokens that follow every answer's stop
    example: str = ""  # a conversation of two questions, what is trained in brackets

    def as_dict(self) -> dict[str, Any]:
        """The card as plain data, for a manifest."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        """The card as a readable page."""
        rewritten = ": earlier turns are examples of their own"
        thoughts = f"{self.empty_thoughts!r} of answers without reasoning: not trained"
        rows = [
            ("verdict", self.verdict),
            ("template", f"{self.template} ({self.template_hash[:12]})"),
            ("tokenizer", self.tokenizer or "none: texts only"),
            ("generation prompt", self.generation_prompt),
            ("system message", _outcome_line(self.system)),
            ("default system", "injected" if self.default_system else "none"),
            ("reasoning", _outcome_line(self.reasoning)),
            *([("empty thoughts", thoughts)] if self.empty_thoughts else []),
            ("tools", self.tools + ": the model does not see them" * (self.tools == "dropped")),
            ("tool calls", _outcome_line(self.tool_calls)),
            ("content", self.content),
            ("history", self.history + rewritten * (self.history != "kept")),
            ("date", self.date),
            ("generation tags", self.generation_tags),
            ("bos", self.bos),
            ("turn ends with", stop_line(self.ends_with) if self.ends_with else "nothing"),
            *(
                ("then follows", f"{text!r}, of the template: not trained")
                for text in self.after_stop
            ),
            *(("also stops at", stop_line(stop)) for stop in self.stops if stop != self.ends_with),
            *(("raises on", shape) for shape in self.raises_on),
            *(("problem", problem) for problem in self.problems),
        ]
        lines = [f"{name:18} {text}" for name, text in rows]
        if self.example:
            shown = self.example.replace("\n", "⏎\n").removesuffix("\n").split("\n")
            lines += ["what is trained, in brackets, and its stops, in braces", *shown]
        return "\n".join(lines)

    @property
    def verdict(self) -> str:
        """Whether the template is safe to train with on plain conversations."""
        return "NOT SAFE: see problem" if self.problems else "safe for plain conversations"


def ending_lines(cards: Sequence[Card]) -> tuple[str, ...]:
    """Where answers end, as lines: which stop, and what the template writes after it."""
    ends = {card.template: (card.ends_with, card.after_stop) for card in cards if card.ends_with}
    differ = len({*ends.values()}) > 1
    lines = []
    for name, (stop, after) in ends.items():
        whose = f" ({name})" if differ else ""
        rest = " and ".join(map(repr, after))
        more = f"; {rest} of the template, which always follows, is not trained" if rest else ""
        where = f"answers end with {stop_line(stop)}{whose}, where the checkpoint stops"
        lines.append(f"{where}{more}")
    return tuple(dict.fromkeys(lines))


def stop_notices(cards: Sequence[Card]) -> tuple[str, ...]:
    """What a user must know of where answers end, before training."""
    endings = [card.ends_with for card in cards if card.tokenizer]
    plain = tuple(dict.fromkeys(stop.text for stop in endings if stop and stop.id is None))
    return (about_plain_stops(plain),) if plain else ()


def card_of(data: Mapping[str, Any]) -> Card:
    """The card that a manifest holds, as `as_dict` gave it."""
    known = {field.name for field in dataclasses.fields(Card)}
    given = {name: value for name, value in data.items() if name in known}
    stops = tuple(_stop_of(stop) for stop in data["stops"])
    ending = data.get("ends_with") and _stop_of(data["ends_with"])
    lists = {name: tuple(given.get(name) or ()) for name in ("raises_on", "problems", "after_stop")}
    given.setdefault("tokenizer", None)
    return Card(**{**given, **lists, "stops": stops, "ends_with": ending})


def _stop_of(data: Mapping[str, Any]) -> Stop:
    return Stop(data["text"], data.get("id"), data["source"], tuple(data["tokens"]))


def _outcome_line(outcome: str) -> str:
    return f"{outcome}, so rows that have any are refused" if outcome == "dropped" else outcome


def stop_line(stop: Stop) -> str:
    """A stop in words: the token's id, or that it is text and what generation must do."""
    if stop.id is not None:
        return f"{stop.text!r}, token {stop.id}"
    count = f" of {len(stop.tokens)} tokens" if stop.tokens else ""
    return f"{stop.text!r}, text{count}: generation must stop on the string"
