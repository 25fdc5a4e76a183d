"""What is said of rows that cannot be read, and which columns are proposed for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.base.spelling import in_a_command
from curate.cli import main
from curate.sources import ReadOptions, guess, read_rows

ASKED = ("What is the sea?", "Why does it rain?", "Name a fruit that grows on trees.")
ANSWERED = (
    "Water as far as one can see, and salt in it.",
    "Because the clouds have become too heavy to hold their water.",
    "The apple is a fruit that grows on trees in many gardens.",
)


def rows(asks: str, answers: str, **more: Any) -> list[dict[str, Any]]:
    return [{asks: a, answers: b, **more} for a, b in zip(ASKED, ANSWERED, strict=True)]


def raw(given: list[Any]) -> list[str]:
    return [json.dumps(row) for row in given]


@pytest.mark.parametrize(
    ("asks", "answers"),
    [
        ("q", "a"),
        ("Q", "A"),
        ("Question", "Answer"),
        ("questions", "answers"),
        ("user_question", "model_answer"),
        ("userQuestion", "modelAnswer"),
        ("USER QUESTION", "BEST ANSWER"),
        ("src", "tgt"),
        ("utterance", "reply"),
        ("user", "assistant"),
        ("HumanMessage", "AIMessage"),
        ("article", "summary"),
        ("dialogue", "summary"),
        ("document", "summary"),
        ("inputs", "targets"),
        ("sentence1", "sentence2"),
        ("text", "label"),
        ("Frage", "Antwort"),
        ("pregunta", "respuesta"),
        ("вопрос", "ответ"),
        ("问题", "回答"),
        ("Câu hỏi", "Trả lời"),
        ("qustion", "anwser"),
    ],
)
def test_names_near_to_known_ones_are_proposed(asks: str, answers: str) -> None:
    proposal = {"prompt": asks, "response": answers}
    assert guess.mapping(raw(rows(asks, answers, id="x1", url="http://x"))) == proposal
    turned = [{b: row[b], a: row[a]} for row in rows(asks, answers) for a, b in [(asks, answers)]]
    assert guess.mapping(raw(turned)) == proposal


@pytest.mark.parametrize(
    ("asks", "answers", "proposal"),
    [
        ("instruction", "reply", {"response": "reply"}),
        ("query", "answers", {"response": "answers"}),
        ("question", "expected_output", {"response": "expected_output"}),
        ("source", "target", {"prompt": "source"}),
    ],
)
def test_a_name_that_is_known_already_is_not_mapped(
    asks: str, answers: str, proposal: dict[str, str]
) -> None:
    assert guess.mapping(raw(rows(asks, answers))) == proposal


def test_without_known_names_the_question_marks_decide() -> None:
    given = [{"left": f"Why is {n} odd?", "right": f"For it leaves {n} of two."} for n in range(5)]
    assert guess.mapping(raw(given)) == {"prompt": "left", "response": "right"}


@pytest.mark.parametrize(
    "given",
    [
        [{"colour": row["a"], "price": row["a"]} for row in rows("q", "a")],
        [{"colour": "blue"}],
        [{"q": 1, "a": 2}],
        [{"question_id": "1", "answer_url": "http://x", "title": "A sea of water"}],
        [*rows("q", "a")[:1], {"b": 1}, {"b": 2}],
        [{"q": "What is the sea?", "a": "Same words."}] * 5,
        [[1, 2], "text", None, {}],
        [],
    ],
)
def test_nothing_is_proposed_where_nothing_is_plausible(given: list[Any]) -> None:
    assert guess.mapping(raw(given)) is None


def test_rows_that_are_no_json_are_passed_over() -> None:
    assert guess.mapping(["{broken", "[" * 99_999, "", *raw(rows("q", "a"))]) is not None


def said(given: list[Any], options: ReadOptions | None = None, can_map: bool = True) -> str:
    how = options or ReadOptions()
    dump = read_rows(given, how)
    with in_a_command():
        return guess.unreadable(dump.reject_parts(), dump.read, how, can_map)


def test_the_sentence_counts_shows_a_row_and_proposes() -> None:
    given = [*rows("q", "a"), {"prompt": "Hi", "response": "Ho"}, 7]
    assert said(given) == (
        "4 of 5 rows could not be read; most: unknown_shape (3), such as <rows>:1 (no known format "
        'has the fields q, a): {"q":"What is the sea?","a":"Water as far as one can see, and salt '
        'in it."}; try --map prompt=q --map response=a'
    )
    assert said([7, 8]) == (
        "none of 2 rows could be read; most: not_an_object (2), such as <rows>:1 (the row is the "
        "number 7; expected an object): 7"
    )


def test_a_name_with_a_space_is_quoted_for_the_shell() -> None:
    assert said(rows("user question", "a")).endswith("try --map 'prompt=user question' --map respo"
                                                     "nse=a")  # fmt: skip


def test_where_columns_cannot_be_mapped_the_verb_that_can_is_named() -> None:
    ending = "try curate run with --map prompt=q --map response=a, and give the run"
    assert said(rows("q", "a"), can_map=False).endswith(ending)


@pytest.mark.parametrize(
    ("row", "advice"),
    [
        (
            {"data": {"q": "What?", "a": "That."}},
            "inner fields (data.q and data.a), and only fields at the top can be mapped; write "
            "them there first, such as with: jq -c '{prompt: .data.q, response: .data.a}'",
        ),
        (
            {"question": "Where?", "answers": {"text": ["In Paris", "Paris"], "start": [3, 6]}},
            "jq -c '{prompt: .question, response: .answers.text[0]}'",
        ),
        (
            {"data": {"the question": "What?", "the answer": "That."}},
            "inner fields (data.the question and data.the answer), and only fields at the top can "
            "be mapped; write them there first",
        ),
    ],
)
def test_texts_in_inner_fields_are_said_to_be_there(row: dict[str, Any], advice: str) -> None:
    assert said([row]).endswith(advice)


def test_a_format_that_hinders_is_to_be_left_out() -> None:
    plain = [{"prompt": "Hi", "response": "Ho"}]
    wrong = ReadOptions(format="alpaca")
    assert said(plain, wrong).endswith(
        "leave out --format alpaca: without it such rows can be read"
    )
    assert said(rows("q", "a"), wrong).endswith(
        "leave out --format alpaca; try --map prompt=q --map response=a"
    )


def test_what_was_mapped_already_is_not_proposed_again() -> None:
    dump = read_rows(
        [{"q": "Hi?", "a": {"x": 7}}, {"q": "Hi?", "a": {"x": 8}}],
        ReadOptions(columns={"prompt": "q", "response": "a"}),
    )
    assert "try" not in guess.unreadable(dump.reject_parts(), dump.read, dump.options)


def test_text_of_a_stranger_is_cut_and_made_safe() -> None:
    sentence = said([{"\x1b[2Jcolour\n": "\u202e" + "x" * 10_000}])
    assert sentence.isprintable() and len(sentence) < 600 and "x …" in sentence


def write(path: Path, given: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    return str(path)


@pytest.mark.parametrize(
    "words",
    [
        ["run", "DUMP", "--out", "OUT"],
        ["inspect", "DUMP"],
        ["preview", "DUMP", "--template", "chatml"],
        ["pairs", "DUMP", "--from", "votes", "--out", "OUT"],
        ["reward", "fit", "DUMP", "--out", "OUT"],
    ],
)
def test_where_no_row_can_be_read_the_verb_ends_with_one_and_writes_nothing(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"DUMP": write(tmp_path / "dump.jsonl", rows("q", "a")), "OUT": str(tmp_path / "OUT")}
    assert main([places.get(word, word) for word in words]) == 1
    error = capsys.readouterr().err
    assert error.startswith(
        "curate: none of 3 rows could be read; most: unknown_shape (3), such as"
    )
    assert "dump.jsonl:1 (" in error and "--map prompt=q --map response=a" in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["dump.jsonl"]


def test_an_earlier_run_stays_where_no_row_can_be_read(tmp_path: Path) -> None:
    good = write(tmp_path / "good.jsonl", rows("prompt", "response"))
    run = curate.run(good, steps=[], out=tmp_path / "RUN")
    write(tmp_path / "good.jsonl", rows("q", "a"))
    for force in (False, True):
        with pytest.raises(curate.CurateError, match="none of 3 rows"):
            curate.run(good, steps=[], out=tmp_path / "RUN", force=force)
    assert curate.open(tmp_path / "RUN").counts == run.counts


def test_where_some_rows_cannot_be_read_the_run_says_so_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = write(tmp_path / "dump.jsonl", [*rows("q", "a"), *rows("prompt", "response")])
    for verb in (["run", dump, "--quiet", "--out", str(tmp_path / "RUN")], ["inspect", dump]):
        assert main(verb) == 0
        first = capsys.readouterr().err.splitlines()[0]
        assert first.startswith("curate: 3 of 6 rows could not be read; most: unknown_shape (3)")
        assert first.endswith("try --map prompt=q --map response=a")
    run = curate.run(dump, steps=[])
    assert run.notices[0].endswith("try columns={'prompt': 'q', 'response': 'a'}")


def test_the_proposal_reads_every_row(tmp_path: Path) -> None:
    given = rows("q", "a")
    proposal = guess.mapping(raw(given))
    assert curate.run(given, columns=proposal, steps=[]).counts["kept"] == 3


def test_a_field_that_no_format_knows_is_an_error_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = write(tmp_path / "dump.jsonl", rows("q", "a"))
    assert main(["run", dump, "--map", "respones=a", "--out", str(tmp_path / "RUN")]) == 1
    assert capsys.readouterr().err.startswith(
        "curate: --map respones=a: no format has a field 'respones'; did you mean 'response'? "
        "Fields that can be mapped: prompt, response, instruction, input,"
    )


def test_every_row_that_was_read_and_dropped_is_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = write(tmp_path / "dump.jsonl", [{"prompt": "Why?", "response": ""}] * 2)
    assert main(["run", dump, "--quiet", "--out", str(tmp_path / "RUN")]) == 0
    assert capsys.readouterr().err == "curate: no row was kept; the report says why\n"


def test_a_file_that_is_named_twice_is_said_to_be_read_twice() -> None:
    name = str(Path(__file__).parent.parent / "sample_data" / "raw")
    run = curate.run([name, name], steps=[])
    assert any("is named twice; its rows are read twice" in line for line in run.notices)


@pytest.mark.parametrize(
    "name",
    [
        *("passage", "context", "document", "source_documents", "table_text", "dbSchema"),
        *("story", "background_information", "answer_token_ranges", "input", "hints", "上下文"),
    ],
)
@pytest.mark.parametrize("asks", ["question", "instruction", "user_query"])
def test_what_a_question_is_about_is_never_proposed_as_its_answer(asks: str, name: str) -> None:
    dump = read_rows([{**row, "id": "1"} for row in rows(asks, name)])
    assert dump.records.is_empty()
    message = guess.unreadable(dump.reject_parts(), dump.read, dump.options)
    assert f"'response': '{name}'" not in message and f"(response={name})" not in message


@pytest.mark.parametrize("name", ["document_summary", "answer_text", "best answer"])
def test_an_answer_may_have_a_word_of_material_in_its_name(name: str) -> None:
    assert guess.mapping(raw(rows("question", name))) == {"response": name}
