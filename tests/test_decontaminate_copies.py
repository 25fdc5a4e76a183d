"""Leaks that no shared run of words shows: short questions, passages, typos and words put in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.base.schema import with_text
from curate.pipeline.judging import judge
from curate.sources.evaluations import questions
from filters.decontaminate.filter import Decontaminate

ANOMIE = {
    "question": "What is anomie?",
    "choices": ["A state of normlessness", "A kind of suicide", "Class struggle", "A rite"],
    "answer": 0,
}
DECARCERATION = {
    "question": "The trend of decarceration involves:",
    "choices": ["community alternatives", "longer terms", "private companies", "mobile capital"],
    "answer": 0,
}
GENERIC = {
    "question": "Which of the following is true?",
    "choices": [
        "Whales lay their eggs in warm water",
        "Bats are the only mammals that fly",
        "Frogs drink through their mouths alone",
        "Owls can turn their eyes",
    ],
    "answer": 1,
}
SUM = {"question": "What is 15 + 3?", "choices": ["18", "12", "45", "5"], "answer": 0}
TOWER = "The Eiffel Tower, a landmark in Paris, was constructed in 1889."
BUILT = "What year was it constructed?"
LONG = "Which of the rivers that rise in the old highlands doesn't carry any water in late summer?"


def shown(row: dict[str, Any]) -> str:
    """As a model gets it: the question, and the choices by letters."""
    pairs = zip("ABCD", row["choices"], strict=False)
    return "\n".join([row["question"], *(f"{letter}. {text}" for letter, text in pairs)])


def step_for(folder: Path, *rows: dict[str, Any], **settings: Any) -> Any:
    path = folder / "test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return Decontaminate(against=(str(path),), **settings).bind(
        lambda paths, columns=None: with_text(questions.read(paths, columns or {}, "x").records)
    )


def reasons(step: Any, records: pl.DataFrame) -> list[str | None]:
    return judge(step, records).verdicts["reason"].to_list()


@pytest.mark.parametrize("row", [ANOMIE, DECARCERATION, GENERIC, SUM])
def test_a_short_question_is_found_with_its_choices(
    row: dict[str, Any], tmp_path: Path, conversation: Any
) -> None:
    first, *others = row["choices"]
    moved = row | {"choices": [*others, first]}
    rows = conversation(
        (f"Answer this one.\n{shown(row)}\nAnswer:", "B"),
        (f"Exam. {shown(moved)}", "B"),
        (shown(row).upper(), "B"),
        (f"Pick one: {row['question']} ({', '.join(row['choices'])})", "B"),
        (f"pick {row['question'].rstrip(':?')} {' or '.join(row['choices'])}", "B"),
    )
    assert reasons(step_for(tmp_path, row), rows) == ["evaluation_question"] * 5


@pytest.mark.parametrize("row", [ANOMIE, DECARCERATION, SUM])
def test_a_short_question_is_found_with_its_answer(
    row: dict[str, Any], tmp_path: Path, conversation: Any
) -> None:
    answer = row["choices"][row["answer"]]
    rows = conversation(
        (f"Answer in a word. {row['question']}", f"{answer}."),
        (f"Be brief. {row['question']}", f"The answer is {answer}."),
        (f"Q: {row['question']}\nA: {answer}\nGo on like that.", "Q: What else is there?"),
    )
    step = step_for(tmp_path, row)
    assert reasons(step, rows) == ["evaluation_question"] * 3
    evidence = judge(step, rows).verdicts["evidence"][0]
    assert evidence.startswith("the question, with its answer: ")
    assert "test.jsonl:1" in evidence


def test_a_question_that_any_set_may_ask_is_no_leak(tmp_path: Path, conversation: Any) -> None:
    others = GENERIC | {"choices": ["Iron rusts", "Gold rusts", "Lead floats", "Tin burns"]}
    unsaid = {"question": "Is it true or false?", "choices": ["True", "False"], "answer": 0}
    rows = conversation(
        (shown(others), "Iron rusts"),
        (GENERIC["question"], "The first one is true."),
        (f"Read it well. {GENERIC['question']}", "Bats are mammals."),
        (shown(unsaid), "True"),
        ("Is it true or false? Snow is white.", "True"),
    )
    assert reasons(step_for(tmp_path, GENERIC, unsaid), rows) == [None] * 5


def test_a_short_question_alone_or_with_another_answer_is_no_leak(
    tmp_path: Path, conversation: Any
) -> None:
    rows = conversation(
        ("Explain in two sentences. What is anomie?", "It was described by Durkheim in 1893."),
        ("What is not anomie? Is it a state of normlessness?", "No."),
        (shown(DECARCERATION).replace("involves:", "involves none of:"), "A"),
        ("Tell me: what is anomie theory about a state of normlessness", "It is about norms."),
        ("Name it: a state of normlessness, a kind of suicide, class struggle, a rite", "Anomie"),
        (shown(SUM).replace("+", "-"), "12"),
        ("Add: what is 15 + 4?", "19, not 18"),
        ("Work it out. What is 15 - 3?", "18"),
        ("Which trend involves community alternatives?", "Decarceration"),
    )
    assert reasons(step_for(tmp_path, ANOMIE, SUM, DECARCERATION), rows) == [None] * 9


def test_a_typo_or_a_word_more_in_a_short_question_does_not_hide_it(
    tmp_path: Path, conversation: Any
) -> None:
    row = {"question": "Who wrote the first atlas of Norway?", "answer": ["Pontoppidan"]}
    rows = conversation(
        ("Tell me. Who wrote the first altas of Norway?", "Pontoppidan"),
        ("Tell me. Who really wrote the first atlas of Norway?", "It was Pontoppidan."),
        ("Tell me. Who wrote the first atlas of Norway?", "Erik Pontoppidan"),
        ("Tell me. Who wrote the first atlas of Sweden?", "Pontoppidan"),
        ("Tell me. Who wrote the second atlas of Norway?", "Pontoppidan"),
        ("Tell me. Who wrote the first atlas of Norway?", "Bureus"),
    )
    assert reasons(step_for(tmp_path, row), rows) == ["evaluation_question"] * 3 + [None] * 3


SPELLINGS = [
    {"question": BUILT, "passage": TOWER, "answer": "1889"},
    {"instruction": BUILT, "context": TOWER, "response": "1889"},
    {"question": BUILT, "context": TOWER, "answer": "1889"},
]


@pytest.mark.parametrize("row", SPELLINGS)
def test_a_passage_is_part_of_a_short_question(
    row: dict[str, Any], tmp_path: Path, conversation: Any
) -> None:
    rows = conversation(
        (f"{TOWER}\n\n{BUILT}", "1889"),
        (f"{BUILT}\n\n{TOWER}", "It was built in 1889."),
        (f"Read this.\n{TOWER.lower()}\nQuestion: {BUILT}", "x"),
        (f"Context: {TOWER} Question: What year was it construted?", "x"),
    )
    assert None not in reasons(step_for(tmp_path, row), rows)


@pytest.mark.parametrize("row", SPELLINGS)
def test_the_same_passage_with_another_question_is_no_leak(
    row: dict[str, Any], tmp_path: Path, conversation: Any
) -> None:
    rows = conversation(
        (f"{TOWER}\n\nIn which city does it stand?", "Paris"),
        (f"Translate into German: {TOWER}", "Der Eiffelturm steht in Paris."),
        (f"The bridge was opened in 1894. {BUILT}", "1894"),
        (f"{TOWER}\n\nWhat year was it not constructed?", "1890"),
    )
    assert reasons(step_for(tmp_path, row), rows) == [None] * 4


def test_a_short_passage_counts_wherever_it_stands(tmp_path: Path, conversation: Any) -> None:
    row = {"question": "Who won?", "context": "Ann beat Bo.", "answers": {"text": ["Ann"]}}
    rows = conversation(
        ("Who won? Ann beat Bo.", "Ann"),
        ("Note: Ann beat Bo.\nWho won?", "Ann"),
        ("Bo beat Ann. Who won?", "Bo"),
        ("Ann beat Bo. Who lost?", "Bo"),
    )
    found = reasons(step_for(tmp_path, row), rows)
    assert [reason is None for reason in found] == [False, False, True, True]


CHANGED = {
    "a word put in": LONG.replace("carry", "really carry"),
    "a typo": LONG.replace("highlands", "highlnads"),
    "a letter dropped": LONG.replace("rise", "rse"),
    "a word split by an entity": LONG.replace("'", "&#39;"),
    "a contraction spelt out": LONG.replace("doesn't", "does not"),
    "no apostrophe": LONG.replace("'", ""),
    "another apostrophe": LONG.replace("'", "’"),
    "capitals": LONG.upper(),
    "marks left out": LONG.rstrip("?"),
    "an article left out": LONG.replace("the old", "old"),
}


@pytest.mark.parametrize("text", CHANGED.values(), ids=CHANGED)
@pytest.mark.parametrize("words", [9, 12, 17])
def test_a_copy_with_a_change_is_found(
    text: str, words: int, tmp_path: Path, conversation: Any
) -> None:
    row = {"question": " ".join(LONG.split()[-words:]), "answer": "x"}
    step = step_for(tmp_path, row)
    rows = conversation((f"Geography. {' '.join(text.split()[-words - 1 :])}", "x"))
    assert reasons(step, rows) != [None]


SHORT_COPY = "How many of the seven provinces of Lohn border on the inland sea"


@pytest.mark.parametrize(
    "text",
    [
        SHORT_COPY.replace("seven", "nine"),
        SHORT_COPY.replace("border", "do not border"),
        SHORT_COPY.replace("Lohn", "Varna"),
        SHORT_COPY.replace("Lohn", "Lahn"),
        SHORT_COPY.replace("border", "borrow"),
        SHORT_COPY.replace("provinces", "provinces and 12 islands"),
        SHORT_COPY.replace("seven provinces", "second provinces"),
        SHORT_COPY.replace("on the inland sea", "on a lake"),
        SHORT_COPY.replace("many", "much").replace("seven", "large"),
    ],
)
def test_another_number_name_word_or_a_negation_is_no_copy(
    text: str, tmp_path: Path, conversation: Any
) -> None:
    # The rule asks for runs of 8 words; it is moved out of the way, as it would find some of these.
    step = step_for(tmp_path, {"question": SHORT_COPY, "answer": "x"}, threshold=0.99)
    assert reasons(step, conversation((f"Say: {SHORT_COPY}?", "x"))) != [None]
    assert reasons(step, conversation((f"Say: {text}?", "x"))) == [None]


def test_a_word_of_the_evaluation_files_is_no_misspelling(
    tmp_path: Path, conversation: Any
) -> None:
    asked = "Which planet is the fourth one from the sun in our system?"
    other = {"question": "Which plant needs no sun and grows in a cave?", "answer": "x"}
    rows = conversation((asked.replace("planet", "plant"), "x"))
    alone = step_for(tmp_path, {"question": asked, "answer": "Mars"}, threshold=0.99)
    assert reasons(alone, rows) == ["evaluation_edited"]
    both = step_for(tmp_path, {"question": asked, "answer": "Mars"}, other, threshold=0.99)
    assert reasons(both, rows) == [None]


def test_what_is_found_beyond_the_rule_says_how_and_can_be_left_out(
    tmp_path: Path, conversation: Any
) -> None:
    asked = "Name the harbour from which the grey ships of the north set out"
    rows = conversation((asked.replace("grey", "gery"), "x"), (shown(ANOMIE), "x"))
    step = step_for(tmp_path, {"question": asked, "answer": "x"}, ANOMIE)
    found = judge(step, rows).verdicts
    assert found["reason"].to_list() == ["evaluation_edited", "evaluation_question"]
    assert found["score"].to_list() == [1 - 1 / 13, 1.0]
    assert found["evidence"][0].startswith("all of it but for 1 word: ")
    assert found["evidence"][1].startswith("the question, with its choices: ")
    plain = step_for(tmp_path, {"question": asked, "answer": "x"}, ANOMIE, edited=False)
    assert reasons(plain, rows) == [None, None]


def test_longer_copies_may_have_a_change_for_every_fifteen_words(
    tmp_path: Path, conversation: Any
) -> None:
    words = [f"word{chr(97 + at // 26)}{chr(97 + at % 26)}" for at in range(32)]
    step = step_for(tmp_path, {"question": " ".join(words), "answer": "x"}, threshold=0.99)
    texts = []
    for count in (1, 3, 4):
        changed = words.copy()
        for at in range(count):
            changed[5 + 7 * at] = changed[5 + 7 * at][:-2] + "zz"[:1] + changed[5 + 7 * at][-1]
        texts.append((" ".join(changed), "x"))
    assert reasons(step, conversation(*texts)) == ["evaluation_edited", "evaluation_edited", None]


def test_an_answer_with_a_typo_is_found_where_answers_are_looked_for(
    tmp_path: Path, conversation: Any
) -> None:
    answer = "Because the sea froze for the first time in ninety years"
    step = step_for(
        tmp_path, {"question": LONG, "answer": answer}, field="response", threshold=0.99
    )
    rows = conversation(
        ("Why?", answer.replace("froze", "frozze")), ("Why?", answer.replace("sea", "lake"))
    )
    assert reasons(step, rows) == ["evaluation_edited", None]


def test_chinese_questions_are_compared_letter_by_letter(tmp_path: Path, conversation: Any) -> None:
    row = {"question": "下列哪个城市是中国的首都并且在北方", "answer": "北京"}
    rows = conversation(
        ("请问，下列哪个大城市是中国的首都并且在北方？", "北京"),
        ("下列哪个城市是法国的首都并且在北方？", "巴黎"),
    )
    step = step_for(tmp_path, row, threshold=0.99)
    assert reasons(step, rows) == ["evaluation_edited", None]


def test_equal_rows_and_odd_texts_take_no_time(tmp_path: Path, conversation: Any) -> None:
    step = step_for(tmp_path, ANOMIE, GENERIC, {"question": LONG, "answer": "x"})
    odd = [
        "what is " * 100_000,
        "anomie " * 100_000,
        "which of the following is " * 20_000,
        "?" * 9,
    ]
    rows = conversation(*[(shown(ANOMIE), "x")] * 3000, *[(text, "x") for text in odd])
    assert judge(step, rows).verdicts["keep"].sum() == len(odd)


@pytest.mark.parametrize("settings", [{"size": 2}, {"size": 3}, {"size": 5}, {"rule": "ngram13"}])
def test_any_length_of_runs_goes_with_copies(
    settings: dict[str, Any], tmp_path: Path, conversation: Any
) -> None:
    step = step_for(tmp_path, {"question": SHORT_COPY, "answer": "x"}, ANOMIE, **settings)
    rows = conversation(
        (SHORT_COPY.replace("border", "bodrer"), "x"), (shown(ANOMIE), "x"), ("Name a sea.", "x")
    )
    found = reasons(step, rows)
    assert [reason is None for reason in found] == [False, False, True]


def test_the_findings_say_what_is_asked_of_short_texts(tmp_path: Path, conversation: Any) -> None:
    sentences = judge(step_for(tmp_path, ANOMIE), conversation((LONG, "x"))).findings.sentences
    assert "or stand with their answer, choices or passage" in sentences[-1]
