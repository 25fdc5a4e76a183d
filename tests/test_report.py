"""What `curate run` leaves for people to read: the page and the terminal's funnel."""

from __future__ import annotations

import doctest
import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import run_folder, sources
from curate.pipeline import Step
from curate.pipeline import run as run_steps
from curate.recipe import Recipe, filter_called
from curate.report import charts, html, moves, spread, text
from curate.report.excerpts import Piece, excerpt, side_by_side
from curate.run_folder import RunFolder
from curate.schema import CurateError, Findings, verdicts


@dataclass(frozen=True)
class Twins:
    """Drops a response that an earlier row begins with the same word."""

    name: ClassVar[str] = "twins"
    reasons: ClassVar[Mapping[str, str]] = {"same_start": "an earlier row begins with this word"}

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        return records.select(word=pl.col("response").str.split(" ").list.first())

    def judge(self, measures: pl.DataFrame) -> pl.DataFrame:
        first = measures.select(pl.col("row").first().over("word")).to_series()
        keep = first == measures["row"]
        reason = ["same_start" if not kept else None for kept in keep]
        twin = [None if kept else row for kept, row in zip(keep, first, strict=True)]
        return verdicts(keep, reason=reason, twin=twin)


@dataclass(frozen=True)
class Words:
    """Drops a response that holds a word, with the word as evidence and its length as score."""

    name: ClassVar[str] = "words"
    reasons: ClassVar[Mapping[str, str]] = {"bad_word": "the response holds the word"}
    word: str = "sorry"
    reason: str = "bad_word"

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        found = pl.col("response").str.contains(self.word, literal=True)
        return records.select(found=found, size=pl.col("response").str.len_chars())

    def judge(self, measures: pl.DataFrame) -> pl.DataFrame:
        found = measures["found"]
        reason = [self.reason if bad else None for bad in found]
        evidence = [self.word if bad else None for bad in found]
        return verdicts(~found, reason=reason, score=measures["size"], evidence=evidence)


@dataclass(frozen=True)
class EveryRowItsReason:
    """Drops every row but the first, each for a reason of its own."""

    name: ClassVar[str] = "flood"
    reasons: ClassVar[Mapping[str, str]] = {}

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        return records.select("line")

    def judge(self, measures: pl.DataFrame) -> pl.DataFrame:
        keep = measures["row"] == 0
        return verdicts(keep, reason=measures.select(pl.format("reason {}", "row")).to_series())


@dataclass(frozen=True)
class Upper:
    """Writes the word `quiet` in capitals."""

    name: ClassVar[str] = "upper"
    reasons: ClassVar[Mapping[str, str]] = {"was_quiet": "the word was in small letters"}

    def fix(self, records: pl.DataFrame) -> pl.DataFrame:
        has = pl.col("response").str.contains("quiet", literal=True)
        contents = pl.element().struct.field("content").str.replace_all("quiet", "QUIET")
        messages = pl.col("messages").list.eval(pl.element().struct.with_fields(content=contents))
        return records.with_columns(
            messages=pl.when(has).then(messages).otherwise("messages"),
            edited=pl.when(has).then(pl.lit("was_quiet")),
        )


def row(prompt: str, response: str, **more: Any) -> str:
    return json.dumps({"prompt": prompt, "completion": response, **more})


def make(
    folder: Path,
    lines: list[str],
    *steps: Step,
    name: str = "dump.jsonl",
    recipe: str = "steps: []",
) -> RunFolder:
    """A run over these lines of one file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    dump = sources.read([str(folder / name)])
    result = run_steps(dump.records, steps)
    run_folder.write(folder / "RUN", dump, result, Recipe("test", 0, steps, recipe))
    return RunFolder(folder / "RUN")


class Page(HTMLParser):
    """The elements, attributes and visible text of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.marked: list[str] = []
        self._open: list[str] = []
        self._text: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._open.append(tag)
        if tag in ("td", "th", "dt", "dd", "span", "a"):
            self._text.append(" ")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self._text.append(data)
        if "mark" in self._open:
            self.marked.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self._text).split())


def page(run: RunFolder) -> Page:
    return Page(html(run))


SMALL = [
    row("What is the sea?", "Water as far as one can see."),
    row("What is a pond?", "Water in a garden."),
    "not json",
    row("Who are you?", "I am sorry, I cannot say."),
    row("And rain?", "Drops of water that fall."),
]
STEPS = (Step("twins", Twins()), Step("words", Words()))


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


def test_twins_stand_side_by_side_with_the_words_that_differ_marked(tmp_path: Path) -> None:
    shown = page(make(tmp_path, SMALL, *STEPS))
    pair = shown.text[shown.text.index("dropped dump.jsonl:2") :]
    assert "its twin, kept dump.jsonl:1" in pair
    assert "in a garden" in shown.marked and "as far as one can see" in shown.marked
    assert not any("Water" in marked for marked in shown.marked)


def test_a_twin_with_the_same_text_is_not_printed_twice(tmp_path: Path) -> None:
    lines = [row("Who wrote it?", "Nobody knows."), row("Who wrote it?", "Nobody knows.")]
    shown = page(make(tmp_path, lines, Step("twins", Twins()))).text
    assert shown.count("Nobody knows.") == 1
    assert shown.count("(word for word the same)") == 2


def test_edits_are_shown_by_fix_and_reason_with_the_text_as_it_is_now(tmp_path: Path) -> None:
    lines = [row("How is it?", "Very quiet here."), row("And now?", "Loud.")]
    shown = page(make(tmp_path, lines, Step("upper", Upper()))).text
    assert "2 in 1 edited 0 dropped 2 kept" in shown
    assert "was_quiet 1 50.0 %" in shown
    assert "as edited dump.jsonl:1" in shown
    assert "Very QUIET here." in shown


def test_rejects_are_shown_by_reason_with_line_and_raw_text(tmp_path: Path) -> None:
    shown = page(make(tmp_path, SMALL, *STEPS)).text
    rejects = shown[shown.index("Lines that could not be read") :]
    assert "invalid_json 1 20.0 % dump.jsonl:3 invalid_json:" in rejects
    assert "not json" in rejects


def test_provenance_names_recipe_inputs_with_their_hash_and_versions(tmp_path: Path) -> None:
    run = make(tmp_path, SMALL, *STEPS, recipe="seed: 0\nsteps:\n  - twins # why not\n")
    shown = page(run).text
    assert "seed: 0 steps: - twins # why not" in shown
    assert f"sha256 {run.manifest['sources'][0]['sha256']}" in shown
    assert "4 rows, 1 rejects · prompt-completion 4 (prompt, completion)" in shown
    assert f"polars {pl.__version__}" in shown


def test_a_step_explains_its_reasons_when_the_manifest_does(tmp_path: Path) -> None:
    run = make(tmp_path, SMALL, *STEPS)
    for step in run.manifest["steps"]:
        step["meanings"] = {"bad_word": "the response holds the word"}
    assert "bad_word 1 33.3 % the response holds the word" in page(run).text


HOSTILE = "</style></script><script>alert(1)</script>{{ 7 * 7 }}{% raw %}\"'><img src=x onerror=a>"


def test_markup_in_the_data_stays_text(tmp_path: Path) -> None:
    lines = [
        row(HOSTILE, f"kept {HOSTILE}", category=HOSTILE),
        row("prompt", f"sorry {HOSTILE}", category="other"),
        row("prompt", f"Hello {HOSTILE}"),
        row("prompt", f"Hello again {HOSTILE}"),
        "broken " + HOSTILE,
    ]
    steps = (
        Step(HOSTILE, Twins()),
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
    run = make(tmp_path, lines, Step("words", Words()), Step("twins", Twins()))
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
    assert "default-src 'none'; style-src 'unsafe-inline'" in policy


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
        for file in ("kept.jsonl", "dropped.jsonl", "rejects.jsonl"):
            there = (run.path / file).read_text("utf-8")
            here = there.replace((tmp_path / attempt / "dump.jsonl").as_posix(), "dump.jsonl")
            (run.path / file).write_text(here, "utf-8")
        pages.append(html(run))
    assert pages[0] == pages[1]
    assert "1.50" in pages[0]


def test_thousands_of_reasons_of_one_step_do_not_bloat_the_page(tmp_path: Path) -> None:
    lines = [row("Count", f"Number {at}") for at in range(3000)]
    source = html(make(tmp_path, lines, Step("flood", EveryRowItsReason())))
    assert len(source) < 150_000
    assert "2,987 further reasons" in Page(source).text


def test_categories_are_counted_when_rows_have_them(tmp_path: Path) -> None:
    lines = [row("a", "sorry", category="poems"), row("b", "Roses", category="poems")]
    with_some = page(make(tmp_path / "some", [*lines, row("c", "Lilies")], Step("words", Words())))
    assert "poems 2 1 50.0 %" in with_some.text and "no category 1 1 100 %" in with_some.text
    without = page(make(tmp_path / "none", SMALL, *STEPS))
    assert "Categories" not in without.text


@dataclass(frozen=True)
class Tells(Words):
    """Words that also finds numbers and sentences."""

    numbers: Mapping[str, Any] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()

    def findings(self, measures: pl.DataFrame, judged: pl.DataFrame) -> Findings:
        return Findings(self.sentences, self.numbers)


def languages(count: int) -> dict[str, Any]:
    named = {f"l{at}": {"rows": 100 - at, "kept": 1} for at in range(count)}
    nothing = {"rows": 0, "kept": 0}
    return {"languages": named, "unsure": {"rows": 3, "kept": 3}, "abstained": nothing}


def test_languages_are_named_with_what_was_kept_of_them(tmp_path: Path) -> None:
    step = Step("tongues", Tells(numbers=languages(2)))
    shown = page(make(tmp_path, SMALL, step)).text
    table = shown[shown.index("As step tongues found them") :]
    assert "l0 100 1 1.0 %" in table and "l1 99 1 1.0 %" in table
    assert "unsure which 3 3 100 %" in table
    assert "too little text" not in table and "more languages" not in table


def test_languages_beyond_thirty_are_counted(tmp_path: Path) -> None:
    shown = page(make(tmp_path, SMALL, Step("tongues", Tells(numbers=languages(33))))).text
    assert "l29 " in shown and "l30 " not in shown
    assert "and 3 more languages" in shown


def test_what_a_step_says_of_the_whole_set_stands_on_the_page(tmp_path: Path) -> None:
    said = ("two rows are <b>odd</b>", HOSTILE)
    shown = page(make(tmp_path, SMALL, Step("words", Tells(sentences=said))))
    assert all(sentence in shown.text for sentence in said)
    assert "b" in shown.tags and "script" not in shown.tags


def lengthy(*sizes: int) -> list[str]:
    texts = ("word " * (size - 1) + "end." for size in sizes)
    return [row(f"Write text {at}", text) for at, text in enumerate(texts)]


def test_lengths_are_shown_per_kind_of_request_with_verdict_and_target(tmp_path: Path) -> None:
    lines = lengthy(*[1, 3, 8, 20, 45, 90, 200, 400] * 20, *[120] * 140)
    cap = Step("cap it", filter_called("length", {"action": "cap", "tau": 0.2}))
    shown = page(make(tmp_path / "cap", lines, cap)).text
    assert "what step cap it found" in shown
    assert "✕ flag before, ✓ pass after" in shown
    assert "a model trained on this stops there whatever the task" in shown
    assert re.search(r"all 300 200 \d+ \d+ 0\.\d{3}", shown)
    assert "write 300" in shown and "target" not in shown[: shown.index("Provenance")]
    match = Step("match", filter_called("length", {"action": "match", "min": 5, "max": 200}))
    shown = page(make(tmp_path / "match", lengthy(*range(5, 201), *[60] * 104), match)).text
    assert "effective sample size" in shown and " median after target KS " in shown


def test_a_verdict_without_drops_has_no_columns_of_afterwards(tmp_path: Path) -> None:
    look = Step("look", filter_called("length", {"action": "report"}))
    shown = page(make(tmp_path, lengthy(*range(5, 105)), look)).text
    assert "Lengths are varied" in shown and "before, " not in shown[shown.index("what step") :]
    assert "How each step moved the lengths" not in shown


def test_every_step_that_dropped_rows_shows_how_it_moved_the_lengths(tmp_path: Path) -> None:
    lines = [row("a", "one"), row("b", "sorry two three"), row("c", "one two three four five")]
    shown = page(make(tmp_path, lines, Step("words", Words()), *STEPS[:1])).text
    moved = shown[shown.index("How each step moved the lengths") :]
    # Three rows of 1, 3 and 5 words; the one of 3 goes, then the second that begins with "one".
    assert "words 3 2 3 3 3.0 3.0 0.167" in moved
    assert "twins 2 1 3 1 3.0 1.0 0.500" in moved


@given(st.lists(st.integers(0, 99), min_size=1), st.lists(st.integers(0, 99), min_size=1))
def test_distances_of_lengths_are_those_of_their_distribution_functions(
    one: list[int], other: list[int]
) -> None:
    points = range(100)
    gaps = [
        abs(sum(x <= at for x in one) / len(one) - sum(x <= at for x in other) / len(other))
        for at in points
    ]
    area = sum(gap * (np.log1p(at + 1) - np.log1p(at)) for at, gap in enumerate(gaps))
    ks, w1 = moves.distances(np.array(one), np.array(other))
    assert ks == pytest.approx(max(gaps)) and w1 == pytest.approx(area)


def test_clusters_of_duplicates_are_counted_and_the_largest_shown(tmp_path: Path) -> None:
    lines = [row("Say it", f"Something very like this, {word}") for word in "aaaabb"]
    lines += [row("Say it", HOSTILE), row("Say it", HOSTILE), row("Say more", "Alone.")]
    step = Step("exact", filter_called("exact", {}))
    shown = page(make(tmp_path, lines, step))
    assert "exact: 8 rows in 3 clusters" in shown.text
    assert "2 of 2 rows 1 of 3 to 5 rows" in shown.text
    assert "4 rows, 1 kept" in shown.text and HOSTILE in shown.text


def test_drop_reasons_are_counted_by_source(tmp_path: Path) -> None:
    shown = page(make(tmp_path, SMALL, *STEPS)).text
    table = shown[shown.index("Drop reasons by source") :]
    assert "dump.jsonl 5 2 40.0 % 1 20.0 % 1 20.0 % 1 20.0 %" in table


@pytest.mark.parametrize(
    ("lines", "steps", "said"),
    [
        (["nothing"], STEPS, "0 of 1 rows kept"),
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
    dropped = (run.path / "dropped.jsonl").read_text("utf-8")
    (run.path / "dropped.jsonl").write_text("", "utf-8")
    with pytest.raises(CurateError, match=r"dropped\.jsonl: has no line 1; the run is damaged"):
        html(run)
    (run.path / "dropped.jsonl").write_text(dropped, "utf-8")
    (run.path / "kept.jsonl").write_text('{"messages": 3', "utf-8")
    with pytest.raises(CurateError, match=r"kept\.jsonl:1: damaged"):
        html(run)
    (run.path / "lengths.parquet").write_text("", "utf-8")
    with pytest.raises(CurateError, match=r"lengths\.parquet: damaged"):
        html(RunFolder(run.path))
    (run.path / "lengths.parquet").unlink()
    with pytest.raises(CurateError, match=r"lengths\.parquet: missing, this run is older"):
        html(RunFolder(run.path))


def test_a_hundred_thousand_rows_are_counted_in_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path, SMALL, *STEPS)
    copies = 33_333
    for name in ("kept.jsonl", "dropped.jsonl"):
        (run.path / name).write_bytes((run.path / name).read_bytes() * copies)
    shift = pl.DataFrame({"copy": range(copies)}, schema={"copy": pl.UInt32})
    run.ledger = (
        run.ledger.join(shift, how="cross", maintain_order="right_left")
        .with_columns(pl.col("row", "twin") + 4 * pl.col("copy"))
        .drop("copy")
    )
    run.lengths = run.lengths.join(shift, how="cross", maintain_order="right_left").select(
        pl.col("row") + 4 * pl.col("copy"), "kept", "words", "category"
    )
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


def test_lengths_are_words_of_the_response(tmp_path: Path) -> None:
    lines = [row("a b c", "one two three"), row("d", "  one\ttwo\n"), row("e", "sorry")]
    shown = page(make(tmp_path, lines, Step("words", Words()))).text
    assert "The median response went from 2 to 2 words." in shown
    assert "read 3 1 2 2 2 3 3 2.0" in shown
    assert "dropped 1 1 1 1 1 1 1 1.0" in shown


@given(st.lists(st.integers(0, 400), min_size=1, max_size=60))
def test_the_densest_window_is_the_best_of_all_windows(words: list[int]) -> None:
    longest = max(10, *words)
    counts = {
        centre: sum(9 * centre <= 10 * word <= 11 * centre for word in words)
        for centre in range(10, longest + 1)
    }
    share, centre = spread.densest(np.array(words))
    assert share == max(counts.values()) / len(words)
    assert counts[centre] == max(counts.values())


def test_length_bins_hold_every_length_and_none_is_without_a_whole_number() -> None:
    for largest in (1, 2, 9, 10, 11, 999, 123_456):
        edges = spread.length_edges(largest)
        assert edges[0] == 0 and edges[-1] > largest
        assert (np.diff(edges) >= 1).all() and (edges == edges.round()).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=40, unique=True))
def test_every_score_is_in_a_bin(values: list[float]) -> None:
    frame = pl.DataFrame({"verdict": ["keep"] * len(values), "score": values})
    found = spread.of_step("step", frame)
    assert found.histogram.heights["kept"].sum() == pytest.approx(1)
    assert "<svg" in charts.scores(found)


def test_scores_that_part_kept_from_dropped_show_where(tmp_path: Path) -> None:
    lines = [row("a", "x" * size + (" sorry" if size > 50 else "")) for size in range(10, 100)]
    shown = page(make(tmp_path, lines, Step("words", Words()))).text
    assert "41 kept 49 dropped the groups part between 50 and 57" in shown


def test_charts_hold_no_style_script_date_or_address(tmp_path: Path) -> None:
    words = np.arange(200)
    drawn = charts.lengths(spread.length_histogram(words, words < 100), [])
    assert drawn.count("<svg") == 2
    for unwanted in ("<script", "<style", "<!--", "http", "pygal"):
        assert unwanted not in drawn


def test_an_excerpt_says_how_much_it_leaves_out() -> None:
    assert excerpt("short") == [Piece("short")]
    assert excerpt("a" * 405, limit=400)[-1] == Piece("… 5 more characters", "cut")
    assert excerpt("a" * 401, limit=400)[-1] == Piece("… 1 more character", "cut")
    around = excerpt("x" * 1000 + "HERE" + "y" * 1000, "HERE", limit=100)
    assert [piece.kind for piece in around] == ["cut", "text", "mark", "text", "cut"]
    assert sum(len(piece.text) for piece in around if piece.kind != "cut") == 100


def test_long_twins_are_shown_from_shortly_before_their_first_difference() -> None:
    same = "the very same words " * 100
    one, other = side_by_side(f"{same}red end", f"{same}blue end")
    assert one[0] == Piece("1,864 characters before …", "cut")
    assert [piece.text for piece in one if piece.kind == "mark"] == ["red"]
    assert [piece.text for piece in other if piece.kind == "mark"] == ["blue"]


def test_text_without_spaces_between_words_is_compared_by_character() -> None:
    one, other = side_by_side("今天天气很好", "今天天气不好")
    assert [piece.text for piece in one if piece.kind == "mark"] == ["很"]
    assert [piece.text for piece in other if piece.kind == "mark"] == ["不"]


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=300), st.text(max_size=300))
def test_two_texts_side_by_side_lose_nothing_but_what_is_counted(one: str, other: str) -> None:
    for original, pieces in zip((one, other), side_by_side(one, other, limit=1000), strict=True):
        shown = "".join(piece.text for piece in pieces if piece.kind != "cut")
        same = [piece.kind for piece in pieces] == ["cut"] and one == other
        assert same or len(shown) >= len(original)


def test_the_terminal_shows_the_funnel_and_the_sum(tmp_path: Path) -> None:
    run = make(tmp_path, SMALL, *STEPS)
    run.manifest["seconds"] = {"twins": 0.5, "words": 12.25}
    assert text(run).splitlines() == [
        "step    rows in   dropped   kept   reasons        seconds",
        "─────────────────────────────────────────────────────────",
        "twins         4         1      3   1 same_start      0.50",
        "words         3         1      2   1 bad_word       12.25",
        "",
        "5 read = 2 kept + 2 dropped + 1 rejects",
    ]


def test_the_terminal_takes_reasons_as_plain_text(tmp_path: Path) -> None:
    step = Step("words", Words(reason="[bold]loud[/bold]\x1b[31m"))
    shown = text(make(tmp_path, SMALL, step))
    assert "[bold]loud[/bold]\\x1b[31m" in shown
    assert "\x1b" not in shown


def test_the_terminal_summary_stays_within_its_width(tmp_path: Path) -> None:
    run = make(tmp_path, SMALL, Step("words", Words(reason="a_long_reason_" * 4)))
    assert max(map(len, text(run, width=60).splitlines())) <= 60


def test_the_terminal_counts_what_it_leaves_out(tmp_path: Path) -> None:
    lines = [row("Count", f"Number {at}") for at in range(20)]
    shown = text(make(tmp_path, lines, Step("flood", EveryRowItsReason())))
    assert "… 11 more reasons" in shown


@pytest.mark.parametrize("name", ["charts", "excerpts", "page", "rows"])
def test_the_examples_in_the_docstrings_are_true(name: str) -> None:
    tested = doctest.testmod(importlib.import_module(f"curate.report.{name}"))
    assert tested.attempted and not tested.failed
