"""Thoughts in an answer's own text: moved to where a template writes reasoning, or left there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

import curate
from curate.base.errors import CurateError
from curate.base.schema import MESSAGE_FIELDS, RECORDS
from curate.base.thoughts import split_thoughts
from curate.cli import main
from filters.fixes.thoughts import InlineThink
from templates import load_template, read
from templates.messages import chat
from templates.options import RenderOptions
from templates.render import render
from templates.tokens.rendered import Rendered
from tests.templates_toys import (
    CHATML,
    byte_level,
    ids,
    records,
    refusal,
    rendered,
    talk,
    trained,
)

SPELLINGS = [
    ("<think>\nTwo and two.\n</think>\n\n4", "Two and two.", "4"),
    ("<think>Two and two.</think>4", "Two and two.", "4"),
    ("\n <think>\r\nTwo and two.\r\n</think>\r\n\r\n4", "Two and two.", "4"),
    ("<thinking>\n\n  Two.\n  And two.\n\n</thinking>\n4\n", "  Two.\n  And two.", "4\n"),
    ("<thought>Two and two.</thought>\n\n    4", "Two and two.", "    4"),
    ("<reasoning>\nTwo and two.\n</reasoning>\n\n4", "Two and two.", "4"),
    ("[THINK]Two and two.[/THINK]4", "Two and two.", "4"),
    ("<|begin_of_thought|>\nTwo.\n<|end_of_thought|>\n4", "Two.", "4"),
    (
        "<|begin_of_thought|>\n\nTwo.\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n4\n\n"
        "<|end_of_solution|>",
        "Two.",
        "4",
    ),
    ("Two and two.\n</think>\n\n4", "Two and two.", "4"),  # the prompt had the opening
    ("Two and two.</think>4", "Two and two.", "4"),
    ('So it is "4"</think>\n4', 'So it is "4"', "4"),
    ("<think>\n\n</think>\n\n4", "", "4"),
    ("<think></think>4", "", "4"),
    ("\n</think>\n\n4", "", "4"),
    ("<think>Not <think> again.</think>4", "Not <think> again.", "4"),
    ("<think>Two.</think>4, and <think>so</think> on", "Two.", "4, and <think>so</think> on"),
    ("<THINK>Two.</Think>4", "Two.", "4"),
    ("< think >Two.</think >4", "Two.", "4"),
    ("\ufeff<think>Two.</think>4", "Two.", "4"),
    ("[think]Two.[ / THINK ]4", "Two.", "4"),
    ("<think>It ends in `</think>`.</think>4", "It ends in `</think>`.", "4"),
    ("Two.\n</THINK>\n4", "Two.", "4"),
]
WORDS = [
    "4",
    "",
    "<think>\nTwo and two",  # never closed
    "<think>a<think>b</think>c</think>d",  # which one closes which?
    "The answer is 4. <think>Is it?</think>",  # not at its start
    "a</think>b</think>c",
    "Thoughts end in `</think>`, and then you answer.",
    "Write </think> after them.",
    "```\n<div>\n</think>\n```",
    "Two and two.</thinking>4",
    "<thinking>Two.</think>4",
    "<|begin_of_thought|>Two.<|begin_of_thought|>Two.<|end_of_thought|>4",
]


@pytest.mark.parametrize(("text", "reasoning", "content"), SPELLINGS)
def test_thoughts_are_told_from_the_answer(text: str, reasoning: str, content: str) -> None:
    assert split_thoughts(text) == (reasoning, content)


@pytest.mark.parametrize("text", WORDS)
def test_what_is_not_clear_is_no_thought(text: str) -> None:
    assert split_thoughts(text) is None


@given(
    st.text(alphabet="ab \n.", max_size=12),
    st.text(alphabet="ab \n.", max_size=12),
    st.sampled_from(["think", "thinking", "thought", "reasoning"]),
)
def test_no_word_of_either_part_is_lost(inner: str, rest: str, tag: str) -> None:
    parts = split_thoughts(f"<{tag}>{inner}</{tag}>{rest}")
    assert parts is not None
    assert (parts.reasoning.split(), parts.content.split()) == (inner.split(), rest.split())
    assert inner.endswith(parts.reasoning.rstrip()) or parts.reasoning in inner
    assert rest.endswith(parts.content)


def test_long_white_space_costs_no_time() -> None:
    blank = "\n \r\n" * 100_000
    assert split_thoughts(f"<think>{blank}a{blank}b{blank}</think>{blank}4{blank}") == (
        f"a{blank}b",
        f"4{blank}",
    )
    assert split_thoughts(blank) is None and split_thoughts(f"<think>{blank}") is None


def answered(content: str, **more: Any) -> list[dict[str, Any]]:
    return [*talk("What is 2+2?"), {"role": "assistant", "content": content, **more}]


def by_qwen(conversation: list[dict[str, Any]], **options: Any) -> Rendered:
    template = load_template("qwen-thinking", byte_level())
    return rendered(template, byte_level(), conversation, **options)


@pytest.mark.parametrize(("text", "reasoning", "content"), SPELLINGS)
def test_moved_thoughts_are_rendered_as_reasoning_is(
    text: str, reasoning: str, content: str
) -> None:
    moved, plain = by_qwen(answered(text)), by_qwen(answered(content, reasoning=reasoning or None))
    assert ids(moved) == ids(plain) and trained(moved) == trained(plain)
    assert (moved.counts["moved_thoughts"], plain.counts["moved_thoughts"]) == (1, 0)


@pytest.mark.parametrize("text", [text for text in WORDS if text])
def test_what_is_no_thought_stays_as_words(text: str) -> None:
    kept = rendered(CHATML, byte_level(), answered(text))
    assert trained(kept) == [f"{text}<|im_end|>"] and kept.counts["moved_thoughts"] == 0


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    "turns",
    [
        answered("<think>\nTwo and two.\n</think>\n\n4"),
        answered("<think>a</think>1")[:2] + answered("<think>\nb\n</think>\n2"),
        answered("1") + answered("Two.\n</think>\n\n4"),
        [{"role": "system", "content": "Be kind."}, *answered("<thinking>c</thinking>\n3")],
    ],
    ids=["one", "two", "after a plain one", "system"],
)
def test_the_prompt_is_that_of_inference_with_thinking_on(
    turns: list[dict[str, Any]], fast: bool
) -> None:
    transformers = pytest.importorskip("transformers")
    known = byte_level()
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer.from_str(known.backend.to_str()), **known.special
    )
    template = load_template("qwen-thinking", known)
    done = render(records(turns), template, known, fast=fast)
    row = done.examples.row(done.examples.height - 1, named=True)
    start = next(n for n, label in enumerate(row["labels"]) if label != -100)
    prompt = theirs.apply_chat_template(
        turns[:-1],
        chat_template=template.source,
        add_generation_prompt=True,
        enable_thinking=True,
        return_dict=False,
    )
    assert row["input_ids"][:start] == list(prompt)
    parts = split_thoughts(turns[-1]["content"])
    assert parts is not None
    said = f"<think>\n{parts.reasoning}\n</think>\n\n{parts.content}<|im_end|>"
    assert trained(done, done.examples.height - 1) == [said]


def test_answers_of_the_history_are_moved_too_and_counted() -> None:
    turns = answered("<think>a</think>1") + answered("<think>b</think>2") + answered("3")
    done = by_qwen(turns)
    assert [trained(done, number)[0] for number in range(3)] == [
        "<think>\na\n</think>\n\n1<|im_end|>",
        "<think>\nb\n</think>\n\n2<|im_end|>",
        "3<|im_end|>",
    ]
    assert done.counts["moved_thoughts"] == 2 and done.counts["split"] == 2
    assert "moved_thoughts: 2 answers whose thoughts became the reasoning" in done.summary()
    last = by_qwen(turns, turns="last")
    assert trained(last) == ["3<|im_end|>"] and last.counts["moved_thoughts"] == 2


def test_thoughts_before_a_call_are_moved_and_the_call_stays() -> None:
    call = json.dumps([{"name": "dig", "arguments": {"n": None}}])
    done = by_qwen(answered("<think>\nI dig.\n</think>\n\n", tool_calls=call))
    (said,) = trained(done)
    assert said.startswith("<think>\nI dig.\n</think>\n\n<tool_call>\n") and "null" in said


def test_a_message_that_has_reasoning_is_left_alone() -> None:
    turns = answered(content="<think>b</think>4", reasoning="a")
    both = [by_qwen(turns, inline_think=how) for how in ("move", "keep")]
    assert both[0].examples.equals(both[1].examples)
    assert both[0].refused.equals(both[1].refused)
    assert both[0].counts["moved_thoughts"] == 0


@pytest.mark.parametrize(
    "text", ["<think>\nTwo", "[THINK]Two", "<reasoning>Two</think>", "<think>"]
)
def test_an_answer_that_ends_in_its_thoughts_is_refused(text: str) -> None:
    # Trained as words, they would follow the prompt of an answer without any thoughts.
    check, message = refusal(by_qwen(answered(text)))
    assert check == "open_thoughts" and "inline_think='keep'" in message
    kept = by_qwen(answered(text), inline_think="keep")
    assert "open_thoughts" not in kept.refused["check"]


@pytest.mark.parametrize("text", [text for text, _, _ in SPELLINGS])
def test_a_template_without_a_place_for_reasoning_writes_the_words(text: str) -> None:
    done = rendered(CHATML, byte_level(), answered(text))
    assert trained(done) == [f"{text}<|im_end|>"] and done.counts["moved_thoughts"] == 0


@pytest.mark.parametrize("text", ["<think>Two.</think>", "<think></think>\n\n", "Two.\n</think>\n"])
def test_an_answer_of_thoughts_alone_is_empty_and_it_is_named(text: str) -> None:
    check, why = refusal(by_qwen(answered(text)))
    assert check == "empty"
    assert why.startswith("message 1: the answer is empty: nothing follows the thoughts in it")
    # One that is not trained is context, and stays.
    turns = [*talk("hi"), {"role": "assistant", "content": text, "weight": 0}, *answered("4")]
    done = by_qwen(turns, inline_think="move")
    assert done.counts["moved_thoughts"] == 0 and done.counts["empty"] == 0


def test_thoughts_can_be_kept_and_are_context_with_mask_reasoning() -> None:
    turns = answered("<think>\nTwo.\n</think>\n\n4")
    assert refusal(by_qwen(turns, inline_think="keep"))[0] == "prompt_not_prefix"
    assert trained(by_qwen(turns, mask_reasoning=True)) == ["\n</think>\n\n4<|im_end|>"]
    with pytest.raises(CurateError, match="inline_think"):
        RenderOptions(inline_think="drop")  # type: ignore[arg-type]


def test_both_answers_of_a_pair_are_moved() -> None:
    rows = records(answered("<think>Two.</think>4"))
    losing = [{"role": "assistant", "content": "<think>One.</think>3"}]
    full = [dict.fromkeys(MESSAGE_FIELDS) | turn for turn in losing]
    rows = rows.with_columns(rejected=pl.Series([full], dtype=RECORDS["rejected"]))
    template = load_template("qwen-thinking", byte_level())
    done = render(rows, template, byte_level(), RenderOptions(pairs=True))
    (row,) = done.examples.to_dicts()
    segments = byte_level().segments
    for side, said in (("", "<think>\nTwo.\n</think>\n\n4"), ("rejected_", "One.\n</think>\n\n3")):
        assert said in segments.decode(row[f"{side}input_ids"]).decode()
    assert done.counts["moved_thoughts"] == 1  # of the chosen side, as all counts are


def test_the_chat_of_a_record_is_what_the_record_holds() -> None:
    (record,) = records(answered("<think>Two.</think>4")).to_dicts()
    assert chat(record).messages[1]["content"] == "<think>Two.</think>4"


@pytest.fixture
def job(tmp_path: Path) -> list[str]:
    """A dump of inline thoughts, a template and a tokenizer: the words of a command."""
    pytest.importorskip("datasets")
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(byte_level().backend.to_str())
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|eos|>"}')
    dump = tmp_path / "dump.jsonl"
    rows = [answered("<think>Two.</think>4"), answered("4"), answered("<think>One.</think>1")]
    dump.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    return [str(dump), "--template", "qwen-thinking", "--tokenizer", str(folder)]


@pytest.mark.parametrize("given", [[], ["--inline-think"], ["--inline-think", "move"]])
def test_the_command_moves_thoughts_and_says_how_many(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str]
) -> None:
    out = tmp_path / "tokens"
    assert main(["render", *job, *given, "--out", str(out)]) == 0
    assert "moved_thoughts: 2 answers" in capsys.readouterr().out
    manifest = read(out).manifest
    assert manifest["counts"]["moved_thoughts"] == 2
    assert manifest["options"]["inline_think"] == "move"
    assert main(["preview", *job, *given, "--row", "0"]) == 0
    printed = capsys.readouterr()
    assert "2 answers hold thoughts in the text; they became the reasoning" in printed.err
    assert "--inline-think keep leaves them" in printed.err
    assert curate.preview(out).data["statistics"]["moved_thoughts"] == 2


def test_the_command_keeps_thoughts_if_asked(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tokens"
    assert main(["render", *job, "--inline-think", "keep", "--out", str(out)]) == 0
    manifest = read(out).manifest
    assert manifest["counts"]["moved_thoughts"] == 0 and manifest["counts"]["refused"] == 2
    assert main(["preview", *job, "--inline-think=keep", "--row", "1"]) == 0
    assert "thoughts in the text" not in capsys.readouterr().err


def test_a_preview_of_texts_counts_them_too(job: list[str]) -> None:
    shown = curate.preview(job[0], template="qwen-thinking")
    assert shown.data["statistics"]["moved_thoughts"] == 2
    assert "2 answers hold thoughts in the text" in shown.notices[0]


@pytest.mark.parametrize(("text", "reasoning", "content"), SPELLINGS)
def test_the_fix_makes_thoughts_the_reasoning_of_their_answer(
    text: str, reasoning: str, content: str
) -> None:
    frame = InlineThink().fix(records(answered(text)))
    message = frame["messages"][0][1]
    assert (message["reasoning"], message["content"]) == (reasoning or None, content)
    assert frame["edited"][0] == ("moved_thoughts" if reasoning else "empty_thoughts")


@pytest.mark.parametrize(
    "turns",
    [
        *(answered(text) for text in WORDS),
        answered("<think>Two.</think>"),  # nothing would be left
        answered("<think>b</think>4", reasoning="a"),
        talk("<think>Two.</think>4", "yes"),  # of a user
    ],
)
def test_the_fix_leaves_everything_else_alone(turns: list[dict[str, Any]]) -> None:
    rows = records(turns)
    frame = InlineThink().fix(rows)
    assert frame.drop("edited").equals(rows) and frame["edited"].is_null().all()


def test_a_run_moves_thoughts_and_its_ledger_says_so(tmp_path: Path) -> None:
    call = [{"function": {"name": "dig", "arguments": "{}"}}]
    rows = [
        {"messages": answered("<think>Two.</think>4")},
        {"messages": answered("4 it is")},
        {"messages": answered("<think></think>five")},
        {"messages": answered("<think>I dig.</think>", tool_calls=call)},
        {"prompt": "2+1?", "chosen": "<think>One.</think>3", "rejected": "<think>No.</think>5"},
    ]
    run = curate.run(rows, steps=["inline_think"], out=tmp_path / "RUN", cache=False)
    edits = run.ledger.filter(pl.col("verdict") == "edited").select("row", "reason").rows()
    assert edits == [
        (0, "moved_thoughts"),
        (2, "empty_thoughts"),
        (3, "moved_thoughts"),
        (4, "moved_thoughts"),
    ]
    answers = [row[-1] for row in run.kept["messages"].to_list()]
    assert [(one["reasoning"], one["content"]) for one in answers] == [
        ("Two.", "4"),
        (None, "4 it is"),
        (None, "five"),
        ("I dig.", ""),
        ("One.", "3"),
    ]
    (losing,) = run.kept["rejected"][4].to_list()
    assert (losing["reasoning"], losing["content"]) == ("No.", "5")
    again = curate.render(tmp_path / "RUN", template="qwen-thinking", tokenizer=byte_level())
    assert again.manifest["counts"]["moved_thoughts"] == 0
    once = curate.render(rows[:4], template="qwen-thinking", tokenizer=byte_level())
    assert once.manifest["counts"]["moved_thoughts"] == 3
    ours, theirs = again.examples["input_ids"].to_list(), once.examples["input_ids"].to_list()
    assert ours[:4] == theirs
