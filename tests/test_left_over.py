"""What people see of words in no conversation: terminal, page, proposals; runs read again."""

from __future__ import annotations

import json
import shlex
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import curate
from curate.base.spelling import in_a_command
from curate.cli import main
from curate.report import reading
from curate.sources import ReadOptions, read_rows
from tests.reports import Page

ROW = {"question": "What is the sea?", "answer": "Water with salt in it."}
OTHER = {"question": "Who wrote it?", "answer": "A man called Bob did."}
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
WORDS = "some words are here"


def file(
    leftovers: Mapping[str, tuple[int, int]], converted: int, notes: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """What the manifest says of a file."""
    left = {name: {"rows": rows, "words": words} for name, (rows, words) in leftovers.items()}
    return {"converted": converted, "leftovers": left, "notes": notes or {}}


def write(path: Path, rows: Sequence[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("rows", "of", "share"),
    [
        (3, 3, "all rows"),
        (1, 3, "33 % of rows"),
        (1, 250, "under 1 % of rows"),
        (999, 1000, "over 99 % of rows"),
        (995, 1000, "over 99 % of rows"),
        (1, 1, "all rows"),
    ],
)
def test_a_share_is_never_rounded_to_none_or_to_all(rows: int, of: int, share: str) -> None:
    (line,) = reading.sentences([file({"aside": (rows, 2 * rows)}, of)])
    assert line.startswith(f"`aside` ({share}, 2 words on average) is not part")


def test_a_field_of_some_files_is_said_to_be_of_these() -> None:
    files = [file({"aside": (4, 4)}, 4), file({}, 9), file({"aside": (4, 4)}, 4), file({}, 0)]
    (line,) = reading.sentences(files)
    assert line.startswith("`aside` (all rows in 2 of 3 files, 1 word on average) is not part")


def test_a_hundred_files_with_the_same_field_have_one_sentence() -> None:
    (line,) = reading.sentences([file({"aside": (3, 9)}, 3)] * 100)
    assert line.startswith("`aside` (all rows, 3 words on average) is not part")


def test_of_300_fields_six_have_a_sentence_and_one_more_line_names_the_next() -> None:
    lines = reading.sentences([file({f"f{number:03}": (1, 3) for number in range(300)}, 1)])
    assert len(lines) == 7
    assert lines[-1] == (
        "and 294 more fields are not part of any conversation: "
        "`f006`, `f007`, `f008`, `f009`, `f010`, `f011`, ..."
    )


def test_a_seventh_field_has_a_sentence_of_its_own() -> None:
    lines = reading.sentences([file({f"f{number}": (1, 3) for number in range(7)}, 1)])
    assert len(lines) == 7 and lines[-1].startswith("`f6` (all rows")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\u202eb", r"a\u202eb"),
        ("two\nlines", r"two\nlines"),
        ("x" * 10_000, "x" * 60 + " …"),
        ("", "(no name)"),
        ("  ", "(no name)"),
        ("bag.inner", "bag.inner"),
    ],
)
def test_a_name_that_cannot_be_copied_is_shown_on_one_line_and_not_proposed(
    name: str, shown: str
) -> None:
    (line,) = reading.sentences([file({name: (1, 4)}, 1)])
    assert line == f"`{shown}` (all rows, 4 words on average) is not part of any conversation"


@pytest.mark.parametrize(
    "name", ["aside", "side note", "it's", "a=b", " lead", "ключ", "$(rm)", "a\\b", "Context", '"']
)
def test_what_is_proposed_can_be_copied_into_a_shell_and_works(name: str) -> None:
    rows = [{**ROW, name: WORDS}, {**OTHER, name: WORDS}]
    with in_a_command():
        if name == "Context":
            rows = [{"messages": CHAT, name: WORDS}]
        dump = read_rows(rows)
        (line,) = reading.sentences([file(dict.fromkeys(dump.files[0].leftovers, (1, 4)), 1)])
    command = line.partition("; ")[2].removesuffix(" puts it before the question")
    dashes, pair = shlex.split(command)
    known, _, column = pair.partition("=")
    assert dashes == "--map"
    mapped = read_rows(rows, ReadOptions(columns={known: column}))
    assert mapped.records["messages"][0][0]["content"].startswith(f"{WORDS}\n\n")
    assert not mapped.files[0].leftovers


def test_a_mapped_context_is_not_proposed_again_and_fields_keep_their_own_names() -> None:
    row = {"instruction": "Add.", "context": WORDS, "response": "Yes.", "aside": "One and two."}
    run = curate.run([row], steps=["exact"], columns={"context": "aside"})
    assert run.notices[0] == (
        "`context` (all rows, 4 words on average) is not part of any conversation"
    )
    assert set(run.manifest["sources"][0]["leftovers"]) == {"context"}


def test_a_proposal_repeats_the_columns_that_are_mapped_already() -> None:
    row = {"q": "What is the sea?", "a": "Water.", "aside": WORDS}
    run = curate.run([row], steps=["exact"], columns={"prompt": "q", "response": "a"})
    assert run.notices == (
        "`aside` (all rows, 4 words on average) is not part of any conversation; "
        "columns={'prompt': 'q', 'response': 'a', 'context': 'aside'} puts it before the question",
    )


SHAPES: dict[str, dict[str, Any]] = {
    "pair of columns": ROW,
    "alpaca": {"instruction": "Add.", "input": "", "output": "Yes."},
    "messages": {"messages": CHAT},
    "sharegpt": {
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"}]
    },
    "preferences": {"prompt": "Hi", "chosen": "Hello", "rejected": "No."},
    "conversational": {"prompt": CHAT[:1], "completion": CHAT[1:]},
    "transcript": {"text": "Human: Hi\n\nAssistant: Hello"},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("aside", "said"),
    [
        ("told by Bob", "told by Bob"),
        (["told by Bob"], "told by Bob"),
        (["told by Bob", "and by me"], "told by Bob\n\nand by me"),
        ([["by", "Bob"], []], '[["by","Bob"],[]]'),
        ({"by": "Bob"}, '{"by":"Bob"}'),
        ([{"by": "Bob"}, {"by": "me"}], '[{"by":"Bob"},{"by":"me"}]'),
        (5, "5"),
        (True, "true"),
    ],
)
def test_any_value_can_be_mapped_to_the_context_of_any_row(
    shape: str, aside: Any, said: str
) -> None:
    dump = read_rows([{**SHAPES[shape], "aside": aside}], ReadOptions(columns={"context": "aside"}))
    assert said in dump.records["messages"][0][0]["content"]
    assert not dump.files[0].leftovers


def test_a_preview_proposes_no_option_that_it_does_not_have() -> None:
    notices = curate.preview([{**ROW, "aside": WORDS}], template="chatml").notices
    assert notices == ("`aside` (all rows, 4 words on average) is not part of any conversation",)


def test_a_run_says_what_is_left_over_first_and_quiet_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = write(tmp_path / "dump.jsonl", [{**ROW, "side note": WORDS}])
    assert main(["run", dump, "--out", str(tmp_path / "RUN")]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == (
        "`side note` (all rows, 4 words on average) is not part of any conversation; "
        "--map 'context=side note' puts it before the question"
    )
    assert main(["run", dump, "--out", str(tmp_path / "QUIET"), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_long_lists_of_fields_do_not_flood_the_log() -> None:
    lines: list[str] = []
    row = {**ROW, "x\ny" * 5_000: "", **{f"field_{number}": number for number in range(300)}}
    curate.run([row], steps=["exact"], log=lines.append)
    (about,) = [line for line in lines if line.startswith("<rows>")]
    assert len(about) < 500 and "\n" not in about


def test_inspect_tells_what_is_left_over_from_what_was_assumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"question": "What is 2 and 3?", "answer": "5", "solution": "Count on: 5.", "b": WORDS}
    dump = write(tmp_path / "dump.jsonl", [row])
    assert main(["inspect", dump]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith(("left over: `b`", "note: `solution`"))] == [
        "left over: `b` (all rows, 4 words on average) is not part of any conversation; "
        "--map context=b puts it before the question",
        "note: `solution` is the answer to train on; the bare `answer` is in it, or follows "
        "(1 row)",
    ]
    assert main(["inspect", dump, "--map", "context=b", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reading"]["columns"] == {"context": "b"}
    assert found["files"][0]["leftovers"] == {}


def test_the_page_lists_names_of_strangers_safely_and_ends(tmp_path: Path) -> None:
    hostile = {"<script>alert(1)</script>": WORDS, "\x1b[31mred": WORDS, "\nl": WORDS, "": WORDS}
    many = {f"field_{number:03}": WORDS for number in range(100)}
    run = curate.run([{**ROW, **hostile, **many, "X" * 10_000: WORDS}], steps=["exact"])
    source = run.report(tmp_path / "page.html").read_text("utf-8")
    section = source[source.index('<section id="left-over">') :]
    section = section[: section.index("</section>")]
    assert "<script" not in section and "\x1b" not in section and len(section) < 30_000
    text = Page(section).text
    assert "<script>alert(1)</script>" in text and r"\x1b[31mred" in text and r"\nl" in text
    assert "(no name)" in text and "X" * 60 + " …" in text
    assert "and 45 more fields, in manifest.json." in text


def test_the_page_of_an_older_run_needs_no_account(tmp_path: Path) -> None:
    run = curate.run([{**ROW, "aside": WORDS}], steps=["exact"], out=tmp_path / "RUN")
    path = tmp_path / "RUN" / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    for source in manifest["sources"]:
        for name in ("converted", "leftovers", "notes"):
            del source[name]
    path.write_text(json.dumps(manifest), "utf-8")
    page = curate.open(tmp_path / "RUN").report(tmp_path / "page.html").read_text("utf-8")
    assert "Left over in reading" not in page and run.counts["kept"] == 1


CALL = {"id": "c1", "function": {"name": "get", "arguments": '{"n": 12345678901234567890123}'}}
TOOL = {"type": "function", "function": {"name": "get", "parameters": {"type": "object"}}}
MESSY: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "user", "content": "What is it?"},
            {"role": "assistant", "content": "", "tool_calls": [CALL], "weight": 0},
            {"role": "tool", "tool_call_id": "c1", "content": "5"},
            {"role": "assistant", "content": "It is 5.", "reasoning_content": "The tool says so."},
        ],
        "tools": [TOOL],
        "category": "sums",
        "score": 3.5,
        "aside": 'words "in" quotes\nand on lines',
    },
    {"prompt": "A colour?", "chosen": "Blue is one.", "rejected": "I will not say.", "score": 2},
    {**ROW, "meta": {"title": "a title of some words"}, "id": "abc", "tools": "none", "row": 7},
    {**OTHER, "source": "a letter", "line": 3, "rejected reasons": [WORDS]},
]


def records(run: Any) -> list[dict[str, Any]]:
    """What a run kept, without what says where it came from."""
    kept = run.kept.drop("row", "source", "line").to_dicts()
    return [{**row, "meta": json.loads(row["meta"])} for row in kept]


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("messy")
    curate.run(write(folder / "dump.jsonl", MESSY), steps=["exact"], out=folder / "RUN")
    return folder / "RUN"


WAYS: dict[str, Any] = {
    "folder": lambda path: path,
    "table": lambda path: path / "kept.parquet",
    "run": curate.open,
    "frame": lambda path: curate.open(path).kept,
    "dicts": lambda path: curate.open(path).to_dicts(),
    "pandas": lambda path: curate.open(path).kept.to_pandas(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_of_a_run_is_the_same_rows_without_a_word(messy: Path, way: str) -> None:
    first = curate.open(messy)
    again = curate.run(WAYS[way](messy), steps=["exact"])
    assert again.notices == () and again.counts["kept"] == 4
    for before, after in zip(records(first), records(again), strict=True):
        given = before.pop("meta")
        found = after.pop("meta")
        assert before == after
        assert {**found, **given} == found  # with id, source and line of the row in the first run
        assert set(found) - set(given) <= {"id", "source", "line"}


def test_the_lines_of_a_run_give_its_conversations_without_a_word(messy: Path) -> None:
    first = curate.open(messy)
    again = curate.run(messy / "kept.jsonl", steps=["exact"])
    assert again.notices == ()
    assert again.kept["id"].to_list() == first.kept["id"].to_list()
    assert again.kept["tools"].equals(first.kept["tools"])
    assert [set(row["meta"]) for row in records(again)] == [{"id"}] * 4


@pytest.mark.parametrize("way", ["folder", "table", "frame"])
def test_meta_does_not_grow_from_run_to_run(messy: Path, way: str) -> None:
    once = curate.run(WAYS[way](messy), steps=["exact"])
    twice = curate.run(WAYS[way](once.path), steps=["exact"])
    assert records(twice) == records(once)


@pytest.mark.parametrize("as_text", [False, True])
def test_what_a_call_is_given_is_no_label(as_text: bool) -> None:
    given = {"subject": "Project Update", "topics": ["sea", "sky"], "more": {"title": "A b"}}
    call = {"name": "send", "arguments": json.dumps(given) if as_text else given}
    asked = {"role": "user", "content": "Send it."}
    row = {"messages": [asked, {"role": "assistant", "content": "", "function_call": call}]}
    assert read_rows([row]).files[0].leftovers == {}
    aside = {**row, "subject": "Project Update"}
    assert set(read_rows([aside]).files[0].leftovers) == {"subject"}


def test_what_somebody_added_to_a_row_of_a_run_is_left_over(messy: Path) -> None:
    rows = [{**row, "critique": "not so good"} for row in curate.open(messy).to_dicts()]
    again = curate.run(rows, steps=["exact"])
    assert again.manifest["sources"][0]["leftovers"] == {"critique": {"rows": 4, "words": 12}}


@pytest.mark.parametrize("scores", [{"reward": 2.5}, [{"step": "reward", "score": 2.5}]])
def test_the_scores_of_a_step_stay_with_the_row(scores: Any) -> None:
    row = {"id": "1", "messages": CHAT, "source": "a", "line": 1, "scores": scores}
    assert json.loads(read_rows([row]).records["meta"][0])["scores"] == {"reward": 2.5}


def test_a_row_of_a_stranger_with_such_names_keeps_its_words() -> None:
    row = {"id": "1", "messages": CHAT, "source": "a", "line": 1, "meta": "told by my father"}
    dump = read_rows([row])
    assert dump.files[0].formats == {"messages": 1} and "meta" in dump.files[0].leftovers


def test_numbers_of_any_size_come_back_from_the_lines_of_a_run(messy: Path) -> None:
    call = curate.open(messy).to_dicts()[0]["messages"][1]["tool_calls"][0]
    assert call["function"]["arguments"] == {"n": 12345678901234567890123}


READINGS: dict[str, dict[str, Any]] = {
    "columns": {"columns": {"prompt": "q", "response": "a", "context": "aside"}},
    "undesirable": {"columns": {"prompt": "q", "response": "a"}, "undesirable": True},
}


@pytest.mark.parametrize("how", READINGS)
def test_the_manifest_says_how_to_read_again(tmp_path: Path, how: str) -> None:
    rows = [{"q": f"What is {n}?", "a": f"It is {n}.", "aside": WORDS, "label": n} for n in (0, 1)]
    dump = write(tmp_path / "dump.jsonl", rows)
    made = {"recipe": "default", "out": tmp_path / "RUN", **READINGS[how]}
    run = curate.run(dump, **made)
    again = curate.open(tmp_path / "RUN").with_settings({"near.threshold": 0.9})
    assert again.kept.equals(run.kept) and again.counts == run.counts
    assert again.manifest["reading"] == run.manifest["reading"]


def test_files_of_an_archive_are_read_again(tmp_path: Path) -> None:
    packed = tmp_path / "dump.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.jsonl", json.dumps(ROW))
        archive.writestr("b.jsonl", json.dumps(OTHER))
    run = curate.run(packed, recipe="default", out=tmp_path / "RUN")
    again = curate.open(tmp_path / "RUN").with_settings({"near.threshold": 0.9})
    assert again.kept.equals(run.kept)


def test_the_account_is_the_same_with_one_process_or_two_and_alone_or_among_many(
    tmp_path: Path,
) -> None:
    names = [
        write(tmp_path / f"{n}.jsonl", [{**ROW, "n": n, "aside": f"{WORDS} {n}"}]) for n in range(3)
    ]
    runs = [curate.run(names, steps=["exact"], workers=n).manifest["sources"] for n in (1, 2)]
    alone = [curate.run(name, steps=["exact"]).manifest["sources"][0] for name in names]
    assert runs[0] == runs[1] == alone


def test_null_fields_of_a_stranger_s_table_are_still_said(tmp_path: Path) -> None:
    rows = [{"messages": CHAT}, {"messages": [CHAT[0], {**CHAT[1], "note": WORDS}]}]
    pl.DataFrame(rows).write_parquet(tmp_path / "t.parquet")
    run = curate.run(tmp_path / "t.parquet", steps=[])
    assert any("empty fields of objects in `messages`" in line for line in run.notices)
