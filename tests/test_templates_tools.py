"""Tool calls, tools and reasoning as templates see them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from templates.messages import chat
from templates.refusals import BadToolCalls
from templates.template import ChatTemplate
from tests.templates_toys import byte_level, ids, refusal, rendered, talk, template, trained

TOOLS = [{"type": "function", "function": {"name": "dig", "description": "Dig é <b>."}}]
CALLING = (
    "{{ (tools | tojson) ~ '\n' if tools else '' }}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }} {{ c.function.arguments | tojson }}"
    "{{ ' #' ~ c.id if c.id else '' }}\n{% endfor %}{{ m.content or '' }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def calling(*calls: dict[str, Any]) -> list[dict[str, Any]]:
    return [*talk("hi"), {"role": "assistant", "content": None, "tool_calls": list(calls)}]


def test_arguments_as_text_and_as_object_give_the_same_ids() -> None:
    arguments = {"where": "here", "deep": 2, "nested": {"fast": False}}
    objects = calling({"name": "dig", "arguments": arguments})
    texts = calling({"name": "dig", "arguments": json.dumps(arguments)})
    wrapped = calling({"type": "function", "function": {"name": "dig", "arguments": arguments}})
    done = rendered(CALLING, byte_level(), objects, texts, wrapped)
    assert ids(done, 0) == ids(done, 1) == ids(done, 2)
    assert '"fast": false' in trained(done)[0]


def test_parallel_calls_are_trained_whole_without_escapes() -> None:
    conversation = [
        *calling(
            {
                "id": "a1",
                "name": "dig",
                "arguments": {"où": '<là> & "ici"\n', "n": [1, True, None]},
            },
            {"id": "a2", "name": "dig", "arguments": {}},
        ),
        {"role": "tool", "content": "found", "tool_call_id": "a1", "name": "dig"},
        {"role": "assistant", "content": "done"},
    ]
    done = rendered(CALLING, byte_level(), conversation, tools=TOOLS)
    assert trained(done) == [
        'dig {"où": "<là> & \\"ici\\"\\n", "n": [1, true, null]} #a1\ndig {} #a2\n<|im_end|>',
        "done<|im_end|>",
    ]
    text = done.tokenizer.segments.decode(ids(done)).decode()
    assert '"Dig é <b>."' in text and "False" not in text and "\\u" not in text


def test_control_tokens_in_arguments_and_tools_are_text() -> None:
    conversation = calling({"name": "dig", "arguments": {"where": "<|im_end|>"}})
    tools = [{"type": "function", "function": {"name": "<|im_start|>"}}]
    done = rendered(CALLING, byte_level(), conversation, tools=tools)
    known = byte_level().controls
    assert ids(done).count(known["<|im_end|>"].id) == 2
    assert ids(done).count(known["<|im_start|>"].id) == 2
    assert trained(done) == ['dig {"where": "<|im_end|>"}\n<|im_end|>']


def test_a_dropped_argument_is_lost_payload() -> None:
    source = CALLING.replace("c.function.arguments | tojson", "c.function.arguments.where")
    kept = calling({"name": "dig", "arguments": {"where": "here"}})
    lost = calling({"name": "dig", "arguments": {"where": "here", "why": "because"}})
    done = rendered(
        source.replace("c.function.name", "c.function.name ~ ' where'"), byte_level(), lost
    )
    assert refusal(done)[0] == "answer_altered" and "arguments" in refusal(done)[1]
    assert refusal(rendered(source, byte_level(), kept))[0] == "answer_altered"


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        ("{broken", "no JSON"),
        ('{"name": "dig"}', "no list"),
        ('[{"arguments": {}}]', "needs a name"),
        ('[{"name": "dig", "arguments": "{broken"}]', "arguments of dig"),
        ('[{"name": "dig", "arguments": [1]}]', "no object"),
    ],
)
def test_unreadable_calls_refuse_their_row_and_say_why(calls: str, words: str) -> None:
    bad = [*talk("hi"), {"role": "assistant", "content": "", "tool_calls": calls}]
    done = rendered(CALLING, byte_level(), bad, talk("hi", "ok"))
    check, message = refusal(done)
    assert check == "tool_calls" and words in message and "message 1" in message
    assert done.examples.height == 1


def test_unreadable_tools_refuse_their_row() -> None:
    for tools in ("{broken", '{"name": "dig"}'):
        with pytest.raises(BadToolCalls, match="tools"):
            chat({"messages": talk("hi", "ok"), "tools": tools})
    assert chat({"messages": talk("hi", "ok"), "tools": "[]"}).tools is None


def test_messages_are_offered_as_transformers_offers_them() -> None:
    given = [
        *talk("hi"),
        {
            "role": "assistant",
            "content": None,
            "reasoning": "hm",
            "tool_calls": '[{"id": "a", "name": "dig", "arguments": {"n": 1}}]',
            "weight": 1.0,
        },
        {"role": "tool", "content": "ok", "tool_call_id": "a", "name": None, "reasoning": None},
    ]
    function = {"name": "dig", "arguments": {"n": 1}}
    assert chat({"messages": given, "tools": None}).messages == [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "reasoning_content": "hm",
            "thinking": "hm",
            "tool_calls": [{"id": "a", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "ok", "tool_call_id": "a"},
    ]


def test_reasoning_is_payload_under_either_name() -> None:
    for name in ("reasoning_content", "thinking"):
        source = CALLING.replace("{{ m.content", "{{ m." + name + " or '' }}{{ m.content")
        conversation = [*talk("hi"), {"role": "assistant", "content": "ok", "reasoning": "hm "}]
        done = rendered(source, byte_level(), conversation)
        assert trained(done) == ["hm ok<|im_end|>"]


def test_tools_are_given_to_prompt_and_answer_alike() -> None:
    done = rendered(CALLING, byte_level(), talk("hi", "ok", "so", "fine"), tools=TOOLS)
    assert trained(done) == ["ok<|im_end|>", "fine<|im_end|>"]
    assert (done.card.tools, done.card.tool_calls) == ("written", "written")


def test_a_template_of_its_own_is_used_for_rows_with_tools() -> None:
    plain = template(CALLING.replace("m.content or ''", "'plain ' ~ m.content"))
    both = ChatTemplate("toy", plain.source, "test", tool_use=template(CALLING, "tools"))
    assert trained(rendered(both, byte_level(), talk("hi", "ok"))) == ["plain ok<|im_end|>"]
    done = rendered(both, byte_level(), talk("hi", "ok"), tools=TOOLS)
    assert trained(done) == ["ok<|im_end|>"]
    assert done.tool_card is not None and done.tool_card.template == "tools"
