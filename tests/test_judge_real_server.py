"""What a real server of small models answers, and leaves out without a word.

`make slow` runs it: it takes a quarter of a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from curate.base.errors import CurateError
from curate.base.extras import missing
from filters.llm_judge.local import LocalModel
from filters.llm_judge.question import Question
from filters.llm_judge.rubric import load_rubric
from filters.llm_judge.server import Server
from tests.real_server import MODEL, ROOT, real_server

pytestmark = pytest.mark.slow

ASKED = "How do I grow beans?"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if absent := missing("torch", "transformers", "fastapi", "uvicorn", "openai"):
        pytest.skip(f"transformers serve needs {', '.join(absent)} (extra: serving)")
    with real_server(tmp_path_factory.mktemp("server")) as address:
        yield address


def chat(server: str, **more: Any) -> httpx2.Response:
    body = {"model": MODEL, "messages": [{"role": "user", "content": ASKED}], "max_tokens": 12}
    return httpx2.post(f"{server}/v1/chat/completions", json=body | more, timeout=60)


def test_it_says_that_it_is_there_and_not_what_it_serves(server: str) -> None:
    assert httpx2.get(f"{server}/health", timeout=20).json() == {"status": "ok"}
    # It lists what lies in the hub's cache, and fails where there is none.
    assert httpx2.get(f"{server}/v1/models", timeout=20).status_code == 500


def test_it_writes_what_the_model_writes_in_this_process(server: str) -> None:
    answer = chat(server, temperature=0).json()
    [(_, here)] = LocalModel(str(ROOT / MODEL)).ask([(0, Question(user=ASKED, max_tokens=12))])
    assert here.text
    assert answer["choices"][0]["message"]["content"] == here.text
    assert answer["choices"][0]["finish_reason"] == here.finish == "length"
    assert answer["usage"] == {
        "prompt_tokens": here.tokens_in,
        "completion_tokens": here.tokens_out,
        "total_tokens": here.tokens_in + here.tokens_out,
    }


def test_it_answers_without_the_probabilities_that_it_was_asked_for(server: str) -> None:
    answer = chat(server, logprobs=True, top_logprobs=5)
    assert answer.status_code == 200
    [choice] = answer.json()["choices"]
    assert choice.get("logprobs") is None


def test_it_answers_once_and_freely_whatever_form_was_asked_for(server: str) -> None:
    answer = chat(server, n=2, response_format={"type": "json_object"})
    assert answer.status_code == 200
    [choice] = answer.json()["choices"]
    assert not choice["message"]["content"].startswith("{")


def test_it_takes_both_names_of_the_limit(server: str) -> None:
    assert chat(server, max_tokens=2).json()["usage"]["completion_tokens"] == 2
    new = chat(server, max_tokens=None, max_completion_tokens=3)
    assert new.json()["usage"]["completion_tokens"] == 3


def test_it_refuses_another_model_and_a_setting_that_it_does_not_know(server: str) -> None:
    assert chat(server, model="other").status_code == 400
    assert chat(server, unheard_of=1).status_code == 422


def test_it_reads_on_beyond_the_models_context_where_a_local_judge_says_no(server: str) -> None:
    long = "beans " * 600
    messages = [{"role": "user", "content": long}]
    answer = chat(server, messages=messages).json()
    [(_, here)] = LocalModel(str(ROOT / MODEL)).ask([(0, Question(user=long))])
    assert answer["usage"]["prompt_tokens"] > 512
    assert here.problem.endswith("tokens, and the model reads 512")


def test_the_client_notices_that_probabilities_are_missing(server: str) -> None:
    judge = Server(f"{server}/v1", MODEL)
    assert not judge.gives_probabilities()
    assert "logprobs" in judge.why_no_probabilities
    judge.close()


def test_the_client_hears_of_each_question_what_the_model_writes_here(server: str) -> None:
    asked = [Question(user=f"{ASKED} {number}", max_tokens=9) for number in range(12)]
    judge, here = Server(f"{server}/v1", MODEL), LocalModel(str(ROOT / MODEL))
    there = dict(judge.ask(enumerate(asked)))
    judge.close()
    local = dict(here.ask(enumerate(asked)))
    assert sorted(there) == list(range(12))
    for number in range(12):
        one, other = there[number], local[number]
        assert one.problem == "" != one.text
        assert (one.text, one.finish) == (other.text.strip(), other.finish)
        assert (one.tokens_in, one.tokens_out) == (other.tokens_in, other.tokens_out)
    assert {answer.model for answer in there.values()} == {f"{MODEL}@main"}


def test_a_model_that_is_not_served_stops_the_client_with_the_servers_words(server: str) -> None:
    judge = Server(f"{server}/v1", "other", backoff=0.01)
    with pytest.raises(CurateError, match="other"):
        list(judge.ask([(0, Question(user=ASKED))]))
    judge.close()


def test_a_text_rubric_reads_no_score_out_of_babble(server: str) -> None:
    rubric = load_rubric("alpagasus")
    messages = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": "In rows."}]
    [question] = rubric.questions({"messages": messages, "tools": None}, "text")
    judge = Server(f"{server}/v1", MODEL)
    [(_, answer)] = judge.ask([(0, question)])
    judge.close()
    found = rubric.read(question, answer, "text", "")
    assert answer.text
    assert (found.score, found.problem) == (None, "unreadable")
