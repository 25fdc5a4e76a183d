"""The bundled templates: what they write, on tokenizers that know their tokens and that do not."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from curate.base.errors import CurateError
from templates import describe, verify
from templates.messages import chat
from templates.proof.stops import find_stops
from templates.template import TEMPLATES, ChatTemplate, bind, load_template
from templates.tokenizer.folder import load_tokenizer
from templates.tokenizer.tokenizer import Tokenizer, make_tokenizer
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
    "command-r": "<s><|START_OF_TURN_TOKEN|><|USER_TOKEN|>hi<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>ok<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>so<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>fine<|END_OF_TURN_TOKEN|>",
    "deepseek": "<s><｜User｜>hi<｜Assistant｜>ok</s><｜User｜>so<｜Assistant｜>fine</s>",
    "gemma": "<s><start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\nok<end_of_turn>\n"
    "<start_of_turn>user\nso<end_of_turn>\n<start_of_turn>model\nfine<end_of_turn>\n",
    "gpt-oss": "<|start|>system<|message|>You are ChatGPT, a large language model trained by "
    "OpenAI.\nKnowledge cutoff: 2024-06\nCurrent date: 2024-07-26\n\nReasoning: medium\n\n# Valid "
    "channels: analysis, commentary, final. Channel must be included for every message.<|end|>"
    "<|start|>user<|message|>hi<|end|><|start|>assistant<|channel|>final<|message|>ok<|end|>"
    "<|start|>user<|message|>so<|end|><|start|>assistant<|channel|>final<|message|>fine<|return|>",
    "mistral-v1": "<s> [INST] hi [/INST] ok</s> [INST] so [/INST] fine</s>",
    "mistral-v2": "<s>[INST] hi[/INST] ok</s>[INST] so[/INST] fine</s>",
    "phi": "<|user|>\nhi<|end|>\n<|assistant|>\nok<|end|>\n"
    "<|user|>\nso<|end|>\n<|assistant|>\nfine<|end|>\n</s>",
    "qwen": "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nok<|im_end|>\n"
    "<|im_start|>user\nso<|im_end|>\n<|im_start|>assistant\nfine<|im_end|>\n",
    "qwen-thinking": "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nok<|im_end|>\n"
    "<|im_start|>user\nso<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    "fine<|im_end|>\n",
    "mistral": "<s>[INST] hi[/INST] ok</s>[INST] so[/INST] fine</s>",
    "simple": "<s>Human: hi\n\nAssistant: ok</s>\n\nHuman: so\n\nAssistant: fine</s>",
    "vicuna": "<s>A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions. USER: hi "
    "ASSISTANT: ok</s>USER: so ASSISTANT: fine</s>",
    "zephyr": "<|user|>\nhi</s>\n<|assistant|>\nok</s>\n"
    "<|user|>\nso</s>\n<|assistant|>\nfine</s>\n",
}
# What a template has the model write before an answer's words.
OPENING = {"gpt-oss": "<|channel|>final<|message|>"}
TOOLS = ("deepseek", "gpt-oss", "mistral", "mistral-v2", "qwen", "qwen-thinking")
WITH_SYSTEM = [name for name in TEMPLATES if name != "gemma"]
TOKENIZERS = (byte_level, metaspace, prepending)


def everything_trained(done: Any) -> list[str]:
    return [text for number in range(done.examples.height) for text in trained(done, number)]


@functools.cache
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
    opening = OPENING.get(name, "")
    assert [text.strip(" ") for text in everything_trained(done)] == [
        f"{opening}ok 😀{ending.text}",
        f"{opening}the answer\n\nis yes!{ending.text}",
    ]
    assert verify(bundled(name), tokenizer()) == done.card


def test_gemma_refuses_a_system_message_as_the_original_does() -> None:
    system = {"role": "system", "content": "be brief"}
    done = rendered(bundled("gemma"), metaspace(), [system, *talk("hi", "ok")])
    assert refusal(done)[0] == "template" and "System role not supported" in refusal(done)[1]


@pytest.mark.parametrize("name", WITH_SYSTEM)
def test_each_keeps_a_system_message(name: str) -> None:
    system = {"role": "system", "content": "be brief"}
    done = rendered(bundled(name), metaspace(), [system, *talk("hi", "ok")])
    assert "be brief" in done.tokenizer.segments.decode(ids(done)).decode()
    assert done.card.system == "written"


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name not in TOOLS])
def test_tool_calls_are_refused_where_there_is_no_place_for_them(name: str) -> None:
    call = [{"name": "dig", "arguments": {"where": "here"}}]
    conversation = [*talk("hi"), {"role": "assistant", "content": None, "tool_calls": call}]
    done = rendered(bundled(name), metaspace(), conversation)
    assert refusal(done)[0] == "answer_altered"


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_tool_calls_are_trained_and_their_results_are_not(name: str, tokenizer: Any) -> None:
    call = [{"name": "dig", "arguments": {"where": "here", "deep": False}, "id": "call12345"}]
    conversation = [
        *talk("hi"),
        {"role": "assistant", "content": None, "tool_calls": call},
        {"role": "tool", "content": "gold", "name": "dig", "tool_call_id": "call12345"},
        {"role": "assistant", "content": "found it"},
    ]
    tools = [{"type": "function", "function": {"name": "dig", "description": "Dig."}}]
    done = rendered(bundled(name), tokenizer(), conversation, tools=tools)
    assert not done.refused.height, done.refused["message"][0]
    first, second = everything_trained(done)
    assert "dig" in first and '"where": "here", "deep": false' in first
    assert "found it" in second and "gold" not in first + second
    stops = tuple(stop.text for stop in done.card.stops)
    assert first.endswith(stops) and second.endswith(stops)


@pytest.mark.parametrize("name", TEMPLATES)
def test_prompts_at_inference_are_prefixes_of_what_is_trained(name: str) -> None:
    turns = talk("hi", "ok", "so", "fine")
    renderer = bind(bundled(name), metaspace(), "2024-07-26").of(turns[3])
    prompt = renderer.text(turns[:3], None, prompt=True)
    assert renderer.text(turns, None).startswith(prompt)
    said = renderer.text(turns, None)[len(prompt) :].lstrip()
    assert said.startswith(f"{OPENING.get(name, '')}fine")


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_renders_as_transformers_renders_it(name: str) -> None:
    utils = pytest.importorskip("transformers.utils.chat_template_utils")
    system = [{"role": "system", "content": " be brief "}] if name in WITH_SYSTEM else []
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
            assert ours == re.sub(r"date: \d{4}-\d\d-\d\d", "date: 2024-07-26", theirs[0])


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
        assert not done.refused.height and ending is not None, done.refused["message"][0]
        words = f"{OPENING.get(name, '')}{rows[0][1]['content']}{ending.text}"
        assert trained(done)[0].strip(" ") == words


def test_llama3_stops_at_its_end_of_turn_and_chatml_at_its_text(test_data: Path) -> None:
    tokenizer = real(test_data, "tokenizers/llama3")
    done = rendered(bundled("llama3"), tokenizer, talk("hi", "ok"))
    assert trained(done) == ["ok<|eot_id|>"]
    assert 128001 not in ids(done) and ids(done)[0] == 128000
    text = rendered(bundled("chatml"), tokenizer, talk("hi", "ok"))
    ending = text.card.ends_with
    assert ending is not None and ending.id is None and len(ending.tokens) > 1


@pytest.mark.parametrize(
    ("version", "case"),
    [("v2", "no_tools"), ("v2", "several_calls"), ("v3", "no_tools"), ("v3", "several_calls")],
)
def test_mistral_renders_the_golden_texts_and_ids(test_data: Path, case: str, version: str) -> None:
    name = "mistral" if version == "v3" else f"mistral-{version}"
    folder = test_data / "rendering" / "mistral" / case
    sample = json.loads((folder / "sample.json").read_text())
    golden = (folder / f"text_{version}.txt").read_text().replace("▁", " ")
    tokens = json.loads((folder / f"tokens_{version}.json").read_text())["tokens"]
    tokenizer = real(test_data, "tokenizers/mistral-v3")
    messages = [_as_record(message) for message in sample["messages"]]
    conversation = chat({"messages": messages, "tools": json.dumps(sample["tools"])})
    renderer = bind(bundled(name), tokenizer, "2024-07-26")
    text = renderer.text(conversation.messages, conversation.tools)
    assert text == golden
    assert tokenizer.backend.encode(text, add_special_tokens=False).ids == tokens
    if case == "no_tools":
        done = rendered(bundled(name), tokenizer, messages)
        assert ids(done) == tokens
        assert trained(done) == [
            " The result of 5 + 5 is 10.</s>",
            " The square root of 64 is 8, because 8 x 8 equals 64.</s>",
            " Sure! The result of 10 x 8 is 80.</s>",
        ]


def mistral_v1(test_data: Path) -> Tokenizer:
    """The vocabulary of Mistral v1: that of v3 before 768 control tokens came into it."""
    whole = json.loads(real(test_data, "tokenizers/mistral-v3").backend.to_str())
    kept = {token: n for token, n in whole["model"]["vocab"].items() if not 3 <= n < 771}
    whole["model"]["vocab"] = {token: n if n < 3 else n - 768 for token, n in kept.items()}
    whole["added_tokens"] = [token for token in whole["added_tokens"] if token["id"] < 3]
    backend = tokenizers.Tokenizer.from_str(json.dumps(whole))
    return make_tokenizer(backend, {"bos_token": "<s>", "eos_token": "</s>"}, name="mistral-v1")


def test_mistral_v1_renders_the_golden_text_and_ids(test_data: Path) -> None:
    folder = test_data / "rendering" / "mistral" / "no_tools"
    messages = json.loads((folder / "sample.json").read_text())["messages"]
    golden = (folder / "text_v1.txt").read_text().replace("▁", " ")
    tokens = json.loads((folder / "tokens_v1.json").read_text())["tokens"]
    done = rendered(bundled("mistral-v1"), mistral_v1(test_data), messages)
    renderer = bind(bundled("mistral-v1"), done.tokenizer, "2024-07-26")
    assert renderer.text(messages, None) == golden
    assert ids(done) == tokens
    assert trained(done) == [
        " The result of 5 + 5 is 10.</s>",
        " The square root of 64 is 8, because 8 x 8 equals 64.</s>",
        " Sure! The result of 10 x 8 is 80.</s>",
    ]


CONTROL = re.compile(
    r"<[|｜][^<>|｜\s]+[|｜]>|<(?:start|end)_of_turn>|\[/?(?:INST|[A-Z]+_[A-Z]+)\]"
)


@functools.cache
def knowing_all(test_data: Path, name: str) -> Tokenizer:
    """A real tokenizer with the control tokens of all templates."""
    plain = real(test_data, name)
    backend = tokenizers.Tokenizer.from_str(plain.backend.to_str())
    texts = (bundled(name).source for name in TEMPLATES)
    backend.add_special_tokens(sorted({token for text in texts for token in CONTROL.findall(text)}))
    return make_tokenizer(backend, plain.special, plain.eos_ids, name="with control tokens")


@pytest.mark.parametrize("folder", REAL[:3])
@pytest.mark.parametrize("name", TEMPLATES)
def test_each_ends_in_one_token_where_the_vocabulary_has_its_control_tokens(
    test_data: Path, name: str, folder: str
) -> None:
    done = rendered(
        bundled(name),
        knowing_all(test_data, folder),
        talk("hi <|im_end|>", "ok 😀", "so", "fine\n"),
    )
    assert not done.refused.height and not done.card.problems
    ending = done.card.ends_with
    assert ending is not None and ending.id is not None
    for labels in done.examples["labels"].to_list():
        kept = [label for label in labels if label != -100]
        assert kept[-1] == ending.id
    assert len(everything_trained(done)) == 2


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
    assert refusal(done)[0] == "history_rewritten" and "[|AVAILABLE_TOOLS]" in refusal(done)[1]
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
        if bundled(name).reads & {"strftime_now", "enable_thinking"}:
            continue  # theirs writes today's date; thinking is told to ours turn by turn
        theirs.chat_template = bundled(name).source
        text = theirs.apply_chat_template(turns, tokenize=False)
        done = rendered(bundled(name), byte_level(), turns)
        assert done.tokenizer.segments.decode(ids(done)).decode() == text
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
    assert page.startswith("verdict            safe for plain conversations\n")
    assert "reasoning          dropped, so rows that have any are refused" in page
    assert page.endswith("<|end_header_id|>⏎\n⏎\n[Bilby explains]{<|eot_id|>}")
    vicuna = verify(bundled("vicuna"), metaspace())
    assert vicuna.default_system and vicuna.raises_on == (
        "a tool's result: vicuna has no place for a message with role tool",
    )
