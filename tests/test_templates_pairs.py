"""Preference pairs: both answers on one prompt, proven alike, or the row is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from templates import PreviewOptions, RenderOptions, load_template, preview, read, render, write
from templates.tokens.rendered import Rendered
from tests.templates_toys import CHATML, byte_level, records, refusal, talk, template
from tests.test_templates_history import HYBRID

Turns = list[dict[str, Any]]
NAMES = ("input_ids", "labels", "attention_mask")


def answer(text: str, **more: Any) -> Turns:
    return [{"role": "assistant", "content": text, **more}]


def paired(*pairs: tuple[Turns, Turns | None]) -> pl.DataFrame:
    """Records of (conversation with the chosen answer, rejected answer)."""
    losers = records(*(rejected or [] for _, rejected in pairs))["messages"]
    return records(*(chosen for chosen, _ in pairs)).with_columns(rejected=losers)


def made(source: str, *pairs: tuple[Turns, Turns | None], **options: Any) -> Rendered:
    asked = RenderOptions(pairs=True, **options)
    return render(paired(*pairs), template(source), byte_level(), asked)


def said(done: Rendered, side: str = "", number: int = 0) -> list[str]:
    """The trained runs of a side."""
    row = done.examples.row(number, named=True)
    runs: list[list[int]] = [[]]
    for token, label in zip(row[f"{side}input_ids"], row[f"{side}labels"], strict=True):
        runs = [*runs, []] if label == -100 else [*runs[:-1], [*runs[-1], token]]
    return [done.tokenizer.segments.decode(run).decode() for run in runs if run]


def test_both_answers_stand_in_columns_after_the_same_prompt_ids() -> None:
    done = made(CHATML, (talk("a", "old", "hi", "good"), answer("bad 😀")))
    assert done.examples.columns == [
        *["id", "row", "input_ids", "labels", "turns", "source"],
        *["rejected_input_ids", "rejected_labels"],
    ]
    assert said(done) == ["good<|im_end|>"]  # not what the prompt of both already holds
    assert said(done, "rejected_") == ["bad 😀<|im_end|>"]
    row = done.examples.row(0, named=True)
    start = next(n for n, label in enumerate(row["labels"]) if label != -100)
    assert row["input_ids"][:start] == row["rejected_input_ids"][:start]
    assert set(row["rejected_labels"][:start]) == {-100} and row["rejected_labels"][start] != -100
    assert row["turns"] == [3]


def test_answers_may_be_several_messages_with_a_tool_in_between() -> None:
    context = [*answer("wait"), {"role": "tool", "content": "gold"}, *answer("no")]
    chosen = [*talk("hi"), *answer("so"), {"role": "tool", "content": "gold"}, *answer("yes")]
    done = made(CHATML, (chosen, context))
    assert said(done) == ["so<|im_end|>", "yes<|im_end|>"]
    assert said(done, "rejected_") == ["wait<|im_end|>", "no<|im_end|>"]


@pytest.mark.parametrize(
    ("chosen", "rejected", "check", "words"),
    [
        (talk("hi", "ok"), None, "pair", "no rejected answer"),
        (talk("hi", "ok"), answer(" "), "empty", "the rejected answer: message 1"),
        (talk("hi", "ok"), talk("so", "no", "x", "y"), "pair", "is not known"),
        (talk("hi", "ok"), answer("ok"), "pair", "both answers are the same"),
        (talk("hi", ""), answer("no"), "empty", "message 1: the answer is empty"),
        (talk("hi", "<|eos|>?"), answer("no"), "control", "spells a control token"),
        (talk("hi", "ok"), answer("<|eos|>"), "control", "the rejected answer: its content"),
        (talk("hi", "a" * 60), answer("no"), "too_long", "60 are allowed"),
        (talk("hi", "ok"), answer("a" * 60), "too_long", "the rejected answer: "),
    ],
)
def test_a_pair_of_which_one_side_cannot_be_proven_is_refused(
    chosen: Turns, rejected: Turns | None, check: str, words: str
) -> None:
    good = (talk("hi", "yes"), answer("no"))
    done = made(CHATML, (chosen, rejected), good, control="reject", max_length=60)
    assert refusal(done)[0] == check and words in refusal(done)[1]
    assert said(done) == ["yes<|im_end|>"] and done.counts["refused"] == 1


def test_a_template_that_opens_thoughts_for_one_side_only_gives_another_prompt() -> None:
    pair = (talk("hi"), answer("no"))
    thoughtful = ([*pair[0], *answer("yes", reasoning="hm")], pair[1])
    done = made(HYBRID, thoughtful)
    assert refusal(done)[0] == "pair" and "--arg enable_thinking=true" in refusal(done)[1]
    same = made(HYBRID, thoughtful, arguments={"enable_thinking": True})
    assert said(same) == ["[think]\nhm\n[/think]\n\nyes<|im_end|>"]
    assert said(same, "rejected_") == ["[think]\n\n[/think]\n\nno<|im_end|>"]


def test_a_history_that_is_rewritten_does_not_matter_to_a_last_answer() -> None:
    turns = [{**turn, "reasoning": "hm"} if n % 2 else turn for n, turn in enumerate(talk(*"abcd"))]
    done = made(HYBRID, (turns, answer("no", reasoning="oh")))
    assert said(done) == ["[think]\nhm\n[/think]\n\nd<|im_end|>"]
    assert done.counts["split"] == 0


def test_without_the_option_the_rejected_answer_is_left_out() -> None:
    rows = paired((talk("hi", "ok"), answer("no")), (talk("hi", "yes"), None))
    done = render(rows, template(CHATML), byte_level())
    assert done.examples.height == 2 and "rejected_input_ids" not in done.examples.columns


def test_a_written_folder_holds_both_sides_and_previews_them(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = paired((talk("hi", "good"), answer("bad")), (talk("hi", "x"), answer("")))
    options = RenderOptions(pairs=True)
    folder = write(render(rows, template(CHATML), byte_level(), options), tmp_path / "tokens")
    loaded = datasets.load_from_disk(str(folder))
    sides = [f"{side}{name}" for side in ("", "rejected_") for name in NAMES]
    assert loaded.column_names == sides
    [row] = loaded
    assert row["rejected_attention_mask"] == [1] * len(row["rejected_input_ids"])
    assert read(folder).examples.columns == [
        *["id", "row", "input_ids", "labels", "turns", "source"],
        *["rejected_input_ids", "rejected_labels"],
    ]
    assert read(folder).manifest["options"]["pairs"] is True
    asked = PreviewOptions(format="json", render=options)
    live = json.loads(preview(rows, template(CHATML), byte_level(), asked))["rows"][0]
    written = json.loads(preview(folder, None, byte_level(), asked))["rows"][0]
    for one in (live, written):
        texts = [part["text"] for part in one["rejected"]["parts"] if part["trained"]]
        assert "".join(texts) == "bad<|im_end|>"
    ids = [[part["id"] for part in one["rejected"]["parts"]] for one in (live, written)]
    assert ids[0] == ids[1] == loaded["rejected_input_ids"][0]


@pytest.mark.parametrize("tokenizer", [byte_level(), None])
def test_a_preview_shows_both_answers_side_by_side(tokenizer: Any) -> None:
    rows = paired((talk("hi", "good"), answer("bad")), (talk("hi", "x"), answer("")))
    options = RenderOptions(pairs=True)
    chatml = load_template("chatml", None)
    shown = {
        kind: preview(
            rows,
            chatml,
            tokenizer,
            PreviewOptions(rows=(0, 1), format=kind, render=options),
        )
        for kind in ("text", "html", "json")
    }
    lines = shown["text"].splitlines()
    chosen, rejected = (lines.index(name) for name in ("  chosen", "  rejected"))
    between = "\n".join(lines[chosen:rejected])
    assert "[good]" in between.replace("¦", "") and "bad" not in between
    assert "[bad]" in "\n".join(lines[rejected:]).replace("¦", "")
    assert shown["text"].count("0 user │") == 1  # the prompt of both is shown once
    assert "refused by empty" in shown["text"] and "the rejected answer: " in shown["text"]
    assert "<h3>chosen" in shown["html"] and "<h3>rejected" in shown["html"]
    both = json.loads(shown["json"])["rows"][0]
    assert both["rejected"]["trained"] and not both["rejected"]["refused"]


def test_real_tokenizers_give_both_sides_the_same_prompt(test_data: Path) -> None:
    from templates import load_tokenizer

    rows = paired((talk("What is 2 + 2?", " 4"), answer("\n\n5")))
    for name in ("llama2", "gpt-neox-olmo"):
        tokenizer = load_tokenizer(str(test_data / "tokenizers" / name))
        for style in ("simple", "mistral", "vicuna"):
            done = render(rows, load_template(style, None), tokenizer, RenderOptions(pairs=True))
            assert done.examples.height == 1, refusal(done)
