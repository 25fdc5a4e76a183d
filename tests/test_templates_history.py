"""Templates that rewrite their history: each turn is trained as it was generated, or not at all."""

from __future__ import annotations

from typing import Any

from templates.template import bind
from tests.templates_toys import (
    CHATML,
    byte_level,
    ids,
    refusal,
    rendered,
    talk,
    template,
    trained,
)

# As Qwen3: thoughts are kept only after the last question; without any an empty block is written.
HYBRID = (
    "{%- set ns = namespace(last=0) %}{%- for m in messages %}{%- if m.role == 'user' %}"
    "{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}{%- for m in messages %}"
    "{{- '<|im_start|>' + m.role + '\n' }}{%- if m.role == 'assistant' and loop.index0 > ns.last "
    "%}{{- '[think]\n' + (m.reasoning_content or '') + '\n[/think]\n\n' }}{%- endif %}"
    "{{- (m.content or '') }}{%- for c in m.tool_calls or [] %}{{- c.function.name + ' ' + "
    "c.function.arguments | tojson }}{%- endfor %}{{- '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- if enable_thinking is "
    "defined and enable_thinking is false %}{{- '[think]\n\n[/think]\n\n' }}{%- endif %}"
    "{%- endif %}"
)
FINAL = (  # as Harmony: the last answer ends in another token than the same answer in the history
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}"
    "{{ '<|eos|>' if loop.last and m.role == 'assistant' else '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
OPEN = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}" + (
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
DROPS = (  # as R1's distillates: the prompt opens the thoughts, the history has none
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + "
    "m.content.split('</think>')[-1] + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)
THOUGHT = {"reasoning": "hm"}


def thoughtful(*contents: str) -> list[dict[str, Any]]:
    turns = talk(*contents)
    return [turn | THOUGHT if turn["role"] == "assistant" else turn for turn in turns]


def runs(done: Any) -> list[list[str]]:
    return [trained(done, number) for number in range(done.examples.height)]


def test_a_conversation_becomes_one_example_for_each_turn_that_is_later_rewritten() -> None:
    done = rendered(HYBRID, byte_level(), thoughtful("a", "one", "b", "two"), talk("hi", "ok"))
    assert runs(done) == [
        ["[think]\nhm\n[/think]\n\none<|im_end|>"],
        ["[think]\nhm\n[/think]\n\ntwo<|im_end|>"],
        ["ok<|im_end|>"],
    ]
    assert done.examples["row"].to_list() == [0, 0, 1]
    assert done.examples["turns"].to_list() == [[1], [3], [1]]
    assert (done.counts["rows"], done.counts["examples"], done.counts["split"]) == (2, 3, 1)
    stale = done.tokenizer.segments.decode(ids(done, 1)).decode()
    assert stale.count("hm") == 1  # the history is as inference has it: without the first thought
    assert "1 examples more" in done.summary()


def test_each_example_starts_with_the_prompt_of_its_turn_token_for_token() -> None:
    conversation = thoughtful("a", "one", "b", "two")
    done = rendered(HYBRID, byte_level(), conversation)
    renderer = bind(template(HYBRID), byte_level(), "2024-07-26", {"enable_thinking": True})
    for number, turn in enumerate((1, 3)):
        given = [{k: v for k, v in m.items() if k != "reasoning"} for m in conversation[:turn]]
        prompt = renderer.text(given, None, prompt=True)
        expected = byte_level().backend.encode(prompt, add_special_tokens=False).ids
        assert ids(done, number)[: len(expected)] == expected
        labels = done.examples["labels"][number].to_list()
        assert set(labels[: len(expected)]) == {-100} and labels[len(expected)] != -100


def test_a_tool_loop_under_one_question_stays_one_example() -> None:
    call = {"role": "assistant", "tool_calls": [{"name": "dig", "arguments": {"at": "x"}}]}
    loop = [
        *talk("where"),
        call | THOUGHT,
        {"role": "tool", "content": "gold"},
        {"role": "assistant", "content": "there"} | THOUGHT,
    ]
    done = rendered(HYBRID, byte_level(), loop, [*loop, *thoughtful("so", "yes")])
    assert done.examples["turns"].to_list() == [[1, 3], [1, 3], [5]]
    assert runs(done)[0] == [
        '[think]\nhm\n[/think]\n\ndig {"at": "x"}<|im_end|>',
        "[think]\nhm\n[/think]\n\nthere<|im_end|>",
    ]
    assert "gold" not in str(runs(done))


def test_the_empty_thoughts_of_a_template_are_prompt_and_not_trained() -> None:
    done = rendered(HYBRID, byte_level(), talk("hi", "ok"), thoughtful("hi", "ok"))
    text = done.tokenizer.segments.decode(ids(done, 0)).decode()
    assert "[think]\n\n[/think]\n\nok" in text
    assert trained(done, 0) == ["ok<|im_end|>"]
    asked = rendered(HYBRID, byte_level(), talk("hi", "ok"), arguments={"enable_thinking": True})
    assert trained(asked) == ["[think]\n\n[/think]\n\nok<|im_end|>"]


def test_only_the_last_chain_is_kept_on_request_and_none_under_error() -> None:
    conversation = thoughtful("a", "one", "b", "two")
    last = rendered(HYBRID, byte_level(), conversation, history="last")
    assert last.examples["turns"].to_list() == [[3]] and last.counts["split"] == 0
    assert (
        refusal(rendered(HYBRID, byte_level(), conversation, history="error"))[0]
        == "history_rewritten"
    )


def test_another_end_in_the_history_gives_each_turn_its_own_end() -> None:
    done = rendered(FINAL, byte_level(), talk("a", "one", "b", "two"), stops=("<|eos|>",))
    assert runs(done) == [["one<|eos|>"], ["two<|eos|>"]]


def test_an_argument_that_keeps_old_thoughts_makes_one_chain() -> None:
    keeping = HYBRID.replace("loop.index0 > ns.last", "(keep_thoughts or loop.index0 > ns.last)")
    conversation = thoughtful("a", "one", "b", "two")
    split = rendered(keeping, byte_level(), conversation)
    whole = rendered(keeping, byte_level(), conversation, arguments={"keep_thoughts": True})
    assert (split.examples.height, whole.examples.height) == (2, 1)
    assert split.card.history.startswith("rewritten") and whole.card.history == "kept"


def test_a_template_without_an_end_gets_eos_on_request() -> None:
    refused = rendered(OPEN, byte_level(), talk("a", "one", "b", "two"))
    assert refusal(refused)[0] == "stop_not_at_end"
    done = rendered(OPEN, byte_level(), talk("a", "one", "b", "two"), append_eos=True)
    assert runs(done) == [[" one<|eos|>"], [" two<|eos|>"]]
    labels = done.examples["labels"].to_list()
    assert [row.count(byte_level().controls["<|eos|>"].id) for row in labels] == [1, 1]


def test_reasoning_that_the_template_drops_is_refused_and_kept_by_raw_completion() -> None:
    spoken = talk("hi", "<think>\nhm</think>ok")
    assert refusal(rendered(DROPS, byte_level(), spoken))[0] == "prompt_not_prefix"
    done = rendered(DROPS, byte_level(), spoken, completion="raw")
    assert trained(done) == ["hm</think>ok<|im_end|>"]
    text = done.tokenizer.segments.decode(ids(done)).decode()
    assert text.endswith("assistant\n<think>\nhm</think>ok<|im_end|>")


def test_only_the_last_answer_is_trained_on_request() -> None:
    done = rendered(CHATML, byte_level(), talk("a", "one", "b", "two"), turns="last")
    assert trained(done) == ["two<|im_end|>"] and done.examples["turns"].to_list() == [[3]]


def test_other_roles_train_their_words_without_header_or_stop() -> None:
    turns = [{"role": "system", "content": "be brief"}, *talk("hi", "ok")]
    done = rendered(CHATML, byte_level(), turns, roles=("assistant", "user"))
    assert trained(done) == ["hi", "ok<|im_end|>"]
    assert trained(rendered(CHATML, byte_level(), turns)) == ["ok<|im_end|>"]


def test_reasoning_is_given_instead_of_trained_on_request() -> None:
    done = rendered(HYBRID, byte_level(), thoughtful("a", "one"), mask_reasoning=True)
    assert trained(done) == ["\n[/think]\n\none<|im_end|>"]
