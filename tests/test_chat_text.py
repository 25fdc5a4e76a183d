"""The chat template of a model that a filter reads with: as transformers writes it, and apart."""

from __future__ import annotations

import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="a local model needs torch")
pytest.importorskip("transformers", reason="a local model needs transformers")

import jinja2

from curate.base.errors import CurateError
from curate.base.sandbox import contained
from curate.base.sandbox.chat_text import ChatText
from curate.pipeline.judging import judge
from filters.llm_judge.local import LocalModel
from filters.llm_judge.question import Question
from filters.reward.filter import Reward
from tests.test_reward_model import save_model, save_tokenizer

TAGGED = (
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.thinking }}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}"
    "{% endfor %}"
)
TOOLS = [{"type": "function", "function": {"name": "add", "description": "a", "parameters": {}}}]
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": [True, "é"]}}}
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "1 + 1?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL], "reasoning_content": "so"},
    {"role": "tool", "content": "2", "name": "add", "tool_call_id": None},
    {"role": "assistant", "content": "two"},
]
# What a template may do to the process that renders it, and what is said of that.
HOSTILE = {
    "steps": ("{% for i in range(10 ** 9) %}{% endfor %}", "more than 2,000,000 steps"),
    "text": ("{{ 'x' * 10 ** 9 }}", "a text of more than 16,000,000 characters"),
    "stack": (
        "{% set ns = namespace(x=()) %}{% for i in range(9000) %}{% set ns.x = (ns.x,) %}"
        "{% endfor %}{% if {ns.x: 1} %}{% endif %}",
        "it ended the process|nested|deep",
    ),
    "secrets": ("{{ ''.__class__.__mro__ }}", "SecurityError"),
}
UNREADABLE = {
    "brackets": "{{ " + "(" * 5000 + ")" * 5000 + " }}",
    "number": "{{ " + "9" * 5000 + " }}",
    "statement": "{% for m in messages %}",
}


def tokenizer_of(folder: Path, template: str) -> Any:
    from transformers import AutoTokenizer

    save_tokenizer(folder, template)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("name", ["chatml", "llama3", "qwen", "qwen-thinking", "gpt-oss", "tagged"])
def test_a_template_writes_what_transformers_writes(name: str, tmp_path: Path) -> None:
    bundled = files("templates") / "chat" / f"{name}.jinja"
    tokenizer = tokenizer_of(tmp_path, TAGGED if name == "tagged" else bundled.read_text("utf-8"))
    chat = ChatText(tokenizer)
    for messages, tools in ((TALK[:1], None), (TALK[:1], TOOLS), (TALK, TOOLS)):
        for prompt in (False, True):
            expected = tokenizer.apply_chat_template(
                messages, tools=tools, add_generation_prompt=prompt, tokenize=False
            )
            here = expected.replace(f"{datetime.date.today()}", "2024-07-26")
            assert chat.write(messages, tools, prompt=prompt) == here


def test_the_day_that_a_template_sees_is_the_same_on_any_day(tmp_path: Path) -> None:
    chat = ChatText(tokenizer_of(tmp_path, "{{ strftime_now('%d %B %Y') }}"))
    assert chat.write(TALK[:1]) == "26 July 2024"


def test_nothing_of_a_models_template_runs_in_this_process(
    conversation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_model(tmp_path)

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("a template is used in this process")

    for name in ("parse", "compile", "lex"):
        monkeypatch.setattr(jinja2.Environment, name, forbidden)
    assert Reward(model=folder).measure(conversation(("hi", "two")))["score"].null_count() == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_of_a_reward_model_costs_its_rows_and_says_so(
    name: str, conversation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contained, "SECONDS", 2)
    source, said = HOSTILE[name]
    records = conversation(*(("hi", answer) for answer in ("a", "b", "c")))
    step = Reward(model=save_model(tmp_path, template=source))
    found = step.measure(records)
    assert found["score"].null_count() == 3
    for problem in found["problem"]:
        assert problem.startswith("the chat template raises an error: ")
    with pytest.raises(CurateError, match=rf"none of 3 rows has a score .*({said})"):
        judge(step, records)


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_template_that_cannot_be_compiled_is_one_sentence(
    name: str, conversation: Any, tmp_path: Path
) -> None:
    folder = save_model(tmp_path, template=UNREADABLE[name])
    with pytest.raises(CurateError, match=r"reward: .*: its chat template cannot be") as error:
        Reward(model=folder).measure(conversation(("hi", "two")))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_of_a_judge_is_a_problem_of_each_question(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contained, "SECONDS", 2)
    source, _ = HOSTILE[name]
    judge_ = LocalModel(save_model(tmp_path, template=source, head=False))
    [(_, answer)] = judge_.ask([(0, Question(user="w", labels=("1", "2")))])
    assert answer.problem.startswith("the chat template raises an error: ")


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_judge_whose_template_cannot_be_compiled_is_one_sentence(
    name: str, tmp_path: Path
) -> None:
    judge_ = LocalModel(save_model(tmp_path, template=UNREADABLE[name], head=False))
    with pytest.raises(CurateError, match=r"judge: .*: its chat template cannot be"):
        list(judge_.ask([(0, Question(user="w", labels=("1", "2")))]))


def test_a_template_that_ends_process_after_process_is_given_up(
    conversation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Reward(model=save_model(tmp_path))
    records = conversation(*(("hi", answer) for answer in "abcdefgh"))
    ask = contained.Worker.ask

    def dies(worker: contained.Worker, request: bytes) -> Any:
        if b"_written" not in request:  # it can be compiled
            return ask(worker, request)
        worker.process.kill()
        return ask(worker, request)

    monkeypatch.setattr(contained.Worker, "ask", dies)
    problems = step.measure(records)["problem"].to_list()
    assert ["ended the process" in problem for problem in problems[:5]] == [True] * 5
    assert ["is given up" in problem for problem in problems] == [False] * 5 + [True] * 3


@pytest.mark.parametrize("content", ["[1]", "[" * 100_000, "{", "5"], ids=["1", "deep", "cut", "5"])
def test_tokenizer_settings_that_are_none_are_one_sentence(content: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path, template=None)
    (tmp_path / "tokenizer_config.json").write_text(content)
    with pytest.raises(CurateError, match=r"tokenizer_config\.json (is not JSON|holds no JSON)"):
        Reward(model=folder)
    with pytest.raises(CurateError, match=r"tokenizer_config\.json (is not JSON|holds no JSON)"):
        LocalModel(folder)
