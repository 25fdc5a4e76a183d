"""TRL 1.16: what its reader makes of rows, and what its configuration says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.exports.export import Exported
from curate.exports.trl import readable_float
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
    exported,
    left_out,
    row,
    tool,
    user,
)


def loaded(done: Exported, cache: Path) -> Any:
    """The rows as `trl sft` loads them."""
    datasets = pytest.importorskip("datasets", minversion="4.7")
    (named,) = config(done, "sft.yaml")["datasets"]
    files = str(done.path / named["data_files"])
    return datasets.load_dataset(
        named["path"], data_files=files, split=named["split"], cache_dir=str(cache)
    )


def test_messages_are_objects_without_fields_of_other_messages(tmp_path: Path) -> None:
    # A template may refuse `tool_calls: null`, and an argument of one call is none of another.
    call = row(
        user("Rome, and 3 days of Oslo?"),
        calls({"city": "Rome"}, {"city": "Oslo", "days": 3}),
        tool("warm"),
        tool("cold", "c2"),
        answer("Warm; cold."),
        tools=[WEATHER],
    )
    rows = loaded(exported(tmp_path, "trl", [*PLAIN, call, TWO_TURNS]), tmp_path / "cache")
    assert rows[0]["messages"] == PLAIN[0]["messages"] and rows[0]["tools"] is None
    messages = rows[3]["messages"]
    arguments = [one["function"]["arguments"] for one in messages[1].pop("tool_calls")]
    assert arguments == [{"city": "Rome"}, {"city": "Oslo", "days": 3}]
    assert messages[1] == {"role": "assistant", "content": ""}
    assert messages[2] == {"role": "tool", "content": "warm", "tool_call_id": "c1"}
    assert rows[3]["tools"] == [WEATHER]


def test_rows_that_train_their_last_message_alone_are_prompt_and_completion(
    tmp_path: Path,
) -> None:
    # TRL trains completions alone where a row has both, whatever the template.
    done = exported(tmp_path, "trl", [*PLAIN, SYSTEM, REASONING, NAMED, WEIGHTED])
    rows = loaded(done, tmp_path / "cache")
    assert rows.column_names == ["id", "prompt", "completion"]
    assert rows[3]["prompt"] == SYSTEM["messages"][:2]
    assert rows[4]["completion"] == REASONING["messages"][1:]
    assert rows[5]["prompt"] == NAMED["messages"][:1]
    # The wrong answer is in the prompt, so it is not trained.
    assert [one["content"] for one in rows[6]["prompt"]] == ["One?", "Wrong.", "Again?"]
    assert "weight" not in rows[6]["prompt"][1]
    assert config(done, "sft.yaml")["assistant_only_loss"] is False
    assert left_out(done) == []


def test_a_row_that_asks_nothing_is_no_prompt_and_completion(tmp_path: Path) -> None:
    done = exported(tmp_path, "trl", [row(answer("Once upon a time.")), *PLAIN])
    assert loaded(done, tmp_path / "cache").column_names == ["id", "messages"]


def test_where_several_answers_are_trained_rows_with_weights_are_left_out(tmp_path: Path) -> None:
    done = exported(tmp_path, "trl", [TWO_TURNS, WEIGHTED, *PLAIN])
    assert left_out(done) == [(1, "weight")]
    assert done.rows == 4 and "left out, weight: 1 row" in done.summary()
    assert "curate.render" in done.summary()
    assert config(done, "sft.yaml")["assistant_only_loss"] is True
    assert loaded(done, tmp_path / "cache").column_names == ["id", "messages"]


def asks(**arguments: Any) -> dict[str, Any]:
    return row(user("Well?"), calls(arguments), tool("ok"), answer("Yes."), tools=[WEATHER])


def test_decimals_are_read_as_they_are(tmp_path: Path) -> None:
    # The reader of `datasets` (ujson) makes 0.30000000000000004 of 0.3.
    written = [{"t": 0.3}, {"t": 2.53, "u": [-112.9634, {"v": 1e-7}]}, {"t": 100.5, "n": 2**63}]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"minimum": 0.7}}}]
    rows = [*(asks(**one) for one in written), {**asks(t=1), "tools": tools}]
    done = exported(tmp_path, "trl", rows)
    read = loaded(done, tmp_path / "cache")
    arguments = [one[1]["tool_calls"][0]["function"]["arguments"] for one in read["messages"]]
    assert arguments == [*written, {"t": 1}] and read[3]["tools"] == tools
    assert left_out(done) == []


def test_a_number_that_its_reader_cannot_read_is_left_out(tmp_path: Path) -> None:
    done = exported(tmp_path, "trl", [asks(n=1), asks(n=2**64), asks(n=1e22)])
    assert left_out(done) == [(1, "number"), (2, "number")]
    assert done.left_out["detail"][0] == "18446744073709551616 cannot be read as it is"


@given(st.floats(allow_nan=False, allow_infinity=False) | st.decimals(-1000, 1000, places=4))
def test_a_decimal_is_written_so_that_ujson_reads_it_exactly(number: Any) -> None:
    reader = pytest.importorskip("datasets.utils.json")
    text = readable_float(float(number))
    assert text is None or reader.ujson_loads(text) == float(number)


def test_the_configuration_has_settings_that_trl_knows(tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    import dataclasses

    done = exported(tmp_path, "trl", PLAIN, model="some/model")
    kinds = (trl.SFTConfig, trl.ModelConfig, trl.ScriptArguments)
    known = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    settings = config(done, "sft.yaml")
    assert set(settings) - known == {"datasets"}  # of its DatasetMixtureConfig
    assert settings["model_name_or_path"] == "some/model"
    assert settings["max_length"] is None  # its default cuts after 1,024 tokens
    assert done.command == "trl sft --config sft.yaml"


def test_without_a_model_the_command_names_the_argument(tmp_path: Path) -> None:
    done = exported(tmp_path, "trl", [CALL])
    assert "model_name_or_path" not in config(done, "sft.yaml")
    assert done.command == "trl sft --config sft.yaml --model_name_or_path MODEL"
