"""Whatever the conversation, template and tokenizer: what is trained is the answer and its stop."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from templates.refusals import Refusal
from templates.render import RowRenderer
from templates.template import TEMPLATES, ChatTemplate, bind, load_template
from templates.tokens.columns import Row
from tests.templates_toys import (
    AWKWARD,
    byte_level,
    metaspace,
    prepending,
    records,
    row_renderer,
    template,
)

CONTENT = st.lists(st.sampled_from(AWKWARD), min_size=1, max_size=6).map("".join)
TALK = st.lists(CONTENT, min_size=2, max_size=6)
TOKENIZERS: dict[str, Any] = {
    "byte-level": byte_level,
    "composing": lambda: byte_level(nfc=True),
    "metaspace": metaspace,
    "prepending": prepending,
}
ODD = {
    "spaced": "{% for m in messages %}{{ m.role }}: {{ m.content }}"
    "{{ eos_token if m.role == 'assistant' else '' }}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}",
    "bare": "{% for m in messages %}{{ m.content ~ eos_token }}{% endfor %}",
    "trimmed": "{% macro say(m) %}{{ m.content.strip() + '<|im_end|>' }}{% endmacro %}"
    "{% for m in messages %}<|im_start|>{{ m.role ~ '\\n' ~ say(m) }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
}
READY: dict[tuple[str, str], RowRenderer] = {}


def template_called(name: str) -> ChatTemplate:
    return template(ODD[name], name) if name in ODD else load_template(name, None)


def renderer_of(template_name: str, tokenizer_name: str) -> RowRenderer:
    key = (template_name, tokenizer_name)
    if key not in READY:
        chosen = template_called(template_name)
        READY[key] = row_renderer(chosen, TOKENIZERS[tokenizer_name]())
    return READY[key]


# What a template has the model write before an answer's words.
OPENING = {"gpt-oss": "<|channel|>final<|message|>"}


@pytest.mark.parametrize("tokenizer_name", TOKENIZERS)
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(contents=TALK, template_name=st.sampled_from([*TEMPLATES, *ODD]))
def test_trained_tokens_are_the_answers_and_their_stops_and_nothing_else(
    tokenizer_name: str, contents: list[str], template_name: str
) -> None:
    ready = renderer_of(template_name, tokenizer_name)
    roles = ("user", "assistant")
    turns = [{"role": roles[n % 2], "content": text} for n, text in enumerate(contents)]
    [(_, rows)] = ready.batches([records(turns)])
    for row in rows:  # several, where the template rewrites its history
        if isinstance(row, Refusal):
            assert row.check in ("empty", "stop_not_at_end", "open_thoughts"), str(row)
            continue
        _check_masks(ready, row, contents, OPENING.get(template_name, ""))
        _check_prompts(ready, row, turns, template_called(template_name))


def _check_masks(ready: RowRenderer, row: Row, contents: list[str], opening: str) -> None:
    tokenizer = ready.encoder.tokenizer
    composing = tokenizer.backend.normalizer is not None and "NFC" in str(
        tokenizer.backend.normalizer
    )
    for target, (start, end) in zip(row.verified.trained, row.example.spans, strict=True):
        said = tokenizer.segments.decode(row.example.ids[start:end]).decode()
        answer = contents[target.turn]
        expected = answer.strip() if answer.strip() not in ("",) else answer
        if composing:
            expected = unicodedata.normalize("NFC", expected)
        # Text before the answer is white space alone, text after it white space and the stop.
        written = said.replace("▁", " ")
        at = written.find(opening)
        assert at >= 0 and not written[:at].strip() and target.stop is not None
        before, _, after = written[at + len(opening) :].partition(expected.replace("▁", " "))
        assert not before.strip()
        assert after.strip() == target.stop.text, (said, expected)
    trained = [label for label in row.example.labels if label != -100]
    assert len(trained) == sum(end - start for start, end in row.example.spans)
    last = [row.example.ids[end - 1] for _, end in row.example.spans]
    stops = [target.stop and target.stop.id for target in row.verified.trained]
    assert all(stop is None or stop == token for stop, token in zip(stops, last, strict=True))


def _check_prompts(
    ready: RowRenderer, row: Row, turns: list[dict[str, str]], chosen: ChatTemplate
) -> None:
    """A model that is given the prompt and answers perfectly emits exactly the trained tokens."""
    tokenizer = ready.encoder.tokenizer
    target, (start, end) = row.verified.trained[0], row.example.spans[0]
    renderer = bind(chosen, tokenizer, ready.options.date)
    prompt = renderer.of(turns[target.turn]).text(turns[: target.turn], None, prompt=True)
    if not row.example.escaped:
        asked = tokenizer.backend.encode(prompt, add_special_tokens=False).ids
        assert row.example.ids[:start] == asked
    assert row.example.labels[start:end] == row.example.ids[start:end]
    assert set(row.example.labels[:start]) <= {-100}


def test_equal_conversations_give_equal_rows_in_any_company() -> None:
    ready = renderer_of("chatml", "byte-level")
    one = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": " ok "}]
    two = [{"role": "user", "content": " x\n"}, {"role": "assistant", "content": "<|im_end|>"}]
    [(_, alone)] = ready.batches([records(one)])
    [(_, among)] = ready.batches([records(two, one, two)])
    rows = [row for row in (alone[0], among[1]) if isinstance(row, Row)]
    assert rows[0].example == rows[1].example
