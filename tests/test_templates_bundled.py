"""The bundled templates: what they write, on tokenizers that know their tokens and that do not."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from curate.schema import CurateError
from templates import describe, verify
from templates.messages import chat
from templates.stops import find_stops
from templates.template import TEMPLATES, ChatTemplate, bind, load_template
from templates.tokenizer import Tokenizer, load_tokenizer
from tests.templates_toys import (
    byte_level,
    ids,
    metaspace,
    prepending,
    refusal,
    rendered,
    talk,
    trained,
)

EXPECTED = {
    "alpaca": "<s>Below is an instruction that describes a task. Write a response that "
    "appropriately completes the request.\n\n### Instruction:\nhi\n\n### Response:ok</s>"
    "\n\n### Instruction:\nso\n\n### Response:fine</s>",
    "chatml": "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nok<|im_end|>\n"
    "<|im_start|>user\nso<|im_end|>\n<|im_start|>assistant\nfine<|im_end|>\n",
    "llama3": "<s><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nok<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nso<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nfine<|eot_id|>",
    "mistral": "<s>[INST] hi[/INST] ok</s>[INST] so[/INST] fine</s>",
    "simple": "<s>Human: hi\n\nAssistant: ok</s>\n\nHuman: so\n\nAssistant: fine</s>",
    "vicuna": "<s>A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions. USER: hi "
    "ASSISTANT: ok</s>USER: so ASSISTANT: fine</s>",
    "zephyr": "<|user|>\nhi</s>\n<|assistant|>\nok</s>\n"
    "<|user|>\nso</s>\n<|assistant|>\nfine</s>\n",
}
TOKENIZERS = (byte_level, metaspace, prepending)


def bundled(name: str) -> ChatTemplate:
    return load_template(name, None)


def test_the_registry_and_the_files_are_the_same() -> None:
    import templates

    folder = Path(templates.__file__).parent / "chat"
    assert sorted(TEMPLATES) == sorted(path.stem for path in folder.glob("*.jinja"))
    assert [name for name, _ in describe()] == [*TEMPLATES, "tokenizer"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_file_names_its_origin_its_differences_and_its_stop(name: str) -> None:
    header, _, _ = bundled(name).source.partition("-#}")
    assert header.startswith("{#-")
    for word in ("Origin:", "Differences:", "Stop:"):
        assert word in header


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_writes_what_it_is_known_for(name: str) -> None:
    renderer = bind(bundled(name), metaspace(), "2024-07-26")
    assert renderer.text(talk("hi", "ok", "so", "fine"), None) == EXPECTED[name]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_each_is_safe_and_trains_answers_and_one_stop_on_any_tokenizer(
    name: str, tokenizer: Any
) -> None:
    done = rendered(bundled(name), tokenizer(), talk("hi", "ok 😀", "so", "the answer\n\nis yes!"))
    ending = done.card.ends_with
    assert not done.card.problems and ending is not None
    assert [text.strip(" ") for text in trained(done)] == [
        f"ok 😀{ending.text}",
        f"the answer\n\nis yes!{ending.text}",
    ]
    assert verify(bundled(name), tokenizer()) == done.card


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_keeps_a_system_message(name: str) -> None:
    system = {"role": "system", "content": "be brief"}
    done = rendered(bundled(name), metaspace(), [system, *talk("hi", "ok")])
    assert "be brief" in done.tokenizer.pieces.decode(ids(done)).decode()
    assert done.card.system == "written"


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name != "mistral"])
def test_tool_calls_are_refused_where_there_is_no_place_for_them(name: str) -> None:
    call = [{"name": "dig", "arguments": {"where": "here"}}]
    conversation = [*talk("hi"), {"role": "assistant", "content": None, "tool_calls": call}]
    done = rendered(bundled(name), metaspace(), conversation)
    assert refusal(done)[0] == "I3"


@pytest.mark.parametrize("name", TEMPLATES)
def test_prompts_at_inference_are_prefixes_of_what_is_trained(name: str) -> None:
    renderer = bind(bundled(name), metaspace(), "2024-07-26")
    turns = talk("hi", "ok", "so", "fine")
    prompt = renderer.text(turns[:3], None, prompt=True)
    assert renderer.text(turns, None).startswith(prompt)
    assert renderer.text(turns, None)[len(prompt) :].lstrip().startswith("fine")


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_renders_as_transformers_renders_it(name: str) -> None:
    utils = pytest.importorskip("transformers.utils.chat_template_utils")
    system = [{"role": "system", "content": " be brief "}]
    for turns in (talk("hi", " ok "), system + talk("a", "b", "c", "d"), talk("a", "b", "c")):
        for prompt in (False, True):
            theirs, _ = utils.render_jinja_template(
                [turns],
                chat_template=bundled(name).source,
                add_generation_prompt=prompt,
                bos_token="<s>",
                eos_token="</s>",
            )
            ours = bind(bundled(name), metaspace(), "2024-07-26").text(turns, None, prompt)
            assert ours == theirs[0]


@functools.cache
def real(test_data: Path, name: str) -> Tokenizer:
    return load_tokenizer(str(test_data / name))


REAL = (
    "tokenizers/llama3",
    "tokenizers/gpt-neox-olmo",
    "tokenizers/llama2",
    "tokenizers/mistral-v3",
    "models/stories260k-hf",
)


@pytest.mark.parametrize("folder", REAL)
def test_each_works_with_every_real_tokenizer(test_data: Path, folder: str) -> None:
    tokenizer = real(test_data, folder)
    rows = [
        talk(
            "What is 2 + 2?",
            "It is 4.\n\n```python\n    print(2 + 2)\n```",
            "Thanks!",
            "Welcome 😀",
        ),
        talk("</s><|im_end|><|eot_id|>[INST]", "  indented\tand  spaced  "),
        talk("e\u0301 ﬁ 你好", "naïve — “quotes” … é e\u0301 𝔘 \u200b"),
    ]
    for name in TEMPLATES:
        done = rendered(bundled(name), tokenizer, *rows)
        ending = done.card.ends_with
        assert done.examples.height == 3 and ending is not None, done.refused
        assert trained(done)[0].strip(" ") == f"{rows[0][1]['content']}{ending.text}"


def test_llama3_stops_at_its_end_of_turn_and_chatml_at_its_text(test_data: Path) -> None:
    tokenizer = real(test_data, "tokenizers/llama3")
    done = rendered(bundled("llama3"), tokenizer, talk("hi", "ok"))
    assert trained(done) == ["ok<|eot_id|>"]
    assert 128001 not in ids(done) and ids(done)[0] == 128000
    text = rendered(bundled("chatml"), tokenizer, talk("hi", "ok"))
    ending = text.card.ends_with
    assert ending is not None and ending.id is None and len(ending.tokens) > 1


@pytest.mark.parametrize("case", ["no_tools", "several_calls"])
@pytest.mark.parametrize("version", ["v2", "v3"])
def test_mistral_renders_the_golden_texts_and_ids(test_data: Path, case: str, version: str) -> None:
    if (case, version) == ("several_calls", "v2"):
        pytest.skip("the bundled template is v3, which keeps earlier tool calls; v2 drops them")
    folder = test_data / "rendering" / "mistral" / case
    sample = json.loads((folder / "sample.json").read_text())
    golden = (folder / f"text_{version}.txt").read_text().replace("▁", " ")
    tokens = json.loads((folder / f"tokens_{version}.json").read_text())["tokens"]
    tokenizer = real(test_data, "tokenizers/mistral-v3")
    messages = [_as_record(message) for message in sample["messages"]]
    conversation = chat({"messages": messages, "tools": json.dumps(sample["tools"])})
    renderer = bind(bundled("mistral"), tokenizer, "2024-07-26")
    text = renderer.text(conversation.messages, conversation.tools)
    assert text == golden
    assert tokenizer.backend.encode(text, add_special_tokens=False).ids == tokens
    if case == "no_tools":
        done = rendered(bundled("mistral"), tokenizer, messages)
        assert ids(done) == tokens
        assert trained(done) == [
            " The result of 5 + 5 is 10.</s>",
            " The square root of 64 is 8, because 8 x 8 equals 64.</s>",
            " Sure! The result of 10 x 8 is 80.</s>",
        ]


def test_tools_that_move_with_the_conversation_are_a_rewritten_history(test_data: Path) -> None:
    folder = test_data / "rendering" / "mistral" / "several_calls"
    sample = json.loads((folder / "sample.json").read_text())
    messages = [_as_record(message) for message in sample["messages"]]
    tokenizer = real(test_data, "tokenizers/mistral-v3")
    done = rendered(
        bundled("mistral"),
        tokenizer,
        messages,
        messages[:4],
        tools=sample["tools"],
        history="error",
    )
    assert refusal(done)[0] == "I2" and "[|AVAILABLE_TOOLS]" in refusal(done)[1]
    assert [text[:14] for text in trained(done)] == ["[TOOL_CALLS] [", " I've sent the"]


def _as_record(message: dict[str, Any]) -> dict[str, Any]:
    calls = [{"id": call["id"], **call["function"]} for call in message.get("tool_calls") or []]
    return {**message, "tool_calls": json.dumps(calls) if calls else None}


def test_transformers_makes_the_same_ids_of_the_same_conversation() -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer.from_str(byte_level().backend.to_str()),
        **byte_level().special,
    )
    turns = talk("hi there", "ok, fine!", "so?", "yes 😀")
    same = []
    for name in TEMPLATES:
        theirs.chat_template = bundled(name).source
        text = theirs.apply_chat_template(turns, tokenize=False)
        done = rendered(bundled(name), byte_level(), turns)
        assert done.tokenizer.pieces.decode(ids(done)).decode() == text
        if not done.counts["boundaries"]:  # else cut where the prompt ends, as at inference
            assert ids(done) == theirs.apply_chat_template(turns, return_dict=False)
            same.append(name)
    assert {"chatml", "zephyr", "mistral"} <= set(same)


def test_a_template_that_writes_eos_needs_a_tokenizer_and_chatml_does_not() -> None:
    with pytest.raises(CurateError, match="eos_token"):
        verify(bundled("vicuna"), None)
    card = verify(bundled("chatml"), None)
    assert card.ends_with is not None and card.ends_with.text == "<|im_end|>"
    assert find_stops(bind(bundled("chatml"), None, "2024-07-26"), None) == card.stops


def test_the_card_is_a_readable_page() -> None:
    page = str(verify(bundled("llama3"), metaspace()))
    assert "generation prompt  honoured" in page
    assert "content            trimmed" in page
    assert "turn ends with     '<|eot_id|>', text of" in page
    assert page.endswith("verdict            safe for plain conversations")
    vicuna = verify(bundled("vicuna"), metaspace())
    assert vicuna.default_system and vicuna.raises_on == (
        "a tool's result: vicuna has no place for a message with role tool",
    )
