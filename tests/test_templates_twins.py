"""Others' masks: the tagged twins of stock templates that trl ships."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from templates.messages import chat
from templates.options import RenderOptions
from templates.proof.chains import prove
from templates.proof.stops import find_stops
from templates.refusals import Refusal
from templates.sandbox.tagging import CLOSE, OPEN, read_marks
from templates.template import ChatTemplate, bind
from templates.tokenizer.tokenizer import Tokenizer, make_tokenizer
from tests.templates_toys import byte_level, talk, template

CONTROL = re.compile(r"<[|｜][^<>|｜\s]+[|｜]>|<(?:start|end)_of_turn>")
EOS = {"cohere2": "<|END_OF_TURN_TOKEN|>"}  # after another token that ends the words

CALL = [{"id": "call12345", "name": "dig", "arguments": {"at": "x"}}]
AT = {"type": "object", "properties": {"at": {"type": "string", "description": "where"}}}
TOOLS = [{"type": "function", "function": {"name": "dig", "description": "Dig.", "parameters": AT}}]
THOUGHT = {"reasoning": "hm"}
OF_PARTS = ("idefics3", "llava_next", "smolvlm")  # templates for lists of parts, not for texts

TALKS: dict[str, list[dict[str, Any]]] = {
    "plain": talk("hi", "ok 😀", "so", "fine"),
    "asked": talk("hi", "ok", "so"),
    "thoughtful": [
        turn | THOUGHT if turn["role"] == "assistant" else turn for turn in talk("a", "b", "c", "d")
    ],
    "tools": [
        *talk("hi"),
        {"role": "assistant", "content": "", "tool_calls": json.dumps(CALL)},
        {"role": "tool", "content": "gold", "name": "dig", "tool_call_id": "call12345"},
        {"role": "assistant", "content": "there"},
    ],
}


# What a twin's tags hold beyond what a model generates after the prompt, each with the reason.
HEADER = "+<|start|>assistant"
OTHER = "another text"
WHY = {
    "+\n": "the line break after the stop: generation has ended, the next header brings it",
    "+\n<|eos|>": "the end of the conversation, after the stop of its last turn",
    HEADER: "the header of the turn, which inference writes",
    "+<think></think>": "empty thoughts, which the prompt of an answer without any holds",
    "+<think>\n\n</think>\n\n": "the same, on lines of their own",
    "+\n<think></think>": "the same, after the line break that the prompt ends a header with",
    "+<think>\n": "the thought's opening, which the prompt of an answer with thoughts holds",
    OTHER: "the twin keeps empty thoughts in the history, where the stock template has none",
}
# An earlier turn as the history has it, which no model generates: ours is an example of its own.
STALE = (
    "+<|start|>assistant<|channel|>final<|message|>ok 😀<|end|>",
    "+<|start|>assistant<|channel|>final<|message|>b<|end|>",
    "+<think></think>b<|im_end|>\n",
    "+<think></think>\nb<|im_end|>\n",
    "+b<turn|>\n",
)
LINE, EMPTY, BLOCK, OPENING = "+\n", "+<think></think>", "+<think>\n\n</think>\n\n", "+<think>\n"
DROPS = (
    "answer_altered",
    "answer_altered",
)  # neither thoughts nor calls have a place in the template
GEMMA = (
    (LINE,),
    "answer_altered",
    "template",
)  # plain, thoughtful, tools: differences, or who refuses
HYBRID_3_5 = ((OTHER, BLOCK, LINE), (OTHER, OPENING, LINE), (BLOCK, LINE))
FOUND: dict[str, tuple[str | tuple[str, ...], ...]] = {
    "cohere": ((), "answer_altered", "template"),
    "cohere2": ((), "answer_altered", "template"),
    "deepseek_r1_distill": (
        "prompt_not_prefix",
        "prompt_not_prefix",
        "prompt_not_prefix",
    ),  # the prompt opens a thought that no answer has
    "deepseekv3": ("prompt_not_prefix", "prompt_not_prefix", "template"),
    "diffusion_gemma": (
        (LINE,),
        (STALE[4], LINE),
        "stop_not_at_end",
    ),  # a call has no end in its template
    "gemma": GEMMA,
    "gemma3": GEMMA,
    "glm4moe": (
        "stop_not_at_end",
        "stop_not_at_end",
        "stop_not_at_end",
    ),  # the next turn's first token is the stop; see below
    "gptoss": ((STALE[0], HEADER), (STALE[1], HEADER), (HEADER,)),
    "lfm2": ((LINE,), *DROPS),
    "lfm2_v2": ((LINE,), "answer_altered", (LINE,)),
    "llama3": ((), *DROPS),
    "muse_glimmer": ((HEADER,), (HEADER,), (HEADER,)),
    "nemotron_3_5_lightning": ((EMPTY, LINE), (STALE[2], OPENING, LINE), (EMPTY, LINE)),
    "nemotron_3_nano": ((EMPTY, LINE), (STALE[3], OPENING, LINE), (EMPTY, LINE)),
    "nemotron_3_super": ((EMPTY, LINE), (STALE[3], OPENING, LINE), (EMPTY, LINE)),
    "nemotron_3_ultra": ((EMPTY, LINE), (STALE[2], OPENING, LINE), (EMPTY, LINE)),
    "phi3": ((LINE, "+\n<|eos|>"), *DROPS),
    "phi3_5": ((LINE, "+\n<|eos|>"), *DROPS),
    "qwen2_5": ((LINE,), "answer_altered", (LINE,)),
    "qwen2_5_vl": ((LINE,), *DROPS),
    "qwen3": ((OTHER, BLOCK, LINE), (OTHER, LINE), (OTHER, BLOCK, LINE)),
    "qwen3_5_nothink": HYBRID_3_5,
    "qwen3_5_think": HYBRID_3_5,
    "qwen3_6": HYBRID_3_5,
    "qwen3_8": ((BLOCK, LINE), (OPENING, LINE), (BLOCK, LINE)),
    "qwen3_instruct_2507": ((LINE,), "answer_altered", (LINE,)),
    "qwen3_vl": ((LINE,), "answer_altered", (LINE,)),
}


def folder() -> Path | None:
    found = importlib.util.find_spec("trl")
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / "chat_templates"


def twins() -> list[str]:
    if (there := folder()) is None:
        return []
    names = (path.name.removesuffix("_training.jinja") for path in there.glob("*_training.jinja"))
    return sorted(name for name in names if (there / f"{name}.jinja").is_file())


def source(name: str) -> str:
    there = folder()
    assert there is not None
    return (there / f"{name}.jinja").read_text("utf-8")


def knowing(name: str) -> Tokenizer:
    """A toy tokenizer that has the control tokens of a template."""
    tokens = sorted(set(CONTROL.findall(source(name))) - {"<|im_start|>", "<|im_end|>"})
    backend = tokenizers.Tokenizer.from_str(byte_level().backend.to_str())
    backend.add_special_tokens(tokens)
    special = dict(byte_level().special)
    special["eos_token"] = EOS.get(name, special["eos_token"])
    return make_tokenizer(backend, special, name="twin")


def difference(ours: list[bool], theirs: list[bool], text: str) -> list[str]:
    """Each stretch that one of two masks has alone: `+` for theirs, `-` for ours."""
    signs = [" +" if b > a else " -" if a > b else "" for a, b in zip(ours, theirs, strict=True)]
    runs = groupby(range(len(text)), key=signs.__getitem__)
    cut = [(sign.strip(), [text[n] for n in places]) for sign, places in runs]
    return [f"{sign}{''.join(stretch)}" for sign, stretch in cut if sign]


@functools.cache
def both(name: str) -> tuple[ChatTemplate, ChatTemplate]:
    return template(source(name)), template(source(f"{name}_training"))


def compare(name: str, kind: str) -> str | tuple[str, ...]:
    """How the tags of a twin differ from what is generated; or the check that refuses the row."""
    tokenizer = knowing(name)
    stock, twin = (bind(one, tokenizer, "2024-07-26") for one in both(name))
    conversation = chat({"messages": TALKS[kind], "tools": json.dumps(TOOLS) * (kind == "tools")})
    messages, tools = conversation.messages, conversation.tools
    try:
        stops = find_stops(stock, tokenizer, ("<|call|>",) if name == "gptoss" else ())
        renders = prove(stock, conversation, stops, RenderOptions(mask="operational"))
    except Refusal as refusal:
        return refusal.check
    for verified in renders:
        for target in verified.trained:  # each turn stands after the prompt of inference
            own, before = stock.of(messages[target.turn]), messages[: target.turn]
            assert verified.text[: target.start] == own.text(before, tools, prompt=True)
    owner = twin.of(messages[conversation.trained[-1]])
    program = owner.template.tagging
    assert program is not None
    marked = program.run(owner.given(messages, tools, False))
    text = marked.replace(OPEN, "").replace(CLOSE, "")
    tags = read_marks(marked, text) or []
    if renders[-1].text == text:
        ours, theirs = [False] * len(text), [False] * len(text)
        for target in renders[-1].trained:
            ours[target.start : target.end] = [True] * (target.end - target.start)
        for low, high in tags:
            theirs[low:high] = [True] * (high - low)
        return tuple(dict.fromkeys(difference(ours, theirs, text)))
    # The twin writes another text: turn by turn, what its tags hold around what is generated.
    around = [OTHER]
    trained = [(verified.text, target) for verified in renders for target in verified.trained]
    for (own, target), (low, high) in zip(trained, tags, strict=True):
        words = own[target.start : target.end]
        before, found, after = text[low:high].partition(words)
        assert found == words
        around += [f"+{segment}" for segment in (before, after) if segment]
    return tuple(dict.fromkeys(around))


@pytest.mark.parametrize("name", twins() or ["none"])
def test_a_tagged_twin_trains_what_is_generated_and_beyond_it_only_what_is_listed(
    name: str,
) -> None:
    if name == "none":
        pytest.skip("trl is not installed: no stock templates with tagged twins")
    if name in OF_PARTS:
        pytest.skip(f"{name} takes contents as lists of parts only")
    kinds = ("plain", "thoughtful", "tools")
    assert tuple(compare(name, kind) for kind in kinds) == FOUND[name]


def test_the_stop_that_the_next_turn_writes_is_in_the_tags_of_both() -> None:
    if not twins():
        pytest.skip("trl is not installed: no stock templates with tagged twins")
    assert compare("glm4moe", "asked") == ("+\n<think></think>",)


def test_every_difference_has_its_reason() -> None:
    found = {text for outcomes in FOUND.values() for told in outcomes for text in told if told}
    words = {text for text in found if text.startswith("+")} | {OTHER, "+\n<think></think>"}
    assert words == set(WHY) | set(STALE)
    assert not any(text.startswith("-") for text in found)  # nothing generated is left out
