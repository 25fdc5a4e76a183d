"""A tokenizer with several templates: each row uses the one that transformers would use."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import templates
from curate.base.errors import CurateError
from templates.options import RenderOptions
from templates.tokens.rendered import Rendered
from tests.templates_toys import CHATML, byte_level, records, refusal, talk, trained

TOOLS = [{"type": "function", "function": {"name": "dig", "parameters": {"type": "object"}}}]
# Fails where there are no tools to go through, as those that write their schemas do.
TOOL_USE = "{% for t in tools %}[{{ t.function.name }}]{% endfor %}" + CHATML
FAILS = "{{ raise_exception('never') }}"


def done(named: dict[str, str], given: pl.DataFrame, name: str | None = None) -> Rendered:
    tokenizer = dataclasses.replace(byte_level(), chat_templates=named)
    chosen = templates.load_template(name, tokenizer)
    return templates.render(given, chosen, tokenizer, RenderOptions())


def rows(*tools: Any) -> pl.DataFrame:
    """A question and an answer for each set of tools."""
    frames = [records(talk("hi", "ok"), tools=one) for one in tools]
    return pl.concat(frames).with_columns(row=pl.int_range(len(frames), dtype=pl.UInt32))


def texts(made: Rendered) -> list[str]:
    decode = made.tokenizer.backend.decode
    return [decode(ids, skip_special_tokens=False) for ids in made.examples["input_ids"].to_list()]


def test_rows_with_tools_use_tool_use_and_others_the_default() -> None:
    made = done({"default": CHATML, "tool_use": TOOL_USE}, rows(None, TOOLS, None))
    assert [text.startswith("[dig]") for text in texts(made)] == [False, True, False]
    assert made.tool_card is not None and made.tool_card.template == "tokenizer:tool_use"


def test_a_template_that_cannot_do_without_tools_is_probed_with_one() -> None:
    made = done({"default": FAILS, "tool_use": TOOL_USE}, rows(TOOLS, TOOLS))
    assert trained(made, 1) == ["ok<|im_end|>"]
    assert made.card.template == "tokenizer:tool_use" and made.card == made.tool_card
    assert any(shape.startswith("no tools: ") for shape in made.card.raises_on)


def test_a_template_that_no_row_needs_refuses_no_row() -> None:
    made = done({"default": CHATML, "tool_use": FAILS}, rows(None, None))
    assert made.examples.height == 2 and made.tool_card is None
    assert not made.refused.height


def test_a_template_that_cannot_be_used_refuses_its_own_rows() -> None:
    made = done({"default": CHATML, "tool_use": FAILS}, rows(None, TOOLS))
    assert made.examples["row"].to_list() == [0]
    check, message = refusal(made)
    assert check == "template" and "tokenizer:tool_use" in message and "never" in message


def test_where_no_template_can_be_used_the_error_is_the_first_ones() -> None:
    with pytest.raises(CurateError, match=r"template tokenizer: it cannot render .* never"):
        done({"default": FAILS, "tool_use": FAILS}, rows(None, TOOLS))


def test_rows_with_tools_need_no_default() -> None:
    made = done({"tool_use": TOOL_USE, "rag": CHATML}, rows(TOOLS, None))
    assert made.examples["row"].to_list() == [0]
    check, message = refusal(made)
    assert check == "template" and "for conversations with tools alone" in message


def test_a_template_is_only_used_by_name_if_transformers_does_so_too() -> None:
    with pytest.raises(CurateError, match="tokenizer:rag"):
        done({"rag": CHATML}, rows(None))
    assert done({"rag": CHATML}, rows(None), "tokenizer:rag").examples.height == 1


def test_an_empty_list_of_tools_is_none() -> None:
    given = rows(TOOLS, TOOLS).with_columns(tools=pl.Series(["[]", " [ ] "]))
    made = done({"default": CHATML, "tool_use": FAILS}, given)
    assert made.examples.height == 2


def test_stops_are_those_of_the_templates_in_use() -> None:
    ends = CHATML.replace("<|im_end|>\\n", "<|eos|>\\n")
    made = done({"default": CHATML, "tool_use": ends}, rows(None, TOOLS))
    assert [trained(made, number) for number in (0, 1)] == [["ok<|im_end|>"], ["ok<|eos|>"]]
    known = made.tokenizer.backend.token_to_id
    assert templates.manifest_of(made)["stop"]["ids"] == sorted(
        map(known, ("<|eos|>", "<|im_end|>"))
    )


def test_the_rows_are_the_same_without_the_fast_path() -> None:
    tokenizer = dataclasses.replace(
        byte_level(), chat_templates={"default": CHATML, "tool_use": TOOL_USE}
    )
    chosen, given = templates.load_template(None, tokenizer), rows(None, TOOLS, None, TOOLS, None)
    fast, plain = (
        templates.render(given, chosen, tokenizer, RenderOptions(), fast) for fast in (True, False)
    )
    assert fast.examples.equals(plain.examples) and fast.counts == plain.counts


BROKEN = "{% if %}"


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        ({"default": CHATML, "tool_use": BROKEN}, [0]),
        ({"default": BROKEN, "tool_use": TOOL_USE}, [1]),
    ],
)
def test_a_template_that_cannot_be_read_refuses_its_own_rows(
    named: dict[str, str], kept: list[int]
) -> None:
    made = done(named, rows(None, TOOLS))
    assert made.examples["row"].to_list() == kept
    assert "Expected an expression" in refusal(made)[1]


def test_a_configuration_may_name_templates_as_an_object(tmp_path: Path) -> None:
    shutil.copytree("sample_data/tiny-base", tmp_path / "base")
    place = tmp_path / "base" / "tokenizer_config.json"
    config = json.loads(place.read_text())
    config["chat_template"] = {"default": CHATML, "tool_use": TOOL_USE}
    place.write_text(json.dumps(config))
    (tmp_path / "base" / "chat_template.jinja").unlink(missing_ok=True)
    assert (
        templates.load_tokenizer(str(tmp_path / "base")).chat_templates == config["chat_template"]
    )
