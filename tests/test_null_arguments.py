"""Null arguments of calls: kept wherever they can be meant, from the dump to the rendered text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import tokenizers

import curate
from curate.sources import Dump, read, read_rows
from templates import TEMPLATES, load_template
from templates.messages import chat
from templates.options import DATE
from templates.template import bind
from tests.templates_toys import byte_level

USER = {"role": "user", "content": "Clear the label of item 7."}
GIVEN: list[dict[str, Any]] = [
    {"item": 7, "label": None},
    {"item": {"id": None, "of": {"shop": None}}},
    {"items": [7, None, {"label": None}], "label": None},
    {"label": None},
]
DECLARES_ITEM = {"type": "object", "properties": {"item": {"type": "integer"}}}
TOOL = {"name": "set_label", "description": "Sets a label.", "parameters": DECLARES_ITEM}
OPENAI = {"type": "function", "function": TOOL}


def call(arguments: Any, number: int = 1) -> dict[str, Any]:
    inner = {"name": "set_label", "arguments": arguments}
    return {"id": f"abcdefgh{number}", "type": "function", "function": inner}


def calling(*calls: dict[str, Any]) -> list[dict[str, Any]]:
    return [USER, {"role": "assistant", "content": "", "tool_calls": list(calls)}]


def in_text(arguments: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The same call in formats that hold its arguments, or all of it, as text."""
    text = json.dumps(arguments)
    whole = json.dumps({"name": "set_label", "arguments": arguments})
    said = f"<tool_call>\n{whole}\n</tool_call>"
    system = f"<tools>[{json.dumps(OPENAI)}]</tools>"
    return {
        "arguments": {"messages": calling(call(text)), "tools": [OPENAI]},
        "calls": {
            "messages": [USER, {"role": "assistant", "tool_calls": json.dumps([call(arguments)])}],
            "tools": json.dumps([OPENAI]),
        },
        "function_call": {
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "content": None,
                    "function_call": {"name": "set_label", "arguments": text},
                },
            ],
            "functions": [TOOL],
        },
        "sharegpt": {
            "conversations": [
                {"from": "human", "value": "Clear it."},
                {"from": "function_call", "value": whole},
            ],
            "tools": json.dumps([TOOL]),
        },
        "hermes": {
            "conversations": [
                {"from": "system", "value": system},
                {"from": "human", "value": "Clear it."},
                {"from": "gpt", "value": said},
            ]
        },
        "xlam": {"query": "Clear it.", "answers": f"[{whole}]", "tools": json.dumps([TOOL])},
    }


def as_objects(arguments: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The same call in formats that hold its arguments as an object."""
    use = {"type": "tool_use", "id": "t1", "name": "set_label", "input": arguments}
    spoken = {"name": "set_label", "arguments": arguments}
    return {
        "openai": {"messages": calling(call(arguments))},
        "anthropic": {"messages": [USER, {"role": "assistant", "content": [use]}]},
        "sharegpt": {
            "conversations": [
                {"from": "human", "value": "Clear it."},
                {"from": "function_call", "value": spoken},
            ]
        },
    }


def arguments_in(dump: Dump) -> list[Any]:
    """The arguments of all calls that were read, in order."""
    messages = [message for row in dump.records["messages"].to_list() for message in row]
    calls = [json.loads(message["tool_calls"]) for message in messages if message["tool_calls"]]
    return [one["arguments"] for listed in calls for one in listed]


@pytest.mark.parametrize("arguments", GIVEN, ids=json.dumps)
@pytest.mark.parametrize("name", in_text({}))
def test_arguments_in_text_keep_their_nulls_whatever_the_tool_lists(
    tmp_path: Path, name: str, arguments: dict[str, Any]
) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text(json.dumps(in_text(arguments)[name]) + "\n")
    dump = read([str(path)])
    assert arguments_in(dump) == [arguments]
    assert not any("null" in note for note in dump.files[0].notes)


@pytest.mark.parametrize("arguments", GIVEN, ids=json.dumps)
@pytest.mark.parametrize("name", as_objects({}))
@pytest.mark.parametrize("tools", [None, "any", "all"])
def test_objects_of_json_lines_keep_nulls_that_a_tool_may_have(
    tmp_path: Path, name: str, arguments: dict[str, Any], tools: str | None
) -> None:
    named: dict[str, Any] = {key: {} for key in arguments}
    schema: dict[str, Any] = {"type": "object"}
    schema |= {"properties": named} if tools == "all" else {}
    known = {"tools": [{**TOOL, "parameters": schema}]} if tools else {}
    path = tmp_path / "calls.jsonl"
    path.write_text(json.dumps({**as_objects(arguments)[name], **known}) + "\n")
    assert arguments_in(read([str(path)])) == [arguments]


def test_of_two_calls_the_one_in_text_keeps_the_null_that_the_other_loses() -> None:
    calls = call('{"item": 7, "label": null}'), call({"item": 8, "label": None}, 2)
    dump = read_rows([{"messages": calling(*calls), "tools": [OPENAI]}])
    assert arguments_in(dump) == [{"item": 7, "label": None}, {"item": 8}]
    assert "null arguments of calls that the tool does not have are left out" in dump.files[0].notes


def test_keys_that_a_struct_added_go_and_nulls_in_text_beside_them_stay(tmp_path: Path) -> None:
    other = {"id": "abcdefgh2", "type": "function", "function": {"name": "find"}}
    other["function"] = {"name": "find", "arguments": {"text": "red"}}
    rows = [{"messages": calling(call({"item": 7, "deep": {"a": 1}}))}]
    rows += [{"messages": calling(other)}, {"messages": calling(call({"deep": {"b": 2}}))}]
    path = tmp_path / "calls.parquet"
    pl.DataFrame(rows).write_parquet(path)
    expected = [{"item": 7, "deep": {"a": 1}}, {"text": "red"}, {"deep": {"b": 2}}]
    assert arguments_in(read([str(path)])) == expected
    texts = [{"messages": calling(call(json.dumps(one)))} for one in GIVEN]
    pl.DataFrame(texts).write_parquet(path)
    assert arguments_in(read([str(path)])) == GIVEN


@pytest.mark.parametrize("file", ["kept.jsonl", "kept.parquet"])
def test_a_run_gives_its_nulls_on(tmp_path: Path, file: str) -> None:
    rows = [{"messages": calling(call(json.dumps(one))), "tools": [OPENAI]} for one in GIVEN]
    curate.run(rows, steps=["exact"], out=tmp_path / "RUN", cache=False)
    assert arguments_in(read([str(tmp_path / "RUN" / file)])) == GIVEN
    tokens = curate.render(tmp_path / "RUN", template="qwen", tokenizer=byte_level())
    segments = byte_level().segments
    texts = [segments.decode(ids).decode() for ids in tokens.examples["input_ids"].to_list()]
    assert len(texts) == len(GIVEN)
    assert all(json.dumps(one) in text for one, text in zip(GIVEN, texts, strict=True))


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name != "gpt-oss"])
@pytest.mark.parametrize("text", [True, False], ids=["text", "object"])
def test_what_is_rendered_is_what_transformers_renders(name: str, text: bool) -> None:
    transformers = pytest.importorskip("transformers")
    known = byte_level()
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer.from_str(known.backend.to_str()), **known.special
    )
    template = load_template(name, known)
    sets = [*([one] for one in GIVEN), GIVEN[:2]]  # the last one: parallel calls
    written = 0
    for chosen in sets:
        plain = calling(*(call(one, number) for number, one in enumerate(chosen, 1)))
        given = [json.dumps(one) if text else one for one in chosen]
        row = {"messages": calling(*(call(one, number) for number, one in enumerate(given, 1)))}
        (record,) = read_rows([row]).records.to_dicts()
        conversation = chat(record)
        ours = bind(template, known, DATE).text(conversation.messages, conversation.tools)
        assert ours == theirs.apply_chat_template(
            plain, chat_template=template.source, tokenize=False
        )
        written += ours.count("null")
    assert written >= 9 or "set_label" not in ours  # a template that writes calls writes nulls
