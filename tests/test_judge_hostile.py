"""A judge among servers that write odd JSON, runs beside it, and rubrics that fail on one row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

import curate
from curate.base.errors import CurateError
from filters.llm_judge import rubric as rubrics
from filters.llm_judge.address import read_address
from filters.llm_judge.asking import commonest
from filters.llm_judge.question import Answer, Question
from filters.llm_judge.rubric import RubricFailed, load_rubric
from filters.llm_judge.server import Server
from filters.llm_judge.store import Answers
from tests.fake_server import Asked, FakeServer, Sent, completion

HUGE = "1" + "0" * 400
HEAD = "---\nways: {text: first_line_number}\nrange: [0, 5]\n---\n"


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def answered(choice: str = "", tokens: str = "1", more: str = "", finish: str = '"stop"') -> str:
    """A usual answer as JSON, with texts put into it."""
    return (
        f'{{"model": "m", "choices": [{{"message": {{"content": "4"}}, "finish_reason": {finish}'
        f'{choice}}}], "usage": {{"prompt_tokens": {tokens}, "completion_tokens": 1}}{more}}}'
    )


def listed(log: str) -> str:
    token = f'{{"token": "A", "logprob": {log}}}'
    return f', "logprobs": {{"content": [{{"top_logprobs": [{token}]}}]}}'


ODD = {
    "a count beyond a float": (200, answered(tokens=HUGE)),
    "a count beyond 64 bits beside NaN": (200, answered(tokens="1" + "0" * 30, more=', "x": NaN')),
    "a logarithm beyond a float": (200, answered(choice=listed(f"-{HUGE}"))),
    "a positive one": (200, answered(choice=listed(HUGE), more=', "x": NaN')),
    "a finish that is a list of lists": (200, answered(finish=nested(1000))),
    "an error of lists": (200, f'{{"error": {nested(1015)}}}'),
    "a place that is a number": (422, '{"detail": [{"loc": 5}]}'),
    "a place that is an object": (400, '{"detail": [{"loc": {"a": 1}}]}'),
    "half a character in a list": (422, '{"detail": ["\\ud800"]}'),
    "a number beyond 64 bits in a list": (400, f'{{"detail": [{HUGE}]}}'),
    "lists in lists": (500, f'{{"detail": {nested(900)}}}'),
}


@pytest.mark.parametrize("labels", [(), ("A", "B")])
@pytest.mark.parametrize("name", ODD)
def test_whatever_json_a_server_writes_a_question_has_an_answer_or_a_problem(
    name: str, labels: tuple[str, ...]
) -> None:
    status, text = ODD[name]

    def odd(asked: Asked) -> Sent | None:
        return None if asked.is_known else Sent(text.encode(), status)

    store = Answers(None)
    with FakeServer(odd) as fake:
        server = Server(fake.url, "judge-1", backoff=0.001, store=store)
        try:
            ((_, answer),) = server.ask([(0, Question("q", labels=labels))])
            assert answer.problem or answer.text == "4"
        except CurateError as error:
            assert "probabilities" in str(error)
        finally:
            server.close()


def test_many_names_of_one_server_are_counted_not_listed() -> None:
    counts = {f"model-{number:03}": 1 for number in range(500)} | {"judge": 7}
    found = commonest(counts, most=3)
    assert found == {"judge": 7, "model-000": 1, "model-001": 1, "498 other names": 498}
    assert commonest({"b": 1, "a": 2}) == {"a": 2, "b": 1}


def test_of_two_runs_that_ask_at_once_the_first_answer_counts_for_both(tmp_path: Path) -> None:
    key = bytes(16)
    first, second = Answers(tmp_path), Answers(tmp_path)
    assert first.put(key, Answer("4")) == Answer("4")
    assert second.put(key, Answer("2")) == Answer("4")
    assert first.get([key]) == {key: Answer("4")}


def test_a_row_that_another_run_was_answered_meanwhile_keeps_its_own_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evidence is of what the row was dropped by."""
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    rows = [{"instruction": f"question {n}.", "output": "yes"} for n in range(3)]

    def script(asked: Asked) -> Sent | None:
        if asked.is_known:
            return None
        if "question 1." in asked.user:
            return Sent({"error": {"message": "too long"}}, 400)
        if "question 2." in asked.user:  # after the failure: another run gets an answer
            other = Answers(tmp_path / "cache" / "answers")
            (question,) = load_rubric("alpagasus").questions(row, "text")
            other.put(question.key(Server(fake_url[0], "judge-1").identity), Answer("5\nFine."))
        return completion("4\nGood.")

    row = {
        "messages": [
            {"role": "user", "content": "question 1."},
            {"role": "assistant", "content": "yes"},
        ],
        "tools": None,
    }
    fake_url: list[str] = []
    dump = tmp_path / "dump.jsonl"
    dump.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    with FakeServer(script) as fake:
        fake_url.append(fake.url)
        judge = {"rubric": "alpagasus", "model": "judge-1", "url": fake.url, "concurrency": 1}
        run = curate.run(dump, steps=[{"judge": judge}])
        assert Answers(tmp_path / "cache" / "answers").count() == 3
    (evidence,) = run.dropped["evidence"]
    assert "too long" in evidence
    assert "Fine" not in evidence


def test_without_a_cache_a_run_that_is_judged_anew_asks_nothing_again(tmp_path: Path) -> None:
    dump = tmp_path / "dump.jsonl"
    rows = [{"instruction": f"question {n}.", "output": "yes"} for n in range(6)]
    dump.write_text("\n".join(map(json.dumps, rows)), "utf-8")

    def script(asked: Asked) -> Sent | None:
        if asked.is_known:
            return None
        return completion(asked.user.split("question ")[1][0])

    with FakeServer(script) as fake:
        judge = {"rubric": "alpagasus", "model": "judge-1", "url": fake.url}
        run = curate.run(dump, steps=[{"judge": judge}], cache=False)
        assert len(fake.questions) == 6
        again = run.with_settings({"judge.min_score": 3})
        assert len(fake.questions) == 6
    assert (run.counts["kept"], again.counts["kept"]) == (6, 3)


def test_a_rubric_is_read_once_a_run_however_many_rows_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    parse = rubrics.parse_rubric

    def counted(text: str, *more: Any) -> rubrics.Rubric:
        read.append(text)
        return parse(text, *more)

    monkeypatch.setattr(rubrics, "parse_rubric", counted)
    counts = []
    for size in (3, 40):
        read.clear()
        dump = tmp_path / "dump.jsonl"
        rows = [{"instruction": f"question {n}.", "output": "yes"} for n in range(size)]
        dump.write_text("\n".join(map(json.dumps, rows)), "utf-8")
        with FakeServer(lambda asked: None if asked.is_known else completion("4")) as fake:
            judge = {"rubric": "alpagasus", "model": "judge-1", "url": fake.url}
            curate.run(dump, steps=[{"judge": judge}])
        counts.append(len(read))
    assert counts[0] == counts[1]


def test_half_a_character_that_a_rubric_writes_for_one_row_fails_that_row_alone(
    tmp_path: Path,
) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text(HEAD + "{{ response }}{% if 'x' in response %}{{ '\\ud800' }}{% endif %}")
    rubric = load_rubric(str(file))
    assert rubric.questions(row_of("plain"), "text")
    with pytest.raises(RubricFailed, match="half a character"):
        rubric.questions(row_of("x"), "text")


def row_of(answer: str) -> dict[str, Any]:
    asked = {"role": "user", "content": "Hi"}
    return {"messages": [asked, {"role": "assistant", "content": answer}], "tools": None}


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"])
def test_this_machine_is_known_however_its_address_is_written(host: str) -> None:
    assert read_address(f"http://{host}:8000/v1").is_loopback


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "127.0.0.0x1", "1.2.3.4.5"])
def test_a_number_that_readers_take_for_different_hosts_is_refused(host: str) -> None:
    with pytest.raises(CurateError, match="names no IPv4 address"):
        read_address(f"http://{host}/v1")


def test_a_range_without_an_end_is_written_as_json_that_everybody_reads(tmp_path: Path) -> None:
    dump = tmp_path / "dump.jsonl"
    dump.write_text(json.dumps({"instruction": "question 1.", "output": "yes"}), "utf-8")
    tags = '[{"tag": "asking", "explanation": "it asks"}]'
    with FakeServer(lambda asked: None if asked.is_known else completion(tags)) as fake:
        judge = {"rubric": "instag", "model": "judge-1", "url": fake.url}
        curate.run(dump, steps=[{"judge": judge}], out=tmp_path / "run", cache=False)
    manifest = orjson.loads((tmp_path / "run" / "manifest.json").read_bytes())
    assert manifest["steps"][-1]["numbers"]["range"] == [0, None]
