"""Each check refuses what it must, and says where."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path

import pytest

from curate.base.errors import CurateError
from templates.messages import chat
from templates.options import RenderOptions
from templates.proof.chains import prove
from templates.proof.stops import find_stops
from templates.refusals import (
    CHECKS,
    AnswerAltered,
    HistoryRewritten,
    PromptNotPrefix,
    Refusal,
    first_difference,
    two_lines,
)
from templates.template import bind
from tests.templates_toys import CHATML, byte_level, refusal, rendered, talk, template, trained

THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}"
    "<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def thinking(*contents: str) -> list[dict[str, str]]:
    return [{**turn, "reasoning": "hm"} for turn in talk(*contents)]


def test_every_check_has_a_refusal_and_a_rule_of_its_own() -> None:
    assert [kind.check for kind in Refusal.__subclasses__()] == list(CHECKS)
    assert len(set(CHECKS.values())) == len(CHECKS)
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", check) for check in CHECKS)


def test_every_check_is_in_the_docs() -> None:
    page = (Path(__file__).parent.parent / "docs" / "templates.md").read_text("utf-8")
    for check, rule in CHECKS.items():
        assert f"| `{check}` | {rule} |" in page


def test_a_prompt_that_is_no_prefix_of_its_answer_is_refused() -> None:
    source = CHATML.replace("assistant", "assistant<think>")
    done = rendered(source, byte_level(), talk("hi", "ok"))
    check, message = refusal(done)
    assert check == "prompt_not_prefix"
    assert message.splitlines()[1:] == [
        "  expected ...'|>\\n<|im_start|>assistant|<think>\\n'",
        "  got      ...'|>\\n<|im_start|>assistant|\\nok<|im_end|>\\n'",
    ]


def test_a_rewritten_history_is_refused_with_the_first_differing_place() -> None:
    done = rendered(
        THINKING,
        byte_level(),
        thinking("a", "one", "b", "two"),
        thinking("a", "one"),
        history="error",
    )
    check, message = refusal(done)
    assert check == "history_rewritten"
    assert (
        "message 1" in message
        and "|<think>hm</think>one" in message
        and "|one<|im_end|>" in message
    )
    assert trained(done) == ["<think>hm</think>one<|im_end|>"]
    assert done.card.history.startswith("rewritten")


def test_a_moving_block_is_a_rewritten_history() -> None:
    source = (
        "{% set ns = namespace(last=0) %}{% for m in messages if m.role == 'user' %}"
        "{% set ns.last = messages.index(m) %}{% endfor %}"
    ) + CHATML.replace("{{ '", "{{ ('[tools]' if loop.index0 == ns.last else '') + '", 1)
    done = rendered(source, byte_level(), talk("a", "one", "b", "two"), history="error")
    assert refusal(done)[0] == "history_rewritten"


@pytest.mark.parametrize(
    "change",
    [
        "m.content | replace('e', '')",
        "m.content[:3]",
        "m.content.encode('utf8').decode('utf8')",
        "'%s%s' % (m.content, '')",
        "'{}'.format(m.content)",
        "m.content.split('e') | join('e')",
    ],
)
def test_a_changed_or_untraceable_answer_is_lost_payload_never_a_wrong_mask(change: str) -> None:
    source = CHATML.replace("m.content", f"(({change}) if 'eggs' in m.content else m.content)")
    done = rendered(source, byte_level(), talk("hi", "three eggs"), talk("hi", "two"))
    assert refusal(done)[0] == "answer_altered"
    assert trained(done) == ["two<|im_end|>"]


def test_reasoning_and_tool_calls_that_a_template_drops_are_lost_payload() -> None:
    call = [{"name": "dig", "arguments": {"where": "here"}}]
    source = CHATML.replace("m.content", "(m.content or '')")
    done = rendered(
        source,
        byte_level(),
        thinking("a", "one"),
        [*talk("a"), {"role": "assistant", "content": None, "tool_calls": call}],
    )
    assert [refusal(done, n)[0] for n in (0, 1)] == ["answer_altered", "answer_altered"]
    assert "reasoning_content" in refusal(done, 0)[1]


def test_text_of_another_message_in_the_trained_text_is_refused() -> None:
    source = CHATML.replace(
        "m.content +", "(messages[0].content ~ m.content if m.role == 'assistant' else m.content) +"
    )
    done = rendered(source, byte_level(), talk("secret", "ok"))
    check, message = refusal(done)
    assert check == "other_text_in_answer" and "message 0" in message and "secret" in message


def test_an_answer_without_a_stop_is_refused() -> None:
    source = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    done = rendered(source, byte_level(), talk("hi", "ok"))
    check, message = refusal(done)
    assert check == "stop_not_at_end" and "<|eos|>" in message
    assert done.card.ends_with is None and done.card.problems


def test_a_stop_written_inside_the_answer_is_refused() -> None:
    source = CHATML.replace(
        "m.content +", "(m.thinking ~ '<|eos|>' if m.thinking else '') + m.content +"
    )
    done = rendered(source, byte_level(), thinking("hi", "one"), talk("hi", "one"))
    check, message = refusal(done)
    assert check == "stop_not_at_end" and "'<|eos|>' stands in it" in message
    assert trained(done) == ["one<|im_end|>"]


def test_a_template_that_renders_differently_each_time_is_unstable() -> None:
    source = CHATML + "{{ tick() }}"
    ticks = itertools.count()
    given = {"tick": lambda: str(next(ticks))}
    here = dataclasses.replace(template(source), origin="bundled")  # functions stay in the process
    renderer = bind(here, byte_level(), "2024-01-01", given)
    conversation = chat({"messages": talk("hi", "ok"), "tools": None})
    with pytest.raises(Refusal) as refused:
        prove(renderer, conversation, find_stops(renderer, byte_level()))
    assert refused.value.check == "render_unstable"


def test_a_template_error_refuses_its_row_and_quotes_the_line() -> None:
    source = (
        CHATML
        + "\n{% if messages[0].content == 'bad' %}\n"
        + "{{ raise_exception('no bad words') }}{% endif %}"
    )
    done = rendered(source, byte_level(), talk("bad", "ok"), talk("good", "ok"))
    check, message = refusal(done)
    assert check == "template"
    assert "no bad words at line 3: {{ raise_exception('no bad words') }}" in message
    assert done.examples["row"].to_list() == [1]


def test_a_template_that_needs_a_user_refuses_a_prefix_without_one() -> None:
    source = "{{ messages[0].content[:0] }}" + CHATML
    done = rendered(
        source, byte_level(), [{"role": "assistant", "content": "welcome"}, *talk("hi", "ok")]
    )
    assert refusal(done)[0] == "template"


def test_a_template_that_writes_no_answers_is_refused_as_a_whole() -> None:
    source = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    with pytest.raises(CurateError, match="writes no assistant turns"):
        rendered(source, byte_level(), talk("hi", "ok"))


STRICT = RenderOptions(history="error")


def test_refusals_carry_row_id_turn_and_offset() -> None:
    renderer = bind(template(THINKING), byte_level(), "2024-01-01")
    conversation = chat({"messages": thinking("a", "one", "b", "two"), "tools": None})
    with pytest.raises(HistoryRewritten) as refused:
        prove(renderer, conversation, find_stops(renderer, byte_level()), STRICT)
    text = renderer.text(conversation.messages[:2], None)
    assert (refused.value.turn, refused.value.offset) == (1, text.index("<think>"))
    turns = thinking("a", "one", "b", "two")
    done = rendered(THINKING, byte_level(), talk("x", "y"), turns, history="error")
    row = done.refused.row(-1, named=True)
    assert (row["row"], row["turn"], row["check"], len(row["id"])) == (
        1,
        1,
        "history_rewritten",
        16,
    )


def test_differences_are_shown_on_two_lines_around_the_first_one() -> None:
    assert first_difference("abcd", "abXd") == 2
    assert first_difference("ab", "abc") == 2
    assert first_difference("", "a") == 0
    assert two_lines("one two", "one too", 6) == ("  expected 'one tw|o'", "  got      'one to|o'")
    expected, _ = two_lines("x" * 100 + "a\n", "x" * 100 + "b\n", 100)
    assert expected == "  expected ...'" + "x" * 24 + "|a\\n'"


def test_errors_of_checks_are_errors_a_user_can_mend() -> None:
    assert issubclass(PromptNotPrefix, CurateError) and issubclass(AnswerAltered, Refusal)
