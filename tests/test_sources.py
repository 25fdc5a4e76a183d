from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from curate.base.errors import CurateError
from curate.base.schema import content_id
from curate.sources import Dump, ReadOptions, read
from curate.sources.shared.convert import REJECTS


def written(folder: Path, name: str, *rows: Any) -> str:
    path = folder / name
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return str(path)


def one(dump: Dump) -> dict[str, Any]:
    assert dump.records.height == 1, dump.rejects["reason"].to_list()
    return dump.records.row(0, named=True)


def said(dump: Dump, row: int = 0) -> list[tuple[str, str]]:
    turns = dump.records["messages"][row].to_list()
    return [(turn["role"], turn["content"]) for turn in turns]


ALPACA = {"instruction": "Add.", "input": "1 and 2", "output": "3"}
DOLLY = {"instruction": "Add.", "context": "1 and 2", "response": "3", "category": "math"}
SHAREGPT = {
    "id": "x1",
    "conversations": [
        {"from": "human", "value": "Add.\n\n1 and 2"},
        {"from": "gpt", "value": "3"},
    ],
}
MESSAGES = {
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Add.\n\n1 and 2"}]},
        {"role": "assistant", "content": "3"},
    ]
}
PAIR = {"prompt": "Add.\n\n1 and 2", "completion": "3"}


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (ALPACA, "alpaca"),
        (DOLLY, "dolly"),
        (SHAREGPT, "sharegpt"),
        (MESSAGES, "messages"),
        (PAIR, "prompt-completion"),
    ],
)
def test_each_format_is_recognised_and_gives_the_same_conversation(
    tmp_path: Path, row: dict[str, Any], name: str
) -> None:
    dump = read([written(tmp_path, "dump.jsonl", row)])
    assert dump.files[0].formats == {name: 1}
    assert said(dump) == [("user", "Add.\n\n1 and 2"), ("assistant", "3")]
    plain = read([written(tmp_path, "plain.jsonl", ALPACA)])
    assert one(dump)["id"] == one(plain)["id"]


def test_fields_that_no_column_takes_are_kept_in_meta(tmp_path: Path) -> None:
    row = {**ALPACA, "text": "joined", "stars": [1, {"a": None}]}
    record = one(read([written(tmp_path, "dump.jsonl", row)]))
    assert json.loads(record["meta"]) == {"text": "joined", "stars": [1, {"a": None}]}


def test_scores_and_categories_under_their_usual_names_become_columns(tmp_path: Path) -> None:
    dump = read([written(tmp_path, "a.jsonl", {**ALPACA, "score": 4, "category": "maths"})])
    assert (one(dump)["score"], one(dump)["category"]) == (4.0, "maths")


@pytest.mark.parametrize("empty", ["", None, "<noinput>", "[No Input]", "noinput"])
def test_alpaca_rows_without_input_are_only_their_instruction(
    tmp_path: Path, empty: str | None
) -> None:
    dump = read([written(tmp_path, "dump.jsonl", {**ALPACA, "input": empty})])
    assert said(dump)[0] == ("user", "Add.")


def test_alpaca_system_and_history_come_before_the_instruction(tmp_path: Path) -> None:
    row = {**ALPACA, "system": "Be brief.", "history": [["Hi", "Hello"]]}
    roles = [role for role, _ in said(read([written(tmp_path, "dump.jsonl", row)]))]
    assert roles == ["system", "user", "assistant", "user", "assistant"]


def test_sharegpt_tool_calls_become_calls_of_the_assistant(tmp_path: Path) -> None:
    row = {
        "conversations": [
            {"from": "human", "value": "Weather?"},
            {"from": "function_call", "value": '{"name": "w", "arguments": {"at": "Oslo"}}'},
            {"from": "observation", "value": "rain"},
            {"from": "gpt", "value": "Rain."},
        ],
        "tools": '[{"name": "w", "parameters": {}}]',
    }
    record = one(read([written(tmp_path, "dump.jsonl", row)]))
    call = record["messages"][1]
    assert call["role"] == "assistant"
    assert json.loads(call["tool_calls"]) == [{"name": "w", "arguments": {"at": "Oslo"}}]
    assert record["messages"][2]["role"] == "tool"
    assert json.loads(record["tools"])[0]["function"]["name"] == "w"


def test_openai_tool_calls_with_arguments_as_text_or_object_are_the_same(tmp_path: Path) -> None:
    tool = {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}

    def row(arguments: Any) -> dict[str, Any]:
        call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
        turns = [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ]
        return {"messages": turns, "tools": [tool]}

    dump = read([written(tmp_path, "dump.jsonl", row('{"a": true}'), row({"a": True, "b": None}))])
    assert dump.records["id"].n_unique() == 1
    # `b` is no parameter of the tool: a table invented it.
    (note,) = dump.files[0].notes
    assert note.startswith("null arguments of calls that the tool does not have")


@pytest.mark.parametrize(
    ("control", "weight"),
    [
        ({"weight": 0}, 0.0),
        ({"loss_weight": 1.0}, 1.0),
        ({"train": False}, 0.0),
        ({"masked": True}, 0.0),
        ({"trainable": True, "masked": False}, 1.0),
        ({}, None),
    ],
)
def test_loss_controls_under_all_their_names_are_one_weight(
    tmp_path: Path, control: dict[str, Any], weight: float | None
) -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", **control}]
    record = one(read([written(tmp_path, "dump.jsonl", {"messages": turns})]))
    assert record["messages"][1]["weight"] == weight


# One malformed row per reject slug: the file, the line and the reason must be told.
MALFORMED: dict[str, str] = {
    "invalid_json": '{"instruction": "half a li',
    "not_an_object": '["a", "list"]',
    "unknown_shape": '{"colour": "blue"}',
    "no_answer": '{"instruction": "Only a prompt."}',
    "empty_conversation": '{"messages": []}',
    "unknown_role": '{"messages": [{"role": "narrator", "content": "x"}]}',
    "wrong_type": '{"instruction": "Is it?", "output": true}',
    "no_preference": '{"instruction":"x","output_1":"a","output_2":"b","preference":null}',
    "no_text": '{"messages": [{"role": "assistant", "words": "I said this."}]}',
    "partial_loss": '{"instruction": "x", "output": "a", "loss_mask": [0, 1, 1]}',
    "undesirable": '{"prompt":"x","completion":"a","label":false}',
    "several_people": '{"requester_id":null,"comments":[{"author_id":1,"body":"x"},'
    '{"author_id":2,"body":"y"}]}',
    "orphan": '{"message_id":"m","parent_id":"gone","text":"x","role":"assistant"}',
}


@pytest.mark.parametrize("slug", MALFORMED)
def test_a_malformed_line_is_a_reject_with_file_line_reason_and_text(
    tmp_path: Path, slug: str
) -> None:
    path = tmp_path / "dump.jsonl"
    path.write_text(json.dumps(ALPACA) + "\n\n" + MALFORMED[slug] + "\n" + json.dumps(ALPACA))
    dump = read([str(path)])
    assert (dump.read, dump.records.height) == (3, 2)
    source, line, reason, raw = dump.rejects.row(0)
    assert (source, line) == (path.as_posix(), 3)
    assert reason.startswith(f"{slug}: ")
    assert MALFORMED[slug].replace(" ", "").strip("{}") in raw.replace(" ", "")


def test_bytes_that_are_not_utf8_are_a_reject_that_can_be_recovered(tmp_path: Path) -> None:
    path = tmp_path / "dump.jsonl"
    path.write_bytes(b'{"prompt": "\xff", "completion": "x"}\n' + json.dumps(PAIR).encode())
    dump = read([str(path)])
    assert dump.records.height == 1
    assert dump.rejects["reason"][0].startswith("invalid_utf8: ")
    assert "\\xff" in dump.rejects["raw"][0]


def test_every_reject_slug_has_a_test() -> None:
    elsewhere = {"invalid_utf8", "invalid_csv", "invalid_yaml", "damaged", "unreadable_file"}
    assert set(REJECTS) == {*MALFORMED, *elsewhere}


def test_loss_controls_that_disagree_are_a_reject(tmp_path: Path) -> None:
    turn = {"role": "assistant", "content": "a", "train": True, "weight": 0}
    dump = read([written(tmp_path, "dump.jsonl", {"messages": [turn]})])
    assert "disagree: weight=0, train=1" in dump.rejects["reason"][0]


def test_a_broken_element_of_an_array_does_not_take_its_neighbours(tmp_path: Path) -> None:
    good = json.dumps(ALPACA)
    path = tmp_path / "dump.json"
    path.write_text(f'[\n{good},\n{{"instruction": oops}},\n{good},\n{good},\n]')
    dump = read([str(path)])
    assert dump.records["line"].to_list() == [2, 4, 5]
    assert dump.rejects.row(0)[1] == 3
    assert dump.rejects["raw"][0] == '{"instruction": oops}'


def test_an_array_cut_off_in_the_middle_keeps_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "dump.json"
    path.write_text(json.dumps([ALPACA, ALPACA], indent=1)[:-20])
    dump = read([str(path)])
    assert (dump.records.height, dump.rejects.height) == (1, 1)
    assert "the file ends with it, and any row behind it is lost" in dump.rejects["reason"][0]


def test_an_array_cut_off_between_two_rows_says_that_rows_are_lost(tmp_path: Path) -> None:
    path = tmp_path / "dump.json"
    path.write_text(json.dumps([ALPACA, ALPACA], indent=1)[: -len("\n]")] + ",\n")
    dump = read([str(path)])
    assert (dump.records.height, dump.rejects.height) == (2, 1)
    assert "the array is never closed; what followed it is lost" in dump.rejects["reason"][0]


KINDS: dict[str, Callable[[list[dict[str, Any]], Path], Any]] = {
    "a.json": lambda rows, path: path.write_text(json.dumps(rows)),
    "pretty.json": lambda rows, path: path.write_text(json.dumps(rows, indent=2)),
    "inside.json": lambda rows, path: path.write_text(json.dumps({"v": 1, "data": rows})),
    "deep.json": lambda rows, path: path.write_text(json.dumps({"data": rows}, indent=2)),
    "named.json": lambda rows, path: path.write_text(json.dumps(dict(enumerate(rows)))),
    "a.jsonl": lambda rows, path: path.write_text("\n".join(map(json.dumps, rows))),
    "a.ndjson": lambda rows, path: path.write_text("\n".join(map(json.dumps, rows)) + "\n"),
    "crlf.jsonl": lambda rows, path: path.write_text("\r\n".join(map(json.dumps, rows))),
    "a.jsonl.gz": lambda rows, path: path.write_bytes(gzip.compress(lines_of(rows))),
    "a.jsonl.zst": lambda rows, path: path.write_bytes(zstandard.compress(lines_of(rows))),
    "utf16.jsonl": lambda rows, path: path.write_text(lines_of(rows).decode(), "utf-16"),
    "bom.json": lambda rows, path: path.write_text(json.dumps(rows), "utf-8-sig"),
    "comma.json": lambda rows, path: path.write_text(json.dumps(rows)[:-1] + ",]"),
    "a.parquet": lambda rows, path: pl.DataFrame(rows).write_parquet(path),
    "a.arrow": lambda rows, path: pl.DataFrame(rows).write_ipc(path),
    "stream.arrow": lambda rows, path: pl.DataFrame(rows).write_ipc_stream(path),
    "a.csv": lambda rows, path: pl.DataFrame(rows).write_csv(path),
    "a.tsv": lambda rows, path: pl.DataFrame(rows).write_csv(path, separator="\t"),
    "a.yaml": lambda rows, path: path.write_text(yaml.safe_dump(rows, allow_unicode=True)),
}


def lines_of(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


@pytest.mark.parametrize("name", KINDS)
def test_the_same_rows_read_the_same_from_every_kind_of_file(tmp_path: Path, name: str) -> None:
    rows = [ALPACA, {**ALPACA, "output": 'four,\n"lines" é 🙂'}]
    KINDS[name](rows, tmp_path / name)
    dump = read([str(tmp_path / name)])
    expected = read([written(tmp_path, "expected.jsonl", *rows)])
    assert dump.records["id"].to_list() == expected.records["id"].to_list()
    assert dump.rejects.height == 0


def test_a_folder_of_a_saved_dataset_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list([ALPACA, ALPACA]).save_to_disk(tmp_path / "one")
    splits = {"train": datasets.Dataset.from_list([ALPACA])}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "splits")
    assert read([str(tmp_path / "one")]).records.height == 2
    assert (
        read([str(tmp_path / "splits")])
        .files[0]
        .source.endswith("splits/train/data-00000-of-00001.arrow")
    )


def test_a_glob_and_standard_input_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "b.jsonl", ALPACA)
    written(tmp_path, "a.jsonl", ALPACA)
    names = [Path(file.source).name for file in read([str(tmp_path / "*.jsonl")]).files]
    assert names == ["a.jsonl", "b.jsonl"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines_of([ALPACA]))))
    dump = read(["-"])
    assert (dump.records["source"][0], dump.records.height) == ("-", 1)


def test_a_table_row_that_does_not_fit_its_header_is_a_reject(tmp_path: Path) -> None:
    path = tmp_path / "dump.csv"
    path.write_text('prompt,completion\na,"b\nc"\nonly one\nd,e\nf,"never closed\nlast')
    dump = read([str(path)])
    assert dump.records["line"].to_list() == [2, 5]
    assert [line for _, line, _, _ in dump.rejects.iter_rows()] == [4, 6]
    assert all(reason.startswith("invalid_csv: ") for reason in dump.rejects["reason"])
    assert dump.rejects["raw"][1] == 'f,"never closed\nlast'


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_compressed_file_that_breaks_off_keeps_its_whole_lines(
    tmp_path: Path, suffix: str
) -> None:
    lines = lines_of([{**ALPACA, "n": hashlib.sha256(bytes([n])).hexdigest()} for n in range(200)])
    packed = gzip.compress(lines) if suffix == "gz" else zstandard.compress(lines)
    path = tmp_path / f"dump.jsonl.{suffix}"
    path.write_bytes(packed[: len(packed) * 3 // 4] if suffix == "gz" else packed)
    if suffix == "zst":
        path.write_bytes(packed + packed[:40])
    dump = read([str(path)])
    assert dump.records.height > 100
    assert dump.rejects["reason"][-1].startswith("damaged: ")


def test_one_unreadable_file_among_several_does_not_cost_the_others(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    dump = read([str(tmp_path / "empty.jsonl"), written(tmp_path, "good.jsonl", ALPACA)])
    assert dump.records.height == 1
    assert dump.rejects["reason"].to_list() == [
        f"unreadable_file: {(tmp_path / 'empty.jsonl').as_posix()}: the file is empty (0 bytes)"
    ]
    assert dump.rejects["raw"].to_list() == [""]  # there is no row to show


def test_a_mapped_column_that_no_row_has_is_an_error_with_those_there_are(tmp_path: Path) -> None:
    files = [written(tmp_path, name, {"question": "Q?", "reply_text": "A."}) for name in "ab"]
    with pytest.raises(
        CurateError,
        match=r"a, .*/b: no row has a field 'reply', which is mapped to "
        r"response; there are question, reply_text; did you mean 'reply_text'\?$",
    ):
        read(files, ReadOptions(columns={"response": "reply"}))
    with pytest.raises(CurateError, match="mapped to two fields"):
        ReadOptions(columns={"response": "reply", "output": "reply"})


def test_a_score_that_is_no_number_stays_in_the_meta_of_its_row(tmp_path: Path) -> None:
    scores = [3, "n/a", 1e301, None] * 8  # enough rows to be taken together
    rows = [{"instruction": "Q?", "output": "A.", "score": score, "n": 1} for score in scores]
    records = read([written(tmp_path, "a.jsonl", *rows)]).records
    assert records["score"].to_list() == [3.0, None, None, None] * 8
    metas = [json.loads(meta) for meta in records["meta"]]
    left = [{"n": 1}, *({"score": score, "n": 1} for score in scores[1:4])]
    assert metas == left * 8


def test_a_named_format_and_mapped_columns_replace_detection(tmp_path: Path) -> None:
    path = written(tmp_path, "dump.jsonl", {"ask": "Add.", "reply": "3"}, {"ask": "Add."})
    dump = read([path], ReadOptions(columns={"prompt": "ask", "response": "reply"}))
    assert said(dump) == [("user", "Add."), ("assistant", "3")]
    assert "no field 'reply', which is mapped to response" in dump.rejects["reason"][0]
    forced = read([written(tmp_path, "alpaca.jsonl", ALPACA)], ReadOptions(format="dolly"))
    assert "format dolly does not have the fields" in forced.rejects["reason"][0]
    with pytest.raises(CurateError, match="no format 'alpcaa'; did you mean 'alpaca'"):
        ReadOptions(format="alpcaa")


def test_a_very_long_line_is_one_row(tmp_path: Path) -> None:
    long = {**ALPACA, "output": "word " * 2_000_000}
    dump = read([written(tmp_path, "dump.jsonl", long, ALPACA)])
    assert dump.records["messages"].list.get(1).struct.field(
        "content"
    ).str.len_chars().to_list() == [
        10_000_000,
        1,
    ]


def test_byte_order_marks_carriage_returns_and_nan_are_read(tmp_path: Path) -> None:
    path = tmp_path / "dump.jsonl"
    lines = [json.dumps(ALPACA), json.dumps({**ALPACA, "score": float("nan")})]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    dump = read([str(path)])
    assert dump.records["score"].to_list() == [None, None]


def test_a_file_that_mixes_formats_says_so(tmp_path: Path) -> None:
    dump = read([written(tmp_path, "dump.jsonl", ALPACA, SHAREGPT, ALPACA)])
    assert dump.files[0].evidence() == (
        "alpaca (2 rows; fields instruction, input, output),"
        " sharegpt (1 rows; fields id, conversations)"
    )


def test_folders_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    written(tmp_path, "b.jsonl", ALPACA)
    written(tmp_path, "a.json", SHAREGPT)
    (tmp_path / "notes.txt").write_text("not a dump")
    assert [Path(file.source).name for file in read([str(tmp_path)]).files] == ["a.json", "b.jsonl"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b" \n\n", "white space"), (b"\x1f\x8b\x08broken", "gzip data is damaged")],
)
def test_files_without_rows_are_clear_errors(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "dump.jsonl"
    path.write_bytes(content)
    with pytest.raises(CurateError, match=f"dump.jsonl: .*{message}"):
        read([str(path)])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match=r"nowhere\.json: no such file"):
        read([str(tmp_path / "nowhere.json")])


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_any_text_survives_reading(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("dump")
    rows = [
        {"messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]}
        for a, b in pairs
    ]
    dump = read([written(folder, "dump.jsonl", *rows)])
    found = [tuple(text for _, text in said(dump, row)) for row in range(len(pairs))]
    assert found == pairs


def test_rows_taken_together_read_exactly_as_rows_taken_one_by_one(
    test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [str(test_data / folder) for folder in ("raw", "preference", "eval")]
    together = read(names)
    monkeypatch.setattr("curate.sources.reader.PLAIN_FROM", 10**9)
    alone = read(names)
    assert together.records.equals(alone.records)
    assert together.rejects.equals(alone.rejects)
    assert together.files == alone.files


@pytest.mark.parametrize(
    "odd",
    [
        {"instruction": "Human: Hi\nAssistant:", "input": "", "output": "x"},
        {"instruction": "Add.", "input": "<noinput>", "output": "x"},
        {"instruction": " ", "input": "", "output": "x"},
        {"instruction": "Add.", "input": None, "output": "x"},
        {"instruction": "Add.", "input": "", "output": False},
    ],
)
def test_an_odd_row_among_many_plain_ones_is_read_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: dict[str, Any]
) -> None:
    path = written(tmp_path, "dump.jsonl", *[ALPACA] * 40, odd, *[ALPACA] * 40)
    together = read([path])
    monkeypatch.setattr("curate.sources.reader.PLAIN_FROM", 10**9)
    alone = read([path])
    assert together.records.equals(alone.records)
    assert together.rejects.equals(alone.rejects)


@pytest.mark.parametrize(
    "text", ['"]],[["', '\\"]],[["user","', "]],null]", '"', "\\", "\u2028\x00é"]
)
def test_ids_of_many_rows_are_those_of_each_whatever_the_text_holds(
    tmp_path: Path, text: str
) -> None:
    rows = [{"instruction": f"{text}{number}", "output": text} for number in range(20)]
    read_together = read([written(tmp_path, "dump.jsonl", *rows)]).records
    assert read_together["id"].to_list() == [
        content_id(
            [
                {"role": "user", "content": f"{text}{number}"},
                {"role": "assistant", "content": text},
            ]
        )
        for number in range(20)
    ]
