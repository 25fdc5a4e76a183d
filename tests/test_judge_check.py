"""`curate judge`: a run's scores beside labels, the rubrics; `curate pairs --from judge`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate import cli
from tests.fake_server import Asked, FakeServer, Sent, completion


def by_words(asked: Asked) -> Sent | None:
    """Says of an answer what stands in it; of two, that the one with more stars is better."""
    if asked.is_known:
        return None
    if "Start of Assistant B" in asked.user:
        first, second = asked.user.split("Start of Assistant B")
        stars = first.count("*"), second.count("*")
        if stars[0] == stars[1]:
            return completion("The first one. [[A]]")
        return completion("[[A]]" if stars[0] > stars[1] else "[[B]]")
    return completion("5\nGood." if "right" in asked.user else "2\nBad.")


def run_judged(folder: Path, rows: list[dict[str, Any]], *more: str) -> Path:
    dump = folder / "dump.jsonl"
    dump.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    with FakeServer(by_words) as server:
        words = ["run", str(dump), "--recipe", "alpagasus", "--out", str(folder / "run")]
        words += ["--set", "judge.model=judge-1", "--set", f"judge.url={server.url}", *more]
        assert cli.main(words) == 0
    return folder / "run"


def labelled(label: Any = None, count: int = 40) -> list[dict[str, Any]]:
    """Rows of which half are right; one label in eight says otherwise."""
    rows = []
    for n in range(count):
        good = n % 2 == 0
        people = good if n % 8 else not good
        rows.append(
            {
                "instruction": f"Question {n}?",
                "output": f"This is {'right' if good else 'wrong'}, number {n}.",
                "people": label(people) if label else int(people),
            }
        )
    return rows


def checked(run: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    capsys.readouterr()
    words = ["judge", "check", str(run), "--labels", "people", "--json", *more]
    assert cli.main(words) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(
    ("label", "more"),
    [
        (None, ()),
        (bool, ()),
        (lambda good: "fine" if good else "poor", ("--good", "fine")),
        (lambda good: 4.5 if good else 1.5, ()),
        (lambda good: 90 if good else 10, ("--good", "50")),
    ],
)
def test_scores_are_compared_with_what_people_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], label: Any, more: tuple[str, ...]
) -> None:
    found = checked(run_judged(tmp_path, labelled(label)), capsys, *more)
    assert found["rows"] == 40
    assert found["threshold"] == 4.5
    assert found["cells"] == {"both": 15, "judge_alone": 5, "label_alone": 0, "neither": 20}
    assert found["agreement"][0] == pytest.approx(35 / 40)
    assert found["precision"][0] == pytest.approx(0.75)
    assert found["kappa"][0] == pytest.approx(0.75)


def test_the_sentences_name_agreement_and_how_many_labels_would_suffice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_judged(tmp_path, labelled())
    capsys.readouterr()
    assert cli.main(["judge", "check", str(run), "--labels", "people"]) == 0
    shown = capsys.readouterr().out
    assert "0.88 (95 % 0.74 to 0.95)" in shown
    assert "suffice" in shown or "would" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--labels", "nobody"], "has a field 'nobody'"),
        ([], "check needs a run and labels"),
        (["--labels", "people", "--step", "jugde"], "did you mean 'judge'"),
        (["--labels", "people", "--step", "exact"], "gave no row a score"),
    ],
)
def test_what_cannot_be_compared_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    run = run_judged(tmp_path, labelled(count=12))
    capsys.readouterr()
    assert cli.main(["judge", "check", str(run), *words]) == 1
    assert message in capsys.readouterr().err


def test_words_as_labels_need_the_good_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_judged(tmp_path, labelled(lambda good: "fine" if good else "poor", 12))
    assert cli.main(["judge", "check", str(run), "--labels", "people"]) == 1
    assert "name the word of a good row in --good" in capsys.readouterr().err
    words = ["judge", "check", str(run), "--labels", "people", "--good", "great"]
    assert cli.main(words) == 1
    assert "there is fine, poor" in capsys.readouterr().err


def test_rubrics_are_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["judge", "rubrics"]) == 0
    shown = capsys.readouterr().out
    assert "alpagasus: " in shown
    assert "published threshold 4.5" in shown
    assert cli.main(["judge", "rubrics", "careful"]) == 0
    assert "{% block user %}" in capsys.readouterr().out
    assert cli.main(["judge", "rubrics", "carefull"]) == 1
    assert "careful" in capsys.readouterr().err


def test_pairs_are_made_of_answers_that_win_in_both_orders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [
        ("one", "weak"), ("one", "strong **"), ("two", "same a"), ("two", "same b"),
        ("three", "alone"),
    ]  # fmt: skip
    dump = tmp_path / "answers.jsonl"
    rows = [{"instruction": f"Question {n}?", "output": text} for n, text in answers]
    dump.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    out = tmp_path / "pairs"
    with FakeServer(by_words) as server:
        where = ["--model", "judge-1", "--url", server.url, "--set", "concurrency=2"]
        words = ["pairs", str(dump), "--from", "judge", "--out", str(out), *where]
        assert cli.main(words) == 0
        assert len(server.questions) == 4
        assert cli.main([*words, "--force"]) == 0
        assert len(server.questions) == 4
    shown = capsys.readouterr().out
    assert "1 (50%) have another verdict in the other order" in shown
    (pair,) = map(json.loads, (out / "pairs.jsonl").read_text("utf-8").splitlines())
    assert pair["chosen"][0]["content"] == "strong **"
    assert (pair["score_chosen"], pair["score_rejected"]) == (1.0, -1.0)
    unused = map(json.loads, (out / "unused.jsonl").read_text("utf-8").splitlines())
    assert [row["reason"] for row in unused] == ["not_preferred", "not_preferred", "alone"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "nobody is named to ask"),
        (
            ["--model", "m", "--url", "http://127.0.0.1:9/v1", "--rubric", "alpagasus"],
            "two answers",
        ),
        (["--model", "m", "--url", "http://127.0.0.1:9/v1", "--set", "speed=3"], "no setting"),
        (["--model", "m", "--url", "http://127.0.0.1:9/v1", "--by", "votes"], "--by is for"),
    ],
)
def test_wrong_settings_of_a_judge_of_pairs_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    dump = tmp_path / "answers.jsonl"
    dump.write_text('{"instruction": "a", "output": "b"}', "utf-8")
    words = ["pairs", str(dump), "--from", "judge", "--out", str(tmp_path / "pairs"), *more]
    assert cli.main(words) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["people", "--at", "9"], "--at is 9; the judge's scores go from 0 to 5"),
        (["people", "--good", "fine"], "people holds numbers; name the number of a good row"),
        (["peopel"], "none of 10 rows has a field 'peopel'; did you mean 'people'?"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    run = run_judged(tmp_path, labelled(count=10))
    assert cli.main(["judge", "check", str(run), "--labels", *more]) == 1
    assert message in capsys.readouterr().err
