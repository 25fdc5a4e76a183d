"""Templates of strangers: rendered in a process of their own, with the same result."""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest

from curate.base.errors import CurateError
from curate.base.sandbox import contained, spent
from curate.base.sandbox.environment import Program, Sandbox, SourceError
from curate.base.sandbox.limits import MAX_STEPS
from curate.cli import main
from templates.cards.probes import verify
from templates.fast.renderer import FastRenderer
from templates.messages import Message, chat
from templates.refusals import TemplateFailed
from templates.render import render
from templates.sandbox.contained import ContainedPrograms
from templates.template import TEMPLATES, ChatTemplate, Renderer, bind, load_template
from tests.templates_toys import CHATML, byte_level, records, rendered, talk, template

DATE = "2024-07-26"
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
CALL = {"id": "call00001", "function": {"name": "add", "arguments": {"a": 1, "b": [True, "é"]}}}
CONVERSATIONS: list[tuple[list[Message], Any]] = [
    (talk("hi", " ok \n"), None),
    (talk("q", "a 😀", "r", "b"), None),
    ([{"role": "system", "content": "be brief"}, *talk("q", "a")], None),
    ([*talk("q"), {"role": "assistant", "content": "a", "reasoning_content": "why"}], None),
    (
        [
            *talk("1 + 1?"),
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "content": "2", "name": "add", "tool_call_id": "call00001"},
            {"role": "assistant", "content": "two"},
        ],
        TOOLS,
    ),
]
TAGGED = (
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}"
)


def bound(source: str, origin: str = "a file") -> Renderer:
    return bind(ChatTemplate("toy", source, origin), byte_level(), DATE)


def given(messages: list[Message], tools: Any) -> Any:
    calls = [{**m, "tool_calls": None} if "tool_calls" not in m else m for m in messages]
    frame = records(*[calls], tools=tools)
    return chat(frame.row(0, named=True))


def worker() -> contained.Worker:
    """The process of the templates, started if need be."""
    bound(CHATML).text(talk("hi"), None)
    assert contained.workers.current is not None
    return contained.workers.current


def kill() -> None:
    """Kill the process of the templates, as a system without memory does."""
    one = worker().process
    one.kill()
    one.wait()


def outcomes(renderer: Renderer, conversation: Any) -> Iterator[Any]:
    """All that is ever asked of a template, for a conversation and its prefixes."""
    messages, tools = conversation.messages, conversation.tools
    for size in range(1, len(messages) + 1):
        for prompt in (False, True):
            try:
                text = renderer.text(messages[:size], tools, prompt)
            except TemplateFailed as failure:
                yield str(failure)
                continue
            yield text
            yield renderer.tags(messages[:size], tools, text)
            part = dataclasses.replace(conversation, messages=messages[:size])
            yield renderer.origins(part, text, prompt)
    if tools is None:
        yield FastRenderer.over(renderer).path(messages)


@pytest.mark.parametrize("name", [*TEMPLATES, "tagged"])
def test_a_bundled_template_copied_to_a_file_gives_the_same(name: str, tmp_path: Path) -> None:
    here = load_template(name, None) if name != "tagged" else template(TAGGED)
    here = dataclasses.replace(here, origin="bundled")
    file = tmp_path / f"{name}.jinja"
    file.write_text(here.source, "utf-8")
    there = load_template(str(file), None)
    assert there.programs.apart and not here.programs.apart
    assert there.reads == here.reads
    for messages, tools in CONVERSATIONS:
        conversation = given(messages, tools)
        ours, theirs = (bind(each, byte_level(), DATE) for each in (here, there))
        assert [*outcomes(theirs, conversation)] == [*outcomes(ours, conversation)]


def test_rows_are_the_same_with_a_template_of_a_stranger() -> None:
    rows = [
        *[talk(f"question {n}", f"answer {n}") for n in range(8)],
        *[talk(f"question {n}", "one", "more", f"answer {n}") for n in range(8)],
    ]
    for name, tools in (("qwen", None), ("qwen", TOOLS), ("qwen-thinking", TOOLS)):
        here = load_template(name, None)
        there = dataclasses.replace(here, origin="a file")
        ours, theirs = (
            render(records(*rows, tools=tools), each, byte_level()) for each in (here, there)
        )
        assert theirs.examples.equals(ours.examples) and theirs.refused.equals(ours.refused)
        assert theirs.examples.height >= len(rows)


def test_nothing_of_a_strangers_template_runs_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("a template is used in this process")

    for owner, name in (
        (jinja2.Environment, "parse"),
        (jinja2.Environment, "compile"),
        (jinja2.Environment, "lex"),
        (Program, "__init__"),
        (Sandbox, "__init__"),
    ):
        monkeypatch.setattr(owner, name, forbidden)
    file = tmp_path / "theirs.jinja"
    file.write_text(CHATML)
    theirs = load_template(str(file), byte_level())
    assert theirs.reads == {"messages", "add_generation_prompt"}
    rows = [talk(f"question {n}", f"answer {n}") for n in range(6)]
    assert render(records(*rows), theirs, byte_level()).examples.height == 6
    assert render(records(*rows, tools=TOOLS), theirs, byte_level()).examples.height == 6
    with pytest.raises(CurateError, match=r"template toy: line 1: .*expression"):
        bound("{{ }}")
    with pytest.raises(AssertionError):
        load_template("chatml", None)


def test_half_characters_stay_halves() -> None:
    assert bound(r"{{ '\ud83d' ~ '\ude00' }}").text(talk("hi"), None) == "\ud83d\ude00"


def test_errors_of_a_template_say_the_line() -> None:
    with pytest.raises(TemplateFailed, match=r"no tools here at line 2: \{\{ raise_exception"):
        bound("a\n{{ raise_exception('no tools here') }}").text(talk("hi"), None)
    with pytest.raises(SourceError, match="template toy: line 2") as error:
        bound("a\n{% for a in b %}")
    assert error.value.line == 2


class Crash:
    """What ends the process that is given it, as a template might that finds a way."""

    def __init__(self, how: Any, *values: Any) -> None:
        self.how, self.values = how, values

    def __reduce__(self) -> Any:
        return self.how, self.values


@pytest.mark.parametrize(
    ("crash", "message"),
    [
        (Crash(os.abort), r"it ended the process that it is rendered in \(Aborted\)"),
        (Crash(os._exit, 3), r"it ended the process that it is rendered in \(exit code 3\)"),
        (Crash(bytearray, 5 << 30), "it needs more memory than 2.0 GiB"),
    ],
)
def test_a_template_that_ends_its_process_costs_its_row(crash: Crash, message: str) -> None:
    renderer = bound(CHATML)
    bad = renderer.with_data({"crash": crash})
    with pytest.raises(TemplateFailed, match=message):
        bad.text(talk("hi"), None)
    assert renderer.text(talk("hi"), None) == "<|im_start|>user\nhi<|im_end|>\n"


def test_a_template_that_ends_five_processes_is_given_up() -> None:
    renderer = bound(CHATML)
    bad = renderer.with_data({"crash": Crash(os._exit, 3)})
    for _ in range(4):
        with pytest.raises(TemplateFailed):
            bad.text(talk("hi"), None)
    renderer.text(talk("hi"), None)  # not five in a row
    for _ in range(5):
        with pytest.raises(TemplateFailed):
            bad.text(talk("hi"), None)
    with pytest.raises(TemplateFailed, match=r"it ended 5 processes in a row .*exit code 3"):
        renderer.text(talk("hi"), None)
    assert bound(CHATML).text(talk("hi"), None)  # other templates go on
    with renderer.template.allowance():  # and so does this one, when it is tried out anew
        assert renderer.text(talk("hi"), None)
    assert renderer.text(talk("hi"), None)


def test_rows_after_a_template_was_given_up_are_refused_and_the_others_kept() -> None:
    # Memory beyond the limit of the process, by rows that ask for it.
    body = (
        "{% for m in messages %}{% if 'boom' in m.content %}"
        "{% set ns = namespace(x=[]) %}{% for n in range(150) %}"
        "{% set ns.x = ns.x + [' ' * 15000000 ~ n] %}{% endfor %}{{ ns.x | length }}{% endif %}"
        "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    rows = [talk("hi", "ok"), *[talk("boom", f"ok {n}") for n in range(2)], talk("hi", "yes")]
    done = rendered(body, byte_level(), *rows)
    assert done.examples["row"].to_list() == [0, 3]
    assert done.refused["check"].to_list() == ["template"] * 2
    assert done.remedies == ()  # nothing was tried on what ends processes


COSTLY = {
    "steps": "{% for i in range(3000000) %}{% endfor %}",
    "depth": (
        "{% set ns = namespace(x=()) %}{% for i in range(3000) %}{% set ns.x = (ns.x,) %}"
        "{% endfor %}{% if {ns.x: 1} %}{% endif %}"
    ),
    "text": "{{ 'x' * 100000000 }}",
}


@pytest.mark.parametrize("origin", ["a file", "bundled"])
@pytest.mark.parametrize("name", COSTLY)
def test_no_options_are_looked_for_where_the_first_probe_is_at_a_limit(
    name: str, origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    template_ = ChatTemplate("costly", COSTLY[name] + CHATML, origin)
    renderings = []
    of = type(template_.programs).within

    def counted(*job: Any) -> Any:
        renderings.append(job)
        return of(*job)

    monkeypatch.setattr(type(template_.programs), "within", counted)
    with pytest.raises(CurateError, match=r"cannot render a user|may take") as error:
        render(records(talk("hi", "ok")), template_, byte_level())
    assert len(str(error.value).splitlines()) == 1
    assert len(renderings) <= 3  # one to learn its stops, one to verify it


def test_to_look_for_options_ends_when_a_template_takes_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = CHATML + "{{ 1 // 0 if messages | length == 4 }}"
    rows = [talk("hi", "ok", "and", "so") for _ in range(3)]
    assert rendered(body, byte_level(), *rows).remedies_cut == ""
    monkeypatch.setattr(spent, "SEARCH_SECONDS", 0.001)
    done = rendered(body, byte_level(), *rows)
    assert done.remedies_cut == "0 options were tried, and no more: the template takes too long"
    assert done.summary().endswith(f"  {done.remedies_cut}")


def test_a_process_that_is_killed_at_work_costs_one_row() -> None:
    renderer, one = bound(BUSY + CHATML), worker().process
    killing = threading.Timer(0.2, one.kill)
    killing.start()
    with pytest.raises(TemplateFailed, match=r"ended the process .*\(Killed\)"):
        renderer.text(talk("hi"), None)
    killing.join()
    assert bound(CHATML).text(talk("hi"), None) == "<|im_start|>user\nhi<|im_end|>\n"


def test_a_process_that_is_killed_between_rows_costs_none() -> None:
    kill()
    rows = [talk(f"question {n}", f"answer {n}") for n in range(3)]
    assert rendered(CHATML, byte_level(), *rows, tools=TOOLS).examples.height == 3


BUSY = (  # several seconds of few steps
    "{% set n = namespace(x=0) %}{% for i in range(900000) %}"
    + "{% set n.x = i %}" * 12
    + "{% endfor %}"
)


def test_time_is_limited_whatever_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = bound(BUSY)
    monkeypatch.setattr(contained, "WALL_SECONDS", 0.2)
    with pytest.raises(TemplateFailed, match="it took more than 0 seconds"):
        renderer.text(talk("hi"), None)
    monkeypatch.undo()
    monkeypatch.setattr(contained, "SECONDS", 0.1)  # which are whole ones for the system
    with pytest.raises(TemplateFailed, match="seconds of processor time"):
        renderer.text(talk("hi"), None)


def test_memory_is_limited_whatever_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    kill()
    monkeypatch.setattr(contained, "MEMORY", 1 << 28)
    greedy = bound("{% set x = '\U0001f600' * 8000000 %}{{ x | list | length }}")
    with pytest.raises(TemplateFailed, match=r"it needs more memory than 0\.2 GiB"):
        greedy.text(talk("hi"), None)


DEEP = (
    "{% set ns = namespace(x=()) %}{% for i in range(150000) %}{% set ns.x = (ns.x,) %}"
    "{% endfor %}{% if {ns.x: 1} %}{% endif %}"
)
BOMBS = {
    "a deep key": (DEEP, "lists in lists, more than 200 deep"),
    "a constant power": ("{% set x = 9 ** 99999999 %}", "a number of too many digits"),
    "a long constant": ("{{ 'a' * 10000000000 }}", "a text of more than"),
    "a constant filter": ("{{ 'a' | center(10000000000) }}", "a width of more than"),
    "brackets": ("{{ " + "(" * 90_000 + "1" + ")" * 90_000 + " }}", "too deep inside each other"),
    "lists": ("{{ " + "[" * 150 + "1" + "]" * 150 + " }}", "too deep inside each other"),
    "a long sum": ("{{ " + "+".join("1" * 20_000) + " }}", "too deep inside each other"),
    "many filters": ("{{ 1" + "|string" * 20_000 + " }}", "too deep inside each other"),
    "blocks": ("{% if 1 %}" * 900 + "{% endif %}" * 900, "too deep inside each other"),
    "loops": ("{% for a in [1] %}" * 30 + "{% endfor %}" * 30, "statically nested blocks"),
    "a long number": (f"{{{{ {'9' * 5000} }}}}", "4300 digits"),
    "too long": ("a" * 1_000_000, "at most 1,000,000 are read"),
    "itself": ("{% include 'toy' %}", "no loader"),
    "a macro in itself": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    "a block in itself": ("{% block a %}{{ self.a() }}{% endblock %}", "recursion"),
    "a loop in itself": ("{% for a in [1] recursive %}{{ loop([a]) }}{% endfor %}", "recursion"),
    "doubling": (
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}"
        "{% endfor %}",
        "a text of more than",
    ),
    "doubling in depth": (
        "{% set ns = namespace(x=1) %}{% for i in range(60) %}{% set ns.x = (ns.x, ns.x) %}"
        "{% endfor %}{{ {ns.x: 1} }}",
        f"more than {MAX_STEPS:,} steps",
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_an_error_of_the_template(bomb: str) -> None:
    source, message = BOMBS[bomb]
    started = time.process_time()
    with pytest.raises(CurateError, match=message):
        verify(template(source + CHATML), byte_level())
    assert time.process_time() - started < 2  # of this process


@pytest.mark.parametrize("origin", ["bundled", "a file"])
def test_a_check_takes_no_more_than_a_rendering_may(origin: str) -> None:
    """Each of its renderings is within the limits; together they are not."""
    costly = ChatTemplate("toy", "{% for i in range(200000) %}{% endfor %}" + CHATML, origin)
    assert bind(costly, byte_level(), DATE).text(talk("hi"), None).startswith("<|im_start|>")
    with pytest.raises(CurateError, match="toy: to try it out takes more than a single rendering"):
        verify(costly, byte_level())
    assert bind(costly, byte_level(), DATE).text(talk("hi"), None).startswith("<|im_start|>")
    assert verify(ChatTemplate("toy", CHATML, origin), byte_level()).problems == ()


def test_a_check_on_the_command_line_takes_no_more_either(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "costly.jinja"
    file.write_text("{% for i in range(400000) %}{% endfor %}" + CHATML)
    steps = []
    of = ContainedPrograms.within

    def counted(self: Any, so_far: spent.Spent, *job: Any) -> Any:
        before = so_far.steps
        try:
            return of(self, so_far, *job)
        finally:
            steps.append(so_far.steps - before)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ContainedPrograms, "within", counted)
        assert main(["templates", "--check", str(file)]) == 1
    error = capsys.readouterr().err
    assert "costly: to try it out takes more than a single rendering may take" in error
    assert sum(steps) < 1.1 * MAX_STEPS


def test_no_options_are_tried_for_a_template_that_takes_too_much() -> None:
    costly = template("{% for i in range(400000) %}{% endfor %}" + CHATML)
    with pytest.raises(CurateError, match="a single rendering may take") as error:
        rendered(costly, byte_level(), talk("hi", "ok"))
    assert "option" not in str(error.value)


def test_more_templates_than_the_process_keeps_are_compiled_again() -> None:
    several = [bound(f"{n}" + CHATML) for n in range(spent.KNOWN + 3)]
    for _ in range(2):
        for number, renderer in enumerate(several):
            assert renderer.text([], None) == f"{number}"


def test_what_is_no_plain_data_is_an_error() -> None:
    with pytest.raises(CurateError, match="toy: what it is given is no plain data: "):
        bound(CHATML).with_data({"call": lambda: 1}).text(talk("hi"), None)


def test_threads_share_the_process() -> None:
    renderer = bound("{{ messages[0].content }}")
    texts: dict[int, list[str]] = {}

    def work(number: int) -> None:
        texts[number] = [renderer.text(talk(f"{number} {n}"), None) for n in range(50)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == {number: [f"{number} {n}" for n in range(50)] for number in range(6)}


def test_a_system_without_poll_renders_too(monkeypatch: pytest.MonkeyPatch) -> None:
    kill()
    monkeypatch.delattr(select, "poll")
    assert bound(CHATML).text(talk("hi"), None) == "<|im_start|>user\nhi<|im_end|>\n"


def test_a_process_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    kill()
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(CurateError, match=r"cannot be started: .*No such file"):
        bound(CHATML)


START = """
import os, sys, time
from curate.base.sandbox import contained
from templates.template import ChatTemplate, bind
def bound(source):
    return bind(ChatTemplate("toy", source, "a file"), None, "2024-07-26")
here = bound("{{ messages }}")
here.text([1], None)
print(contained.workers.current.process.pid, flush=True)
"""


def script(body: str) -> subprocess.Popen[str]:
    """A Python of its own that has rendered, and has printed the process of its templates."""
    return subprocess.Popen(
        [sys.executable, "-c", START + textwrap.dedent(body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def is_gone(number: int) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(number, 0)
            state = Path(f"/proc/{number}/stat")  # what nobody waits for is gone too
            if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("how", "doing"),
    [
        (signal.SIGINT, f"bound({BUSY!r}).text([1], None)"),
        (signal.SIGKILL, "time.sleep(60)"),  # amid a rendering, it ends after that
    ],
)
def test_the_process_ends_with_the_one_that_started_it(how: signal.Signals, doing: str) -> None:
    with script(doing) as parent:
        assert parent.stdout is not None and parent.stderr is not None
        child = int(parent.stdout.readline())
        time.sleep(0.3)
        parent.send_signal(how)
        errors = parent.stderr.read()
    assert parent.returncode == -how
    assert errors.count("Traceback") == (how == signal.SIGINT)
    assert is_gone(child)


def test_a_forked_process_starts_one_of_its_own() -> None:
    forked = """
    number = os.fork()
    if not number:
        print(here.text([2], None), contained.workers.current.process.pid, flush=True)
        contained.workers.current.end()
        os._exit(0)
    os.waitpid(number, 0)
    print(here.text([3], None), contained.workers.current.process.pid, flush=True)
    """
    with script(forked) as parent:
        assert parent.stdout is not None and parent.stderr is not None
        first, of_fork, after = parent.stdout.read().splitlines()
        assert "Traceback" not in parent.stderr.read()
    assert of_fork.startswith("[2] ") and after == f"[3] {first}"
    assert of_fork != f"[2] {first}"


def test_the_process_imports_no_data_frames_and_is_soon_ready() -> None:
    """It would take ten times as long with them, and so would the first row of every process."""
    alone = contained.Worker()
    maps = Path(f"/proc/{alone.process.pid}/maps")
    loaded = maps.read_text() if maps.exists() else ""
    alone.end(grace=5)
    assert not any(name in loaded for name in ("polars", "tokenizers", "numpy", "torch"))
