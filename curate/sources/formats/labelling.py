"""What people wrote or corrected in Label Studio and Argilla."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from curate.sources.formats.pairs import asked
from curate.sources.shared.convert import (
    Conversation,
    Message,
    Reject,
    Row,
    assistant,
    checked,
    list_of,
    object_of,
    system_of,
    text_of,
)
from curate.sources.shared.turns import turns_in

FIRST = "of several people's answers the first submitted one is taken"
_NEXT = "export a table and name its columns: --map prompt=... --map response=..."

# What a field is, by its name: `new-instruction`, `corrected_response`, `prompt`.
_KINDS = {
    "judgement": r"quality|rating|score|label|categor|correctness|rank|prefer|language|\bis_",
    "answer": r"response|answer|completion|output",
    "question": r"instruction|prompt|question|query|problem|message|chat|dialog",
    "context": r"context|input",
    "correction": r"correct|rewrit",
}
_ADDRESS = re.compile(r"(https?|s3|gs|azure-blob)://\S+|/data/\S+|data:\S+")


def _kind(name: Any) -> str | None:
    """What kind of field a name speaks of; a correction of nothing else is an answer."""
    lower = str(name).lower()
    kind = next((kind for kind, words in _KINDS.items() if re.search(words, lower)), None)
    return "answer" if kind == "correction" else kind


def _conversation(
    fields: Row, submitted: Mapping[str, list[Any]], notes: set[str]
) -> list[Message]:
    """The question, as somebody corrected it if somebody did, and the text that was submitted."""
    texts = {name: value for name, value in fields.items() if _is_text(value)}
    written = {name: [each for each in submitted[name] if _is_text(each)] for name in submitted}
    written = {name: values for name, values in written.items() if values}
    shown = f"the fields are {_listed(fields)}, those that people fill {_listed(submitted)}"
    answer = _only("answer", written)
    if answer is None:
        raise Reject("no_answer", f"nobody submitted a text as the answer; {shown}; {_NEXT}")
    question = _only("question", written) or _only("question", texts)
    context = _only("context", written) or _only("context", texts)
    if question is None:
        plain = [value for name, value in texts.items() if _kind(name) is None]
        question, context = (plain[0], context) if len(plain) == 1 else (context, None)
    if question is None:
        raise Reject("unknown_shape", f"it is not known which is the question; {shown}; {_NEXT}")
    if isinstance(question, str) and _ADDRESS.fullmatch(question.strip()):
        raise Reject("wrong_type", f"the question is the file {question!r}, not a text")
    for values in written.values():
        notes |= {FIRST} if len(set(map(str, values))) > 1 else set()
    said = assistant(text_of(answer, "the answer"))
    if isinstance(question, list):
        return checked([*turns_in(question), said])
    return [asked(question, text_of(context, "the context")), said]


def _is_text(value: Any) -> bool:
    """Whether a value is a text, or the turns of a chat."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(turn, dict) for turn in value)
    return isinstance(value, str) and bool(value.strip())


def _only(kind: str, values: Mapping[str, Any]) -> Any:
    """The only value of a kind; of what several people submitted the first."""
    names = [name for name in values if _kind(name) == kind]
    if len(names) > 1:
        raise Reject("unknown_shape", f"{_listed(names)} may each be the {kind}; {_NEXT}")
    value = values[names[0]] if names else None
    if isinstance(value, list) and not isinstance(value[0], dict):
        return value[0]
    return value


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names)) or "none"


def is_label_studio(row: Row) -> bool:
    """`{data: {...}, annotations: [{result: [{from_name, type: textarea, value}]}]}`."""
    annotations = row.get("annotations")
    if not isinstance(row.get("data"), dict) or not isinstance(annotations, list):
        return False
    return not annotations or any(
        isinstance(each, dict) and "result" in each for each in annotations
    )


def label_studio(row: Row) -> list[Conversation]:
    """The text that somebody wrote is the answer to the prompt; a rating is the score."""
    notes: set[str] = set()
    done = [each for each in _annotations(row) if each.get("was_cancelled") is not True]
    if not done:
        raise Reject("no_answer", "nobody annotated the task")
    done.sort(key=lambda each: each.get("ground_truth") is not True)
    submitted: dict[str, list[Any]] = {}
    targets: set[str] = set()
    ratings: list[Any] = []
    for annotation in done:
        for result in list_of(annotation.get("result") or [], "result"):
            result = object_of(result, "a result")
            value = object_of(result.get("value") or {}, "a result's value")
            if result.get("type") == "textarea":
                name = text_of(result.get("from_name"), "from_name")
                targets.add(text_of(result.get("to_name"), "to_name"))
                submitted.setdefault(name, []).append(_written(value.get("text"), name, notes))
            elif result.get("type") in ("rating", "number"):
                ratings.append(value.get("rating", value.get("number")))
    fields = {name: _turns(value) for name, value in row["data"].items()}
    if len(submitted) == 1:  # the only text area is the answer, whatever it is called
        submitted = {"answer": next(iter(submitted.values()))}
        fields = _question_of(fields, targets)
    messages = system_of(row["data"]) + _conversation(fields, submitted, notes)
    return [_scored(messages, ("data", "annotations"), ratings, notes)]


def _annotations(row: Row) -> list[dict[str, Any]]:
    return [object_of(each, "an annotation") for each in row["annotations"]]


def _written(value: Any, name: str, notes: set[str]) -> str:
    texts = value if isinstance(value, list) else [value]
    if len(texts) > 1:
        notes.add(FIRST)
    return text_of(texts[0] if texts else None, name)


def _question_of(fields: dict[str, Any], targets: set[str]) -> dict[str, Any]:
    """The fields with what the text area stands at as the question, if no other field is one."""
    known = any(_kind(name) == "question" for name in fields)
    named = [name for name in fields if name in targets and _kind(name) != "answer"]
    if known or len(named) != 1:
        return fields
    return {**fields, "question": fields[named[0]]}


def _turns(value: Any) -> Any:
    """Paragraphs of a dialogue as turns."""
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        return value
    return [
        {"role": turn["author"], "content": turn.get("text")} if "author" in turn else turn
        for turn in value
    ]


def _scored(
    messages: list[Message], used: tuple[str, ...], ratings: Iterable[Any], notes: set[str]
) -> Conversation:
    """The conversation with the score that people gave, if they gave one."""
    numbers = [each for each in ratings if isinstance(each, int | float) and abs(each) < 1e300]
    score = sum(map(float, numbers)) / len(numbers) if numbers else None
    if len(numbers) > 1:
        notes.add("of several ratings the mean is the score")
    return Conversation(messages, used, score=score, notes=tuple(sorted(notes)))


def is_label_studio_table(row: Row) -> bool:
    """A short row (JSON-MIN) of Label Studio: `{annotation_id, annotator, ...}`."""
    return "annotation_id" in row and "annotator" in row


_OF_LABEL_STUDIO = ("id", "annotation_id", "annotator", "created_at", "updated_at", "lead_time")


def label_studio_table(row: Row) -> list[Conversation]:
    """The fields are told apart by their names."""
    texts = {name: row[name] for name in row if name not in _OF_LABEL_STUDIO}
    answers = [name for name, value in texts.items() if _kind(name) == "answer" and value]
    fields = {name: value for name, value in texts.items() if name not in answers}
    submitted = {name: [_text_area(row[name])] for name in answers}
    notes: set[str] = set()
    messages = _conversation(fields, submitted, notes)
    return [_scored(messages, tuple(texts), [row.get("rating")], notes)]


def _text_area(value: Any) -> Any:
    return value.get("text") if isinstance(value, dict) else value


def is_argilla(row: Row) -> bool:
    """`{fields: {...}, responses}`, or columns `{question: [{user_id, value, status}]}`."""
    if isinstance(row.get("fields"), dict) and ("responses" in row or "suggestions" in row):
        return True
    for name, value in row.items():
        if isinstance(value, (list, dict)) and _is_answers(value):
            return True
        if isinstance(name, str) and name.endswith(".responses"):
            return True
    return False


def _is_answers(value: Any) -> bool:
    """What people answered to one question, as a list of objects or as an object of lists."""
    if isinstance(value, dict):
        return isinstance(value.get("value"), list) and isinstance(value.get("status"), list)
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict)
        and "value" in value[0]
        and all(isinstance(each, dict) and {"value", "user_id"} <= set(each) for each in value)
    )


def argilla(row: Row) -> list[Conversation]:
    """What was submitted, and not drafted or discarded, as the answer."""
    notes: set[str] = set()
    if isinstance(row.get("fields"), dict):
        fields, used = row["fields"], ["fields", "responses"]
        submitted = dict(_responses(row.get("responses")))
        submitted |= {name: [] for name in _suggested(row.get("suggestions")) - set(submitted)}
    else:
        submitted = dict(_columns(row))
        fields = {name: row[name] for name in row if _base(name) == name and name not in submitted}
        fields = {name: value for name, value in fields.items() if name not in ("id", "status")}
        used = [*(name for name in fields if _kind(name)), *submitted]
    messages = _conversation(fields, submitted, notes)
    numbers = [value for values in submitted.values() for value in values if type(value) is int]
    return [_scored(messages, tuple(used), numbers if len(numbers) == 1 else (), notes)]


def _responses(value: Any) -> Iterator[tuple[str, list[Any]]]:
    """By question, from `[{values: {question: {value}}, status}]` or `{question: [{value}]}`."""
    if isinstance(value, dict):
        for name, answers in value.items():
            yield name, _values(answers)
        return
    found: dict[str, list[Any]] = {}
    for each in list_of(value or [], "responses"):
        response = object_of(each, "a response")
        done = response.get("status", "submitted") == "submitted"
        for name, answer in object_of(response.get("values") or {}, "a response's values").items():
            given = answer.get("value") if isinstance(answer, dict) else answer
            found.setdefault(name, []).extend([given] if done else [])
    yield from found.items()


def _values(answers: Any) -> list[Any]:
    """The submitted ones of the answers to one question."""
    if isinstance(answers, dict):
        states = list_of(answers.get("status"), "status")
        given = list_of(answers.get("value"), "value")
        pairs = list(zip(given, states, strict=False))
    else:
        given = [object_of(each, "an answer") for each in list_of(answers or [], "responses")]
        pairs = [(each.get("value"), each.get("status") or "submitted") for each in given]
    return [value for value, state in pairs if state == "submitted"]


def _suggested(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {name for name in value if isinstance(name, str)}
    given = list_of(value or [], "suggestions")
    names = [each.get("question_name") for each in given if isinstance(each, dict)]
    return {name for name in names if isinstance(name, str)}


def _base(name: Any) -> str:
    """A column's question: `answer` for `answer-suggestion` and `answer.responses.status`."""
    return re.split(r"\.responses|\.suggestion|-suggestion", str(name))[0]


def _columns(row: Row) -> Iterator[tuple[str, list[Any]]]:
    for name, value in row.items():
        if _is_answers(value):
            yield name, _values(value)
        elif isinstance(name, str) and name.endswith(".responses"):
            states = row.get(f"{name}.status")
            given = list_of(value or [], name)
            done = states if isinstance(states, list) else ["submitted"] * len(given)
            pairs = zip(given, done, strict=False)
            yield name, [each for each, state in pairs if state == "submitted"]


def is_argilla_record(row: Row) -> bool:
    """`{text | inputs, annotation, annotation_agent, status}`, Argilla's first records."""
    return "annotation" in row and "annotation_agent" in row


def argilla_record(row: Row) -> list[Conversation]:
    """A text that somebody wrote for a text; labels are no answers."""
    if "inputs" in row or isinstance(row["annotation"], list | dict):
        raise Reject("unknown_shape", f"the annotation is a label of the text; {_NEXT}")
    question, answer = text_of(row.get("text"), "text"), text_of(row["annotation"], "annotation")
    if not answer:
        raise Reject("no_answer", "nobody annotated the text")
    return [Conversation([asked(question, ""), assistant(answer)], ("text", "annotation"))]
