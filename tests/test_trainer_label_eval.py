"""`curate eval --labels`: models as classifiers of files and token rows, side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.base.errors import CurateError
from curate.cli import main
from tests.checkpoint_toys import STOP, train, write_base
from tests.label_toys import (
    CLASSES,
    TEMPLATE,
    file_rows,
    token_rows,
    write_labelled,
    write_rows,
)
from tests.trainer_toys import ASK, START
from trainer.data.labelled import check_labels

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("labels") / "base"
    write_base(folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    return str(folder)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_labelled(tmp_path_factory.mktemp("labels") / "tokens")


@pytest.fixture(scope="module")
def tuned(base: str, tokens: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("labels") / "tuned"
    how: dict[str, Any] = {"method": "lora", "learning_rate": 0.03, "batch_size": 8}
    return train(tokens, base, out, num_train_epochs=8, **how)


@pytest.fixture
def rows(tmp_path: Path) -> str:
    return write_rows(tmp_path / "rows.jsonl", file_rows(24))


@pytest.fixture
def classes(tmp_path: Path) -> str:
    path = tmp_path / "classes.txt"
    path.write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    return str(path)


def refused(*arguments: Any, **more: Any) -> str:
    with pytest.raises(CurateError) as error:
        curate.evaluate_labels(*arguments, **more)
    return str(error.value)


def test_a_tuned_model_is_ahead_of_its_base_on_the_same_rows(
    tuned: Path, base: str, rows: str, classes: str
) -> None:
    found = curate.evaluate_labels(tuned, rows, labels=classes, against=[base, tuned / "adapter"])
    first, second, third = found.models
    assert first.report.accuracy.value > 0.9 > 0.6 > second.report.accuracy.value
    assert second.ahead is not None and second.ahead.accuracy.is_different
    assert second.ahead.accuracy.value == pytest.approx(
        first.report.accuracy.value - second.report.accuracy.value
    )
    # The adapter on its base is the model that was merged.
    assert third.classified.nats is not None and first.classified.nats is not None
    assert third.classified.nats == pytest.approx(first.classified.nats, abs=1e-4)
    assert found.majority.accuracy.value == pytest.approx(1 / 3)
    assert found.priors() == pytest.approx([1 / 3] * 3)


def test_a_file_and_its_tokens_give_the_same_scores(
    tuned: Path, tmp_path: Path, tokens: str
) -> None:
    path = write_rows(tmp_path / "same.jsonl", file_rows(48))
    one = curate.evaluate_labels(tuned, path, labels=CLASSES)
    other = curate.evaluate_labels(tuned, tokens, labels=CLASSES)
    assert one.truth.tolist() == other.truth.tolist() == [0, 1, 2] * 16
    assert one.models[0].classified.nats == pytest.approx(other.models[0].classified.nats)


def test_the_same_command_gives_the_same_bytes(
    base: str, rows: str, classes: str, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        out = str(tmp_path / name)
        assert main(["eval", base, rows, "--labels", classes, "--out", out, "--quiet"]) == 0
    files = ("results.json", "rows.jsonl", "left_out.jsonl", "table.txt", "manifest.json")
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_everything_can_be_computed_again_from_the_folder(
    base: str, rows: str, classes: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    main(["eval", base, rows, "--labels", classes, "--out", str(out), "--quiet"])
    results = json.loads((out / "results.json").read_text("utf-8"))
    lines = [json.loads(line) for line in (out / "rows.jsonl").read_text("utf-8").splitlines()]
    said = [(line["label"], line["models"][0]) for line in lines]
    right = sum(label == one["predicted"] for label, one in said)
    assert results["models"][0]["accuracy"]["value"] == pytest.approx(right / 24)
    assert all(max(one["log_p"], key=one["log_p"].get) == one["predicted"] for _, one in said)
    assert results["prior"] == pytest.approx(dict.fromkeys(CLASSES, 1 / 3))


def test_the_table_has_models_classes_and_confusion(
    base: str, rows: str, classes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--labels", classes, "--against", base, "--scoring", "generate"]
    assert main(["eval", base, *options, rows]) == 0
    text = capsys.readouterr().out
    for part in ("macro-F1", "always 'w7'", "precision", "invalid", " - ", "95 % intervals"):
        assert part in text


def test_free_answers_that_are_no_class_are_invalid(base: str, rows: str) -> None:
    found = curate.evaluate_labels(base, rows, labels=CLASSES, scoring="generate")
    [only] = found.models
    assert only.report.invalid == 24 and only.report.macro_f1.value == 0
    assert only.classified.answers is not None and len(only.classified.answers) == 24
    assert only.mass is None


def test_a_model_without_a_template_takes_that_of_the_first(
    tuned: Path, rows: str, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    write_base(plain)
    found = curate.evaluate_labels(tuned, rows, labels=CLASSES, against=[plain])
    assert any("has no chat template, so the first model's" in line for line in found.notices)
    assert "no chat template" in refused(plain, rows, labels=CLASSES)


# Rows that cannot be classified, and as what they are left out.
ODD = [
    ({"prompt": "w10", "response": "W9"}, "other_label", "'w9' differs in case or spaces"),
    ({"prompt": "w10", "response": "w9 "}, "other_label", "'w9' differs in case or spaces"),
    ({"prompt": "w10", "response": "w11"}, "other_label", "none of the classes"),
    ({"prompt": "w10", "response": ""}, "no_label", "empty"),
    ({"prompt": "w10"}, "unreadable", "no_answer"),
    ({"prompt": " ".join(["w10"] * 60), "response": "w9"}, "too_long", "48 positions"),
]


def test_rows_that_cannot_be_classified_are_counted_and_listed(base: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "odd.jsonl", [*file_rows(6), *(row for row, _, _ in ODD)])
    found = curate.evaluate_labels(base, path, labels=CLASSES)
    assert len(found.truth) == 6
    assert [(one.row, one.reason) for one in found.left_out] == [
        (6 + number, reason) for number, (_, reason, _) in enumerate(ODD)
    ]
    for one, (_, _, words) in zip(found.left_out, ODD, strict=True):
        assert words in one.message
    assert sum(found.as_dict()["left_out"].values()) == len(ODD)


def test_a_field_holds_the_label_of_rows_with_and_without_an_answer(
    base: str, tmp_path: Path
) -> None:
    asked = [row["prompt"] for row in file_rows(3)]
    rows: list[dict[str, Any]] = [
        {"prompt": asked[0], "kind": "w7"},
        {"messages": [{"role": "user", "content": asked[1]}], "kind": "w7 w6"},
        {"prompt": asked[2], "response": "w5", "kind": "w9"},
        {"prompt": asked[0], "response": "w5"},
    ]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    found = curate.evaluate_labels(base, path, labels="kind")
    assert found.classes == ("w7", "w7 w6", "w9") and found.truth.tolist() == [0, 1, 2]
    assert [(one.row, one.reason) for one in found.left_out] == [(3, "no_label")]
    assert any("the classes are the 3 that rows have" in line for line in found.notices)
    given = curate.evaluate_labels(base, path, labels=CLASSES, field="kind")
    assert given.models[0].classified.nats == pytest.approx(found.models[0].classified.nats)


def test_rows_none_of_which_has_an_answer_are_read_by_their_field(
    base: str, tmp_path: Path
) -> None:
    rows = [{"prompt": row["prompt"], "kind": row["response"]} for row in file_rows(6)]
    path = write_rows(tmp_path / "asked.jsonl", rows)
    found = curate.evaluate_labels(base, path, labels="kind")
    assert found.truth.tolist() == [0, 1, 2, 0, 1, 2] and not found.left_out
    assert not any("could not be read" in line for line in found.notices)


def test_a_map_gives_the_class_for_what_a_field_holds(base: str, tmp_path: Path) -> None:
    rows = [{"text": row["prompt"], "label": number % 3} for number, row in enumerate(file_rows(6))]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    names = tmp_path / "names.json"
    names.write_text(json.dumps(dict(zip("012", CLASSES, strict=True))), encoding="utf-8")
    found = curate.evaluate_labels(
        base, path, labels=names, field="label", columns={"prompt": "text"}
    )
    assert found.classes == CLASSES and found.truth.tolist() == [0, 1, 2, 0, 1, 2]
    assert not found.left_out


def test_auto_takes_the_answers_that_rows_have(base: str, rows: str, tokens: str) -> None:
    for data in (rows, tokens):
        assert curate.evaluate_labels(base, data, labels="auto").classes == CLASSES


# What a list of classes may be instead, and what is said of it.
LISTS = [
    (["w7"], "names only 'w7', so no answer can be wrong"),
    ([], "names no class"),
    (["w7", "w9", "w7"], "names 'w7' twice"),
    (["w7", "W7"], "'w7' and 'W7' differ in case or spaces alone"),
    (["w7", "w7 "], "differ in case or spaces alone"),
    (["a b", "a  b"], "differ in spaces or in how letters are encoded alone"),
    (["caf\u00e9", "cafe\u0301"], "'caf\\xe9' and 'cafe\\u0301' differ in spaces or in how"),
    (["w7", " "], "class 2 is empty"),
    (["w7", 3], "class 3 is no text"),
]


@pytest.mark.parametrize(("given", "words"), LISTS, ids=[words for _, words in LISTS])
def test_a_list_that_is_none_is_refused(given: list[Any], words: str, base: str, rows: str) -> None:
    assert words in refused(base, rows, labels=given)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no class"),
        ("w7\n\nw9\n", "class 2 is empty"),
        ('["w7", ', "begins like JSON and is none"),
        ('{"0": "w7", "1": 2}', "class 2 is no text"),
        ('["w7", ["w9"]]', "class ['w9'] is no text"),
        (b"w7\n\xff\n", "is not UTF-8"),
    ],
)
def test_a_file_that_is_no_list_is_refused(
    text: str | bytes, words: str, base: str, rows: str, tmp_path: Path
) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert words in refused(base, rows, labels=str(path))


def test_labels_with_the_same_tokens_or_none_are_refused() -> None:
    for labels, words in (
        ([(4, 2), (4, 2)], "labels 'a' and 'b' are the same tokens"),
        ([(4, 2), ()], "label 'b' has no token"),
    ):
        with pytest.raises(CurateError, match=words):
            check_labels(["a", "b"], labels, has_stop=True)


def test_files_of_windows_are_read_too(base: str, rows: str, tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(b"\xef\xbb\xbfw7\r\nw7 w6\r\nw9\r\n\r\n")
    assert curate.evaluate_labels(base, rows, labels=path).classes == CLASSES


def test_names_that_are_nothing_are_said(base: str, rows: str, tokens: str, tmp_path: Path) -> None:
    assert "there is no such file of classes" in refused(base, rows, labels="no/classes.txt")
    assert "there is no such file of classes" in refused(base, rows, labels="classes.txt")
    assert "there is no such file of classes" in refused(base, rows, labels=str(tmp_path))
    kinds = write_rows(tmp_path / "kinds.jsonl", [{**row, "kind": "a"} for row in file_rows(4)])
    assert "did you mean 'kind'?" in refused(base, kinds, labels="kinds")
    assert "token rows have no field 'kind'" in refused(base, tokens, labels="kind")
    assert "are classes already" in refused(base, tokens, labels={"0": "w7", "1": "w9"})
    assert "is rendered already" in refused(base, tokens, labels="auto", template="chatml")
    assert "no such" in refused(str(tmp_path / "none"), rows, labels="auto")


def test_answers_that_are_no_labels_are_refused(base: str, tmp_path: Path) -> None:
    free = [{"prompt": "w10", "response": f"w{number} w{number + 1}"} for number in range(4, 20)]
    path = write_rows(tmp_path / "free.jsonl", free)
    assert "have 16 different labels" in refused(base, path, labels="auto")
    assert "no row has a label that is one of the classes" in refused(base, path, labels=CLASSES)


def test_token_rows_with_a_class_that_none_has(base: str, tokens: str) -> None:
    """Its tokens are what the tokenizer makes of it, as they are of all classes that rows have."""
    found = curate.evaluate_labels(base, tokens, labels=[*CLASSES, "w11"])
    assert found.majority.absent == ("w11",)
    assert "no row has one of these classes" in refused(base, tokens, labels=["w11", "w12"])


def test_token_rows_whose_stop_is_not_known(base: str, tmp_path: Path) -> None:
    bare = [(name, ids[:-1], labels[:-1]) for name, ids, labels in token_rows(12)]
    tokens = write_labelled(tmp_path / "bare", rows=bare)
    assert "no stop is known, and label 'w7' begins 'w7 w6'" in refused(base, tokens, labels="auto")
    # Where no label begins another, no stop is needed to tell them apart.
    apart = [row for number, row in enumerate(bare) if number % 3 != 1]
    tokens = write_labelled(tmp_path / "apart", rows=apart)
    assert curate.evaluate_labels(base, tokens, labels="auto").classes == ("w7", "w9")


def test_token_rows_that_are_odd_are_left_out(base: str, tmp_path: Path) -> None:
    """An empty answer, another label, and several turns, of which the last is the label."""
    start, ends = [START, 12, ASK], [STOP]
    odd = [
        ("a" * 16, start + ends, [-100] * 3 + ends),
        ("b" * 16, [*start, 11, *ends], [-100] * 3 + [11, *ends]),
        (
            "c" * 16,
            [*start, 9, *ends, 13, ASK, 7, *ends],
            [*[-100] * 3, 9, *ends, -100, -100, 7, *ends],
        ),
    ]
    tokens = write_labelled(tmp_path / "odd", rows=[*token_rows(6), *odd])
    found = curate.evaluate_labels(base, tokens, labels=CLASSES)
    assert [(one.row, one.reason) for one in found.left_out] == [
        (6, "no_label"),
        (7, "other_label"),
    ]
    assert found.numbers.tolist() == [0, 1, 2, 3, 4, 5, 8] and found.truth[-1] == 0


def test_token_rows_of_another_tokenizer_are_refused(base: str, tmp_path: Path) -> None:
    tokens = write_labelled(tmp_path / "other")
    manifest = Path(tokens) / "manifest.json"
    content = json.loads(manifest.read_text("utf-8"))
    content["tokenizer"]["special"] = {"eos_token": "<|other|>"}
    manifest.write_text(json.dumps(content), encoding="utf-8")
    assert "has another tokenizer than the rows" in refused(base, tokens, labels="auto")


def test_options_that_do_not_go_together(base: str, rows: str) -> None:
    assert "prior even needs a score" in refused(
        base, rows, labels=CLASSES, prior="even", scoring="trie"
    )
    assert main(["eval", base, rows]) == 1
    assert main(["eval", base, "--labels", "auto"]) == 1


def test_an_evaluation_of_other_rows_is_not_replaced(
    base: str, rows: str, classes: str, tmp_path: Path
) -> None:
    out, other = str(tmp_path / "out"), write_rows(tmp_path / "other.jsonl", file_rows(6))
    assert main(["eval", base, rows, "--labels", classes, "--out", out, "--quiet"]) == 0
    assert main(["eval", base, rows, "--labels", classes, "--out", out, "--scoring", "mean"]) == 0
    again = ["eval", base, other, "--labels", classes, "--out", out, "--quiet"]
    assert main(again) == 1
    assert main([*again, "--force"]) == 0
