"""Habits of answers are counted, and capping lowers their share without touching the rest."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.bias.filter import Bias
from filters.bias.labels import label_counts, label_priors, telling_words


def varied(count: int) -> list[tuple[str, str]]:
    return [(f"Name town {n}.", f"w{n} x{n} y{n} z{n} lies on a river.") for n in range(count)]


def share_of(rows: pl.DataFrame, kept: pl.Series, text: str) -> float:
    held = rows.filter(kept)
    return held["response"].str.starts_with(text).sum() / held.height


def test_reporting_keeps_every_row(conversation: Any) -> None:
    rows = conversation(*[("Hi", "Great question! It is so.")] * 30)
    assert judge(Bias(), rows).verdicts["keep"].all()


def test_a_common_opener_is_capped_to_its_share(conversation: Any) -> None:
    rows = conversation(
        *((f"Why {n}?", f"Once upon a time {n} kings lived.") for n in range(40)), *varied(160)
    )
    found = judge(Bias(action="cap", max_share=0.1), rows).verdicts
    assert found["keep"].sum() == 177
    assert share_of(rows, found["keep"], "Once upon a") <= 0.1
    assert found["keep"][40:].all()
    dropped = found.filter(~pl.col("keep"))
    assert set(dropped["reason"]) == {"over_opener"}
    assert dropped["score"].unique().to_list() == [0.2]
    assert dropped["evidence"][0] == "'once upon a': 20.0%, at most 10.0%"


def test_the_lowest_scored_go_first(conversation: Any) -> None:
    rows = conversation(
        *((f"Why {n}?", f"Once upon a time {n} kings lived.") for n in range(40)),
        *varied(160),
        score=[float(n) for n in range(40)] + [None] * 160,
    )
    kept = judge(Bias(action="cap"), rows).verdicts["keep"].to_list()
    assert kept[:40] == [False] * 23 + [True] * 17


def test_equal_scores_are_drawn_by_the_seed(conversation: Any) -> None:
    rows = conversation(
        *((f"Why {n}?", f"Once upon a time {n} kings lived.") for n in range(40)), *varied(160)
    )
    first, again, other = (
        judge(Bias(action="cap", seed=seed), rows).verdicts["keep"].to_list() for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_capping_a_capped_set_changes_nothing(conversation: Any) -> None:
    rows = conversation(
        *((f"Why {n}?", f"I'm sorry, town {n} w{n} is far.") for n in range(30)),
        *((f"Why {n}?", f"Once upon a time {n} kings lived.") for n in range(30)),
        *varied(140),
    )
    step = Bias(action="cap")
    once = judge(step, rows).verdicts["keep"]
    assert not once.all()
    assert judge(step, rows.filter(once)).verdicts["keep"].all()


def test_the_order_of_the_rows_does_not_matter(conversation: Any) -> None:
    rows = conversation(
        *((f"Why {n}?", f"Once upon a time {n} kings lived.") for n in range(40)), *varied(100)
    )
    kept = set(rows.filter(judge(Bias(action="cap"), rows).verdicts["keep"])["id"])
    turned = rows.reverse()
    assert set(turned.filter(judge(Bias(action="cap"), turned).verdicts["keep"])["id"]) == kept


def test_a_cap_that_would_empty_the_set_is_not_applied_and_reported(conversation: Any) -> None:
    rows = conversation(*((f"Why {n}?", "Hello there my friend.") for n in range(30)))
    judged = judge(Bias(action="cap"), rows)
    assert judged.verdicts["keep"].all()
    found = judged.findings
    assert found.numbers["given_up"] == ["over_opener"]
    assert found.sentences[-1] == (
        "over_opener is not applied: its cap would drop more than 50% of the rows"
    )


@pytest.mark.parametrize(
    ("trait", "answer", "exempt"),
    [
        ("agreement", "Great question! It is so.", "The question is great."),
        ("agreement", "You're absolutely right, it is.", "If you're right, it is."),
        ("apology", "Well, I'm so sorry about that.", "He said sorry."),
        ("stock_phrase", "It's important to note that it is.", "It is noted."),
        ("closing_offer", "Done. Let me know if you need more!", "They let me know. It is done."),
    ],
)
def test_each_habit_is_found_and_its_near_miss_is_not(
    conversation: Any, trait: str, answer: str, exempt: str
) -> None:
    judged = judge(Bias(), conversation(("Hi", answer), ("Hi", exempt)))
    assert judged.findings.numbers["rates"][trait] == 0.5
    assert judge(Bias(), conversation(("Hi", exempt))).findings.numbers["rates"][trait] == 0


def test_agreement_is_told_apart_by_what_the_prompt_does(conversation: Any) -> None:
    rows = conversation(
        ("I think that the earth is flat.", "You're right, it is."),
        ("I believe in cats.", "You are right about them."),
        ("How flat is the earth?", "It is round like a ball."),
        ("What is a cat?", "A small animal of the house."),
    )
    found = judge(Bias(), rows).findings
    assert found.numbers["agreement_by_stance"] == {"asserts": 1.0, "asks": 0.0}


def labelled(conversation: Any, positive: int, negative: int) -> pl.DataFrame:
    return conversation(
        *((f"Classify the film.\nreview {n} was fun to see", "Positive") for n in range(positive)),
        *((f"Classify the film.\nreview {n} was dull", "negative.") for n in range(negative)),
    )


def test_words_that_give_a_label_away_are_named_with_their_z(conversation: Any) -> None:
    found = judge(Bias(), labelled(conversation, 60, 40)).findings
    (task,) = found.numbers["labels"]
    assert (task["rows"], task["labels"], task["top"], task["share"]) == (100, 2, "positive", 0.6)
    assert task["entropy"] == pytest.approx(0.971, abs=1e-3)
    words = found.tables["label_words"]
    fun = words.row(by_predicate=(pl.col("word") == "fun") & (pl.col("label") == "positive"))
    # share 1, prior .6, 60 rows: (1 - .6) / sqrt(.6 * .4 / 60)
    assert fun[3:] == (60, 1.0, 0.6, pytest.approx(6.3246, abs=1e-4))
    assert "review" not in words["word"].to_list()


def test_of_openers_equally_common_the_first_by_name_are_named(conversation: Any) -> None:
    rows = conversation(*((f"Why {n}?", f"W{n:02d} is on a river.") for n in reversed(range(30))))
    found = judge(Bias(opener_words=2), rows).findings
    assert [line["opener"] for line in found.numbers["openers"]] == [
        f"w{n:02d} is" for n in range(10)
    ]
    assert "the commonest opener, 'w00 is', has 3.33% of the rows" in found.sentences


def test_of_many_tasks_the_manifest_has_twenty_and_a_table_all(conversation: Any) -> None:
    rows = conversation(
        *(
            (f"Is film {task:02d} good?\nreview {n}", "Yes." if n % 2 else "No.")
            for task in range(25)
            for n in range(20)
        )
    )
    found = judge(Bias(min_task_rows=20), rows).findings
    assert len(found.numbers["labels"]) == 20
    assert found.numbers["label_tasks"] == found.tables["label_tasks"].height == 25
    assert found.tables["label_tasks"]["task"].to_list() == sorted(
        f"Is film {task:02d} good?" for task in range(25)
    )
    assert found.tables["label_tasks"]["top"].unique().to_list() == ["no"]


def test_the_task_of_small_tasks_is_their_file_and_named_so(conversation: Any) -> None:
    rows = conversation(*((f"Film {n}?\nIt was", "Good" if n < 90 else "bad") for n in range(120)))
    found = judge(Bias(action="cap", traits=("label",), max_label_ratio=1.2), rows)
    evidence = found.verdicts["evidence"].drop_nulls().unique().to_list()
    assert evidence == ["'good' of 'test.jsonl': 75.0%, at most 60.0%"]
    assert found.findings.sentences[-1].startswith("the task 'test.jsonl' has 120 rows and 2 lab")


def test_labels_are_capped_within_their_task(conversation: Any) -> None:
    rows = labelled(conversation, 90, 30)
    found = judge(Bias(action="cap", traits=("label",), max_label_ratio=1.2), rows).verdicts
    assert found["keep"].sum() == 75  # 45 of 75 are 60 %
    assert set(found["reason"].drop_nulls()) == {"over_label"}
    evidence = "'positive' of 'Classify the film.': 75.0%, at most 60.0%"
    assert found["evidence"].drop_nulls().unique().to_list() == [evidence]
    assert found["keep"][90:].all()


def test_answers_of_many_kinds_are_no_labels(conversation: Any) -> None:
    rows = conversation(*((f"Name a town.\nnumber {n}", f"Town{n}") for n in range(100)))
    assert judge(Bias(), rows).findings.numbers["labels"] == []


def test_no_labelled_rows_give_no_words() -> None:
    kinds = {"at": pl.UInt32, "task": pl.UInt64, "label": pl.UInt64, "words": pl.List(pl.UInt64)}
    tasks = pl.DataFrame(schema=kinds)
    counts = label_counts(tasks)
    assert (label_priors(counts).height, telling_words(tasks, counts).height) == (0, 0)


def test_no_rows_have_no_bias(conversation: Any) -> None:
    judged = judge(Bias(action="cap"), conversation())
    assert judged.verdicts.height == 0
    assert judged.findings.numbers == {"rows": 0}


@given(st.lists(st.sampled_from("abcdef"), min_size=30, max_size=120), st.integers(0, 3))
def test_no_opener_is_above_its_cap_unless_it_was_given_up(letters: list[str], seed: int) -> None:
    count = len(letters)
    step = Bias(action="cap", max_share=0.3, seed=seed, traits=("opener",))
    code = pl.Series([None] * count, dtype=pl.UInt64)
    measures = pl.DataFrame(
        {
            "row": range(count),
            "id": [f"{n:016x}" for n in range(count)],
            "record.score": pl.Series([None] * count, dtype=pl.Float64),
            "opener": pl.Series([ord(letter) for letter in letters], dtype=pl.UInt64),
            **dict.fromkeys(("agreement", "apology", "closing_offer"), [False] * count),
            **dict.fromkeys(("asserts", "exclamations", "emoji", "has_list"), [False] * count),
            "stock_phrase": code.cast(pl.String).cast(pl.Categorical),
            "record.source": ["x"] * count,
            "task": code.fill_null(0),
            "label": code,
            "words": code.cast(pl.List(pl.UInt64)),
        }
    )
    judgement = step.judge(measures)
    kept = measures.filter(judgement.verdicts["keep"])
    if judgement.findings.numbers["given_up"]:
        assert kept.height == count
    else:
        assert kept["opener"].value_counts()["count"].max() <= 0.3 * kept.height + 1e-9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"traits": ("openers",)}, "expected one of opener, .*; did you mean 'opener'"),
        ({"max_share": 1.0}, "max_share is 1.0"),
        ({"max_drop": 0.0}, "max_drop is 0.0"),
        ({"max_label_ratio": 0.5}, "max_label_ratio is 0.5"),
        ({"min_task_rows": 3}, "min_task_rows is 3; expected a number of at least 20"),
    ],
)
def test_a_setting_out_of_range_is_an_error(settings: Any, message: str) -> None:
    with pytest.raises(CurateError, match=message):
        Bias(**settings)


def test_what_only_a_cap_reads_is_refused_in_a_report():
    with pytest.raises(CurateError, match="bias: max_drop is read only with action: cap"):
        Bias(max_drop=0.1)


def test_an_offer_at_the_end_of_a_long_answer_is_found_and_one_before_it_is_not(
    conversation: Any,
) -> None:
    offer = "Let me know if you need " + "more " * 19 + "help!"
    rows = conversation(
        ("Hi", "It is so. " * 100 + offer + "\n \n" * 400),
        ("Hi", offer + "\n" + "It is so. " * 100),
        ("Hi", "It is so. " * 100 + "Let me know if you need " + "more " * 30),
    )
    assert Bias().measure(rows)["closing_offer"].to_list() == [True, False, False]
