"""Answers are kept as they come, looked up before anything is asked, and never believed blindly."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from curate.base.errors import CurateError
from filters.llm_judge.asking import Totals, ask_all
from filters.llm_judge.question import Answer, Question
from filters.llm_judge.server import Server
from filters.llm_judge.store import Answers
from tests.fake_server import FakeServer, Sent, error, usual

ROOT = Path(__file__).resolve().parent.parent
KEYS = [bytes([number]) * 16 for number in range(200)]
SCORED = Answer("4", (0.1, 0.2, 0.0, 0.5, 0.05), 0.01, "judge-1", "length", 120, 1)
WRITTEN = Answer("Because it is so. " * 40 + "Score: 4", model="judge-1", finish="stop")


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Answers]:
    store = Answers(tmp_path / "kept")
    yield store
    store.close()


class Oracle:
    """A judge in this process that counts what it is asked; it takes `room` questions at once."""

    def __init__(self, room: int = 4, failing: Iterable[str] = ()) -> None:
        self.identity = "oracle"
        self.kept_in = None
        self.asked: list[str] = []
        self.room, self.failing = room, set(failing)

    def gives_probabilities(self) -> bool:
        return True

    def ask(self, questions: Iterable[tuple[int, Question]]) -> Iterator[tuple[int, Answer]]:
        under_way: list[tuple[int, Question]] = []
        for one in questions:
            under_way.append(one)
            if len(under_way) == self.room:
                yield self._answer(*under_way.pop())  # the last first: as they come, in no order
        while under_way:
            yield self._answer(*under_way.pop())

    def _answer(self, number: int, question: Question) -> tuple[int, Answer]:
        self.asked.append(question.user)
        if question.user in self.failing:
            return number, Answer(problem="no")
        return number, Answer(f"about {question.user}", model="oracle", tokens_out=2)

    def close(self) -> None:
        pass


def about(*names: object) -> list[tuple[int, Question]]:
    return [(number, Question(str(name))) for number, name in enumerate(names)]


# What is kept.


@pytest.mark.parametrize("answer", [SCORED, WRITTEN, Answer("a\0b\u2028é🙂")])
def test_an_answer_comes_back_as_it_was(answer: Answer, store: Answers, tmp_path: Path) -> None:
    store.put(KEYS[0], answer)
    assert store.get(KEYS[:3]) == {KEYS[0]: answer}
    again = Answers(tmp_path / "kept")
    assert again.get(KEYS) == {KEYS[0]: answer}
    again.close()


def test_without_a_folder_answers_are_kept_in_memory() -> None:
    store = Answers(None)
    store.put(KEYS[0], SCORED)
    assert store.get(KEYS) == {KEYS[0]: SCORED}
    assert Answers(None).get(KEYS) == {}


def test_a_failure_is_never_kept(store: Answers) -> None:
    with pytest.raises(ValueError, match="never kept"):
        store.put(KEYS[1], Answer(problem="no"))
    assert store.get(KEYS) == {}


def test_what_is_remembered_has_its_time(store: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    store.remember("server", {"probabilities": True})
    assert store.recall("server", 60) == {"probabilities": True}
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert store.recall("server", 60) is None
    assert store.recall("server") == {"probabilities": True}
    store.forget("server")
    assert store.recall("server") is None


def test_more_keys_than_one_query_takes_are_looked_up(store: Answers) -> None:
    keys = [number.to_bytes(16, "big") for number in range(1_700)]
    for key in keys[::100]:
        store.put(key, SCORED)
    assert set(store.get(keys)) == set(keys[::100])


# What is not believed.


def change(folder: Path, query: str, *values: object) -> None:
    database = sqlite3.connect(folder / "answers.sqlite")
    database.execute(query, values)
    database.commit()
    database.close()


def test_an_answer_that_was_changed_or_moved_is_asked_anew(store: Answers, tmp_path: Path) -> None:
    for key in KEYS[:3]:
        store.put(key, WRITTEN)
    folder = tmp_path / "kept"
    change(folder, "UPDATE answers SET value = value || x'00' WHERE key = ?", KEYS[0])
    change(folder, "UPDATE answers SET key = ? WHERE key = ?", KEYS[9], KEYS[1])
    assert store.get(KEYS) == {KEYS[2]: WRITTEN}
    assert any("are asked anew" in notice for notice in store.notices)
    store.put(KEYS[0], SCORED)
    assert store.get(KEYS[:1]) == {KEYS[0]: SCORED}


def test_what_is_remembered_is_never_taken_for_an_answer(store: Answers, tmp_path: Path) -> None:
    store.remember("0" * 16, "4")
    change(tmp_path / "kept", "INSERT INTO answers SELECT * FROM remembered")
    assert store.get([b"0" * 16]) == {}


def test_a_database_of_somebody_else_is_asked_anew(tmp_path: Path) -> None:
    theirs = Answers(tmp_path / "theirs")
    theirs.put(KEYS[0], SCORED)
    theirs.close()
    (tmp_path / "ours").mkdir()
    shutil.copy(tmp_path / "theirs" / "answers.sqlite", tmp_path / "ours")
    ours = Answers(tmp_path / "ours")
    assert ours.get(KEYS) == {} and ours.notices
    ours.close()


def test_a_secret_that_others_can_read_is_said_at_once(tmp_path: Path) -> None:
    store = Answers(tmp_path)
    assert store.notices == []
    store.close()
    (tmp_path / "key").chmod(0o644)
    again = Answers(tmp_path)
    assert "no later run will believe" in again.notices[0]
    again.close()


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TRIGGER t AFTER INSERT ON answers BEGIN DELETE FROM answers; END",
        "CREATE VIEW v AS SELECT * FROM answers",
        "CREATE TABLE more (x)",
    ],
)
def test_a_database_that_does_more_than_keep_is_moved_aside(made: str, tmp_path: Path) -> None:
    store = Answers(tmp_path)
    store.put(KEYS[0], SCORED)
    store.close()
    change(tmp_path, made)
    again = Answers(tmp_path)
    assert again.get(KEYS) == {} and "moved to answers.damaged-1.sqlite" in again.notices[0]
    again.put(KEYS[0], SCORED)
    assert again.get(KEYS) == {KEYS[0]: SCORED}
    again.close()


def damaged(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "empty":
        data = bytearray()
    elif how == "text":
        data = bytearray(b"no database at all\n" * 400)
    elif how == "cut":
        data = data[: len(data) // 2]
    elif how == "pages":
        data[4096:] = os.urandom(len(data) - 4096)
    elif how == "first":
        data[:100] = bytes(100)
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["empty", "text", "cut", "pages", "first"])
def test_a_damaged_database_is_begun_anew_aloud(how: str, tmp_path: Path) -> None:
    store = Answers(tmp_path)
    for key in KEYS:
        store.put(key, Answer(os.urandom(300).hex()))
    store.close()
    damaged(tmp_path / "answers.sqlite", how)
    again = Answers(tmp_path)
    left = again.get(KEYS)
    for key in KEYS:
        again.put(key, SCORED)
    assert again.get(KEYS) == dict.fromkeys(KEYS, SCORED)
    assert len(left) < len(KEYS)
    if how != "empty":  # an empty file is what a new database is
        assert any("was damaged" in notice for notice in again.notices)
        assert (tmp_path / "answers.damaged-1.sqlite").exists()
    again.close()


def test_what_is_whole_in_a_damaged_database_is_kept(tmp_path: Path) -> None:
    store = Answers(tmp_path)
    answers = {key: Answer(os.urandom(300).hex()) for key in KEYS}
    for key, answer in answers.items():
        store.put(key, answer)
    store.close()
    path = tmp_path / "answers.sqlite"
    data = bytearray(path.read_bytes())
    middle = len(data) // 8192 * 4096
    data[middle : middle + 4096] = os.urandom(4096)
    path.write_bytes(data)
    again = Answers(tmp_path)
    again.get(KEYS)
    for key in KEYS:
        again.remember(key.hex(), "no")
    left = again.get(KEYS)
    assert left.items() <= answers.items() and 100 < len(left) < len(KEYS)
    assert f"{len(left)} values in it were whole" in again.notices[0]
    again.close()


def test_a_store_can_be_pickled_and_used_after_a_fork(store: Answers) -> None:
    store.put(KEYS[0], SCORED)
    copied = pickle.loads(pickle.dumps(store))
    assert copied.get(KEYS) == {KEYS[0]: SCORED}
    copied.close()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of threads
        child = os.fork()
    if child == 0:
        try:
            store.put(KEYS[1], SCORED)
            found = store.get(KEYS)
            store.close()
            os._exit(0 if len(found) == 2 else 1)
        except BaseException:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert store.get(KEYS) == {KEYS[0]: SCORED, KEYS[1]: SCORED}


def test_damage_while_it_is_open_is_no_crash(tmp_path: Path) -> None:
    store = Answers(tmp_path)
    for key in KEYS:
        store.put(key, Answer(os.urandom(3000).hex()))
    store.close()
    assert store.get(KEYS[:1])
    damaged(tmp_path / "answers.sqlite", "pages")
    store.get(KEYS)
    store.put(KEYS[0], SCORED)
    assert store.get(KEYS[:1]) == {KEYS[0]: SCORED}
    store.close()


# Where nothing can be kept.


@pytest.mark.skipif(os.getuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(CurateError, match="check the free space"):
        Answers(tmp_path / "kept")


def test_a_file_where_the_folder_should_be_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(CurateError, match="cannot be written"):
        Answers(tmp_path / "kept")


def test_a_folder_where_the_database_should_be_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").mkdir()
    with pytest.raises(CurateError, match="cannot keep answers"):
        Answers(tmp_path)


FILLS = """
import os, pathlib, resource, signal, sys
from curate.base.errors import CurateError
from filters.llm_judge.question import Answer
from filters.llm_judge.store import Answers

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Answers(pathlib.Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    for number in range(10_000):
        store.put(number.to_bytes(16, "big"), Answer(os.urandom(500).hex()))
except CurateError as error:
    print(error)
"""


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILLS, str(tmp_path)], capture_output=True, text=True, cwd=ROOT
    )
    assert "cannot keep answers" in done.stdout and "ulimit -f" in done.stdout, done.stderr
    assert done.stderr == ""


# Asking.


def test_every_question_is_answered_under_its_number(store: Answers) -> None:
    asked = about(*range(50))
    assert dict(ask_all(asked, Oracle(), store)) == {
        number: Answer(f"about {number}", model="oracle", tokens_out=2) for number in range(50)
    }


def test_numbers_may_be_anything(store: Answers) -> None:
    asked = [(7, Question("a")), (7, Question("b")), (-3, Question("a"))]
    assert sorted((n, a.text) for n, a in ask_all(asked, Oracle(), store)) == [
        (-3, "about a"),
        (7, "about a"),
        (7, "about b"),
    ]


def test_equal_questions_are_asked_once_also_while_the_first_is_under_way(store: Answers) -> None:
    oracle = Oracle(room=64)
    answers = dict(ask_all(about(*([*"abcab"] * 2_000)), oracle, store))
    assert len(answers) == 10_000 and Counter(oracle.asked) == Counter("abc")


def test_a_second_run_asks_nothing(store: Answers) -> None:
    first = dict(ask_all(about(*range(50)), Oracle(), store))
    oracle = Oracle()
    assert dict(ask_all(about(*range(50)), oracle, store)) == first
    assert oracle.asked == []


def test_another_judge_is_asked_itself(store: Answers) -> None:
    list(ask_all(about("a"), Oracle(), store))
    other = Oracle()
    other.identity = "another"
    list(ask_all(about("a"), other, store))
    assert other.asked == ["a"]


def test_what_failed_is_asked_again_by_the_next_run_only(store: Answers) -> None:
    asked = about(*"aba", *range(2_000), "a")
    oracle = Oracle(failing=["a"])
    answers = dict(ask_all(asked, oracle, store))
    assert [answers[number].problem for number in (0, 1, 2, 2003)] == ["no", "", "no", "no"]
    assert oracle.asked.count("a") == 1
    again = Oracle()
    assert dict(ask_all(asked, again, store))[0].text == "about a"
    assert again.asked == ["a"]


def test_an_answer_is_kept_before_it_is_given(store: Answers, tmp_path: Path) -> None:
    other = Answers(tmp_path / "kept")
    given = 0
    for number, answer in ask_all(about(*range(20)), Oracle(), store):
        key = Question(str(number)).key("oracle")
        assert other.get([key]) == {key: answer}
        given += 1
    assert given == 20
    other.close()


def test_questions_are_taken_as_they_are_wanted(store: Answers) -> None:
    taken = 0

    def endless() -> Iterator[tuple[int, Question]]:
        nonlocal taken
        while True:
            taken += 1
            yield taken, Question(str(taken % 100))  # nearly all of them are known soon

    answers = ask_all(endless(), Oracle(), store)
    for _ in range(50_000):
        next(answers)
    assert taken < 50_000 + 10_000


def test_known_answers_do_not_wait_for_slow_ones(store: Answers) -> None:
    list(ask_all(about(*range(1_000)), Oracle(), store))
    answers = ask_all(about(*range(1_000), "new"), Oracle(), store)
    assert [next(answers)[0] for _ in range(500)] != []
    answers.close()


def test_what_stops_a_run_says_what_is_kept(store: Answers) -> None:
    def script(asked: object) -> Sent | None:
        return error(401, "expired") if len(fake.questions) > 10 else None

    with FakeServer(script) as fake:
        server = Server(fake.url, "judge", concurrency=1)
        with pytest.raises(CurateError) as stopped:
            list(ask_all(about(*range(100)), server, store))
        said = str(stopped.value)
        assert "expired" in said
        assert said.endswith("; 10 answers are kept, and the same command goes on from there")
        assert store.count() == 10
        fake.scripts = ()
        assert len(dict(ask_all(about(*range(100)), server, store))) == 100
        assert Counter(fake.questions).most_common(2)[1][1] == 1  # but for the one that failed
        server.close()


def test_totals_are_the_same_for_new_and_for_kept_answers(store: Answers) -> None:
    oracle = Oracle(failing=["3"])

    def totals() -> dict[str, object]:
        found = Totals()
        for _, answer in ask_all(about(*range(10)), oracle, store):
            found.add(answer)
        return found.numbers()

    assert totals() == totals()
    assert totals() == {
        "answers": 9,
        "failed": 1,
        "cut": 0,
        "models": {"oracle": 9},
        "tokens_in": 0,
        "tokens_out": 18,
    }


# Several at once, and killed ones.

CHILD = """
import sys
from pathlib import Path
from filters.llm_judge.asking import ask_all
from filters.llm_judge.question import Question
from filters.llm_judge.server import Server
from filters.llm_judge.store import Answers

url, folder, first, last = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
store = Answers(folder)
server = Server(url, "judge", store=store, concurrency=8)
questions = ((n, Question(f"question {n}", labels=tuple("12345"))) for n in range(first, last))
for number, answer in ask_all(questions, server, store):
    print(number, answer.text, answer.problem, flush=True)
server.close()
"""


def child(url: str, folder: Path, first: int, last: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, url, str(folder), str(first), str(last)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )


def test_several_processes_may_keep_answers_in_one_folder(tmp_path: Path) -> None:
    with FakeServer() as fake:
        children = [child(fake.url, tmp_path, 0, 150) for _ in range(3)]
        printed = [sorted(one.communicate()[0].splitlines()) for one in children]
    assert [one.returncode for one in children] == [0, 0, 0]
    assert printed[0] == printed[1] == printed[2] and len(printed[0]) == 150
    store = Answers(tmp_path)
    assert store.count() == 150 and store.notices == []
    store.close()


def test_a_process_that_is_interrupted_ends_at_once(tmp_path: Path) -> None:
    with FakeServer(lambda asked: Sent({}, wait=30) if len(fake.asked) > 40 else None) as fake:
        running = child(fake.url, tmp_path, 0, 1_000)
        while len(fake.asked) < 45 and running.poll() is None:
            time.sleep(0.01)
        began = time.monotonic()
        running.send_signal(signal.SIGINT)
        running.communicate()
        assert running.returncode not in (0, None)
        assert time.monotonic() - began < 8  # the requests under way take 30 seconds
        assert len(kept_questions(tmp_path, fake.url, 1_000)) >= 30


def kept_questions(folder: Path, url: str, rows: int) -> set[str]:
    store = Answers(folder)
    identity = Server(url, "judge").identity
    keys = {
        Question(f"question {n}", labels=tuple("12345")).key(identity): f"question {n}"
        for n in range(rows)
    }
    found = {keys[key] for key in store.get(list(keys))}
    assert store.notices == []
    store.close()
    return found


def test_a_killed_run_goes_on_and_asks_no_kept_question_again(tmp_path: Path) -> None:
    rows, kills = 300, 3
    kept: set[str] = set()
    with FakeServer(lambda asked: Sent(usual(asked).body, wait=0.005)) as fake:
        for kill in range(kills):
            at = len(fake.questions)
            running = child(fake.url, tmp_path, 0, rows)
            assert running.stdout is not None
            for _ in range(len(kept) + 20 + 30 * kill):
                running.stdout.readline()
            running.kill()
            running.communicate()
            assert not set(fake.questions[at:]) & kept
            before, kept = kept, kept_questions(tmp_path, fake.url, rows)
            assert len(before) + 20 <= len(kept) < rows
        at = len(fake.questions)
        printed = child(fake.url, tmp_path, 0, rows).communicate()[0].splitlines()
        assert len(printed) == rows and all(line.endswith(" ") for line in printed)
        assert not set(fake.questions[at:]) & kept
    # What was under way at a kill is asked twice: 8 questions in threads, and 8 on their way.
    twice = sum(count - 1 for count in Counter(fake.questions).values())
    assert twice <= kills * 16


def test_looking_up_takes_bounded_memory(tmp_path: Path) -> None:
    store = Answers(tmp_path)
    oracle = Oracle()
    list(ask_all(about(*range(100)), oracle, store))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    repeated = ((n, Question(str(n % 100) + "")) for n in range(100_000))
    assert sum(1 for _ in ask_all(repeated, oracle, store)) == 100_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    assert len(oracle.asked) == 100
    store.close()
