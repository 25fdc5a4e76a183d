from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate import sources
from curate.base.errors import CurateError
from curate.base.schema import with_text
from curate.pipeline import runner as pipeline
from curate.pipeline.judging import judge
from curate.pipeline.steps import Step, bind_steps
from filters.decontaminate.filter import Decontaminate

WORDS = [f"w{number}" for number in range(200)]


def text(start: int, count: int) -> str:
    return " ".join(WORDS[start : start + count])


def row_of(number: int) -> str:
    return " ".join(f"x{number}y{word}" for word in range(20))


def bound(evaluation: pl.DataFrame, **settings: Any) -> Any:
    return Decontaminate(against=("eval.jsonl",), **settings).bind(lambda paths: evaluation)


def test_more_than_half_of_the_words_in_shared_runs_is_an_overlap_and_half_is_not(conversation):
    step = bound(conversation((text(0, 40), "a")))
    rows = conversation((text(0, 22) + " other", "x"), (text(0, 20) + " other", "x"))
    found = judge(step, rows).verdicts
    assert found["keep"].to_list() == [False, True]
    assert found["score"].to_list() == [0.55, None]


def test_the_words_must_be_shared_with_one_and_the_same_row(conversation):
    step = bound(conversation((text(0, 40), "a")))
    rows = conversation((text(0, 20), "x"), (text(20, 20), "x"))
    assert judge(step, rows).verdicts["keep"].to_list() == [True, True]


def test_a_copy_with_one_edit_is_found_at_start_middle_and_end(conversation):
    step = bound(conversation((text(0, 40), "a")))
    copies = []
    for place in (0, 20, 39):
        words = WORDS[:40].copy()
        words[place] = "edited"
        copies.append(("before " + " ".join(words) + " after", "x"))
    assert judge(step, conversation(*copies)).verdicts["keep"].to_list() == [False] * 3


def test_the_evidence_is_the_shared_text_and_the_evaluation_row(conversation):
    step = bound(conversation((text(0, 3), "a"), (text(50, 10), "a")))
    found = judge(step, conversation((f"Say: {text(50, 10).upper()}!", "x"))).verdicts
    evidence = found["evidence"][0]
    assert repr(text(50, 10)) in evidence
    assert "test.jsonl:2" in evidence


def test_one_run_of_thirteen_words_is_enough_for_ngram13_and_twelve_are_not(conversation):
    step = bound(conversation((text(0, 60), "a")), rule="ngram13")
    rows = conversation((text(10, 13) + " z", "x"), (text(10, 12) + " z", "x"))
    assert judge(step, rows).verdicts["keep"].to_list() == [False, True]


def test_wording_of_a_whole_benchmark_is_no_overlap_for_ngram13(conversation):
    items = [(f"{text(0, 14)} question{number}", "a") for number in range(30)]
    step = bound(conversation(*items), rule="ngram13")
    assert judge(step, conversation((text(0, 14), "x"))).verdicts["keep"].to_list() == [True]


def test_wording_of_a_whole_benchmark_counts_for_tulu3_as_the_rule_says(conversation):
    items = [(f"{text(0, 14)} {text(20 + number, 10)}", "a") for number in range(30)]
    step = bound(conversation(*items))
    measures = judge(step, conversation((text(0, 14) + " " + text(20, 10), "x"))).measures
    overlaps = measures["overlaps"][0].struct.unnest().sort("item")
    assert overlaps["share"][0] == 1.0
    assert overlaps["share"][29] == 14 / 24
    assert overlaps.height == 30


def test_a_short_prompt_must_equal_a_whole_prompt_or_user_message(conversation):
    step = bound(conversation(("What is 5 + 3?", "8")))
    rows = conversation(
        ("what  is 5 + 3", "8"), ("What is 5 - 3?", "2"), ("Tell me: What is 5 + 3? Now!", "Why?")
    )
    found = judge(step, rows).verdicts
    assert found["reason"].to_list() == ["evaluation_prompt", None, None]


def test_a_record_without_a_users_message_is_compared_as_the_others_are(conversation):
    rows = conversation(("Who are you?", "A bell."), ("Where is it?", "There."))
    alone = pl.element().filter(pl.element().struct.field("role") == "assistant")
    is_second = pl.int_range(pl.len()) == 1
    rows = rows.with_columns(
        pl.when(is_second).then(pl.col("messages").list.eval(alone)).otherwise("messages"),
        prompt=pl.when(is_second).then(pl.lit("")).otherwise("prompt"),
    )
    step = bound(conversation(("who are you", "Nobody."), ("Why?", "So.")))
    assert judge(step, rows).verdicts["keep"].to_list() == [False, True]


def test_a_short_answer_alone_proves_nothing(conversation):
    step = bound(conversation((text(0, 30), "Paris.")), field="both")
    assert judge(step, conversation(("Capital?", "Paris."))).verdicts["keep"].to_list() == [True]


def test_answers_are_looked_for_when_asked(conversation):
    evaluation = conversation((text(0, 30), text(100, 30)))
    rows = conversation(("q", text(100, 30)), (text(100, 30), "explain"))
    keeps = {
        field: judge(bound(evaluation, field=field), rows).verdicts["keep"].to_list()
        for field in ("prompt", "response", "both")
    }
    assert keeps == {"prompt": [True, True], "response": [False, True], "both": [False, False]}


def test_more_than_two_percent_of_a_set_makes_it_contaminated(conversation):
    evaluation = conversation(*[(row_of(number), "a") for number in range(50)])
    for planted, verdict in ((1, False), (2, True)):
        rows = conversation(*[(row_of(number), "x") for number in range(planted)])
        step = bound(evaluation)
        found = judge(step, rows).findings
        (numbers,) = found.numbers["evaluations"]
        assert (numbers["hit"], numbers["contaminated"]) == (planted, verdict)
        assert found.sentences[0].startswith("contaminated for") is verdict
        assert found.tables["matches"].height == planted


def test_of_very_many_evaluation_files_those_in_the_set_are_said_and_the_others_counted(
    conversation,
):
    asked = {f"eval-{number}.jsonl": row_of(number) for number in range(300)}
    step = Decontaminate(against=tuple(asked)).bind(
        lambda paths: conversation((asked[paths[0]], "a"))
    )
    found = judge(step, conversation((row_of(7), "x"), (row_of(250), "x"))).findings
    assert len(found.sentences) == 3
    assert {said.split(":")[0] for said in found.sentences[:2]} == {
        "contaminated for eval-7.jsonl",
        "contaminated for eval-250.jsonl",
    }
    assert found.sentences[2] == ("298 more files: clean, 0 of 298 rows; `evaluations` has each")
    assert len(found.numbers["evaluations"]) == 300
    all_of_them = conversation(*[(row_of(number), "x") for number in range(300)])
    said = judge(step, all_of_them).findings.sentences
    assert len(said) == 21
    assert said[20] == (
        "280 more files: 280 of 280 rows found; 280 of them are contaminated, over 2%; "
        "`evaluations` has each"
    )


def test_files_of_which_many_have_no_text_are_counted(conversation):
    step = Decontaminate(against=tuple(f"eval-{number}.jsonl" for number in range(30))).bind(
        lambda paths: conversation((row_of(int(paths[0][5:-6])), "a"), ("", "b"))
    )
    said = judge(step, conversation(("other words", "x"))).findings.sentences
    assert sum(sentence.endswith("so they are not looked for") for sentence in said) == 20
    assert "10 more files: so it is of 10 rows" in said


def test_equal_hashes_are_no_overlap(conversation, monkeypatch):
    import numpy as np

    import filters.decontaminate.grams as grams

    monkeypatch.setattr(grams, "hash_spans", lambda data, low, high: np.zeros(len(low), np.uint64))
    step = bound(conversation((text(0, 20), "a")))
    assert judge(step, conversation((text(100, 20), "x"))).verdicts["keep"].to_list() == [True]


def test_an_evaluation_without_text_is_an_error(conversation):
    with pytest.raises(CurateError, match="has no prompt text in its 1 rows"):
        bound(conversation(("", "answer")))


def test_nothing_to_compare_with_is_an_error():
    with pytest.raises(CurateError, match="against is empty"):
        Decontaminate()


def test_a_vector_finds_what_runs_of_words_do_not(conversation):
    evaluation = conversation(("alpha beta gamma delta epsilon zeta eta theta iota kappa", "a"))
    rows = conversation(
        ("kappa alpha gamma beta epsilon delta eta zeta iota theta", "x"), ("no", "x")
    )
    assert judge(bound(evaluation), rows).verdicts["keep"].to_list() == [True, True]
    found = judge(bound(evaluation, encoder="lexical", cosine=0.6), rows).verdicts
    assert found["reason"].to_list() == ["evaluation_rephrased", None]


def test_hostile_rows_take_no_time(conversation):
    step = bound(conversation((text(0, 40), "a"), ("short", "a")), field="both")
    rows = conversation(
        *[(text(0, 40), "x")] * 5000, ("", ""), ("a b " * 500_000, ""), ("🙂" * 50, "")
    )
    assert judge(step, rows).verdicts["keep"].sum() == 3


def gsm8k(folder: Path) -> tuple[pl.DataFrame, list[dict[str, str]], Any]:
    def read(paths: Any) -> pl.DataFrame:
        return with_text(sources.read(list(paths)).records)

    path = folder / "eval/gsm8k_test.jsonl"
    test = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    step = Decontaminate(against=(str(path),)).bind(read)
    return read([str(folder / "raw/gsm8k_train_alpaca.json")]), test, step


def test_gsm8k_is_clean_and_fifty_planted_rows_are_found(test_data: Path, conversation) -> None:
    train, test, step = gsm8k(test_data)
    of_train = judge(step, train)
    (numbers,) = of_train.findings.numbers["evaluations"]
    # Three training rows repeat two test rows with other numbers: dropped, yet far from 2 %.
    assert (numbers["hit"], numbers["contaminated"]) == (2, False)
    assert int((~of_train.verdicts["keep"]).sum()) == 3
    planted = conversation(*[(row["question"], row["answer"]) for row in test[::26][:50]])
    _, found, findings = judge(step, planted)
    assert found["keep"].sum() == 0
    assert found["score"].min() == 1.0
    (numbers,) = findings.numbers["evaluations"]
    assert (numbers["hit"], numbers["contaminated"]) == (50, True)


def test_evaluation_rows_that_only_ask_are_compared_and_unreadable_ones_are_counted(
    tmp_path: Path,
) -> None:
    question = row_of(0)
    rows = [
        {"question": question},
        {"question_id": 1, "category": "writing", "turns": [row_of(1), row_of(2)]},
        {"messages": [{"role": "user", "content": row_of(3)}]},
        {"nothing": "known"},
    ]
    path = tmp_path / "eval.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    dump = [
        {"instruction": asked, "output": "x"}
        for asked in (question, f"{row_of(1)} {row_of(2)}", row_of(3), row_of(9))
    ]
    (tmp_path / "dump.json").write_text(json.dumps(dump))
    warnings: list[str] = []
    steps = [Step("decontaminate", Decontaminate(against=(str(path), str(path))))]
    ready = bind_steps(steps, warnings.append)
    result = pipeline.run(sources.read([str(tmp_path / "dump.json")]).records, ready)
    assert result.kept.to_list() == [False, False, False, True]
    assert len(warnings) == 1 and "1 of 4 rows cannot be read" in warnings[0]
    assert "3 of 3 rows" in " ".join(result.steps[0].sentences)
