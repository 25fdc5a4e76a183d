"""The page of a proof: verdicts first, what they rest on, and that hostile text does it no harm."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from curate.proofs.cells import Cell
from curate.proofs.crossed import Estimate
from curate.proofs.design import Design
from curate.proofs.forest import forest
from curate.proofs.page import headline, html, write_page
from curate.proofs.pieces import curve, drawn, matrix
from curate.proofs.proof import Proof
from curate.proofs.verdicts import judge
from tests.proof_cells import cells
from tests.reports import HOSTILE, Page

SHIFTS = {"selected": 0.0, "random": 0.05, "full": 0.0}
ABOUT: dict[str, Any] = {
    "model": "SmolLM2-135M",
    "template": "chatml",
    "set": "RUN",
    "sets": [
        {"name": "selected", "rows": 250, "sha256": "ab" * 32, "tokens": 30_000},
        {"name": "target lima", "rows": 30, "sha256": "cd" * 32},
    ],
    "commands": ["curate prove RUN --model M --template chatml --out PROOF"],
    "notices": ["3 rows of random overlapped a target and were left out."],
    "versions": {"curate": "0.9"},
    "texts": {"lima": [{"prompt": f"Ask {at}?", "answer": f"Truth {at}."} for at in range(30)]},
}


def proof_of(made: list[Cell]) -> Proof:
    return judge(made, Design(draws=200))


@pytest.fixture(scope="module")
def proof() -> Proof:
    return proof_of(cells(SHIFTS, seeds=3))


@pytest.fixture(scope="module")
def page(proof: Proof) -> Page:
    return Page(html(proof, ABOUT))


def test_the_page_opens_with_the_verdicts(proof: Proof, page: Page) -> None:
    first = proof.overall[0]
    assert (first.baseline, first.verdict) == ("random", "better")
    shown = page.text
    assert shown.index("Selected rows: better than random") < shown.index("✓ better selected - ")
    assert shown.index(proof.lines()[0]) < shown.index("Differences The point is the mean")


def test_every_comparison_stands_in_the_forest_with_its_interval(proof: Proof, page: Page) -> None:
    plots = [value for tag, name, value in page.attributes if name == "aria-label" and "(" in value]
    assert len(plots) == len(proof.primary) == 6
    assert all(re.search(r" \(.+ to .+\)$", each) for each in plots)
    assert "◂ selected better baseline better ▸" in page.text


def test_every_training_stands_in_the_table_of_its_target(proof: Proof, page: Page) -> None:
    for target in ("lima", "dolly"):
        for summary in proof.summaries:
            values = [f"{each:.4f}" for each in summary.targets[target].bits_per_byte]
            shown = " ".join(each.removeprefix("0") for each in values)
            assert f"{summary.baseline} {shown} " in page.text
    assert "rows of seed 0 seed 1 seed 2 mean stops loops median tokens W1 KS" in page.text


def test_answers_stand_side_by_side_with_the_held_out_one(page: Page) -> None:
    shown = page.text
    assert "lima Ask 10? held out" in shown.replace("\n", " ")
    assert shown.count("Truth 10.") == 1 and shown.count("random answers 10") == 2
    # Without the rows of a target its prompts are shown as the cells have them.
    assert "dolly prompt 10 selected" in shown


def test_hashes_commands_notices_and_versions_are_on_the_page(page: Page) -> None:
    for text in ("ab" * 32, "cd" * 32, *ABOUT["commands"], *ABOUT["notices"], "curate 0.9"):
        assert text in page.text


def test_without_anything_about_it_the_page_names_the_trained_rows(proof: Proof) -> None:
    shown = Page(html(proof, {})).text
    assert all(
        sha256 in shown for summary in proof.summaries for sha256 in summary.by_seed.values()
    )
    assert "To repeat it" not in shown


def test_a_proof_without_answers_has_no_section_of_them() -> None:
    shown = Page(html(proof_of(cells(SHIFTS, seeds=3, answers=False)), ABOUT)).text
    assert "Answers side by side" not in shown and "W1 and KS" not in shown
    assert "Selected rows: better than random" in shown


def test_nothing_runs_in_the_page_and_nothing_is_fetched(page: Page) -> None:
    names = {(tag, name) for tag, name, _ in page.attributes}
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(page.tags)
    assert not [name for _, name in names if name.startswith("on") or name in ("src", "srcset")]
    links = [value for _, name, value in page.attributes if name == "href"]
    assert links and all(re.fullmatch(r"#[a-z]+", link) for link in links)
    policy = [value for _, name, value in page.attributes if value.startswith("default-src 'none'")]
    assert len(policy) == 1


def test_every_link_of_the_contents_leads_somewhere(page: Page) -> None:
    ids = {value for _, name, value in page.attributes if name == "id"}
    assert {value[1:] for _, name, value in page.attributes if name == "href"} <= ids


def test_hostile_text_stays_text(page: Page) -> None:
    bad = HOSTILE
    made = []
    for each in cells(SHIFTS, seeds=3, names=(bad, "other")):
        answers = tuple(f"{bad} {at}" for at in range(30))
        prompts = tuple(f"{bad}\u202e\x1b[31m{at}" for at in range(30))
        own = dataclasses.replace(each.targets[bad], answers=answers, prompts=prompts)
        name = each.baseline if each.baseline == "selected" else f"{each.baseline}{bad}"
        targets = {**each.targets, bad: own}
        made.append(dataclasses.replace(each, baseline=name, rows_sha256=bad, targets=targets))
    lines = {bad: [Estimate(1, 0.9, 1.1), Estimate(0.8, 0.7, 0.9)]}
    about = {
        **dict.fromkeys(("model", "template", "set"), bad),
        "sets": [{"name": bad, "rows": 1, "sha256": bad, "tokens": 2}],
        "commands": [bad, f"{bad}\ncurate rm"],
        "notices": [bad],
        "versions": {bad: bad},
        "texts": {"other": [{"prompt": bad, "answer": bad}] * 30},
        "curves": [curve(bad, [10, 20], lines, {bad: 10}, across=bad)],
        "matrices": [matrix(bad, [bad], [bad], [[Estimate(1, 0.9, 1.1)]], bad, bad, bad)],
    }
    source = html(proof_of(made), about)
    shown = Page(source)
    ours = {*page.tags, "svg", "line", "text", "polygon", "polyline", "figure", "figcaption", "i"}
    assert set(shown.tags) <= ours
    assert shown.tags.count("style") == 1 and "script" not in shown.tags
    assert not [name for _, name, _ in shown.attributes if name.startswith("on")]
    assert all(
        re.fullmatch(r"#[a-z]+", value) for _, name, value in shown.attributes if name == "href"
    )
    assert "\u202e" not in source and "\x1b" not in source
    assert shown.text.count("<script>alert(1)</script>{{ 7 * 7 }}") >= 20
    # A line break in a command makes no second command.
    assert r"\ncurate rm" in source


def test_inline_styles_hold_numbers_alone(page: Page) -> None:
    styles = [value for _, name, value in page.attributes if name == "style"]
    assert len(styles) > 20
    pattern = r"(left|width):\d+\.\d\d%(;width:\d+\.\d\d%)?"
    assert all(re.fullmatch(pattern, style) for style in styles)


def test_a_long_answer_is_cut_and_says_so() -> None:
    made = []
    for each in cells(SHIFTS, seeds=2):
        long = dataclasses.replace(each.targets["lima"], answers=("many words " * 10_000,) * 30)
        made.append(dataclasses.replace(each, targets={**each.targets, "lima": long}))
    source = html(proof_of(made), {})
    assert len(source) < 150_000
    assert "more characters" in Page(source).text


def test_the_same_proof_gives_the_same_bytes(proof: Proof) -> None:
    assert html(proof, ABOUT) == html(proof, ABOUT)


def test_the_page_is_written_where_a_page_may_be(proof: Proof, tmp_path: Path) -> None:
    write_page(proof, ABOUT, tmp_path / "proof.html")
    assert (tmp_path / "proof.html").read_text("utf-8") == html(proof, ABOUT)
    with pytest.raises(CurateError):
        write_page(proof, ABOUT, tmp_path)


def test_small_screens_and_dark_ones_have_rules_of_their_own(proof: Proof) -> None:
    source = html(proof, ABOUT)
    assert "@media (max-width: 760px)" in source and "prefers-color-scheme: dark" in source
    # Wide tables scroll by themselves, so that the page does not.
    for table in re.findall(r"(.*)\n *<table class=\"(?!forest)", source):
        assert '<div class="scroll">' in table


def test_the_headline_puts_the_baselines_under_their_verdicts(proof: Proof) -> None:
    words = {"random": "better", "full": "not shown"}
    made = [dataclasses.replace(each, verdict=words[each.baseline]) for each in proof.primary]
    changed = dataclasses.replace(proof, primary=made)
    assert headline(changed) == "better than random; not shown against full"
    wide = [dataclasses.replace(each, single=Estimate(-0.05, -1, 1)) for each in made]
    changed = dataclasses.replace(proof, primary=wide)
    assert headline(changed) == "better than random on average; not shown against full"
    made = [dataclasses.replace(each, verdict="no difference") for each in proof.primary]
    assert headline(dataclasses.replace(proof, primary=made)) == "no different from random and full"


# The forest's scale.


def test_intervals_keep_their_order_on_the_scale(proof: Proof) -> None:
    found = forest(proof.primary)
    for group in found.groups:
        assert group.margin[0] < found.zero < group.margin[1]
        assert [bar.comparison.target for bar in group.bars] == [None, "lima", "dolly"]
        for bar in group.bars:
            assert 0 <= bar.low <= bar.point <= bar.high <= 1
            assert (bar.point < found.zero) == (bar.comparison.difference.value < 0)


def test_an_interval_far_beyond_the_others_is_cut_and_marked(proof: Proof) -> None:
    last = proof.primary[-1]
    wide = dataclasses.replace(last, difference=Estimate(last.difference.value, -9.0, 9.0))
    bar = forest([*proof.primary[:-1], wide]).groups[-1].bars[-1]
    assert (bar.low, bar.high, bar.cut) == (0.0, 1.0, (True, True))


def test_the_axis_has_ticks_with_nought_among_them(proof: Proof) -> None:
    ticks = forest(proof.primary).ticks
    assert 3 <= len(ticks) <= 12
    assert [float(label) for _, label in ticks if float(label) == 0] == [0.0]
    assert [at for at, _ in ticks] == sorted(at for at, _ in ticks)


# What is varied.

FALLING = [Estimate(1.0, 0.98, 1.02), Estimate(0.9, 0.88, 0.92), Estimate(0.89, 0.87, 0.91)]


def test_a_curve_is_drawn_with_its_bands_and_labels(proof: Proof) -> None:
    lines = {"lima": FALLING, "random": FALLING}
    stops = {"lima": 50_000, "random": None}
    found = curve("Amounts", [25_000, 50_000, 100_000], lines, stops)
    shown = Page(str(drawn(found)))
    assert (shown.tags.count("svg"), shown.tags.count("polygon")) == (2, 4)  # wide and narrow
    for label in ("25k", "50k", "100k", "trained tokens"):
        assert label in shown.text
    points = [value for _, name, value in shown.attributes if name == "points"]
    heights = [float(pair.split(",")[1]) for pair in points[1].split()]
    assert heights[0] < heights[1] < heights[2]  # lower losses lie lower
    text = Page(html(proof, {"curves": [found]})).text
    assert "lima: beyond 50,000 trained tokens no step to the next amount is shown" in text
    assert "random: the step to the largest amount still helps." in text


def test_a_matrix_is_a_table_with_intervals_and_shades(proof: Proof) -> None:
    values = [[Estimate(1, 0.9, 1.1), Estimate(1.2, 1.1, 1.3)], [FALLING[0], Estimate(1.4, 1, 2)]]
    found = matrix("Formats", ["chatml", "alpaca"], ["chatml", "simple"], values)
    assert found.shades[0] == (0.0, pytest.approx(0.5))
    shown = Page(html(proof, {"matrices": [found]}))
    assert "prompted with trained with chatml simple chatml 1.0000" in shown.text
    assert [value for _, _, value in shown.attributes if value.startswith("--heat:")] == [
        *("--heat:0.000", "--heat:0.500", "--heat:0.000", "--heat:1.000"),
    ]


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CurateError, match="two amounts"):
        curve("Amounts", [1], {"lima": FALLING[:1]}, {})
    with pytest.raises(CurateError, match="ascending"):
        curve("Amounts", [2, 1], {"lima": FALLING[:2]}, {})
    with pytest.raises(CurateError, match="2 amounts"):
        curve("Amounts", [1, 2], {"lima": FALLING}, {})
    with pytest.raises(CurateError, match="1 by 2"):
        matrix("Formats", ["a"], ["b", "c"], [FALLING])
