"""A template that changes the case of an answer's letters: another text, so the row is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from templates.render import render
from templates.tokens.rendered import Rendered
from tests.templates_toys import (
    byte_level,
    records,
    refusal,
    rendered,
    talk,
    template,
    trained,
)

CALLING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.reasoning_content %}{{ '<think>' + REASONING + '</think>' }}{% endif %}"
    "{{ m.content or '' }}{% for c in m.tool_calls or [] %}"
    "{{ '<call>' + NAME + ARGUMENTS }}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
AS_IT_IS = {
    "m.content or ''": "m.content or ''",
    "REASONING": "m.reasoning_content",
    "NAME": "c.function.name",
    "ARGUMENTS": "c.function.arguments | tojson",
}


FIELDS = {"content": "m.content or ''", "reasoning": "REASONING", "name": "NAME"}
FIELDS["arguments"] = "ARGUMENTS"


def writing(turns: list[dict[str, Any]], fast: bool = True, **changed: str) -> Rendered:
    """The turns by a template that writes some fields as these expressions do."""
    source = CALLING
    for name, by in (AS_IT_IS | {FIELDS[name]: by for name, by in changed.items()}).items():
        source = source.replace(name, by)
    return render(records(turns), template(source), byte_level(), fast=fast)


def thinking(reasoning: str, content: str) -> list[dict[str, Any]]:
    return [*talk("hi"), {"role": "assistant", "content": content, "reasoning": reasoning}]


def calling(name: str, **arguments: Any) -> list[dict[str, Any]]:
    calls = json.dumps([{"name": name, "arguments": arguments}])
    return [*talk("hi"), {"role": "assistant", "content": "", "tool_calls": calls}]


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("changed", "turns", "message"),
    [
        (
            {"content": "(m.content or '') | capitalize"},
            talk("hi", "ok so"),
            "message 1: the template changes its letters, from 'ok so' to 'Ok so', in the content",
        ),
        (
            {"content": "(m.content or '') | capitalize"},
            talk("hi", "Ok so", "so", "Ok SO"),
            "message 3: the template changes its letters, from 'SO' to 'so', in the content",
        ),
        (
            {"content": "m.content.upper() if m.content == 'ok' else m.content"},
            talk("hi", "ok"),
            "message 1: the template changes its letters, from 'ok' to 'OK', in the content",
        ),
        (
            {"content": "m.content.lower() if loop.index == 4 else m.content"},
            talk("hi", "Ok", "so", "αΣ"),
            "message 3: the template changes its letters, from 'Σ' to 'ς', in the content",
        ),
        (
            {"content": "m.content[:1] | upper ~ m.content[1:]"},
            talk("hi", "ok so"),
            "message 1: the template changes its letters, from 'o' to 'O', in the content",
        ),
        (
            {"reasoning": "m.reasoning_content | capitalize"},
            thinking("hm, two", "ok"),
            "message 1: the template changes its letters, from 'hm, two' to 'Hm, two', in the "
            "reasoning_content",
        ),
        (
            {"name": "c.function.name | upper"},
            calling("dig", n=1),
            "message 1: the template changes its letters, from 'dig' to 'DIG', in the tool name",
        ),
        (
            {"arguments": "c.function.arguments | tojson | lower"},
            calling("dig", where="the Mat"),
            "message 1: the template changes its letters, from 'Mat' to 'mat', in the arguments",
        ),
        (
            {"arguments": "c.function.arguments | tojson | title"},
            calling("dig", where="so"),
            "answer_altered",  # the filter takes the text apart: its origin is lost
        ),
        (
            {"content": "m.content.swapcase() if m.content == 'ok' else m.content"},
            talk("hi", "ok"),
            "message 1: the template does not write the answer",
        ),
    ],
    ids=lambda value: "" if isinstance(value, list) else str(value)[:60],
)
def test_an_answer_in_other_letters_is_refused(
    changed: dict[str, str], turns: list[dict[str, Any]], message: str, fast: bool
) -> None:
    check, why = refusal(writing(turns, fast, **changed))
    assert check == "answer_altered" and (message in why or message == check)


@pytest.mark.parametrize(
    ("changed", "turns"),
    [
        ({"content": "(m.content or '') | capitalize"}, talk("Hi", "Ok so")),  # as it was
        ({"content": "m.content | upper if m.role == 'user' else m.content"}, talk("hi", "ok so")),
        (
            {"content": "m.content.title() if m.role == 'system' else m.content"},
            [{"role": "system", "content": "be a cat"}, *talk("hi", "ok so")],
        ),
        ({}, calling("dig", where='the "mat"\n\tÉ', N="\\n\x07", n=[True, None])),
        (
            {"arguments": "c.function.arguments | tojson(ensure_ascii=true)"},
            calling("dig", where="É 你好 😀 n\nN", E="\u00e9\\u00E9"),
        ),
        ({"reasoning": "m.reasoning_content | trim"}, thinking(" Hm. ", "ok")),
    ],
    ids=["unchanged", "user", "system", "escapes", "ascii", "trimmed"],
)
def test_letters_that_are_the_same_or_context_pass(
    changed: dict[str, str], turns: list[dict[str, Any]]
) -> None:
    done = writing(turns, **changed)
    assert done.refused.height == 0 and len(trained(done)) == 1


def test_words_of_other_roles_are_refused_too_if_they_are_trained() -> None:
    shouted = "m.content | upper if m.role == 'user' else m.content"
    source = CALLING.replace("m.content or ''", shouted)
    for name, expression in AS_IT_IS.items():
        source = source.replace(name, expression)
    done = rendered(source, byte_level(), talk("hi", "ok"), roles=("user", "assistant"))
    assert refusal(done) == (
        "answer_altered",
        "message 0: the template changes its letters, from 'hi' to 'HI', in the content",
    )
