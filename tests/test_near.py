"""Near-duplicates: which rows are dropped, for which, and why."""

from __future__ import annotations

import random

import polars as pl
import pytest

from curate.base.contract import Filter
from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.dedup.near.filter import Near, decide
from tests.near_rows import dropped, records

PROMPT = "Write a short note about the old lighthouse on the northern coast."
NOTE = (
    "The old lighthouse has stood on the northern coast for a hundred and forty years, and its "
    "keeper still climbs the ninety steps each evening to look at the sea before he goes to bed."
)
NEARLY = (PROMPT, NOTE.replace("ninety", "eighty"))
OTHER = (
    "Explain how bread is made.",
    "Mix flour, water, salt and yeast, let it rise, and bake it.",
)

# Each differs from the next in one word of thirteen: neighbours are alike (0.57), ends are not.
CHAIN = [
    ("", "one two three four five six seven eight nine ten eleven twelve thirteen"),
    ("", "one two three four five six ZERO eight nine ten eleven twelve thirteen"),
    ("", "one two three ZERO five six ZERO eight nine ten eleven twelve thirteen"),
]


def test_a_row_that_nearly_repeats_another_is_dropped_and_names_it():
    found = judge(Near(), records([(PROMPT, NOTE), OTHER, NEARLY])).verdicts
    assert found["keep"].to_list() == [True, True, False]
    assert found["duplicate_of"].to_list() == [None, None, 0]
    assert found["reason"].to_list() == [None, None, "near_duplicate"]
    assert found["evidence"][2] == "cluster of row 0: 2 rows"
    # 44 words make 42 shingles; one other word changes three of them.
    assert found["score"].to_list() == [None, None, 39 / 45]


def test_a_pair_exactly_at_the_threshold_is_dropped():
    assert dropped(Near(threshold=39 / 45), records_pair()) == {1: 0}
    assert dropped(Near(threshold=39 / 45 + 1e-9), records_pair()) == {}


def records_pair():
    return [(PROMPT, NOTE), NEARLY]


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.75, 0.8, 0.9])
def test_decimal_thresholds_take_ties_in(threshold):
    same, more = {0.5: (2, 4), 0.6: (3, 5), 0.7: (7, 10), 0.75: (3, 4), 0.8: (4, 5), 0.9: (9, 10)}[
        threshold
    ]
    one = " ".join(f"w{n}" for n in range(2 * same + 2))
    other = " ".join(f"w{n}" for n in range(2 * more + 2))
    assert dropped(Near(threshold=threshold, shingle="word"), [("", one), ("", other)]) == {1: 0}


def test_ends_of_a_chain_are_kept_when_only_the_middle_is_like_both():
    assert dropped(Near(threshold=0.5), CHAIN) == {1: 0}
    assert dropped(Near(threshold=0.5), [CHAIN[1], CHAIN[0], CHAIN[2]]) == {1: 0, 2: 0}


def test_connected_clusters_hold_the_whole_chain_but_keep_the_same_rows():
    frame = records([*CHAIN, OTHER])
    greedy, connected = Near(threshold=0.5), Near(threshold=0.5, clusters="connected")
    measures = judge(greedy, frame).measures
    assert decide(greedy, measures).root.tolist() == [0, 0, 2, 3]
    assert decide(connected, measures).root.tolist() == [0, 0, 0, 3]
    verdicts = connected.judge(measures).verdicts
    assert verdicts["keep"].to_list() == [True, False, True, True]
    assert verdicts["evidence"].to_list() == [
        *["cluster of row 0: 3 rows"] * 3,
        None,
    ]


def test_the_longest_or_the_best_is_kept_when_asked():
    rows = [(PROMPT, NOTE), (PROMPT, NOTE + " Good night."), NEARLY]
    assert dropped(Near(keep="longest"), rows) == {0: 1, 2: 1}
    assert dropped(Near(keep="best"), rows, score=[0.1, None, 0.2]) == {0: 2, 1: 2}
    assert Near(keep="best", by="reward.score").needs == ("reward.score",)
    assert Near().needs == ()


def test_a_row_whose_score_is_no_number_is_never_the_best():
    rows = [(PROMPT, NOTE), (PROMPT, NOTE + " Good night."), NEARLY]
    nan = float("nan")
    assert dropped(Near(keep="best"), rows, score=[nan, None, 0.0]) == {0: 2, 1: 2}
    least = float("-inf")
    assert dropped(Near(keep="best"), rows, score=[nan, nan, least]) == {0: 2, 1: 2}
    # Without any number the choice does not depend on the order of the input.
    (kept,) = {0, 1, 2} - set(dropped(Near(keep="best"), rows, score=[nan, None, nan]))
    moved = [rows[2], rows[0], rows[1]]
    (still,) = {0, 1, 2} - set(dropped(Near(keep="best"), moved, score=[nan, nan, nan]))
    assert moved[still] == rows[kept]


def test_field_says_what_is_compared():
    other_note = "Keepers are gone since the lamp was given a motor and a clock in nineteen eighty."
    rows = [(PROMPT, NOTE), (PROMPT, other_note), (OTHER[0], NOTE)]
    assert dropped(Near(field="prompt"), rows) == {1: 0}
    assert dropped(Near(field="response"), rows) == {2: 0}
    assert dropped(Near(), rows) == {}


def test_a_shared_system_prompt_makes_nothing_alike():
    system = {"role": "system", "content": " ".join(["You are a helpful assistant."] * 200)}
    rows = [
        [system, {"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        for prompt, answer in [(PROMPT, NOTE), OTHER]
    ]
    assert dropped(Near(), rows) == {}


def test_rows_whose_only_answer_is_another_tool_call_are_not_alike():
    def call(question, city):
        calls = f'[{{"name": "weather", "arguments": {{"city": "{city}", "days": {len(city)}}}}}]'
        return [
            {"role": "user", "content": question},
            {"role": "assistant", "content": None, "tool_calls": calls},
        ]

    question = "Tell me the weather there for the next days please"
    assert dropped(Near(), [call(question, "Rome"), call(question, "Trondheim")]) == {}
    assert dropped(Near(), [call(question, "Rome"), call(question, "Rome")]) == {1: 0}


def test_text_without_spaces_is_compared_by_its_characters():
    one = "北京是中华人民共和国的首都，也是全国的政治、文化和国际交往中心。"
    other = "北京是中华人民共和国的首都，也是全国的政治、文化和科技创新中心。"
    far = "今天的天气很好，我们打算下午去公园散步，然后回家做饭。"
    assert dropped(Near(threshold=0.6), [(one, one), (other, other), (far, far)]) == {1: 0}


def test_characters_find_what_words_miss():
    one = "generate a list of five colours"
    other = "generate a list of five colors"
    assert dropped(Near(threshold=0.6), [("", one), ("", other)]) == {}
    assert dropped(Near(threshold=0.6, shingle="char"), [("", one), ("", other)]) == {1: 0}


def test_running_twice_drops_nothing_more():
    words = ["red", "green", "blue", "white", "black", "grey", "brown", "pink", "gold", "teal"]
    draw = random.Random(5)
    rows = [("", " ".join(draw.choices(words, k=12))) for _ in range(400)]
    for step in (Near(threshold=0.3), Near(threshold=0.3, keep="longest")):
        gone = dropped(step, rows)
        assert gone
        left = [row for number, row in enumerate(rows) if number not in gone]
        assert dropped(step, left) == {}


@pytest.mark.parametrize("clusters", ["greedy", "connected"])
def test_permuting_the_rows_permutes_the_verdicts(clusters):
    words = ["red", "green", "blue", "white", "black"]
    draw = random.Random(7)
    rows = [("", " ".join(draw.choices(words, k=9))) for _ in range(200)]
    order = draw.sample(range(200), 200)
    step = Near(threshold=0.4, keep="longest", clusters=clusters)
    there = dropped(step, rows)
    moved = dropped(step, [rows[number] for number in order])
    assert there
    assert {rows[row]: rows[kept] for row, kept in there.items()} == {
        rows[order[row]]: rows[order[kept]] for row, kept in moved.items()
    }


def test_measures_do_not_depend_on_how_rows_are_split(monkeypatch):
    rows = [(PROMPT, NOTE), OTHER, NEARLY, ("", ""), ("Hi", "Hello"), ("", NOTE * 30)] * 5
    frame = records(rows)
    whole = Near().measure(frame)
    monkeypatch.setattr("filters.common.text.BLOCK", 100)
    assert Near().measure(frame).equals(whole)
    parts = pl.concat([Near().measure(frame[low : low + 7]) for low in range(0, 30, 7)])
    assert parts.equals(whole)


def test_no_rows_give_no_verdicts():
    assert judge(Near(), records([])).verdicts.height == 0
    assert judge(Near(clusters="connected"), records([])).verdicts.height == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (
            {"threshold": 0.0},
            "near: threshold is 0.0; expected a number of more than 0 and at most 1",
        ),
        ({"threshold": 1.5}, "near: threshold is 1.5"),
        ({"threshold": float("nan")}, "near: threshold is nan"),
        ({"shingle": "wrod"}, "expected one of adaptive, word, char; did you mean 'word'"),
        ({"size": 0}, "near: size is 0; expected a number of at least 1"),
        ({"bands": 129}, r"near: bands is 129; expected at most num_perm \(128\)"),
        ({"num_perm": 0}, "near: num_perm is 0"),
        ({"seed": -1}, "near: seed is -1"),
        ({"clusters": "all"}, "near: clusters is 'all'"),
        ({"by": "reward.score"}, "near: by is 'reward.score' but keep is 'first'"),
    ],
)
def test_a_wrong_setting_is_refused_before_any_data(wrong, says):
    with pytest.raises(CurateError, match=says):
        Near(**wrong)


def test_it_is_a_filter():
    assert isinstance(Near(), Filter)
