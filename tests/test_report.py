"""The page that `curate run` leaves: what stands on it, and that hostile data does it no harm."""

from __future__ import annotations

import doctest
import importlib
import json
import re
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from curate.base.errors import CurateError
from curate.pipeline.run_folder import RunFolder
from curate.pipeline.steps import Step
from curate.report import html, text
from tests.reports import (
    HOSTILE,
    SMALL,
    STEPS,
    EveryRowItsReason,
    Page,
    SameStart,
    Upper,
    Words,
    make,
    page,
    row,
)


def test_the_page_opens_with_how_much_was_read_kept_dropped_and_rejected(tmp_path: Path) -> None:
    shown = page(make(tmp_path, SMALL, *STEPS)).text
    assert "2 of 5 rows kept" in shown
    assert "read 5 kept 2 40.0 % dropped 2 40.0 % rejects 1 20.0 %" in shown


def test_a_drop_is_shown_with_its_text_source_line_score_and_evidence(tmp_path: Path) -> None:
    shown = page(make(tmp_path, SMALL, *STEPS)).text
    example = shown[shown.index("score 25") :]
    assert example.startswith("score 25 evidence sorry dump.jsonl:4 row 2 ")
    assert "Prompt Who are you? Response I am sorry, I cannot say." in example


def test_evidence_is_marked_where_the_text_holds_it(tmp_path: Path) -> None:
    lines = [row("Hi", "word " * 1000 + "sorry " + "word " * 1000)]
    shown = page(make(tmp_path, lines, Step("words", Words())))
    assert "sorry" in shown.marked
    assert "characters before …" in shown.text and "more characters" in shown.text


def test_duplicates_stand_side_by_side_with_the_words_that_differ_marked(tmp_path: Path) -> None:
    shown = page(make(tmp_path, SMALL, *STEPS))
    pair = shown.text[shown.text.index("dropped dump.jsonl:2") :]
    assert "the row it duplicates: kept dump.jsonl:1" in pair
    assert "in a garden" in shown.marked and "as far as one can see" in shown.marked
    assert not any("Water" in marked for marked in shown.marked)


def test_a_duplicate_with_the_same_text_is_not_printed_twice(tmp_path: Path) -> None:
    lines = [row("Who wrote it?", "Nobody knows."), row("Who wrote it?", "Nobody knows.")]
    shown = page(make(tmp_path, lines, Step("start", SameStart()))).text
    assert shown.count("Nobody knows.") == 1
    assert shown.count("(the same text)") == 2


def test_edits_are_shown_by_fix_and_reason_with_the_text_as_it_is_now(tmp_path: Path) -> None:
    lines = [row("How is it?", "Very quiet here."), row("And now?", "Loud.")]
    shown = page(make(tmp_path, lines, Step("upper", Upper()))).text
    assert "2 in 1 edited 0 dropped 2 kept" in shown
    assert "was_quiet 1 50.0 %" in shown
    assert "as edited dump.jsonl:1" in shown
    assert "Very QUIET here." in shown


def test_rejects_are_shown_by_reason_with_line_and_raw_text(tmp_path: Path) -> None:
    shown = page(make(tmp_path, SMALL, *STEPS)).text
    rejects = shown[shown.index("These lines could not be read") :]
    assert "invalid_json 1 20.0 % dump.jsonl:3 invalid_json:" in rejects
    assert "not json" in rejects


def test_provenance_names_recipe_inputs_with_their_hash_and_versions(tmp_path: Path) -> None:
    run = make(tmp_path, SMALL, *STEPS, recipe="seed: 0\nsteps:\n  - start # why not\n")
    shown = page(run).text
    assert "seed: 0 steps: - start # why not" in shown
    assert f"sha256 {run.manifest['sources'][0]['sha256']}" in shown
    assert "4 rows, 1 rejects · prompt-completion 4 (prompt, completion)" in shown
    assert f"polars {pl.__version__}" in shown


def test_a_step_explains_its_reasons_when_the_manifest_does(tmp_path: Path) -> None:
    run = make(tmp_path, SMALL, *STEPS)
    for step in run.manifest["steps"]:
        step["meanings"] = {"bad_word": "the response holds the word"}
    assert "bad_word 1 33.3 % the response holds the word" in page(run).text


def test_markup_in_the_data_stays_text(tmp_path: Path) -> None:
    lines = [
        row(HOSTILE, f"kept {HOSTILE}", category=HOSTILE),
        row("prompt", f"sorry {HOSTILE}", category="other"),
        row("prompt", f"Hello {HOSTILE}"),
        row("prompt", f"Hello again {HOSTILE}"),
        "broken " + HOSTILE,
    ]
    steps = (
        Step(HOSTILE, SameStart()),
        Step("words", Words(word=HOSTILE, reason=HOSTILE)),
        Step("upper", Upper()),
    )
    name = "<script>{{ 1 }}.jsonl"
    shown = page(make(tmp_path, lines, *steps, name=name, recipe=HOSTILE))
    plain = page(make(tmp_path / "plain", SMALL, *STEPS))
    assert set(shown.tags) <= {*plain.tags, "q"}  # q: recurring evidence
    assert shown.tags.count("style") == 1 and "script" not in shown.tags
    assert not [name for _, name, _ in shown.attributes if name.startswith("on")]
    assert shown.text.count(HOSTILE) >= 8


def test_a_record_of_a_megabyte_is_cut_and_says_so(tmp_path: Path) -> None:
    long = "many words " * 100_000
    lines = [
        row("Say much", f"sorry {long}"),
        row("Say more", f"Well {long}"),
        row("Say more", f"Well, {long} indeed"),
        json.dumps({"nothing": long}),
    ]
    run = make(tmp_path, lines, Step("words", Words()), Step("start", SameStart()))
    source = html(run)
    assert len(source) < 100_000
    assert Page(source).text.count("more characters") >= 2


def test_characters_that_cannot_be_seen_are_spelt_out(tmp_path: Path) -> None:
    lines = [row("Look", "sorry \x1b[31m\u202eesrever\x00\u200b")]
    source = html(make(tmp_path, lines, Step("words", Words())))
    assert "\\x1b[31m\\u202eesrever\\x00\\u200b" in source
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u200b\u202a-\u202e]", source)


def test_nothing_is_fetched_and_nothing_runs(tmp_path: Path) -> None:
    shown = page(make(tmp_path, SMALL, *STEPS))
    source = html(RunFolder(tmp_path / "RUN"))
    assert "script" not in shown.tags and "link" not in shown.tags and "img" not in shown.tags
    links = {value for _, name, value in shown.attributes if name in ("href", "src", "xlink:href")}
    assert links and all(link.startswith("#") for link in links)
    assert "@import" not in source and set(re.findall(r"url\([^)]*\)", source)) == {"url(#hatch)"}
    policy = [value for _, name, value in shown.attributes if name == "content"]
    assert any(
        value.startswith("default-src 'none'; style-src 'unsafe-inline'") for value in policy
    )


def test_every_link_of_the_contents_leads_somewhere(tmp_path: Path) -> None:
    shown = page(make(tmp_path, SMALL, *STEPS))
    ids = {value for _, name, value in shown.attributes if name == "id"}
    assert {value[1:] for _, name, value in shown.attributes if name == "href"} <= ids


def test_the_same_input_gives_the_same_page_but_for_the_seconds(tmp_path: Path) -> None:
    pages = []
    for attempt in ("one", "two"):
        run = make(tmp_path / attempt, SMALL, *STEPS)
        run.manifest["sources"][0]["source"] = "dump.jsonl"
        run.manifest["seconds"] = dict.fromkeys(run.manifest["seconds"], 1.5)
        run.ledger = run.ledger.with_columns(source=pl.lit("dump.jsonl"))
        for file in ("kept.parquet", "dropped.parquet"):
            table = pl.read_parquet(run.path / file)
            table.with_columns(source=pl.lit("dump.jsonl")).write_parquet(run.path / file)
        there = (run.path / "rejects.jsonl").read_text("utf-8")
        here = there.replace((tmp_path / attempt / "dump.jsonl").as_posix(), "dump.jsonl")
        (run.path / "rejects.jsonl").write_text(here, "utf-8")
        pages.append(html(run))
    assert pages[0] == pages[1]
    assert "1.50" in pages[0]


def test_thousands_of_reasons_of_one_step_do_not_bloat_the_page(tmp_path: Path) -> None:
    lines = [row("Count", f"Number {at}") for at in range(3000)]
    source = html(make(tmp_path, lines, Step("flood", EveryRowItsReason())))
    assert len(source) < 150_000
    assert "2,987 further reasons" in Page(source).text


@pytest.mark.parametrize(
    ("lines", "steps", "said"),
    [
        (['{"colour": "blue"}'], STEPS, "0 of 1 rows kept"),
        ([row("a", "sorry")], STEPS, "0 of 1 rows kept"),
        ([row("a", "Yes")], STEPS, "1 of 1 rows kept"),
        ([row("a", "Yes")], (), "1 of 1 rows kept"),
        ([row("a", "")], (), "1 of 1 rows kept"),
    ],
)
def test_runs_without_rows_drops_or_steps_have_a_page(
    tmp_path: Path, lines: list[str], steps: tuple[Step, ...], said: str
) -> None:
    run = make(tmp_path, lines, *steps)
    assert said in page(run).text
    assert "1 read = " in text(run)


def test_a_damaged_run_is_said_to_be_damaged(tmp_path: Path) -> None:
    run = make(tmp_path, SMALL, *STEPS)
    dropped = pl.read_parquet(run.path / "dropped.parquet")
    dropped.clear().write_parquet(run.path / "dropped.parquet")
    with pytest.raises(CurateError, match=r"not as curate run wrote it \(KeyError"):
        html(run)
    dropped.drop("messages").write_parquet(run.path / "dropped.parquet")
    with pytest.raises(CurateError, match=r"dropped\.parquet: damaged"):
        html(run)
    dropped.write_parquet(run.path / "dropped.parquet")
    (run.path / "kept.parquet").write_text("no table", "utf-8")
    with pytest.raises(CurateError, match=r"kept\.parquet: damaged"):
        html(run)
    (run.path / "lengths.parquet").write_text("", "utf-8")
    with pytest.raises(CurateError, match=r"lengths\.parquet: damaged"):
        html(RunFolder(run.path))
    (run.path / "lengths.parquet").unlink()
    with pytest.raises(CurateError, match=r"lengths\.parquet: missing, this run is older"):
        html(RunFolder(run.path))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"steps": [{}]}, "KeyError: 'name'"),
        ({"counts": {"read": 5}}, "TypeError: .*StrictUndefined"),
        ({"counts": None}, "TypeError: "),
        ({"recipe": {}}, "TypeError: .*StrictUndefined"),
        ({"sources": [{"source": "dump.jsonl"}]}, "KeyError: "),
    ],
)
def test_a_manifest_with_other_fields_is_said_to_be_damaged(
    tmp_path: Path, change: dict[str, Any], error: str
) -> None:
    run = make(tmp_path, SMALL, *STEPS)
    run.manifest.update(change)
    with pytest.raises(CurateError, match=rf"not as curate run wrote it \({error}"):
        html(run)
    if "steps" in change or "counts" in change:
        with pytest.raises(CurateError, match="not as curate run wrote it"):
            text(run)


def test_a_hundred_thousand_rows_are_counted_in_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path, SMALL, *STEPS)
    copies = 33_333
    shift = pl.DataFrame({"copy": range(copies)}, schema={"copy": pl.UInt32})
    for name in ("kept.parquet", "dropped.parquet"):
        table = pl.read_parquet(run.path / name).join(shift, how="cross")
        table = table.with_columns(pl.col("row") + 4 * pl.col("copy")).drop("copy")
        table.write_parquet(run.path / name)
    ledger = run.ledger.join(shift, how="cross", maintain_order="right_left")
    ledger = ledger.with_columns(pl.col("row", "duplicate_of") + 4 * pl.col("copy"))
    ledger.drop("copy").write_parquet(run.path / "ledger.parquet")
    run.lengths.join(shift, how="cross", maintain_order="right_left").select(
        pl.col("row") + 4 * pl.col("copy"), "kept", "words", "category"
    ).write_parquet(run.path / "lengths.parquet")
    parsed = 0
    loads = orjson.loads

    def counted(line: Any) -> Any:
        nonlocal parsed
        parsed += 1
        return loads(line)

    monkeypatch.setattr(orjson, "loads", counted)
    source = html(run)
    assert parsed < 50
    assert len(source) < 100_000


@pytest.mark.parametrize(
    "name",
    [
        *("report.excerpts", "report.page", "report.run_files"),
        *("base.charts", "base.contract", "base.distances", "base.errors", "base.hub"),
        *("base.settings", "base.terminal", "base.values"),
    ],
)
def test_the_examples_in_the_docstrings_are_true(name: str) -> None:
    tested = doctest.testmod(importlib.import_module(f"curate.{name}"))
    assert tested.attempted and not tested.failed
