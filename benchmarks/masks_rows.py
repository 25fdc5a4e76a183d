"""Conversations that masks are judged on: each shape several times, in other words each time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Message = dict[str, Any]
Row = dict[str, Any]

_WORDS = (
    ("beans", "Bonn", "red", "seven"),
    ("otters", "Lima", "green", "forty"),
    ("clocks", "Oslo", "pale blue", "a dozen or more"),
    ("maps", "Kyoto", "grey", "two"),
    ("pears", "Accra", "amber", "no"),
)
THOUGHTS = "<think>\n{}\n</think>\n\n{}"


class Shape(NamedTuple):
    """One row, which shape it is of, and what a reader may make of it as well.

    `others` are the row's messages as a reader may rightly give them too.
    """

    name: str
    row: Row
    others: tuple[list[Message], ...] = ()


class _Say:
    """The words of one repetition: the shapes are the same, their words are not."""

    def __init__(self, number: int) -> None:
        self.thing, self.city, self.colour, self.count = _WORDS[number % len(_WORDS)]
        self.number = number

    def ask(self, more: str = "?") -> Message:
        return user(f"How many {self.thing} are there in {self.city}{more}")

    def tell(self, more: str = ".", **fields: Any) -> Message:
        return answer(f"There are {self.count} {self.thing}{more}", **fields)

    def think(self, more: str = "") -> str:
        return f"I recall that {self.city} likes the {self.colour} {self.thing}{more}."

    def calls(self, *given: tuple[str, Any], content: Any = "", **fields: Any) -> Message:
        calls = [
            {
                "id": f"call{self.number}{place:04}"[:9],
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for place, (name, arguments) in enumerate(given)
        ]
        return {"role": "assistant", "content": content, "tool_calls": calls, **fields}

    def result(self, content: str, name: str = "weather", place: int = 0) -> Message:
        identity = f"call{self.number}{place:04}"[:9]
        return {"role": "tool", "name": name, "tool_call_id": identity, "content": content}


def user(content: str) -> Message:
    return {"role": "user", "content": content}


def answer(content: Any, **fields: Any) -> Message:
    return {"role": "assistant", "content": content, **fields}


def system(content: str) -> Message:
    return {"role": "system", "content": content}


def _tool(name: str, about: str, **properties: Any) -> Row:
    parameters = {"type": "object", "properties": properties, "required": [*properties][:1]}
    return {
        "type": "function",
        "function": {"name": name, "description": about, "parameters": parameters},
    }


# Arguments as JSON text, with nulls.
_NULL = '{{"item": {}, "label": null}}'
_LACKED = '{{"a": {}, "unit": null, "b": 1}}'
_NULLS = '{{"where": "{}", "steps": ["a", null], "options": {{"x": null}}}}'
_TEXT, _NUMBER = {"type": "string", "description": "a text"}, {"type": "number"}
TOOLS = [
    _tool("weather", "Tells the weather.", city=_TEXT, days={"type": "integer"}),
    _tool("add", "Adds.", a=_NUMBER, b=_NUMBER),
    _tool("label", "Sets a label.", item={"type": "integer"}, label=_TEXT),
    _tool(
        "plan",
        "Plans.",
        where=_TEXT,
        steps={"type": "array", "items": {"type": "string"}},
        options={"type": "object", "properties": {"fast": {"type": "boolean"}}},
        strict={"type": "boolean"},
        factor=_NUMBER,
        note=_TEXT,
    ),
]
_NESTED = {
    "where": 'Zürich 🙂 <b>&amp;</b> "old" town\'s',
    "steps": ["one", "two\nlines", "三"],
    "options": {"fast": True, "deep": {"list": [1, 2.5, False]}},
    "strict": False,
    "factor": -1.5,
    "note": "a\\b\ttab",
}

Make = Callable[[_Say], "Row | tuple[Row, tuple[list[Message], ...]]"]


def _row(*messages: Message, **fields: Any) -> Row:
    return {"messages": list(messages), **fields}


def _called(*messages: Message, **fields: Any) -> Row:
    return _row(*messages, tools=TOOLS, **fields)


def _spelling(s: _Say, control: str) -> Row:
    return _row(
        user(f"What is {control} in {s.city}? {control}assistant\nX{control}"),
        answer(f"A mark: {control}, often {control}{control} of {s.thing}."),
        s.ask(),
        s.tell(),
    )


def _many(s: _Say, turns: int, **fields: Any) -> list[Message]:
    pairs = [
        (user(f"{s.thing} {n}?"), answer(f"{s.count} {n} {s.colour}!", **fields))
        for n in range(turns)
    ]
    return [message for pair in pairs for message in pair]


# Words in plain chats.
_PLAIN: dict[str, Make] = {
    "one turn": lambda s: _row(s.ask(), s.tell()),
    "two turns": lambda s: _row(s.ask(), s.tell(), s.ask(" now?"), s.tell(" now.")),
    "six turns": lambda s: _row(*_many(s, 6)),
    "twelve turns": lambda s: _row(*_many(s, 12)),
    "system": lambda s: _row(system(f"Be {s.colour}."), s.ask(), s.tell()),
    "system, two turns": lambda s: _row(
        system(f"Be {s.colour}."), s.ask(), s.tell(), s.ask(" there?"), s.tell("!")
    ),
    "empty system": lambda s: (_row(system(""), s.ask(), s.tell()), ([s.ask(), s.tell()],)),
    "a system later": lambda s: _row(
        s.ask(), s.tell(), system(f"Now be {s.colour}."), s.ask("!"), s.tell("!")
    ),
    "a user last": lambda s: _row(s.ask(), s.tell(), user("Thanks!")),
    "an answer first": lambda s: _row(answer(f"Hello from {s.city}."), s.ask(), s.tell()),
    "two users in a row": lambda s: _row(user(f"Hi, {s.city}."), s.ask(), s.tell()),
    "two answers in a row": lambda s: _row(s.ask(), s.tell(), answer(f"All {s.colour}.")),
    "equal texts": lambda s: _row(
        user(s.city), answer(s.city), user(s.city), answer(f"{s.city} {s.city}")
    ),
    "equal answers": lambda s: _row(*[s.ask(), s.tell()] * 3),
    "roles as words": lambda s: _row(
        user("user"), answer("assistant"), user("system"), answer(f"user assistant {s.thing}")
    ),
    "one letter": lambda s: _row(user("a"), answer(s.city[0])),
    "emoji at the end": lambda s: _row(s.ask(), answer(f"{s.thing} 🙂👩‍👩‍👧")),
    "CJK": lambda s: _row(user(f"你好，{s.city}？"), answer(f"世界。{s.thing}你好")),
    "combining marks": lambda s: _row(user("e\u0301te\u0301"), answer(f"a\u0308{s.city}o\u0302")),
    "right to left": lambda s: _row(user("שלום"), answer(f"مرحبا {s.city}")),
    "space before": lambda s: _row(user(f"  {s.city}?"), answer(f"  {s.count}")),
    "space after": lambda s: _row(user(f"{s.city}?  "), answer(f"{s.count}  ")),
    "a line break after": lambda s: _row(
        user(f"{s.city}?\n"), answer(f"{s.count}\n"), s.ask(), s.tell("\n\n")
    ),
    "a line break before": lambda s: _row(user(f"\n{s.city}?"), answer(f"\n\n{s.count}")),
    "several lines": lambda s: _row(
        user(f"{s.city}:\n\n- {s.thing}\n"),
        answer(f"# {s.count}\n\n\tx = 1\r\n\n```\n{s.thing}\n```"),
    ),
    "Jinja in content": lambda s: _row(
        user("{{ messages }} {% if x %}"), answer("{{ '" + s.thing + "' }} {# no #}")
    ),
    "JSON in content": lambda s: _row(
        user('{"a": [1, null]}'),
        answer(json.dumps({"name": "weather", "arguments": {"city": s.city}})),
    ),
    "a long answer": lambda s: _row(s.ask(), answer(f"{s.thing} of {s.city}, {s.colour}. " * 60)),
    "names": lambda s: _row({**s.ask(), "name": "Ann"}, s.tell()),
    "arguments of the row": lambda s: _row(
        s.ask(), s.tell(), chat_template_kwargs={"enable_thinking": s.number % 2 == 0}
    ),
    "documents": lambda s: _row(
        s.ask(),
        s.tell(),
        documents=[{"title": f"On {s.thing}", "text": f"{s.city} has {s.count}."}],
    ),
}
# What is trained of a conversation.
_WEIGHTS: dict[str, Make] = {
    "weight 0 first": lambda s: _row(s.ask(), s.tell(weight=0), s.ask("!"), s.tell("!", weight=1)),
    "weight 0 last": lambda s: _row(s.ask(), s.tell(weight=1), s.ask("!"), s.tell("!", weight=0)),
    "weight 0 between": lambda s: _row(
        s.ask(), s.tell(), s.ask("!"), s.tell("!", weight=0), s.ask("?!"), s.tell("?!")
    ),
    "weight 0 alone": lambda s: _row(s.ask(), s.tell(weight=0)),
    "no answer": lambda s: _row(s.ask()),
    "an empty answer": lambda s: _row(s.ask(), answer(""), s.ask("!"), s.tell()),
    "a blank answer": lambda s: _row(s.ask(), answer(" \n"), s.ask("!"), s.tell()),
    "an empty answer with weight 0": lambda s: _row(
        s.ask(), answer("", weight=0), s.ask("!"), s.tell()
    ),
}
# Reasoning, in its field or in the answer.
_REASONING: dict[str, Make] = {
    "reasoning": lambda s: _row(s.ask(), s.tell(reasoning=s.think())),
    "reasoning, under another name": lambda s: _row(
        s.ask(), s.tell(reasoning_content=s.think()), s.ask("!"), s.tell("!")
    ),
    "reasoning on all turns": lambda s: _row(
        s.ask(),
        s.tell(reasoning=s.think()),
        s.ask("!"),
        s.tell("!", reasoning=s.think(" more")),
        s.ask("?!"),
        s.tell("?!", reasoning=s.think(" most")),
    ),
    "reasoning on the first turn": lambda s: _row(
        s.ask(), s.tell(reasoning=s.think()), s.ask("!"), s.tell("!")
    ),
    "reasoning on the last turn": lambda s: _row(
        s.ask(), s.tell(), s.ask("!"), s.tell("!", reasoning=s.think())
    ),
    "reasoning of several lines": lambda s: _row(
        s.ask(), s.tell(reasoning=f"{s.think()}\n\n1. {s.city}\n2. 🙂\n")
    ),
    "reasoning with space around": lambda s: _row(
        s.ask(), s.tell(reasoning=f"\n  {s.think()}  \n")
    ),
    "reasoning equal to the answer": lambda s: _row(
        s.ask(), answer(s.city, reasoning=s.city), s.ask("!"), answer(s.city, reasoning=s.city)
    ),
    "reasoning with weight 0": lambda s: _row(
        s.ask(), s.tell(reasoning=s.think(), weight=0), s.ask("!"), s.tell(reasoning=s.think("!"))
    ),
    "reasoning, a system": lambda s: _row(
        system(f"Be {s.colour}."), s.ask(), s.tell(reasoning=s.think())
    ),
    "reasoning in the answer": lambda s: _row(
        s.ask(), answer(THOUGHTS.format(s.think(), f"It is {s.count}."))
    ),
    "reasoning in all answers": lambda s: _row(
        s.ask(),
        answer(THOUGHTS.format(s.think(), s.count)),
        s.ask("!"),
        answer(THOUGHTS.format(s.think("!"), s.count)),
    ),
    "tags of reasoning in the middle": lambda s: _row(
        s.ask(), answer(f"They write <think> {s.city} </think> there.")
    ),
    "a question about tags": lambda s: _row(
        user("What do <think> and </think> mean?"), answer(f"Ask in {s.city}.")
    ),
    "an empty block of reasoning": lambda s: _row(
        s.ask(), answer(f"<think>\n\n</think>\n\nIt is {s.count}.")
    ),
}
# Tools: calls, results, what calls hold.
_CALLS: dict[str, Make] = {
    "tools without a call": lambda s: _called(s.ask(), s.tell()),
    "tools, two turns, no call": lambda s: _called(
        system(f"Be {s.colour}."), s.ask(), s.tell(), s.ask("!"), s.tell("!")
    ),
    "a call last": lambda s: _called(s.ask(), s.calls(("weather", {"city": s.city}))),
    "a call and its result": lambda s: _called(
        s.ask(), s.calls(("weather", {"city": s.city})), s.result("22 C"), s.tell()
    ),
    "a call as JSON text": lambda s: _called(
        s.ask(),
        s.calls(("weather", json.dumps({"city": s.city, "days": 2}))),
        s.result("1"),
        s.tell(),
    ),
    "a call without content": lambda s: _called(
        s.ask(), s.calls(("weather", {"city": s.city}), content=None), s.result("22 C"), s.tell()
    ),
    "a call with words": lambda s: _called(
        s.ask(),
        s.calls(("weather", {"city": s.city}), content=f"I look at {s.city}."),
        s.result("22 C"),
        s.tell(),
    ),
    "a call with words, last": lambda s: _called(
        s.ask(), s.calls(("weather", {"city": s.city}), content=f"I look at {s.city}.")
    ),
    "a call without tools": lambda s: _row(
        s.ask(), s.calls(("weather", {"city": s.city})), s.result("22 C"), s.tell()
    ),
    "a call with a system": lambda s: _called(
        system(f"Be {s.colour}."),
        s.ask(),
        s.calls(("weather", {"city": s.city, "days": 3})),
        s.result("22 C"),
        s.tell(),
    ),
    "parallel calls": lambda s: _called(
        s.ask(),
        s.calls(("weather", {"city": s.city}), ("add", {"a": 1, "b": 2.5})),
        s.result("22 C"),
        s.result("3.5", "add", 1),
        s.tell(),
    ),
    "parallel calls, last": lambda s: _called(
        s.ask(), s.calls(("weather", {"city": s.city}), ("weather", {"city": "Rome"}))
    ),
    "two rounds": lambda s: _called(
        s.ask(),
        s.calls(("weather", {"city": s.city})),
        s.result("22 C"),
        s.calls(("add", {"a": 22, "b": 1})),
        s.result("23", "add"),
        s.tell(),
    ),
    "two questions with calls": lambda s: _called(
        s.ask(),
        s.calls(("weather", {"city": s.city})),
        s.result("22 C"),
        s.tell(),
        s.ask(" tomorrow?"),
        s.calls(("weather", {"city": s.city, "days": 1})),
        s.result("19 C"),
        s.tell(" tomorrow."),
    ),
    "a result last": lambda s: _called(
        s.ask(), s.calls(("weather", {"city": s.city})), s.result("22 C")
    ),
    "an empty result": lambda s: _called(
        s.ask(), s.calls(("weather", {"city": s.city})), s.result(""), s.tell()
    ),
    "a result equal to the answer": lambda s: _called(
        s.ask(), s.calls(("weather", {"city": s.city})), s.result(s.count), answer(s.count)
    ),
    "a result that is JSON": lambda s: _called(
        s.ask(),
        s.calls(("weather", {"city": s.city})),
        s.result('{"degrees": 22, "note": null}'),
        s.tell(),
    ),
    "no arguments": lambda s: _called(s.ask(), s.calls(("weather", {})), s.result("1"), s.tell()),
    "nested arguments": lambda s: _called(
        s.ask(), s.calls(("plan", {**_NESTED, "where": s.city})), s.result("ok", "plan"), s.tell()
    ),
    "odd letters in arguments": lambda s: _called(
        s.ask(), s.calls(("plan", _NESTED)), s.result("ok", "plan"), s.tell()
    ),
    "empty arguments": lambda s: _called(
        s.ask(),
        s.calls(("plan", {"where": "", "steps": [], "options": {}})),
        s.result("ok", "plan"),
        s.tell(),
    ),
    "a null argument": lambda s: _called(
        s.ask(),
        s.calls(("label", {"item": 7 + s.number, "label": None})),
        s.result("ok", "label"),
        s.tell(),
    ),
    "a null argument as JSON text": lambda s: _called(
        s.ask(),
        s.calls(("label", _NULL.format(s.number))),
        s.result("ok", "label"),
        s.tell(),
    ),
    "a null argument as JSON text, last": lambda s: _called(
        s.ask(), s.calls(("label", _NULL.format(s.number)))
    ),
    "a null argument as JSON text, without tools": lambda s: _row(
        s.ask(), s.calls(("label", _NULL.format(s.number)))
    ),
    "a null argument that the tool lacks, as JSON text": lambda s: _called(
        s.ask(), s.calls(("add", _LACKED.format(s.number)))
    ),
    # A table gives every object the keys of all: such a null is nobody's.
    "a null argument that the tool lacks": lambda s: (
        _called(s.ask(), s.calls(("add", {"a": s.number, "unit": None, "b": 1}))),
        ([s.ask(), s.calls(("add", {"a": s.number, "b": 1}))],),
    ),
    "nested nulls": lambda s: _called(
        s.ask(),
        s.calls(("plan", _NULLS.format(s.city))),
        s.result("ok", "plan"),
        s.tell(),
    ),
    "a call with reasoning": lambda s: _called(
        s.ask(),
        s.calls(("weather", {"city": s.city}), reasoning=s.think()),
        s.result("22 C"),
        s.tell(reasoning=s.think(" warm")),
    ),
    "a call with reasoning, then none": lambda s: _called(
        s.ask(),
        s.calls(("weather", {"city": s.city}), reasoning=s.think()),
        s.result("22 C"),
        s.tell(),
    ),
    "a call with reasoning and words": lambda s: _called(
        s.ask(),
        s.calls(("weather", {"city": s.city}), content="I look.", reasoning=s.think()),
        s.result("22 C"),
        s.tell(reasoning=s.think(" warm")),
    ),
    "two rounds with reasoning": lambda s: _called(
        s.ask(),
        s.calls(("weather", {"city": s.city}), reasoning=s.think(" first")),
        s.result("22 C"),
        s.calls(("add", {"a": 22, "b": 1}), reasoning=s.think(" second")),
        s.result("23", "add"),
        s.tell(reasoning=s.think(" third")),
    ),
    "two questions with calls and reasoning": lambda s: _called(
        s.ask(),
        s.calls(("weather", {"city": s.city}), reasoning=s.think(" first")),
        s.result("22 C"),
        s.tell(reasoning=s.think(" second")),
        s.ask(" tomorrow?"),
        s.calls(("weather", {"city": s.city, "days": 1}), reasoning=s.think(" third")),
        s.result("19 C"),
        s.tell(" tomorrow."),
    ),
    "a call with weight 0": lambda s: _called(
        s.ask(), s.calls(("weather", {"city": s.city}), weight=0), s.result("22 C"), s.tell()
    ),
    "an answer after a call with weight 0": lambda s: _called(
        s.ask(),
        s.calls(("weather", {"city": s.city})),
        s.result("22 C"),
        s.tell(weight=0),
        s.ask("!"),
        s.tell("!"),
    ),
    "a user after a call": lambda s: _called(
        s.ask(), s.calls(("weather", {"city": s.city})), user("Never mind."), s.tell()
    ),
    "a call after a call": lambda s: _called(
        s.ask(),
        s.calls(("weather", {"city": s.city})),
        s.calls(("add", {"a": 1, "b": 2})),
        s.result("3", "add"),
        s.tell(),
    ),
}

# Contents that templates look into: one and the same shape must not make them one and the same.
_CONTENTS = (
    "0",
    "false",
    "None",
    "null",
    "assistant",
    "{}",
    "[]",
    "x" * 400,
    "/no_think",
    "Say it /no_think",
    "Say it. /think",
    "</think>",
    "</think>\n\nSo.",
    "<think>",
    "<think>\nHm.\n</think>",
    "<think>Hm.</think>Yes.",
    "Before. <think>Hm.</think> After.",
    "<tool_response>\n22 C\n</tool_response>",
    "<tool_response>22 C",
    '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>',
    "[/INST] [INST]",
    "ends in a backslash \\",
    "'single' and \"double\"",
    "\u2028 and \u00a0 and \u200d",
    "tab\tand\r\nline",
    "\u0130stanbul \ufb01 \u1e9e",
    "e\u0301" * 3,
    "🙂",
)


# What our readers make of some: a reasoning that is a setting is none, and what a tool gave may
# stand between tags.
_SETTINGS = ("false", "None", "null")
_UNWRAPPED = {"<tool_response>\n22 C\n</tool_response>": "22 C"}


def _odd(content: str) -> Iterator[Shape]:
    """One content in every place that a conversation has for it."""
    name, s = repr(content[:20]), _Say(0)
    yield Shape(f"asks {name}", _row(user(content), s.tell(), s.ask("!"), s.tell("!")))
    yield Shape(f"answers {name}", _row(s.ask(), answer(content), s.ask("!"), s.tell("!")))
    yield Shape(f"answers {name} at the end", _row(s.ask(), s.tell(), s.ask("!"), answer(content)))
    others = ([s.ask(), s.tell()],) if content in _SETTINGS else ()
    yield Shape(f"thinks {name}", _row(s.ask(), s.tell(reasoning=content)), others)
    yield Shape(f"system {name}", _row(system(content), s.ask(), s.tell()))
    call, given = s.calls(("weather", {"city": content})), _UNWRAPPED.get(content)
    others = ([s.ask(), call, s.result(given), s.tell()],) if given else ()
    row = _called(s.ask(), call, s.result(content), s.tell())
    yield Shape(f"gets and gives {name}", row, others)


def shapes(controls: list[str], repetitions: int = 2, contents: bool = True) -> Iterator[Shape]:
    """Every shape, `repetitions` times; some spell `controls`, a template's own tokens.

    With `contents` also those that templates look into, once in every place.
    """
    spelt = {
        f"spells {control}": (lambda s, control=control: _spelling(s, control))
        for control in controls
    }
    if controls:
        first, last = controls[0], controls[-1]
        spelt |= {
            "spells controls in a call": lambda s: _called(
                s.ask(),
                s.calls(("weather", {"city": f"{first}{s.city}{last}"})),
                s.result(f"{last}22{first}"),
                s.tell(),
            ),
            "spells controls in reasoning": lambda s: _row(
                s.ask(), s.tell(reasoning=f"{s.think()} {last}{first}")
            ),
            "spells part of a control": lambda s: _row(
                user(f"{s.city} {first[:-1]}"), answer(f"{s.count} {last[:-1]}")
            ),
            "an answer that is a control": lambda s: _row(s.ask(), answer(last), s.ask(), s.tell()),
        }
    for number in range(repetitions):
        say = _Say(number)
        for name, make in {**_PLAIN, **_WEIGHTS, **_REASONING, **_CALLS, **spelt}.items():
            made = make(say)
            row, others = made if isinstance(made, tuple) else (made, ())
            yield Shape(name, row, others)
    for content in _CONTENTS if contents else ():
        yield from _odd(content)
