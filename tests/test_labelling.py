"""What people wrote or corrected in Label Studio and Argilla."""

from __future__ import annotations

from typing import Any

import pytest

from curate.sources import FORMATS, read_rows

TALK = [("user", "High water?"), ("assistant", "At six.")]


def said(row: Any, name: str) -> list[tuple[str, str]]:
    dump = read_rows([row])
    assert dump.files[0].formats == {name: 1}, dump.rejects["reason"].to_list()
    return [(turn["role"], turn["content"]) for turn in dump.records["messages"][0]]


def refused(row: Any) -> str:
    dump = read_rows([row, {"prompt": "a", "completion": "b"}])
    assert dump.rejects["line"].to_list() == [1]
    return str(dump.rejects["reason"][0])


def area(name: str, *texts: Any, to: str = "prompt") -> dict[str, Any]:
    return {"from_name": name, "to_name": to, "type": "textarea", "value": {"text": list(texts)}}


def task(data: Any, *results: Any, **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": data, "annotations": [{"result": list(results), **more}]}


@pytest.mark.parametrize(
    "row",
    [
        task({"prompt": "High water?"}, area("whatever", "At six.")),
        task({"text": "High water?", "id": "7"}, area("whatever", "At six.", to="text")),
        task(
            {"prompt": "High water?", "response": "At nine."}, area("a", "At six.", to="response")
        ),
        task({"question": "High water?"}, area("answer", "At six."), area("is_polite", "yes")),
        task({"dialogue": [{"author": "user", "text": "High water?"}]}, area("r", "At six.")),
    ],
)
def test_the_text_somebody_wrote_in_label_studio_is_the_answer(row: Any) -> None:
    assert said(row, "label-studio") == TALK


def test_a_true_annotation_comes_before_others_and_a_cancelled_one_is_none() -> None:
    row = task({"prompt": "High water?"}, area("a", "At nine."))
    true = {"result": [area("a", "At six.")], "ground_truth": True}
    cancelled = {"result": [area("a", "Never.")], "was_cancelled": True, "ground_truth": True}
    row["annotations"] += [true, cancelled]
    assert said(row, "label-studio") == TALK
    (read,) = FORMATS["label-studio"].convert(row)
    assert read.notes == ("of several people's answers the first submitted one is taken",)


def test_a_rating_of_label_studio_is_the_score() -> None:
    rating = {"from_name": "r", "type": "rating", "value": {"rating": 4}}
    row = task({"prompt": "High water?"}, area("a", "At six."), rating)
    assert read_rows([row]).records["score"].to_list() == [4.0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            task({"prompt": "Hi"}),
            "no_answer: nobody submitted a text as the answer; the fields are",
        ),
        (task({"prompt": "Hi"}, area("a", "x"), was_cancelled=True), "nobody annotated the task"),
        (task({"a": "Hi", "b": "Ho"}, area("x", "y", to="c")), "unknown_shape: it is not known"),
        (task({"prompt": "Hi", "query": "Ho"}, area("x", "y")), "prompt, query may each be the"),
        (
            task({"prompt": "Hi"}, area("answer", "x"), area("response", "y")),
            "unknown_shape: answer, response may each be the answer; export a table and name",
        ),
        (task({"image": "s3://b/a.png"}, area("x", "A pier.", to="image")), "file 's3://b/a.png'"),
        (task({"prompt": "Hi"}, 3), "a result is the number 3"),
        (task({"prompt": "Hi"}, area("a", 3)), "a is the number 3; expected text"),
        (
            {"data": {"prompt": "Hi"}, "annotations": [3, {"result": []}]},
            "an annotation is the number 3",
        ),
    ],
)
def test_tasks_of_label_studio_without_a_clear_answer_are_rejects(row: Any, reason: str) -> None:
    assert reason in refused(row)


def test_short_rows_of_label_studio_are_read_by_the_names_of_their_fields() -> None:
    beside = {"id": 1, "annotation_id": 2, "annotator": 1, "lead_time": 3.5}
    assert (
        said({"text": "High water?", "answer": "At six.", **beside}, "label-studio-table") == TALK
    )
    reason = refused({"text": "High water?", "sentiment": "calm", **beside})
    assert "the fields are text, sentiment" in reason and "--map" in reason


def submitted(*values: Any, status: str = "submitted") -> list[dict[str, Any]]:
    return [{"user_id": "u", "value": value, "status": status} for value in values]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "High water?", "response": "Nine.", "corrected_response": submitted("At six.")},
        {
            "prompt": "High water?",
            "corrected": {
                "user_id": ["u", "v"],
                "value": ["No.", "At six."],
                "status": ["draft", "submitted"],
            },
            "corrected-suggestion": "At nine.",
            "corrected-suggestion-metadata": {"type": None},
            "metadata": "{}",
        },
        {
            "prompt": "High water?",
            "answer.responses": ["At six."],
            "answer.responses.status": ["submitted"],
            "answer.responses.users": ["u"],
            "answer.suggestion": "At nine.",
        },
        {
            "fields": {"prompt": "High water?", "response": "At nine."},
            "responses": [
                {"values": {"answer": {"value": "No."}}, "status": "discarded"},
                {"values": {"answer": {"value": "At six."}}, "status": "submitted"},
            ],
        },
        {
            "fields": {"text": "High water?"},
            "responses": {"answer": [{"value": "At six."}], "answer_quality": [{"value": "good"}]},
            "suggestions": {"answer": {"value": "At nine."}},
        },
        {
            "fields": {"chat": [{"role": "user", "content": "High water?"}]},
            "responses": {"answer": [{"value": "At six."}]},
        },
        {
            "original-instruction": "Water?",
            "new-instruction": submitted("High water?"),
            "new-context": submitted(""),
            "new-response": submitted("At six."),
        },
    ],
)
def test_what_was_submitted_in_argilla_is_the_answer(row: Any) -> None:
    assert said(row, "argilla") == TALK


def test_a_context_of_argilla_follows_its_instruction() -> None:
    fields = {"instruction": "Add.", "input": "1 and 2"}
    row = {"fields": fields, "responses": {"output": [{"value": "3"}]}}
    assert said(row, "argilla") == [("user", "Add.\n\n1 and 2"), ("assistant", "3")]
    alone = {"fields": {"input": "1 + 2?"}, "responses": {"output": [{"value": "3"}]}}
    assert said(alone, "argilla") == [("user", "1 + 2?"), ("assistant", "3")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            {"prompt": "Hi", "response": submitted("x", status="draft")},
            "no_answer: nobody submitted",
        ),
        (
            {"prompt": "Hi", "response_quality": submitted("good")},
            "those that people fill response",
        ),
        (
            {"a": "Hi", "b": "Ho", "response": submitted("x")},
            "unknown_shape: it is not known which",
        ),
        ({"fields": {"prompt": "Hi"}, "responses": 3}, "responses is the number 3"),
        ({"fields": {"prompt": "Hi"}, "responses": [3]}, "a response is the number 3"),
        ({"fields": {"prompt": "Hi"}, "responses": {"answer": [3]}}, "an answer is the number 3"),
        ({"fields": {"prompt": "Hi"}, "suggestions": {"answer": {}}}, "people fill answer"),
        ({"prompt": "Hi", "answer.responses": 3}, "answer.responses is the number 3"),
    ],
)
def test_rows_of_argilla_without_a_submitted_answer_are_rejects(row: Any, reason: str) -> None:
    assert reason in refused(row)


def test_labels_of_argillas_first_records_are_no_answers() -> None:
    row = {"text": "High water?", "annotation": "At six.", "annotation_agent": "a"}
    assert said(row, "argilla-record") == TALK
    assert "a label of the text" in refused({**row, "inputs": {"text": "High water?"}})
