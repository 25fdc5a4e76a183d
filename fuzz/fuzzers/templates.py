"""Chat templates, changed: rows or refusals or one sentence, whatever they do."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from curate.base.errors import CurateError
from fuzz.contract import Case, Fault, Fuzzer
from fuzz.seeds import test_data
from templates.options import DATE, RenderOptions
from templates.render import render
from templates.template import ChatTemplate, bind
from templates.tokens.columns import Row
from tests.templates_toys import byte_level, records, row_renderer, talk

PIECE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|\w+|\s+|.", re.DOTALL)
ODD = (
    *("{{ range(10**9) | list }}", "{{ 'a' * 10**9 }}", "{% for a in range(10**8) %}{% endfor %}"),
    *("{{ ''.__class__.__mro__ }}", "{{ messages.__init__ }}", "{% import 'os' as os %}"),
    *(
        "{{ messages | tojson * 9999 }}",
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{{ [[]] * 99 }}",
    ),
    *(
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{% set a = [1] %}",
        "{{ raise_exception(1) }}",
    ),
    *(
        "{% set ns = namespace(t=(1,)) %}"
        "{% for i in range(99999) %}{% set ns.t = (ns.t, ns.t) %}{% endfor %}",
    ),
    *(
        "{% generation %}",
        "{% endgeneration %}",
        "{{ strftime_now('%s') }}",
        "{{ 1 // 0 }}",
        "{{ 9 ** 9 ** 9 }}",
    ),
    *(
        "{{ '%999999999d' % 1 }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ messages.append(1) }}",
        "{{ x.y.z }}",
    ),
    *(
        "{%- break %}",
        "{{ none + 1 }}",
        "{{ eos_token }}",
        "{% raw %}",
        "{{ '\\ud800' }}",
        "{{ not in }}",
    ),
    *(
        "{{ (1,) == (1,) }}",
        "{{ cycler(*range(9)) }}",
        "{{ lipsum(n=9**5) }}",
        "{{ dict(**{'a': 1}) }}",
    ),
    *(
        "(" * 200,
        "[" * 200,
        "{{ " + "-" * 300 + "1 }}",
        "{{ 1" + " + 1" * 3_000 + " }}",
        "{% if 1 %}" * 120,
    ),
)
CALLS = [{"id": "c1", "function": {"name": "add", "arguments": {"a": 1}}}]
TALKS = [
    talk("hi", "ok"),
    talk("q", " a 😀\n", "r", "<|im_end|>"),
    [{"role": "system", "content": "be brief"}, *talk("q", "yes")],
    [
        *talk("1 + 1?"),
        {"role": "assistant", "content": "", "tool_calls": json.dumps(CALLS)},
        {"role": "tool", "content": "2", "name": "add", "tool_call_id": "c1"},
        {"role": "assistant", "content": "two", "reasoning": "so it is"},
    ],
]


@cache
def sources() -> list[list[str]]:
    """The templates of this project, and those of real tokenizers, in pieces."""
    folder = resources.files("templates") / "chat"
    texts = [path.read_text("utf-8") for path in sorted(folder.iterdir(), key=str)]
    data = test_data()
    for path in sorted((data / "tokenizers").rglob("*")) if data else ():
        if path.suffix == ".jinja":
            texts.append(path.read_text("utf-8"))
        elif path.name == "tokenizer_config.json":
            own = json.loads(path.read_text("utf-8")).get("chat_template")
            texts += [own] if isinstance(own, str) else []
    return [PIECE.findall(text) for text in texts if len(text) < 12_000]


def make(chance: random.Random) -> Case:
    """A changed template."""
    pieces = list(chance.choice(sources()))
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(pieces) + 1)
        end = at + chance.choice((0, 1, 1, 3))
        other = chance.choice(sources())
        new = chance.choice(((), (chance.choice(ODD),), (chance.choice(other),)))
        pieces[at:end] = new
    way = chance.choice(("text", "text", "text", "text", "rows", "rows", "all"))
    return {"template": "".join(pieces), "append_eos": chance.random() < 0.5, "way": way}


def check(case: Case, folder: Path) -> str:
    """Render texts with it, or prove rows, or also look for options that would help."""
    template = ChatTemplate("t", case["template"], "a file")
    options = RenderOptions(append_eos=case["append_eos"])
    try:
        if case["way"] == "text":
            return _texts(template)
        return _rows(template, options) if case["way"] == "rows" else _all(template, options)
    except CurateError:
        return "a sentence"


def _texts(template: ChatTemplate) -> str:
    renderer = bind(template, byte_level(), DATE)
    for each in TALKS[:2]:
        renderer.text(each, None, prompt=True)
    return "texts"


def _rows(template: ChatTemplate, options: RenderOptions) -> str:
    ready = row_renderer(template, byte_level(), options)
    [(_, rows)] = ready.batches([records(*TALKS)])
    for row in rows:
        if isinstance(row, Row):
            check_labels(row.example.ids, row.example.labels)
    return "rows" if any(isinstance(row, Row) for row in rows) else "refusals alone"


def _all(template: ChatTemplate, options: RenderOptions) -> str:
    given = records(*TALKS)
    done = render(given, template, byte_level(), options)
    rows = set(done.examples["row"]) | set(done.refused["row"])
    if rows != set(given["row"]):
        raise Fault(f"rows are lost: {sorted(rows)}")
    for ids, labels in done.examples.select("input_ids", "labels").iter_rows():
        check_labels(ids, labels)
    return "rows" if done.examples.height else "refusals alone"


def check_labels(ids: Sequence[int], labels: Sequence[int]) -> None:
    """Raise `Fault` for a label that is neither its token nor none."""
    if any(label not in (-100, token) for token, label in zip(ids, labels, strict=True)):
        raise Fault("a label is neither its token nor none")


FUZZER = Fuzzer(make, check, cases_a_child=200)
