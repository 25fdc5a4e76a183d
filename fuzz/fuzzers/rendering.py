"""Random conversations through templates that are right, against what rendering promises.

A model that is given the prompt of a trained turn, and answers as the row says, emits the trained
tokens and no others: the prompt and the tokens before a turn are made here once more, by Jinja and
the tokenizer alone. The fast way and the slow one give the same rows, and no row goes missing.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from curate.base.errors import CurateError
from fuzz.contract import Case, Fault, Fuzzer
from fuzz.fuzzers.templates import check_labels
from fuzz.values import text
from templates.options import DATE, RenderOptions
from templates.refusals import Refusal
from templates.render import RowRenderer
from templates.template import TEMPLATES, Renderer, bind, load_template
from templates.tokenizer.tokenizer import Tokenizer
from templates.tokens.columns import Row
from tests.templates_toys import (
    THINKING,
    byte_level,
    merging,
    metaspace,
    prepending,
    records,
    row_renderer,
)

TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "byte-level": byte_level,
    "composing": lambda: byte_level(nfc=True),
    "merging": merging,
    "metaspace": metaspace,
    "prepending": prepending,
}
# What is promised of the tokens before a turn holds where nothing else was asked for.
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"append_eos": True},
    {"append_eos": True, "mask_reasoning": True},
    {"history": "last", "turns": "last", "append_eos": True},
    {"boundary": "mask", "control": "allow", "append_eos": True},
    {"completion": "raw", "append_eos": True, "inline_think": "keep"},
    {"roles": ("user", "assistant"), "append_eos": True},
)
PLAIN = 2  # so many of them ask for nothing of the tokens before a turn
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


def make(chance: random.Random) -> Case:
    """Some conversations, a template, a tokenizer and options."""
    return {
        "template": chance.choice(list(TEMPLATES)),
        "tokenizer": chance.choice(list(TOKENIZERS)),
        "options": chance.randrange(len(OPTIONS)),
        "talks": [_talk(chance) for _ in range(6)],
    }


def _said(chance: random.Random) -> str:
    if chance.random() < 0.05:
        return text(chance)
    return "".join(chance.choices(THINKING, k=chance.randrange(1, 7)))


def _talk(chance: random.Random) -> list[dict[str, Any]]:
    talk: list[dict[str, Any]] = []
    if chance.random() < 0.25:
        talk.append({"role": "system", "content": _said(chance)})
    for _ in range(chance.choice((1, 1, 2, 3))):
        talk.append({"role": "user", "content": _said(chance)})
        if chance.random() < 0.1:
            talk += _called(chance)
        answer: dict[str, Any] = {"role": "assistant", "content": _said(chance)}
        if chance.random() < 0.2:
            answer["reasoning"] = _said(chance)
        if chance.random() < 0.1:
            answer["weight"] = chance.choice((0.0, 1.0))
        talk.append(answer)
    if chance.random() < 0.1:
        chance.shuffle(talk)
    return talk


def _called(chance: random.Random) -> list[dict[str, Any]]:
    given: dict[str, Any] = {}
    given |= {
        chance.choice(("a", "b", " ", "é")): chance.choice((1, True, None, [], _said(chance)))
    }
    calls = [{"id": "c1", "name": "add", "arguments": given}]
    return [
        {"role": "assistant", "content": "", "tool_calls": json.dumps(calls)},
        {"role": "tool", "content": _said(chance), "name": "add", "tool_call_id": "c1"},
    ]


@cache
def ready(template: str, tokenizer: str, options: int, fast: bool) -> RowRenderer | None:
    """A template, ready for rows; None where it does not suit the tokenizer or the options."""
    chosen = RenderOptions(**OPTIONS[options])
    try:
        return row_renderer(load_template(template, None), TOKENIZERS[tokenizer](), chosen, fast)
    except CurateError:
        return None


def check(case: Case, folder: Path) -> str:
    """Render the fast way and the slow one, and look at each row."""
    names = case["template"], case["tokenizer"], case["options"]
    fast, slow = ready(*names, True), ready(*names, False)
    if fast is None or slow is None:
        if (fast is None) != (slow is None):
            raise Fault("the fast way suits the template, the slow one does not")
        return "a sentence"
    given = records(*case["talks"], tools=TOOLS)
    rows, others = _rendered(fast, given), _rendered(slow, given)
    if list(map(_shown, rows)) != list(map(_shown, others)):
        raise Fault(f"the fast way and the slow one differ: {rows} and {others}")
    if {number for number, _ in rows} != set(given["row"]):
        raise Fault(f"rows are lost: {sorted({number for number, _ in rows})}")
    for number, row in rows:
        if isinstance(row, Row):
            check_row(case, fast, case["talks"][number], row)
    return "with examples" if any(isinstance(row, Row) for _, row in rows) else "refusals alone"


def _rendered(renderer: RowRenderer, given: pl.DataFrame) -> list[tuple[int, Row | Refusal]]:
    return [
        (record["row"], row)
        for found, rows in renderer.batches([given])
        for record, row in zip(found, rows, strict=True)
    ]


def _shown(one: tuple[int, Row | Refusal]) -> Any:
    number, row = one
    if isinstance(row, Refusal):
        return number, row.check, str(row)
    return number, list(row.example.ids), list(row.example.labels), list(row.example.spans)


def check_row(case: Case, renderer: RowRenderer, talk: list[dict[str, Any]], row: Row) -> None:
    """Raise `Fault` where the tokens are not those of the prompt and of what follows it."""
    ids, labels, spans = row.example.ids, row.example.labels, row.example.spans
    check_labels(ids, labels)
    trained = {at for start, end in spans for at in range(start, end)}
    if trained != {at for at, label in enumerate(labels) if label != -100}:
        raise Fault("labels are not where the spans are")
    tokenizer = renderer.encoder.tokenizer
    stops = [target.stop for target in row.verified.trained]
    for stop, (_, end) in zip(stops, spans, strict=True):
        if stop is not None and stop.id is not None and ids[end - 1] != stop.id:
            raise Fault(f"a trained text does not end in its stop {stop}")
    for target in row.verified.trained:
        if talk[target.turn]["role"] not in renderer.options.roles:
            raise Fault(f"a message of {talk[target.turn]['role']} is trained")
        if talk[target.turn].get("weight") == 0:
            raise Fault("an answer of weight 0 is trained")
    plain = all(set(message) == {"role", "content"} for message in talk)
    plain = plain and not row.example.escaped and not row.verified.moved
    if case["options"] < PLAIN and plain and row.verified.trained:
        first, (start, _) = row.verified.trained[0], spans[0]
        bound: Renderer = bind(load_template(case["template"], None), tokenizer, DATE)
        prompt = bound.of(talk[first.turn]).text(talk[: first.turn], TOOLS, prompt=True)
        asked = tokenizer.backend.encode(prompt, add_special_tokens=False).ids
        if list(ids[:start]) != asked:
            raise Fault(f"the tokens before an answer are not those of its prompt: {prompt!r}")


FUZZER = Fuzzer(make, check, size=lambda case: len(case["talks"]))
