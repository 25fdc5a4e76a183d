"""What is fast is a plug: with it and without it the same ids, labels, counts and refusals."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from templates import ChatTemplate, RenderOptions, Tokenizer, load_template, load_tokenizer, render
from templates.template import TEMPLATES
from tests.templates_toys import (
    CHATML,
    byte_level,
    merging,
    metaspace,
    prepending,
    records,
    talk,
    template,
    words,
)

DATA = Path(os.environ.get("CURATE_TEST_DATA", "../shared/data"))
REAL = ("llama2", "llama3", "mistral-v3", "gpt-neox-olmo")
TOY_TOKENIZERS = {
    "byte-level": byte_level,
    "composing": lambda: byte_level(nfc=True),
    "merging": merging,
    "metaspace": metaspace,
    "prepending": prepending,
    "words": words,
}
TOYS = {
    "toy chatml": CHATML,
    "toy roles": "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}",
    "toy hashes": "{% for m in messages %}## {{ m.role }}\n{{ m.content | trim }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}## assistant\n{% endif %}",
    "toy asking": "{% for m in messages %}{% if 'x' in m.content %}[{{ m.content[1:] }}]"
    "{% else %}{{ m.content.strip() or '-' }}{% endif %}{{ eos_token }}{% endfor %}",
    "toy last": "{% for m in messages %}<{{ m.role }}>{% if m.reasoning_content and loop.last %}"
    "({{ m.reasoning_content }}){% endif %}{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}",
}
WORDS = st.sampled_from(
    [
        "hi",
        "ok",
        " ",
        "  ",
        "\n",
        "\n\n",
        "x",
        "'ll",
        "1234",
        "é",
        "é",
        "你",
        "😀",
        "##",
        ": ",
        "<|im_end|>",
        "<|im_start|>user\n",
        "</s>",
        "<s>",
        "<|eot_id|>",
        "<think>",
        "[INST]",
        "|>",
    ]
)
CONTENT = st.lists(WORDS, min_size=1, max_size=5).map("".join)
TALK = st.lists(CONTENT, min_size=2, max_size=6)
OPTIONS = st.sampled_from(
    [
        {},
        {"boundary": "train"},
        {"boundary": "mask"},
        {"boundary": "error", "history": "error"},
        {"control": "allow"},
        {"control": "reject", "turns": "last"},
        {"roles": ("user", "assistant")},
        {"max_length": 24, "overlong": "left"},
        {"stops": ("##", "x"), "append_eos": True, "history": "last"},
        {"mask_reasoning": True, "completion": "raw"},
    ]
)


def both(
    chosen: ChatTemplate, tokenizer: Tokenizer, rows: pl.DataFrame, options: RenderOptions
) -> tuple[Any, Any]:
    """What is rendered with and without the plug, in a form that compares."""
    made = [render(rows, chosen, tokenizer, options, fast=fast) for fast in (True, False)]
    one, two = ((d.examples.rows(), d.refused.rows(), d.counts, d.card) for d in made)
    return one, two


def with_thoughts(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**message, "reasoning": "hm"} for message in messages]


def sample(talks: list[list[str]]) -> pl.DataFrame:
    """The talks thrice, so that the second and third time much is known, and with reasoning."""
    rows = [talk(*contents) for contents in talks]
    return records(*rows, *rows, *rows, *map(with_thoughts, rows))


@pytest.mark.parametrize("name", TOY_TOKENIZERS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    talks=st.lists(TALK, min_size=1, max_size=4),
    source=st.sampled_from([*TOYS, *TEMPLATES]),
    options=OPTIONS,
)
def test_toy_tokenizers_give_the_same_with_and_without_it(
    name: str, talks: list[list[str]], source: str, options: dict[str, Any]
) -> None:
    tokenizer = TOY_TOKENIZERS[name]()
    chosen = template(TOYS[source]) if source in TOYS else load_template(source, tokenizer)
    one, two = both(chosen, tokenizer, sample(talks), RenderOptions(**options))
    assert one == two


@pytest.fixture(scope="module", params=REAL)
def real(request: pytest.FixtureRequest) -> Tokenizer:
    folder = DATA / "tokenizers" / str(request.param)
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: set CURATE_TEST_DATA")
    return load_tokenizer(str(folder))


@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    talks=st.lists(TALK, min_size=1, max_size=4),
    source=st.sampled_from([*TOYS, *TEMPLATES]),
    options=OPTIONS,
)
@example(
    talks=[["hi", "hi", "hi", "hi"]],
    source="command-r",
    options={"roles": ("user", "assistant")},
)
def test_real_tokenizers_give_the_same_with_and_without_it(
    real: Tokenizer, talks: list[list[str]], source: str, options: dict[str, Any]
) -> None:
    chosen = template(TOYS[source]) if source in TOYS else load_template(source, real)
    one, two = both(chosen, real, sample(talks), RenderOptions(**options))
    assert one == two


def ends_in_okay(after_question: str = "", before_answer: str = "") -> ChatTemplate:
    """Of each `. okay` the stop is `. ok`, which the tokenizer joins with the letters after it.

    Nowhere does white space follow a letter, so what proves a boundary reaches far back.
    """
    return template(
        f"{{% for m in messages %}}[{{{{ m.role }}}}]{before_answer}{{{{ m.content }}}}"
        f"{{% if m.role == 'user' %}}{after_question}{{% endif %}}. okay{{% endfor %}}"
        f"{{% if add_generation_prompt %}}[assistant]{before_answer}{{% endif %}}"
    )


EVERY_TURN = RenderOptions(roles=("user", "assistant"), stops=(". ok",))


def test_equal_rows_of_equal_turns_that_are_all_trained_count_each_cut_stop_once() -> None:
    row = talk("hi", "hi", "hi", "hi")
    one, two = both(ends_in_okay(), byte_level(), records(row, row, row), EVERY_TURN)
    assert one == two
    assert one[2]["boundaries"] == 3 * 2  # of three rows the two stops
    assert one[2]["trained_turns"] == 3 * 4 and one[2]["trained_stops"] == 3 * 2


def test_a_token_over_both_ends_of_a_trained_text_is_cut_once_where_a_stop_is_cut() -> None:
    tokens = byte_level().backend.encode("[user] am. okay").tokens
    assert tokens[3:] == ["Ġam", ".", "Ġokay"]
    asked = ends_in_okay(after_question="m", before_answer=" ")
    rows = records(*[talk("a", "yes")] * 3)
    one, two = both(asked, byte_level(), rows, EVERY_TURN)
    assert one == two
    assert one[2]["boundaries"] == 3 * 3  # ` |am`, ` |yes`, `ok|ay`: cut off, `a|m` is not joined


def test_tools_documents_and_open_answers_give_the_same_with_and_without_it() -> None:
    call = {"name": "dig", "arguments": {"where": "here"}}
    asked = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "found"},
        {"role": "assistant", "content": "ok"},
    ]
    rows = records(asked, talk("a", "b"), asked, talk("a", "b"), tools=[{"name": "dig"}])
    rows = rows.with_columns(meta=pl.Series(["{}", '{"open": true}', '{"documents": ["d"]}', "{}"]))
    options = RenderOptions(continue_final_field="open")
    for name in ("qwen", "mistral", "gpt-oss", "chatml"):
        chosen = load_template(name, byte_level())
        one, two = both(chosen, byte_level(), rows, options)
        assert one == two


def test_pairs_and_many_turns_give_the_same_with_and_without_it() -> None:
    rows = records(*[talk("hi", "ok"), talk("so", "yes")] * 3)
    rejected = [[{"role": "assistant", "content": f"no {n}"}] for n in range(6)]
    rows = rows.with_columns(rejected=pl.Series(rejected, dtype=rows.schema["rejected"]))
    for name in ("chatml", "alpaca"):
        chosen = load_template(name, byte_level())
        one, two = both(chosen, byte_level(), rows, RenderOptions(pairs=True))
        assert one == two
    long = records(*[talk(*(f"turn {n}\n" for n in range(60)))] * 4)
    for tokenizer in (byte_level(), metaspace()):
        one, two = both(template(TOYS["toy roles"]), tokenizer, long, RenderOptions())
        assert one == two
