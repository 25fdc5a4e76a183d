"""What families of models ask of a mask: ends, channels, thoughts, and what they leave out."""

from __future__ import annotations

from typing import Any

import pytest

from templates import load_template, verify
from templates.messages import chat
from templates.template import bind
from tests.templates_toys import (
    CHATML,
    byte_level,
    metaspace,
    records,
    refusal,
    rendered,
    talk,
    template,
    trained,
)

CALL = [{"name": "dig", "arguments": {"at": "x", "deep": None}, "id": "call12345"}]
RESULT = {"role": "tool", "content": "gold", "name": "dig", "tool_call_id": "call12345"}
CALLING: list[dict[str, Any]] = [
    *talk("hi"),
    {"role": "assistant", "content": None, "reasoning": "dig there", "tool_calls": CALL},
    RESULT,
    {"role": "assistant", "content": "found it", "reasoning": "gold"},
]
LLAMA_31 = (  # as Llama 3.1: a call for the code interpreter ends in another token
    "{% for m in messages %}<|start|>{{ m.role }}<|end|>\n\n{% if m.tool_calls %}"
    "{% for c in m.tool_calls %}<|python_tag|>{{ c.function.name ~ ' ' }}"
    "{{ c.function.arguments | tojson }}{% endfor %}<|eom_id|>{% else %}{{ m.content }}<|eot_id|>"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|start|>assistant<|end|>\n\n{% endif %}"
)


def everything(done: Any) -> list[str]:
    return [text for number in range(done.examples.height) for text in trained(done, number)]


def test_harmony_ends_answers_in_return_calls_in_call_and_its_history_in_end() -> None:
    harmony = load_template("gpt-oss", None)
    done = rendered(harmony, byte_level(), talk("a", "one", "b", "two"))
    assert everything(done) == [
        "<|channel|>final<|message|>one<|return|>",
        "<|channel|>final<|message|>two<|return|>",
    ]
    history = done.examples["input_ids"][1].to_list()
    text = done.tokenizer.segments.decode(history).decode()
    assert "<|message|>one<|end|>" in text and "one<|return|>" not in text
    tools = [{"type": "function", "function": {"name": "dig", "description": "Dig."}}]
    [call] = everything(rendered(harmony, byte_level(), CALLING[:2], tools=tools))
    assert call.startswith("<|channel|>analysis<|message|>dig there<|end|>")
    assert call.endswith("<|call|>") and '"at": "x"' in call
    brief = [CALLING[0], {**CALLING[1], "reasoning": None}, *CALLING[2:]]
    first, final = everything(rendered(harmony, byte_level(), brief, tools=tools))
    assert first.endswith("<|call|>") and "gold" not in first
    assert final == (
        "<|channel|>analysis<|message|>gold<|end|>"
        "<|start|>assistant<|channel|>final<|message|>found it<|return|>"
    )
    # Once an answer follows, the template drops the analysis before a call. The answer is generated
    # after a prompt that has it, so that is what is trained.
    done = rendered(harmony, byte_level(), CALLING, tools=tools)
    assert [trained(done, 0), done.examples["turns"].to_list()] == [[call, final], [[1, 3]]]
    last = [turn.copy() for turn in CALLING]
    last[1]["weight"] = 0
    assert everything(rendered(harmony, byte_level(), last, tools=tools)) == [final]
    strict = rendered(harmony, byte_level(), CALLING, tools=tools, history="error")
    assert refusal(strict)[0] == "history_rewritten"
    given = chat({"messages": records(CALLING)["messages"][0].to_list(), "tools": None})
    prompt = bind(harmony, byte_level(), "2024-07-26").text(given.messages[:3], tools, prompt=True)
    asked = byte_level().backend.encode(prompt, add_special_tokens=False).ids
    ids = done.examples["input_ids"][0].to_list()
    labels = done.examples["labels"][0].to_list()
    assert ids[: len(asked)] == asked and labels[len(asked)] != -100 == labels[len(asked) - 1]


def test_a_call_that_ends_in_a_token_of_its_own_is_trained_with_it() -> None:
    conversation = [{key: v for key, v in turn.items() if key != "reasoning"} for turn in CALLING]
    done = rendered(LLAMA_31, metaspace(), conversation, stops=("<|eom_id|>", "<|eot_id|>"))
    assert [text.strip() for text in trained(done)] == [
        '<|python_tag|>dig {"at": "x", "deep": null}<|eom_id|>',
        "found it<|eot_id|>",
    ]
    untold = rendered(LLAMA_31, metaspace(), conversation)
    assert (
        refusal(untold)[0] == "stop_not_at_end"
    )  # never trained without its end, or with another one


def test_gemma_ends_a_turn_in_its_own_token_though_eos_is_another() -> None:
    done = rendered(load_template("gemma", None), metaspace(), talk("hi", "ok", "so", "yes"))
    assert [text.strip() for text in trained(done)] == ["ok<end_of_turn>", "yes<end_of_turn>"]
    assert "</s>" in [stop.text for stop in done.card.stops]


@pytest.mark.parametrize("role", ["system", "user", "tool"])
def test_a_template_that_leaves_out_what_others_say_refuses_the_row(role: str) -> None:
    source = "{% for m in messages if m.role != '" + role + "' %}" + CHATML.partition("%}")[2]
    turns = [{"role": "system", "content": "be brief"}, *talk("hi", "dig"), RESULT]
    done = rendered(source, byte_level(), [*turns, {"role": "assistant", "content": "ok"}])
    if role == "user":
        assert refusal(done)[0] == "answer_altered"
    assert (
        refusal(done)[0] == "answer_altered"
        and f"does not write the {role}'s words" in refusal(done)[1]
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {},
            [
                "[think]\ndig there\n[/think]\n\ndig<|im_end|>",
                "[think]\nwhy\n[/think]\n\nok<|im_end|>",
            ],
        ),
        ({"turns": "last"}, ["[think]\nwhy\n[/think]\n\nok<|im_end|>"]),
        ({"mask_reasoning": True}, ["\n[/think]\n\ndig<|im_end|>", "\n[/think]\n\nok<|im_end|>"]),
        ({"turns": "last", "mask_reasoning": True}, ["\n[/think]\n\nok<|im_end|>"]),
        ({"roles": ("tool",)}, ["gold"]),
        ({"roles": ("system", "user")}, ["be brief", "hi"]),
        ({"roles": ("user", "tool"), "turns": "last"}, ["gold"]),
    ],
)
def test_last_turn_roles_and_reasoning_do_as_they_are_named(
    options: dict[str, Any], expected: list[str]
) -> None:
    source = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.reasoning_content %}"
        "{{ '[think]\n' + m.reasoning_content + '\n[/think]\n\n' }}{% endif %}"
        "{{ m.content + '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    turns = [
        {"role": "system", "content": "be brief"},
        *talk("hi"),
        {"role": "assistant", "content": "dig", "reasoning": "dig there"},
        RESULT,
        {"role": "assistant", "content": "ok", "reasoning": "why"},
    ]
    assert trained(rendered(source, byte_level(), turns, **options)) == expected


def test_a_card_says_which_thoughts_a_prompt_holds() -> None:
    card = verify(load_template("qwen-thinking", None), byte_level())
    assert card.empty_thoughts == "<think>\n\n</think>\n\n"
    page = (
        "empty thoughts     '<think>\\n\\n</think>\\n\\n' of answers without reasoning: not trained"
    )
    assert page in str(card)
    assert verify(template(CHATML), byte_level()).empty_thoughts == ""


def test_values_that_arguments_lack_are_written_as_null_and_never_as_none() -> None:
    done = rendered(
        load_template("qwen", None),
        byte_level(),
        [
            *talk("hi"),
            {"role": "assistant", "content": None, "name": None, "tool_calls": CALL},
        ],
    )
    text = done.tokenizer.segments.decode(done.examples["input_ids"][0].to_list()).decode()
    assert "None" not in text and '"deep": null' in text
