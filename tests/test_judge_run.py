"""A judge on a server in a whole run: what is written, what is asked again, what a key leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import curate
from curate import cli
from tests.fake_server import Asked, FakeServer, Sent, completion, error

ROWS = 60
KEY = "sk-this-key-is-in-no-file-0123456789"


def scored(asked: Asked) -> Sent | None:
    """A score on the first line, by the number in the question, and a reason."""
    if asked.is_known:
        return None
    number = int(asked.user.split("question ")[1].split(" ")[0])
    return completion(f"{number % 6}\nIt is number {number}.")


def likely(asked: Asked) -> Sent | None:
    """Probabilities of six labels by the length of the question."""
    if asked.is_known:
        return None
    best = str(len(asked.user) % 6 + 1)
    tokens = {label: -0.3 if label == best else -4.0 for label in "123456"}
    return completion(best, tokens)


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "dump.jsonl"
    rows = [{"instruction": f"question {n} .", "output": f"Answer {n}."} for n in range(ROWS)]
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return path


def command(
    dump: Path, out: Path, server: FakeServer, *more: str, recipe: str = "alpagasus"
) -> int:
    where = ["--set", "judge.model=judge-1", "--set", f"judge.url={server.url}"]
    return cli.main(["run", str(dump), "--recipe", recipe, "--out", str(out), *where, *more])


def content(run: Path) -> dict[str, Any]:
    """All that a run says, but for timings."""
    manifest = json.loads((run / "manifest.json").read_text("utf-8"))
    return {name: manifest[name] for name in ("counts", "steps", "files")}


def test_a_recipe_makes_its_own_scores_and_drops_below_the_published_one(
    dump: Path, tmp_path: Path
) -> None:
    with FakeServer(scored) as server:
        assert command(dump, tmp_path / "run", server) == 0
    run = curate.open(tmp_path / "run")
    assert run.counts["kept"] == ROWS // 6
    assert set(run.dropped["reason"]) == {"below_min_score"}
    assert run.dropped["evidence"][0] == "score 0, min_score is 4.5: It is number 0."
    numbers = run.manifest["steps"][-1]["numbers"]
    assert numbers["models"] == {"judge-1": ROWS}
    assert numbers["rubric"] == "alpagasus"


def test_nothing_is_asked_twice_whatever_threshold_is_tried(dump: Path, tmp_path: Path) -> None:
    with FakeServer(scored) as server:
        command(dump, tmp_path / "a", server)
        asked = len(server.questions)
        command(dump, tmp_path / "b", server)
        command(dump, tmp_path / "c", server, "--set", "judge.min_score=2")
        assert len(server.questions) == asked == ROWS
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert curate.open(tmp_path / "c").counts["kept"] == ROWS * 4 // 6


def test_the_order_of_answers_changes_no_byte(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_at_first(asked: Asked) -> Sent | None:
        sent = scored(asked)
        return sent and Sent(sent.body, wait=max(0.0, 0.2 - 0.01 * asked.number))

    for name, script in (("a", scored), ("b", slow_at_first)):
        monkeypatch.setenv("CURATE_CACHE", str(tmp_path / f"cache-{name}"))
        with FakeServer(script) as server:
            command(dump, tmp_path / name, server, "--set", "judge.concurrency=16")
            port = server.url.split(":")[2]
        for file in (tmp_path / name).rglob("manifest.json"):
            text = file.read_text("utf-8").replace(port, "PORT/v1")
            file.write_text(text, "utf-8")
    a, b = content(tmp_path / "a"), content(tmp_path / "b")
    assert a == b


def test_a_dry_run_says_what_it_would_cost_and_asks_nothing(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeServer(scored) as server:
        prices = ("--set", "judge.prices=[1, 2]")
        assert command(dump, tmp_path / "run", server, "--dry-run", *prices) == 0
        assert not server.questions
        shown = capsys.readouterr().out
        assert f"judge: at most {ROWS} rows; {ROWS} questions to ask, 0 known; about " in shown
        assert "at most $0.0" in shown
        assert not (tmp_path / "run").exists()
        command(dump, tmp_path / "run", server, *prices)
        capsys.readouterr()
        command(dump, tmp_path / "run", server, "--dry-run", *prices)
    assert f"nothing to ask, {ROWS} answers are known" in capsys.readouterr().out


def test_a_dry_run_of_a_recipe_without_a_judge_says_so(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", str(dump), "--dry-run", "--out", str(tmp_path / "run")]) == 1
    assert "no step of default asks a model" in capsys.readouterr().err


def test_deita_asks_two_judges_and_chooses_by_both(dump: Path, tmp_path: Path) -> None:
    with FakeServer(likely) as server:
        second = ("--set", "judge-2.model=judge-1", "--set", f"judge-2.url={server.url}")
        small = ("--set", "select.budget=10")
        assert command(dump, tmp_path / "run", server, *second, *small, recipe="deita") == 0
        assert len(server.questions) == 2 * ROWS
    run = curate.open(tmp_path / "run")
    assert run.counts["kept"] == 10
    assert [step["name"] for step in run.manifest["steps"]][-3:] == ["judge", "judge-2", "select"]


def test_rows_that_fail_are_dropped_aloud_and_asked_again(dump: Path, tmp_path: Path) -> None:
    broken = True

    def some_fail(asked: Asked) -> Sent | None:
        if broken and "question 7 " in asked.user:
            return error(400, "context is too long")
        return scored(asked)

    with FakeServer(some_fail) as server:
        command(dump, tmp_path / "a", server)
        run = curate.open(tmp_path / "a")
        (row,) = run.dropped.filter(run.dropped["reason"] == "no_score").to_dicts()
        assert row["evidence"].startswith("no_answer: ")
        assert "context is too long" in row["evidence"]
        broken = False
        command(dump, tmp_path / "b", server)
        assert len(server.questions) == ROWS + 1
    assert "no_score" not in set(curate.open(tmp_path / "b").dropped["reason"])


@pytest.mark.parametrize("kills", [4])
def test_a_run_that_is_killed_again_and_again_asks_nothing_twice_that_was_answered(
    dump: Path, tmp_path: Path, kills: int
) -> None:
    def steady(asked: Asked) -> Sent | None:
        sent = scored(asked)
        return sent and Sent(sent.body, wait=0.05)

    cache = {**os.environ, "CURATE_CACHE": str(tmp_path / "cache"), "CURATE_TEST": "1"}
    with FakeServer(steady) as server:
        words = [
            sys.executable, "-m", "curate", "run", str(dump), "--recipe", "alpagasus",
            "--out", str(tmp_path / "run"), "--set", "judge.model=judge-1",
            "--set", f"judge.url={server.url}", "--set", "judge.concurrency=2",
        ]  # fmt: skip
        for turn in range(kills):
            wanted = len(server.questions) + 5
            child = subprocess.Popen(words, env=cache, stdout=subprocess.DEVNULL)
            until = time.monotonic() + 60
            while len(server.questions) < wanted and child.poll() is None:
                assert time.monotonic() < until, "the run asks nothing"
                time.sleep(0.01 + 0.003 * turn)
            child.send_signal(signal.SIGKILL)
            child.wait()
        assert subprocess.run(words, env=cache, stdout=subprocess.DEVNULL).returncode == 0
        asked = server.questions
    twice = len(asked) - len(set(asked))
    assert len(set(asked)) == ROWS
    # Of what was under way at a kill, two questions at a time, nobody got the answer.
    assert twice <= 2 * kills
    again = curate.open(tmp_path / "run")
    assert again.counts["kept"] == ROWS // 6


def test_a_key_is_sent_where_it_belongs_and_is_found_in_no_file_or_line(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def echoing(asked: Asked) -> Sent | None:
        sent = scored(asked)
        if sent is None:
            return None
        key = asked.headers.get("authorization", "nothing")
        if "question 9 " in asked.user:
            return error(400, f"bad request by {key}")
        return completion(f"{sent.body['choices'][0]['message']['content']}\nYou are {key}")

    with FakeServer(echoing) as server:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
        assert command(dump, tmp_path / "run", server) == 0
        assert {asked.headers["authorization"] for asked in server.asked} == {f"Bearer {KEY}"}
        monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.com/v1")
        server.asked.clear()
        command(dump, tmp_path / "other", server, "--set", "judge.temperature=0.5")
        assert server.asked
        assert not any("authorization" in asked.headers for asked in server.asked)
    said = "".join(capfd.readouterr())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert KEY not in said
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    assert KEY not in curate.open(tmp_path / "run").explain(reason="no_score")
