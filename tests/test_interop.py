"""What readers of other tools ask of our files; `benchmarks/interop.py` runs those readers.

Every rule names the reader that has it. The odd rows are the last ones, behind more rows than a
reader looks at before it decides on columns and types.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
import yaml

import curate

ROOT = Path(__file__).resolve().parent.parent
Rows = list[dict[str, Any]]

PLAIN: Rows = [
    {
        "messages": [
            {"role": "user", "content": f"When is high water on day {n}?"},
            {"role": "assistant", "content": f"At {n} minutes past six."},
        ]
    }
    for n in range(120)
]
PLAIN[-1]["messages"][1]["content"] = "At six. " * 1_000  # longer than a small block
TIDE = {
    "type": "function",
    "function": {
        "name": "tide",
        "description": "High water of a day.",
        "parameters": {"type": "object", "properties": {"day": {"type": "string"}}},
    },
}


def calling(number: int, arguments: dict[str, Any]) -> dict[str, Any]:
    call = {"name": "tide", "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {
        "messages": [
            {"role": "user", "content": f"High water, please ({number})."},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": f"call_{number}", "type": "function", "function": call}],
            },
            {"role": "tool", "content": "06:10", "name": "tide", "tool_call_id": f"call_{number}"},
            {"role": "assistant", "content": f"At ten past six ({number})."},
        ],
        "tools": [TIDE],
    }


VALUES: list[Any] = [
    "Monday",
    7,
    2.5,
    None,
    [1, "a"],
    {"at": [True]},
    {},
    2**60,
    "10",
    "é\u2028\u0000",
]
BEYOND = 10**40  # no reader of JSON takes it as a number
FILES: dict[str, Rows] = {
    "a-plain": PLAIN,
    "b-calls": [calling(n, {"day": value}) for n, value in enumerate([*VALUES, BEYOND])],
    "c-about": [
        {"instruction": "Name a tide.", "output": "Neap.", "score": 4.5, "category": "short"},
        {"instruction": "Name a wind.", "output": "Föhn.", "url": "https://example.org"},
    ],
    "d-thought": [
        {
            "messages": [
                {"role": "user", "content": "Is it high now?", "name": "anna"},
                {"role": "assistant", "content": "No.", "reasoning_content": "It is noon."},
            ]
        }
    ],
    "e-weights": [
        {
            "messages": [
                {"role": "user", "content": "And then?"},
                {"role": "assistant", "content": "Never mind.", "weight": 0},
                {"role": "user", "content": "And then, please?"},
                {"role": "assistant", "content": "It falls.", "weight": 1},
            ]
        }
    ],
    "f-sides": [{"prompt": "How high?", "chosen": "Two metres.", "rejected": "High."}],
    "g-uneven": [
        {
            "messages": [
                {"role": "user", "content": "Hello."},
                {"role": "user", "content": "Anyone?"},
                {"role": "assistant", "content": "Yes."},
            ]
        }
    ],
}


def json_lines(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


class Made(NamedTuple):
    """A run of the mixed set, its tokens, and the exports by target."""

    run: Path
    tokens: Path
    exports: dict[str, Path]

    @property
    def lines(self) -> Rows:
        return json_lines(self.run / "kept.jsonl")

    @property
    def records(self) -> pl.DataFrame:
        return pl.read_parquet(self.run / "kept.parquet")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    home = tmp_path_factory.mktemp("interop")
    dumps = [home / f"{name}.jsonl" for name in FILES]
    for path, rows in zip(dumps, FILES.values(), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    run, tokens = home / "run", home / "tokens"
    curate.run(dumps, steps=["exact", "length"], out=run, cache=False)
    curate.render(run, template="qwen", tokenizer=ROOT / "sample_data" / "tiny-base", out=tokens)
    exports = {}
    for source in (run, tokens):
        for target in ("trl", "axolotl", "llamafactory", "hub"):
            exports[f"{source.name} {target}"] = home / f"{source.name}-{target}"
            curate.export(source, to=target, out=home / f"{source.name}-{target}")
    return Made(run, tokens, exports)


def calls_of(messages: Any) -> list[tuple[str, Any]]:
    """Name and arguments of every call, whether they are lists or JSON text."""
    found = []
    for message in messages:
        calls = message.get("tool_calls")
        for call in (json.loads(calls) if calls else []) if isinstance(calls, str) else calls or ():
            inner = call.get("function", call)
            given = inner["arguments"]
            found.append((inner["name"], json.loads(given) if isinstance(given, str) else given))
    return found


def kinds(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every place of a JSON value with the kind of what is there."""
    yield path, type(value).__name__
    if isinstance(value, dict):
        for name, child in value.items():
            yield from kinds(child, f"{path}.{name}")
    if isinstance(value, list):
        for child in value:
            yield from kinds(child, f"{path}[]")


def test_the_odd_rows_are_kept_and_come_last(made: Made) -> None:
    assert made.records.height == sum(map(len, FILES.values()))
    assert calls_of(made.records["messages"].to_list()[len(PLAIN) + 10]) == [
        ("tide", {"day": BEYOND})
    ]


def test_every_place_in_the_lines_has_one_kind_and_no_null(made: Made) -> None:
    """datasets, polars and pandas fix types by the first rows or the first block."""
    seen: dict[str, set[str]] = {}
    for line in made.lines:
        for path, kind in kinds(line):
            seen.setdefault(path, set()).add(kind)
    assert {path: found for path, found in seen.items() if len(found) > 1} == {}
    assert not any("NoneType" in found for found in seen.values())


def test_every_line_and_every_message_has_the_same_fields(made: Made) -> None:
    assert len({tuple(line) for line in made.lines}) == 1
    assert len({tuple(message) for line in made.lines for message in line["messages"]}) == 1


def test_tools_are_json_text_and_an_empty_one_where_there_are_none(made: Made) -> None:
    """TRL and Axolotl parse the text and stop at the empty one: before they train on calls that
    are text, of which templates would write the characters. An export gives them lists."""
    tools = [line["tools"] for line in made.lines]
    assert tools[: len(PLAIN)] == [""] * len(PLAIN)
    assert json.loads(tools[len(PLAIN)]) == [TIDE]


def test_an_absent_call_is_a_text_that_templates_take_for_none(made: Made) -> None:
    messages = [message for line in made.lines for message in line["messages"]]
    texts = {message["tool_calls"] for message in messages if message["role"] != "assistant"}
    assert texts == {""}


@pytest.mark.parametrize("block", [1 << 10, 10 << 20])
def test_datasets_reads_the_lines_in_blocks_of_any_size(
    made: Made, tmp_path: Path, block: int
) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset(
        "json",
        data_files=str(made.run / "kept.jsonl"),
        split="train",
        cache_dir=str(tmp_path),
        chunksize=block,
    )
    assert rows.to_list() == made.lines


def test_polars_reads_the_lines_by_the_types_of_the_first_hundred(made: Made) -> None:
    rows = pl.read_ndjson(made.run / "kept.jsonl", infer_schema_length=100)
    assert rows.to_dicts() == made.lines


def test_pandas_reads_the_lines_in_parts_of_ten(made: Made) -> None:
    pandas = pytest.importorskip("pandas")
    with pandas.read_json(made.run / "kept.jsonl", lines=True, chunksize=10) as parts:
        rows = [row for part in parts for row in part.to_dict("records")]
    assert rows == made.lines


def test_calls_of_the_lines_are_those_that_were_written(made: Made) -> None:
    calls = [call for line in made.lines for call in calls_of(line["messages"])]
    assert calls == [("tide", {"day": value}) for value in [*VALUES, BEYOND]]


def test_the_table_has_one_schema_whatever_the_rows_have(made: Made, tmp_path: Path) -> None:
    curate.run(PLAIN[:2], steps=["exact"], out=tmp_path / "plain", cache=False)
    plain = pl.read_parquet_schema(tmp_path / "plain" / "kept.parquet")
    assert plain == pl.read_parquet_schema(made.run / "kept.parquet")


@pytest.fixture(params=["tokens", "tokens trl", "tokens axolotl", "tokens llamafactory"])
def examples(request: pytest.FixtureRequest, made: Made) -> Rows:
    """Rows of tokens as they are, and as they are exported."""
    datasets = pytest.importorskip("datasets")
    folder = made.tokens if request.param == "tokens" else made.exports[request.param]
    if (folder / "state.json").exists():
        return list(datasets.load_from_disk(str(folder)))
    return pl.read_parquet(folder / "train.parquet").to_dicts()


def test_tokens_hold_what_trainers_read_and_nothing_else(examples: Rows) -> None:
    """Axolotl knows tokens by these columns; the collator of LLaMA-Factory pads every column."""
    assert {tuple(row) for row in examples} == {("input_ids", "labels", "attention_mask")}


def test_the_mask_is_a_one_for_each_token_and_labels_are_ids_or_ignored(examples: Rows) -> None:
    for row in examples:
        assert row["attention_mask"] == [1] * len(row["input_ids"])
        pairs = zip(row["input_ids"], row["labels"], strict=True)
        assert all(label in (token, -100) for token, label in pairs)
        assert any(label != -100 for label in row["labels"])


def test_tokens_are_the_same_in_every_export(made: Made) -> None:
    datasets = pytest.importorskip("datasets")
    ours = datasets.load_from_disk(str(made.tokens))
    for target in ("trl", "axolotl"):
        rows = pl.read_parquet(made.exports[f"tokens {target}"] / "train.parquet")
        for name in ("input_ids", "labels"):
            assert rows[name].to_list() == list(ours[name])


def left_out(folder: Path) -> dict[int, str]:
    path = folder / "left_out.jsonl"
    rows = json_lines(path) if path.exists() else []
    return {row["row"]: row["reason"] for row in rows}


def configuration(folder: Path, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((folder / name).read_text("utf-8"))
    return loaded


@pytest.mark.parametrize("target", ["trl", "axolotl", "llamafactory", "hub"])
def test_every_kept_row_is_exported_or_left_out_with_a_reason(made: Made, target: str) -> None:
    folder = made.exports[f"run {target}"]
    (data,) = sorted(folder.rglob("*.parquet"))
    rows, missing = pl.read_parquet(data), left_out(folder)
    ids = made.records.filter(~pl.col("row").is_in(list(missing)))["id"]
    assert rows["id"].to_list() == ids.to_list()
    assert all(missing.values())


def test_trl_gets_objects_with_no_field_of_another_message(made: Made, tmp_path: Path) -> None:
    """Chat templates ask whether a field is there, so a null is not the same as none."""
    datasets = pytest.importorskip("datasets")
    folder = made.exports["run trl"]
    rows = datasets.load_dataset(
        "parquet",
        data_files=str(folder / "train.parquet"),
        split="train",
        cache_dir=str(tmp_path),
    ).to_list()
    for row in rows:
        for message in row.get("messages") or [*row["prompt"], *row["completion"]]:
            assert None not in message.values()
            assert {"role", "content"} <= set(message)
    called = [call for row in rows for call in calls_of(row["messages"])]
    missing = left_out(folder)
    assert {n: missing[n] for n in missing if n < len(PLAIN) + len(VALUES) + 1} == {
        len(PLAIN) + len(VALUES): "number"
    }
    assert called == [("tide", {"day": value}) for value in VALUES]


def test_trl_gets_tools_as_a_list_or_none(made: Made, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset(
        "parquet",
        data_files=str(made.exports["run trl"] / "train.parquet"),
        split="train",
        cache_dir=str(tmp_path),
    )
    assert rows[0]["tools"] is None
    assert rows[len(PLAIN)]["tools"] == [TIDE]


def test_axolotl_finds_the_columns_that_its_configuration_names(made: Made) -> None:
    folder = made.exports["run axolotl"]
    (reader,) = configuration(folder, "axolotl.yaml")["datasets"]
    rows = pl.read_parquet(folder / "train.parquet")
    assert reader["type"] == "chat_template"
    assert {reader["field_messages"], reader["field_tools"]} <= set(rows.columns)
    assert reader["message_field_training"] in rows["messages"].dtype.inner.to_schema()


def test_axolotl_parses_arguments_and_tools_of_every_row(made: Made) -> None:
    rows = pl.read_parquet(made.exports["run axolotl"] / "train.parquet")
    called = [call for messages in rows["messages"].to_list() for call in calls_of(messages)]
    assert called == [("tide", {"day": value}) for value in [*VALUES, BEYOND]]
    assert all(isinstance(json.loads(text), list) for text in rows["tools"])


def test_axolotl_does_not_train_answers_of_weight_0(made: Made) -> None:
    folder = made.exports["run axolotl"]
    (reader,) = configuration(folder, "axolotl.yaml")["datasets"]
    field = reader["message_field_training"]
    rows = pl.read_parquet(folder / "train.parquet")["messages"].to_list()
    masked = [
        message["content"] for messages in rows for message in messages if message[field] is False
    ]
    assert masked == ["Never mind."]


def converted(folder: Path) -> Iterator[tuple[list[tuple[str, str]], str, str]]:
    """Turns, system prompt and tools of each row, by the columns that `dataset_info.json` names."""
    info = json.loads((folder / "dataset_info.json").read_text("utf-8"))
    (about,) = info.values()
    assert about["formatting"] == "sharegpt"
    names = about["columns"]
    for row in pl.read_parquet(folder / about["file_name"]).iter_rows(named=True):
        turns = [(turn["from"], turn["value"]) for turn in row[names["messages"]]]
        yield turns, row[names["system"]] if "system" in names else "", row[names["tools"]]


def test_llamafactory_gets_questions_and_answers_in_turn(made: Made) -> None:
    """It skips any other row and only warns."""
    for turns, _, _ in converted(made.exports["run llamafactory"]):
        assert len(turns) % 2 == 0
        assert {role for role, _ in turns[::2]} <= {"human", "observation"}
        assert {role for role, _ in turns[1::2]} <= {"gpt", "function_call"}


def test_llamafactory_parses_calls_and_tools(made: Made) -> None:
    calls = []
    for turns, _, tools in converted(made.exports["run llamafactory"]):
        parsed = [json.loads(value) for role, value in turns if role == "function_call"]
        calls += [(call["name"], call["arguments"]) for listed in parsed for call in listed]
        assert tools == "" or json.loads(tools) == [TIDE]
    assert calls == [("tide", {"day": value}) for value in [*VALUES, BEYOND]]


def test_the_folder_for_the_hub_loads_by_its_name_alone(made: Made, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = made.exports["run hub"]
    rows = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path))
    assert rows["id"][:] == made.records["id"].to_list()
    assert yaml.safe_load((folder / "README.md").read_text("utf-8").split("---")[1])["configs"]


# The README's words about other tools; what they claim is tried below.
SENTENCES = (
    "`RUN/kept.jsonl` holds OpenAI messages, one object a line, and loads as it is with "
    "`datasets`, polars and pandas, whichever rows come first.",
    "`TOKENS` loads with `datasets.load_from_disk` and holds the columns that TRL, Axolotl and "
    "LLaMA-Factory train on, and no others.",
    "`curate export RUN --to trl --out DIR` writes what the tool reads and a configuration that it "
    "runs; so do `axolotl` and `llamafactory`, and `hub` writes a dataset card.",
)


def test_what_the_readme_claims_of_other_tools_is_true(made: Made, tmp_path: Path) -> None:
    datasets, pandas = pytest.importorskip("datasets"), pytest.importorskip("pandas")
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert all(sentence in readme for sentence in SENTENCES)
    lines, rows = made.run / "kept.jsonl", made.records.height
    backwards = tmp_path / "backwards.jsonl"
    backwards.write_bytes(b"".join(reversed(lines.read_bytes().splitlines(keepends=True))))
    for path in (lines, backwards):
        loaded = datasets.load_dataset(
            "json", data_files=str(path), split="train", cache_dir=str(tmp_path), chunksize=1 << 12
        )
        assert loaded.num_rows == rows == pl.read_ndjson(path).height
        assert len(pandas.read_json(path, lines=True)) == rows
        assert {"role", "content"} <= set(loaded[0]["messages"][0])
    tokens = datasets.load_from_disk(str(made.tokens))
    assert tokens.column_names == ["input_ids", "labels", "attention_mask"]
    configurations = {"trl": "sft.yaml", "axolotl": "axolotl.yaml", "llamafactory": "sft.yaml"}
    for target, name in configurations.items():
        folder = made.exports[f"run {target}"]
        assert yaml.safe_load((folder / name).read_text("utf-8"))["output_dir"] == "output"
        assert pl.read_parquet(folder / "train.parquet").height > len(PLAIN)
    card = (made.exports["run hub"] / "README.md").read_text("utf-8")
    assert card.startswith("---\n") and "# Dataset card" in card
