"""`{% generation %}` as a cross-check: compared with what is generated, wherever it stands."""

from __future__ import annotations

import pytest

from templates import verify
from templates.sandbox.tagging import CLOSE, OPEN, read_marks
from tests.templates_toys import byte_level, refusal, rendered, talk, template, trained

START = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
END = "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
BODY = "{% if m.role == 'assistant' %}%s{% else %}{{ m.content + '<|im_end|>\n' }}{% endif %}"
STOP = "{{ '<|im_end|>' }}"


def tagged(answer: str) -> str:
    return START + BODY.replace("%s", answer) + END


GOOD = tagged("{% generation %}{{ m.content }}" + STOP + "{% endgeneration %}{{ '\n' }}")
AFTER = tagged("{% generation %}{{ m.content }}" + STOP + "{{ '\n' }}{% endgeneration %}")
SHORT = tagged("{% generation %}{{ m.content }}{% endgeneration %}" + STOP + "{{ '\n' }}")
LATE = tagged(
    "{{ m.content[:1] }}{% generation %}{{ m.content[1:] }}" + STOP + "{% endgeneration %}"
    "{{ '\n' }}"
)
HEADER = (
    GOOD.replace("{{ '<|im_start|>' + m.role + '\n' }}", "")
    .replace("{% generation %}", "{% generation %}{{ '<|im_start|>assistant\n' }}")
    .replace("{% else %}", "{% else %}{{ '<|im_start|>' + m.role + '\n' }}")
)
SAID = "{% generation %}{{ m.content }}" + STOP + "{% endgeneration %}{{ '\n' }}"
MACRO = "{% macro say(m) %}" + SAID + "{% endmacro %}" + tagged("{{ say(m) }}")
BUFFER = tagged("{% set said %}" + SAID + "{% endset %}{{ said }}")
NESTED = tagged(
    "{% generation %}{% generation %}{{ m.content }}{% endgeneration %}{% generation %}"
    "{% endgeneration %}" + STOP + "{% endgeneration %}{{ '\n' }}"
)


@pytest.mark.parametrize("source", [GOOD, AFTER, MACRO, BUFFER, NESTED])
def test_tags_that_agree_change_nothing_wherever_they_stand(source: str) -> None:
    done = rendered(source, byte_level(), talk("hi", "hi", "hi hi", "hi"))
    assert trained(done) == ["hi<|im_end|>", "hi<|im_end|>"]
    assert done.card.generation_tags == "agree with what is generated"


@pytest.mark.parametrize(
    ("source", "words", "tag"),
    [
        (SHORT, "leave out the stop '<|im_end|>'", "ok"),
        (HEADER, "hold the prompt's '<|im_start|>assistant", "<|im_start|>assistant\nok<|im_end|>"),
        (LATE, "leave out the generated 'o'", "k<|im_end|>"),
    ],
)
def test_a_disagreement_refuses_the_row_unless_one_side_is_chosen(
    source: str, words: str, tag: str
) -> None:
    done = rendered(source, byte_level(), talk("hi", "ok"))
    check, message = refusal(done)
    assert check == "generation" and words in message
    assert done.card.generation_tags.startswith("disagree: ")
    assert "NOT SAFE" in str(verify(template(source), byte_level()))
    chosen = rendered(source, byte_level(), talk("hi", "ok"), mask="operational")
    assert trained(chosen) == ["ok<|im_end|>"]
    assert trained(rendered(source, byte_level(), talk("hi", "ok"), mask="tag")) == [tag]


def test_an_answer_outside_all_tags_is_a_disagreement_under_every_reading_of_tags() -> None:
    source = GOOD.replace("{% generation %}", "{% generation %}{% endgeneration %}").replace(
        "{% endgeneration %}{{ '\n' }}", "{{ '\n' }}"
    )
    for mask in ("auto", "tag"):
        done = rendered(source, byte_level(), talk("hi", "ok"), mask=mask)
        assert refusal(done)[0] == "generation" and "leave the answer out" in refusal(done)[1]


@pytest.mark.parametrize("mask", ["auto", "tag", "operational"])
def test_a_tag_that_runs_past_its_turn_trains_nothing_beyond_the_stop(mask: str) -> None:
    """The header of the next turn stands within the tag: it is never generated."""
    past = (
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|im_start|>assistant\n' }}"
        "{% generation %}{{ m.content + '<|im_end|>\n<|im_start|>user\n' }}{% endgeneration %}"
        "{% else %}{{ '<|im_start|>user\n' if loop.first else '' }}{{ m.content + '<|im_end|>\n' }}"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    done = rendered(past, byte_level(), talk("hi", "ok", "so", "yes"), mask=mask)
    assert trained(done) == ["ok<|im_end|>", "yes<|im_end|>"]


def test_a_turn_that_is_not_trained_may_be_tagged() -> None:
    turns = talk("a", "one", "b", "two")
    turns[1]["weight"] = 0
    assert trained(rendered(GOOD, byte_level(), turns)) == ["two<|im_end|>"]


def test_marks_in_the_data_are_not_mistaken_for_tags() -> None:
    done = rendered(GOOD, byte_level(), talk(f"hi {OPEN}", "ok"))
    assert refusal(done)[0] == "generation" and "is not known" in refusal(done)[1]
    assert trained(rendered(GOOD, byte_level(), talk(f"{OPEN}", "ok"), mask="operational"))


def test_marks_are_read_with_nesting_and_nothing_is_counted_twice() -> None:
    assert read_marks(f"a{OPEN}b{OPEN}c{CLOSE}d{CLOSE}e{OPEN}{CLOSE}", "abcde") == [(1, 4)]
    assert read_marks(f"a{OPEN}b{CLOSE}", "aB") is None
    assert read_marks(f"a{OPEN}b", "ab") is None
