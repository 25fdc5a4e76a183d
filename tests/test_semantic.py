from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.dedup.semantic import search as semantic_search
from filters.dedup.semantic.filter import Semantic

LONG = "The quick brown fox jumps over the lazy dog while seven wizards brew potions quietly"


def encoder(folder: Path, body: str) -> str:
    (folder / "mine.py").write_text(body, "utf-8")
    return f"{folder / 'mine.py'}:Mine"


ANGLES = """
import math
class Mine:
    def encode(self, texts):
        angles = [math.radians(float(text.split()[0])) for text in texts]
        return [[math.cos(angle), math.sin(angle)] for angle in angles]
"""


def test_a_row_is_dropped_only_for_one_that_is_kept_and_names_it(conversation, tmp_path):
    # 20 degrees apart is 0.94: row 1 is dropped for row 0; row 2 is like row 1 only, so it is kept.
    rows = conversation(("0 a", "x"), ("20 b", "x"), ("40 c", "x"))
    found = judge(
        Semantic(threshold=0.9, protect=(), encoder=encoder(tmp_path, ANGLES)), rows
    ).verdicts
    assert found["keep"].to_list() == [True, False, True]
    assert found["duplicate_of"].to_list() == [None, 0, None]
    assert found["score"][1] == pytest.approx(0.939693)


def test_the_longest_or_the_best_is_kept_when_asked(conversation, tmp_path):
    rows = conversation(("0 a", "x"), ("5 b", "longer"), score=[2.0, 1.0])
    code = encoder(tmp_path, ANGLES)
    assert judge(Semantic(encoder=code, protect=(), keep="longest"), rows).verdicts[
        "keep"
    ].to_list() == [
        False,
        True,
    ]
    assert judge(Semantic(encoder=code, protect=(), keep="best"), rows).verdicts[
        "keep"
    ].to_list() == [
        True,
        False,
    ]


def test_other_order_of_the_same_words_is_found_and_other_text_is_not(conversation):
    words = LONG.split()
    moved = " ".join(words[5:] + words[:5])
    rows = conversation(("Say", LONG), ("Say", moved), ("Ask", "Entirely unrelated matters of tax"))
    assert judge(Semantic(threshold=0.8), rows).verdicts["keep"].to_list() == [True, False, True]


def test_blank_rows_are_similar_to_nothing(conversation):
    rows = conversation(("", ""), ("", ""), ("?!", "..."))
    assert judge(Semantic(), rows).verdicts["keep"].all()


def test_short_answers_to_other_prompts_all_stay(conversation):
    rows = conversation(
        ("Capital of France?", "Paris"),
        ("Capital of Germany?", "Berlin"),
        ("6 * 7", "42"),
        ("🙂", "🙃"),
    )
    assert judge(Semantic(threshold=0.9), rows).verdicts["keep"].all()


def test_twenty_thousand_equal_rows_and_a_long_one_take_no_time(conversation):
    rows = conversation(*[(LONG, "x")] * 20_000, ("a b c " * 300_000, ""))
    found = judge(Semantic(), rows).verdicts
    assert found["keep"].sum() == 2
    assert found["duplicate_of"].drop_nulls().unique().to_list() == [0]


def test_the_report_says_what_other_thresholds_would_drop(conversation, tmp_path):
    rows = conversation(("0 a", "x"), ("20 b", "x"), ("90 c", "x"))
    step = Semantic(threshold=0.9, protect=(), encoder=encoder(tmp_path, ANGLES))
    found = judge(step, rows).findings
    assert found.numbers["dropped_at"] == {"0.85": 1, "0.95": 0}
    assert found.tables["clusters"]["row"].to_list() == [0, 1]


def test_permuting_the_input_permutes_the_output(conversation):
    rows = conversation(*[(LONG + f" {number // 3}", "x" * (number % 7)) for number in range(60)])
    order = np.random.default_rng(0).permutation(60)
    mixed = rows[order.tolist()].with_columns(row=pl.Series(range(60), dtype=pl.UInt32))
    step = Semantic(threshold=0.97, keep="longest")
    one, two = judge(step, rows).verdicts["keep"], judge(step, mixed).verdicts["keep"]
    assert one.gather(order.tolist()).to_list() == two.to_list()
    assert not one.all()


def test_the_greedy_rule_is_that_of_the_loop_over_all_rows():
    vectors = np.random.default_rng(1).normal(size=(600, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = pl.Series([f"{number:016x}" for number in range(600)])
    duplicate_of = semantic_search.find_alike(vectors, names, 0.9, seed=0).duplicate_of
    kept: list[int] = []
    for row in range(600):
        like = [other for other in kept if vectors[other] @ vectors[row] >= 0.9]
        assert duplicate_of[row] == (like[0] if like else -1)
        if not like:
            kept.append(row)


def test_buckets_drop_no_row_that_all_pairs_would_not_call_similar(monkeypatch):
    centres = np.random.default_rng(2).normal(size=(300, 16))
    vectors = np.repeat(centres, 4, axis=0) + np.random.default_rng(3).normal(size=(1200, 16)) / 50
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    names = pl.Series([f"{number:016x}" for number in range(1200)])
    monkeypatch.setattr(semantic_search, "EXACT_ROWS", 500)
    monkeypatch.setattr(semantic_search, "BUCKET", 100)
    duplicate_of = semantic_search.find_alike(vectors, names, 0.95, seed=0).duplicate_of
    dropped = np.flatnonzero(duplicate_of >= 0)
    assert (duplicate_of[duplicate_of[dropped]] < 0).all()
    assert ((vectors[dropped] * vectors[duplicate_of[dropped]]).sum(axis=1) >= 0.9499).all()
    assert len(dropped) >= 850  # of 900
    again = semantic_search.find_alike(vectors, names, 0.95, seed=0).duplicate_of
    assert (again == duplicate_of).all()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("def Mine(texts): return [[1.0]]", "expected one row of finite numbers a text"),
        ("def Mine(texts): raise RuntimeError('broken')", "failed with RuntimeError: broken"),
        ("other = 1", "cannot be loaded: AttributeError"),
        ("Mine = 3", "has no encode"),
    ],
)
def test_an_encoder_that_fails_is_named(conversation, tmp_path, body, says):
    with pytest.raises(CurateError, match=says):
        Semantic(encoder=encoder(tmp_path, body)).measure(conversation(("a", "b"), ("c", "d")))


def test_settings_that_make_no_sense_are_refused(tmp_path):
    for settings, says in (
        ({"threshold": 0.0}, "threshold is 0.0"),
        ({"encoder": "./nowhere"}, "there is no such model folder"),
        ({"encoder": "nowhere.py:f"}, "there is no file"),
        ({"encoder": "no_such_package.x:f"}, "No module named"),
    ):
        with pytest.raises(CurateError, match=says):
            Semantic(**settings)


def test_a_changed_encoder_file_is_another_encoder(tmp_path):
    code = encoder(tmp_path, ANGLES)
    before = Semantic(encoder=code).encoder_print
    encoder(tmp_path, ANGLES + "\n# changed")
    assert Semantic(encoder=code).encoder_print != before
