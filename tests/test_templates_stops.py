"""Where a turn ends: stops that are found, borrowed, counted out, or only text."""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers

import curate
import templates
from curate.base.errors import CurateError
from curate.base.spelling import in_a_command
from curate.cli import main
from templates.options import RenderOptions
from templates.tokenizer.tokenizer import Tokenizer, make_tokenizer, with_tokens
from templates.tokens.rendered import Rendered
from tests.templates_toys import byte_level, records, refusal, rendered, talk, template, trained

CALL = {"id": "call00001", "type": "function"}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "dig", "description": "Digs.", "parameters": {"type": "object"}},
    }
]
# A header, the words, the calls. What ends a turn is put in by each test.
BODY = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + (m.content or '') }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}"
    "{% if m.role == 'assistant' %}{{ END }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def ending_in(end: str, body: str = BODY) -> str:
    return body.replace("{{ END }}", end)


def control(*texts: str, eos: str = "</s>") -> Tokenizer:
    """A byte-level tokenizer of these control tokens."""
    backend = tokenizers.Tokenizer.from_str(byte_level().backend.to_str())
    backend.add_special_tokens([tokenizers.AddedToken(text) for text in (eos, *texts)])
    return make_tokenizer(backend, {"eos_token": eos}, name="control")


def turns(done: Rendered) -> list[list[str]]:
    """What each example trains, turn by turn."""
    return [trained(done, number) for number in range(done.examples.height)]


def calling(*arguments: str, content: str = "") -> list[dict[str, Any]]:
    """A question, a call for each argument, one result, an answer."""
    calls = [{**CALL, "function": {"name": "dig", "arguments": {"where": a}}} for a in arguments]
    return [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": content, "tool_calls": calls},
        {"role": "tool", "content": "22 C", "name": "dig", "tool_call_id": "call00001"},
        {"role": "assistant", "content": "ok"},
    ]


HERE, THERE = (
    f'<call>{{"name": "dig", "arguments": {{"where": "{where}"}}}}</call>'
    for where in ("here", "there")
)
ROLES = ("<|user|>", "<|assistant|>", "<|tool|>", "<call>", "</call>")


# --- a borrowed stop goes on with the turn ---


def test_a_stop_of_another_way_is_not_borrowed() -> None:
    # Alone, a turn before a result ends in <wait>; with the result, its words stand elsewhere.
    end = "{{ '<wait>' if m.tool_calls and loop.last else '<end>' }}"
    done = rendered(
        ending_in(end), control(*ROLES, "<end>", "<wait>"), calling("here"), tools=TOOLS
    )
    assert turns(done) == [[f"{HERE}<wait>"], ["ok<end>"]]
    assert {"<end>", "<wait>"} <= {stop.text for stop in done.card.stops}


def test_what_follows_must_be_a_beginning_of_what_is_borrowed_from() -> None:
    # The first answer ends in " ." alone, and in "<end>" once another question follows.
    body = ending_in("{{ ' .' if loop.last else '<end>' }}")
    done = rendered(body, control(*ROLES, "<end>"), talk("hi", "ok", "yes", "no"))
    assert not turns(done)
    refusal = done.refused.row(0, named=True)
    assert refusal["check"] == "stop_not_at_end"
    assert "no stop follows the answer" in refusal["message"] and "'.'" in refusal["message"]


def test_a_stop_that_only_history_has_is_borrowed() -> None:
    # As Qwen 1.5: nothing follows the last answer; the ones before it end in <end>.
    body = ending_in("{{ '' if loop.last else '<end>' }}")
    done = rendered(body, control(*ROLES, "<end>"), talk("hi", "ok", "yes", "no"), append_eos=True)
    assert turns(done) == [["ok<end>", "no</s>"]]


@pytest.mark.parametrize("fast", [True, False])
def test_rows_of_one_shape_are_refused_alike(fast: bool) -> None:
    body = ending_in("{{ ' .' if loop.last else '<end>' }}")
    rows = [talk("hi", word, "yes", "no") for word in ("ok", "so", "cat", "dog", "mat")]
    done = templates.render(
        records(*rows), template(body), control(*ROLES, "<end>"), RenderOptions(), fast
    )
    assert done.refused["check"].to_list() == ["stop_not_at_end"] * 5


@pytest.mark.parametrize("name", ["gemma4", "gemma4_v5"])
def test_gemma_4_ends_a_call_where_its_result_begins(name: str) -> None:
    pytest.importorskip("trl")
    source = (importlib.resources.files("trl") / "chat_templates" / f"{name}.jinja").read_text()
    known = control(
        "<bos>",
        "<|turn>",
        "<turn|>",
        "<|tool_call>",
        "<tool_call|>",
        "<|tool_response>",
        "<tool_response|>",
        "<|tool>",
        "<tool|>",
        '<|"|>',
    )
    known = dataclasses.replace(known, special={**known.special, "bos_token": "<bos>"})
    row = calling("Bonn", content="I look it up.")
    done = rendered(source, known, row[:2], tools=TOOLS)
    assert turns(done) == [
        ['<|tool_call>call:dig{where:<|"|>Bonn<|"|>}<tool_call|>I look it up.<|tool_response>']
    ]
    ids = templates.manifest_of(done)["stop"]["ids"]
    assert known.backend.token_to_id("<|tool_response>") in ids


def test_the_token_that_opens_a_result_closes_the_call() -> None:
    # As GLM: a turn has no end of its own; the next role's token is it.
    known = control("<|user|>", "<|assistant|>", "<|observation|>", "<call>", "</call>")
    body = "[g]" + ending_in("").replace(
        "'<|' + m.role", "'<|' + ('observation' if m.role == 'tool' else m.role)"
    )
    row = [*calling("here", "there"), {"role": "user", "content": "yes"}]
    done = rendered(body, known, row, tools=TOOLS)
    assert turns(done) == [[f"{HERE}{THERE}<|observation|>", "ok<|user|>"]]


def test_a_token_that_closes_each_call_is_no_stop() -> None:
    # Answers end in <end>, a turn with calls in nothing: what to stop at is the user's to say.
    body, row = ending_in("{{ '' if m.tool_calls else '<end>' }}"), calling("here", "there")
    done = rendered(body, control(*ROLES, "<end>"), row, tools=TOOLS)
    assert {stop.text for stop in done.card.stops} == {"</s>", "<end>"}
    assert refusal(done)[0] == "stop_not_at_end"
    assert "stops=('<|tool|>',)" in {one.option for one in done.remedies}
    done = rendered(body, control(*ROLES, "<end>"), row, tools=TOOLS, stops=("<|tool|>",))
    assert turns(done) == [[f"{HERE}{THERE}<|tool|>", "ok<end>"]]


# --- several control tokens close every answer ---


def test_the_last_of_several_closing_tokens_is_the_stop() -> None:
    known = control(*ROLES, "<response_end>", "<turn_end>")
    body = ending_in("<response_end><turn_end>")
    done = rendered(body, known, talk("hi", "ok", "yes", "no"))
    assert turns(done) == [["ok<response_end><turn_end>", "no<response_end><turn_end>"]]
    assert done.card.ends_with is not None and done.card.ends_with.text == "<turn_end>"
    assert {stop.text for stop in done.card.stops} == {"</s>", "<turn_end>"}


def test_where_generation_ends_before_a_closing_token_the_card_says_so() -> None:
    known = control(*ROLES, "<turn_end>", eos="<response_end>")
    body = ending_in("<response_end><turn_end>")
    done = rendered(body, known, talk("hi", "ok"))
    assert turns(done) == [["ok<response_end>"]]
    assert done.card.after_stop == ("<turn_end>",)
    assert "'<turn_end>', of the template: not trained" in str(done.card)


def test_a_token_that_does_not_always_follow_is_not_waited_for() -> None:
    known = control(*ROLES, "<end>", "<bye>")
    body = ending_in("<end>{{ '<bye>' if loop.last }}")
    done = rendered(body, known, talk("hi", "ok", "yes", "no"))
    assert turns(done) == [["ok<end>", "no<end>"]]


def test_a_header_that_is_always_appended_is_no_closing_token() -> None:
    # As CodeLlama 70b: the next header stands there whether an answer is wanted or not.
    known = control(*ROLES, "<end>")
    body = ending_in("<end>").replace("{% if add_generation_prompt %}", "{% if true %}")
    done = rendered(body, known, talk("hi", "ok"))
    assert turns(done) == [["ok<end>"]]


# --- a stop that is plain text ---

SMALL = Path("models/stories260k-hf")


def test_rendering_says_that_a_stop_is_plain_text(test_data: Path) -> None:
    rows = [{"instruction": "Say hi.", "output": "Hi."}]
    tokens = curate.render(rows, tokenizer=str(test_data / SMALL), template="chatml")
    assert tokens.manifest["stop"]["strings"] == ["<|im_end|>"]
    (notice,) = [line for line in tokens.notices if "plain text" in line]
    assert "add_tokens=['<|im_end|>']" in notice and "stop_strings" in notice
    shown = curate.preview(rows, tokenizer=str(test_data / SMALL), template="chatml")
    assert notice in shown.notices
    with in_a_command():
        shown = curate.preview(rows, tokenizer=str(test_data / SMALL), template="chatml")
    assert any("--add-token '<|im_end|>'" in line for line in shown.notices)


def test_no_word_on_stops_that_are_tokens() -> None:
    tokens = curate.render(
        [{"instruction": "Say hi.", "output": "Hi."}],
        tokenizer="sample_data/tiny-base",
        template="chatml",
    )
    assert not any("plain text" in line for line in tokens.notices)


def test_an_added_token_that_ends_answers_is_a_control_token(test_data: Path) -> None:
    rows = [{"instruction": "What is <|im_end|>?", "output": "<|im_end|> is an end."}]
    tokens = curate.render(
        rows, tokenizer=str(test_data / SMALL), template="chatml", add_tokens=("<|im_end|>",)
    )
    (end,) = tokens.manifest["tokenizer"]["closing"].values()
    assert tokens.manifest["stop"] == {"ids": [2, end], "strings": []}
    ids, labels = tokens.examples["input_ids"][0], tokens.examples["labels"][0]
    assert ids.to_list().count(end) == 2  # the ends of both turns; what content spells is text
    assert labels.to_list().count(end) == 1
    assert not tokens.notices


def test_a_folder_with_an_added_stop_can_be_looked_at(test_data: Path, tmp_path: Path) -> None:
    rows = [{"instruction": "Say hi.", "output": "Hi."}]
    names = ("<x>", "<|im_end|>", "<a>")
    curate.render(
        rows,
        tokenizer=str(test_data / SMALL),
        template="chatml",
        add_tokens=names,
        out=tmp_path / "TOKENS",
    )
    assert "{<|im_end|>}" in str(curate.preview(tmp_path / "TOKENS"))


def test_the_checkpoint_knows_a_stop_that_is_text(test_data: Path, tmp_path: Path) -> None:
    rows = [
        {"instruction": "Say hi.", "output": "Hi."},
        {"instruction": "Say ho.", "output": "Ho."},
    ]
    lines: list[str] = []
    tokens = curate.render(rows, tokenizer=str(test_data / SMALL), template="chatml")
    done = curate.train(
        tokens,
        model=test_data / SMALL,
        out=tmp_path / "CKPT",
        num_train_epochs=1,
        held_out=0,
        prompts=1,
        log=lines.append,
    )
    known = json.loads((done.out / "generation_config.json").read_text())
    assert known["stop_strings"] == ["<|im_end|>"]
    assert any("plain text for this tokenizer" in line for line in lines)


def test_a_stop_is_no_part_of_a_mark() -> None:
    # As gpt-oss: the last answer ends in <|return|>, the others in <|end|>.
    body = ending_in("{{ '<|return|>' if loop.last else '<|end|>' }}")
    done = rendered(body, control(*ROLES), talk("hi", "ok"))
    assert {stop.text for stop in done.card.stops} == {"</s>"}
    assert [one.option for one in done.remedies][:1] == ["stops=('<|return|>',)"]
    assert not done.notices


def test_marks_that_stand_together_are_tokens_of_their_own() -> None:
    body = ending_in("<|one|><|two|>")
    (notice,) = rendered(body, control(*ROLES), talk("hi", "ok")).notices
    assert "add_tokens=['<|one|>', '<|two|>']" in notice


def test_an_added_token_ends_a_call() -> None:
    end = "{{ '<|wait|>' if m.tool_calls and loop.last else '<|end|>' }}"
    known = with_tokens(control(*ROLES), ("<|wait|>", "<|end|>", "<|x|>"))
    done = rendered(ending_in(end), known, calling("here"), tools=TOOLS)
    assert turns(done) == [[f"{HERE}<|wait|>"], ["ok<|end|>"]]
    assert {*done.tokenizer.closing} == {"<|end|>", "<|wait|>"}
    assert [*done.tokenizer.functional] == ["<|x|>"]


def test_words_that_a_template_writes_twice_are_refused() -> None:
    twice = BODY.replace("(m.content or '')", "(m.content or '') * (2 if loop.last else 1)")
    done = rendered(ending_in("</s>", twice), control(*ROLES), talk("hi", "so it is"))
    check, message = refusal(done)
    assert check == "answer_altered" and "words of its content twice: 'so it is'" in message


# --- what would help ---


def test_refused_rows_come_with_the_option_that_works() -> None:
    done = rendered(ending_in(""), control(*ROLES), talk("hi", "ok"))
    assert not done.examples.height
    assert [(one.option, one.passed, one.tried) for one in done.remedies][:1] == [
        ("append_eos=True", 1, 1)
    ]
    assert "append_eos=True: 1 of the first 1 rows would be rendered" in done.summary()


def test_no_remedy_is_made_up() -> None:
    cut = BODY.replace("(m.content or '')", "(m.content or '')[:14]")  # the probes are shorter
    done = rendered(ending_in("</s>", cut), control(*ROLES), talk("hello", "an answer, cut off"))
    assert refusal(done)[0] == "answer_altered"
    assert done.remedies == ()
    with pytest.raises(CurateError, match="no option that was tried renders more of the rows"):
        templates.to_dataset(done)


def test_two_options_together_may_be_what_helps() -> None:
    # A template that wants to be told to think, and writes no end.
    asks = "{{ '' if enable_thinking is true else raise_exception('think') }}"
    body = ending_in("") + asks
    with pytest.raises(CurateError) as error:
        rendered(body, control(*ROLES), talk("hi", "ok"))
    assert "arguments={'enable_thinking': True} append_eos=True: 1 of" in str(error.value)
    with in_a_command(), pytest.raises(CurateError) as error:
        rendered(body, control(*ROLES), talk("hi", "ok"))
    assert "--arg enable_thinking=true --append-eos: 1 of the first 1" in str(error.value)


def test_a_template_that_renders_nothing_says_what_was_tried() -> None:
    body = "{% if not loud %}{{ raise_exception('be loud') }}{% endif %}"
    with pytest.raises(CurateError, match="be loud") as error:
        rendered(body, control(*ROLES), talk("hi", "ok"))
    assert "no option that was tried" in str(error.value)


def test_the_check_of_a_template_names_what_makes_it_safe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "endless.jinja").write_text(ending_in(""))
    known = ["--tokenizer", "sample_data/tiny-base"]
    assert main(["templates", "--check", str(tmp_path / "endless.jinja"), *known]) == 0
    said = capsys.readouterr().out
    assert "NOT SAFE" in said and "remedy             --append-eos" in said
