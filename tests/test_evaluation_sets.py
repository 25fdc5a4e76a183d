"""Evaluation sets as they are published: what is asked, what counts as right, what is found."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import hypothesis
import polars as pl
import pytest
from hypothesis import strategies as st

from curate import sources
from curate.base.errors import CurateError
from curate.cli import main
from curate.pipeline import runner
from curate.pipeline.steps import Step, bind_steps
from curate.sources.evaluations import questions
from curate.sources.evaluations.benchmarks import SHAPES, question_in
from curate.sources.shared.convert import Reject
from filters.decontaminate.filter import Decontaminate

TRAIN = (
    "A freight train leaves the northern harbour at seven in the morning with forty two wagons of "
    "coal, and loses three of them at each of the five stations on its way south to the capital."
)
RIVER = (
    "Which of the rivers that rise in the eastern highlands of the old kingdom carries the largest "
    "amount of water in spring, when the snow of the whole mountain range melts within two weeks?"
)
CODE = '''from typing import List

def longest_plateau(heights: List[int], tolerance: int) -> int:
    """ Return the length of the longest run of neighbouring heights that differ from the first
    of them by no more than the given tolerance, or zero if the list of heights is empty.
    """
'''
PASSAGE = (
    "The lighthouse of Skerrow was built in 1811 by two brothers from the mainland, who carried "
    "all of its granite across the strait in open boats. Its lamp burned whale oil until 1874. A "
    "storm took the upper gallery in the winter of 1903, and the keepers lived in the cellar."
)
ABOUT = "in which year did the keepers of the Skerrow lighthouse have to live in the cellar"
OPTIONS = ["the Varna", "the Great Lohn", "the Little Lohn", "the Eske"]


@dataclass(frozen=True)
class Case:
    """A row as published, and what is read of it."""

    row: dict[str, Any]
    turns: list[str]
    answers: list[str] = field(default_factory=list)
    context: str = ""
    others: list[str] = field(default_factory=list)


CASES: dict[str, Case] = {
    "harness": Case(
        {
            "request_type": "generate_until",
            "doc": {"task_id": "X/0", "prompt": CODE, "canonical_solution": "    return 0\n"},
            "arguments": [CODE],
            "idx": 0,
        },
        [CODE],
        ["    return 0\n"],
    ),
    "squad-articles": Case(
        {
            "title": "Skerrow",
            "paragraphs": [
                {
                    "context": PASSAGE,
                    "qas": [
                        {
                            "question": ABOUT,
                            "id": "a",
                            "answers": [{"text": "1903", "answer_start": 9}],
                            "is_impossible": False,
                        }
                    ],
                }
            ],
        },
        [ABOUT],
        ["1903"],
        PASSAGE,
    ),
    "drop-passages": Case(
        {
            "passage": PASSAGE,
            "qa_pairs": [
                {
                    "question": ABOUT,
                    "answer": {"number": "1903", "date": {"day": ""}, "spans": []},
                    "query_id": "q",
                }
            ],
        },
        [ABOUT],
        ["1903"],
        PASSAGE,
    ),
    "race-articles": Case(
        {
            "article": PASSAGE,
            "questions": [ABOUT],
            "options": [["1811", "1874", "1903"]],
            "answers": ["C"],
            "id": "high1.txt",
        },
        [ABOUT],
        ["1903"],
        PASSAGE,
    ),
    "turns": Case(
        {
            "question_id": 81,
            "category": "math",
            "turns": [TRAIN, "And how many arrive?"],
            "reference": ["It loses 15 wagons.", "27"],
        },
        [TRAIN, "And how many arrive?"],
        ["It loses 15 wagons.", "27"],
    ),
    "wildbench": Case(
        {
            "session_id": "s",
            "conversation_input": [
                {"role": "user", "content": TRAIN, "language": "English"},
                {"role": "assistant", "content": "What is the question?", "language": "English"},
                {"role": "user", "content": "How many arrive?", "language": "English"},
            ],
            "checklist": ["Is it 27?"],
            "references": {"gpt-4": "27 wagons arrive."},
            "primary_tag": "Math",
        },
        [TRAIN, "How many arrive?"],
        ["27 wagons arrive."],
    ),
    "chat-prompt": Case(
        {
            "data_source": "aime",
            "prompt": [{"role": "system", "content": "Think."}, {"role": "user", "content": TRAIN}],
            "reward_model": {"style": "rule", "ground_truth": "27"},
        },
        [TRAIN],
        ["27"],
    ),
    "bigcodebench": Case(
        {
            "task_id": "BigCodeBench/0",
            "complete_prompt": CODE,
            "instruct_prompt": TRAIN,
            "canonical_solution": "    return 0",
            "code_prompt": "from typing import List",
            "test": "assert True",
            "entry_point": "task_func",
        },
        [CODE],
        ["    return 0"],
        others=[TRAIN],
    ),
    "livecodebench": Case(
        {
            "question_title": "A. Wagons",
            "question_content": TRAIN,
            "platform": "codeforces",
            "question_id": "1873_A",
            "contest_id": "1873",
            "starter_code": "",
            "public_test_cases": "[]",
        },
        [TRAIN],
    ),
    "humaneval": Case(
        {
            "task_id": "HumanEval/0",
            "prompt": CODE,
            "canonical_solution": "    return 0\n",
            "test": "def check(f): pass",
            "entry_point": "longest_plateau",
        },
        [CODE],
        ["    return 0\n"],
    ),
    "mbpp": Case(
        {"task_id": 2, "text": TRAIN, "code": "def f(): ...", "test_list": ["assert f() is None"]},
        [TRAIN],
        ["def f(): ..."],
    ),
    "swe-bench": Case(
        {"instance_id": "a__b-1", "repo": "a/b", "problem_statement": TRAIN, "patch": "--- a\n"},
        [TRAIN],
        ["--- a\n"],
    ),
    "winogrande": Case(
        {
            "sentence": f"{TRAIN} The driver thanked the guard because _ had counted them.",
            "option1": "the driver",
            "option2": "the guard",
            "answer": "2",
        },
        [f"{TRAIN} The driver thanked the guard because _ had counted them."],
        ["the guard"],
    ),
    "hellaswag": Case(
        {
            "ind": 4,
            "activity_label": "Railways",
            "ctx_a": TRAIN,
            "ctx_b": "the driver",
            "ctx": f"{TRAIN} the driver",
            "endings": ["sings.", "counts the wagons.", "swims.", "melts."],
            "label": "1",
        },
        [f"{TRAIN} the driver"],
        ["counts the wagons."],
    ),
    "piqa": Case(
        {"goal": TRAIN, "sol1": "Count the wagons.", "sol2": "Paint the wagons.", "label": 0},
        [TRAIN],
        ["Count the wagons."],
    ),
    "copa": Case(
        {
            "premise": TRAIN,
            "choice1": "a",
            "choice2": "It slows.",
            "question": "effect",
            "label": 1,
        },
        [TRAIN],
        ["It slows."],
    ),
    "social-iqa": Case(
        {
            "context": PASSAGE,
            "question": ABOUT,
            "answerA": "1811",
            "answerB": "1874",
            "answerC": "1903",
            "label": "3",
        },
        [ABOUT],
        ["1903"],
        PASSAGE,
    ),
    "belebele": Case(
        {
            "link": "l",
            "question_number": 1,
            "flores_passage": PASSAGE,
            "question": ABOUT,
            "mc_answer1": "1811",
            "mc_answer2": "1903",
            "mc_answer3": "1874",
            "mc_answer4": "1900",
            "correct_answer_num": "2",
        },
        [ABOUT],
        ["1903"],
        PASSAGE,
    ),
    "medmcqa": Case(
        {
            "id": "e",
            "question": RIVER,
            **dict(zip(("opa", "opb", "opc", "opd"), OPTIONS, strict=True)),
            "cop": 1,
            "exp": "Snow melts.",
        },
        [RIVER],
        ["the Great Lohn", "Snow melts."],
    ),
    "truthfulqa": Case(
        {
            "question": RIVER,
            "mc1_targets": {"choices": OPTIONS, "labels": [0, 1, 0, 0]},
            "mc2_targets": {"choices": OPTIONS, "labels": [0, 1, 1, 0]},
        },
        [RIVER],
        ["the Great Lohn", "the Little Lohn"],
    ),
    "gpqa": Case(
        {
            "Record ID": "rec1",
            "Question": RIVER,
            "Correct Answer": "the Eske",
            "Incorrect Answer 1": "the Varna",
            "Incorrect Answer 2": "the Great Lohn",
            "Incorrect Answer 3": "the Little Lohn",
            "Explanation": "Its basin is the largest.",
            "Writer's Difficulty Estimate": "Hard",
        },
        [RIVER],
        ["the Eske", "Its basin is the largest."],
    ),
    "triviaqa": Case(
        {
            "question": RIVER,
            "question_id": "tc_1",
            "question_source": "x",
            "entity_pages": {"title": []},
            "search_results": {"title": []},
            "answer": {
                "aliases": ["Eske", "The Eske", "River Eske"],
                "normalized_aliases": ["eske", "river eske"],
                "normalized_value": "eske",
                "type": "WikipediaEntity",
                "value": "Eske",
            },
        },
        [RIVER],
        ["Eske", "The Eske", "River Eske"],
    ),
    "openbookqa": Case(
        {
            "id": "7",
            "question_stem": RIVER,
            "choices": {"text": OPTIONS, "label": ["A", "B", "C", "D"]},
            "answerKey": "D",
        },
        [RIVER],
        ["the Eske"],
    ),
    "stems": Case(
        {
            "id": "7",
            "question": {
                "stem": RIVER,
                "choices": [
                    {"text": text, "label": label}
                    for text, label in zip(OPTIONS, "1234", strict=True)
                ],
            },
            "answerKey": "3",
        },
        [RIVER],
        ["the Little Lohn"],
    ),
    "boolq": Case(
        {"question": ABOUT, "passage": PASSAGE, "answer": True}, [ABOUT], ["yes"], PASSAGE
    ),
    "passage-choices": Case(
        {
            "article": PASSAGE,
            "question": ABOUT,
            "options": ["1811", "1874", "1903", "1900"],
            "answer": "C",
            "example_id": "high1.txt",
        },
        [ABOUT],
        ["1903"],
        PASSAGE,
    ),
    "choices": Case(
        {"question": RIVER, "subject": "geography", "choices": OPTIONS, "answer": 3},
        [RIVER],
        ["the Eske"],
    ),
    "lettered": Case(
        {
            "id": 0,
            "question": RIVER,
            **dict(zip("ABCD", OPTIONS, strict=True)),
            "answer": "A",
            "explanation": "It is the longest.",
        },
        [RIVER],
        ["the Varna", "It is the longest."],
    ),
    "squad": Case(
        {
            "id": "a",
            "title": "Skerrow",
            "context": PASSAGE,
            "question": ABOUT,
            "answers": {"text": ["1903", "in 1903"], "answer_start": [9, 6]},
        },
        [ABOUT],
        ["1903", "in 1903"],
        PASSAGE,
    ),
    "sentence-pairs": Case(
        {"premise": TRAIN, "hypothesis": "The train loses wagons.", "label": 0},
        [f"{TRAIN}\n\nThe train loses wagons."],
    ),
    "ifeval": Case(
        {"key": 1000, "prompt": TRAIN, "instruction_id_list": ["x:y"], "kwargs": [{}]}, [TRAIN]
    ),
    "bbh": Case({"input": TRAIN, "target": "(B)"}, [TRAIN], ["(B)"]),
    "math": Case(
        {"problem": TRAIN, "level": "Level 1", "type": "Algebra", "solution": "It is $27$."},
        [TRAIN],
        ["It is $27$."],
    ),
    "questions": Case(
        {"question": TRAIN, "answer": ["27", "twenty seven"]}, [TRAIN], ["27", "twenty seven"]
    ),
    "passage-instruction": Case(
        {"instruction": ABOUT, "context": PASSAGE, "response": "In 1903.", "category": "closed_qa"},
        [ABOUT],
        ["In 1903."],
        PASSAGE,
    ),
    "alpaca-eval": Case(
        {"instruction": TRAIN, "output": "27.", "generator": "davinci", "dataset": "koala"},
        [TRAIN],
        ["27."],
    ),
    "arena-hard": Case(
        {"uid": "u", "category": "hard_prompt", "subcategory": "math", "prompt": TRAIN}, [TRAIN]
    ),
    "text": Case({"text": TRAIN, "domain": "novels"}, [TRAIN], [TRAIN]),
}


def written(folder: Path, *rows: Any, name: str = "set.jsonl") -> str:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def given(path: str, columns: Mapping[str, str] | None = None) -> list[Case]:
    """What is read of a file."""
    records = questions.read([path], columns or {}, "decontaminate.columns").records
    rows = records.select("messages", "context", "other_prompts").iter_rows()
    return [
        Case(
            {},
            [turn["content"] for turn in messages if turn["role"] == "user"],
            [turn["content"] for turn in messages if turn["role"] == "assistant"],
            context,
            others,
        )
        for messages, context, others in rows
    ]


def read_by(path: str) -> list[tuple[list[str], list[str]]]:
    return [(case.turns, case.answers) for case in given(path)]


def bound(path: str, warnings: list[str] | None = None, **settings: Any) -> Step:
    step = Step("decontaminate", Decontaminate(against=(path,), **settings))
    (ready,) = bind_steps([step], ([] if warnings is None else warnings).append)
    return ready


def kept(step: Step, records: pl.DataFrame) -> list[bool]:
    return runner.run(records, [step]).kept.to_list()


def test_every_shape_has_a_case() -> None:
    assert list(CASES) == list(SHAPES)


@pytest.mark.parametrize("name", CASES)
def test_a_published_row_is_read_as_its_question_and_its_right_answers(
    name: str, tmp_path: Path
) -> None:
    case = CASES[name]
    assert given(written(tmp_path, case.row)) == [replace(case, row={})]


@pytest.mark.parametrize("name", CASES)
def test_an_item_in_a_prompt_is_found_wherever_it_stands_and_a_clean_set_is_clean(
    name: str, tmp_path: Path, conversation: Any
) -> None:
    case = CASES[name]
    step = bound(written(tmp_path, case.row))
    item = "\n\n".join(case.turns)
    leaked = [item, f"{item}\nChoose A or B.", f"Answer this: {item} Now!", f"Now answer: {item}"]
    leaked += [case.turns[0], *case.others]
    leaked += [f"{case.context}\n\n{item}"] if case.context else []
    assert not any(kept(step, conversation(*[(text, "x") for text in leaked])))
    clean = conversation(
        ("Name three rivers of the old kingdom and say where each of them rises.", item),
        ("Write a function that returns the length of a list, with a docstring.", "x"),
        ("The train leaves at seven in the morning. When does it arrive in the capital?", "x"),
        ("Who built the lighthouse, and when did the storm take its upper gallery away?", "x"),
        ("Choose A or B.", " ".join(case.answers)),
    )
    assert all(kept(step, clean))


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if len(case.turns[0].split()) >= 24]
)
def test_one_edited_word_does_not_hide_an_item(
    name: str, tmp_path: Path, conversation: Any
) -> None:
    case = CASES[name]
    step = bound(written(tmp_path, case.row))
    words = "\n\n".join(case.turns).split()
    edited = [
        " ".join([*words[:at], "edited", *words[at + 1 :]])
        for at in (0, len(words) // 2, len(words) - 1)
    ]
    assert not any(kept(step, conversation(*[(f"Now: {text} Go", "x") for text in edited])))


def test_a_question_is_found_without_its_passage_and_the_choices_do_not_dilute_it(
    tmp_path: Path, conversation: Any
) -> None:
    long = [f"{option}, {PASSAGE}" for option in OPTIONS]
    row = {"question": ABOUT, "choices": long, "answer": 1}
    rows = conversation((ABOUT, "x"), (PASSAGE, "x"))
    assert kept(bound(written(tmp_path, row)), rows) == [False, True]
    row = {"question": ABOUT, "passage": PASSAGE, "answer": False}
    assert kept(bound(written(tmp_path, row)), rows) == [False, True]


def test_a_short_or_common_question_is_looked_for_behind_its_passage(
    tmp_path: Path, conversation: Any
) -> None:
    other = TRAIN + " " + RIVER
    common = "What would be the best title for this whole passage?"
    rows = [
        {"article": text, "question": asked, "options": ["a", "b"], "answer": "A"}
        for text in (PASSAGE, other)
        for asked in (common, "Who wrote it?" if text is PASSAGE else "Why?")
    ]
    step = bound(written(tmp_path, *rows))
    dump = conversation(
        (common, "x"),
        (f"Some other article of ours. {common}", "x"),
        (f"{PASSAGE}\n\n{common}", "x"),
        (f"Read. {other} Why?", "x"),
        ("who wrote it", "x"),
    )
    assert kept(step, dump) == [True, True, False, False, False]


def test_the_first_turn_alone_is_found_and_a_later_one_is_not(
    tmp_path: Path, conversation: Any
) -> None:
    more = "Please rewrite all of your previous response in the style of an old letter."
    step = bound(written(tmp_path, {"question_id": 1, "turns": [TRAIN, more]}))
    assert kept(step, conversation((TRAIN, "x"), (more, "x"), ("Hi", "x"))) == [False, True, True]
    short = bound(written(tmp_path, {"question_id": 1, "turns": ["Hi", TRAIN]}))
    assert kept(short, conversation(("Hi", "x"), (f"Hi\n\n{TRAIN}", "x"))) == [True, False]


def test_either_prompt_of_bigcodebench_is_a_leak_of_one_row(
    tmp_path: Path, conversation: Any
) -> None:
    step = bound(written(tmp_path, CASES["bigcodebench"].row))
    result = runner.run(conversation((CODE, "x"), (TRAIN, "x")), [step])
    assert result.kept.to_list() == [False, False]
    assert "1 of 1 rows" in result.steps[0].sentences[0]


@pytest.mark.parametrize("field", ["response", "both"])
def test_each_right_answer_is_looked_for_by_itself(
    field: Any, tmp_path: Path, conversation: Any
) -> None:
    aliases = [f"{name} which rises in the eastern highlands of the old kingdom" for name in "ab"]
    rows = [
        {"question": RIVER, "answer": {"value": aliases[0], "aliases": aliases}},
        {"question": TRAIN, "answer": [TRAIN, "27"]},
        {"question": ABOUT, "choices": [PASSAGE, CODE], "answer": 0},
        {"question": ABOUT, "references": "x", "Correct Answer": "1903", "Explanation": PASSAGE},
        {"problem": "Why?", "solution": "27", "answer": RIVER},
    ]
    step = bound(written(tmp_path, *rows), field=field)
    leaked = (aliases[1], f"{TRAIN} Yes.", f"Well. {PASSAGE}", RIVER)
    rows_of = conversation(*[("q", text) for text in (*leaked, CODE, "27", "1903")])
    assert kept(step, rows_of) == [False] * 4 + [True] * 3


def test_answers_that_are_all_short_are_an_error_where_nothing_else_is_looked_for(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, CASES["boolq"].row)
    with pytest.raises(CurateError, match=r"every answer of .*set.jsonl has under 8 words"):
        bound(path, field="response")
    with pytest.raises(CurateError, match="no response text in its 1 rows"):
        bound(written(tmp_path, CASES["ifeval"].row), field="response")


def test_rows_without_an_answer_are_counted(tmp_path: Path, conversation: Any) -> None:
    rows = [{"goal": TRAIN, "sol1": RIVER, "sol2": "b", "label": label} for label in (0, -1)]
    step = bound(written(tmp_path, *rows), field="response")
    sentences = runner.run(conversation(("a", "b")), [step]).steps[0].sentences
    assert "set.jsonl: 1 of 2 rows have no response text, so they are not looked for" in sentences


# --- what the same set looks like elsewhere


@pytest.mark.parametrize(
    ("row", "answers"),
    [
        ({"Problem": TRAIN, "Answer": 27, "Solution": "Subtract.", "ID": "2"}, ["Subtract.", "27"]),
        ({"ID": "2024-I-1", "problem": TRAIN, "answer": "027"}, ["027"]),
        ({"PROBLEM": TRAIN, "ANSWER": 27.5}, ["27.5"]),
        ({"question": TRAIN, "passage": PASSAGE, "idx": 0, "label": 0}, ["no"]),
        ({"question": TRAIN, "passage": PASSAGE, "answer": "TRUE"}, ["yes"]),
        ({"question": TRAIN, "passage": PASSAGE, "idx": 0, "label": -1}, []),
        ({"question": TRAIN, "passage": PASSAGE, "answer": "Anna"}, ["Anna"]),
        ({"question": TRAIN, "answer": True, "facts": ["a"]}, ["yes"]),
        ({"question": TRAIN, "options": OPTIONS, "answer": "C", "answer_index": 2}, [OPTIONS[2]]),
        (
            {"question": TRAIN, "options": OPTIONS, "answer_index": 0, "cot_content": "A: Look."},
            [OPTIONS[0], "A: Look."],
        ),
        ({"question": TRAIN, "options": {"A": "x", "B": "y"}, "answer_idx": "B"}, ["y"]),
        ({"question": TRAIN, "options": {"A": "x", "B": "yes"}, "answer": "yes"}, ["yes"]),
        ({"question": TRAIN, "choices": OPTIONS, "answer": "(b)"}, [OPTIONS[1]]),
        ({"question": TRAIN, "choices": OPTIONS, "answer": ["D"]}, [OPTIONS[3]]),
        ({"question": TRAIN, "choices": OPTIONS, "answer": 7}, []),
        ({"question": TRAIN, "choices": OPTIONS, "answer": -1}, []),
        ({"question": TRAIN, "choices": OPTIONS, "answer": "E"}, []),
        ({"question": TRAIN, "choices": OPTIONS}, []),
        ({"question": TRAIN, "choices": "['x', 'y']", "answer": "1"}, ["y"]),
        ({"question": TRAIN, "choices": '["x", "y"]', "answer": "B"}, ["y"]),
        ({"question": TRAIN, "choices": "['x' 'y']", "answer": "A"}, []),
        (
            {"question": TRAIN, "choices": {"label": ["A", "B"], "text": ["x", "y"]}},
            [],
        ),
        (
            {"question": TRAIN, "question_concept": "c", "answerKey": "B"}
            | {"choices": {"label": ["A", "B"], "text": ["x", "y"]}},
            ["y"],
        ),
        ({"passage": None, "question": TRAIN, "options": ["(A)x", "(B)y"], "label": "B"}, ["(B)y"]),
        ({"Question": TRAIN, "A": "x", "B": "y", "C": "z", "D": "w", "Answer": "C"}, ["z"]),
        ({"id": 1, "question": TRAIN, "A": "x", "B": "y", "C": "z", "answer": ""}, []),
        ({"ctx": TRAIN, "endings": ["x", "y"], "label": ""}, []),
        ({"goal": TRAIN, "sol1": "x", "sol2": "y"}, []),
        ({"sentence": TRAIN, "option1": "x", "option2": "y", "answer": ""}, []),
        ({"question": TRAIN, "correct_answer": "x", "distractor1": "y", "support": PASSAGE}, ["x"]),
        ({"question": TRAIN, "best_answer": "x", "correct_answers": ["x", "y"]}, ["x", "y"]),
        ({"question": TRAIN, "mc1_targets": {"x": 1, "y": 0}}, ["x"]),
        ({"question": TRAIN, "possible_answers": '["x", "y"]', "subj": "s"}, ["x", "y"]),
        ({"question": TRAIN, "answer": None, "answer_number": 27}, ["27"]),
        ({"question": TRAIN, "solution": ["Take."], "final_answer": ["27"]}, ["Take.", "27"]),
        ({"task_id": 2, "prompt": TRAIN, "code": "x", "test_list": []}, ["x"]),
        ({"passage": "p", "question": TRAIN, "answers_spans": {"spans": ["x", "y"]}}, ["x", "y"]),
        ({"question_id": "0", "cluster": "c", "turns": [{"content": TRAIN}]}, []),
        ({"doc_id": 3, "doc": {"question": TRAIN, "answer": "x"}, "target": "x"}, ["x"]),
        ({"question": TRAIN, "answer": "x"}, ["x"]),
        ({"question": TRAIN, "answer": "['x', 'y']"}, ["x", "y"]),
        ({"question": TRAIN, "answer": '{"text": "x", "why": 1}'}, ['{"text": "x", "why": 1}']),
        ({"question": TRAIN, "answer": "[1, 2]"}, ["[1, 2]"]),
        ({"instruction": TRAIN, "input": "", "output": "x"}, ["x"]),
        ({"messages": [{"role": "user", "content": TRAIN}]}, []),
        ({"conversations": [TRAIN, "x"], "source": "s"}, ["x"]),
        ({"text": f"Question: {TRAIN}\nAnswer: x"}, ["x"]),
        ({"Prompt": TRAIN}, []),
        ({"Task": TRAIN, "Ground Truth": "x", "n": 3}, ["x"]),
        ({"inputs": TRAIN, "targets": ["x"]}, ["x"]),
    ],
)  # fmt: skip
def test_other_spellings_of_a_set_are_read_alike(
    row: dict[str, Any], answers: list[str], tmp_path: Path
) -> None:
    assert read_by(written(tmp_path, row)) == [([TRAIN], answers)]


@pytest.mark.parametrize(
    ("row", "choices"),
    [
        ({"question": TRAIN, "choices": OPTIONS, "answer": 1}, OPTIONS),
        ({"question": TRAIN, "choices": OPTIONS}, OPTIONS),
        ({"question": TRAIN, "A": "x", "B": "y", "answer": "B"}, ["x", "y"]),
        ({"question": TRAIN, "options": {"A": "x", "B": "y"}, "answer_idx": "B"}, ["x", "y"]),
        ({"question": TRAIN, "opa": "x", "opb": "y", "cop": 0}, ["x", "y"]),
        ({"question": {"stem": TRAIN, "choices": [{"text": "x", "label": "A"}]}}, ["x"]),
        ({"goal": TRAIN, "sol1": "x", "sol2": "y", "label": 1}, ["x", "y"]),
        ({"sentence": TRAIN, "option1": "x", "option2": "y", "answer": "2"}, ["x", "y"]),
        (
            {"question": TRAIN, "correct_answer": "x", "distractor1": "y", "distractor2": "z"},
            ["x", "y", "z"],
        ),
        ({"question": TRAIN, "mc1_targets": {"choices": OPTIONS, "labels": [1]}}, OPTIONS),
        ({"article": PASSAGE, "questions": [TRAIN], "options": [["x", "y"]]}, ["x", "y"]),
        ({"question": TRAIN, "answer": "x"}, []),
        ({"question": TRAIN, "choices": [7, 3], "answer": 1}, ["7", "3"]),
    ],
)
def test_what_there_is_to_choose_from_is_read_beside_the_question(
    row: dict[str, Any], choices: list[str], tmp_path: Path
) -> None:
    records = questions.read([written(tmp_path, row)], {}, "decontaminate.columns").records
    assert records["choices"].to_list() == [choices]


def test_what_the_formats_of_training_sets_read_stays_theirs(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        {"prompt": "Add 1 and 2.", "chosen": "3", "rejected": "4"},
        {"qid": 1, "question": "Add.", "answers": [{"answer_id": 2, "pm_score": 3, "text": "3"}]},
        {"turns": [{"role": "user", "content": "Hi"}], "prompt": "Add.", "response": "3"},
        {"message_id": "a", "parent_id": None, "role": "prompter", "text": "Add."},
        {"message_id": "b", "parent_id": "a", "role": "assistant", "text": "3"},
    ]
    assert read_by(written(tmp_path, *rows)) == [
        (["Add.\n\n1 2"], ["3"]),
        (["Add 1 and 2."], ["3"]),
        (["Add."], ["3"]),
        (["Add."], ["3"]),
        (["Add."], ["3"]),
    ]


# --- containers


def table(folder: Path, *rows: list[Any], name: str = "set.csv") -> str:
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t" if name.endswith(".tsv") else ",").writerows(rows)
    return str(folder / name)


def test_the_csv_files_of_mmlu_have_no_header_and_their_first_row_is_a_question(
    tmp_path: Path,
) -> None:
    rows = [[RIVER, *OPTIONS, "D"], [TRAIN, "1", "1", "27", "4", "C"]]
    wanted = [([RIVER], ["the Eske"]), ([TRAIN], ["27"])]
    for name in ("anatomy_test.csv", "anatomy_test.tsv"):
        assert read_by(table(tmp_path, *rows, name=name)) == wanted
    path = Path(table(tmp_path, *rows))
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + path.read_bytes()))
    assert read_by(str(packed)) == wanted
    records = questions.read([str(path)], {}, "s").records
    assert records["line"].to_list() == [1, 2]
    assert read_by(table(tmp_path, rows[0])) == wanted[:1]


def test_a_header_of_letters_is_a_header(tmp_path: Path) -> None:
    path = table(tmp_path, ["question", "A", "B", "C", "D"], [RIVER, *OPTIONS])
    assert read_by(path) == [([RIVER], [])]
    header = ["", "Question", "A", "B", "C", "D", "Answer"]
    path = table(tmp_path, header, ["0", RIVER, *OPTIONS, "B"])
    assert given(path) == [Case({}, [RIVER], ["the Great Lohn"])]


def test_truthfulqa_comes_as_csv_with_answers_between_semicolons(tmp_path: Path) -> None:
    header = "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source"
    row = ["Adversarial", "Water", RIVER, "the Eske", "the Eske; the Lohn", "none", "here"]
    path = table(tmp_path, header.split(","), row)
    assert read_by(path) == [([RIVER], ["the Eske", "the Lohn"])]


@pytest.mark.parametrize(
    "document",
    [
        {"canary": "do not train", "examples": [{"input": TRAIN, "target": "27"}]},
        {"Data": [{"Question": TRAIN, "Answer": {"Value": "27"}}], "Domain": "Web", "Version": 1.0},
        {"version": "1.1", "data": [{"title": "t", "paragraphs": [
            {"context": PASSAGE, "qas": [{"question": TRAIN, "answers": [{"text": "27"}]}]}]}]},
        {"nfl_1": {"passage": PASSAGE, "qa_pairs": [
            {"question": TRAIN, "answer": {"number": "", "spans": ["27"]}}]}},
        {"article": PASSAGE, "questions": [TRAIN], "options": [["27", "3"]], "answers": ["A"]},
    ],
)  # fmt: skip
@pytest.mark.parametrize("indent", [None, 2])
def test_sets_that_are_one_object_are_read_row_by_row(
    document: Any, indent: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "set.json"
    path.write_text(json.dumps(document, indent=indent), "utf-8")
    assert read_by(str(path)) == [([TRAIN], ["27"])]


def test_a_set_is_read_alike_from_every_container(tmp_path: Path) -> None:
    rows = [CASES["openbookqa"].row, CASES["openbookqa"].row | {"answerKey": "A"}]
    wanted = [([RIVER], ["the Eske"]), ([RIVER], ["the Varna"])]
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=1), "utf-8")
    pl.DataFrame(rows).write_parquet(tmp_path / "b.parquet")
    Path(tmp_path / "c.jsonl.gz").write_bytes(
        gzip.compress("\n".join(map(json.dumps, rows)).encode())
    )
    for name in ("a.json", "b.parquet", "c.jsonl.gz"):
        assert read_by(str(tmp_path / name)) == wanted
    assert read_by(str(tmp_path)) == wanted * 3


def test_an_array_tells_the_lines_of_its_rows(tmp_path: Path) -> None:
    rows = [CASES["bbh"].row, {"id": 1}, {"prompt": TRAIN, "completion": "x"}]
    path = tmp_path / "set.json"
    path.write_text("[\n" + ",\n\n".join(map(json.dumps, rows)) + "\n]", "utf-8")
    read = questions.read([str(path)], {}, "s")
    assert read.records["line"].to_list() == [2, 6]
    assert f"{path}:4: unknown_shape" in read.warnings[0]


def test_humaneval_and_mt_bench_as_they_are_published(test_data: Path) -> None:
    (first, *_), count = given(str(test_data / "eval/humaneval_requests.jsonl.gz")), 164
    assert first.turns[0].startswith("from typing import List\n\n\ndef has_close_elements")
    assert first.answers[0].startswith("    for idx, elem in enumerate(numbers):")
    assert len(given(str(test_data / "eval/humaneval_requests.jsonl.gz"))) == count
    bench = given(str(test_data / "eval/mt_bench_question.jsonl"))
    assert (len(bench), {len(case.turns) for case in bench}) == (80, {2})


# --- columns that the user names


def test_named_columns_are_read_where_no_shape_is_known(tmp_path: Path, conversation: Any) -> None:
    path = written(tmp_path, {"q": TRAIN, "a": [RIVER, "27"], "level": 3})
    columns = {"prompt": "q", "answer": "a"}
    assert given(path, columns) == [Case({}, [TRAIN], [RIVER, "27"])]
    step = bound(path, columns=columns, field="both")
    assert kept(step, conversation((TRAIN, "x"), ("q", RIVER), ("q", "27"))) == [False, False, True]


def test_columns_that_all_are_there_are_meant_and_a_known_shape_needs_none(tmp_path: Path) -> None:
    rows = [
        {"question": TRAIN, "rationale": RIVER, "choices": OPTIONS, "answer": 1},
        {"question": TRAIN, "choices": OPTIONS, "answer": 1},
        {"q": TRAIN},
    ]
    path = written(tmp_path, *rows[:2])
    read = given(path, {"prompt": "question", "answer": "rationale"})
    assert [case.answers for case in read] == [[RIVER], ["the Great Lohn"]]
    path = written(tmp_path, *rows[1:])
    assert [case.turns for case in given(path, {"prompt": "q", "answer": "a"})] == [[TRAIN]] * 2


def test_columns_come_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, {"q": TRAIN, "a": "27"})
    dump = written(
        tmp_path,
        *[{"prompt": text, "completion": "x"} for text in (TRAIN, RIVER)],
        name="dump.jsonl",
    )
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"steps:\n- decontaminate: {{against: [{path}]}}\n", "utf-8")
    job = ["run", dump, "--recipe", str(recipe), "--quiet", "--out", str(tmp_path / "run")]
    assert main(job) == 1
    assert (
        "its fields are q, a; say which hold it: decontaminate.columns: {prompt: q, answer: a}"
        in (capsys.readouterr().err)
    )
    assert main([*job, "--set", "decontaminate.columns={prompt: q, answer: a}"]) == 0
    assert len((tmp_path / "run/kept.jsonl").read_text("utf-8").splitlines()) == 1


def test_a_column_that_no_file_has_is_an_error_that_names_those_there_are(tmp_path: Path) -> None:
    one = written(tmp_path, {"question": TRAIN, "answer": "27"}, name="one.jsonl")
    two = written(tmp_path, {"quest": TRAIN}, name="two.jsonl")
    step = Decontaminate(against=(one, two), columns={"prompt": "quest", "answer": "anwser"})
    with pytest.raises(
        CurateError,
        match=r"decontaminate\.columns: no evaluation file has a field 'anwser', which is named as "
        "the answer; there are question, answer, quest; did you mean 'answer'",
    ):
        bind_steps([Step("decontaminate", step)])
    step = Decontaminate(against=(one, two), columns={"prompt": "quest", "answer": "answer"})
    bind_steps([Step("decontaminate", step)])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"question": "q"}, "'question' is no part of a question; expected prompt and answer"),
        ({"prompts": "q"}, "did you mean 'prompt'"),
        ({"answer": "a"}, "it lacks the prompt"),
        ({"prompt": 3}, "expected text"),
        ("q", "expected name: value pairs"),
    ],
)
def test_columns_are_checked_before_anything_is_read(columns: Any, message: str) -> None:
    with pytest.raises(CurateError, match=message):
        Decontaminate(against=("missing.jsonl",), columns=columns)


# --- what cannot be read


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"id": 1, "stimulus": TRAIN, "gold_answer": "27"}],
            "its fields are id, stimulus, gold_answer; say which hold it: "
            "decontaminate.columns: {prompt: stimulus, answer: gold_answer}",
        ),
        (
            [{"key_question": TRAIN, "long_note": f"{TRAIN} {RIVER}", "n": 1}],
            "{prompt: key_question, answer: long_note}",
        ),
        (
            [{"id": "q1", "label": 0}, {"id": "q2", "label": 1}],
            "its fields are id, label; none of them holds the text of a question",
        ),
        ([{"id": "q1"}, {"id": "q2"}], "its fields are id; none of them holds the text"),
        ([{"question": " ", "choices": OPTIONS}], "no_question: question is blank"),
        ([{"question": 3, "answer": {"value": "x"}}], "question is the number 3"),
        ([[0, 1], [1, 1], [2, 3]], "line 1: not_an_object"),
    ],
)
def test_a_file_of_which_nothing_can_be_read_is_an_error_that_names_its_fields(
    rows: list[Any], message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, *rows)
    with pytest.raises(CurateError) as error:
        bound(path)
    assert str(error.value).startswith(f"{path}: no evaluation question could be read")
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["", " \n", "[]", "[\n]"])
def test_an_empty_evaluation_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text(text)
    with pytest.raises(CurateError, match=r"set\.json: .*(empty|white space|no row)"):
        bound(str(tmp_path / "set.json"))


def test_one_unreadable_file_of_a_folder_is_an_error(tmp_path: Path) -> None:
    written(tmp_path, CASES["bbh"].row, name="a.jsonl")
    written(tmp_path, {"id": 1, "label": 0}, name="b.jsonl")
    with pytest.raises(CurateError, match=r"b\.jsonl: no evaluation question"):
        bound(str(tmp_path))


def test_rows_that_cannot_be_read_are_counted_with_the_commonest_reason(tmp_path: Path) -> None:
    rows = [CASES["piqa"].row, {"id": 1}, {"question": "", "choices": ["a"]}, {"id": 2}]
    path = written(tmp_path, *rows)
    warnings: list[str] = []
    bound(path, warnings)
    assert warnings == [
        f"{path}: 3 of 4 rows cannot be read and are not compared with; most (2) like {path}:2: "
        "unknown_shape: no known format has the fields id"
    ]


DEEP: Any = "x"
for _ in range(300):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "row",
    [
        {"doc": {"doc": {"doc": {}}}},
        {"turns": [None, 3]},
        {"turns": [[]]},
        {"conversation_input": [{"role": None, "content": {}}]},
        {"conversation_input": [3], "references": 4},
        {"paragraphs": [{"qas": 4}]},
        {"paragraphs": [{"context": 3, "qas": [{"question": None}]}]},
        {"passage": 3, "qa_pairs": [{}]},
        {"article": [], "questions": ["", 3], "options": 4, "answers": {}},
        {"question": {"stem": ["x"], "choices": 3}, "answerKey": []},
        {"question": DEEP, "choices": DEEP, "answer": DEEP},
        {"question": [], "passage": {}, "answer": True},
        {"question": None, "choices": None},
        {"input": 3, "target": DEEP},
        {"complete_prompt": [], "instruct_prompt": 3},
        {"premise": 1, "hypothesis": 2},
        {"sentence": 1, "option1": 2, "option2": 3, "answer": {}},
    ],
)
def test_odd_types_are_rows_that_cannot_be_read_and_their_neighbours_are(
    row: dict[str, Any], tmp_path: Path
) -> None:
    path = written(tmp_path, CASES["bbh"].row, row)
    read = questions.read([path], {}, "s")
    assert read.records["line"].to_list() == [1]
    assert "1 of 2 rows cannot be read" in read.warnings[0]


@pytest.mark.parametrize(
    "row",
    [
        {"question": TRAIN, "choices": [None, {"text": 3}, 4.5], "answer": 1e300},
        {"question": TRAIN, "choices": DEEP, "answer": DEEP},
        {"question": TRAIN, "choices": "[" * 5000, "answer": "A"},
        {"question": TRAIN, "answer": DEEP},
        {"question": TRAIN, "mc1_targets": {"choices": 3, "labels": {}}},
        {"question": TRAIN, "choices": {"text": [], "label": ["A"]}, "answerKey": "A"},
        {"turns": [TRAIN], "reference": 3},
    ],
)
def test_odd_answers_leave_the_question(row: dict[str, Any], tmp_path: Path) -> None:
    assert [case.turns for case in given(written(tmp_path, row))] == [[TRAIN]]


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "A", "[", "{3}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "label", "content", "doc"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@hypothesis.given(st.sampled_from(list(CASES)), st.integers(0, 20), ODD)
def test_whatever_a_field_holds_the_row_is_read_or_rejected(name: str, at: int, value: Any) -> None:
    row = CASES[name].row
    found = question_in({**row, list(row)[at % len(row)]: value})
    try:
        questions = SHAPES[found[0]].read(found[1]) if found else []
    except Reject as reject:
        assert reject.slug in ("wrong_type", "no_question")
        return
    for question in questions:
        assert question.turns and all(turn.strip() for turn in question.turns)
        assert all(isinstance(answer, str) and answer.strip() for answer in question.answers)


def test_a_dump_of_training_rows_is_still_an_evaluation(tmp_path: Path, conversation: Any) -> None:
    rows = [{"instruction": f"{TRAIN} {number}", "output": "x"} for number in range(40)]
    path = tmp_path / "held_out.json"
    path.write_text(json.dumps(rows), "utf-8")
    assert sources.read([str(path)]).records.height == len(given(str(path))) == 40
    assert kept(bound(str(path)), conversation((TRAIN, "x"), (RIVER, "x"))) == [False, True]
