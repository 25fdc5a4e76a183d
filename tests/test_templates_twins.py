"""Others' masks: transformers' own, and the tagged twins of stock templates that trl ships."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from templates.tokenizer import Tokenizer, make_tokenizer
from tests.templates_toys import byte_level, rendered, talk, template, trained

CONTROL = re.compile(r"<[|｜][^<>|｜\s]+[|｜]>|<(?:start|end)_of_turn>")

# Where a twin's tags hold words of the prompt, and which: headers that inference writes, and the
# empty thoughts that the template writes into the prompt of an answer without any.
NO_THOUGHTS = r"'<think>\n\n</think>\n\n'"
HELD = {
    "glm4moe": r"'\n<think></think>'",
    "gptoss": "'<|start|>assistant'",
    "muse_glimmer": "'<|start|>assistant'",
    "nemotron_3_5_lightning": "'<think></think>'",
    "nemotron_3_nano": "'<think></think>'",
    "nemotron_3_super": "'<think></think>'",
    "nemotron_3_ultra": "'<think></think>'",
    "qwen3": NO_THOUGHTS,
    "qwen3_5_nothink": NO_THOUGHTS,
    "qwen3_5_think": NO_THOUGHTS,
    "qwen3_6": NO_THOUGHTS,
    "qwen3_8": NO_THOUGHTS,
}
# Templates for lists of parts, which a plain text is not.
# Their prompt opens a thought that an answer without one does not have: both are refused (I1).
OPENING = ("deepseek_r1_distill", "deepseekv3")
OF_PARTS = ("idefics3", "llava_next", "smolvlm")


def twins() -> list[str]:
    found = importlib.util.find_spec("trl")
    if found is None or not found.submodule_search_locations:
        return []
    folder = Path(found.submodule_search_locations[0]) / "chat_templates"
    names = (path.name.removesuffix("_training.jinja") for path in folder.glob("*_training.jinja"))
    return sorted(name for name in names if (folder / f"{name}.jinja").is_file())


def source(name: str) -> str:
    found = importlib.util.find_spec("trl")
    assert found is not None and found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0]) / "chat_templates"
    return (folder / f"{name}.jinja").read_text("utf-8")


def knowing(text: str) -> Tokenizer:
    """A toy tokenizer that has the control tokens of a template."""
    backend = tokenizers.Tokenizer.from_str(byte_level().backend.to_str())
    backend.add_special_tokens(sorted(set(CONTROL.findall(text)) - {"<|im_start|>", "<|im_end|>"}))
    return make_tokenizer(backend, byte_level().special, name="twin")


@pytest.mark.parametrize("name", twins() or ["none"])
def test_a_stock_template_and_its_tagged_twin_train_the_same_words(name: str) -> None:
    if name == "none":
        pytest.skip("trl is not installed: no stock templates with tagged twins")
    if name in OF_PARTS:
        pytest.skip(f"{name} takes contents as lists of parts only")
    tokenizer = knowing(source(name))
    rows = (talk("hi", "ok 😀"), talk("hi", "ok", "so", "fine"))
    twin = rendered(template(source(f"{name}_training")), tokenizer, *rows)
    if name in HELD:
        assert not twin.examples.height
        for check, message in twin.refused.select("check", "message").rows():
            assert check == "generation" and f"hold the prompt's {HELD[name]}" in message
        return
    stock = rendered(template(source(name)), tokenizer, *rows)
    if name in OPENING:
        checks = twin.refused["check"].to_list() + stock.refused["check"].to_list()
        assert checks == ["I1"] * 4
        return
    assert not twin.refused.height and not stock.refused.height
    assert twin.examples["input_ids"].to_list() == stock.examples["input_ids"].to_list()
    assert twin.examples["labels"].to_list() == stock.examples["labels"].to_list()


def theirs(text: str, turns: list[dict[str, Any]]) -> tuple[list[int], list[int]]:
    """The ids and the mask of transformers."""
    transformers = pytest.importorskip("transformers")
    backend = tokenizers.Tokenizer.from_str(byte_level().backend.to_str())
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, **byte_level().special
    )
    made = tokenizer.apply_chat_template(
        turns, chat_template=text, return_assistant_tokens_mask=True, return_dict=True
    )
    return list(made["input_ids"]), list(made["assistant_masks"])


TAGGED = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{% else %}"
    "{{ m.content + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def ours(text: str, turns: list[dict[str, Any]], **options: Any) -> tuple[list[int], list[int]]:
    done = rendered(text, byte_level(), turns, **options)
    row = done.examples.row(0, named=True)
    return row["input_ids"], [int(label != -100) for label in row["labels"]]


@pytest.mark.parametrize("words", [("hi", "ok"), ("a", "ok 😀 so", "b", "hi\n"), ("hi hi", "hi")])
def test_the_masks_of_transformers_are_ours_where_tags_stand_in_the_open(
    words: tuple[str, ...],
) -> None:
    assert ours(TAGGED, talk(*words)) == theirs(TAGGED, talk(*words))


def test_transformers_loses_bytes_of_a_last_character_and_we_train_them_all() -> None:
    stopless = TAGGED.replace(
        "m.content + '<|im_end|>' }}{% endgeneration %}",
        "m.content }}{% endgeneration %}{{ '<|im_end|>' }}",
    )
    ids, mine = ours(stopless, talk("hi", "ok 😀"), mask="tag")
    same, mask = theirs(stopless, talk("hi", "ok 😀"))
    assert ids == same and sum(mine) == sum(mask) + 3  # an emoji is four tokens here
    kept = [number for number, on in zip(ids, mine, strict=True) if on]
    assert byte_level().pieces.decode(kept).decode() == "ok 😀"


SAID = "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}"


@pytest.mark.parametrize(
    "text",
    [
        f"{{% macro say(m) %}}{SAID}{{% endmacro %}}" + TAGGED.replace(SAID, "{{ say(m) }}"),
        TAGGED.replace(SAID, f"{{% set said %}}{SAID}{{% endset %}}{{{{ said }}}}"),
    ],
)
def test_one_tagged_answer_in_a_macro_or_a_buffer_has_the_same_mask_in_both(text: str) -> None:
    assert ours(text, talk("a cat", "ok")) == theirs(text, talk("a cat", "ok"))
    assert trained(rendered(text, byte_level(), talk("a cat", "ok"))) == ["ok<|im_end|>"]
