"""What `near` and `exact` report about the whole set, and which rows are exempt when asked."""

from __future__ import annotations

import random

import polars as pl
import pytest

import filters.dedup.near.filter
from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.dedup.exact import Exact
from filters.dedup.near.filter import Near
from tests.near_rows import dropped, records

LONG = "The old lighthouse has stood on the northern coast for a hundred and forty years now"


def found_by(step, frame):
    judged = judge(step, frame)
    return judged.verdicts, judged.findings


def noisy(count: int, seed: int) -> pl.DataFrame:
    draw = random.Random(seed)
    words = [f"w{letter}" for letter in "abcdefghijklmnopqrstuvwx"]
    texts = []
    for _ in range(count):
        text = draw.choice(texts)[:] if texts and draw.random() < 0.7 else list(words)
        text[draw.randrange(24)] = "".join(draw.choices("xyzuv", k=4))
        texts.append(text)
    return records([(" ".join(text), "") for text in texts])


@pytest.mark.parametrize("exact_shingles", [1 << 24, -1])
@pytest.mark.parametrize(
    "wanted",
    [
        {"threshold": 0.6, "protect": ()},
        {"similarity": "rouge_l", "threshold": 0.93},
        {"keep": "longest", "protect": ()},
    ],
)
def test_what_other_thresholds_would_drop_is_true(wanted, exact_shingles, monkeypatch):
    monkeypatch.setattr("filters.dedup.near.search.EXACT_SHINGLES", exact_shingles)
    monkeypatch.setattr("filters.dedup.near.groups.BUDGET", 200)
    frame = noisy(250, seed=2)
    step = Near(**wanted)
    verdicts, findings = found_by(step, frame)
    counts = findings.numbers["dropped_at"]
    assert len(counts) == 2
    for value, count in counts.items():
        other = judge(Near(**(wanted | {"threshold": float(value)})), frame).verdicts
        assert count == (~other["keep"]).sum()
    assert findings.numbers["dropped"] == (~verdicts["keep"]).sum()
    assert len({*counts.values(), findings.numbers["dropped"]}) == 3


def test_one_search_gives_verdicts_and_findings(monkeypatch):
    searches = []
    search = filters.dedup.near.filter.find_duplicates
    monkeypatch.setattr(
        "filters.dedup.near.filter.find_duplicates",
        lambda *given, **named: searches.append(1) or search(*given, **named),
    )
    found_by(Near(), noisy(20, seed=1))
    assert len(searches) == 1


def test_clusters_are_a_table_and_a_sentence():
    frame = records([(LONG, ""), ("Other words altogether", ""), (LONG + " x", ""), (LONG, "")])
    _, findings = found_by(Near(), frame)
    table = findings.tables["clusters"]
    assert table.columns == ["row", "id", "cluster", "kept", "similarity"]
    assert table["row"].to_list() == [0, 2, 3]
    assert table["cluster"].to_list() == [0, 0, 0]
    assert table["kept"].to_list() == [True, False, False]
    assert table["similarity"].to_list() == [None, 14 / 15, 1.0]
    assert findings.sentences == (
        "compared prompts with their responses (field: both): Jaccard similarity of runs of 3 "
        "words, from 0.6",
        "1 cluster of two or more rows, the largest of 3",
        "2 rows are dropped; it would be 2 at 0.55 and 2 at 0.65",
    )


def test_exact_says_what_was_compared_and_how_many_groups():
    frame = records([("Hi", "Hello"), ("hi", "hello."), ("Bye", "Bye")])
    _, findings = found_by(Exact(), frame)
    assert findings.sentences[0] == "compared prompts with their responses (field: both)"
    assert findings.sentences[1] == "1 cluster of two or more rows, the largest of 2"
    assert findings.tables["clusters"]["row"].to_list() == [0, 1]
    _, findings = found_by(Exact(normalise=False), frame)
    assert findings.sentences[1] == "no two rows are in one cluster"


ANSWERS = [
    ("Tell me of the lighthouse.", LONG),
    ("Tell me of the lighthouse.", LONG + " indeed"),
    ("Tell me of the lighthouse.", LONG),
    ("What is on the coast?", LONG + " indeed"),
    ("", LONG),
    ("", LONG),
]


@pytest.mark.parametrize("similarity", ["jaccard", "rouge_l"])
def test_best_of_n_groups_are_exempt_when_asked(similarity):
    plain = Near(similarity=similarity, field="response")
    assert dropped(plain, ANSWERS) == {1: 0, 2: 0, 3: 0, 4: 0, 5: 0}
    exempted = Near(similarity=similarity, field="response", exempt="same_prompt")
    # Rows without a prompt share none.
    assert dropped(exempted, ANSWERS) == {3: 0, 4: 0, 5: 0}
    _, findings = found_by(exempted, records(ANSWERS))
    assert any("exempt: same_prompt" in sentence for sentence in findings.sentences)


def test_an_exempted_group_is_dropped_as_one_for_a_row_of_another_prompt():
    rows = [ANSWERS[3], *ANSWERS[:3]]
    assert dropped(Near(field="response", exempt="same_prompt"), rows) == {1: 0, 2: 0, 3: 0}


def test_thousands_of_answers_to_one_prompt_are_not_compared():
    rows = [("Count for me please, as far as you can.", f"{LONG} {n}") for n in range(3_000)]
    assert judge(Near(exempt="same_prompt"), records(rows)).verdicts["keep"].all()


def test_short_answers_under_an_exempted_prompt():
    rows = [("", "Yes"), ("", "Yes"), ("Sky?", "Blue"), ("Sky?", "Blue")]
    assert dropped(Near(exempt="same_prompt"), rows) == {1: 0}


def test_exact_exempts_answers_to_one_prompt_and_says_where_that_means_nothing():
    assert dropped(Exact(field="response"), ANSWERS) == {2: 0, 3: 1, 4: 0, 5: 0}
    exempted = Exact(field="response", exempt="same_prompt")
    assert dropped(exempted, ANSWERS) == {3: 1, 4: 0, 5: 0}
    with pytest.raises(CurateError, match=r"exact: exempt is 'same_prompt', but rows equal by"):
        Exact(exempt="same_prompt")
