"""Axolotl 0.19: its `chat_template` reader, by the rules that stand in each test."""

from __future__ import annotations

import json
from pathlib import Path

from tests.export_rows import (
    CALL,
    NAMED,
    PLAIN,
    REASONING,
    SYSTEM,
    TWO_TURNS,
    WEATHER,
    WEIGHTED,
    config,
    data,
    exported,
    left_out,
    without_nulls,
)


def test_messages_have_the_fields_of_the_set_and_nulls_where_they_have_none(tmp_path: Path) -> None:
    # It drops nulls of any depth before a template sees a message (remove_none_values).
    done = exported(tmp_path, "axolotl", [*PLAIN, SYSTEM, REASONING, NAMED])
    rows = data(done)
    assert set(rows[0]["messages"][0]) == {"role", "content", "reasoning_content", "name"}
    read = [without_nulls(one["messages"]) for one in rows]
    assert read == [one["messages"] for one in (*PLAIN, SYSTEM, REASONING, NAMED)]
    assert "tools" not in rows[0] and left_out(done) == []


def test_arguments_and_tools_are_json_texts_that_it_parses(tmp_path: Path) -> None:
    # json.loads of tools fails for an empty text; an empty list is no tools.
    rows = data(exported(tmp_path, "axolotl", [CALL, *PLAIN]))
    (call,) = rows[0]["messages"][1]["tool_calls"]
    assert call["id"] == "c1" and call["type"] == "function"
    assert call["function"]["name"] == "weather"
    assert json.loads(call["function"]["arguments"]) == {
        "city": "Rome",
        "days": 12345678901234567890,
    }
    assert rows[0]["messages"][2]["tool_call_id"] == "c1"
    assert json.loads(rows[0]["tools"]) == [WEATHER] and json.loads(rows[1]["tools"]) == []


def test_only_answers_of_weight_0_are_marked(tmp_path: Path) -> None:
    # `train` overrules the role where it is not null: true would train a question.
    done = exported(tmp_path, "axolotl", [WEIGHTED, *PLAIN])
    (reader,) = config(done, "axolotl.yaml")["datasets"]
    assert reader["message_field_training"] == "train"
    rows = data(done)
    assert [one["train"] for one in rows[0]["messages"]] == [None, False, None, None]
    assert {one["train"] for one in rows[1]["messages"]} == {None}
    assert "weight" not in rows[0]["messages"][0]


def test_the_reader_is_given_every_field_of_a_message(tmp_path: Path) -> None:
    # Of others it gives a template those that it finds in a loop over `message`: reasoning and
    # calls got lost with templates that call their messages otherwise.
    done = exported(tmp_path, "axolotl", [CALL, REASONING, NAMED])
    (reader,) = config(done, "axolotl.yaml")["datasets"]
    fields = set(data(done)[0]["messages"][0])
    assert reader["message_property_mappings"] == {name: name for name in fields}
    assert {"reasoning_content", "tool_calls", "tool_call_id", "name"} < fields
    assert reader["field_tools"] == "tools" and reader["type"] == "chat_template"
    assert reader["roles_to_train"] == ["assistant"] and reader["train_on_eos"] == "turn"
    assert "message_field_training" not in reader


def test_no_row_is_dropped_in_silence(tmp_path: Path) -> None:
    # excess_length_strategy: drop (the default), truncate or raise.
    settings = config(exported(tmp_path, "axolotl", [TWO_TURNS]), "axolotl.yaml")
    assert settings["excess_length_strategy"] == "raise"
    assert settings["sequence_len"] == 2048 and settings["sample_packing"] is False
    assert settings["chat_template"] == "tokenizer_default"


def test_what_axolotl_prepared_of_other_data_is_not_taken(tmp_path: Path) -> None:
    # It finds prepared data by a hash of the configuration, which has the file's name only.
    names = {
        config(exported(tmp_path, "axolotl", rows, force=True), "axolotl.yaml")[
            "dataset_prepared_path"
        ]
        for rows in (PLAIN, PLAIN, [TWO_TURNS])
    }
    assert len(names) == 2
