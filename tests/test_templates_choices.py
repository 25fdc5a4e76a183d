"""Control tokens in content, and rows that are too long: what each choice yields."""

from __future__ import annotations

import pytest

from tests.templates_toys import CHATML, byte_level, ids, refusal, rendered, talk, trained

EVIL = talk("a <|im_start|> b", "one <think> two")


def test_control_tokens_in_content_are_text_unless_allowed_or_rejected() -> None:
    think, start = (byte_level().controls[text].id for text in ("<think>", "<|im_start|>"))
    text = rendered(CHATML, byte_level(), EVIL)
    allowed = rendered(CHATML, byte_level(), EVIL, control="allow")
    assert (ids(text).count(think), ids(text).count(start)) == (0, 2)
    assert (ids(allowed).count(think), ids(allowed).count(start)) == (1, 3)
    assert trained(text) == trained(allowed) == ["one <think> two<|im_end|>"]
    assert allowed.counts["escaped"] == 0
    rejected = rendered(CHATML, byte_level(), EVIL, talk("hi", "ok"), control="reject")
    assert refusal(rejected)[0] == "control" and trained(rejected) == ["ok<|im_end|>"]


def test_a_stop_that_is_allowed_inside_an_answer_ends_it_early_and_is_refused() -> None:
    done = rendered(CHATML, byte_level(), talk("hi", "a <|im_end|> b"), control="allow")
    assert (
        refusal(done)[0] == "stop_not_at_end" and "where generation would end" in refusal(done)[1]
    )


LONG = talk("a", "one", "b", "two 😀 two")


def test_a_row_is_cut_after_masking_and_a_turn_in_part_is_not_trained() -> None:
    whole = rendered(CHATML, byte_level(), LONG)
    size = len(ids(whole))
    for limit in range(size - 1, 0, -1):
        done = rendered(CHATML, byte_level(), LONG, max_length=limit, overlong="right")
        if not done.examples.height:
            assert refusal(done)[0] == "too_long" and "no whole turn" in refusal(done)[1]
            continue
        assert ids(done) == ids(whole)[:limit]
        assert done.counts["truncated"] == 1
        # What stands after the last stop may go without loss; then both turns are whole.
        last = max(n for n, label in enumerate(whole.examples["labels"][0]) if label != -100)
        both = ["one<|im_end|>", "two 😀 two<|im_end|>"]
        assert trained(done) == (both if limit > last else both[:1])
        assert done.examples["turns"][0].to_list() == ([1, 3] if limit > last else [1])


@pytest.mark.parametrize("limit", range(4, 40, 3))
def test_the_left_side_can_be_cut_instead(limit: int) -> None:
    whole = rendered(CHATML, byte_level(), LONG)
    done = rendered(CHATML, byte_level(), LONG, max_length=limit, overlong="left")
    if limit >= len(ids(whole)):
        assert ids(done) == ids(whole) and done.counts["truncated"] == 0
    elif done.examples.height:
        assert ids(done) == ids(whole)[-limit:]
        assert trained(done)[-1] == "two 😀 two<|im_end|>"
        assert done.examples["labels"][0][0] == -100
    else:
        assert refusal(done)[0] == "too_long"


@pytest.mark.parametrize("side", ["left", "right"])
def test_labels_are_cut_where_ids_are(side: str) -> None:
    labels = rendered(CHATML, byte_level(), LONG).examples["labels"][0].to_list()
    stop = max(n for n, label in enumerate(labels) if label != -100)
    assert stop + 1 < len(labels)  # a line break follows the last stop
    done = rendered(CHATML, byte_level(), LONG, max_length=len(labels) - 1, overlong=side)
    cut = labels[1:] if side == "left" else labels[:-1]
    assert done.examples["labels"][0].to_list() == cut
    assert len(ids(done)) == len(cut)
    assert [x for x, y in zip(ids(done), cut, strict=True) if y != -100] == [
        label for label in cut if label != -100
    ]


def test_too_long_rows_are_refused_unless_told_otherwise() -> None:
    assert refusal(rendered(CHATML, byte_level(), LONG, max_length=5))[0] == "too_long"
