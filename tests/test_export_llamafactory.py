"""LLaMA-Factory 0.9.5: its sharegpt reader, by the rules that stand in each test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from tests.export_rows import (
    CALL,
    NAMED,
    PLAIN,
    REASONING,
    SYSTEM,
    TWO_TURNS,
    WEATHER,
    WEIGHTED,
    answer,
    calls,
    config,
    data,
    exported,
    left_out,
    row,
    tool,
    user,
)


def test_turns_have_its_names_and_the_system_prompt_a_column(tmp_path: Path) -> None:
    rows = data(exported(tmp_path, "llamafactory", [SYSTEM, *PLAIN]))
    assert rows[0]["system"] == "Be brief." and rows[1]["system"] == ""
    assert rows[0]["conversations"] == [
        {"from": "human", "value": "Hi."},
        {"from": "gpt", "value": "Hello."},
    ]


def test_a_call_is_a_json_list_and_a_result_an_observation(tmp_path: Path) -> None:
    done = exported(tmp_path, "llamafactory", [CALL, *PLAIN])
    rows = data(done)
    said = rows[0]["conversations"]
    assert [one["from"] for one in said] == ["human", "function_call", "observation", "gpt"]
    assert json.loads(said[1]["value"]) == [
        {"name": "weather", "arguments": {"city": "Rome", "days": 12345678901234567890}}
    ]
    # An empty text is no tools: it is not parsed then.
    assert json.loads(rows[0]["tools"]) == [WEATHER] and rows[1]["tools"] == ""
    assert "ids of calls have no place in this format (1 row)" in done.notes


def test_reasoning_stands_in_tags_as_its_templates_look_for_it(tmp_path: Path) -> None:
    thinks = {**calls({"city": "Bonn"}), "reasoning_content": "I look."}
    call = row(user("Bonn?"), thinks, tool("dry"), answer("Dry."), tools=[WEATHER])
    rows = data(exported(tmp_path, "llamafactory", [REASONING, call]))
    assert rows[0]["conversations"][1]["value"] == "<think>\nI add them.\n</think>\n\nFour."
    value = rows[1]["conversations"][1]["value"]
    assert value.startswith('<think>\nI look.\n</think>\n\n[{"name":"weather"')


BARE = {"type": "function", "function": {"name": "now"}}
ODD = {
    # Questions and results stand at even places, answers and calls at odd ones.
    "order": row(user("a"), user("b"), answer("c")),
    "ends_without_answer": row(user("a"), answer("b"), user("c")),
    # Two results in a row, after two calls.
    "order ": row(
        user("a"), calls({"city": "x"}, {"city": "y"}), tool("1"), tool("2", "c2"), answer("c")
    ),
    "text_beside_call": row(
        user("a"), {**calls({"city": "x"}), "content": "Wait."}, tool("1"), answer("c")
    ),
    # It looks for calls between these in an answer that calls.
    "marks_in_call": row(user("a"), calls({"city": "<tool_call>"}), tool("1"), answer("c")),
    # `{{idx}}` becomes the number of the turn.
    "placeholder": row(user("Write {{idx}}."), answer("It is written.")),
    # Its default format reads `parameters.properties` of every tool.
    "tool_schema": row(user("a"), answer("b"), tools=[BARE]),
    # A system prompt comes first.
    "order  ": row(user("a"), {"role": "system", "content": "s"}, user("c"), answer("d")),
    "weight": WEIGHTED,
}


@pytest.mark.parametrize("reason", ODD)
def test_what_it_would_skip_or_change_is_left_out(tmp_path: Path, reason: str) -> None:
    done = exported(tmp_path, "llamafactory", [TWO_TURNS, ODD[reason]])
    assert left_out(done) == [(1, reason.strip())]
    assert len(data(done)) == 1


def test_where_only_last_answers_are_trained_the_configuration_says_so(tmp_path: Path) -> None:
    done = exported(tmp_path, "llamafactory", [WEIGHTED, *PLAIN])
    assert left_out(done) == [] and config(done, "sft.yaml")["mask_history"] is True
    plain = exported(tmp_path / "plain", "llamafactory", PLAIN)
    assert "mask_history" not in config(plain, "sft.yaml")


def test_the_data_are_registered_by_their_columns(tmp_path: Path) -> None:
    def info(rows: list[dict[str, Any]], name: str) -> dict[str, str]:
        done = exported(tmp_path / name, "llamafactory", rows)
        about = json.loads((done.path / "dataset_info.json").read_text())["curate"]
        assert about["formatting"] == "sharegpt" and about["file_name"] == "train.parquet"
        assert set(about["columns"].values()) <= set(data(done)[0])
        columns: dict[str, str] = about["columns"]
        return columns

    assert info(PLAIN, "plain") == {"messages": "conversations"}
    assert info([SYSTEM, CALL], "all") == {
        "messages": "conversations",
        "system": "system",
        "tools": "tools",
    }


def test_the_configuration_cuts_nothing(tmp_path: Path) -> None:
    # cutoff_len is 2,048 without it, and longer rows are cut in silence.
    long = row(user("Count."), answer("word " * 3_000))
    settings = config(exported(tmp_path, "llamafactory", [long], model="m/m"), "sft.yaml")
    assert settings["cutoff_len"] == 16_384 and settings["dataset_dir"] == "."
    assert settings["dataset"] == "curate" and settings["model_name_or_path"] == "m/m"
    assert settings["stage"] == "sft" and settings["do_train"] is True
    assert "template" not in settings


def test_names_of_speakers_are_counted(tmp_path: Path) -> None:
    done = exported(tmp_path, "llamafactory", [NAMED, *PLAIN])
    assert "names of speakers have no place in this format (1 row)" in done.notes


def test_a_set_of_which_nothing_is_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="no row can be written for this target"):
        exported(tmp_path, "llamafactory", [ODD["order"]])
    assert not (tmp_path / "DIR").exists()
