"""Which characters of a conversation are trained, by any template."""

from __future__ import annotations

import pytest

from curate.base.errors import CurateError
from tests.templates_toys import CHATML, byte_level, refusal, rendered, talk, trained, words


def test_exactly_the_answers_and_their_stops_are_trained() -> None:
    done = rendered(CHATML, byte_level(), talk("hi", "Hello there", "and?", "fine"))
    assert trained(done) == ["Hello there<|im_end|>", "fine<|im_end|>"]
    assert done.examples["turns"].to_list() == [[1, 3]]


def test_system_and_further_users_train_nothing() -> None:
    system = [{"role": "system", "content": "the answer is yes"}]
    done = rendered(
        CHATML, byte_level(), system + talk("a", "b") + talk("c") + talk("d") + talk("e")
    )
    assert trained(done) == ["b<|im_end|>"]


def test_an_answer_equal_to_its_question_is_found_by_position() -> None:
    done = rendered(CHATML, byte_level(), talk("hi", "hi", "hi hi", "hi"))
    labels = done.examples["labels"][0].to_list()
    text = done.tokenizer.segments.decode(done.examples["input_ids"][0].to_list()).decode()
    assert trained(done) == ["hi<|im_end|>", "hi<|im_end|>"]
    assert labels[-3:][-1] == -100 and text.endswith("hi<|im_end|>\n")


def test_a_short_turn_that_repeats_an_earlier_one_and_spaces_before_signs_are_kept() -> None:
    words = "yes , so !  ok"  # a decoder that cleans up would write "yes, so! ok"
    done = rendered(CHATML, byte_level(), talk("hi", words, "no", "yes", "hm", "yes , so"))
    assert trained(done) == [f"{words}<|im_end|>", "yes<|im_end|>", "yes , so<|im_end|>"]


def test_a_stop_that_the_template_never_writes_trains_nothing_and_ends_no_answer() -> None:
    known = rendered(CHATML, byte_level(), talk("hi", "ok"), stops=("<|bos|>",))
    assert trained(known) == ["ok<|im_end|>"]
    bare = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    done = rendered(bare, byte_level(), talk("hi", "ok"), stops=("<|im_end|>",))
    assert refusal(done)[0] == "stop_not_at_end" and done.card.problems


def test_no_role_to_train_is_an_error_and_no_empty_dataset() -> None:
    for roles, words in (
        ((), "roles is empty"),
        (("bot",), "one of system, user, assistant, tool"),
    ):
        with pytest.raises(CurateError, match=words):
            rendered(CHATML, byte_level(), talk("hi", "ok"), roles=roles)


def test_white_space_that_the_template_trims_is_no_error_and_on_the_card() -> None:
    trimming = CHATML.replace("m.content", "(m.content | trim)")
    done = rendered(trimming, byte_level(), talk("  hi ", "\n hello \n\n"))
    assert trained(done) == ["hello<|im_end|>"]
    assert done.card.content == "trimmed"


@pytest.mark.parametrize(
    "shape",
    [
        "{% macro say(m) %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
        "{% endmacro %}"
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ say(m) }}{% endfor %}",
        "{% for m in messages %}{% set said %}{% generation %}{{ m.content }}<|im_end|>"
        "{% endgeneration %}{% endset %}<|im_start|>{{ m.role }}\n{{ said }}{% endfor %}",
        "{% set ns = namespace(text='') %}{% for m in messages %}"
        "{% set ns.text = ns.text ~ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>' %}"
        "{% endfor %}{{ ns.text }}",
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{{ m.content.split(' ') | join(' ') }}<|im_end|>{% endfor %}",
    ],
    ids=["macro", "set-block", "namespace", "split"],
)
def test_answers_inside_macros_and_buffers_are_trained_and_headers_not(shape: str) -> None:
    source = shape + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    done = rendered(source, byte_level(), talk("hi", "one! two", "hi", "hi"))
    assert trained(done) == ["one! two<|im_end|>", "hi<|im_end|>"]


@pytest.mark.parametrize("tag", ["{%- generation -%}", "{%+ generation %}", "{% generation %}"])
def test_generation_tags_of_any_spelling_change_nothing(tag: str) -> None:
    source = CHATML.replace("{{ '<|im_start|>'", tag + "{{ '<|im_start|>'").replace(
        r"'<|im_end|>\n' }}", r"'<|im_end|>\n' }}{% endgeneration %}", 1
    )
    done = rendered(source, byte_level(), talk("hi", "ok"), mask="operational")
    assert trained(done) == ["ok<|im_end|>"]


def test_text_that_the_tokenizer_throws_away_leaves_neighbours_masked() -> None:
    source = (
        "{% for m in messages %}{{ 'USER : ' if m.role == 'user' else 'BOT : ' }}{{ m.content }}"
        "{{ ' <eos> ' if m.role == 'assistant' else ' ' }}{% endfor %}"
        "{% if add_generation_prompt %}BOT : {% endif %}"
    )
    done = rendered(source, words(), talk("hi cat", " yes so ", "ok", "no "))
    assert trained(done) == ["yesso<eos>", "no<eos>"]
    first = done.examples.row(0, named=True)
    kept = [done.tokenizer.backend.id_to_token(token) for token in first["input_ids"]]
    assert " ".join(kept) == "USER : hi cat BOT : yes so <eos> USER : ok BOT : no <eos>"


def test_a_role_that_the_template_echoes_is_not_payload() -> None:
    source = CHATML.replace("+ m.role +", "+ m.role.title() +").replace("assistant", "Assistant")
    done = rendered(source, byte_level(), talk("Assistant", "user"))
    assert trained(done) == ["user<|im_end|>"]


def test_a_template_that_ignores_the_generation_prompt_trains_from_its_last_word() -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% else %} {{ m.content }}<|eos|> {% endif %}{% endfor %}"
    )
    done = rendered(source, byte_level(), talk("hi", "fine", "so", "ok"))
    assert trained(done) == [" fine<|eos|>", " ok<|eos|>"]
    assert done.card.generation_prompt == "ignored"


def test_a_header_that_is_always_appended_is_not_trained() -> None:
    source = CHATML.replace("{% if add_generation_prompt %}", "{% if true %}")
    done = rendered(source, byte_level(), talk("hi", "fine", "so", "ok"))
    assert trained(done) == ["fine<|im_end|>", "ok<|im_end|>"]
    assert done.card.generation_prompt == "always appended"
    assert done.examples.height == 1


def test_a_template_without_role_words_trains_content_and_eos() -> None:
    source = "{% for m in messages %}{{ m.content }}<|eos|>{% endfor %}"
    done = rendered(source, byte_level(), talk("hi", "fine", "so", "ok"))
    assert trained(done) == ["fine<|eos|>", "ok<|eos|>"]


def test_an_eos_only_at_the_very_end_leaves_the_turns_own_stop() -> None:
    source = CHATML + "{% if not add_generation_prompt %}<|eos|>{% endif %}"
    done = rendered(source, byte_level(), talk("hi", "fine", "so", "ok"))
    assert trained(done) == ["fine<|im_end|>", "ok<|im_end|>"]


def test_a_stop_that_only_the_next_turn_writes_is_borrowed_and_missed_at_the_end() -> None:
    source = (
        "{% for m in messages %}{{ '' if loop.first else '<|im_end|>' }}<|im_start|>{{ m.role }}\n"
        "{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|im_end|><|im_start|>assistant\n{% endif %}"
    )
    done = rendered(
        source, byte_level(), talk("hi", "fine", "so"), talk("hi", "fine"), stops=("<|im_end|>",)
    )
    assert trained(done) == ["fine<|im_end|>"]
    assert refusal(done)[0] == "stop_not_at_end"


def test_a_token_that_closes_the_words_before_the_eos_is_no_stop() -> None:
    source = CHATML.replace("'<|im_end|>\\n'", "'<|im_end|><|eos|>'")
    done = rendered(source, byte_level(), talk("hi", "fine", "so", "ok"))
    assert trained(done) == ["fine<|im_end|><|eos|>", "ok<|im_end|><|eos|>"]
    assert [stop.text for stop in done.card.stops] == ["<|eos|>"]


def test_the_next_role_token_can_be_the_stop() -> None:
    source = (
        "{% for m in messages %}{{ '<|im_start|>' if m.role == 'user' else '<|im_end|>' }}"
        "{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|im_end|>{% endif %}"
    )
    done = rendered(source, byte_level(), talk("hi", "fine", "so"), stops=("<|im_start|>",))
    assert trained(done) == ["fine<|im_start|>"]


def test_two_answers_in_a_row_and_an_answer_first_have_defined_results() -> None:
    twice = [*talk("hi", "one"), {"role": "assistant", "content": "two"}]
    first = [{"role": "assistant", "content": "welcome"}, *talk("hi", "ok")]
    done = rendered(CHATML, byte_level(), twice, first, talk("hi", "ok", "bye"))
    assert trained(done, 0) == ["one<|im_end|>", "two<|im_end|>"]
    assert trained(done, 1) == ["welcome<|im_end|>", "ok<|im_end|>"]
    assert trained(done, 2) == ["ok<|im_end|>"]


def test_weight_zero_masks_a_turn_and_all_zero_drops_the_row() -> None:
    def charged(*costs: float | None) -> list[dict[str, object]]:
        turns = talk("a", "one", "b", "two")
        answers = iter(costs)
        return [
            {**turn, "weight": next(answers)} if turn["role"] == "assistant" else turn
            for turn in turns
        ]

    done = rendered(
        CHATML, byte_level(), charged(0, None), charged(1, 0), charged(0, 0), charged(0.5, 1)
    )
    assert trained(done, 0) == ["two<|im_end|>"]
    assert trained(done, 1) == ["one<|im_end|>"]
    assert refusal(done, 0) == ("no_target", "nothing to train on: every answer has weight 0")
    assert refusal(done, 1) == ("weight", "message 1: weight 0.5; expected 0 or 1")


@pytest.mark.parametrize("empty", ["", None, " \n\t "])
def test_an_empty_answer_is_refused_unless_it_is_not_trained(empty: str | None) -> None:
    masked = [*talk("a"), {"role": "assistant", "content": "", "weight": 0}, *talk("b", "ok")]
    done = rendered(CHATML, byte_level(), talk("hi", empty), talk("hi", "yes", "so", empty), masked)
    assert [refusal(done, n)[0] for n in (0, 1)] == ["empty", "empty"]
    assert done.counts["empty"] == 2
    assert trained(done, 0) == ["ok<|im_end|>"]


def test_a_conversation_without_an_answer_is_refused() -> None:
    done = rendered(CHATML, byte_level(), talk("hi"), talk("hi", "ok"))
    assert refusal(done) == ("no_target", "nothing to train on: it has no answer")
