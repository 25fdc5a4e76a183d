from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import sources
from curate.base.errors import CurateError
from curate.base.schema import RECORDS
from curate.cli import main
from curate.pairs import (
    PAIRS,
    REASONS,
    Rule,
    of_annotators,
    of_groups,
    of_rejected,
    pair_texts,
    summary,
    unfold_lists,
)

quick = settings(max_examples=25, deadline=None)


def records(*rows: tuple[str, str, dict[str, Any]]) -> pl.DataFrame:
    """Records of (prompt, answer, fields); the field score is the record's own."""
    columns = {
        "row": range(len(rows)),
        "id": [f"{number:016x}" for number in range(len(rows))],
        "source": ["test.jsonl"] * len(rows),
        "line": range(1, len(rows) + 1),
        "messages": [
            [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
            for prompt, answer, _ in rows
        ],
        "score": [fields.get("score") for *_, fields in rows],
        "meta": [
            json.dumps({name: value for name, value in fields.items() if name != "score"})
            for *_, fields in rows
        ],
    }
    empty = {name: [None] * len(rows) for name in RECORDS if name not in columns}
    return pl.DataFrame(columns | empty, schema_overrides=dict(RECORDS)).select(RECORDS.names())


def said(made: Any) -> list[tuple[str, str]]:
    """Chosen and rejected answers of the pairs, in order."""
    _, chosen, rejected = pair_texts(made.pairs)
    return list(zip(chosen.to_list(), rejected.to_list(), strict=True))


def reasons(made: Any) -> list[str | None]:
    found: list[str | None] = made.rows.sort("row")["reason"].to_list()
    return found


def votes(*answers: tuple[str, float | None]) -> pl.DataFrame:
    return records(*[("q", answer, {"score": score}) for answer, score in answers])


def test_twice_the_votes_make_a_pair_and_less_does_not() -> None:
    made = of_groups(votes(("a", 4), ("b", 8), ("c", 5)), Rule(ratio=2.0, margin=2.0))
    assert said(made) == [("b", "a")]
    assert made.pairs.schema == PAIRS
    assert made.pairs.row(0, named=True)["score_chosen"] == 8.0
    assert reasons(made) == [None, None, "too_close"]
    assert made.counts() == {"records": 3, "used": 2, "too_close": 1}


def test_votes_at_or_below_nothing_need_a_margin_because_a_ratio_means_nothing() -> None:
    given_ = votes(("a", 1), ("b", 0), ("c", -3), ("d", -1))
    assert said(of_groups(given_, Rule(ratio=2.0, margin=2.0))) == [
        ("a", "c"), ("b", "c"), ("a", "d"), ("d", "c"),
    ]  # fmt: skip


def test_the_time_guard_refuses_a_chosen_answer_that_was_there_first() -> None:
    rows = records(
        ("q", "early", {"score": 9, "at": "2024-07-26T10:00:00Z"}),
        ("q", "late", {"score": 3, "at": "2024-07-26 11:30"}),
        ("q", "same", {"score": 1, "at": "2024-07-26 11:30:00"}),
        ("q", "never", {"score": 1}),
    )
    made = of_groups(rows, Rule(ratio=2.0, time="at"))
    assert said(made) == [("late", "same")]
    assert reasons(made) == ["earlier", None, None, "no_time"]
    assert len(said(of_groups(rows, Rule(ratio=2.0)))) == 5


def test_numbers_are_times_too_and_a_field_without_any_is_refused() -> None:
    rows = records(("q", "a", {"score": 9, "t": 5}), ("q", "b", {"score": 3, "t": 6.5}))
    assert reasons(of_groups(rows, Rule(time="t"))) == ["earlier", "earlier"]
    with pytest.raises(CurateError, match="none of 2 rows has a time in 'when'; expected a number"):
        of_groups(rows, Rule(time="when"))


# The same moment, in every form of ISO 8601 that data has it in.
NOON = [
    "2024-07-26T12:00:00Z",
    "2024-07-26T12:00:00+00:00",
    "2024-07-26T12:00:00-00:00",
    "2024-07-26T14:00:00+02:00",
    "2024-07-26T14:00:00+0200",
    "2024-07-26T14:00:00+02",
    "2024-07-26T07:00:00-05:00",
    "2024-07-26T17:30:00.000000+05:30",
    "2024-07-26T07:00:00\u221205:00",
    "2024-07-26 12:00:00",
    "2024-07-26 12:00:00+00:00",
    "2024-07-26 14:00:00 +0200",
    "2024-07-26 12:00:00 UTC",
    "2024-07-26 12:00",
    "2024-07-26T12",
    "2024-07-26t12:00:00z",
    " 2024-07-26T12:00:00.000Z ",
    "2024-07-26T12:00:00,000Z",
    "2024-07-26T12:00:00.000000000Z",
    "2024-07-26T14:00:00+02:00[Europe/Berlin]",
    "20240726T120000Z",
    "20240726T1200+0000",
    "2024-W30-5T12:00Z",
    "2024W305T1200Z",
    "2024-208T12:00:00Z",
    1721995200,
    "1721995200",
    1721995200.0,
    1721995200000,
    1721995200000000,
    1721995200000000000,
]


@pytest.mark.parametrize("noon", NOON)
def test_a_time_is_read_in_any_form_and_compared_across_forms(noon: Any) -> None:
    before = records(
        ("q", "a", {"score": 9, "t": noon}), ("q", "b", {"score": 3, "t": "2024-07-26T12:00:00.1Z"})
    )
    assert reasons(of_groups(before, Rule(time="t"))) == ["earlier", "earlier"]
    after = records(
        ("q", "a", {"score": 9, "t": noon}), ("q", "b", {"score": 3, "t": "2024-07-26T11:59:59.9Z"})
    )
    made = of_groups(after, Rule(time="t"))
    assert (reasons(made), made.notes) == ([None, None], ())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2024-07-26", "2024-07-26T00:00:01Z"),
        ("2024-07-25T24:00:00Z", "2024-07-26T00:00:01Z"),
        ("2024-07", "2024-07-01T00:00:01Z"),
        ("20240731", "20240801"),
        ("2024-12-31T23:59:60Z", "2025-01-01T00:00:01Z"),
        ("1969-12-31T23:59:59Z", 0),
        ("2024-07-26T12:00:00.000001Z", "2024-07-26T12:00:00.000002Z"),
        (1, 2),
        (-1.5, "-1"),
        (99999999, 100000000),  # counts, not days
    ],
)
def test_what_was_first_is_known(first: Any, second: Any) -> None:
    for times, expected in (((first, second), ["earlier"] * 2), ((second, first), [None] * 2)):
        fields = [{"score": score, "t": at} for score, at in zip((9, 3), times, strict=True)]
        rows = records(("q", "a", fields[0]), ("q", "b", fields[1]))
        assert reasons(of_groups(rows, Rule(time="t"))) == expected


NO_TIMES = [
    "yesterday", "2024-13-01", "2024-13", "2024-02-30T12:00:00Z", "2024-07-26T25:00:00Z", "12:00",
    "07/26/2024", "2024-07-26T12:61:00Z", "2024-07-26T24:00:01Z", "2024-07-26T12:00:00+25:00",
    "NaN", "inf", "2024-07-26T", "2024-07-26 noon", True, [2024], {"year": 2024},
]  # fmt: skip


@pytest.mark.parametrize("value", NO_TIMES)
def test_a_value_that_is_no_time_is_counted_and_shown(value: Any) -> None:
    rows = records(
        ("q", "a", {"score": 9, "t": "2024-07-26T12:00:00+00:00"}),
        ("q", "b", {"score": 3, "t": 1}),
        ("q", "c", {"score": 1, "t": value}),
        ("q", "d", {"score": 1}),
    )
    made = of_groups(rows, Rule(time="t"))
    assert reasons(made) == [None, None, "no_time", "no_time"]
    (note,) = made.notes
    assert note.startswith("1 of 3 values in 't' are no time, such as '")
    assert note.endswith(
        "; expected a number (seconds or milliseconds since 1970), or a date like"
        " 2024-07-26T12:00:00+02:00"
    )
    with pytest.raises(CurateError, match="none of 1 rows has a time in 't', such as '"):
        of_groups(rows[2:3], Rule(time="t"))


def test_an_answer_that_several_rows_give_makes_its_pairs_once() -> None:
    made = of_groups(votes(("a", 1), ("b", 9), ("A ", 1), ("b", 8)), Rule())
    assert said(made) == [("b", "a")]
    assert reasons(made) == [None, None, "repeated", "repeated"]


def test_too_many_answers_to_one_prompt_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.pairs.grouped.MOST_ANSWERS", 2)
    with pytest.raises(CurateError, match="one prompt has 3 answers, and at most 2 are compared"):
        of_groups(votes(("a", 1), ("b", 9), ("c", 1)), Rule())


def test_a_prompt_gives_its_widest_pairs_up_to_the_limit() -> None:
    made = of_groups(votes(("a", 1), ("b", 2), ("c", 9), ("d", 5)), Rule(per_parent=2))
    assert said(made) == [("c", "a"), ("c", "b")]
    assert reasons(made) == [None, None, None, "over_limit"]


def test_equal_prompts_of_different_posts_are_not_compared_when_asked() -> None:
    rows = records(
        ("q", "a", {"score": 1, "post": {"id": 7}}), ("q", "b", {"score": 9, "post": {"id": 8}}),
        ("q", "c", {"score": 3, "post": {"id": 7}}),
    )  # fmt: skip
    assert said(of_groups(rows, Rule(parent="post.id"))) == [("c", "a")]
    assert reasons(of_groups(rows, Rule(parent="post.id"))) == [None, "alone", None]


def test_each_row_that_is_in_no_pair_says_why() -> None:
    rows = records(
        ("q", "one", {"score": 5}), ("q", " ONE ", {"score": 1}), ("q", "", {"score": 9}),
        ("q", "two", {}), ("q", "low", {"score": -9}), ("other", "alone", {"score": 3}),
        ("r", "x", {"score": 2}), ("r", "y", {"score": 2}),
    )  # fmt: skip
    made = of_groups(rows, Rule(least=0.0))
    assert reasons(made) == [
        "same_answer", "same_answer", "empty_answer", "no_score", "below_least", "alone",
        "too_close", "too_close",
    ]  # fmt: skip
    counts = made.counts()
    assert sum(counts.values()) == 2 * counts["records"] == 16


def test_scores_that_are_not_numbers_are_none_and_none_at_all_is_an_error() -> None:
    rows = records(("q", "a", {"s": "NaN"}), ("q", "b", {"s": 1}), ("q", "c", {"s": "inf"}))
    assert reasons(of_groups(rows, Rule(by="s"))) == ["no_score", "alone", "no_score"]
    with pytest.raises(CurateError, match="none of 3 rows has a number in 'votes'; name the field"):
        of_groups(rows, Rule(by="votes"))


def test_a_rank_of_one_is_best_and_ties_make_no_pair() -> None:
    rows = records(*[("q", answer, {"rank": rank}) for answer, rank in
                     (("third", 3), ("first", 1), ("also first", 1), ("second", 2))])  # fmt: skip
    made = of_groups(rows, Rule(by="rank", lower=True))
    assert sorted(said(made)) == [
        ("also first", "second"), ("also first", "third"), ("first", "second"), ("first", "third"),
        ("second", "third"),
    ]  # fmt: skip
    assert made.pairs["parent"].n_unique() == 1


@quick
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.sampled_from("abcd"), st.integers(-2, 6), st.integers(0, 3)
        ),
        max_size=9,
    ),
    st.sampled_from([None, 1.5, 2.0]),
    st.sampled_from([0.0, 2.0]),
    st.sampled_from([None, 1, 2]),
)
def test_pairs_from_votes_are_their_definition(
    rows: list[tuple[int, str, int, int]], ratio: float | None, margin: float, limit: int | None
) -> None:
    given_ = records(
        *[
            (f"q{prompt}", answer, {"score": score, "t": time})
            for prompt, answer, score, time in rows
        ]
    )
    rule = Rule(ratio=ratio, margin=margin, time="t" if rows else None, per_parent=limit)
    if not rows:
        return
    expected = []
    for prompt in dict.fromkeys(prompt for prompt, *_ in rows):
        mine = [row for row in range(len(rows)) if rows[row][0] == prompt]
        found = []
        for one, other in combinations(mine, 2):
            best, worst = (one, other) if rows[one][2] >= rows[other][2] else (other, one)
            high, low = rows[best][2], rows[worst][2]
            far = high > low and high - low >= margin
            enough = ratio is None or low <= 0 or high >= ratio * low
            if (
                rows[one][1] != rows[other][1]
                and far
                and enough
                and rows[best][3] >= rows[worst][3]
            ):
                found.append((low - high, best, worst))
        distinct: dict[tuple[str, str], tuple[int, int]] = {}
        for _, best, worst in sorted(found):
            distinct.setdefault((rows[best][1], rows[worst][1]), (best, worst))
        expected += list(distinct.values())[:limit]
    made = of_groups(given_, rule)
    got = list(zip(made.pairs["line"].to_list(), said(made), strict=True))
    assert got == [(best + 1, (rows[best][1], rows[worst][1])) for best, worst in expected]
    used = {row for pair in expected for row in pair}
    assert [reason is None for reason in reasons(made)] == [row in used for row in range(len(rows))]


def test_the_targets_answer_is_chosen_over_each_other_valid_one() -> None:
    rows = records(
        ("q", "mine", {"who": "ann", "ok": True}), ("q", "his", {"who": "bob", "ok": True}),
        ("q", "bad", {"who": "cid", "ok": False}), ("q", "Mine", {"who": "dan", "ok": True}),
        ("r", "lonely", {"who": "ann", "ok": True}), ("s", "his", {"who": "bob", "ok": True}),
        ("q", "whose", {"ok": True}), ("q", "theirs", {"who": "eve", "ok": 1}),
    )  # fmt: skip
    made = of_annotators(rows, "who", "ann", valid="ok")
    assert said(made) == [("mine", "his"), ("mine", "theirs")]
    assert reasons(made) == [
        None, None, "not_valid", "same_answer", "alone", "no_target", "no_annotator", None,
    ]  # fmt: skip
    assert said(of_annotators(rows, "who", "bob")) == [
        ("his", "mine"), ("his", "bad"), ("his", "theirs"),
    ]  # fmt: skip
    known = "there is ann, bob, cid, dan, eve; did you mean 'ann'"
    with pytest.raises(CurateError, match=f"no row has 'anne' in 'who'; {known}"):
        of_annotators(rows, "who", "anne")
    with pytest.raises(CurateError, match="who is 'ann' in a row; expected true or false"):
        of_annotators(rows, "who", "ann", valid="who")


def dump(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(path)


JUDGED = {"instruction": "q", "input": "", "response1": "one two", "response2": "three"}


def judged(*chosen: int, **more: Any) -> dict[str, Any]:
    return JUDGED | {f"annotator{place}": vote for place, vote in enumerate(chosen, 1)} | more


def test_annotators_need_more_than_half_of_all_votes(tmp_path: Path) -> None:
    given_ = dump(
        tmp_path / "p.json",
        judged(2, 2, 1), judged(2, 0, 0), judged(1, 1, 0), judged(1, 2, 0), judged(0, 0, 0),
        judged(1, 1, 1, response2=" "), judged(1, 1, 1, response2="One  TWO"),
    )  # fmt: skip
    read = sources.read([given_]).records
    made = of_rejected(read)
    assert said(made) == [("three", "one two"), ("one two", "three")]
    assert reasons(made) == [
        None, "no_majority", None, "no_majority", "no_majority", "empty_answer", "same_answer",
    ]  # fmt: skip
    assert made.pairs["parent"].n_unique() == 1
    assert of_rejected(read, empty_rejected=True).pairs.height == 3


def test_pairs_with_a_conversation_before_them_keep_it_as_the_prompt(tmp_path: Path) -> None:
    before = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
              {"role": "user", "content": "c"}]  # fmt: skip
    given_ = dump(
        tmp_path / "p.jsonl",
        {"prompt": before, "chosen": [{"role": "assistant", "content": "good"}],
         "rejected": [{"role": "assistant", "content": "bad"}]},
        {"prompt": "q", "completion": "no pair"},
    )  # fmt: skip
    made = of_rejected(sources.read([given_]).records)
    assert [message["content"] for message in made.pairs["prompt"][0]] == ["a", "b", "c"]
    assert said(made) == [("b\n\ngood", "b\n\nbad")]
    assert reasons(made) == [None, "no_rejected"]


def test_a_summary_says_what_length_has_to_do_with_it(tmp_path: Path) -> None:
    rows = votes(("one two three", 3), ("one", 1))
    found = summary(of_groups(rows, Rule()).pairs)
    assert found[:4] == (1, 1, 1.0, 0.0)
    assert found.longer_wins == 1.0
    assert found.log_length_gap == pytest.approx(0.6931, abs=1e-4)
    assert "longer in 100.0%" in found.text()
    none = of_groups(votes(("a", 1), ("b", 1)), Rule())
    assert summary(none.pairs).text() == "no pairs"


def test_the_command_writes_pairs_that_readers_and_trainers_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    given_ = dump(
        tmp_path / "d.jsonl",
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "good"}],
         "score": 9, "tools": tool},
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "poor"}],
         "score": 2, "tools": tool},
        {"messages": [{"role": "user", "content": "r"}, {"role": "assistant", "content": "x"}],
         "score": 2},
        {"colour": "blue"},
    )  # fmt: skip
    out = tmp_path / "PAIRS"
    assert main(["pairs", given_, "--from", "votes", "--sft", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "4 rows read: 2 in pairs, 1 in no pair, 1 rejects" in printed
    assert f"alone: {REASONS['alone']}" in printed
    line = json.loads((out / "pairs.jsonl").read_text())
    assert line["prompt"] == [{"role": "user", "content": "q"}]
    assert line["chosen"] == [{"role": "assistant", "content": "good"}]
    assert line["rejected"] == [{"role": "assistant", "content": "poor"}]
    assert json.loads(line["tools"]) == tool
    back = sources.read([str(out / "pairs.jsonl")]).records.row(0, named=True)
    assert back["messages"][-1]["content"] == "good"
    assert back["rejected"][0]["content"] == "poor"
    assert back["score"] == 9.0
    sft = json.loads((out / "sft.jsonl").read_text())
    assert [message["content"] for message in sft["messages"]] == ["q", "good"]
    counts = json.loads((out / "manifest.json").read_text())["counts"]
    assert counts == {"read": 4, "rejects": 1, "records": 3, "used": 2, "alone": 1}
    unused = [json.loads(text) for text in (out / "unused.jsonl").read_text().splitlines()]
    assert [(row["line"], row["reason"]) for row in unused] == [(3, "alone")]
    assert len((out / "rejects.jsonl").read_text().splitlines()) == 1
    again = tmp_path / "again"
    assert main(["pairs", given_, "--from", "votes", "--sft", "--out", str(again), "--quiet"]) == 0
    for name in ("pairs.jsonl", "sft.jsonl", "unused.jsonl", "manifest.json"):
        assert (out / name).read_bytes() == (again / name).read_bytes()


def test_a_number_that_some_pairs_lack_is_in_the_table_and_in_no_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = {"prompt": "q", "chosen": "good", "rejected": "poor"}
    given_ = dump(tmp_path / "d.jsonl", plain, {**plain, "prompt": "r", "score": 4})
    out = tmp_path / "PAIRS"
    assert main(["pairs", given_, "--from", "rejected", "--out", str(out)]) == 0
    assert "1 of 2 pairs have no score_chosen: it is in pairs.parquet" in capsys.readouterr().out
    lines = [json.loads(text) for text in (out / "pairs.jsonl").read_text().splitlines()]
    assert [set(line) for line in lines] == [
        {"prompt", "chosen", "rejected", "source", "line", "parent"}
    ] * 2
    assert pl.read_parquet(out / "pairs.parquet")["score_chosen"].to_list() == [None, 4.0]


def test_a_folder_of_pairs_is_read_as_its_pairs(tmp_path: Path) -> None:
    plain = {"prompt": "q", "chosen": "good", "rejected": "poor"}
    given_ = dump(tmp_path / "d.jsonl", plain, {"prompt": "r", "completion": "alone"})
    out = tmp_path / "PAIRS"
    assert main(["pairs", given_, "--from", "rejected", "--sft", "--out", str(out), "--quiet"]) == 0
    back = sources.read([str(out)])
    assert back.records.height == 1 and back.records["rejected"][0][0]["content"] == "poor"


def test_the_scores_of_a_run_make_pairs_of_its_best_and_worst_answers(tmp_path: Path) -> None:
    given_ = dump(
        tmp_path / "d.jsonl",
        *[{"prompt": "q", "completion": answer, "rating": score}
          for answer, score in (("fine", 3), ("best", 5), ("worst", 1))],
    )  # fmt: skip
    recipe = tmp_path / "r.yaml"
    recipe.write_text("steps: [{reward: {column: score, per_prompt: 1, calibrate: none}}]")
    run, out = str(tmp_path / "RUN"), tmp_path / "PAIRS"
    assert main(["run", given_, "--recipe", str(recipe), "--out", run, "--quiet"]) == 0
    assert main(["pairs", run, "--from", "scores", "--out", str(out), "--quiet"]) == 0
    line = json.loads((out / "pairs.jsonl").read_text())
    assert line["chosen"][0]["content"] == "best"
    assert line["rejected"][0]["content"] == "worst"
    assert (line["score_chosen"], line["score_rejected"]) == (5.0, 1.0)


def test_a_list_of_answers_is_as_many_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored = {"a": 3, "b": "4.5", "c": 1, "d": None}
    answers = [{"model": "m", "response": text, "overall_score": score, "place": place}
               for place, (text, score) in enumerate(scored.items())]  # fmt: skip
    given_ = dump(
        tmp_path / "u.jsonl",
        {"instruction": "q", "completions": [*answers, {"response": 5, "overall_score": 2.5}]},
        {"prompt": "q", "completion": "e", "score": 2},
    )  # fmt: skip
    options = ["--from", "scores", "--by", "score", "--per-parent", "9", "--least", "2"]
    out = tmp_path / "PAIRS"
    assert main(["pairs", given_, *options, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "1 rows are lists of 5 answers; each answer counts as a row" in printed
    assert "6 rows read: 3 in pairs, 3 in no pair, 0 rejects" in printed
    pairs = [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]
    assert [(pair["chosen"][0]["content"], pair["rejected"][0]["content"]) for pair in pairs] == [
        ("b", "e"), ("b", "a"), ("a", "e"),
    ]  # fmt: skip
    counts = json.loads((out / "manifest.json").read_text())["counts"]
    assert counts == {
        "read": 2, "rejects": 0, "lists": 1, "answers": 5, "records": 6, "used": 3,
        "below_least": 1, "empty_answer": 1, "no_score": 1,
    }  # fmt: skip
    ranked = of_groups(
        unfold_lists(sources.read([given_]).records)[0], Rule(by="place", lower=True)
    )
    assert len(said(ranked)) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from", "scores", "--ratio", "2"], "--ratio is for --from votes, not scores; leave it"),
        (["--from", "rejected", "--by", "x"], "--by is for --from votes, scores, ranks, not"),
        (["--from", "annotators"], "--from annotators needs --target NAME"),
        (["--from", "votes", "--ratio", "0.5"], "ratio is 0.5; expected 1 or more"),
        (["--from", "votes", "--margin", "-1"], "margin is -1.0; expected 0 or more"),
        (["--from", "votes", "--by", "a..b"], "'a..b' is no field's name"),
        (["--from", "ranks"], "none of 2 rows has a number in 'rank'"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given_ = dump(tmp_path / "d.jsonl", {"prompt": "q", "completion": "a", "score": 1},
                  {"prompt": "q", "completion": "b", "score": 5})  # fmt: skip
    assert main(["pairs", given_, *options, "--out", str(tmp_path / "OUT")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "OUT").exists()


def test_the_command_says_how_many_values_are_no_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = ["2024-07-26T10:00:00+00:00", "2024-07-26T09:30:00-01:00", "soon"]
    rows = [
        {"prompt": "q", "completion": f"answer {row}", "score": 9 - 3 * row, "created": at}
        for row, at in enumerate(times)
    ]
    given_ = dump(tmp_path / "d.jsonl", *rows)
    out = tmp_path / "PAIRS"
    assert main(["pairs", given_, "--from", "votes", "--time", "created", "--out", str(out)]) == 0
    note = (
        "1 of 3 values in 'created' are no time, such as 'soon'; expected a number (seconds or"
        " milliseconds since 1970), or a date like 2024-07-26T12:00:00+02:00"
    )
    assert note in capsys.readouterr().out
    assert json.loads((out / "manifest.json").read_text())["notes"] == [note]
